//! The index: a redb file under the store's own batch of changes that are not committed yet.

use core::{fmt, ops::Bound, panic::AssertUnwindSafe};
use std::{
    collections::BTreeMap,
    io,
    panic::catch_unwind,
    sync::{Arc, PoisonError, RwLock},
};

use redb::{
    Builder, Database, ReadOnlyTable, ReadableDatabase as _, ReadableTableMetadata as _,
    TableDefinition,
};

use crate::{
    disk::{Dir, File, Open},
    error::StoreError,
};

/// Name of the index file in the store's directory.
pub(crate) const INDEX_FILE: &[u8] = b"index.redb";
/// Name of an index that is being made.
const INDEX_NEW_FILE: &[u8] = b"index.new";
const VERSION_KEY: &[u8] = b"version";
/// The format of the store's directory.
pub(crate) const FORMAT_VERSION: u64 = 2;

/// The tables. All keys and values are bytes; `row.rs` says what they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// name → u64: format version.
    Meta,
    /// id → [`BlobRow`](crate::row::BlobRow): complete blobs.
    Blobs,
    /// id → [`PartialRow`](crate::row::PartialRow): blobs being received.
    Partials,
    /// id, kind, offset → [`Extent`](crate::row::Extent).
    Extents,
    /// id → ranges of leaves in quarantine.
    Damaged,
    /// name → id.
    Tags,
    /// id, reason → nothing.
    Pins,
    /// number → [`RootRow`](crate::row::RootRow).
    Roots,
    /// id → [`RenameRow`](crate::row::RenameRow): renames under way.
    Renames,
    /// number → [`SegmentRow`](crate::row::SegmentRow).
    Segments,
    /// half an id → [`ChunkRow`](crate::row::ChunkRow).
    Chunks,
    /// map, offset → [`MapRow`](crate::row::MapRow).
    Maps,
    /// map → nothing: maps that are no blob's.
    Loose,
    /// id, reason → u64: when the lease ends.
    Leases,
    /// id → [`ClassRow`](crate::row::ClassRow): blobs of which more is known than that they are held.
    Classes,
}

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

impl Table {
    const ALL: [Self; 15] = [
        Self::Meta,
        Self::Blobs,
        Self::Partials,
        Self::Extents,
        Self::Damaged,
        Self::Tags,
        Self::Pins,
        Self::Roots,
        Self::Renames,
        Self::Segments,
        Self::Chunks,
        Self::Maps,
        Self::Loose,
        Self::Leases,
        Self::Classes,
    ];

    /// The table with a number, for a fuzzer to write to.
    #[cfg(any(fuzzing, feature = "fuzzing", test))]
    pub(crate) fn at(number: usize) -> Option<Self> {
        Self::ALL.get(number).copied()
    }

    const fn definition(self) -> Definition {
        TableDefinition::new(match self {
            Self::Meta => "meta",
            Self::Blobs => "blobs",
            Self::Partials => "partials",
            Self::Extents => "extents",
            Self::Damaged => "damaged",
            Self::Tags => "tags",
            Self::Pins => "pins",
            Self::Roots => "roots",
            Self::Renames => "renames",
            Self::Segments => "segments",
            Self::Chunks => "chunks",
            Self::Maps => "maps",
            Self::Loose => "loose",
            Self::Leases => "leases",
            Self::Classes => "classes",
        })
    }
}

const _: () = {
    let mut at = 0;
    while at < Table::ALL.len() {
        #[expect(clippy::indexing_slicing, reason = "below the length")]
        let table = Table::ALL[at];
        assert!(table as usize == at, "`ALL` is in the order of the variants");
        at += 1;
    }
};

/// One of something for each table, in the order of [`Table::ALL`].
#[derive(Debug, Default)]
struct PerTable<T>([T; Table::ALL.len()]);

#[expect(clippy::indexing_slicing, reason = "as long as there are tables")]
impl<T> PerTable<T> {
    const fn of(&self, table: Table) -> &T {
        &self.0[table as usize]
    }

    const fn of_mut(&mut self, table: Table) -> &mut T {
        &mut self.0[table as usize]
    }

    fn iter(&self) -> impl Iterator<Item = (Table, &T)> {
        Table::ALL.into_iter().zip(&self.0)
    }
}

/// Changes by table and key; `None` deletes.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    tables: PerTable<Overlay>,
    len: usize,
}

