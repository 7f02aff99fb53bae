//! Real kills and power cuts for `samara-store`, on real file systems of this machine. Started by
//! `cargo xtask crash kill` and `cargo xtask crash powercut`.
//!
//! A *worker* process uses a store through its public API and says what it does and what was
//! acknowledged. It is killed, or the power of its disk is cut; then a *checker* opens the store and
//! compares all that it holds with what the worker said.
//!
//! Everything is drawn from a seed, and a failure names its own: the same command finds it again. Not
//! for certain: in half of the rounds the worker has a second thread, the kernel writes back when it
//! likes, and where a kill hits is up to the machine.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, unused_imports, reason = "power cuts need Linux; kills do not")
)]

mod blobs;
mod check;
mod kill;
mod model;
mod random;
mod run;
mod work;

#[cfg(target_os = "linux")]
mod block;
#[cfg(target_os = "linux")]
mod forgetful;
#[cfg(target_os = "linux")]
mod mount;
#[cfg(target_os = "linux")]
mod pages;
#[cfg(target_os = "linux")]
mod powercut;

use std::{path::Path, process::ExitCode};

use anyhow::{Context as _, Result, bail};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match command(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command(args: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match *words.as_slice() {
        ["work", dir, seed, round, steps] => {
            work::work(Path::new(dir), seed.parse()?, round.parse()?, steps.parse()?)?;
        }
        ["kill", seed, rounds] => kill::kill(seed.parse()?, rounds.parse()?)?,
        ["powercut", on, seed, cuts] => return powercut(on, seed, cuts),
        #[cfg(target_os = "linux")]
        ["powercut-here", on, seed, cuts] => cut(on, seed.parse()?, cuts.parse()?)?,
        _ => bail!(
            "usage: samara-crash kill SEED ROUNDS | powercut fuse|ext4|xfs|all|any SEED CUTS; \
             better by `cargo xtask crash`"
        ),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(target_os = "linux")]
fn powercut(on: &str, seed: &str, cuts: &str) -> Result<ExitCode> {
    if let Err(why) = mount::require_namespace() {
        if on != "any" {
            return Err(why);
        }
        println!("powercut: skipped: {why:#}");
        return Ok(ExitCode::SUCCESS);
    }
    mount::in_own_namespace(&["powercut-here", on, seed, cuts].map(str::to_owned))
}

#[cfg(not(target_os = "linux"))]
fn powercut(_: &str, _: &str, _: &str) -> Result<ExitCode> {
    bail!("power cuts need FUSE and loop devices as Linux has them")
}

/// `all`: on each kind of file system that can be used here, with word of the others; an error if
/// there is none. `any`: the same on the forgetful one alone, and no error.
#[cfg(target_os = "linux")]
fn cut(on: &str, seed: u64, cuts: u64) -> Result<()> {
    use powercut::{DiskKind, EXT4, XFS};

    let on_disk = |kind: DiskKind| mount::require_disk(kind.name, kind.mkfs, kind.package);
    match on {
        "fuse" => mount::require_fuse().and_then(|()| powercut::fuse(seed, cuts)),
        "ext4" => on_disk(EXT4).and_then(|()| powercut::disk(EXT4, seed, cuts)),
        "xfs" => on_disk(XFS).and_then(|()| powercut::disk(XFS, seed, cuts)),
        "any" => match mount::require_fuse() {
            Ok(()) => powercut::fuse(seed, cuts),
            Err(why) => {
                println!("powercut: skipped: {why:#}");
                Ok(())
            }
        },
        "all" => {
            mount::require_fuse()?;
            powercut::fuse(seed, cuts)?;
            for kind in [EXT4, XFS] {
                match on_disk(kind) {
                    Ok(()) => powercut::disk(kind, seed, cuts).context(kind.name)?,
                    Err(why) => println!("powercut {}: skipped: {why:#}", kind.name),
                }
            }
            Ok(())
        }
        other => bail!("`{other}` is no file system for this; use fuse, ext4, xfs or all"),
    }
}
