//! Making the index again from the segments. Spec: RFC 0009, section "The index made again".

use core::ops::Range;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    sync::Arc,
};

use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_tree::{EncodeError, OpenError as TreeError, OutboardBuilder, Prover, Tree};

use crate::{
    Options, Store,
    disk::{Dir, Disk, Open, join},
    error::{OpenError, StoreError, failed},
    index::{INDEX_FILE, Index, Table},
    inner::{Inner, Parts, Pending, extent_bytes},
    open::{check_version, index_error, segment_numbers, take_lock, unwritable},
    outboard::{FinishedOutboard, NotWhole, Spool, StoredOutboard, Whole},
    partial::{PARTIAL_DIR, place_record},
    reader::Source,
    record::{FLAG_PROVISIONAL, HEADER_LEN, Header, Kind},
    roots::Roots,
    row::{BlobRow, Extent, Holds, Loc, Outboard, Place, SegmentRow, encode_ranges, id_of},
    segment::{SEGMENTS_DIR, Writer, scan_all, segment_path},
};

/// The index that was there before.
const INDEX_OLD_FILE: &[u8] = b"index.old";

/// Bytes that are read and hashed at once, in whole leaves. Unit: leaves.
const STEP_LEAVES: u64 = 1024;

/// Sizes of one blob that are tried: outboards of other sizes were made by somebody.
const SIZES_MAX: usize = 8;

/// What [`Store::rebuild_index`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rebuilt {
    /// Blobs that are whole.
    pub whole: u64,
    /// Blobs of which some groups are damaged or missing. These are in quarantine: fetch them again.
    pub damaged: u64,
    /// Ids of which there are records, but too few to prove a group: mostly partial blobs, and the
    /// outboards of files that were shared.
    pub left_out: u64,
    /// Tags and pins that the old index still had.
    pub names: u64,
    /// Length of all segments. Unit: bytes.
    pub scanned_bytes: u64,
    /// Bytes of them that belong to no whole record and are not zeros. Unit: bytes.
    pub skipped_bytes: u64,
}

impl Store {
    /// Makes the index of the store in a directory again, from its segments, and opens the store. For
    /// when [`open`](Self::open) says [`OpenError::Corrupt`]; all that is there is read twice.
    ///
    /// Tags, pins and roots come back only if the old index can be opened. Files that were shared have
    /// to be shared again, and partial blobs start anew. Segments are not changed, and the old index
    /// stays in the directory as `index.old`. `progress` gets the bytes of segments scanned so far.
    ///
    /// # Errors
    ///
    /// [`OpenError`]. The store is as it was before, then.
    #[cfg(unix)]
    pub fn rebuild_index(
        dir: &Path,
        options: Options,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(Self, Rebuilt), OpenError> {
        let path = std::path::absolute(dir).map_err(failed("name", dir))?;
        Self::rebuild_index_on(Arc::new(crate::disk::OsDisk::new()), &path, options, progress)
    }

    /// [`rebuild_index`](Self::rebuild_index) on any disk. `dir` is absolute.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn rebuild_index_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: Options,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(Self, Rebuilt), OpenError> {
        let handle = disk.open_dir(dir, false).map_err(|error| unwritable(dir, error))?;
        let is_store = handle.stat(SEGMENTS_DIR).map_err(failed("stat", dir))?.is_some();
        if !is_store {
            let missing = io::Error::from(io::ErrorKind::NotFound);
            return Err(StoreError::io("find a store in", dir, missing).into());
        }
        let lock = take_lock(&*handle, dir)?;
        handle.make_dirs(PARTIAL_DIR).map_err(|error| unwritable(dir, error))?;
        let options = options.checked();
        let old = old_index(&*handle, &options)?;
        let numbers = segment_numbers(&*handle)?;
        let next = numbers.last().map_or(1, |number| number.saturating_add(1));
        let index = Index::begin(&*handle, options.cache_bytes)
            .map_err(|error| index_error(&*handle, error))?;
        //= rfcs/0009-store.md#store-31
        //# A store that makes its index again MUST NOT change or remove a segment that was there, but for zeros at its end.
        // What has to be written goes to a new one.
        let (segments, reserve) = (options.segment_bytes, options.reserve_bytes);
        let writer = Writer::new(Arc::clone(&handle), segments, reserve, next, None);
        let inner = Arc::new(Inner::new(Parts {
            disk: Arc::clone(&disk),
            dir: Arc::clone(&handle),
            options,
            index,
            writer,
            batch: crate::index::Batch::default(),
            roots: Roots::new(BTreeMap::new()),
            lock,
        }));
        let mut rebuilt = Rebuilt::default();
        if let Some(old) = old {
            rebuilt.names = inner.take_names(&old)?;
        }
        for number in numbers {
            inner.scan_again(number, &mut rebuilt, progress)?;
        }
        inner.settle_all(&mut rebuilt)?;
        inner.close()?;
        //= rfcs/0009-store.md#store-30
        //# A store that makes its index again MUST make the new one durable before it takes the place of the old one.
        keep_old(&*handle)?;
        Index::name(&*handle, true).map_err(failed("rename the new index in", dir))?;
        // It holds the lock; nobody else can have opened the store before.
        drop(inner);
        #[cfg(feature = "tracing")]
        tracing::info!(path = %dir.display(), ?rebuilt, "index made again");
        Ok((Self::open_on(disk, dir, options)?, rebuilt))
    }
}

