//! How long blobs stay: leases, classes, quotas, and what goes when space is needed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use core::time::Duration;
use std::{path::Path, sync::Arc};

use samara_base::{BlobId, GroupLog2};
use samara_store::{
    Class, Eviction, ImportError, IngestError, Options, Quotas, ReceiveError, Store, StoreError,
    Target,
    disk::{Disk as _, MemDisk},
};
use support::{DIR, Holder, bytes, open, options, receive};

const HOUR: Duration = Duration::from_hours(1);

fn with_quotas(disk: &MemDisk, quotas: Quotas) -> Store {
    // What a blob takes is known to the byte.
    let options = Options { quotas, chunking: None, ..options() };
    Store::open_on(Arc::new(disk.clone()), Path::new(DIR), options).unwrap()
}

/// A carried blob, used at an hour.
fn carry(store: &Store, data: Vec<u8>, hour: u32) -> BlobId {
    let holder = Holder::new(data);
    store.set_class(&holder.id, Class::Carried, HOUR * hour).unwrap();
    receive(store, &holder, |_| true).finish().unwrap();
    holder.id
}

fn is_held(store: &Store, id: &BlobId) -> bool {
    store.stat(id).unwrap().is_some()
}

/// The counters are those of what is there.
fn check_counts(store: &Store) {
    let (held, usage) = (store.held_bytes(), store.usage().unwrap());
    assert_eq!(held.carried, usage.carried_bytes, "{held:?}, {usage:?}");
    store.checkpoint().unwrap();
    let usage = store.usage().unwrap();
    assert_eq!(held.own + held.carried, usage.segment_live_bytes, "{held:?}, {usage:?}");
}

//= rfcs/0009-store.md#store-40
//= type=test
//# A store MUST NOT collect or evict a blob that has a tag, a pin, or a lease that ends later than the time it is told.
//= rfcs/0009-store.md#store-41
//= type=test
//# A store MUST treat a lease as absent from its end on.
#[test]
fn a_lease_keeps_a_blob_until_its_end() {
    for by_eviction in [false, true] {
        let go = |store: &Store, now: Duration| {
            if by_eviction {
                store.evict(1, Class::Own, now).unwrap().len()
            } else {
                usize::try_from(store.collect(now, &mut |_| false).unwrap()).unwrap()
            }
        };
        let disk = MemDisk::new();
        let store = open(&disk);
        let id = store.put(b"leased").unwrap();
        store.lease(&id, b"a", Duration::from_millis(99_001)).unwrap();
        store.lease(&id, b"b", Duration::from_secs(50)).unwrap();
        store.checkpoint().unwrap();
        drop(store);
        let store = open(&disk);
        let reasons = |store: &Store| {
            let leases = store.leases(&id).unwrap();
            leases.into_iter().map(|lease| (lease.reason, lease.until)).collect::<Vec<_>>()
        };
        let (a, b) = (Duration::from_secs(100), Duration::from_secs(50));
        assert_eq!(reasons(&store), [(b"a".to_vec(), a), (b"b".to_vec(), b)]);
        assert_eq!(go(&store, Duration::from_millis(99_999)), 0);
        if !by_eviction {
            assert_eq!(reasons(&store), [(b"a".to_vec(), a)], "what has ended goes");
        }
        assert!(!store.renew(&id, b"none", HOUR).unwrap());
        assert!(store.renew(&id, b"a", Duration::from_secs(90)).unwrap(), "it stays as it is");
        assert!(store.renew(&id, b"a", Duration::from_secs(110)).unwrap());
        assert_eq!(go(&store, Duration::from_secs(109)), 0);
        assert_eq!(go(&store, Duration::from_secs(110)), 1);
        assert!(!is_held(&store, &id));
    }
}

