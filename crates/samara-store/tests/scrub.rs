//! Reading everything again in the background.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use core::{ops::Range, time::Duration};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use samara_base::{BlobId, RangeSet};
use samara_store::{Class, Damage, ScrubReport, Store, StoreError, disk::MemDisk};
use support::{DIR, Holder, bytes, open, options, receive};

const GROUP: u64 = 16_384;

/// The file in which some bytes of a blob lie, and where.
fn find(disk: &MemDisk, data: &[u8], at: usize) -> (PathBuf, usize) {
    let needle = &data[at..at + 16];
    let found = disk.files().into_iter().find_map(|path| {
        let file = disk.read_file(&path)?;
        let place = file.windows(16).position(|part| part == needle)?;
        Some((path, place))
    });
    found.unwrap()
}

fn flip(disk: &MemDisk, data: &[u8], at: usize) {
    let (path, place) = find(disk, data, at);
    let mut file = disk.read_file(&path).unwrap();
    file[place] ^= 1;
    disk.write_file(&path, &file, false).unwrap();
}

/// Goes on until all has been read. Returns the reports.
fn scrub_all(store: &Store, budget: u64) -> Vec<ScrubReport> {
    let mut reports = Vec::new();
    loop {
        let report = store.scrub(budget).unwrap();
        reports.push(report);
        if reports.last().unwrap().done {
            return reports;
        }
    }
}

fn damage(reports: &[ScrubReport]) -> Vec<(BlobId, RangeSet)> {
    let found = reports.iter().flat_map(|report| &report.damaged);
    found.map(|Damage { id, leaves, .. }| (*id, leaves.clone())).collect()
}

/// What is asked for again.
fn missing(store: &Store, id: &BlobId, leaves: u64) -> RangeSet {
    store.stat(id).unwrap().unwrap().held.complement(leaves)
}

fn leaves(group: u64) -> Range<u64> {
    group * 16..(group + 1) * 16
}

//= rfcs/0009-store.md#store-14
//= type=test
//# A store MUST make the quarantine of a damaged group durable before it reports the damage.
#[test]
fn damage_is_found_wherever_it_is_and_only_that_is_missing() {
    for budget in [1, 20_000, 1 << 40] {
        let disk = MemDisk::new();
        let store = open(&disk);
        let small = bytes(3_000, 1);
        let small_id = store.put(&small).unwrap();
        let record = bytes(200_000, 2);
        let record_id = store.put(&record).unwrap();
        let long = bytes(2_500_000, 3);
        let long_id = store.import(&long[..], &mut |_| ()).unwrap().id;
        let shared = bytes(100_000, 4);
        disk.write_file(Path::new("/shared"), &shared, true).unwrap();
        let root = store.root(Path::new("/")).unwrap();
        let shared_id = store.share_in_place(root, b"shared", &mut |_| ()).unwrap().id;
        let partial = Holder::new(bytes(1_200_000, 5));
        let held = receive(&store, &partial, |at| at % 2 == 0).held();
        store.checkpoint().unwrap();

        let reports = scrub_all(&store, budget);
        assert_eq!(damage(&reports), []);
        let sum: u64 = reports.iter().map(|report| report.checked_bytes).sum();
        let all = 3_000 + 200_000 + 2_500_000 + 100_000;
        assert_eq!(sum, all + held.total() * 1024, "each byte once");
        assert_eq!(reports.iter().map(|report| report.blobs).sum::<u64>(), 5);

        flip(&disk, &small, 100);
        flip(&disk, &record, 5 * 16_384 + 1);
        flip(&disk, &long, 1_100_000);
        flip(&disk, &long, 2_400_000);
        flip(&disk, &shared, 99_000);
        flip(&disk, &partial.data, 4 * 16_384 + 9);
        let mut expected = vec![
            (small_id, RangeSet::from(0..3)),
            (record_id, RangeSet::from(leaves(5))),
            (long_id, RangeSet::from_iter([leaves(67), leaves(146)])),
            (shared_id, RangeSet::from(96..98)),
            (partial.id, RangeSet::from(leaves(4))),
        ];
        let mut found: Vec<(BlobId, RangeSet)> = Vec::new();
        for (id, leaves) in damage(&scrub_all(&store, budget)) {
            match found.iter_mut().find(|(other, _)| *other == id) {
                Some((_, all)) => *all = all.union(&leaves),
                None => found.push((id, leaves)),
            }
        }
        assert!(found.is_sorted_by_key(|(id, _)| *id));
        expected.sort_unstable_by_key(|(id, _)| *id);
        assert_eq!(found, expected, "budget {budget}");
        drop(store);
        // Nothing was made durable but by the scrub itself.
        disk.crash(None);
        let store = open(&disk);
        for (id, leaves) in expected {
            let size = store.stat(&id).unwrap().unwrap().size;
            let missing = missing(&store, &id, samara_base::leaves(size));
            let before =
                if id == partial.id { held.complement(partial.leaves()) } else { RangeSet::new() };
            assert_eq!(missing, before.union(&leaves), "{id}");
        }
        // It is not found twice, and what is fetched again is whole.
        assert_eq!(damage(&scrub_all(&store, budget)), []);
        receive(&store, &partial, |_| true);
        let holder = Holder::new(long);
        receive(&store, &holder, |at| at == 67 || at == 146);
        assert_eq!(damage(&scrub_all(&store, budget)), []);
        assert!(missing(&store, &long_id, holder.leaves()).is_empty());
    }
}