impl Batch {
    fn set(&mut self, table: Table, key: &[u8], value: Option<Vec<u8>>) {
        let rows = self.tables.of_mut(table);
        match rows.get_mut(key) {
            Some(found) => *found = value,
            None => {
                rows.insert(key.into(), value);
                self.len += 1;
            }
        }
    }

    pub(crate) fn put(&mut self, table: Table, key: &[u8], value: Vec<u8>) {
        self.set(table, key, Some(value));
    }

    pub(crate) fn delete(&mut self, table: Table, key: &[u8]) {
        self.set(table, key, None);
    }

    /// `Some(None)`: deleted by this batch.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Option<Option<&Vec<u8>>> {
        self.tables.of(table).get(key).map(Option::as_ref)
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Changes in `from..to` of a table, into `found`.
    pub(crate) fn overlay(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        found: &mut Overlay,
    ) {
        let from = (Bound::Included(from), Bound::Unbounded);
        for (key, value) in self.tables.of(table).range::<[u8], _>(from) {
            if to.is_some_and(|to| key.as_slice() >= to) {
                break;
            }
            found.insert(key.clone(), value.clone());
        }
    }
}

/// The committed index.
#[derive(Debug)]
pub(crate) struct Index {
    /// What was committed last, once somebody has asked for it. Dropped first: it pins pages.
    snapshot: RwLock<Option<Arc<Snapshot>>>,
    db: Database,
}

/// All tables as of one commit, ready to be read: opening one costs more than a look-up.
struct Snapshot {
    /// `None`: the table is empty.
    tables: PerTable<Option<ReadOnlyTable<&'static [u8], &'static [u8]>>>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

/// Why the index was not opened.
#[derive(Debug)]
pub(crate) enum IndexOpenError {
    Io(io::Error),
    Corrupt(String),
    Store(StoreError),
}

impl Index {
    /// Opens the index and verifies every page of it, so that damage is found now and not by a
    /// wrong answer later. Costs about 0.4 ms per 1,000 blobs. Returns whether it is new.
    pub(crate) fn open(dir: &dyn Dir, cache_bytes: usize) -> Result<(Self, bool), IndexOpenError> {
        let is_new = dir.stat(INDEX_FILE).map_err(IndexOpenError::Io)?.is_none();
        if is_new {
            Self::create(dir, cache_bytes)?;
        }
        let file = dir.open(INDEX_FILE, Open::Write).map_err(IndexOpenError::Io)?;
        Ok((Self::open_file(file, cache_bytes)?, is_new))
    }

    /// Makes an empty index. It gets its name only when it is whole, since redb does not take up a
    /// file that it did not finish making.
    fn create(dir: &dyn Dir, cache_bytes: usize) -> Result<(), IndexOpenError> {
        drop(Self::begin(dir, cache_bytes)?);
        Self::name(dir, false).map_err(IndexOpenError::Io)
    }

    /// Makes an empty index that has no name yet; see [`name`](Self::name).
    pub(crate) fn begin(dir: &dyn Dir, cache_bytes: usize) -> Result<Self, IndexOpenError> {
        let file = dir.open(INDEX_NEW_FILE, Open::Create { mode: 0o600 });
        let file = file.map_err(IndexOpenError::Io)?;
        file.set_len(0).map_err(IndexOpenError::Io)?;
        let index = Self::open_file(file, cache_bytes)?;
        let mut batch = Batch::default();
        batch.put(Table::Meta, VERSION_KEY, FORMAT_VERSION.to_le_bytes().to_vec());
        index
            .create_tables()
            .and_then(|()| index.commit(&[&batch]))
            .map_err(IndexOpenError::Store)?;
        Ok(index)
    }

    /// Gives the index that was begun its name. What was committed to it is durable.
    pub(crate) fn name(dir: &dyn Dir, replace: bool) -> io::Result<()> {
        dir.rename(INDEX_NEW_FILE, INDEX_FILE, replace)?;
        dir.sync_names(b"")
    }

    fn open_file(file: Arc<dyn File>, cache_bytes: usize) -> Result<Self, IndexOpenError> {
        let opened = caught(|| {
            Builder::new()
                .set_cache_size(cache_bytes)
                .set_check_integrity_on_open(true)
                .create_with_backend(Backend(file))
        });
        match opened {
            Some(Ok(db)) => Ok(Self { db, snapshot: RwLock::default() }),
            Some(Err(redb::DatabaseError::Storage(redb::StorageError::Io(error)))) => {
                match error.kind() {
                    // redb reports a file that is not its own, or that ends early, this way.
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                        Err(IndexOpenError::Corrupt(error.to_string()))
                    }
                    _ => Err(IndexOpenError::Io(error)),
                }
            }
            Some(Err(error)) => Err(IndexOpenError::Corrupt(error.to_string())),
            None => Err(IndexOpenError::Corrupt("redb could not make sense of it".to_owned())),
        }
    }

