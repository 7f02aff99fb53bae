//! `xtask/mutants.toml`: the goals, and why some mutants may live.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::outcome::{Outcomes, lasting};
use crate::workspace::Package;

/// Where the list is.
pub(super) const LIST: &str = "xtask/mutants.toml";

/// A mutant that no test catches.
#[derive(Debug)]
struct Entry {
    /// How many mutants have this name: a function may have two places of a kind.
    count: usize,
}

/// The goals and the mutants that may live.
#[derive(Debug)]
pub(super) struct List {
    /// By package: how much of the viable has to be caught, from 0 to 1.
    goals: BTreeMap<String, f64>,
    /// By package: the test binaries that catch most of its mutants.
    quick: BTreeMap<String, Vec<String>>,
    /// By name without line and column.
    entries: BTreeMap<String, Entry>,
}

impl List {
    /// Reads the list.
    ///
    /// # Errors
    ///
    /// If it is not TOML, or an entry has no name or no reason, or is there twice.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let table: toml::Table = text.parse().context(LIST)?;
        let mut list =
            Self { goals: BTreeMap::new(), quick: BTreeMap::new(), entries: BTreeMap::new() };
        let of = |key: &str| table.get(key).and_then(toml::Value::as_table).into_iter().flatten();
        for (package, goal) in of("goals") {
            let goal = goal.as_float().filter(|goal| (0.0..=1.0).contains(goal));
            let goal = goal.with_context(|| format!("{LIST}: {package}: a goal is 0.0 to 1.0"))?;
            list.goals.insert(package.clone(), goal);
        }
        for (package, tests) in of("quick") {
            let names = tests.as_array().into_iter().flatten().filter_map(toml::Value::as_str);
            list.quick.insert(package.clone(), names.map(str::to_owned).collect());
        }
        for value in table.get("missed").and_then(toml::Value::as_array).into_iter().flatten() {
            let text = |key: &str| value.get(key).and_then(toml::Value::as_str).unwrap_or_default();
            let (name, reason) = (text("mutant"), text("reason"));
            if name.is_empty() || reason.is_empty() {
                bail!("{LIST}: an entry needs `mutant` and `reason`: {value}");
            }
            let count = value.get("count").and_then(toml::Value::as_integer).unwrap_or(1);
            let entry = Entry { count: usize::try_from(count)? };
            if list.entries.insert(name.to_owned(), entry).is_some() {
                bail!("{LIST}: `{name}` is there twice; give it a `count`");
            }
        }
        Ok(list)
    }

    /// The packages that have a goal.
    pub(super) fn packages(&self) -> impl Iterator<Item = String> {
        self.goals.keys().cloned()
    }

    /// How much of the viable has to be caught in a package, from 0 to 1.
    pub(super) fn goal(&self, package: &str) -> Option<f64> {
        self.goals.get(package).copied()
    }

    /// The test binaries of a package that are tried first; empty: all of them.
    pub(super) fn quick(&self, package: &str) -> &[String] {
        self.quick.get(package).map_or(&[], Vec::as_slice)
    }

    /// What is wrong with the outcomes of a package. Only a run of all its mutants (`whole`) is held
    /// against the goal, and can tell that an entry is not needed any more.
    pub(super) fn judge(&self, package: &Package, outcomes: &Outcomes, whole: bool) -> Vec<String> {
        let mut problems = Vec::new();
        let missed = by_name(&outcomes.missed);
        for (name, places) in &missed {
            let allowed = self.entries.get(name).map_or(0, |entry| entry.count);
            if places.len() > allowed {
                let places = places.iter().map(|place| format!("MISSED: {place}"));
                problems.extend(places);
            }
        }
        if !whole {
            return problems;
        }
        let late = by_name(&outcomes.timed_out);
        let folder = format!("{}/", package.dir);
        for (name, entry) in self.entries.iter().filter(|(name, _)| name.starts_with(&folder)) {
            let count = |all: &BTreeMap<String, Vec<&String>>| all.get(name).map_or(0, Vec::len);
            let found = count(&missed) + count(&late);
            if found < entry.count {
                let count = entry.count;
                problems.push(format!("STALE: {LIST}: missed {found} times, not {count}: {name}"));
            }
        }
        match (self.goal(&package.name), outcomes.ratio()) {
            (Some(goal), Some(ratio)) if ratio < goal => {
                let name = &package.name;
                problems.push(format!("{name}: fewer mutants are caught than its goal asks"));
            }
            // A goal is not met by a run that tried nothing.
            (Some(_), None) => {
                let name = &package.name;
                problems.push(format!("{name}: no mutant was viable, so nothing meets its goal"));
            }
            _ => {}
        }
        problems
    }
}

