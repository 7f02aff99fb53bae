//! What was appended to the open segment and is not in its file yet.

use std::{
    io,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use crate::disk::File;

/// The last bytes of the open segment. One writer changes them; readers take what they need from
/// here, so they need not wait for the writer, nor for the disk while it writes.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Number of the segment; 0: there is none.
    segment: u32,
    /// Where `bytes` belong in its file.
    start: u64,
    bytes: Vec<u8>,
}

impl Unwritten {
    fn shared(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn alone(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills `buf` with what belongs at `at` in a segment's file, if all of that is here. If it is
    /// not, and was appended before the call, it is in the file.
    pub(crate) fn read(&self, segment: u32, at: u64, buf: &mut [u8]) -> bool {
        let state = self.shared();
        let from = at.checked_sub(state.start).filter(|_| state.segment == segment);
        let from = from.and_then(|from| usize::try_from(from).ok());
        let found = from.and_then(|from| state.bytes.get(from..)?.get(..buf.len()));
        found.inspect(|found| buf.copy_from_slice(found)).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.shared().bytes.len()
    }

    /// What follows belongs at `start` in the file of a segment. Nothing may be here.
    pub(super) fn begin(&self, segment: u32, start: u64) {
        let mut state = self.alone();
        debug_assert!(state.bytes.is_empty(), "invariant: a segment is flushed before the next");
        state.segment = segment;
        state.start = start;
    }

    /// Adds bytes at the end, and zeros behind them.
    pub(super) fn push(&self, parts: &[&[u8]], zeros: usize) {
        let mut state = self.alone();
        parts.iter().for_each(|part| state.bytes.extend_from_slice(part));
        let len = state.bytes.len().saturating_add(zeros);
        state.bytes.resize(len, 0);
    }

    /// The next `len` bytes go into the file by another way. Nothing may be here.
    pub(super) fn skip(&self, len: usize) {
        self.alone().start += len as u64;
    }

    /// Takes back what lies behind the first `len` bytes, so that `end` is the end of the segment.
    pub(super) fn cut(&self, end: u64, len: usize) {
        let mut state = self.alone();
        state.bytes.truncate(len);
        state.start = end.saturating_sub(state.bytes.len() as u64);
    }

    /// Writes everything to the file. Only the writer may call this.
    pub(super) fn write_to(&self, file: &dyn File) -> io::Result<()> {
        // The lock is shared with readers, who go on; nobody else but the caller takes it alone.
        let state = self.shared();
        if state.bytes.is_empty() {
            return Ok(());
        }
        file.write_at(&state.bytes, state.start)?;
        drop(state);
        let mut state = self.alone();
        state.start += state.bytes.len() as u64;
        state.bytes.clear();
        Ok(())
    }
}
