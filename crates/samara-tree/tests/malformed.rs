//! One test per way to be wrong, and every single-bit flip of small transfers.
#![expect(clippy::unwrap_used, reason = "test")]

mod common;

use core::ops::Range;

use common::{Blob, Receiver, group};
use samara_base::{GroupLog2, RangeSet};
use samara_tree::{EncodeError, Node, OpenError, Prover, Tree, Verifier, VerifyError};

const KIB1: GroupLog2 = GroupLog2::MIN;
const KIB16: GroupLog2 = GroupLog2::KIB16;

fn none() -> RangeSet {
    RangeSet::new()
}

/// Runs one transfer against a fresh verifier and asserts that a refusal changes nothing.
fn refused(
    blob: &Blob,
    group: GroupLog2,
    first: u64,
    base: &RangeSet,
    proof: &[u8],
    data: &[u8],
) -> VerifyError {
    let mut verifier = Verifier::new(blob.id, blob.size);
    let mut before = Vec::new();
    verifier.export(&mut before);
    let mut sunk = 0;
    let error =
        verifier.verify(group, first, base, proof, data, &mut |_, _| sunk += 1).unwrap_err();
    let mut after = Vec::new();
    verifier.export(&mut after);
    assert_eq!((before, 0), (after, sunk));
    assert!(!error.to_string().is_empty());
    error
}

//= rfcs/0002-identity.md#tree-7
//= type=test
//# A receiver MUST refuse a transfer whose range is not made of whole groups inside the blob, or
//# whose proof or data is not as long as size, group size, range and base say.
#[test]
fn a_range_outside_the_blob_is_refused() {
    let blob = Blob::painted(40_000); // 40 leaves, the last of 64 bytes
    let data = [0; 2048];
    let out = |first_leaf| VerifyError::OutOfRange { first_leaf, leaves: 40 };
    assert_eq!(refused(&blob, KIB1, 39, &none(), &[], &data), out(39));
    assert_eq!(refused(&blob, KIB1, 40, &none(), &[], &data[..1024]), out(40));
    assert_eq!(refused(&blob, KIB1, 40, &none(), &[], &[]), out(40));
    assert_eq!(refused(&blob, KIB1, u64::MAX, &none(), &[], &data), out(u64::MAX));
    assert!(out(1).is_peer_fault());
}

#[test]
fn a_range_of_broken_groups_is_refused() {
    let blob = Blob::painted(40_000);
    let unaligned = |first_leaf| VerifyError::Unaligned { first_leaf };
    // Starts inside a group.
    let data = blob.slice(&(8..16));
    assert_eq!(refused(&blob, KIB16, 8, &none(), &[], data), unaligned(8));
    // Ends inside a group that is not the last.
    let data = blob.slice(&(16..24));
    assert_eq!(refused(&blob, KIB16, 16, &none(), &[], data), unaligned(16));
    // Ends before the end of the last group.
    let data = blob.slice(&(32..39));
    assert_eq!(refused(&blob, KIB16, 32, &none(), &[], data), unaligned(32));
}

#[test]
fn data_of_the_wrong_length_is_refused() {
    let blob = Blob::painted(40_000);
    let length = |expected, found| VerifyError::DataLength { expected, found };
    // The last leaf has 64 bytes.
    for (len, error) in [(63, length(64, 63)), (65, length(64, 65)), (1024, length(64, 1024))] {
        assert_eq!(refused(&blob, KIB1, 39, &none(), &[], &[0; 1024][..len]), error);
    }
    // No data at all for a leaf that has some; half a leaf in the middle.
    assert_eq!(refused(&blob, KIB1, 0, &none(), &[], &[]), length(1024, 0));
    assert_eq!(refused(&blob, KIB1, 0, &none(), &[], &[0; 1500]), length(2048, 1500));
    // Any data for the empty blob.
    let out = VerifyError::DataLength { expected: 0, found: 1 };
    assert_eq!(refused(&Blob::painted(0), KIB1, 0, &none(), &[], &[0]), out);
}

