//! Paths, permissions, full and read-only disks, hostile transfers: on the real file system.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(unix)]

mod support;

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_store::{
    IngestError, OpenError, Options, PublishError, ReadError, ReceiveError, ShareError, Store,
    StoreError, Target,
    disk::{Disk as _, MemDisk, PathError},
};
use support::{Holder, bytes, open, options};

struct World {
    dir: tempfile::TempDir,
    store: Store,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("home")).unwrap();
        let store = Store::open(&dir.path().join("store"), options()).unwrap();
        Self { dir, store }
    }

    fn home(&self) -> std::path::PathBuf {
        self.dir.path().join("home")
    }

    fn target(&self, rel: &[u8]) -> Target {
        let root = self.store.root(&self.home()).unwrap();
        Target::File { root, rel: rel.to_vec(), mode: 0o644, mtime: None }
    }
}

fn blob(seed: u64) -> (BlobId, Vec<u8>) {
    let data = bytes(3_000, seed);
    (samara_tree::hash(&data), data)
}

#[test]
fn paths_that_leave_the_root_are_refused() {
    let world = World::new();
    let (id, data) = blob(1);
    for (rel, expected) in [
        (b"".as_slice(), PathError::Empty),
        (b"/etc/x", PathError::Absolute),
        (b"../x", PathError::Component { offset: 0 }),
        (b"a/../../x", PathError::Component { offset: 2 }),
        (b"a\0", PathError::Nul { offset: 1 }),
    ] {
        let small = world.store.receive_small(&id, &world.target(rel), &data);
        assert!(matches!(small, Err(ReceiveError::Path(error)) if error == expected));
        let large = world.store.receive(&id, 3_000, &world.target(rel));
        assert!(matches!(large, Err(ReceiveError::Path(error)) if error == expected));
        let root = world.store.root(&world.home()).unwrap();
        let shared = world.store.share_in_place(root, rel, &mut |_| ());
        assert!(matches!(shared, Err(ShareError::Path(error)) if error == expected));
    }
    assert_eq!(fs::read_dir(world.home()).unwrap().count(), 0);
}

//= rfcs/0009-store.md#store-16
//= type=test
//# A store MUST NOT follow a symbolic link below a root.
#[test]
fn a_link_is_never_followed() {
    let world = World::new();
    let outside = world.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), b"secret").unwrap();
    symlink(&outside, world.home().join("dir")).unwrap();
    symlink(outside.join("secret"), world.home().join("file")).unwrap();
    symlink(outside.join("new"), world.home().join("dangling")).unwrap();
    let (id, data) = blob(1);
    for rel in [b"dir/new".as_slice(), b"dir/sub/new", b"file", b"dangling"] {
        let small = world.store.receive_small(&id, &world.target(rel), &data);
        assert!(small.is_err(), "{rel:?}");
        let large = world.store.receive(&id, 3_000, &world.target(rel));
        assert!(large.is_err(), "{rel:?}");
    }
    let root = world.store.root(&world.home()).unwrap();
    for rel in [b"dir/secret".as_slice(), b"file"] {
        let shared = world.store.share_in_place(root, rel, &mut |_| ());
        assert!(shared.is_err(), "{rel:?}: {shared:?}");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read(outside.join("secret")).unwrap(), b"secret");
    // Through a staging root neither, though there the store may replace what it finds.
    let staging = world.dir.path().join("staging");
    let root = world.store.staging_root(&staging).unwrap();
    symlink(outside.join("secret"), staging.join("x")).unwrap();
    let target = Target::File { root, rel: b"x".to_vec(), mode: 0o644, mtime: None };
    assert!(world.store.receive_small(&id, &target, &data).is_err());
    assert_eq!(fs::read(outside.join("secret")).unwrap(), b"secret");
}

