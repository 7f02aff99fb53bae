//! What all handles of a store share, and the checkpoint.

use core::{
    hash::{Hash as _, Hasher as _},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::DefaultHasher,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, Weak},
};

use samara_base::BlobId;

use crate::{
    Options, Recovery,
    buffer::Buffers,
    chunks::Chunks,
    class::{Ledger, Life},
    commit::Commits,
    disk::{Dir, Disk, File, Lock, Open, join, parent},
    error::{StoreError, failed},
    index::{Batch, Index, Overlay, Row, Table},
    new_file::NewSmall,
    own::Owners,
    partial::Partial,
    reader::ReaderCache,
    roots::Roots,
    row::{CARRIED_KEY, Extent, RootId, SegmentRow, decode_number, encode_number},
    segment::{Append, SEGMENTS_DIR, SegmentFiles, Unwritten, Writer, segment_path},
};
use crate::{
    record::{FLAG_PROVISIONAL, Kind, stride},
    row::Loc,
};

/// Up to this many new small files are synced one by one at a checkpoint; for more, their whole
/// file system is synced at once.
const SMALL_FILES_MAX: usize = 16;

/// Locks for creating files, by directory.
const CREATING: usize = 16;

pub(crate) use crate::sync::locked;

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: Arc<dyn Dir>,
    pub(crate) options: Options,
    pub(crate) recovery: OnceLock<Recovery>,
    pub(crate) index: Index,
    /// Lock order: a blob of `owners`, those of `life`, `partials`, a partial's state, `writer`, `pending`; `creating`, then
    /// `roots`; the others are leaves. None but the first two is held while something is synced.
    pub(crate) commits: Commits<StoreError>,
    writer: Mutex<Writer>,
    /// What `writer` has yet to write.
    pub(crate) unwritten: Arc<Unwritten>,
    pending: Mutex<Pending>,
    pub(crate) files: Mutex<SegmentFiles>,
    pub(crate) roots: Mutex<Roots>,
    pub(crate) partials: Mutex<BTreeMap<BlobId, Weak<Partial>>>,
    pub(crate) readers: Mutex<ReaderCache>,
    pub(crate) life: Life,
    pub(crate) poisoned: AtomicBool,
    /// Bytes written since the last checkpoint.
    pub(crate) unsynced_bytes: AtomicU64,
    /// Held while a small file is created in one of the directories that hash to it.
    creating: [Mutex<()>; CREATING],
    /// The next number for something that has no other name: a temporary file, an import.
    numbers: AtomicU64,
    /// Chunks and their maps.
    pub(crate) chunks: Chunks,
    pub(crate) owners: Owners<BlobId>,
    /// Blobs whose outboards are being made again.
    pub(crate) rebuilding: Owners<BlobId>,
    pub(crate) buffers: Arc<Buffers>,
    _lock: Box<dyn Lock>,
}

/// What waits for the next checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) work: Work,
    /// The batches that are being committed, oldest first. Rows are here from the moment at which
    /// they leave `work`: a look-up in between must not miss them.
    committing: Vec<Arc<Batch>>,
    /// Commits so far. Whoever read the index before another one has to look again.
    commits: u64,
    /// How often something was given a name, a pin or a lease. Whoever removes what has none looks
    /// again if it was.
    pub(crate) kept: u64,
    /// Receives with new data.
    pub(crate) dirty: BTreeMap<BlobId, Arc<Partial>>,
    /// Bytes in use, but for what `work` changes.
    pub(crate) ledger: Ledger,
    /// Bytes that are about to be written.
    pub(crate) reserved: Ledger,
}

/// A finished external file: its handle, its root and its name below that.
type NewFile = (Arc<dyn File>, RootId, Box<[u8]>);

/// What one checkpoint takes.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) batch: Batch,
    /// Finished external files, to be synced together with their names.
    files: Vec<NewFile>,
    /// Small ones among them.
    small_files: usize,
    /// Names of files that were synced by themselves.
    names: BTreeSet<(RootId, Box<[u8]>)>,
    /// Roots with so many new small files that their file systems are synced as a whole.
    whole: BTreeSet<RootId>,
    /// Blobs whose files in `partial/` go once the batch is committed.
    pub(crate) cleanup: Vec<BlobId>,
    /// Extents to give back once the batch is committed.
    freed: Vec<Extent>,
    /// Change of the bytes in use, by segment.
    live: BTreeMap<u32, i64>,
    /// The same of all segments together, and of carried blobs.
    change: Ledger,
}

