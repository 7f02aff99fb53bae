use super::{List, v};
use crate::{Codec, Params, ours::number};

const FRAME_BODY_MAX: u64 = 1_114_112;

fn params(crc: bool, body_max: u64) -> Params {
    Params::from_iter([("crc".to_owned(), crc.into()), ("body_max".to_owned(), number(body_max))])
}

pub(super) fn frame(kind: u64, body: &[u8]) -> Vec<u8> {
    [v(kind), v(body.len() as u64), body.to_vec()].concat()
}

fn with_crc(kind: u64, body: &[u8]) -> Vec<u8> {
    let mut frame = frame(kind, body);
    let sum = crc32(&frame);
    frame.extend_from_slice(&sum.to_le_bytes());
    frame
}

/// The CRC-32 of ISO-HDLC, bit by bit as the RFC gives it, so that it is not the code under test.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            // 0x04c11db7, reflected.
            sum = if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
        }
    }
    !sum
}

pub(super) fn list() -> List {
    let about = "A byte stream of whole frames; bodies are not looked at.";
    let mut list = List::new("frame", Codec::Frame, "rfcs/0003-encoding.md", about);
    let (plain, crc) = (params(false, FRAME_BODY_MAX), params(true, FRAME_BODY_MAX));
    let (small, small_crc) = (params(false, 128), params(true, 128));
    let ping = frame(0x04, &[7]);
    list.valid("no frame", &plain, &[], None);
    list.valid("a PING", &plain, &ping, None);
    list.valid("a body of no byte", &plain, &frame(0x15, &[]), None);
    list.valid("a kind of two bytes", &plain, &frame(0x4001, b"x"), None);
    list.valid("the highest kind", &plain, &frame((1 << 62) - 1, b"x"), None);
    list.valid("two frames", &plain, &[ping.clone(), frame(0x06, &[7])].concat(), None);
    list.valid("a body at the limit", &small, &frame(0x14, &[0x33; 128]), Some("ENC-15"));
    list.valid("the example of the RFC", &crc, &with_crc(0x04, &[7]), Some("ENC-17"));
    list.valid("a CRC-32 over an empty body", &crc, &with_crc(0x15, &[]), Some("ENC-17"));
    list.valid(
        "two frames, each with a CRC-32",
        &crc,
        &[with_crc(0x04, &[7]), with_crc(0x06, &[7])].concat(),
        Some("ENC-17"),
    );
    list.valid("a body at the limit, with a CRC-32", &small_crc, &with_crc(0x14, &[0; 128]), None);
    let body: Vec<u8> = (0..=250).cycle().take(2_000).collect();
    list.valid("2,000 bytes", &plain, &frame(0x14, &body), None);
    list.valid("2,000 bytes with a CRC-32", &crc, &with_crc(0x14, &body), Some("ENC-17"));

    list.invalid("ENC-15", "a body above the limit", &small, &frame(0x14, &[0; 129]));
    list.invalid(
        "ENC-15",
        "a body above the limit, with a CRC-32",
        &small_crc,
        &with_crc(0x14, &[0; 129]),
    );
    list.invalid(
        "ENC-15",
        "a claim above the limit of all, with no byte behind it",
        &plain,
        &[v(0x14), v(FRAME_BODY_MAX + 1)].concat(),
    );
    list.invalid("ENC-15", "a claim of 2^62 - 1", &plain, &[v(0x14), v((1 << 62) - 1)].concat());
    list.invalid(
        "ENC-19",
        "a sound frame behind a broken one",
        &small,
        &[frame(0x14, &[0; 129]), ping.clone()].concat(),
    );
    list.invalid("ENC-2", "a kind that is not minimal", &plain, &[0x40, 0x04, 1, 7]);
    list.invalid("ENC-2", "a length that is not minimal", &plain, &[4, 0x40, 0x01, 7]);
    list.invalid(
        "ENC-2",
        "a length of eight bytes for 1",
        &plain,
        &[4, 0xc0, 0, 0, 0, 0, 0, 0, 1, 7],
    );
    let sound = with_crc(0x04, &[7]);
    for bit in 0..8 * sound.len() {
        let mut bytes = sound.clone();
        if let Some(byte) = bytes.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        // With some bits of the header flipped, the frame claims to be longer than it is.
        let req = if matches!(bit, 6 | 7 | 9..16) { "ENC-4" } else { "ENC-18" };
        list.invalid(req, &format!("bit {bit} of a PING with a CRC-32 is flipped"), &crc, &bytes);
    }
    list.invalid("ENC-18", "a CRC-32 in the other byte order", &crc, &swapped(&sound));
    list.invalid("ENC-4", "no CRC-32 where there has to be one", &crc, &ping);
    list.invalid("ENC-4", "a CRC-32 where there is none", &plain, &sound);
    list.cut("ENC-4", "a PING", &plain, &ping);
    list.cut("ENC-4", "a PING with a CRC-32", &crc, &sound);
    list.cut("ENC-4", "a frame with a long kind and length", &plain, &frame(0x4001, &[9; 70]));
    list
}

/// A frame whose last four bytes are reversed.
fn swapped(frame: &[u8]) -> Vec<u8> {
    let (body, sum) = frame.split_at(frame.len() - 4);
    body.iter().chain(sum.iter().rev()).copied().collect()
}
