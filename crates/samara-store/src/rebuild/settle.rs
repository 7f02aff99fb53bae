//! From extents to blobs.

use core::ops::Range;
use std::{collections::BTreeSet, sync::Arc};

use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_tree::{EncodeError, OpenError as TreeError, OutboardBuilder, Prover, Tree};

use super::Rebuilt;
use crate::{
    error::StoreError,
    index::Table,
    inner::{Inner, Pending, extent_bytes},
    outboard::{FinishedOutboard, NotWhole, Spool, StoredOutboard, Whole},
    reader::Source,
    record::{HEADER_LEN, Header},
    row::{BlobRow, Extent, Holds, Loc, Outboard, Place, encode_ranges, id_of},
};

/// Bytes that are read and hashed at once, in whole leaves. Unit: leaves.
const STEP_LEAVES: u64 = 1024;

/// Sizes of one blob that are tried: outboards of other sizes were made by somebody.
const SIZES_MAX: usize = 8;

impl Inner {
    /// Makes blobs of the extents that were found.
    pub(super) fn settle_all(self: &Arc<Self>, rebuilt: &mut Rebuilt) -> Result<(), StoreError> {
        let mut from = Vec::new();
        loop {
            let rows = self.rows(Table::Extents, &from, None, 1)?;
            let id = rows.first().and_then(|(key, _)| id_of(key.get(..32)?));
            let Some(id) = id else { return Ok(()) };
            from = [id.as_bytes().as_slice(), &[u8::MAX; 10]].concat();
            match self.settle(id)? {
                Settled::Known => {}
                Settled::Whole => rebuilt.whole += 1,
                Settled::Damaged => rebuilt.damaged += 1,
                Settled::Unproven => rebuilt.left_out += 1,
            }
            self.maybe_checkpoint()?;
        }
    }

    /// Makes a blob of what was found of it, as far as it can be verified.
    fn settle(self: &Arc<Self>, id: BlobId) -> Result<Settled, StoreError> {
        let data = self.untangle(id, Holds::Data)?;
        let values = self.untangle(id, Holds::Outboard)?;
        let known = self.blob_row(id)?.is_some();
        let proven = if known { None } else { self.prove(id, &data, &values)? };
        let mut pending = self.pending();
        let Some(Proven { size, written, damaged }) = proven else {
            forget(&mut pending, id, Holds::Data, &data);
            forget(&mut pending, id, Holds::Outboard, &values);
            return Ok(if known { Settled::Known } else { Settled::Unproven });
        };
        let place = match book(&mut pending, id, Holds::Data, &data, size) {
            Some(loc) => Place::Record(loc),
            None => Place::Extents,
        };
        let outboard = if let Some(written) = written {
            forget(&mut pending, id, Holds::Outboard, &values);
            written.book(&mut pending)
        } else {
            let len = Tree::new(size).outboard_len();
            match book(&mut pending, id, Holds::Outboard, &values, len) {
                Some(loc) => Outboard::Record(loc),
                None => Outboard::Extents,
            }
        };
        let whole = damaged.is_empty();
        let (patched, places) = (false, vec![place]);
        let row = BlobRow { size, outboard, damaged: !whole, patched, places };
        pending.put(Table::Blobs, id.as_bytes(), row.encode());
        if !whole {
            pending.put(Table::Damaged, id.as_bytes(), encode_ranges(&damaged));
        }
        Ok(if whole { Settled::Whole } else { Settled::Damaged })
    }

    /// The extents of a blob without those that say again what others say.
    fn untangle(&self, id: BlobId, holds: Holds) -> Result<Vec<(u64, Extent)>, StoreError> {
        let mut kept: Vec<(u64, Extent)> = Vec::new();
        for (at, extent) in self.found(id, holds)? {
            let Some(end) = at.checked_add(extent.len) else { continue };
            if let Some((last_at, last)) = kept.last_mut() {
                let last_end = *last_at + last.len;
                if end <= last_end {
                    self.pending().delete(Table::Extents, &Extent::key(id, holds, at));
                    continue;
                }
                if at < last_end {
                    last.len = at - *last_at;
                    let key = Extent::key(id, holds, *last_at);
                    self.pending().put(Table::Extents, &key, last.encode().to_vec());
                }
            }
            kept.push((at, extent));
        }
        Ok(kept)
    }

