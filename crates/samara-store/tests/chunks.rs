//! Chunks that blobs share: stored once, counted, given back, healed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_store::{
    Audit, ChunkerParams, ImportError, Options, ReadError, Store, Target,
    disk::{Fault, MemDisk},
};
use support::{DIR, Holder, bytes, open, options};

fn import(store: &Store, data: &[u8]) -> BlobId {
    store.import(data, &mut |_| ()).unwrap().id
}

fn check(store: &Store, id: &BlobId, data: &[u8]) {
    let reader = store.reader(id).unwrap().unwrap();
    assert!(reader.read(0..data.len() as u64).unwrap() == data);
}

fn live(store: &Store) -> u64 {
    store.usage().unwrap().segment_live_bytes
}

/// Versions of one thing: each has some bytes replaced and some put in.
fn versions() -> [Vec<u8>; 3] {
    let first = bytes(1_500_000, 1);
    let mut second = first.clone();
    second[700_000..700_100].fill(7);
    let mut third = second.clone();
    third.splice(200_000..200_000, bytes(1_000, 2));
    [first, second, third]
}

#[test]
fn what_versions_share_is_stored_once() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let versions = versions();
    let mut before = 0;
    let mut ids = Vec::new();
    for (number, version) in versions.iter().enumerate() {
        ids.push(import(&store, version));
        store.checkpoint().unwrap();
        let added = live(&store) - before;
        let limit = if number == 0 { 1_520_000 } else { 150_000 };
        assert!(added < limit, "version {number}: {added} bytes");
        before += added;
    }
    assert_eq!(store.audit().unwrap(), Audit::default());
    let usage = store.usage().unwrap();
    assert!(usage.chunks > 60 && usage.shared_bytes > 2_700_000, "{usage:?}");
    for (id, version) in ids.iter().zip(&versions) {
        check(&store, id, version);
    }
    drop(store);
    let store = open(&disk);
    for (id, version) in ids.iter().zip(&versions) {
        check(&store, id, version);
        assert!(store.verify(id, &mut |_| ()).unwrap().unwrap().damaged.is_empty());
    }
    // The same again costs nothing, not even for a moment longer.
    import(&store, &versions[1]);
    store.put(&versions[0]).unwrap();
    assert_eq!(live(&store), before);
}

//= rfcs/0009-store.md#store-36
//= type=test
//# A store MUST NOT give the space of a chunk back while a map names the chunk.
#[test]
fn a_chunk_lives_as_long_as_a_blob_has_it() {
    let versions = versions();
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
        let disk = MemDisk::new();
        let store = open(&disk);
        let ids = versions.each_ref().map(|version| import(&store, version));
        store.checkpoint().unwrap();
        for (removed, number) in order.iter().enumerate() {
            assert!(store.remove(&ids[*number]).unwrap());
            store.checkpoint().unwrap();
            for left in &order[removed + 1..] {
                check(&store, &ids[*left], &versions[*left]);
            }
        }
        store.checkpoint().unwrap();
        let usage = store.usage().unwrap();
        assert_eq!((usage.segment_live_bytes, usage.chunks, usage.shared_bytes), (0, 0, 0));
    }
}

#[test]
fn a_blob_of_one_chunk_over_and_over_takes_the_space_of_one() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let zeros = vec![0; 20 << 20];
    let id = import(&store, &zeros);
    store.checkpoint().unwrap();
    // Chunks, their map, and the outboard.
    assert!(live(&store) < 200_000, "{}", live(&store));
    check(&store, &id, &zeros);
    assert!(store.remove(&id).unwrap());
    store.checkpoint().unwrap();
    assert_eq!(live(&store), 0);
}

/// A store with the first and the last version, in which a chunk that both have has rotted.
fn rotten() -> ([Vec<u8>; 3], Store, [BlobId; 2]) {
    let disk = MemDisk::new();
    let versions = versions();
    let store = open(&disk);
    let ids = [0, 2].map(|number| import(&store, &versions[number]));
    store.shutdown().unwrap();
    drop(store);
    let path = PathBuf::from(DIR).join("segments/00000001.seg");
    let mut bad = disk.read_file(&path).unwrap();
    bad[900_000] ^= 1;
    disk.write_file(&path, &bad, true).unwrap();

    let store = open(&disk);
    (versions, store, ids)
}

