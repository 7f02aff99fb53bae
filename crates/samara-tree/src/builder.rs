use alloc::vec::Vec;

use blake3::{Hasher, hazmat::HasherExt};
use samara_base::{BlobId, GroupLog2};

use crate::{
    Cv,
    cv::{group_cv, merge},
};

/// Bytes in one stored group.
const GROUP_BYTES: usize = 16 * 1024;

/// Computes a blob's id and its outboard while the bytes stream by, in pieces of any length.
///
/// Memory does not depend on the blob: one hasher and one value per level of the tree. Pieces that
/// start at a multiple of 16 KiB and are long are hashed in place, at the speed of BLAKE3 itself.
///
/// ```
/// use samara_tree::{Cv, OutboardBuilder};
///
/// let data = vec![7; 40_000];
/// let mut outboard: Vec<Cv> = Vec::new();
/// let mut builder = OutboardBuilder::new();
/// for piece in data.chunks(1000) {
///     builder.push(piece, &mut |_, cv| outboard.push(cv));
/// }
/// let (id, size) = builder.finish(&mut |_, cv| outboard.push(cv));
/// assert_eq!((id, size), (samara_tree::hash(&data), 40_000));
/// assert_eq!(outboard.len(), 3); // one value per 16 KiB group
/// ```
#[derive(Clone, Debug, Default)]
pub struct OutboardBuilder {
    /// Groups whose value is on the stack.
    groups: u64,
    /// Values of full subtrees, largest first. Merged lazily, since the last merge is the root's.
    stack: Vec<Cv>,
    /// The group that is not finished yet, and the bytes in it (1 to a full group).
    open: Option<(Hasher, usize)>,
}

impl OutboardBuilder {
    /// A builder that has seen no bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes pushed so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        let open = self.open.as_ref().map_or(0, |(_, bytes)| *bytes);
        self.groups * GROUP_BYTES as u64 + open as u64
    }

    /// Takes the next bytes. Values of finished 16 KiB groups go to `sink` with their index, in
    /// order.
    pub fn push(&mut self, data: &[u8], sink: &mut impl FnMut(u64, Cv)) {
        let mut rest = data;
        while !rest.is_empty() {
            match &mut self.open {
                Some((_, GROUP_BYTES)) => self.close(sink),
                Some((hasher, bytes)) => {
                    let (head, tail) = rest.split_at(rest.len().min(GROUP_BYTES - *bytes));
                    hasher.update(head);
                    *bytes += head.len();
                    rest = tail;
                }
                None => match rest.split_at_checked(GROUP_BYTES) {
                    // The blob goes on behind this group, so it is not the root.
                    Some((head, tail)) if !tail.is_empty() || self.groups > 0 => {
                        let cv = group_cv(head, self.groups * GroupLog2::KIB16.leaves());
                        self.add(cv, sink);
                        rest = tail;
                    }
                    _ => {
                        let mut hasher = Hasher::new();
                        hasher.set_input_offset(self.groups * GROUP_BYTES as u64);
                        self.open = Some((hasher, 0));
                    }
                },
            }
        }
    }

    /// The blob ends here. Returns its id and its size in bytes; the last group's value goes to
    /// `sink`, unless the blob fits one group and has no outboard.
    #[must_use]
    pub fn finish(mut self, sink: &mut impl FnMut(u64, Cv)) -> (BlobId, u64) {
        let size = self.size();
        if self.groups == 0 {
            let hasher = self.open.map_or_else(Hasher::new, |(hasher, _)| hasher);
            return (BlobId::from_bytes(*hasher.finalize().as_bytes()), size);
        }
        self.close(sink);
        let mut top = self.stack.pop().unwrap_or_default();
        while let Some(left) = self.stack.pop() {
            top = merge(&left, &top, self.stack.is_empty());
        }
        (BlobId::from_bytes(top.0), size)
    }

    /// Ends the open group as a non-root group.
    fn close(&mut self, sink: &mut impl FnMut(u64, Cv)) {
        if let Some((hasher, _)) = self.open.take() {
            self.add(Cv(hasher.finalize_non_root()), sink);
        }
    }

    fn add(&mut self, cv: Cv, sink: &mut impl FnMut(u64, Cv)) {
        // Full subtrees on the stack are the one-bits of the count; more values than bits means
        // that the two newest subtrees are of one size, and a next group shows they are not the
        // root's children.
        while self.stack.len() > self.groups.count_ones() as usize {
            if let (Some(right), Some(left)) = (self.stack.pop(), self.stack.pop()) {
                self.stack.push(merge(&left, &right, false));
            }
        }
        //= rfcs/0002-identity.md#tree-15
        //# A stored outboard MUST be the values of all 16 KiB groups of the blob in order, 32
        //# bytes each, or empty if the blob fits one such group.
        self.stack.push(cv);
        sink(self.groups, cv);
        self.groups += 1;
    }
}
