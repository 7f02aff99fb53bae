//! The citation gate: every requirement of the RFCs is implemented, tested and quoted as it stands.
//!
//! Requirements are headings in `rfcs/NNNN-name.md`, citations are comments in the sources (RFC
//! 0000 has the syntax of both). Reading them needs no Markdown library: both are lines.

mod cite;
mod duvet;
mod index;
mod lock;
mod new;
mod spec;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use self::{
    cite::{Citation, Kind},
    spec::{Level, Requirement, Rfc},
};
use crate::{
    args::Args,
    registry,
    text::{self, SourceFile},
    vectors,
};

/// Tests that explore states instead of playing one story, by where they are.
const CHECKERS: &[(&str, &str)] = &[
    // Every state of two peers and three groups.
    ("model", "crates/samara-conformance/tests/model/"),
    // Random runs of two real sessions, of a real store.
    ("pair", "crates/samara-mesh/tests/pair/"),
    ("store", "crates/samara-store/tests/model/"),
];

/// `cargo xtask rfc check|report|new`.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let command = args.positional();
    let number = args.option("--number")?;
    let words = args.positionals();
    args.finish()?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match (command.as_deref(), words.as_slice()) {
        (Some("check"), []) => check(),
        (Some("report"), []) => {
            print!("{}", Book::read(&text::source_files()?)?.report());
            Ok(())
        }
        (Some("new"), [name, title, prefix]) => new::new(name, title, prefix, number),
        _ => bail!("`cargo xtask rfc` takes `check`, `report` or `new NAME TITLE PREFIX`"),
    }
}