//= rfcs/0009-store.md#store-32
//= type=test
//# A store MUST compare the bytes of a chunk with those that it has before it counts the chunk as
//# stored already.
#[test]
fn importing_again_heals_what_has_rotted() {
    let (versions, store, ids) = rotten();
    let damage = |id| store.verify(&id, &mut |_| ()).unwrap().unwrap().damaged;
    assert!(!damage(ids[0]).is_empty() && !damage(ids[1]).is_empty());
    let before = store.usage().unwrap();
    // Another version, with the chunk as it should be.
    let healer = import(&store, &versions[1]);
    store.checkpoint().unwrap();
    check(&store, &healer, &versions[1]);
    for (id, number) in ids.iter().zip([0, 2]) {
        // Who was condemned is looked at again when somebody asks for what is missing.
        let receiver = store.receive(id, versions[number].len() as u64, &Target::Segments).unwrap();
        assert!(receiver.is_complete(), "{:?}", store.stat(id));
        check(&store, id, &versions[number]);
        assert!(store.stat(id).unwrap().unwrap().complete);
    }
    let after = store.usage().unwrap();
    assert!(after.segment_live_bytes < before.segment_live_bytes + 100_000);
    for id in ids.iter().chain([&healer]) {
        store.remove(id).unwrap();
    }
    store.checkpoint().unwrap();
    assert_eq!(live(&store), 0);
}

#[test]
fn what_one_blob_fetches_again_heals_the_others() {
    let (versions, store, ids) = rotten();
    let holder = Holder::new(versions[0].clone());
    let damaged = store.verify(&ids[0], &mut |_| ()).unwrap().unwrap().damaged;
    let receiver = store.receive(&ids[0], holder.size(), &Target::Segments).unwrap();
    for run in damaged.runs() {
        let run = GroupLog2::KIB16.align(run, holder.leaves());
        let base = receiver.known();
        let (proof, data) = holder.send(GroupLog2::KIB16, &run, &base);
        receiver.ingest(GroupLog2::KIB16, run.start, &base, &proof, &data).unwrap();
    }
    receiver.finish().unwrap();
    store.checkpoint().unwrap();
    check(&store, &ids[0], &versions[0]);
    check(&store, &ids[1], &versions[2]);
    assert!(ids.iter().all(|id| store.remove(id).unwrap()));
    store.checkpoint().unwrap();
    assert_eq!(live(&store), 0, "patches were given back as well");
}

/// Ends with an error after some bytes.
struct Broken<'a>(&'a [u8]);

impl io::Read for Broken<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::Error::other("unplugged"));
        }
        self.0.read(buf)
    }
}

#[test]
fn an_import_that_fails_leaves_nothing() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let versions = versions();
    let id = import(&store, &versions[0]);
    store.checkpoint().unwrap();
    let before = store.usage().unwrap();
    let failed = store.import(Broken(&versions[2]), &mut |_| ());
    assert!(matches!(failed, Err(ImportError::Read(_))));
    store.checkpoint().unwrap();
    let after = store.usage().unwrap();
    assert_eq!(after.segment_live_bytes, before.segment_live_bytes);
    assert_eq!((after.chunks, after.shared_bytes), (before.chunks, before.shared_bytes));
    check(&store, &id, &versions[0]);
}

//= rfcs/0009-store.md#store-37
//= type=test
//# A map MUST be loose until the commit in which the row of its blob names it.
#[test]
fn what_an_interrupted_import_left_is_collected() {
    // Much of it is acknowledged before it ends.
    let options = Options { checkpoint_bytes: 200_000, ..options() };
    let versions = versions();
    let second = [&versions[0][..800_000], &bytes(2_200_000, 5)].concat();
    let mut left = 0;
    for call in (0..).step_by(3) {
        let disk = MemDisk::new();
        let store = Store::open_on(Arc::new(disk.clone()), Path::new(DIR), options).unwrap();
        let id = import(&store, &versions[0]);
        store.pin(&id, b"kept").unwrap();
        store.checkpoint().unwrap();
        let before = live(&store);
        disk.fail_after(call, Fault::Cut);
        let done = store.import(second.as_slice(), &mut |_| ());
        if done.is_ok() && !disk.is_cut() {
            break;
        }
        drop(store);
        disk.crash(Some(call));
        let store = open(&disk);
        check(&store, &id, &versions[0]);
        left += store.audit().unwrap().loose_maps;
        store.collect(core::time::Duration::ZERO, &mut |_| false).unwrap();
        check(&store, &id, &versions[0]);
        let mut audit = store.audit().unwrap();
        audit.unused_bytes = 0;
        assert_eq!(audit, Audit::default(), "call {call}");
        // A record that no row named yet at the power cut counts until its segment goes.
        let usage = store.usage().unwrap();
        assert!(usage.segment_live_bytes < before + 200_000, "call {call}: {usage:?} {before}");
        assert_eq!(usage.shared_bytes, 0, "call {call}");
        store.unpin(&id, b"kept").unwrap();
        store.collect(core::time::Duration::ZERO, &mut |_| false).unwrap();
        assert_eq!(store.usage().unwrap().chunks, 0, "call {call}");
    }
    assert!(left > 2, "{left}");
}

