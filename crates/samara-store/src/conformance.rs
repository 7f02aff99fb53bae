//! The format of records by itself, for tests of other implementations. Unstable.

use samara_base::BlobId;

use crate::{
    limits::PAYLOAD_MAX,
    record::{FLAG_COMPRESSED, FLAG_PROVISIONAL, HEADER_LEN, Header, Kind},
};

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers build it")]
pub struct Record {
    /// 1 data, 2 outboard, 3 binding, 4 chunk, 5 map.
    pub kind: u8,
    /// Whether the id is provisional.
    pub provisional: bool,
    /// Whether the payload is compressed.
    pub compressed: bool,
    /// The blob's id, or a provisional one.
    pub id: BlobId,
    /// Size of the blob. Unit: bytes.
    pub blob_size: u64,
    /// Where the payload belongs. Unit: bytes.
    pub blob_offset: u64,
    /// What is kept.
    pub payload: Vec<u8>,
}

/// Reads a record that fills `bytes`; `segment` is the number of its file.
///
/// # Errors
///
/// What is wrong, in words.
pub fn decode(bytes: &[u8], segment: u32) -> Result<Record, String> {
    let header = Header::decode(bytes, segment).map_err(|error| error.to_string())?;
    let payload = bytes.get(HEADER_LEN..).unwrap_or_default();
    header.check_payload(payload).map_err(|error| error.to_string())?;
    Ok(Record {
        kind: header.kind as u8,
        provisional: header.flags & FLAG_PROVISIONAL != 0,
        compressed: header.is_compressed(),
        id: header.id,
        blob_size: header.blob_size,
        blob_offset: header.blob_offset,
        payload: payload.to_vec(),
    })
}

/// Writes a record.
///
/// # Errors
///
/// What no record has, in words.
pub fn encode(record: &Record, segment: u32) -> Result<Vec<u8>, String> {
    if record.payload.len() > PAYLOAD_MAX {
        return Err(format!("a payload has at most {PAYLOAD_MAX} bytes"));
    }
    let kind = match record.kind {
        1 => Kind::Data,
        2 => Kind::Outboard,
        3 => Kind::Bind,
        4 => Kind::Chunk,
        5 => Kind::Map,
        other => return Err(format!("there is no kind {other}")),
    };
    let header = Header {
        flags: if record.provisional { FLAG_PROVISIONAL } else { 0 }
            | if record.compressed { FLAG_COMPRESSED } else { 0 },
        blob_size: record.blob_size,
        blob_offset: record.blob_offset,
        segment,
        ..Header::new(kind, record.id, &record.payload)
    };
    let bytes = [header.encode().as_slice(), &record.payload].concat();
    // What the reader refuses is not written.
    decode(&bytes, segment)?;
    Ok(bytes)
}
