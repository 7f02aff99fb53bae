//! What every caller relies on, on the real disk and in memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use core::time::Duration;
use std::{fs, path::Path, sync::Arc};

use samara_base::{GroupLog2, RangeSet};
use samara_store::{
    BlobPlace, FinishError, Options, ReadError, ReceiveError, Store, Target, disk::MemDisk,
};
use support::{Holder, bytes, open, options};

fn on_disk() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), options()).unwrap();
    (dir, store)
}

fn receive_all(store: &Store, holder: &Holder, target: &Target, group: GroupLog2, step: u64) {
    let receiver = store.receive(&holder.id, holder.size(), target).unwrap();
    for range in holder.transfers(group, step) {
        let known = receiver.known();
        let (proof, data) = holder.send(group, &range, &known);
        let done = receiver.ingest(group, range.start, &known, &proof, &data).unwrap();
        assert_eq!(done.good, RangeSet::from(range));
    }
    assert!(receiver.is_complete() && receiver.size_proven());
    let stat = receiver.finish().unwrap();
    assert!(stat.complete);
}

#[test]
fn blobs_of_all_shapes_come_back_the_same_after_reopen() {
    let (dir, store) = on_disk();
    let sizes = [0, 1, 1024, 1025, 16_384, 16_385, 70_000, 1 << 20, (1 << 20) + 1, 3_500_000];
    let mut ids = Vec::new();
    for (at, size) in sizes.into_iter().enumerate() {
        let data = bytes(size, at as u64);
        ids.push((store.put(&data).unwrap(), data));
        let data = bytes(size, at as u64 + 100);
        let mut last = 0;
        let stat = store.import(data.as_slice(), &mut |done| last = done).unwrap();
        assert_eq!((stat.size, last), (size as u64, size as u64));
        ids.push((stat.id, data));
    }
    let check = |store: &Store| {
        for (id, data) in &ids {
            assert_eq!(*id, samara_tree::hash(data));
            let reader = store.reader(id).unwrap().unwrap();
            assert_eq!(reader.read(0..data.len() as u64).unwrap(), data, "{} bytes", data.len());
            let stat = store.stat(id).unwrap().unwrap();
            assert!(stat.complete && stat.size_proven && stat.place == BlobPlace::InSegments);
        }
        // There is only one empty blob.
        assert_eq!(store.list(None, 100).unwrap().len(), ids.len() - 1);
        assert_eq!(store.usage().unwrap().blobs, ids.len() as u64 - 1);
    };
    check(&store);
    store.shutdown().unwrap();
    check(&store);
    drop(store);
    let store = Store::open(&dir.path().join("store"), options()).unwrap();
    assert_eq!(store.recovery(), &samara_store::Recovery::default());
    check(&store);
}

#[test]
fn a_blob_is_received_in_any_group_size_into_segments_and_into_files() {
    for (at, group) in [0, 2, 4, 6, 8].into_iter().enumerate() {
        let group = GroupLog2::new(group).unwrap();
        for size in [5_000, 16_384, 300_000, 1_500_000, 4_000_001] {
            let (dir, store) = on_disk();
            let holder = Holder::new(bytes(size, at as u64));
            receive_all(&store, &holder, &Target::Segments, group, 64);
            let reader = store.reader(&holder.id).unwrap().unwrap();
            assert_eq!(reader.read(0..size as u64).unwrap(), holder.data);
            drop(reader);

            let out = dir.path().join("out");
            fs::create_dir(&out).unwrap();
            let root = store.root(&out).unwrap();
            let target = Target::File {
                root,
                rel: b"deep/er/\xff.part".to_vec(),
                mode: 0o640,
                mtime: Some(Duration::new(1_000_000_000, 5)),
            };
            store.remove(&holder.id).unwrap();
            receive_all(&store, &holder, &target, group, 64);
            let stat = store.publish_file(&holder.id, &target, b"final", false).unwrap();
            assert_eq!(stat.place, BlobPlace::External(out.join("final")));
            assert_eq!(fs::read(out.join("final")).unwrap(), holder.data);
            let meta = fs::metadata(out.join("final")).unwrap();
            let mtime = meta.modified().unwrap();
            assert_eq!(
                mtime.duration_since(std::time::UNIX_EPOCH).unwrap(),
                Duration::new(1_000_000_000, 5)
            );
            let reader = store.reader(&holder.id).unwrap().unwrap();
            assert_eq!(reader.read(1..size as u64 - 1).unwrap(), holder.data[1..size - 1]);
            drop((reader, store));
            let store = Store::open(&dir.path().join("store"), options()).unwrap();
            let reader = store.reader(&holder.id).unwrap().unwrap();
            assert_eq!(reader.read(0..size as u64).unwrap(), holder.data);
        }
    }
}

