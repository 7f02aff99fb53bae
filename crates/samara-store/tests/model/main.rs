//! Random operations on a store, with reopening and crashes, against a map.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use proptest::prelude::*;
use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_store::{
    ReadError, Store, Target,
    disk::{Disk as _, MemDisk},
};
use support::{Holder, bytes, open};

#[derive(Clone, Debug)]
enum Op {
    Put {
        size: usize,
        seed: u8,
    },
    Import {
        size: usize,
        seed: u8,
    },
    Share {
        size: usize,
        seed: u8,
    },
    /// Changes the shared file of this seed.
    Touch {
        seed: u8,
    },
    Receive {
        size: usize,
        seed: u8,
        group: u8,
        skip: u8,
        finish: bool,
        file: bool,
    },
    Remove {
        which: usize,
    },
    Tag {
        which: usize,
        name: u8,
    },
    Rot {
        which: usize,
        at: usize,
    },
    Checkpoint,
    Reopen,
    Crash,
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        Just(0),
        1..3000usize,
        Just(16_384),
        Just(16_385),
        17_000..200_000usize,
        1_050_000..1_200_000usize,
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let seed = || 0..4u8;
    prop_oneof![
        3 => (size(), seed()).prop_map(|(size, seed)| Op::Put { size, seed }),
        2 => (size(), seed()).prop_map(|(size, seed)| Op::Import { size, seed }),
        2 => (size(), seed()).prop_map(|(size, seed)| Op::Share { size, seed }),
        1 => seed().prop_map(|seed| Op::Touch { seed }),
        4 => (size(), seed(), 0..8u8, 0..4u8, any::<bool>(), any::<bool>()).prop_map(
            |(size, seed, group, skip, finish, file)| {
                Op::Receive { size, seed, group, skip, finish, file }
            },
        ),
        1 => any::<usize>().prop_map(|which| Op::Remove { which }),
        1 => (any::<usize>(), seed()).prop_map(|(which, name)| Op::Tag { which, name }),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(which, at)| Op::Rot { which, at }),
        1 => Just(Op::Checkpoint),
        2 => Just(Op::Reopen),
        1 => Just(Op::Crash),
    ]
}

/// What should be held of a blob.
#[derive(Clone, Debug, Default)]
struct Blob {
    data: Vec<u8>,
    held: RangeSet,
    /// Files that it is shared from in place, by seed.
    shared: BTreeSet<u8>,
    /// In segments or in a file that was received.
    stored: bool,
}

#[derive(Clone, Debug, Default)]
struct State {
    blobs: BTreeMap<BlobId, Blob>,
    tags: BTreeMap<u8, BlobId>,
}

struct World {
    disk: MemDisk,
    store: Option<Store>,
    now: State,
    durable: State,
    /// Names for new files, so that none is used twice.
    names: u32,
}

