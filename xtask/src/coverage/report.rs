//! What `llvm-cov` exports, less the tests.

use core::ops::RangeInclusive;
use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

/// The head of the table of [`Report::row`].
pub(crate) const HEAD: &str = "crate                 lines            regions";

/// First line, first column, last line, last column.
type Region = [u64; 4];

/// Lines and regions of one package, by file.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// By path below `src`.
    files: BTreeMap<String, File>,
}

#[derive(Debug, Default)]
struct File {
    /// How often each line with code was run.
    lines: BTreeMap<u64, u64>,
    /// How often each region was run, in the instance of its function that ran it most.
    regions: BTreeMap<Region, u64>,
}

impl Report {
    /// Takes the lines of the files below `sources` from an export in the form of lcov.
    pub(crate) fn add_lines(&mut self, lcov: &str, sources: &str) {
        let mut file = None;
        for line in lcov.lines() {
            if let Some(path) = line.strip_prefix("SF:") {
                file = path.strip_prefix(sources).filter(|path| counts(path)).map(str::to_owned);
            }
            let Some(path) = &file else { continue };
            let numbers = line.strip_prefix("DA:").and_then(|rest| {
                let mut numbers = rest.split(',').map(str::parse::<u64>);
                Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
            });
            if let Some((line, count)) = numbers {
                self.files.entry(path.clone()).or_default().lines.insert(line, count);
            }
        }
    }

    /// Takes the regions of the files below `sources` from an export as JSON.
    pub(crate) fn add_regions(&mut self, json: &Value, sources: &str) {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        for function in list(&json["data"]).iter().flat_map(|data| list(&data["functions"])) {
            let names = list(&function["filenames"]);
            for region in list(&function["regions"]) {
                // Place, count, file, file of the expansion, kind; kind 0 is code.
                let at = |index: usize| region[index].as_u64().unwrap_or_default();
                let name = usize::try_from(at(5)).ok().and_then(|file| names.get(file)?.as_str());
                let path = name.and_then(|name| name.strip_prefix(sources));
                let Some(path) = path.filter(|path| counts(path) && at(7) == 0) else { continue };
                let regions = &mut self.files.entry(path.to_owned()).or_default().regions;
                let count = regions.entry([at(0), at(1), at(2), at(3)]).or_default();
                *count = (*count).max(at(4));
            }
        }
    }

    /// Takes out what lies in modules of tests. `read` gives the text of a file below `src`.
    pub(crate) fn leave_out_tests(&mut self, read: impl Fn(&str) -> Result<String>) -> Result<()> {
        for (path, file) in &mut self.files {
            for tests in test_modules(&read(path)?) {
                file.lines.retain(|line, _| !tests.contains(line));
                file.regions.retain(|region, _| !tests.contains(&region[0]));
            }
        }
        Ok(())
    }

    /// How much of the lines was run, from 0 to 1.
    pub(crate) fn lines_ratio(&self) -> f64 {
        let (run, all) = self.lines();
        if all == 0 { 0.0 } else { run as f64 / all as f64 }
    }

    fn lines(&self) -> (usize, usize) {
        run_of_all(self.files.values().flat_map(|file| file.lines.values()))
    }

    /// The lines that no test runs, as `file:from-to`.
    pub(crate) fn bare(&self) -> impl Iterator<Item = String> {
        self.files.iter().flat_map(|(path, file)| {
            let mut runs: Vec<(u64, u64)> = Vec::new();
            for (line, _) in file.lines.iter().filter(|(_, count)| **count == 0) {
                match runs.last_mut() {
                    Some((_, last)) if *last + 1 == *line => *last = *line,
                    _ => runs.push((*line, *line)),
                }
            }
            runs.into_iter().map(move |(first, last)| match last - first {
                0 => format!("{path}:{first}"),
                _ => format!("{path}:{first}-{last}"),
            })
        })
    }

