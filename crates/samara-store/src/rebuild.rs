//! Making the index again from the segments. Spec: RFC 0009, section "The index made again".

mod chunks;
pub(crate) mod records;
mod scan;
mod settle;

use std::{collections::BTreeMap, io, path::Path, sync::Arc};

use crate::{
    Options, Store,
    disk::{Dir, Disk, Open, join},
    error::{OpenError, StoreError, failed},
    index::{INDEX_FILE, Index, Table},
    inner::{Inner, Parts},
    open::{check_version, index_error, segment_numbers, take_lock, unwritable},
    partial::PARTIAL_DIR,
    roots::Roots,
    row::{ClassRow, RootRow, decode_number, id_of},
    segment::{SEGMENTS_DIR, Writer},
};

/// The index that was there before.
const INDEX_OLD_FILE: &[u8] = b"index.old";

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
    /// Tags, pins, leases, classes and roots come back only if the old index can be opened. Files that were shared have
    /// to be shared again, and partial blobs start anew. Segments are not changed, and the old index
    /// stays in the directory as `index.old`, unless there is one already. `progress` gets the bytes of
    /// segments scanned so far.
    ///
    /// # Errors
    ///
    /// [`OpenError`]. The store has its old index then, or, if it could be made but not opened, the new
    /// one.
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
        let options = options.checked()?;
        let old = old_index(&*handle, &options)?;
        let numbers = segment_numbers(&*handle)?;
        let next = numbers.last().map_or(1, |number| number.saturating_add(1));
        let index = Index::begin(&*handle, options.cache_bytes)
            .map_err(|error| index_error(&*handle, error))?;
        //= rfcs/0009-store.md#store-31
        //# A store that makes its index again MUST NOT change or remove a segment that was there, but for zeros at its end.
        // What has to be written goes to a new one.
        let (segments, reserve) = (options.segment_bytes, options.reserve_bytes);
        let mut writer = Writer::new(Arc::clone(&handle), segments, reserve, next, None);
        // And so does what comes later: those that are there may not end where they seem to.
        writer.begin()?;
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
        // What is looked up next is found faster in the index than beside it.
        inner.checkpoint()?;
        inner.settle_all(&mut rebuilt)?;
        inner.keep_counted()?;
        inner.recount()?;
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
    let index = match Index::open(dir, options.cache_bytes) {
        Ok((index, _)) => index,
        Err(error) => {
            return match index_error(dir, error) {
                // It is damaged, or the disk is.
                OpenError::Corrupt { .. } | OpenError::Store(StoreError::Io { .. }) => Ok(None),
                error => Err(error),
            };
        }
    };
    match check_version(&index, dir) {
        // Whoever wrote that one knows better.
        Err(error @ OpenError::Version { .. }) => Err(error),
        Err(_) => Ok(None),
        Ok(_) => Ok(Some(index)),
    }
}

/// Copies the index that is to be replaced.
fn keep_old(dir: &dyn Dir) -> Result<(), StoreError> {
    let path = || join(dir.path(), INDEX_OLD_FILE);
    let copy = || {
        // The first one may be the only one that knows names.
        if dir.stat(INDEX_FILE)?.is_none() || dir.stat(INDEX_OLD_FILE)?.is_some() {
            return Ok(());
        }
        let from = dir.open(INDEX_FILE, Open::Read)?;
        let to = dir.open(INDEX_OLD_FILE, Open::Create { mode: 0o600 })?;
        to.set_len(0)?;
        let mut buffer = vec![0; 1 << 20];
        let mut at = 0;
        loop {
            // What can't be read can't be kept.
            let read = from.read_at(&mut buffer, at).unwrap_or_default();
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            to.write_at(bytes, at)?;
            at += read as u64;
        }
        to.sync()
    };
    copy().map_err(|error| StoreError::io("copy the old index to", path(), error))
}

impl Inner {
    /// Takes tags, pins, leases, classes and roots over, as far as they can be read. Returns how many
    /// tags and pins.
    fn take_names(&self, old: &Index) -> Result<u64, StoreError> {
        let mut names = 0;
        for table in [Table::Tags, Table::Pins, Table::Leases, Table::Classes, Table::Roots] {
            let mut from = Vec::new();
            while let Ok(rows) = old.rows_under(BTreeMap::new(), table, &from, None, 1024) {
                let Some((last, _)) = rows.last() else { break };
                from.clone_from(last);
                from.push(0);
                for (key, value) in rows {
                    let is_sound = match table {
                        Table::Roots => RootRow::decode(&value).is_some() && key.len() == 4,
                        Table::Tags => id_of(&value).is_some(),
                        Table::Leases => id_of(&key).is_some() && decode_number(&value).is_some(),
                        Table::Classes => key.len() == 32 && ClassRow::decode(&value).is_some(),
                        _ => id_of(&key).is_some(),
                    };
                    if is_sound {
                        names += u64::from(matches!(table, Table::Tags | Table::Pins));
                        self.pending().put(table, &key, value);
                    }
                }
                self.maybe_checkpoint()?;
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use samara_base::BlobId;

    use super::*;
    use crate::{
        disk::MemDisk,
        record::{FLAG_PROVISIONAL, Header, Kind, segment_header},
        segment::segment_path,
    };

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
