//! The `samara` command: share a file on one machine, get it on another.
//!
//! Data goes to standard output, everything else to standard error; `--json` makes the data one
//! object per line. The README has the tables of commands, exit codes and objects.
#![forbid(unsafe_code)]

mod args;
mod cmd;
mod event;
mod exit;
mod lookup;
mod output;
mod progress;
mod signals;
mod store_dir;
mod trace;
mod units;

use std::{env, process::ExitCode};

use clap::{Parser as _, error::ErrorKind};

use crate::{
    args::{Cli, Command},
    cmd::Context,
    exit::{Code, Failure},
    output::Output,
    store_dir::StoreDir,
};

/// Stack of a thread. Unit: bytes. Nothing here recurses deeper than a path has components.
const STACK_BYTES: usize = 1 << 20;

/// Threads for blocking work at most; each of them costs memory.
const BLOCKING_MAX: usize = 8;

fn main() -> ExitCode {
    let Cli { global, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let output = Output::new(global.json, global.quiet);
    let output = if matches!(command, Command::Cat(_)) { output.for_data() } else { output };
    trace::start(global.verbose, global.quiet, output.bars());
    let result = StoreDir::new(global.store).and_then(|store| {
        let context = Context { store, output: output.clone() };
        run(&context, command)
    });
    match result {
        Ok(code) => code.into(),
        Err(failure) => {
            output.failure(&failure);
            failure.code.into()
        }
    }
}

/// Help, version, or a complaint about the command line.
fn misused(error: &clap::Error) -> ExitCode {
    // Nobody is there to be told if this fails.
    let _ = error.print();
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if asked {
        return Code::Complete.into();
    }
    if env::args_os().any(|argument| argument == "--json") {
        let text = error.to_string();
        let text = text.lines().next().unwrap_or_default();
        let text = text.strip_prefix("error: ").unwrap_or(text);
        let _ = Output::new(true, true).event(&event::Error::from(&Failure::usage(text)));
    }
    Code::Usage.into()
}

fn run(context: &Context, command: Command) -> Result<Code, Failure> {
    match command {
        Command::Share(share) => block_on(share.run(context)),
        Command::Get(get) => block_on(get.run(context)),
        Command::Add(add) => block_on(add.run(context)),
        Command::Ls(ls) => ls.run(context),
        Command::Rm(rm) => rm.run(context),
        Command::Cat(cat) => cat.run(context),
        Command::Export(export) => block_on(export.run(context)),
        Command::Verify(verify) => verify.run(context),
        Command::Scrub(scrub) => scrub.run(context),
        Command::Id(id) => id.run(context),
        Command::Stat(stat) => stat.run(context),
        Command::Doctor(doctor) => block_on(doctor.run(context)),
        Command::RebuildIndex(rebuild) => rebuild.run(context),
        Command::Completions(completions) => completions.run(context),
    }
}

/// Runs what needs the network.
fn block_on(work: impl Future<Output = Result<Code, Failure>>) -> Result<Code, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_MAX)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::new(Code::Failed, format!("the system refuses threads: {error}"))
        })?;
    let result = runtime.block_on(work);
    // What still runs has no say in the result.
    runtime.shutdown_background();
    result
}