#[test]
fn a_lease_that_is_released_keeps_nothing_and_a_long_reason_is_refused() {
    let store = open(&MemDisk::new());
    let id = store.put(b"leased").unwrap();
    store.lease(&id, &[b'x'; 1024], HOUR).unwrap();
    assert_eq!(store.usage().unwrap().kept_bytes, 80, "a record of six bytes");
    for refused in [
        store.lease(&id, &[b'x'; 1025], HOUR),
        store.release(&id, &[b'x'; 1025]),
        store.renew(&id, &[b'x'; 1025], HOUR).map(drop),
    ] {
        assert!(matches!(refused, Err(StoreError::TooLong { len: 1025, max: 1024, .. })));
    }
    store.release(&id, &[b'x'; 1024]).unwrap();
    store.release(&id, b"another").unwrap();
    assert_eq!(store.usage().unwrap().kept_bytes, 0);
    assert_eq!(store.collect(Duration::ZERO, &mut |_| false).unwrap(), 1);
}

//= rfcs/0009-store.md#store-40
//= type=test
//# A store MUST NOT collect or evict a blob that has a tag, a pin, or a lease that ends later than the time it is told.
//= rfcs/0009-store.md#store-44
//= type=test
//# A store that evicts MUST remove what it would list as an explanation at that moment, and nothing else.
#[test]
fn what_goes_is_what_was_explained_and_worth_least() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let old = carry(&store, bytes(100_000, 1), 100);
    let recent = carry(&store, bytes(100_000, 2), 199);
    let small = carry(&store, bytes(1_000, 3), 100);
    let used = carry(&store, bytes(100_000, 4), 90);
    for hour in 91..100 {
        store.touch(&used, HOUR * hour).unwrap();
        store.touch(&used, HOUR * hour).unwrap();
    }
    let [tagged, pinned, leased] = [5, 6, 7].map(|seed| carry(&store, bytes(900, seed), 1));
    store.tag(b"name", &tagged).unwrap();
    store.pin(&pinned, b"reason").unwrap();
    store.lease(&leased, b"reason", HOUR * 201).unwrap();
    let own = store.put(&bytes(1_000, 8)).unwrap();
    let shared = store.put(&bytes(2_000, 9)).unwrap();
    disk.write_file(Path::new("/home"), &bytes(2_000, 9), true).unwrap();
    let root = store.root(Path::new("/")).unwrap();
    store.share_in_place(root, b"home", &mut |_| ()).unwrap();

    let all = store.explain_eviction(u64::MAX, Class::Carried, HOUR * 200).unwrap();
    let order: Vec<_> = all.iter().map(|one| one.id).collect();
    assert_eq!(order, [old, used, small, recent], "{all:#?}");
    let row = |one: &Eviction| (one.class, one.partial, one.uses, one.idle);
    assert_eq!(row(&all[0]), (Class::Carried, false, 0, Some(HOUR * 100)));
    assert_eq!(row(&all[1]), (Class::Carried, false, 9, Some(HOUR * 101)), "once an hour");
    assert!(all.is_sorted_by_key(|one| one.benefit));
    let total: u64 = all.iter().map(|one| one.bytes).sum();
    let others = [tagged, pinned, leased].len() as u64 * (72 + 904);
    assert_eq!(store.held_bytes().carried, total + others);

    // As few as are enough, and the same when it is done.
    let two = store.explain_eviction(all[0].bytes + 1, Class::Carried, HOUR * 200).unwrap();
    assert_eq!(two, all[..2]);
    assert_eq!(store.explain_eviction(0, Class::Carried, HOUR * 200).unwrap(), []);
    assert_eq!(store.evict(all[0].bytes + 1, Class::Carried, HOUR * 200).unwrap(), two);
    check_counts(&store);
    drop(store);
    disk.crash(None);
    let store = open(&disk);
    for (id, there) in [(old, false), (used, false), (small, true), (recent, true), (own, true)] {
        assert_eq!(is_held(&store, &id), there, "durable on return");
    }
    // The other class, without the blob that is in a file too. Nothing was noted of it.
    let own_goes = store.evict(u64::MAX, Class::Own, HOUR * 200).unwrap();
    assert_eq!(own_goes.iter().map(|one| (one.id, one.idle)).collect::<Vec<_>>(), [(own, None)]);
    assert!(is_held(&store, &shared));
    let left = store.evict(u64::MAX, Class::Carried, HOUR * 201).unwrap();
    assert_eq!(left.len(), 3, "the lease has ended");
    check_counts(&store);
}

