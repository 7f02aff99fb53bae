//! What peers may have, and reading it for them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use bytes::Bytes;
use samara_base::BlobId;
use samara_mesh::io::{Block, OpenRequest, Opened, ReadRequest, ServeError};
use samara_store::{BlobReader, ReadError, Store};

/// Large blobs whose readers are kept open.
const READERS_MAX: usize = 16;

/// Blobs up to this size are read whole at the first request; keeping a reader gains nothing.
const SMALL_BYTES: u64 = 64 << 10;

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
}

impl Grants {
    pub(crate) fn add(&self, right: Bytes, grant: Grant) {
        self.by_right.write().unwrap_or_else(PoisonError::into_inner).insert(right, grant);
    }

    pub(crate) fn remove(&self, right: &Bytes) {
        self.by_right.write().unwrap_or_else(PoisonError::into_inner).remove(right);
    }

    /// Whether a right is honoured at all.
    pub(crate) fn knows(&self, right: &Bytes) -> bool {
        self.by_right.read().unwrap_or_else(PoisonError::into_inner).contains_key(right)
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
    readers: Arc<Mutex<Readers>>,
}

#[derive(Debug, Default)]
struct Readers {
    /// By blob, with the time of last use.
    open: BTreeMap<BlobId, (u64, BlobReader)>,
    uses: u64,
}

impl Server {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, readers: Arc::default() }
    }

    /// Looks a blob up and reads its first block.
    pub(crate) fn open(&self, request: &OpenRequest) -> Result<Opened, ServeError> {
        let reader = self.reader(&request.blob)?;
        let (size, held) = (reader.size(), reader.held());
        let first = request.first_block(size, &held).map(|range| {
            let read = ReadRequestView {
                group: request.group,
                range: &range,
                base: &request.base,
            };
            let block = read_block(&reader, &read);
            (range, block)
        });
        Ok(Opened { size, held, first })
    }

    /// Reads and proves a block.
    pub(crate) fn read(&self, request: &ReadRequest) -> Result<Block, ServeError> {
        let reader = self.reader(&request.blob)?;
        let view =
            ReadRequestView { group: request.group, range: &request.range, base: &request.base };
        read_block(&reader, &view)
    }

    fn reader(&self, blob: &BlobId) -> Result<BlobReader, ServeError> {
        {
            let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
            readers.uses += 1;
            let uses = readers.uses;
            if let Some((last, reader)) = readers.open.get_mut(blob) {
                *last = uses;
                return Ok(reader.clone());
            }
        }
        let reader = self
            .store
            .reader(blob)
            .map_err(|error| {
                tracing::warn!(blob = %blob.fmt_short(), %error, "cannot read a blob");
                ServeError::Internal
            })?
            // A size that is not proven is not passed on.
            .filter(BlobReader::size_proven)
            .ok_or(ServeError::Unavailable)?;
        if reader.size() > SMALL_BYTES {
            let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
            if readers.open.len() >= READERS_MAX
                && let Some(oldest) =
                    readers.open.iter().min_by_key(|(_, (last, _))| *last).map(|(id, _)| *id)
            {
                readers.open.remove(&oldest);
            }
            let uses = readers.uses;
            readers.open.insert(*blob, (uses, reader.clone()));
        }
        Ok(reader)
    }

    /// Forgets the open reader of a blob: it was removed, or has more ranges now.
    pub(crate) fn forget(&self, blob: &BlobId) {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).open.remove(blob);
    }
}

struct ReadRequestView<'a> {
    group: samara_base::GroupLog2,
    range: &'a core::ops::Range<u64>,
    base: &'a samara_base::RangeSet,
}

fn read_block(reader: &BlobReader, request: &ReadRequestView<'_>) -> Result<Block, ServeError> {
    match reader.encode(request.group, request.range, request.base) {
        Ok(encoded) => Ok(Block { proof: encoded.proof.into(), data: encoded.data }),
        Err(ReadError::Damaged { ranges }) => {
            tracing::warn!(
                blob = %reader.id().fmt_short(),
                leaves = %ranges,
                "stored data is damaged and will not be served again"
            );
            Err(ServeError::Damaged(ranges))
        }
        Err(error @ ReadError::Changed { .. }) => {
            tracing::warn!(blob = %reader.id().fmt_short(), %error, "a shared file has changed");
            Err(ServeError::Damaged(request.range.clone().into()))
        }
        Err(error) => {
            tracing::warn!(blob = %reader.id().fmt_short(), %error, "cannot read a blob");
            Err(ServeError::Internal)
        }
    }
}