    /// One row of the table.
    pub(crate) fn row(&self, package: &str, goal: Option<f64>) -> String {
        let shown = |(run, all): (usize, usize)| {
            let percent = 100.0 * run as f64 / all.max(1) as f64;
            format!("{:>9} {percent:5.1} %", format!("{run}/{all}"))
        };
        let regions = run_of_all(self.files.values().flat_map(|file| file.regions.values()));
        let goal = goal
            .map_or_else(String::new, |goal| format!("  (goal {:.0} % of lines)", 100.0 * goal));
        format!("{package:18} {}  {}{goal}", shown(self.lines()), shown(regions))
    }
}

/// Whether a file below `src` is more than tests.
fn counts(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    !["tests.rs", "fuzzing.rs"].contains(&name)
        && !path.split('/').any(|folder| ["tests", "fuzzing"].contains(&folder))
}

fn run_of_all<'a>(counts: impl Iterator<Item = &'a u64>) -> (usize, usize) {
    counts.fold((0, 0), |(run, all), count| (run + usize::from(*count > 0), all + 1))
}

/// The lines of each `#[cfg(test)] mod … { … }`, as rustfmt lays it out. The first line is 1.
fn test_modules(text: &str) -> Vec<RangeInclusive<u64>> {
    let mut modules = Vec::new();
    let mut first = None;
    let mut before = "";
    for (line, at) in text.lines().zip(1..) {
        if before == "#[cfg(test)]" && line.ends_with('{') {
            first = Some(at);
        }
        if line == "}"
            && let Some(first) = first.take()
        {
            modules.push(first..=at);
        }
        before = line;
    }
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    const LCOV: &str = "\
SF:/w/crates/x/src/a.rs
FN:1,f
DA:1,3
DA:2,0
DA:3,0
DA:5,0
DA:9,1
end_of_record
SF:/w/crates/x/src/a/tests.rs
DA:1,1
end_of_record
SF:/w/crates/y/src/a.rs
DA:1,0
end_of_record
";

    const TEXT: &str = "1\n2\n3\n4\n5\n6\n#[cfg(test)]\nmod tests {\n    9\n}\n";

    fn report() -> Report {
        let json = serde_json::json!({ "data": [{ "functions": [
            { "filenames": ["/w/crates/x/src/a.rs", "/w/crates/x/src/b.rs"], "regions": [
                [1, 1, 2, 9, 0, 0, 0, 0], [1, 4, 1, 9, 2, 0, 0, 0], [3, 1, 3, 9, 0, 1, 0, 0],
                [3, 1, 3, 9, 0, 0, 0, 3], [9, 1, 9, 9, 1, 0, 0, 0],
            ] },
            // A second instance of the same function.
            { "filenames": ["/w/crates/x/src/a.rs"], "regions": [[1, 1, 2, 9, 1, 0, 0, 0]] },
            { "filenames": ["/w/crates/x/src/fuzzing.rs"], "regions": [[1, 1, 2, 9, 1, 0, 0, 0]] },
        ] }] });
        let mut report = Report::default();
        report.add_lines(LCOV, "/w/crates/x/src/");
        report.add_regions(&json, "/w/crates/x/src/");
        report.leave_out_tests(|_| Ok(TEXT.to_owned())).unwrap();
        report
    }

    #[test]
    fn tests_fuzzing_functions_and_other_crates_do_not_count() {
        let report = report();
        assert!((report.lines_ratio() - 0.25).abs() < 1e-9);
        assert_eq!(report.bare().collect::<Vec<_>>(), ["a.rs:2-3", "a.rs:5"]);
    }

    #[test]
    fn a_region_is_run_if_an_instance_of_its_function_runs_it() {
        let row = report().row("samara-wire", Some(0.95));
        assert_eq!(
            row,
            "samara-wire              1/4  25.0 %        2/3  66.7 %  (goal 95 % of lines)"
        );
    }

    #[test]
    fn a_module_of_tests_ends_where_its_brace_does() {
        assert_eq!(test_modules(TEXT), [8..=10]);
        assert!(test_modules("#[cfg(test)]\nmod tests;\n\nfn a() {\n}\n").is_empty());
    }
}