    /// The format number of the store.
    pub(crate) fn version(&self) -> Result<u64, StoreError> {
        let found = self.get(Table::Meta, VERSION_KEY)?;
        let found = found.as_deref().and_then(<[u8]>::first_chunk::<8>);
        found.map(|bytes| u64::from_le_bytes(*bytes)).ok_or_else(|| StoreError::corrupt("version"))
    }

    /// Brings an index of an earlier format up to this one: it has no rows of the tables that came
    /// since.
    pub(crate) fn upgrade(&self) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.put(Table::Meta, VERSION_KEY, FORMAT_VERSION.to_le_bytes().to_vec());
        self.commit(&[&batch])
    }

    /// Creates the tables that are missing.
    fn create_tables(&self) -> Result<(), StoreError> {
        guarded(|| {
            let txn = self.db.begin_write().map_err(fault)?;
            for table in Table::ALL {
                txn.open_table(table.definition()).map_err(fault)?;
            }
            txn.commit().map_err(fault)
        })
    }

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        guarded(|| {
            let snapshot = self.snapshot()?;
            let Some(rows) = snapshot.tables.of(table) else { return Ok(None) };
            Ok(rows.get(key).map_err(fault)?.map(|value| value.value().to_vec()))
        })
    }

    fn snapshot(&self) -> Result<Arc<Snapshot>, StoreError> {
        let current = self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(current) = current {
            return Ok(current);
        }
        // Taken under the lock, so that none from before a commit is kept after it.
        let mut slot = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = &*slot {
            return Ok(Arc::clone(current));
        }
        let txn = self.db.begin_read().map_err(fault)?;
        let mut tables = PerTable::default();
        for table in Table::ALL {
            let rows = match txn.open_table(table.definition()) {
                Ok(rows) => rows,
                // A table that came with a later format.
                Err(redb::TableError::TableDoesNotExist(_)) => continue,
                Err(error) => return Err(fault(error)),
            };
            *tables.of_mut(table) = (!rows.is_empty().map_err(fault)?).then_some(rows);
        }
        Ok(Arc::clone(slot.insert(Arc::new(Snapshot { tables }))))
    }

    /// The last row at or before `to`, not before `from`.
    fn last_in(&self, table: Table, from: &[u8], to: &[u8]) -> Result<Option<Row>, StoreError> {
        guarded(|| {
            let snapshot = self.snapshot()?;
            let Some(rows) = snapshot.tables.of(table) else { return Ok(None) };
            let row = rows.range(from..=to).map_err(fault)?.next_back();
            let row = row.transpose().map_err(fault)?;
            Ok(row.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())))
        })
    }

    /// At most `count` rows from `from` on, before `to`.
    fn rows(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        count: usize,
    ) -> Result<Vec<Row>, StoreError> {
        guarded(|| {
            let snapshot = self.snapshot()?;
            let Some(rows) = snapshot.tables.of(table) else { return Ok(Vec::new()) };
            let range = rows.range(from..).map_err(fault)?;
            let mut found = Vec::new();
            for row in range {
                let (key, value) = row.map_err(fault)?;
                if to.is_some_and(|to| key.value() >= to) || found.len() == count {
                    break;
                }
                found.push((key.value().to_vec(), value.value().to_vec()));
            }
            Ok(found)
        })
    }

    /// Commits the changes of all batches, oldest first, durably, or none.
    pub(crate) fn commit(&self, batches: &[&Batch]) -> Result<(), StoreError> {
        guarded(|| {
            let txn = self.db.begin_write().map_err(fault)?;
            for (table, changes) in batches.iter().flat_map(|batch| batch.tables.iter()) {
                if changes.is_empty() {
                    continue;
                }
                let mut rows = txn.open_table(table.definition()).map_err(fault)?;
                for (key, value) in changes {
                    match value {
                        Some(value) => rows.insert(key.as_slice(), value.as_slice()),
                        None => rows.remove(key.as_slice()),
                    }
                    .map_err(fault)?;
                }
            }
            txn.commit().map_err(fault)?;
            *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = None;
            Ok(())
        })
    }
}

