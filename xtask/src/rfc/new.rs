//! A new RFC out of the template of RFC 0000.

use std::{collections::BTreeSet, fs};

use anyhow::{Result, bail};

use super::spec;
use crate::sh;

/// The headings of the template, each with what belongs under it.
const HEADINGS: [(&str, &str); 14] = [
    ("Summary", "What it is, in ten lines."),
    ("Motivation", "Which scenario fails without it, with figures where there are some."),
    ("Guide", "A worked example with a diagram and real bytes in hex that a test reproduces."),
    (
        "Specification",
        "Terms, layouts, state machine as a table and as a diagram, requirements, errors, limits.",
    ),
    ("Compatibility", "Versions, what may be ignored, mixed meshes."),
    (
        "Resource bounds",
        "What a peer can make a node spend: memory, bytes, processor time, timers.",
    ),
    ("Security and privacy", "Attacker, asset, defence, residual risk."),
    ("Constrained links", "Bytes and seconds on LoRa and BLE."),
    ("Rationale, alternatives, prior art", "What else was possible and why it was not chosen."),
    ("Registry additions", "Numbers taken, with their tables."),
    ("Test plan", "Vectors, properties, models, scenarios."),
    ("Implementation status", "Which crate, how far."),
    ("Open questions", "What a later version has to decide."),
    ("Change log", "- Proposal: first version."),
];

/// `cargo xtask rfc new NAME TITLE PREFIX [--number N]`.
pub(super) fn new(name: &str, title: &str, prefix: &str, number: Option<u16>) -> Result<()> {
    let folder = sh::root().join("rfcs");
    let mut taken = BTreeSet::new();
    for entry in fs::read_dir(&folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if spec::is_rfc(&name) {
            taken.extend(name.get(..4).and_then(|digits| digits.parse::<u16>().ok()));
        }
    }
    let next = taken.last().map_or(0, |last| last + 1);
    let number = number.unwrap_or(next);
    if taken.contains(&number) {
        bail!("RFC {number:04} is there already; {next:04} is free");
    }
    let text = render(number, name, title, prefix)?;
    let path = folder.join(format!("{number:04}-{name}.md"));
    fs::write(&path, text)?;
    println!("wrote {}; `cargo xtask tidy --fix` adds it to the index", path.display());
    Ok(())
}

fn render(number: u16, name: &str, title: &str, prefix: &str) -> Result<String> {
    let plain =
        |text: &str, allowed: fn(char) -> bool| !text.is_empty() && text.chars().all(allowed);
    if !plain(name, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        bail!("a name is of small letters, digits and hyphens, as in `relay-and-carry`");
    }
    if !plain(prefix, |c| c.is_ascii_uppercase()) {
        bail!("the prefix of requirements is of capitals, as in `RELAY`");
    }
    if number > 9999 || title.trim().is_empty() {
        bail!("an RFC has a number of four digits and a title");
    }
    let mut out = format!(
        "# RFC {number:04}: {title}\n\n- Status: Proposal\n- Requirements: {prefix}-n\n- Needs: –\n- Used by: –\n"
    );
    for (heading, about) in HEADINGS {
        out += &format!("\n## {heading}\n\n{about}\n");
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text;

    #[test]
    fn a_new_rfc_passes_the_gate() -> Result<()> {
        let text = render(42, "answers", "Answers", "ANS")?;
        let mut problems = Vec::new();
        let rfc = spec::parse("rfcs/0042-answers.md", &text, &mut problems);
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!((rfc.title.as_str(), rfc.status.as_str()), ("RFC 0042: Answers", "Proposal"));
        Ok(())
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for (name, title, prefix) in [
            ("", "T", "ANS"),
            ("A", "T", "ANS"),
            ("a b", "T", "ANS"),
            ("a", " ", "ANS"),
            ("a", "T", "ans"),
        ] {
            assert!(render(42, name, title, prefix).is_err(), "{name:?} {title:?} {prefix:?}");
        }
    }

    #[test]
    fn the_headings_are_those_of_rfc_0000() -> Result<()> {
        let process = text::read("rfcs/0000-process.md")?;
        let table = process.split("### Template").nth(1).unwrap_or_default();
        let table = table.split("### Registries").next().unwrap_or_default();
        let rows: Vec<&str> = table
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
            .filter(|heading| !["heading", "---", "(front matter)"].contains(heading))
            .collect();
        assert_eq!(rows, HEADINGS.map(|(heading, _)| heading));
        Ok(())
    }
}
