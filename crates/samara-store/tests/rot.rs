//! Bytes change by themselves, files are cut or gone: the store notices, says so, and never hands out
//! a wrong byte.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{path::Path, sync::Arc};

use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_store::{
    OpenError, ReadError, ReceiveError, ShareError, Store, StoreError, Target,
    disk::{Disk as _, Fault, MemDisk, Open},
};
use support::{Holder, bytes, open, options, try_open};

/// A store with a few blobs of each kind, closed.
fn prepared() -> (MemDisk, Vec<(BlobId, Vec<u8>)>) {
    let disk = MemDisk::new();
    disk.open_dir(Path::new("/home"), true).unwrap();
    disk.sync_parent(Path::new("/home")).unwrap();
    disk.write_file(Path::new("/home/f"), &bytes(40_000, 9), true).unwrap();
    let store = open(&disk);
    let mut blobs = Vec::new();
    for (at, size) in [0, 700, 16_384, 30_000].into_iter().enumerate() {
        let data = bytes(size, at as u64);
        blobs.push((store.put(&data).unwrap(), data));
    }
    let root = store.root(Path::new("/home")).unwrap();
    let stat = store.share_in_place(root, b"f", &mut |_| ()).unwrap();
    blobs.push((stat.id, bytes(40_000, 9)));
    store.shutdown().unwrap();
    (disk, blobs)
}

