use alloc::{vec, vec::Vec};
use core::ops::Range;

use samara_base::{GroupLog2, RangeSet};

use crate::{
    Cv, CvSource, EncodeError, Node,
    cv::{merge, subtree},
    geometry::{PAIR_LEN, in_proof},
    state::{Checked, STORED_LEAVES, State},
};

impl State {
    /// Checks `data`, the bytes of `span` (whole units), against the stored values. Collects the
    /// values of all pieces of `piece_leaves` or less. Returns the damaged leaves.
    fn check<S: CvSource + ?Sized>(
        &self,
        source: &S,
        piece_leaves: u64,
        span: &Range<u64>,
        data: &[u8],
        checked: &mut Checked,
    ) -> Result<RangeSet, S::Error> {
        let mut damaged = RangeSet::new();
        let mut rest = data;
        let mut leaf = span.start;
        let mut stored: Vec<Cv> = Vec::new();
        let mut stored_first = 0;
        let root = self.tree.root();
        while leaf < span.end {
            let (node, expected) = if let Some((node, entry)) = self.entry_at(leaf) {
                (node, entry.cv)
            } else if let Some(cv) = self.top.get(self.stored_node(leaf)) {
                (self.stored_node(leaf), cv)
            } else {
                let at = leaf / STORED_LEAVES;
                if stored.get(usize::try_from(at - stored_first).unwrap_or(usize::MAX)).is_none() {
                    // All values up to the end of the run, in one read.
                    let end =
                        self.entries.range(leaf..).next().map_or(span.end, |(first, _)| *first);
                    let count = (end.min(span.end) - leaf).div_ceil(STORED_LEAVES);
                    stored.clear();
                    stored.resize(usize::try_from(count).unwrap_or(0), Cv::default());
                    stored_first = at;
                    source.read_cvs(at, &mut stored)?;
                }
                let cv = usize::try_from(at - stored_first).ok().and_then(|at| stored.get(at));
                (self.stored_node(leaf), cv.copied().unwrap_or_default())
            };
            let len = usize::try_from(self.tree.bytes_len(&node.range())).unwrap_or(usize::MAX);
            let (head, tail) = rest.split_at(len.min(rest.len()));
            let cv = subtree(node, root, head, piece_leaves, &mut |piece, cv| {
                checked.push((piece, cv));
            });
            if cv != expected {
                damaged.insert(node.range());
            }
            rest = tail;
            leaf = node.end();
        }
        Ok(damaged)
    }

    pub(crate) fn encode<S: CvSource + ?Sized>(
        &self,
        source: &S,
        group: GroupLog2,
        range: &Range<u64>,
        base: &RangeSet,
        data: &[u8],
    ) -> Result<Vec<u8>, EncodeError<S::Error>> {
        if !self.tree.is_aligned(group, range) {
            return Err(EncodeError::Unaligned);
        }
        if !self.held.contains_range(range) {
            return Err(EncodeError::NotHeld);
        }
        let span = self.span(range);
        let (expected, found) = (self.tree.bytes_len(&span), data.len() as u64);
        if expected != found {
            return Err(EncodeError::DataLength { expected, found });
        }
        let piece_leaves = group.leaves().min(STORED_LEAVES);
        let mut checked = Vec::with_capacity(
            usize::try_from((span.end - span.start).div_ceil(piece_leaves)).unwrap_or(0),
        );
        let damaged = self
            .check(source, piece_leaves, &span, data, &mut checked)
            .map_err(EncodeError::Source)?;
        //= rfcs/0002-identity.md#tree-17
        //# A holder MUST check the data that it read against the stored values before it sends
        //# it.
        if !damaged.is_empty() {
            return Err(EncodeError::Damaged { leaves: damaged });
        }
        self.prove(source, group, range, base, &checked)
    }

