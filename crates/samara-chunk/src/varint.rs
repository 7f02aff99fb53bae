//! The varint of RFC 0003: two length bits, big endian, minimal. Kept here in a few lines so that
//! manifests can be read by a program that has no use for frames and messages.

use alloc::vec::Vec;

pub(crate) use crate::limits::VARINT_MAX as MAX;

/// Appends `value`, which is at most [`MAX`].
pub(crate) fn put(out: &mut Vec<u8>, value: u64) {
    debug_assert!(value <= MAX, "varint out of range");
    let bytes = value.to_be_bytes();
    let [.., b4, b5, b6, b7] = bytes;
    match value {
        0..=0x3f => out.push(b7),
        0x40..=0x3fff => out.extend_from_slice(&[0x40 | b6, b7]),
        0x4000..=0x3fff_ffff => out.extend_from_slice(&[0x80 | b4, b5, b6, b7]),
        _ => {
            out.push(0xc0 | bytes[0]);
            out.extend_from_slice(&bytes[1..]);
        }
    }
}

/// Bytes that `value` takes.
pub(crate) const fn len(value: u64) -> usize {
    match value {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => 8,
    }
}

/// Why no varint could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Truncated,
    NotMinimal,
}

/// Reads a varint from the front of `input`; returns it with the rest.
pub(crate) fn take(input: &[u8]) -> Result<(u64, &[u8]), Fault> {
    let (first, rest) = input.split_first().ok_or(Fault::Truncated)?;
    let more = (1_usize << (first >> 6)) - 1;
    let (tail, rest) = rest.split_at_checked(more).ok_or(Fault::Truncated)?;
    let value =
        tail.iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte));
    if len(value) == more + 1 { Ok((value, rest)) } else { Err(Fault::NotMinimal) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_class_round_trips_at_both_edges() {
        for (value, size) in [
            (0, 1),
            (0x3f, 1),
            (0x40, 2),
            (0x3fff, 2),
            (0x4000, 4),
            (0x3fff_ffff, 4),
            (0x4000_0000, 8),
            (MAX, 8),
        ] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            assert_eq!(bytes.len(), size);
            assert_eq!(len(value), size);
            assert_eq!(take(&bytes), Ok((value, &[][..])));
            assert_eq!(take(&bytes[..size - 1]), Err(Fault::Truncated));
        }
    }

    #[test]
    fn the_examples_of_quic_decode() {
        // RFC 9000, appendix A.1.
        let bytes = [0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c];
        assert_eq!(take(&bytes), Ok((151_288_809_941_952_652, &[][..])));
        assert_eq!(take(&[0x9d, 0x7f, 0x3e, 0x7d, 7]), Ok((494_878_333, &[7][..])));
        assert_eq!(take(&[0x7b, 0xbd]), Ok((15_293, &[][..])));
        assert_eq!(take(&[0x40, 0x25]), Err(Fault::NotMinimal));
    }
}
