//! The worked examples of RFC 0003, read from the document itself, are what the code writes.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::*;
use samara_base::RangeSet;
use samara_wire::{FRAME_BODY_MAX, FrameDecoder, Message, Ping, ranges};

/// The `hex` blocks of the document by the name in their first line.
fn examples() -> BTreeMap<String, Vec<u8>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rfcs/0003-encoding.md");
    let text = std::fs::read_to_string(path).expect("the document lies beside the crates");
    let mut blocks = BTreeMap::new();
    for block in text.split("```hex\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        let (name, lines) = block.split_once('\n').expect("the first line is the name");
        let hex = lines.lines().flat_map(|line| {
            let bytes = line.split('#').next().unwrap_or_default();
            bytes.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("two digits"))
        });
        blocks.insert(name.trim_start_matches("# ").to_owned(), hex.collect());
    }
    blocks
}

#[test]
fn the_document_and_the_code_agree_byte_for_byte() {
    let examples = examples();
    let written = |message: &Message, crc| message.encode(crc).unwrap().to_bytes();
    let messages: [(&str, Message, bool); 6] = [
        ("hello", hello().into(), false),
        ("want", want().into(), false),
        ("have", have().into(), false),
        ("data", data().into(), false),
        ("end", end().into(), false),
        ("ping-crc", Ping { token: 7 }.into(), true),
    ];
    for (name, message, crc) in &messages {
        assert_eq!(written(message, *crc)[..], examples[*name][..], "{name}");
        let bytes = Bytes::copy_from_slice(&examples[*name]);
        let (raw, rest) = FrameDecoder::new(FRAME_BODY_MAX, *crc).decode_one(bytes).unwrap();
        assert!(rest.is_empty());
        assert_eq!(Message::decode(raw.kind, raw.body), Ok(Some(message.clone())));
    }

    let gaps = RangeSet::from_iter([0..16, 32..48, 49..50]);
    assert_eq!(ranges::decode(&examples["ranges"], 3), Ok((gaps, &[][..])));

    let future = Bytes::copy_from_slice(&examples["want-from-the-future"]);
    let (raw, _) = FrameDecoder::new(FRAME_BODY_MAX, false).decode_one(future).unwrap();
    assert_eq!(Message::decode(raw.kind, raw.body), Ok(Some(want().into())));

    assert_eq!(examples.len(), messages.len() + 2, "each example is tested");
}

#[test]
fn the_figures_for_constrained_links_are_true() {
    let len = |message: Message| message.encode(false).unwrap().len();
    let top = samara_wire::varint::MAX;
    assert_eq!(len(Ping { token: 0 }.into()), 3);
    assert_eq!(len(Ping { token: top }.into()), 10);
    assert_eq!(len(end().into()), 5);
    let mut mib = want();
    mib.ranges = RangeSet::from(0..1024);
    assert_eq!(len(mib.clone().into()), 42);
    (mib.want, mib.size) = (1_000_000, Some(1 << 20));
    assert_eq!(len(mib.into()), 51);
    let mut leaf = data();
    leaf.data = Bytes::from_static(&[0; 1024]);
    assert_eq!(len(leaf.clone().into()) - 1024, 6);
    (leaf.want, leaf.first) = (1_000_000, 1_000_000);
    assert_eq!(len(leaf.into()) - 1024, 12);
}
