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
    row::{BlobRow, Extent, Holds, Loc, MapRow, Outboard, Place, encode_ranges, id_of},
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
        let records = self.found(id, Holds::Map)?;
        let binding = self.found(id, Holds::Binding)?;
        let known = self.blob_row(id)?.is_some();
        let (mut proven, mut map) = (None, None);
        if !known {
            let candidate = Candidate::of_extents(&data);
            proven = self.prove(id, &candidate, &values)?;
            if proven.as_ref().is_none_or(|proven| !proven.damaged.is_empty()) {
                let found = self.read_maps(&records)?;
                match self.prove(id, &found.candidate, &values)? {
                    Some(other) if proven.as_ref().is_none_or(|one| other.is_better_than(one)) => {
                        (proven, map) = (Some(other), Some(found.map));
                    }
                    _ => self.drop_map_rows(found.map)?,
                }
            }
        }
        if let Some(map) = map {
            self.count_map(map)?;
        }
        let mut pending = self.pending();
        forget(&mut pending, id, Holds::Map, &records);
        let Some(Proven { size, written, damaged }) = proven else {
            forget(&mut pending, id, Holds::Data, &data);
            forget(&mut pending, id, Holds::Outboard, &values);
            forget(&mut pending, id, Holds::Binding, &binding);
            return Ok(if known { Settled::Known } else { Settled::Unproven });
        };
        let place = if let Some(map) = map {
            forget(&mut pending, id, Holds::Data, &data);
            forget(&mut pending, id, Holds::Binding, &binding);
            if let [(_, binding), ..] = binding.as_slice() {
                pending.work.add_live(binding.loc.segment, extent_bytes(binding));
                let row = MapRow { loc: binding.loc, entries: Vec::new() };
                let key = MapRow::key(map, MapRow::BINDING);
                pending.put(Table::Maps, &key, row.encode());
            }
            Place::Chunks(map)
        } else if let Some(loc) = book(&mut pending, id, Holds::Data, &data, size) {
            forget(&mut pending, id, Holds::Binding, &binding);
            Place::Record(loc)
        } else {
            for (_, binding) in &binding {
                pending.work.add_live(binding.loc.segment, extent_bytes(binding));
            }
            Place::Extents
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
        candidate: &Candidate,
        values: &[(u64, Extent)],
    ) -> Result<Option<Proven>, StoreError> {
        if candidate.held == 0 {
            return Ok(None);
        }
        let mut best: Option<Proven> = None;
        for size in self.sizes(values) {
            let tree = Tree::new(size);
            let Some(damaged) = self.damaged_by_outboard(id, candidate, tree)? else { continue };
            let proven = Proven { size, written: None, damaged };
            if proven.damaged.total() < tree.leaves()
                && best.as_ref().is_none_or(|best| proven.is_better_than(best))
            {
                best = Some(proven);
            }
        }
        if best.as_ref().is_some_and(|best| best.damaged.is_empty()) {
            return Ok(best);
        }
        // All bytes may be there even if an outboard says otherwise: then somebody made it up.
        let hashed = self.hash_again(id, candidate)?;
        Ok(hashed.or(best))
    }

    /// The sizes of which there are outboards.
    fn sizes(&self, values: &[(u64, Extent)]) -> BTreeSet<u64> {
        let mut sizes = BTreeSet::new();
        for (_, extent) in values {
            let mut header = [0; HEADER_LEN];
            let Ok(_) = self.read_record(extent.loc, &mut header) else { continue };
            if let Ok(header) = Header::decode(&header, extent.loc.segment) {
                sizes.insert(header.blob_size);
            }
            if sizes.len() == SIZES_MAX {
                break;
            }
        }
        sizes
    }

    /// The leaves whose data does not fit the outboard, if the outboard fits the id.
    fn damaged_by_outboard(
        self: &Arc<Self>,
        id: BlobId,
        candidate: &Candidate,
        tree: Tree,
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
            if tree.bytes(&step).start >= candidate.held {
                damaged.insert(step.start..tree.leaves());
                break;
            }
            if self.check_step((id, &candidate.source), &prover, &stored, &step, &mut damaged)? {
                continue;
            }
            // Where a step can't be read, as little as possible is given up.
            let group = GroupLog2::KIB16.leaves();
            let groups = (step.start / group)..step.end.div_ceil(group);
            for group in groups.map(|at| at * group..((at + 1) * group).min(step.end)) {
                if !self.check_step(
                    (id, &candidate.source),
                    &prover,
                    &stored,
                    &group,
                    &mut damaged,
                )? {
                    damaged.insert(group);
                }
            }
        }
        Ok(Some(damaged))
    }

    /// Notes the leaves of a range that do not fit. Returns false if the range can't be read.
    fn check_step(
        &self,
        (id, source): (BlobId, &Source),
        prover: &Prover,
        stored: &StoredOutboard,
        leaves: &Range<u64>,
        damaged: &mut RangeSet,
    ) -> Result<bool, StoreError> {
        let bytes = prover.tree().bytes(leaves);
        let mut buffer = self.buffer(&bytes);
        let read = self.read_source(source, id, bytes.start, buffer.bytes());
        let checked = read.map(|_| prover.check(stored, leaves, buffer.as_ref()));
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
    fn hash_again(&self, id: BlobId, candidate: &Candidate) -> Result<Option<Proven>, StoreError> {
        let size = candidate.without_gap;
        let tree = Tree::new(size);
        let mut builder = OutboardBuilder::new();
        let mut spool = Spool::new(self);
        for leaves in steps(tree) {
            let bytes = tree.bytes(&leaves);
            let mut buffer = self.buffer(&bytes);
            match self.read_source(&candidate.source, id, bytes.start, buffer.bytes()) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) if is_unreadable(&error) => return Ok(None),
                Err(error) => return Err(error),
            };
            builder.push(buffer.as_ref(), &mut |_, cv| spool.values().push(cv));
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

/// What may be the bytes of a blob.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) source: Source,
    /// Behind this there are none.
    pub(super) held: u64,
    /// Where the first gap begins.
    pub(super) without_gap: u64,
}

impl Candidate {
    fn of_extents(data: &[(u64, Extent)]) -> Self {
        let held = data.last().map_or(0, |(at, extent)| at.saturating_add(extent.len));
        let end = |end: u64, (at, extent): &(u64, Extent)| (*at == end).then(|| end + extent.len);
        let whole = data.iter().try_fold(0, |size, found| end(size, found).ok_or(size));
        let without_gap = whole.unwrap_or_else(|gap| gap);
        Self { source: Source::Extents, held, without_gap }
    }
}

/// What is known of a blob once it is verified.
struct Proven {
    size: u64,
    /// The outboard, if it had to be made.
    written: Option<FinishedOutboard>,
    /// Leaves that are damaged or missing.
    damaged: RangeSet,
}

impl Proven {
    /// Data for the last group proves the size; then less damage counts.
    fn is_better_than(&self, other: &Self) -> bool {
        let rank = |one: &Self| {
            (one.damaged.contains(Tree::new(one.size).leaves() - 1), one.damaged.total())
        };
        rank(self) < rank(other)
    }
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