//= rfcs/0009-store.md#store-49
//= type=test
//# A scrub MUST NOT verify more bytes of blobs than its budget and 16,384 more.
#[test]
fn a_call_keeps_to_its_budget() {
    let store = open(&MemDisk::new());
    for (len, seed) in [(1, 1), (16_384, 2), (16_385, 3), (700_000, 4), (2_000_000, 5)] {
        store.put(&bytes(len, seed)).unwrap();
    }
    for seed in 0..50 {
        store.put(&bytes(300, 100 + seed)).unwrap();
    }
    for budget in [0, 1, 1_024, 16_384, 16_385, 100_000, 1 << 20, 5 << 20] {
        let mut calls = 0;
        loop {
            let report = store.scrub(budget).unwrap();
            assert!(report.checked_bytes <= budget + GROUP, "{budget}: {report:?}");
            assert!(report.blobs <= budget / 1024 + 1, "{budget}: {report:?}");
            calls += 1;
            if report.done {
                break;
            }
        }
        assert!(calls >= 2_750_000 / (budget + GROUP), "{budget}: {calls} calls");
    }
    let stats = store.scrub_stats();
    assert_eq!((stats.passes, stats.damaged_bytes), (8, 0));
    assert_eq!(stats.checked_bytes, 8 * (1 + 16_384 + 16_385 + 2_700_000 + 50 * 300));
    assert_eq!(store.usage().unwrap().scrub, stats);
}

//= rfcs/0009-store.md#store-48
//= type=test
//# A store MUST NOT move the durable place of its scrub past bytes that it held at that time and that the scrub did not verify.
#[test]
fn a_scrub_goes_on_where_it_was_and_leaves_nothing_out() {
    let disk = MemDisk::new();
    let mut store = open(&disk);
    let datas: Vec<_> = (0..6).map(|seed| bytes(150_000, seed)).collect();
    for data in &datas {
        store.put(data).unwrap();
    }
    store.checkpoint().unwrap();
    let all = 6 * 150_000;
    // At any time it stops, in an orderly way or not; each pass looks at all.
    for stop in 0..3 {
        let mut checked = 0;
        let mut calls = 0;
        loop {
            let report = store.scrub(40_000).unwrap();
            checked += report.checked_bytes;
            calls += 1;
            if report.done {
                break;
            }
            match stop {
                0 => continue,
                1 => store.checkpoint().unwrap(),
                // Only every second call is remembered.
                _ if calls % 2 == 0 && calls < 20 => store.checkpoint().unwrap(),
                _ if calls >= 20 => continue,
                _ => {}
            }
            drop(store);
            disk.crash(None);
            store = open(&disk);
        }
        store.checkpoint().unwrap();
        if stop < 2 {
            assert_eq!(checked, all);
        } else {
            assert!(checked > all, "some bytes twice");
        }
    }
    // A flipped bit in front of it is found in this round, and one behind it in the next.
    store.scrub(1).unwrap();
    let mut ids: Vec<_> = datas.iter().map(|data| samara_tree::hash(data)).collect();
    ids.sort_unstable();
    let of = |id| datas.iter().find(|data| samara_tree::hash(data) == id).unwrap();
    flip(&disk, of(ids[0]), 0);
    flip(&disk, of(ids[5]), 149_999 - 16);
    let last = (ids[5], RangeSet::from(144..147));
    assert_eq!(damage(&scrub_all(&store, 100_000)), [last]);
    assert_eq!(damage(&scrub_all(&store, 100_000)), [(ids[0], RangeSet::from(leaves(0)))]);
    assert_eq!(store.scrub_stats().damaged_bytes, (16 + 3) * 1024);
}

