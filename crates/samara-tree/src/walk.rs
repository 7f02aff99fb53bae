use alloc::vec::Vec;
use core::ops::Range;

use samara_base::{GroupLog2, RangeSet};

use crate::{
    Cv, Node, Verifier, VerifyError,
    cv::{merge, subtree},
    geometry::{PAIR_LEN, in_proof, pairs},
    state::{STORED_LEAVES, State},
};

/// An offset within data that is in memory.
fn to_index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// What a transfer changes in the frontier.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// First leaves of the entries that are not open any more.
    pub(crate) opened: Vec<u64>,
    /// Nodes whose pair was verified.
    pub(crate) expanded: Vec<(Node, Cv)>,
    /// New open nodes beside the range.
    pub(crate) kept: Vec<(Node, Cv)>,
    /// Open nodes in the range, whose data is to be checked.
    pub(crate) targets: Vec<(Node, Cv)>,
    /// Leaves of the range that are held already.
    pub(crate) duplicate: RangeSet,
}

/// What the data of a transfer hashed to.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) good: RangeSet,
    pub(crate) bad: RangeSet,
    /// Values of the good 16 KiB groups.
    pub(crate) values: Vec<(u64, Cv)>,
}

/// One pass over the tree that consumes a proof in pre-order.
pub(crate) struct Walk<'a> {
    state: &'a State,
    group: GroupLog2,
    range: &'a Range<u64>,
    base: &'a RangeSet,
    proof: &'a [u8],
    changes: Changes,
}

impl<'a> Walk<'a> {
    /// Checks a whole proof.
    pub(crate) fn run(
        state: &'a State,
        group: GroupLog2,
        range: &'a Range<u64>,
        base: &'a RangeSet,
        proof: &'a [u8],
    ) -> Result<Self, VerifyError> {
        let targets = (range.end - range.start).div_ceil(group.leaves());
        let mut walk = Self {
            state,
            group,
            range,
            base,
            proof,
            changes: Changes {
                expanded: Vec::with_capacity(proof.len() / PAIR_LEN),
                targets: Vec::with_capacity(to_index(targets)),
                ..Changes::default()
            },
        };
        walk.known(state.tree.root())?;
        Ok(walk)
    }

    /// Hashes the data of every target by itself.
    pub(crate) fn check(&self, data: &[u8]) -> Checked {
        let (tree, root) = (self.state.tree, self.state.tree.root());
        let start = tree.bytes(self.range).start;
        let mut checked = Checked::default();
        for (node, cv) in &self.changes.targets {
            let bytes = tree.bytes(&node.range());
            let bytes = to_index(bytes.start - start)..to_index(bytes.end - start);
            let data = data.get(bytes).unwrap_or_default();
            let values = checked.values.len();
            let found = if tree.is_stored(*node) {
                subtree(*node, root, data, STORED_LEAVES, &mut |group, cv| {
                    checked.values.push((group.first() / STORED_LEAVES, cv));
                })
            } else {
                subtree(*node, root, data, u64::MAX, &mut |_, _| ())
            };
            //= rfcs/0002-identity.md#tree-10
            //# A receiver MUST NOT store, pass on, hand to the application or count as held any
            //# data before it has hashed to its proven value.
            //
            //= rfcs/0002-identity.md#tree-11
            //# A receiver MUST keep the groups that are good in a transfer in which others are
            //# bad.
            //
            //= rfcs/0002-identity.md#tree-23
            //# A receiver MUST keep each open node that is good in a group of which other open
            //# nodes are bad.
            if found == *cv {
                checked.good.insert(node.range());
            } else {
                checked.bad.insert(node.range());
                checked.values.truncate(values);
            }
        }
        checked
    }

    /// Largest number of entries when the changes are booked: of the targets, those stay entries
    /// that are bad or in a 16 KiB group that is not complete.
    pub(crate) fn nodes_after(&self, checked: &Checked) -> usize {
        let tree = self.state.tree;
        let left = self.state.entries.len() - self.changes.opened.len() + self.changes.kept.len();
        if left + self.changes.targets.len() <= Verifier::NODES_MAX {
            return left + self.changes.targets.len();
        }
        let held = self.state.held.union(&checked.good);
        let stay = self.changes.targets.iter().filter(|(node, _)| {
            let whole = self.state.stored_node(node.first());
            checked.bad.contains(node.first())
                || !tree.is_stored(*node) && !held.contains_range(&whole.range())
        });
        left + stay.count()
    }

    pub(crate) fn into_changes(self) -> Changes {
        self.changes
    }

    fn pair(&mut self) -> Option<(Cv, Cv)> {
        let (pair, rest) = self.proof.split_first_chunk::<PAIR_LEN>()?;
        let (left, right) = pair.split_first_chunk::<{ Cv::LEN }>()?;
        let right = right.first_chunk::<{ Cv::LEN }>()?;
        self.proof = rest;
        Some((Cv(*left), Cv(*right)))
    }

    fn skip(&mut self, pairs: u64) {
        let bytes = to_index(pairs).saturating_mul(PAIR_LEN);
        self.proof = self.proof.get(bytes..).unwrap_or_default();
    }

    /// A node above the frontier, on it or held.
    fn known(&mut self, node: Node) -> Result<(), VerifyError> {
        if !node.intersects(self.range) {
            return Ok(());
        }
        //= rfcs/0002-identity.md#tree-9
        //# A receiver MUST skip, unread, the pairs of nodes that it has already expanded and the
        //# data of leaves that it already holds.
        if self.state.held.contains_range(&node.range()) {
            self.skip(pairs(node, self.group, self.range, self.base));
            let first = node.first().max(self.range.start);
            self.changes.duplicate.insert(first..node.end().min(self.range.end));
            return Ok(());
        }
        if let Some(entry) = self.state.entry(node) {
            self.changes.opened.push(node.first());
            return self.open(node, entry.cv);
        }
        // Expanded: the values below are proven, so the pair says nothing new.
        if in_proof(node, self.group, self.range, self.base) {
            self.skip(1);
        }
        let Some((left, right)) = node.children() else {
            return Err(VerifyError::NotKnown { node });
        };
        self.known(left)?;
        self.known(right)
    }

    /// A node on or below the frontier, whose proven value is `cv`.
    fn open(&mut self, node: Node, cv: Cv) -> Result<(), VerifyError> {
        if !node.intersects(self.range) {
            self.changes.kept.push((node, cv));
            return Ok(());
        }
        let children = if node.leaves() > self.group.leaves() { node.children() } else { None };
        let Some((left, right)) = children else {
            self.changes.targets.push((node, cv));
            return Ok(());
        };
        //= rfcs/0002-identity.md#tree-6
        //# A receiver MUST refuse a transfer whose base leaves out a pair that it needs and does
        //# not have.
        if !in_proof(node, self.group, self.range, self.base) {
            return Err(VerifyError::NotKnown { node });
        }
        let Some((left_cv, right_cv)) = self.pair() else {
            return Err(VerifyError::ParentMismatch { node });
        };
        //= rfcs/0002-identity.md#tree-8
        //# A receiver MUST refuse a transfer with a pair that does not merge to the proven value
        //# of its node.
        if merge(&left_cv, &right_cv, node == self.state.tree.root()) != cv {
            return Err(VerifyError::ParentMismatch { node });
        }
        self.changes.expanded.push((node, cv));
        self.open(left, left_cv)?;
        self.open(right, right_cv)
    }
}
