//! Frontiers: every cut, every flip, every rule of the canonical form.
#![expect(clippy::unwrap_used, reason = "test")]

mod common;

use blake3::hazmat::{Mode, merge_subtrees_non_root, merge_subtrees_root};
use common::{Blob, Receiver, group};
use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_tree::{Cv, FrontierField, OpenError, OutboardTooShort, Prover, Tree, Verifier};

/// 70,000 bytes (69 leaves, 5 stored groups) with leaves 3, 4..6 and 16..32 held, 32..48 bad.
fn partial() -> (Blob, Receiver) {
    let blob = Blob::painted(70_000);
    let mut getter = Receiver::new(blob.id, blob.size);
    for (log2, range) in [(0, 3..4), (1, 4..6), (4, 16..48)] {
        let base = getter.verifier.known().clone();
        let proof = blob.encode(group(log2), &range, &base);
        let mut data = blob.slice(&range).to_vec();
        if log2 == 4 {
            *data.last_mut().unwrap() ^= 1;
        }
        let _ = getter.receive(group(log2), range.start, &base, &proof, &data).unwrap();
    }
    assert_eq!(*getter.verifier.known(), RangeSet::from_iter([3..6, 16..32]));
    (blob, getter)
}

fn export(verifier: &Verifier) -> Vec<u8> {
    let mut bytes = Vec::new();
    verifier.export(&mut bytes);
    bytes
}

type Imported = Result<Verifier, OpenError<OutboardTooShort>>;

fn import(blob: &Blob, outboard: &[Cv], bytes: &[u8]) -> Imported {
    Verifier::import(blob.id, blob.size, bytes, outboard)
}

/// Nodes of an export: first leaf, level, held.
fn nodes(bytes: &[u8]) -> Vec<Name> {
    let node = |node: &[u8]| {
        let name = u64::from_le_bytes(node[..8].try_into().unwrap());
        (name & ((1 << 56) - 1), (name >> 56) as u8 & 0x7f, name >> 63 == 1)
    };
    bytes[8..bytes.len() - 8].chunks(40).map(node).collect()
}

/// First leaf, level, held.
type Name = (u64, u8, bool);

/// A frontier with these nodes and zeros for values.
fn frontier(nodes: &[Name]) -> Vec<u8> {
    let mut bytes = b"SFR1".to_vec();
    bytes.extend_from_slice(&u32::try_from(nodes.len()).unwrap().to_le_bytes());
    for (first, level, held) in nodes {
        let name = first | u64::from(*level) << 56 | u64::from(*held) << 63;
        bytes.extend_from_slice(&name.to_le_bytes());
        bytes.extend_from_slice(&[0; 32]);
    }
    checked(bytes)
}

/// The bytes with the check over them.
fn checked(mut bytes: Vec<u8>) -> Vec<u8> {
    let check = blake3::hash(&bytes);
    bytes.extend_from_slice(&check.as_bytes()[..8]);
    bytes
}

#[test]
fn an_export_lists_the_partition_and_comes_back_as_it_was() {
    let (blob, getter) = partial();
    let bytes = export(&getter.verifier);
    let held: Vec<_> = nodes(&bytes).into_iter().filter(|node| node.2).collect();
    assert_eq!(held, [(3, 0, true), (4, 1, true)]);
    let open: Vec<_> = nodes(&bytes).into_iter().filter(|node| !node.2).collect();
    assert_eq!(
        open,
        [
            (0, 1, false),
            (2, 0, false),
            (6, 1, false),
            (8, 3, false),
            (32, 4, false),
            (48, 4, false),
            (64, 3, false)
        ]
    );
    let imported = import(&blob, &getter.outboard, &bytes).unwrap();
    assert_eq!(imported.known(), getter.verifier.known());
    assert_eq!(export(&imported), bytes);
    assert!(!imported.size_proven());
}