    pub(crate) fn prove<S: CvSource + ?Sized>(
        &self,
        source: &S,
        group: GroupLog2,
        range: &Range<u64>,
        base: &RangeSet,
        checked: &[(Node, Cv)],
    ) -> Result<Vec<u8>, EncodeError<S::Error>> {
        let len = usize::try_from(self.tree.proof_len(group, range, base)).unwrap_or(0);
        let walk = Walk { state: self, source, group, range, base, checked };
        let mut proof = Vec::with_capacity(len);
        walk.node(self.tree.root(), false, &mut proof)?;
        debug_assert_eq!(proof.len(), len, "invariant: the length is known before");
        Ok(proof)
    }
}

/// One pass over the tree that writes a proof in pre-order and merges values on the way back.
struct Walk<'a, S: ?Sized> {
    state: &'a State,
    source: &'a S,
    group: GroupLog2,
    range: &'a Range<u64>,
    base: &'a RangeSet,
    checked: &'a [(Node, Cv)],
}

impl<S: CvSource + ?Sized> Walk<'_, S> {
    /// Appends the pairs of the proof under `node`. Returns the node's value if `wanted`.
    fn node(
        &self,
        node: Node,
        wanted: bool,
        proof: &mut Vec<u8>,
    ) -> Result<Cv, EncodeError<S::Error>> {
        let children = if node.leaves() > self.group.leaves() && node.intersects(self.range) {
            node.children()
        } else {
            None
        };
        let Some((left, right)) = children else {
            return if wanted { self.value(node) } else { Ok(Cv::default()) };
        };
        let listed = in_proof(node, self.group, self.range, self.base);
        let at = proof.len();
        if listed {
            proof.extend_from_slice(&[0; PAIR_LEN]);
        }
        // A value is wanted for a pair of the parent, which then avoids the base, and so does this
        // node: what is not listed is not wanted.
        let left = self.node(left, listed, proof)?;
        let right = self.node(right, listed, proof)?;
        if listed
            && let Some((a, b)) =
                proof.get_mut(at..at + PAIR_LEN).and_then(|pair| pair.split_at_mut_checked(Cv::LEN))
        {
            a.copy_from_slice(&left.0);
            b.copy_from_slice(&right.0);
        }
        if !wanted {
            return Ok(Cv::default());
        }
        let cv = merge(&left, &right, node == self.state.tree.root());
        match self.state.top.get(node) {
            // A value below the cache changed after it was verified.
            Some(proven) if proven != cv => Err(EncodeError::Outboard { node }),
            _ => Ok(cv),
        }
    }

    /// The value of a node from the checked data or from what is stored.
    fn value(&self, node: Node) -> Result<Cv, EncodeError<S::Error>> {
        let at = self.checked.partition_point(|(piece, _)| piece.first() < node.first());
        match self.checked.get(at) {
            Some((piece, cv)) if *piece == node => return Ok(*cv),
            // Pieces are whole units that meet the range, so one inside the node starts where it does.
            Some((piece, _)) if piece.is_within(&node.range()) => {
                if let Some((left, right)) = node.children() {
                    let (left, right) = (self.value(left)?, self.value(right)?);
                    return Ok(merge(&left, &right, node == self.state.tree.root()));
                }
            }
            _ => {}
        }
        self.state
            .node_cv(node, self.source)
            .map_err(EncodeError::Source)?
            .ok_or(EncodeError::NotHeld)
    }
}

impl State {
    /// Leaves of `range` that do not match their stored values, with whole units of data.
    pub(crate) fn damaged<S: CvSource + ?Sized>(
        &self,
        source: &S,
        range: &Range<u64>,
        data: &[u8],
    ) -> Result<RangeSet, EncodeError<S::Error>> {
        // Units are whole groups of 1 KiB at least, so this is a range inside the blob.
        if !self.tree.is_aligned(GroupLog2::MIN, range) || self.span(range) != *range {
            return Err(EncodeError::Unaligned);
        }
        if !self.held.contains_range(range) {
            return Err(EncodeError::NotHeld);
        }
        let (expected, found) = (self.tree.bytes_len(range), data.len() as u64);
        if expected != found {
            return Err(EncodeError::DataLength { expected, found });
        }
        self.check(source, STORED_LEAVES, range, data, &mut vec![]).map_err(EncodeError::Source)
    }
}
