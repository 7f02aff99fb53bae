//! Properties for arbitrary sizes, ranges, bases, group sizes and damage.
#![expect(clippy::unwrap_used, reason = "test")]

mod common;

use core::ops::Range;

use common::{Blob, Receiver, group, reference, slice};
use proptest::{prelude::*, sample::Index};
use samara_base::{GroupLog2, RangeSet};
use samara_tree::{Tree, Verifier, VerifyError};

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![0usize..4_100, 15_000usize..36_000, 0usize..140_000]
}

/// Some range of whole groups.
fn pick(tree: Tree, group: GroupLog2, from: Index, len: Index) -> Range<u64> {
    let leaves = tree.leaves();
    let first = from.index(leaves as usize) as u64;
    let end = first + 1 + len.index((leaves - first).min(48) as usize) as u64;
    group.align(&(first..end), leaves)
}

/// Any set of leaves.
fn sets() -> impl Strategy<Value = RangeSet> {
    prop::collection::vec((0u64..140, 1u64..24), 0..5)
        .prop_map(|runs| runs.into_iter().map(|(first, len)| first..first + len).collect())
}

/// What happens to one transfer on its way.
#[derive(Clone, Debug)]
enum Damage {
    None,
    Data(Index, u8),
    Proof(Index, u8),
}

#[derive(Clone, Debug)]
enum Step {
    /// A transfer of a range, relative to what is known or to what was sent before.
    Transfer { log2: u8, from: Index, len: Index, relative: Relative, damage: Damage },
    /// The process ends and starts again.
    Restart,
    /// The disk loses some leaves.
    Lose(Index, Index),
}

#[derive(Clone, Copy, Debug)]
enum Relative {
    Nothing,
    Known,
    /// A part of what is known.
    SomeKnown(u64),
    KnownAndSent,
}

fn steps() -> impl Strategy<Value = Step> {
    let damage = prop_oneof![
        4 => Just(Damage::None),
        1 => (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Damage::Data(at, bit)),
        1 => (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Damage::Proof(at, bit)),
    ];
    let relative = prop_oneof![
        Just(Relative::Nothing),
        Just(Relative::Known),
        any::<u64>().prop_map(Relative::SomeKnown),
        Just(Relative::KnownAndSent),
    ];
    let transfer = (0u8..=10, any::<Index>(), any::<Index>(), relative, damage).prop_map(
        |(log2, from, len, relative, damage)| Step::Transfer { log2, from, len, relative, damage },
    );
    prop_oneof![
        12 => transfer,
        1 => Just(Step::Restart),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Step::Lose(a, b)),
    ]
}