//= rfcs/0002-identity.md#tree-19
//= type=test
//# A reader MUST refuse a frontier whose values do not merge, together with those of the outboard,
//# to the blob's id.
#[test]
fn every_flipped_bit_of_a_frontier_and_of_the_stored_values_it_relies_on_is_refused() {
    let (blob, getter) = partial();
    let bytes = export(&getter.verifier);
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(import(&blob, &getter.outboard, &bytes).is_err());
    }
    // Even with the check made right again, no value and no name passes; only the flag that says
    // which data is there, which no hash of the blob can tell.
    let end = bytes.len() - 8;
    for bit in 0..end * 8 {
        let mut bytes = bytes[..end].to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let bytes = checked(bytes);
        if let Ok(imported) = import(&blob, &getter.outboard, &bytes) {
            assert_eq!((bit - 64) % 320, 63, "only the held flag");
            assert_eq!(export(&imported), bytes);
        }
    }
    for bit in 0..256 {
        let mut outboard = getter.outboard.clone();
        outboard[1].0[bit / 8] ^= 1 << (bit % 8);
        let imported = import(&blob, &outboard, &bytes);
        assert_eq!(imported.unwrap_err(), OpenError::Root);
    }
    // Another blob, another size.
    let other = Blob::painted(70_001);
    for (id, size) in [(other.id, 70_000), (blob.id, 69_000), (blob.id, 75_000)] {
        assert!(Verifier::import(id, size, &bytes, getter.outboard.as_slice()).is_err());
    }
}

//= rfcs/0002-identity.md#tree-18
//= type=test
//# A reader MUST refuse a frontier that is not in canonical form.
#[test]
fn frontiers_that_break_a_rule_are_refused_at_the_place() {
    let (blob, getter) = partial();
    let wrong = |bytes: &[u8], offset: u32, field| {
        let imported = import(&blob, &getter.outboard, bytes);
        assert_eq!(imported.unwrap_err(), OpenError::Malformed { offset, field });
    };
    let bytes = export(&getter.verifier);
    for len in 0..bytes.len() {
        let field = if len < 4 { FrontierField::Magic } else { FrontierField::Count };
        wrong(&bytes[..len], if len < 4 { 0 } else { 4 }, field);
    }
    let mut long = bytes.clone();
    long.push(0);
    wrong(&long, 4, FrontierField::Count);
    wrong(b"SFR2\0\0\0\0", 0, FrontierField::Magic);
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    wrong(&flipped, u32::try_from(bytes.len() - 8).unwrap(), FrontierField::Check);
    let cases: [(&[Name], u32); 14] = [
        (&[(1, 1, false)], 8),                  // not a multiple of its span
        (&[(69, 0, false)], 8),                 // behind the end
        (&[(64, 6, false)], 8),                 // cut by the end, and named by a larger level
        (&[(0, 8, false)], 8),                  // above the root
        (&[(0, 127, false)], 8),                // level that no tree has
        (&[((1 << 56) - 1, 0, false)], 8),      // far behind the end
        (&[(16, 4, false), (0, 4, false)], 48), // descending
        (&[(0, 5, false), (16, 4, false)], 48), // overlapping
        (&[(0, 4, false), (0, 4, false)], 48),  // twice
        (&[(0, 4, true)], 8),                   // held, and a whole stored group
        (&[(64, 3, true)], 8),                  // the same for the last, short group
        (&[(0, 3, true), (8, 3, true)], 8),     // held parts of a group that is complete
        (&[(0, 5, true)], 8),                   // held, and two groups
        (&[(0, 4, false), (16, 3, true), (24, 3, true)], 48), // the same at the second node
    ];
    for (nodes, offset) in cases {
        wrong(&frontier(nodes), offset, FrontierField::Node);
    }
    // A blob that fits one stored group: held parts are to be its root.
    let small = Blob::painted(2_000);
    let bytes = frontier(&[(0, 0, true), (1, 0, true)]);
    let error = import(&small, &[], &bytes).unwrap_err();
    assert_eq!(error, OpenError::Malformed { offset: 8, field: FrontierField::Node });
}

