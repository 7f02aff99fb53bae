//! The `samara` command, driven as a script would drive it, over loopback only.
//!
//! Each step is a story with its own folder, stores and processes. What the steps rely on is the
//! scripted contract: one JSON object per line on standard output, exit code 0 for complete alone.

mod data;
mod steps;
mod world;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};

use self::world::World;
use crate::{
    args::Args,
    sh::{self, cargo},
};

/// `cargo xtask e2e [STEP...] [--bin PATH] [--keep]`.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let bin: Option<PathBuf> = args.option("--bin")?;
    let keep = args.flag("--keep");
    let names = args.positionals();
    args.finish()?;
    let bin = match bin {
        Some(path) => path.canonicalize().with_context(|| format!("{}", path.display()))?,
        None => build()?,
    };
    run(bin, &names, keep)
}

/// Builds the command as the tests have it, and runs all steps.
///
/// # Errors
///
/// If a step fails.
pub(crate) fn built() -> Result<()> {
    run(build()?, &[], false)
}

/// The test profile's binary: its dependencies are built for the tests anyway.
fn build() -> Result<PathBuf> {
    cargo("build").args(["--workspace", "--bins", "--tests"]).run()?;
    Ok(sh::target_dir()?.join("debug/samara"))
}

fn run(bin: PathBuf, names: &[String], keep: bool) -> Result<()> {
    if let Some(unknown) =
        names.iter().find(|name| steps::STEPS.iter().all(|(step, _)| step != name))
    {
        let known: Vec<&str> = steps::STEPS.iter().map(|(step, _)| *step).collect();
        bail!("no step `{unknown}`; there are {}", known.join(", "));
    }
    let scratch = sh::target_dir()?.join(format!("e2e-{}", std::process::id()));
    let mut failed = Vec::new();
    for (name, step) in steps::STEPS {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        let world = World::new(scratch.join(name), bin.clone())?;
        let (result, took) = sh::timed(|| step(&world));
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        eprintln!("e2e {name} ... {verdict} ({:.1} s)", took.as_secs_f64());
        if let Err(error) = result {
            eprintln!("  {error:#}\n{}", world.transcript());
            failed.push(*name);
        }
    }
    if !keep {
        fs::remove_dir_all(&scratch)
            .with_context(|| format!("can't remove {}", scratch.display()))?;
    }
    if failed.is_empty() { Ok(()) } else { bail!("e2e steps failed: {}", failed.join(", ")) }
}