impl Pending {
    /// Whether a checkpoint has taken everything.
    pub(crate) fn is_empty(&self) -> bool {
        let Work { batch, files, names, whole, cleanup, freed, live, change, small_files: _ } =
            &self.work;
        let files_taken = files.is_empty() && names.is_empty() && whole.is_empty();
        let is_taken = batch.is_empty() && files_taken;
        let is_counted = live.is_empty() && *change == Ledger::default();
        let is_clean = cleanup.is_empty() && freed.is_empty() && is_counted;
        is_taken && is_clean && self.dirty.is_empty()
    }

    fn lookup(&self, table: Table, key: &[u8]) -> Option<Option<Vec<u8>>> {
        let found = self.work.batch.get(table, key);
        let older = || self.committing.iter().rev().find_map(|batch| batch.get(table, key));
        found.or_else(older).map(|value| value.cloned())
    }

    /// Bytes in use now.
    pub(crate) const fn ledger(&self) -> Ledger {
        self.ledger.plus(self.work.change)
    }

    /// What waits, which the next checkpoint takes.
    fn take_work(&mut self) -> Work {
        self.ledger = self.ledger();
        core::mem::take(&mut self.work)
    }

    fn overlay(&self, table: Table, from: &[u8], to: Option<&[u8]>) -> Overlay {
        let mut found = Overlay::new();
        for committing in &self.committing {
            committing.overlay(table, from, to, &mut found);
        }
        self.work.batch.overlay(table, from, to, &mut found);
        found
    }

    fn end_commit(&mut self) {
        self.committing.clear();
        self.commits += 1;
    }

    pub(crate) fn put(&mut self, table: Table, key: &[u8], value: Vec<u8>) {
        self.work.batch.put(table, key, value);
    }

    pub(crate) fn delete(&mut self, table: Table, key: &[u8]) {
        self.work.batch.delete(table, key);
    }
}

impl Work {
    /// Has a new small external file synced by the next checkpoint: by its handle while there are
    /// few, else with its whole file system.
    pub(crate) fn sync_small(&mut self, file: NewSmall, root: RootId, rel: &[u8]) {
        match file {
            NewSmall::Synced => {
                self.names.extend(ancestors(rel).map(|dir| (root, dir.into())));
            }
            NewSmall::Unsynced(_) if self.small_files >= SMALL_FILES_MAX => {
                self.whole.insert(root);
            }
            NewSmall::Unsynced(file) => {
                self.small_files += 1;
                self.files.push((file, root, rel.into()));
            }
        }
    }

    /// As [`sync_small`](Self::sync_small) for a file that is always synced by its handle.
    pub(crate) fn sync_large(&mut self, file: Arc<dyn File>, root: RootId, rel: &[u8]) {
        self.files.push((file, root, rel.into()));
    }

    pub(crate) fn add_live(&mut self, segment: u32, bytes: i64) {
        *self.live.entry(segment).or_default() += bytes;
        self.change.total = self.change.total.saturating_add(bytes);
    }

    /// Counts bytes, or the end of their use, for carried blobs.
    pub(crate) fn charge(&mut self, bytes: i64) {
        self.change.carried = self.change.carried.saturating_add(bytes);
    }

    /// What was charged so far does not count: somebody counted anew.
    pub(crate) const fn forget_charges(&mut self) {
        self.change.carried = 0;
    }

    /// [`free`](Self::free), for a blob that may be carried.
    pub(crate) fn free_of(&mut self, carried: bool, extent: Extent) {
        if carried {
            self.charge(-extent_bytes(&extent));
        }
        self.free(extent);
    }

    /// Counts an extent as unused and has its space given back after the commit.
    pub(crate) fn free(&mut self, extent: Extent) {
        self.add_live(extent.loc.segment, -extent_bytes(&extent));
        self.freed.push(extent);
    }
}

/// Bytes that a record takes in its segment.
pub(crate) fn record_bytes(payload_len: u32) -> i64 {
    i64::try_from(stride(payload_len)).unwrap_or_default()
}

