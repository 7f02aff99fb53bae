//! Canonical varints: QUIC's form (RFC 9000, section 16), shortest form only.
//!
//! ```
//! use samara_wire::varint;
//!
//! let mut out = Vec::new();
//! varint::encode(15_293, &mut out)?;
//! assert_eq!(out, [0x7b, 0xbd]);
//! assert_eq!(varint::decode(&[0x7b, 0xbd, 0xff])?, (15_293, &[0xff][..]));
//! assert!(varint::decode(&[0x40, 0x25]).is_err(), "37 has a shorter form");
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use bytes::BufMut;

use crate::{DecodeError, DecodeReason, EncodeError, Field};

/// Largest value of a varint.
pub const MAX: u64 = (1 << 62) - 1;

/// Length of the longest varint. Unit: bytes.
pub const LEN_MAX: usize = 8;

/// Largest values of the forms with 1, 2 and 4 bytes.
const MAX_1: u64 = (1 << 6) - 1;
const MAX_2: u64 = (1 << 14) - 1;
const MAX_4: u64 = (1 << 30) - 1;

/// Length of the varint for `value`, or `None` above [`MAX`]. Unit: bytes.
#[must_use]
#[inline]
pub const fn len(value: u64) -> Option<usize> {
    if value <= MAX_1 {
        Some(1)
    } else if value <= MAX_2 {
        Some(2)
    } else if value <= MAX_4 {
        Some(4)
    } else if value <= MAX {
        Some(8)
    } else {
        None
    }
}

/// Takes the varint at the start of `input`; returns it and the rest.
///
/// # Errors
///
/// [`DecodeError`] if `input` ends inside the varint, or a shorter form exists.
#[inline]
pub fn decode(input: &[u8]) -> Result<(u64, &[u8]), DecodeError> {
    split(input).map_err(|flaw| DecodeError {
        offset: 0,
        field: Field::Varint,
        reason: flaw.reason(),
    })
}

/// Appends the varint for `value` to `out`.
///
/// # Errors
///
/// [`EncodeError::TooLarge`] above [`MAX`].
///
/// # Panics
///
/// If `out` has a fixed capacity and is full, as every [`BufMut`] method does.
#[inline]
pub fn encode(value: u64, out: &mut impl BufMut) -> Result<(), EncodeError> {
    let bytes = Bytes::new(value).ok_or(EncodeError::TooLarge {
        field: Field::Varint,
        found: value,
        max: MAX,
    })?;
    out.put_slice(bytes.as_slice());
    Ok(())
}

/// Why [`split`] found no varint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// At least this many more bytes are needed.
    Short(usize),
    /// The varint has a shorter form.
    NotMinimal,
}

impl Flaw {
    pub(crate) const fn reason(self) -> DecodeReason {
        match self {
            Self::Short(_) => DecodeReason::Truncated,
            Self::NotMinimal => DecodeReason::NotMinimal,
        }
    }
}

/// The decoder itself. By hand, since it is the innermost loop of every message: with combinators
/// it costs several times as much.
#[inline]
pub(crate) fn split(input: &[u8]) -> Result<(u64, &[u8]), Flaw> {
    let Some((&first, rest)) = input.split_first() else {
        return Err(Flaw::Short(1));
    };
    let (value, rest, too_small) = match first >> 6 {
        0 => return Ok((u64::from(first), rest)),
        1 => match input.split_first_chunk() {
            Some((form, rest)) => (u64::from(u16::from_be_bytes(*form) & 0x3fff), rest, MAX_1),
            None => return Err(Flaw::Short(2 - input.len())),
        },
        2 => match input.split_first_chunk() {
            Some((form, rest)) => (u64::from(u32::from_be_bytes(*form) & 0x3fff_ffff), rest, MAX_2),
            None => return Err(Flaw::Short(4 - input.len())),
        },
        _ => match input.split_first_chunk() {
            Some((form, rest)) => (u64::from_be_bytes(*form) & MAX, rest, MAX_4),
            None => return Err(Flaw::Short(8 - input.len())),
        },
    };
    //= rfcs/0003-encoding.md#enc-2
    //# A decoder MUST reject a varint that is not minimal.
    if value <= too_small {
        return Err(Flaw::NotMinimal);
    }
    Ok((value, rest))
}

