//! What `cargo-mutants` found out.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde_json::Value;

/// The head of the table of [`Outcomes::row`].
pub(super) const HEAD: &str = "\
crate                 tried   caught  missed  timed out  unviable  caught of the viable";

/// What became of the mutants of one package.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    /// How many mutants there are.
    total: usize,
    caught: usize,
    /// Those that do not compile say nothing.
    unviable: usize,
    /// Names of those that no test noticed, with line and column.
    pub(super) missed: Vec<String>,
    /// Names of those whose tests did not end in time. Most of them loop; but on a busy machine the
    /// time may just have been short, so they do not count as caught.
    pub(super) timed_out: Vec<String>,
}

impl Outcomes {
    /// Reads `mutants.json` and `outcomes.json`. `None` if there was nothing to change.
    ///
    /// # Errors
    ///
    /// If they are not what cargo-mutants 27 writes.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>> {
        let json = |name: &str| -> Result<Option<Value>> {
            let path = folder.join(name);
            let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
            Ok(Some(serde_json::from_str(&text).with_context(|| path.display().to_string())?))
        };
        match (json("mutants.json")?, json("outcomes.json")?) {
            (Some(mutants), Some(outcomes)) => Self::parse(&mutants, &outcomes).map(Some),
            _ => Ok(None),
        }
    }

    fn parse(mutants: &Value, outcomes: &Value) -> Result<Self> {
        let list = |value: &Value| value.as_array().cloned().context("cargo-mutants wrote no list");
        let mut found = Self { total: list(mutants)?.len(), ..Self::default() };
        for outcome in list(&outcomes["outcomes"])? {
            // The scenario of the tree as it is has no mutant.
            let Some(name) = outcome["scenario"]["Mutant"]["name"].as_str() else { continue };
            match outcome["summary"].as_str().context("an outcome without summary")? {
                "CaughtMutant" => found.caught += 1,
                "Unviable" => found.unviable += 1,
                "MissedMutant" => found.missed.push(name.to_owned()),
                "Timeout" => found.timed_out.push(name.to_owned()),
                // An interrupted one has no result.
                _ => {}
            }
        }
        Ok(found)
    }

    /// The outcomes after a second pass over what the first one (`self`) did not catch. What the
    /// second did not get to was not tried: it had only some of the tests.
    pub(super) fn then(self, second: Self) -> Self {
        Self {
            total: self.total,
            caught: self.caught + second.caught,
            unviable: self.unviable + second.unviable,
            missed: second.missed,
            timed_out: second.timed_out,
        }
    }

    fn tried(&self) -> usize {
        self.viable() + self.unviable
    }

    fn viable(&self) -> usize {
        self.caught + self.missed.len() + self.timed_out.len()
    }

    /// Whether each mutant was tried.
    pub(super) fn is_complete(&self) -> bool {
        self.tried() == self.total
    }

    /// How much of the viable was caught, from 0 to 1; `None` if nothing was viable.
    pub(super) fn ratio(&self) -> Option<f64> {
        (self.viable() > 0).then(|| self.caught as f64 / self.viable() as f64)
    }

    /// One row of the table.
    pub(super) fn row(&self, package: &str, goal: Option<f64>) -> String {
        let goal = goal.map_or_else(String::new, |goal| format!(" (goal {:.0} %)", 100.0 * goal));
        let ratio = |ratio| format!("{:.1} %", 100.0 * ratio);
        format!(
            "{package:18} {:>8}  {:>6}  {:>6}  {:>9}  {:>8}  {}{goal}",
            format!("{}/{}", self.tried(), self.total),
            self.caught,
            self.missed.len(),
            self.timed_out.len(),
            self.unviable,
            self.ratio().map_or_else(|| "–".to_owned(), ratio),
        )
    }
}

/// A mutant's name without its line and column, which change with every edit above it.
pub(super) fn lasting(name: &str) -> String {
    match name.split_once(": ") {
        Some((place, what)) => {
            format!("{}: {what}", place.split(':').next().unwrap_or(place))
        }
        None => name.to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Outcomes as cargo-mutants writes them: names with summaries.
    pub(in crate::mutants) fn outcomes(total: usize, found: &[(&str, &str)]) -> Outcomes {
        let outcome = |(name, summary): &(&str, &str)| serde_json::json!({ "scenario": { "Mutant": { "name": name } }, "summary": summary });
        let mut all = vec![serde_json::json!({ "scenario": "Baseline", "summary": "Success" })];
        all.extend(found.iter().map(outcome));
        let mutants = Value::from(vec![Value::Null; total]);
        Outcomes::parse(&mutants, &serde_json::json!({ "outcomes": all })).unwrap()
    }

    #[test]
    fn outcomes_are_counted_and_what_does_not_compile_says_nothing() {
        let found = [
            ("a.rs:1:2: x", "CaughtMutant"),
            ("a.rs:2:2: x", "CaughtMutant"),
            ("a.rs:3:2: x", "MissedMutant"),
            ("a.rs:4:2: x", "Timeout"),
            ("a.rs:5:2: x", "Unviable"),
            ("a.rs:6:2: x", "Failure"),
        ];
        let part = outcomes(6, &found);
        assert!(!part.is_complete(), "the last one has no result");
        assert!(part.ratio().is_some_and(|ratio| (ratio - 0.5).abs() < 1e-9));
        assert_eq!((&part.missed[..], part.timed_out.len()), (&["a.rs:3:2: x".to_owned()][..], 1));
        let row = part.row("samara-wire", Some(0.85));
        assert_eq!(
            row,
            "samara-wire             5/6       2       1          1         1  50.0 % (goal 85 %)"
        );
        assert!(outcomes(5, &found[..5]).is_complete());
    }

    #[test]
    fn a_run_without_a_viable_mutant_has_no_ratio() {
        let none = outcomes(1, &[("a.rs:1:2: x", "Unviable")]);
        assert_eq!(none.ratio(), None);
        assert!(none.row("x", None).ends_with("         1  –"), "{}", none.row("x", None));
    }

    #[test]
    fn a_second_pass_decides_what_the_first_left_over() {
        let first = outcomes(
            5,
            &[
                ("a.rs:1:2: x", "CaughtMutant"),
                ("a.rs:2:2: x", "Unviable"),
                ("a.rs:3:2: x", "MissedMutant"),
                ("a.rs:4:2: x", "MissedMutant"),
                ("a.rs:5:2: x", "Timeout"),
            ],
        );
        let (third, fourth) = (("a.rs:3:2: x", "CaughtMutant"), ("a.rs:4:2: x", "MissedMutant"));
        let both = first.then(outcomes(3, &[third, fourth]));
        assert_eq!((both.caught, both.unviable, both.missed.len()), (2, 1, 1));
        assert!(!both.is_complete(), "the fifth was not tried again");
    }

    #[test]
    fn a_name_outlives_an_edit_above_it() {
        assert_eq!(
            lasting("crates/a/src/b.rs:92:40: replace < with <= in <impl A for B>::c"),
            "crates/a/src/b.rs: replace < with <= in <impl A for B>::c"
        );
    }
}
