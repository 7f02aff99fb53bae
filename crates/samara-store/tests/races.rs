//! What happens between two steps: checkpoints, failures, power cuts and other threads.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use core::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use std::{
    path::PathBuf,
    sync::{Arc, Barrier},
    thread,
};

use samara_base::{BlobId, GroupLog2};
use samara_store::{
    Class, Options, Store, Target,
    disk::{Call, Fault, MemDisk},
};
use support::{DIR, Holder, bytes, open, open_with, options};

const FIRST_SEGMENT: &str = "segments/00000001.seg";

fn check(store: &Store, id: &BlobId, data: &[u8]) {
    let reader = store.reader(id).unwrap().unwrap();
    assert!(reader.read(0..data.len() as u64).unwrap() == data);
}

/// Flips a bit of the first segment.
fn flip(disk: &MemDisk, at: impl FnOnce(&[u8]) -> usize) {
    let path = PathBuf::from(DIR).join(FIRST_SEGMENT);
    let mut bytes = disk.read_file(&path).unwrap();
    let at = at(&bytes);
    bytes[at] ^= 1;
    disk.write_file(&path, &bytes, true).unwrap();
}

/// Does something once, while a disk is at its next sync.
fn at_next_sync(disk: &MemDisk, what: impl Fn() + Send + Sync + 'static) {
    let once = AtomicBool::new(false);
    disk.watch(Some(Arc::new(move |call| {
        if call == Call::Sync && !once.swap(true, Ordering::SeqCst) {
            what();
        }
    })));
}

#[test]
fn a_segment_that_became_empty_and_is_used_again_meanwhile_stays() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let gone = store.put(&bytes(600_000, 1)).unwrap();
    store.checkpoint().unwrap();
    store.remove(&gone).unwrap();
    let blobs = [bytes(30_000, 2), bytes(600_000, 3)];
    let (other, put) = (store.clone(), blobs.clone());
    at_next_sync(&disk, move || {
        for data in &put {
            other.put(data).unwrap();
        }
    });
    store.checkpoint().unwrap();
    disk.watch(None);
    store.checkpoint().unwrap();
    assert!(store.audit().unwrap().is_safe());
    for data in &blobs {
        check(&store, &samara_tree::hash(data), data);
    }
}

/// A store with a blob of which a part has rotted, which it knows.
fn damaged(options: Options, data: &[u8], beside: &[u8]) -> (MemDisk, Store) {
    let disk = MemDisk::new();
    let store = open_with(&disk, options);
    let id = store.put(data).unwrap();
    store.put(beside).unwrap();
    store.shutdown().unwrap();
    drop(store);
    flip(&disk, |_| 500_000);
    let store = open_with(&disk, options);
    assert!(!store.verify(&id, &mut |_| ()).unwrap().unwrap().damaged.is_empty());
    (disk, store)
}

#[test]
fn putting_a_damaged_blob_again_fails_without_harm_at_every_call() {
    // Its outboard is long enough to be written by itself.
    let data = bytes(17 << 20, 1);
    let id = samara_tree::hash(&data);
    let mut failed = 0;
    for chunking in [options().chunking, None] {
        let options = Options { chunking, ..options() };
        let (disk, store) = damaged(options, &data, b"beside");
        let held = store.stat(&id).unwrap().unwrap().held.total();
        store.shutdown().unwrap();
        drop(store);
        for calls in (0..).step_by(3) {
            let disk = disk.fork();
            let store = open_with(&disk, options);
            let before = disk.calls();
            disk.fail_after(calls, if calls % 2 == 0 { Fault::Io } else { Fault::NoSpace });
            let done = store.put(&data);
            disk.heal();
            let is_over = disk.calls() <= before + calls;
            store.collect(Duration::ZERO, &mut |_| true).unwrap();
            let audit = store.audit().unwrap();
            assert!(audit.is_safe() && audit.unused_bytes == 0, "call {calls}: {audit:?}");
            if done.is_ok() {
                check(&store, &id, &data);
                if is_over {
                    break;
                }
                continue;
            }
            failed += 1;
            assert!(store.reader(&id).unwrap().unwrap().held().total() >= held, "call {calls}");
        }
    }
    assert!(failed > 10, "{failed}");
}

#[test]
fn what_failed_to_be_put_again_takes_no_other_blob_with_it() {
    let (data, beside) = (bytes(17 << 20, 1), bytes(10_000, 77));
    let (disk, store) = damaged(options(), &data, &beside);
    let later = store.put(&bytes(3 << 20, 5)).unwrap();
    store.checkpoint().unwrap();
    disk.fail_after(1, Fault::Io);
    store.put(&data).unwrap_err();
    disk.heal();
    store.checkpoint().unwrap();
    for id in [samara_tree::hash(&data), later] {
        store.remove(&id).unwrap();
    }
    store.collect(Duration::ZERO, &mut |_| true).unwrap();
    store.checkpoint().unwrap();
    check(&store, &samara_tree::hash(&beside), &beside);
}

