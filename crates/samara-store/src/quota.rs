//! How much may be held, and what happens at the limit. Spec: RFC 0009, section "Classes, quotas and
//! eviction".

use samara_base::BlobId;
use samara_chunk::ChunkerParams;
use samara_tree::Tree;

use crate::{
    Class, Store,
    class::Ledger,
    error::StoreError,
    inner::{Inner, locked},
    limits::{MAP_ENTRIES_MAX, PAYLOAD_MAX},
    record::{MAP_ENTRY_LEN, stride},
};

/// How many bytes the store's segments may hold, by class and in all; `None`: as many as the disk has
/// room for. Headers of records and outboards count; files of the user's do not, nor does what was
/// removed and not given back yet.
///
/// A limit is looked at before bytes of blobs are written. The outboard of a blob that was received
/// or imported (1/512 of it), and groups of which only a part was missing, may go beyond it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "built by literal with ..Quotas::default()")]
pub struct Quotas {
    /// For everything. Unit: bytes.
    pub total: Option<u64>,
    /// For [`Class::Own`]. Setting this or `total` says that such blobs are a cache: those without a
    /// name, a pin or a lease are evicted when space is needed. Unit: bytes.
    pub own: Option<u64>,
    /// For [`Class::Carried`]. These are evicted when space is needed, limit or not. Unit: bytes.
    pub carried: Option<u64>,
}

impl Quotas {
    const fn of(&self, class: Class) -> Option<u64> {
        match class {
            Class::Own => self.own,
            Class::Carried => self.carried,
        }
    }

    /// Whether the store may evict blobs of a class without being asked to.
    const fn may_evict(&self, class: Class) -> bool {
        match class {
            Class::Carried => true,
            //= rfcs/0009-store.md#store-45
            //# A store MUST NOT evict a blob cached for self without being asked to, unless a quota that counts it is set.
            Class::Own => self.own.is_some() || self.total.is_some(),
        }
    }
}

/// What the segments of a store hold; see [`Store::held_bytes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldBytes {
    /// Of [`Class::Own`], and what belongs to no blob yet. Unit: bytes.
    pub own: u64,
    /// Of [`Class::Carried`]. Unit: bytes.
    pub carried: u64,
}

/// Who gets it first: carried blobs go before the store's own.
const IN_ORDER: [Class; 2] = [Class::Carried, Class::Own];

/// Room is made for a sixteenth of a quota at once, so that the search for what to evict is rare.
const STEP_SHARE: u64 = 16;
/// The same where the disk is full. Unit: bytes.
const STEP_BYTES: u64 = 8 << 20;

/// Bytes that so many bytes of a blob take in segments, with headers and outboard.
pub(crate) fn room_of(bytes: u64) -> u64 {
    // The empty blob has a record, too.
    let data = if bytes == 0 { stride(0) } else { records_of(bytes) };
    data.saturating_add(records_of(Tree::new(bytes).outboard_len()))
}

/// As [`room_of`], if they are cut into chunks and none of these is there yet. As much as it may be at
/// most: most chunks are longer than the shortest.
pub(crate) fn room_of_chunks(bytes: u64, params: ChunkerParams) -> u64 {
    let shortest = u64::try_from(params.min_bytes()).unwrap_or(1).max(1);
    // The last may be shorter, and one may have begun before.
    let chunks = bytes / shortest + 2;
    // A header and up to seven bytes behind the payload; and an entry of a map, whose records have
    // many.
    let each = stride(1) + MAP_ENTRY_LEN as u64;
    let maps = (chunks / MAP_ENTRIES_MAX as u64 + 2).saturating_mul(stride(1));
    let outboard = records_of(Tree::new(bytes).outboard_len());
    let binding = stride(u32::try_from(BlobId::LEN).unwrap_or(u32::MAX));
    bytes
        .saturating_add(chunks.saturating_mul(each))
        .saturating_add(maps)
        .saturating_add(binding)
        .saturating_add(outboard)
}

/// Bytes that may be written of a map beside its chunks before somebody looks at quotas again: a row,
/// and whose it is.
pub(crate) fn room_of_map() -> u64 {
    let row = records_of((MAP_ENTRY_LEN as u64).saturating_mul(MAP_ENTRIES_MAX as u64));
    row.saturating_add(records_of(BlobId::LEN as u64))
}

/// Bytes that records with so much payload take.
pub(crate) fn records_of(bytes: u64) -> u64 {
    let max = PAYLOAD_MAX as u64;
    let full = stride(u32::try_from(max).unwrap_or(u32::MAX));
    let rest = u32::try_from(bytes % max).unwrap_or(u32::MAX);
    let rest = if rest > 0 { stride(rest) } else { 0 };
    (bytes / max).saturating_mul(full).saturating_add(rest)
}

impl Store {
    /// What counts against the [`Quotas`], in constant time.
    #[must_use]
    pub fn held_bytes(&self) -> HeldBytes {
        let ledger = self.inner.pending().ledger();
        HeldBytes { own: ledger.of(Class::Own), carried: ledger.of(Class::Carried) }
    }
}

impl Inner {
    /// Whether anything is limited.
    pub(crate) fn has_quotas(&self) -> bool {
        self.options.quotas != Quotas::default()
    }

