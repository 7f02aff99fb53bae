//! What a node of a pair has stored, without the bytes: they are all zero, and a proof is the
//! statement that it stands for.

use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;
use samara_base::{BlobId, LEAF_BYTES, RangeSet, leaves};
use samara_wire::PROOF_MAX;

use crate::io::{
    Accepted, Block, OpenRequest, Opened, ReadRequest, ServeError, WriteError, WriteRequest,
};

/// What the blobs hold. Unit: bytes.
pub(super) const SIZES: [u64; 4] = [1, 16 << 10, 100_000, 160 << 10];
/// As much as a frame may have.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// What a node does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Malice {
    #[default]
    None,
    /// False bytes from this leaf on.
    Data(u64),
    /// Proofs of something else.
    Proof,
    /// No answer for now.
    Silent,
    Refuse,
}

/// A blob as far as it is here.
#[derive(Clone, Debug, Default)]
struct Stored {
    /// Under which it was verified. Unit: bytes.
    size: u64,
    size_proven: bool,
    held: RangeSet,
    damaged: RangeSet,
}

/// The store of a node.
#[derive(Debug, Default)]
pub(super) struct Disk {
    blobs: [Stored; SIZES.len()],
    pub(super) malice: Malice,
    /// What it says of the size of everything, for as long as its links last. Unit: bytes.
    pub(super) claim: Option<u64>,
    /// Nothing can be written.
    pub(super) broken: bool,
    /// It has lied, refused or lost something, which the other side may remember.
    pub(super) disturbed: bool,
}

/// The name of a blob.
pub(super) fn blob(at: usize) -> BlobId {
    BlobId::from_bytes([u8::try_from(at).unwrap_or(u8::MAX); 32])
}

/// Which of the blobs it is.
pub(super) fn index(blob: &BlobId) -> usize {
    usize::from(blob.as_bytes()[0])
}

/// Stands for the proof that the leaves from `first` on are those of a blob of this size, for
/// somebody who has all of `base`.
fn proof(at: usize, size: u64, range: &Range<u64>, base: &RangeSet) -> Bytes {
    // As long as one node of a tree, or as proofs get.
    let words = [at as u64, size, range.start, range.end, base.total(), base.end(), 0, 0];
    let mut proof: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    if range.start.is_multiple_of(3) {
        proof.resize(PROOF_MAX, 0);
    }
    proof.into()
}

impl Disk {
    /// Gives the node leaves of a blob.
    pub(super) fn put(&mut self, at: usize, range: Range<u64>) {
        let stored = &mut self.blobs[at];
        stored.size = SIZES[at];
        stored.size_proven = true;
        stored.held.insert(range);
    }

    /// Takes from the node what it thinks it has.
    pub(super) fn damage(&mut self, at: usize, leaf: u64) {
        self.disturbed = true;
        let stored = &mut self.blobs[at];
        stored.damaged = stored.held.within(&(leaf..leaf + 1));
    }

    /// Takes from the node what it knows to be gone.
    pub(super) fn lose(&mut self, at: usize, leaves: Range<u64>) {
        self.disturbed = true;
        self.blobs[at].held.remove(leaves);
    }

    pub(super) fn mend(&mut self) {
        for stored in &mut self.blobs {
            stored.damaged = RangeSet::new();
        }
    }

    /// What is verified, and the size under which it is.
    pub(super) fn held(&self, at: usize) -> (&RangeSet, u64) {
        (&self.blobs[at].held, self.blobs[at].size)
    }

    /// What others may have of a blob: what may turn out to have another size is not for them.
    pub(super) fn served(&self, at: usize) -> RangeSet {
        let stored = &self.blobs[at];
        if stored.size_proven { stored.held.clone() } else { RangeSet::new() }
    }

    pub(super) fn open(&self, request: &OpenRequest) -> Result<Opened, ServeError> {
        let at = index(&request.blob);
        let stored = &self.blobs[at];
        let (size, held) = match self.claim {
            _ if self.malice == Malice::Refuse => return Err(ServeError::Unavailable),
            Some(claim) => (claim, RangeSet::from(0..leaves(claim))),
            None if !stored.size_proven => return Err(ServeError::Unavailable),
            None => (stored.size, self.served(at)),
        };
        let first = request.first_block(size, &held).map(|range| {
            let block = self.block(at, &range, &request.base);
            (range, block)
        });
        Ok(Opened { size, held, first })
    }

    pub(super) fn read(&self, request: &ReadRequest) -> Result<Block, ServeError> {
        self.block(index(&request.blob), &request.range, &request.base)
    }

    fn block(&self, at: usize, range: &Range<u64>, base: &RangeSet) -> Result<Block, ServeError> {
        let stored = &self.blobs[at];
        let size = self.claim.unwrap_or(stored.size);
        let damaged = stored.damaged.within(range);
        if !damaged.is_empty() {
            return Err(ServeError::Damaged(damaged));
        }
        let gone = RangeSet::from(range.clone()).difference(&stored.held);
        if self.claim.is_none() && !gone.is_empty() {
            return Err(ServeError::NotHeld(gone));
        }
        // Before a node has heard that its links are gone, it may ask for what it said on them.
        let bytes = (range.end * LEAF_BYTES).min(size).checked_sub(range.start * LEAF_BYTES);
        let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
        let data = bytes.and_then(|bytes| ZEROS.get(..bytes)).ok_or(ServeError::Internal)?;
        let mut data = Bytes::from_static(data);
        let mut base = base.clone();
        match self.malice {
            Malice::Data(first) if range.start >= first && !data.is_empty() => {
                let mut bytes = data.to_vec();
                bytes[0] = 1;
                data = bytes.into();
            }
            Malice::Proof => base.insert(7..8),
            _ => {}
        }
        Ok(Block { proof: proof(at, size, range, &base), data })
    }

    /// Takes what is proven.
    pub(super) fn write(&mut self, request: &WriteRequest) -> Result<Accepted, WriteError> {
        if self.broken {
            return Err(WriteError::Local);
        }
        let at = index(&request.blob);
        let stored = &mut self.blobs[at];
        if stored.size != request.size {
            if stored.size_proven {
                return Err(WriteError::NotProven);
            }
            *stored = Stored { size: request.size, ..Stored::default() };
        }
        let range = request.first_leaf..request.first_leaf + leaves(request.data.len() as u64);
        let known = request.base.difference(&stored.held).is_empty();
        let whole = request.data.len() as u64
            == (range.end * LEAF_BYTES).min(SIZES[at]).saturating_sub(range.start * LEAF_BYTES);
        let proven = request.proof == proof(at, SIZES[at], &range, &request.base);
        if request.size != SIZES[at] || !known || !whole || !proven {
            return Err(WriteError::NotProven);
        }
        // A group is the smallest piece that can be told to be false.
        let mut bad = RangeSet::new();
        if request.data.first() != Some(&0) {
            bad.insert(range.start..range.end.min(range.start + request.group.leaves()));
        }
        let good = RangeSet::from(range.clone()).difference(&bad);
        stored.held = stored.held.union(&good);
        stored.size_proven |= good.contains(leaves(SIZES[at]) - 1);
        Ok(Accepted { good, bad, size_proven: stored.size_proven })
    }
}