#[test]
fn what_the_store_serves_is_what_another_store_takes() {
    let disk = MemDisk::new();
    let (from, holder) = (open(&disk), Holder::new(bytes(900_000, 7)));
    from.put(&holder.data).unwrap();
    let other = MemDisk::new();
    let to = open(&other);
    let reader = from.reader(&holder.id).unwrap().unwrap();
    let receiver = to.receive(&holder.id, reader.size(), &Target::Segments).unwrap();
    for (at, range) in holder.transfers(GroupLog2::KIB64, 128).into_iter().enumerate() {
        let group = if at % 2 == 0 { GroupLog2::MIN } else { GroupLog2::KIB64 };
        let known = receiver.known();
        let sent = reader.encode(group, &range, &known).unwrap();
        assert_eq!(sent.proof, holder.send(group, &range, &known).0);
        receiver.ingest(group, range.start, &known, &sent.proof, &sent.data).unwrap();
        // A partial holder serves what it has.
        let partial = to.reader(&holder.id).unwrap().unwrap();
        assert_eq!(partial.held(), RangeSet::from(0..range.end));
        let again = partial.encode(group, &range, &RangeSet::new()).unwrap();
        assert_eq!(again.proof, holder.send(group, &range, &RangeSet::new()).0);
        assert_eq!(again.data, sent.data);
    }
    assert!(receiver.finish().unwrap().complete);
}

#[test]
fn an_unfinished_receive_says_what_is_missing_and_goes_on_after_reopen() {
    for big in [false, true] {
        let (dir, store) = on_disk();
        let holder = Holder::new(bytes(if big { 3_000_000 } else { 400_000 }, 9));
        let group = GroupLog2::KIB16;
        let receiver = store.receive(&holder.id, holder.size(), &Target::Segments).unwrap();
        let ranges = holder.transfers(group, 64);
        let (now, later) = ranges.split_at(ranges.len() / 2);
        for range in now {
            let (proof, data) = holder.send(group, range, &receiver.known());
            let base = receiver.known();
            receiver.ingest(group, range.start, &base, &proof, &data).unwrap();
        }
        let end = now.last().unwrap().end;
        let Err(FinishError::Incomplete { missing }) = receiver.finish() else { panic!() };
        assert_eq!(missing, RangeSet::from(end..holder.leaves()));
        store.checkpoint().unwrap();
        drop((receiver, store));
        let store = Store::open(&dir.path().join("store"), options()).unwrap();
        let stat = store.stat(&holder.id).unwrap().unwrap();
        assert_eq!(stat.held, RangeSet::from(0..end));
        assert!(!stat.complete && !stat.size_proven);
        let receiver = store.receive(&holder.id, holder.size(), &Target::Segments).unwrap();
        for range in later {
            let base = receiver.known();
            let (proof, data) = holder.send(group, range, &base);
            receiver.ingest(group, range.start, &base, &proof, &data).unwrap();
        }
        assert!(receiver.finish().unwrap().complete);
        let reader = store.reader(&holder.id).unwrap().unwrap();
        assert_eq!(reader.read(0..holder.size()).unwrap(), holder.data);
    }
}

