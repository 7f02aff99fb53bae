//! Whose blobs these are, and how much they are used. Spec: RFC 0009, section "Classes, quotas and
//! eviction".

use core::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use std::sync::Mutex;

use samara_base::BlobId;
use samara_tree::Tree;

use crate::{
    Store,
    error::StoreError,
    index::{Batch, Index, Table},
    inner::{Inner, extent_bytes, locked},
    outboard::whole,
    row::{
        BlobRow, CARRIED_KEY, ClassRow, Extent, Holds, Outboard, Place, ScrubRow, SegmentRow,
        decode_number, encode_number, id_of,
    },
};

const SECONDS_OF_HOUR: u64 = 3600;

/// For whom a blob is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Class {
    /// For this machine's user. Every blob that nobody said anything about.
    #[default]
    Own,
    /// For others: a relay's cache. Goes first when space is needed.
    Carried,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "cached for self",
            Self::Carried => "carried for others",
        })
    }
}

/// What of a store's life is kept in memory.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// The time that somebody told last. Unit: seconds since 1970.
    told: AtomicU64,
    /// Held while the class of a blob changes, or a blob and its class go.
    pub(crate) classing: Mutex<()>,
    /// Held while somebody makes room, so that two who need it do not evict twice as much.
    pub(crate) evicting: Mutex<()>,
    /// How far the scrub came.
    pub(crate) scrub: Mutex<ScrubRow>,
}

/// Bytes in use in segments, or a change of these. Unit: bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// Of everything, headers and outboards too.
    pub(crate) total: i64,
    /// Of carried blobs.
    pub(crate) carried: i64,
}

impl Ledger {
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            total: self.total.saturating_add(other.total),
            carried: self.carried.saturating_add(other.carried),
        }
    }

    /// What the blobs of a class take. What belongs to no blob yet is the store's own.
    pub(crate) fn of(self, class: Class) -> u64 {
        let carried = self.carried.clamp(0, self.total.max(0));
        u64::try_from(match class {
            Class::Own => self.total - carried,
            Class::Carried => carried,
        })
        .unwrap_or_default()
    }
}

impl Store {
    /// Tells the store what time it is, since 1970, for what it decides by itself: which leases have
    /// ended when it needs space. It has no clock of its own; until it is told, it is 1970, and
    /// every lease holds. Every method that takes the time tells it as well.
    pub fn set_now(&self, now: Duration) {
        self.inner.tell(now);
    }

    /// Says for whom a blob is held. Best said before it is received: what comes from then on counts
    /// in that class, and what is there already moves to it. The blob need not be held yet; a class
    /// of a blob that never comes goes with the next [`collect`](Self::collect). Durable after the
    /// next [`checkpoint`](Self::checkpoint).
    ///
    /// Whoever puts or imports a carried blob wants it: it is [`Class::Own`] then. Moving a blob looks
    /// at all of its extents; its quota is not asked for what moves.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn set_class(&self, id: &BlobId, class: Class, now: Duration) -> Result<(), StoreError> {
        self.inner.alive()?;
        self.inner.tell(now);
        self.inner.reclass(*id, class, Some(hours(now.as_secs())))
    }

    /// For whom a blob is held, or would be.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn class(&self, id: &BlobId) -> Result<Class, StoreError> {
        Ok(self.inner.class_row(*id)?.class)
    }

    /// Notes that a blob is used, so that it is worth more when space is needed. Once an hour and
    /// blob this changes a row of the index, otherwise it costs a look-up. A use of a blob of which
    /// nothing is known is not noted.
    ///
    /// A blob of which no use was ever noted counts as not used since 1970: note one when a blob
    /// arrives.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn touch(&self, id: &BlobId, now: Duration) -> Result<(), StoreError> {
        let inner = &self.inner;
        inner.alive()?;
        inner.tell(now);
        let hour = hours(now.as_secs());
        if inner.class_row(*id)?.used == hour {
            return Ok(());
        }
        let _no_class_changes = locked(&inner.life.classing);
        if !inner.is_known(*id)? {
            return Ok(());
        }
        let row = inner.class_row(*id)?;
        let row = ClassRow { used: hour, uses: row.uses.saturating_add(1), ..row };
        inner.pending().put(Table::Classes, id.as_bytes(), row.encode());
        Ok(())
    }
}

