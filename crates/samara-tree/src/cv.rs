use core::fmt;

use blake3::{
    Hasher,
    hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root},
};
use samara_base::{BlobId, LEAF_BYTES};

use crate::Node;

/// The chaining value of one node of a blob's tree, as BLAKE3 defines it.
///
/// For the root this crate uses the root's *hash*, that is the blob's id: it is what a pair of
/// children or a whole small blob is checked against.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
#[expect(clippy::exhaustive_structs, reason = "32 bytes are 32 bytes; stores build it by literal")]
pub struct Cv(pub [u8; 32]);

impl Cv {
    /// Length. Unit: bytes.
    pub const LEN: usize = 32;
}

impl fmt::Debug for Cv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cv({})", BlobId::from_bytes(self.0).fmt_short())
    }
}

impl From<BlobId> for Cv {
    fn from(id: BlobId) -> Self {
        Self(*id.as_bytes())
    }
}

/// The id of a blob that is in memory: its BLAKE3 hash.
///
/// ```
/// assert_eq!(
///     samara_tree::hash(b"").to_string(),
///     "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
/// );
/// ```
#[must_use]
pub fn hash(data: &[u8]) -> BlobId {
    //= rfcs/0002-identity.md#tree-1
    //# A blob's id MUST be the 32-byte BLAKE3 hash of its bytes in the unkeyed hash mode.
    BlobId::from_bytes(*blake3::hash(data).as_bytes())
}

/// The chaining value of a subtree that is *not* the whole blob. `first_leaf` is the index of the
/// leaf at which `data` starts.
///
/// This is what an outboard stores per 16 KiB group. The value of a whole blob is [`hash`].
///
/// # Panics
///
/// If `data` is empty or longer than the subtree that may start at `first_leaf`, or if `first_leaf`
/// is 2^54 or more. These are errors of the caller, never of a peer.
#[must_use]
pub fn group_cv(data: &[u8], first_leaf: u64) -> Cv {
    assert!(first_leaf < 1 << 54, "invariant: a blob has at most 2^54 leaves");
    let mut hasher = Hasher::new();
    hasher.set_input_offset(first_leaf * LEAF_BYTES);
    hasher.update(data);
    Cv(hasher.finalize_non_root())
}

/// Value of the parent of two children.
pub(crate) fn merge(left: &Cv, right: &Cv, root: bool) -> Cv {
    if root {
        Cv(*merge_subtrees_root(&left.0, &right.0, Mode::Hash).as_bytes())
    } else {
        Cv(merge_subtrees_non_root(&left.0, &right.0, Mode::Hash))
    }
}

/// Value of a node whose bytes are `data`, hashed in pieces of at most `piece_leaves` (a power of
/// two); every piece's node and value go to `visit`, in order.
pub(crate) fn subtree(
    node: Node,
    root: Node,
    data: &[u8],
    piece_leaves: u64,
    visit: &mut impl FnMut(Node, Cv),
) -> Cv {
    let children = if node.leaves() <= piece_leaves { None } else { node.children() };
    let Some((left, right)) = children else {
        let cv = if node == root { hash(data).into() } else { group_cv(data, node.first()) };
        visit(node, cv);
        return cv;
    };
    // Only the last leaf of a blob can be short, so the left child is always full. A left child
    // longer than memory cannot occur: `data` is in memory and longer.
    let cut = usize::try_from(left.leaves() * LEAF_BYTES).unwrap_or(usize::MAX);
    let (head, tail) = data.split_at(cut.min(data.len()));
    let a = subtree(left, root, head, piece_leaves, visit);
    let b = subtree(right, root, tail, piece_leaves, visit);
    merge(&a, &b, node == root)
}
