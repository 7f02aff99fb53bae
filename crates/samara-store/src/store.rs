use core::time::Duration;
use std::{path::Path, path::PathBuf, sync::Arc};

use samara_base::{BlobId, RangeSet};
use samara_chunk::ChunkerParams;
use samara_tree::Tree;

use crate::{
    BlobReader, Quotas, Recovery, ScrubStats,
    disk::{Open, create_dir, join, name},
    error::{ExportError, ReadError, ReceiveError, StoreError, failed},
    index::Table,
    inner::{Inner, locked},
    limits::{NAME_MAX, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN},
    partial::Partial,
    reader::readable,
    receive::is_stale,
    row::{
        BlobRow, ChunkRow, PartialPlace, PartialRow, Place, SegmentRow, decode_ranges, id_of,
        pin_key,
    },
};

/// How a store behaves. The default suits a computer and a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "built by literal with ..Options::default()")]
pub struct Options {
    /// Length of a segment file, 1 MiB to 1 GiB; others are brought into these bounds. Unit: bytes.
    pub segment_bytes: u64,
    /// Memory for the index. Unit: bytes.
    pub cache_bytes: usize,
    /// The store makes a checkpoint by itself once this much was written since the last. Unit:
    /// bytes.
    pub checkpoint_bytes: u64,
    /// The same for changed index rows, which wait in memory (about 200 bytes each).
    pub checkpoint_rows: usize,
    /// Space on the disk that the store leaves free. Carried blobs are evicted for it, others as
    /// [`Quotas::own`] says. Unit: bytes.
    pub reserve_bytes: u64,
    /// How blobs that are put or imported are cut into chunks, so that those which several blobs share
    /// are stored once. `None`: not at all. Blobs no longer than an average chunk are not cut.
    pub chunking: Option<ChunkerParams>,
    /// How chunks are compressed. `None`, the default: not at all. What does not shrink is stored as
    /// it is, after few tries. Needs the feature `zstd`: without it a store is not opened with this.
    pub compression: Option<crate::Compression>,
    /// How much may be held, by class. The default has no limits.
    pub quotas: Quotas,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 256 << 20,
            cache_bytes: 6 << 20,
            checkpoint_bytes: 256 << 20,
            checkpoint_rows: 32_768,
            reserve_bytes: 16 << 20,
            chunking: Some(ChunkerParams::Kib64),
            compression: None,
            quotas: Quotas::default(),
        }
    }
}

impl Options {
    /// The options as far as they mean something.
    pub(crate) fn checked(self) -> Result<Self, StoreError> {
        if self.compression.is_some() && !cfg!(feature = "zstd") {
            return Err(StoreError::Unsupported { feature: "zstd" });
        }
        Ok(Self {
            segment_bytes: self.segment_bytes.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX),
            checkpoint_rows: self.checkpoint_rows.max(1),
            ..self
        })
    }
}

/// A content-addressed store in one directory. See the [crate documentation](crate).
///
/// Cheap to clone; all clones are the same store. Every method blocks on the disk at most, so call
/// them from a pool of threads, not from an executor.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

/// What the store knows about one blob.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobStat {
    /// The blob.
    pub id: BlobId,
    /// Its size; as claimed, unless [`size_proven`](Self::size_proven). Unit: bytes.
    pub size: u64,
    /// Whether the size is proven.
    pub size_proven: bool,
    /// The leaves that can be read.
    pub held: RangeSet,
    /// Whether all leaves can be read.
    pub complete: bool,
    /// Where the bytes are.
    pub place: BlobPlace,
    /// Leaves in quarantine: their stored bytes are damaged. Fetch them again.
    pub damaged: RangeSet,
}

/// Where the bytes of a blob are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlobPlace {
    /// In the store's segments.
    InSegments,
    /// In a file outside the store: shared in place, or received there.
    External(PathBuf),
}

/// What the store takes on the disk, and how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Complete blobs.
    pub blobs: u64,
    /// Blobs being received.
    pub partials: u64,
    /// Sizes of all complete blobs together. Unit: bytes.
    pub blob_bytes: u64,
    /// Chunks, each counted once however many blobs have it.
    pub chunks: u64,
    /// Bytes that more than one place of a blob has, and that are stored once: what they would take
    /// besides. Unit: bytes.
    pub shared_bytes: u64,
    /// Bytes that compression saves. Unit: bytes.
    pub compressed_bytes: u64,
    /// Bytes in use in segments. Unit: bytes.
    pub segment_live_bytes: u64,
    /// Length of all segments. Unit: bytes.
    pub segment_bytes: u64,
    /// Space left on the store's disk. Unit: bytes.
    pub free_bytes: u64,
    /// What carried blobs take in segments, counted anew, headers and outboards included. Unit: bytes.
    pub carried_bytes: u64,
    /// What blobs with a name, a pin or a lease take there, whatever their class. Which leases have
    /// ended depends on [`Store::set_now`]. Unit: bytes.
    pub kept_bytes: u64,
    /// What scrubs did.
    pub scrub: ScrubStats,
}

