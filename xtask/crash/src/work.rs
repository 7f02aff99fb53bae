//! The worker: a process that uses a store on the machine's own disk and says what it does, until it
//! is killed or its disk fails.

use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail};
use samara_base::{GroupLog2, RangeSet};
use samara_chunk::ChunkerParams;
use samara_store::{BlobPlace, Compression, Options, Quotas, Receiver, RootId, Store, Target};

use crate::{
    blobs::{Blob, Blobs, COUNT, FIRST_SMALL},
    model::{Key, Line, Value},
    random::Random,
};

/// Where the store is: in directories that it has to make itself.
pub(crate) const STORE: &str = "by/itself/store";

/// Permission bits of what is received.
pub(crate) const MODE: u32 = 0o640;

/// How blobs are cut. Unequal cuts of the same bytes make unequal chunks.
const CHUNKING: [Option<ChunkerParams>; 5] = [
    None,
    Some(ChunkerParams::Kib16),
    Some(ChunkerParams::Kib16),
    Some(ChunkerParams::Kib32),
    Some(ChunkerParams::Kib64),
];

/// Names that tags have at most.
const TAGS: u64 = 12;

/// Why blobs are pinned.
pub(crate) const REASON: &[u8] = b"run";

/// The time of the last change that a received file gets.
pub(crate) const fn mtime(blob: u32) -> Duration {
    Duration::new(1_500_000_000 + blob as u64, 123_456_700)
}

/// Options of a round: each time others.
pub(crate) fn options(seed: u64, round: u64) -> Options {
    let mut random = Random::of(seed, &[3, round]);
    let roll = |from: &[u64], random: &mut Random| random.pick(from).copied().unwrap_or_default();
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Options {
        segment_bytes: roll(&[1 << 20, 2 << 20, 5 << 20, 64 << 20], &mut random),
        cache_bytes: count(roll(&[1 << 16, 1 << 20, 6 << 20], &mut random)),
        checkpoint_bytes: roll(&[1 << 18, 1 << 20, 8 << 20, 256 << 20], &mut random),
        checkpoint_rows: count(roll(&[4, 32, 512, 32_768], &mut random)),
        reserve_bytes: 0,
        chunking: random.pick(&CHUNKING).copied().flatten(),
        compression: random.pick(&[None, Some(Compression::FAST)]).copied().flatten(),
        quotas: Quotas::default(),
    }
}

/// Says what happens, and goes on when it was heard: so whoever listens knows what came before and
/// what after.
#[derive(Debug, Default)]
struct Talk {
    one_at_a_time: Mutex<()>,
    /// Up to this number all calls have returned.
    ended: AtomicU64,
}

impl Talk {
    fn say(&self, line: &Line) -> Result<()> {
        let _lock = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = io::stdout().lock();
        out.write_all(format!("{}\n", line.to_text()).as_bytes())?;
        out.flush()?;
        let mut answer = String::new();
        if io::stdin().read_line(&mut answer)? == 0 {
            bail!("nobody listens any more");
        }
        Ok(())
    }

    fn checkpoint(&self, store: &Store) -> Result<()> {
        let ended = self.ended.load(Ordering::Acquire);
        store.checkpoint()?;
        self.say(&Line::Ack(ended))
    }
}

#[derive(Debug)]
struct Worker {
    store: Store,
    blobs: Blobs,
    home: RootId,
    dir: PathBuf,
    random: Random,
    talk: Arc<Talk>,
    number: u64,
    round: u64,
}

