//! Power cuts on real file systems of this kernel.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::{
    blobs::Blobs,
    block::{BlockFile, Kept, Log, NAME},
    check::{End, Found, check},
    forgetful::{Forgetful, Keep, Lacks, State, Tree},
    model::{Line, Model},
    mount::{Fuse, Loop, run},
    pages::Pages,
    random::Random,
    run::Worker,
};

/// Cuts of the forgetful file system before it begins empty again.
const CUTS_OF_A_CHAIN: u64 = 6;

/// Steps of a worker that is cut off, at most.
const STEPS: u64 = 60;

/// Moments at which one recorded run is cut off.
const CUTS_OF_A_RUN: u64 = 16;

/// Runs before a disk begins empty again.
const RUNS_OF_A_DISK: u64 = 3;

/// Length of a disk. The shortest that XFS takes is 300 MiB. Unit: bytes.
const DISK_BYTES: u64 = 512 << 20;

/// A file system of the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiskKind {
    pub(crate) name: &'static str,
    pub(crate) mkfs: &'static str,
    pub(crate) package: &'static str,
    options: &'static [&'static str],
}

pub(crate) const EXT4: DiskKind = DiskKind {
    name: "ext4",
    mkfs: "mkfs.ext4",
    package: "e2fsprogs",
    options: &["-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"],
};

pub(crate) const XFS: DiskKind =
    DiskKind { name: "xfs", mkfs: "mkfs.xfs", package: "xfsprogs", options: &["-q", "-f", "-K"] };

/// What was done, for the last line.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    cuts: u64,
    acks: u64,
    facts: u64,
}

impl Tally {
    fn add(&mut self, model: &Model) {
        let (acks, facts) = model.acknowledged();
        self.acks += acks;
        self.facts += facts;
    }

    fn print(self, on: &str) {
        let Self { cuts, acks, facts } = self;
        println!(
            "powercut {on}: {cuts} cuts, {acks} acknowledgements with {facts} changes, 0 lost"
        );
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `cuts` power cuts of the forgetful file system.
///
/// # Errors
///
/// If something acknowledged is lost.
pub(crate) fn fuse(seed: u64, cuts: u64) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut tally = Tally::default();
    while tally.cuts < cuts {
        let chain = tally.cuts;
        let left = (cuts - chain).min(CUTS_OF_A_CHAIN);
        let outcome = fuse_chain(dir.path(), Random::of(seed, &[chain]).next(), left, &mut tally);
        outcome.with_context(|| {
            let again = "`powercut --on fuse --seed";
            format!("cut {} of {again} {seed}`, in the chain from {chain} on", tally.cuts)
        })?;
    }
    tally.print("fuse");
    Ok(())
}

/// Cuts one after the other: each worker begins with what the cut before has left.
fn fuse_chain(dir: &Path, seed: u64, cuts: u64, tally: &mut Tally) -> Result<()> {
    let blobs = Blobs::new(seed)?;
    let (mut tree, mut model, mut found) = (Tree::new(), Model::default(), Found::new());
    for round in 0..cuts {
        let mut random = Random::of(seed, &[7, round]);
        let lacks = Lacks { fallocate: random.chance(20), no_replace: random.chance(20) };
        let magnitude = 3 + random.below(10);
        let at = random.below(1 << magnitude);
        let state = Arc::new(Mutex::new(State::new(tree, lacks, Some(at))));
        let mounted = Fuse::mount(Forgetful(Arc::clone(&state)), dir)?;
        if random.chance(25) {
            // First one whose process dies alone.
            let lines = random.below(80);
            listen(dir, (seed, round + 1000), Some(lines), &state, &mut model, &found)?;
            found = Found::new();
        }
        listen(dir, (seed, round), None, &state, &mut model, &found)?;
        locked(&state).cut();
        mounted.unmount()?;
        let keep = Keep::draw(&mut random);
        let (left, steps) = {
            let state = locked(&state);
            (state.survivor(keep, &mut random), state.steps())
        };
        // The check works on a copy, so that the next worker has to recover by itself, and may be
        // cut off while it does.
        let copy = Arc::new(Mutex::new(State::new(left.clone(), lacks, None)));
        let mounted = Fuse::mount(Forgetful(copy), dir)?;
        let checked = check(dir, (seed, round), &blobs, &model, End::PowerCut);
        mounted.unmount()?;
        found = checked
            .with_context(|| format!("cut at step {at} of {steps}, kept {keep:?}, {lacks:?}"))?;
        tally.cuts += 1;
        tree = left;
    }
    tally.add(&model);
    Ok(())
}

/// Hears a worker until it has ended, or was killed behind so many lines.
fn listen(
    dir: &Path,
    names: (u64, u64),
    lines: Option<u64>,
    state: &Mutex<State>,
    model: &mut Model,
    found: &Found,
) -> Result<()> {
    let mut worker = Worker::start(dir, names, STEPS, false)?;
    let mut heard = 0;
    while lines.is_none_or(|lines| heard < lines) {
        let Some(line) = worker.next()? else {
            if locked(state).is_cut() {
                return Ok(());
            }
            bail!("the worker of round {} failed with the power on: {}", names.1, worker.wait()?);
        };
        heard += 1;
        let done = line == Line::Done;
        model.hear(line, found);
        if done {
            break;
        }
        worker.go_on();
    }
    worker.kill()
}

/// `cuts` power cuts of a file system of the kernel.
///
/// # Errors
///
/// If something acknowledged is lost.
pub(crate) fn disk(kind: DiskKind, seed: u64, cuts: u64) -> Result<()> {
    let bench = Bench::new(kind)?;
    let mut tally = Tally::default();
    let (mut runs, mut flushes) = (0, 0);
    let mut start = None;
    while tally.cuts < cuts {
        let begins = runs % RUNS_OF_A_DISK == 0;
        let from = start.take().filter(|_| !begins);
        let left = (cuts - tally.cuts).min(CUTS_OF_A_RUN);
        let from = match from {
            Some(from) => from,
            None => Start::new(&bench.empty, Random::of(seed, &[8, runs]).next())?,
        };
        let outcome = bench.run(from, runs, left, &mut tally);
        let (next, more) = outcome.with_context(|| {
            format!("run {runs} of `powercut --on {} --seed {seed}`", kind.name)
        })?;
        start = Some(next);
        flushes += more;
        runs += 1;
    }
    tally.print(kind.name);
    println!("powercut {}: {runs} runs with {flushes} flushes", kind.name);
    Ok(())
}

/// What a run begins with.
#[derive(Debug)]
struct Start {
    image: Pages,
    seed: u64,
    blobs: Blobs,
    model: Model,
    found: Found,
}

impl Start {
    fn new(image: &Pages, seed: u64) -> Result<Self> {
        Ok(Self {
            image: image.clone(),
            seed,
            blobs: Blobs::new(seed)?,
            model: Model::default(),
            found: Found::new(),
        })
    }
}

/// Where disks are mounted.
#[derive(Debug)]
struct Bench {
    kind: DiskKind,
    dir: TempDir,
    /// A disk on which nothing is but the file system.
    empty: Pages,
}

impl Bench {
    fn new(kind: DiskKind) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        for name in ["block", "disk"] {
            fs::create_dir(dir.path().join(name))?;
        }
        let image = dir.path().join("image");
        File::create(&image)?.set_len(DISK_BYTES)?;
        run(Command::new(kind.mkfs).args(kind.options).arg(&image))?;
        let empty = load(&image)?;
        fs::remove_file(image)?;
        Ok(Self { kind, dir, empty })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Mounts a disk, lets somebody use it, and unmounts it. An error of theirs comes first.
    fn mounted<T>(&self, log: &Arc<Mutex<Log>>, run: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
        let fuse = Fuse::mount(BlockFile(Arc::clone(log)), &self.path("block"))?;
        let mounted = self.path("disk");
        let disk = Loop::mount(&self.path("block").join(NAME), &mounted, self.kind.name)?;
        let outcome = run(&mounted);
        let unmounted = disk.unmount().and_then(|()| fuse.unmount());
        let outcome = outcome?;
        unmounted.map(|()| outcome)
    }

