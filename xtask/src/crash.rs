//! Crashes of the store: on a disk in memory that forgets, in very many ways; and real ones, of
//! processes and of file systems of this machine (the package `samara-crash`).

use anyhow::Result;

use crate::{args::Args, sh::cargo};

/// Cuts on each file system, and rounds of kills; and those of CI, with a seed that stays.
const CUTS: u64 = 300;
const ROUNDS: u64 = 100;
const CUTS_CI: u64 = 36;
const ROUNDS_CI: u64 = 10;
const SEED_CI: u64 = 1;

/// Points of a run, and of CI.
const POINTS: u64 = 100_000;
const POINTS_CI: u64 = 5_000;

/// `cargo xtask crash [enumerate] [--points N]`, `cargo xtask crash replay POINT`,
/// `cargo xtask crash powercut [--on fuse|ext4|xfs|all] [--cuts N] [--seed S]`,
/// `cargo xtask crash kill [--rounds N] [--seed S]`.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let command = args.subcommand(&["enumerate", "replay", "powercut", "kill"]);
    match command.as_deref() {
        Some("powercut") => {
            let on = args.option("--on")?.unwrap_or_else(|| "all".to_owned());
            let cuts = args.option("--cuts")?.unwrap_or(CUTS);
            let seed = seed(&mut args)?;
            args.finish()?;
            return real(&["powercut", &on, &seed.to_string(), &cuts.to_string()]);
        }
        Some("kill") => {
            let rounds = args.option("--rounds")?.unwrap_or(ROUNDS);
            let seed = seed(&mut args)?;
            args.finish()?;
            return real(&["kill", &seed.to_string(), &rounds.to_string()]);
        }
        _ => {}
    }
    let points = args.option("--points")?.unwrap_or(POINTS);
    let named = args.positionals();
    args.finish()?;
    match (command.as_deref(), named.as_slice()) {
        (Some("replay"), [point]) => test("SAMARA_CRASH_POINT", point),
        (Some("replay"), _) => anyhow::bail!("name the point, as the failure did: cut:7:subset:5"),
        (_, []) => test("SAMARA_CRASH_POINTS", &points.to_string()),
        (_, [unknown, ..]) => anyhow::bail!("`{unknown}` means nothing here"),
    }
}

/// As many points as CI has time for.
///
/// # Errors
///
/// If one of them loses something.
pub(crate) fn smoke() -> Result<()> {
    test("SAMARA_CRASH_POINTS", &POINTS_CI.to_string())?;
    let seed = SEED_CI.to_string();
    real(&["kill", &seed, &ROUNDS_CI.to_string()])?;
    real(&["powercut", "any", &seed, &CUTS_CI.to_string()])
}

/// The seed that is asked for, or a new one.
fn seed(args: &mut Args) -> Result<u64> {
    let new = || {
        #[expect(clippy::disallowed_methods, reason = "each run is another one; it says its seed")]
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.unwrap_or_default().as_secs()
    };
    Ok(args.option("--seed")?.unwrap_or_else(new))
}

/// Builds the package that kills and cuts, and runs it. It is built only here: it has dependencies of
/// its own.
fn real(args: &[&str]) -> Result<()> {
    let run = cargo("run").args(["--profile", "measure", "--quiet", "--package", "samara-crash"]);
    run.arg("--").args(args).run()
}

/// Runs the test that goes through points, optimised: it does little but hashing and copying.
fn test(name: &str, value: &str) -> Result<()> {
    cargo("test")
        .env(name, value)
        .args(["--profile", "measure", "--package", "samara-store", "--test", "crash"])
        .args(["--", "--exact", "any_of_the_unsynced_changes_may_survive", "--nocapture"])
        .run()
}
