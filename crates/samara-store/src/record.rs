//! Records: what a segment file is made of. Spec: RFC 0009, section "Segments and records".

use core::fmt;

use samara_base::{BlobId, ChunkId};
use samara_tree::{Cv, Tree};

use crate::limits::{
    CHUNK_BYTES_MAX, PAYLOAD_MAX, RECORD_ALIGN, SEGMENT_NUMBER_MAX, SEGMENT_VERSION, kind,
};

/// Length of a record's header. Unit: bytes.
pub(crate) const HEADER_LEN: usize = 72;
/// Length of the header of a segment file. Unit: bytes.
pub(crate) const SEGMENT_HEADER_LEN: usize = 64;

/// What every record begins with.
pub(crate) const MAGIC: [u8; 4] = *b"SmRc";
const SEGMENT_MAGIC: [u8; 8] = *b"SamaraSg";

/// What the payload of a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Bytes of a blob.
    Data = kind::DATA,
    /// Chaining values of a blob's 16 KiB groups.
    Outboard = kind::OUTBOARD,
    /// Binds an import's provisional id to the blob that it turned out to be.
    Bind = kind::BINDING,
    /// A chunk that blobs may share.
    Chunk = kind::CHUNK,
    /// The chunks of a blob, or of a part of it.
    Map = kind::MAP,
}

/// The id in the header is an import's provisional id, since the blob's is not known yet.
pub(crate) const FLAG_PROVISIONAL: u8 = 1;
/// The payload of a chunk is compressed.
pub(crate) const FLAG_COMPRESSED: u8 = 2;

/// The header of a record, all integers little-endian.
///
/// ```text
///  0       4      5       6        8             12            16
/// +-------+------+-------+--------+-------------+-------------+
/// | magic | kind | flags | zero   | payload len | payload CRC |
/// +-------+------+-------+--------+-------------+-------------+
///  16                     24                     32
/// +----------------------+----------------------+
/// | blob size            | blob offset          |
/// +----------------------+----------------------+
///  32                          64        68           72
/// +---------------------------+---------+------------+
/// | id (32 bytes)             | segment | header CRC |
/// +---------------------------+---------+------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    /// Unit: bytes, at most [`PAYLOAD_MAX`].
    pub(crate) payload_len: u32,
    pub(crate) payload_crc: u32,
    /// Size of the blob as far as known, 0 for data and maps with a provisional id; length of a chunk.
    /// Unit: bytes.
    pub(crate) blob_size: u64,
    /// Where the payload belongs in the blob, or in its outboard. Unit: bytes.
    pub(crate) blob_offset: u64,
    pub(crate) id: BlobId,
    /// Number of the segment file, so that a misplaced write is seen.
    pub(crate) segment: u32,
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordError {
    /// Offset of the first wrong field. Unit: bytes from the start of the record.
    pub(crate) offset: u32,
    pub(crate) field: Field,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Length,
    Magic,
    Kind,
    Flags,
    Reserved,
    PayloadLen,
    PayloadCrc,
    BlobSize,
    Span,
    Segment,
    HeaderCrc,
    Entry,
    Version,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a record: wrong {:?} at byte {}", self.field, self.offset)
    }
}

fn wrong(offset: u32, field: Field) -> RecordError {
    RecordError { offset, field }
}

impl Header {
    /// A header for `payload`.
    pub(crate) fn new(kind: Kind, id: BlobId, payload: &[u8]) -> Self {
        debug_assert!(payload.len() <= PAYLOAD_MAX, "invariant: callers split payloads");
        Self {
            kind,
            flags: 0,
            payload_len: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            payload_crc: crc32fast::hash(payload),
            blob_size: 0,
            blob_offset: 0,
            id,
            segment: 0,
        }
    }

