//! A second reading of the citations, by duvet: whoever trusts one of the two readers can compare.
//!
//! duvet also keeps `.duvet/snapshot.txt`, in which a change of coverage shows as a diff.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result};
use serde_json::Value;

use super::cite::{Citation, Kind};
use crate::sh::{self, cmd, require};

const INSTALL: &str = "cargo install duvet --locked --debug";

/// Whether duvet is there.
pub(super) fn is_installed() -> bool {
    cmd("duvet").arg("--help").succeeds()
}

/// Fails with the way to install duvet unless it is there.
///
/// # Errors
///
/// If it is missing.
pub(crate) fn required() -> Result<()> {
    require("duvet", cmd("duvet").arg("--help"), INSTALL)
}

/// Runs duvet's report and holds it to the citations that were found here.
pub(super) fn check(citations: &[Citation], problems: &mut Vec<String>) -> Result<()> {
    let json = sh::target_dir()?.join("duvet.json");
    let (passed, output) =
        cmd("duvet").args(["report", "--ci", "true", "--json"]).arg(&json).output()?;
    if !passed {
        problems.push(format!(
            "{output}\nduvet reports otherwise than .duvet/snapshot.txt; if that is meant, run: duvet report"
        ));
        return Ok(());
    }
    let report = fs::read_to_string(&json).with_context(|| json.display().to_string())?;
    let report = serde_json::from_str(&report).context("duvet's report")?;
    problems.extend(compare(&count(citations.iter().map(key)), &count(found(&report))));
    Ok(())
}

/// Source, requirement and whether it is a test.
type Key = (String, String, bool);

fn key(citation: &Citation) -> Key {
    (citation.file.clone(), citation.id.clone(), citation.kind == Kind::Test)
}

fn found(report: &Value) -> impl Iterator<Item = Key> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    report["annotations"].as_array().into_iter().flatten().map(move |annotation| {
        let id = text(&annotation["target_section"]).to_uppercase();
        (text(&annotation["source"]), id, annotation["type"] == "TEST")
    })
}

fn count(keys: impl Iterator<Item = Key>) -> BTreeMap<Key, u32> {
    let mut counts = BTreeMap::new();
    keys.for_each(|key| *counts.entry(key).or_default() += 1);
    counts
}

fn compare(ours: &BTreeMap<Key, u32>, theirs: &BTreeMap<Key, u32>) -> Vec<String> {
    let mut keys: Vec<&Key> = ours.keys().chain(theirs.keys()).collect();
    keys.sort();
    keys.dedup();
    let of = |counts: &BTreeMap<Key, u32>, key: &Key| counts.get(key).copied().unwrap_or(0);
    let differ = keys.into_iter().filter(|key| of(ours, key) != of(theirs, key));
    differ
        .map(|key| {
            let (file, id, test) = key;
            let kind = if *test { "tests" } else { "implementations" };
            format!("{file}: {} {kind} of {id} here, {} for duvet", of(ours, key), of(theirs, key))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_citation_that_only_one_of_them_sees_is_a_problem() {
        let report = json!({ "annotations": [
            { "source": "a.rs", "target_section": "x-1", "line": 3 },
            { "source": "a.rs", "target_section": "x-1", "line": 9, "type": "TEST" },
        ] });
        let theirs = count(found(&report));
        let key = |test| ("a.rs".to_owned(), "X-1".to_owned(), test);
        assert_eq!(compare(&count([key(false), key(true)].into_iter()), &theirs), [""; 0]);
        let ours = count([key(false), key(false)].into_iter());
        assert_eq!(
            compare(&ours, &theirs),
            [
                "a.rs: 2 implementations of X-1 here, 1 for duvet",
                "a.rs: 0 tests of X-1 here, 1 for duvet"
            ]
        );
    }
}
