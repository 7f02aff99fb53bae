use alloc::{collections::BTreeMap, vec, vec::Vec};
use core::ops::Range;

use samara_base::{BlobId, GroupLog2, RangeSet};

use crate::{Cv, CvSource, Node, Tree, cv::merge};

/// Leaves per stored value.
pub(crate) const STORED_LEAVES: u64 = GroupLog2::KIB16.leaves();
/// Nodes at the lowest cached level; with the levels above, at most twice as many are cached.
const TOP_WIDTH_MAX: u64 = 2048;
/// Values read from the source at once (8 KiB).
const READ_CVS_MAX: u64 = 256;

/// What is known about one blob's tree: the part shared by prover and verifier.
///
/// The leaves are partitioned. Leaves in `held` and under no entry are covered by stored values in
/// the [`CvSource`]. All other leaves are under exactly one entry: a node with a proven value,
/// which is either *open* (data not held) or *held* but too small to have a stored value yet. A
/// node that is neither under an entry nor an entry nor wholly held is *expanded*: the values of
/// its children are proven.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) id: BlobId,
    pub(crate) tree: Tree,
    /// Leaves whose data was verified.
    pub(crate) held: RangeSet,
    /// Keyed by first leaf.
    pub(crate) entries: BTreeMap<u64, Entry>,
    pub(crate) top: Top,
}

/// A proven value of a node that the source does not cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) end: u64,
    pub(crate) cv: Cv,
    pub(crate) held: bool,
}

/// Proven values of nodes near the root, so that no proof has to read the whole outboard.
#[derive(Clone, Debug)]
pub(crate) struct Top {
    /// Lowest cached level.
    level: u8,
    /// Keyed by first leaf and level.
    cvs: BTreeMap<(u64, u8), Cv>,
}

impl Top {
    fn new(tree: Tree) -> Self {
        let width = tree.leaves().div_ceil(TOP_WIDTH_MAX).next_power_of_two();
        #[allow(clippy::cast_possible_truncation, reason = "at most 64")]
        let level = (width.trailing_zeros() as u8).max(GroupLog2::KIB16.get());
        Self { level, cvs: BTreeMap::new() }
    }

    pub(crate) fn insert(&mut self, node: Node, cv: Cv) {
        if node.level() >= self.level {
            self.cvs.insert((node.first(), node.level()), cv);
        }
    }

    pub(crate) fn get(&self, node: Node) -> Option<Cv> {
        let level = node.level();
        if level < self.level { None } else { self.cvs.get(&(node.first(), level)).copied() }
    }
}

impl State {
    /// Nothing known but the id.
    pub(crate) fn empty(id: BlobId, size: u64) -> Self {
        let tree = Tree::new(size);
        let entry = Entry { end: tree.leaves(), cv: id.into(), held: false };
        Self {
            id,
            tree,
            held: RangeSet::new(),
            entries: BTreeMap::from([(0, entry)]),
            top: Top::new(tree),
        }
    }

    /// Everything held. Unproven until [`Self::load`] said so; a blob without outboard gets its
    /// root as the only entry, so that it can be checked.
    pub(crate) fn complete(id: BlobId, size: u64) -> Self {
        let mut state = Self::empty(id, size);
        state.held.insert(state.tree.root().range());
        if state.tree.stored_cvs() == 0 {
            state.entries.values_mut().for_each(|entry| entry.held = true);
        } else {
            state.entries.clear();
        }
        state
    }

    /// Upper bound of the heap memory in use. A B-tree's nodes are at least five elevenths full.
    pub(crate) fn memory_bytes(&self) -> usize {
        2048 + self.entries.len() * 128 + self.top.cvs.len() * 112 + self.held.runs().len() * 32
    }

    pub(crate) fn entry(&self, node: Node) -> Option<&Entry> {
        self.entries.get(&node.first()).filter(|entry| entry.end == node.end())
    }

    /// The entry that a leaf is under.
    pub(crate) fn entry_at(&self, leaf: u64) -> Option<(Node, &Entry)> {
        let (first, entry) = self.entries.range(..=leaf).next_back()?;
        (leaf < entry.end).then(|| (Node::new(*first, entry.end), entry))
    }

    pub(crate) fn has_entry_in(&self, range: &Range<u64>) -> bool {
        self.entries.range(range.clone()).next().is_some()
    }

    /// The 16 KiB group that a leaf is in.
    pub(crate) fn stored_node(&self, leaf: u64) -> Node {
        let first = leaf & !(STORED_LEAVES - 1);
        Node::new(first, (first + STORED_LEAVES).min(self.tree.leaves()))
    }