//= rfcs/0009-store.md#store-40
//= type=test
//# A store MUST NOT collect or evict a blob that has a tag, a pin, or a lease that ends later than the time it is told.
#[test]
fn what_is_kept_while_others_go_stays() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let mut ids = [1, 2].map(|seed| store.put(&bytes(100_000, seed)).unwrap());
    ids.sort_unstable();
    let other = store.clone();
    let mut keep = |id: &BlobId| {
        if *id == ids[0] {
            other.tag(b"keep me", &ids[1]).unwrap();
            other.checkpoint().unwrap();
        }
        false
    };
    assert_eq!(store.collect(Duration::ZERO, &mut keep).unwrap(), 1);
    assert!(store.stat(&ids[1]).unwrap().is_some(), "it has a tag");

    // And the same of eviction.
    let disk = MemDisk::new();
    let store = open_with(&disk, Options { checkpoint_rows: 1, ..options() });
    for seed in [1, 2] {
        store.put(&bytes(100_000, seed)).unwrap();
    }
    let listed = store.explain_eviction(u64::MAX, Class::Own, Duration::ZERO).unwrap();
    let (second, other) = (listed[1].id, store.clone());
    at_next_sync(&disk, move || other.pin(&second, b"mine").unwrap());
    let gone = store.evict(u64::MAX, Class::Own, Duration::ZERO).unwrap();
    disk.watch(None);
    assert_eq!(gone.len(), 1);
    assert!(store.stat(&second).unwrap().is_some(), "it has a pin");
}

#[test]
fn a_chunk_in_a_bad_sector_is_healed_by_a_blob_that_shares_it() {
    for from in [100_000, 300_000] {
        let disk = MemDisk::new();
        let store = open(&disk);
        let first = bytes(600_000, 1);
        let id = store.put(&first).unwrap();
        store.shutdown().unwrap();
        drop(store);
        disk.spoil(&PathBuf::from(DIR).join(FIRST_SEGMENT), from..from + 4096);
        let store = open(&disk);
        let second = [first.as_slice(), &bytes(50_000, 9)].concat();
        store.put(&second).unwrap();
        store.checkpoint().unwrap();
        check(&store, &samara_tree::hash(&second), &second);
        check(&store, &id, &first);
    }
}

//= rfcs/0009-store.md#store-39
//= type=test
//# A store MUST free the records of a blob in the commit that removes or replaces the blob's row.
#[test]
fn the_power_fails_while_many_put_and_remove_and_one_commits() {
    for round in 0..60 {
        let disk = MemDisk::new();
        let store = open(&disk);
        let blobs: Vec<_> = (0..4).map(|seed| bytes(40_000, seed)).collect();
        disk.fail_after(100 + round * 7 % 400, Fault::Cut);
        thread::scope(|scope| {
            scope.spawn(|| while store.checkpoint().is_ok() {});
            for data in &blobs {
                let store = &store;
                scope.spawn(move || {
                    while let Ok(id) = store.put(data) {
                        if store.remove(&id).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        drop(store);
        disk.power_on();
        let audit = open(&disk).audit().unwrap();
        assert!(audit.is_safe(), "round {round}: {audit:?}");
    }
}

#[test]
fn many_who_find_the_same_patch_damaged_give_it_back_once() {
    let holder = Holder::new(bytes(300_000, 3));
    let options = Options { chunking: None, ..options() };
    for round in 0..60 {
        let disk = MemDisk::new();
        let store = open_with(&disk, options);
        let id = store.put(&holder.data).unwrap();
        store.shutdown().unwrap();
        drop(store);
        flip(&disk, |_| 5_000);
        let store = open_with(&disk, options);
        store.verify(&id, &mut |_| ()).unwrap();
        let receiver = store.receive(&id, holder.size(), &Target::Segments).unwrap();
        let (group, base) = (GroupLog2::KIB16, receiver.held());
        let (proof, data) = holder.send(group, &(0..16), &base);
        receiver.ingest(group, 0, &base, &proof, &data).unwrap();
        receiver.finish().unwrap();
        drop(receiver);
        check(&store, &id, &holder.data);
        store.shutdown().unwrap();
        drop(store);
        flip(&disk, |bytes| {
            bytes.windows(64).rposition(|part| *part == holder.data[1000..1064]).unwrap()
        });
        let store = open_with(&disk, options);
        let (barrier, reader) = (Barrier::new(4), store.reader(&id).unwrap().unwrap());
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    reader.read(0..16_384).unwrap_err();
                });
            }
        });
        let audit = store.audit().unwrap();
        assert!(audit.is_safe(), "round {round}: {audit:?}");
    }
}