/// The index that is there, if it can be opened.
fn old_index(dir: &dyn Dir, options: &Options) -> Result<Option<Index>, OpenError> {
    if dir.stat(INDEX_FILE).map_err(failed("stat", dir.path()))?.is_none() {
        return Ok(None);
    }
    let Ok((index, _)) = Index::open(dir, options.cache_bytes) else { return Ok(None) };
    match check_version(&index, dir) {
        // Whoever wrote that one knows better.
        Err(error @ OpenError::Version { .. }) => Err(error),
        Err(_) => Ok(None),
        Ok(()) => Ok(Some(index)),
    }
}

/// Copies the index that is to be replaced.
fn keep_old(dir: &dyn Dir) -> Result<(), StoreError> {
    let path = || join(dir.path(), INDEX_OLD_FILE);
    let copy = || {
        if dir.stat(INDEX_FILE)?.is_none() {
            return Ok(());
        }
        let from = dir.open(INDEX_FILE, Open::Read)?;
        let to = dir.open(INDEX_OLD_FILE, Open::Create { mode: 0o600 })?;
        to.set_len(0)?;
        let mut buffer = vec![0; 1 << 20];
        let mut at = 0;
        loop {
            let read = from.read_at(&mut buffer, at)?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            to.write_at(bytes, at)?;
            at += read as u64;
        }
        to.sync()
    };
    copy().map_err(|error| StoreError::io("copy the old index to", path(), error))
}

/// The record that was found last, and the extent that it is at the end of.
type LastFound = Option<(BlobId, Holds, u64, Extent)>;

impl Inner {
    /// Takes tags, pins and roots over, as far as they can be read. Returns how many tags and pins.
    fn take_names(&self, old: &Index) -> Result<u64, StoreError> {
        let mut names = 0;
        for table in [Table::Tags, Table::Pins, Table::Roots] {
            let mut from = Vec::new();
            while let Ok(rows) = old.rows_under(BTreeMap::new(), table, &from, None, 1024) {
                let Some((last, _)) = rows.last() else { break };
                from.clone_from(last);
                from.push(0);
                names += if table == Table::Roots { 0 } else { rows.len() as u64 };
                for (key, value) in rows {
                    self.pending().put(table, &key, value);
                }
                self.maybe_checkpoint()?;
            }
        }
        Ok(names)
    }

    /// Books all whole records of a segment.
    fn scan_again(
        &self,
        number: u32,
        rebuilt: &mut Rebuilt,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), StoreError> {
        let file = self.open_own(&segment_path(number), Open::Read)?;
        let before = rebuilt.scanned_bytes;
        let mut last = None;
        let scanned = scan_all(&*file, number, &mut |offset, header, payload| {
            let offset = u32::try_from(offset).unwrap_or(u32::MAX);
            let loc = Loc { segment: number, offset };
            rebuilt.whole += u64::from(self.book_found(&mut last, loc, header, payload)?);
            progress(before + u64::from(offset));
            self.maybe_checkpoint()
        })?;
        rebuilt.scanned_bytes += scanned.len;
        rebuilt.skipped_bytes += scanned.skipped;
        progress(rebuilt.scanned_bytes);
        // A checkpoint meanwhile may have counted bytes in use.
        let key = number.to_be_bytes();
        let row = self.get(Table::Segments, &key)?.and_then(|row| SegmentRow::decode(&row));
        let row = SegmentRow { end: scanned.end, ..row.unwrap_or_default() };
        self.pending().put(Table::Segments, &key, row.encode());
        Ok(())
    }