#[test]
fn a_blob_that_goes_while_it_is_scrubbed_is_in_nobodys_way() {
    let store = open(&MemDisk::new());
    let mut ids: Vec<_> = (0..4).map(|seed| store.put(&bytes(100_000, seed)).unwrap()).collect();
    ids.sort_unstable();
    store.scrub(20_000).unwrap();
    store.remove(&ids[0]).unwrap();
    let report = store.scrub(1 << 30).unwrap();
    assert!(report.done);
    assert_eq!((report.checked_bytes, report.blobs), (300_000, 3));
    // And nothing at all is quickly done.
    for id in &ids {
        store.remove(id).unwrap();
    }
    let report = store.scrub(1).unwrap();
    assert!(report.done && report.checked_bytes == 0);
}

#[test]
fn two_scrubs_at_once_look_at_everything() {
    let store = open(&MemDisk::new());
    for seed in 0..20 {
        store.put(&bytes(100_000, seed)).unwrap();
    }
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| scrub_all(&store, 30_000));
        }
    });
    let stats = store.scrub_stats();
    assert!(stats.passes >= 1 && stats.checked_bytes >= 2_000_000, "{stats:?}");
    assert_eq!(stats.damaged_bytes, 0);
}

#[test]
fn what_the_disk_cannot_read_is_given_up_in_bounds() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let data = bytes(900_000, 1);
    let id = store.put(&data).unwrap();
    let partial = Holder::new(bytes(100_000, 2));
    store.set_class(&partial.id, Class::Carried, Duration::ZERO).unwrap();
    receive(&store, &partial, |at| at < 4);
    store.checkpoint().unwrap();
    // A bad sector, in one group.
    let (path, place) = find(&disk, &data, 3 * 16_384 + 700);
    let place = place as u64;
    disk.spoil(&path, place..place + 512);
    assert_eq!(damage(&scrub_all(&store, 1 << 30)), [(id, RangeSet::from(leaves(3)))]);
    assert_eq!(missing(&store, &id, 879), RangeSet::from(leaves(3)));
    assert_eq!(damage(&scrub_all(&store, 1 << 30)), []);
    // In a partial one: durable as well.
    let (path, place) = find(&disk, &partial.data, 16_384 + 700);
    let place = place as u64;
    disk.spoil(&path, place..place + 512);
    assert_eq!(damage(&scrub_all(&store, 1 << 30)), [(partial.id, RangeSet::from(leaves(1)))]);
    drop(store);
    disk.crash(None);
    let store = open(&disk);
    let left = RangeSet::from_iter([leaves(0), leaves(2), leaves(3)]);
    assert_eq!(store.stat(&partial.id).unwrap().unwrap().held, left);

    // A disk that can't be read at all is no reason to give everything up.
    let before = store.stat(&id).unwrap().unwrap().held.total();
    disk.spoil(&path, 0..1 << 40);
    let failed = loop {
        match store.scrub(1 << 20) {
            Ok(report) => assert!(!report.done, "{report:?}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(failed, StoreError::Io { action: "read", .. }), "{failed}");
    let held = |id| store.stat(id).unwrap().unwrap().held.total();
    assert!(before - held(&id) + 48 - held(&partial.id) <= 16 * 16);
}

#[test]
fn a_file_that_changed_is_told_and_the_rest_goes_on() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let root = store.root(Path::new("/")).unwrap();
    for (name, seed) in [("a", 1), ("b", 2)] {
        let path = format!("/{name}");
        disk.write_file(Path::new(&path), &bytes(50_000, seed), true).unwrap();
        store.share_in_place(root, name.as_bytes(), &mut |_| ()).unwrap();
    }
    disk.write_file(Path::new("/a"), &bytes(50_000, 9), true).unwrap();
    let report = store.scrub(1 << 30).unwrap();
    assert!(report.done);
    assert_eq!(report.changed, [Path::new("/a")]);
    assert_eq!((report.checked_bytes, damage(&[report])), (50_000, vec![]));
}

#[test]
fn an_index_without_a_scrub_begins_one() {
    let disk = MemDisk::new();
    let store = open(&disk);
    store.put(&bytes(40_000, 1)).unwrap();
    scrub_all(&store, 1 << 20);
    store.shutdown().unwrap();
    drop(store);
    let (store, _) =
        Store::rebuild_index_on(Arc::new(disk), Path::new(DIR), options(), &mut |_| ()).unwrap();
    assert_eq!(store.scrub_stats().passes, 0);
    assert_eq!(store.scrub(1 << 20).unwrap().checked_bytes, 40_000);
}