/// What [`Store::collect`] looks at of segments that are mostly unused. Unit: bytes.
const COMPACT_BYTES: u64 = 256 << 20;

/// Bytes that [`Store::export`] handles at once.
const STEP_BYTES: u64 = 1 << 20;

impl Store {
    /// What opening the store found and did.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        static NOTHING: std::sync::LazyLock<Recovery> = std::sync::LazyLock::new(Recovery::default);
        self.inner.recovery.get().unwrap_or(&NOTHING)
    }

    /// The store's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.inner.dir.path()
    }

    /// What the store knows about a blob; `None` if nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn stat(&self, id: &BlobId) -> Result<Option<BlobStat>, StoreError> {
        let inner = &self.inner;
        if let Some(row) = inner.blob_row(*id)?
            && (!is_stale(&row) || inner.live_partial(*id).is_none())
        {
            return Ok(Some(inner.stat_complete(*id, &row)?));
        }
        if let Some(partial) = inner.live_partial(*id) {
            return Ok(Some(inner.stat_partial(&partial)));
        }
        let Some(row) = inner.get(Table::Partials, id.as_bytes())? else { return Ok(None) };
        let row = PartialRow::decode(&row).ok_or_else(|| StoreError::corrupt("a partial row"))?;
        Ok(inner.open_partial(*id, &row)?.map(|partial| inner.stat_partial(&partial)))
    }

    /// At most `count` blobs, complete and partial, in the order of their ids, from the first one
    /// after `after` on. Ask again with the last id until nothing comes.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn list(&self, after: Option<&BlobId>, count: usize) -> Result<Vec<BlobStat>, StoreError> {
        let mut from = after.map_or_else(Vec::new, |id| id.as_bytes().to_vec());
        if after.is_some() {
            from.push(0);
        }
        let complete = self.inner.rows(Table::Blobs, &from, None, count)?;
        let partial = self.inner.rows(Table::Partials, &from, None, count)?;
        let mut ids: Vec<BlobId> =
            complete.iter().chain(&partial).filter_map(|(key, _)| id_of(key)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.truncate(count);
        let stats = ids.iter().map(|id| self.stat(id));
        stats.filter_map(Result::transpose).collect()
    }

    /// What the store holds and takes. Looks at every row of the index.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let inner = &self.inner;
        let free = inner.dir.free_bytes().map_err(failed("measure", self.path()))?;
        let mut usage = Usage { free_bytes: free, ..Usage::default() };
        inner.each_row(Table::Blobs, &mut |_, value| {
            usage.blobs += 1;
            let size = BlobRow::decode(value).map_or(0, |row| row.size);
            // What a row says is a claim.
            usage.blob_bytes = usage.blob_bytes.saturating_add(size);
        })?;
        inner.each_row(Table::Partials, &mut |_, _| {
            usage.partials += 1;
        })?;
        inner.each_row(Table::Chunks, &mut |_, value| {
            usage.chunks += 1;
            let row = ChunkRow::decode(value);
            let again = row.map_or(0, |row| u64::from(row.len) * u64::from(row.count.max(1) - 1));
            usage.shared_bytes = usage.shared_bytes.saturating_add(again);
            let saved = row.map_or(0, |row| u64::from(row.len - row.stored));
            usage.compressed_bytes = usage.compressed_bytes.saturating_add(saved);
        })?;
        inner.each_row(Table::Segments, &mut |_, value| {
            let row = SegmentRow::decode(value).unwrap_or_default();
            usage.segment_live_bytes = usage.segment_live_bytes.saturating_add(row.live);
            usage.segment_bytes = usage.segment_bytes.saturating_add(row.end);
        })?;
        usage.carried_bytes = inner.count_carried()?;
        usage.kept_bytes = inner.count_kept(inner.told())?;
        usage.scrub = self.scrub_stats();
        Ok(usage)
    }

    /// Gives a blob a name; a name is at most 1,024 bytes and means one blob. The blob need not be
    /// held yet. Durable after the next [`checkpoint`](Self::checkpoint).
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn tag(&self, name: &[u8], id: &BlobId) -> Result<(), StoreError> {
        self.inner.alive()?;
        let name = name.get(..name.len().min(NAME_MAX)).unwrap_or_default();
        let mut pending = self.inner.pending();
        pending.put(Table::Tags, name, id.as_bytes().to_vec());
        pending.kept += 1;
        drop(pending);
        Ok(())
    }

    /// Removes a name. A name that does not exist is fine.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn untag(&self, name: &[u8]) -> Result<(), StoreError> {
        self.inner.alive()?;
        self.inner.pending().delete(Table::Tags, name);
        Ok(())
    }

    /// All names with their blobs, sorted.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn tags(&self) -> Result<Vec<(Vec<u8>, BlobId)>, StoreError> {
        let rows = self.inner.rows(Table::Tags, &[], None, usize::MAX)?;
        Ok(rows.into_iter().filter_map(|(name, id)| Some((name, id_of(&id)?))).collect())
    }

    /// Keeps a blob from [`collect`](Self::collect) and from eviction for a reason (at most 1,024
    /// bytes); several reasons may hold it. [`lease`](Self::lease) does so for a time. Durable after the next [`checkpoint`](Self::checkpoint).
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn pin(&self, id: &BlobId, reason: &[u8]) -> Result<(), StoreError> {
        self.inner.alive()?;
        let reason = reason.get(..reason.len().min(NAME_MAX)).unwrap_or_default();
        let mut pending = self.inner.pending();
        pending.put(Table::Pins, &pin_key(*id, reason), Vec::new());
        pending.kept += 1;
        drop(pending);
        Ok(())
    }

    /// Takes one reason back.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn unpin(&self, id: &BlobId, reason: &[u8]) -> Result<(), StoreError> {
        self.inner.alive()?;
        self.inner.pending().delete(Table::Pins, &pin_key(*id, reason));
        Ok(())
    }

    /// The reasons why a blob is kept.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn pins(&self, id: &BlobId) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut end = id.as_bytes().to_vec();
        end.extend_from_slice(&[u8::MAX; NAME_MAX + 1]);
        let rows = self.inner.rows(Table::Pins, id.as_bytes(), Some(&end), usize::MAX)?;
        Ok(rows.into_iter().filter_map(|(key, _)| key.get(32..).map(<[u8]>::to_vec)).collect())
    }

    /// Forgets a blob and gives its space in segments back. The unfinished destination of a receive
    /// is deleted; a finished or shared file is the user's and stays. Returns whether there was
    /// anything. Durable after the next [`checkpoint`](Self::checkpoint).
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn remove(&self, id: &BlobId) -> Result<bool, StoreError> {
        let inner = &self.inner;
        inner.alive()?;
        let (mut found, mut loosened) = (false, None);
        let owned = inner.owners.take(*id);
        let no_class_changes = locked(&inner.life.classing);
        let partial = inner.get(Table::Partials, id.as_bytes())?;
        let live = inner.live_partial(*id).filter(|partial| !partial.heals);
        let place = match (&live, partial.as_deref().and_then(PartialRow::decode)) {
            (Some(partial), _) => Some(partial.place.clone()),
            (None, row) => row.map(|row| row.place),
        };
        if place.is_some() {
            found = true;
            inner.drop_partial(*id)?;
        }
        if inner.blob_row(*id)?.is_some() {
            found = true;
            inner.drop_partial(*id)?;
            loosened = inner.forget_complete(*id)?;
        }
        inner.pending().delete(Table::Classes, id.as_bytes());
        drop((no_class_changes, owned));
        if let Some(map) = loosened {
            inner.reclaim_map(map)?;
        }
        if let Some(PartialPlace::File { root, rel, .. }) = place
            && let Ok(dir) = inner.root_dir(root)
        {
            match dir.remove(&rel) {
                Ok(()) => {}
                Err(error) if crate::inner::is_missing(&error) => {}
                Err(error) => {
                    return Err(StoreError::io("remove", join(dir.path(), &rel), error));
                }
            }
        }
        Ok(found)
    }

    /// Removes all complete blobs that have neither a name nor a pin, nor a lease at the time `now`
    /// (since 1970), and for which `keep` says no. Returns how many. `keep` answers for what the store
    /// cannot know, such as the members of a named collection. Leases that have ended go as well, and
    /// up to 256 MiB of segments are [compacted](Self::compact). Durable on return.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn collect(
        &self,
        now: Duration,
        keep: &mut dyn FnMut(&BlobId) -> bool,
    ) -> Result<u64, StoreError> {
        self.inner.alive()?;
        self.inner.tell(now);
        self.inner.drop_ended_leases(now.as_secs())?;
        let mut keepers = self.inner.keepers(now.as_secs())?;
        let mut removed = 0;
        let mut from = Vec::new();
        loop {
            let rows = self.inner.rows(Table::Blobs, &from, None, 1024)?;
            let Some((last, _)) = rows.last() else { break };
            from.clone_from(last);
            from.push(0);
            for id in rows.iter().filter_map(|(key, _)| id_of(key)) {
                if !keep(&id) {
                    removed += u64::from(self.inner.collect_one(&mut keepers, id)?);
                }
            }
            self.inner.maybe_checkpoint()?;
        }
        self.inner.reclaim_loose()?;
        self.inner.drop_unused_classes()?;
        match self.compact(COMPACT_BYTES) {
            Ok(_) => {}
            // What there is no room to move stays where it is.
            Err(StoreError::NoSpace { .. }) => self.inner.checkpoint()?,
            Err(error) => return Err(error),
        }
        Ok(removed)
    }

    /// Opens a blob for reading, complete or partial; `None` if nothing of it is known.
    ///
    /// # Errors
    ///
    /// [`ReadError::Changed`] if it was shared in place and the file changed.
    pub fn reader(&self, id: &BlobId) -> Result<Option<BlobReader>, ReadError> {
        let inner = &self.inner;
        inner.alive()?;
        while let Some(row) = inner.blob_row(*id)?
            && (!is_stale(&row) || inner.live_partial(*id).is_none())
        {
            match BlobReader::complete(Arc::clone(inner), *id, &row) {
                // It was removed or replaced meanwhile.
                Err(ReadError::NotHeld { .. }) => {}
                opened => return opened.map(Some),
            }
        }
        let partial = match inner.live_partial(*id) {
            Some(partial) => partial,
            None => match inner.share_partial(*id)? {
                Some(partial) => partial,
                None => return Ok(None),
            },
        };
        Ok(Some(BlobReader::partial(Arc::clone(inner), partial)))
    }

    /// Whether an eighth of what makes the store checkpoint by itself has been written since the
    /// last time.
    ///
    /// That one holds up whoever writes. Another thread that calls [`checkpoint`](Self::checkpoint)
    /// when this says so spares the writers the wait, since it runs beside them.
    #[must_use]
    pub fn wants_checkpoint(&self) -> bool {
        self.inner.is_due(8)
    }

    /// Makes everything durable that was done before the call: syncs the data, then commits the
    /// index. What is acknowledged by this survives the death of the process and of the machine.
    ///
    /// # Errors
    ///
    /// After a failed sync the store is [`Poisoned`](StoreError::Poisoned).
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        self.inner.checkpoint()
    }

    /// Writes a complete blob to a file, verified on the way. The file appears whole or not at all,
    /// and unless `replace`, nothing is overwritten. Durable on return.
    ///
    /// # Errors
    ///
    /// [`ExportError`]; the destination is untouched then.
    pub fn export(&self, id: &BlobId, dest: &Path, replace: bool) -> Result<(), ExportError> {
        let inner = &self.inner;
        let path = std::path::absolute(dest).map_err(failed("name", dest))?;
        if !replace && inner.disk.exists(&path).map_err(failed("look at", &path))? {
            return Err(ExportError::Exists { path });
        }
        let reader = self.reader(id).map_err(ExportError::Read)?.ok_or(ExportError::NotHeld)?;
        if !reader.held().contains_range(&Tree::new(reader.size()).root().range()) {
            return Err(ExportError::NotHeld);
        }
        let parent = path.parent().unwrap_or_else(|| Path::new("/"));
        let dir = create_dir(&*inner.disk, parent).map_err(failed("open", parent))?;
        let file_name = path.file_name().map(|name| name.as_encoded_bytes().to_vec());
        let final_name = file_name.ok_or_else(|| ExportError::Exists { path: path.clone() })?;
        let temporary =
            [b".samara-".as_slice(), name(&inner.temporary_path()), b"-", &id.as_bytes()[..0]]
                .concat();
        let temporary = [temporary, id.to_string().into_bytes()].concat();
        let written = self.write_out(&reader, &*dir, &temporary, &path);
        let moved = written.and_then(|()| match dir.rename(&temporary, &final_name, replace) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(ExportError::Exists { path: path.clone() })
            }
            Err(error) => Err(StoreError::io("rename", &path, error).into()),
        });
        if moved.is_err() {
            let _ = dir.remove(&temporary);
        }
        moved?;
        Ok(dir.sync_names(b"").map_err(failed("sync", parent))?)
    }

    fn write_out(
        &self,
        reader: &BlobReader,
        dir: &dyn crate::disk::Dir,
        temporary: &[u8],
        path: &Path,
    ) -> Result<(), ExportError> {
        let _ = dir.remove(temporary);
        let file =
            dir.open(temporary, Open::Create { mode: 0o666 }).map_err(failed("create", path))?;
        self.inner.check_space(dir, reader.size())?;
        let mut at = 0;
        while at < reader.size() {
            let end = (at + STEP_BYTES).min(reader.size());
            let data = reader.read(at..end).map_err(ExportError::Read)?;
            file.write_at(&data, at).map_err(failed("write", path))?;
            at = end;
        }
        Ok(file.sync().map_err(failed("sync", path))?)
    }

    /// A last checkpoint, and an orderly end of the open segment. Other handles of this store keep
    /// working; dropping the last one closes the store.
    ///
    /// # Errors
    ///
    /// [`StoreError`]. Nothing that was acknowledged is lost.
    pub fn shutdown(&self) -> Result<(), StoreError> {
        self.inner.close()
    }
}