/// The bytes of one varint, on the stack.
#[derive(Clone, Copy)]
pub(crate) struct Bytes {
    form: [u8; LEN_MAX],
    len: usize,
}

impl Bytes {
    /// `None` above [`MAX`].
    #[inline]
    pub(crate) const fn new(value: u64) -> Option<Self> {
        //= rfcs/0003-encoding.md#enc-1
        //# An encoder MUST write a varint in the shortest form that holds its value.
        let Some(len) = len(value) else {
            return None;
        };
        // The value moves to the top of the word, where the two length bits are free.
        let length_bits = (len.trailing_zeros() as u64) << 62;
        let word = length_bits | (value << (64 - 8 * len));
        Some(Self { form: word.to_be_bytes(), len })
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.form.get(..self.len).unwrap_or(&self.form)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{vec, vec::Vec};

    fn encoded(value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        encode(value, &mut out).unwrap();
        out
    }

    //= rfcs/0003-encoding.md#enc-1
    //= type=test
    //# An encoder MUST write a varint in the shortest form that holds its value.
    #[test]
    fn every_form_is_used_up_to_its_last_value() {
        for (value, bytes) in [
            (0, vec![0x00]),
            (MAX_1, vec![0x3f]),
            (MAX_1 + 1, vec![0x40, 0x40]),
            (MAX_2, vec![0x7f, 0xff]),
            (MAX_2 + 1, vec![0x80, 0x00, 0x40, 0x00]),
            (MAX_4, vec![0xbf, 0xff, 0xff, 0xff]),
            (MAX_4 + 1, vec![0xc0, 0, 0, 0, 0x40, 0, 0, 0]),
            (MAX, vec![0xff; 8]),
        ] {
            assert_eq!(encoded(value), bytes);
            assert_eq!(len(value), Some(bytes.len()));
            assert_eq!(split(&bytes), Ok((value, &[][..])));
        }
        assert_eq!(len(MAX + 1), None);
        assert_eq!(
            encode(MAX + 1, &mut Vec::new()),
            Err(EncodeError::TooLarge { field: Field::Varint, found: MAX + 1, max: MAX })
        );
    }

    /// The examples of RFC 9000, appendix A.1.
    #[test]
    fn quic_examples() {
        for (value, bytes) in [
            (151_288_809_941_952_652, &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..]),
            (494_878_333, &[0x9d, 0x7f, 0x3e, 0x7d]),
            (15_293, &[0x7b, 0xbd]),
            (37, &[0x25]),
        ] {
            assert_eq!(encoded(value), bytes);
            assert_eq!(split(bytes), Ok((value, &[][..])));
        }
    }

    //= rfcs/0003-encoding.md#enc-2
    //= type=test
    //# A decoder MUST reject a varint that is not minimal.
    #[test]
    fn longer_forms_of_small_values_are_refused() {
        for bytes in [
            &[0x40, 0x00][..],
            &[0x40, 0x3f],
            &[0x80, 0, 0x3f, 0xff],
            &[0xc0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(split(bytes), Err(Flaw::NotMinimal), "{bytes:02x?}");
        }
    }

    #[test]
    fn a_short_input_says_how_much_is_missing() {
        assert_eq!(split(&[]), Err(Flaw::Short(1)));
        assert_eq!(split(&[0x40]), Err(Flaw::Short(1)));
        assert_eq!(split(&[0x80, 0]), Err(Flaw::Short(2)));
        assert_eq!(split(&[0xc0, 0, 0]), Err(Flaw::Short(5)));
    }
}