impl World {
    fn new() -> Self {
        let disk = MemDisk::new();
        disk.open_dir(Path::new("/home"), true).unwrap();
        disk.sync_parent(Path::new("/home")).unwrap();
        let store = Some(open(&disk));
        Self { disk, store, now: State::default(), durable: State::default(), names: 0 }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn all(data: &[u8]) -> RangeSet {
        RangeSet::from(0..samara_base::leaves(data.len() as u64))
    }

    fn which(&self, which: usize) -> Option<BlobId> {
        let count = self.now.blobs.len();
        (count > 0).then(|| *self.now.blobs.keys().nth(which % count).unwrap())
    }

    fn complete(&mut self, id: BlobId, data: Vec<u8>) {
        let held = Self::all(&data);
        let blob = self.now.blobs.entry(id).or_default();
        if blob.held != held {
            *blob = Blob { data, held, shared: BTreeSet::new(), stored: true };
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Put { size, seed } => {
                let data = bytes(size, seed.into());
                let id = self.store().put(&data).unwrap();
                self.complete(id, data);
            }
            Op::Import { size, seed } => {
                let data = bytes(size, seed.into());
                let id = self.store().import(data.as_slice(), &mut |_| ()).unwrap().id;
                self.complete(id, data);
            }
            Op::Share { size, seed } => self.share(size, seed),
            Op::Touch { seed } => {
                let path = format!("/home/share-{seed}");
                if self.disk.read_file(Path::new(&path)).is_some() {
                    self.overwrite(seed, &bytes(99, 99));
                }
            }
            Op::Receive { size, seed, group, skip, finish, file } => {
                self.receive(size, seed, group, skip, finish, file);
            }
            Op::Remove { which } => {
                if let Some(id) = self.which(which) {
                    assert!(self.store().remove(&id).unwrap());
                    self.now.blobs.remove(&id);
                    // From here on nothing is promised: it may be back after a crash, or not.
                    self.durable.blobs.remove(&id);
                }
            }
            Op::Tag { which, name } => {
                if let Some(id) = self.which(which) {
                    self.store().tag(&[name], &id).unwrap();
                    self.now.tags.insert(name, id);
                }
            }
            Op::Rot { which, at } => self.rot(which, at),
            Op::Checkpoint => self.checkpoint(),
            Op::Reopen => {
                self.checkpoint();
                self.store = None;
                self.store = Some(open(&self.disk));
            }
            Op::Crash => {
                self.store = None;
                self.disk.crash(None);
                self.store = Some(open(&self.disk));
                self.adopt();
            }
        }
    }

    fn checkpoint(&mut self) {
        self.store().checkpoint().unwrap();
        self.durable = self.now.clone();
    }

    /// After a crash the store holds what was acknowledged, and perhaps more; from here on the
    /// model follows what it holds.
    fn adopt(&mut self) {
        let store = self.store.clone().unwrap();
        let mut now = State::default();
        for (name, id) in store.tags().unwrap() {
            now.tags.insert(name[0], id);
        }
        for (name, id) in &self.durable.tags {
            let found = now.tags.get(name);
            assert!(found == Some(id) || found == self.now.tags.get(name), "tag {name}");
        }
        for stat in store.list(None, usize::MAX).unwrap() {
            let known = self.now.blobs.get(&stat.id).or_else(|| self.durable.blobs.get(&stat.id));
            // A blob that was removed may be back.
            let Some(known) = known else { continue };
            // Whether a shared file changed meanwhile shows when it is opened.
            let held = match store.reader(&stat.id) {
                Ok(reader) => reader.unwrap().held(),
                Err(ReadError::Changed { .. }) => RangeSet::new(),
                Err(error) => panic!("{error}"),
            };
            now.blobs.insert(stat.id, Blob { held, ..known.clone() });
        }
        for (id, blob) in &self.durable.blobs {
            let held = now.blobs.get(id).map(|blob| blob.held.clone()).unwrap_or_default();
            let gone = blob.held.difference(&held);
            let newer = self.now.blobs.get(id).map(|blob| blob.held.clone()).unwrap_or_default();
            // What was lost since by rot or a changed file may be lost on the disk as well.
            assert!(gone.intersection(&newer).is_empty(), "{id}: {gone} is gone");
        }
        self.now = now;
        self.checkpoint();
    }

    fn overwrite(&mut self, seed: u8, data: &[u8]) {
        let path = format!("/home/share-{seed}");
        self.disk.write_file(Path::new(&path), data, true).unwrap();
        for state in [&mut self.now, &mut self.durable] {
            for blob in state.blobs.values_mut() {
                if blob.shared.remove(&seed) && blob.shared.is_empty() && !blob.stored {
                    blob.held = RangeSet::new();
                }
            }
        }
    }

    fn share(&mut self, size: usize, seed: u8) {
        let data = bytes(size, seed.into());
        self.overwrite(seed, &data);
        let root = self.store().root(Path::new("/home")).unwrap();
        let rel = format!("share-{seed}").into_bytes();
        let id = self.store().share_in_place(root, &rel, &mut |_| ()).unwrap().id;
        let held = Self::all(&data);
        let blob = self.now.blobs.entry(id).or_default();
        if blob.held != held {
            *blob = Blob { data, held, ..Blob::default() };
        }
        blob.shared.insert(seed);
        if blob.shared.len() > 1 || blob.stored {
            // Which of its places survives a crash could not be told afterwards.
            self.checkpoint();
        }
    }

    fn receive(&mut self, size: usize, seed: u8, group: u8, skip: u8, finish: bool, file: bool) {
        let holder = Holder::new(bytes(size, seed.into()));
        let store = self.store().clone();
        self.names += 1;
        let target = if file {
            let root = store.staging_root(Path::new("/home/staging")).unwrap();
            let rel = format!("d/{}", self.names).into_bytes();
            Target::File { root, rel, mode: 0o644, mtime: None }
        } else {
            Target::Segments
        };
        let receiver = store.receive(&holder.id, holder.size(), &target).unwrap();
        let group = GroupLog2::new(group).unwrap();
        for (at, range) in holder.transfers(group, 64).into_iter().enumerate() {
            if !finish && at % 4 == usize::from(skip) {
                continue;
            }
            let known = receiver.known();
            let (proof, data) = holder.send(group, &range, &known);
            receiver.ingest(group, range.start, &known, &proof, &data).unwrap();
        }
        let held = receiver.held();
        if finish || receiver.is_complete() {
            assert!(receiver.finish().unwrap().complete);
        }
        let old = self.now.blobs.get(&holder.id).cloned().unwrap_or_default();
        if held.is_empty() {
            return;
        }
        let stored = old.stored || old.held.is_empty();
        let data = holder.data;
        self.now.blobs.insert(holder.id, Blob { data, held, stored, ..old });
    }

    /// Flips a bit of a shared file, without changing its time.
    fn rot(&mut self, which: usize, at: usize) {
        let Some(id) = self.which(which) else { return };
        let blob = self.now.blobs[&id].clone();
        let Some(&seed) = blob.shared.first() else { return };
        if blob.stored || blob.shared.len() > 1 || blob.held.is_empty() {
            return;
        }
        let path = format!("/home/share-{seed}");
        let path = Path::new(&path);
        let mut data = self.disk.read_file(path).unwrap();
        if data != blob.data || data.is_empty() {
            return;
        }
        let at = at % data.len();
        data[at] ^= 4;
        self.disk.write_file(path, &data, false).unwrap();
        let leaf = at as u64 / 1024;
        let group =
            GroupLog2::KIB16.align(&(leaf..leaf + 1), samara_base::leaves(data.len() as u64));
        let reader = match self.store().reader(&id) {
            Ok(Some(reader)) => reader,
            other => panic!("{other:?}"),
        };
        let start = group.start * 1024;
        match reader.read(start..data.len().min(usize::try_from(group.end * 1024).unwrap()) as u64)
        {
            Err(ReadError::Damaged { ranges }) => assert_eq!(ranges, RangeSet::from(group.clone())),
            // A group that was fetched again is read from its copy.
            Ok(read) => {
                assert_eq!(read, blob.data[usize::try_from(start).unwrap()..][..read.len()]);
                return;
            }
            Err(error) => panic!("{error}"),
        }
        // The file is not the blob any more, but the model is told only of this group.
        let blob = self.now.blobs.get_mut(&id).unwrap();
        blob.held.remove(group);
        self.durable = self.now.clone();
    }

    fn check(&self) {
        let store = self.store();
        for (id, blob) in &self.now.blobs {
            let reader = match store.reader(id) {
                Ok(Some(reader)) => reader,
                Err(ReadError::Changed { .. }) if blob.held.is_empty() => continue,
                Ok(None) if blob.held.is_empty() => continue,
                other => panic!("{id}: {other:?} of {:?}", blob.held),
            };
            let held = reader.held();
            assert_eq!(held, blob.held, "{id}");
            assert_eq!(store.stat(id).unwrap().unwrap().held, held);
            for run in held.runs() {
                let end = (run.end * 1024).min(blob.data.len() as u64);
                let read = reader.read(run.start * 1024..end).unwrap();
                let from = usize::try_from(run.start * 1024).unwrap();
                assert_eq!(read, blob.data[from..usize::try_from(end).unwrap()]);
            }
        }
        let tags: Vec<_> = self.now.tags.iter().map(|(name, id)| (vec![*name], *id)).collect();
        assert_eq!(store.tags().unwrap(), tags);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_operations_equals_the_model(ops in prop::collection::vec(op(), 1..25)) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
            world.check();
        }
    }
}