#[test]
fn a_proof_of_the_wrong_length_is_refused() {
    let blob = Blob::painted(40_000);
    let proof = blob.encode(KIB1, &(0..1), &none());
    assert_eq!(proof.len(), 6 * 64);
    let data = blob.slice(&(0..1));
    let mut long = proof.clone();
    long.push(0);
    for proof in [&proof[..0], &proof[..64], &proof[64..], &proof[..383], &long] {
        let (expected, found) = (384, proof.len() as u64);
        let error = VerifyError::ProofLength { expected, found };
        assert_eq!(refused(&blob, KIB1, 0, &none(), proof, data), error);
    }
    // A blob that fits one group has no proof.
    let small = Blob::painted(16_384);
    let error = VerifyError::ProofLength { expected: 0, found: 64 };
    assert_eq!(refused(&small, KIB16, 0, &none(), &[0; 64], &small.data), error);
}

//= rfcs/0002-identity.md#tree-8
//= type=test
//# A receiver MUST refuse a transfer with a pair that does not merge to the proven value of its node.
//
//= rfcs/0002-identity.md#tree-12
//= type=test
//# A receiver MUST leave the set of leaves that it holds as it was when it refuses a transfer.
#[test]
fn every_flipped_bit_of_a_proof_is_refused_at_its_node() {
    let blob = Blob::painted(40_000);
    // Path to leaf 5: nodes 0..40, 0..32, 0..16, 0..8, 4..8, 4..6.
    let path = [(0, 40), (0, 32), (0, 16), (0, 8), (4, 8), (4, 6)];
    let proof = blob.encode(KIB1, &(5..6), &none());
    assert_eq!(proof.len(), 64 * path.len());
    for bit in 0..proof.len() * 8 {
        let mut proof = proof.clone();
        proof[bit / 8] ^= 1 << (bit % 8);
        let error = refused(&blob, KIB1, 5, &none(), &proof, blob.slice(&(5..6)));
        let VerifyError::ParentMismatch { node } = error else { panic!("{error}") };
        assert_eq!((node.first(), node.end()), path[bit / 512]);
        assert!(error.is_peer_fault());
    }
}

//= rfcs/0002-identity.md#tree-10
//= type=test
//# A receiver MUST NOT store, pass on, hand to the application or count as held any data before it
//# has hashed to its proven value.
//
//= rfcs/0002-identity.md#tree-11
//= type=test
//# A receiver MUST keep the groups that are good in a transfer in which others are bad.
#[test]
fn every_flipped_bit_of_data_makes_its_own_group_bad_and_no_other() {
    let blob = Blob::painted(7_000); // 7 leaves
    for log2 in 0..3 {
        let group = group(log2);
        let range = 0..7;
        let proof = blob.encode(group, &range, &none());
        for bit in 0..blob.data.len() * 8 {
            let mut data = blob.data.clone();
            data[bit / 8] ^= 1 << (bit % 8);
            let mut verifier = Verifier::new(blob.id, blob.size);
            let verified =
                verifier.verify(group, 0, &none(), &proof, &data, &mut |_, _| ()).unwrap();
            let leaf = bit as u64 / 8192;
            let bad = RangeSet::from(group.align(&(leaf..leaf + 1), 7));
            assert_eq!(verified.good, bad.complement(7));
            assert_eq!(verifier.known(), &verified.good);
            assert_eq!(verified.bad, bad);
            // The last group is what proves the size.
            assert_eq!(verifier.size_proven(), !bad.contains(6));
        }
    }
}

#[test]
fn a_bad_group_can_be_sent_again_without_its_proof() {
    let blob = Blob::painted(100_000);
    let mut getter = Receiver::new(blob.id, blob.size);
    let proof = blob.encode(KIB16, &(0..98), &none());
    let mut data = blob.data.clone();
    data[20_000] ^= 1; // group 16..32
    let verified = getter.receive(KIB16, 0, &none(), &proof, &data).unwrap();
    assert_eq!(verified.bad, RangeSet::from(16..32));
    let known = getter.verifier.known().clone();
    assert_eq!(known, RangeSet::from_iter([0..16, 32..98]));
    assert!(blob.encode(KIB16, &(16..32), &known).is_empty());
    let verified = getter.receive(KIB16, 16, &known, &[], blob.slice(&(16..32))).unwrap();
    assert_eq!(verified.good, RangeSet::from(16..32));
    assert_eq!((getter.data, getter.outboard), (blob.data, blob.outboard));
}

