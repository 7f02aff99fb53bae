use core::fmt;

use samara_base::BlobId;

use super::Extensions;
use crate::limits::{MODE_MAX, MTIME_SECONDS_MAX, NANOS_MAX};

/// The nine permission bits `rwxrwxrwx`. The set-user-id, set-group-id and sticky bits never
/// travel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mode(u16);

impl Mode {
    /// `rw-r--r--`, for files of systems that know no modes.
    pub const FILE: Self = Self(0o644);
    /// `rwxr-xr-x`, for programs.
    pub const EXECUTABLE: Self = Self(0o755);
    /// `rwxr-xr-x`, for directories of systems that know no modes.
    pub const DIRECTORY: Self = Self(0o755);

    /// The permission bits of `st_mode`, as `stat` gives it; all other bits are dropped.
    #[must_use]
    pub const fn from_st_mode(st_mode: u32) -> Self {
        //= rfcs/0004-chunking.md#coll-10
        //# An encoder MUST drop all bits of a mode but the nine permissions.
        Self(st_mode as u16 & MODE_MAX)
    }

    /// The mode with these bits, or `None` above `0o777`.
    #[must_use]
    pub const fn new(bits: u16) -> Option<Self> {
        if bits <= MODE_MAX { Some(Self(bits)) } else { None }
    }

    /// The bits, at most `0o777`.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mode({:03o})", self.0)
    }
}

impl fmt::Display for Mode {
    /// `rwxr-xr-x`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..9).rev().try_for_each(|bit| {
            let letter = ["x", "w", "r"][bit % 3];
            f.write_str(if self.0 >> bit & 1 == 1 { letter } else { "-" })
        })
    }
}

/// When a file was last modified: seconds and nanoseconds since 1970-01-01 00:00 UTC, without leap
/// seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mtime {
    seconds: i64,
    nanos: u32,
}

impl Mtime {
    /// Earliest representable second.
    pub const SECONDS_MIN: i64 = -1 - Self::SECONDS_MAX;
    /// Latest representable second.
    pub const SECONDS_MAX: i64 = MTIME_SECONDS_MAX;

    /// The time, or `None` if `nanos` is a second or more or `seconds` is more than 2^60 away.
    #[must_use]
    pub const fn new(seconds: i64, nanos: u32) -> Option<Self> {
        if nanos <= NANOS_MAX && seconds >= Self::SECONDS_MIN && seconds <= Self::SECONDS_MAX {
            Some(Self { seconds, nanos })
        } else {
            None
        }
    }

    /// Whole seconds since the epoch, rounded down; negative before 1970.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds to add to [`seconds`](Self::seconds), below 1,000,000,000.
    #[must_use]
    pub const fn nanos(self) -> u32 {
        self.nanos
    }
}

/// Signed to unsigned, small magnitudes to small values: 0, -1, 1, -2, 2, ...
pub(super) const fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

/// The inverse of [`zigzag`].
pub(super) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// One entry of a collection. Borrows its path and target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what is new comes as an extension")]
pub struct Entry<'a> {
    /// Components separated by `/`, relative, any bytes but 0; see [`check_path`](crate::check_path).
    pub path: &'a [u8],
    /// What lies there.
    pub kind: EntryKind<'a>,
    /// What later versions say about it.
    pub extensions: Extensions<'a>,
}

/// What lies at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a new kind is a new version of the format")]
pub enum EntryKind<'a> {
    /// A regular file.
    File {
        /// Permissions.
        mode: Mode,
        /// Last modification, if the sharer tells.
        mtime: Option<Mtime>,
        /// Length, a claim until the blob is verified. Unit: bytes.
        size: u64,
        /// The content.
        id: BlobId,
    },
    /// A directory.
    Directory {
        /// Permissions.
        mode: Mode,
        /// Last modification, if the sharer tells.
        mtime: Option<Mtime>,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, as `readlink` gives it: 1 to 4096 bytes, none of them 0. Nothing else
        /// was checked: see [`LinkTarget`].
        target: &'a [u8],
    },
}

impl<'a> Entry<'a> {
    /// A file entry without extensions.
    #[must_use]
    pub const fn file(
        path: &'a [u8],
        mode: Mode,
        mtime: Option<Mtime>,
        size: u64,
        id: BlobId,
    ) -> Self {
        let kind = EntryKind::File { mode, mtime, size, id };
        Self { path, kind, extensions: Extensions::EMPTY }
    }

    /// A directory entry without extensions.
    #[must_use]
    pub const fn directory(path: &'a [u8], mode: Mode, mtime: Option<Mtime>) -> Self {
        Self { path, kind: EntryKind::Directory { mode, mtime }, extensions: Extensions::EMPTY }
    }

