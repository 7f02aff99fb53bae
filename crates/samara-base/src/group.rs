use core::{fmt, ops::Range};

/// Bytes in a leaf, the smallest unit that BLAKE3 can prove.
pub const LEAF_BYTES: u64 = 1024;

/// Number of leaves in a blob of `size` bytes. An empty blob has one (empty) leaf.
#[must_use]
pub const fn leaves(size: u64) -> u64 {
    if size == 0 { 1 } else { size.div_ceil(LEAF_BYTES) }
}

/// The smallest range of leaves that covers a range of bytes. An empty byte range gives an empty
/// leaf range.
#[must_use]
pub const fn leaf_span(bytes: &Range<u64>) -> Range<u64> {
    if bytes.start >= bytes.end {
        let at = bytes.start / LEAF_BYTES;
        at..at
    } else {
        bytes.start / LEAF_BYTES..bytes.end.div_ceil(LEAF_BYTES)
    }
}

/// Base-2 logarithm of the leaves in a group, the unit of proof: 0 (1 KiB) to 10 (1 MiB).
///
/// The group size is a choice per request; the blob's id does not depend on it.
///
/// ```
/// use samara_base::GroupLog2;
///
/// let group = GroupLog2::new(4).ok_or("in range")?;
/// assert_eq!(group.leaves(), 16);
/// assert_eq!(group.bytes(), 16 * 1024);
/// assert_eq!(GroupLog2::new(11), None);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupLog2(u8);

impl GroupLog2 {
    /// 1 KiB: one leaf.
    pub const MIN: Self = Self(0);
    /// 16 KiB, the granularity at which outboards are stored.
    pub const KIB16: Self = Self(4);
    /// 64 KiB.
    pub const KIB64: Self = Self(6);
    /// 1 MiB.
    pub const MAX: Self = Self(10);

    /// A group of `2^log2` leaves, or `None` above 10.
    #[must_use]
    pub const fn new(log2: u8) -> Option<Self> {
        if log2 <= Self::MAX.0 { Some(Self(log2)) } else { None }
    }

    /// The logarithm, 0 to 10.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Leaves in a full group.
    #[must_use]
    pub const fn leaves(self) -> u64 {
        1 << self.0
    }

    /// Bytes in a full group.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        LEAF_BYTES << self.0
    }

    /// Rounds a range of leaves outward to whole groups; the end is cut at `leaves_total`.
    #[must_use]
    pub const fn align(self, range: &Range<u64>, leaves_total: u64) -> Range<u64> {
        let mask = self.leaves() - 1;
        let start = range.start & !mask;
        let end = match range.end.checked_add(mask) {
            Some(end) => end & !mask,
            None => u64::MAX,
        };
        start..if end < leaves_total { end } else { leaves_total }
    }
}

impl fmt::Display for GroupLog2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB", self.leaves())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaf_counts_at_the_edges() {
        assert_eq!([0, 1, 1024, 1025, 2048].map(leaves), [1, 1, 1, 2, 2]);
        assert_eq!(leaves(u64::MAX), 1 << 54);
    }

    #[test]
    fn spans_round_outward() {
        assert_eq!(leaf_span(&(0..0)), 0..0);
        assert_eq!(leaf_span(&(1023..1025)), 0..2);
        assert_eq!(leaf_span(&(1024..2048)), 1..2);
    }

    #[test]
    fn alignment_covers_the_range_and_stops_at_the_end() {
        let group = GroupLog2::KIB16;
        assert_eq!(group.align(&(17..18), 100), 16..32);
        assert_eq!(group.align(&(99..100), 100), 96..100);
        assert_eq!(group.align(&(0..u64::MAX), 100), 0..100);
    }
}
