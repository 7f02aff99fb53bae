//! Reading everything again in the background. Spec: RFC 0009, section "Scrub".

use std::path::PathBuf;

use samara_base::{BlobId, GroupLog2, LEAF_BYTES, RangeSet, leaf_span};
use samara_tree::Tree;

use crate::{
    Store, VerifyReport,
    error::StoreError,
    index::Table,
    inner::locked,
    limits::UNREADABLE_MAX,
    row::{ALL_OF_IT, SCRUB_KEY, ScrubRow, id_of},
    verify::verify_bytes,
};

/// What one call of [`Store::scrub`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScrubReport {
    /// Bytes of blobs that were read, right or not. Unit: bytes.
    pub checked_bytes: u64,
    /// Blobs of which everything that is held has been read now.
    pub blobs: u64,
    /// What was found damaged, and is in quarantine now.
    pub damaged: Vec<Damage>,
    /// Files that changed since they were shared, or are gone.
    pub changed: Vec<PathBuf>,
    /// All blobs were looked at. The next call begins at the first one.
    pub done: bool,
}

/// Leaves of a blob that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The blob.
    pub id: BlobId,
    /// Its leaves that are not held any more. Fetch them again.
    pub leaves: RangeSet,
}

/// What all scrubs did together, since the store was made or its index was made again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScrubStats {
    /// Bytes that were read. Unit: bytes.
    pub checked_bytes: u64,
    /// Bytes of leaves that were found damaged. Unit: bytes.
    pub damaged_bytes: u64,
    /// How often the last blob was reached.
    pub passes: u64,
}

impl Store {
    /// Reads and hashes what is held, in the order of the blobs' ids, from where the last call stopped:
    /// at most `budget_bytes`, and less than a group of 16 KiB more. Each blob costs at least 1 KiB of the
    /// budget, so that a call ends soon. Who calls this with a hundredth of a second's budget a
    /// hundred times per second has a steady load; a call may be the last one at any time.
    ///
    /// Damage goes into quarantine and counts as not held, durably, before this returns: a transfer
    /// fetches these leaves and no others. The same is done with up to 16 groups per call that the
    /// disk can't read; if there are more, the disk is taken for the culprit, and its error returned.
    /// Partial blobs are looked at as far as they are held, files of the user's too.
    ///
    /// Where it stopped is durable after the next [`checkpoint`](Self::checkpoint). What comes in
    /// behind that place is looked at in the next round. Opening a blob reads its outboard, 1/512 of it,
    /// beside the budget. Memory: 1 MiB, and what is damaged. No lock is held while it reads.
    ///
    /// # Errors
    ///
    /// [`StoreError`]. What was looked at before counts.
    pub fn scrub(&self, budget_bytes: u64) -> Result<ScrubReport, StoreError> {
        let inner = &self.inner;
        inner.alive()?;
        let start = *locked(&inner.life.scrub);
        let mut scrub = Scrub {
            store: self,
            at: ScrubRow { checked: 0, damaged: 0, passes: 0, ..start },
            left: budget_bytes.max(1),
            unreadable: 0,
            lost: false,
            report: ScrubReport::default(),
        };
        let result = scrub.run();
        if scrub.lost {
            // A complete blob has done so itself; of a partial one it is the next checkpoint that
            // makes it durable.
            inner.checkpoint()?;
        }
        self.stop(start, scrub.at);
        result.map(|()| scrub.report)
    }

    /// What all scrubs did together.
    #[must_use]
    pub fn scrub_stats(&self) -> ScrubStats {
        let ScrubRow { checked, damaged, passes, .. } = *locked(&self.inner.life.scrub);
        ScrubStats { checked_bytes: checked, damaged_bytes: damaged, passes }
    }

    /// Remembers where a scrub stopped. `at` has what it did since `start`.
    fn stop(&self, start: ScrubRow, at: ScrubRow) {
        let mut row = locked(&self.inner.life.scrub);
        row.checked = row.checked.saturating_add(at.checked);
        row.damaged = row.damaged.saturating_add(at.damaged);
        row.passes = row.passes.saturating_add(at.passes);
        //= rfcs/0009-store.md#store-48
        //# A store MUST NOT move the durable place of its scrub past bytes that it held at that time and that the scrub did not verify.
        // Of two scrubs at the same time one has moved it already, as far as that one came.
        if (row.id, row.next) == (start.id, start.next) {
            (row.id, row.next) = (at.id, at.next);
        }
        self.inner.pending().put(Table::Meta, SCRUB_KEY, row.encode());
    }
}

/// The bytes of the id that follows an id; nothing follows the last.
fn next_id(id: BlobId) -> Option<[u8; 32]> {
    let mut next = *id.as_bytes();
    for byte in next.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(next);
        }
    }
    None
}

/// A scrub that goes on.
struct Scrub<'a> {
    store: &'a Store,
    /// Where it is, and what it did.
    at: ScrubRow,
    /// Unit: bytes.
    left: u64,
    unreadable: u64,
    /// A partial blob lost something.
    lost: bool,
    report: ScrubReport,
}