    /// Books one record. Returns whether it is a whole blob.
    fn book_found(
        &self,
        last: &mut LastFound,
        loc: Loc,
        header: &Header,
        payload: &[u8],
    ) -> Result<bool, StoreError> {
        let provisional = header.flags & FLAG_PROVISIONAL != 0;
        let small = header.blob_size <= GroupLog2::KIB16.bytes()
            && header.blob_size == payload.len() as u64;
        let holds = match header.kind {
            Kind::Data if small && !provisional => return self.book_small(loc, header, payload),
            Kind::Bind => {
                let blob = payload.first_chunk().map(|bytes| BlobId::from_bytes(*bytes));
                blob.map_or(Ok(()), |blob| self.bind(header.id, blob))?;
                return Ok(false);
            }
            Kind::Data => Holds::Data,
            Kind::Outboard => Holds::Outboard,
        };
        let same = last.take().filter(|(id, of, ..)| (*id, *of) == (header.id, holds));
        let before = same.map(|(_, _, at, extent)| (at, extent));
        let (at, extent) = place_record(before, header.blob_offset, loc, payload.len());
        if extent.len > 0 {
            self.put_found(header.id, holds, at, extent)?;
            *last = Some((header.id, holds, at, extent));
        }
        Ok(false)
    }

    /// Books a record that may be all of a blob.
    fn book_small(&self, loc: Loc, header: &Header, payload: &[u8]) -> Result<bool, StoreError> {
        let key = header.id.as_bytes();
        //= rfcs/0009-store.md#store-3
        //# Recovery MUST verify a record against its blob's id before it adopts the record.
        if samara_tree::hash(payload) != header.id || self.get(Table::Blobs, key)?.is_some() {
            return Ok(false);
        }
        let row = BlobRow {
            size: header.blob_size,
            outboard: Outboard::None,
            damaged: false,
            patched: false,
            places: vec![Place::Record(loc)],
        };
        let len = u64::from(header.payload_len);
        let mut pending = self.pending();
        pending.put(Table::Blobs, key, row.encode());
        pending.work.add_live(loc.segment, extent_bytes(&crate::outboard::whole(loc, len)));
        Ok(true)
    }

    /// Notes an extent that nothing has verified yet. Of two at one place the longer one stays, then
    /// the later one.
    fn put_found(
        &self,
        id: BlobId,
        holds: Holds,
        at: u64,
        extent: Extent,
    ) -> Result<(), StoreError> {
        let key = Extent::key(id, holds, at);
        let old = self.get(Table::Extents, &key)?.and_then(|row| Extent::decode(&row));
        if old.is_none_or(|old| old.len <= extent.len) {
            self.pending().put(Table::Extents, &key, extent.encode().to_vec());
        }
        Ok(())
    }

    /// Gives what was found under a provisional id to the blob that it turned out to be.
    fn bind(&self, provisional: BlobId, blob: BlobId) -> Result<(), StoreError> {
        for (at, extent) in self.found(provisional, Holds::Data)? {
            self.put_found(blob, Holds::Data, at, extent)?;
            self.pending().delete(Table::Extents, &Extent::key(provisional, Holds::Data, at));
        }
        Ok(())
    }

    /// The extents of one blob, by place.
    fn found(&self, id: BlobId, holds: Holds) -> Result<Vec<(u64, Extent)>, StoreError> {
        let (from, to) = (Extent::key(id, holds, 0), Extent::key(id, holds, u64::MAX));
        let rows = self.rows(Table::Extents, &from, Some(&to), usize::MAX)?;
        let row = |(key, value): &(Vec<u8>, Vec<u8>)| {
            Some((Extent::key_offset(key)?, Extent::decode(value)?))
        };
        Ok(rows.iter().filter_map(row).collect())
    }

