//! A store on a disk in memory, and what it is known to hold.

use core::time::Duration;
use std::{collections::BTreeSet, path::Path};

use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_store::{
    BlobReader, Class, ExportError, FinishError, ReadError, Receiver, Store, Target,
    disk::{Disk as _, MemDisk},
};

use crate::{
    book::{Blob, Book},
    check,
    ops::{Op, Receive},
    reference::{Model, STEP_LEAVES, Seen, group_of},
    support::{bytes, open},
};

const HOUR: Duration = Duration::from_hours(1);

const fn class(carried: bool) -> Class {
    if carried { Class::Carried } else { Class::Own }
}

/// Readers that are kept open at once.
const READERS_MAX: usize = 3;

pub(crate) struct System {
    pub(crate) disk: MemDisk,
    store: Option<Store>,
    /// What the store holds, crashes included.
    pub(crate) model: Model,
    /// Readers that stay open, with the content that they read.
    pub(crate) readers: Vec<(usize, BlobReader)>,
    /// Names for new files, so that none is used twice.
    names: u32,
}

/// The path of a file of the user's.
fn path(file: u8) -> String {
    format!("/home/share-{file}")
}

impl System {
    pub(crate) fn new(model: &Model) -> Self {
        let disk = MemDisk::new();
        disk.open_dir(Path::new("/home"), true).unwrap();
        disk.sync_parent(Path::new("/home")).unwrap();
        let store = Some(open(&disk));
        Self { disk, store, model: model.clone(), readers: Vec::new(), names: 0 }
    }

    pub(crate) fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    /// Takes a step, and remembers what came of it.
    pub(crate) fn follow(&mut self, op: &Op) {
        let seen = self.act(op);
        self.model.step(op, seen);
        self.settle();
    }

    fn act(&mut self, op: &Op) -> Seen {
        match *op {
            Op::Put { at } => {
                let holder = &self.model.pool[at].holder;
                assert_eq!(self.store().put(&holder.data).unwrap(), holder.id);
            }
            Op::Import { at } => {
                let holder = &self.model.pool[at].holder;
                let stat = self.store().import(holder.data.as_slice(), &mut |_| ()).unwrap();
                assert_eq!(stat.id, holder.id);
            }
            Op::Share { at, file } => self.share(at, file),
            Op::Touch { file } => {
                self.disk.write_file(Path::new(&path(file)), &bytes(99, 99), true).unwrap();
            }
            Op::Receive(ref receive) => return Seen::Held(self.receive(receive)),
            Op::Remove { at } => self.remove(at),
            Op::Watch { at } => self.watch(at),
            Op::Export { at } => self.export(at),
            Op::Verify { at } => self.verify(at),
            Op::Tag { at, name } => self.store().tag(&[name], &self.model.id(at)).unwrap(),
            Op::Untag { name } => self.store().untag(&[name]).unwrap(),
            Op::Pin { at, reason } => self.store().pin(&self.model.id(at), &[reason]).unwrap(),
            Op::Unpin { at, reason } => self.store().unpin(&self.model.id(at), &[reason]).unwrap(),
            Op::Lease { at, reason, hours } => {
                let end = HOUR * (self.hour() + u32::from(hours));
                self.store().lease(&self.model.id(at), &[reason], end).unwrap();
            }
            Op::Release { at, reason } => {
                self.store().release(&self.model.id(at), &[reason]).unwrap();
            }
            Op::Pass => {}
            Op::Class { at, carried } => {
                let class = class(carried);
                self.store().set_class(&self.model.id(at), class, HOUR * self.hour()).unwrap();
            }
            Op::Use { at } => {
                self.store().touch(&self.model.id(at), HOUR * self.hour()).unwrap();
            }
            Op::Evict { carried, needed } => return Seen::Gone(self.evict(class(carried), needed)),
            Op::Scrub { budget } => self.scrub(budget),
            Op::Collect => return Seen::Gone(self.collect()),
            Op::Rot { file, byte } => return Seen::Rot(self.rot(file, byte)),
            Op::Checkpoint => self.store().checkpoint().unwrap(),
            Op::Reopen => {
                self.store().checkpoint().unwrap();
                self.close();
                self.store = Some(open(&self.disk));
            }
            Op::Kill => {
                self.close();
                self.disk.power_on();
                return Seen::Left(self.recover());
            }
            Op::Crash { seed } => {
                self.close();
                self.disk.crash(seed);
                return Seen::Left(self.recover());
            }
        }
        Seen::Nothing
    }

    /// Files that were open must not be used over a crash, and a store has one process.
    fn close(&mut self) {
        self.readers.clear();
        self.store = None;
    }

    /// Opens the store after a crash, and makes what is left the new beginning.
    fn recover(&mut self) -> Book {
        self.store = Some(open(&self.disk));
        let left = check::left(self.store(), &self.model);
        self.store().checkpoint().unwrap();
        left
    }

