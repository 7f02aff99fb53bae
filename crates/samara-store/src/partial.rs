//! A blob that is being received: what all its receivers and readers share.

use core::{
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};
use std::sync::{Arc, Mutex, MutexGuard};

use samara_base::{BlobId, GroupLog2, LEAF_BYTES, RangeSet};
use samara_tree::{Cv, Tree, Verified, Verifier};

use crate::{
    cvs::{Cvs, Overlaid},
    disk::{Dir, File, join},
    error::{IngestError, StoreError},
    index::Table,
    inner::{Inner, ancestors, locked},
    journal::Entry,
    limits::PAYLOAD_MAX,
    outboard::cv_bytes,
    reader::Source,
    record::Kind,
    row::{Extent, Holds, Loc, PartialPlace, PartialRow, RootId, encode_ranges},
    segment::{Append, extend},
};

/// Directory of the files of partial blobs.
pub(crate) const PARTIAL_DIR: &[u8] = b"partial";
/// Write-back of a destination is started each time this much was written. Unit: bytes.
const PACE_BYTES: u64 = 8 << 20;

/// The path of a file of a partial blob, in the store's directory.
pub(crate) fn partial_path(id: BlobId, ending: &str) -> Vec<u8> {
    [PARTIAL_DIR, format!("/{id}.{ending}").as_bytes()].concat()
}

/// Removes the files of a partial blob, as far as there are any.
pub(crate) fn remove_files(dir: &dyn Dir, id: BlobId) {
    for ending in ["ob", "j0", "j1"] {
        let _ = dir.remove(&partial_path(id, ending));
    }
}

/// A blob that is being received.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) id: BlobId,
    pub(crate) size: u64,
    pub(crate) place: PartialPlace,
    /// The destination, if it is a file.
    pub(crate) file: Option<Arc<dyn File>>,
    /// The blob is complete but for damaged groups, which are fetched again.
    pub(crate) heals: bool,
    /// The names of the destination and of the files in `partial/` are durable.
    named: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) verifier: Verifier,
    pub(crate) cvs: Cvs,
    pub(crate) epoch: u64,
    /// The extent that the last record went to, and its place in the blob.
    last: Option<(u64, Extent)>,
    /// Some groups in segments were fetched again and lie over what was there.
    pub(crate) patched: bool,
    /// Finished or removed.
    pub(crate) closed: bool,
    allocated: bool,
    /// Written since write-back was last started: range in the destination, bytes.
    unpaced: Range<u64>,
    unpaced_bytes: u64,
}

/// What became of one transfer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ingested {
    /// Leaves that were proven, were missing and are held now.
    pub good: RangeSet,
    /// Leaves whose data is wrong. Nothing of it was kept; blame the sender.
    pub bad: RangeSet,
    /// Leaves that were held already.
    pub duplicate: RangeSet,
}