/// Bytes that an extent takes in its segment, headers included.
pub(crate) fn extent_bytes(extent: &Extent) -> i64 {
    let full = extent.len / u64::from(extent.chunk);
    let rest = extent.len % u64::from(extent.chunk);
    let rest = u32::try_from(rest).unwrap_or(u32::MAX);
    let rest = if rest > 0 || extent.len == 0 { stride(rest) } else { 0 };
    // What a row says is a claim.
    let bytes = full.saturating_mul(stride(extent.chunk)).saturating_add(rest);
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// What [`Inner::new`] needs.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: Arc<dyn Dir>,
    pub(crate) options: Options,
    pub(crate) index: Index,
    pub(crate) writer: Writer,
    pub(crate) batch: Batch,
    pub(crate) roots: Roots,
    pub(crate) lock: Box<dyn Lock>,
}

impl Inner {
    pub(crate) fn new(parts: Parts) -> Self {
        let files = SegmentFiles::default();
        let work = Work { batch: parts.batch, ..Work::default() };
        let pending = Pending { work, ..Pending::default() };
        Self {
            disk: parts.disk,
            dir: parts.dir,
            options: parts.options,
            recovery: OnceLock::new(),
            index: parts.index,
            commits: Commits::new(StoreError::Poisoned),
            unwritten: parts.writer.unwritten(),
            writer: Mutex::new(parts.writer),
            pending: Mutex::new(pending),
            files: Mutex::new(files),
            roots: Mutex::new(parts.roots),
            partials: Mutex::new(BTreeMap::new()),
            readers: Mutex::new(ReaderCache::default()),
            life: Life::default(),
            poisoned: AtomicBool::new(false),
            unsynced_bytes: AtomicU64::new(0),
            creating: Default::default(),
            numbers: AtomicU64::new(0),
            chunks: Chunks::default(),
            owners: Owners::default(),
            rebuilding: Owners::default(),
            buffers: Arc::default(),
            _lock: parts.lock,
        }
    }

