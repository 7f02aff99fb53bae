//! Our release binary beside other programs, on the same work in the same run.
//!
//! The harness is not part of this repository: `peers/bench.py` in a folder `shared` beside the
//! checkout. It makes network namespaces, so it needs root.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    args::Args,
    sh::{self, cargo, cmd},
};

/// A program that the harness has an adapter for.
struct Program {
    adapter: &'static str,
    binary: &'static str,
    install: &'static str,
}

const PROGRAMS: &[Program] = &[
    Program { adapter: "samara", binary: "cargo", install: "" },
    Program { adapter: "nc", binary: "nc", install: "apt-get install netcat-openbsd" },
    Program { adapter: "rsync-W", binary: "rsync", install: "apt-get install rsync" },
    Program {
        adapter: "rsync-ssh",
        binary: "rsync",
        install: "apt-get install rsync openssh-server",
    },
    Program { adapter: "scp", binary: "/usr/sbin/sshd", install: "apt-get install openssh-server" },
    Program { adapter: "syncthing", binary: "syncthing", install: "apt-get install syncthing" },
    Program {
        adapter: "rqbit",
        binary: "$PEERS/cargo/bin/rqbit",
        install: "cargo install rqbit --version 9.1.0 --locked --no-default-features --features default-tls --root $PEERS/cargo",
    },
    Program {
        adapter: "libtorrent-tcp",
        binary: "$PEERS/venv/bin/python",
        install: "python3 -m venv $PEERS/venv && $PEERS/venv/bin/pip install libtorrent",
    },
];

/// A scenario of the harness and the data set that it needs.
const SCENARIOS: &[(&str, &str, &str)] = &[
    ("A", "rand1g", "one file of 1 GiB at full speed"),
    ("D", "small10k", "a directory of 10,000 files of 10 KiB"),
    ("F", "rand256m", "the receiver killed at one half, started again"),
    ("G", "rand256m", "one byte flipped at the only sender"),
];

/// `cargo xtask bench peers [--scenarios A,D,F,G] [--set NAME] [--programs LIST] [--reps N] [--scratch DIR]`.
pub(super) fn command(mut args: Args) -> Result<()> {
    let scenarios: Option<String> = args.option("--scenarios")?;
    let programs: Option<String> = args.option("--programs")?;
    let reps: usize = args.option("--reps")?.unwrap_or(3);
    let set: Option<String> = args.option("--set")?;
    let scratch: Option<PathBuf> = args.option("--scratch")?;
    args.finish()?;

    let (harness, scratch) = (harness()?, scratch_dir(scratch)?);
    let wanted = programs.as_deref().map(|list| list.split(',').collect::<Vec<_>>());
    let adapters = installed(wanted.as_deref(), &scratch);
    if adapters.is_empty() {
        bail!("none of the programs is installed");
    }

    let samara = release_binary()?;
    let scenarios = scenarios.unwrap_or_else(|| "A,D,F,G".to_owned());
    for name in scenarios.split(',') {
        let known = SCENARIOS.iter().find(|(scenario, ..)| *scenario == name);
        let (_, usual, about) =
            known.with_context(|| format!("no scenario `{name}`: A, D, F, G"))?;
        eprintln!("\n== {name}: {about}");
        let data = data_set(&harness, &scratch, set.as_deref().unwrap_or(usual))?;
        let file_name = data.file_name().unwrap_or_default().to_string_lossy().into_owned();
        cmd("python3")
            .env("SAMARA", &samara)
            .env("PEERS_TMP", &scratch)
            .arg(harness.join("bench.py"))
            .args([name, &adapters.join(","), "--reps", &reps.to_string(), "--set", &file_name])
            .run()?;
    }
    eprintln!("\nall runs are lines of {}", scratch.join("results.jsonl").display());
    cmd("python3").arg(harness.join("report.py")).arg(scratch.join("results.jsonl")).run()?;
    // iroh-blobs has a driver of its own, which counts fetch and export apart.
    if scenarios.split(',').any(|name| name == "A") && wanted.is_none() {
        eprintln!("\n== beside iroh-blobs, over loopback");
        beside_iroh(&harness, &scratch, set.as_deref().unwrap_or("rand1g"), BESIDE, reps)?;
    }
    Ok(())
}

/// What `loopback` runs by default.
const BESIDE: &str = "samara,iroh-blobs";

/// `cargo xtask bench link-down [--scratch DIR]`.
pub(super) fn link_down(mut args: Args) -> Result<()> {
    let scratch: Option<PathBuf> = args.option("--scratch")?;
    args.finish()?;
    let scratch = scratch_dir(scratch)?;
    let samara = release_binary()?;
    cmd("sh").args([Path::new("benches/peers/link_down.sh"), &samara, &scratch]).run()
}

