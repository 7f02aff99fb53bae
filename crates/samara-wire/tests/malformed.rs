//! One test per way in which a body can be wrong, with the place that the error has to name.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use common::*;
use samara_wire::{
    Cancel, Close, Credit, Data, DecodeReason, End, Field, Have, Hello, Message, Ping, Pong,
    Present, TLVS_MAX, Want, ranges, tlv,
};

/// want 1, blob, group 4, class 3: 35 bytes, then `rest`.
fn want_with(group: u8, class: u8, rest: &[u8]) -> Vec<u8> {
    [&[1][..], blob().as_bytes(), &[group, class], rest].concat()
}

/// TLVs of HELLO that are all required, as (type, value).
const HELLO: [(u64, &[u8]); 5] =
    [(0x00, &[1, 1]), (0x02, &[0x40, 0x80]), (0x04, &[1]), (0x06, &[0]), (0x08, &[0])];

fn section(tlvs: &[(u64, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (tlv_type, value) in tlvs {
        tlv::encode(*tlv_type, value, &mut out).unwrap();
    }
    out
}

/// HELLO with the value of one TLV exchanged, and where that value starts.
fn hello_with(tlv_type: u64, value: &[u8]) -> (Vec<u8>, u32) {
    let mut all: Vec<_> = HELLO.into_iter().filter(|(other, _)| *other != tlv_type).collect();
    let before: Vec<_> = all.iter().copied().filter(|(other, _)| *other < tlv_type).collect();
    all.push((tlv_type, value));
    all.sort_unstable();
    let header = section(&[(tlv_type, value)]).len() - value.len();
    (section(&all), (section(&before).len() + header).try_into().unwrap())
}

//= rfcs/0003-encoding.md#enc-4
//= type=test
//# A decoder MUST reject bytes that end before their last field does.
#[test]
fn a_body_that_ends_too_early_names_the_field_that_is_cut() {
    use DecodeReason::Truncated;
    for (kind, bytes, offset, field) in [
        (Credit::KIND, &[][..], 0, Field::Total),
        (Credit::KIND, &[0x80, 0], 0, Field::Total),
        (Ping::KIND, &[], 0, Field::Token),
        (Pong::KIND, &[], 0, Field::Token),
        (Cancel::KIND, &[], 0, Field::Want),
        (Close::KIND, &[], 0, Field::Code),
        (Want::KIND, &[], 0, Field::Want),
        (Want::KIND, &[1, 0xaa, 0xaa], 1, Field::Blob),
        (Have::KIND, &[1], 1, Field::Size),
        (Have::KIND, &[1, 6], 2, Field::Held),
        (Have::KIND, &[1, 6, 1, 0], 4, Field::Held),
        (Data::KIND, &[1], 1, Field::First),
        (Data::KIND, &[1, 0], 2, Field::Proof),
        (Data::KIND, &[1, 0, 0x40, 0x40, 0xcc], 4, Field::Proof),
        (End::KIND, &[1], 1, Field::Code),
        (End::KIND, &[1, 0], 2, Field::Missing),
        (Ping::KIND, &[7, 0x40], 1, Field::TlvType),
        (Ping::KIND, &[7, 1], 2, Field::TlvLength),
        (Ping::KIND, &[7, 1, 2, 0xaa], 3, Field::TlvValue),
        (Hello::KIND, &[0, 1, 1], 3, Field::Versions),
        (End::KIND, &[1, 0, 0, 1, 0], 5, Field::RetryMs),
    ] {
        refused(kind, bytes, offset, field, Truncated);
    }
    refused(Want::KIND, &want_with(4, 3, &[])[..33], 33, Field::Group, Truncated);
    refused(Want::KIND, &want_with(4, 3, &[])[..34], 34, Field::Class, Truncated);
    refused(Want::KIND, want_with(4, 3, &[]), 35, Field::Ranges, Truncated);
    refused(Want::KIND, want_with(4, 3, &[1, 0, 0]), 38, Field::Known, Truncated);
    refused(Want::KIND, want_with(4, 3, &[1, 0, 0, 0, 1, 1, 0x80]), 41, Field::Size, Truncated);
}

#[test]
fn each_varint_of_each_message_has_to_be_minimal() {
    use DecodeReason::NotMinimal;
    for (kind, bytes, offset, field) in [
        (Credit::KIND, &[0x40, 0x05][..], 0, Field::Total),
        (Ping::KIND, &[0x40, 0x05], 0, Field::Token),
        (Pong::KIND, &[0x40, 0x05], 0, Field::Token),
        (Cancel::KIND, &[0x40, 0x05], 0, Field::Want),
        (Close::KIND, &[0x40, 0x01], 0, Field::Code),
        (Want::KIND, &[0x40, 0x01], 0, Field::Want),
        (Have::KIND, &[0x40, 0x01], 0, Field::Want),
        (Have::KIND, &[1, 0x80, 0, 0, 6], 1, Field::Size),
        (Have::KIND, &[1, 6, 0x40, 0x01], 2, Field::Held),
        (Have::KIND, &[1, 6, 1, 0x40, 0x00], 3, Field::Held),
        (Have::KIND, &[1, 6, 1, 0, 0x40, 0x00], 4, Field::Held),
        (Data::KIND, &[0x40, 0x01], 0, Field::Want),
        (Data::KIND, &[1, 0x40, 0x00], 1, Field::First),
        (Data::KIND, &[1, 0, 0x40, 0x00], 2, Field::Proof),
        (End::KIND, &[0x40, 0x01], 0, Field::Want),
        (End::KIND, &[1, 0x40, 0x00], 1, Field::Code),
        (End::KIND, &[1, 0, 0x40, 0x00], 2, Field::Missing),
        (End::KIND, &[1, 0, 0, 1, 2, 0x40, 0x05], 5, Field::RetryMs),
        (Ping::KIND, &[7, 0x40, 0x01, 0], 1, Field::TlvType),
        (Ping::KIND, &[7, 1, 0x40, 0x00], 2, Field::TlvLength),
    ] {
        refused(kind, bytes, offset, field, NotMinimal);
    }
    for (tlv_type, field) in [
        (0x00, Field::Versions),
        (0x02, Field::FrameBodyMax),
        (0x04, Field::WantsMax),
        (0x06, Field::Credit),
        (0x08, Field::Features),
    ] {
        let (bytes, offset) = hello_with(tlv_type, &[0x40, 0x01]);
        refused(Hello::KIND, bytes, offset, field, NotMinimal);
    }
}

//= rfcs/0003-encoding.md#enc-8
//= type=test
//# A decoder MUST reject a TLV section whose types do not strictly ascend.
#[test]
fn tlv_types_that_repeat_or_descend_are_refused_at_the_second() {
    // token 7, type 3 of 0 bytes, type 3 or 1 of 0 bytes
    refused(Ping::KIND, [7, 3, 0, 3, 0], 3, Field::TlvType, DecodeReason::NotAscending);
    refused(Ping::KIND, [7, 3, 0, 1, 0], 3, Field::TlvType, DecodeReason::NotAscending);
}

//= rfcs/0003-encoding.md#enc-9
//= type=test
//# A decoder MUST refuse a message that has a TLV of an unknown even type.
#[test]
fn unknown_even_tlv_types_are_refused_in_every_message_that_has_a_section() {
    for message in samples() {
        let has_section =
            !matches!(message, Message::Close(_) | Message::Present(_) | Message::Data(_));
        let (kind, mut bytes) = (message.kind(), body(message).to_vec());
        let offset = u32::try_from(bytes.len()).unwrap();
        bytes.extend_from_slice(&[0x0e, 0x00]);
        if has_section {
            let reason = DecodeReason::CriticalTlv { tlv_type: 0x0e };
            refused(kind, bytes, offset, Field::TlvType, reason);
        } else {
            assert_eq!(body(decoded(kind, &bytes)), bytes, "part of the last field");
        }
    }
}

//= rfcs/0003-encoding.md#enc-10
//= type=test
//# A decoder MUST skip a TLV of an unknown odd type.
//= rfcs/0003-encoding.md#enc-14
//= type=test
//# A node MUST NOT copy a TLV that it has skipped into a message of its own.
#[test]
fn unknown_odd_tlv_types_are_skipped_and_not_repeated() {
    for message in samples() {
        if matches!(message, Message::Close(_) | Message::Present(_) | Message::Data(_)) {
            continue;
        }
        let without = body(message.clone());
        let mut bytes = without.to_vec();
        bytes.extend_from_slice(&[0x0b, 0x02, 0xbe, 0xef, 0x0d, 0x00]);
        let again = decoded(message.kind(), bytes);
        assert_eq!(again, message);
        assert_eq!(body(again), without);
    }
}

//= rfcs/0003-encoding.md#enc-13
//= type=test
//# A decoder MUST reject a TLV whose value has bytes after its last field.
#[test]
fn bytes_after_the_value_of_a_tlv_are_refused() {
    use DecodeReason::TrailingData;
    // want 1, code 0, no run, type 1 of 2 bytes: 5 and a stray byte
    refused(End::KIND, [1, 0, 0, 1, 2, 5, 9], 6, Field::TlvValue, TrailingData);
    let stray = want_with(4, 3, &[1, 0, 0, 0, 1, 2, 5, 9]);
    refused(Want::KIND, stray, 42, Field::TlvValue, TrailingData);
    for (tlv_type, value) in HELLO {
        let (bytes, offset) = hello_with(tlv_type, &[value, &[9]].concat());
        let offset = offset + u32::try_from(value.len()).unwrap();
        refused(Hello::KIND, bytes, offset, Field::TlvValue, TrailingData);
    }
}

//= rfcs/0003-encoding.md#enc-22
//= type=test
//# A decoder MUST reject a HELLO that lacks any of versions, frame_body_max, wants_max, credit and
//# features.
#[test]
fn a_hello_without_a_required_tlv_is_refused_at_its_end() {
    let fields =
        [Field::Versions, Field::FrameBodyMax, Field::WantsMax, Field::Credit, Field::Features];
    assert!(decode(Hello::KIND, section(&HELLO)).is_ok());
    for (absent, field) in fields.into_iter().enumerate() {
        let mut tlvs = HELLO.to_vec();
        tlvs.remove(absent);
        let bytes = section(&tlvs);
        let end = u32::try_from(bytes.len()).unwrap();
        refused(Hello::KIND, bytes, end, field, DecodeReason::Absent);
    }
}

//= rfcs/0003-encoding.md#enc-23
//= type=test
//# A decoder MUST reject a HELLO whose lowest version is above its highest.
#[test]
fn inverted_versions_are_refused() {
    let (bytes, offset) = hello_with(0x00, &[2, 1]);
    refused(Hello::KIND, bytes, offset, Field::Versions, DecodeReason::Inverted);
    let (bytes, _) = hello_with(0x00, &[2, 2]);
    assert!(decode(Hello::KIND, bytes).is_ok());
}

//= rfcs/0003-encoding.md#enc-25
//= type=test
//# A decoder MUST reject a HELLO whose agent is there but empty, longer than 64 bytes, or not
//# UTF-8.
#[test]
fn an_agent_that_is_empty_long_or_not_text_is_refused() {
    let (bytes, offset) = hello_with(0x01, b"");
    refused(Hello::KIND, bytes, offset, Field::Agent, DecodeReason::Empty);
    let (bytes, offset) = hello_with(0x01, &[b'a'; 65]);
    let reason = DecodeReason::TooLarge { found: 65, max: 64 };
    refused(Hello::KIND, bytes, offset, Field::Agent, reason);
    let (bytes, offset) = hello_with(0x01, &[b'a', 0xc3]);
    refused(Hello::KIND, bytes, offset, Field::Agent, DecodeReason::NotUtf8);
    let (bytes, _) = hello_with(0x01, &[b'a'; 64]);
    assert!(decode(Hello::KIND, bytes).is_ok());
}

//= rfcs/0003-encoding.md#enc-26
//= type=test
//# A decoder MUST reject a CLOSE whose reason is longer than 256 bytes or not UTF-8.
#[test]
fn a_reason_that_is_long_or_not_text_is_refused() {
    refused(Close::KIND, [0, 0xff], 1, Field::Reason, DecodeReason::NotUtf8);
    let reason = DecodeReason::TooLarge { found: 257, max: 256 };
    refused(Close::KIND, [b'0'; 258], 1, Field::Reason, reason);
    assert!(decode(Close::KIND, [0; 257]).is_ok());
}

//= rfcs/0003-encoding.md#enc-28
//= type=test
//# A decoder MUST reject a PRESENT whose right is empty or longer than 256 bytes.
#[test]
fn a_right_that_is_empty_or_long_is_refused() {
    refused(Present::KIND, [], 0, Field::Right, DecodeReason::Empty);
    let reason = DecodeReason::TooLarge { found: 257, max: 256 };
    refused(Present::KIND, [0; 257], 0, Field::Right, reason);
    assert!(decode(Present::KIND, [0; 1]).is_ok() && decode(Present::KIND, [0; 256]).is_ok());
}

//= rfcs/0003-encoding.md#enc-29
//= type=test
//# A decoder MUST reject a WANT whose group is above 10 or whose class it does not know.
#[test]
fn an_unknown_group_or_class_is_refused() {
    let ranges = [1, 0, 0, 0];
    let reason = DecodeReason::TooLarge { found: 11, max: 10 };
    refused(Want::KIND, want_with(11, 3, &ranges), 33, Field::Group, reason);
    let reason = DecodeReason::UnknownCode { code: 5 };
    refused(Want::KIND, want_with(4, 5, &ranges), 34, Field::Class, reason);
    for (group, class) in [(0, 0), (10, 4)] {
        assert!(decode(Want::KIND, want_with(group, class, &ranges)).is_ok());
    }
}

//= rfcs/0003-encoding.md#enc-30
//= type=test
//# A decoder MUST reject a WANT whose ranges are empty, or whose known set has more than 64 runs or
//# overlaps its ranges.
#[test]
fn a_want_for_nothing_or_for_what_is_known_is_refused() {
    refused(Want::KIND, want_with(4, 3, &[0, 0]), 35, Field::Ranges, DecodeReason::Empty);
    // ranges 0..4; known 3..4
    let bytes = want_with(4, 3, &[1, 0, 3, 1, 3, 0]);
    refused(Want::KIND, bytes, 38, Field::Known, DecodeReason::Overlap);
    // ranges 0..4; known 4..5 touches but does not overlap
    assert!(decode(Want::KIND, want_with(4, 3, &[1, 0, 3, 1, 4, 0])).is_ok());

    for (count, fits) in [(64, true), (65, false)] {
        let mut sets = vec![1, 0, 0];
        let known = runs(count).runs().iter().map(|run| run.start + 1..run.end + 1).collect();
        ranges::encode(&known, 1024, &mut sets).unwrap();
        let bytes = want_with(4, 3, &sets);
        if fits {
            assert!(decode(Want::KIND, bytes).is_ok());
        } else {
            let reason = DecodeReason::TooLarge { found: 65, max: 64 };
            refused(Want::KIND, bytes, 38, Field::Known, reason);
        }
    }
}

//= rfcs/0003-encoding.md#enc-31
//= type=test
//# A decoder MUST reject a DATA whose proof is longer than 8,192 bytes or not a multiple of 64
//# bytes.
#[test]
fn a_proof_that_is_long_or_not_in_pairs_is_refused() {
    // want 1, first 0, proof of 8,256 bytes
    let reason = DecodeReason::TooLarge { found: 8_256, max: 8_192 };
    refused(Data::KIND, [1, 0, 0x60, 0x40], 2, Field::Proof, reason);
    // want 1, first 0, proof of 63 bytes
    let reason = DecodeReason::Unaligned { found: 63, unit: 64 };
    refused(Data::KIND, [1, 0, 63], 2, Field::Proof, reason);
    let longest = [&[1, 0, 0x60, 0x00][..], &[0xcc; 8_192], b"data"].concat();
    assert!(decode(Data::KIND, longest).is_ok());
}

//= rfcs/0003-encoding.md#enc-32
//= type=test
//# A decoder MUST reject a DATA without data unless its first leaf is 0 and its proof empty.
#[test]
fn a_data_that_moves_nothing_is_refused() {
    refused(Data::KIND, [1, 1, 0], 3, Field::Data, DecodeReason::Empty);
    let proof_only = [&[1, 0, 0x40, 0x40][..], &[0xcc; 64]].concat();
    refused(Data::KIND, proof_only, 68, Field::Data, DecodeReason::Empty);
    assert!(decode(Data::KIND, [1, 0, 0]).is_ok(), "the empty blob");
}

//= rfcs/0003-encoding.md#enc-33
//= type=test
//# A decoder MUST reject a DATA whose last leaf ends above 2^54.
#[test]
fn a_data_beyond_the_last_leaf_is_refused() {
    let max = 1_u64 << 54;
    let at = |first: u64, data: &[u8]| {
        let first = (first | 0xc000_0000_0000_0000).to_be_bytes();
        [&[1][..], &first, &[0], data].concat()
    };
    assert!(decode(Data::KIND, at(max - 1, &[0; 1024])).is_ok());
    let reason = DecodeReason::TooLarge { found: max + 1, max };
    refused(Data::KIND, at(max - 1, &[0; 1025]), 1, Field::First, reason);
    refused(Data::KIND, at(max, &[0]), 1, Field::First, reason);
    let reason = DecodeReason::TooLarge { found: (1 << 62) - 1, max };
    refused(Data::KIND, at((1 << 62) - 1, &[0]), 1, Field::First, reason);
}

//= rfcs/0003-encoding.md#enc-11
//= type=test
//# A decoder MUST reject a TLV section that has more than 32 TLVs.
#[test]
fn a_section_of_33_tlvs_is_refused_at_the_last() {
    let odd = |count: u64| -> Vec<u8> {
        let mut out = vec![7];
        for at in 0..count {
            tlv::encode(2 * at + 1, &[], &mut out).unwrap();
        }
        out
    };
    assert!(decode(Ping::KIND, odd(TLVS_MAX as u64)).is_ok());
    let bytes = odd(TLVS_MAX as u64 + 1);
    // token, 32 TLVs with types from 1 to 63 in 2 bytes each
    let reason = DecodeReason::TooLarge { found: 33, max: 32 };
    refused(Ping::KIND, bytes, 65, Field::TlvType, reason);
}

#[test]
fn errors_read_as_sentences_that_say_where() {
    let text = |kind, bytes: &[u8]| decode(kind, bytes).unwrap_err().to_string();
    assert_eq!(text(Ping::KIND, &[]), "token at byte 0: the bytes end inside the field");
    assert_eq!(
        text(Have::KIND, &[1, 0x40, 0x01]),
        "size at byte 1: the varint is not in its shortest form"
    );
    assert_eq!(
        text(Ping::KIND, &[7, 2, 0]),
        "TLV type at byte 1: the critical TLV 0x2 is not known here"
    );
    assert_eq!(text(0x0c, &[]), "kind at byte 0: the critical message 0xc is not known here");
    assert_eq!(text(Hello::KIND, &[]), "versions at byte 0: it is required and not there");
}
