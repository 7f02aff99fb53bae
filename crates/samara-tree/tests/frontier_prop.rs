//! Frontiers of any receive: round trip, one form per state, and no bytes that make a false state.

mod common;

use common::{Blob, Receiver, group};
use proptest::{prelude::*, sample::Index};
use samara_base::GroupLog2;
use samara_tree::Verifier;

/// A receive of some transfers, in any order and group size.
fn receive(size: usize, steps: &[(u8, Index, Index)]) -> (Blob, Receiver) {
    let blob = Blob::painted(size);
    let mut getter = Receiver::new(blob.id, blob.size);
    let leaves = blob.tree().leaves();
    let at = |index: &Index| u64::try_from(index.index(leaves as usize)).unwrap_or_default();
    for (log2, one, other) in steps {
        let (log2, one, other): (GroupLog2, u64, u64) = (group(*log2), at(one), at(other));
        let range = log2.align(&(one.min(other)..one.max(other) + 1), leaves);
        let base = getter.verifier.known().clone();
        let proof = blob.encode(log2, &range, &base);
        let data = blob.slice(&range).to_vec();
        let verified = getter.receive(log2, range.start, &base, &proof, &data);
        assert!(verified.is_ok_and(|verified| verified.bad.is_empty()), "a true transfer");
    }
    (blob, getter)
}

fn export(verifier: &Verifier) -> Vec<u8> {
    let mut bytes = Vec::new();
    verifier.export(&mut bytes);
    bytes
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), 1..3000_usize, Just(16_384), Just(16_385), 17_000..200_000_usize]
}

fn steps() -> impl Strategy<Value = Vec<(u8, Index, Index)>> {
    prop::collection::vec((0..7_u8, any::<Index>(), any::<Index>()), 0..6)
}

proptest! {
    #[test]
    fn a_receive_comes_back_from_its_frontier(size in sizes(), steps in steps()) {
        let (blob, getter) = receive(size, &steps);
        let bytes = export(&getter.verifier);
        prop_assert!(bytes.len() <= Verifier::EXPORT_LEN_MAX);
        let again = Verifier::import(blob.id, blob.size, &bytes, getter.outboard.as_slice());
        let again = again.map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        prop_assert_eq!(again.known(), getter.verifier.known());
        prop_assert_eq!(again.size_proven(), getter.verifier.size_proven());
        prop_assert_eq!(export(&again), bytes);
    }

    //= rfcs/0002-identity.md#tree-18
    //= type=test
    //# A reader MUST refuse a frontier that is not in canonical form.
    #[test]
    fn changed_and_cut_bytes_are_refused_or_the_frontier_of_what_comes_out(
        size in sizes(),
        steps in steps(),
        at: Index,
        change: u8,
        cut in prop::option::weighted(0.3, any::<Index>()),
    ) {
        let (blob, getter) = receive(size, &steps);
        let mut bytes = export(&getter.verifier);
        *at.get_mut(&mut bytes) ^= change;
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        let outboard = getter.outboard.as_slice();
        if let Ok(again) = Verifier::import(blob.id, blob.size, &bytes, outboard) {
            prop_assert_eq!(export(&again), bytes);
            // Nothing is held that was not proven.
            let more = again.known().difference(getter.verifier.known());
            prop_assert!(more.is_empty(), "{}", more);
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_frontier_and_no_harm(
        size in sizes(),
        tail in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let blob = Blob::painted(size);
        let nothing = Receiver::new(blob.id, blob.size);
        for bytes in [tail.clone(), [b"SFR1".as_slice(), &tail].concat()] {
            let outboard = nothing.outboard.as_slice();
            if let Ok(again) = Verifier::import(blob.id, blob.size, &bytes, outboard) {
                prop_assert_eq!(export(&again), bytes);
            }
        }
    }
}
