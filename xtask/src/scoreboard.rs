//! `SCOREBOARD.md`: how reliable the project is, in figures that a command prints.
//!
//! A figure is what its command printed, with the commit and the day; one without a command does
//! not count. `xtask/scoreboard.toml` keeps them, so that the long runs need not be repeated.

mod pick;

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result, bail};

use crate::{args::Args, sh::cmd, text};

const FIGURES: &str = "xtask/scoreboard.toml";
const BOARD: &str = "SCOREBOARD.md";

/// A row of the board.
struct Row {
    id: &'static str,
    /// What the figure says.
    about: &'static str,
    command: &'static str,
    /// Measured unless rows are named.
    is_quick: bool,
    /// The figure, out of what the command prints.
    pick: fn(&str) -> Option<String>,
}

/// The rows that exist so far; ids are those of the project's plan of figures.
const ROWS: &[Row] = &[
    Row {
        id: "R4",
        about: "ways in which the power failed while a store worked, with nothing acknowledged lost",
        command: "cargo xtask crash --points 20000",
        is_quick: false,
        pick: pick::crash_points,
    },
    Row {
        id: "R4b",
        about: "real power cuts while a process used a store, by file system, with nothing acknowledged lost",
        command: "cargo xtask crash powercut --cuts 300",
        is_quick: false,
        pick: pick::power_cuts,
    },
    Row {
        id: "R4c",
        about: "kills of a process that used a store, with nothing acknowledged lost",
        command: "cargo xtask crash kill --rounds 100",
        is_quick: false,
        pick: pick::kills,
    },
    Row {
        id: "R7",
        about: "bits flipped in a store, each noticed or harmless",
        command: "cargo test -p samara-store --test rot a_flipped_bit_anywhere -- --nocapture",
        is_quick: false,
        pick: pick::bit_rot,
    },
    Row {
        id: "R9",
        about: "fuzzing: targets, time, inputs, all clean",
        command: "cargo xtask fuzz run --seconds 600 --jobs 4",
        is_quick: false,
        pick: pick::fuzzing,
    },
    Row {
        id: "R9b",
        about: "code that the inputs of the fuzz targets reach: regions by crate",
        command: "cargo xtask fuzz cover",
        is_quick: false,
        pick: pick::regions,
    },
    Row {
        id: "R9c",
        about: "inputs that the slowest decoder looks at in a second, over the vectors",
        command: "cargo xtask bench decoders -- --quick",
        is_quick: false,
        pick: pick::decoders,
    },
    Row {
        id: "R9d",
        about: "decoding of small varints and of frames of 64 KiB",
        command: "cargo xtask bench wire -- --quick decode",
        is_quick: false,
        pick: pick::wire,
    },
    Row {
        id: "R10",
        about: "mutants caught",
        command: "cargo xtask mutants",
        is_quick: false,
        pick: pick::mutants,
    },
    Row {
        id: "R11",
        about: "requirements implemented and tested",
        command: "cargo xtask rfc report",
        is_quick: true,
        pick: pick::requirements,
    },
    Row {
        id: "R12",
        about: "vectors, and who answers all of them",
        command: "cargo xtask vectors verify",
        is_quick: true,
        pick: pick::vectors,
    },
    Row {
        id: "R12b",
        about: "values of each kind that two implementations encoded and decoded for each other",
        command: "cargo xtask vectors cross",
        is_quick: false,
        pick: pick::cross,
    },
    Row {
        id: "R15",
        about: "memory of a hostile input: the largest share of its bound, over seeds, vectors and corpora",
        command: "cargo xtask fuzz replay",
        is_quick: false,
        pick: pick::memory,
    },
    Row {
        id: "R17",
        about: "lines that a crate's own tests run",
        command: "cargo xtask coverage",
        is_quick: false,
        pick: pick::lines,
    },
    Row {
        id: "R19",
        about: "states of the session and the transfer, explored to the end",
        command: "cargo test -p samara-conformance --test model -- --nocapture",
        is_quick: false,
        pick: pick::states,
    },
    Row {
        id: "R24",
        about: "planted bugs that a gate finds",
        command: "cargo xtask plant",
        is_quick: false,
        pick: pick::plants,
    },
];

/// What was measured last.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Figure {
    figure: String,
    commit: String,
    date: String,
}