#[test]
fn small_blobs_go_to_segments_and_to_files() {
    let (dir, store) = on_disk();
    let out = dir.path().join("out.staging");
    let root = store.staging_root(&out).unwrap();
    assert_eq!(store.staging_root(&out).unwrap(), root);
    for at in 0..200u64 {
        let data = bytes(usize::try_from(at * 7).unwrap(), at);
        let id = samara_tree::hash(&data);
        if at % 2 == 0 {
            store.receive_small(&id, &Target::Segments, &data).unwrap();
        } else {
            let rel = format!("d{}/f{at}", at % 5).into_bytes();
            let target = Target::File { root, rel, mode: 0o600, mtime: None };
            store.receive_small(&id, &target, &data).unwrap();
        }
        let wrong = [data.as_slice(), b"x"].concat();
        let refused = store.receive_small(&id, &Target::Segments, &wrong);
        assert!(matches!(refused, Err(ReceiveError::Mismatch)));
    }
    store.checkpoint().unwrap();
    store.publish_root(root, &dir.path().join("out")).unwrap();
    assert!(!out.exists());
    let check = |store: &Store| {
        for at in 0..200u64 {
            let data = bytes(usize::try_from(at * 7).unwrap(), at);
            let reader = store.reader(&samara_tree::hash(&data)).unwrap().unwrap();
            let sent = reader.encode(
                GroupLog2::KIB16,
                &(0..samara_base::leaves(at * 7)),
                &RangeSet::new(),
            );
            assert_eq!(sent.unwrap().data, data);
        }
    };
    check(&store);
    drop(store);
    check(&Store::open(&dir.path().join("store"), options()).unwrap());
}

//= rfcs/0009-store.md#store-19
//= type=test
//# A store MUST NOT read a shared file as a blob once its size or time of last change differs from what was recorded.
#[test]
fn a_file_is_shared_where_it_lies_and_a_change_is_noticed() {
    let (dir, store) = on_disk();
    let out = dir.path().join("mine");
    fs::create_dir(&out).unwrap();
    let root = store.root(&out).unwrap();
    for size in [0, 100, 16_384, 16_385, 2_000_000] {
        let data = bytes(size, 3);
        fs::write(out.join("f"), &data).unwrap();
        let stat = store.share_in_place(root, b"f", &mut |_| ()).unwrap();
        assert_eq!(stat.place, BlobPlace::External(out.join("f")));
        let reader = store.reader(&stat.id).unwrap().unwrap();
        assert_eq!(reader.read(0..size as u64).unwrap(), data);
        assert!(store.usage().unwrap().segment_live_bytes < 10_000, "nothing is copied");
        fs::write(out.join("f"), [data.as_slice(), b"more"].concat()).unwrap();
        let changed = reader.read(0..size as u64);
        if size > 0 {
            assert!(matches!(changed, Err(ReadError::Changed { .. })), "{changed:?}");
        }
        let again = store.reader(&stat.id);
        assert!(matches!(again, Err(ReadError::Changed { .. })), "{again:?}");
        let stat = store.stat(&stat.id).unwrap().unwrap();
        assert!(!stat.complete && stat.held.is_empty());
    }
}