/// Leaves of `range` that a flipped bit of `data` makes bad: the group, or the part of it that was
/// not known yet. At least the leaf itself.
fn leaf_of(range: &Range<u64>, at: usize) -> u64 {
    range.start + at as u64 / 1024
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    //= rfcs/0002-identity.md#tree-4
    //= type=test
    //# A proof MUST consist of the pair of each node that spans more than one group, intersects the
    //# range and does not intersect the base, in pre-order, and of nothing else.
    #[test]
    fn proof_and_its_length_equal_the_naive_reference(
        size in sizes(), log2 in 0u8..=10, from: Index, len: Index, base in sets(),
    ) {
        let blob = Blob::painted(size);
        let range = pick(blob.tree(), group(log2), from, len);
        let naive =
            reference::proof(&blob.data, 1 << log2, &range, &reference::leaves(&base));
        prop_assert_eq!(blob.tree().proof_len(group(log2), &range, &base), naive.len() as u64);
        prop_assert_eq!(blob.encode(group(log2), &range, &base), naive);
    }

    #[test]
    fn builder_does_not_care_how_the_bytes_come(
        size in sizes(), cuts in prop::collection::vec(any::<Index>(), 0..6),
    ) {
        let blob = Blob::painted(size);
        prop_assert_eq!(*blob.id.as_bytes(), *blake3::hash(&blob.data).as_bytes());
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(size + 1)).collect();
        cuts.extend([0, size]);
        cuts.sort_unstable();
        let mut outboard = Vec::new();
        let mut builder = samara_tree::OutboardBuilder::new();
        for cut in cuts.windows(2) {
            builder.push(&blob.data[cut[0]..cut[1]], &mut |at, cv| {
                assert_eq!(at, outboard.len() as u64);
                outboard.push(cv);
            });
            prop_assert_eq!(builder.size(), cut[1] as u64);
        }
        let id = builder.finish(&mut |_, cv| outboard.push(cv));
        prop_assert_eq!(id, (blob.id, blob.size));
        prop_assert_eq!(outboard, blob.outboard);
    }

    /// The whole life of a receiver against a model that knows the true bytes.
    #[test]
    fn a_receiver_counts_exactly_the_true_leaves(
        size in sizes(), steps in prop::collection::vec(steps(), 1..24),
    ) {
        let blob = Blob::painted(size);
        let tree = blob.tree();
        let mut getter = Receiver::new(blob.id, blob.size);
        let mut sent = RangeSet::new();
        for step in steps {
            let known = getter.verifier.known().clone();
            match step {
                Step::Restart => {
                    let mut bytes = Vec::new();
                    getter.verifier.export(&mut bytes);
                    let outboard = getter.outboard.as_slice();
                    getter.verifier =
                        Verifier::import(blob.id, blob.size, &bytes, outboard).unwrap();
                    prop_assert_eq!(getter.verifier.known(), &known);
                    sent = RangeSet::new();
                }
                Step::Lose(from, len) => {
                    let range = pick(tree, GroupLog2::MIN, from, len);
                    let outboard = getter.outboard.as_slice();
                    let lost = getter.verifier.lose(outboard, &range).unwrap();
                    prop_assert_eq!(getter.verifier.known(), &known.difference(&lost));
                    prop_assert!(known.within(&range).difference(&lost).is_empty());
                    sent = RangeSet::new();
                }
                Step::Transfer { log2, from, len, relative, damage } => {
                    let (group, range) = (group(log2), pick(tree, group(log2), from, len));
                    let asked = RangeSet::from(range.clone());
                    let base = match relative {
                        Relative::Nothing => RangeSet::new(),
                        Relative::Known => known.difference(&asked),
                        Relative::SomeKnown(mask) => known
                            .difference(&asked)
                            .runs()
                            .iter()
                            .cloned()
                            .enumerate()
                            .filter(|(at, _)| mask >> (at % 64) & 1 == 1)
                            .map(|(_, run)| run)
                            .collect(),
                        Relative::KnownAndSent => known.union(&sent).difference(&asked),
                    };
                    let mut proof = blob.encode(group, &range, &base);
                    let mut data = blob.slice(&range).to_vec();
                    let mut harmed = None;
                    match damage {
                        Damage::Data(at, bit) if !data.is_empty() => {
                            let at = at.index(data.len());
                            data[at] ^= 1 << bit;
                            harmed = Some(leaf_of(&range, at));
                        }
                        Damage::Proof(at, bit) if !proof.is_empty() => {
                            let at = at.index(proof.len());
                            proof[at] ^= 1 << bit;
                        }
                        _ => {}
                    }
                    let wrong_proof = proof != blob.encode(group, &range, &base);
                    let verified = getter.receive(group, range.start, &base, &proof, &data);
                    match verified {
                        Err(VerifyError::ParentMismatch { node }) => {
                            prop_assert!(wrong_proof && node.range().start < range.end);
                            prop_assert_eq!(getter.verifier.known(), &known);
                        }
                        // A bad leaf that was sent at a coarse group and is asked for at a fine
                        // one: what was sent is not what is known.
                        Err(VerifyError::NotKnown { .. }) => {
                            prop_assert!(matches!(relative, Relative::KnownAndSent));
                            prop_assert_eq!(getter.verifier.known(), &known);
                        }
                        Err(other) => prop_assert!(false, "{other}"),
                        Ok(verified) => {
                            let all = verified.good.union(&verified.bad);
                            prop_assert!(verified.good.intersection(&verified.bad).is_empty());
                            prop_assert_eq!(&all, &asked.difference(&known));
                            prop_assert_eq!(&verified.duplicate, &asked.intersection(&known));
                            prop_assert_eq!(
                                getter.verifier.known(),
                                &known.union(&verified.good)
                            );
                            match harmed {
                                Some(leaf) if !known.contains(leaf) => {
                                    prop_assert!(verified.bad.contains(leaf));
                                    let groups =
                                        group.align(&(leaf..leaf + 1), tree.leaves());
                                    let bad = verified.bad;
                                    prop_assert!(bad.difference(&groups.into()).is_empty());
                                }
                                _ => prop_assert!(verified.bad.is_empty()),
                            }
                            sent.insert(range);
                        }
                    }
                }
            }
            for run in getter.verifier.known().runs() {
                prop_assert_eq!(slice(&getter.data, tree, run), blob.slice(run));
            }
        }
        // Whatever happened, asking for the rest with the known set completes the blob.
        let missing = getter.verifier.known().complement(tree.leaves());
        for run in missing.runs() {
            let base = getter.verifier.known().clone();
            let proof = blob.encode(GroupLog2::MIN, run, &base);
            let verified =
                getter.receive(GroupLog2::MIN, run.start, &base, &proof, blob.slice(run)).unwrap();
            prop_assert_eq!(verified.good, RangeSet::from(run.clone()));
        }
        prop_assert!(getter.verifier.is_complete() && getter.verifier.size_proven());
        prop_assert_eq!((&getter.data, &getter.outboard), (&blob.data, &blob.outboard));
        let prover = getter.verifier.into_prover().unwrap();
        let again = prover.encode(
            blob.outboard.as_slice(),
            GroupLog2::KIB16,
            &tree.root().range(),
            &RangeSet::new(),
            &blob.data,
        );
        prop_assert_eq!(
            again.unwrap(),
            blob.encode(GroupLog2::KIB16, &tree.root().range(), &RangeSet::new())
        );
    }

    /// A partial holder serves what it holds, byte for byte as a complete one would.
    #[test]
    fn a_partial_holder_proves_what_it_holds(
        size in sizes(),
        got in prop::collection::vec((0u8..=10, any::<Index>(), any::<Index>()), 1..6),
        base in sets(),
        log2 in 0u8..=10,
        from: Index,
    ) {
        let blob = Blob::painted(size);
        let tree = blob.tree();
        let mut holder = Receiver::new(blob.id, blob.size);
        for (log2, from, len) in got {
            let range = pick(tree, group(log2), from, len);
            let proof = blob.encode(group(log2), &range, &RangeSet::new());
            let data = blob.slice(&range);
            let verified =
                holder.receive(group(log2), range.start, &RangeSet::new(), &proof, data);
            prop_assert!(verified.unwrap().bad.is_empty());
        }
        let held = holder.verifier.known().clone();
        let runs = held.runs();
        let run = runs[from.index(runs.len())].clone();
        // The whole groups inside the run.
        let (group, leaves) = (group(log2), tree.leaves());
        let first = run.start.next_multiple_of(group.leaves());
        let end = if run.end == leaves { leaves } else { run.end & !(group.leaves() - 1) };
        if first < end {
            let proof = holder.encode(group, &(first..end), &base);
            prop_assert_eq!(proof, blob.encode(group, &(first..end), &base));
        }
    }

    //= rfcs/0002-identity.md#tree-13
    //= type=test
    //# A receiver MUST treat a size as a claim until the data of the last leaf was verified at that
    //# size.
    #[test]
    fn a_wrong_size_is_never_proven_and_never_makes_a_byte_false(
        size in sizes(),
        claimed in sizes(),
        log2 in 0u8..=10,
        from: Index,
        len: Index,
    ) {
        prop_assume!(size != claimed);
        let blob = Blob::painted(size);
        let lie = Tree::new(claimed as u64);
        let range = pick(lie, group(log2), from, len);
        // The best that a liar can do: true values wherever the two trees have the same path.
        let proof = liars_proof(&blob, lie, group(log2), &range);
        let mut padded = blob.data.clone();
        padded.resize(claimed.max(size), 0);
        let data = slice(&padded, lie, &range);
        let mut verifier = Verifier::new(blob.id, claimed as u64);
        let verified =
            verifier.verify(group(log2), range.start, &RangeSet::new(), &proof, data, &mut |at, cv| {
                assert_eq!(blob.outboard[at as usize], cv);
            });
        if let Ok(verified) = verified {
            for run in verified.good.runs() {
                let bytes = lie.bytes(run);
                prop_assert!(bytes.end <= blob.size, "bytes that do not exist count as good");
                prop_assert_eq!(
                    slice(data, Tree::new(data.len() as u64),
                        &(run.start - range.start..run.end - range.start)),
                    &blob.data[bytes.start as usize..bytes.end as usize]
                );
            }
        }
        prop_assert!(!verifier.size_proven());
    }

    #[test]
    fn geometry_is_total_for_every_size(
        size: u64, log2 in 0u8..=10, a: u64, b: u64, c: u64, d: u64,
    ) {
        let tree = Tree::new(size);
        let range = a.min(b)..a.max(b);
        let base = RangeSet::from(c.min(d)..c.max(d));
        let all = tree.proof_len(group(log2), &range, &RangeSet::new());
        prop_assert!(tree.proof_len(group(log2), &range, &base) <= all);
        prop_assert!(all <= 64 * (tree.groups(group(log2)) - 1));
        let bytes = tree.bytes(&range);
        prop_assert!(bytes.start <= bytes.end && bytes.end <= size);
        prop_assert!(tree.outboard_len() <= 1 << 55);
    }
}

/// A proof for a tree of the wrong size, with the true values of the blob wherever a node of the
/// wrong tree has the path of a node of the true one.
fn liars_proof(blob: &Blob, lie: Tree, group: GroupLog2, range: &Range<u64>) -> Vec<u8> {
    fn walk(
        blob: &Blob,
        lie: samara_tree::Node,
        truth: Option<samara_tree::Node>,
        group: GroupLog2,
        range: &Range<u64>,
        out: &mut Vec<u8>,
    ) {
        if lie.leaves() <= group.leaves() || lie.first() >= range.end || lie.end() <= range.start {
            return;
        }
        let (left, right) = lie.children().unwrap();
        let truth = truth.and_then(samara_tree::Node::children);
        for node in [truth.map(|pair| pair.0), truth.map(|pair| pair.1)] {
            let cv = node.map(|node| reference::cv(&blob.data, node.first(), node.end(), false));
            out.extend_from_slice(&cv.unwrap_or_default());
        }
        walk(blob, left, truth.map(|pair| pair.0), group, range, out);
        walk(blob, right, truth.map(|pair| pair.1), group, range, out);
    }
    let mut out = Vec::new();
    walk(blob, lie.root(), Some(blob.tree().root()), group, range, &mut out);
    out
}