    /// Makes blobs of the extents that were found.
    fn settle_all(self: &Arc<Self>, rebuilt: &mut Rebuilt) -> Result<(), StoreError> {
        let mut from = Vec::new();
        loop {
            let rows = self.rows(Table::Extents, &from, None, 1)?;
            let id = rows.first().and_then(|(key, _)| id_of(key.get(..32)?));
            let Some(id) = id else { return Ok(()) };
            from = [id.as_bytes().as_slice(), &[u8::MAX; 10]].concat();
            match self.settle(id)? {
                Settled::Known => {}
                Settled::Whole => rebuilt.whole += 1,
                Settled::Damaged => rebuilt.damaged += 1,
                Settled::Unproven => rebuilt.left_out += 1,
            }
            self.maybe_checkpoint()?;
        }
    }

    /// Makes a blob of what was found of it, as far as it can be verified.
    fn settle(self: &Arc<Self>, id: BlobId) -> Result<Settled, StoreError> {
        let data = self.untangle(id, Holds::Data)?;
        let values = self.untangle(id, Holds::Outboard)?;
        let known = self.blob_row(id)?.is_some();
        let proven = if known { None } else { self.prove(id, &data, &values)? };
        let mut pending = self.pending();
        let Some(Proven { size, written, damaged }) = proven else {
            forget(&mut pending, id, Holds::Data, &data);
            forget(&mut pending, id, Holds::Outboard, &values);
            return Ok(if known { Settled::Known } else { Settled::Unproven });
        };
        let place = match book(&mut pending, id, Holds::Data, &data, size) {
            Some(loc) => Place::Record(loc),
            None => Place::Extents,
        };
        let outboard = if let Some(written) = written {
            forget(&mut pending, id, Holds::Outboard, &values);
            written.book(&mut pending)
        } else {
            let len = Tree::new(size).outboard_len();
            match book(&mut pending, id, Holds::Outboard, &values, len) {
                Some(loc) => Outboard::Record(loc),
                None => Outboard::Extents,
            }
        };
        let whole = damaged.is_empty();
        let (patched, places) = (false, vec![place]);
        let row = BlobRow { size, outboard, damaged: !whole, patched, places };
        pending.put(Table::Blobs, id.as_bytes(), row.encode());
        if !whole {
            pending.put(Table::Damaged, id.as_bytes(), encode_ranges(&damaged));
        }
        Ok(if whole { Settled::Whole } else { Settled::Damaged })
    }

    /// The extents of a blob without those that say again what others say.
    fn untangle(&self, id: BlobId, holds: Holds) -> Result<Vec<(u64, Extent)>, StoreError> {
        let mut kept: Vec<(u64, Extent)> = Vec::new();
        for (at, extent) in self.found(id, holds)? {
            let Some(end) = at.checked_add(extent.len) else { continue };
            if let Some((last_at, last)) = kept.last_mut() {
                let last_end = *last_at + last.len;
                if end <= last_end {
                    self.pending().delete(Table::Extents, &Extent::key(id, holds, at));
                    continue;
                }
                if at < last_end {
                    last.len = at - *last_at;
                    let key = Extent::key(id, holds, *last_at);
                    self.pending().put(Table::Extents, &key, last.encode().to_vec());
                }
            }
            kept.push((at, extent));
        }
        Ok(kept)
    }

    /// Verifies what was found of a blob.
    fn prove(
        self: &Arc<Self>,
        id: BlobId,
        data: &[(u64, Extent)],
        values: &[(u64, Extent)],
    ) -> Result<Option<Proven>, StoreError> {
        if data.is_empty() {
            return Ok(None);
        }
        let mut best: Option<Proven> = None;
        for size in self.sizes(values)? {
            let tree = Tree::new(size);
            let Some(damaged) = self.damaged_by_outboard(id, tree)? else { continue };
            let total = damaged.total();
            let better = best.as_ref().is_none_or(|best| total < best.damaged.total());
            if better && total < tree.leaves() {
                best = Some(Proven { size, written: None, damaged });
            }
        }
        if best.is_some() {
            return Ok(best);
        }
        let end = |end: u64, (at, extent): &(u64, Extent)| (*at == end).then(|| end + extent.len);
        let size = data.iter().try_fold(0, |size, found| end(size, found).ok_or(size));
        self.hash_again(id, size.unwrap_or_else(|gap| gap))
    }

