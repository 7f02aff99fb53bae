//! Mutation testing: the code is changed a little, one place at a time, and a test has to fail.
//!
//! `cargo-mutants` makes the changes, in a copy of the tree with a build folder of its own. Here is
//! what it is run with so that it is quick and repeatable, and what is made of its results:
//! `xtask/mutants.toml` has each crate's goal, and a reason for each mutant that no test can catch.

mod list;
mod outcome;

use core::time::Duration;
use std::{collections::BTreeMap, fs, path::Path, time::Instant};

use anyhow::{Context, Result, bail};

use self::{
    list::{LIST, List},
    outcome::Outcomes,
};
use crate::{
    args::Args,
    garden,
    sh::{self, Cmd, cargo, cmd, now, require},
    text,
    workspace::{self, Package},
};

/// What a run covers.
struct Scope {
    /// Only what differs from this revision.
    in_diff: Option<String>,
    /// When to stop.
    end: Option<Instant>,
}

/// `cargo xtask mutants [PACKAGE...] [--in-diff REV] [--minutes N]`.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let in_diff = args.option("--in-diff")?;
    let minutes: Option<u64> = args.option("--minutes")?;
    let names = args.positionals();
    args.finish()?;
    require(
        "cargo-mutants",
        cargo("mutants").arg("--version"),
        "cargo install cargo-mutants --locked --debug",
    )?;
    let list = List::parse(&text::read(LIST)?)?;
    let packages = select(workspace::packages()?, &names, &list)?;
    let end = minutes.map(|minutes| now() + Duration::from_secs(60 * minutes));
    let garden = garden::copy("mutants/garden")?;
    let mut problems = Vec::new();
    let mut table = Vec::new();
    for (package, waiting) in packages.iter().zip((1..=packages.len()).rev()) {
        // Each package has its share of the time that is left.
        let share = |end: Instant| now() + end.saturating_duration_since(now()) / waiting as u32;
        let scope = Scope { in_diff: in_diff.clone(), end: end.map(share) };
        let part = scope.in_diff.is_some() || scope.end.is_some();
        let outcomes = match run(package, &garden, &scope, &list)? {
            Some(outcomes) => outcomes,
            None if part => {
                println!("{}: nothing to change", package.name);
                continue;
            }
            // A whole package without a mutant is judged like one without a viable one.
            None => Outcomes::default(),
        };
        let whole = outcomes.is_complete() && scope.in_diff.is_none();
        problems.extend(list.judge(package, &outcomes, whole));
        table.push(outcomes.row(&package.name, list.goal(&package.name)));
    }
    println!("{}", outcome::HEAD);
    table.iter().for_each(|row| println!("{row}"));
    if problems.is_empty() {
        return Ok(());
    }
    problems.iter().for_each(|problem| println!("{problem}"));
    bail!("mutants: {} problems; `target/mutants/out/*/mutants.out` has the logs", problems.len())
}

/// The packages named, else those that have a goal.
fn select(
    mut all: BTreeMap<String, Package>,
    names: &[String],
    list: &List,
) -> Result<Vec<Package>> {
    let names: Vec<_> = if names.is_empty() { list.packages().collect() } else { names.to_vec() };
    let take = |name: &String| all.remove(name).with_context(|| format!("no package `{name}`"));
    names.iter().map(take).collect()
}