impl Scrub<'_> {
    fn run(&mut self) -> Result<(), StoreError> {
        while self.left > 0 {
            let Some(id) = self.next_blob()? else {
                self.at = ScrubRow { passes: 1, id: ScrubRow::default().id, next: 0, ..self.at };
                self.report.done = true;
                return Ok(());
            };
            if id != self.at.id {
                (self.at.id, self.at.next) = (id, 0);
            }
            self.blob(id)?;
        }
        Ok(())
    }

    /// The blob to go on with.
    fn next_blob(&self) -> Result<Option<BlobId>, StoreError> {
        let mut from = self.at.id.as_bytes().to_vec();
        if self.at.next == ALL_OF_IT {
            // Behind everything that begins like this id, whatever the index says.
            let Some(next) = next_id(self.at.id) else { return Ok(None) };
            from = next.to_vec();
        }
        let first = |table| -> Result<Option<BlobId>, StoreError> {
            let rows = self.store.inner.rows(table, &from, None, 1)?;
            Ok(rows.first().and_then(|(key, _)| id_of(key)))
        };
        Ok(first(Table::Blobs)?.into_iter().chain(first(Table::Partials)?).min())
    }

    /// Goes on with a blob, as far as the budget allows.
    fn blob(&mut self, id: BlobId) -> Result<(), StoreError> {
        self.left = self.left.saturating_sub(LEAF_BYTES);
        let mut opened = VerifyReport::default();
        let reader = self.store.reader_to_verify(&id, &mut opened)?;
        self.report.changed.extend(opened.changed);
        self.found(id, None, &opened.damaged);
        let Some(reader) = reader else {
            self.at.next = ALL_OF_IT;
            return Ok(());
        };
        let tree = Tree::new(reader.size());
        let group = GroupLog2::KIB16.bytes();
        // The blob itself may have used up the budget; a group of it is read all the same.
        let mut room = self.left.max(1);
        for run in reader.held().runs() {
            let bytes = tree.bytes(run);
            let start = bytes.start.max(self.at.next);
            if start >= bytes.end {
                continue;
            }
            if room == 0 {
                return Ok(());
            }
            //= rfcs/0009-store.md#store-49
            //# A scrub MUST NOT verify more bytes of blobs than its budget and 16,384 more.
            let end = start.saturating_add(room).checked_next_multiple_of(group);
            let end = end.unwrap_or(u64::MAX).min(bytes.end);
            let (more, through) = self.bytes(id, &reader, start..end)?;
            room = room.saturating_sub(more);
            self.left = self.left.saturating_sub(more);
            self.at.next = end;
            if !through {
                break;
            }
            if end < bytes.end {
                return Ok(());
            }
        }
        self.at.next = ALL_OF_IT;
        self.report.blobs += 1;
        drop(reader);
        self.store.inner.forget_idle(id);
        Ok(())
    }

    /// Reads bytes of a blob. Returns how many, and whether the rest of it is worth looking at.
    fn bytes(
        &mut self,
        id: BlobId,
        reader: &crate::BlobReader,
        bytes: core::ops::Range<u64>,
    ) -> Result<(u64, bool), StoreError> {
        let mut report = VerifyReport::default();
        let mut given_up = RangeSet::new();
        let unreadable = &mut self.unreadable;
        let mut condemn = |bytes: core::ops::Range<u64>, error| {
            if *unreadable >= UNREADABLE_MAX {
                return Err(error);
            }
            *unreadable += 1;
            let leaves = RangeSet::from(leaf_span(&bytes));
            reader.condemn(&leaves)?;
            given_up = given_up.union(&leaves);
            Ok(())
        };
        let len = bytes.end - bytes.start;
        let through = verify_bytes(reader, bytes, &mut report, &mut condemn, &mut |_| ());
        self.found(id, Some(reader), &report.damaged.union(&given_up));
        self.report.changed.extend(report.changed);
        let through = through?;
        let read = if through { len } else { report.good_bytes };
        self.report.checked_bytes = self.report.checked_bytes.saturating_add(read);
        self.at.checked = self.at.checked.saturating_add(read);
        Ok((read, through))
    }

    /// Notes damage.
    fn found(&mut self, id: BlobId, reader: Option<&crate::BlobReader>, leaves: &RangeSet) {
        if leaves.is_empty() {
            return;
        }
        self.lost |= reader.is_some_and(|reader| !reader.is_complete());
        let bytes = leaves.total().saturating_mul(LEAF_BYTES);
        self.at.damaged = self.at.damaged.saturating_add(bytes);
        match self.report.damaged.last_mut() {
            Some(last) if last.id == id => last.leaves = last.leaves.union(leaves),
            _ => self.report.damaged.push(Damage { id, leaves: leaves.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_each_other() {
        let next = |id: [u8; 32]| next_id(BlobId::from_bytes(id));
        let mut id = [7; 32];
        let mut expected = id;
        expected[31] = 8;
        assert_eq!(next(id), Some(expected));
        id[30..].fill(255);
        expected[29..].copy_from_slice(&[8, 0, 0]);
        assert_eq!(next(id), Some(expected));
        assert_eq!(next([255; 32]), None);
    }
}
