//! Vectors: making them, and holding our crates and the reader in Python to them.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    args::Args,
    sh::{self, cargo, cmd},
    text,
};

const VECTORS: &str = "rfcs/vectors";
const READER: &str = "rfcs/reader/reader.py";
/// Values of each kind in a CI run; more with `cargo xtask vectors cross --count N`.
const CROSS_COUNT: u32 = 200;

/// `cargo xtask vectors gen|verify|cross`.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let command = args.positional();
    let count: Option<u32> = args.option("--count")?;
    args.finish()?;
    match command.as_deref() {
        Some("gen") => runner().args(["gen", VECTORS]).run(),
        Some("verify") => verify(),
        Some("cross") => cross(count.unwrap_or(10_000)),
        _ => bail!("`cargo xtask vectors` takes `gen`, `verify` or `cross [--count N]`"),
    }
}

/// Calls `visit` with the name, the codec and each test of every vector file.
///
/// # Errors
///
/// If a file can't be read, or `visit` fails.
pub(crate) fn each(mut visit: impl FnMut(&str, &str, &Value) -> Result<()>) -> Result<()> {
    for entry in fs::read_dir(sh::root().join(VECTORS)).context(VECTORS)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let file: Value = serde_json::from_str(&text::read(&path)?)
            .with_context(|| path.display().to_string())?;
        let codec = file.get("codec").and_then(Value::as_str).unwrap_or_default();
        for test in file.get("tests").and_then(Value::as_array).into_iter().flatten() {
            visit(&name, codec, test)?;
        }
    }
    Ok(())
}

/// The program of `samara-conformance`.
fn runner() -> sh::Cmd {
    cargo("run").args(["--quiet", "--package", "samara-conformance", "--"])
}

/// The files are what the generator writes, and both subjects answer them.
pub(crate) fn verify() -> Result<()> {
    runner().args(["gen", VECTORS, "--check"]).run()?;
    runner().args(["run", VECTORS]).run()?;
    let python = python()?;
    cmd(&python).args(["-m", "unittest", "discover", "--start-directory", "rfcs/reader"]).run()?;
    runner().args(["run", VECTORS, "--"]).arg(&python).args([READER, "subject"]).run()?;
    cross(CROSS_COUNT)
}

/// Our crates and the reader encode and decode values of all kinds for each other.
fn cross(count: u32) -> Result<()> {
    let count = count.to_string();
    let release = ["--quiet", "--release", "--package", "samara-conformance", "--"];
    let runner = if count.len() > 3 { cargo("run").args(release) } else { runner() };
    runner.args(["cross", &count, "--"]).arg(python()?).args([READER, "subject"]).run()
}

/// A Python with the packages that the reader needs, in a folder of its own.
fn python() -> Result<PathBuf> {
    let folder = sh::target_dir()?.join("reader");
    let python = folder.join("bin/python3");
    if !cmd(&python).args(["-c", "import blake3"]).succeeds() {
        cmd("python3").args(["-m", "venv"]).arg(&folder).run()?;
        let install = ["-m", "pip", "install", "--quiet", "--requirement"];
        cmd(&python).args(install).arg("rfcs/reader/requirements.txt").run()?;
    }
    Ok(python)
}
