//! Crashes of the store on a disk that forgets: many ways in which the power may fail.

use anyhow::Result;

use crate::{args::Args, sh::cargo};

/// Points of a run, and of CI.
const POINTS: u64 = 100_000;
const POINTS_CI: u64 = 5_000;

/// `cargo xtask crash [enumerate] [--points N]`, `cargo xtask crash replay POINT`.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let command = args.subcommand(&["enumerate", "replay"]);
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
    test("SAMARA_CRASH_POINTS", &POINTS_CI.to_string())
}

/// Runs the test that goes through points, optimised: it does little but hashing and copying.
fn test(name: &str, value: &str) -> Result<()> {
    cargo("test")
        .env(name, value)
        .args(["--profile", "measure", "--package", "samara-store", "--test", "crash"])
        .args(["--", "--exact", "any_of_the_unsynced_changes_may_survive", "--nocapture"])
        .run()
}