    /// Verifies what was found of a blob.
    fn prove(
        self: &Arc<Self>,
        id: BlobId,
        data: &[(u64, Extent)],
        values: &[(u64, Extent)],
    ) -> Result<Option<Proven>, StoreError> {
        if data.is_empty() {
            return Ok(None);
        }
        let mut best: Option<Proven> = None;
        let held = data.last().map_or(0, |(at, extent)| at.saturating_add(extent.len));
        for size in self.sizes(values) {
            let tree = Tree::new(size);
            let Some(damaged) = self.damaged_by_outboard(id, tree, held)? else { continue };
            // Data for the last group proves the size.
            let rank = |damaged: &RangeSet, tree: Tree| {
                (damaged.contains(tree.leaves() - 1), damaged.total())
            };
            let better = best.as_ref().is_none_or(|best| {
                rank(&damaged, tree) < rank(&best.damaged, Tree::new(best.size))
            });
            if better && damaged.total() < tree.leaves() {
                best = Some(Proven { size, written: None, damaged });
            }
        }
        if best.as_ref().is_some_and(|best| best.damaged.is_empty()) {
            return Ok(best);
        }
        let end = |end: u64, (at, extent): &(u64, Extent)| (*at == end).then(|| end + extent.len);
        let size = data.iter().try_fold(0, |size, found| end(size, found).ok_or(size));
        // All bytes may be there even if an outboard says otherwise: then somebody made it up.
        let hashed = self.hash_again(id, size.unwrap_or_else(|gap| gap))?;
        Ok(hashed.or(best))
    }

    /// The sizes of which there are outboards.
    fn sizes(&self, values: &[(u64, Extent)]) -> BTreeSet<u64> {
        let mut sizes = BTreeSet::new();
        for (_, extent) in values {
            let mut header = [0; HEADER_LEN];
            let Ok(file) = self.segment(extent.loc, HEADER_LEN as u64) else { continue };
            let Ok(_) = file.read_at(&mut header, extent.loc.offset.into()) else { continue };
            if let Ok(header) = Header::decode(&header, extent.loc.segment) {
                sizes.insert(header.blob_size);
            }
            if sizes.len() == SIZES_MAX {
                break;
            }
        }
        sizes
    }

    /// The leaves whose data does not fit the outboard, if the outboard fits the id. Behind `held`
    /// bytes there is no data.
    fn damaged_by_outboard(
        self: &Arc<Self>,
        id: BlobId,
        tree: Tree,
        held: u64,
    ) -> Result<Option<RangeSet>, StoreError> {
        if tree.stored_cvs() == 0 {
            return Ok(None);
        }
        let (inner, outboard) = (Arc::downgrade(self), Outboard::Extents);
        let stored = StoredOutboard { inner, id, tree, outboard };
        let prover = match Prover::open(id, tree.size(), &Whole(&stored)) {
            Ok(prover) => prover,
            Err(TreeError::Source(NotWhole::Store(error))) if !is_unreadable(&error) => {
                return Err(error);
            }
            Err(_) => return Ok(None),
        };
        let mut damaged = RangeSet::new();
        for step in steps(tree) {
            if tree.bytes(&step).start >= held {
                damaged.insert(step.start..tree.leaves());
                break;
            }
            if self.check_step(id, &prover, &stored, &step, &mut damaged)? {
                continue;
            }
            // Where a step can't be read, as little as possible is given up.
            let group = GroupLog2::KIB16.leaves();
            let groups = (step.start / group)..step.end.div_ceil(group);
            for group in groups.map(|at| at * group..((at + 1) * group).min(step.end)) {
                if !self.check_step(id, &prover, &stored, &group, &mut damaged)? {
                    damaged.insert(group);
                }
            }
        }
        Ok(Some(damaged))
    }

