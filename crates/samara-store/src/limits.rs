//! Limits and numbers of the disk's format. What stands between the marks is made of
//! `rfcs/registry.toml`. Spec: RFC 0009, section "Limits".

// registry store-limits: begin
pub(crate) const PAYLOAD_MAX: usize = 1_048_576;
pub(crate) const SEGMENT_BYTES_MIN: u64 = 1_048_576;
pub(crate) const SEGMENT_BYTES_MAX: u64 = 1_073_741_824;

/// Highest number of a segment: its file has eight digits. The lowest is 1.
pub(crate) const SEGMENT_NUMBER_MAX: u32 = 99_999_999;

/// The longest relative path that the store accepts. Unit: bytes. The value is Linux's `PATH_MAX`
/// without its final zero.
pub const REL_PATH_MAX: usize = 4095;

/// Longest byte string behind a length of two bytes, such as the path of a root. Unit: bytes.
pub(crate) const SHORT_BYTES_MAX: u16 = 65_535;
pub(crate) const PLACES_MAX: usize = 4;
pub(crate) const CHUNK_BYTES_MAX: u32 = 1_048_576;

/// Most chunks in one row of a map.
pub(crate) const MAP_ENTRIES_MAX: usize = 128;
pub(crate) const NAME_MAX: usize = 1024;
pub(crate) const JOURNAL_ENTRY_MAX: usize = 65_536;
pub(crate) const RECORD_ALIGN: usize = 8;
pub(crate) const SEGMENT_VERSION: u32 = 1;

/// Records of partial blobs in segment tails that recovery remembers. A checkpoint comes at least
/// every 32,768 rows, so more appear only in a segment that somebody made up.
pub(crate) const TAIL_RECORDS_MAX: usize = 65_536;

/// Most blobs that one search for what to evict names.
pub(crate) const EVICTIONS_MAX: usize = 1024;

/// Groups that one call of a scrub gives up because the disk can't read them. Where more can't be
/// read, it is the disk that is gone, and not what lies on it.
pub(crate) const UNREADABLE_MAX: u64 = 16;
// registry store-limits: end

/// What the payload of a record is.
pub(crate) mod kind {
    // registry record-kinds: begin
    pub(crate) const DATA: u8 = 1;
    pub(crate) const OUTBOARD: u8 = 2;
    pub(crate) const BINDING: u8 = 3;
    pub(crate) const CHUNK: u8 = 4;
    pub(crate) const MAP: u8 = 5;
    // registry record-kinds: end
}

// registry store-limits derived: begin
const _: () = assert!(NAME_MAX as u64 == 1024);
const _: () = assert!(samara_base::GroupLog2::KIB16.bytes() == 16_384);
// registry store-limits derived: end