#[test]
fn a_list_has_a_length() {
    let store = open(&MemDisk::new());
    for seed in 0..1_100 {
        store.put(&bytes(20, seed)).unwrap();
    }
    let first = store.evict(u64::MAX, Class::Own, HOUR).unwrap();
    assert_eq!(first.len(), 1_024);
    assert!(first.is_sorted_by_key(|one| one.id), "all are worth the same");
    assert_eq!(store.evict(u64::MAX, Class::Own, HOUR).unwrap().len(), 76);
    assert_eq!(store.list(None, 10).unwrap(), []);
}

//= rfcs/0009-store.md#store-42
//= type=test
//# A store MUST NOT evict a blob that is being received.
#[test]
fn what_is_being_received_stays() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let holder = Holder::new(bytes(100_000, 1));
    store.set_class(&holder.id, Class::Carried, HOUR).unwrap();
    let receiver = receive(&store, &holder, |at| at < 3);
    store.checkpoint().unwrap();
    assert_eq!(store.evict(u64::MAX, Class::Carried, HOUR).unwrap(), []);
    // A damaged blob that is mended is being received, too.
    let mended = store.put(&bytes(50_000, 2)).unwrap();
    store.checkpoint().unwrap();
    let path = Path::new("/store/segments/00000001.seg");
    let mut segment = disk.read_file(path).unwrap();
    let data = bytes(50_000, 2);
    let place = segment.windows(8).position(|part| part == &data[..8]).unwrap();
    segment[place] ^= 1;
    disk.write_file(path, &segment, false).unwrap();
    assert!(store.reader(&mended).unwrap().unwrap().read(0..1).is_err());
    let healer = store.receive(&mended, 50_000, &Target::Segments).unwrap();
    assert!(!healer.is_complete());
    assert_eq!(store.evict(u64::MAX, Class::Own, HOUR).unwrap(), []);
    drop(healer);
    assert_eq!(store.evict(u64::MAX, Class::Own, HOUR).unwrap().len(), 1);

    let held = receiver.held();
    drop(receiver);
    let list = store.explain_eviction(1, Class::Carried, HOUR).unwrap();
    assert!(list.len() == 1 && list[0].partial, "{list:?}");
    let receiver = store.receive(&holder.id, holder.size(), &Target::Segments).unwrap();
    assert_eq!(receiver.held(), held);
    assert_eq!(store.evict(1, Class::Carried, HOUR).unwrap(), []);
    drop(receiver);
    assert_eq!(store.evict(1, Class::Carried, HOUR).unwrap(), list);
    assert!(!is_held(&store, &holder.id));
    assert_eq!(store.held_bytes().carried, 0);
    check_counts(&store);
}

/// What a quota refused: needed, quota, left.
fn refused<T: core::fmt::Debug>(result: Result<T, StoreError>) -> (u64, u64, u64) {
    match result {
        Err(StoreError::NoSpace { needed, quota: Some(quota), free }) => (needed, quota, free),
        other => panic!("{other:?}"),
    }
}