    /// The bytes of the header.
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            if let Some(place) = bytes.get_mut(at..at + field.len()) {
                place.copy_from_slice(field);
            }
            at += field.len();
        };
        put(&MAGIC);
        put(&[self.kind as u8, self.flags, 0, 0]);
        put(&self.payload_len.to_le_bytes());
        put(&self.payload_crc.to_le_bytes());
        put(&self.blob_size.to_le_bytes());
        put(&self.blob_offset.to_le_bytes());
        put(self.id.as_bytes());
        put(&self.segment.to_le_bytes());
        if let Some((crc, fields)) = bytes.split_last_chunk_mut::<4>().map(|(f, c)| (c, f)) {
            *crc = crc32fast::hash(fields).to_le_bytes();
        }
        bytes
    }

    /// Reads a header; `segment` is the file it lies in. The payload is checked by
    /// [`check_payload`](Self::check_payload).
    pub(crate) fn decode(bytes: &[u8], segment: u32) -> Result<Self, RecordError> {
        let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(wrong(u32::try_from(bytes.len()).unwrap_or(u32::MAX), Field::Length));
        };
        let mut reader = Reader(bytes);
        if reader.take::<4>() != MAGIC {
            return Err(wrong(0, Field::Magic));
        }
        //= rfcs/0009-store.md#store-2
        //# A reader MUST treat a record whose header or payload does not match its CRC-32 as absent.
        let (fields, crc) = bytes.split_at(HEADER_LEN - 4);
        if crc != crc32fast::hash(fields).to_le_bytes() {
            return Err(wrong(68, Field::HeaderCrc));
        }
        //= rfcs/0009-store.md#store-21
        //# A reader MUST treat a record as absent whose magic, kind, flags, zeros, segment number or
        //# span is not as the table says.
        let [found, flags, reserved @ ..] = reader.take::<4>();
        let kind = match found {
            kind::DATA => Kind::Data,
            kind::OUTBOARD => Kind::Outboard,
            kind::BINDING => Kind::Bind,
            kind::CHUNK => Kind::Chunk,
            kind::MAP => Kind::Map,
            _ => return Err(wrong(4, Field::Kind)),
        };
        let known = match kind {
            Kind::Chunk => FLAG_PROVISIONAL | FLAG_COMPRESSED,
            _ => FLAG_PROVISIONAL,
        };
        if flags & !known != 0 {
            return Err(wrong(5, Field::Flags));
        }
        if reserved != [0; 2] {
            return Err(wrong(6, Field::Reserved));
        }
        let payload_len = reader.u32();
        //= rfcs/0009-store.md#store-20
        //# A reader MUST treat a record that announces a payload of more than 1,048,576 bytes as absent.
        if payload_len as usize > PAYLOAD_MAX {
            return Err(wrong(8, Field::PayloadLen));
        }
        let payload_crc = reader.u32();
        let (blob_size, blob_offset) = (reader.u64(), reader.u64());
        let id = BlobId::from_bytes(reader.take::<32>());
        let found = reader.u32();
        if found != segment || !(1..=SEGMENT_NUMBER_MAX).contains(&found) {
            return Err(wrong(64, Field::Segment));
        }
        let header =
            Self { kind, flags, payload_len, payload_crc, blob_size, blob_offset, id, segment };
        header.check_span()?;
        Ok(header)
    }

    pub(crate) const fn is_compressed(&self) -> bool {
        self.flags & FLAG_COMPRESSED != 0
    }

    /// Whether id, size, offset and length go with the kind.
    fn check_span(&self) -> Result<(), RecordError> {
        let provisional = self.flags & FLAG_PROVISIONAL != 0;
        let (offset, len) = (self.blob_offset, u64::from(self.payload_len));
        let end = offset.checked_add(len).ok_or_else(|| wrong(24, Field::Span))?;
        match self.kind {
            //= rfcs/0009-store.md#store-23
            //# A reader MUST treat a record with a provisional id as absent if it is an outboard,
            //# or if it is data with a blob size other than 0.
            Kind::Data if provisional && self.blob_size != 0 => Err(wrong(16, Field::BlobSize)),
            Kind::Outboard if provisional => Err(wrong(5, Field::Flags)),
            Kind::Data if !provisional && end > self.blob_size => Err(wrong(24, Field::Span)),
            //= rfcs/0009-store.md#store-24
            //# A reader MUST treat an outboard record as absent whose blob offset or payload length
            //# is not a multiple of 32, or whose span ends behind the outboard of a blob of its
            //# size.
            Kind::Outboard if !(offset | len).is_multiple_of(Cv::LEN as u64) => {
                Err(wrong(24, Field::Span))
            }
            Kind::Outboard if end > Tree::new(self.blob_size).outboard_len() => {
                Err(wrong(24, Field::Span))
            }
            //= rfcs/0009-store.md#store-22
            //# A reader MUST treat a binding as absent whose id is not marked as provisional, whose
            //# payload is not 32 bytes long or whose blob offset is not 0.
            Kind::Bind if !provisional => Err(wrong(5, Field::Flags)),
            Kind::Bind if len != BlobId::LEN as u64 => Err(wrong(8, Field::PayloadLen)),
            Kind::Bind if offset != 0 => Err(wrong(24, Field::Span)),
            //= rfcs/0009-store.md#store-33
            //# A reader MUST treat a chunk record as absent whose id is provisional, whose blob
            //# offset is not 0, whose blob size is not the length of a chunk, or whose payload is
            //# not as long as the chunk if it is not compressed, or not shorter if it is.
            Kind::Chunk if provisional => Err(wrong(5, Field::Flags)),
            Kind::Chunk if offset != 0 => Err(wrong(24, Field::Span)),
            Kind::Chunk if !(1..=u64::from(CHUNK_BYTES_MAX)).contains(&self.blob_size) => {
                Err(wrong(16, Field::BlobSize))
            }
            Kind::Chunk if self.is_compressed() && (len == 0 || len >= self.blob_size) => {
                Err(wrong(8, Field::PayloadLen))
            }
            Kind::Chunk if !self.is_compressed() && len != self.blob_size => {
                Err(wrong(8, Field::PayloadLen))
            }
            //= rfcs/0009-store.md#store-34
            //# A reader MUST treat a map record as absent whose id is not provisional, whose blob
            //# size is not 0, whose payload is not one or more entries of 36 bytes, or of which an
            //# entry's length is not 1 to 1,048,576.
            Kind::Map if !provisional => Err(wrong(5, Field::Flags)),
            Kind::Map if self.blob_size != 0 => Err(wrong(16, Field::BlobSize)),
            Kind::Map if len == 0 || !len.is_multiple_of(MAP_ENTRY_LEN as u64) => {
                Err(wrong(8, Field::PayloadLen))
            }
            Kind::Data | Kind::Outboard | Kind::Bind | Kind::Chunk | Kind::Map => Ok(()),
        }
    }

    /// Whether these bytes are the payload.
    pub(crate) fn check_payload(&self, payload: &[u8]) -> Result<(), RecordError> {
        if payload.len() != self.payload_len as usize {
            return Err(wrong(8, Field::PayloadLen));
        }
        if crc32fast::hash(payload) != self.payload_crc {
            return Err(wrong(12, Field::PayloadCrc));
        }
        if self.kind == Kind::Map {
            for (at, (_, len)) in map_entries(payload).enumerate() {
                if !(1..=CHUNK_BYTES_MAX).contains(&len) {
                    let at = HEADER_LEN + at * MAP_ENTRY_LEN + ChunkId::LEN;
                    return Err(wrong(u32::try_from(at).unwrap_or(u32::MAX), Field::Entry));
                }
            }
        }
        Ok(())
    }
}

