//! Blobs for tests, and the naive reference: the RFC's rules written down literally, recursive, one
//! leaf at a time, with nothing shared with the crate but the hash primitives of `blake3`.
#![allow(dead_code, reason = "each test file uses its own part")]

use core::ops::Range;
use std::collections::BTreeSet;

use blake3::{
    Hasher,
    hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root},
};
use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_tree::{Cv, OutboardBuilder, Prover, Tree, Verified, Verifier, VerifyError};

/// Byte `i` is `i % 251`, as in BLAKE3's own vectors.
pub(crate) fn paint(size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from(at % 251).unwrap_or_default()).collect()
}

pub(crate) fn group(log2: u8) -> GroupLog2 {
    GroupLog2::new(log2).expect("0 to 10")
}

/// A blob with its stored outboard.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) data: Vec<u8>,
    pub(crate) id: BlobId,
    pub(crate) size: u64,
    pub(crate) outboard: Vec<Cv>,
}

impl Blob {
    pub(crate) fn new(data: Vec<u8>) -> Self {
        let mut outboard = Vec::new();
        let mut builder = OutboardBuilder::new();
        builder.push(&data, &mut |_, cv| outboard.push(cv));
        let (id, size) = builder.finish(&mut |_, cv| outboard.push(cv));
        Self { data, id, size, outboard }
    }

    pub(crate) fn painted(size: usize) -> Self {
        Self::new(paint(size))
    }

    pub(crate) fn tree(&self) -> Tree {
        Tree::new(self.size)
    }

    pub(crate) fn prover(&self) -> Prover {
        Prover::open(self.id, self.size, self.outboard.as_slice()).expect("own outboard")
    }

    pub(crate) fn slice(&self, leaves: &Range<u64>) -> &[u8] {
        slice(&self.data, self.tree(), leaves)
    }

    pub(crate) fn encode(&self, group: GroupLog2, range: &Range<u64>, base: &RangeSet) -> Vec<u8> {
        let prover = self.prover();
        let data = self.slice(&prover.span(range));
        prover.encode(self.outboard.as_slice(), group, range, base, data).expect("complete")
    }
}

pub(crate) fn slice<'a>(data: &'a [u8], tree: Tree, leaves: &Range<u64>) -> &'a [u8] {
    let bytes = tree.bytes(leaves);
    &data[bytes.start as usize..bytes.end as usize]
}

/// A receiver as a store would have it: verifier, data file, outboard file.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    pub(crate) verifier: Verifier,
    pub(crate) data: Vec<u8>,
    pub(crate) outboard: Vec<Cv>,
}

impl Receiver {
    pub(crate) fn new(id: BlobId, size: u64) -> Self {
        let cvs = Tree::new(size).stored_cvs() as usize;
        Self {
            verifier: Verifier::new(id, size),
            data: vec![0xee; size as usize],
            outboard: vec![Cv::default(); cvs],
        }
    }

    pub(crate) fn receive(
        &mut self,
        group: GroupLog2,
        first: u64,
        base: &RangeSet,
        proof: &[u8],
        data: &[u8],
    ) -> Result<Verified, VerifyError> {
        let outboard = &mut self.outboard;
        let verified = self.verifier.verify(group, first, base, proof, data, &mut |at, cv| {
            outboard[at as usize] = cv;
        })?;
        let tree = self.verifier.tree();
        for run in verified.good.runs() {
            let bytes = tree.bytes(run);
            let from = (bytes.start - first * 1024) as usize;
            let len = (bytes.end - bytes.start) as usize;
            self.data[bytes.start as usize..][..len].copy_from_slice(&data[from..from + len]);
        }
        Ok(verified)
    }

    pub(crate) fn encode(&self, group: GroupLog2, range: &Range<u64>, base: &RangeSet) -> Vec<u8> {
        let span = self.verifier.span(range);
        let data = slice(&self.data, self.verifier.tree(), &span);
        self.verifier.encode(self.outboard.as_slice(), group, range, base, data).expect("held")
    }
}

/// The tree of RFC 0002, naively.
pub(crate) mod reference {
    use super::*;

    /// Largest power of two below `n`.
    fn left_leaves(n: u64) -> u64 {
        let mut left = 1;
        while left * 2 < n {
            left *= 2;
        }
        left
    }

    fn leaf_range(first: u64, end: u64) -> BTreeSet<u64> {
        (first..end).collect()
    }

    pub(crate) fn cv(blob: &[u8], first: u64, end: u64, root: bool) -> [u8; 32] {
        if end - first == 1 {
            let from = (first * 1024) as usize;
            let leaf = &blob[from..blob.len().min(from + 1024)];
            if root {
                return *blake3::hash(leaf).as_bytes();
            }
            return Hasher::new().set_input_offset(first * 1024).update(leaf).finalize_non_root();
        }
        let middle = first + left_leaves(end - first);
        let left = cv(blob, first, middle, false);
        let right = cv(blob, middle, end, false);
        if root {
            *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()
        } else {
            merge_subtrees_non_root(&left, &right, Mode::Hash)
        }
    }

    pub(crate) fn id(blob: &[u8]) -> [u8; 32] {
        let leaves = (blob.len() as u64).div_ceil(1024).max(1);
        cv(blob, 0, leaves, true)
    }

    /// The proof, by the rule: pre-order; spans more than a group, meets the range, avoids the base.
    pub(crate) fn proof(
        blob: &[u8],
        group: u64,
        range: &Range<u64>,
        base: &BTreeSet<u64>,
    ) -> Vec<u8> {
        fn walk(
            blob: &[u8],
            first: u64,
            end: u64,
            group: u64,
            range: &BTreeSet<u64>,
            base: &BTreeSet<u64>,
            out: &mut Vec<u8>,
        ) {
            if end - first == 1 {
                return;
            }
            let span = leaf_range(first, end);
            let middle = first + left_leaves(end - first);
            if end - first > group && !span.is_disjoint(range) && span.is_disjoint(base) {
                out.extend_from_slice(&cv(blob, first, middle, false));
                out.extend_from_slice(&cv(blob, middle, end, false));
            }
            walk(blob, first, middle, group, range, base, out);
            walk(blob, middle, end, group, range, base, out);
        }
        let leaves = (blob.len() as u64).div_ceil(1024).max(1);
        let mut out = Vec::new();
        let range = leaf_range(range.start, range.end);
        walk(blob, 0, leaves, group, &range, base, &mut out);
        out
    }

    /// The leaves of a set.
    pub(crate) fn leaves(set: &RangeSet) -> BTreeSet<u64> {
        set.runs().iter().cloned().flatten().collect()
    }
}
