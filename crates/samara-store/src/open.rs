//! Opening a store: lock, index, recovery. Spec: RFC 0009, section "Recovery".

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    sync::Arc,
};

use samara_base::{BlobId, GroupLog2, RangeSet, leaves};
use samara_tree::{Tree, Verifier};

use crate::{
    Options, Store,
    cvs::Cvs,
    disk::{Dir, Disk, Lock, LockOutcome, Open, join, missing, sync_way},
    error::{OpenError, StoreError, failed},
    external::rename_root,
    index::{Batch, FORMAT_VERSION, INDEX_FILE, Index, IndexOpenError, Table},
    inner::{Inner, Parts, record_bytes},
    journal::Entry,
    limits::TAIL_RECORDS_MAX,
    partial::{PARTIAL_DIR, Partial, index, partial_path, place_record},
    reader::Source,
    record::{FLAG_PROVISIONAL, HEADER_LEN, Header, Kind, SEGMENT_HEADER_LEN, stride},
    roots::Roots,
    row::{BlobRow, Extent, Holds, Loc, PartialRow, RenameRow, RootId, RootRow, SegmentRow, id_of},
    segment::{SEGMENTS_DIR, Writer, scan, segment_number, segment_path},
};

const LOCK_FILE: &[u8] = b"LOCK";

/// What opening a store found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// The store did not exist before.
    pub created: bool,
    /// Complete small blobs that were in segments but not in the index yet.
    pub blobs_adopted: u64,
    /// Bytes of partial blobs received since the last checkpoint that were verified again and kept.
    pub bytes_recovered: u64,
    /// Partial blobs whose files or values were lost, so that they start anew.
    pub partials_reset: u64,
    /// Renames that were under way and have been ended, one way or the other.
    pub renames_ended: u64,
    /// Bytes at the ends of segments that were no whole records and have been cut off.
    pub bytes_cut: u64,
    /// Files in the store's directory that belonged to nothing and have been removed.
    pub files_removed: u64,
}

/// Records of partial blobs behind the indexed part of segments, by blob and offset.
type Tail = BTreeMap<(BlobId, u64), (Loc, u32)>;

impl Store {
    /// Opens the store in a directory of this machine; creates it if there is none.
    ///
    /// Whatever happened to the process or the machine before, everything that was acknowledged is
    /// there, and what was received since the last checkpoint is verified again and kept as far as
    /// it is whole. The work is bounded by what may come between two checkpoints.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    #[cfg(unix)]
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        let path = std::path::absolute(dir).map_err(failed("name", dir))?;
        Self::open_on(Arc::new(crate::disk::OsDisk::new()), &path, options)
    }

    /// [`open`](Self::open) on any disk. `dir` is absolute.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open_on(disk: Arc<dyn Disk>, dir: &Path, options: Options) -> Result<Self, OpenError> {
        let options = options.checked()?;
        let created = missing(&*disk, dir).map_err(|error| unwritable(dir, error))?;
        let handle = disk.open_dir(dir, true).map_err(|error| unwritable(dir, error))?;
        let lock = take_lock(&*handle, dir)?;
        for name in [SEGMENTS_DIR, PARTIAL_DIR] {
            handle.make_dirs(name).map_err(|error| unwritable(dir, error))?;
        }
        handle.sync_names(b"").map_err(failed("sync", dir))?;
        // Nothing is acknowledged before there is an index.
        if handle.stat(INDEX_FILE).map_err(failed("look at", dir))?.is_none() {
            sync_way(&*disk, dir, &created).map_err(failed("sync", dir))?;
        }
        let (index, created) = open_index(&*handle, &options)?;
        let mut recovery = Recovery { created, ..Recovery::default() };
        let mut batch = Batch::default();
        let roots = load_roots(&*disk, &index, &mut batch, &mut recovery)?;
        let mut tail = Tail::new();
        let writer =
            scan_segments(&handle, &index, &options, &mut batch, &mut tail, &mut recovery)?;
        let inner =
            Inner::new(Parts { disk, dir: handle, options, index, writer, batch, roots, lock });
        inner.load_life()?;
        inner.end_renames(&mut recovery)?;
        inner.chunks.go_on_after(inner.last_map()?);
        let inner = Arc::new(inner);
        inner.recover_partials(&mut tail, &mut recovery)?;
        inner.checkpoint()?;
        #[cfg(feature = "tracing")]
        tracing::info!(path = %dir.display(), ?recovery, "store opened");
        let _ = inner.recovery.set(recovery);
        Ok(Self { inner })
    }
}

