//! The index is lost or damaged, and made again from the segments.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_store::{
    Audit, OpenError, Options, Rebuilt, Store, Target,
    disk::{Disk as _, Fault, MemDisk},
};
use support::{DIR, Holder, bytes, open, options, try_open};

const INDEX: &str = "/store/index.redb";

/// The blobs of a store, with what they are.
type Blobs = BTreeMap<BlobId, Vec<u8>>;

/// A store with blobs of all kinds in its segments, each of which `blobs` has, and one that was
/// removed.
fn prepared() -> (MemDisk, Blobs, BlobId) {
    prepared_with(options())
}

/// The ways of storing what is imported: in chunks, and not.
fn ways() -> [Options; 2] {
    [options(), Options { chunking: None, ..options() }]
}

fn prepared_with(options: Options) -> (MemDisk, Blobs, BlobId) {
    let disk = MemDisk::new();
    let store = Store::open_on(Arc::new(disk.clone()), Path::new(DIR), options).unwrap();
    let mut blobs = Blobs::new();
    for (len, seed) in [(0, 1), (3, 2), (16_384, 3), (16_385, 4), (70_000, 5)] {
        let data = bytes(len, seed);
        blobs.insert(store.put(&data).unwrap(), data);
    }
    // Longer than a segment, so in several of them; one begins like the other, and is imported
    // while the other one is.
    let gone = store.put(&bytes(50_000, 6)).unwrap();
    let outer = bytes(2_200_000, 7);
    let inner = [&outer[..1_100_000], &bytes(20_000, 8)].concat();
    let reader = Interrupted { data: &outer, at: 1_200_000, store: &store, other: &inner };
    let stat = store.import(reader, &mut |_| ()).unwrap();
    blobs.insert(stat.id, outer);
    blobs.insert(samara_tree::hash(&inner), inner);
    for (len, group) in [(9_000, GroupLog2::MIN), (200_000, GroupLog2::KIB64)] {
        let holder = Holder::new(bytes(len, len as u64));
        receive(&store, &holder, group, usize::MAX);
        blobs.insert(holder.id, holder.data);
    }
    store.checkpoint().unwrap();
    store.remove(&gone).unwrap();
    store.tag(b"name", blobs.keys().next().unwrap()).unwrap();
    store.pin(blobs.keys().next().unwrap(), b"reason").unwrap();
    store.shutdown().unwrap();
    drop(store);
    (disk, blobs, gone)
}

/// Reads some bytes, and has others imported before it reads the rest.
struct Interrupted<'a> {
    data: &'a [u8],
    at: usize,
    store: &'a Store,
    other: &'a [u8],
}

impl io::Read for Interrupted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == 0 && !self.other.is_empty() {
            let other = core::mem::take(&mut self.other);
            self.store.import(other, &mut |_| ()).unwrap();
        }
        let limit = if self.at > 0 { self.at } else { buf.len() };
        let len = limit.min(buf.len());
        let read = self.data.read(&mut buf[..len])?;
        self.at = self.at.saturating_sub(read);
        Ok(read)
    }
}

/// Receives the first transfers of a blob, all but for the order.
fn receive(store: &Store, holder: &Holder, group: GroupLog2, count: usize) {
    let receiver = store.receive(&holder.id, holder.size(), &Target::Segments).unwrap();
    let mut ranges = holder.transfers(group, 64);
    ranges.reverse();
    for range in ranges.iter().take(count) {
        let base = receiver.known();
        let (proof, data) = holder.send(group, range, &base);
        receiver.ingest(group, range.start, &base, &proof, &data).unwrap();
    }
    if receiver.is_complete() {
        receiver.finish().unwrap();
    }
}

fn rebuild(disk: &MemDisk) -> Result<(Store, Rebuilt), OpenError> {
    let disk = Arc::new(disk.clone());
    Store::rebuild_index_on(disk, Path::new(DIR), options(), &mut |_| ())
}

