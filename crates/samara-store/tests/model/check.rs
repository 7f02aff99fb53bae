//! What must be true at any time, and what a crash may leave.

use core::time::Duration;

use samara_base::{BlobId, RangeSet};
use samara_store::{Class, ReadError, Store};

use crate::{
    book::Book,
    reference::{Content, Model},
    system::System,
};

/// What a store says that it holds of a blob. Whether a shared file changed shows when it is opened.
pub(crate) fn held(store: &Store, id: &BlobId) -> RangeSet {
    match store.reader(id) {
        Ok(reader) => reader.map(|reader| reader.held()).unwrap_or_default(),
        Err(ReadError::Changed { .. }) => RangeSet::new(),
        Err(error) => panic!("{id}: {error}"),
    }
}

/// Looks at everything.
pub(crate) fn invariants(system: &System, reference: &Model) {
    let now = &system.model.now;
    for (id, blob) in &reference.now.blobs {
        let lost = blob.readable().difference(&now.held(id));
        assert!(lost.is_empty(), "{id}: the reference holds {lost} and the store does not");
    }
    for content in system.model.pool.iter() {
        blob(system, content);
    }
    let store = system.store();
    let tags: Vec<_> = now.tags.iter().map(|(name, id)| (vec![*name], *id)).collect();
    assert_eq!(store.tags().unwrap(), tags);
    for content in system.model.pool.iter() {
        let id = content.holder.id;
        let pins = now.pins.iter().filter(|(pinned, _)| *pinned == id);
        let pins: Vec<_> = pins.map(|(_, reason)| vec![*reason]).collect();
        assert_eq!(store.pins(&id).unwrap(), pins);
        let leases = now.leases.range((id, 0)..=(id, u8::MAX));
        let leases: Vec<_> =
            leases.map(|((_, reason), end)| (vec![*reason], Duration::from_hours(*end))).collect();
        let found = store.leases(&id).unwrap().into_iter();
        assert_eq!(found.map(|one| (one.reason, one.until)).collect::<Vec<_>>(), leases);
        let class = store.class(&id).unwrap();
        assert_eq!(class == Class::Carried, now.carried.contains(&id), "{id}");
    }
    counters(system);
    watched(system);
}

/// What is held of a blob is what should be, and every byte of it is right.
fn blob(system: &System, content: &Content) {
    let (store, holder) = (system.store(), &content.holder);
    let expected = system.model.now.readable(&holder.id);
    let reader = match store.reader(&holder.id) {
        Ok(Some(reader)) => reader,
        Err(ReadError::Changed { .. }) | Ok(None) if expected.is_empty() => return,
        other => panic!("{}: {other:?} of {expected}", holder.id),
    };
    let held = reader.held();
    let blob = system.model.now.blobs.get(&holder.id);
    let alike = blob.is_some_and(|blob| blob.unsure && blob.held == held);
    assert!(held == expected || alike, "{}: {held} of {expected}", holder.id);
    assert_eq!(store.stat(&holder.id).unwrap().unwrap().held, held);
    for run in held.runs() {
        let end = (run.end * 1024).min(holder.size());
        let read = reader.read(run.start * 1024..end).unwrap();
        let (from, to) = (usize::try_from(run.start * 1024), usize::try_from(end));
        assert!(read == holder.data[from.unwrap()..to.unwrap()], "{}: a false byte", holder.id);
    }
}

/// The counters are those of what is listed, and nothing is listed that is not known.
fn counters(system: &System) {
    let (store, now) = (system.store(), &system.model.now);
    let listed = store.list(None, usize::MAX).unwrap();
    for stat in &listed {
        let known = stat.held.is_empty() || now.blobs.contains_key(&stat.id);
        assert!(known, "{} should be gone", stat.id);
    }
    let usage = store.usage().unwrap();
    let sure = now.blobs.values().filter(|blob| blob.complete && !blob.unsure).count() as u64;
    let unsure = now.blobs.values().filter(|blob| blob.unsure).count() as u64;
    assert!((sure..=sure + unsure).contains(&usage.blobs), "{usage:?}, {sure} of {now:?}");
    assert!(usage.blobs + usage.partials <= now.blobs.len() as u64, "{usage:?}, {now:?}");
    assert!(usage.segment_live_bytes <= usage.segment_bytes, "{usage:?}");
    assert_eq!(store.held_bytes().carried, usage.carried_bytes, "as counted anew: {usage:?}");
    if unsure == 0 {
        let pool = system.model.pool.iter();
        let mut sizes: Vec<_> = pool.map(|one| (one.holder.id, one.holder.size())).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let complete = |id| now.blobs.get(id).is_some_and(|blob| blob.complete);
        let bytes: u64 = sizes.iter().filter(|(id, _)| complete(id)).map(|(_, size)| size).sum();
        assert_eq!(usage.blob_bytes, bytes, "{usage:?}, {now:?}");
    }
}

/// A reader that was opened earlier gives right bytes or none, whatever became of its blob.
fn watched(system: &System) {
    for (at, reader) in &system.readers {
        let data = &system.model.pool[*at].holder.data;
        for run in reader.held().runs() {
            for leaf in [run.start, run.end - 1] {
                let start = (leaf * 1024).min(data.len() as u64);
                let end = (start + 1024).min(data.len() as u64);
                if let Ok(read) = reader.read(start..end) {
                    let start = usize::try_from(start).unwrap();
                    assert!(read == data[start..][..read.len()], "a false byte");
                }
            }
        }
    }
}

/// What a crash has left: all that was durable, and nothing that was never there.
pub(crate) fn left(store: &Store, model: &Model) -> Book {
    let mut left = Book::default();
    for (name, id) in store.tags().unwrap() {
        left.tags.insert(name[0], id);
    }
    for content in model.pool.iter() {
        let id = content.holder.id;
        left.pins.extend(store.pins(&id).unwrap().iter().map(|reason| (id, reason[0])));
        for lease in store.leases(&id).unwrap() {
            left.leases.insert((id, lease.reason[0]), lease.until.as_secs() / 3600);
        }
        if store.class(&id).unwrap() == Class::Carried {
            left.carried.insert(id);
        }
    }
    let of_one_time = |book: &Book| {
        book.tags == left.tags && book.pins == left.pins && book.leases == left.leases
    };
    assert!(model.past.iter().any(of_one_time), "names of one time: {left:?} of {:?}", model.past);
    for stat in store.list(None, usize::MAX).unwrap() {
        let past: Vec<_> = model.past.iter().filter_map(|book| book.blobs.get(&stat.id)).collect();
        let Some(last) = past.last() else {
            assert!(stat.held.is_empty(), "{} was never there", stat.id);
            continue;
        };
        let mut blob = (*last).clone();
        blob.held = held(store, &stat.id);
        let once = past.iter().fold(RangeSet::new(), |all, blob| all.union(&blob.held));
        assert!(blob.held.difference(&once).is_empty(), "{}: {} of {once}", stat.id, blob.held);
        blob.unsure |= past.iter().any(|other| other.unsure || other.complete != blob.complete);
        left.blobs.insert(stat.id, blob);
    }
    for (id, blob) in &model.durable.blobs {
        let gone = blob.readable().difference(&left.held(id));
        assert!(gone.is_empty(), "{id}: {gone} is gone");
    }
    left
}