impl Index {
    /// At most `count` rows from `from` on, before `to` (`None`: to the end of the table), sorted,
    /// under changes that are not committed.
    pub(crate) fn rows_under(
        &self,
        mut overlay: Overlay,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        count: usize,
    ) -> Result<Vec<Row>, StoreError> {
        // Deleted rows make up for at most as many committed ones.
        let committed = self.rows(table, from, to, count.saturating_add(overlay.len()))?;
        for (key, value) in committed {
            overlay.entry(key).or_insert(Some(value));
        }
        let rows = overlay.into_iter().filter_map(|(key, value)| value.map(|value| (key, value)));
        Ok(rows.take(count).collect())
    }

    /// The last row at or before `to`, not before `from`, under changes that are not committed.
    pub(crate) fn last_under(
        &self,
        mut overlay: Overlay,
        table: Table,
        from: &[u8],
        to: &[u8],
    ) -> Result<Option<Row>, StoreError> {
        if let Some((key, value)) = self.last_in(table, from, to)? {
            if overlay.get(&key) == Some(&None) {
                // It was deleted, so an earlier one may be the last: look at all. Rare.
                let mut end = to.to_vec();
                end.push(0);
                return Ok(self.rows_under(overlay, table, from, Some(&end), usize::MAX)?.pop());
            }
            overlay.entry(key).or_insert(Some(value));
        }
        Ok(overlay.into_iter().rev().find_map(|(key, value)| value.map(|value| (key, value))))
    }
}

/// Changes of one table that are not committed, by key; `None` deletes.
pub(crate) type Overlay = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Key and value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// Runs an index operation; a panic inside redb becomes an error.
fn guarded<T>(operation: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    caught(operation).unwrap_or_else(|| Err(StoreError::corrupt("redb could not make sense of it")))
}

/// redb checks what it reads, but a hostile file that still passes its checksums must not take the
/// process down either. `None`: it panicked.
fn caught<T>(operation: impl FnOnce() -> T) -> Option<T> {
    #[cfg(any(fuzzing, feature = "fuzzing", test))]
    let _mark = Guarded::new();
    catch_unwind(AssertUnwindSafe(operation)).ok()
}

#[cfg(any(fuzzing, feature = "fuzzing", test))]
std::thread_local! {
    static GUARDED: core::cell::Cell<u32> = const { core::cell::Cell::new(0) };
}

/// Says that a panic of this thread is caught.
#[cfg(any(fuzzing, feature = "fuzzing", test))]
struct Guarded;

#[cfg(any(fuzzing, feature = "fuzzing", test))]
impl Guarded {
    fn new() -> Self {
        GUARDED.set(GUARDED.get() + 1);
        Self
    }
}

#[cfg(any(fuzzing, feature = "fuzzing", test))]
impl Drop for Guarded {
    fn drop(&mut self) {
        GUARDED.set(GUARDED.get() - 1);
    }
}

/// Whether a panic of this thread would be caught and told as damage.
#[cfg(any(fuzzing, feature = "fuzzing", test))]
pub(crate) fn is_guarded() -> bool {
    GUARDED.get() > 0
}

fn fault(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Io(error) => StoreError::io("write the index", "index.redb", error),
        // An earlier failure; redb refuses everything since.
        redb::Error::PreviousIo | redb::Error::DatabaseClosed => StoreError::Poisoned,
        error => StoreError::corrupt(error),
    }
}

/// redb's storage on the store's disk.
#[derive(Debug)]
struct Backend(Arc<dyn File>);

impl redb::StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.meta()?.size)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.0.read_at(out, offset)? == out.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(data, offset)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::disk::{Disk as _, MemDisk};

    #[test]
    fn a_table_that_an_older_version_did_not_make_is_an_empty_one() {
        let dir = MemDisk::new().open_dir(Path::new("/store"), true).unwrap();
        let (index, _) = Index::open(&*dir, 1 << 20).unwrap();
        let txn = index.db.begin_write().unwrap();
        for table in [Table::Leases, Table::Classes] {
            assert!(txn.delete_table(table.definition()).unwrap());
        }
        txn.commit().unwrap();
        drop(index);
        let (index, is_new) = Index::open(&*dir, 1 << 20).unwrap();
        assert!(!is_new);
        assert_eq!(index.get(Table::Leases, b"key").unwrap(), None);
        assert!(index.rows(Table::Classes, &[], None, 9).unwrap().is_empty());
        let mut batch = Batch::default();
        batch.put(Table::Leases, b"key", b"value".to_vec());
        index.commit(&[&batch]).unwrap();
        assert_eq!(index.get(Table::Leases, b"key").unwrap().as_deref(), Some(&b"value"[..]));
    }
}