/// Tries the mutants of a package. `None`: there is none.
///
/// Most mutants are caught by a few tests, and most of the time goes into building tests. So a first
/// pass has only the tests that the list names for the package, and a second one has all of them for
/// what is left. A run that may be interrupted has one pass only: after an interrupt, what was built
/// has been seen to hold a mutant whose source was as it should be.
fn run(package: &Package, garden: &Path, scope: &Scope, list: &List) -> Result<Option<Outcomes>> {
    let folder = sh::target_dir()?.join("mutants");
    let out = folder.join("out").join(&package.name);
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    fs::create_dir_all(&out)?;
    // For the same reason each package has a build folder of its own and is built anew, without what
    // an interrupted compiler left of its incremental state.
    let build = folder.join("build").join(&package.name);
    let incremental = build.join("measure/incremental");
    if incremental.exists() {
        fs::remove_dir_all(&incremental)?;
    }
    for root in &package.roots {
        let root = garden.join(root);
        fs::write(&root, fs::read(&root)?)?;
    }
    let base = || mutants(package, garden, &build, &out);
    let mut filter = Vec::new();
    if let Some(revision) = &scope.in_diff {
        let diff = cmd("git").args(["diff", revision, "--"]).arg(&package.dir).read()?;
        if diff.is_empty() {
            return Ok(None);
        }
        let file = out.join("in.diff");
        fs::write(&file, diff)?;
        filter.push(format!("--in-diff={}", file.display()));
    }
    let results = out.join("mutants.out");
    let quick = if scope.end.is_none() { list.quick(&package.name) } else { &[] };
    let mut first = None;
    if !quick.is_empty() {
        let tests = quick.iter().map(|test| format!("--cargo-arg=--test={test}"));
        pass(package, base().args(&filter).args(tests), None)?;
        first = Outcomes::read(&results)?;
        if first.is_none() {
            return Ok(None);
        }
        // So that these are not taken for those of the second pass, if it comes to nothing.
        fs::remove_file(results.join("outcomes.json"))?;
        filter.push("--iterate".to_owned());
    }
    if scope.end.is_some() {
        // What a run gets to before its time is up is a fair sample.
        filter.push("--shuffle".to_owned());
    }
    // No doctests: they are slow to build and only show how things are called.
    let all = ["--lib", "--bins", "--tests"].map(|kind| format!("--cargo-arg={kind}"));
    let limit = scope.end.map(|end| end.saturating_duration_since(now()));
    pass(package, base().args(&filter).args(all), limit)?;
    let second = Outcomes::read(&results)?;
    Ok(match first {
        Some(first) => Some(first.then(second.unwrap_or_default())),
        None => second,
    })
}

/// Runs cargo-mutants until it is done or `limit` is over.
fn pass(package: &Package, mutants: Cmd, limit: Option<Duration>) -> Result<()> {
    let status = mutants.run_for(limit.unwrap_or(Duration::MAX))?;
    // 2: some were missed; 3: some ran out of time. Both are for us to judge.
    match status {
        Some(status) if !matches!(status.code(), Some(0 | 2 | 3)) => {
            bail!("cargo-mutants gave up on {}: {status}", package.name)
        }
        _ => Ok(()),
    }
}

/// `cargo mutants`, with what makes it quick here.
fn mutants(package: &Package, garden: &Path, target: &Path, out: &Path) -> Cmd {
    let mut mutants = cargo("mutants")
        .dir(garden)
        .env("CARGO_TARGET_DIR", target)
        // One answer for one tree, and no time for making a failure small or for keeping it.
        .env("PROPTEST_RNG_SEED", "1")
        .env("PROPTEST_MAX_SHRINK_ITERS", "0")
        .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true")
        // The copy is its own: no second copy, and what is built stays for the next run.
        .args(["--in-place", "--package", &package.name, "--all-features"])
        .args(["--profile=measure", "--cap-lints=true"])
        // Values that these types can't be made from do not compile.
        .args(["--exclude-re", r"with (Ok\()?(Parsed|Range|OpenError)::"])
        // How much is reserved is no behaviour; where it must not be too much, a test counts it.
        .arg("--skip-calls=reserve")
        // The tests of fuzzing functions only say that these take their seeds.
        .args([
            "--exclude=**/fuzzing.rs",
            "--exclude=**/fuzzing/**",
            "--caught",
            "--unviable",
            "--colors=never",
            "--output",
        ])
        .arg(out);
    // All test binaries at once, and all of them stopped by the first failure.
    if cargo("nextest").arg("--version").succeeds() {
        mutants = mutants.args(["--test-tool=nextest", "--cargo-test-arg=--max-fail=1:immediate"]);
    }
    mutants
}
