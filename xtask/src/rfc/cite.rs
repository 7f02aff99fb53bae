//! The citations in a Rust source.

use crate::text;

/// What a citation claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Implementation,
    Test,
}

/// A comment that quotes a requirement.
#[derive(Debug)]
pub(super) struct Citation {
    /// The RFC's path, relative to the root.
    pub(super) spec: String,
    /// The requirement's id, in capitals.
    pub(super) id: String,
    pub(super) kind: Kind,
    /// With white space folded.
    pub(super) quote: String,
    pub(super) file: String,
    line: usize,
}

impl Citation {
    /// `file:line`.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

/// Reads the citations of `file` into `out`; what is wrong with them goes to `problems`.
pub(super) fn parse(file: &str, text: &str, out: &mut Vec<Citation>, problems: &mut Vec<String>) {
    let first = out.len();
    let mut tests = is_test_file(file);
    // Whether the line before belonged to the newest citation, and where its run began.
    let mut open = false;
    let mut run = first;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        let place = || format!("{file}:{}", at + 1);
        if line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test") {
            tests = true;
        }
        if line.starts_with("//=") && !open {
            run = out.len();
        }
        if let Some(meta) = line.strip_prefix("//=") {
            let meta = meta.trim();
            match (meta.strip_prefix("type="), out.last_mut()) {
                (Some("test"), Some(citation)) if open && citation.quote.is_empty() => {
                    citation.kind = Kind::Test;
                }
                (Some("implementation" | "implication"), Some(_)) if open => {}
                (Some(kind), _) => problems.push(format!("{}: `type={kind}` can't stand here", place())),
                (None, _) => match meta.split_once('#') {
                    Some((spec, anchor)) if anchor == anchor.to_lowercase() => out.push(Citation {
                        spec: spec.to_owned(),
                        id: anchor.to_uppercase(),
                        kind: Kind::Implementation,
                        quote: String::new(),
                        file: file.to_owned(),
                        line: at + 1,
                    }),
                    _ => problems.push(format!(
                        "{}: a citation reads `//= rfcs/NNNN-name.md#id-1`, the id in small letters",
                        place()
                    )),
                },
            }
            open = true;
        } else if let Some(quote) = line.strip_prefix("//#") {
            match out.last_mut() {
                Some(citation) if open => {
                    citation.quote = text::fold(&format!("{} {quote}", citation.quote));
                }
                _ => {
                    problems.push(format!("{}: a quotation without `//= rfcs/…` above it", place()))
                }
            }
        } else {
            if open {
                check_kinds(&out[run..], tests, problems);
                let header = text.lines().skip(at);
                check_test(&out[run..], header, problems);
            }
            open = false;
        }
    }
    if open {
        check_kinds(&out[run..], tests, problems);
    }
    for citation in out[first..].iter().filter(|citation| citation.quote.is_empty()) {
        problems.push(format!(
            "{}: {} is cited without its sentence",
            citation.place(),
            citation.id
        ));
    }
}

/// A citation in a test says so, and only there.
//= rfcs/0000-process.md#proc-6
//# A citation in a test MUST be marked as a test, and a citation elsewhere MUST NOT be.
fn check_kinds(citations: &[Citation], tests: bool, problems: &mut Vec<String>) {
    for citation in citations {
        let (place, id) = (citation.place(), &citation.id);
        match (citation.kind, tests) {
            (Kind::Implementation, true) => {
                problems.push(format!("{place}: {id} is cited in a test without `//= type=test`"));
            }
            (Kind::Test, false) => {
                problems.push(format!("{place}: {id} is cited as a test outside of tests"));
            }
            _ => {}
        }
    }
}

/// Functions that cite as tests and are called by tests elsewhere: the suite that each driver runs,
/// and jobs of `xtask` that test from outside.
const CALLED_BY_TESTS: &[&str] = &["crates/samara-net/tests/contract/suite.rs", "xtask/src/"];

/// A citation above a function stands above one that runs as a test. `below` begins behind it.
fn check_test<'a>(
    citations: &[Citation],
    below: impl Iterator<Item = &'a str>,
    problems: &mut Vec<String>,
) {
    let Some(citation) = citations.iter().find(|citation| citation.kind == Kind::Test) else {
        return;
    };
    if CALLED_BY_TESTS.iter().any(|path| citation.file.starts_with(path)) {
        return;
    }
    let mut is_test = false;
    for line in below.map(str::trim) {
        is_test |=
            line.starts_with("#[test]") || line.contains("::test]") || line.contains("::test(");
        let is_more = line.starts_with("//") || line.starts_with("#[") || line.is_empty();
        if !is_more {
            let is_function = line.split_whitespace().any(|word| word == "fn");
            if is_function && !is_test {
                problems.push(format!(
                    "{}: {} is cited above a function that is no test",
                    citation.place(),
                    citation.id
                ));
            }
            return;
        }
    }
    problems.push(format!("{}: no test follows", citation.place()));
}

/// Whether all of a file is tests. Two jobs of `xtask` test the crates from outside: `e2e` drives
/// the command as a user would, `cross` builds for other machines.
fn is_test_file(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or_default();
    file.split('/').any(|part| part == "tests")
        || ["xtask/src/e2e", "xtask/src/cross"].iter().any(|job| file.starts_with(job))
        || name == "tests.rs"
        || name.ends_with("_tests.rs")
}
