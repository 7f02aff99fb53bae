//! Fuzzing: one target per public function of a crate's `fuzzing` module.
//!
//! The targets, their manifest and the replay table are generated from those functions, so a
//! decoder with a fuzzing function can't be forgotten. libFuzzer needs unstable compiler flags;
//! `RUSTC_BOOTSTRAP=1` lets the stable compiler take them.

mod cover;
mod targets;
mod vectors;

use core::{fmt, num::NonZero};
use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context, Result, bail};

use self::targets::Target;
pub(crate) use self::targets::check as check_targets;
use crate::{
    args::Args,
    sh::{self, Cmd, cargo, cmd, require},
};

/// How long one target runs unless told otherwise. Unit: seconds.
const SECONDS: u64 = 60;

/// A seed is at most so long, so that the repository stays small. Unit: bytes.
const SEED_LEN_MAX: u64 = 4 * 1024;

/// A target has at most so many seeds.
const SEEDS_MAX: usize = 64;

/// So many of them at most were found by the fuzzer; the others were put there by hand.
const FOUND_MAX: usize = 32;

/// `cargo xtask fuzz [run|list|replay|seed|cover|minimise] [TARGET...] [--seconds N] [--jobs N]
/// [--sanitizer NAME]`.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let command = args.subcommand(&["run", "list", "replay", "seed", "cover", "minimise"]);
    let seconds = args.option("--seconds")?.unwrap_or(SECONDS);
    let jobs = args.option("--jobs")?.unwrap_or(1);
    let sanitizer = args.option("--sanitizer")?.unwrap_or_else(|| "address".to_owned());
    let lines = args.flag("--lines");
    let mut names = args.positionals();
    args.finish()?;
    let file = if command.as_deref() == Some("minimise") { names.pop() } else { None };
    let targets = select(targets::all()?, &names)?;
    match command.as_deref().unwrap_or("run") {
        "list" => {
            for target in &targets {
                println!("{:32} {}", target.name, target.function);
            }
            Ok(())
        }
        "replay" => replay(&targets),
        "seed" => seed(&targets),
        "cover" => cover::cover(&targets, lines),
        "minimise" => match (targets.as_slice(), file) {
            ([target], Some(file)) => minimise(target, Path::new(&file), seconds, &sanitizer),
            _ => bail!("name a target and the file with the input that makes it fail"),
        },
        _ => run(&targets, seconds, &sanitizer, jobs).map(drop),
    }
}

/// Replays seeds and vectors, then fuzzes each of them for `seconds`.
///
/// # Errors
///
/// If a target fails.
pub(crate) fn smoke(seconds: u64) -> Result<()> {
    let targets = targets::all()?;
    replay(&targets)?;
    let jobs = thread::available_parallelism().map_or(1, NonZero::get);
    run(&targets, seconds, "address", jobs).map(drop)
}

fn select(all: Vec<Target>, names: &[String]) -> Result<Vec<Target>> {
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|target| target.name != **name))
    {
        bail!("no fuzz target `{unknown}`; `cargo xtask fuzz list` names them");
    }
    Ok(all.into_iter().filter(|target| names.is_empty() || names.contains(&target.name)).collect())
}

/// A function that was just written has no target yet.
fn require_generated(targets: &[Target]) -> Result<()> {
    for Target { name, .. } in targets {
        if !sh::root().join(format!("fuzz/fuzz_targets/{name}.rs")).is_file() {
            bail!("fuzz/fuzz_targets/{name}.rs is missing; run: cargo xtask tidy --fix");
        }
    }
    Ok(())
}

/// Builds all targets on the stable compiler, beside everything else; returns the binaries' folder.
fn build(sanitizer: &str) -> Result<PathBuf> {
    require("cargo-fuzz", cargo("fuzz").arg("--version"), "cargo install cargo-fuzz --locked")?;
    require("a C++ compiler", cmd("c++").arg("--version"), "apt-get install g++")?;
    let version = cmd("rustc").arg("-vV").read()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc -vV names no host")?;
    let target_dir = sh::target_dir()?.join("fuzz");
    cargo("fuzz")
        .env("RUSTC_BOOTSTRAP", "1")
        .args(["build", "--sanitizer", sanitizer, "--target", host, "--target-dir"])
        .arg(&target_dir)
        .run()?;
    Ok(target_dir.join(host).join("release"))
}

