//! Both sides of each limit, on the way out and on the way in.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use bytes::Bytes;
use common::*;
use samara_base::RangeSet;
use samara_wire::{
    AGENT_MAX, Cancel, Close, CloseCode, Credit, Data, DecodeReason, EncodeError, End,
    FRAME_BODY_MAX, FRAME_BODY_MIN, Field, Have, Hello, KNOWN_RUNS_MAX, LEAVES_END_MAX, Message,
    PROOF_MAX, PROOF_PAIR, Ping, Pong, Present, REASON_MAX, RIGHT_MAX, RUNS_MAX, TLV_VALUE_MAX,
    Want, ranges, tlv, varint,
};

#[track_caller]
fn fits(message: impl Into<Message>) {
    let message = message.into();
    assert_eq!(decoded(message.kind(), body(message.clone())), message);
}

#[track_caller]
fn too_large(message: impl Into<Message>, field: Field, found: u64, max: u64) {
    let error = message.into().encode(false).expect_err("it is above the limit");
    assert_eq!(error, EncodeError::TooLarge { field, found, max });
}

//= rfcs/0003-encoding.md#enc-3
//= type=test
//# An encoder MUST refuse a message that breaks a limit of this document.
#[test]
fn numbers_end_at_the_largest_varint() {
    let (max, above) = (varint::MAX, varint::MAX + 1);
    fits(Credit { total: max });
    too_large(Credit { total: above }, Field::Total, above, max);
    fits(Ping { token: max });
    too_large(Ping { token: above }, Field::Token, above, max);
    fits(Pong { token: max });
    too_large(Pong { token: above }, Field::Token, above, max);
    fits(Cancel { want: max });
    too_large(Cancel { want: above }, Field::Want, above, max);
    fits(Want { want: max, size: Some(max), ..want() });
    too_large(Want { want: above, ..want() }, Field::Want, above, max);
    too_large(Want { size: Some(above), ..want() }, Field::Size, above, max);
    fits(Have { want: max, size: max, ..have() });
    too_large(Have { want: above, ..have() }, Field::Want, above, max);
    too_large(Have { size: above, ..have() }, Field::Size, above, max);
    fits(Data { want: max, ..data() });
    too_large(Data { want: above, ..data() }, Field::Want, above, max);
    fits(End { want: max, retry_ms: Some(max), ..end() });
    too_large(End { want: above, ..end() }, Field::Want, above, max);
    too_large(End { retry_ms: Some(above), ..end() }, Field::RetryMs, above, max);
    fits(Hello { version_max: max, wants_max: max, credit: max, features: max, ..hello() });
    too_large(Hello { version_max: above, ..hello() }, Field::Versions, above, max);
    too_large(Hello { wants_max: above, ..hello() }, Field::WantsMax, above, max);
    too_large(Hello { credit: above, ..hello() }, Field::Credit, above, max);
    too_large(Hello { features: above, ..hello() }, Field::Features, above, max);
}

//= rfcs/0003-encoding.md#enc-5
//= type=test
//# A decoder MUST reject a range set that has more runs than its field allows.
#[test]
fn range_sets_end_at_their_number_of_runs() {
    let (max, known_max) = (RUNS_MAX as u64, KNOWN_RUNS_MAX as u64);
    let known =
        |count: u64| Want { ranges: RangeSet::from(9_000..9_001), known: runs(count), ..want() };
    fits(Want { ranges: runs(max), ..want() });
    too_large(Want { ranges: runs(max + 1), ..want() }, Field::Ranges, max + 1, max);
    fits(known(known_max));
    too_large(known(known_max + 1), Field::Known, known_max + 1, known_max);
    let large = || Have { size: 1 << 40, ..have() };
    fits(Have { held: runs(max), ..large() });
    too_large(Have { held: runs(max + 1), ..large() }, Field::Held, max + 1, max);
    fits(End { missing: runs(max), ..end() });
    too_large(End { missing: runs(max + 1), ..end() }, Field::Missing, max + 1, max);

    // count 1,025, then runs of 1 leaf with gaps of 1
    let mut bytes = vec![0x44, 0x01];
    bytes.resize(2 + 2 * 1025, 0);
    let reason = DecodeReason::TooLarge { found: 1025, max: 1024 };
    let found = ranges::decode(&bytes, usize::MAX).expect_err("no field allows more than 1,024");
    assert_eq!((found.offset, found.field, found.reason), (0, Field::RangeSet, reason));
    bytes[1] = 0x00;
    assert!(ranges::decode(&bytes, usize::MAX).is_ok());

    assert_eq!(ranges::first_runs(&runs(max + 1), RUNS_MAX), runs(max));
    fits(Have { held: ranges::first_runs(&runs(5000), RUNS_MAX), ..large() });
}

