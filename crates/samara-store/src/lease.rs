//! Leases: reasons to keep a blob that end by themselves. Spec: RFC 0009, section "Leases".

use core::time::Duration;

use samara_base::BlobId;

use crate::{
    Store,
    error::StoreError,
    index::Table,
    inner::{Inner, locked},
    limits::NAME_MAX,
    row::{decode_number, encode_number, id_of, pin_key},
};

/// One lease of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// Who holds it, or why.
    pub reason: Vec<u8>,
    /// When it ends, since 1970, in whole seconds.
    pub until: Duration,
}

impl Store {
    /// Keeps a blob from [`collect`](Self::collect) and from eviction for a reason (at most 1,024
    /// bytes) until a time, since 1970. A lease of the same blob for the same reason is replaced;
    /// several reasons may hold one blob. The blob need not be held yet. Durable after the next
    /// [`checkpoint`](Self::checkpoint).
    ///
    /// The end counts in whole seconds, rounded up. Costs one row of the index.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooLong`] for the reason; [`StoreError`].
    pub fn lease(&self, id: &BlobId, reason: &[u8], until: Duration) -> Result<(), StoreError> {
        self.inner.alive()?;
        check_reason(reason)?;
        let end = until.as_secs().saturating_add(u64::from(until.subsec_nanos() > 0));
        let mut pending = self.inner.pending();
        pending.put(Table::Leases, &pin_key(*id, reason), encode_number(end));
        pending.kept += 1;
        drop(pending);
        Ok(())
    }

    /// Has a lease end later, never earlier. Returns false, and does nothing, if there is no such
    /// lease: it may have ended and been removed.
    ///
    /// # Errors
    ///
    /// As [`lease`](Self::lease).
    pub fn renew(&self, id: &BlobId, reason: &[u8], until: Duration) -> Result<bool, StoreError> {
        check_reason(reason)?;
        let found = self.inner.get(Table::Leases, &pin_key(*id, reason))?;
        let Some(found) = found else { return Ok(false) };
        if Duration::from_secs(end_of(&found)?) < until {
            self.lease(id, reason, until)?;
        }
        Ok(true)
    }

    /// Ends a lease. One that does not exist is fine.
    ///
    /// # Errors
    ///
    /// As [`lease`](Self::lease).
    pub fn release(&self, id: &BlobId, reason: &[u8]) -> Result<(), StoreError> {
        self.inner.alive()?;
        check_reason(reason)?;
        self.inner.pending().delete(Table::Leases, &pin_key(*id, reason));
        Ok(())
    }

    /// The leases of a blob, sorted by reason, with those that have ended and were not removed yet.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn leases(&self, id: &BlobId) -> Result<Vec<Lease>, StoreError> {
        let (from, to) = names_of(*id);
        let rows = self.inner.rows(Table::Leases, &from, Some(&to), usize::MAX)?;
        let lease = |(key, value): (Vec<u8>, Vec<u8>)| {
            let reason = key.get(32..).unwrap_or_default().to_vec();
            Ok(Lease { reason, until: Duration::from_secs(end_of(&value)?) })
        };
        rows.into_iter().map(lease).collect()
    }
}

fn check_reason(reason: &[u8]) -> Result<(), StoreError> {
    if reason.len() > NAME_MAX {
        let (what, len) = ("the reason of a lease", reason.len());
        return Err(StoreError::TooLong { what, len, max: NAME_MAX });
    }
    Ok(())
}

fn end_of(value: &[u8]) -> Result<u64, StoreError> {
    decode_number(value).ok_or_else(|| StoreError::corrupt("a row of the lease table"))
}

/// The keys of a table of ids and reasons that belong to a blob.
fn names_of(id: BlobId) -> (Vec<u8>, Vec<u8>) {
    let from = id.as_bytes().to_vec();
    let to = [from.as_slice(), &[u8::MAX; NAME_MAX + 1]].concat();
    (from, to)
}