impl Inner {
    /// A receive that somebody works on.
    pub(crate) fn live_partial(&self, id: BlobId) -> Option<Arc<Partial>> {
        let partials = locked(&self.partials);
        partials.get(&id).and_then(std::sync::Weak::upgrade).filter(|partial| !partial.heals)
    }

    /// Opens a partial blob that nobody works on.
    fn share_partial(&self, id: BlobId) -> Result<Option<Arc<Partial>>, ReadError> {
        let mut partials = locked(&self.partials);
        if let Some(partial) = partials.get(&id).and_then(std::sync::Weak::upgrade) {
            return Ok(Some(partial));
        }
        let Some(row) = self.get(Table::Partials, id.as_bytes())? else { return Ok(None) };
        let size = PartialRow::decode(&row).map_or(0, |row| row.size);
        let partial = match self.load_partial(id, size) {
            Ok(Some(partial)) => Arc::new(partial),
            Ok(None) => return Ok(None),
            Err(ReceiveError::Store(error)) => return Err(error.into()),
            Err(error) => return Err(StoreError::corrupt(error).into()),
        };
        partials.insert(id, Arc::downgrade(&partial));
        Ok(Some(partial))
    }

    /// Goes through a table in pages.
    pub(crate) fn each_row(
        &self,
        table: Table,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), StoreError> {
        let mut from = Vec::new();
        loop {
            let rows = self.rows(table, &from, None, 1024)?;
            for (key, value) in &rows {
                visit(key, value);
            }
            let Some((last, _)) = rows.last() else { return Ok(()) };
            from.clone_from(last);
            from.push(0);
        }
    }

