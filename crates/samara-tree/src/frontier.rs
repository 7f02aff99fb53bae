use alloc::{collections::BTreeMap, vec::Vec};
use core::ops::Range;

use samara_base::{BlobId, RangeSet};

use crate::{
    Cv, CvSource, FrontierField, Node, OpenError, Verifier,
    state::{Entry, State},
};

/// First bytes of an exported frontier.
const MAGIC: [u8; 4] = *b"SFR1";
/// Length of magic and count. Unit: bytes.
const HEADER_LEN: usize = 8;
/// Length of the check at the end: the first bytes of the BLAKE3 hash of all before it. Unit: bytes.
const CHECK_LEN: usize = 8;
/// Length of a node: first leaf with level and flag, value. Unit: bytes.
const NODE_LEN: usize = 8 + Cv::LEN;
const LEVEL_SHIFT: u32 = 56;
const HELD_BIT: u64 = 1 << 63;
const FIRST_MASK: u64 = (1 << LEVEL_SHIFT) - 1;

impl Verifier {
    /// Largest export. Unit: bytes.
    pub const EXPORT_LEN_MAX: usize = HEADER_LEN + Self::NODES_MAX * NODE_LEN + CHECK_LEN;

    /// Appends the frontier to `out`: what must be kept beside the stored outboard to go on after
    /// a restart. About 40 bytes × height of the tree × runs held.
    ///
    /// Store the values that [`verify`](Self::verify) gave out *before* the frontier.
    pub fn export(&self, out: &mut Vec<u8>) {
        let entries = &self.state.entries;
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let start = out.len();
        out.reserve(HEADER_LEN + entries.len() * NODE_LEN + CHECK_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&count.to_le_bytes());
        for (first, entry) in entries {
            let level = u64::from(Node::new(*first, entry.end).level());
            let held = if entry.held { HELD_BIT } else { 0 };
            out.extend_from_slice(&(first | level << LEVEL_SHIFT | held).to_le_bytes());
            out.extend_from_slice(&entry.cv.0);
        }
        let check = check(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&check);
    }

    /// Restores a verifier from an exported frontier and the stored outboard.
    ///
    /// Everything is validated: the form of the bytes, and that the frontier's values together with
    /// the stored values of all other groups merge to the id. So neither a damaged frontier nor a
    /// damaged outboard can make false bytes count as good. What this cannot check is the data
    /// itself, which the store hashes against the stored values where it is in doubt.
    ///
    /// # Errors
    ///
    /// [`OpenError`]. Go back to an older frontier, or start anew.
    pub fn import<S: CvSource + ?Sized>(
        id: BlobId,
        size: u64,
        bytes: &[u8],
        source: &S,
    ) -> Result<Self, OpenError<S::Error>> {
        let mut state = State::empty(id, size);
        //= rfcs/0002-identity.md#tree-18
        //# A reader MUST refuse a frontier that is not in canonical form.
        state.entries = parse(&state, bytes)?;
        state.held.insert(state.tree.root().range());
        let open: Vec<Range<u64>> = state
            .entries
            .iter()
            .filter(|(_, entry)| !entry.held)
            .map(|(first, entry)| *first..entry.end)
            .collect();
        let open = RangeSet::from_iter(open);
        state.held = state.held.difference(&open);
        for (at, (first, entry)) in state.entries.iter().enumerate() {
            // A group that is held has a stored value of its own, which is not a frontier's business;
            // but for the one group of a blob without outboard.
            let (node, whole) = (Node::new(*first, entry.end), state.stored_node(*first));
            if entry.held
                && state.held.contains_range(&whole.range())
                && (node != whole || state.tree.stored_cvs() > 0)
            {
                return Err(wrong(HEADER_LEN + at * NODE_LEN, FrontierField::Node));
            }
        }
        //= rfcs/0002-identity.md#tree-19
        //# A reader MUST refuse a frontier whose values do not merge, together with those of the
        //# outboard, to the blob's id.
        if !state.load(source).map_err(OpenError::Source)? {
            return Err(OpenError::Root);
        }
        Ok(Self::from_state(state))
    }
}

pub(crate) fn check(bytes: &[u8]) -> [u8; CHECK_LEN] {
    let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(bytes).as_bytes();
    [a, b, c, d, e, f, g, h]
}

fn wrong<E>(offset: usize, field: FrontierField) -> OpenError<E> {
    OpenError::Malformed { offset: u32::try_from(offset).unwrap_or(u32::MAX), field }
}

fn parse<E>(state: &State, bytes: &[u8]) -> Result<BTreeMap<u64, Entry>, OpenError<E>> {
    let Some((magic, rest)) = bytes.split_first_chunk::<4>() else {
        return Err(wrong(0, FrontierField::Magic));
    };
    if *magic != MAGIC {
        return Err(wrong(0, FrontierField::Magic));
    }
    let Some((count, rest)) = rest.split_first_chunk::<4>() else {
        return Err(wrong(4, FrontierField::Count));
    };
    let count = usize::try_from(u32::from_le_bytes(*count)).unwrap_or(usize::MAX);
    let nodes = match rest.split_last_chunk::<CHECK_LEN>() {
        Some((nodes, _)) if count <= Verifier::NODES_MAX && nodes.len() == count * NODE_LEN => {
            nodes
        }
        _ => return Err(wrong(4, FrontierField::Count)),
    };
    let (before, found) = bytes.split_at(bytes.len() - CHECK_LEN);
    if check(before) != *found {
        return Err(wrong(before.len(), FrontierField::Check));
    }
    let mut entries = BTreeMap::new();
    let mut end = 0;
    for (at, bytes) in nodes.chunks_exact(NODE_LEN).enumerate() {
        let offset = HEADER_LEN + at * NODE_LEN;
        let node =
            parse_node(state, end, bytes).ok_or_else(|| wrong(offset, FrontierField::Node))?;
        end = node.0.end();
        entries.insert(node.0.first(), node.1);
    }
    Ok(entries)
}

/// A node that begins at or behind leaf `from`.
fn parse_node(state: &State, from: u64, bytes: &[u8]) -> Option<(Node, Entry)> {
    let (name, cv) = bytes.split_first_chunk::<8>()?;
    let cv = Cv(*cv.first_chunk::<{ Cv::LEN }>()?);
    let name = u64::from_le_bytes(*name);
    let (first, held) = (name & FIRST_MASK, name & HELD_BIT != 0);
    let level = (name & !HELD_BIT) >> LEVEL_SHIFT;
    let root = state.tree.root();
    if level > u64::from(root.level()) || first < from || first >= root.end() {
        return None;
    }
    let span = 1u64 << level;
    if !first.is_multiple_of(span) {
        return None;
    }
    let node = Node::new(first, first.checked_add(span)?.min(root.end()));
    // The same leaves have the same name: a node cut by the end has the level that it needs.
    if u64::from(node.level()) != level {
        return None;
    }
    Some((node, Entry { end: node.end(), cv, held }))
}

// registry tree-limits derived: begin
const _: () = assert!(samara_base::leaves(u64::MAX) as u128 * 1024 - 1 == (1 << 64) - 1);
const _: () = assert!(samara_base::leaves(u64::MAX) == 1 << 54);
const _: () = assert!(samara_base::leaves(u64::MAX).ilog2() == 54);
const _: () = assert!(samara_base::GroupLog2::MAX.get() == 10);
const _: () = assert!(Verifier::EXPORT_LEN_MAX == 2_621_456);
// registry tree-limits derived: end
