//! Properties that hold for every input. The fuzz targets and the tests call the same functions;
//! none of them fails on bad input, only on a bug.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use crate::{
    DecodeError, FRAME_BODY_MAX, FRAME_OVERHEAD_MAX, FrameDecoder, FrameError, LEAVES_END_MAX,
    Message, RUNS_MAX, RawFrame, TLV_VALUE_MAX, TLVS_MAX, ranges as range_sets, tlv as tlvs,
    varint as varints,
};

/// Input beyond this adds time, not states. Unit: bytes.
const INPUT_MAX: usize = 64 << 10;

fn expect_within(error: DecodeError, len: usize) {
    assert!(error.offset as usize <= len, "{error} is outside of the {len} bytes");
}

/// Every varint that decodes has these bytes and no others; every number round-trips.
pub fn varint(data: &[u8]) {
    match varints::decode(data) {
        Ok((value, rest)) => {
            let mut again = Vec::new();
            assert_eq!(varints::encode(value, &mut again), Ok(()));
            assert_eq!(data.strip_prefix(&again[..]), Some(rest));
            assert_eq!(varints::len(value), Some(again.len()));
        }
        Err(error) => expect_within(error, data.len()),
    }
    if let Some(bytes) = data.first_chunk() {
        let value = u64::from_be_bytes(*bytes);
        let mut out = Vec::new();
        match varints::encode(value, &mut out) {
            Ok(()) => assert_eq!(varints::decode(&out), Ok((value, &[][..]))),
            Err(_) => assert!(value > varints::MAX && out.is_empty()),
        }
    }
}

/// A section that decodes consists of exactly the TLVs that were reported, in ascending order.
pub fn tlv(data: &[u8]) {
    let mut seen = Vec::new();
    let all = tlvs::decode(data, |tlv_type, value| {
        seen.push((tlv_type, value));
        true
    });
    match all {
        Ok(()) => {
            assert!(seen.is_sorted_by(|a, b| a.0 < b.0) && seen.len() <= TLVS_MAX);
            let mut again = Vec::new();
            for (tlv_type, value) in &seen {
                assert!(value.len() <= TLV_VALUE_MAX);
                assert_eq!(tlvs::encode(*tlv_type, value, &mut again), Ok(()));
            }
            assert_eq!(again, data);
            let optional = seen.iter().all(|(tlv_type, _)| tlv_type % 2 == 1);
            assert_eq!(tlvs::decode(data, |_, _| false).is_ok(), optional);
        }
        Err(error) => {
            expect_within(error, data.len());
            assert!(tlvs::decode(data, |_, _| false).is_err());
        }
    }
}

/// A set that decodes has these bytes and no others, and keeps its limits.
pub fn ranges(data: &[u8]) {
    match range_sets::decode(data, RUNS_MAX) {
        Ok((set, rest)) => {
            assert!(set.runs().len() <= RUNS_MAX && set.end() <= LEAVES_END_MAX);
            let mut again = Vec::new();
            assert_eq!(range_sets::encode(&set, RUNS_MAX, &mut again), Ok(()));
            assert_eq!(data.strip_prefix(&again[..]), Some(rest));
            assert_eq!(range_sets::first_runs(&set, RUNS_MAX), set);
        }
        Err(error) => expect_within(error, data.len()),
    }
}

/// A body that decodes has one encoding (but for skipped TLVs), which survives a frame with and
/// without CRC-32. The first byte is the kind.
pub fn message(data: &[u8]) {
    let Some((&kind, body)) = data.split_first() else {
        return;
    };
    check_message(u64::from(kind), &Bytes::copy_from_slice(body));
}

fn check_message(kind: u64, body: &Bytes) {
    let message = match Message::decode(kind, body.clone()) {
        Ok(Some(message)) => message,
        Ok(None) => {
            assert!(!kind.is_multiple_of(2));
            return;
        }
        Err(error) => return expect_within(error, body.len()),
    };
    assert_eq!(message.kind(), kind);
    for crc in [false, true] {
        let Ok(frame) = message.encode(crc) else {
            // The one limit that belongs to the frame.
            assert!(body.len() > FRAME_BODY_MAX as usize);
            return;
        };
        let bytes = frame.to_bytes();
        let Ok((raw, rest)) = FrameDecoder::new(FRAME_BODY_MAX, crc).decode_one(bytes) else {
            panic!("{message:?} does not survive its own frame");
        };
        assert!(raw.kind == kind && rest.is_empty());
        assert!(raw.body.len() <= body.len());
        if raw.body.len() == body.len() {
            assert_eq!(raw.body, *body);
        }
        assert_eq!(Message::decode(kind, raw.body), Ok(Some(message.clone())));
    }
}

/// The frames of a stream depend on its bytes alone, not on the pieces they come in.
///
/// The first byte says whether there are CRC-32s and how to cut, the second sets the body limit.
/// The rest is used twice: as the bytes of a link, and as a recipe for frames that are valid.
pub fn frame_stream(data: &[u8]) {
    let Some(([setup, limit], bytes)) = data.split_first_chunk() else {
        return;
    };
    let bytes = bytes.get(..INPUT_MAX).unwrap_or(bytes);
    let crc = setup % 2 == 1;
    let step = 1 + usize::from(setup / 2);
    let body_max = u32::from(*limit) * 16;

    let (frames, error) = decode_pieces(bytes, step, body_max, crc);
    let (expected, expected_error) = decode_whole(bytes, body_max, crc);
    assert_eq!((&frames, error), (&expected, expected_error));
    for frame in frames {
        assert!(frame.body.len() <= body_max as usize);
        check_message(frame.kind, &frame.body);
    }

    valid_stream(bytes, step, crc);
}