//= rfcs/0009-store.md#store-11
//= type=test
//# A store MUST NOT overwrite a file that it did not create unless its caller asked for replacement.
#[test]
fn files_of_the_user_are_never_overwritten() {
    let world = World::new();
    fs::write(world.home().join("mine"), b"precious").unwrap();
    fs::create_dir(world.home().join("folder")).unwrap();
    let (id, data) = blob(1);
    for rel in [b"mine".as_slice(), b"folder"] {
        let small = world.store.receive_small(&id, &world.target(rel), &data);
        assert!(matches!(small, Err(ReceiveError::Exists { .. })), "{small:?}");
        let large = world.store.receive(&id, 3_000, &world.target(rel));
        assert!(matches!(large, Err(ReceiveError::Exists { .. })), "{large:?}");
    }
    world.store.receive_small(&id, &world.target(b"new"), &data).unwrap();
    let moved = world.store.publish_file(&id, &world.target(b"new"), b"mine", false);
    assert!(matches!(moved, Err(PublishError::Exists { .. })));
    assert_eq!(fs::read(world.home().join("mine")).unwrap(), b"precious");
    world.store.publish_file(&id, &world.target(b"new"), b"mine", true).unwrap();
    assert_eq!(fs::read(world.home().join("mine")).unwrap(), data);
    assert!(!world.home().join("new").exists());
    // A shared file with the same content is never taken for the received one.
    fs::write(world.home().join("same"), bytes(20_000, 5)).unwrap();
    let root = world.store.root(&world.home()).unwrap();
    let same = world.store.share_in_place(root, b"same", &mut |_| ()).unwrap().id;
    let moved = world.store.publish_file(&same, &world.target(b"part"), b"whole", false);
    assert!(matches!(moved, Err(PublishError::NotAFile { .. })), "{moved:?}");
    assert!(world.home().join("same").exists());

    let staged = world.dir.path().join("staged");
    assert!(matches!(world.store.staging_root(&world.home()), Err(PublishError::Exists { .. })));
    let root = world.store.staging_root(&staged).unwrap();
    let moved = world.store.publish_root(root, &world.home());
    assert!(matches!(moved, Err(PublishError::Exists { .. })));
    assert!(staged.exists());
}

#[test]
fn what_the_user_removes_meanwhile_does_no_harm() {
    let world = World::new();
    let (id, data) = blob(1);
    let staging = world.dir.path().join("staging");
    let root = world.store.staging_root(&staging).unwrap();
    let target = Target::File { root, rel: b"d/x".to_vec(), mode: 0o644, mtime: None };
    world.store.receive_small(&id, &target, &data).unwrap();
    fs::remove_dir_all(&staging).unwrap();
    world.store.checkpoint().unwrap();
    let moved = world.store.publish_root(root, &world.dir.path().join("final"));
    assert!(matches!(moved, Err(PublishError::Gone { .. })), "{moved:?}");
    // And made again in the same process, as a second try of a folder does.
    let again = world.store.staging_root(&staging).unwrap();
    let target = Target::File { root: again, rel: b"d/x".to_vec(), mode: 0o644, mtime: None };
    world.store.remove(&id).unwrap();
    world.store.receive_small(&id, &target, &data).unwrap();
    fs::remove_dir_all(&staging).unwrap();
    assert_eq!(world.store.staging_root(&staging).unwrap(), again);
    world.store.remove(&id).unwrap();
    world.store.receive_small(&id, &target, &data).unwrap();
    world.store.checkpoint().unwrap();
    world.store.publish_root(again, &world.dir.path().join("final")).unwrap();
    assert_eq!(fs::read(world.dir.path().join("final/d/x")).unwrap(), data);

    let holder = Holder::new(bytes(50_000, 2));
    let target = world.target(b"part");
    let receiver = world.store.receive(&holder.id, holder.size(), &target).unwrap();
    let (proof, data) = holder.send(GroupLog2::KIB64, &(0..holder.leaves()), &RangeSet::new());
    receiver.ingest(GroupLog2::KIB64, 0, &RangeSet::new(), &proof, &data).unwrap();
    receiver.finish().unwrap();
    fs::remove_file(world.home().join("part")).unwrap();
    let moved = world.store.publish_file(&holder.id, &target, b"final", false);
    assert!(matches!(moved, Err(PublishError::Gone { .. })), "{moved:?}");
    // It can be received again.
    let receiver = world.store.receive(&holder.id, holder.size(), &target).unwrap();
    assert!(receiver.held().is_empty());
    receiver.ingest(GroupLog2::KIB64, 0, &RangeSet::new(), &proof, &data).unwrap();
    receiver.finish().unwrap();
    world.store.publish_file(&holder.id, &target, b"final", false).unwrap();
    assert_eq!(fs::read(world.home().join("final")).unwrap(), holder.data);
}

