//! What came out of a run, for people: by codec, and by requirement.

use std::{collections::BTreeMap, io};

use crate::{
    Report, Requirements, Skips,
    requirements::Section,
    runner::{Failure, Tally},
};

/// Writes a report: failures under the requirement that they break, then what passed by codec, then
/// a table of all sections of the RFCs that were tested.
///
/// # Errors
///
/// If `out` fails.
pub fn write(
    out: &mut impl io::Write,
    report: &Report,
    requirements: &Requirements,
    skips: &Skips,
) -> io::Result<()> {
    failures(out, report, requirements)?;
    for (codec, count) in &report.passed {
        writeln!(out, "{codec}: {count} passed")?;
    }
    for (codec, count) in &report.decoded_only {
        writeln!(out, "{codec}: {count} of these read, their values not encoded")?;
    }
    for (codec, count) in &report.skipped {
        let reason = skips.get(codec).map_or("", String::as_str);
        writeln!(out, "{codec}: {count} left out: {reason}")?;
    }
    table(out, &report.sections)?;
    let passed: u32 = report.passed.values().sum();
    writeln!(out, "{passed} passed, {} failed", report.failures.len())
}

fn failures(
    out: &mut impl io::Write,
    report: &Report,
    requirements: &Requirements,
) -> io::Result<()> {
    let mut groups: BTreeMap<&Section, Vec<&Failure>> = BTreeMap::new();
    for failure in &report.failures {
        if let Some(section) = &failure.section {
            groups.entry(section).or_default().push(failure);
        }
    }
    for (section, failures) in groups {
        let req = section.req.as_deref();
        let name = req.unwrap_or("no requirement");
        write!(out, "{name}, {}", section.link())?;
        match req.and_then(|req| requirements.get(req)) {
            Some(found) => writeln!(out, ": {}", found.sentence)?,
            None => writeln!(out)?,
        }
        for failure in failures {
            let Failure { test, comment, problem, .. } = failure;
            writeln!(out, "  FAILED {test} ({comment}): {problem}")?;
        }
    }
    Ok(())
}

fn table(out: &mut impl io::Write, sections: &BTreeMap<Section, Tally>) -> io::Result<()> {
    let width = sections.keys().map(|section| section.link().len()).max().unwrap_or(0);
    writeln!(out, "\n{:width$}  passed  failed  skipped", "section")?;
    for (section, Tally { passed, failed, skipped }) in sections {
        writeln!(out, "{:width$}  {passed:6}  {failed:6}  {skipped:7}", section.link())?;
    }
    writeln!(out)
}
