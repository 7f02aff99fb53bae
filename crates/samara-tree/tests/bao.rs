//! Differential: with an empty base, our proof is the sequence of pairs of bao-tree's encoding.
#![expect(clippy::unwrap_used, reason = "test")]

mod common;

use core::ops::Range;

use bao_tree::{
    BaoTree, BlockSize, ChunkNum, ChunkRanges,
    io::{
        BaoContentItem,
        outboard::PreOrderMemOutboard,
        sync::{DecodeResponseIter, encode_ranges_validated},
    },
};
use common::{Blob, group};
use proptest::prelude::*;
use samara_base::RangeSet;

/// Pairs and data of bao-tree's encoding of a range, decoded by bao-tree against the root.
fn bao(data: &[u8], log2: u8, range: &Range<u64>) -> (Vec<u8>, Vec<u8>) {
    let block_size = BlockSize::from_chunk_log(log2);
    let outboard = PreOrderMemOutboard::create(data, block_size);
    let ranges = ChunkRanges::from(ChunkNum(range.start)..ChunkNum(range.end));
    let mut encoded = Vec::new();
    encode_ranges_validated(data, &outboard, &ranges, &mut encoded).unwrap();
    let tree = BaoTree::new(data.len() as u64, block_size);
    let (mut pairs, mut leaves) = (Vec::new(), Vec::new());
    for item in DecodeResponseIter::new(outboard.root, tree, encoded.as_slice(), &ranges) {
        match item.unwrap() {
            BaoContentItem::Parent(parent) => {
                pairs.extend_from_slice(parent.pair.0.as_bytes());
                pairs.extend_from_slice(parent.pair.1.as_bytes());
            }
            BaoContentItem::Leaf(leaf) => leaves.extend_from_slice(&leaf.data),
        }
    }
    (pairs, leaves)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn proof_equals_the_pairs_of_bao_tree(
        size in prop_oneof![0usize..5_000, 0usize..300_000],
        log2 in 0u8..=10,
        from: prop::sample::Index,
        len: prop::sample::Index,
    ) {
        let blob = Blob::painted(size);
        let leaves = blob.tree().leaves();
        let first = from.index(leaves as usize) as u64;
        let end = first + 1 + len.index((leaves - first) as usize) as u64;
        let range = group(log2).align(&(first..end), leaves);
        let (pairs, data) = bao(&blob.data, log2, &range);
        prop_assert_eq!(blob.encode(group(log2), &range, &RangeSet::new()), pairs);
        prop_assert_eq!(blob.slice(&range), data);
    }
}