#[test]
fn a_rename_that_was_reported_as_failed_is_never_carried_out_later() {
    let World { dir, store } = World::new();
    let path = dir.path().join("store");
    let (id, data) = blob(1);

    // A file onto a directory, which no system replaces with a file.
    let root = store.root(&dir.path().join("home")).unwrap();
    let target = Target::File { root, rel: b"part".to_vec(), mode: 0o644, mtime: None };
    store.receive_small(&id, &target, &data).unwrap();
    let mine = dir.path().join("home/mine");
    fs::create_dir(&mine).unwrap();
    let moved = store.publish_file(&id, &target, b"mine", true);
    assert!(matches!(moved, Err(PublishError::Store(_))), "{moved:?}");
    fs::remove_dir(&mine).unwrap();
    fs::write(&mine, "mine").unwrap();

    // A directory into itself, which no system can do.
    let staging = dir.path().join("staging");
    let staged = store.staging_root(&staging).unwrap();
    let target = Target::File { root: staged, rel: b"x".to_vec(), mode: 0o644, mtime: None };
    let (other, bytes) = blob(2);
    store.receive_small(&other, &target, &bytes).unwrap();
    let moved = store.publish_root(staged, &staging.join("inside"));
    assert!(matches!(moved, Err(PublishError::Store(_))), "{moved:?}");
    assert!(!staging.join("inside").exists(), "nothing is left of it");

    drop(store);
    let store = Store::open(&path, options()).unwrap();
    assert_eq!(fs::read(&mine).unwrap(), b"mine");
    let staged = store.staging_root(&staging).unwrap();
    store.publish_root(staged, &dir.path().join("final")).unwrap();
    assert_eq!(fs::read(dir.path().join("final/x")).unwrap(), bytes);
}

#[test]
fn a_false_size_before_the_true_one_costs_no_progress() {
    let World { dir, store } = World::new();
    let holder = Holder::new(bytes(4 << 20, 3));
    let liar = store.receive(&holder.id, holder.size() + 1_000_000, &Target::Segments).unwrap();
    let receiver = store.receive(&holder.id, holder.size(), &Target::Segments).unwrap();
    let (proof, data) = holder.send(GroupLog2::KIB64, &(0..1024), &RangeSet::new());
    receiver.ingest(GroupLog2::KIB64, 0, &RangeSet::new(), &proof, &data).unwrap();
    assert_eq!(receiver.held(), RangeSet::from(0..1024));
    // The first checkpoint removes what was received under the false size.
    store.checkpoint().unwrap();
    store.checkpoint().unwrap();
    drop((liar, receiver, store));
    let store = Store::open(&dir.path().join("store"), options()).unwrap();
    let receiver = store.receive(&holder.id, holder.size(), &Target::Segments).unwrap();
    assert_eq!(receiver.held(), RangeSet::from(0..1024));
}