/// One target's libFuzzer, with its corpus and its limits.
fn fuzzer(binaries: &Path, target: &Target, limits: &Limits) -> Result<Cmd> {
    let artifacts = sh::root().join("fuzz/artifacts").join(&target.name);
    let folders = [&artifacts, &corpus_dir(&target.name), &seeds_dir(&target.name)];
    folders.into_iter().try_for_each(fs::create_dir_all)?;
    Ok(cmd(binaries.join(&target.name))
        // What is freed stays resident in the sanitizer's quarantine, by default 256 MiB of it.
        .env("ASAN_OPTIONS", "detect_odr_violation=0:quarantine_size_mb=64")
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(limits.flags(&target.name)?))
}

/// Fuzzes all targets, `jobs` at a time, and says what each did.
fn run(targets: &[Target], seconds: u64, sanitizer: &str, jobs: usize) -> Result<Vec<Stats>> {
    require_generated(targets)?;
    vectors::spread()?;
    let limits = Limits::read()?;
    let binaries = build(sanitizer)?;
    let mut commands = VecDeque::new();
    for target in targets {
        let fuzzer = fuzzer(&binaries, target, &limits)?
            .arg(format!("-max_total_time={seconds}"))
            .args(["-print_final_stats=1", "-verbosity=0"])
            .args([corpus_dir(&target.name), seeds_dir(&target.name)]);
        commands.push_back((target, fuzzer));
    }
    let waiting = Mutex::new(commands);
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let worker = || {
        let mut done = Vec::new();
        while let Some((target, fuzzer)) = next() {
            let (passed, output) = fuzzer.output()?;
            if !passed {
                eprintln!("{output}");
                bail!("the fuzz target {} found something", target.name);
            }
            let stats = Stats::parse(&target.name, seconds, &output);
            eprintln!("{stats}");
            done.push(stats);
        }
        Ok(done)
    };
    let results: Vec<Result<Vec<Stats>>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        let join = |worker: thread::ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a fuzzing thread panicked")))
        };
        workers.into_iter().map(join).collect()
    });
    let mut all = Vec::new();
    for result in results {
        all.extend(result?);
    }
    all.sort_by(|a, b| a.target.cmp(&b.target));
    if let Some(idle) = all.iter().find(|stats| stats.inputs == 0) {
        bail!("the fuzz target {} looked at no input", idle.target);
    }
    eprintln!("fuzz: {} targets clean, {seconds} s each", all.len());
    Ok(all)
}

/// What a target did in a run.
#[derive(Debug)]
pub(crate) struct Stats {
    pub(crate) target: String,
    pub(crate) seconds: u64,
    /// Inputs that it looked at.
    pub(crate) inputs: u64,
    /// Unit: MiB.
    peak: u64,
}

impl Stats {
    /// Reads libFuzzer's final statistics.
    fn parse(target: &str, seconds: u64, output: &str) -> Self {
        let number = |name: &str| {
            let start = format!("stat::{name}:");
            let line = output.lines().rev().find_map(|line| line.strip_prefix(&start));
            line.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
        };
        Self {
            target: target.to_owned(),
            seconds,
            inputs: number("number_of_executed_units"),
            peak: number("peak_rss_mb"),
        }
    }

    /// Inputs per second.
    pub(crate) const fn rate(&self) -> u64 {
        match self.seconds {
            0 => 0,
            seconds => self.inputs / seconds,
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, inputs, peak, .. } = self;
        write!(f, "{target:20} {inputs:>12} inputs {:>9}/s  {peak:>4} MiB", self.rate())
    }
}