//= rfcs/0002-identity.md#tree-5
//= type=test
//# A getter MUST NOT name a leaf as known that it does not hold.
#[test]
fn leaves_with_a_proven_value_but_bad_data_are_not_known() {
    let blob = Blob::painted(130_000);
    let mut getter = Receiver::new(blob.id, blob.size);
    let proof = blob.encode(GroupLog2::KIB64, &(0..64), &none());
    let mut data = blob.slice(&(0..64)).to_vec();
    data[0] ^= 1;
    let verified = getter.receive(GroupLog2::KIB64, 0, &none(), &proof, &data).unwrap();
    assert_eq!(verified.bad, RangeSet::from(0..64));
    assert!(getter.verifier.known().is_empty());
    // Named nevertheless, the pairs inside the group would be missing at 1 KiB ...
    let liar = RangeSet::from(1..64);
    let proof = blob.encode(KIB1, &(0..1), &liar);
    let error = getter.receive(KIB1, 0, &liar, &proof, blob.slice(&(0..1))).unwrap_err();
    assert!(matches!(error, VerifyError::NotKnown { node } if node.range() == (0..64)));
    // ... relative to what is known, everything is there.
    let known = getter.verifier.known().clone();
    let proof = blob.encode(KIB1, &(0..1), &known);
    assert!(getter.receive(KIB1, 0, &known, &proof, blob.slice(&(0..1))).unwrap().bad.is_empty());
}

//= rfcs/0002-identity.md#tree-6
//= type=test
//# A receiver MUST refuse a transfer whose base leaves out a pair that it needs and does not have.
#[test]
fn a_base_that_was_never_received_is_refused() {
    let blob = Blob::painted(40_000);
    let base = RangeSet::from(0..16);
    let proof = blob.encode(KIB16, &(16..32), &base);
    assert!(proof.is_empty());
    let error = refused(&blob, KIB16, 16, &base, &proof, blob.slice(&(16..32)));
    let VerifyError::NotKnown { node } = error else { panic!("{error}") };
    assert_eq!(node, Tree::new(40_000).root());
    assert!(!error.is_peer_fault());
}

//= rfcs/0002-identity.md#tree-9
//= type=test
//# A receiver MUST skip, unread, the pairs of nodes that it has already expanded and the data of
//# leaves that it already holds.
#[test]
fn what_is_known_is_skipped_whatever_it_says() {
    let blob = Blob::painted(40_000);
    let mut getter = Receiver::new(blob.id, blob.size);
    let send = |range: Range<u64>| blob.encode(KIB1, &range, &none());
    let first = getter.receive(KIB1, 0, &none(), &send(0..4), blob.slice(&(0..4))).unwrap();
    assert_eq!(first.good, RangeSet::from(0..4));
    // From a second source that does not know of the first: leaves 0..8 with all their pairs. Those
    // of 0..40, 0..32, 0..16, 0..8, 0..4, 0..2, 2..4 are expanded or held here, 4..8 is not. Make
    // the former nonsense.
    let mut proof = send(0..8);
    assert_eq!(proof.len(), 64 * (7 + 3));
    proof[..7 * 64].fill(0xaa);
    let mut data = blob.slice(&(0..8)).to_vec();
    data[..4096].fill(0xaa);
    let second = getter.receive(KIB1, 0, &none(), &proof, &data).unwrap();
    assert_eq!(second.duplicate, RangeSet::from(0..4));
    assert_eq!(second.good, RangeSet::from(4..8));
    assert_eq!(getter.data[..8192], blob.data[..8192]);
}