#[test]
fn modes_are_exact_but_without_the_dangerous_bits() {
    let world = World::new();
    for (at, mode) in [0o644, 0o600, 0o777, 0o4755, 0o444].into_iter().enumerate() {
        let small = bytes(100 + at, 1);
        let large = Holder::new(bytes(40_000 + at, 2));
        let target = |name: &str| {
            let root = world.store.root(&world.home()).unwrap();
            Target::File { root, rel: format!("{name}{at}").into_bytes(), mode, mtime: None }
        };
        world.store.receive_small(&samara_tree::hash(&small), &target("s"), &small).unwrap();
        let receiver = world.store.receive(&large.id, large.size(), &target("l")).unwrap();
        let (proof, data) = large.send(GroupLog2::KIB64, &(0..large.leaves()), &RangeSet::new());
        receiver.ingest(GroupLog2::KIB64, 0, &RangeSet::new(), &proof, &data).unwrap();
        receiver.finish().unwrap();
        for name in ["s", "l"] {
            let path = world.home().join(format!("{name}{at}"));
            let found = fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(found, mode & 0o777, "{name} {mode:o}");
        }
    }
}

#[test]
fn what_cannot_be_shared_says_why() {
    let world = World::new();
    let root = world.store.root(&world.home()).unwrap();
    let share = |rel: &[u8]| world.store.share_in_place(root, rel, &mut |_| ());
    assert!(matches!(share(b"nothing"), Err(ShareError::NotFound { .. })));
    assert!(matches!(share(b"no/thing"), Err(ShareError::NotFound { .. })));
    fs::create_dir(world.home().join("folder")).unwrap();
    assert!(matches!(share(b"folder"), Err(ShareError::NotAFile { .. })));
    // A pipe must not block, and a device is no file.
    let made = Command::new("mkfifo").arg(world.home().join("pipe")).status().unwrap();
    assert!(made.success());
    assert!(matches!(share(b"pipe"), Err(ShareError::NotAFile { .. })));
    let other = World::new();
    fs::write(world.home().join("f"), b"x").unwrap();
    other.store.root(&other.home()).unwrap();
    let far = other.store.root(other.dir.path()).unwrap();
    assert!(matches!(
        World::new().store.share_in_place(far, b"f", &mut |_| ()),
        Err(ShareError::UnknownRoot)
    ));
}

#[test]
fn a_hostile_transfer_changes_nothing() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let holder = Holder::new(bytes(200_000, 1));
    let receiver = store.receive(&holder.id, holder.size(), &Target::Segments).unwrap();
    let (group, base) = (GroupLog2::KIB16, RangeSet::new());
    let (proof, data) = holder.send(group, &(0..64), &base);
    let mut bad_proof = proof.clone();
    bad_proof[0] ^= 1;
    for (proof, data, first) in [
        (bad_proof.as_slice(), data.as_slice(), 0),
        (&proof[..64], &data, 0),
        (&proof, &data[..data.len() - 1], 0),
        (&proof, &data, 16),
        (&proof, &data, u64::MAX),
        (&proof, &[], 0),
    ] {
        let refused = receiver.ingest(group, first, &base, proof, data);
        assert!(matches!(refused, Err(IngestError::Verify(error)) if error.is_peer_fault()));
        assert!(receiver.held().is_empty());
    }
    let mut bad_data = data.clone();
    bad_data[20_000] ^= 1;
    let done = receiver.ingest(group, 0, &base, &proof, &bad_data).unwrap();
    assert_eq!(done.bad, RangeSet::from(16..32));
    assert_eq!(receiver.held(), RangeSet::from_iter([0..16, 32..64]));
    let reader = store.reader(&holder.id).unwrap().unwrap();
    assert_eq!(reader.read(0..16_384).unwrap(), holder.data[..16_384]);
    assert!(matches!(reader.read(0..20_000), Err(ReadError::NotHeld { .. })));
    // Ranges that are none.
    for range in [0..0, 0..1000, 5..10, 190..300] {
        assert!(reader.encode(group, &range, &base).is_err(), "{range:?}");
    }
    assert!(matches!(reader.read(0..200_001), Err(ReadError::Range)));
    let backwards = core::ops::Range { start: 5, end: 4 };
    assert!(matches!(reader.read(backwards), Err(ReadError::Range)));
    assert!(reader.read(5..5).unwrap().is_empty());
}