#[test]
fn many_import_and_remove_the_same_at_once() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let versions = versions();
    let kept = import(&store, &versions[0]);
    thread::scope(|scope| {
        for turn in 0..4 {
            let (store, versions) = (&store, &versions);
            scope.spawn(move || {
                for round in 0..4 {
                    let number = 1 + (turn + round) % 2;
                    let id = import(store, &versions[number]);
                    // Another thread may remove it meanwhile, so it is whole or gone.
                    match store.reader(&id).unwrap().map(|reader| reader.read(0..1_500_000)) {
                        Some(Ok(data)) => assert!(data == versions[number][..1_500_000]),
                        None | Some(Err(ReadError::NotHeld { .. })) => {}
                        Some(Err(error)) => panic!("{error}"),
                    }
                    check(store, &kept, &versions[0]);
                    store.remove(&id).unwrap();
                    store.checkpoint().unwrap();
                }
            });
        }
    });
    check(&store, &kept, &versions[0]);
    store.collect(core::time::Duration::ZERO, &mut |id| *id == kept).unwrap();
    let usage = store.usage().unwrap();
    assert_eq!(usage.shared_bytes, 0, "{usage:?}");
    assert_eq!(store.audit().unwrap(), Audit::default());
    store.remove(&kept).unwrap();
    store.checkpoint().unwrap();
    let usage = store.usage().unwrap();
    assert_eq!((usage.chunks, usage.segment_live_bytes), (0, 0));
}

#[test]
fn a_store_of_the_first_format_becomes_one_of_the_second() {
    let disk = MemDisk::new();
    let old = bytes(100_000, 3);
    let id = {
        let plain = Options { chunking: None, ..options() };
        let store = Store::open_on(Arc::new(disk.clone()), Path::new(DIR), plain).unwrap();
        let id = store.put(&old).unwrap();
        store.shutdown().unwrap();
        id
    };
    // As the first version left it.
    let dir = tempfile::tempdir().unwrap();
    let (path, file) = (Path::new("/store/index.redb"), dir.path().join("index"));
    std::fs::write(&file, disk.read_file(path).unwrap()).unwrap();
    {
        type Definition = redb::TableDefinition<'static, &'static [u8], &'static [u8]>;
        let db = redb::Database::open(&file).unwrap();
        let txn = db.begin_write().unwrap();
        for name in ["chunks", "maps", "loose"] {
            assert!(txn.delete_table(Definition::new(name)).unwrap());
        }
        let one = 1u64.to_le_bytes();
        let mut meta = txn.open_table(Definition::new("meta")).unwrap();
        meta.insert(b"version".as_slice(), one.as_slice()).unwrap();
        drop(meta);
        txn.commit().unwrap();
    }
    disk.write_file(path, &std::fs::read(&file).unwrap(), true).unwrap();
    for _ in 0..2 {
        let store = open(&disk);
        check(&store, &id, &old);
        let new = bytes(200_000, 4);
        let id = import(&store, &new);
        check(&store, &id, &new);
        assert!(store.remove(&id).unwrap());
        store.checkpoint().unwrap();
    }
}

#[test]
fn every_profile_keeps_what_it_is_given_around_its_limits() {
    for params in ChunkerParams::ALL {
        let options = Options { chunking: Some(params), ..options() };
        let disk = MemDisk::new();
        let store = Store::open_on(Arc::new(disk), Path::new(DIR), options).unwrap();
        let (avg, max) = (params.avg_bytes(), params.max_bytes());
        for len in [avg - 1, avg, avg + 1, max - 1, max, max + 1, 1 << 20, (1 << 20) + 1] {
            let data = bytes(len, len as u64);
            let id = store.put(&data).unwrap();
            assert_eq!(import(&store, &data), id);
            check(&store, &id, &data);
            let end = len as u64;
            let reader = store.reader(&id).unwrap().unwrap();
            assert_eq!(reader.read(end - 7..end).unwrap(), data[len - 7..]);
            let leaves = samara_base::leaves(end);
            let range = 0..leaves;
            let sent = reader.encode(GroupLog2::KIB64, &range, &RangeSet::new()).unwrap();
            assert!(sent.data == data);
        }
    }
}

