//! Segments of which little is in use are emptied, and nothing is lost.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use core::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use std::{collections::BTreeMap, path::Path, sync::Arc, thread};

use samara_base::{BlobId, GroupLog2};
use samara_store::{
    Audit, Class, Options, ReadError, Store, Target,
    disk::{Fault, MemDisk},
};
use support::{DIR, Holder, bytes, open, open_with, options};

type Blobs = BTreeMap<BlobId, Vec<u8>>;

fn receive(store: &Store, holder: &Holder, count: usize) {
    let receiver = store.receive(&holder.id, holder.size(), &Target::Segments).unwrap();
    let mut ranges = holder.transfers(GroupLog2::KIB64, 64);
    ranges.reverse();
    for range in ranges.iter().take(count) {
        let base = receiver.known();
        let (proof, data) = holder.send(GroupLog2::KIB64, range, &base);
        receiver.ingest(GroupLog2::KIB64, range.start, &base, &proof, &data).unwrap();
    }
    if receiver.is_complete() {
        receiver.finish().unwrap();
    }
}

/// A store in whose segments a few blobs of each kind are left among many that are gone.
fn sparse(disk: &MemDisk, chunking: bool) -> (Store, Blobs) {
    let chunked = options().chunking.filter(|_| chunking);
    let store = open_with(disk, Options { chunking: chunked, ..options() });
    let (mut kept, mut gone) = (Blobs::new(), Vec::new());
    for round in 0..4_u64 {
        for (len, seed) in [(500, 1), (16_384, 2), (60_000, 3), (300_000, 4)] {
            let data = bytes(len, seed + 10 * round);
            let id = store.put(&data).unwrap();
            if len != 300_000 || round == 1 {
                kept.insert(id, data);
            } else {
                gone.push(id);
            }
        }
        let holder = Holder::new(bytes(90_000, 5 + 10 * round));
        if round == 2 {
            store.set_class(&holder.id, Class::Carried, Duration::ZERO).unwrap();
        }
        receive(&store, &holder, usize::MAX);
        kept.insert(holder.id, holder.data);
        let data = bytes(1_400_000, 6 + 10 * round);
        gone.push(store.import(data.as_slice(), &mut |_| ()).unwrap().id);
        gone.push(store.put(&bytes(900_000, 7 + 10 * round)).unwrap());
    }
    store.checkpoint().unwrap();
    for id in gone {
        assert!(store.remove(&id).unwrap());
    }
    store.checkpoint().unwrap();
    (store, kept)
}

fn check(store: &Store, blobs: &Blobs) {
    for (id, data) in blobs {
        let reader = store.reader(id).unwrap().unwrap();
        assert!(reader.read(0..data.len() as u64).unwrap() == *data, "{id}");
    }
}

#[test]
fn little_that_is_left_moves_together() {
    for chunking in [true, false] {
        let disk = MemDisk::new();
        let (store, blobs) = sparse(&disk, chunking);
        let readers: Vec<_> = blobs.keys().map(|id| store.reader(id).unwrap().unwrap()).collect();
        let before = store.usage().unwrap();
        let compacted = store.compact(u64::MAX).unwrap();
        assert!(compacted.done && compacted.segments > 2, "{compacted:?}");
        assert!(compacted.moved_bytes > 200_000, "{compacted:?}");
        let after = store.usage().unwrap();
        assert_eq!(after.segment_live_bytes, before.segment_live_bytes);
        assert!(after.segment_bytes < before.segment_bytes / 2, "{before:?} {after:?}");
        assert_eq!(store.audit().unwrap(), Audit::default());
        check(&store, &blobs);
        // Who was reading goes on.
        for (reader, data) in readers.iter().zip(blobs.values()) {
            assert!(reader.read(0..data.len() as u64).unwrap() == *data);
            let leaves = 0..samara_base::leaves(data.len() as u64);
            let sent = reader.encode(GroupLog2::KIB64, &leaves, &Default::default()).unwrap();
            assert!(sent.data == *data);
        }
        // The segment that was written to before is looked at now; then there is an end.
        store.compact(u64::MAX).unwrap();
        let again = store.compact(u64::MAX).unwrap();
        assert_eq!((again.segments, again.moved_bytes), (0, 0));
        drop((readers, store));
        let store = open(&disk);
        check(&store, &blobs);
        // The index can be made again of what was moved.
        drop(store);
        let arc = Arc::new(disk);
        let (store, rebuilt) =
            Store::rebuild_index_on(arc, Path::new(DIR), options(), &mut |_| ()).unwrap();
        assert_eq!((rebuilt.whole, rebuilt.damaged), (blobs.len() as u64, 0), "{rebuilt:?}");
        check(&store, &blobs);
        for id in blobs.keys() {
            store.remove(id).unwrap();
        }
        store.checkpoint().unwrap();
        assert_eq!(store.usage().unwrap().segment_live_bytes, 0);
    }
}

