use alloc::vec::Vec;
use core::ops::Range;

use samara_base::{BlobId, GroupLog2, LEAF_BYTES, RangeSet};

use crate::{
    Cv, CvSource, EncodeError, Node, OpenError, Prover, Tree, VerifyError,
    state::{Entry, STORED_LEAVES, State},
    walk::{Changes, Checked, Walk},
};

/// What became of the data of one verified transfer. The three sets are disjoint and together are
/// the leaves of the transfer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Verified {
    /// Leaves that were proven and are new. Keep these bytes.
    pub good: RangeSet,
    /// Leaves whose proof is right and whose data is not. Drop these bytes, blame the sender.
    pub bad: RangeSet,
    /// Leaves that were held already. The bytes were not looked at: drop them.
    pub duplicate: RangeSet,
}

/// Takes ranges of one blob from anybody, in any order, and tells true bytes from false ones.
///
/// The size may be a stranger's claim: see [`size_proven`](Self::size_proven).
///
/// ```
/// use samara_base::{GroupLog2, RangeSet};
/// use samara_tree::{Cv, OutboardBuilder, Prover, Verifier};
///
/// // The holder: an outboard, then one range with its proof.
/// let blob: Vec<u8> = (0..100_000u32).map(|at| (at % 251) as u8).collect();
/// let mut outboard: Vec<Cv> = Vec::new();
/// let mut builder = OutboardBuilder::new();
/// builder.push(&blob, &mut |_, cv| outboard.push(cv));
/// let (id, size) = builder.finish(&mut |_, cv| outboard.push(cv));
/// let prover = Prover::open(id, size, outboard.as_slice())?;
/// let (group, range, base) = (GroupLog2::KIB16, 16..48, RangeSet::new());
/// let data = &blob[16 * 1024..48 * 1024];
/// let proof = prover.encode(outboard.as_slice(), group, &range, &base, data)?;
///
/// // The getter: it knows the id and believes the size for now.
/// let mut verifier = Verifier::new(id, size);
/// let verified = verifier.verify(group, 16, &base, &proof, data, &mut |_, _| ())?;
/// assert_eq!(verified.good, RangeSet::from(16..48));
/// assert!(!verifier.size_proven());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Verifier {
    pub(crate) state: State,
    size_proven: bool,
}

impl Verifier {
    // registry tree-limits: begin
    /// Largest number of nodes in the frontier: at most 8 MiB of memory, and more than a set of 1,024
    /// runs in a blob of 16 GiB needs.
    pub const NODES_MAX: usize = 65_536;

    /// Largest number of groups in one transfer: a check takes at most 3 MiB beside its proof.
    pub const GROUPS_MAX: u64 = 65_536;
    // registry tree-limits: end

    /// A verifier that knows the id, believes the size and holds nothing.
    #[must_use]
    pub fn new(id: BlobId, size: u64) -> Self {
        //= rfcs/0002-identity.md#tree-14
        //# A receiver MUST NOT reserve memory or storage in proportion to a size that is not
        //# proven.
        Self::from_state(State::empty(id, size))
    }

    pub(crate) fn from_state(state: State) -> Self {
        let size_proven = state.held.contains(state.tree.leaves() - 1);
        Self { state, size_proven }
    }

    /// The blob's id.
    #[must_use]
    pub const fn id(&self) -> BlobId {
        self.state.id
    }