/// What keeps blobs, as of one time.
#[derive(Debug)]
pub(crate) struct Keepers {
    /// As of so many things that were kept.
    kept: u64,
    /// Blobs with a name, sorted: names do not lead from blobs to themselves.
    tagged: Vec<BlobId>,
    /// Unit: seconds since 1970.
    now: u64,
}

impl Inner {
    /// What keeps blobs at a time, in seconds since 1970. Reads all names: 32 bytes of memory each.
    pub(crate) fn keepers(&self, now: u64) -> Result<Keepers, StoreError> {
        let kept = self.pending().kept;
        let mut tagged = Vec::new();
        self.each_row(Table::Tags, &mut |_, value| tagged.extend(id_of(value)))?;
        tagged.sort_unstable();
        tagged.dedup();
        Ok(Keepers { kept, tagged, now })
    }

    /// Removes a blob unless something keeps it. `partial`: an unfinished receive as well. Returns
    /// whether it did, and the map to be given back. Whoever calls this has the blob.
    pub(crate) fn forget_unless_kept(
        &self,
        keepers: &mut Keepers,
        id: BlobId,
        partial: bool,
    ) -> Result<(bool, Option<u64>), StoreError> {
        loop {
            if self.is_kept(keepers, id)? {
                return Ok((false, None));
            }
            let done = self.replace_if(
                id,
                |pending| pending.kept == keepers.kept,
                |pending, old| {
                    if partial {
                        pending.forget_partial(id);
                    }
                    pending.delete(Table::Blobs, id.as_bytes());
                    pending.delete(Table::Damaged, id.as_bytes());
                    pending.delete(Table::Classes, id.as_bytes());
                    old.and_then(|old| old.loosen(pending))
                },
            )?;
            if let Some(loosened) = done {
                locked(&self.readers).forget(id);
                return Ok((true, loosened));
            }
            // Something was given a name meanwhile, perhaps this.
            *keepers = self.keepers(keepers.now)?;
        }
    }

    /// Whether a blob has a name, a pin, or a lease that has not ended.
    pub(crate) fn is_kept(&self, keepers: &Keepers, id: BlobId) -> Result<bool, StoreError> {
        //= rfcs/0009-store.md#store-40
        //# A store MUST NOT collect or evict a blob that has a tag, a pin, or a lease that ends later than the time it is told.
        if keepers.tagged.binary_search(&id).is_ok() {
            return Ok(true);
        }
        let (from, to) = names_of(id);
        if !self.rows(Table::Pins, &from, Some(&to), 1)?.is_empty() {
            return Ok(true);
        }
        //= rfcs/0009-store.md#store-41
        //# A store MUST treat a lease as absent from its end on.
        for (_, value) in self.rows(Table::Leases, &from, Some(&to), usize::MAX)? {
            if end_of(&value)? > keepers.now {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Bytes that blobs take in segments which have a name, a pin or a lease. Memory: 32 bytes for each
    /// name, pin and lease.
    pub(crate) fn count_kept(&self, now: u64) -> Result<u64, StoreError> {
        let mut kept = self.keepers(now)?.tagged;
        self.each_row(Table::Pins, &mut |key, _| kept.extend(id_of(key)))?;
        let mut add = |key: &[u8], value: &[u8]| {
            kept.extend(id_of(key).filter(|_| decode_number(value).is_some_and(|end| end > now)));
        };
        self.each_row(Table::Leases, &mut add)?;
        kept.sort_unstable();
        kept.dedup();
        let bytes = kept.into_iter().map(|id| self.footprint(id));
        bytes.into_iter().try_fold(0, |sum: u64, bytes| Ok(sum.saturating_add(bytes?)))
    }

    /// Removes the rows of leases that have ended.
    pub(crate) fn drop_ended_leases(&self, now: u64) -> Result<(), StoreError> {
        let mut from = Vec::new();
        loop {
            let rows = self.rows(Table::Leases, &from, None, 1024)?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            from.clone_from(last);
            from.push(0);
            for (key, value) in rows {
                if end_of(&value)? <= now {
                    self.pending().delete(Table::Leases, &key);
                }
            }
            self.maybe_checkpoint()?;
        }
    }
}
