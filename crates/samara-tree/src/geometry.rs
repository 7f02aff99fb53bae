use core::ops::Range;

use samara_base::{GroupLog2, LEAF_BYTES, RangeSet, leaves};

use crate::{Cv, Node};

/// The shape of a blob's tree. It follows from the size alone; nothing is stored.
///
/// Every method is total for every size up to `u64::MAX`, so a size that a peer only claims can be
/// used before it is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tree {
    size: u64,
}

impl Tree {
    /// The tree of a blob of `size` bytes.
    #[must_use]
    pub const fn new(size: u64) -> Self {
        Self { size }
    }

    /// Size of the blob. Unit: bytes.
    #[must_use]
    pub const fn size(self) -> u64 {
        self.size
    }

    /// Number of leaves, at least one: the empty blob has one empty leaf.
    #[must_use]
    pub const fn leaves(self) -> u64 {
        leaves(self.size)
    }

    /// The node above all leaves.
    #[must_use]
    pub const fn root(self) -> Node {
        Node::new(0, self.leaves())
    }

    /// Number of groups of this size, at least one.
    #[must_use]
    pub const fn groups(self, group: GroupLog2) -> u64 {
        self.leaves().div_ceil(group.leaves())
    }

    /// Number of chaining values in the stored outboard: one per 16 KiB group, none if the blob
    /// fits one.
    #[must_use]
    pub const fn stored_cvs(self) -> u64 {
        let groups = self.groups(GroupLog2::KIB16);
        if groups > 1 { groups } else { 0 }
    }

    /// Length of the stored outboard. Unit: bytes.
    #[must_use]
    pub const fn outboard_len(self) -> u64 {
        self.stored_cvs() * Cv::LEN as u64
    }

    /// The bytes of a range of leaves, cut at the end of the blob.
    #[must_use]
    pub const fn bytes(self, range: &Range<u64>) -> Range<u64> {
        self.offset(range.start)..self.offset(range.end)
    }

    /// Number of bytes in a range of leaves.
    #[must_use]
    pub const fn bytes_len(self, range: &Range<u64>) -> u64 {
        let bytes = self.bytes(range);
        bytes.end.saturating_sub(bytes.start)
    }

    /// Offset of the first byte of a leaf, at most the size.
    const fn offset(self, leaf: u64) -> u64 {
        //= rfcs/0002-identity.md#tree-3
        //# An implementation MUST derive the shape of a tree without overflow for every size from
        //# 0 to 2^64 - 1 bytes.
        // Leaf n exists only if n * 1024 < size, so the product cannot overflow.
        if leaf < self.leaves() { leaf * LEAF_BYTES } else { self.size }
    }

    /// Whether a range is non-empty, inside the blob and made of whole groups.
    #[must_use]
    pub const fn is_aligned(self, group: GroupLog2, range: &Range<u64>) -> bool {
        let mask = group.leaves() - 1;
        range.start < range.end
            && range.end <= self.leaves()
            && range.start & mask == 0
            && (range.end & mask == 0 || range.end == self.leaves())
    }

    /// Whether a node consists of whole 16 KiB groups that have stored values.
    pub(crate) const fn is_stored(self, node: Node) -> bool {
        let leaves = GroupLog2::KIB16.leaves();
        self.stored_cvs() > 0
            && node.first().is_multiple_of(leaves)
            && (node.leaves() >= leaves || node.end() == self.leaves())
    }

    /// Length of the proof of `range` relative to `base`, known before asking. Unit: bytes.
    ///
    /// The proof holds 64 bytes for each node that spans more than one group, intersects `range`
    /// and does not intersect `base`. Cost: O((runs of `base` + 1) × height), whatever the size of
    /// the range.
    ///
    /// ```
    /// use samara_base::{GroupLog2, RangeSet};
    /// use samara_tree::Tree;
    ///
    /// let tree = Tree::new(1 << 30);
    /// let nothing = RangeSet::new();
    /// // One 64 KiB group out of a gibibyte: 14 levels above the group.
    /// assert_eq!(tree.proof_len(GroupLog2::KIB64, &(0..64), &nothing), 14 * 64);
    /// // Its right neighbour, when the first is known, needs nothing more.
    /// assert_eq!(tree.proof_len(GroupLog2::KIB64, &(64..128), &RangeSet::from(0..64)), 0);
    /// ```
    #[must_use]
    pub fn proof_len(self, group: GroupLog2, range: &Range<u64>, base: &RangeSet) -> u64 {
        pairs(self.root(), group, range, base) * PAIR_LEN as u64
    }
}

/// Length of one node's entry in a proof: the values of its two children. Unit: bytes.
pub(crate) const PAIR_LEN: usize = 2 * Cv::LEN;

/// Whether a node's pair is part of the proof. The rule of RFC 0002.
pub(crate) fn in_proof(node: Node, group: GroupLog2, range: &Range<u64>, base: &RangeSet) -> bool {
    //= rfcs/0002-identity.md#tree-4
    //# A proof MUST consist of the pair of each node that spans more than one group, intersects
    //# the range and does not intersect the base, in pre-order, and of nothing else.
    node.leaves() > group.leaves() && node.intersects(range) && !base.intersects(&node.range())
}

/// Number of nodes under and including `node` whose pairs are in the proof.
pub(crate) fn pairs(node: Node, group: GroupLog2, range: &Range<u64>, base: &RangeSet) -> u64 {
    if node.leaves() <= group.leaves() || !node.intersects(range) {
        return 0;
    }
    let touches_base = base.intersects(&node.range());
    if !touches_base && node.is_within(range) {
        // A tree over n groups has n - 1 inner nodes.
        return node.leaves().div_ceil(group.leaves()) - 1;
    }
    if touches_base && base.contains_range(&node.range()) {
        return 0;
    }
    let below = node.children().map_or(0, |(left, right)| {
        pairs(left, group, range, base) + pairs(right, group, range, base)
    });
    below + u64::from(!touches_base)
}