//= rfcs/0009-store.md#store-43
//= type=test
//# A store MUST NOT write bytes of a blob to its segments with which they would hold more than a quota allows.
//= rfcs/0009-store.md#store-46
//= type=test
//# A store MUST evict what it may evict before it refuses to write for lack of space.
#[test]
fn a_quota_is_kept_to_the_byte_and_says_so() {
    // A blob of 1,000 bytes takes 1,072.
    for (own, total) in [(Some(3 * 1_072), None), (None, Some(3 * 1_072))] {
        let store = with_quotas(&MemDisk::new(), Quotas { own, total, carried: None });
        let ids = [1, 2, 3].map(|seed| {
            let id = store.put(&bytes(1_000, seed)).unwrap();
            store.pin(&id, b"kept").unwrap();
            id
        });
        assert_eq!(store.held_bytes().own, 3 * 1_072);
        assert_eq!(refused(store.put(b"")), (72, 3_216, 0));
        store.unpin(&ids[1], b"kept").unwrap();
        let id = store.put(&bytes(1_000, 4)).unwrap();
        store.pin(&id, b"kept").unwrap();
        assert!(!is_held(&store, &ids[1]), "the only one that might go");
        // What is held needs nothing.
        assert_eq!(store.put(&bytes(1_000, 4)).unwrap(), id);
        assert_eq!(refused(store.put(&bytes(17_000, 5))).0, 17_000 + 72 + 72 + 64);
        for id in [ids[0], ids[2], id] {
            store.unpin(&id, b"kept").unwrap();
        }
        // What does not fit at all evicts nothing.
        assert_eq!(refused(store.put(&bytes(3_145, 6))), (3_224, 3_216, 0));
        assert!(is_held(&store, &ids[0]) && is_held(&store, &ids[2]) && is_held(&store, &id));
        store.put(&bytes(3_144, 6)).unwrap();
        assert_eq!(store.list(None, 10).unwrap().len(), 1);
        check_counts(&store);
    }
}

#[test]
fn an_import_that_is_too_large_leaves_nothing_behind() {
    let quotas = Quotas { own: Some(3_000_000), ..Quotas::default() };
    let store = with_quotas(&MemDisk::new(), quotas);
    let first = store.import(&bytes(2_000_000, 1)[..], &mut |_| ()).unwrap();
    match store.import(&bytes(4_000_000, 2)[..], &mut |_| ()) {
        Err(ImportError::Store(error)) => assert_eq!(refused::<()>(Err(error)).1, 3_000_000),
        other => panic!("{other:?}"),
    }
    assert!(!is_held(&store, &first.id), "it made room as far as it could");
    assert_eq!(store.held_bytes().own, 0);
    store.import(&bytes(2_000_000, 3)[..], &mut |_| ()).unwrap();
    check_counts(&store);
}

//= rfcs/0009-store.md#store-43
//= type=test
//# A store MUST NOT write bytes of a blob to its segments with which they would hold more than a quota allows.
#[test]
fn threads_do_not_share_their_room() {
    let quotas = Quotas { own: Some(200_000), total: Some(150_000), carried: Some(60_000) };
    let store = with_quotas(&MemDisk::new(), quotas);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for at in 0..60 {
                    let data = bytes(5_000, thread * 1_000 + at);
                    let id = samara_tree::hash(&data);
                    if at % 2 == 0 {
                        store.set_class(&id, Class::Carried, HOUR).unwrap();
                    }
                    store.receive_small(&id, &Target::Segments, &data).unwrap();
                    let held = store.held_bytes();
                    assert!(held.carried <= 60_000, "{held:?}");
                    assert!(held.own + held.carried <= 150_000, "{held:?}");
                }
            });
        }
    });
    check_counts(&store);
}