#[test]
fn a_complete_blob_is_an_empty_frontier_or_its_root() {
    for (size, expected) in [(2_000, vec![(0, 1, true)]), (0, vec![(0, 0, true)]), (70_000, vec![])]
    {
        let blob = Blob::painted(size);
        let verifier = blob.prover().into_verifier();
        let bytes = export(&verifier);
        assert_eq!(nodes(&bytes), expected);
        let imported = import(&blob, &blob.outboard, &bytes).unwrap();
        assert!(imported.is_complete() && imported.size_proven());
    }
    // Nothing at all is known of a small blob whose frontier lists nothing.
    let small = Blob::painted(2_000);
    assert_eq!(import(&small, &[], &frontier(&[])).unwrap_err(), OpenError::Root);
}

#[test]
fn lost_leaves_can_be_fetched_again() {
    let blob = Blob::painted(300_000);
    let mut getter = Receiver {
        verifier: blob.prover().into_verifier(),
        data: blob.data.clone(),
        outboard: blob.outboard.clone(),
    };
    let lost = getter.verifier.lose(blob.outboard.as_slice(), &(20..21)).unwrap();
    assert_eq!(lost, RangeSet::from(16..32));
    assert!(!getter.verifier.is_complete() && getter.verifier.size_proven());
    let known = getter.verifier.known().clone();
    let proof = blob.encode(GroupLog2::KIB16, &(16..32), &known);
    assert!(proof.is_empty());
    let data = blob.slice(&(16..32));
    let verified = getter.receive(GroupLog2::KIB16, 16, &known, &proof, data).unwrap();
    assert_eq!(verified.good, RangeSet::from(16..32));
    assert!(getter.verifier.is_complete());
}

/// A blob of this many 16 KiB groups that nobody has: made-up values, the size and the id that they
/// merge to.
fn made_up(groups: u64) -> (BlobId, u64, Vec<Cv>) {
    fn value(node: samara_tree::Node, cvs: &[Cv], root: bool) -> [u8; 32] {
        if let [one] = cvs {
            return one.0;
        }
        let (left, right) = node.children().unwrap();
        let (a, b) = cvs.split_at(left.leaves() as usize / 16);
        let (a, b) = (value(left, a, false), value(right, b, false));
        if root {
            *merge_subtrees_root(&a, &b, Mode::Hash).as_bytes()
        } else {
            merge_subtrees_non_root(&a, &b, Mode::Hash)
        }
    }
    let cvs: Vec<Cv> = (0..groups)
        .map(|at| Cv(core::array::from_fn(|byte| (at >> (byte % 8 * 8)) as u8 ^ 0x33)))
        .collect();
    let size = groups << 14;
    (BlobId::from_bytes(value(Tree::new(size).root(), &cvs, true)), size, cvs)
}

#[test]
fn a_large_loss_is_a_few_nodes_and_many_small_ones_have_a_limit() {
    // 2 GiB and two groups.
    let (id, size, cvs) = made_up(131_074);
    let prover = Prover::open(id, size, cvs.as_slice()).unwrap();
    let mut verifier = prover.clone().into_verifier();
    let lost = verifier.lose(cvs.as_slice(), &(17..2_000_000)).unwrap();
    assert_eq!(lost, RangeSet::from(16..2_000_000));
    assert!(verifier.nodes() < 40, "{}", verifier.nodes());
    let mut frontier = Vec::new();
    verifier.export(&mut frontier);
    let imported = Verifier::import(id, size, &frontier, cvs.as_slice()).unwrap();
    assert_eq!(imported.known(), verifier.known());

    // A value that the outboard has wrong is not taken for a proven one.
    let mut verifier = prover.into_verifier();
    let mut rotten = cvs.clone();
    rotten[3].0[0] ^= 1;
    for leaf in [16, 48, 100] {
        let error = verifier.lose(rotten.as_slice(), &(leaf..leaf + 1)).unwrap_err();
        assert_eq!(error, OpenError::Root);
        assert!(verifier.is_complete(), "nothing changed");
    }
    assert!(verifier.lose(rotten.as_slice(), &(1_000_000..1_000_001)).is_ok());
}

