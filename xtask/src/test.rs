//! Every test of the workspace.

use anyhow::Result;

use crate::{args::Args, sh::cargo};

/// `cargo xtask test [FILTER...]`.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let filters = args.positionals();
    args.finish()?;
    test(&filters)
}

/// Runs the doctests, then all other tests: with nextest where it is installed, else with cargo.
///
/// # Errors
///
/// If a test fails.
pub(crate) fn test(filters: &[String]) -> Result<()> {
    cargo("test").args(["--workspace", "--doc", "--quiet", "--"]).args(filters).run()?;
    if cargo("nextest").arg("--version").succeeds() {
        let common = ["run", "--workspace", "--all-targets", "--no-tests=pass"];
        // A benchmark is built, so that it can't rot, but not run.
        return cargo("nextest").args(common).args(["-E", "not kind(bench)"]).args(filters).run();
    }
    cargo("test").args(["--workspace", "--lib", "--bins", "--tests", "--"]).args(filters).run()
}