#[test]
fn carried_blobs_push_out_carried_ones_and_own_ones_stay() {
    let quotas = Quotas { carried: Some(250_000), ..Quotas::default() };
    let disk = MemDisk::new();
    let store = with_quotas(&disk, quotas);
    let own = store.put(&bytes(400_000, 1)).unwrap();
    let ids = [2, 3, 4, 5].map(|seed| {
        let hour = u32::try_from(seed).unwrap();
        store.set_now(HOUR * hour);
        carry(&store, bytes(100_000, seed), hour)
    });
    assert_eq!(ids.map(|id| is_held(&store, &id)), [false, false, true, true]);
    assert!(is_held(&store, &own) && store.held_bytes().carried <= 250_000);
    // Larger than the quota: refused at once, and nobody goes.
    let large = Holder::new(bytes(300_000, 6));
    store.set_class(&large.id, Class::Carried, HOUR * 9).unwrap();
    match store.receive(&large.id, large.size(), &Target::Segments) {
        Err(ReceiveError::Store(error)) => {
            assert_eq!(refused::<()>(Err(error)), (300_000, 250_000, 250_000));
        }
        other => panic!("{other:?}"),
    }
    assert!(is_held(&store, &ids[3]));
    // What is pinned can't go, so the transfer is refused, and goes on when it is let go.
    for id in &ids[2..] {
        store.pin(id, b"mine").unwrap();
    }
    let holder = Holder::new(bytes(100_000, 7));
    store.set_class(&holder.id, Class::Carried, HOUR * 9).unwrap();
    let receiver = receive(&store, &holder, |at| at < 2);
    let range = 32..holder.leaves();
    let (known, group) = (receiver.known(), GroupLog2::KIB16);
    let (proof, data) = holder.send(group, &range, &known);
    match receiver.ingest(group, 32, &known, &proof, &data) {
        Err(IngestError::Store(error)) => assert_eq!(refused::<()>(Err(error)).1, 250_000),
        other => panic!("{other:?}"),
    }
    assert_eq!(receiver.held(), known, "nothing of it is held");
    // What is held comes again for nothing.
    let (old, again) = holder.send(group, &(0..16), &known);
    receiver.ingest(group, 0, &known, &old, &again).unwrap();
    store.unpin(&ids[2], b"mine").unwrap();
    receiver.ingest(group, 32, &known, &proof, &data).unwrap();
    receiver.finish().unwrap();
    assert!(!is_held(&store, &ids[2]));
    check_counts(&store);
}

#[test]
fn for_the_quota_of_all_carried_blobs_go_first() {
    let store = with_quotas(&MemDisk::new(), Quotas { total: Some(300_000), ..Quotas::default() });
    let own = store.put(&bytes(100_000, 1)).unwrap();
    store.touch(&own, HOUR).unwrap();
    let carried = carry(&store, bytes(100_000, 2), 50);
    store.touch(&carried, HOUR * 51).unwrap();
    let next = store.put(&bytes(120_000, 3)).unwrap();
    store.touch(&next, HOUR * 52).unwrap();
    assert!(is_held(&store, &own) && !is_held(&store, &carried), "used less, and it stays");
    store.put(&bytes(120_000, 4)).unwrap();
    assert!(!is_held(&store, &own) && is_held(&store, &next));
    check_counts(&store);
}

