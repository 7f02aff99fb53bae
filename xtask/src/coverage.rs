//! Coverage: what a crate's own tests run of it, line by line.
//!
//! `cargo-llvm-cov` measures. Here is what counts: the files of the crate without its tests and its
//! fuzzing functions, and only what the tests of the same crate run. `xtask/coverage.toml` has the
//! goals.

mod llvm;
mod report;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail};

pub(crate) use self::{
    llvm::Llvm,
    report::{HEAD, Report},
};
use crate::{
    args::Args,
    sh::{self, cargo, require},
    text,
    workspace::{self, Package},
};

/// Where the goals are.
const GOALS: &str = "xtask/coverage.toml";

/// `cargo xtask coverage [PACKAGE...] [--html]`.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let html = args.flag("--html");
    let names = args.positionals();
    args.finish()?;
    require(
        "cargo-llvm-cov",
        cargo("llvm-cov").arg("--version"),
        "cargo install cargo-llvm-cov --locked --debug",
    )?;
    let llvm = Llvm::find()?;
    let goals = goals(&text::read(GOALS)?)?;
    let names = if names.is_empty() { goals.keys().cloned().collect() } else { names };
    let mut packages = workspace::packages()?;
    let mut below = Vec::new();
    let mut table = Vec::new();
    for name in names {
        let package = packages.remove(&name).with_context(|| format!("no package `{name}`"))?;
        let report = measure(&package, &llvm, html)?;
        report.bare().for_each(|place| println!("no test runs {place}"));
        let goal = goals.get(&name).copied();
        table.push(report.row(&name, goal));
        if goal.is_some_and(|goal| report.lines_ratio() < goal) {
            below.push(name);
        }
    }
    println!("{HEAD}");
    table.iter().for_each(|row| println!("{row}"));
    if below.is_empty() { Ok(()) } else { bail!("below the goal: {}", below.join(", ")) }
}

/// By package: how many of the lines have to be run, from 0 to 1.
fn goals(text: &str) -> Result<BTreeMap<String, f64>> {
    let table: toml::Table = text.parse().context(GOALS)?;
    let goal = |(package, value): (&String, &toml::Value)| {
        let goal = value.get("lines").and_then(toml::Value::as_float);
        let goal = goal.filter(|goal| (0.0..=1.0).contains(goal));
        let goal = goal.with_context(|| format!("{GOALS}: {package}: `lines` is 0.0 to 1.0"))?;
        Ok((package.clone(), goal))
    };
    table.iter().map(goal).collect()
}

/// Runs the tests of a package.
fn measure(package: &Package, llvm: &Llvm, html: bool) -> Result<Report> {
    let folder = sh::target_dir()?.join("coverage");
    fs::create_dir_all(&folder)?;
    let file = |kind: &str| folder.join(format!("{}.{kind}", package.name));
    let out = |kind: &str| [file(kind)];
    llvm.cargo("test")
        .args(["--package", &package.name, "--all-features", "--lib", "--bins", "--tests"])
        .args(["--lcov", "--output-path"])
        .args(out("lcov"))
        .arg("--")
        .arg("--quiet")
        .run()?;
    llvm.cargo("report").args(["--json", "--output-path"]).args(out("json")).run()?;
    if html {
        let folder = folder.join(&package.name);
        llvm.cargo("report").args(["--html", "--output-dir"]).arg(&folder).run()?;
        eprintln!("open {}", folder.join("html/index.html").display());
    }
    let read = |kind: &str| fs::read_to_string(file(kind)).with_context(|| kind.to_owned());
    let json = serde_json::from_str(&read("json")?).context("what llvm-cov exports")?;
    let mut report = Report::default();
    let sources = format!("{}/{}/src/", sh::root().display(), package.dir);
    report.add_lines(&read("lcov")?, &sources);
    report.add_regions(&json, &sources);
    report.leave_out_tests(|path| text::read(Path::new(&sources).join(path)))?;
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_a_part_of_the_lines_of_a_package_that_is_there() {
        for (name, _) in goals(&text::read(GOALS).unwrap()).unwrap() {
            assert!(sh::root().join("crates").join(&name).is_dir(), "{name}");
        }
        assert!(goals("[x]\nlines = 95.0\n").is_err());
        assert!(goals("[x]\nregions = 0.9\n").is_err());
    }
}