    pub(crate) fn pending(&self) -> MutexGuard<'_, Pending> {
        locked(&self.pending)
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        locked(&self.writer)
    }

    /// After a failed sync everything is refused.
    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    /// Refuses everything after a failed sync.
    pub(crate) fn alive(&self) -> Result<(), StoreError> {
        if self.poisoned.load(Ordering::Acquire) { Err(StoreError::Poisoned) } else { Ok(()) }
    }

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(found) = self.pending().lookup(table, key) {
            return Ok(found);
        }
        // What left the batch meanwhile is in the index.
        self.index.get(table, key)
    }

    /// Has `change` change rows by what they say now: gets the rows with these keys, and nothing else
    /// changes or commits rows meanwhile. Called once, without reading anything under the lock.
    pub(crate) fn change<K: AsRef<[u8]>, T>(
        &self,
        keys: &[(Table, K)],
        change: impl FnOnce(&mut Pending, Vec<Option<Vec<u8>>>) -> T,
    ) -> Result<T, StoreError> {
        loop {
            let commits = self.pending().commits;
            let mut rows = Vec::with_capacity(keys.len());
            for (table, key) in keys {
                rows.push(self.get(*table, key.as_ref())?);
            }
            let mut pending = self.pending();
            if pending.commits != commits {
                continue;
            }
            for ((table, key), row) in keys.iter().zip(&mut rows) {
                if let Some(now) = pending.lookup(*table, key.as_ref()) {
                    *row = now;
                }
            }
            return Ok(change(&mut pending, rows));
        }
    }

    /// At most `count` rows from `from` on, before `to`.
    pub(crate) fn rows(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        count: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let overlay = self.pending().overlay(table, from, to);
        self.index.rows_under(overlay, table, from, to, count)
    }

    /// The last row at or before `to`, not before `from`.
    pub(crate) fn last_row(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
    ) -> Result<Option<Row>, StoreError> {
        let mut end = to.to_vec();
        end.push(0);
        let overlay = self.pending().overlay(table, from, Some(&end));
        self.index.last_under(overlay, table, from, to)
    }

    /// Appends a record and, while no checkpoint can come between, books it with `book`.
    pub(crate) fn append(
        &self,
        what: &Append<'_>,
        book: impl FnOnce(&mut Pending, Loc),
    ) -> Result<(), StoreError> {
        // What has no id yet is imported, and so the store's own; chunks are whoever's.
        let of_blob = matches!(what.kind, Kind::Data | Kind::Outboard);
        let carried = of_blob && what.flags & FLAG_PROVISIONAL == 0 && self.is_carried(what.id)?;
        let mut writer = self.writer();
        let loc = writer.append(what)?;
        let mut pending = self.pending();
        let len = u32::try_from(what.payload.len()).unwrap_or(u32::MAX);
        pending.work.add_live(loc.segment, record_bytes(len));
        if carried {
            pending.work.charge(record_bytes(len));
        }
        book(&mut pending, loc);
        drop(pending);
        drop(writer);
        self.wrote(what.payload.len() as u64);
        Ok(())
    }

    /// Taken while a small file is created in the directory of `rel`. Systems create the files of one
    /// directory one after the other, and have those who wait burn their processors; this way
    /// another thread writes or sleeps meanwhile.
    pub(crate) fn creating(&self, root: RootId, rel: &[u8]) -> Option<MutexGuard<'_, ()>> {
        let mut hasher = DefaultHasher::new();
        (root, parent(rel)).hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % CREATING as u64).ok()?;
        self.creating.get(at).map(locked)
    }

    /// Counts bytes that a checkpoint will have to sync.
    pub(crate) fn wrote(&self, bytes: u64) {
        self.unsynced_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Fails unless `needed` bytes can be written to `dir` and the reserve stays free.
    pub(crate) fn check_space(&self, dir: &dyn Dir, needed: u64) -> Result<(), StoreError> {
        let free = dir.free_bytes().map_err(failed("measure", dir.path()))?;
        if free < needed.saturating_add(self.options.reserve_bytes) {
            return Err(StoreError::NoSpace { needed, quota: None, free });
        }
        Ok(())
    }

    /// A checkpoint if enough is waiting for one. Call without any lock held.
    pub(crate) fn maybe_checkpoint(&self) -> Result<(), StoreError> {
        if self.is_due(1) { self.checkpoint() } else { Ok(()) }
    }

    /// Whether this part of what makes a checkpoint due is waiting for one.
    pub(crate) fn is_due(&self, part: u32) -> bool {
        let Options { checkpoint_bytes, checkpoint_rows, .. } = self.options;
        self.unsynced_bytes.load(Ordering::Relaxed) >= checkpoint_bytes / u64::from(part)
            || self.pending().work.batch.len() >= checkpoint_rows / part as usize
    }

    /// The part of a checkpoint that must not fail.
    pub(crate) fn write_down(&self) -> Result<(), StoreError> {
        // Snapshots first: all that they hold is in files, or in the batch that is taken later.
        let dirty = core::mem::take(&mut self.pending().dirty);
        let mut snapshots = Vec::new();
        for (id, partial) in &dirty {
            snapshots.extend(partial.snapshot().map(|row| (*id, row)));
        }
        let (mut work, segments, named, batch) = {
            let mut writer = self.writer();
            writer.flush()?;
            let named = writer.take_named();
            let mut pending = self.pending();
            let mut work = pending.take_work();
            let batch = Arc::new(core::mem::take(&mut work.batch));
            pending.committing.push(Arc::clone(&batch));
            (work, writer.take_unsynced(), named, batch)
        };
        let staged = Arc::new(self.stage(&mut work, &batch, snapshots, &dirty, &segments)?);
        self.pending().committing.push(Arc::clone(&staged));
        //= rfcs/0009-store.md#store-55
        //# A store MUST NOT hold up a put or a read while a checkpoint syncs, unless as much waits for the next one as makes one due.
        // No lock is held from here on, but for moments.
        //= rfcs/0009-store.md#store-4
        //# A store MUST make a payload durable before it commits an index row that points to it.
        self.sync(&work, &segments, named, &dirty)?;
        if !batch.is_empty() || !staged.is_empty() {
            self.index.commit(&[&*batch, &*staged])?;
        }
        self.pending().end_commit();
        //= rfcs/0009-store.md#store-5
        //# After any crash a store MUST hold everything that it acknowledged.
        self.clean_up(&work)?;
        #[cfg(feature = "tracing")]
        tracing::debug!(rows = batch.len() + staged.len(), partials = dirty.len(), "checkpoint");
        Ok(())
    }

    /// The rows for snapshots and segments that go with a batch.
    fn stage(
        &self,
        work: &mut Work,
        batch: &Batch,
        snapshots: Vec<(BlobId, Vec<u8>)>,
        dirty: &BTreeMap<BlobId, Arc<Partial>>,
        segments: &crate::segment::Unsynced,
    ) -> Result<Batch, StoreError> {
        let mut staged = Batch::default();
        for (id, row) in snapshots {
            // A receive that ended after its snapshot has deleted its row. What else is deleted is
            // the row of an earlier receive, of another size say, and this one takes its place.
            let lives = dirty.get(&id).is_some_and(|partial| !partial.is_closed());
            if lives || batch.get(Table::Partials, id.as_bytes()).is_none() {
                staged.put(Table::Partials, id.as_bytes(), row);
            }
        }
        let live = core::mem::take(&mut work.live);
        let numbers: BTreeSet<u32> = segments.keys().chain(live.keys()).copied().collect();
        for number in numbers {
            let key = number.to_be_bytes();
            // What the batch says comes first: recovery has moved the end of the indexed part there.
            let row = match batch.get(Table::Segments, &key) {
                Some(changed) => changed.cloned(),
                None => self.index.get(Table::Segments, &key)?,
            };
            let mut row = row.and_then(|row| SegmentRow::decode(&row)).unwrap_or_default();
            if let Some((_, end)) = segments.get(&number) {
                row.end = row.end.max(*end);
            }
            row.live = row.live.saturating_add_signed(live.get(&number).copied().unwrap_or(0));
            staged.put(Table::Segments, &key, row.encode());
        }
        if work.change.carried != 0 {
            //= rfcs/0009-store.md#store-47
            //# A store MUST commit the number of bytes that carried blobs take together with the rows that change it.
            let carried = match batch.get(Table::Meta, CARRIED_KEY) {
                Some(changed) => changed.cloned(),
                None => self.index.get(Table::Meta, CARRIED_KEY)?,
            };
            let carried = carried.as_deref().and_then(decode_number).unwrap_or(0);
            let carried = carried.saturating_add_signed(work.change.carried);
            staged.put(Table::Meta, CARRIED_KEY, encode_number(carried));
        }
        Ok(staged)
    }

    /// Makes all payload durable.
    fn sync(
        &self,
        work: &Work,
        segments: &crate::segment::Unsynced,
        named: bool,
        dirty: &BTreeMap<BlobId, Arc<Partial>>,
    ) -> Result<(), StoreError> {
        for (file, _) in segments.values() {
            file.sync().map_err(failed("sync", self.dir.path()))?;
        }
        //= rfcs/0009-store.md#store-56
        //# A store MUST make the name of a segment durable before it commits an index row that points into the segment.
        if named {
            self.dir.sync_names(SEGMENTS_DIR).map_err(failed("sync", self.dir.path()))?;
        }
        for partial in dirty.values() {
            partial.sync(self)?;
        }
        for root in &work.whole {
            if let Some(dir) = self.root_if_there(*root)? {
                dir.sync_all().map_err(failed("sync", dir.path()))?;
            }
        }
        // A directory on the way may be new as well.
        let mut names: BTreeSet<(RootId, &[u8])> =
            work.names.iter().map(|(root, dir)| (*root, &**dir)).collect();
        for (file, root, rel) in work.files.iter().filter(|(_, root, _)| !work.whole.contains(root))
        {
            //= rfcs/0009-store.md#store-60
            //# A store MUST make the time of last change of a file that it received durable before it acknowledges the blob.
            let synced = file.sync_with_meta();
            synced
                .map_err(|error| StoreError::io("sync", self.external_path(*root, rel), error))?;
            names.extend(ancestors(rel).map(|dir| (*root, dir)));
        }
        for (root, names) in names {
            self.sync_names(root, names)?;
        }
        Ok(())
    }

    /// Makes the names in a directory below a root durable. If the user has removed the directory,
    /// there is nothing to be made durable.
    pub(crate) fn sync_names(&self, root: RootId, rel: &[u8]) -> Result<(), StoreError> {
        let Some(dir) = self.root_if_there(root)? else { return Ok(()) };
        match dir.sync_names(rel) {
            Err(error) if !is_missing(&error) => {
                Err(StoreError::io("sync", join(dir.path(), rel), error))
            }
            _ => Ok(()),
        }
    }

    /// The directory of a root, unless it is gone.
    pub(crate) fn root_if_there(&self, root: RootId) -> Result<Option<Arc<dyn Dir>>, StoreError> {
        match self.root_dir(root) {
            Ok(dir) => Ok(Some(dir)),
            Err(StoreError::Io { source, .. }) if is_missing(&source) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives back what the committed batch does not need any more. What can't be removed costs only
    /// space: the next open removes the files, and a later collection the extents.
    fn clean_up(&self, work: &Work) -> Result<(), StoreError> {
        // A receive of the same blob that began meanwhile has files of the same names. Never waits:
        // whoever begins one may be waiting for this checkpoint.
        if let Ok(partials) = self.partials.try_lock() {
            for id in &work.cleanup {
                let partial = partials.get(id).and_then(Weak::upgrade);
                if partial.is_none_or(|partial| partial.is_closed()) {
                    crate::partial::remove_files(&*self.dir, *id);
                }
            }
        } else {
            self.pending().work.cleanup.extend_from_slice(&work.cleanup);
        }
        for extent in &work.freed {
            let len = u64::try_from(extent_bytes(extent)).unwrap_or_default();
            if let Ok(file) = self.segment(extent.loc.segment) {
                let _ = file.punch(u64::from(extent.loc.offset), len);
            }
        }
        let emptied: BTreeSet<u32> = work.freed.iter().map(|extent| extent.loc.segment).collect();
        let open = self.writer().open_number();
        let mut removed = Vec::new();
        for number in emptied.into_iter().filter(|number| open != Some(*number)) {
            let row = self.get(Table::Segments, &number.to_be_bytes());
            let row = row.ok().flatten().and_then(|row| SegmentRow::decode(&row));
            // What was appended while this was committed is no row's yet; it is not open any more,
            // so nothing can follow.
            let is_used = self.pending().work.live.contains_key(&number);
            if !is_used && row.is_some_and(|row| row.live == 0) {
                locked(&self.files).forget(number);
                if self.dir.remove(&segment_path(number)).is_ok() {
                    removed.push(number);
                }
            }
        }
        //= rfcs/0009-store.md#store-27
        //# A store MUST make the removal of a segment file durable before it commits the removal of that segment's row.
        // A row without its file is harmless.
        if !removed.is_empty() {
            let synced = self.dir.sync_names(SEGMENTS_DIR);
            synced.map_err(failed("sync", self.dir.path()))?;
            let mut pending = self.pending();
            for number in removed {
                pending.delete(Table::Segments, &number.to_be_bytes());
            }
        }
        Ok(())
    }

    /// The directory of a root.
    pub(crate) fn root_dir(&self, root: RootId) -> Result<Arc<dyn Dir>, StoreError> {
        locked(&self.roots).dir(&*self.disk, root)
    }

    /// The path of a file below a root, for messages.
    pub(crate) fn external_path(&self, root: RootId, rel: &[u8]) -> PathBuf {
        let base = locked(&self.roots).path(root).unwrap_or_default();
        join(&base, rel)
    }

    /// Opens a file in the store's own directory.
    pub(crate) fn open_own(&self, rel: &[u8], how: Open) -> Result<Arc<dyn File>, StoreError> {
        let opened = self.dir.open(rel, how);
        opened.map_err(|error| StoreError::io("open", join(self.dir.path(), rel), error))
    }

    /// A number that this process has not used before for this store.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// A new name for a temporary file, in the store's directory.
    pub(crate) fn temporary_path(&self) -> Vec<u8> {
        let number = self.number();
        [crate::partial::PARTIAL_DIR, format!("/{number}.tmp").as_bytes()].concat()
    }

    /// Ends the open segment in an orderly way.
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        self.checkpoint()?;
        self.writer().close()
    }
}

/// The directories on the way to a file, below a root: the nearest first, the root (`b""`) last.
pub(crate) fn ancestors(rel: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::successors(Some(parent(rel)), |dir| (!dir.is_empty()).then(|| parent(dir)))
}

/// Whether an error means that there is no such file.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
