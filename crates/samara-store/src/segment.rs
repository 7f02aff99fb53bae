//! Segment files: appending, reading, scanning. Spec: RFC 0009, section "Segments and records".

mod unwritten;

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

use samara_base::BlobId;

use crate::{
    disk::{Dir, File, Open, join},
    error::{StoreError, failed},
    limits::{PAYLOAD_MAX, RECORD_ALIGN, SEGMENT_NUMBER_MAX},
    record::{
        HEADER_LEN, Header, Kind, SEGMENT_HEADER_LEN, check_segment_header, segment_header, stride,
    },
    row::{Extent, Loc},
};

pub(crate) use unwritten::Unwritten;

/// Directory of the segment files.
pub(crate) const SEGMENTS_DIR: &[u8] = b"segments";
/// Small records are gathered to writes of this size. Unit: bytes.
const BUFFER_LEN: usize = 256 * 1024;
/// Payloads from this length on are written without a copy. Unit: bytes.
const DIRECT_LEN: usize = 32 * 1024;
/// A segment grows by its own length, within these bounds, so that a small store stays small and a
/// large one is not fragmented. Unit: bytes.
const GROW_MIN: u64 = 1 << 20;
const GROW_MAX: u64 = 32 << 20;
/// Write-back is started each time this much was written. Unit: bytes.
const PACE_BYTES: u64 = 8 << 20;
/// Open segment files kept for reading.
const OPEN_FILES_MAX: usize = 64;

/// The path of a segment file in the store's directory.
pub(crate) fn segment_path(number: u32) -> Vec<u8> {
    [SEGMENTS_DIR, format!("/{number:08}.seg").as_bytes()].concat()
}

/// The number in the name of a segment file.
pub(crate) fn segment_number(name: &[u8]) -> Option<u32> {
    let digits = name.strip_suffix(b".seg")?;
    let canonical = digits.len() == 8 && digits.iter().all(u8::is_ascii_digit);
    if canonical {
        core::str::from_utf8(digits).ok()?.parse().ok().filter(|number| *number > 0)
    } else {
        None
    }
}

/// What one append needs to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Append<'a> {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) id: BlobId,
    pub(crate) blob_size: u64,
    pub(crate) blob_offset: u64,
    /// At most [`PAYLOAD_MAX`] bytes.
    pub(crate) payload: &'a [u8],
}

/// Appends records to the last segment.
#[derive(Debug)]
pub(crate) struct Writer {
    dir: Arc<dyn Dir>,
    segment_bytes: u64,
    reserve_bytes: u64,
    /// Number of the segment that the next roll creates.
    number_next: u32,
    open: Option<OpenSegment>,
    /// The last bytes of the open segment.
    unwritten: Arc<Unwritten>,
    /// Segments with bytes that were not synced, for the next checkpoint.
    unsynced: BTreeMap<u32, (Arc<dyn File>, u64)>,
    /// Segments were created, and their names were not synced.
    named: bool,
}

#[derive(Debug)]
struct OpenSegment {
    number: u32,
    path: PathBuf,
    file: Arc<dyn File>,
    /// Where the next record goes.
    end: u64,
    /// The last bytes before `end`, not written yet.
    buffer: Arc<Unwritten>,
    allocated: u64,
    /// Up to here the system was asked to write back, so that the sync at the end is short.
    paced: u64,
}

/// A segment with new bytes: its file, and the end of its records.
pub(crate) type Unsynced = BTreeMap<u32, (Arc<dyn File>, u64)>;

impl Writer {
    /// A writer that goes on at the end of segment `last`, or creates `number_next` when needed.
    pub(crate) fn new(
        dir: Arc<dyn Dir>,
        segment_bytes: u64,
        reserve_bytes: u64,
        number_next: u32,
        last: Option<(u32, Arc<dyn File>, u64)>,
    ) -> Self {
        let unwritten = Arc::new(Unwritten::default());
        let open = last.filter(|(_, _, end)| *end < segment_bytes).map(|(number, file, end)| {
            let path = join(dir.path(), &segment_path(number));
            unwritten.begin(number, end);
            let buffer = Arc::clone(&unwritten);
            OpenSegment { number, path, file, end, buffer, allocated: end, paced: end }
        });
        // The process that created the last segments may have died before it synced their names.
        let (unsynced, named) = (BTreeMap::new(), true);
        Self { dir, segment_bytes, reserve_bytes, number_next, open, unwritten, unsynced, named }
    }

    /// What was appended and is in no file yet, for reading.
    pub(crate) fn unwritten(&self) -> Arc<Unwritten> {
        Arc::clone(&self.unwritten)
    }

    fn path(&self, number: u32) -> PathBuf {
        join(self.dir.path(), &segment_path(number))
    }

    /// Makes a new segment for the records to come.
    pub(crate) fn begin(&mut self) -> Result<(), StoreError> {
        self.seal()?;
        self.open = Some(self.create()?);
        Ok(())
    }

