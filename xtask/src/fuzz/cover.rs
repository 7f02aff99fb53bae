//! What the inputs of the fuzz targets reach: seeds, vectors and corpora, replayed with the
//! compiler's instrumentation.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Target, vectors};
use crate::{
    coverage::{HEAD, Llvm, Report},
    sh::{self, cargo, cmd},
    text,
};

/// Prints, by crate, how much of it the inputs of its targets run; with `lines`, also what none runs.
pub(super) fn cover(targets: &[Target], lines: bool) -> Result<()> {
    vectors::spread()?;
    let llvm = Llvm::find()?;
    let folder = sh::target_dir()?.join("coverage/fuzz");
    fs::create_dir_all(&folder)?;
    let binary = build(&folder)?;
    let mut by_package: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for target in targets {
        by_package.entry(&target.package).or_default().push(&target.name);
    }
    let mut table = Vec::new();
    for (package, names) in by_package {
        let report = measure(&llvm, &folder, &binary, package, &names)?;
        if lines {
            report.bare().for_each(|place| println!("{package}: no input runs {place}"));
        }
        table.push(report.row(package, None));
    }
    println!("{HEAD}");
    table.iter().for_each(|row| println!("{row}"));
    Ok(())
}

/// The replay test, instrumented; returns its path.
fn build(folder: &Path) -> Result<String> {
    let messages = cargo("test")
        .env("RUSTFLAGS", "-C instrument-coverage")
        .args(["--manifest-path", "fuzz/Cargo.toml", "--test", "replay", "--no-run"])
        .args(["--message-format", "json-render-diagnostics", "--target-dir"])
        .arg(folder)
        .read()?;
    let executable = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        // The targets are built with it.
        let it =
            Some(&message).filter(|it| it.pointer("/target/name") == Some(&"replay".into()))?;
        Some(it.get("executable")?.as_str()?.to_owned())
    };
    messages.lines().find_map(executable).context("cargo built no replay test")
}

fn measure(
    llvm: &Llvm,
    folder: &Path,
    binary: &str,
    package: &str,
    names: &[&str],
) -> Result<Report> {
    let (raw, merged) =
        (folder.join(format!("{package}.profraw")), folder.join(format!("{package}.profdata")));
    cmd(binary).env("LLVM_PROFILE_FILE", &raw).args(names).run()?;
    llvm.tool("llvm-profdata")
        .args(["merge", "--sparse", "--output"])
        .args([&merged, &raw])
        .run()?;
    let sources = format!("{}/crates/{package}/src/", sh::root().display());
    let export = |format: &str| {
        llvm.tool("llvm-cov")
            .args(["export", "--format", format, "--instr-profile"])
            .arg(&merged)
            .args([binary, sources.trim_end_matches('/')])
            .read()
    };
    let mut report = Report::default();
    report.add_lines(&export("lcov")?, &sources);
    let json = serde_json::from_str(&export("text")?).context("what llvm-cov exports")?;
    report.add_regions(&json, &sources);
    report.leave_out_tests(|path| text::read(Path::new(&sources).join(path)))?;
    Ok(report)
}
