//! The workspace's own commands: local CI, tests, tidy checks, fuzzing, benchmarks.
//!
//! `cargo xtask help` lists them. A job is a function here, so it runs the same at home, in
//! `.ci/run` and in the hosted workflows.
#![forbid(unsafe_code)]

mod args;
mod bench;
mod ci;
mod coverage;
mod crash;
mod cross;
mod e2e;
mod fuzz;
mod garden;
mod layers;
mod mutants;
mod plant;
mod registry;
mod rfc;
mod scoreboard;
mod sh;
mod test;
mod text;
mod tidy;
mod vectors;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::args::Args;

const HELP: &str = "\
Commands of the Samara workspace

usage: cargo xtask COMMAND [OPTIONS]

  ci [JOB...] [--keep-going]    run the local CI, or some jobs of it; `ci --list` names them
  test [FILTER...]              run every test of the workspace, doctests included
  tidy [--fix]                  check layers, sizes, links, generated tables; --fix rewrites the tables
  rfc check                     check that every requirement is implemented, tested and quoted as it stands
  rfc report                    print the matrix requirement x {implementation, test, vectors, checkers} as Markdown
  rfc new NAME TITLE PREFIX [--number N]
                                write an RFC out of the template
  vectors gen | verify          write rfcs/vectors; hold our crates and the reader in Python to them
  vectors cross [--count N]     have both encode and decode N values of each kind for each other (default 10,000)
  plant [NAME...] [--list]      plant bugs in a copy of the tree, one at a time: a gate has to find each
  mutants [PACKAGE...] [--in-diff REV] [--minutes N]
                                change the code in a copy of the tree, a little at a time: a test has to fail
  coverage [PACKAGE...] [--html]
                                lines and regions that the tests of a crate run, and the lines that none runs
  scoreboard [ROW...] [--from FILE]
                                measure rows of SCOREBOARD.md, or the quick ones; take a figure from what was printed before
  crash [enumerate] [--points N]
                                the power fails in so many ways (default 100,000) while the store works
  crash replay POINT            one of them again, as a failure named it
  crash powercut [--on fuse|ext4|xfs|all] [--cuts N] [--seed S]
                                real power cuts (default 300 each) of a process that uses a store: on a FUSE file
                                system that forgets; on ext4 and XFS over a log of blocks, which needs root
  crash kill [--rounds N] [--seed S]
                                kill -9 in so many rounds (default 100), each with other options
  fuzz [run] [TARGET...] [--seconds N] [--jobs N] [--sanitizer NAME]
                                fuzz all targets, or some, N seconds each (default 60), N at a time
  fuzz list | replay [TARGET...] | seed [TARGET...]
                                name the targets; run the seeds on stable; refill fuzz/seeds from fuzz/corpus
  fuzz cover [TARGET...] [--lines]
                                how much of each crate the inputs of its targets run, and the lines that none runs
  fuzz minimise TARGET FILE     look for a shorter input that makes the target fail
  bench [CRATE] [-- ARGS...]    run the criterion benchmarks
  bench peers [--scenarios A,D,F,G] [--set NAME] [--programs samara,scp] [--reps N]
                                compare the release binary with other programs, side by side
  bench loopback [--set rand1g|small10k|small100k|sparse16g] [--programs samara,iroh-blobs]
                                time, CPU and peak memory of both sides, beside iroh-blobs
  bench link-down               2 GB between two network namespaces, the link down for 20 s
  e2e [--bin PATH]              drive the samara command over loopback as a script would
  no-std                        build the no_std crates without std
  wasm                          build the no_std crates for wasm32 and run a module under node

Options go after the command. Exit code 0 only if everything passed.
";

fn main() -> ExitCode {
    match run(Args::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut args: Args) -> Result<()> {
    let command = args.positional();
    if command.is_none() || command.as_deref() == Some("help") || args.flag("--help") {
        print!("{HELP}");
        return Ok(());
    }
    match command.as_deref().unwrap_or_default() {
        "ci" => ci::command(args),
        "test" => test::command(args),
        "tidy" => tidy::command(args),
        "rfc" => rfc::command(args),
        "plant" => plant::command(args),
        "crash" => crash::command(args),
        "scoreboard" => scoreboard::command(args),
        "mutants" => mutants::command(args),
        "coverage" => coverage::command(args),
        "vectors" => vectors::command(args),
        "fuzz" => fuzz::command(args),
        "bench" => bench::command(args),
        "e2e" => e2e::command(args),
        "no-std" => args.finish().and_then(|()| cross::no_std()),
        "wasm" => args.finish().and_then(|()| cross::wasm()),
        other => bail!("no command `{other}`; `cargo xtask help` lists them"),
    }
}
