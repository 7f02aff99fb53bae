//! Round trips and canonical form, for arbitrary messages and for arbitrary bytes.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use common::*;
use proptest::{collection::vec, option, prelude::*};
use samara_base::{BlobId, Class, GroupLog2, RangeSet};
use samara_wire::{
    Cancel, Close, CloseCode, Credit, Data, End, EndCode, FRAME_BODY_MAX, FRAME_BODY_MIN,
    FrameDecoder, Have, Hello, Message, Ping, Pong, Present, Want, ranges, varint,
};

/// Numbers of every length of varint.
fn number() -> impl Strategy<Value = u64> {
    (0..62_u32, any::<u64>()).prop_map(|(bits, value)| value & ((2 << bits) - 1))
}

fn bytes(len: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), len).prop_map(Bytes::from)
}

/// Sets of at most `count` runs, near and far.
fn set(count: usize) -> impl Strategy<Value = RangeSet> {
    let run = (0..40_u32, any::<u64>(), 1..40_u64);
    vec(run, 0..=count).prop_map(|runs| {
        let run = |(bits, at, len)| {
            let start = at & ((2_u64 << bits) - 1);
            start..start + len
        };
        runs.into_iter().map(run).collect()
    })
}

fn want_message() -> impl Strategy<Value = Message> {
    let head = (number(), any::<[u8; 32]>(), 0..=10_u8, 0..5_u8);
    (head, set(40), set(40), 0..1000_u64, option::of(number())).prop_map(
        |((want, blob, group, class), known, mut asked, leaf, size)| {
            asked.insert(leaf..leaf + 1);
            let known = known.difference(&asked);
            let known = ranges::first_runs(&known, 64);
            let group = GroupLog2::new(group).unwrap();
            let class = Class::from_code(class).unwrap();
            let blob = BlobId::from_bytes(blob);
            Want { want, blob, group, class, ranges: asked, known, size }.into()
        },
    )
}

fn hello_message() -> impl Strategy<Value = Message> {
    let limits = (FRAME_BODY_MIN..=FRAME_BODY_MAX, number(), number(), number());
    (number(), number(), "[a-zé/ ]{0,32}", limits).prop_map(
        |(one, other, agent, (frame_body_max, wants_max, credit, features))| {
            let (version_min, version_max) = (one.min(other), one.max(other));
            Hello { version_min, version_max, agent, frame_body_max, wants_max, credit, features }
                .into()
        },
    )
}

fn data_message() -> impl Strategy<Value = Message> {
    let proof = (0..4_usize).prop_flat_map(|pairs| bytes(64 * pairs));
    (number(), 0..1_u64 << 53, proof, bytes(1..3000))
        .prop_map(|(want, first, proof, data)| Data { want, first, proof, data }.into())
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        hello_message(),
        want_message(),
        data_message(),
        number().prop_map(|total| Credit { total }.into()),
        number().prop_map(|token| Ping { token }.into()),
        number().prop_map(|token| Pong { token }.into()),
        number().prop_map(|want| Cancel { want }.into()),
        (number(), "\\PC{0,60}").prop_map(|(code, reason)| {
            Close { code: CloseCode::from_code(code), reason }.into()
        }),
        bytes(1..=256).prop_map(|right| Present { right }.into()),
        (number(), number(), set(80)).prop_map(|(want, size, held)| {
            let held = held.within(&(0..samara_base::leaves(size)));
            Have { want, size, held }.into()
        }),
        (number(), number(), set(80), option::of(number())).prop_map(
            |(want, code, missing, retry_ms)| {
                End { want, code: EndCode::from_code(code), missing, retry_ms }.into()
            }
        ),
    ]
}

/// The pseudo-code of RFC 9000, appendix A.1, as it stands there.
fn read_varint(data: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut v = u64::from(data.next()?);
    let prefix = v >> 6;
    let length = 1 << prefix;
    v &= 0x3f;
    for _ in 0..length - 1 {
        v = (v << 8) + u64::from(data.next()?);
    }
    Some(v)
}

proptest! {
    #[test]
    fn messages_round_trip_through_frames_in_any_pieces(
        messages in vec(message(), 1..6),
        crc: bool,
        step in 1..400_usize,
    ) {
        let mut stream = Vec::new();
        for message in &messages {
            let frame = message.encode(crc).unwrap();
            prop_assert_eq!(frame.len(), frame.to_bytes().len());
            stream.extend_from_slice(&frame.to_bytes());
        }
        let mut decoder = FrameDecoder::new(FRAME_BODY_MAX, crc);
        let (mut buffer, mut received) = (BytesMut::new(), Vec::new());
        for piece in stream.chunks(step) {
            buffer.extend_from_slice(piece);
            while let Some(raw) = decoder.decode(&mut buffer).unwrap() {
                received.push(Message::decode(raw.kind, raw.body).unwrap().unwrap());
            }
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(received, messages);
    }

    #[test]
    fn a_changed_byte_gives_another_message_or_none(
        message in message(),
        at: prop::sample::Index,
        change in 1..=255_u8,
    ) {
        let mut bytes = body(message.clone()).to_vec();
        prop_assume!(!bytes.is_empty());
        *at.get_mut(&mut bytes) ^= change;
        // A change may turn bytes into a TLV that is skipped, never into a second encoding.
        if let Ok(Some(other)) = decode(message.kind(), &bytes) {
            let again = body(other.clone());
            if again.len() == bytes.len() {
                prop_assert_eq!(&again[..], &bytes[..]);
                prop_assert_ne!(other, message);
            }
        }
    }

    #[test]
    fn a_body_that_is_cut_short_is_another_message_or_none(
        message in message(),
        at: prop::sample::Index,
    ) {
        let bytes = body(message.clone());
        prop_assume!(!bytes.is_empty());
        let cut = &bytes[..at.index(bytes.len())];
        if let Ok(Some(other)) = decode(message.kind(), cut) {
            prop_assert_ne!(other, message);
        }
    }

    #[test]
    fn every_encoding_of_a_range_set_is_the_shortest_list_of_its_runs(
        leaves in prop::collection::btree_set(0..200_u64, 0..60),
    ) {
        let set: RangeSet = leaves.iter().map(|&leaf| leaf..leaf + 1).collect();
        let mut out = Vec::new();
        ranges::encode(&set, 1024, &mut out).unwrap();

        let mut numbers = out.iter().copied();
        let count = read_varint(&mut numbers).unwrap();
        let (mut found, mut at) = (BTreeSet::new(), 0);
        for run in 0..count {
            at += read_varint(&mut numbers).unwrap() + u64::from(run > 0);
            let len = read_varint(&mut numbers).unwrap() + 1;
            found.extend(at..at + len);
            at += len;
        }
        prop_assert_eq!(found, leaves);
        prop_assert_eq!(numbers.next(), None);
    }

    #[test]
    fn varints_are_those_of_rfc_9000(value in number(), tail in vec(any::<u8>(), 0..9)) {
        let mut out = Vec::new();
        varint::encode(value, &mut out).unwrap();
        prop_assert_eq!(read_varint(&mut out.iter().copied()), Some(value));
        if let Ok((value, rest)) = varint::decode(&tail) {
            prop_assert_eq!(read_varint(&mut tail.iter().copied()), Some(value));
            prop_assert_eq!(Some(tail.len() - rest.len()), varint::len(value));
        }
    }
}