    /// Appends one record. It can be read back at once; it is durable after a checkpoint.
    pub(crate) fn append(&mut self, what: &Append<'_>) -> Result<Loc, StoreError> {
        debug_assert!(what.payload.len() <= PAYLOAD_MAX, "invariant: callers split payloads");
        let mut header = Header::new(what.kind, what.id, what.payload);
        let stride = stride(header.payload_len);
        if self.open.as_ref().is_some_and(|open| open.end + stride > self.segment_bytes) {
            self.seal()?;
        }
        if self.open.is_none() {
            self.open = Some(self.create()?);
        }
        self.allocate(stride)?;
        let Some(open) = &mut self.open else {
            return Err(StoreError::corrupt("no open segment"));
        };
        if open.buffer.len() >= BUFFER_LEN {
            open.flush()?;
        }
        header.flags = what.flags;
        header.blob_size = what.blob_size;
        header.blob_offset = what.blob_offset;
        header.segment = open.number;
        let at = open.end;
        open.put(&header, what.payload)?;
        open.pace();
        let dirty = (Arc::clone(&open.file), open.end);
        self.unsynced.insert(open.number, dirty);
        Ok(Loc { segment: open.number, offset: u32::try_from(at).unwrap_or(u32::MAX) })
    }

    /// Reserves space ahead of the end.
    fn allocate(&mut self, more: u64) -> Result<(), StoreError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let needed = open.end + more;
        if needed <= open.allocated {
            return Ok(());
        }
        let free = self.dir.free_bytes().map_err(failed("measure", self.dir.path()))?;
        if free < more.saturating_add(self.reserve_bytes) {
            return Err(StoreError::NoSpace { needed: more, quota: None, free });
        }
        let room = free - self.reserve_bytes;
        let grow = open.allocated.clamp(GROW_MIN, GROW_MAX).min(room).max(more);
        let target = (open.allocated + grow).max(needed).min(self.segment_bytes.max(needed));
        match open.file.allocate(open.allocated, target - open.allocated) {
            Ok(()) => open.allocated = target,
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                open.allocated = target;
            }
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                return Err(StoreError::NoSpace { needed: more, quota: None, free });
            }
            Err(error) => return Err(StoreError::io("grow", self.dir.path(), error)),
        }
        Ok(())
    }

    fn create(&mut self) -> Result<OpenSegment, StoreError> {
        let number = self.number_next;
        let path = self.path(number);
        //= rfcs/0009-store.md#store-25
        //# A store MUST number its segments from 1 to 99,999,999.
        if number > SEGMENT_NUMBER_MAX {
            let taken = io::Error::other("the last segment number is taken");
            return Err(StoreError::io("create", path, taken));
        }
        let free = self.dir.free_bytes().map_err(failed("measure", self.dir.path()))?;
        if free < self.reserve_bytes {
            return Err(StoreError::NoSpace { needed: GROW_MIN, quota: None, free });
        }
        let file = self
            .dir
            .open(&segment_path(number), Open::Create { mode: 0o600 })
            .map_err(failed("create", &path))?;
        file.write_at(&segment_header(number), 0).map_err(failed("write", &path))?;
        // Its name is synced by the checkpoint, so that no writer waits for the disk here.
        self.named = true;
        self.number_next = number.saturating_add(1);
        let end = SEGMENT_HEADER_LEN as u64;
        self.unsynced.insert(number, (Arc::clone(&file), end));
        self.unwritten.begin(number, end);
        let buffer = Arc::clone(&self.unwritten);
        Ok(OpenSegment { number, path, file, end, buffer, allocated: end, paced: end })
    }

    /// Ends the open segment.
    fn seal(&mut self) -> Result<(), StoreError> {
        self.flush()?;
        if let Some(open) = self.open.take() {
            // The rest of the preallocation goes back; failing to give it back costs only space.
            let _ = open.file.set_len(open.end);
        }
        Ok(())
    }

    /// Writes what is buffered, so that all records can be read from their files.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.open.as_ref().map_or(Ok(()), OpenSegment::flush)
    }

    /// The segments written to since the last call, to be synced. Flush before.
    pub(crate) fn take_unsynced(&mut self) -> Unsynced {
        core::mem::take(&mut self.unsynced)
    }

    /// Whether segments were created since the last call, whose names are to be synced.
    pub(crate) const fn take_named(&mut self) -> bool {
        core::mem::replace(&mut self.named, false)
    }

    /// Cuts the preallocation of the open segment off. For an orderly end.
    pub(crate) fn close(&mut self) -> Result<(), StoreError> {
        self.seal()
    }

    /// Something that no earlier record has had: the number of the next segment, and the offset in the
    /// open one.
    pub(crate) fn position(&self) -> (u32, u64) {
        let open = self.open.as_ref();
        (self.number_next, open.map_or(0, |open| open.end))
    }

    /// Number of the segment that is being written, if any.
    pub(crate) fn open_number(&self) -> Option<u32> {
        self.open.as_ref().map(|open| open.number)
    }
}

impl OpenSegment {
    /// Has the system begin to write what was written, now and then.
    fn pace(&mut self) {
        let written = self.end - self.buffer.len() as u64;
        let len = written.saturating_sub(self.paced);
        if len >= PACE_BYTES {
            self.file.start_writeback(self.paced, len);
            self.paced = written;
        }
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.buffer.write_to(&*self.file).map_err(failed("write", &self.path))
    }

