//! `rfcs/requirements.lock`: all ids that were ever given, with how often each is cited.
//!
//! An id that is gone from its RFC can't be given again, and a test that is deleted shows even if
//! another one cites the same requirement.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{Book, Kind};
use crate::text;

const FILE: &str = "rfcs/requirements.lock";
const HEAD: &str = "# Every id that was ever given: citations in code, citations in tests. Written by `cargo xtask tidy --fix`.\n";

/// Citations in code and in tests.
type Counts = (usize, usize);

/// Checks the lock, or writes it. What is gone is a problem in any case.
pub(super) fn check(book: &Book, fix: bool, problems: &mut Vec<String>) -> Result<()> {
    let locked = parse(&text::read(FILE).unwrap_or_default());
    let now = counts(book);
    let missing = gone(&locked, &now);
    if missing.is_empty() && fix {
        return text::sync(FILE, &render(&now), fix, problems);
    }
    problems.extend(missing);
    problems.extend(differences(&locked, &now));
    Ok(())
}

fn counts(book: &Book) -> BTreeMap<String, Counts> {
    let all = book.rfcs.iter().flat_map(|rfc| &rfc.requirements);
    all.map(|requirement| {
        let count = |kind| book.cited(&requirement.id, kind).count();
        (requirement.id.clone(), (count(Kind::Implementation), count(Kind::Test)))
    })
    .collect()
}

fn gone(locked: &BTreeMap<String, Counts>, now: &BTreeMap<String, Counts>) -> Vec<String> {
    let gone = locked.keys().filter(|id| !now.contains_key(*id));
    gone.map(|id| format!("{id} is gone from its RFC; keep it, marked as withdrawn")).collect()
}

fn differences(locked: &BTreeMap<String, Counts>, now: &BTreeMap<String, Counts>) -> Vec<String> {
    let differ = now.iter().filter(|(id, counts)| locked.get(*id) != Some(counts));
    differ
        .map(|(id, (code, tests))| {
            let (was_code, was_tests) = locked.get(id).copied().unwrap_or_default();
            format!(
                "{id} is cited {code} times in code and {tests} times in tests, not {was_code} and {was_tests}; \
                 if that is meant, run: cargo xtask tidy --fix"
            )
        })
        .collect()
}

fn parse(text: &str) -> BTreeMap<String, Counts> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let id = words.next()?.to_owned();
        Some((id, (words.next()?.parse().ok()?, words.next()?.parse().ok()?)))
    };
    lines.filter_map(row).collect()
}

fn render(counts: &BTreeMap<String, Counts>) -> String {
    counts
        .iter()
        .fold(HEAD.to_owned(), |out, (id, (code, tests))| out + &format!("{id} {code} {tests}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_test_and_a_lost_id_are_problems() {
        let counts = |text: &str| parse(text);
        let locked = counts("# head\nABC-1 1 2\nABC-2 1 1\n");
        assert_eq!(parse(&render(&locked)), locked);
        assert_eq!(differences(&locked, &locked), [""; 0]);
        let found = differences(&locked, &counts("ABC-1 1 1\nABC-2 1 1\n"));
        assert!(
            found[0]
                .starts_with("ABC-1 is cited 1 times in code and 1 times in tests, not 1 and 2")
        );
        assert_eq!(found.len(), 1);
        let found = gone(&locked, &counts("ABC-1 1 2\n"));
        assert_eq!(found, ["ABC-2 is gone from its RFC; keep it, marked as withdrawn"]);
    }
}