#[test]
fn the_limit_of_receive_small_is_exact() {
    let store = open(&MemDisk::new());
    for (len, fits) in [(16_384, true), (16_385, false)] {
        let data = bytes(len, 1);
        let done = store.receive_small(&samara_tree::hash(&data), &Target::Segments, &data);
        assert_eq!(done.is_ok(), fits);
        assert!(fits || matches!(done, Err(ReceiveError::TooLarge)));
    }
}

//= rfcs/0009-store.md#store-12
//= type=test
//# A store MUST refuse to open a directory whose format number is higher than the highest that it knows.
#[test]
fn a_newer_format_is_refused() {
    let disk = MemDisk::new();
    drop(open(&disk));
    let path = Path::new("/store/index.redb");
    // The very same file as another program would write it.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("index");
    fs::write(&file, disk.read_file(path).unwrap()).unwrap();
    {
        let db = redb::Database::open(&file).unwrap();
        let txn = db.begin_write().unwrap();
        let table = redb::TableDefinition::<&[u8], &[u8]>::new("meta");
        let newer = 3u64.to_le_bytes();
        txn.open_table(table).unwrap().insert(b"version".as_slice(), newer.as_slice()).unwrap();
        txn.commit().unwrap();
    }
    disk.write_file(path, &fs::read(&file).unwrap(), false).unwrap();
    let refused = support::try_open(&disk);
    assert!(matches!(refused, Err(OpenError::Version { found: 3, supported: 2 })));
}

#[test]
fn recovery_never_adopts_a_record_that_does_not_hash_to_its_id() {
    let disk = MemDisk::new();
    let store = open(&disk);
    store.put(b"first").unwrap();
    store.checkpoint().unwrap();
    let (id, data) = blob(1);
    store.put(&data).unwrap();
    // On the disk, but not in the index.
    store.shutdown().unwrap();
    drop(store);
    let index = Path::new("/store/index.redb");
    let old = MemDisk::new();
    let other = open(&old);
    other.put(b"first").unwrap();
    other.shutdown().unwrap();
    drop(other);
    disk.write_file(index, &old.read_file(index).unwrap(), false).unwrap();
    let honest = disk.read_file(Path::new("/store/segments/00000001.seg")).unwrap();
    let store = open(&disk);
    assert_eq!(store.recovery().blobs_adopted, 1);
    assert!(store.reader(&id).unwrap().is_some());
    drop(store);
    // The same with another id in the header and a right CRC.
    let mut forged = honest;
    let at = 64 + 80;
    forged[at + 32] ^= 1;
    let crc = crc32fast::hash(&forged[at..at + 68]);
    forged[at + 68..at + 72].copy_from_slice(&crc.to_le_bytes());
    disk.write_file(Path::new("/store/segments/00000001.seg"), &forged, false).unwrap();
    disk.write_file(index, &old.read_file(index).unwrap(), false).unwrap();
    let store = open(&disk);
    assert_eq!(store.recovery().blobs_adopted, 0);
    assert_eq!(store.list(None, 10).unwrap().len(), 1);
}

