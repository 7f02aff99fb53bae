//! What peers may have, and reading it for them.

use core::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use bytes::Bytes;
use samara_base::{BlobId, GroupLog2, RangeSet, leaves};
use samara_mesh::io::{Block, OpenRequest, Opened, ReadRequest, ServeError};
use samara_store::{BlobReader, ReadError, Store};

/// What a right opens: a blob, and the blobs of the collection that it is.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) root: BlobId,
    /// Sorted.
    pub(crate) members: Arc<[BlobId]>,
}

impl Grant {
    fn covers(&self, blob: &BlobId) -> bool {
        self.root == *blob || self.members.binary_search(blob).is_ok()
    }
}

/// The rights that this node honours.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    by_right: RwLock<BTreeMap<Bytes, Grant>>,
    /// Imports under way: what a peer asks for may be granted in a moment.
    importing: AtomicUsize,
}

/// Counts an import for as long as it lives.
#[derive(Debug)]
pub(crate) struct Importing(Arc<Grants>);

impl Drop for Importing {
    fn drop(&mut self) {
        self.0.importing.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Grants {
    pub(crate) fn add(&self, right: Bytes, grant: Grant) {
        self.by_right.write().unwrap_or_else(PoisonError::into_inner).insert(right, grant);
    }

    pub(crate) fn remove(&self, right: &Bytes) {
        self.by_right.write().unwrap_or_else(PoisonError::into_inner).remove(right);
    }

    /// An import begins; it lasts until the guard is dropped.
    pub(crate) fn import(self: &Arc<Self>) -> Importing {
        self.importing.fetch_add(1, Ordering::Relaxed);
        Importing(Arc::clone(self))
    }

    /// What to tell a peer that may not have a blob: to come back, while that may still change.
    pub(crate) fn refusal(&self) -> ServeError {
        if self.importing.load(Ordering::Relaxed) > 0 {
            ServeError::Busy
        } else {
            ServeError::Unavailable
        }
    }

    /// Whether any of the rights opens the blob.
    pub(crate) fn allow(&self, rights: &[Bytes], blob: &BlobId) -> bool {
        let grants = self.by_right.read().unwrap_or_else(PoisonError::into_inner);
        rights.iter().any(|right| grants.get(right).is_some_and(|grant| grant.covers(blob)))
    }
}

/// Reads for peers, from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    store: Store,
    /// What was said last about a blob that cannot be served: a peer asks for many of its blocks.
    said: Arc<Mutex<Option<(BlobId, String)>>>,
}

impl Server {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, said: Arc::default() }
    }

    /// Looks a blob up and reads its first block.
    pub(crate) fn open(&self, request: &OpenRequest) -> Result<Opened, ServeError> {
        let reader = self.reader(&request.blob)?;
        let (size, held) = (reader.size(), reader.held());
        // A size that is not proven is not passed on. The last leaf proves it, but a complete blob
        // may have lost that one to damage.
        if !held.contains(leaves(size) - 1) && !self.size_proven(&request.blob) {
            return Err(ServeError::Unavailable);
        }
        let first = request.first_block(size, &held).map(|range| {
            let block = self.encode(&reader, request.group, &range, &request.base);
            (range, block)
        });
        Ok(Opened { size, held, first })
    }

    /// Reads and proves a block.
    pub(crate) fn read(&self, request: &ReadRequest) -> Result<Block, ServeError> {
        let reader = self.reader(&request.blob)?;
        self.encode(&reader, request.group, &request.range, &request.base)
    }

    fn size_proven(&self, blob: &BlobId) -> bool {
        matches!(self.store.stat(blob), Ok(Some(stat)) if stat.size_proven)
    }

    fn reader(&self, blob: &BlobId) -> Result<BlobReader, ServeError> {
        match self.store.reader(blob) {
            Ok(Some(reader)) => Ok(reader),
            Ok(None) => Err(ServeError::Unavailable),
            Err(error) => Err(self.failed(blob, &error)),
        }
    }

    //= rfcs/0007-transfer.md#xfer-7
    //# A source MUST NOT send bytes that it has not verified against the blob's id.
    fn encode(
        &self,
        reader: &BlobReader,
        group: GroupLog2,
        range: &Range<u64>,
        base: &RangeSet,
    ) -> Result<Block, ServeError> {
        match reader.encode(group, range, base) {
            Ok(encoded) => Ok(Block { proof: encoded.proof.into(), data: encoded.data }),
            Err(error) => Err(self.failed(&reader.id(), &error)),
        }
    }

    fn failed(&self, blob: &BlobId, error: &ReadError) -> ServeError {
        let now = Some((*blob, error.to_string()));
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if *said != now {
            tracing::warn!(blob = %blob.fmt_short(), %error, "cannot serve");
            *said = now;
        }
        drop(said);
        match error {
            ReadError::Damaged { ranges } => ServeError::Damaged(ranges.clone()),
            // Whatever the file is now, it is not this blob: as damaged as can be.
            ReadError::Changed { .. } => ServeError::Damaged(RangeSet::from(0..u64::MAX)),
            // Removed, or lost, since it was looked up. Nothing was found damaged by this read.
            ReadError::NotHeld { missing } => ServeError::NotHeld(missing.clone()),
            _ => ServeError::Internal,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_held_any_more_is_not_called_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store"), samara_store::Options::default());
        let store = store.unwrap();
        let id = store.put(&[7; 100_000]).unwrap();
        let server = Server::new(store.clone());
        let reader = server.reader(&id).unwrap();
        let read = || {
            let block = server.encode(&reader, GroupLog2::KIB64, &(0..64), &RangeSet::new())?;
            Ok(block.data.len())
        };
        assert_eq!(read(), Ok(65_536));

        assert!(store.remove(&id).unwrap());
        store.checkpoint().unwrap();
        assert_eq!(read(), Err(ServeError::NotHeld(RangeSet::from(0..64))));
        assert_eq!(server.reader(&id).err(), Some(ServeError::Unavailable));
    }
}
