//! Reading and hashing again what is held.

use core::ops::Range;
use std::path::PathBuf;

use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_tree::Tree;

use crate::{
    BlobReader, Store,
    error::{ReadError, StoreError},
};

/// What [`Store::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Bytes that were read and are right. Unit: bytes.
    pub good_bytes: u64,
    /// Leaves that are damaged; all are in quarantine now.
    pub damaged: RangeSet,
    /// The file that the blob was shared from changed, so nothing could be checked.
    pub changed: Option<PathBuf>,
}

/// Bytes that are read and hashed at once, unless they are damaged.
const STEP_BYTES: u64 = 1 << 20;

/// What to do with a group that the disk can't read.
pub(crate) type Unreadable<'a> = dyn FnMut(Range<u64>, StoreError) -> Result<(), StoreError> + 'a;

impl Store {
    /// Reads and hashes all of a blob that is held. Damage goes into quarantine. `progress` gets
    /// the number of bytes so far. `None`: nothing of the blob is known.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn verify(
        &self,
        id: &BlobId,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Option<VerifyReport>, StoreError> {
        let mut report = VerifyReport::default();
        let Some(reader) = self.reader_to_verify(id, &mut report)? else {
            let found = report.changed.is_some() || !report.damaged.is_empty();
            return Ok(found.then_some(report));
        };
        let tree = Tree::new(reader.size());
        report.damaged = self.inner.damaged(*id)?;
        for run in reader.held().runs() {
            let bytes = tree.bytes(run);
            if !verify_bytes(&reader, bytes, &mut report, &mut |_, error| Err(error), progress)? {
                break;
            }
        }
        Ok(Some(report))
    }

    /// A reader, or in the report why there is none. Neither: nothing of the blob is known.
    pub(crate) fn reader_to_verify(
        &self,
        id: &BlobId,
        report: &mut VerifyReport,
    ) -> Result<Option<BlobReader>, StoreError> {
        match self.reader(id) {
            Ok(reader) => return Ok(reader),
            Err(ReadError::Changed { path }) => report.changed = Some(path),
            Err(ReadError::Damaged { ranges }) => report.damaged = ranges,
            Err(ReadError::Store(error)) => return Err(error),
            Err(error) => return Err(StoreError::corrupt(error)),
        }
        Ok(None)
    }
}

/// Reads and hashes a part of a blob. Returns false if the rest of it need not be looked at: the file
/// changed, or the blob is gone.
pub(crate) fn verify_bytes(
    reader: &BlobReader,
    bytes: Range<u64>,
    report: &mut VerifyReport,
    unreadable: &mut Unreadable<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<bool, StoreError> {
    let group = GroupLog2::KIB16.bytes();
    let mut at = bytes.start;
    let mut step = STEP_BYTES;
    while at < bytes.end {
        // Steps end at group boundaries, so that no group is read twice.
        let end = ((at / step + 1) * step).min(bytes.end);
        match reader.read(at..end) {
            Ok(_) => report.good_bytes += end - at,
            Err(ReadError::Damaged { ranges }) => {
                report.damaged = report.damaged.union(&ranges);
                if step > group {
                    // Look closer, so that what is not damaged counts.
                    step = group;
                    continue;
                }
            }
            Err(ReadError::Store(StoreError::Io { action: "read", .. })) if step > group => {
                step = group;
                continue;
            }
            Err(ReadError::Store(error @ StoreError::Io { action: "read", .. })) => {
                unreadable(at..end, error)?;
            }
            // A partial blob does not hold any more what was found damaged. Anything else was
            // removed.
            Err(ReadError::NotHeld { .. }) if !reader.is_complete() && step > group => {
                step = group;
                continue;
            }
            Err(ReadError::NotHeld { .. })
                if !reader.is_complete() && !reader.held().is_empty() => {}
            Err(ReadError::NotHeld { .. }) => return Ok(false),
            Err(ReadError::Changed { path }) => {
                report.changed = Some(path);
                return Ok(false);
            }
            Err(ReadError::Store(error)) => return Err(error),
            Err(error) => return Err(StoreError::corrupt(error)),
        }
        if end.is_multiple_of(STEP_BYTES) {
            step = STEP_BYTES;
        }
        at = end;
        progress(report.good_bytes);
    }
    Ok(true)
}