    /// The sizes of which there are outboards.
    fn sizes(&self, values: &[(u64, Extent)]) -> Result<BTreeSet<u64>, StoreError> {
        let mut sizes = BTreeSet::new();
        for (_, extent) in values {
            let mut header = [0; HEADER_LEN];
            let path = segment_path(extent.loc.segment);
            let file = self.segment(extent.loc, HEADER_LEN as u64)?;
            file.read_at(&mut header, extent.loc.offset.into())
                .map_err(|error| StoreError::io("read", join(self.dir.path(), &path), error))?;
            if let Ok(header) = Header::decode(&header, extent.loc.segment) {
                sizes.insert(header.blob_size);
            }
            if sizes.len() == SIZES_MAX {
                break;
            }
        }
        Ok(sizes)
    }

    /// The leaves whose data does not fit the outboard, if the outboard fits the id.
    fn damaged_by_outboard(
        self: &Arc<Self>,
        id: BlobId,
        tree: Tree,
    ) -> Result<Option<RangeSet>, StoreError> {
        if tree.stored_cvs() == 0 {
            return Ok(None);
        }
        let (inner, outboard) = (Arc::downgrade(self), Outboard::Extents);
        let stored = StoredOutboard { inner, id, tree, outboard };
        let prover = match Prover::open(id, tree.size(), &Whole(&stored)) {
            Ok(prover) => prover,
            Err(TreeError::Source(NotWhole::Store(error))) => return Err(error),
            Err(_) => return Ok(None),
        };
        let mut damaged = RangeSet::new();
        for leaves in steps(tree) {
            let (data, _) = self.read_source(&Source::Extents, id, &tree.bytes(&leaves))?;
            match prover.check(&stored, &leaves, &data) {
                Ok(found) => damaged = damaged.union(&found),
                Err(EncodeError::Source(error)) => return Err(error),
                Err(_) => damaged = damaged.union(&leaves.into()),
            }
        }
        Ok(Some(damaged))
    }

    /// Hashes all bytes of a blob without an outboard, and writes one if the id is right.
    fn hash_again(&self, id: BlobId, size: u64) -> Result<Option<Proven>, StoreError> {
        let tree = Tree::new(size);
        let mut builder = OutboardBuilder::new();
        let mut spool = Spool::new(self);
        for leaves in steps(tree) {
            let (data, whole) = self.read_source(&Source::Extents, id, &tree.bytes(&leaves))?;
            if !whole {
                return Ok(None);
            }
            builder.push(&data, &mut |_, cv| spool.values().push(cv));
            spool.settle()?;
        }
        let (found, _) = builder.finish(&mut |_, cv| spool.values().push(cv));
        if found != id || size == 0 {
            return Ok(None);
        }
        let written = Some(spool.write(id, size)?);
        Ok(Some(Proven { size, written, damaged: RangeSet::new() }))
    }
}

/// The leaves of a blob, as many at a time as are read at once.
fn steps(tree: Tree) -> impl Iterator<Item = Range<u64>> {
    let step = move |from: u64| {
        let end = from.saturating_add(STEP_LEAVES).min(tree.leaves());
        (from < end).then_some(from..end)
    };
    core::iter::successors(step(0), move |last| step(last.end))
}

/// What is known of a blob once it is verified.
struct Proven {
    size: u64,
    /// The outboard, if it had to be made.
    written: Option<FinishedOutboard>,
    /// Leaves that are damaged or missing.
    damaged: RangeSet,
}

/// What became of the records of a blob.
enum Settled {
    /// It is complete already.
    Known,
    Whole,
    Damaged,
    Unproven,
}

fn forget(pending: &mut Pending, id: BlobId, holds: Holds, extents: &[(u64, Extent)]) {
    for (at, _) in extents {
        pending.delete(Table::Extents, &Extent::key(id, holds, *at));
    }
}