#[test]
fn losses_stop_at_the_limit_of_a_frontier() {
    // 65,520 leaves of which every other one is bad, then 64 groups that are good.
    let Receiver { mut verifier, outboard, data } = nearly_full(2_048);
    let blob = Blob::new(vec![0; data.len()]);
    let lose = |verifier: &mut Verifier, at: u64| {
        let leaf = 65_520 + 32 * at;
        verifier.lose(outboard.as_slice(), &(leaf..leaf + 1))
    };
    assert!((0..16).all(|at| lose(&mut verifier, at).is_ok()));
    assert_eq!(lose(&mut verifier, 16), Err(OpenError::Fragmented));
    assert_eq!(verifier.nodes(), Verifier::NODES_MAX);
    assert!(verifier.known().contains(65_520 + 32 * 16));
    // Whatever completes a group is still taken, leaf by leaf or not.
    for (at, log2) in [(0, 0), (1, 2), (2, 4)] {
        let range = 65_520 + 32 * at..65_520 + 32 * at + 16;
        let (base, data) = (verifier.known().clone(), blob.slice(&range));
        let proof = blob.encode(group(log2), &range, &base);
        let mut sunk = Vec::new();
        let verified = verifier
            .verify(group(log2), range.start, &base, &proof, data, &mut |at, _| sunk.push(at))
            .unwrap();
        assert_eq!(verified.good, RangeSet::from(range.clone()));
        assert_eq!(sunk, [range.start / 16]);
    }
    assert_eq!(verifier.nodes(), Verifier::NODES_MAX - 3);
}

#[test]
fn what_completes_a_group_does_not_count_against_the_limit() {
    let Receiver { mut verifier, outboard, data } = nearly_full(2_048);
    let blob = Blob::new(vec![0; data.len()]);
    // Two groups under one node, and eleven others: five nodes below the limit.
    let pair = 65_536..65_568;
    verifier.lose(outboard.as_slice(), &pair).unwrap();
    for at in 2..13 {
        let leaf = 65_520 + 32 * at;
        verifier.lose(outboard.as_slice(), &(leaf..leaf + 1)).unwrap();
    }
    assert_eq!(verifier.nodes(), Verifier::NODES_MAX - 4);
    // Both come in quarters, one of which is bad: four of eight stay.
    let base = verifier.known().clone();
    let proof = blob.encode(group(2), &pair, &base);
    let mut data = blob.slice(&pair).to_vec();
    data[16 << 10] ^= 1;
    let verified =
        verifier.verify(group(2), pair.start, &base, &proof, &data, &mut |_, _| ()).unwrap();
    assert_eq!(verified.bad, RangeSet::from(pair.start + 16..pair.start + 20));
    assert_eq!(verifier.nodes(), Verifier::NODES_MAX - 1);
}

#[test]
fn open_nodes_merge_to_make_room_for_losses() {
    // The same with no good leaf among the 65,520: their values are not needed.
    let Receiver { mut verifier, outboard, .. } = nearly_full(1_024);
    for at in 0..32 {
        let leaf = 65_520 + 32 * at;
        assert!(verifier.lose(outboard.as_slice(), &(leaf..leaf + 1)).is_ok());
    }
    assert!(verifier.nodes() < 100, "{}", verifier.nodes());
}

/// 65,520 leaves of which some are bad (the first byte of every `step` bytes is wrong), then 64
/// groups that are good.
fn nearly_full(step: usize) -> Receiver {
    let blob = Blob::new(vec![0; (65_520 + 64 * 16) << 10]);
    let mut getter = Receiver::new(blob.id, blob.size);
    for (log2, range) in [(0, 0..65_520), (4, 65_520..65_520 + 1_024)] {
        let proof = blob.encode(group(log2), &range, &RangeSet::new());
        let mut data = blob.slice(&range).to_vec();
        if log2 == 0 {
            data.iter_mut().step_by(step).for_each(|byte| *byte = 1);
        }
        let first = range.start;
        let _ = getter.receive(group(log2), first, &RangeSet::new(), &proof, &data).unwrap();
    }
    assert_eq!(getter.verifier.nodes(), 65_520);
    getter
}