/// `cargo xtask bench loopback [--set NAME] [--programs LIST] [--reps N] [--scratch DIR]`.
pub(super) fn loopback(mut args: Args) -> Result<()> {
    let set = args.option("--set")?.unwrap_or_else(|| "rand1g".to_owned());
    let programs = args.option("--programs")?.unwrap_or_else(|| BESIDE.to_owned());
    let reps: usize = args.option("--reps")?.unwrap_or(3);
    let scratch: Option<PathBuf> = args.option("--scratch")?;
    args.finish()?;
    beside_iroh(&harness()?, &scratch_dir(scratch)?, &set, &programs, reps)
}

fn beside_iroh(
    harness: &Path,
    scratch: &Path,
    set: &str,
    programs: &str,
    reps: usize,
) -> Result<()> {
    let mut pairs = Vec::new();
    for name in programs.split(',') {
        let binary = match name {
            "samara" => release_binary()?,
            "iroh-blobs" => blobbench(harness, scratch)?,
            other => bail!("no program `{other}`: samara, iroh-blobs"),
        };
        pairs.push(format!("{name}={}", binary.display()));
    }
    let data = data_set(harness, scratch, set)?;
    cmd("python3")
        .args([Path::new("benches/peers/loopback.py"), &data, scratch])
        .arg(reps.to_string())
        .args(pairs)
        .run()
}

fn harness() -> Result<PathBuf> {
    let harness = sh::root().join("../shared/peers");
    if !harness.join("bench.py").is_file() {
        bail!("the harness is not here: {} has no bench.py", harness.display());
    }
    Ok(harness.canonicalize()?)
}

fn scratch_dir(wanted: Option<PathBuf>) -> Result<PathBuf> {
    let scratch = match wanted {
        Some(path) => std::path::absolute(path)?,
        None => sh::target_dir()?.join("peers"),
    };
    fs::create_dir_all(&scratch)?;
    Ok(scratch)
}

fn release_binary() -> Result<PathBuf> {
    cargo("build").args(["--release", "--package", "samara-cli"]).run()?;
    Ok(sh::target_dir()?.join("release/samara"))
}

/// The file or folder of a data set; makes it if it is not there.
fn data_set(harness: &Path, scratch: &Path, set: &str) -> Result<PathBuf> {
    let data = scratch.join("data");
    let places = [data.join(set), data.join(format!("{set}.bin"))];
    if let Some(place) = places.iter().find(|place| place.exists()) {
        return Ok(place.clone());
    }
    fs::create_dir_all(&data)?;
    if set == "sparse16g" {
        // Nothing but a hole: what matters is that no memory grows with the size.
        let path = data.join("sparse16g.bin");
        fs::File::create(&path)?.set_len(16 << 30)?;
        return Ok(path);
    }
    cmd("python3").arg(harness.join("data/synth.py")).arg(&data).arg(set).run()?;
    let place = places.into_iter().find(|place| place.exists());
    place.with_context(|| format!("no data set `{set}`"))
}

/// The harness's own driver of iroh-blobs, built from a copy: cargo writes a lock file.
fn blobbench(harness: &Path, scratch: &Path) -> Result<PathBuf> {
    let (copy, target) = (scratch.join("iroh-src"), scratch.join("iroh"));
    fs::create_dir_all(copy.join("src/bin"))?;
    for file in ["Cargo.toml", "src/bin/blobbench.rs"] {
        let text = fs::read(harness.join("iroh").join(file)).with_context(|| file.to_owned())?;
        fs::write(copy.join(file), text)?;
    }
    let build = cargo("build").args(["--release", "--bin", "blobbench", "--manifest-path"]);
    build.arg(copy.join("Cargo.toml")).arg("--target-dir").arg(&target).run()?;
    Ok(target.join("release/blobbench"))
}

/// The adapters whose programs are there; says how to install the others.
fn installed(wanted: Option<&[&str]>, scratch: &Path) -> Vec<&'static str> {
    let expand = |text: &str| text.replace("$PEERS", &scratch.to_string_lossy());
    let mut adapters = Vec::new();
    for program in PROGRAMS {
        if wanted.is_some_and(|wanted| !wanted.contains(&program.adapter)) {
            continue;
        }
        let probe = format!("command -v '{}'", expand(program.binary));
        if cmd("sh").args(["-c", &probe]).succeeds() {
            adapters.push(program.adapter);
        } else {
            eprintln!(
                "{} is left out; install it with: {}",
                program.adapter,
                expand(program.install)
            );
        }
    }
    adapters
}