/// Every blob is read as it was or refused with a typed error.
fn check(store: &Store, blobs: &[(BlobId, Vec<u8>)]) -> usize {
    let mut refused = 0;
    for (id, data) in blobs {
        let reader = match store.reader(id) {
            Ok(Some(reader)) => reader,
            Ok(None) => panic!("{id} is gone"),
            Err(ReadError::Damaged { .. } | ReadError::Changed { .. } | ReadError::Store(_)) => {
                refused += 1;
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        match reader.read(0..data.len() as u64) {
            Ok(read) => assert_eq!(read, data),
            Err(ReadError::Damaged { ranges }) => {
                refused += 1;
                let held = ranges.complement(samara_base::leaves(data.len() as u64));
                assert_eq!(reader.held().difference(&held), RangeSet::new());
                for run in reader.held().runs() {
                    let end = (run.end * 1024).min(data.len() as u64);
                    let read = reader.read(run.start * 1024..end);
                    let from = usize::try_from(run.start * 1024).unwrap();
                    if let Ok(read) = read {
                        assert_eq!(read, data[from..usize::try_from(end).unwrap()]);
                    }
                }
            }
            Err(ReadError::Store(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    refused
}

//= rfcs/0009-store.md#store-13
//= type=test
//# A store MUST verify every byte against the blob's id before it hands the byte out.
#[test]
fn a_flipped_bit_anywhere_in_a_segment_is_noticed_or_does_not_matter() {
    let (disk, blobs) = prepared();
    let path = Path::new("/store/segments/00000001.seg");
    let good = disk.read_file(path).unwrap();
    let mut noticed = 0;
    for at in (0..good.len()).step_by(61) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        disk.write_file(path, &bad, false).unwrap();
        noticed += check(&open(&disk), &blobs);
        disk.write_file(path, &good, false).unwrap();
        // The quarantine stays, so start from the same index again.
        let (fresh, _) = prepared();
        let index = Path::new("/store/index.redb");
        disk.write_file(index, &fresh.read_file(index).unwrap(), false).unwrap();
    }
    assert!(noticed > good.len() / 61 / 2, "{noticed}");
    println!("{} bits flipped, {noticed} damaged blobs noticed", good.len().div_ceil(61));
}

#[test]
fn a_cut_or_lost_segment_is_noticed() {
    for len in [0, 10, 64, 100, 5_000] {
        let (disk, blobs) = prepared();
        let path = Path::new("/store/segments/00000001.seg");
        let good = disk.read_file(path).unwrap();
        disk.write_file(path, &good[..len], false).unwrap();
        let store = open(&disk);
        assert!(check(&store, &blobs) >= 2, "{len}");
        // The store goes on, and does not append to the cut segment.
        let data = bytes(9_000, 77);
        let id = store.put(&data).unwrap();
        store.checkpoint().unwrap();
        drop(store);
        let store = open(&disk);
        assert_eq!(store.reader(&id).unwrap().unwrap().read(0..9_000).unwrap(), data);
    }
    let (disk, blobs) = prepared();
    disk.open_dir(Path::new("/store"), false).unwrap().remove(b"segments/00000001.seg").unwrap();
    assert!(check(&open(&disk), &blobs) >= 3);
}

//= rfcs/0009-store.md#store-7
//= type=test
//# A store whose index does not pass its checksums MUST NOT be opened for use.
#[test]
fn a_flipped_bit_in_the_index_never_leads_to_a_wrong_byte() {
    let (disk, blobs) = prepared();
    let path = Path::new("/store/index.redb");
    let good = disk.read_file(path).unwrap();
    let (mut refused, mut opened) = (0, 0);
    // The header page closely, then all over the place.
    let places = (0..320).chain((320..good.len()).step_by(good.len() / 400 + 1));
    for at in places {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        disk.write_file(path, &bad, false).unwrap();
        match try_open(&disk) {
            Ok(store) => {
                opened += 1;
                assert_eq!(check(&store, &blobs), 0, "byte {at}");
            }
            Err(OpenError::Corrupt { path: named, .. }) => {
                refused += 1;
                assert_eq!(named, path);
            }
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    assert!(refused > 0 && opened > 0, "{refused} {opened}");
}

#[test]
fn an_index_that_is_none_is_a_typed_error() {
    for content in [b"".as_slice(), b"x", &[0; 4096], &[255; 100_000]] {
        let (disk, _) = prepared();
        disk.write_file(Path::new("/store/index.redb"), content, false).unwrap();
        match try_open(&disk) {
            Err(OpenError::Corrupt { .. }) => {}
            other => panic!("{} bytes: {other:?}", content.len()),
        }
    }
}

//= rfcs/0009-store.md#store-14
//= type=test
//# A store MUST make the quarantine of a damaged group durable before it reports the damage.
#[test]
fn quarantine_outlives_a_crash_right_after_the_report() {
    let (disk, blobs) = prepared();
    let (id, data) = &blobs[4];
    let mut bad = data.clone();
    bad[20_000] ^= 1;
    disk.write_file(Path::new("/home/f"), &bad, false).unwrap();
    let store = open(&disk);
    let reader = store.reader(id).unwrap().unwrap();
    let report = reader.read(0..40_000);
    assert!(
        matches!(report, Err(ReadError::Damaged { ranges }) if ranges == RangeSet::from(16..32))
    );
    drop((reader, store));
    disk.crash(None);
    let stat = open(&disk).stat(id).unwrap().unwrap();
    assert_eq!(stat.damaged, RangeSet::from(16..32));
    assert_eq!(stat.held, RangeSet::from_iter([0..16, 32..40]));
}

#[test]
fn damage_in_a_partial_blob_is_fetched_again() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let holder = Holder::new(bytes(1_200_000, 5));
    let receiver = store.receive(&holder.id, holder.size(), &Target::Segments).unwrap();
    let nothing = RangeSet::new();
    let range = 0..512;
    let (proof, data) = holder.send(GroupLog2::KIB64, &range, &nothing);
    receiver.ingest(GroupLog2::KIB64, 0, &nothing, &proof, &data).unwrap();
    store.checkpoint().unwrap();
    let path = Path::new("/store/segments/00000001.seg");
    let mut bad = disk.read_file(path).unwrap();
    bad[100_000] ^= 1;
    disk.write_file(path, &bad, false).unwrap();
    let reader = store.reader(&holder.id).unwrap().unwrap();
    let refused = reader.encode(GroupLog2::KIB64, &(0..512), &nothing);
    assert!(
        matches!(refused, Err(ReadError::Damaged { ranges }) if ranges == RangeSet::from(96..112))
    );
    assert_eq!(receiver.held(), RangeSet::from_iter([0..96, 112..512]));
    drop(reader);
    for range in [96..112, 512..holder.leaves()] {
        let known = receiver.known();
        let (proof, data) = holder.send(GroupLog2::KIB16, &range, &known);
        receiver.ingest(GroupLog2::KIB16, range.start, &known, &proof, &data).unwrap();
    }
    assert!(receiver.finish().unwrap().complete);
    let reader = store.reader(&holder.id).unwrap().unwrap();
    assert_eq!(reader.read(0..holder.size()).unwrap(), holder.data);
}

#[test]
fn a_damaged_outboard_is_made_again_from_the_data() {
    let (disk, blobs) = prepared();
    let path = Path::new("/store/segments/00000001.seg");
    let mut bad = disk.read_file(path).unwrap();
    // The last record is the outboard of the shared file.
    let at = bad.len() - 10;
    bad[at] ^= 1;
    disk.write_file(path, &bad, false).unwrap();
    let store = open(&disk);
    assert_eq!(check(&store, &blobs), 0);
    store.checkpoint().unwrap();
    drop(store);
    assert_eq!(check(&open(&disk), &blobs), 0);
}

//= rfcs/0009-store.md#store-6
//= type=test
//# After a failed sync or index commit a store MUST refuse all further operations until it is opened again.
#[test]
fn a_failed_sync_poisons_and_opening_again_goes_on() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let kept = store.put(b"kept").unwrap();
    store.checkpoint().unwrap();
    let holder = Holder::new(bytes(5_000, 1));
    let receiver = store.receive(&holder.id, holder.size(), &Target::Segments).unwrap();
    store.put(b"lost, perhaps").unwrap();
    // The write of the buffer passes, the sync does not.
    disk.fail_after(1, Fault::Io);
    assert!(matches!(store.checkpoint(), Err(StoreError::Io { action: "sync", .. })));
    assert!(matches!(store.checkpoint(), Err(StoreError::Poisoned)));
    assert!(matches!(store.put(b"x"), Err(StoreError::Poisoned)));
    let (proof, data) = holder.send(GroupLog2::KIB16, &(0..5), &RangeSet::new());
    let refused = receiver.ingest(GroupLog2::KIB16, 0, &RangeSet::new(), &proof, &data);
    assert!(matches!(refused, Err(samara_store::IngestError::Store(StoreError::Poisoned))));
    assert!(matches!(store.reader(&kept), Err(ReadError::Store(StoreError::Poisoned))));
    drop((receiver, store));
    let store = open(&disk);
    assert_eq!(store.reader(&kept).unwrap().unwrap().read(0..4).unwrap(), "kept");
}

#[test]
fn a_receive_that_met_a_full_disk_goes_on_once_there_is_space() {
    for file in [false, true] {
        let disk = MemDisk::new();
        let store = open(&disk);
        disk.open_dir(Path::new("/home"), true).unwrap();
        let holder = Holder::new(bytes(3_000_000, 1));
        let target = if file {
            let root = store.root(Path::new("/home")).unwrap();
            Target::File { root, rel: b"x".to_vec(), mode: 0o644, mtime: None }
        } else {
            Target::Segments
        };
        let receiver = store.receive(&holder.id, holder.size(), &target).unwrap();
        store.checkpoint().unwrap();
        let free = disk.open_dir(Path::new("/"), false).unwrap().free_bytes().unwrap();
        disk.set_capacity((1 << 40) - free + 2_000_000);
        let group = GroupLog2::KIB64;
        let mut refused = 0;
        let mut ranges = holder.transfers(group, 256);
        ranges.reverse();
        for range in &ranges {
            loop {
                let known = receiver.known();
                let (proof, data) = holder.send(group, range, &known);
                match receiver.ingest(group, range.start, &known, &proof, &data) {
                    Ok(done) => break assert_eq!(done.good, RangeSet::from(range.clone())),
                    Err(samara_store::IngestError::Store(StoreError::NoSpace {
                        needed, ..
                    })) => {
                        assert!(needed > 0);
                        assert_eq!(receiver.held(), known, "nothing of it is held");
                        // What was held before still is, and can be read.
                        let reader = store.reader(&holder.id).unwrap().unwrap();
                        for run in known.runs() {
                            let end = (run.end * 1024).min(holder.size());
                            reader.read(run.start * 1024..end).unwrap();
                        }
                        refused += 1;
                        if refused == 2 {
                            disk.set_capacity(1 << 40);
                        }
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
        assert!(refused >= 2);
        assert!(receiver.finish().unwrap().complete);
        store.checkpoint().unwrap();
        drop((receiver, store));
        let store = open(&disk);
        let reader = store.reader(&holder.id).unwrap().unwrap();
        assert_eq!(reader.read(0..holder.size()).unwrap(), holder.data);
    }
}

//= rfcs/0009-store.md#store-8
//= type=test
//# A store MUST NOT reserve space in proportion to a size that is not proven.
#[test]
fn a_false_size_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), options()).unwrap();
    let root = store.root(dir.path()).unwrap();
    let holder = Holder::new(bytes(40_000, 1));
    for claimed in [1 << 40, u64::MAX] {
        for target in
            [Target::Segments, Target::File { root, rel: b"x".to_vec(), mode: 0o644, mtime: None }]
        {
            let receiver = store.receive(&holder.id, claimed, &target).unwrap();
            assert!(!receiver.size_proven());
            let (proof, data) = holder.send(GroupLog2::KIB16, &(0..16), &RangeSet::new());
            let refused = receiver.ingest(GroupLog2::KIB16, 0, &RangeSet::new(), &proof, &data);
            assert!(matches!(refused, Err(samara_store::IngestError::Verify(_))));
            store.checkpoint().unwrap();
            drop(receiver);
            store.remove(&holder.id).unwrap();
            store.checkpoint().unwrap();
        }
    }
    let used: u64 = walk(dir.path());
    assert!(used < 8 << 20, "{used} bytes");
    // The true size is taken after a false one.
    let receiver = store.receive(&holder.id, 77, &Target::Segments).unwrap();
    drop(receiver);
    let receiver = store.receive(&holder.id, 40_000, &Target::Segments).unwrap();
    let (proof, data) = holder.send(GroupLog2::KIB16, &(0..40), &RangeSet::new());
    receiver.ingest(GroupLog2::KIB16, 0, &RangeSet::new(), &proof, &data).unwrap();
    let refused = store.receive(&holder.id, 77, &Target::Segments);
    assert!(matches!(refused, Err(ReceiveError::Size { proven: 40_000 })));
}

fn walk(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            if meta.is_dir() { walk(&entry.path()) } else { meta.blocks() * 512 }
        })
        .sum()
}

/// A disk on which a file changes while somebody reads it.
#[derive(Debug)]
struct Changing {
    inner: Arc<dyn samara_store::disk::Dir>,
    disk: MemDisk,
}

//= rfcs/0009-store.md#store-9
//= type=test
//# A store MUST NOT share a file whose size or time of last change differs before and after it was hashed.
#[test]
fn a_file_that_changes_while_it_is_hashed_is_not_shared() {
    let disk = MemDisk::new();
    let changing =
        Changing { inner: disk.open_dir(Path::new("/home"), true).unwrap(), disk: disk.clone() };
    let path = Path::new("/home/f");
    for (before, after) in [(10_000, 10_001), (10_000, 10_000), (700_000, 600_000), (0, 5)] {
        disk.write_file(path, &bytes(before, 1), true).unwrap();
        let store = open(&disk);
        let root = store.root(changing.inner.path()).unwrap();
        let shared = store.share_in_place(root, b"f", &mut |_| {
            changing.disk.write_file(path, &bytes(after, 2), true).unwrap();
        });
        if before > 0 {
            assert!(matches!(shared, Err(ShareError::Changed { .. })), "{before} {shared:?}");
        }
        assert!(store.list(None, 10).unwrap().len() <= usize::from(before == 0));
    }
}

#[test]
fn a_disk_that_cannot_be_read_is_a_typed_error() {
    let (disk, blobs) = prepared();
    let store = open(&disk);
    disk.fail_reads();
    for (id, _) in &blobs {
        match store.reader(id).map(|reader| reader.map(|reader| reader.read(0..1))) {
            Ok(Some(Ok(_))) => panic!("nothing can be read"),
            Ok(Some(Err(ReadError::Store(StoreError::Io { .. }) | ReadError::Range)))
            | Err(ReadError::Store(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    disk.heal();
    drop(store);
    // Nothing went into quarantine for it.
    assert_eq!(check(&open(&disk), &blobs), 0);
}

#[test]
fn a_writer_that_is_not_ours_is_noticed_by_size_and_time() {
    let (disk, blobs) = prepared();
    let (id, data) = &blobs[4];
    let dir = disk.open_dir(Path::new("/home"), false).unwrap();
    dir.open(b"f", Open::Write).unwrap().write_at(b"!", 0).unwrap();
    let store = open(&disk);
    assert!(matches!(store.reader(id), Err(ReadError::Changed { .. })));
    disk.write_file(Path::new("/home/f"), data, true).unwrap();
    let root = store.root(Path::new("/home")).unwrap();
    store.share_in_place(root, b"f", &mut |_| ()).unwrap();
    assert_eq!(check(&store, &blobs), 0);
}

#[test]
fn a_reader_from_before_a_removal_condemns_nothing_that_came_back() {
    // The largest has its bytes in several records, as it has when it is put again.
    for (size, put_again) in [(700, false), (40_000, false), (40_000, true), (1_064_961, true)] {
        let (disk, _) = prepared();
        let store = open(&disk);
        let data = bytes(size, 77);
        let id = store.put(&data).unwrap();
        // Keeps the segment of the outboard from being deleted.
        store.put(&bytes(10, 5)).unwrap();
        let old = store.reader(&id).unwrap().unwrap();
        assert!(store.remove(&id).unwrap());
        if put_again {
            store.put(&data).unwrap();
        } else {
            disk.write_file(Path::new("/home/g"), &data, true).unwrap();
            let root = store.root(Path::new("/home")).unwrap();
            store.share_in_place(root, b"g", &mut |_| ()).unwrap();
        }
        // The space of the first copy is given back.
        store.checkpoint().unwrap();

        // What it read from is gone; what is held now is somewhere else, and it is read there.
        let read = old.read(size as u64 - 1..size as u64).unwrap();
        assert_eq!(read, data[size - 1..], "{size}");
        let stat = store.stat(&id).unwrap().unwrap();
        assert!(stat.complete && stat.damaged.is_empty(), "{size}: {stat:?}");
        assert_eq!(store.reader(&id).unwrap().unwrap().read(0..size as u64).unwrap(), data);
    }
}

#[test]
fn a_leaf_that_was_fetched_again_is_held_once_its_group_is() {
    let (disk, _) = prepared();
    let holder = Holder::new(bytes(20_000, 5));
    let store = open(&disk);
    disk.write_file(Path::new("/home/g"), &holder.data, true).unwrap();
    let root = store.root(Path::new("/home")).unwrap();
    store.share_in_place(root, b"g", &mut |_| ()).unwrap();
    let mut rotten = holder.data.clone();
    rotten[0] ^= 1;
    disk.write_file(Path::new("/home/g"), &rotten, false).unwrap();
    let reader = store.reader(&holder.id).unwrap().unwrap();
    assert!(matches!(reader.read(0..20_000), Err(ReadError::Damaged { .. })));

    let receiver = store.receive(&holder.id, 20_000, &Target::Segments).unwrap();
    let fetch = |leaves: core::ops::Range<u64>| {
        let known = receiver.known();
        let group = GroupLog2::new(0).unwrap();
        let (proof, data) = holder.send(group, &leaves, &known);
        receiver.ingest(group, leaves.start, &known, &proof, &data).unwrap();
    };
    for leaf in 1..16 {
        fetch(leaf..leaf + 1);
    }
    // The outboard proves 16 leaves together, and one of them is damaged.
    let reader = store.reader(&holder.id).unwrap().unwrap();
    assert_eq!(reader.held(), RangeSet::from(16..20));
    assert_eq!(store.stat(&holder.id).unwrap().unwrap().held, RangeSet::from(16..20));
    fetch(0..1);
    let reader = store.reader(&holder.id).unwrap().unwrap();
    assert_eq!(reader.held(), RangeSet::from(0..20));
    assert_eq!(reader.read(0..20_000).unwrap(), holder.data);
}