/// Works in a directory: `steps` random steps that depend on seed and round alone.
///
/// # Errors
///
/// The first failure of the store, or of whoever listens.
pub(crate) fn work(dir: &Path, seed: u64, round: u64, steps: u64) -> Result<()> {
    let home = dir.join("home");
    fs::create_dir_all(&home)?;
    fs::File::open(dir)?.sync_all()?;
    let store = Store::open(&dir.join(STORE), options(seed, round))?;
    let talk = Arc::new(Talk::default());
    talk.say(&Line::Opened)?;
    let mut worker = Worker {
        home: store.root(&home)?,
        blobs: Blobs::new(seed)?,
        dir: home,
        random: Random::of(seed, &[4, round]),
        talk: Arc::clone(&talk),
        number: 0,
        round,
        store: store.clone(),
    };
    // In half of the rounds somebody else takes checkpoints, as fast as there is something new.
    let beside = worker.random.chance(50);
    thread::scope(|scope| {
        let (wake, woken) = mpsc::sync_channel(1);
        let other = scope.spawn(move || woken.iter().try_for_each(|()| talk.checkpoint(&store)));
        let result = (0..steps).try_for_each(|_| {
            worker.step()?;
            if beside {
                // Whoever is not ready yet has been woken already.
                let _ = wake.try_send(());
            }
            Ok(())
        });
        drop(wake);
        let other = other.join().map_err(|_| anyhow!("the other thread panicked"))?;
        result.and(other)
    })?;
    worker.talk.say(&Line::Done)
}

impl Worker {
    fn step(&mut self) -> Result<()> {
        match self.random.below(100) {
            0..22 => self.put(),
            22..30 => self.import(),
            30..50 => self.receive(),
            50..58 => self.burst(),
            58..64 => self.share(),
            64..72 => self.tag(),
            72..77 => self.pin(),
            77..85 => self.remove(),
            85..89 => self.read(),
            89..94 => self.publish(),
            94..97 => self.export(),
            _ => self.tree(),
        }?;
        if self.random.chance(12) {
            self.talk.checkpoint(&self.store)?;
        }
        Ok(())
    }

    /// Makes a call that changes facts.
    fn call<T>(
        &mut self,
        facts: impl IntoIterator<Item = (Key, Value)>,
        make: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        self.number += 1;
        for (key, value) in facts {
            self.talk.say(&Line::Begin(self.number, key, value))?;
        }
        let made = make(self)?;
        self.talk.say(&Line::End(self.number))?;
        self.talk.ended.store(self.number, Ordering::Release);
        Ok(made)
    }

    fn any(&mut self) -> u32 {
        u32::try_from(self.random.below(COUNT.into())).unwrap_or_default()
    }

    fn any_small(&mut self) -> u32 {
        FIRST_SMALL + self.any() % (COUNT - FIRST_SMALL)
    }

    /// A name that was never used before.
    fn name(&self, kind: &str) -> String {
        format!("{kind}-{}-{}", self.round, self.number)
    }

    fn put(&mut self) -> Result<()> {
        let blob = self.any();
        self.call([(Key::Blob(blob), Value::Whole)], |worker| {
            Ok(worker.store.put(&worker.blobs.get(blob)?.data)?)
        })?;
        Ok(())
    }

    fn import(&mut self) -> Result<()> {
        let blob = self.any();
        self.call([(Key::Blob(blob), Value::Whole)], |worker| {
            Ok(worker.store.import(worker.blobs.get(blob)?.data.as_slice(), &mut |_| ())?)
        })?;
        Ok(())
    }

    /// Receives a part of a blob or all of it, and perhaps goes on with what an earlier round began.
    fn receive(&mut self) -> Result<()> {
        let number = self.any() % FIRST_SMALL;
        let new_file = format!("{}.part", self.name("r"));
        let to_file = self.random.chance(60);
        let target = if to_file { self.target(new_file.into()) } else { Target::Segments };
        let target = with_mtime(target, mtime(number));
        let held = Value::Held(RangeSet::new());
        let before = self.store.stat(&self.blobs.get(number)?.id)?;
        let receiver = {
            let facts = before.is_none().then_some((Key::Blob(number), held));
            self.call(facts, |worker| {
                let blob = worker.blobs.get(number)?;
                Ok(worker.store.receive(&blob.id, blob.size(), &target)?)
            })?
        };
        self.ingest(number, &receiver)?;
        if !receiver.is_complete() || self.random.chance(20) {
            return Ok(());
        }
        let file = match self.place(number)? {
            Some(name) => vec![(Key::File(name), Value::Blob(number))],
            None => vec![],
        };
        self.call(file.into_iter().chain([(Key::Blob(number), Value::Whole)]), |_| {
            Ok(receiver.finish()?)
        })?;
        Ok(())
    }