//= rfcs/0009-store.md#store-45
//= type=test
//# A store MUST NOT evict a blob cached for self without being asked to, unless a quota that counts it is set.
//= rfcs/0009-store.md#store-46
//= type=test
//# A store MUST evict what it may evict before it refuses to write for lack of space.
#[test]
fn a_full_disk_takes_carried_blobs_and_own_ones_only_under_a_quota() {
    for (carried, own_quota) in [(false, None), (true, None), (false, Some(1 << 40))] {
        for way in 0..3 {
            let disk = MemDisk::new();
            // What a commit of the index needs is in the reserve.
            let quotas = Quotas { own: own_quota, ..Quotas::default() };
            let options = Options { quotas, reserve_bytes: 8 << 20, ..options() };
            let store = Store::open_on(Arc::new(disk.clone()), Path::new(DIR), options).unwrap();
            let kept = store.put(&bytes(1_000_000, 2)).unwrap();
            let cached = if carried {
                carry(&store, bytes(3_000_000, 1), 1)
            } else {
                store.put(&bytes(3_000_000, 1)).unwrap()
            };
            store.pin(&kept, b"kept").unwrap();
            store.checkpoint().unwrap();
            let free = disk.open_dir(Path::new("/"), false).unwrap().free_bytes().unwrap();
            disk.set_capacity((1 << 40) - free + (8 << 20) + 200_000);
            let data = bytes(900_000, 3);
            let id = samara_tree::hash(&data);
            let done = match way {
                0 => store.put(&data).map(drop).map_err(|error| error.to_string()),
                1 => {
                    let imported = store.import(&data[..], &mut |_| ());
                    imported.map(drop).map_err(|error| error.to_string())
                }
                _ => {
                    let holder = Holder::new(data.clone());
                    let receiver = store.receive(&id, holder.size(), &Target::Segments).unwrap();
                    let (proof, data) =
                        holder.send(GroupLog2::KIB64, &(0..holder.leaves()), &receiver.known());
                    let none = receiver.known();
                    let done = receiver.ingest(GroupLog2::KIB64, 0, &none, &proof, &data);
                    let done = done.map_err(|error| error.to_string());
                    done.and_then(|_| receiver.finish().map_err(|error| error.to_string()))
                        .map(drop)
                }
            };
            let may_go = carried || own_quota.is_some();
            assert_eq!(done.is_ok(), may_go, "{way}: {done:?}");
            assert!(done.is_ok() || done.unwrap_err().contains("disk is full"));
            assert_eq!(is_held(&store, &cached), !may_go);
            assert!(is_held(&store, &kept));
            disk.set_capacity(1 << 40);
            check_counts(&store);
        }
    }
}

//= rfcs/0009-store.md#store-47
//= type=test
//# A store MUST commit the number of bytes that carried blobs take together with the rows that change it.
#[test]
fn what_carried_blobs_take_is_counted_exactly() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let sizes = [0, 10, 16_384, 16_385, 70_000, 1_100_000];
    let ids = sizes.map(|size| carry(&store, bytes(size, size as u64), 3));
    check_counts(&store);
    // A partial one, too; what came since the checkpoint is found again by recovery.
    let holder = Holder::new(bytes(1_200_000, 7));
    store.set_class(&holder.id, Class::Carried, HOUR).unwrap();
    let small = bytes(700, 8);
    let small_id = samara_tree::hash(&small);
    store.set_class(&small_id, Class::Carried, HOUR).unwrap();
    let receiver = receive(&store, &holder, |at| at % 3 == 0);
    store.checkpoint().unwrap();
    check_counts(&store);
    let held = receiver.held();
    drop(receiver);
    let receiver = receive(&store, &holder, |at| at % 3 == 1);
    store.receive_small(&small_id, &Target::Segments, &small).unwrap();
    // What comes behind it brings what is buffered to the disk.
    store.put(&bytes(900_000, 9)).unwrap();
    let before = store.held_bytes();
    drop((receiver, store));
    disk.power_on();
    let store = open(&disk);
    assert_eq!(store.recovery().blobs_adopted, 1);
    assert!(store.stat(&holder.id).unwrap().unwrap().held.total() > held.total());
    assert_eq!(store.held_bytes().carried, before.carried);
    check_counts(&store);

    // Wanted here, by putting it or by saying so; and given back to the others.
    assert_eq!(store.put(&bytes(70_000, 70_000)).unwrap(), ids[4]);
    store.import(&bytes(1_100_000, 1_100_000)[..], &mut |_| ()).unwrap();
    store.set_class(&holder.id, Class::Own, HOUR).unwrap();
    for id in [ids[4], ids[5], holder.id] {
        assert_eq!(store.class(&id).unwrap(), Class::Own);
    }
    check_counts(&store);
    store.set_class(&ids[4], Class::Carried, HOUR).unwrap();
    assert_eq!(store.class(&ids[4]).unwrap(), Class::Carried);
    check_counts(&store);
    store.remove(&ids[3]).unwrap();
    assert_eq!(store.class(&ids[3]).unwrap(), Class::Own, "nothing is known of it");
    check_counts(&store);
    receive(&store, &holder, |_| true).finish().unwrap();
    store.set_class(&holder.id, Class::Carried, HOUR).unwrap();
    check_counts(&store);
    let carried = store.held_bytes().carried;
    drop(store);
    assert_eq!(open(&disk).held_bytes().carried, carried);
}