    /// A symbolic link without extensions.
    #[must_use]
    pub const fn symlink(path: &'a [u8], target: &'a [u8]) -> Self {
        Self { path, kind: EntryKind::Symlink { target }, extensions: Extensions::EMPTY }
    }

    /// The last component of the path.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        self.path.rsplit(|byte| *byte == b'/').next().unwrap_or(self.path)
    }

    /// Where a symbolic link leads; `None` for other entries.
    #[must_use]
    pub fn link_target(&self) -> Option<LinkTarget> {
        match self.kind {
            EntryKind::Symlink { target } => Some(LinkTarget::of(self.path, target)),
            EntryKind::File { .. } | EntryKind::Directory { .. } => None,
        }
    }
}

/// Where the target of a symbolic link leads, judged by its text alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a target is one of these three")]
pub enum LinkTarget {
    /// It stays inside the collection, whatever the collection's other links are.
    Inside,
    /// It begins with `/`.
    Absolute,
    /// It has more leading `..` than there are directories above the link, or a `..` that follows a
    /// name. The latter may be harmless, but where `a/..` leads depends on what `a` is.
    Escapes,
}

impl LinkTarget {
    /// Judges the link at `path` with this target.
    ///
    /// ```
    /// use samara_chunk::LinkTarget;
    ///
    /// assert_eq!(LinkTarget::of(b"bin/tool", b"../lib/tool"), LinkTarget::Inside);
    /// assert_eq!(LinkTarget::of(b"bin/tool", b"../../lib/tool"), LinkTarget::Escapes);
    /// assert_eq!(LinkTarget::of(b"bin/tool", b"/bin/sh"), LinkTarget::Absolute);
    /// ```
    #[must_use]
    pub fn of(path: &[u8], target: &[u8]) -> Self {
        if target.starts_with(b"/") {
            return Self::Absolute;
        }
        let mut directories_above = path.iter().filter(|byte| **byte == b'/').count();
        let mut named = false;
        for component in target.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." if named || directories_above == 0 => return Self::Escapes,
                b".." => directories_above -= 1,
                _ => named = true,
            }
        }
        Self::Inside
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn special_bits_never_travel() {
        assert_eq!(Mode::from_st_mode(0o107_755).bits(), 0o755);
        assert_eq!(Mode::new(0o777).map(Mode::bits), Some(0o777));
        assert_eq!(Mode::new(0o1000), None);
        assert_eq!(Mode::EXECUTABLE.to_string(), "rwxr-xr-x");
        assert_eq!(Mode::from_st_mode(0o421).to_string(), "r---w---x");
    }

    #[test]
    fn times_have_edges() {
        assert!(Mtime::new(Mtime::SECONDS_MIN, 999_999_999).is_some());
        assert!(Mtime::new(Mtime::SECONDS_MAX, 0).is_some());
        assert_eq!(Mtime::new(0, 1_000_000_000), None);
        assert_eq!(Mtime::new(Mtime::SECONDS_MIN - 1, 0), None);
        assert_eq!(Mtime::new(Mtime::SECONDS_MAX + 1, 0), None);
    }

    #[test]
    fn zigzag_is_a_bijection_onto_varints() {
        // The largest difference of two times has to fit.
        let widest = Mtime::SECONDS_MAX - Mtime::SECONDS_MIN;
        for (signed, unsigned) in [(0, 0), (-1, 1), (1, 2), (-2, 3), (widest, (1 << 62) - 2)] {
            assert_eq!(zigzag(signed), unsigned);
            assert_eq!(unzigzag(unsigned), signed);
        }
        assert_eq!(unzigzag(crate::varint::MAX), -(1 << 61));
    }

    #[test]
    fn links_are_judged_by_their_text() {
        for (path, target, expected) in [
            (&b"l"[..], &b"a/b"[..], LinkTarget::Inside),
            (b"l", b".", LinkTarget::Inside),
            (b"l", b"./a//b/.", LinkTarget::Inside),
            (b"l", b"..", LinkTarget::Escapes),
            (b"d/l", b"..", LinkTarget::Inside),
            (b"d/l", b".././x", LinkTarget::Inside),
            (b"d/l", b"../..", LinkTarget::Escapes),
            (b"l", b"...", LinkTarget::Inside),
            (b"l", b"//x", LinkTarget::Absolute),
            // `s` may itself be a link to the top of the collection: `s/..` then lies outside.
            (b"l", b"d/s/..", LinkTarget::Escapes),
        ] {
            assert_eq!(LinkTarget::of(path, target), expected, "{path:?} -> {target:?}");
        }
    }
}