#[test]
fn encode_refuses_what_it_cannot_serve() {
    let blob = Blob::painted(40_000);
    let prover = blob.prover();
    let stored = blob.outboard.as_slice();
    let encode = |group, range: Range<u64>, data: &[u8]| {
        prover.encode(stored, group, &range, &none(), data).unwrap_err()
    };
    let wrong: [Range<u64>; 4] = [8..16, 0..17, 0..0, 32..41];
    for range in wrong {
        assert_eq!(encode(KIB16, range, &[]), EncodeError::Unaligned);
    }
    assert_eq!(
        encode(KIB16, 0..16, &[0; 16_383]),
        EncodeError::DataLength { expected: 16_384, found: 16_383 }
    );
    // At 1 KiB, the data of the whole 16 KiB group is needed.
    assert_eq!(prover.span(&(3..4)), 0..16);
    assert_eq!(
        encode(KIB1, 3..4, &[0; 1024]),
        EncodeError::DataLength { expected: 16_384, found: 1024 }
    );
    let partial = Verifier::new(blob.id, blob.size);
    assert_eq!(
        partial.encode(stored, KIB16, &(0..16), &none(), blob.slice(&(0..16))).unwrap_err(),
        EncodeError::NotHeld
    );
    assert_eq!(partial.check(stored, &(0..40), &blob.data).unwrap_err(), EncodeError::NotHeld);
}

#[test]
fn check_refuses_what_it_cannot_check() {
    let blob = Blob::painted(40_000);
    let prover = blob.prover();
    let stored = blob.outboard.as_slice();
    let backwards = Range { start: 16, end: 0 };
    for range in [0..0, backwards, 8..16, 0..8, 0..17, 32..41] {
        let error = prover.check(stored, &range, &[]).unwrap_err();
        assert_eq!(error, EncodeError::Unaligned, "{range:?}");
    }
    let error = prover.check(stored, &(16..32), &[0; 1]).unwrap_err();
    assert_eq!(error, EncodeError::DataLength { expected: 16_384, found: 1 });
    assert_eq!(prover.check(stored, &(16..40), blob.slice(&(16..40))), Ok(none()));
}

#[test]
fn a_range_that_is_none_is_its_own_span() {
    let prover = Blob::painted(40_000).prover();
    let backwards = Range { start: 16, end: 3 };
    for range in [0..0, 5..5, backwards, 5..41, 100..200] {
        assert_eq!(prover.span(&range), range);
    }
    assert_eq!(prover.span(&(5..6)), 0..16);
    assert_eq!(prover.span(&(39..40)), 32..40);
}

#[test]
fn both_sides_say_which_blob_they_are_for() {
    let blob = Blob::painted(40_000);
    let prover = blob.prover();
    let verifier = Verifier::new(blob.id, blob.size);
    assert_eq!((prover.id(), verifier.id()), (blob.id, blob.id));
    assert_eq!((prover.tree(), verifier.tree()), (blob.tree(), blob.tree()));
    assert_eq!(verifier.size(), 40_000);
}

//= rfcs/0002-identity.md#tree-17
//= type=test
//# A holder MUST check the data that it read against the stored values before it sends it.
#[test]
fn every_flipped_bit_on_the_disk_is_damage_at_its_place() {
    let blob = Blob::painted(20_000); // groups 0..16, 16..20
    let prover = blob.prover();
    let stored = blob.outboard.as_slice();
    for log2 in [0, 4, 10] {
        for bit in (0..blob.data.len() * 8).step_by(61) {
            let mut data = blob.data.clone();
            data[bit / 8] ^= 1 << (bit % 8);
            let group = group(log2);
            let error = prover.encode(stored, group, &(0..20), &none(), &data).unwrap_err();
            let leaves = RangeSet::from(if bit / 8 < 16_384 { 0..16 } else { 16..20 });
            assert_eq!(prover.check(stored, &(0..20), &data).unwrap(), leaves);
            assert_eq!(error, EncodeError::Damaged { leaves });
        }
    }
    // Without outboard, the id itself is what the data is checked against.
    let small = Blob::painted(5_000);
    let mut data = small.data.clone();
    data[4_999] ^= 0x80;
    let error = small.prover().encode(stored, KIB1, &(0..1), &none(), &data).unwrap_err();
    assert_eq!(error, EncodeError::Damaged { leaves: RangeSet::from(0..5) });
}