    /// Looks at blobs of which a file has changed and which may be somewhere else.
    fn settle(&mut self) {
        for id in core::mem::take(&mut self.model.doubtful) {
            let held = check::held(self.store(), &id);
            let Some(blob) = self.model.now.blobs.get_mut(&id) else { continue };
            let known = held.is_empty() || held == blob.readable() || held == blob.held;
            assert!(known, "{id}: {held} of {}", blob.held);
            if held.is_empty() {
                blob.held = held;
            }
        }
    }

    fn share(&mut self, at: usize, file: u8) {
        let holder = &self.model.pool[at].holder;
        let path = path(file);
        self.disk.write_file(Path::new(&path), &holder.data, true).unwrap();
        let root = self.store().root(Path::new("/home")).unwrap();
        let rel = path.trim_start_matches("/home/").as_bytes();
        let stat = self.store().share_in_place(root, rel, &mut |_| ()).unwrap();
        assert_eq!((stat.id, stat.size), (holder.id, holder.size()));
    }

    fn remove(&mut self, at: usize) {
        let id = self.model.id(at);
        let found = self.store().remove(&id).unwrap();
        let sure = |blob: &Blob| !blob.held.is_empty() || (blob.complete && !blob.unsure);
        if self.model.blob(at).is_some_and(sure) {
            assert!(found, "{id} was there");
        }
        assert!(self.store().stat(&id).unwrap().is_none());
    }

    fn watch(&mut self, at: usize) {
        if let Ok(Some(reader)) = self.store().reader(&self.model.id(at)) {
            self.readers.truncate(READERS_MAX - 1);
            self.readers.insert(0, (at, reader));
        }
    }

    fn export(&mut self, at: usize) {
        self.names += 1;
        let dest = format!("/home/out-{}", self.names);
        let (id, content) = (self.model.id(at), &self.model.pool[at]);
        let result = self.store().export(&id, Path::new(&dest), false);
        let written = self.disk.read_file(Path::new(&dest));
        if self.model.now.held(&id) == content.all() {
            result.unwrap();
            assert!(written.as_ref() == Some(&content.holder.data), "{id}: another blob");
        } else {
            let refused = matches!(result, Err(ExportError::NotHeld | ExportError::Read(_)));
            assert!(refused, "{id}: {result:?}");
            assert_eq!(written, None, "{id}");
        }
    }

    fn verify(&mut self, at: usize) {
        let holder = &self.model.pool[at].holder;
        let held = self.model.now.readable(&holder.id);
        let Some(report) = self.store().verify(&holder.id, &mut |_| ()).unwrap() else {
            assert!(held.is_empty());
            return;
        };
        let ends = |end: u64| (end * 1024).min(holder.size());
        let bytes: u64 = held.runs().iter().map(|run| ends(run.end) - ends(run.start)).sum();
        let sure = self.model.blob(at).is_some_and(|blob| !blob.unsure);
        assert!(!sure || report.good_bytes == bytes, "{}: {report:?}", holder.id);
        assert!(report.damaged.intersection(&held).is_empty(), "{}", report.damaged);
    }

    fn hour(&self) -> u32 {
        u32::try_from(self.model.hour).unwrap()
    }

    /// The blobs that are gone now: those that were explained, and nothing that is kept.
    fn evict(&mut self, class: Class, needed: u64) -> BTreeSet<BlobId> {
        let (now, hour) = (HOUR * self.hour(), self.model.hour);
        let explained = self.store().explain_eviction(needed, class, now).unwrap();
        let before = self.store().held_bytes();
        let gone = self.store().evict(needed, class, now).unwrap();
        assert_eq!(gone, explained);
        let bytes: u64 = gone.iter().map(|one| one.bytes).sum();
        let last = gone.last().map_or(0, |one| one.bytes);
        assert!(bytes - last < needed, "no more than is needed: {gone:?}");
        let after = self.store().held_bytes();
        let of = |held: samara_store::HeldBytes| held.own + held.carried;
        // Chunks that two of them shared come on top.
        assert!(of(before) - of(after) >= bytes, "{gone:?}: {before:?}, {after:?}");
        for one in &gone {
            assert!(!self.model.now.is_kept(&one.id, hour), "{one:?} is kept");
            let carried = self.model.now.carried.contains(&one.id);
            assert_eq!(carried, class == Class::Carried, "{one:?}");
            assert!(self.store().stat(&one.id).unwrap().is_none());
        }
        gone.iter().map(|one| one.id).collect()
    }