//= rfcs/0003-encoding.md#enc-6
//= type=test
//# A decoder MUST reject a range set that has a run which ends above 2^54.
#[test]
fn range_sets_end_at_the_last_leaf() {
    let max = LEAVES_END_MAX;
    fits(End { missing: RangeSet::from(0..max), ..end() });
    let above = RangeSet::from(0..max + 1);
    too_large(End { missing: above, ..end() }, Field::Missing, max + 1, max);

    // want 1, code 6, then one run
    let run = |skip: u64, more: u64| {
        let mut bytes = vec![1, 6, 1];
        varint::encode(skip, &mut bytes).unwrap();
        varint::encode(more, &mut bytes).unwrap();
        bytes
    };
    assert!(decode(End::KIND, run(max - 1, 0)).is_ok());
    let reason = DecodeReason::TooLarge { found: max + 1, max };
    refused(End::KIND, run(max, 0), 3, Field::Missing, reason);
    refused(End::KIND, run(0, max), 3, Field::Missing, reason);
    let reason = DecodeReason::TooLarge { found: 2 * varint::MAX + 1, max };
    refused(End::KIND, run(varint::MAX, varint::MAX), 3, Field::Missing, reason);
}

//= rfcs/0003-encoding.md#enc-34
//= type=test
//# A decoder MUST reject a HAVE whose held set has a leaf behind the last one of a blob of its size.
#[test]
fn nobody_holds_what_is_behind_the_end() {
    for (size, leaves) in [(0, 1), (1, 1), (1024, 1), (1025, 2), (varint::MAX, 1 << 52)] {
        let with = |end| Have { size, held: RangeSet::from(0..end), ..have() };
        fits(with(leaves));
        too_large(with(leaves + 1), Field::Held, leaves + 1, leaves);
        let mut bytes = body(with(leaves)).to_vec();
        // The last varint is the length less 1: one more.
        let from = bytes.len() - varint::len(leaves - 1).unwrap();
        bytes.truncate(from);
        varint::encode(leaves, &mut bytes).unwrap();
        let reason = DecodeReason::TooLarge { found: leaves + 1, max: leaves };
        let at = 1 + varint::len(size).unwrap();
        refused(Have::KIND, bytes, u32::try_from(at).unwrap(), Field::Held, reason);
    }
    fits(Have { size: 0, held: RangeSet::new(), ..have() });
}

//= rfcs/0003-encoding.md#enc-12
//= type=test
//# A decoder MUST reject a TLV whose value is longer than 16,383 bytes.
#[test]
fn values_of_tlvs_end_at_two_bytes_of_length() {
    let mut bytes = vec![7];
    tlv::encode(1, &[0; TLV_VALUE_MAX], &mut bytes).unwrap();
    assert!(decode(Ping::KIND, &bytes).is_ok());

    let (found, max) = (TLV_VALUE_MAX as u64 + 1, TLV_VALUE_MAX as u64);
    let error = EncodeError::TooLarge { field: Field::TlvValue, found, max };
    assert_eq!(tlv::encode(1, &[0; TLV_VALUE_MAX + 1], &mut bytes), Err(error));
    let mut bytes = vec![7, 1];
    varint::encode(found, &mut bytes).unwrap();
    bytes.resize(bytes.len() + TLV_VALUE_MAX + 1, 0);
    refused(Ping::KIND, bytes, 2, Field::TlvLength, DecodeReason::TooLarge { found, max });
}

