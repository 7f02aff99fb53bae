//! The local CI: the jobs of the hosted workflows, but for those on the oldest toolchain and on licences.

use core::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{
    args::Args, crash, cross, e2e, fuzz, rfc, sh, sh::cargo, test, tidy, vectors, workspace,
};

/// A job's name, what it does, and how.
struct Job {
    name: &'static str,
    about: &'static str,
    run: fn() -> Result<()>,
}

/// How long each target is fuzzed in CI. Unit: seconds.
const FUZZ_SECONDS: u64 = 5;

/// All jobs, cheap ones first. The tests come last, so their summary closes the output.
const JOBS: &[Job] = &[
    Job { name: "fmt", about: "the sources are formatted", run: fmt },
    Job {
        name: "tidy",
        about: "layers, sizes, links, generated tables",
        run: || tidy::tidy(false),
    },
    Job {
        name: "rfc",
        about: "each requirement is implemented, tested, quoted right; no number but the registry's",
        run: rfc::check_twice,
    },
    Job { name: "clippy", about: "no lint of the workspace fires", run: clippy },
    Job { name: "doc", about: "the documentation builds without a warning", run: doc },
    Job { name: "features", about: "each set of features of each crate builds", run: features },
    Job { name: "no-std", about: "the core crates build without std", run: cross::no_std },
    Job { name: "wasm", about: "the core crates build for wasm32 and run there", run: cross::wasm },
    Job {
        name: "vectors",
        about: "our crates and the reader in Python answer the vectors, and each other",
        run: vectors::verify,
    },
    Job {
        name: "crash",
        about: "the power fails while the store works, in thousands of ways, and some real ones",
        run: crash::smoke,
    },
    Job {
        name: "fuzz",
        about: "seeds replayed, each target fuzzed a few seconds",
        run: fuzz_smoke,
    },
    Job {
        name: "e2e",
        about: "the command, driven over loopback as a script would",
        run: e2e::built,
    },
    Job { name: "test", about: "every test, doctests included", run: || test::test(&[]) },
];

/// `cargo xtask ci [JOB...] [--keep-going] [--list]`.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let (keep_going, list) = (args.flag("--keep-going"), args.flag("--list"));
    let names = args.positionals();
    args.finish()?;
    if list {
        JOBS.iter().for_each(|job| println!("{:10} {}", job.name, job.about));
        return Ok(());
    }
    if let Some(unknown) = names.iter().find(|name| JOBS.iter().all(|job| job.name != **name)) {
        bail!("no job `{unknown}`; `cargo xtask ci --list` names them");
    }
    let wanted = |job: &&Job| names.is_empty() || names.iter().any(|name| name == job.name);
    let (mut passed, mut failed, mut total) = (Vec::new(), Vec::new(), Duration::ZERO);
    for job in JOBS.iter().filter(wanted) {
        eprintln!("\n== {}: {}", job.name, job.about);
        let (result, took) = sh::timed(job.run);
        total += took;
        let line = format!("{} {} s", job.name, took.as_secs());
        match result.with_context(|| format!("the job `{}` failed", job.name)) {
            Ok(()) => passed.push(line),
            Err(error) if keep_going => {
                eprintln!("error: {error:#}");
                failed.push(line);
            }
            Err(error) => return Err(error),
        }
    }
    eprintln!("\nci: {} passed in {} s ({})", passed.len(), total.as_secs(), passed.join(", "));
    if failed.is_empty() { Ok(()) } else { bail!("failed: {}", failed.join(", ")) }
}

fn fmt() -> Result<()> {
    cargo("fmt").args(["--all", "--", "--check"]).run()?;
    cargo("fmt").args(["--manifest-path", "fuzz/Cargo.toml", "--", "--check"]).run()?;
    cargo("fmt").args(["--manifest-path", cross::WASM_MANIFEST, "--", "--check"]).run()
}

fn clippy() -> Result<()> {
    cargo("clippy")
        .args(["--workspace", "--all-targets", "--all-features"])
        .args(["--", "-D", "warnings"])
        .run()
}

fn doc() -> Result<()> {
    // Libraries only: the command and the library have the same name, and so the same folder.
    cargo("doc")
        .env("RUSTDOCFLAGS", "-D warnings")
        .args(["--workspace", "--lib", "--all-features", "--no-deps"])
        .run()
}

fn fuzz_smoke() -> Result<()> {
    fuzz::smoke(FUZZ_SECONDS)
}

/// Each crate alone, with no feature, with its default ones, with each single one, with all.
fn features() -> Result<()> {
    let mut failed = Vec::new();
    for package in workspace::packages()?.values().filter(|package| package.publish) {
        let mut sets: Vec<Vec<&str>> = vec![vec![]];
        if !package.features.is_empty() {
            sets.push(vec!["--no-default-features"]);
            sets.extend(
                package
                    .features
                    .iter()
                    .map(|name| vec!["--no-default-features", "--features", name]),
            );
            sets.push(vec!["--all-features"]);
        }
        for set in sets {
            // Clippy and not `check`: what only one set of features leaves unused is a warning.
            let clippy = cargo("clippy").args(["--quiet", "--package", &package.name]);
            if let Err(error) = clippy.args(set).args(["--", "-D", "warnings"]).run() {
                failed.push(error.to_string());
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("\n")) }
}
