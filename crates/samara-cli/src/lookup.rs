//! Finding what the user means: a blob by its id, the beginning of its id, a name or a ticket.

use std::collections::BTreeSet;

use bytes::Bytes;
use samara::{EntryKind, MANIFEST_MAGIC, Manifest, Ticket, ticket::PREFIX};
use samara_base::BlobId;
use samara_store::{BlobStat, ReadError, Store, StoreError};

use crate::{
    event,
    exit::{Code, Failure},
    store_dir::{Open, StoreDir, Stores},
};

/// Shortest beginning of an id that stands for it. Unit: hexadecimal digits.
const PREFIX_DIGITS_MIN: usize = 6;

/// Blobs that are listed at a time.
const PAGE: usize = 1024;

/// Before the name of what was shared, added or fetched, in the store's tags.
const NAME_TAG: &[u8] = b"name/";

/// A blob in one of the stores.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) open: Open,
    pub(crate) stat: BlobStat,
}

/// Opens the stores and finds every one of `names`, or fails for the first that is not there.
pub(crate) fn find_all(dir: &StoreDir, names: &[String]) -> Result<Vec<Found>, Failure> {
    let stores = dir.stores()?;
    names.iter().map(|name| find(&stores, name)).collect()
}

/// As [`find_all`] for one.
pub(crate) fn find_one(dir: &StoreDir, name: &str) -> Result<Found, Failure> {
    find(&dir.stores()?, name)
}

fn find(stores: &Stores, name: &str) -> Result<Found, Failure> {
    if let Some(found) = search(stores, name)? {
        return Ok(found);
    }
    if let Some(busy) = stores.busy.first() {
        let text = format!(
            "`{name}` is in no store that is free, and {} is in use by another samara: stop that one \
             and try again",
            busy.display()
        );
        return Err(Failure::new(Code::InUse, text));
    }
    let text = format!("there is nothing called `{name}` in the store; `samara ls` shows what is");
    Err(Failure::new(Code::NotFound, text))
}

fn search(stores: &Stores, name: &str) -> Result<Option<Found>, Failure> {
    if let Ok(id) = name.parse() {
        return by_id(stores, &id);
    }
    if name.to_ascii_lowercase().starts_with(PREFIX) {
        return by_id(stores, &name.parse::<Ticket>()?.root());
    }
    for open in &stores.open {
        if let Some(id) = tagged(&open.store, name.as_bytes())?
            && let Some(stat) = open.store.stat(&id)?
        {
            return Ok(Some(Found { open: open.clone(), stat }));
        }
    }
    let hex = !name.is_empty() && name.bytes().all(|digit| digit.is_ascii_hexdigit());
    if hex && name.len() < PREFIX_DIGITS_MIN {
        let text =
            format!("`{name}` is too short: give {PREFIX_DIGITS_MIN} digits of the id or more");
        return Err(Failure::usage(text));
    }
    if hex && name.len() < 2 * BlobId::LEN { by_prefix(stores, name) } else { Ok(None) }
}

/// In the store that has most of it.
fn by_id(stores: &Stores, id: &BlobId) -> Result<Option<Found>, Failure> {
    let mut best: Option<Found> = None;
    for open in &stores.open {
        if let Some(stat) = open.store.stat(id)?
            && best.as_ref().is_none_or(|best| best.stat.held.total() < stat.held.total())
        {
            best = Some(Found { open: open.clone(), stat });
        }
    }
    Ok(best)
}

fn by_prefix(stores: &Stores, prefix: &str) -> Result<Option<Found>, Failure> {
    let lower = prefix.to_ascii_lowercase();
    let Ok(last) = format!("{lower:f<64}").parse::<BlobId>() else { return Ok(None) };
    let before = before(&lower);
    let mut ids = BTreeSet::new();
    for open in &stores.open {
        // More than a few are as ambiguous as all of them.
        let page = open.store.list(before.as_ref(), 8)?;
        ids.extend(page.iter().map(|stat| stat.id).filter(|id| *id <= last));
    }
    let mut ids = ids.into_iter();
    match (ids.next(), ids.next()) {
        (None, _) => Ok(None),
        (Some(id), None) => by_id(stores, &id),
        (Some(first), Some(second)) => {
            let text = format!(
                "`{prefix}` is the beginning of several ids, for example {first} and {second}: give \
                 more digits"
            );
            Err(Failure::usage(text))
        }
    }
}

