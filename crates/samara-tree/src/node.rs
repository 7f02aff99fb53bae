use core::{fmt, ops::Range};

/// A node of a blob's tree, named by the leaves under it.
///
/// BLAKE3's tree is left-full: the left child of a node of `n` leaves has the largest power of two
/// below `n`. So a node's children follow from its span alone.
///
/// ```
/// use samara_tree::Tree;
///
/// let root = Tree::new(5 * 1024).root();
/// let (left, right) = root.children().ok_or("more than one leaf")?;
/// assert_eq!((left.range(), right.range()), (0..4, 4..5));
/// assert_eq!((root.level(), left.level(), right.level()), (3, 2, 0));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    first: u64,
    end: u64,
}

impl Node {
    pub(crate) const fn new(first: u64, end: u64) -> Self {
        debug_assert!(first < end);
        Self { first, end }
    }

    /// Index of the first leaf under the node.
    #[must_use]
    pub const fn first(self) -> u64 {
        self.first
    }

    /// One past the last leaf under the node.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.end
    }

    /// Number of leaves under the node, at least one.
    #[must_use]
    pub const fn leaves(self) -> u64 {
        self.end - self.first
    }

    /// The leaves under the node.
    #[must_use]
    pub const fn range(self) -> Range<u64> {
        self.first..self.end
    }

    /// Height above the leaves: base-2 logarithm of the leaves, rounded up.
    #[must_use]
    pub const fn level(self) -> u8 {
        #[allow(clippy::cast_possible_truncation, reason = "at most 54")]
        let level = self.leaves().next_power_of_two().trailing_zeros() as u8;
        level
    }

    /// The two children, or `None` for a leaf.
    #[must_use]
    pub const fn children(self) -> Option<(Self, Self)> {
        if self.leaves() < 2 {
            return None;
        }
        //= rfcs/0002-identity.md#tree-2
        //# The left child of a node of n leaves MUST have the largest power of two of leaves that
        //# is smaller than n.
        let middle = self.first + self.leaves().next_power_of_two() / 2;
        Some((Self { first: self.first, end: middle }, Self { first: middle, end: self.end }))
    }

    pub(crate) const fn intersects(self, range: &Range<u64>) -> bool {
        self.first < range.end && range.start < self.end
    }

    pub(crate) const fn is_within(self, range: &Range<u64>) -> bool {
        range.start <= self.first && self.end <= range.end
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({self})")
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.end)
    }
}