//= rfcs/0009-store.md#store-18
//= type=test
//# A store MUST NOT write to a file that was shared in place.
#[test]
fn damage_goes_into_quarantine_for_good_and_heals_from_elsewhere() {
    let (dir, store) = on_disk();
    let holder = Holder::new(bytes(200_000, 5));
    let out = dir.path().join("mine");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("f"), &holder.data).unwrap();
    let time = fs::metadata(out.join("f")).unwrap().modified().unwrap();
    let root = store.root(&out).unwrap();
    store.share_in_place(root, b"f", &mut |_| ()).unwrap();
    let mut spoilt = holder.data.clone();
    spoilt[50_000] ^= 1;
    fs::write(out.join("f"), &spoilt).unwrap();
    fs::File::options().write(true).open(out.join("f")).unwrap().set_modified(time).unwrap();

    let bad = RangeSet::from(48..64);
    let reader = store.reader(&holder.id).unwrap().unwrap();
    let all = reader.encode(GroupLog2::KIB64, &(0..64), &RangeSet::new());
    assert!(matches!(all, Err(ReadError::Damaged { ranges }) if ranges == bad));
    drop((reader, store));
    let store = Store::open(&dir.path().join("store"), options()).unwrap();
    let stat = store.stat(&holder.id).unwrap().unwrap();
    assert_eq!((stat.damaged, stat.complete), (bad.clone(), false));
    let reader = store.reader(&holder.id).unwrap().unwrap();
    assert_eq!(reader.held(), bad.complement(holder.leaves()));
    assert_eq!(reader.read(0..48 * 1024).unwrap(), holder.data[..48 * 1024]);
    let report = store.verify(&holder.id, &mut |_| ()).unwrap().unwrap();
    assert_eq!((report.damaged, report.good_bytes), (bad.clone(), 200_000 - 16_384));

    let receiver = store.receive(&holder.id, holder.size(), &Target::Segments).unwrap();
    assert_eq!(receiver.held(), bad.complement(holder.leaves()));
    let known = receiver.known();
    for range in [48..52, 52..64] {
        let group = GroupLog2::new(2).unwrap();
        let (proof, data) = holder.send(group, &range, &known);
        let done = receiver.ingest(group, range.start, &known, &proof, &data).unwrap();
        assert_eq!(done.good, RangeSet::from(range));
    }
    assert!(receiver.finish().unwrap().complete);
    assert_eq!(fs::read(out.join("f")).unwrap(), spoilt, "a user's file is never written to");
    store.checkpoint().unwrap();
    drop((receiver, reader, store));
    let store = Store::open(&dir.path().join("store"), options()).unwrap();
    let reader = store.reader(&holder.id).unwrap().unwrap();
    assert_eq!(reader.read(0..200_000).unwrap(), holder.data);
}

//= rfcs/0009-store.md#store-17
//= type=test
//# A store MUST be open in at most one process at a time.
#[test]
fn one_process_at_a_time() {
    let (dir, _store) = on_disk();
    let again = Store::open(&dir.path().join("store"), Options::default());
    let Err(samara_store::OpenError::InUse { pid, .. }) = again else { panic!("{again:?}") };
    assert_eq!(pid, Some(std::process::id()));
}

#[test]
fn tags_pins_and_collection() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let ids: Vec<_> = (0..5u64).map(|at| store.put(&bytes(40_000, at)).unwrap()).collect();
    store.tag(b"named", &ids[0]).unwrap();
    store.pin(&ids[1], b"for a reason").unwrap();
    store.checkpoint().unwrap();
    assert_eq!(store.tags().unwrap(), [(b"named".to_vec(), ids[0])]);
    assert_eq!(store.pins(&ids[1]).unwrap(), [b"for a reason".to_vec()]);
    let keep = ids[2];
    assert_eq!(store.collect(Duration::ZERO, &mut |id| *id == keep).unwrap(), 2);
    for (at, id) in ids.iter().enumerate() {
        assert_eq!(store.stat(id).unwrap().is_some(), at < 3);
    }
    store.untag(b"named").unwrap();
    store.unpin(&ids[1], b"for a reason").unwrap();
    assert_eq!(store.collect(Duration::ZERO, &mut |_| false).unwrap(), 3);
    assert_eq!(store.usage().unwrap().segment_live_bytes, 0);
}

#[test]
fn export_never_overwrites_unless_told() {
    let (dir, store) = on_disk();
    let id = store.put(&bytes(100_000, 1)).unwrap();
    let dest = dir.path().join("copy");
    store.export(&id, &dest, false).unwrap();
    assert_eq!(fs::read(&dest).unwrap(), bytes(100_000, 1));
    fs::write(&dest, b"precious").unwrap();
    let again = store.export(&id, &dest, false);
    assert!(matches!(again, Err(samara_store::ExportError::Exists { .. })));
    assert_eq!(fs::read(&dest).unwrap(), b"precious");
    store.export(&id, &dest, true).unwrap();
    assert_eq!(fs::read(&dest).unwrap(), bytes(100_000, 1));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary file is left");
}