    /// Notes the leaves of a range that do not fit. Returns false if the range can't be read.
    fn check_step(
        &self,
        id: BlobId,
        prover: &Prover,
        stored: &StoredOutboard,
        leaves: &Range<u64>,
        damaged: &mut RangeSet,
    ) -> Result<bool, StoreError> {
        let read = self.read_source(&Source::Extents, id, &prover.tree().bytes(leaves));
        let checked = read.map(|(data, _)| prover.check(stored, leaves, &data));
        match checked {
            Ok(Ok(found)) => *damaged = damaged.union(&found),
            Ok(Err(EncodeError::Source(error))) | Err(error) => {
                return if is_unreadable(&error) { Ok(false) } else { Err(error) };
            }
            Ok(Err(_)) => damaged.insert(leaves.clone()),
        }
        Ok(true)
    }

    /// Hashes all bytes of a blob without an outboard, and writes one if the id is right.
    fn hash_again(&self, id: BlobId, size: u64) -> Result<Option<Proven>, StoreError> {
        let tree = Tree::new(size);
        let mut builder = OutboardBuilder::new();
        let mut spool = Spool::new(self);
        for leaves in steps(tree) {
            let data = match self.read_source(&Source::Extents, id, &tree.bytes(&leaves)) {
                Ok((data, true)) => data,
                Ok(_) => return Ok(None),
                Err(error) if is_unreadable(&error) => return Ok(None),
                Err(error) => return Err(error),
            };
            builder.push(&data, &mut |_, cv| spool.values().push(cv));
            spool.settle()?;
        }
        let (found, _) = builder.finish(&mut |_, cv| spool.values().push(cv));
        if found != id || size == 0 {
            return Ok(None);
        }
        let written = Some(spool.write(id, size)?);
        Ok(Some(Proven { size, written, damaged: RangeSet::new() }))
    }
}

/// Whether bytes can't be read, which is no reason to give up the others.
const fn is_unreadable(error: &StoreError) -> bool {
    matches!(error, StoreError::Io { .. })
}

/// The leaves of a blob, as many at a time as are read at once.
fn steps(tree: Tree) -> impl Iterator<Item = Range<u64>> {
    let step = move |from: u64| {
        let end = from.saturating_add(STEP_LEAVES).min(tree.leaves());
        (from < end).then_some(from..end)
    };
    core::iter::successors(step(0), move |last| step(last.end))
}

/// What is known of a blob once it is verified.
struct Proven {
    size: u64,
    /// The outboard, if it had to be made.
    written: Option<FinishedOutboard>,
    /// Leaves that are damaged or missing.
    damaged: RangeSet,
}

/// What became of the records of a blob.
enum Settled {
    /// It is complete already.
    Known,
    Whole,
    Damaged,
    Unproven,
}

fn forget(pending: &mut Pending, id: BlobId, holds: Holds, extents: &[(u64, Extent)]) {
    for (at, _) in extents {
        pending.delete(Table::Extents, &Extent::key(id, holds, *at));
    }
}

/// Counts extents as in use. One record with all `len` bytes needs no row: returns its place.
fn book(
    pending: &mut Pending,
    id: BlobId,
    holds: Holds,
    extents: &[(u64, Extent)],
    len: u64,
) -> Option<Loc> {
    for (_, extent) in extents {
        pending.work.add_live(extent.loc.segment, extent_bytes(extent));
    }
    match extents {
        [(0, extent)] if extent.len == len && extent.len == u64::from(extent.chunk) => {
            pending.delete(Table::Extents, &Extent::key(id, holds, 0));
            Some(extent.loc)
        }
        _ => None,
    }
}
