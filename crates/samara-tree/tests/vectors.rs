//! Identity: BLAKE3's published vectors, through every path that yields an id.
#![expect(clippy::unwrap_used, reason = "test")]

mod common;

use common::{Blob, Receiver, group, paint, reference};
use samara_base::{BlobId, RangeSet};
use samara_tree::{OutboardBuilder, hash};

/// `input_len` and `hash` of every case of BLAKE3's `test_vectors.json`.
fn published() -> Vec<(usize, BlobId)> {
    let text = include_str!("data/blake3_test_vectors.json");
    let json: serde_json::Value = serde_json::from_str(text).unwrap();
    let cases = json["cases"].as_array().unwrap().iter().map(|case| {
        let len = usize::try_from(case["input_len"].as_u64().unwrap()).unwrap();
        (len, case["hash"].as_str().unwrap().parse().unwrap())
    });
    cases.collect()
}

#[test]
fn all_35_published_vectors_are_there() {
    let lens: Vec<usize> = published().into_iter().map(|(len, _)| len).collect();
    assert_eq!(lens.len(), 35);
    assert_eq!((lens[0], lens[34]), (0, 102_400));
}

//= rfcs/0002-identity.md#tree-1
//= type=test
//# A blob's id MUST be the 32-byte BLAKE3 hash of its bytes in the unkeyed hash mode.
//
//= rfcs/0002-identity.md#tree-2
//= type=test
//# The left child of a node of n leaves MUST have the largest power of two of leaves that is
//# smaller than n.
#[test]
fn published_vectors_hold_for_hash_builder_and_reference() {
    for (len, id) in published() {
        let blob = paint(len);
        assert_eq!(hash(&blob), id, "{len}");
        assert_eq!(reference::id(&blob), *id.as_bytes(), "{len}");
        for piece in [1, 64, 1000, 1024, 16_383, 16_384, 16_385, 200_000] {
            let mut builder = OutboardBuilder::new();
            blob.chunks(piece).for_each(|piece| builder.push(piece, &mut |_, _| ()));
            assert_eq!(builder.finish(&mut |_, _| ()), (id, len as u64), "{len} by {piece}");
        }
    }
}

#[test]
fn published_vectors_verify_as_transfers_at_every_group_size() {
    for (len, id) in published() {
        let blob = Blob::painted(len);
        let whole = blob.tree().root().range();
        for log2 in 0..=10 {
            let proof = blob.encode(group(log2), &whole, &RangeSet::new());
            let mut getter = Receiver::new(id, len as u64);
            let verified =
                getter.receive(group(log2), 0, &RangeSet::new(), &proof, &blob.data).unwrap();
            assert_eq!(verified.good, RangeSet::from(whole.clone()));
            assert!(getter.verifier.is_complete() && getter.verifier.size_proven());
            assert_eq!((&getter.data, &getter.outboard), (&blob.data, &blob.outboard));
        }
    }
}