/// Fails unless all requirements are met and all citations are right.
pub(crate) fn check() -> Result<()> {
    let files = text::source_files()?;
    let book = Book::read(&files)?;
    let mut problems = book.problems();
    registry::check(&files, false, &mut problems)?;
    lock::check(&book, false, &mut problems)?;
    if duvet::is_installed() {
        duvet::check(&book.citations, &mut problems)?;
    } else {
        eprintln!("rfc: without a second reading, since duvet is not installed");
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    let vectors: u32 = book.vectors.values().sum();
    let (must, all) = (
        book.requirements().filter(|r| r.level == Level::Must).count(),
        book.requirements().count(),
    );
    eprintln!(
        "rfc: {} RFCs, {all} requirements ({must} of them MUST), {} citations, {} exceptions, {vectors} vectors",
        book.rfcs.len(),
        book.citations.len(),
        book.exceptions.len(),
    );
    if problems.is_empty() { Ok(()) } else { bail!("rfc check found {} problems", problems.len()) }
}

/// [`check`], with the second reading by duvet.
///
/// # Errors
///
/// If duvet is missing or something is wrong.
pub(crate) fn check_twice() -> Result<()> {
    duvet::required()?;
    check()
}

/// Checks what is made of the RFCs and their citations, or writes it.
///
/// # Errors
///
/// If a file can't be read or written.
pub(crate) fn check_generated(
    files: &[SourceFile],
    fix: bool,
    problems: &mut Vec<String>,
) -> Result<()> {
    let book = Book::read(files)?;
    index::check(&book, fix, problems)?;
    lock::check(&book, fix, problems)
}

/// The sentences of all requirements in force, by id.
pub(crate) fn sentences(files: &[SourceFile]) -> BTreeMap<String, String> {
    let is_rfc = |file: &&SourceFile| file.path.strip_prefix("rfcs/").is_some_and(spec::is_rfc);
    // What is wrong with an RFC is told by the gate.
    let rfcs = files.iter().filter(is_rfc).map(|f| spec::parse(&f.path, &f.text, &mut Vec::new()));
    let requirements = rfcs.flat_map(|rfc| rfc.requirements).filter(|r| !r.withdrawn);
    requirements.map(|requirement| (requirement.id, requirement.sentence)).collect()
}

/// A requirement that is excused from a citation, with the reason.
#[derive(Debug)]
struct Exception {
    implementation: bool,
    test: bool,
    reason: String,
}

/// Everything that the gate knows.
#[derive(Debug, Default)]
struct Book {
    rfcs: Vec<Rfc>,
    citations: Vec<Citation>,
    exceptions: BTreeMap<String, Exception>,
    /// Vectors by the requirement that they name.
    vectors: BTreeMap<String, u32>,
    /// What could not even be read.
    malformed: Vec<String>,
}

impl Book {
    fn read(files: &[SourceFile]) -> Result<Self> {
        let mut book = Self::default();
        for file in files {
            if let Some(name) = file.path.strip_prefix("rfcs/")
                && spec::is_rfc(name)
            {
                book.rfcs.push(spec::parse(&file.path, &file.text, &mut book.malformed));
            } else if file.path.ends_with(".rs") {
                cite::parse(&file.path, &file.text, &mut book.citations, &mut book.malformed);
            }
        }
        vectors::each(|_, _, test| {
            if let Some(id) = test.get("req").and_then(serde_json::Value::as_str) {
                *book.vectors.entry(id.to_owned()).or_default() += 1;
            }
            Ok(())
        })?;
        book.exceptions = parse_exceptions(&text::read("rfcs/exceptions.toml")?)?;
        Ok(book)
    }

    fn requirements(&self) -> impl Iterator<Item = &Requirement> {
        self.rfcs.iter().flat_map(|rfc| &rfc.requirements).filter(|r| !r.withdrawn)
    }

    fn cited(&self, id: &str, kind: Kind) -> impl Iterator<Item = &Citation> {
        self.citations.iter().filter(move |c| c.id == id && c.kind == kind)
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = self.malformed.clone();
        self.check_ids(&mut problems);
        self.check_quotes(&mut problems);
        self.check_coverage(&mut problems);
        self.check_vectors(&mut problems);
        problems
    }

    /// Ids are unique, and a prefix belongs to one RFC.
    //= rfcs/0000-process.md#proc-3
    //# An id MUST stand for one requirement only, and its prefix for one RFC only.
    fn check_ids(&self, problems: &mut Vec<String>) {
        let mut seen: BTreeMap<&str, &Requirement> = BTreeMap::new();
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        for requirement in self.rfcs.iter().flat_map(|rfc| &rfc.requirements) {
            let place = requirement.place();
            if let Some(first) = seen.insert(&requirement.id, requirement) {
                problems.push(format!(
                    "{place}: {} stands at {} already",
                    requirement.id,
                    first.place()
                ));
            }
            let owner = owners.entry(requirement.prefix()).or_insert(&requirement.file);
            if *owner != requirement.file {
                problems.push(format!(
                    "{place}: the prefix {} belongs to {owner}",
                    requirement.prefix()
                ));
            }
        }
    }

    /// Each citation names a requirement that exists, in its file, in its words.
    //= rfcs/0000-process.md#proc-4
    //# A citation MUST quote the whole sentence of a requirement that is in force, with
    //# runs of white space counted as one space.
    fn check_quotes(&self, problems: &mut Vec<String>) {
        let by_id: BTreeMap<&str, &Requirement> = self
            .rfcs
            .iter()
            .flat_map(|rfc| &rfc.requirements)
            .map(|r| (r.id.as_str(), r))
            .collect();
        for citation in &self.citations {
            let (place, id) = (citation.place(), &citation.id);
            match by_id.get(id.as_str()) {
                None => problems.push(format!("{place}: {id} is in no RFC")),
                Some(requirement) if requirement.withdrawn => {
                    problems.push(format!("{place}: {id} is withdrawn"));
                }
                Some(requirement) if requirement.file != citation.spec => problems.push(format!(
                    "{place}: {id} is in {}, not in {}",
                    requirement.file, citation.spec
                )),
                Some(requirement) if requirement.sentence != citation.quote => {
                    problems.push(format!(
                        "{place}: the quote of {id} differs\n  RFC:   {}\n  quote: {}",
                        requirement.sentence, citation.quote
                    ))
                }
                Some(_) => {}
            }
        }
    }

    /// Each MUST is implemented and tested, or excused; each excuse is needed.
    //= rfcs/0000-process.md#proc-5
    //# Each requirement that contains `MUST`, `SHALL` or `REQUIRED` MUST be cited by an
    //# implementation and by a test, or be listed in `rfcs/exceptions.toml` with a reason.
    fn check_coverage(&self, problems: &mut Vec<String>) {
        for requirement in self.requirements() {
            let (place, id) = (requirement.place(), requirement.id.as_str());
            let excuse = self.exceptions.get(id);
            let rows = [
                (Kind::Implementation, "implementation", excuse.is_some_and(|e| e.implementation)),
                (Kind::Test, "test", excuse.is_some_and(|e| e.test)),
            ];
            for (kind, name, excused) in rows {
                let cited = self.cited(id, kind).next().is_some();
                if cited && excused {
                    problems.push(format!(
                        "rfcs/exceptions.toml: {id} has a cited {name} now; drop the exception"
                    ));
                }
                if !cited && !excused && requirement.level == Level::Must {
                    problems.push(format!("{place}: {id} has no cited {name}"));
                }
            }
        }
        for id in self.exceptions.keys() {
            if !self.requirements().any(|r| r.id == *id) {
                problems.push(format!("rfcs/exceptions.toml: {id} is in no RFC"));
            }
        }
    }

    //= rfcs/0014-conformance.md#conf-5
    //# A vector MUST name no requirement but one that is in force.
    fn check_vectors(&self, problems: &mut Vec<String>) {
        for id in self.vectors.keys() {
            if !self.requirements().any(|requirement| requirement.id == *id) {
                problems.push(format!("rfcs/vectors: {id} is in no RFC, or is withdrawn"));
            }
        }
    }

    /// The checkers whose runs hold a requirement to what happens, by name.
    fn checkers(&self, id: &str) -> Vec<&'static str> {
        let tests: Vec<_> = self.cited(id, Kind::Test).collect();
        let cites = |folder: &str| tests.iter().any(|test| test.file.contains(folder));
        CHECKERS.iter().filter(|(_, folder)| cites(folder)).map(|(name, _)| *name).collect()
    }

    fn report(&self) -> String {
        let mut out = String::from("# Requirements\n");
        for rfc in self.rfcs.iter().filter(|rfc| !rfc.requirements.is_empty()) {
            out += &format!("\n## {}\n\n", rfc.title);
            out += "| id | level | implementation | test | vectors | checkers |\n";
            out += "| --- | --- | --- | --- | --- | --- |\n";
            for requirement in rfc.requirements.iter().filter(|r| !r.withdrawn) {
                let cell = |kind| {
                    let places: Vec<String> =
                        self.cited(&requirement.id, kind).map(Citation::place).collect();
                    match (places.is_empty(), self.exceptions.get(&requirement.id)) {
                        (false, _) => places.join("<br>"),
                        (true, Some(exception)) => format!("– ({})", exception.reason),
                        (true, None) => "–".to_owned(),
                    }
                };
                let vectors = self.vectors.get(&requirement.id);
                let checkers = self.checkers(&requirement.id);
                out += &format!(
                    "| {} | {} | {} | {} | {} | {} |\n",
                    requirement.id,
                    requirement.level.name(),
                    cell(Kind::Implementation),
                    cell(Kind::Test),
                    vectors.map_or_else(|| "–".to_owned(), ToString::to_string),
                    if checkers.is_empty() { "–".to_owned() } else { checkers.join(", ") },
                );
            }
        }
        let share = |level: Level, kind| {
            let of_level = || self.requirements().filter(move |r| r.level == level);
            let cited = of_level().filter(|r| self.cited(&r.id, kind).next().is_some()).count();
            format!("{cited} of {}", of_level().count())
        };
        out += "\n## Totals\n\n| level | implemented | tested |\n| --- | --- | --- |\n";
        for level in [Level::Must, Level::Should, Level::May] {
            let (implemented, tested) =
                (share(level, Kind::Implementation), share(level, Kind::Test));
            out += &format!("| {} | {implemented} | {tested} |\n", level.name());
        }
        out
    }
}

fn parse_exceptions(text: &str) -> Result<BTreeMap<String, Exception>> {
    let table: toml::Table = text.parse().context("rfcs/exceptions.toml")?;
    let mut exceptions = BTreeMap::new();
    for (id, value) in &table {
        let missing = value.get("missing").and_then(toml::Value::as_array);
        let missing =
            missing.with_context(|| format!("rfcs/exceptions.toml: {id} needs `missing`"))?;
        let reason = value.get("reason").and_then(toml::Value::as_str).unwrap_or_default();
        if reason.split_whitespace().count() < 4 {
            bail!("rfcs/exceptions.toml: {id} needs a reason in words");
        }
        let names = |name: &str| missing.iter().any(|value| value.as_str() == Some(name));
        let (implementation, test) = (names("implementation"), names("test"));
        if usize::from(implementation) + usize::from(test) != missing.len() || missing.is_empty() {
            bail!("rfcs/exceptions.toml: {id}: `missing` takes \"implementation\" and \"test\"");
        }
        exceptions
            .insert(id.clone(), Exception { implementation, test, reason: text::fold(reason) });
    }
    Ok(exceptions)
}

#[cfg(test)]
mod tests;
