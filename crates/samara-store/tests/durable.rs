//! What a checkpoint has to sync beside bytes: times, names of new directories, and each file where
//! a sync of the whole file system does nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use core::time::Duration;
use std::{path::Path, sync::Arc};

use samara_base::{GroupLog2, RangeSet};
use samara_store::{
    Store, Target,
    disk::{Disk as _, Fault, MemDisk},
};
use support::{Holder, bytes, open, options};

const TIME: Duration = Duration::from_secs(1_234_567);

fn file(root: samara_store::RootId, rel: &str, mtime: Option<Duration>) -> Target {
    Target::File { root, rel: rel.as_bytes().to_vec(), mode: 0o600, mtime }
}

fn disk_with_home() -> MemDisk {
    let disk = MemDisk::new();
    disk.open_dir(Path::new("/home"), true).unwrap();
    disk.sync_parent(Path::new("/home")).unwrap();
    disk
}

fn reads_back(store: &Store, data: &[u8]) {
    let reader = store.reader(&samara_tree::hash(data)).unwrap().unwrap();
    assert_eq!(reader.read(0..data.len() as u64).unwrap(), data);
}

//= rfcs/0009-store.md#store-60
//= type=test
//# A store MUST make the time of last change of a file that it received durable before it acknowledges the blob.
#[test]
fn the_time_of_a_received_file_survives_a_power_cut() {
    for mtime in [None, Some(TIME)] {
        let disk = disk_with_home();
        let small = bytes(700, 1);
        let holders = [Holder::new(bytes(90_000, 2)), Holder::new(bytes(1_300_000, 3))];
        {
            let store = open(&disk);
            let home = store.root(Path::new("/home")).unwrap();
            let id = samara_tree::hash(&small);
            store.receive_small(&id, &file(home, "small", mtime), &small).unwrap();
            for (at, holder) in holders.iter().enumerate() {
                let target = file(home, &format!("big{at}"), mtime);
                let receiver = store.receive(&holder.id, holder.size(), &target).unwrap();
                let all = 0..holder.leaves();
                let (proof, data) = holder.send(GroupLog2::KIB16, &all, &RangeSet::new());
                receiver.ingest(GroupLog2::KIB16, 0, &RangeSet::new(), &proof, &data).unwrap();
                // The bytes are durable before the time is set.
                store.checkpoint().unwrap();
                receiver.finish().unwrap();
            }
            store.checkpoint().unwrap();
        }
        disk.crash(None);
        let store = open(&disk);
        reads_back(&store, &small);
        let dir = disk.open_dir(Path::new("/home"), false).unwrap();
        for (at, holder) in holders.iter().enumerate() {
            reads_back(&store, &holder.data);
            let meta = dir.stat(format!("big{at}").as_bytes()).unwrap().unwrap();
            assert_eq!(meta.mode, 0o600);
            if mtime.is_some() {
                assert_eq!(meta.mtime_ns, 1_234_567_000_000_000);
            }
        }
    }
}

//= rfcs/0009-store.md#store-61
//= type=test
//# A store MUST sync a file by itself where a sync of the whole file system is not known to reach the medium.
#[test]
fn many_small_files_survive_where_a_sync_of_the_whole_does_nothing() {
    for ignores in [false, true] {
        let disk = disk_with_home();
        if ignores {
            disk.ignore_sync_all();
        }
        let files: Vec<_> = (0..50).map(|at| bytes(100 + at, at as u64)).collect();
        let holder = Holder::new(bytes(70_000, 3));
        {
            let store = open(&disk);
            let home = store.root(Path::new("/home")).unwrap();
            for (at, data) in files.iter().enumerate() {
                let target = file(home, &format!("d{}/e/{at}", at % 3), Some(TIME));
                store.receive_small(&samara_tree::hash(data), &target, data).unwrap();
            }
            let target = file(home, "other/large", None);
            let receiver = store.receive(&holder.id, holder.size(), &target).unwrap();
            let (proof, data) =
                holder.send(GroupLog2::KIB16, &(0..holder.leaves()), &RangeSet::new());
            receiver.ingest(GroupLog2::KIB16, 0, &RangeSet::new(), &proof, &data).unwrap();
            receiver.finish().unwrap();
            store.checkpoint().unwrap();
        }
        disk.crash(None);
        let store = open(&disk);
        files.iter().chain([&holder.data]).for_each(|data| reads_back(&store, data));
    }
}

//= rfcs/0009-store.md#store-61
//= type=test
//# A store MUST sync a file by itself where a sync of the whole file system is not known to reach the medium.
//= rfcs/0009-store.md#store-6
//= type=test
//# After a failed sync or index commit a store MUST refuse all further operations until it is opened again.
#[test]
fn a_file_that_can_not_be_synced_by_itself_poisons_the_store() {
    let (mut poisoned, mut call) = (0, 0);
    loop {
        let disk = disk_with_home();
        disk.ignore_sync_all();
        let store = open(&disk);
        let home = store.root(Path::new("/home")).unwrap();
        store.checkpoint().unwrap();
        disk.fail_after(call, Fault::Io);
        let data = bytes(300, 1);
        let id = samara_tree::hash(&data);
        if store.receive_small(&id, &file(home, "x", None), &data).is_ok() {
            break;
        }
        poisoned += u32::from(store.checkpoint().is_err());
        call += 1;
    }
    assert_eq!(poisoned, 1, "one of the calls is the sync");
}

//= rfcs/0009-store.md#store-62
//= type=test
//# A store MUST make the names of the directories that it creates durable before it acknowledges what is in them.
#[test]
fn new_directories_survive_a_power_cut_with_what_is_in_them() {
    let deep = Path::new("/a/b/c/store");
    let try_open = |disk: &MemDisk| Store::open_on(Arc::new(disk.clone()), deep, options());
    // An earlier process may have died at any call of the first opening.
    for call in 0.. {
        let disk = MemDisk::new();
        disk.fail_after(call, Fault::Io);
        let died = try_open(&disk).is_err();
        disk.heal();
        let (blob, small) = (bytes(500, 1), bytes(400, 2));
        {
            let store = try_open(&disk).unwrap();
            store.put(&blob).unwrap();
            let root = store.staging_root(Path::new("/x/y/z.part")).unwrap();
            let target = file(root, "d/f", None);
            store.receive_small(&samara_tree::hash(&small), &target, &small).unwrap();
            store.checkpoint().unwrap();
            let id = samara_tree::hash(&blob);
            store.export(&id, Path::new("/out/of/here"), false).unwrap();
        }
        disk.crash(None);
        assert_eq!(disk.read_file(Path::new("/out/of/here")).as_deref(), Some(&*blob));
        let store = try_open(&disk).unwrap();
        reads_back(&store, &blob);
        reads_back(&store, &small);
        if !died {
            assert!(call > 5, "the first opening has only {call} calls");
            break;
        }
    }
}