//= rfcs/0003-encoding.md#enc-24
//= type=test
//# A decoder MUST reject a HELLO whose frame_body_max is below 128 or above 1,114,112.
#[test]
fn body_limits_in_hello_have_two_ends() {
    fits(Hello { frame_body_max: FRAME_BODY_MIN, ..hello() });
    fits(Hello { frame_body_max: FRAME_BODY_MAX, ..hello() });
    let below = Message::from(Hello { frame_body_max: 127, ..hello() }).encode(false);
    let error = EncodeError::TooSmall { field: Field::FrameBodyMax, found: 127, min: 128 };
    assert_eq!(below, Err(error));
    let above = Hello { frame_body_max: FRAME_BODY_MAX + 1, ..hello() };
    too_large(above, Field::FrameBodyMax, 1_114_113, 1_114_112);

    // versions 1..=1, then frame_body_max
    let with = |value: &[u8]| {
        let mut bytes = vec![0, 2, 1, 1];
        tlv::encode(2, value, &mut bytes).unwrap();
        bytes.extend_from_slice(&[4, 1, 0, 6, 1, 0, 8, 1, 0]);
        bytes
    };
    assert!(decode(Hello::KIND, with(&[0x40, 128])).is_ok());
    let reason = DecodeReason::TooSmall { found: 127, min: 128 };
    refused(Hello::KIND, with(&[0x40, 127]), 6, Field::FrameBodyMax, reason);
    assert!(decode(Hello::KIND, with(&[0x80, 0x11, 0, 0])).is_ok());
    let reason = DecodeReason::TooLarge { found: 1_114_113, max: 1_114_112 };
    refused(Hello::KIND, with(&[0x80, 0x11, 0, 1]), 6, Field::FrameBodyMax, reason);
    let reason = DecodeReason::TooLarge { found: varint::MAX, max: 1_114_112 };
    refused(Hello::KIND, with(&[0xff; 8]), 6, Field::FrameBodyMax, reason);
}

#[test]
fn the_largest_hello_fits_the_smallest_body_limit() {
    let largest = Hello {
        version_min: varint::MAX,
        version_max: varint::MAX,
        agent: "x".repeat(AGENT_MAX),
        frame_body_max: FRAME_BODY_MAX,
        wants_max: varint::MAX,
        credit: varint::MAX,
        features: varint::MAX,
    };
    let len = body(largest).len();
    assert_eq!(len, 121);
    assert!(len <= FRAME_BODY_MIN as usize);
}

#[test]
fn text_and_rights_end_at_their_length() {
    let close = |len: usize| Close { code: CloseCode::Done, reason: "x".repeat(len) };
    fits(close(0));
    fits(close(REASON_MAX));
    too_large(close(REASON_MAX + 1), Field::Reason, 257, 256);

    let agent = |len: usize| Hello { agent: "x".repeat(len), ..hello() };
    fits(agent(0));
    fits(agent(AGENT_MAX));
    too_large(agent(AGENT_MAX + 1), Field::Agent, 65, 64);

    let right = |len: usize| Present { right: Bytes::from(vec![0; len]) };
    fits(right(1));
    fits(right(RIGHT_MAX));
    too_large(right(RIGHT_MAX + 1), Field::Right, 257, 256);
    let empty = Message::from(right(0)).encode(false);
    assert_eq!(empty, Err(EncodeError::Empty { field: Field::Right }));
}

#[test]
fn what_no_decoder_takes_is_not_encoded() {
    let encode = |message: Message| message.encode(false).expect_err("it breaks a rule");
    let inverted = Hello { version_min: 2, ..hello() }.into();
    assert_eq!(encode(inverted), EncodeError::Inverted { field: Field::Versions });
    let nothing = Want { ranges: RangeSet::new(), ..want() }.into();
    assert_eq!(encode(nothing), EncodeError::Empty { field: Field::Ranges });
    let overlap = Want { known: RangeSet::from(0..1), ..want() }.into();
    assert_eq!(encode(overlap), EncodeError::Overlap { field: Field::Known });
    let odd_proof = Data { proof: Bytes::from_static(&[0; 63]), ..data() }.into();
    let error = EncodeError::Unaligned { field: Field::Proof, found: 63, unit: 64 };
    assert_eq!(encode(odd_proof), error);
    let empty = Data { first: 1, data: Bytes::new(), ..data() }.into();
    assert_eq!(encode(empty), EncodeError::Empty { field: Field::Data });
    assert_eq!(
        encode(Data { first: LEAVES_END_MAX, ..data() }.into()).to_string(),
        "cannot encode first: 18014398509481985 is above the limit of 18014398509481984"
    );
}

#[test]
fn proofs_and_data_end_at_their_length() {
    let proof = |len: usize| Data { proof: Bytes::from(vec![0; len]), ..data() };
    fits(proof(PROOF_MAX));
    let above = PROOF_MAX + PROOF_PAIR;
    too_large(proof(above), Field::Proof, above as u64, PROOF_MAX as u64);

    let max = FRAME_BODY_MAX as usize;
    let payload = |len: usize| Data { data: Bytes::from(vec![0; len]), ..data() };
    fits(payload(max - 3));
    too_large(payload(max - 2), Field::Body, max as u64 + 1, max as u64);

    fits(Data { first: LEAVES_END_MAX - 1, ..data() });
    fits(Data { data: Bytes::new(), ..data() });
}