    fn ingest(&mut self, number: u32, receiver: &Receiver) -> Result<()> {
        let group = *self.random.pick(&[GroupLog2::KIB16, GroupLog2::KIB64]).context("no group")?;
        let leaves = self.blobs.get(number)?.leaves();
        let step = group.leaves() << self.random.below(4);
        let missing = |receiver: &Receiver| {
            (0..leaves.div_ceil(step))
                .map(|at| at * step..((at + 1) * step).min(leaves))
                .filter(|range| !receiver.held().contains_range(range))
                .collect::<Vec<_>>()
        };
        let mut ranges = missing(receiver);
        if self.random.chance(70) {
            self.random.shuffle(&mut ranges);
        }
        if self.random.chance(40) {
            let count = self.random.below(ranges.len() as u64 + 1);
            ranges.truncate(usize::try_from(count)?);
        }
        for range in ranges {
            let mut held = receiver.held();
            if held.intersects(&range) {
                // A part of it is held from another round with other steps: that is for another time.
                continue;
            }
            held.insert(range.clone());
            self.call([(Key::Blob(number), Value::Held(held))], |worker| {
                let base = receiver.known();
                let (proof, data) = worker.blobs.get(number)?.send(group, &range, &base)?;
                Ok(receiver.ingest(group, range.start, &base, &proof, data)?)
            })?;
            if self.random.chance(10) {
                self.talk.checkpoint(&self.store)?;
            }
        }
        Ok(())
    }

    /// Many small files, each received in one call.
    fn burst(&mut self) -> Result<()> {
        for at in 0..2 + self.random.below(28) {
            let number = self.any_small();
            let name = format!("{}-{at}", self.name("s"));
            let target = with_mtime(self.target(name.clone().into()), mtime(number));
            let facts = [(Key::Blob(number), Value::Whole), (Key::File(name), Value::Blob(number))];
            self.call(facts, |worker| {
                let blob = worker.blobs.get(number)?;
                Ok(worker.store.receive_small(&blob.id, &target, &blob.data)?)
            })?;
        }
        Ok(())
    }

    /// A file of the user's is shared where it lies.
    fn share(&mut self) -> Result<()> {
        let (number, name) = (self.any(), self.name("u"));
        let path = self.dir.join(&name);
        let mut file = fs::File::create(&path)?;
        file.write_all(&self.blobs.get(number)?.data)?;
        file.sync_all()?;
        fs::File::open(&self.dir)?.sync_all()?;
        let facts =
            [(Key::Blob(number), Value::Whole), (Key::File(name.clone()), Value::Blob(number))];
        self.call(facts, |worker| {
            Ok(worker.store.share_in_place(worker.home, name.as_bytes(), &mut |_| ())?)
        })?;
        Ok(())
    }

    fn tag(&mut self) -> Result<()> {
        let tag = u32::try_from(self.random.below(TAGS))?;
        let name = format!("t{tag}");
        let number = self.any();
        let value = if self.random.chance(70) { Value::Blob(number) } else { Value::Nothing };
        self.call([(Key::Tag(tag), value.clone())], |worker| {
            match value {
                Value::Nothing => worker.store.untag(name.as_bytes())?,
                _ => worker.store.tag(name.as_bytes(), &worker.blobs.get(number)?.id)?,
            }
            Ok(())
        })
    }

    fn pin(&mut self) -> Result<()> {
        let number = self.any();
        let value = if self.random.chance(60) { Value::Whole } else { Value::Nothing };
        self.call([(Key::Pin(number), value.clone())], |worker| {
            let id = &worker.blobs.get(number)?.id;
            match value {
                Value::Nothing => worker.store.unpin(id, REASON)?,
                _ => worker.store.pin(id, REASON)?,
            }
            Ok(())
        })
    }

