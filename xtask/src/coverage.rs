//! Coverage: what a crate's own tests run of it, line by line.
//!
//! `cargo-llvm-cov` measures. Here is what counts: the files of the crate without its tests and its
//! fuzzing functions, and only what the tests of the same crate run. `xtask/coverage.toml` has the
//! goals.

mod report;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail};

use self::report::Report;
use crate::{
    args::Args,
    sh::{self, Cmd, cargo, cmd, require},
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
    println!("{}", report::HEAD);
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

/// The tools of LLVM that read what the compiler's instrumentation writes.
struct Llvm {
    /// The end of their names; `None`: rustup has them, and cargo-llvm-cov finds them itself.
    suffix: Option<String>,
}

impl Llvm {
    /// The component of rustup, or the distribution's tools of the same version of LLVM.
    fn find() -> Result<Self> {
        let libraries = cmd("rustc").args(["--print", "target-libdir"]).read()?;
        if Path::new(libraries.trim()).with_file_name("bin").join("llvm-profdata").exists() {
            return Ok(Self { suffix: None });
        }
        let version = cmd("rustc").arg("-vV").read()?;
        let major = major(&version).context("rustc -vV names no version of LLVM")?;
        for tool in ["llvm-cov", "llvm-profdata"] {
            require(
                &format!("{tool} {major}"),
                cmd(format!("{tool}-{major}")).arg("--version"),
                &format!("apt-get install llvm-{major}, or rustup component add llvm-tools"),
            )?;
        }
        Ok(Self { suffix: Some(format!("-{major}")) })
    }

    /// A command of cargo-llvm-cov.
    fn cargo(&self, subcommand: &str) -> Cmd {
        let command = cargo("llvm-cov").arg(subcommand).args(["--profile", "measure"]);
        match &self.suffix {
            None => command,
            Some(suffix) => command
                .env("LLVM_COV", format!("llvm-cov{suffix}"))
                .env("LLVM_PROFDATA", format!("llvm-profdata{suffix}")),
        }
    }
}

/// The major version of the compiler's LLVM.
fn major(version: &str) -> Option<&str> {
    version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?.split('.').next()
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
    fn the_compilers_llvm_is_found_by_its_major_version() {
        assert_eq!(major("rustc 1.95.0\nhost: x\nLLVM version: 22.1.2\n"), Some("22"));
        assert_eq!(major("rustc 1.95.0\n"), None);
    }

    #[test]
    fn a_goal_is_a_part_of_the_lines_of_a_package_that_is_there() {
        for (name, _) in goals(&text::read(GOALS).unwrap()).unwrap() {
            assert!(sh::root().join("crates").join(&name).is_dir(), "{name}");
        }
        assert!(goals("[x]\nlines = 95.0\n").is_err());
        assert!(goals("[x]\nregions = 0.9\n").is_err());
    }
}
