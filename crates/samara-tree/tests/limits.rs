//! Both sides of each limit, and sizes at the end of what 64 bits can say.

mod common;

use blake3::hazmat::{Mode, merge_subtrees_non_root, merge_subtrees_root};
use common::{Blob, Receiver, group, paint};
use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_tree::{Cv, FrontierField, OpenError, Tree, Verifier, VerifyError, group_cv};

/// The path to the last leaf of a blob of `size` bytes that nobody could ever write: everything left
/// of the path is made up. Returns the blob's id and the proof.
fn last_leaf(size: u64, data: &[u8]) -> (BlobId, Vec<u8>) {
    let tree = Tree::new(size);
    let mut made_up = Vec::new();
    let mut node = tree.root();
    while let Some((left, right)) = node.children() {
        made_up.push([left.level() ^ 0x5a; 32]);
        node = right;
    }
    let mut cv = group_cv(data, tree.leaves() - 1).0;
    let mut pairs = Vec::new();
    for (at, left) in made_up.iter().enumerate().rev() {
        pairs.push([*left, cv].concat());
        cv = if at == 0 {
            *merge_subtrees_root(left, &cv, Mode::Hash).as_bytes()
        } else {
            merge_subtrees_non_root(left, &cv, Mode::Hash)
        };
    }
    pairs.reverse();
    (BlobId::from_bytes(cv), pairs.concat())
}

//= rfcs/0002-identity.md#tree-3
//= type=test
//# An implementation MUST derive the shape of a tree without overflow for every size from 0 to
//# 2^64 - 1 bytes.
//
//= rfcs/0002-identity.md#tree-14
//= type=test
//# A receiver MUST NOT reserve memory or storage in proportion to a size that is not proven.
#[test]
fn the_largest_sizes_are_proven_by_their_last_leaf() {
    for size in [u64::MAX, u64::MAX - 1023, (1 << 62) - 1, (1 << 63) + 1, 1 << 63] {
        let tree = Tree::new(size);
        let last = tree.leaves() - 1..tree.leaves();
        let data = paint(usize::try_from(tree.bytes_len(&last)).unwrap());
        let (id, proof) = last_leaf(size, &data);
        let none = RangeSet::new();
        assert_eq!(tree.proof_len(GroupLog2::MIN, &last, &none), proof.len() as u64);
        let mut verifier = Verifier::new(id, size);
        let verified =
            verifier.verify(GroupLog2::MIN, last.start, &none, &proof, &data, &mut |_, _| ());
        assert_eq!(verified.unwrap().good, RangeSet::from(last.clone()));
        assert!(verifier.size_proven() && !verifier.is_complete());
        assert!(verifier.memory_bytes() < 32 * 1024, "{}", verifier.memory_bytes());

        // The same bytes prove no neighbouring size.
        for wrong in [size - 1, size - 1024, size.saturating_add(1)] {
            if wrong == size {
                continue;
            }
            let mut verifier = Verifier::new(id, wrong);
            let leaf = Tree::new(wrong).leaves() - 1;
            let found = verifier.verify(GroupLog2::MIN, leaf, &none, &proof, &data, &mut |_, _| ());
            assert!(found.is_err() || found.is_ok_and(|verified| verified.good.is_empty()));
            assert!(!verifier.size_proven());
        }
    }
    assert_eq!(Tree::new(u64::MAX).leaves(), 1 << 54);
    assert_eq!(Tree::new(u64::MAX).root().level(), 54);
    assert_eq!(Tree::new(u64::MAX).bytes(&(0..u64::MAX)), 0..u64::MAX);
}

#[test]
fn the_empty_blob_is_one_empty_leaf() {
    let blob = Blob::painted(0);
    for log2 in 0..=10 {
        let proof = blob.encode(group(log2), &(0..1), &RangeSet::new());
        assert!(proof.is_empty() && blob.outboard.is_empty());
        let mut getter = Receiver::new(blob.id, 0);
        let verified = getter.receive(group(log2), 0, &RangeSet::new(), &[], &[]).unwrap();
        assert_eq!(verified.good, RangeSet::from(0..1));
        assert!(getter.verifier.size_proven() && getter.verifier.is_complete());
    }
    // Another blob that is claimed to be empty.
    let mut verifier = Verifier::new(Blob::painted(1).id, 0);
    let verified = verifier.verify(GroupLog2::MIN, 0, &RangeSet::new(), &[], &[], &mut |_, _| ());
    assert_eq!(verified.unwrap().bad, RangeSet::from(0..1));
    assert!(!verifier.size_proven());
}

//= rfcs/0002-identity.md#tree-15
//= type=test
//# A stored outboard MUST be the values of all 16 KiB groups of the blob in order, 32 bytes each, or
//# empty if the blob fits one such group.
#[test]
fn an_outboard_begins_beyond_one_group() {
    for (size, cvs) in [(0, 0), (16_384, 0), (16_385, 2), (32_768, 2), (32_769, 3)] {
        let blob = Blob::painted(size);
        let expected: Vec<Cv> = match cvs {
            0 => vec![],
            _ => blob.data.chunks(16_384).zip(0..).map(|(d, at)| group_cv(d, at * 16)).collect(),
        };
        assert_eq!(blob.outboard, expected);
        assert_eq!(blob.tree().stored_cvs(), cvs);
        assert_eq!(blob.tree().outboard_len(), 32 * cvs);
    }
}