#[test]
fn many_threads_work_on_one_store() {
    let dir = tempfile::tempdir().unwrap();
    let small = Options { checkpoint_rows: 40, checkpoint_bytes: 300_000, ..options() };
    let store = Store::open(&dir.path().join("store"), small).unwrap();
    let holder = Holder::new(bytes(2_000_000, 1));
    let root = store.staging_root(&dir.path().join("out")).unwrap();
    let target = Target::File { root, rel: b"big".to_vec(), mode: 0o644, mtime: None };
    let group = GroupLog2::KIB64;
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (store, holder, target) = (store.clone(), &holder, target.clone());
            scope.spawn(move || {
                // All four take the same blob, in different orders.
                let receiver = store.receive(&holder.id, holder.size(), &target).unwrap();
                let mut ranges = holder.transfers(group, 128);
                let count = ranges.len();
                ranges.rotate_left(count / 4 * usize::try_from(thread).unwrap());
                for (at, range) in ranges.into_iter().enumerate() {
                    let (base, at) = (RangeSet::new(), at as u64);
                    let (proof, data) = holder.send(group, &range, &base);
                    match receiver.ingest(group, range.start, &base, &proof, &data) {
                        Ok(done) => assert!(done.bad.is_empty()),
                        // Somebody else has finished it.
                        Err(samara_store::IngestError::Closed) => {}
                        Err(error) => panic!("{error}"),
                    }
                    let data = bytes(1_000 + usize::try_from(at).unwrap(), thread * 1_000 + at);
                    let id = store.put(&data).unwrap();
                    let reader = store.reader(&id).unwrap().unwrap();
                    assert_eq!(reader.read(0..data.len() as u64).unwrap(), data);
                    if let Some(reader) = store.reader(&holder.id).unwrap() {
                        let held = reader.held();
                        let run = held.runs().first().cloned().unwrap_or(0..0);
                        let end = (run.end * 1024).min(holder.size());
                        reader.read(run.start * 1024..end).unwrap();
                    }
                    store.stat(&holder.id).unwrap();
                }
                match receiver.finish() {
                    Ok(stat) => assert!(stat.complete),
                    Err(error) => panic!("{error}"),
                }
                store.checkpoint().unwrap();
            });
        }
    });
    assert_eq!(fs::read(dir.path().join("out/big")).unwrap(), holder.data);
    assert_eq!(store.list(None, usize::MAX).unwrap().len(), 4 * 16 + 1);
}

#[test]
fn a_store_is_send_sync_and_clone() {
    fn check<T: Send + Sync + Clone>() {}
    check::<Store>();
    check::<samara_store::Receiver>();
    check::<samara_store::BlobReader>();
    let _: Arc<dyn samara_store::disk::Disk> = Arc::new(MemDisk::new());
    assert!(Path::new(support::DIR).is_absolute());
}

#[test]
fn many_threads_receive_small_files_into_the_same_directories() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), options()).unwrap();
    let root = store.staging_root(&dir.path().join("out")).unwrap();
    let name = |at: u64| format!("new/{}/file {at}", at % 3).into_bytes();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let store = store.clone();
            scope.spawn(move || {
                for at in (thread..400).step_by(4) {
                    let data = bytes(usize::try_from(at).unwrap(), at);
                    let (rel, mode) = (name(at), 0o640);
                    let target = Target::File { root, rel, mode, mtime: None };
                    store.receive_small(&samara_tree::hash(&data), &target, &data).unwrap();
                }
            });
        }
    });
    store.checkpoint().unwrap();
    for at in 0..400 {
        let data = bytes(usize::try_from(at).unwrap(), at);
        let path = dir.path().join("out").join(String::from_utf8(name(at)).unwrap());
        assert_eq!(fs::read(&path).unwrap(), data, "{}", path.display());
        let reader = store.reader(&samara_tree::hash(&data)).unwrap().unwrap();
        assert_eq!(reader.read(0..at).unwrap(), data);
    }
}

