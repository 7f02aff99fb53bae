//! Vectors: making them, and holding our crates and the reader in Python to them.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{
    args::Args,
    sh::{self, cargo, cmd},
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
