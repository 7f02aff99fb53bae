//! When a write is durable: commits, and the checkpoint that they wait for.

use core::{sync::atomic::Ordering, time::Duration};

use crate::{
    Store,
    error::{StoreError, failed},
    inner::Inner,
};

/// Room that a commit of the index may need. Unit: bytes, and bytes per row.
const INDEX_ROOM_BASE: u64 = 64 * 1024;
const INDEX_ROOM_ROW: u64 = 512;

/// What a [`commit`](Store::commit) waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing. What was written becomes durable with any later checkpoint. The store makes one by
    /// itself when [`checkpoint_bytes`](crate::Options::checkpoint_bytes) or
    /// [`checkpoint_rows`](crate::Options::checkpoint_rows) are reached, so what a crash can take is
    /// bounded.
    None,
    /// A checkpoint that begins after this time, so that others can join: a hundred threads with a
    /// small blob each then share a few syncs. It begins earlier if one of those who wait has less
    /// patience or an immediate commit comes, and later if another one is still under way.
    ///
    /// A thread that commits alone is slower this way, by the delay. Some milliseconds are enough.
    Batched(Duration),
    /// A checkpoint that begins at once, or as soon as the one that is under way has ended.
    #[default]
    Immediate,
}

impl Store {
    /// Waits until everything that was done before the call is as durable as asked for.
    ///
    /// Commits of several threads share checkpoints: those who come while one is under way wait for
    /// the next, which one of them makes for all. Nobody else is held up meanwhile; blobs are put and
    /// read while the disk syncs.
    ///
    /// # Errors
    ///
    /// [`NoSpace`](StoreError::NoSpace) if there is no room for the index: free some and commit again.
    /// After a failed sync the store is [`Poisoned`](StoreError::Poisoned). All who share a checkpoint
    /// get its error.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use samara_store::{Durability, Options, Store};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let store = Store::open(dir.path(), Options::default())?;
    /// std::thread::scope(|scope| {
    ///     let writers = (0..8_u8).map(|seed| {
    ///         let store = &store;
    ///         scope.spawn(move || {
    ///             store.put(&[seed; 1024])?;
    ///             store.commit(Durability::Batched(Duration::from_millis(2)))
    ///         })
    ///     });
    ///     let writers: Vec<_> = writers.collect();
    ///     writers.into_iter().try_for_each(|writer| writer.join().expect("it does not panic"))
    /// })?;
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn commit(&self, durability: Durability) -> Result<(), StoreError> {
        match durability {
            //= rfcs/0009-store.md#store-54
            //# A commit without durability MUST NOT wait for the disk or for another commit.
            Durability::None => self.inner.alive(),
            Durability::Batched(delay) => self.inner.commit(Some(delay)),
            Durability::Immediate => self.inner.checkpoint(),
        }
    }
}

impl Inner {
    /// Makes durable what was done so far, alone or with others who want the same.
    pub(crate) fn checkpoint(&self) -> Result<(), StoreError> {
        self.commit(None)
    }

    fn commit(&self, delay: Option<Duration>) -> Result<(), StoreError> {
        self.alive()?;
        self.commits.commit(delay, || self.pending().is_empty(), || self.make_checkpoint())
    }

    /// Payload, then index, then acknowledge. One at a time.
    fn make_checkpoint(&self) -> Result<(), StoreError> {
        self.alive()?;
        // Nothing was taken yet, so for lack of space here the caller may simply come again.
        self.writer().flush()?;
        let rows = self.pending().work.batch.len() as u64;
        let free = self.dir.free_bytes().map_err(failed("measure", self.dir.path()))?;
        let needed = INDEX_ROOM_BASE.saturating_add(rows.saturating_mul(INDEX_ROOM_ROW));
        if free < needed && rows > 0 {
            return Err(StoreError::NoSpace { needed, quota: None, free });
        }
        self.unsynced_bytes.store(0, Ordering::Relaxed);
        let mut taken = Taken { inner: self, is_safe: false };
        let done = self.write_down();
        taken.is_safe = done.is_ok();
        done
    }
}

/// What a checkpoint has taken, which nobody else has any more.
struct Taken<'a> {
    inner: &'a Inner,
    is_safe: bool,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        //= rfcs/0009-store.md#store-6
        //# After a failed sync or index commit a store MUST refuse all further operations until it is opened again.
        // A panic on the way is no different.
        if !self.is_safe {
            self.inner.poison();
        }
    }
}
