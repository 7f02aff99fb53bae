//! Healing chunks, which heals all blobs that share them. Spec: RFC 0009, section "Chunks and maps".

use core::ops::Range;
use std::sync::Arc;

use samara_base::{BlobId, ChunkId, GroupLog2, RangeSet, leaf_span};
use samara_tree::Tree;

use crate::{
    BlobReader,
    error::{ReadError, StoreError},
    index::Table,
    inner::{Inner, locked},
    reader::Complete,
    row::{BlobRow, Extent, Holds, MapEntry},
};

/// Patches that are looked at together.
const ROWS: usize = 64;

impl Inner {
    /// Writes the chunks of a blob anew of which parts were fetched again, and gives the patches back.
    /// What can't be put right stays patched.
    pub(crate) fn mend(self: &Arc<Self>, id: BlobId) -> Result<(), StoreError> {
        let row = self.blob_row(id)?.filter(|row| row.patched && !row.damaged);
        let Some(row) = row else { return Ok(()) };
        let Some(map) = row.map() else { return Ok(()) };
        let reader = match BlobReader::complete(Arc::clone(self), id, &row) {
            Ok(reader) => reader,
            Err(ReadError::Store(error)) => return Err(error),
            Err(_) => return Ok(()),
        };
        let (mut from, to) =
            (Extent::key(id, Holds::Patch, 0).to_vec(), Extent::key(id, Holds::Patch, u64::MAX));
        let mut mended = 0;
        loop {
            let patches = self.rows(Table::Extents, &from, Some(&to), ROWS)?;
            let Some((last, _)) = patches.last() else { break };
            from.clone_from(last);
            from.push(0);
            for (key, value) in &patches {
                let patch = Extent::key_offset(key).zip(Extent::decode(value));
                let Some((at, extent)) = patch else { return Ok(()) };
                let end = at.saturating_add(extent.len).min(row.size);
                mended = mended.max(at);
                while mended < end {
                    let Some((start, entry)) = self.map_entry(map, mended)? else { return Ok(()) };
                    let chunk = start..start.saturating_add(entry.len.into());
                    if !self.mend_chunk(&reader, &entry, &chunk)? {
                        return Ok(());
                    }
                    mended = chunk.end;
                }
            }
            self.maybe_checkpoint()?;
        }
        let is_whole = self.change_blob(id, |pending, row, _| {
            let row = row.filter(|row| !row.damaged && row.map() == Some(map));
            let Some(row) = row else { return false };
            let row = BlobRow { patched: false, ..row };
            pending.put(Table::Blobs, id.as_bytes(), row.encode());
            true
        })?;
        if is_whole {
            let tree = Tree::new(row.size);
            self.drop_patches(id, tree, &RangeSet::from(tree.root().range()))?;
        }
        locked(&self.readers).forget(id);
        Ok(())
    }

    /// Writes one chunk anew, unless it is right. Returns whether it is right now.
    fn mend_chunk(
        &self,
        reader: &BlobReader,
        entry: &MapEntry,
        chunk: &Range<u64>,
    ) -> Result<bool, StoreError> {
        let bytes = match reader.read(chunk.clone()) {
            Ok(bytes) => bytes,
            Err(ReadError::Store(error)) => return Err(error),
            Err(_) => return Ok(false),
        };
        let id = ChunkId::from_bytes(*samara_tree::hash(&bytes).as_bytes());
        self.put_right(id, entry.key, &bytes)
    }

    /// The chunk at an offset in a map's blob, and where it begins.
    fn map_entry(&self, map: u64, at: u64) -> Result<Option<(u64, MapEntry)>, StoreError> {
        let Some((mut start, row)) = self.map_row(map, at)? else { return Ok(None) };
        for entry in row.entries {
            let end = start.saturating_add(entry.len.into());
            if at < end {
                return Ok(Some((start, entry)));
            }
            start = end;
        }
        Ok(None)
    }

    /// Takes groups out of quarantine whose chunks were healed by way of another blob.
    pub(crate) fn recheck(self: &Arc<Self>, id: BlobId, row: &BlobRow) -> Result<(), StoreError> {
        if row.map().is_none() {
            return Ok(());
        }
        let complete = match Complete::open(self, id, row) {
            Ok(complete) => complete,
            Err(ReadError::Store(error)) => return Err(error),
            Err(_) => return Ok(()),
        };
        let tree = Tree::new(row.size);
        let group = GroupLog2::KIB16;
        for run in self.damaged(id)?.runs() {
            let bytes = tree.bytes(&group.align(run, tree.leaves()));
            let mut at = bytes.start;
            while at < bytes.end {
                let end = (at + group.bytes()).min(bytes.end);
                let leaves = leaf_span(&(at..end));
                if complete.is_sound(self, &leaves)? {
                    self.release(id, &leaves, row.patched)?;
                }
                at = end;
            }
        }
        Ok(())
    }
}
