//! Maps: which chunks a blob consists of. Spec: RFC 0009, section "Chunks and maps".

mod open;

use samara_base::BlobId;
use samara_chunk::Chunk;

use crate::{
    error::StoreError,
    index::Table,
    inner::{Inner, Pending},
    limits::MAP_ENTRIES_MAX,
    own::Owned,
    pack::Packer,
    record::{FLAG_PROVISIONAL, Kind},
    row::{BlobRow, MapEntry, MapRow, Place},
    segment::Append,
};

pub(crate) use open::OpenMap;

/// Rows of a map that are looked at together.
const ROWS: usize = 16;

/// Writes the map of a blob while its chunks are brought in order.
pub(crate) struct MapWriter<'a> {
    inner: &'a Inner,
    map: Owned<'a, u64>,
    /// The id in the map's records: the blob's is not known yet.
    provisional: BlobId,
    row: MapRow,
    /// The row's entries as its record has them.
    record: Vec<u8>,
    /// Where the row begins. Unit: bytes from the start of the blob.
    row_at: u64,
    /// Where the next chunk begins.
    offset: u64,
    /// For comparing.
    buffer: Vec<u8>,
    packer: Packer,
}

impl<'a> MapWriter<'a> {
    /// Begins a map. `seed` goes into its provisional id.
    pub(crate) fn new(inner: &'a Inner, seed: &[u8]) -> Result<Self, StoreError> {
        let number = inner.chunks.number_map()?;
        let map = inner.chunks.busy.try_take(number);
        let map = map.ok_or_else(|| StoreError::corrupt("a map's number is in use"))?;
        let hash = inner.provisional_id(seed);
        let mut id = *hash.as_bytes();
        if let Some(head) = id.first_chunk_mut::<8>() {
            *head = number.to_be_bytes();
        }
        Ok(Self {
            inner,
            map,
            provisional: BlobId::from_bytes(id),
            row: MapRow::new(),
            record: Vec::new(),
            row_at: 0,
            offset: 0,
            buffer: Vec::new(),
            packer: Packer::new(&inner.options)?,
        })
    }

    /// Adds the next chunk.
    pub(crate) fn push(&mut self, chunk: Chunk, bytes: &[u8]) -> Result<(), StoreError> {
        if self.row.entries.len() >= MAP_ENTRIES_MAX {
            self.flush()?;
        }
        let Self { inner, map, row, row_at, buffer, packer, .. } = self;
        let key = MapRow::key(map.id, *row_at);
        let is_first = *row_at == 0;
        inner.keep_chunk(chunk.id, bytes, (buffer, packer), &mut |pending, chunk_key| {
            row.entries.push(MapEntry { key: chunk_key, len: chunk.len });
            pending.put(Table::Maps, &key, row.encode());
            if is_first {
                //= rfcs/0009-store.md#store-37
                //# A map MUST be loose until the commit in which the row of its blob names it.
                loosen(pending, map.id);
            }
        })?;
        self.record.extend_from_slice(chunk.id.as_bytes());
        self.record.extend_from_slice(&chunk.len.to_le_bytes());
        self.offset += u64::from(chunk.len);
        Ok(())
    }

    /// Ends a row.
    fn flush(&mut self) -> Result<(), StoreError> {
        if self.row.entries.is_empty() {
            return Ok(());
        }
        let what = Append {
            kind: Kind::Map,
            flags: FLAG_PROVISIONAL,
            id: self.provisional,
            blob_size: 0,
            blob_offset: self.row_at,
            payload: &self.record,
        };
        let (key, row) = (MapRow::key(self.map.id, self.row_at), &mut self.row);
        self.inner.append(&what, |pending, loc| {
            row.loc = loc;
            pending.put(Table::Maps, &key, row.encode());
        })?;
        self.row = MapRow::new();
        self.record.clear();
        self.row_at = self.offset;
        Ok(())
    }