/// The id that comes directly before all ids with this beginning; `None` if there is none.
fn before(prefix: &str) -> Option<BlobId> {
    let first: BlobId = format!("{prefix:0<64}").parse().ok()?;
    let mut bytes = *first.as_bytes();
    for byte in bytes.iter_mut().rev() {
        let (less, borrowed) = byte.overflowing_sub(1);
        *byte = less;
        if !borrowed {
            return Some(BlobId::from_bytes(bytes));
        }
    }
    None
}

fn tagged(store: &Store, name: &[u8]) -> Result<Option<BlobId>, StoreError> {
    let tags = store.tags()?;
    let named = [NAME_TAG, name].concat();
    let exact = |wanted: &[u8]| tags.iter().find(|(tag, _)| tag == wanted).map(|(_, id)| *id);
    Ok(exact(name).or_else(|| exact(&named)))
}

/// Gives what was shared, added or fetched the name that people know it by. A newer one of the
/// same name takes it over.
pub(crate) fn remember(store: &Store, name: &[u8], id: &BlobId) -> Result<(), StoreError> {
    store.tag(&[NAME_TAG, name].concat(), id)
}

/// The name that people know something by, out of a tag.
pub(crate) fn name_of_tag(tag: &[u8]) -> Option<&[u8]> {
    tag.strip_prefix(NAME_TAG)
}

/// Calls `visit` with every blob of a store, in the order of their ids.
pub(crate) fn each(
    store: &Store,
    mut visit: impl FnMut(BlobStat) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let page = store.list(after.as_ref(), PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id);
        page.into_iter().try_for_each(&mut visit)?;
    }
}

/// The manifest, if a blob is a collection that can be read.
pub(crate) fn manifest(store: &Store, stat: &BlobStat) -> Result<Option<Manifest<Bytes>>, Failure> {
    let magic = MANIFEST_MAGIC.len() as u64;
    if !stat.complete || stat.size <= magic {
        return Ok(None);
    }
    let read = || -> Result<Option<Bytes>, ReadError> {
        let Some(reader) = store.reader(&stat.id)? else { return Ok(None) };
        if reader.read(0..magic)? != MANIFEST_MAGIC.as_slice() {
            return Ok(None);
        }
        reader.read(0..stat.size).map(Some)
    };
    match read() {
        Ok(bytes) => Ok(bytes.and_then(|bytes| Manifest::decode(bytes).ok())),
        // Damaged or changed: whatever it is, it is no collection that can be read.
        Err(ReadError::Store(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// Calls `visit` with the blobs of a collection's files.
pub(crate) fn members(manifest: &Manifest<Bytes>, mut visit: impl FnMut(BlobId, &[u8])) {
    let mut entries = manifest.iter();
    while let Some(entry) = entries.next_entry() {
        if let EntryKind::File { id, .. } = entry.kind {
            visit(id, entry.path);
        }
    }
}

/// What the store knows about a blob, for programs.
pub(crate) fn describe<'a>(
    found: &'a Found,
    tags: &[(Vec<u8>, BlobId)],
    held: &'a samara_base::RangeSet,
    damaged: &'a samara_base::RangeSet,
) -> Result<event::Blob<'a>, Failure> {
    let Found { open, stat } = found;
    let summary = manifest(&open.store, stat)?.map(|manifest| manifest.summary());
    let tags = tags.iter().filter(|(_, id)| *id == stat.id);
    Ok(event::Blob {
        id: stat.id.to_string(),
        size: stat.size,
        size_proven: stat.size_proven,
        bytes_held: held.total(),
        complete: stat.complete,
        format: if summary.is_some() { "collection" } else { "blob" },
        content_size: summary.map(|summary| summary.bytes),
        files: summary.map(|summary| u64::from(summary.files)),
        place: match &stat.place {
            samara_store::BlobPlace::External(path) => Some(event::PathText::of(path)),
            _ => None,
        },
        held: event::Ranges(held),
        damaged: event::Ranges(damaged),
        tags: tags.map(|(tag, _)| String::from_utf8_lossy(tag).into_owned()).collect(),
        store: event::PathText::of(&open.dir),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_is_one_less() {
        let text = |id: Option<BlobId>| id.map(|id| id.to_string());
        assert_eq!(text(before("100000")), Some(format!("0{}", "f".repeat(63))));
        assert_eq!(before("000000"), None);
    }
}