    fn stat_complete(&self, id: BlobId, row: &BlobRow) -> Result<BlobStat, StoreError> {
        let leaves = Tree::new(row.size).leaves();
        let damaged = match self.get(Table::Damaged, id.as_bytes())? {
            Some(bytes) if row.damaged => decode_ranges(&bytes)
                .ok_or_else(|| StoreError::corrupt("a row of the damage table"))?,
            _ => RangeSet::new(),
        };
        let held = if is_stale(row) { RangeSet::new() } else { readable(&damaged, leaves) };
        let place = match row.places.first() {
            Some(Place::External(external)) => {
                BlobPlace::External(self.external_path(external.root, &external.rel))
            }
            _ => BlobPlace::InSegments,
        };
        let complete = held.contains_range(&(0..leaves));
        Ok(BlobStat { id, size: row.size, size_proven: true, held, complete, place, damaged })
    }

    fn stat_partial(&self, partial: &Partial) -> BlobStat {
        let state = partial.state();
        let place = match partial.destination() {
            Some((root, rel)) => BlobPlace::External(self.external_path(root, rel)),
            None => BlobPlace::InSegments,
        };
        BlobStat {
            id: partial.id,
            size: partial.size,
            size_proven: state.verifier.size_proven(),
            held: state.verifier.known().clone(),
            complete: false,
            place,
            damaged: RangeSet::new(),
        }
    }
}