    /// Puts a record at the end. On failure there is no record, and the next takes its place.
    fn put(&mut self, header: &Header, payload: &[u8]) -> Result<(), StoreError> {
        let (at, buffered) = (self.end, self.buffer.len());
        let end = at + stride(header.payload_len);
        if payload.len() < DIRECT_LEN {
            self.end = end;
            // Padding: as long as the file and the buffer agree about the end, it is zeros.
            self.buffer.push(&[&header.encode(), payload], padding(payload.len()));
            return Ok(());
        }
        self.buffer.push(&[&header.encode()], 0);
        let written = self.flush().and_then(|()| {
            let payload_at = at + HEADER_LEN as u64;
            self.file.write_at(payload, payload_at).map_err(failed("write", &self.path))
        });
        if let Err(error) = written {
            self.buffer.cut(at, buffered);
            return Err(error);
        }
        // The padding goes out with what follows; nobody reads it.
        self.buffer.skip(payload.len());
        self.buffer.push(&[], padding(payload.len()));
        self.end = end;
        Ok(())
    }
}

/// Bytes from the end of a payload to the next record.
fn padding(payload_len: usize) -> usize {
    payload_len.next_multiple_of(RECORD_ALIGN) - payload_len
}

/// Segment files opened for reading.
#[derive(Debug, Default)]
pub(crate) struct SegmentFiles {
    open: BTreeMap<u32, Arc<dyn File>>,
}

impl SegmentFiles {
    pub(crate) fn get(&self, number: u32) -> Option<Arc<dyn File>> {
        self.open.get(&number).map(Arc::clone)
    }

    pub(crate) fn put(&mut self, number: u32, file: &Arc<dyn File>) {
        if self.open.len() >= OPEN_FILES_MAX {
            // Old segments are read least.
            self.open.pop_first();
        }
        self.open.insert(number, Arc::clone(file));
    }

    pub(crate) fn forget(&mut self, number: u32) {
        self.open.remove(&number);
    }
}

/// What is called for each record that is found: with its offset, its header and its payload.
pub(crate) type Visit<'a> = dyn FnMut(u64, &Header, &[u8]) -> Result<(), StoreError> + 'a;

/// Goes through the records of a segment from `from` on, as far as they are whole. `visit` gets the
/// offset, the header and the payload. Returns the end of the last whole record.
pub(crate) fn scan(
    file: &dyn File,
    number: u32,
    from: u64,
    visit: &mut Visit<'_>,
) -> Result<u64, StoreError> {
    let path = PathBuf::from(format!("segments/{number:08}.seg"));
    let read = |buf: &mut [u8], at| file.read_at(buf, at).map_err(failed("read", &path));
    let mut end = from.max(SEGMENT_HEADER_LEN as u64);
    let mut first = [0; SEGMENT_HEADER_LEN];
    let len = read(&mut first, 0)?;
    if check_segment_header(first.get(..len).unwrap_or_default(), number).is_err() {
        return Ok(end);
    }
    let mut header = [0; HEADER_LEN];
    let mut payload = Vec::new();
    loop {
        if read(&mut header, end)? < HEADER_LEN {
            return Ok(end);
        }
        let Ok(header) = Header::decode(&header, number) else { return Ok(end) };
        payload.resize(header.payload_len as usize, 0);
        let len = read(&mut payload, end + HEADER_LEN as u64)?;
        if header.check_payload(payload.get(..len).unwrap_or_default()).is_err() {
            return Ok(end);
        }
        visit(end, &header, &payload)?;
        end += stride(header.payload_len);
    }
}

/// Splits the part `from..to` of an extent's bytes into reads: (offset in the file, length).
pub(crate) fn pieces(extent: &Extent, from: u64, to: u64) -> impl Iterator<Item = (u64, usize)> {
    let chunk = u64::from(extent.chunk);
    let stride = stride(extent.chunk);
    let start = u64::from(extent.loc.offset) + HEADER_LEN as u64;
    let mut at = from;
    core::iter::from_fn(move || {
        if at >= to {
            return None;
        }
        let (record, inside) = (at / chunk, at % chunk);
        let len = (chunk - inside).min(to - at);
        let offset = start.saturating_add(record.saturating_mul(stride)).saturating_add(inside);
        at += len;
        Some((offset, usize::try_from(len).unwrap_or(usize::MAX)))
    })
}

/// Appends the record at `next` to an extent that it directly follows, if it does.
pub(crate) fn extend(extent: &Extent, next: Loc, payload_len: u32) -> Option<Extent> {
    let chunk = u64::from(extent.chunk);
    let full = extent.len.is_multiple_of(chunk);
    let follows = u64::from(extent.loc.offset) + extent.len / chunk * stride(extent.chunk);
    let fits = full
        && payload_len <= extent.chunk
        && next.segment == extent.loc.segment
        && u64::from(next.offset) == follows;
    fits.then(|| Extent { len: extent.len + u64::from(payload_len), ..*extent })
}

#[cfg(test)]
mod tests;