/// Frames as a driver gets them, and the error that ended them.
fn decode_pieces(
    bytes: &[u8],
    step: usize,
    body_max: u32,
    crc: bool,
) -> (Vec<RawFrame>, Option<FrameError>) {
    let mut decoder = FrameDecoder::new(body_max, crc);
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(step) {
        buffer.extend_from_slice(piece);
        loop {
            let before = buffer.len();
            match decoder.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => {
                    assert_eq!(buffer.len(), before);
                    let frame_max = (body_max + FRAME_OVERHEAD_MAX) as usize;
                    assert!((1..=frame_max).contains(&decoder.need()));
                    assert!(before + decoder.need() <= frame_max);
                    break;
                }
                Err(error) => {
                    assert_eq!(decoder.decode(&mut buffer), Err(error), "errors stay");
                    return (frames, Some(error));
                }
            }
        }
    }
    (frames, None)
}

/// The same from all the bytes at once.
fn decode_whole(bytes: &[u8], body_max: u32, crc: bool) -> (Vec<RawFrame>, Option<FrameError>) {
    let decoder = FrameDecoder::new(body_max, crc);
    let (mut bytes, mut frames) = (Bytes::copy_from_slice(bytes), Vec::new());
    while !bytes.is_empty() {
        match decoder.decode_one(bytes) {
            Ok((frame, rest)) => {
                bytes = rest;
                frames.push(frame);
            }
            Err(FrameError::Truncated { .. }) => break,
            Err(error) => return (frames, Some(error)),
        }
    }
    (frames, None)
}

/// Frames made of `recipe` come out as they went in; damage to a body is found if there is a
/// CRC-32.
fn valid_stream(mut recipe: &[u8], step: usize, crc: bool) {
    let (mut sent, mut stream) = (Vec::new(), Vec::new());
    while let Some(([kind, len], rest)) = recipe.split_first_chunk() {
        let (body, rest) = rest.split_at_checked(usize::from(*len)).unwrap_or((rest, &[]));
        recipe = rest;
        let frame = RawFrame { kind: u64::from(*kind), body: Bytes::copy_from_slice(body) };
        let Ok(encoded) = frame.encode(crc) else {
            panic!("{frame:?} is within the limits");
        };
        assert_eq!(encoded.len(), encoded.to_bytes().len());
        stream.extend_from_slice(&encoded.to_bytes());
        sent.push(frame);
    }
    let (received, error) = decode_pieces(&stream, step, FRAME_BODY_MAX, crc);
    assert_eq!((&received, error), (&sent, None));

    if crc && let Some(last) = stream.last_mut() {
        *last ^= 0x10;
        let (received, error) = decode_pieces(&stream, step, FRAME_BODY_MAX, crc);
        assert_eq!(received.len() + 1, sent.len());
        assert!(matches!(error, Some(FrameError::Checksum { .. })));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    /// A few inputs that reach each property; the fuzz targets find the others.
    const SEEDS: &[&[u8]] = &[
        b"",
        &[0x00],
        &[0x40, 0x40],
        &[0x40, 0x00],
        &[0xff; 9],
        &[0x02, 0x00, 0x0f, 0x0f, 0x0f, 0xaa],
        &[0x01, 0x02, 0xaa, 0xbb, 0x07, 0x00],
        &[0x02, 0x01, 0xaa, 0x02, 0x00],
        &[0x04, 0x07],
        &[0x04, 0x07, 0x01, 0x00],
        &[0x14, 0x01, 0x00, 0x00, b'x'],
        &[0x16, 0x01, 0x3f, 0x01, 0x00, 0x00, 0x01, 0x01, 0x05],
        &[0x7f, 0x00],
        &[0x00, 0x10, 0x04, 0x01, 0x07, 0x7f, 0x02, 0x01, 0x02, 0x12, 0x03, 0x01],
        &[0x01, 0xff, 0x04, 0x01, 0x07, 0x2c, 0xd5, 0x37, 0x7f],
        &[0x00, 0x01, 0x04, 0x11],
    ];

    #[test]
    fn the_properties_hold_for_the_seeds() {
        for seed in SEEDS {
            varint(seed);
            tlv(seed);
            ranges(seed);
            message(seed);
            frame_stream(seed);
        }
    }

    /// Bytes that look like something more often than chance: small numbers, kinds, lengths.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        vec(prop_oneof![4 => 0..4_u8, 2 => 0..0x20_u8, 1 => any::<u8>()], 0..120)
    }

    proptest! {
        #[test]
        fn the_properties_hold_for_arbitrary_bytes(data in bytes()) {
            varint(&data);
            tlv(&data);
            ranges(&data);
            message(&data);
            frame_stream(&data);
        }

        #[test]
        fn the_properties_hold_for_bodies_that_are_nearly_right(
            kind in (0..0x1a_u8).prop_map(|kind| kind & !1),
            mut data in bytes(),
        ) {
            data.insert(0, kind);
            message(&data);
        }
    }
}