    /// The blob's size as claimed or proven. Unit: bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.state.tree.size()
    }

    /// The blob's shape at that size.
    #[must_use]
    pub const fn tree(&self) -> Tree {
        self.state.tree
    }

    /// Whether the size is proven: the last leaf verified at this size. Until then no resource may
    /// be spent in proportion to the size.
    #[must_use]
    pub const fn size_proven(&self) -> bool {
        self.size_proven
    }

    /// The leaves whose data was verified. This set, less what is asked for, is the `known` set of
    /// a request: a proof relative to it can always be used here.
    #[must_use]
    pub const fn known(&self) -> &RangeSet {
        //= rfcs/0002-identity.md#tree-5
        //# A getter MUST NOT name a leaf as known that it does not hold.
        &self.state.held
    }

    /// Whether every leaf is held.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state.held.contains_range(&self.state.tree.root().range())
    }

    /// Number of nodes in the frontier, at most [`NODES_MAX`](Self::NODES_MAX).
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.state.entries.len()
    }

    /// Upper bound of the heap memory in use: it follows the frontier, the runs held and the height
    /// of the tree, never the size. Unit: bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.state.memory_bytes()
    }

    /// Verifies a transfer: the `proof` and the `data` of the leaves from `first_leaf` on, as far as
    /// `data` reaches, at this group size and relative to `base`.
    ///
    /// First the whole proof is checked; if a part of it is wrong, nothing changes. Then each group
    /// is checked by itself: a bad one does not spoil the others. Pairs and data of what is held
    /// already are skipped unread. `sink` gets the index and the value of each 16 KiB group that
    /// became complete, for the stored outboard (never for a blob that fits one such group).
    ///
    /// Allocates in proportion to the data, whatever the size claims.
    ///
    /// # Errors
    ///
    /// [`VerifyError`]; then nothing changed and `sink` was not called.
    pub fn verify(
        &mut self,
        group: GroupLog2,
        first_leaf: u64,
        base: &RangeSet,
        proof: &[u8],
        data: &[u8],
        sink: &mut impl FnMut(u64, Cv),
    ) -> Result<Verified, VerifyError> {
        //= rfcs/0002-identity.md#tree-7
        //# A receiver MUST refuse a transfer whose range is not made of whole groups inside the
        //# blob, or whose proof or data is not as long as size, group size, range and base say.
        let range = self.range_of(group, first_leaf, data.len() as u64)?;
        let tree = self.state.tree;
        let (expected, found) = (tree.proof_len(group, &range, base), proof.len() as u64);
        if expected != found {
            return Err(VerifyError::ProofLength { expected, found });
        }
        //= rfcs/0002-identity.md#tree-12
        //# A receiver MUST leave the set of leaves that it holds as it was when it refuses a
        //# transfer.
        //
        //= rfcs/0002-identity.md#tree-21
        //# A receiver MUST NOT expand a node by a pair of a transfer that it refuses.
        for _ in 0..2 {
            let walk = Walk::run(&self.state, group, &range, base, proof)?;
            let checked = walk.check(data);
            //= rfcs/0002-identity.md#tree-20
            //# A frontier MUST NOT have more than 65,536 nodes.
            if walk.nodes_after(&checked) <= Self::NODES_MAX {
                let changes = walk.into_changes();
                return Ok(self.commit(changes, checked, sink));
            }
            self.state.collapse();
        }
        Err(VerifyError::Fragmented)
    }

    /// Books what a transfer proved.
    fn commit(
        &mut self,
        changes: Changes,
        checked: Checked,
        sink: &mut impl FnMut(u64, Cv),
    ) -> Verified {
        let Changes { opened, expanded, kept, targets, duplicate } = changes;
        let Checked { good, bad, values } = checked;
        let state = &mut self.state;
        for first in opened {
            state.entries.remove(&first);
        }
        for (node, cv) in expanded {
            state.top.insert(node, cv);
        }
        for (node, cv) in kept {
            state.entries.insert(node.first(), Entry { end: node.end(), cv, held: false });
        }
        for (node, cv) in &targets {
            let (node, cv, held) = (*node, *cv, good.contains(node.first()));
            if held && state.tree.is_stored(node) {
                state.top.insert(node, cv);
            } else {
                state.entries.insert(node.first(), Entry { end: node.end(), cv, held });
            }
        }
        for run in good.runs() {
            state.held.insert(run.clone());
        }
        //= rfcs/0002-identity.md#tree-13
        //# A receiver MUST treat a size as a claim until the data of the last leaf was verified
        //# at that size.
        self.size_proven |= good.contains(state.tree.leaves() - 1);
        values.iter().for_each(|(at, cv)| sink(*at, *cv));
        for (node, _) in targets.iter().filter(|(node, _)| good.contains(node.first())) {
            if !self.state.tree.is_stored(*node) {
                self.settle(*node, sink);
            }
        }
        Verified { good, bad, duplicate }
    }

    /// The leaves of a transfer, from its first leaf and the length of its data.
    fn range_of(
        &self,
        group: GroupLog2,
        first_leaf: u64,
        found: u64,
    ) -> Result<Range<u64>, VerifyError> {
        let tree = self.state.tree;
        let leaves = tree.leaves();
        let end = first_leaf.checked_add(found.div_ceil(LEAF_BYTES).max(1));
        let range = match end {
            Some(end) if end <= leaves => first_leaf..end,
            _ => return Err(VerifyError::OutOfRange { first_leaf, leaves }),
        };
        let expected = tree.bytes_len(&range);
        if expected != found {
            return Err(VerifyError::DataLength { expected, found });
        }
        if !tree.is_aligned(group, &range) {
            return Err(VerifyError::Unaligned { first_leaf });
        }
        //= rfcs/0002-identity.md#tree-22
        //# A receiver MUST refuse a transfer of more than 65,536 groups.
        let found = (range.end - range.start).div_ceil(group.leaves());
        if found > Self::GROUPS_MAX {
            return Err(VerifyError::TooManyGroups { found });
        }
        Ok(range)
    }

    /// Gives a 16 KiB group its stored value once all its parts are held.
    fn settle(&mut self, part: Node, sink: &mut impl FnMut(u64, Cv)) {
        let state = &mut self.state;
        let whole = state.stored_node(part.first());
        // Once for the group, not once for each of its parts.
        if !state.has_entry_in(&part.range()) || !state.held.contains_range(&whole.range()) {
            return;
        }
        // No source is needed: every part has an entry.
        let Ok(Some(cv)) = state.node_cv(whole, [].as_slice()) else { return };
        let parts: Vec<u64> = state.entries.range(whole.range()).map(|(first, _)| *first).collect();
        for first in parts {
            state.entries.remove(&first);
        }
        if state.tree.stored_cvs() > 0 {
            state.top.insert(whole, cv);
            sink(whole.first() / STORED_LEAVES, cv);
        } else {
            state.entries.insert(0, Entry { end: whole.end(), cv, held: true });
        }
    }

    /// The leaves whose data [`encode`](Self::encode) must be given for a range of held leaves: the
    /// range itself from 16 KiB groups on, rounded outward for smaller groups.
    #[must_use]
    pub fn span(&self, range: &Range<u64>) -> Range<u64> {
        self.state.span(range)
    }

    /// The proof for held leaves; as [`Prover::encode`].
    ///
    /// # Errors
    ///
    /// As [`Prover::encode`], and [`EncodeError::NotHeld`] for leaves that are not held.
    pub fn encode<S: CvSource + ?Sized>(
        &self,
        source: &S,
        group: GroupLog2,
        range: &Range<u64>,
        base: &RangeSet,
        data: &[u8],
    ) -> Result<Vec<u8>, EncodeError<S::Error>> {
        self.state.encode(source, group, range, base, data)
    }

    /// Checks held leaves against their stored values; as [`Prover::check`].
    ///
    /// # Errors
    ///
    /// As [`Prover::check`].
    pub fn check<S: CvSource + ?Sized>(
        &self,
        source: &S,
        range: &Range<u64>,
        data: &[u8],
    ) -> Result<RangeSet, EncodeError<S::Error>> {
        self.state.damaged(source, range, data)
    }

    /// Gives up the data of held leaves, for example because the disk lost them, so that they can
    /// be fetched again. `range` is rounded outward to units with a value of their own. Their
    /// proven values are kept.
    ///
    /// # Errors
    ///
    /// [`OpenError::Source`], or [`OpenError::Root`] if the stored values of these leaves are
    /// damaged too; then nothing changed.
    pub fn lose<S: CvSource + ?Sized>(
        &mut self,
        source: &S,
        range: &Range<u64>,
    ) -> Result<RangeSet, OpenError<S::Error>> {
        self.state.lose(source, range)
    }

    /// The prover for a blob that is complete; `None` if a leaf is missing.
    #[must_use]
    pub fn into_prover(self) -> Option<Prover> {
        if self.is_complete() { Some(Prover::from_state(self.state)) } else { None }
    }
}
