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
    // Benchmarks are not tests: clippy builds them, so that they can't rot.
    let targets = ["--workspace", "--lib", "--bins", "--tests"];
    if cargo("nextest").arg("--version").succeeds() {
        return cargo("nextest").args(["run", "--no-tests=pass"]).args(targets).args(filters).run();
    }
    cargo("test").args(targets).arg("--").args(filters).run()
}