/// Looks for a shorter input that makes a target fail, and leaves it in `fuzz/artifacts`.
fn minimise(target: &Target, file: &Path, seconds: u64, sanitizer: &str) -> Result<()> {
    let file = file.canonicalize().with_context(|| file.display().to_string())?;
    let limits = Limits::read()?;
    let binaries = build(sanitizer)?;
    if fuzzer(&binaries, target, &limits)?.arg(&file).succeeds() {
        bail!("{} does not make {} fail", file.display(), target.name);
    }
    let minimised = file.with_extension("min");
    fuzzer(&binaries, target, &limits)?
        .arg("-minimize_crash=1")
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-exact_artifact_path={}", minimised.display()))
        .arg(&file)
        .run()?;
    let len = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    match len(&minimised) {
        0 => eprintln!("fuzz: {} stays as it is", file.display()),
        shorter => {
            eprintln!("fuzz: {} bytes instead of {}: {}", shorter, len(&file), minimised.display())
        }
    }
    Ok(())
}

/// Feeds seeds, vectors and whatever else the corpora hold to the same functions as ordinary tests:
/// no sanitizer, no libFuzzer.
fn replay(targets: &[Target]) -> Result<()> {
    vectors::spread()?;
    cargo("test")
        .args(["--manifest-path", "fuzz/Cargo.toml", "--test", "replay", "--target-dir"])
        .arg(sh::target_dir()?)
        .arg("--")
        .args(targets.iter().map(|target| &target.name))
        .run()
}

/// Takes into `fuzz/seeds` what the corpus adds in coverage.
fn seed(targets: &[Target]) -> Result<()> {
    require_generated(targets)?;
    let limits = Limits::read()?;
    let binaries = build("address")?;
    for target in targets {
        fuzzer(&binaries, target, &limits)?
            .args(["-merge=1", "-verbosity=0"])
            .args([seeds_dir(&target.name), corpus_dir(&target.name)])
            .run()?;
        let mut files = seed_files(&target.name)?;
        let all = files.len();
        // libFuzzer names a file by its SHA-1.
        files.retain(|(_, path)| path.file_name().is_some_and(|name| name.len() == 40));
        files.sort();
        // Of each length some: the short ones are quick, the long ones reach deep states.
        let len = files.len();
        let kept =
            |at: &usize| len <= FOUND_MAX || at * FOUND_MAX / len != (at + 1) * FOUND_MAX / len;
        for (_, (_, path)) in files.iter().enumerate().filter(|(at, _)| !kept(at)) {
            fs::remove_file(path)?;
        }
        eprintln!("{}: {} seeds", target.name, all - len.saturating_sub(FOUND_MAX));
    }
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

/// What a section of `fuzz/limits.toml` may say.
const KEYS: &[&str] = &[
    "input_len_max",
    "resident_mib_max",
    "allocation_mib_max",
    "seconds_max",
    "memory_bytes_per_byte",
    "memory_kib_plus",
];

/// What one input may cost, by target; `fuzz/limits.toml`.
struct Limits(toml::Table);

impl Limits {
    fn read() -> Result<Self> {
        let path = Path::new("fuzz/limits.toml");
        let limits = Self(crate::text::read(path)?.parse().context("fuzz/limits.toml")?);
        let targets = targets::all()?;
        for (section, values) in &limits.0 {
            let is_target = targets.iter().any(|target| target.name == *section);
            if section != "default" && !is_target {
                bail!("fuzz/limits.toml: [{section}] is no target");
            }
            let keys = values.as_table().into_iter().flat_map(|values| values.keys());
            if let Some(key) = keys.into_iter().find(|key| !KEYS.contains(&key.as_str())) {
                bail!("fuzz/limits.toml: [{section}] {key} means nothing");
            }
        }
        Ok(limits)
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
            .map(|(name, flag)| Ok(format!("-{flag}={}", self.value(target, name)?)))
            .collect()
    }

    /// What a target may have allocated at once: bytes per byte of input, and bytes beside that.
    fn memory(&self, target: &str) -> Result<(i64, i64)> {
        Ok((
            self.value(target, "memory_bytes_per_byte")?,
            self.value(target, "memory_kib_plus")? << 10,
        ))
    }

    fn value(&self, target: &str, name: &str) -> Result<i64> {
        let value = |table: &str| self.0.get(table)?.get(name)?.as_integer();
        let value = value(target).or_else(|| value("default"));
        value.with_context(|| format!("fuzz/limits.toml: [default] {name}"))
    }
}
