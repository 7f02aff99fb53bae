//! The limits of RFC 0004. Each has a test at both sides.
//!
//! ```
//! use samara_chunk::{check_path, limits};
//!
//! assert!(check_path(&vec![b'n'; limits::NAME_BYTES_MAX]).is_ok());
//! assert!(check_path(&vec![b'n'; limits::NAME_BYTES_MAX + 1]).is_err());
//! ```

// registry manifest-versions: begin
/// The version of the manifest format that this crate reads and writes.
pub const MANIFEST_VERSION: u8 = 1;
// registry manifest-versions: end

/// The numbers of the chunker's profiles.
#[cfg(feature = "std")]
pub(crate) mod profile {
    // registry chunk-profiles: begin
    pub(crate) const KIB16: u8 = 14;
    pub(crate) const KIB32: u8 = 15;
    pub(crate) const KIB64: u8 = 16;
    pub(crate) const KIB256: u8 = 18;
    // registry chunk-profiles: end
}

// registry manifest-limits: begin
/// Largest value of a varint.
pub(crate) const VARINT_MAX: u64 = (1 << 62) - 1;

/// Longest manifest. Unit: bytes.
pub const MANIFEST_BYTES_MAX: u32 = 268_435_456;

/// Most entries in a manifest.
pub const ENTRIES_MAX: u32 = 1_048_576;

/// Longest path of an entry. Unit: bytes.
pub const PATH_BYTES_MAX: usize = 4096;

/// Longest name, that is one component of a path. Unit: bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// Most components in a path.
pub const DEPTH_MAX: usize = 64;

/// Longest target of a symbolic link. Unit: bytes.
pub const TARGET_BYTES_MAX: usize = 4096;

/// Longest extension area, of the manifest or of one entry. Unit: bytes.
pub const EXTENSION_BYTES_MAX: usize = 4096;

/// Largest size of one file, and of all files together. Unit: bytes.
pub const TOTAL_BYTES_MAX: u64 = (1 << 62) - 1;

/// All bits that a mode may have: reading, writing and executing.
pub const MODE_MAX: u16 = 0o777;

/// Latest second of a time; the earliest is as far on the other side of 1970, and one more.
pub const MTIME_SECONDS_MAX: i64 = (1 << 60) - 1;

/// Most nanoseconds of a time, beside its seconds.
pub const NANOS_MAX: u32 = 999_999_999;
// registry manifest-limits: end
/// No entry, extension area included, is longer. A reader that keeps this many bytes buffered can
/// always take the next entry. Unit: bytes.
pub const ENTRY_BYTES_MAX: usize =
    4 + NAME_BYTES_MAX + 2 + TARGET_BYTES_MAX + 2 + EXTENSION_BYTES_MAX;