/// Counts extents as in use. One record with all `len` bytes needs no row: returns its place.
fn book(
    pending: &mut Pending,
    id: BlobId,
    holds: Holds,
    extents: &[(u64, Extent)],
    len: u64,
) -> Option<Loc> {
    for (_, extent) in extents {
        pending.work.add_live(extent.loc.segment, extent_bytes(extent));
    }
    match extents {
        [(0, extent)] if extent.len == len && extent.len == u64::from(extent.chunk) => {
            pending.delete(Table::Extents, &Extent::key(id, holds, 0));
            Some(extent.loc)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{disk::MemDisk, record::segment_header};

    fn record(
        kind: Kind,
        flags: u8,
        id: BlobId,
        size: u64,
        offset: u64,
        payload: &[u8],
    ) -> Vec<u8> {
        let mut header = Header::new(kind, id, payload);
        (header.flags, header.segment) = (flags, 1);
        (header.blob_size, header.blob_offset) = (size, offset);
        let mut bytes = [&header.encode()[..], payload].concat();
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    /// The store that is found in these records.
    fn found(records: &[Vec<u8>]) -> (Store, Rebuilt) {
        let (disk, dir) = (MemDisk::new(), Path::new("/store"));
        let handle = disk.open_dir(dir, true).unwrap();
        handle.make_dirs(SEGMENTS_DIR).unwrap();
        let file = handle.open(&segment_path(1), Open::Create { mode: 0o600 }).unwrap();
        let bytes = [segment_header(1).to_vec(), records.concat()].concat();
        file.write_at(&bytes, 0).unwrap();
        Store::rebuild_index_on(Arc::new(disk), dir, Options::default(), &mut |_| ()).unwrap()
    }

    //= rfcs/0009-store.md#store-3
    //= type=test
    //# Recovery MUST verify a record against its blob's id before it adopts the record.
    #[test]
    fn nothing_is_a_blob_because_a_record_says_so() {
        let (id, other) = (samara_tree::hash(b"true"), BlobId::from_bytes([7; 32]));
        let long = vec![1; 40_000];
        let values = vec![2; 96];
        let (store, rebuilt) = found(&[
            record(Kind::Data, 0, id, 6, 0, b"forged"),
            record(Kind::Data, 0, other, 40_000, 0, &long),
            record(Kind::Outboard, 0, other, 40_000, 0, &values),
            record(Kind::Data, FLAG_PROVISIONAL, BlobId::from_bytes([8; 32]), 0, 0, &long),
            record(Kind::Bind, FLAG_PROVISIONAL, BlobId::from_bytes([8; 32]), 9, 0, &[9; 32]),
        ]);
        assert_eq!(store.list(None, 10).unwrap(), []);
        assert_eq!((rebuilt.whole, rebuilt.damaged, rebuilt.left_out), (0, 0, 2), "{rebuilt:?}");
        assert_eq!(store.usage().unwrap().segment_live_bytes, 0);
        assert_eq!(store.inner.rows(Table::Extents, &[], None, 10).unwrap(), []);
    }

    #[test]
    fn an_outboard_that_fits_nothing_does_not_keep_the_bytes_from_being_found() {
        let data: Vec<u8> = (0..40_000_u32).map(|at| (at % 251) as u8).collect();
        let id = samara_tree::hash(&data);
        let (store, rebuilt) = found(
            &[
                record(Kind::Outboard, 0, id, 40_000, 0, &[3; 96]),
                record(Kind::Data, 0, id, 1 << 40, 0, &data[..30_000]),
                // A part of it again, and one that overlaps.
                record(Kind::Data, 0, id, 1 << 40, 16_384, &data[16_384..20_000]),
                record(Kind::Data, 0, id, 1 << 40, 25_000, &data[25_000..]),
                b"SmRc, but no record: eight by eight bytes are looked at here.".to_vec(),
                record(Kind::Data, 0, samara_tree::hash(b"last"), 4, 0, b"last"),
            ]
            .map(|mut bytes| {
                bytes.resize(bytes.len().next_multiple_of(8), 0);
                bytes
            }),
        );
        assert_eq!((rebuilt.whole, rebuilt.damaged, rebuilt.left_out), (2, 0, 0), "{rebuilt:?}");
        assert_eq!(rebuilt.skipped_bytes, 64);
        let reader = store.reader(&id).unwrap().unwrap();
        assert!(reader.read(0..40_000).unwrap() == data);
        assert!(store.stat(&samara_tree::hash(b"last")).unwrap().unwrap().complete);
    }
}