//= rfcs/0002-identity.md#tree-16
//= type=test
//# A holder MUST check that an outboard merges to the blob's id before it makes a proof from it.
#[test]
fn an_outboard_with_any_flipped_bit_or_another_size_is_not_opened() {
    let blob = Blob::painted(70_000);
    for bit in 0..blob.outboard.len() * 256 {
        let mut outboard = blob.outboard.clone();
        outboard[bit / 256].0[bit % 256 / 8] ^= 1 << (bit % 8);
        let error = Prover::open(blob.id, blob.size, outboard.as_slice()).unwrap_err();
        assert_eq!(error, OpenError::Root);
    }
    let open = |size, cvs| Prover::open(blob.id, size, &blob.outboard[..cvs]).map(|_| ());
    assert_eq!(open(70_000, 5), Ok(()));
    assert!(matches!(open(70_000, 4), Err(OpenError::Source(_))));
    assert_eq!(open(65_536, 4), Err(OpenError::Root));
    assert!(matches!(open(90_000, 5), Err(OpenError::Source(_))));
    assert!(matches!(open(u64::MAX, 5), Err(OpenError::Source(_))));
}

#[test]
fn an_outboard_that_rots_after_it_was_opened_is_noticed_where_it_can_be() {
    // 48 MiB: the cache ends one level above the stored values.
    let blob = Blob::new(vec![0x55; 48 << 20]);
    let prover = blob.prover();
    let range = 0..16;
    let data = blob.slice(&range);
    let mut rotten = blob.outboard.clone();
    rotten[1].0[0] ^= 1;
    let error = prover.encode(rotten.as_slice(), KIB16, &range, &none(), data).unwrap_err();
    let EncodeError::Outboard { node } = error else { panic!("{error}") };
    assert_eq!(node.range(), 0..32);
    assert_eq!(Some(node).and_then(Node::children).map(|(_, right)| right.range()), Some(16..32));
}

//= rfcs/0002-identity.md#tree-21
//= type=test
//# A receiver MUST NOT expand a node by a pair of a transfer that it refuses.
#[test]
fn a_refused_transfer_leaves_no_pair_behind() {
    let blob = Blob::painted(40_000);
    let mut receiver = Receiver::new(blob.id, blob.size);
    // The pair of the root is true, the one after it is not.
    let mut proof = blob.encode(KIB1, &(0..1), &none());
    proof[64] ^= 1;
    let refused = receiver.receive(KIB1, 0, &none(), &proof, blob.slice(&(0..1)));
    assert_eq!(
        refused,
        Err(VerifyError::ParentMismatch { node: blob.tree().root().children().unwrap().0 })
    );
    let base = RangeSet::from(0..1);
    let proof = blob.encode(KIB1, &(39..40), &base);
    let relative = receiver.receive(KIB1, 39, &base, &proof, blob.slice(&(39..40)));
    assert_eq!(relative, Err(VerifyError::NotKnown { node: blob.tree().root() }));
}

//= rfcs/0002-identity.md#tree-23
//= type=test
//# A receiver MUST keep each open node that is good in a group of which other open nodes are bad.
#[test]
fn a_group_that_was_opened_is_kept_node_by_node() {
    let blob = Blob::painted(40_000);
    let mut receiver = Receiver::new(blob.id, blob.size);
    let proof = blob.encode(KIB1, &(0..1), &none());
    let first = receiver.receive(KIB1, 0, &none(), &proof, blob.slice(&(0..1)));
    assert_eq!(first.unwrap().good, RangeSet::from(0..1));
    let proof = blob.encode(KIB16, &(0..16), &none());
    let mut data = blob.slice(&(0..16)).to_vec();
    data[5 * 1024] ^= 1;
    let verified = receiver.receive(KIB16, 0, &none(), &proof, &data).unwrap();
    assert_eq!(verified.bad, RangeSet::from(4..8));
    assert_eq!(verified.good, RangeSet::from_iter([1..4, 8..16]));
}