    /// One blob goes, or many at once: only so whole segments become empty.
    fn remove(&mut self) -> Result<()> {
        let last = self.any();
        let first = if self.random.chance(15) { 0 } else { last };
        for number in first..=last {
            self.call([(Key::Blob(number), Value::Nothing)], |worker| {
                Ok(worker.store.remove(&worker.blobs.get(number)?.id)?)
            })?;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<()> {
        let number = self.any();
        let blob = self.blobs.get(number)?;
        let Some(reader) = self.store.reader(&blob.id)? else { return Ok(()) };
        for run in reader.held().runs() {
            let bytes = blob.leaf_bytes(run);
            if reader.read(bytes.clone())? != blob.part(&bytes)? {
                bail!("blob {number} was read as something else");
            }
        }
        Ok(())
    }

    /// Moves a received file to its final name.
    fn publish(&mut self) -> Result<()> {
        let candidates = (0..FIRST_SMALL)
            .map(|number| Ok(self.place(number)?.map(|name| (number, name))))
            .collect::<Result<Vec<_>>>()?;
        let mut candidates: Vec<_> = candidates.into_iter().flatten().collect();
        candidates.retain(|(number, name)| {
            name.ends_with(".part") && name.starts_with('r') && self.is_finished(*number)
        });
        let Some((number, old)) = self.random.pick(&candidates).cloned() else { return Ok(()) };
        let new = format!("{}-{old}", self.name("rp")).replace(".part", "");
        let target = self.target(old.clone().into());
        let facts =
            [(Key::File(new.clone()), Value::Blob(number)), (Key::File(old), Value::Nothing)];
        self.call(facts, |worker| {
            let id = &worker.blobs.get(number)?.id;
            Ok(worker.store.publish_file(id, &target, new.as_bytes(), false)?)
        })?;
        // Durable on return, and all that was before with it.
        self.talk.say(&Line::Ack(self.number))
    }

    fn export(&mut self) -> Result<()> {
        let number = self.any();
        if !self.is_finished(number) {
            return Ok(());
        }
        let name = self.name("e");
        let path = self.dir.join(&name);
        self.call([(Key::File(name), Value::Blob(number))], |worker| {
            Ok(worker.store.export(&worker.blobs.get(number)?.id, &path, false)?)
        })?;
        self.talk.say(&Line::Sure(self.number))
    }

    /// A folder is received into a staging directory, which then gets its name.
    fn tree(&mut self) -> Result<()> {
        let name = self.name("tree");
        let staging = self.dir.join(format!("{name}.part"));
        let root = self.store.staging_root(&staging)?;
        let mut files = Vec::new();
        for at in 0..1 + self.random.below(24) {
            let number = self.any_small();
            let rel = format!("d{}/s{at}", at % 3);
            files.push((Key::File(format!("{name}/{rel}")), Value::Blob(number)));
            let target = Target::File { root, rel: rel.into(), mode: MODE, mtime: None };
            let target = with_mtime(target, mtime(number));
            self.call([(Key::Blob(number), Value::Whole)], |worker| {
                let blob = worker.blobs.get(number)?;
                Ok(worker.store.receive_small(&blob.id, &target, &blob.data)?)
            })?;
        }
        if self.random.chance(30) {
            self.talk.checkpoint(&self.store)?;
        }
        let path = self.dir.join(&name);
        self.call(files, |worker| Ok(worker.store.publish_root(root, &path)?))?;
        self.talk.say(&Line::Ack(self.number))
    }

    fn target(&self, rel: Vec<u8>) -> Target {
        Target::File { root: self.home, rel, mode: MODE, mtime: None }
    }

    fn is_finished(&self, number: u32) -> bool {
        let stat = self.blobs.get(number).map(|blob: &Blob| self.store.stat(&blob.id));
        matches!(stat, Ok(Ok(Some(stat))) if stat.complete)
    }

    /// The file in which a blob is, or is being received, below the root.
    fn place(&self, number: u32) -> Result<Option<String>> {
        let stat = self.store.stat(&self.blobs.get(number)?.id)?;
        let Some(BlobPlace::External(path)) = stat.map(|stat| stat.place) else { return Ok(None) };
        let rel = path.strip_prefix(&self.dir).ok().and_then(Path::to_str);
        Ok(rel.map(str::to_owned))
    }
}

fn with_mtime(target: Target, time: Duration) -> Target {
    match target {
        Target::File { root, rel, mode, .. } => Target::File { root, rel, mode, mtime: Some(time) },
        other => other,
    }
}