    /// Reads the whole outboard once, fills the cache and checks that everything merges to the id.
    pub(crate) fn load<S: CvSource + ?Sized>(&mut self, source: &S) -> Result<bool, S::Error> {
        let mut top = Top::new(self.tree);
        let root = self.compute(self.tree.root(), source, None, &mut |node, cv| {
            top.insert(node, cv);
        })?;
        let good = root == Some(self.id.into());
        if good {
            self.top = top;
        }
        Ok(good)
    }

    /// The proven value of a node, from the cache, an entry, the source or by merging. `None`: it
    /// is below what is known without the data.
    pub(crate) fn node_cv<S: CvSource + ?Sized>(
        &self,
        node: Node,
        source: &S,
    ) -> Result<Option<Cv>, S::Error> {
        self.compute(node, source, Some(&self.top), &mut |_, _| ())
    }

    fn compute<S: CvSource + ?Sized>(
        &self,
        node: Node,
        source: &S,
        cache: Option<&Top>,
        visit: &mut impl FnMut(Node, Cv),
    ) -> Result<Option<Cv>, S::Error> {
        if let Some(cv) = cache.and_then(|top| top.get(node)) {
            return Ok(Some(cv));
        }
        if let Some(entry) = self.entry(node) {
            visit(node, entry.cv);
            return Ok(Some(entry.cv));
        }
        let groups = node.leaves().div_ceil(STORED_LEAVES);
        let stored = self.held.contains_range(&node.range())
            && self.tree.is_stored(node)
            && groups <= READ_CVS_MAX
            && !self.has_entry_in(&node.range());
        if stored {
            let mut cvs = vec![Cv::default(); usize::try_from(groups).unwrap_or(0)];
            source.read_cvs(node.first() / STORED_LEAVES, &mut cvs)?;
            return Ok(Some(self.fold(node, &cvs, visit)));
        }
        let Some((left, right)) = node.children() else { return Ok(None) };
        let left = self.compute(left, source, cache, visit)?;
        let right = self.compute(right, source, cache, visit)?;
        let (Some(left), Some(right)) = (left, right) else { return Ok(None) };
        let cv = merge(&left, &right, node == self.tree.root());
        visit(node, cv);
        Ok(Some(cv))
    }

    /// Merges the stored values of a node's groups.
    pub(crate) fn fold(&self, node: Node, cvs: &[Cv], visit: &mut impl FnMut(Node, Cv)) -> Cv {
        let cv = match (cvs, node.children()) {
            ([], _) => Cv::default(),
            ([one], _) => *one,
            (_, None) => Cv::default(),
            (_, Some((left, right))) => {
                let cut = usize::try_from(left.leaves() / STORED_LEAVES).unwrap_or(usize::MAX);
                let (head, tail) = cvs.split_at(cut.min(cvs.len()));
                let left = self.fold(left, head, visit);
                let right = self.fold(right, tail, visit);
                merge(&left, &right, node == self.tree.root())
            }
        };
        visit(node, cv);
        cv
    }

    /// Merges open siblings into their parents as far as possible: forgets values that are proven
    /// but not needed, since a later proof brings them again.
    pub(crate) fn collapse(&mut self) {
        self.collapse_under(self.tree.root());
    }

    /// The value of `node` if it is an open entry now.
    fn collapse_under(&mut self, node: Node) -> Option<Cv> {
        if let Some(entry) = self.entry(node) {
            return (!entry.held).then_some(entry.cv);
        }
        if self.held.contains_range(&node.range()) {
            return None;
        }
        let (left, right) = node.children()?;
        let (left_cv, right_cv) = (self.collapse_under(left), self.collapse_under(right));
        let cv = merge(&left_cv?, &right_cv?, node == self.tree.root());
        self.entries.remove(&right.first());
        self.entries.insert(node.first(), Entry { end: node.end(), cv, held: false });
        Some(cv)
    }

    /// The smallest node around a held leaf that has a value of its own: an entry or a 16 KiB group.
    pub(crate) fn unit_at(&self, leaf: u64) -> Node {
        self.entry_at(leaf).map_or_else(|| self.stored_node(leaf), |(node, _)| node)
    }

    /// The leaves that must be read to encode `range`: whole units.
    pub(crate) fn span(&self, range: &Range<u64>) -> Range<u64> {
        if range.start >= range.end || range.end > self.tree.leaves() {
            return range.clone();
        }
        let first = self.unit_at(range.start).first();
        first.min(range.start)..self.unit_at(range.end - 1).end().max(range.end)
    }
}

/// Values computed from data, sorted by place.
pub(crate) type Checked = Vec<(Node, Cv)>;