    /// Ends the map, now that it is known whose it is. It stays loose until [`bind`](Self::bind).
    pub(crate) fn finish(&mut self, id: BlobId) -> Result<(), StoreError> {
        self.flush()?;
        let what = Append {
            kind: Kind::Bind,
            flags: FLAG_PROVISIONAL,
            id: self.provisional,
            blob_size: self.offset,
            blob_offset: 0,
            payload: id.as_bytes(),
        };
        let key = MapRow::key(self.map.id, MapRow::BINDING);
        self.inner.append(&what, |pending, loc| {
            let row = MapRow { loc, entries: Vec::new() };
            pending.put(Table::Maps, &key, row.encode());
        })
    }

    /// Makes the map the blob's whose row goes into the same batch.
    pub(crate) fn bind(&self, pending: &mut Pending) -> Place {
        pending.delete(Table::Loose, &self.map.id.to_be_bytes());
        Place::Chunks(self.map.id)
    }

    /// Gives everything back.
    pub(crate) fn abort(self) -> Result<(), StoreError> {
        self.inner.reclaim(&self.map)
    }
}

/// Makes a map one that no blob has.
fn loosen(pending: &mut Pending, map: u64) {
    pending.put(Table::Loose, &map.to_be_bytes(), Vec::new());
}

impl BlobRow {
    /// Makes the map of a blob, whose row goes or is replaced in the same batch, one that no blob has.
    /// Returns it, to be given back.
    pub(crate) fn loosen(&self, pending: &mut Pending) -> Option<u64> {
        self.map().inspect(|map| loosen(pending, *map))
    }
}

impl Inner {
    /// The row of a map in which the chunk at an offset of the blob would be, and where it begins.
    pub(crate) fn map_row(&self, map: u64, at: u64) -> Result<Option<(u64, MapRow)>, StoreError> {
        let row = self.last_row(Table::Maps, &MapRow::key(map, 0), &MapRow::key(map, at))?;
        Ok(row.and_then(|(key, value)| Some((MapRow::parts(&key)?.1, MapRow::decode(&value)?))))
    }

    /// The highest number of a map.
    pub(crate) fn last_map(&self) -> Result<u64, StoreError> {
        let mut last = 0;
        for table in [Table::Maps, Table::Loose] {
            let Some((key, _)) = self.last_row(table, &[], &[u8::MAX; 17])? else { continue };
            let number = key.first_chunk::<8>().copied();
            let number = number.ok_or_else(|| StoreError::corrupt("the number of a map"))?;
            last = last.max(u64::from_be_bytes(number));
        }
        Ok(last)
    }

    /// Gives a loose map back, unless somebody else is doing it.
    pub(crate) fn reclaim_map(&self, map: u64) -> Result<(), StoreError> {
        self.chunks.busy.try_take(map).map_or(Ok(()), |busy| self.reclaim(&busy))
    }

    /// Gives a map back, row by row; may be ended between any two.
    fn reclaim(&self, &Owned { id: map, .. }: &Owned<'_, u64>) -> Result<(), StoreError> {
        let mut to = MapRow::key(map, u64::MAX).to_vec();
        to.push(0);
        loop {
            let rows = self.rows(Table::Maps, &MapRow::key(map, 0), Some(&to), ROWS)?;
            if rows.is_empty() {
                break;
            }
            for (key, value) in rows {
                let row = MapRow::decode(&value);
                let row = row.ok_or_else(|| StoreError::corrupt("a row of the map table"))?;
                self.release_row(&key, &row)?;
            }
            self.maybe_checkpoint()?;
        }
        self.pending().delete(Table::Loose, &map.to_be_bytes());
        Ok(())
    }

    /// Gives back all maps that no blob has, such as those of imports that never ended. Returns how
    /// many.
    pub(crate) fn reclaim_loose(&self) -> Result<u64, StoreError> {
        let mut count = 0;
        let mut from = Vec::new();
        loop {
            let rows = self.rows(Table::Loose, &from, None, ROWS)?;
            let Some((last, _)) = rows.last() else { return Ok(count) };
            from.clone_from(last);
            from.push(0);
            for (key, _) in rows {
                let Some(map) = key.first_chunk().map(|key| u64::from_be_bytes(*key)) else {
                    continue;
                };
                if let Some(busy) = self.chunks.busy.try_take(map) {
                    self.reclaim(&busy)?;
                    count += 1;
                }
            }
        }
    }
}
