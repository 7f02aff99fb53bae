use alloc::{collections::BTreeSet, vec::Vec};
use core::ops::Range;

use samara_base::RangeSet;

use crate::{
    Cv, CvSource, Node, OpenError, Verifier,
    cv::merge,
    state::{Entry, State},
};

impl State {
    /// Turns held leaves into open ones, keeping their proven values. Returns the leaves given up.
    pub(crate) fn lose<S: CvSource + ?Sized>(
        &mut self,
        source: &S,
        range: &Range<u64>,
    ) -> Result<RangeSet, OpenError<S::Error>> {
        let lost = self.whole_units(range);
        let mut nodes = Vec::new();
        self.cover(self.tree.root(), &lost, &mut nodes);
        if self.entries.len() + nodes.len() > Verifier::NODES_MAX {
            self.collapse();
            if self.entries.len() + nodes.len() > Verifier::NODES_MAX {
                return Err(OpenError::Fragmented);
            }
        }
        let mut opened: Vec<(Node, Cv)> = Vec::with_capacity(nodes.len());
        let mut doubtful = BTreeSet::new();
        for node in nodes {
            let known = self.entry(node).map(|entry| entry.cv).or_else(|| self.top.get(node));
            let cv = if let Some(cv) = known {
                cv
            } else {
                doubtful.insert(self.proven_above(node));
                let read = self.node_cv(node, source).map_err(OpenError::Source)?;
                read.ok_or(OpenError::Root)?
            };
            opened.push((node, cv));
        }
        // What was read from the store counts only if it still merges to a value that is proven.
        for node in doubtful {
            let Some((left, right)) = node.children() else { return Err(OpenError::Root) };
            let left = self.node_cv(left, source).map_err(OpenError::Source)?;
            let right = self.node_cv(right, source).map_err(OpenError::Source)?;
            let merged = left.zip(right).map(|(a, b)| merge(&a, &b, node == self.tree.root()));
            if merged.is_none() || merged != self.top.get(node) {
                return Err(OpenError::Root);
            }
        }
        for (node, cv) in opened {
            self.entries.insert(node.first(), Entry { end: node.end(), cv, held: false });
        }
        lost.runs().iter().for_each(|run| self.held.remove(run.clone()));
        Ok(lost)
    }

    /// The held leaves of `range`, rounded outward to what has a value of its own.
    fn whole_units(&self, range: &Range<u64>) -> RangeSet {
        let mut units = RangeSet::new();
        for run in self.held.within(range).runs() {
            units.insert(self.span(run));
        }
        units
    }

    /// The largest nodes that make up `lost`.
    fn cover(&self, node: Node, lost: &RangeSet, nodes: &mut Vec<Node>) {
        if !lost.intersects(&node.range()) {
            return;
        }
        // What is all lost was all held, and so has no entry but its own.
        let whole = self.tree.is_stored(node) && lost.contains_range(&node.range());
        let one = whole || self.entry(node).is_some();
        match node.children() {
            Some((left, right)) if !one => {
                self.cover(left, lost, nodes);
                self.cover(right, lost, nodes);
            }
            _ => nodes.push(node),
        }
    }

    /// The lowest node above `node`, which is not cached, whose value is. The root's is, once it
    /// was opened.
    fn proven_above(&self, node: Node) -> Node {
        let mut above = self.tree.root();
        while let Some((left, right)) = above.children() {
            let below = if node.is_within(&left.range()) { left } else { right };
            if self.top.get(below).is_none() {
                break;
            }
            above = below;
        }
        above
    }
}