    /// Whatever was damaged has been found by a read before.
    fn scrub(&mut self, budget: u64) {
        let mut rounds = 0;
        loop {
            let report = self.store().scrub(budget).unwrap();
            assert!(report.checked_bytes <= budget + 16_384, "{report:?}");
            assert!(report.damaged.is_empty(), "{report:?}");
            if report.done {
                break;
            }
            rounds += 1;
            assert!(rounds < 10_000_000 / budget + 100, "it ends");
        }
    }

    /// The blobs that are gone now.
    fn collect(&mut self) -> BTreeSet<BlobId> {
        let mut gone = self.model.now.loose(self.model.hour);
        // Of some it is not known whether they are there.
        let there = |id: &BlobId| self.store().stat(id).unwrap().is_some();
        gone.retain(|id| !self.model.now.blobs[id].unsure || there(id));
        let count = self.store().collect(HOUR * self.hour(), &mut |_| false).unwrap();
        // Of some it is not known whether they were complete; the partial ones stay.
        gone.retain(|id| {
            !self.model.now.blobs[id].unsure || self.store().stat(id).unwrap().is_none()
        });
        assert_eq!(count, gone.len() as u64);
        // The class of what is not there is forgotten.
        let store = self.store.as_ref().unwrap();
        self.model.now.carried.retain(|id| {
            let carried = store.class(id).unwrap() == Class::Carried;
            assert!(carried || store.stat(id).unwrap().is_none(), "{id}");
            carried
        });
        gone
    }

    /// Receives a part, and returns what is held then.
    fn receive(&mut self, receive: &Receive) -> RangeSet {
        let holder = self.model.pool[receive.at].holder.clone();
        let store = self.store().clone();
        self.names += 1;
        let target = if receive.file {
            let root = store.staging_root(Path::new("/home/staging")).unwrap();
            let rel = format!("d/{}", self.names).into_bytes();
            Target::File { root, rel, mode: 0o644, mtime: None }
        } else {
            Target::Segments
        };
        let receiver = store.receive(&holder.id, holder.size(), &target).unwrap();
        let old = self.model.blob(receive.at).cloned().unwrap_or_default();
        let known = Blob { held: receiver.held(), ..old.clone() };
        assert_eq!(known.readable(), old.readable(), "{}: it goes on where it was", holder.id);
        let group = GroupLog2::new(receive.group).unwrap();
        for (number, range) in holder.transfers(group, STEP_LEAVES).into_iter().enumerate() {
            if receive.sends(number) {
                let known = receiver.known();
                let (proof, mut data) = holder.send(group, &range, &known);
                let lie = self.model.lie(receive).filter(|leaf| range.contains(leaf));
                if let Some(leaf) = lie {
                    data[usize::try_from((leaf - range.start) * 1024).unwrap()] ^= 1;
                }
                let got = receiver.ingest(group, range.start, &known, &proof, &data).unwrap();
                if let Some(leaf) = lie {
                    assert!(!got.good.contains(leaf), "{got:?}: {leaf} is false");
                    assert!(got.bad.contains(leaf) || known.contains(leaf), "{got:?}: {leaf}");
                }
                assert!(lie.is_some() || got.bad.is_empty(), "{got:?} of what is right");
                assert_eq!(receiver.held(), known.union(&got.good));
            }
        }
        finish(&receiver, holder.leaves());
        receiver.held()
    }

    /// Flips a bit of a shared file. Whether it was found; `None` if there was nothing to flip.
    fn rot(&mut self, file: u8, byte: usize) -> Option<bool> {
        if !self.model.can_rot(file) {
            return None;
        }
        let holder = self.model.pool[self.model.files[&file].at?].holder.clone();
        let path = path(file);
        let byte = byte % holder.data.len();
        let mut data = holder.data.clone();
        data[byte] ^= 4;
        self.disk.write_file(Path::new(&path), &data, false).unwrap();
        let group = group_of(&holder, byte);
        if !self.model.now.held(&holder.id).contains_range(&group) {
            return Some(false);
        }
        let reader = self.store().reader(&holder.id).unwrap().unwrap();
        let (start, end) = (group.start * 1024, (group.end * 1024).min(holder.size()));
        match reader.read(start..end) {
            Err(ReadError::Damaged { ranges }) => {
                assert_eq!(ranges, RangeSet::from(group));
                Some(true)
            }
            // A group that was fetched again is read from its copy.
            Ok(read) => {
                assert_eq!(read, holder.data[usize::try_from(start).unwrap()..][..read.len()]);
                Some(false)
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Ends a receive, and looks at what the store says about that.
fn finish(receiver: &Receiver, leaves: u64) {
    let missing = receiver.held().complement(leaves);
    match receiver.finish() {
        Ok(stat) => assert!(stat.complete && missing.is_empty(), "{missing} is missing"),
        Err(FinishError::Incomplete { missing: named }) => {
            assert_eq!(named, missing);
            assert!(!receiver.is_complete() && !missing.is_empty());
        }
        Err(error) => panic!("{error}"),
    }
}