impl Partial {
    pub(crate) fn new(
        verifier: Verifier,
        place: PartialPlace,
        file: Option<Arc<dyn File>>,
        cvs: Cvs,
        epoch: u64,
    ) -> Self {
        Self {
            id: verifier.id(),
            size: verifier.size(),
            place,
            file,
            heals: matches!(cvs, Cvs::Stored(_)),
            named: AtomicBool::new(false),
            state: Mutex::new(State {
                verifier,
                cvs,
                epoch,
                last: None,
                patched: false,
                closed: false,
                allocated: false,
                unpaced: 0..0,
                unpaced_bytes: 0,
            }),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// The root and name of the destination, if it is a file.
    pub(crate) fn destination(&self) -> Option<(RootId, &[u8])> {
        match &self.place {
            PartialPlace::File { root, rel, .. } => Some((*root, rel)),
            PartialPlace::Segments => None,
        }
    }

    pub(crate) fn source(&self) -> Source {
        match &self.file {
            Some(file) => Source::File(Arc::clone(file)),
            None => Source::Extents,
        }
    }

    /// Verifies a transfer and writes what is new to its final place.
    pub(crate) fn ingest(
        self: &Arc<Self>,
        inner: &Inner,
        group: GroupLog2,
        first_leaf: u64,
        base: &RangeSet,
        proof: &[u8],
        data: &[u8],
    ) -> Result<Ingested, IngestError> {
        let mut guard = self.state();
        let state = &mut *guard;
        if state.closed {
            return Err(IngestError::Closed);
        }
        let mut values = Vec::new();
        //= rfcs/0009-store.md#store-1
        //# A store MUST verify every byte against the blob's id before it counts the byte as held.
        let verified = state
            .verifier
            .verify(group, first_leaf, base, proof, data, &mut |at, cv| values.push((at, cv)))
            .map_err(IngestError::Verify)?;
        let Verified { good, bad, duplicate, .. } = verified;
        if !good.is_empty() {
            if let Err(error) = self.keep(inner, state, first_leaf, data, &good, &values) {
                state.unhold(&good, &values);
                return Err(error.into());
            }
            let epoch = state.epoch;
            if let Cvs::File { journal, .. } = &mut state.cvs {
                journal.add(epoch, group, first_leaf, data.len(), base, proof);
            }
            if !self.heals {
                inner.pending().dirty.entry(self.id).or_insert_with(|| Arc::clone(self));
            }
        }
        drop(guard);
        Ok(Ingested { good, bad, duplicate })
    }

    /// Writes verified leaves and their values.
    fn keep(
        &self,
        inner: &Inner,
        state: &mut State,
        first_leaf: u64,
        data: &[u8],
        good: &RangeSet,
        values: &[(u64, Cv)],
    ) -> Result<(), StoreError> {
        state.cvs.write(values)?;
        let tree = state.verifier.tree();
        for run in good.runs() {
            let bytes = tree.bytes(run);
            let start = first_leaf * LEAF_BYTES;
            let within = index(bytes.start - start)..index(bytes.end - start);
            let data = data.get(within).unwrap_or_default();
            match (&self.file, self.heals) {
                //= rfcs/0009-store.md#store-18
                //# A store MUST NOT write to a file that was shared in place.
                (_, true) => {
                    self.write_patches(inner, bytes.start, data)?;
                    inner.release(self.id, run, true)?;
                }
                (Some(file), _) => self.write_file(inner, state, &**file, bytes.start, data)?,
                (None, _) if inner.has_extent_in(self.id, &bytes)? => {
                    // These leaves were held before and found damaged.
                    self.write_patches(inner, bytes.start, data)?;
                    state.patched = true;
                }
                (None, _) => self.write_records(inner, state, bytes.start, data)?,
            }
        }
        Ok(())
    }

    fn write_file(
        &self,
        inner: &Inner,
        state: &mut State,
        file: &dyn File,
        at: u64,
        data: &[u8],
    ) -> Result<(), StoreError> {
        let path = || match self.destination() {
            Some((root, rel)) => inner.external_path(root, rel),
            None => inner.dir.path().to_path_buf(),
        };
        //= rfcs/0009-store.md#store-8
        //# A store MUST NOT reserve space in proportion to a size that is not proven.
        if !state.allocated && state.verifier.size_proven() {
            if let Some((root, _)) = self.destination() {
                let held = file.meta().map_err(|error| StoreError::io("stat", path(), error))?;
                let needed = self.size.saturating_sub(held.size.min(self.size));
                inner.check_space(&*inner.root_dir(root)?, needed)?;
            }
            match file.allocate(0, self.size) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {}
                Err(error) => return Err(StoreError::io("reserve space for", path(), error)),
            }
            state.allocated = true;
        }
        if !state.allocated
            && let Some((root, _)) = self.destination()
        {
            // The reserve is what the next commit of the index lives on.
            inner.check_space(&*inner.root_dir(root)?, data.len() as u64)?;
        }
        if let Err(error) = file.write_at(data, at) {
            let error = StoreError::io("write", path(), error);
            return Err(match (error.is_no_space(), self.destination()) {
                (true, Some((root, _))) => StoreError::NoSpace {
                    needed: data.len() as u64,
                    quota: None,
                    free: inner.root_dir(root)?.free_bytes().unwrap_or_default(),
                },
                _ => error,
            });
        }
        inner.wrote(data.len() as u64);
        state.pace(file, at, data.len() as u64);
        Ok(())
    }

    fn write_records(
        &self,
        inner: &Inner,
        state: &mut State,
        at: u64,
        data: &[u8],
    ) -> Result<(), StoreError> {
        let mut offset = at;
        for payload in data.chunks(PAYLOAD_MAX) {
            let what = Append {
                kind: Kind::Data,
                flags: 0,
                id: self.id,
                blob_size: self.size,
                blob_offset: offset,
                payload,
            };
            let last = &mut state.last;
            inner.append(&what, |pending, loc| {
                let (at, extent) = place_record(*last, offset, loc, payload.len());
                *last = Some((at, extent));
                let key = Extent::key(self.id, Holds::Data, at);
                pending.put(Table::Extents, &key, extent.encode().to_vec());
            })?;
            offset += payload.len() as u64;
        }
        Ok(())
    }

    /// Writes groups that were fetched again, one extent each, over what is there.
    fn write_patches(&self, inner: &Inner, at: u64, data: &[u8]) -> Result<(), StoreError> {
        let group = index(GroupLog2::KIB16.bytes());
        let mut offset = at;
        let mut rest = data;
        while !rest.is_empty() {
            // Up to the next group boundary, since a group is quarantined as a whole.
            let inside = index(offset % GroupLog2::KIB16.bytes());
            let (payload, tail) = rest.split_at(rest.len().min(group - inside));
            let what = Append {
                kind: Kind::Data,
                flags: 0,
                id: self.id,
                blob_size: self.size,
                blob_offset: offset,
                payload,
            };
            inner.append(&what, |pending, loc| {
                let (_, extent) = place_record(None, offset, loc, payload.len());
                let key = Extent::key(self.id, Holds::Patch, offset);
                pending.put(Table::Extents, &key, extent.encode().to_vec());
            })?;
            offset += payload.len() as u64;
            rest = tail;
        }
        Ok(())
    }

    /// The row of this receive as it is now; entries of the journal follow a new number. `None` if
    /// it has no row.
    pub(crate) fn snapshot(&self) -> Option<Vec<u8>> {
        let mut guard = self.state();
        let state = &mut *guard;
        if state.closed || self.heals {
            return None;
        }
        state.epoch += 1;
        let epoch = state.epoch;
        let cvs = match &mut state.cvs {
            Cvs::Memory(cvs) => cv_bytes(cvs),
            Cvs::File { journal, .. } => {
                journal.begin(epoch);
                Vec::new()
            }
            Cvs::Stored(_) => Vec::new(),
        };
        let mut frontier = Vec::new();
        state.verifier.export(&mut frontier);
        let row = PartialRow { size: self.size, place: self.place.clone(), epoch, frontier, cvs };
        Some(row.encode())
    }

    /// Makes durable what a snapshot speaks of.
    pub(crate) fn sync(&self, inner: &Inner) -> Result<(), StoreError> {
        let cvs = match &self.state().cvs {
            Cvs::File { file, .. } => Some(Arc::clone(file)),
            _ => None,
        };
        let named = self.named.load(Ordering::Relaxed);
        if let Some(cvs) = cvs {
            let fail = |error| StoreError::io("sync", join(inner.dir.path(), PARTIAL_DIR), error);
            cvs.sync().map_err(fail)?;
            // Also of files that were there: an earlier process may have died before this.
            if !named {
                inner.dir.sync_names(PARTIAL_DIR).map_err(fail)?;
            }
        }
        if let (Some(file), Some((root, rel))) = (&self.file, self.destination()) {
            let fail = |error| StoreError::io("sync", inner.external_path(root, rel), error);
            file.sync().map_err(fail)?;
            if !named {
                for changed in ancestors(rel) {
                    inner.sync_names(root, changed)?;
                }
            }
        }
        self.named.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Gives up leaves whose stored bytes turned out to be damaged.
    pub(crate) fn lose(self: &Arc<Self>, inner: &Inner, leaves: &RangeSet) {
        let mut state = self.state();
        let State { verifier, cvs, .. } = &mut *state;
        for run in leaves.runs() {
            if verifier.lose(cvs, run).is_err() {
                // The values are gone as well, so nothing of this blob can be trusted any more.
                *verifier = Verifier::new(self.id, self.size);
            }
        }
        if state.closed {
            // Rows and patches are those of what came in its place.
            return;
        }
        drop(state);
        // If this fails, the old copies are found damaged once more.
        let _ = inner.drop_patches(self.id, Tree::new(self.size), leaves);
        inner.pending().dirty.entry(self.id).or_insert_with(|| Arc::clone(self));
    }

    /// Whether it was finished or given up.
    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// No more transfers are taken.
    pub(crate) fn close(&self) {
        self.state().closed = true;
    }
}

impl State {
    /// Verifies a transfer of the journal again, with its data as the disk has it.
    pub(crate) fn take_again(
        &mut self,
        entry: &Entry,
        data: &[u8],
    ) -> Result<RangeSet, StoreError> {
        let mut values = Vec::new();
        let sink = &mut |at, cv| values.push((at, cv));
        let Entry { group, first_leaf, base, proof, .. } = entry;
        match self.verifier.verify(*group, *first_leaf, base, proof, data, sink) {
            Ok(verified) => {
                self.cvs.write(&values)?;
                Ok(verified.good)
            }
            // The journal is a hint. What it does not prove is fetched again.
            Err(_) => Ok(RangeSet::new()),
        }
    }

    /// Takes back leaves that were verified but could not be written.
    fn unhold(&mut self, good: &RangeSet, values: &[(u64, Cv)]) {
        // The values themselves may not have reached the file either.
        let source = Overlaid { cvs: &self.cvs, values };
        for run in good.runs() {
            if self.verifier.lose(&source, run).is_err() {
                self.verifier = Verifier::new(self.verifier.id(), self.verifier.size());
                return;
            }
        }
    }

    /// Starts write-back now and then, so that the next sync finds little to do.
    fn pace(&mut self, file: &dyn File, at: u64, len: u64) {
        self.unpaced = if self.unpaced_bytes == 0 {
            at..at + len
        } else {
            self.unpaced.start.min(at)..self.unpaced.end.max(at + len)
        };
        self.unpaced_bytes += len;
        if self.unpaced_bytes >= PACE_BYTES {
            file.start_writeback(self.unpaced.start, self.unpaced.end - self.unpaced.start);
            self.unpaced_bytes = 0;
        }
    }
}

/// The extent that a new record belongs to: the last one, if the record follows it, else its own.
pub(crate) fn place_record(
    last: Option<(u64, Extent)>,
    offset: u64,
    loc: Loc,
    payload_len: usize,
) -> (u64, Extent) {
    let len = u32::try_from(payload_len).unwrap_or(u32::MAX);
    let extended = last.filter(|(at, extent)| at + extent.len == offset);
    if let Some((at, extent)) = extended.and_then(|(at, last)| Some((at, extend(&last, loc, len)?)))
    {
        return (at, extent);
    }
    (offset, Extent { loc, chunk: len.max(1), len: u64::from(len) })
}

impl Inner {
    /// Whether records hold some of these bytes.
    fn has_extent_in(&self, id: BlobId, bytes: &Range<u64>) -> Result<bool, StoreError> {
        let Some(last) = bytes.end.checked_sub(1) else { return Ok(false) };
        let first = Extent::key(id, Holds::Data, 0);
        let row = self.last_row(Table::Extents, &first, &Extent::key(id, Holds::Data, last))?;
        Ok(row.is_some_and(|(key, value)| {
            let end = Extent::key_offset(&key).zip(Extent::decode(&value));
            end.is_some_and(|(start, extent)| start.saturating_add(extent.len) > bytes.start)
        }))
    }

    /// Removes patches within leaves that are damaged again.
    pub(crate) fn drop_patches(
        &self,
        id: BlobId,
        tree: Tree,
        leaves: &RangeSet,
    ) -> Result<(), StoreError> {
        let carried = self.is_carried(id)?;
        for run in leaves.runs() {
            let bytes = tree.bytes(run);
            let from = Extent::key(id, Holds::Patch, bytes.start);
            let to = Extent::key(id, Holds::Patch, bytes.end);
            let rows = self.rows(Table::Extents, &from, Some(&to), usize::MAX)?;
            let keys: Vec<_> = rows.into_iter().map(|(key, _)| (Table::Extents, key)).collect();
            self.change(&keys, |pending, rows| {
                // Who has read where they are has to look again.
                self.chunks.moved();
                pending.free_rows(carried, &keys, rows);
            })?;
        }
        Ok(())
    }

    /// Takes leaves of a complete blob out of quarantine. `patched`: whether some of it are copies now
    /// that lie over what was there.
    pub(crate) fn release(
        &self,
        id: BlobId,
        leaves: &Range<u64>,
        patched: bool,
    ) -> Result<(), StoreError> {
        self.change_blob(id, |pending, row, mut damaged| {
            damaged.remove(leaves.clone());
            if damaged.is_empty() {
                pending.delete(Table::Damaged, id.as_bytes());
            } else {
                pending.put(Table::Damaged, id.as_bytes(), encode_ranges(&damaged));
            }
            if let Some(mut row) = row {
                row.damaged = !damaged.is_empty();
                row.patched |= patched;
                pending.put(Table::Blobs, id.as_bytes(), row.encode());
            }
        })?;
        locked(&self.readers).forget(id);
        Ok(())
    }
}

/// An offset within data that is in memory.
pub(crate) fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