#[cfg(not(feature = "zstd"))]
#[test]
fn a_build_that_cannot_compress_says_so() {
    let compression = Some(samara_store::Compression::FAST);
    let options = Options { compression, ..options() };
    let refused = Store::open_on(Arc::new(MemDisk::new()), Path::new(DIR), options);
    let needed = samara_store::StoreError::Unsupported { feature: "zstd" };
    assert_eq!(refused.unwrap_err().to_string(), needed.to_string());
}

#[cfg(feature = "zstd")]
mod compressed {
    use samara_store::Compression;

    use super::*;

    fn packed() -> Options {
        Options { compression: Some(Compression::FAST), ..options() }
    }

    fn text(len: usize) -> Vec<u8> {
        let lines =
            (0..).flat_map(|at: u64| format!("{at}: {:x}\n", at * at * 77_777).into_bytes());
        lines.take(len).collect()
    }

    #[test]
    fn what_shrinks_takes_less_and_is_read_as_it_was() {
        let disk = MemDisk::new();
        let store = Store::open_on(Arc::new(disk.clone()), Path::new(DIR), packed()).unwrap();
        let data = [text(1_200_000), bytes(300_000, 1), text(400_000)].concat();
        let id = import(&store, &data);
        store.checkpoint().unwrap();
        let usage = store.usage().unwrap();
        assert!(usage.segment_live_bytes < 1_100_000 && usage.compressed_bytes > 400_000);
        check(&store, &id, &data);
        let reader = store.reader(&id).unwrap().unwrap();
        for at in (0..data.len() - 20_000).step_by(31_013) {
            let read = reader.read(at as u64..at as u64 + 20_000).unwrap();
            assert!(read == data[at..at + 20_000], "{at}");
        }
        assert_eq!(store.audit().unwrap(), Audit::default());
        // The same chunk is the same, compressed or not.
        drop((reader, store));
        let store = open(&disk);
        let version = [&data[..1_150_000], b"another end"].concat();
        let before = live(&store);
        let other = import(&store, &version);
        store.checkpoint().unwrap();
        assert!(live(&store) < before + 150_000);
        check(&store, &other, &version);
        check(&store, &id, &data);
        // And the index can be made again of such chunks.
        drop(store);
        let (store, rebuilt) =
            Store::rebuild_index_on(Arc::new(disk), Path::new(DIR), options(), &mut |_| ())
                .unwrap();
        assert_eq!((rebuilt.whole, rebuilt.damaged), (2, 0), "{rebuilt:?}");
        check(&store, &other, &version);
        check(&store, &id, &data);
        assert_eq!(store.audit().unwrap(), Audit::default());
    }

    #[test]
    fn any_rot_of_a_compressed_chunk_is_found_and_healed() {
        let disk = MemDisk::new();
        let data = text(300_000);
        let store = Store::open_on(Arc::new(disk.clone()), Path::new(DIR), packed()).unwrap();
        let id = import(&store, &data);
        store.shutdown().unwrap();
        drop(store);
        let path = PathBuf::from(DIR).join("segments/00000001.seg");
        let intact = disk.read_file(&path).unwrap();
        let mut damaged = 0;
        for at in (64..intact.len()).step_by(intact.len() / 40) {
            let mut bad = intact.clone();
            bad[at] ^= 0x40;
            let disk = disk.fork();
            disk.write_file(&path, &bad, true).unwrap();
            let store = open(&disk);
            let report = store.verify(&id, &mut |_| ()).unwrap().unwrap();
            damaged += u32::from(!report.damaged.is_empty());
            let held = store.stat(&id).unwrap().unwrap().held;
            for run in held.runs() {
                let bytes = run.start * 1024..(run.end * 1024).min(data.len() as u64);
                let read = store.reader(&id).unwrap().unwrap().read(bytes.clone()).unwrap();
                assert!(read == data[bytes.start as usize..bytes.end as usize]);
            }
            import(&store, &data);
            check(&store, &id, &data);
            store.shutdown().unwrap();
            drop(store);
            if !report.damaged.is_empty() {
                // The good copy is found again as well.
                let disk = Arc::new(disk);
                let made = Store::rebuild_index_on(disk, Path::new(DIR), options(), &mut |_| ());
                check(&made.unwrap().0, &id, &data);
            }
        }
        assert!(damaged > 10, "{damaged}");
    }
}