    /// Fails if a blob of this size can't be held whatever is evicted.
    pub(crate) fn check_size(&self, class: Class, size: u64) -> Result<(), StoreError> {
        let quotas = self.options.quotas;
        for quota in [quotas.of(class), quotas.total].into_iter().flatten() {
            if size > quota {
                return Err(StoreError::NoSpace { needed: size, quota: Some(quota), free: quota });
            }
        }
        Ok(())
    }

    /// Takes room for `bytes` more of a class until they are written, and makes it if need be. Call
    /// without any lock held.
    pub(crate) fn admit(&self, class: Class, bytes: u64) -> Result<Room<'_>, StoreError> {
        if !self.has_quotas() {
            return Ok(Room { inner: self, taken: Ledger::default() });
        }
        loop {
            if let Ok(room) = self.take_room(class, bytes) {
                return Ok(room);
            }
            let _one_at_a_time = locked(&self.life.evicting);
            // Somebody else may have made room meanwhile, or taken what another quota had left.
            let short = match self.take_room(class, bytes) {
                Ok(room) => return Ok(room),
                Err(short) => short,
            };
            //= rfcs/0009-store.md#store-46
            //# A store MUST evict what it may evict before it refuses to write for lack of space.
            let fits = bytes <= short.quota;
            let more = short.quota / STEP_SHARE;
            if fits && self.make_room(short.classes, short.missing, more)? > 0 {
                continue;
            }
            let Short { quota, free, .. } = short;
            return Err(StoreError::NoSpace { needed: bytes, quota: Some(quota), free });
        }
    }

    /// Takes room if there is some.
    fn take_room(&self, class: Class, bytes: u64) -> Result<Room<'_>, Short> {
        let quotas = self.options.quotas;
        let of_class: &[Class] = match class {
            Class::Own => &[Class::Own],
            Class::Carried => &[Class::Carried],
        };
        let mut pending = self.pending();
        let held = pending.ledger().plus(pending.reserved);
        for (quota, classes) in [(quotas.of(class), of_class), (quotas.total, &IN_ORDER)] {
            let Some(quota) = quota else { continue };
            let used: u64 = classes.iter().map(|class| held.of(*class)).sum();
            let missing = used.saturating_add(bytes).saturating_sub(quota);
            //= rfcs/0009-store.md#store-43
            //# A store MUST NOT write bytes of a blob to its segments with which they would hold more than a quota allows.
            if missing > 0 {
                return Err(Short { quota, classes, missing, free: quota.saturating_sub(used) });
            }
        }
        let total = i64::try_from(bytes).unwrap_or(i64::MAX);
        let carried = if class == Class::Carried { total } else { 0 };
        let taken = Ledger { total, carried };
        pending.reserved = pending.reserved.plus(taken);
        Ok(Room { inner: self, taken })
    }

    /// Does what may fail because the disk is full; if it does, evicts something and does it again.
    /// Call without any lock held. What failed has left nothing behind.
    pub(crate) fn with_room<T, E: AsNoSpace>(
        &self,
        mut write: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let error = match write() {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let Some(needed) = error.disk_is_full() else { return Err(error) };
        let made = {
            let _one_at_a_time = locked(&self.life.evicting);
            self.make_room(&IN_ORDER, needed.max(1), STEP_BYTES)
        };
        // What went wrong first says more.
        if matches!(made, Ok(freed) if freed > 0) { write() } else { Err(error) }
    }

    /// Evicts blobs of these classes, as far as the store may without being asked, until `needed` bytes
    /// are given back, and `more` at best. Returns how many.
    fn make_room(&self, classes: &[Class], needed: u64, more: u64) -> Result<u64, StoreError> {
        let wanted = needed.saturating_add(more);
        let mut freed = 0_u64;
        // What imports that never ended have left is nobody's.
        self.reclaim_loose()?;
        for class in classes.iter().filter(|class| self.options.quotas.may_evict(**class)) {
            // `more` is no reason to search again, nor to go on to what is worth more.
            while freed < needed {
                let gone = self.evict(wanted - freed, *class, self.told())?;
                if gone.is_empty() {
                    break;
                }
                let bytes = gone.iter().map(|eviction| eviction.bytes);
                freed = bytes.fold(freed, u64::saturating_add);
            }
        }
        Ok(freed)
    }
}

/// Room in the quotas for bytes that are being written.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    inner: &'a Inner,
    taken: Ledger,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if self.taken != Ledger::default() {
            let Ledger { total, carried } = self.taken;
            let mut pending = self.inner.pending();
            pending.reserved = pending.reserved.plus(Ledger { total: -total, carried: -carried });
        }
    }
}

/// A quota that does not allow more.
struct Short {
    quota: u64,
    /// Whose blobs count.
    classes: &'static [Class],
    /// Unit: bytes.
    missing: u64,
    /// Unit: bytes.
    free: u64,
}

/// An error that may say that the disk is full.
pub(crate) trait AsNoSpace {
    /// How many bytes are needed, if it says so.
    fn disk_is_full(&self) -> Option<u64>;
}

impl AsNoSpace for StoreError {
    fn disk_is_full(&self) -> Option<u64> {
        match self {
            Self::NoSpace { needed, quota: None, .. } => Some(*needed),
            _ => None,
        }
    }
}

impl AsNoSpace for crate::IngestError {
    fn disk_is_full(&self) -> Option<u64> {
        match self {
            Self::Store(error) => error.disk_is_full(),
            _ => None,
        }
    }
}
