//! The whole records of a segment, wherever they begin.

use core::ops::Range;
use std::path::Path;

use crate::{
    disk::File,
    error::{StoreError, failed},
    limits::RECORD_ALIGN,
    record::{HEADER_LEN, Header, MAGIC, SEGMENT_HEADER_LEN, stride},
    segment::Visit,
};

/// What is read at once, and what is given up when a part of it can't be read. Unit: bytes.
const WINDOW_LEN: usize = 64 << 10;
const SECTOR_LEN: u64 = 4 << 10;

/// Records begin at multiples of this. Unit: bytes.
const STEP: u64 = RECORD_ALIGN as u64;

/// What [`scan`] found.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// Nothing but zeros lies behind this, a multiple of eight.
    pub(crate) end: u64,
    /// Length of the file.
    pub(crate) len: u64,
    /// Where to go on.
    pub(crate) next: u64,
    /// Bytes that belong to no whole record and are not zeros, in steps of eight.
    pub(crate) skipped: u64,
}

/// Goes through the whole records of a segment that begin in a range. What can't be read is no record.
pub(crate) fn scan(
    file: &dyn File,
    number: u32,
    range: Range<u64>,
    visit: &mut Visit<'_>,
) -> Result<Scanned, StoreError> {
    let len = file.meta().map_err(failed("stat", Path::new("a segment")))?.size;
    // Places in a segment have 32 bits.
    let limit = len.min(u32::MAX.into());
    let mut window = Window { file, limit, start: 0, bytes: Vec::new() };
    let mut at = range.start.max(SEGMENT_HEADER_LEN as u64);
    let end = if len > limit { len.next_multiple_of(STEP) } else { at };
    let mut found = Scanned { end, len, next: at, skipped: 0 };
    let mut payload = Vec::new();
    while at < limit.min(range.end) {
        let mut header = [0; HEADER_LEN];
        let read = file.read_at(&mut header, at).unwrap_or_default();
        let Ok(header) = Header::decode(header.get(..read).unwrap_or_default(), number) else {
            at = window.next_magic(at, &mut found);
            continue;
        };
        payload.resize(header.payload_len as usize, 0);
        let read = file.read_at(&mut payload, at + HEADER_LEN as u64).unwrap_or_default();
        let next = at + stride(header.payload_len);
        match header.check_payload(payload.get(..read).unwrap_or_default()) {
            Ok(()) => visit(at, &header, &payload)?,
            Err(_) => found.skipped += next.min(len) - at,
        }
        found.end = found.end.max(next);
        at = next;
    }
    found.next = at;
    Ok(found)
}

/// A part of the file.
struct Window<'a> {
    file: &'a dyn File,
    limit: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// The next place behind `from` at which a record may begin, or the end of what can be looked at.
    fn next_magic(&mut self, from: u64, found: &mut Scanned) -> u64 {
        let mut at = from;
        while let Some(word) = self.word(at) {
            if at > from && word.starts_with(&MAGIC) {
                return at;
            }
            if word.iter().any(|byte| *byte != 0) {
                found.skipped += word.len() as u64;
                found.end = found.end.max(at + STEP);
            }
            at += STEP;
        }
        at.max(self.limit)
    }

    /// The eight bytes from `at` on, fewer at the end.
    fn word(&mut self, at: u64) -> Option<&[u8]> {
        if at >= self.limit {
            return None;
        }
        if !(self.start..self.start + self.bytes.len() as u64).contains(&at) {
            self.load(at);
        }
        let from = usize::try_from(at - self.start).ok()?;
        let rest = self.bytes.get(from..)?;
        rest.get(..RECORD_ALIGN).or(Some(rest)).filter(|word| !word.is_empty())
    }

    fn load(&mut self, at: u64) {
        self.start = at;
        self.bytes.resize(WINDOW_LEN, 0);
        let mut read = self.file.read_at(&mut self.bytes, at);
        if read.is_err() {
            // As little as possible is given up.
            let sector = (at / SECTOR_LEN + 1) * SECTOR_LEN - at;
            self.bytes.truncate(usize::try_from(sector).unwrap_or(WINDOW_LEN));
            read = self.file.read_at(&mut self.bytes, at);
            if read.is_err() {
                self.bytes.fill(u8::MAX);
                return;
            }
        }
        self.bytes.truncate(read.unwrap_or_default());
    }
}