#[test]
fn a_budget_ends_it_and_the_next_call_goes_on() {
    let disk = MemDisk::new();
    let (store, blobs) = sparse(&disk, true);
    let mut calls = 0;
    while !store.compact(1).unwrap().done {
        calls += 1;
        assert!(calls < 100);
        check(&store, &blobs);
    }
    assert!(calls > 1, "{calls}");
    assert_eq!(store.audit().unwrap(), Audit::default());
}

#[test]
fn what_is_being_received_stays_and_goes_on() {
    let disk = MemDisk::new();
    let (store, blobs) = sparse(&disk, true);
    let holder = Holder::new(bytes(1_200_000, 99));
    receive(&store, &holder, 2);
    for seed in 200..203 {
        let id = store.put(&bytes(1_000_000, seed)).unwrap();
        store.checkpoint().unwrap();
        store.remove(&id).unwrap();
    }
    store.checkpoint().unwrap();
    store.compact(u64::MAX).unwrap();
    receive(&store, &holder, usize::MAX);
    store.checkpoint().unwrap();
    check(&store, &blobs);
    check(&store, &[(holder.id, holder.data)].into());
    assert_eq!(store.audit().unwrap(), Audit::default());
}

#[test]
fn readers_and_removals_go_on_meanwhile() {
    let disk = MemDisk::new();
    let (store, blobs) = sparse(&disk, true);
    let gone = *blobs.keys().next().unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for (id, data) in &blobs {
                    let Some(reader) = store.reader(id).unwrap() else { continue };
                    match reader.read(0..data.len() as u64) {
                        Ok(read) => assert!(read == *data),
                        Err(ReadError::NotHeld { .. }) if *id == gone => {}
                        Err(error) => panic!("{id}: {error}"),
                    }
                }
            }
        });
        scope.spawn(|| {
            store.remove(&gone).unwrap();
            store.checkpoint().unwrap();
        });
        store.compact(u64::MAX).unwrap();
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(store.audit().unwrap(), Audit::default());
}

//= rfcs/0009-store.md#store-57
//= type=test
//# A store MUST NOT free a record that it moves before the commit of a row that names the new place.
#[test]
fn the_power_fails_at_every_call_meanwhile() {
    let disk = MemDisk::new();
    // With commits in between.
    let options = Options { checkpoint_rows: 4, ..options() };
    let (store, blobs) = sparse(&disk, true);
    store.shutdown().unwrap();
    drop(store);
    let mut points = 0;
    for call in 0.. {
        let cut = disk.fork();
        let store = open_with(&cut, options);
        cut.fail_after(call, Fault::Cut);
        let done = store.compact(u64::MAX).is_ok();
        drop(store);
        if done && !cut.is_cut() {
            break;
        }
        for seed in [None, Some(call)] {
            points += 1;
            let disk = cut.fork();
            disk.crash(seed);
            let store = open(&disk);
            check(&store, &blobs);
            let audit = store.audit().unwrap();
            assert!(audit.is_safe(), "call {call}: {audit:?}");
            store.compact(u64::MAX).unwrap();
            check(&store, &blobs);
        }
    }
    assert!(points > 10, "{points}");
}