/// Counts a blob that recovery takes up, if it is carried.
pub(crate) fn adopt(
    index: &Index,
    batch: &mut Batch,
    id: BlobId,
    bytes: u64,
) -> Result<(), StoreError> {
    let row = index.get(Table::Classes, id.as_bytes())?;
    if row.and_then(|row| ClassRow::decode(&row)).is_some_and(|row| row.class == Class::Carried) {
        let carried = match batch.get(Table::Meta, CARRIED_KEY) {
            Some(changed) => changed.cloned(),
            None => index.get(Table::Meta, CARRIED_KEY)?,
        };
        let carried = carried.as_deref().and_then(decode_number).unwrap_or(0);
        let carried = encode_number(carried.saturating_add(bytes));
        batch.put(Table::Meta, CARRIED_KEY, carried);
    }
    Ok(())
}

/// Hours since 1970.
pub(crate) fn hours(seconds: u64) -> u32 {
    u32::try_from(seconds / SECONDS_OF_HOUR).unwrap_or(u32::MAX)
}

impl Inner {
    pub(crate) fn tell(&self, now: Duration) {
        self.life.told.store(now.as_secs(), Ordering::Relaxed);
    }

    /// The time that somebody told last. Unit: seconds since 1970.
    pub(crate) fn told(&self) -> u64 {
        self.life.told.load(Ordering::Relaxed)
    }

    /// Sums up what is in use. Called once, when the store is opened.
    pub(crate) fn load_life(&self) -> Result<(), StoreError> {
        let mut ledger = Ledger::default();
        self.each_row(Table::Segments, &mut |_, value| {
            let live = SegmentRow::decode(value).unwrap_or_default().live;
            ledger.total = ledger.total.saturating_add_unsigned(live);
        })?;
        let carried = self.get(Table::Meta, CARRIED_KEY)?;
        let carried = carried.as_deref().and_then(decode_number).unwrap_or(0);
        ledger.carried = i64::try_from(carried).unwrap_or(i64::MAX);
        self.pending().ledger = ledger;
        let scrub = self.get(Table::Meta, crate::row::SCRUB_KEY)?;
        *locked(&self.life.scrub) = scrub.as_deref().and_then(ScrubRow::decode).unwrap_or_default();
        Ok(())
    }

    pub(crate) fn class_row(&self, id: BlobId) -> Result<ClassRow, StoreError> {
        let Some(bytes) = self.get(Table::Classes, id.as_bytes())? else {
            return Ok(ClassRow::default());
        };
        ClassRow::decode(&bytes).ok_or_else(|| StoreError::corrupt("a row of the class table"))
    }

    pub(crate) fn is_carried(&self, id: BlobId) -> Result<bool, StoreError> {
        Ok(self.class_row(id)?.class == Class::Carried)
    }

    /// Whether a complete or partial blob has a row, or is being received.
    fn is_known(&self, id: BlobId) -> Result<bool, StoreError> {
        Ok(self.live_partial(id).is_some()
            || self.get(Table::Blobs, id.as_bytes())?.is_some()
            || self.get(Table::Partials, id.as_bytes())?.is_some())
    }