/// Takes the lock of a store's directory.
pub(crate) fn take_lock(handle: &dyn Dir, dir: &Path) -> Result<Box<dyn Lock>, OpenError> {
    match handle.try_lock(LOCK_FILE, &std::process::id().to_string()) {
        Ok(LockOutcome::Taken(lock)) => Ok(lock),
        //= rfcs/0009-store.md#store-17
        //# A store MUST be open in at most one process at a time.
        Ok(LockOutcome::Held(note)) => {
            Err(OpenError::InUse { pid: note.trim().parse().ok(), path: dir.to_path_buf() })
        }
        Err(error) => Err(unwritable(dir, error)),
    }
}

/// Sorts an error about the store's directory.
pub(crate) fn unwritable(dir: &Path, error: io::Error) -> OpenError {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            OpenError::ReadOnly { path: dir.to_path_buf() }
        }
        _ => StoreError::io("open", dir, error).into(),
    }
}

fn open_index(dir: &dyn Dir, options: &Options) -> Result<(Index, bool), OpenError> {
    let path = join(dir.path(), INDEX_FILE);
    let is_missing = dir.stat(INDEX_FILE).map_err(failed("stat", dir.path()))?.is_none();
    //= rfcs/0009-store.md#store-29
    //# A store that has segments but no index MUST NOT be opened for use.
    if is_missing && !segment_numbers(dir)?.is_empty() {
        let detail = "there are segments, and it is missing".to_owned();
        return Err(OpenError::Corrupt { path, detail });
    }
    let opened = Index::open(dir, options.cache_bytes).map_err(|error| index_error(dir, error))?;
    if check_version(&opened.0, dir)? < FORMAT_VERSION {
        opened.0.upgrade()?;
    }
    Ok(opened)
}

/// What an index that can't be opened means for the store.
pub(crate) fn index_error(dir: &dyn Dir, error: IndexOpenError) -> OpenError {
    match error {
        IndexOpenError::Io(error) => unwritable(dir.path(), error),
        //= rfcs/0009-store.md#store-7
        //# A store whose index does not pass its checksums MUST NOT be opened for use.
        IndexOpenError::Corrupt(detail) | IndexOpenError::Store(StoreError::Corrupt { detail }) => {
            OpenError::Corrupt { path: join(dir.path(), INDEX_FILE), detail }
        }
        IndexOpenError::Store(error) => error.into(),
    }
}

/// Whether this software understands the store. Returns its format number.
pub(crate) fn check_version(index: &Index, dir: &dyn Dir) -> Result<u64, OpenError> {
    let found = index.version().map_err(|error| match error {
        StoreError::Corrupt { detail } => {
            OpenError::Corrupt { path: join(dir.path(), INDEX_FILE), detail }
        }
        error => error.into(),
    })?;
    //= rfcs/0009-store.md#store-12
    //# A store MUST refuse to open a directory whose format number is higher than the highest that it knows.
    if found > FORMAT_VERSION {
        return Err(OpenError::Version { found, supported: FORMAT_VERSION });
    }
    Ok(found)
}

/// The numbers of the segments that are there.
pub(crate) fn segment_numbers(dir: &dyn Dir) -> Result<BTreeSet<u32>, StoreError> {
    let mut numbers = BTreeSet::new();
    dir.list(SEGMENTS_DIR, &mut |name| numbers.extend(segment_number(name)))
        .map_err(failed("list", dir.path()))?;
    Ok(numbers)
}

/// Reads all rows of a small table.
fn all_rows(index: &Index, table: Table) -> Result<Vec<crate::index::Row>, StoreError> {
    index.rows_under(BTreeMap::new(), table, &[], None, usize::MAX)
}