/// `cargo xtask scoreboard [ROW...] [--from FILE]`.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let from: Option<String> = args.option("--from")?;
    let names = args.positionals();
    args.finish()?;
    if let Some(unknown) = names.iter().find(|name| ROWS.iter().all(|row| row.id != **name)) {
        bail!("no row `{unknown}`; {BOARD} lists them");
    }
    let mut figures = parse(&text::read(FIGURES)?)?;
    let wanted = |row: &&Row| match names.is_empty() {
        true => row.is_quick,
        false => names.iter().any(|name| name == row.id),
    };
    for row in ROWS.iter().filter(wanted) {
        let output = match &from {
            // What the same command printed before.
            Some(file) => fs::read_to_string(file).with_context(|| file.clone())?,
            None => output(row)?,
        };
        let figure = (row.pick)(&output);
        let figure = figure
            .with_context(|| format!("{}: no figure in what `{}` printed", row.id, row.command))?;
        eprintln!("{}: {figure}", row.id);
        figures.insert(row.id.to_owned(), Figure { figure, commit: commit()?, date: date()? });
    }
    let mut none = Vec::new();
    text::sync(FIGURES, &render(&figures), true, &mut none)?;
    text::sync(BOARD, &board(&figures), true, &mut none)
}

/// Whether the board shows the figures that are kept.
///
/// # Errors
///
/// If a file can't be read or written.
pub(crate) fn check(fix: bool, problems: &mut Vec<String>) -> Result<()> {
    text::sync(BOARD, &board(&parse(&text::read(FIGURES)?)?), fix, problems)
}

fn output(row: &Row) -> Result<String> {
    eprintln!("$ {}", row.command);
    let mut words = row.command.split_whitespace();
    let program = words.next().unwrap_or_default();
    let (passed, output) = cmd(program).args(words).output()?;
    if !passed {
        bail!("{}: `{}` failed:\n{output}", row.id, row.command);
    }
    Ok(output)
}

/// The commit that is checked out, with a mark if files differ from it.
fn commit() -> Result<String> {
    let head = cmd("git").args(["rev-parse", "--short", "HEAD"]).read()?;
    let changed =
        cmd("git").args(["status", "--porcelain", "--", "crates", "fuzz", "rfcs"]).read()?;
    Ok(format!("{}{}", head.trim(), if changed.is_empty() { "" } else { "+" }))
}

fn date() -> Result<String> {
    Ok(cmd("date").args(["-u", "+%F"]).read()?.trim().to_owned())
}

fn parse(text: &str) -> Result<BTreeMap<String, Figure>> {
    let table: toml::Table = text.parse().context(FIGURES)?;
    let figure = |(id, value): (&String, &toml::Value)| {
        let field = |name: &str| {
            let text = value.get(name).and_then(toml::Value::as_str);
            text.map(str::to_owned).with_context(|| format!("{FIGURES}: {id}: no `{name}`"))
        };
        let figure =
            Figure { figure: field("figure")?, commit: field("commit")?, date: field("date")? };
        Ok((id.clone(), figure))
    };
    table.iter().map(figure).collect()
}

fn render(figures: &BTreeMap<String, Figure>) -> String {
    let mut out = String::from(
        "# What the rows of SCOREBOARD.md said last; written by `cargo xtask scoreboard`.\n",
    );
    for (id, Figure { figure, commit, date }) in figures {
        out += &format!("\n[{id}]\nfigure = {figure:?}\ncommit = {commit:?}\ndate = {date:?}\n");
    }
    out
}

fn board(figures: &BTreeMap<String, Figure>) -> String {
    let mut out = String::from(
        "# Scoreboard\n\n\
         Figures of reliability, each as its command printed it. `cargo xtask scoreboard ROW` measures a row anew and writes this file; \
         without a row,\nthe quick ones. Speed and size of inputs depend on the machine, which is shared and has two processors.\n\n\
         | row | what | figure | command | commit | date |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for row in ROWS {
        let (figure, commit, date) = match figures.get(row.id) {
            Some(Figure { figure, commit, date }) => {
                (figure.as_str(), commit.as_str(), date.as_str())
            }
            None => ("not measured yet", "–", "–"),
        };
        out += &format!(
            "| {} | {} | {figure} | `{}` | {commit} | {date} |\n",
            row.id, row.about, row.command
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_back_as_they_were_written() {
        let figure = Figure {
            figure: "37 of 37 | \"all\"".into(),
            commit: "abc+".into(),
            date: "2026-11-27".into(),
        };
        let figures = BTreeMap::from([("R24".to_owned(), figure)]);
        assert_eq!(parse(&render(&figures)).unwrap(), figures);
        let board = board(&figures);
        assert!(board.contains(
            "| R10 | mutants caught | not measured yet | `cargo xtask mutants` | – | – |"
        ));
        assert!(board.contains("| `cargo xtask plant` | abc+ | 2026-11-27 |"));
    }

    #[test]
    fn a_figure_without_a_commit_is_refused() {
        assert!(parse("[R24]\nfigure = \"1\"\ndate = \"2026-11-27\"\n").is_err());
    }

    #[test]
    fn each_row_has_its_own_id() {
        for (at, row) in ROWS.iter().enumerate() {
            assert!(ROWS[..at].iter().all(|other| other.id != row.id), "{}", row.id);
        }
    }
}