#[test]
fn a_class_of_what_never_came_goes_with_a_collection() {
    let store = open(&MemDisk::new());
    let (id, other) = (samara_tree::hash(b"never"), samara_tree::hash(b"unknown"));
    store.set_class(&id, Class::Carried, HOUR).unwrap();
    store.touch(&other, HOUR).unwrap();
    assert_eq!(store.class(&id).unwrap(), Class::Carried);
    assert_eq!(store.explain_eviction(1, Class::Carried, HOUR).unwrap(), []);
    store.collect(HOUR, &mut |_| true).unwrap();
    assert_eq!(store.class(&id).unwrap(), Class::Own);
}

#[test]
fn an_index_made_again_has_leases_and_classes() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let carried = carry(&store, bytes(100_000, 1), 7);
    let own = store.put(&bytes(50_000, 2)).unwrap();
    store.lease(&own, b"why", HOUR * 9).unwrap();
    let expected = store.held_bytes().carried;
    store.shutdown().unwrap();
    drop(store);
    let (store, _) =
        Store::rebuild_index_on(Arc::new(disk), Path::new(DIR), options(), &mut |_| ()).unwrap();
    assert_eq!(store.class(&carried).unwrap(), Class::Carried);
    assert_eq!(store.held_bytes().carried, expected);
    check_counts(&store);
    assert_eq!(store.collect(HOUR * 8, &mut |_| false).unwrap(), 1);
    assert!(is_held(&store, &own) && !is_held(&store, &carried));
    assert_eq!(store.held_bytes().carried, 0);
}

#[test]
fn chunks_that_others_have_too_stay_and_do_not_count() {
    for quota in [None, Some(1_200_000)] {
        let quotas = Quotas { own: quota, ..Quotas::default() };
        let options = Options { quotas, ..options() };
        let store = Store::open_on(Arc::new(MemDisk::new()), Path::new(DIR), options).unwrap();
        let (common, one, two) = (bytes(400_000, 1), bytes(100_000, 2), bytes(200_000, 3));
        let first = store.put(&[&common[..], &one].concat()).unwrap();
        let second = store.put(&[&common[..], &two].concat()).unwrap();
        store.pin(&second, b"kept").unwrap();
        let list = store.explain_eviction(1, Class::Own, HOUR).unwrap();
        assert_eq!(list.len(), 1);
        assert!((100_000..200_000).contains(&list[0].bytes), "{list:?}");
        if quota.is_none() {
            let before = store.held_bytes().own;
            assert_eq!(store.evict(1, Class::Own, HOUR).unwrap(), list);
            assert_eq!(before - store.held_bytes().own, list[0].bytes);
        } else {
            // An import in chunks keeps to the quota, and makes room as well.
            store.import(&bytes(150_000, 4)[..], &mut |_| ()).unwrap();
            assert!(store.held_bytes().own <= 1_200_000);
            let error = store.put(&bytes(610_000, 5)).unwrap_err();
            assert!(matches!(error, StoreError::NoSpace { quota: Some(1_200_000), .. }), "{error}");
        }
        assert!(!is_held(&store, &first));
        let reader = store.reader(&second).unwrap().unwrap();
        assert_eq!(reader.read(0..400_000).unwrap(), common);
        check_counts(&store);
        let audit = store.audit().unwrap();
        assert!(audit.is_safe() && audit.unused_bytes == 0, "{audit:?}");
    }
}
