//! The worked example of RFC 0002, read from the document itself, is what the code computes.

mod common;

use std::collections::BTreeMap;

use common::{Blob, Receiver};
use samara_base::{GroupLog2, RangeSet};
use samara_tree::Verifier;

/// The `hex` blocks of the document by the name in their first line.
fn examples() -> BTreeMap<String, Vec<u8>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rfcs/0002-identity.md");
    let text = std::fs::read_to_string(path).expect("the document lies beside the crates");
    let blocks = text.split("```hex\n").skip(1).map(|block| {
        let block = block.split("```").next().unwrap_or_default();
        let (name, lines) = block.split_once('\n').expect("the first line is the name");
        let hex = lines.lines().flat_map(|line| {
            let bytes = line.split('#').next().unwrap_or_default();
            bytes.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("two digits"))
        });
        (name.trim_start_matches("# ").to_owned(), hex.collect())
    });
    blocks.collect()
}

#[test]
fn the_document_and_the_code_agree_byte_for_byte() {
    let examples = examples();
    let blob = Blob::painted(2_049);
    assert_eq!(blob.id.as_bytes()[..], examples["id"]);

    let mut getter = Receiver::new(blob.id, 2_049);
    let (group, nothing) = (GroupLog2::MIN, RangeSet::new());
    let proof = blob.encode(group, &(2..3), &nothing);
    assert_eq!(proof, examples["proof of leaves 2..3, base empty"]);
    let data = &examples["data of leaves 2..3"];
    assert_eq!(blob.slice(&(2..3)), data);
    let verified = getter.receive(group, 2, &nothing, &proof, data).unwrap();
    assert_eq!(verified.good, RangeSet::from(2..3));
    assert!(getter.verifier.size_proven());

    let base = getter.verifier.known().clone();
    let proof = blob.encode(group, &(0..1), &base);
    assert_eq!(proof, examples["proof of leaves 0..1, base 2..3"]);
    let verified = getter.receive(group, 0, &base, &proof, blob.slice(&(0..1))).unwrap();
    assert_eq!(verified.good, RangeSet::from(0..1));

    let mut frontier = Vec::new();
    getter.verifier.export(&mut frontier);
    assert_eq!(frontier, examples["frontier, leaves 0..1 and 2..3 held"]);
    let stored = getter.outboard.as_slice();
    let mut verifier = Verifier::import(blob.id, 2_049, &frontier, stored).unwrap();

    let base = verifier.known().clone();
    assert!(blob.encode(group, &(1..2), &base).is_empty());
    let verified = verifier.verify(group, 1, &base, &[], blob.slice(&(1..2)), &mut |_, _| ());
    assert_eq!(verified.unwrap().good, RangeSet::from(1..2));
    assert!(verifier.is_complete());
    assert_eq!(examples.len(), 5, "each example is tested");
}

#[test]
fn the_figures_of_the_document_hold() {
    let len = |size: u64, log2, range, base| {
        samara_tree::Tree::new(size).proof_len(common::group(log2), &range, &base)
    };
    let (mib, none) = (1 << 20, RangeSet::new);
    assert_eq!(len(1 << 30, 0, 0..1, none()), 1_280);
    assert_eq!(len(mib, 0, 5..6, none()), 640);
    assert_eq!(len(mib, 0, 4..5, RangeSet::from(5..6)), 0);
    assert_eq!(len(mib, 0, 0..1024, none()), 65_472);
    assert_eq!(len(mib, 4, 0..1024, none()), 4_032);
    assert_eq!(len(mib, 0, 1023..1024, none()), 640);
    assert_eq!(len(u64::MAX, 0, 0..1, none()), 54 * 64);
    assert_eq!(Verifier::EXPORT_LEN_MAX, 2_621_456);
}
