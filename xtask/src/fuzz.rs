//! Fuzzing: one target per public function of a crate's `fuzzing` module.
//!
//! The targets, their manifest and the replay table are generated from those functions, so a
//! decoder with a fuzzing function can't be forgotten. libFuzzer needs unstable compiler flags;
//! `RUSTC_BOOTSTRAP=1` lets the stable compiler take them.

mod targets;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use self::targets::Target;
pub(crate) use self::targets::check as check_targets;
use crate::{
    args::Args,
    sh::{self, Cmd, cargo, require},
};

/// How long one target runs unless told otherwise. Unit: seconds.
const SECONDS: u64 = 60;

/// A seed is at most so long, so that the repository stays small. Unit: bytes.
const SEED_LEN_MAX: u64 = 16 * 1024;

/// A target has at most so many seeds.
const SEEDS_MAX: usize = 64;

/// `cargo xtask fuzz [run|list|replay|seed] [TARGET...] [--seconds N] [--sanitizer NAME]`.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let command = args.subcommand(&["run", "list", "replay", "seed"]);
    let seconds = args.option("--seconds")?.unwrap_or(SECONDS);
    let sanitizer = args.option("--sanitizer")?.unwrap_or_else(|| "address".to_owned());
    let names = args.positionals();
    args.finish()?;
    let targets = select(targets::all()?, &names)?;
    match command.as_deref().unwrap_or("run") {
        "list" => {
            for target in &targets {
                println!("{:32} {}", target.name, target.function);
            }
            Ok(())
        }
        "replay" => replay(&targets),
        "seed" => targets.iter().try_for_each(seed),
        _ => run(&targets, seconds, &sanitizer),
    }
}

/// Replays the seeds of all targets, then fuzzes each of them for `seconds`.
///
/// # Errors
///
/// If a target fails.
pub(crate) fn smoke(seconds: u64) -> Result<()> {
    let targets = targets::all()?;
    replay(&targets)?;
    run(&targets, seconds, "address")
}

fn select(all: Vec<Target>, names: &[String]) -> Result<Vec<Target>> {
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|target| target.name != **name))
    {
        bail!("no fuzz target `{unknown}`; `cargo xtask fuzz list` names them");
    }
    Ok(all.into_iter().filter(|target| names.is_empty() || names.contains(&target.name)).collect())
}

fn require_cargo_fuzz() -> Result<()> {
    require("cargo-fuzz", cargo("fuzz").arg("--version"), "cargo install cargo-fuzz --locked")?;
    require("a C++ compiler", sh::cmd("c++").arg("--version"), "apt-get install g++")
}

/// `cargo fuzz SUBCOMMAND` on the stable compiler, built beside everything else.
fn cargo_fuzz(subcommand: &str, sanitizer: &str) -> Result<Cmd> {
    let target_dir = sh::target_dir()?.join("fuzz");
    Ok(cargo("fuzz")
        .env("RUSTC_BOOTSTRAP", "1")
        .args([subcommand, "--sanitizer", sanitizer, "--target-dir"])
        .arg(target_dir))
}

fn run(targets: &[Target], seconds: u64, sanitizer: &str) -> Result<()> {
    require_cargo_fuzz()?;
    let limits = Limits::read()?;
    cargo_fuzz("build", sanitizer)?.run()?;
    for target in targets {
        let corpus = corpus_dir(&target.name);
        fs::create_dir_all(&corpus)?;
        cargo_fuzz("run", sanitizer)?
            .arg(&target.name)
            .args([&corpus, &seeds_dir(&target.name)])
            .arg("--")
            .args(limits.flags(&target.name)?)
            .arg(format!("-max_total_time={seconds}"))
            .args(["-print_final_stats=1", "-verbosity=0"])
            .run()
            .with_context(|| format!("the fuzz target {} found something", target.name))?;
    }
    eprintln!("fuzz: {} targets clean, {seconds} s each", targets.len());
    Ok(())
}

/// Feeds the seeds to the same functions as ordinary tests: no sanitizer, no libFuzzer.
fn replay(targets: &[Target]) -> Result<()> {
    cargo("test")
        .args(["--manifest-path", "fuzz/Cargo.toml", "--test", "replay", "--target-dir"])
        .arg(sh::target_dir()?)
        .arg("--")
        .args(targets.iter().map(|target| &target.name))
        .run()
}

/// Takes into `fuzz/seeds` what the corpus adds in coverage, the smallest inputs first.
fn seed(target: &Target) -> Result<()> {
    require_cargo_fuzz()?;
    let (seeds, corpus) = (seeds_dir(&target.name), corpus_dir(&target.name));
    fs::create_dir_all(&seeds)?;
    fs::create_dir_all(&corpus)?;
    cargo_fuzz("run", "address")?
        .arg(&target.name)
        .args([&seeds, &corpus])
        .args(["--", "-merge=1", "-verbosity=0"])
        .arg(format!("-max_len={SEED_LEN_MAX}"))
        .run()?;
    let mut files = seed_files(&target.name)?;
    files.sort();
    for (_, path) in files.iter().skip(SEEDS_MAX) {
        fs::remove_file(path)?;
    }
    eprintln!("{}: {} seeds", target.name, files.len().min(SEEDS_MAX));
    Ok(())
}

fn corpus_dir(target: &str) -> PathBuf {
    sh::root().join("fuzz/corpus").join(target)
}

fn seeds_dir(target: &str) -> PathBuf {
    sh::root().join("fuzz/seeds").join(target)
}

/// The seeds of a target with their lengths.
fn seed_files(target: &str) -> Result<Vec<(u64, PathBuf)>> {
    let Ok(entries) = fs::read_dir(seeds_dir(target)) else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        files.push((entry.metadata()?.len(), entry.path()));
    }
    Ok(files)
}

/// What one input may cost, by target; `fuzz/limits.toml`.
struct Limits(toml::Table);

impl Limits {
    fn read() -> Result<Self> {
        let path = Path::new("fuzz/limits.toml");
        Ok(Self(crate::text::read(path)?.parse().context("fuzz/limits.toml")?))
    }

    /// libFuzzer's flags for a target.
    fn flags(&self, target: &str) -> Result<Vec<String>> {
        let names = [
            ("input_len_max", "max_len"),
            ("resident_mib_max", "rss_limit_mb"),
            ("allocation_mib_max", "malloc_limit_mb"),
            ("seconds_max", "timeout"),
        ];
        names
            .iter()
            .map(|(name, flag)| {
                let value = |table: &str| self.0.get(table)?.get(*name)?.as_integer();
                let value = value(target).or_else(|| value("default"));
                let value = value.with_context(|| format!("fuzz/limits.toml: [default] {name}"))?;
                Ok(format!("-{flag}={value}"))
            })
            .collect()
    }
}