/// Mutants by their name without line and column.
fn by_name(names: &[String]) -> BTreeMap<String, Vec<&String>> {
    let mut sorted: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for name in names {
        sorted.entry(lasting(name)).or_default().push(name);
    }
    sorted
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{mutants::outcome::tests::outcomes, sh, text};

    const TEXT: &str = "\
[goals]
x = 0.5
[[missed]]
mutant = 'crates/x/src/a.rs: replace < with <= in f'
reason = 'equal: both sides are'
[[missed]]
mutant = 'crates/x/src/a.rs: replace + with * in g'
count = 2
reason = 'equal: of 2 and 2'
";

    fn package() -> Package {
        Package {
            name: "x".into(),
            dir: "crates/x".into(),
            description: String::new(),
            publish: false,
            features: vec![],
            deps: vec![],
            roots: vec![],
            closure: BTreeSet::new(),
        }
    }

    const F: (&str, &str) = ("crates/x/src/a.rs:1:2: replace < with <= in f", "MissedMutant");
    const G: [(&str, &str); 2] = [
        ("crates/x/src/a.rs:2:2: replace + with * in g", "MissedMutant"),
        ("crates/x/src/a.rs:2:9: replace + with * in g", "Timeout"),
    ];
    const CAUGHT: (&str, &str) = ("crates/x/src/a.rs:3:2: replace h with ()", "CaughtMutant");

    fn judge(found: &[(&str, &str)], whole: bool) -> Vec<String> {
        let list = List::parse(TEXT).unwrap();
        list.judge(&package(), &outcomes(found.len(), found), whole)
    }

    #[test]
    fn the_list_of_this_repository_names_packages_and_files_that_are_there() {
        let list = List::parse(&text::read(LIST).unwrap()).unwrap();
        assert!(list.packages().count() >= 2);
        for name in list.packages() {
            assert!(sh::root().join("crates").join(&name).is_dir(), "{name}");
        }
        for (name, tests) in &list.quick {
            for test in tests {
                let path = format!("crates/{name}/tests/{test}.rs");
                assert!(sh::root().join(&path).is_file(), "{path}");
            }
        }
        for name in list.entries.keys() {
            let (path, _) = name.split_once(": ").unwrap();
            assert!(sh::root().join(path).is_file(), "{name}");
        }
    }

    #[test]
    fn a_missed_mutant_without_a_reason_is_named_with_its_place() {
        let other = ("crates/x/src/a.rs:7:7: replace < with > in f", "MissedMutant");
        assert_eq!(judge(&[F, other], false), [format!("MISSED: {}", other.0)]);
        // One reason, two places: it may be either.
        let again = ("crates/x/src/a.rs:9:2: replace < with <= in f", "MissedMutant");
        assert_eq!(judge(&[F, again], false).len(), 2);
        assert!(judge(&[F, G[0]], false).is_empty());
    }

    #[test]
    fn an_entry_whose_mutant_is_caught_is_stale_in_a_whole_run_only() {
        let found = [F, G[0], CAUGHT, CAUGHT, CAUGHT];
        assert!(judge(&found, false).is_empty());
        let problems = judge(&found, true);
        assert!(problems.len() == 1 && problems[0].starts_with("STALE"), "{problems:?}");
        // One that ran out of time is still there.
        assert!(judge(&[F, G[0], G[1], CAUGHT, CAUGHT, CAUGHT], true).is_empty());
    }

    #[test]
    fn a_whole_run_is_held_against_the_goal() {
        assert!(judge(&[F, G[0], G[1], CAUGHT], false).is_empty());
        let problems = judge(&[F, G[0], G[1], CAUGHT], true);
        assert_eq!(problems, ["x: fewer mutants are caught than its goal asks"]);
    }

    #[test]
    fn a_whole_run_without_a_viable_mutant_does_not_meet_the_goal() {
        let list = List::parse("[goals]\nx = 0.5\n").unwrap();
        let unviable = ("crates/x/src/a.rs:1:2: replace f with ()", "Unviable");
        for found in [&[][..], &[unviable]] {
            let judge = |whole| list.judge(&package(), &outcomes(found.len(), found), whole);
            assert_eq!(judge(true), ["x: no mutant was viable, so nothing meets its goal"]);
            assert!(judge(false).is_empty());
        }
    }

    #[test]
    fn an_entry_without_a_reason_or_twice_or_a_goal_above_one_is_refused() {
        assert!(List::parse("[[missed]]\nmutant = 'a.rs: b'\n").is_err());
        assert!(
            List::parse(&TEXT.replace("in g", "in f").replace("+ with *", "< with <=")).is_err()
        );
        assert!(List::parse("[goals]\nx = 85.0\n").is_err());
        assert!(List::parse("missed = 'x").is_err());
    }
}