#[test]
fn a_reader_of_what_was_given_up_is_in_no_new_receives_way() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let holder = Holder::new(bytes(65_537, 3));
    let receive = || {
        let receiver = store.receive(&holder.id, holder.size(), &Target::Segments).unwrap();
        let known = receiver.known();
        let (proof, data) = holder.send(GroupLog2::KIB16, &(0..64), &known);
        receiver.ingest(GroupLog2::KIB16, 0, &known, &proof, &data).unwrap();
    };
    receive();
    let old = store.reader(&holder.id).unwrap().unwrap();
    assert!(store.remove(&holder.id).unwrap());
    store.checkpoint().unwrap();
    assert!(old.read(0..1024).is_err(), "its bytes were given back");

    receive();
    store.checkpoint().unwrap();
    let reader = store.reader(&holder.id).unwrap().expect("received again");
    assert_eq!(reader.held(), RangeSet::from(0..64));
    assert_eq!(reader.read(0..65_536).unwrap(), holder.data[..65_536]);
}

#[test]
fn a_reader_of_what_was_removed_with_its_segment_says_that_it_is_not_held() {
    // One record, and an outboard beside it; extents over several segments; a receive.
    for (size, partly) in [(9_000, false), (300_000, false), (3_000_000, false), (65_537, true)] {
        let disk = MemDisk::new();
        let store = open(&disk);
        let holder = Holder::new(bytes(size, 5));
        if partly {
            let receiver = store.receive(&holder.id, holder.size(), &Target::Segments).unwrap();
            let (proof, data) = holder.send(GroupLog2::KIB16, &(0..64), &RangeSet::new());
            let base = RangeSet::new();
            receiver.ingest(GroupLog2::KIB16, 0, &base, &proof, &data).unwrap();
        } else {
            assert_eq!(store.put(&holder.data).unwrap(), holder.id);
        }
        store.checkpoint().unwrap();
        let reader = store.reader(&holder.id).unwrap().unwrap();
        reader.read(0..1024).unwrap();
        // The segment that is written to is kept, so begin others.
        let filler = [6, 7].map(|seed| store.put(&bytes(1_500_000, seed)).unwrap());
        assert!(store.remove(&holder.id).unwrap());
        assert!(store.remove(&filler[0]).unwrap());
        store.checkpoint().unwrap();
        let first = Path::new(support::DIR).join("segments/00000001.seg");
        assert!(!disk.files().contains(&first), "{size}");

        let read = reader.read(0..1024);
        assert!(matches!(read, Err(ReadError::NotHeld { .. })), "{size}: {read:?}");
        let range = 0..holder.leaves().min(16);
        let sent = reader.encode(GroupLog2::KIB16, &range, &RangeSet::new());
        assert!(matches!(sent, Err(ReadError::NotHeld { .. })), "{size}: {sent:?}");
    }
}

#[test]
fn a_reader_of_a_file_that_was_unshared_and_edited_says_that_it_is_not_held() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    let store = Store::open(&dir.path().join("store"), options()).unwrap();
    let root = store.root(&out).unwrap();
    let holder = Holder::new(bytes(100_000, 7));
    fs::write(out.join("f"), &holder.data).unwrap();
    store.share_in_place(root, b"f", &mut |_| ()).unwrap();
    let reader = store.reader(&holder.id).unwrap().unwrap();
    assert!(store.remove(&holder.id).unwrap());
    fs::write(out.join("f"), b"something else").unwrap();
    let read = reader.read(0..1024);
    assert!(matches!(read, Err(ReadError::NotHeld { .. })), "{read:?}");
    let sent = reader.encode(GroupLog2::KIB16, &(0..16), &RangeSet::new());
    assert!(matches!(sent, Err(ReadError::NotHeld { .. })), "{sent:?}");
}
