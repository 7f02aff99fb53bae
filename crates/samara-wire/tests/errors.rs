//! What errors say, word for word where a user reads it.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeSet;

use samara_wire::{DecodeReason, EncodeError, Field};

/// Fields of frames and TLVs, whose names are words of this crate; then those of messages.
const COMMON: [Field; 9] = [
    Field::Varint,
    Field::RangeSet,
    Field::Kind,
    Field::Length,
    Field::Body,
    Field::Crc,
    Field::TlvType,
    Field::TlvLength,
    Field::TlvValue,
];

const OF_MESSAGES: [Field; 24] = [
    Field::Versions,
    Field::Agent,
    Field::FrameBodyMax,
    Field::WantsMax,
    Field::Credit,
    Field::Features,
    Field::Total,
    Field::Token,
    Field::Code,
    Field::Reason,
    Field::Right,
    Field::Want,
    Field::Blob,
    Field::Group,
    Field::Class,
    Field::Ranges,
    Field::Known,
    Field::Size,
    Field::Held,
    Field::First,
    Field::Proof,
    Field::Data,
    Field::Missing,
    Field::RetryMs,
];

#[test]
fn a_field_has_the_name_that_the_document_gives_it() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rfcs/0003-encoding.md");
    let text = std::fs::read_to_string(path).unwrap();
    let words: BTreeSet<&str> =
        text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
    for field in OF_MESSAGES {
        assert!(words.contains(field.name()), "{field:?} is `{field}` nowhere in RFC 0003");
        // `RetryMs` is `retry_ms`.
        let plain = field.name().replace('_', "");
        assert_eq!(plain, format!("{field:?}").to_lowercase());
    }
    let all: BTreeSet<String> =
        COMMON.iter().chain(&OF_MESSAGES).map(ToString::to_string).collect();
    assert_eq!(all.len(), COMMON.len() + OF_MESSAGES.len(), "each has a name of its own");
    assert_eq!(Field::TlvLength.name(), "TLV length");
}

#[test]
fn each_reason_for_a_refusal_says_what_is_wrong_with_which_number() {
    let texts = [
        (DecodeReason::Truncated, "the bytes end inside the field"),
        (DecodeReason::NotMinimal, "the varint is not in its shortest form"),
        (DecodeReason::TooLarge { found: 9, max: 8 }, "9 is above the limit of 8"),
        (DecodeReason::TooSmall { found: 1, min: 2 }, "1 is below the limit of 2"),
        (DecodeReason::Empty, "it must not be empty"),
        (DecodeReason::NotUtf8, "it is not UTF-8"),
        (DecodeReason::Unaligned { found: 63, unit: 64 }, "the length 63 is not a multiple of 64"),
        (DecodeReason::UnknownCode { code: 9 }, "the code 9 is not known here"),
        (DecodeReason::Inverted, "the lower bound is above the upper one"),
        (DecodeReason::Overlap, "it overlaps the ranges that are asked for"),
        (DecodeReason::NotAscending, "TLV types must ascend without repeats"),
        (DecodeReason::CriticalTlv { tlv_type: 18 }, "the critical TLV 0x12 is not known here"),
        (DecodeReason::CriticalKind { kind: 18 }, "the critical message 0x12 is not known here"),
        (DecodeReason::Absent, "it is required and not there"),
        (DecodeReason::TrailingData, "bytes are left after its end"),
    ];
    for (reason, text) in texts {
        assert_eq!(reason.to_string(), text);
    }
}

#[test]
fn each_mistake_of_a_sender_is_named_with_its_field() {
    let field = Field::Agent;
    let texts = [
        (EncodeError::TooLarge { field, found: 9, max: 8 }, "9 is above the limit of 8"),
        (EncodeError::TooSmall { field, found: 1, min: 2 }, "1 is below the limit of 2"),
        (EncodeError::Empty { field }, "it must not be empty"),
        (
            EncodeError::Unaligned { field, found: 63, unit: 64 },
            "the length 63 is not a multiple of 64",
        ),
        (EncodeError::Inverted { field }, "the lower bound is above the upper one"),
        (EncodeError::Overlap { field }, "it overlaps the ranges that are asked for"),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), format!("cannot encode agent: {text}"));
    }
}