    /// Moves a blob to a class, with the bytes that it has. `used`: an hour at which it is wanted.
    fn reclass(&self, id: BlobId, class: Class, used: Option<u32>) -> Result<(), StoreError> {
        let _owned = self.owners.take(id);
        let _one_at_a_time = locked(&self.life.classing);
        let partial = locked(&self.partials).get(&id).and_then(std::sync::Weak::upgrade);
        // Nothing is received meanwhile.
        let state = partial.as_ref().map(|partial| partial.state());
        let old = self.class_row(id)?;
        let moved = if old.class == class { 0 } else { self.footprint(id)? };
        let moved = i64::try_from(moved).unwrap_or(i64::MAX);
        let row = ClassRow { class, used: used.unwrap_or(old.used), ..old };
        let mut pending = self.pending();
        pending.put(Table::Classes, id.as_bytes(), row.encode());
        pending.work.charge(if class == Class::Carried { moved } else { -moved });
        drop((pending, state));
        Ok(())
    }

    /// Makes a blob that was carried the store's own: somebody here wants it.
    pub(crate) fn claim(&self, id: BlobId) -> Result<(), StoreError> {
        if self.is_carried(id)? { self.reclass(id, Class::Own, None) } else { Ok(()) }
    }

    /// Bytes that a blob takes in segments, complete or not, with headers and outboard, but for chunks,
    /// which are whoever's. Looks at all of its extents.
    pub(crate) fn footprint(&self, id: BlobId) -> Result<u64, StoreError> {
        let mut bytes = 0_u64;
        let mut add = |extent: &Extent| {
            bytes = bytes.saturating_add(u64::try_from(extent_bytes(extent)).unwrap_or_default());
        };
        let mut from = Extent::key(id, Holds::Data, 0).to_vec();
        let to = [id.as_bytes().as_slice(), &[u8::MAX; 10]].concat();
        loop {
            let rows = self.rows(Table::Extents, &from, Some(&to), 1024)?;
            let Some((last, _)) = rows.last() else { break };
            from.clone_from(last);
            from.push(0);
            rows.iter().filter_map(|(_, value)| Extent::decode(value)).for_each(|e| add(&e));
        }
        if let Some(BlobRow { size, outboard, places, .. }) = self.blob_row(id)? {
            for place in places {
                if let Place::Record(loc) = place {
                    add(&whole(loc, size));
                }
            }
            if let Outboard::Record(loc) = outboard {
                add(&whole(loc, Tree::new(size).outboard_len()));
            }
        }
        Ok(bytes)
    }

    /// Bytes that all carried blobs take. Looks at each of them.
    pub(crate) fn count_carried(&self) -> Result<u64, StoreError> {
        let mut carried = 0_u64;
        let mut from = Vec::new();
        loop {
            let rows = self.rows(Table::Classes, &from, None, 1024)?;
            let Some((last, _)) = rows.last() else { return Ok(carried) };
            from.clone_from(last);
            from.push(0);
            for (key, value) in rows {
                let is_carried =
                    ClassRow::decode(&value).is_some_and(|row| row.class == Class::Carried);
                if let Some(id) = id_of(&key).filter(|_| is_carried) {
                    carried = carried.saturating_add(self.footprint(id)?);
                }
            }
        }
    }

    /// Counts again what carried blobs take. For an index that was made again.
    pub(crate) fn recount(&self) -> Result<(), StoreError> {
        let carried = self.count_carried()?;
        let mut pending = self.pending();
        pending.work.forget_charges();
        pending.put(Table::Meta, CARRIED_KEY, encode_number(carried));
        Ok(())
    }

    /// Removes what is known of the class of blobs of which nothing else is known.
    pub(crate) fn drop_unused_classes(&self) -> Result<(), StoreError> {
        let mut from = Vec::new();
        loop {
            let rows = self.rows(Table::Classes, &from, None, 1024)?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            from.clone_from(last);
            from.push(0);
            for (key, _) in rows {
                let _no_class_changes = locked(&self.life.classing);
                if id_of(&key).map_or(Ok(false), |id| self.is_known(id))? {
                    continue;
                }
                self.pending().delete(Table::Classes, &key);
            }
            self.maybe_checkpoint()?;
        }
    }
}