//= rfcs/0002-identity.md#tree-20
//= type=test
//# A frontier MUST NOT have more than 65,536 nodes.
#[test]
fn a_frontier_stops_growing_at_its_limit() {
    let none = RangeSet::new();
    let damaged = |blob: &Blob, leaves: core::ops::Range<usize>| {
        let mut data = blob.data[leaves.start * 1024..leaves.end * 1024].to_vec();
        (0..leaves.len()).step_by(2).for_each(|leaf| data[leaf * 1024] ^= 1);
        data
    };

    // 65,536 leaves, every other one bad: as many nodes as there may be.
    let blob = Blob::new(vec![0; 65_536 << 10]);
    let all = 0..65_536;
    let proof = blob.encode(GroupLog2::MIN, &all, &none);
    let mut verifier = Verifier::new(blob.id, blob.size);
    let data = damaged(&blob, 0..65_536);
    let verified = verifier.verify(GroupLog2::MIN, 0, &none, &proof, &data, &mut |_, _| ());
    assert_eq!(verified.unwrap().bad.total(), 32_768);
    assert_eq!(verifier.nodes(), Verifier::NODES_MAX);
    let mut frontier = Vec::new();
    verifier.export(&mut frontier);
    assert_eq!(frontier.len(), Verifier::EXPORT_LEN_MAX);
    let imported = Verifier::import(blob.id, blob.size, &frontier, [].as_slice()).unwrap();
    assert_eq!(imported.known(), verifier.known());
    frontier[4..8].copy_from_slice(&65_537u32.to_le_bytes());
    frontier.extend_from_slice(&[0; 40]);
    let error = Verifier::import(blob.id, blob.size, &frontier, [].as_slice()).unwrap_err();
    assert_eq!(error, OpenError::Malformed { offset: 4, field: FrontierField::Count });
    // What it holds it can still complete.
    let known = verifier.known().clone();
    let proof = blob.encode(GroupLog2::MIN, &(0..1), &known);
    let verified =
        verifier.verify(GroupLog2::MIN, 0, &known, &proof, &blob.data[..1024], &mut |_, _| ());
    assert_eq!(verified.unwrap().good, RangeSet::from(0..1));

    // One leaf more, in two transfers: too many.
    let blob = Blob::new(vec![0; 65_537 << 10]);
    let mut verifier = Verifier::new(blob.id, blob.size);
    let halves: [core::ops::Range<u64>; 2] = [0..32_768, 32_768..65_537];
    let [first, second] = halves.map(|half| {
        let proof = blob.encode(GroupLog2::MIN, &half, &none);
        let data = damaged(&blob, half.start as usize..half.end as usize);
        verifier.verify(GroupLog2::MIN, half.start, &none, &proof, &data, &mut |_, _| ())
    });
    assert_eq!(first.unwrap().good.total(), 16_384);
    assert_eq!(second, Err(VerifyError::Fragmented));
    assert!(!VerifyError::Fragmented.is_peer_fault());
    assert_eq!(verifier.known().total(), 16_384, "nothing held was given up");
}

//= rfcs/0002-identity.md#tree-22
//= type=test
//# A receiver MUST refuse a transfer of more than 65,536 groups.
#[test]
fn a_transfer_has_no_more_groups_than_may_be() {
    let none = RangeSet::new();
    let blob = Blob::new(vec![0; 65_537 << 10]);
    let mut verifier = Verifier::new(blob.id, blob.size);
    let mut verify = |end: u64| {
        let proof = blob.encode(GroupLog2::MIN, &(0..end), &none);
        let data = blob.slice(&(0..end));
        verifier.verify(GroupLog2::MIN, 0, &none, &proof, data, &mut |_, _| ())
    };
    let too_many = VerifyError::TooManyGroups { found: 65_537 };
    assert_eq!(verify(65_537), Err(too_many));
    assert!(too_many.is_peer_fault() && !too_many.to_string().is_empty());
    assert_eq!(verify(65_536).unwrap().good, RangeSet::from(0..65_536));
}

#[test]
fn values_that_nobody_needs_make_room() {
    let none = RangeSet::new();
    let blob = Blob::new(vec![0; 65_537 << 10]);
    let mut verifier = Verifier::new(blob.id, blob.size);
    // True proofs with nothing but bad data: 32,768 open leaves, twice.
    for half in [0..32_768, 32_768..65_536] {
        let proof = blob.encode(GroupLog2::MIN, &half, &none);
        let data = vec![0xee; 32 << 20];
        let verified =
            verifier.verify(GroupLog2::MIN, half.start, &none, &proof, &data, &mut |_, _| ());
        assert!(verified.unwrap().good.is_empty());
        assert!(verifier.nodes() < 32_772);
    }
}