    /// Records a worker, and looks at the disk as it would be after a cut at several moments.
    /// Returns one of them to go on with, and how often the disk was flushed.
    fn run(&self, start: Start, round: u64, cuts: u64, tally: &mut Tally) -> Result<(Start, u64)> {
        let Start { image, seed, blobs, model, found } = start;
        let mut random = Random::of(seed, &[9, round]);
        let log = Arc::new(Mutex::new(Log::new(image, DISK_BYTES)));
        let said = self.mounted(&log, |dir| record(dir, (seed, round), &log))?;
        // What came later was written when the disk was unmounted.
        let end = said.last().map_or(0, |(moment, _)| *moment);
        let log = locked(&log);
        let mut left = None;
        for _ in 0..cuts {
            let any = usize::try_from(random.below(end as u64 + 1))?;
            let at_flush = random.chance(30);
            let moment = if at_flush { log.flushed_before(any) } else { any };
            let kept = if at_flush { Kept::Everything } else { Kept::draw(&mut random) };
            let image = log.image(moment, kept, &mut random);
            let mut model = model.clone();
            let before = model.acknowledged();
            for (_, line) in said.iter().filter(|(heard, _)| *heard <= moment) {
                model.hear(line.clone(), &found);
            }
            let copy = Arc::new(Mutex::new(Log::new(image.clone(), DISK_BYTES)));
            let checked =
                self.mounted(&copy, |dir| check(dir, (seed, round), &blobs, &model, End::PowerCut));
            let found = checked.with_context(|| {
                format!("cut {} at write {moment} of {end}, kept {kept:?}", tally.cuts)
            })?;
            let after = model.acknowledged();
            tally.acks += after.0 - before.0;
            tally.facts += after.1 - before.1;
            tally.cuts += 1;
            left = Some((image, model, found));
        }
        let (image, model, found) = left.context("no cut")?;
        Ok((Start { image, seed, blobs, model, found }, log.flushes()))
    }
}

/// Hears a worker out, each line with the moment at which it was said.
fn record(dir: &Path, names: (u64, u64), log: &Mutex<Log>) -> Result<Vec<(usize, Line)>> {
    let mut worker = Worker::start(dir, names, STEPS, true)?;
    let mut said = Vec::new();
    loop {
        let Some(line) = worker.next()? else {
            bail!("the worker failed with the power on: {}", worker.wait()?);
        };
        let done = line == Line::Done;
        said.push((locked(log).len(), line));
        if done {
            worker.kill()?;
            return Ok(said);
        }
        worker.go_on();
    }
}

/// The image in a file, without its holes.
fn load(path: &Path) -> Result<Pages> {
    let mut file = File::open(path)?;
    let (mut pages, mut at) = (Pages::default(), 0);
    let mut buf = vec![0; 4096];
    for _ in 0..DISK_BYTES / 4096 {
        file.read_exact(&mut buf)?;
        if buf.iter().any(|byte| *byte != 0) {
            pages.write(at, &buf);
        }
        at += 4096;
    }
    Ok(pages)
}