fn check(store: &Store, blobs: &Blobs) {
    for (id, data) in blobs {
        let stat = store.stat(id).unwrap().unwrap();
        assert!(stat.complete && stat.size == data.len() as u64, "{stat:?}");
        let reader = store.reader(id).unwrap().unwrap();
        assert_eq!(reader.read(0..stat.size).unwrap(), data.as_slice());
    }
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files(disk: &MemDisk) -> Files {
    let files = disk.files().into_iter();
    files.map(|path| (path.clone(), disk.read_file(&path).unwrap())).collect()
}

fn segments(disk: &MemDisk) -> Files {
    files(disk).into_iter().filter(|(path, _)| path.starts_with("/store/segments")).collect()
}

/// No segment is another one than before but for zeros at its end, and none is missing.
fn unchanged(before: &Files, after: &Files) {
    for (path, bytes) in before {
        let found = after.get(path).unwrap_or_else(|| panic!("{} is gone", path.display()));
        let differs = bytes.iter().zip(found).position(|(a, b)| a != b);
        assert_eq!(differs, None, "{}", path.display());
        assert!(bytes[found.len()..].iter().all(|byte| *byte == 0), "{}", path.display());
    }
}

/// A disk with these files, durably.
fn disk_of(files: &Files) -> MemDisk {
    let disk = MemDisk::new();
    let dir = disk.open_dir(Path::new(DIR), true).unwrap();
    for folder in [&b"segments"[..], b"partial"] {
        dir.make_dirs(folder).unwrap();
    }
    for (path, bytes) in files {
        disk.write_file(path, bytes, true).unwrap();
    }
    // Makes the names beside it durable.
    disk.write_file(Path::new("/last"), b"", true).unwrap();
    disk
}

/// Loses the index, in one way or another.
fn lose(disk: &MemDisk) {
    disk.open_dir(Path::new(DIR), false).unwrap().remove(b"index.redb").unwrap();
}

//= rfcs/0009-store.md#store-29
//= type=test
//# A store that has segments but no index MUST NOT be opened for use.
#[test]
fn segments_without_an_index_are_refused_and_not_touched() {
    let (disk, ..) = prepared();
    lose(&disk);
    let before = segments(&disk);
    for _ in 0..2 {
        let refused = try_open(&disk).unwrap_err();
        assert!(matches!(&refused, OpenError::Corrupt { path, .. } if path == Path::new(INDEX)));
    }
    unchanged(&before, &segments(&disk));
}

//= rfcs/0009-store.md#store-31
//= type=test
//# A store that makes its index again MUST NOT change or remove a segment that was there, but for zeros at its end.
#[test]
fn all_that_is_in_segments_comes_back() {
    let damages = [None, Some(vec![]), Some(vec![0xff; 100_000])];
    for (damage, way) in damages.iter().flat_map(|damage| ways().map(|way| (damage.clone(), way))) {
        let damage_is_none = damage.is_none();
        let (disk, blobs, gone) = prepared_with(way);
        let used = open(&disk).usage().unwrap();
        lose(&disk);
        if let Some(bytes) = damage {
            disk.write_file(Path::new(INDEX), &bytes, true).unwrap();
        }
        let before = segments(&disk);
        // With a commit for every few rows, and with one for all.
        let checkpoint_rows = if damage_is_none { 5 } else { 1 << 20 };
        let options = Options { checkpoint_rows, ..options() };
        let arc = Arc::new(disk.clone());
        let made = Store::rebuild_index_on(arc, Path::new(DIR), options, &mut |_| ());
        let (store, rebuilt) = made.unwrap();
        assert_eq!(rebuilt.whole, blobs.len() as u64, "{rebuilt:?}");
        assert_eq!((rebuilt.damaged, rebuilt.left_out, rebuilt.names), (0, 0, 0), "{rebuilt:?}");
        let now = store.usage().unwrap();
        assert_eq!(now.segment_live_bytes, used.segment_live_bytes);
        assert_eq!((now.chunks, now.shared_bytes), (used.chunks, used.shared_bytes));
        assert_eq!(now.chunks > 0, way.chunking.is_some());
        assert_eq!(store.audit().unwrap(), Audit::default());
        assert_eq!(rebuilt.skipped_bytes, 0);
        let len: usize = before.values().map(Vec::len).sum();
        assert_eq!(rebuilt.scanned_bytes, len as u64);
        check(&store, &blobs);
        assert_eq!(store.stat(&gone).unwrap(), None);
        unchanged(&before, &segments(&disk));
        // What is in use is counted again, so that space comes back once nothing is.
        for id in blobs.keys() {
            store.remove(id).unwrap();
        }
        store.checkpoint().unwrap();
        assert_eq!(store.usage().unwrap().segment_live_bytes, 0);
        drop(store);
        let again = open(&disk);
        assert!(again.list(None, 10).unwrap().is_empty());
    }
}

#[test]
fn an_index_that_can_be_opened_gives_its_names() {
    let (disk, blobs, _) = prepared();
    let (store, rebuilt) = rebuild(&disk).unwrap();
    assert_eq!((rebuilt.whole, rebuilt.names), (blobs.len() as u64, 2));
    let id = blobs.keys().next().unwrap();
    assert_eq!(store.tags().unwrap(), [(b"name".to_vec(), *id)]);
    assert_eq!(store.pins(id).unwrap(), [b"reason".to_vec()]);
    check(&store, &blobs);
}

#[test]
fn partial_blobs_and_shared_files_are_left_out_and_can_be_had_again() {
    let (disk, mut blobs, _) = prepared();
    let holder = Holder::new(bytes(1_200_000, 9));
    let shared = bytes(90_000, 10);
    {
        let store = open(&disk);
        receive(&store, &holder, GroupLog2::KIB64, 3);
        disk.write_file(Path::new("/file"), &shared, true).unwrap();
        let root = store.root(Path::new("/")).unwrap();
        store.share_in_place(root, b"file", &mut |_| ()).unwrap();
        store.checkpoint().unwrap();
    }
    lose(&disk);
    let (store, rebuilt) = rebuild(&disk).unwrap();
    assert_eq!((rebuilt.whole, rebuilt.left_out), (blobs.len() as u64, 2), "{rebuilt:?}");
    check(&store, &blobs);
    assert_eq!(store.stat(&holder.id).unwrap(), None);
    receive(&store, &holder, GroupLog2::KIB64, usize::MAX);
    blobs.insert(holder.id, holder.data);
    let root = store.root(Path::new("/")).unwrap();
    let stat = store.share_in_place(root, b"file", &mut |_| ()).unwrap();
    blobs.insert(stat.id, shared);
    check(&store, &blobs);
}

#[test]
fn rot_costs_what_is_rotten() {
    let found = ways().map(rot_costs_what_is_rotten_with);
    let (damaged, lost) = (found[0].0 + found[1].0, found[0].1 + found[1].1);
    assert!(damaged > 0 && lost > 0, "{damaged} {lost}");
}

/// Returns how often a blob was damaged, and how often one was lost.
fn rot_costs_what_is_rotten_with(way: Options) -> (u64, u64) {
    let (disk, blobs, _) = prepared_with(way);
    lose(&disk);
    let intact = files(&disk);
    let before = segments(&disk);
    let (mut damaged, mut lost) = (0, 0);
    for (path, bytes) in &before {
        for at in (0..bytes.len()).step_by(bytes.len() / 7 + 1) {
            let disk = disk_of(&intact);
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            disk.write_file(path, &bad, false).unwrap();
            let before = segments(&disk);
            let (store, rebuilt) = rebuild(&disk).unwrap();
            unchanged(&before, &segments(&disk));
            damaged += rebuilt.damaged;
            // One record at most is gone, so one blob is not whole, or two that share a chunk.
            assert!(
                rebuilt.whole + 2 >= blobs.len() as u64,
                "{} {at}: {rebuilt:?}",
                path.display()
            );
            for (id, data) in &blobs {
                let Some(stat) = store.stat(id).unwrap() else {
                    lost += 1;
                    continue;
                };
                let reader = store.reader(id).unwrap().unwrap();
                for run in stat.held.runs() {
                    let bytes = run.start * 1024..(run.end * 1024).min(stat.size);
                    let expected = &data[bytes.start as usize..bytes.end as usize];
                    assert_eq!(reader.read(bytes).unwrap(), expected);
                }
            }
        }
    }
    (damaged, lost)
}

#[test]
fn what_is_damaged_is_fetched_again() {
    for way in ways() {
        what_is_damaged_is_fetched_again_with(way);
    }
}

fn what_is_damaged_is_fetched_again_with(way: Options) {
    let disk = MemDisk::new();
    let holder = Holder::new(bytes(3_000_000, 11));
    {
        let store = Store::open_on(Arc::new(disk.clone()), Path::new(DIR), way).unwrap();
        store.import(holder.data.as_slice(), &mut |_| ()).unwrap();
        store.checkpoint().unwrap();
    }
    let path = Path::new("/store/segments/00000002.seg");
    let mut bad = disk.read_file(path).unwrap();
    bad[700_000] ^= 1;
    disk.write_file(path, &bad, false).unwrap();
    lose(&disk);
    let (store, rebuilt) = rebuild(&disk).unwrap();
    assert_eq!((rebuilt.whole, rebuilt.damaged), (0, 1));
    let stat = store.stat(&holder.id).unwrap().unwrap();
    assert!(!stat.complete && stat.size_proven && stat.held.total() > 1024, "{stat:?}");

    let receiver = store.receive(&holder.id, holder.size(), &Target::Segments).unwrap();
    let group = GroupLog2::KIB16;
    let missing = RangeSet::from(0..holder.leaves()).difference(&receiver.known());
    for run in missing.runs() {
        let base = receiver.known();
        let (proof, data) = holder.send(group, run, &base);
        receiver.ingest(group, run.start, &base, &proof, &data).unwrap();
    }
    receiver.finish().unwrap();
    store.checkpoint().unwrap();
    check(&store, &[(holder.id, holder.data.clone())].into());
    drop((store, receiver));
    // What was fetched again is found too.
    lose(&disk);
    let (store, rebuilt) = rebuild(&disk).unwrap();
    assert_eq!((rebuilt.whole, rebuilt.damaged), (1, 0), "{rebuilt:?}");
    check(&store, &[(holder.id, holder.data)].into());
}

//= rfcs/0009-store.md#store-30
//= type=test
//# A store that makes its index again MUST make the new one durable before it takes the place of the old one.
#[test]
fn the_power_fails_at_every_call_meanwhile() {
    let (disk, blobs, _) = prepared();
    disk.write_file(Path::new(INDEX), &[0xff; 50_000], false).unwrap();
    spoil_an_outboard(&disk);
    let intact = files(&disk);
    let mut points = 0;
    for call in 0.. {
        let cut = disk_of(&intact);
        cut.fail_after(call, Fault::Cut);
        let done = rebuild(&cut).is_ok();
        if done && !cut.is_cut() {
            break;
        }
        for seed in [None, Some(call)] {
            points += 1;
            let disk = cut.fork();
            disk.crash(seed);
            // Either nothing has happened, or everything.
            match try_open(&disk) {
                Ok(store) => check(&store, &blobs),
                Err(OpenError::Corrupt { .. }) => {
                    let (store, _) = rebuild(&disk).unwrap();
                    check(&store, &blobs);
                }
                Err(error) => panic!("call {call}, seed {seed:?}: {error}"),
            }
        }
    }
    assert!(points > 10, "{points}");
    println!("{points} crash points");
}

#[test]
fn a_disk_without_room_at_any_call_changes_nothing() {
    let (disk, blobs, _) = prepared();
    disk.write_file(Path::new(INDEX), &[0xff; 50_000], false).unwrap();
    spoil_an_outboard(&disk);
    let intact = files(&disk);
    let before = segments(&disk);
    let mut refused = 0;
    for call in (0..).step_by(3) {
        let disk = disk_of(&intact);
        disk.fail_after(call, Fault::NoSpace);
        match rebuild(&disk) {
            Ok((store, _)) => {
                check(&store, &blobs);
                break;
            }
            Err(OpenError::Store(error)) => assert!(error.is_no_space(), "call {call}: {error}"),
            Err(error) => panic!("call {call}: {error}"),
        }
        refused += 1;
        unchanged(&before, &segments(&disk));
        disk.heal();
        if try_open(&disk).is_ok() {
            continue;
        }
        let (store, _) = rebuild(&disk).unwrap();
        check(&store, &blobs);
    }
    assert!(refused > 5, "{refused}");
}

#[test]
fn what_cannot_be_read_costs_no_more_than_that() {
    let (disk, blobs, _) = prepared();
    let intact = files(&disk);
    let mut damaged = 0;
    for (path, bytes) in segments(&disk) {
        for at in (0..bytes.len() as u64).step_by(bytes.len() / 5 + 1) {
            let disk = disk_of(&intact);
            disk.spoil(Path::new(INDEX), 0..512);
            disk.spoil(&path, at..at + 512);
            assert!(try_open(&disk).is_err());
            let (_, rebuilt) = rebuild(&disk).unwrap();
            // Three records at most begin or end in one sector, of chunks that two blobs may share.
            let whole = rebuilt.whole;
            assert!(whole + 4 >= blobs.len() as u64, "{} {at}: {rebuilt:?}", path.display());
            damaged += rebuilt.damaged;
        }
    }
    assert!(damaged > 0);
}

/// Damages the outboard of some blob, which then has to be written anew.
fn spoil_an_outboard(disk: &MemDisk) {
    let (path, mut bytes) = segments(disk).into_iter().next().unwrap();
    let at = bytes.windows(8).position(|bytes| bytes == *b"SmRc\x02\0\0\0").unwrap();
    bytes[at + 80] ^= 1;
    disk.write_file(&path, &bytes, false).unwrap();
}

#[test]
fn what_is_no_store_is_left_alone() {
    let disk = MemDisk::new();
    disk.open_dir(Path::new(DIR), true).unwrap();
    disk.write_file(Path::new("/store/file"), b"of somebody's", true).unwrap();
    assert!(matches!(rebuild(&disk), Err(OpenError::Store(_))));
    assert_eq!(disk.files(), [Path::new("/store/file")]);
    let (disk, ..) = prepared();
    let store = open(&disk);
    assert!(matches!(rebuild(&disk), Err(OpenError::InUse { .. })));
    drop(store);
    let newer = Options::default();
    assert!(
        Store::rebuild_index_on(Arc::new(disk), Path::new("/none"), newer, &mut |_| ()).is_err()
    );
}