//= rfcs/0009-store.md#store-1
//= type=test
//# A store MUST verify every byte against the blob's id before it counts the byte as held.
//= rfcs/0009-store.md#store-3
//= type=test
//# Recovery MUST verify a record against its blob's id before it adopts the record.
#[test]
fn what_was_tampered_with_behind_a_checkpoint_is_not_held_after_recovery() {
    let disk = MemDisk::new();
    disk.open_dir(Path::new("/home"), true).unwrap();
    let store = open(&disk);
    let root = store.root(Path::new("/home")).unwrap();
    let holder = Holder::new(bytes(1_500_000, 1));
    let target = Target::File { root, rel: b"part".to_vec(), mode: 0o600, mtime: None };
    let receiver = store.receive(&holder.id, holder.size(), &target).unwrap();
    let group = GroupLog2::KIB16;
    for (at, range) in [0..256, 256..512, 512..768].into_iter().enumerate() {
        let known = receiver.known();
        let (proof, data) = holder.send(group, &range, &known);
        receiver.ingest(group, range.start, &known, &proof, &data).unwrap();
        if at == 0 {
            store.checkpoint().unwrap();
        }
    }
    drop((receiver, store));
    let path = Path::new("/home/part");
    let mut data = disk.read_file(path).unwrap();
    data[300 * 1024] ^= 1;
    disk.write_file(path, &data, false).unwrap();
    let store = open(&disk);
    let stat = store.stat(&holder.id).unwrap().unwrap();
    assert_eq!(stat.held, RangeSet::from_iter([0..288, 304..768]));
    assert_eq!(store.recovery().bytes_recovered, (512 - 16) * 1024);
}

#[test]
fn a_full_and_a_read_only_file_system_are_typed_errors() {
    if !rustix_is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mount = dir.path().join("small");
    fs::create_dir(&mount).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"]).arg(&mount).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return;
    }
    let outcome = std::panic::catch_unwind(|| on_small_mount(&mount));
    let gone = Command::new("umount").arg("-l").arg(&mount).status().unwrap();
    assert!(gone.success());
    outcome.unwrap();
}

fn rustix_is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

fn on_small_mount(mount: &Path) {
    let options = Options { reserve_bytes: 256 << 10, ..options() };
    let store = Store::open(&mount.join("store"), options).unwrap();
    let kept = store.put(&bytes(10_000, 1)).unwrap();
    store.checkpoint().unwrap();
    let holder = Holder::new(bytes(6_000_000, 2));
    let root = store.root(mount).unwrap();
    let target = Target::File { root, rel: b"part".to_vec(), mode: 0o600, mtime: None };
    let receiver = store.receive(&holder.id, holder.size(), &target).unwrap();
    let group = GroupLog2::KIB64;
    let mut refused = None;
    for range in holder.transfers(group, 256) {
        let known = receiver.known();
        let (proof, data) = holder.send(group, &range, &known);
        match receiver.ingest(group, range.start, &known, &proof, &data) {
            Ok(_) => {}
            Err(IngestError::Store(StoreError::NoSpace { needed, quota: None, free })) => {
                refused = Some((range, needed, free));
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    let (range, needed, free) = refused.expect("six megabytes do not fit");
    assert!(needed > 0 && free < 6 << 20);
    store.checkpoint().unwrap();
    let held = receiver.held();
    assert_eq!(held, RangeSet::from(0..range.start));
    let grown = Command::new("mount").args(["-o", "remount,size=24m"]).arg(mount).status().unwrap();
    assert!(grown.success());
    for range in holder.transfers(group, 256) {
        let known = receiver.known();
        let (proof, data) = holder.send(group, &range, &known);
        receiver.ingest(group, range.start, &known, &proof, &data).unwrap();
    }
    receiver.finish().unwrap();
    store.publish_file(&holder.id, &target, b"whole", false).unwrap();
    assert_eq!(fs::read(mount.join("whole")).unwrap(), holder.data);
    drop((receiver, store));
    let read_only = Command::new("mount").args(["-o", "remount,ro"]).arg(mount).status().unwrap();
    assert!(read_only.success());
    let refused = Store::open(&mount.join("store"), options);
    assert!(matches!(refused, Err(OpenError::ReadOnly { .. })), "{refused:?}");
    let refused = Store::open(&mount.join("new"), options);
    assert!(matches!(refused, Err(OpenError::ReadOnly { .. })), "{refused:?}");
    let writable = Command::new("mount").args(["-o", "remount,rw"]).arg(mount).status().unwrap();
    assert!(writable.success());
    let store = Store::open(&mount.join("store"), options).unwrap();
    assert!(store.reader(&kept).unwrap().is_some());
}