/// Length of an entry of a map record: a chunk's id, its length. Unit: bytes.
pub(crate) const MAP_ENTRY_LEN: usize = ChunkId::LEN + 4;

/// The entries of a map record: ids and lengths of chunks.
pub(crate) fn map_entries(payload: &[u8]) -> impl Iterator<Item = (ChunkId, u32)> {
    payload.as_chunks::<MAP_ENTRY_LEN>().0.iter().map(|entry| {
        let mut reader = Reader(entry);
        (ChunkId::from_bytes(reader.take()), reader.u32())
    })
}

/// Distance from one record to the next. Unit: bytes.
pub(crate) const fn stride(payload_len: u32) -> u64 {
    (HEADER_LEN + payload_len as usize).next_multiple_of(RECORD_ALIGN) as u64
}

/// The header of a segment file: magic, version, number, zeros, CRC-32.
pub(crate) fn segment_header(number: u32) -> [u8; SEGMENT_HEADER_LEN] {
    let mut bytes = [0; SEGMENT_HEADER_LEN];
    let fields =
        [SEGMENT_MAGIC.as_slice(), &SEGMENT_VERSION.to_le_bytes(), &number.to_le_bytes()].concat();
    if let Some(place) = bytes.get_mut(..fields.len()) {
        place.copy_from_slice(&fields);
    }
    if let Some((fields, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32fast::hash(fields).to_le_bytes();
    }
    bytes
}

/// Whether these bytes are the header of this segment.
pub(crate) fn check_segment_header(bytes: &[u8], number: u32) -> Result<(), RecordError> {
    let expected = segment_header(number);
    if bytes == expected {
        return Ok(());
    }
    match bytes.first_chunk::<SEGMENT_HEADER_LEN>() {
        None => Err(wrong(u32::try_from(bytes.len()).unwrap_or(u32::MAX), Field::Length)),
        Some(bytes) if bytes.first_chunk::<8>() != Some(&SEGMENT_MAGIC) => {
            Err(wrong(0, Field::Magic))
        }
        Some(bytes) if bytes.get(8..12) != expected.get(8..12) => Err(wrong(8, Field::Version)),
        Some(bytes) if bytes.get(12..16) != expected.get(12..16) => Err(wrong(12, Field::Segment)),
        Some(_) => Err(wrong(60, Field::HeaderCrc)),
    }
}

/// Takes fixed-width fields off the front; what is missing reads as zeros, so callers check the
/// length first.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> [u8; N] {
        self.try_take().unwrap_or([0; N])
    }

    pub(crate) fn try_take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