fn number(key: &[u8]) -> Option<u32> {
    key.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Reads the registered directories and ends renames of theirs that were under way.
fn load_roots(
    disk: &dyn Disk,
    index: &Index,
    batch: &mut Batch,
    recovery: &mut Recovery,
) -> Result<Roots, OpenError> {
    let mut rows = BTreeMap::new();
    for (key, value) in all_rows(index, Table::Roots)? {
        let (Some(root), Some(row)) = (number(&key), RootRow::decode(&value)) else {
            return Err(StoreError::corrupt("a row of the root table").into());
        };
        let mut found = row.clone();
        if row.target.is_some() {
            match rename_root(disk, &row) {
                Ok((ended, _)) => {
                    batch.put(Table::Roots, &key, ended.encode());
                    recovery.renames_ended += 1;
                    found = ended;
                }
                // The file system is not mounted at the moment, say: the intention stays for the
                // next time, and keeps nobody from the rest of the store.
                Err(error) if error.is_of_the_system() => {}
                Err(error) => return Err(error.into()),
            }
        }
        rows.insert(RootId(root), found);
    }
    Ok(Roots::new(rows))
}

/// Looks through what was appended since the last checkpoint, and finds the place to go on.
fn scan_segments(
    dir: &Arc<dyn Dir>,
    index: &Index,
    options: &Options,
    batch: &mut Batch,
    tail: &mut Tail,
    recovery: &mut Recovery,
) -> Result<Writer, OpenError> {
    let numbers = segment_numbers(&**dir)?;
    let mut last = None;
    let mut indexed = BTreeMap::new();
    for (key, value) in all_rows(index, Table::Segments)? {
        let (Some(number), Some(row)) = (number(&key), SegmentRow::decode(&value)) else {
            return Err(StoreError::corrupt("a row of the segment table").into());
        };
        indexed.insert(number, row);
    }
    for &number in &numbers {
        let path = join(dir.path(), &segment_path(number));
        let opened = dir.open(&segment_path(number), Open::Write);
        let file = opened.map_err(failed("open", &path))?;
        let row = indexed.get(&number).copied().unwrap_or_default();
        let size = file.meta().map_err(failed("stat", &path))?.size;
        if size < row.end {
            // Acknowledged bytes are gone. What is left is found damaged when it is read; nothing
            // may be appended here.
            continue;
        }
        if size == row.end && size >= SEGMENT_HEADER_LEN as u64 {
            last = Some((number, file, row.end));
            continue;
        }
        let mut live = 0;
        let from = row.end.max(SEGMENT_HEADER_LEN as u64);
        let scanned = scan(&*file, number, from, &mut |offset, header, payload| {
            let offset = u32::try_from(offset).unwrap_or(u32::MAX);
            let loc = Loc { segment: number, offset };
            live += adopt(index, batch, tail, recovery, loc, header, payload)?;
            Ok(())
        });
        let end = match scanned {
            Ok(end) => end,
            // A bad sector must not keep the rest of the store away. Nothing that was acknowledged is
            // read here; nothing is cut, and nothing is appended.
            Err(StoreError::Io { action: "read", .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        if size > end {
            // Most of it is preallocation, which is no loss.
            recovery.bytes_cut += count_cut(&*file, end, size);
            file.set_len(end.max(SEGMENT_HEADER_LEN as u64)).map_err(failed("cut", &path))?;
        }
        if row.end == 0 && end == SEGMENT_HEADER_LEN as u64 {
            // Created, but nothing whole in it: its header may not have reached the disk either.
            let header = crate::record::segment_header(number);
            file.write_at(&header, 0).map_err(failed("write", &path))?;
        }
        if end != row.end {
            file.sync().map_err(failed("sync", &path))?;
            let row = SegmentRow { end, live: row.live.saturating_add(live) };
            batch.put(Table::Segments, &number.to_be_bytes(), row.encode());
        }
        last = Some((number, file, end));
    }
    let highest = numbers.iter().chain(indexed.keys()).max().copied().unwrap_or(0);
    let last = last.filter(|(number, ..)| *number == highest);
    Ok(Writer::new(
        Arc::clone(dir),
        options.segment_bytes,
        options.reserve_bytes,
        highest.saturating_add(1),
        last,
    ))
}

/// Bytes that are cut off and are not just zeros, looked at by their first few.
fn count_cut(file: &dyn crate::disk::File, from: u64, to: u64) -> u64 {
    let mut head = [0; HEADER_LEN];
    let read = file.read_at(&mut head, from).unwrap_or(0);
    let zeros = head.get(..read).is_some_and(|head| head.iter().all(|byte| *byte == 0));
    if zeros { 0 } else { to - from }
}

/// Books a record that no row speaks of. Returns the bytes that are in use because of it.
fn adopt(
    index: &Index,
    batch: &mut Batch,
    tail: &mut Tail,
    recovery: &mut Recovery,
    loc: Loc,
    header: &Header,
    payload: &[u8],
) -> Result<u64, StoreError> {
    // Imports and outboards are written before their blob is acknowledged: without a row they are
    // remains.
    if header.kind != Kind::Data || header.flags & FLAG_PROVISIONAL != 0 {
        return Ok(0);
    }
    let key = header.id.as_bytes();
    let small = header.blob_size <= GroupLog2::KIB16.bytes();
    if small && header.blob_size == payload.len() as u64 {
        //= rfcs/0009-store.md#store-3
        //# Recovery MUST verify a record against its blob's id before it adopts the record.
        let known =
            batch.get(Table::Blobs, key).is_some() || index.get(Table::Blobs, key)?.is_some();
        if known || samara_tree::hash(payload) != header.id {
            return Ok(0);
        }
        let row = BlobRow::in_record(header.blob_size, loc);
        batch.put(Table::Blobs, key, row.encode());
        batch.delete(Table::Partials, key);
        recovery.blobs_adopted += 1;
        let bytes = stride(header.payload_len);
        crate::class::adopt(index, batch, header.id, bytes)?;
        return Ok(bytes);
    }
    if tail.len() < TAIL_RECORDS_MAX && header.payload_len > 0 {
        tail.insert((header.id, header.blob_offset), (loc, header.payload_len));
    }
    Ok(0)
}

impl Inner {
    /// Ends the renames of files that were under way.
    fn end_renames(&self, recovery: &mut Recovery) -> Result<(), OpenError> {
        for (key, value) in all_rows(&self.index, Table::Renames)? {
            let (Some(id), Some(rename)) = (id_of(&key), RenameRow::decode(&value)) else {
                return Err(StoreError::corrupt("a row of the rename table").into());
            };
            match self.carry_out(id, &rename) {
                Ok(_) => {}
                // The directory is not there at the moment, say: the intention stays for the next
                // time.
                Err(error) if error.is_of_the_system() => continue,
                Err(error) => return Err(error.into()),
            }
            recovery.renames_ended += 1;
        }
        Ok(())
    }

    /// Verifies again what partial blobs received since their last checkpoint.
    fn recover_partials(
        self: &Arc<Self>,
        tail: &mut Tail,
        recovery: &mut Recovery,
    ) -> Result<(), OpenError> {
        let mut ids = BTreeSet::new();
        let mut strays = Vec::new();
        self.dir
            .list(PARTIAL_DIR, &mut |name| match partial_id(name) {
                Some(id) => {
                    ids.insert(id);
                }
                None => strays.push([PARTIAL_DIR, b"/", name].concat()),
            })
            .map_err(failed("list", self.dir.path()))?;
        for id in ids {
            let row = self.get(Table::Partials, id.as_bytes())?;
            let Some(row) = row else {
                let names = ["ob", "j0", "j1"];
                strays.extend(names.map(|ending| partial_path(id, ending)));
                continue;
            };
            let row = PartialRow::decode(&row)
                .ok_or_else(|| StoreError::corrupt("a row of the partial table"))?;
            self.recover_partial(id, &row, tail, recovery)?;
        }
        for path in strays {
            recovery.files_removed += u64::from(self.dir.remove(&path).is_ok());
        }
        Ok(())
    }

    fn recover_partial(
        self: &Arc<Self>,
        id: BlobId,
        row: &PartialRow,
        tail: &mut Tail,
        recovery: &mut Recovery,
    ) -> Result<(), OpenError> {
        let partial = match self.open_partial(id, row) {
            Ok(Some(partial)) => Arc::new(partial),
            Ok(None) => {
                recovery.partials_reset += 1;
                return Ok(self.forget_partial(id)?);
            }
            // A directory that is not there at the moment, say. The row stays.
            Err(StoreError::Io { .. } | StoreError::Denied { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut entries = Vec::new();
        let mut nothing = Vec::new();
        Verifier::new(id, row.size).export(&mut nothing);
        {
            let state = partial.state();
            if state.verifier.known().is_empty() && row.frontier != nothing {
                recovery.partials_reset += 1;
            }
            if let Cvs::File { journal, .. } = &state.cvs {
                journal.replay(row.epoch, &mut |entry| entries.push(entry));
            }
        }
        let mut recovered = 0;
        for entry in &entries {
            recovered += self.replay(&partial, entry, tail)?;
        }
        if recovered > 0 {
            recovery.bytes_recovered += recovered;
            partial.state().epoch = row.epoch.saturating_add(1);
            self.pending().dirty.insert(id, partial);
        }
        Ok(())
    }

    /// Verifies one transfer again, with the data as it is on the disk. Returns the bytes kept.
    fn replay(
        &self,
        partial: &Arc<Partial>,
        entry: &Entry,
        tail: &mut Tail,
    ) -> Result<u64, StoreError> {
        let tree = Tree::new(partial.size);
        let end = entry.first_leaf.checked_add(leaves(u64::from(entry.data_len)));
        let range = match end {
            Some(end) if end <= tree.leaves() => entry.first_leaf..end,
            _ => return Ok(0),
        };
        let bytes = tree.bytes(&range);
        let mut data = vec![0; index(bytes.end - bytes.start)];
        let mut used = Vec::new();
        match partial.source() {
            Source::File(file) => {
                file.read_at(&mut data, bytes.start)
                    .map_err(failed("read", Path::new("a partial file")))?;
            }
            _ => {
                let from = bytes.start.saturating_sub(crate::limits::PAYLOAD_MAX as u64);
                let records = tail.range((partial.id, from)..(partial.id, bytes.end));
                for (&(_, at), &(loc, len)) in records {
                    let extent = crate::outboard::whole(loc, u64::from(len));
                    let (first, last) = (at.max(bytes.start), (at + u64::from(len)).min(bytes.end));
                    let place = index(first.saturating_sub(bytes.start))
                        ..index(last.saturating_sub(bytes.start));
                    if let Some(place) = data.get_mut(place) {
                        self.read_extent(&extent, first - at, place)?;
                        used.push((at, loc, len));
                    }
                }
            }
        }
        let mut state = partial.state();
        let kept = state.take_again(entry, &data)?;
        drop(state);
        self.book_tail(partial, &kept, &used)?;
        Ok(kept.runs().iter().map(|run| tree.bytes_len(run)).sum())
    }

    /// Puts rows for records of a partial blob that were verified again.
    fn book_tail(
        &self,
        partial: &Partial,
        kept: &RangeSet,
        used: &[(u64, Loc, u32)],
    ) -> Result<(), StoreError> {
        let tree = Tree::new(partial.size);
        let carried = self.is_carried(partial.id)?;
        let mut pending = self.pending();
        for &(at, loc, len) in used {
            let end = at + u64::from(len);
            if kept.runs().iter().any(|run| {
                let bytes = tree.bytes(run);
                bytes.start < end && at < bytes.end
            }) {
                let (_, extent) = place_record(None, at, loc, index(u64::from(len)));
                let key = Extent::key(partial.id, Holds::Data, at);
                pending.put(Table::Extents, &key, extent.encode().to_vec());
                pending.work.add_live(loc.segment, record_bytes(len));
                if carried {
                    pending.work.charge(record_bytes(len));
                }
            }
        }
        Ok(())
    }
}

/// The blob that a file in `partial/` belongs to.
fn partial_id(name: &[u8]) -> Option<BlobId> {
    let name = core::str::from_utf8(name).ok()?;
    let (id, ending) = name.split_once('.')?;
    let known = matches!(ending, "ob" | "j0" | "j1");
    let parsed: BlobId = id.parse().ok()?;
    // Names are canonical, so that one blob has one set of files.
    (known && parsed.to_string() == id).then_some(parsed)
}
