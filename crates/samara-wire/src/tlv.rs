//! Type, length, value: the part of a message that later versions extend.
//!
//! ```text
//! +--------+----------+--------------+
//! | type v | length v | length bytes |   v = varint; types ascend to the end of the section
//! +--------+----------+--------------+
//! ```
//!
//! A type that the reader does not know refuses the message if it is even and is skipped if it is
//! odd.
//!
//! ```
//! use samara_wire::tlv;
//!
//! let mut section = Vec::new();
//! tlv::encode(0x02, b"two", &mut section)?;
//! tlv::encode(0x07, b"odd: may be skipped", &mut section)?;
//!
//! let mut two = None;
//! tlv::decode(&section, |tlv_type, value| match tlv_type {
//!     0x02 => {
//!         two = Some(value);
//!         true
//!     }
//!     _ => false,
//! })?;
//! assert_eq!(two, Some(&b"two"[..]));
//! assert!(tlv::decode(&section, |_, _| false).is_err(), "0x02 is even: it must be understood");
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use bytes::BufMut;
use nom::Parser;

pub use crate::limits::{TLV_VALUE_MAX, TLVS_MAX};
use crate::{
    DecodeError, DecodeReason, EncodeError, Field,
    parse::{Fault, Parsed, bytes, flat, varint, varint_max},
    varint,
};

/// Walks a section to its end. `known` gets each type with its value and says whether it knows the
/// type. Never allocates.
///
/// # Errors
///
/// [`DecodeError`] if the section is not canonical, breaks a limit, or has an even type that
/// `known` does not know.
pub fn decode<'a>(
    section: &'a [u8],
    mut known: impl FnMut(u64, &'a [u8]) -> bool,
) -> Result<(), DecodeError> {
    walk(section, |tlv_type, value| Ok(known(tlv_type, value)))
        .map_err(|fault| fault.place(section.len()))
}

/// Appends one TLV to a section. The caller keeps the types ascending.
///
/// # Errors
///
/// [`EncodeError::TooLarge`] for a type above [`varint::MAX`] or a value longer than
/// [`TLV_VALUE_MAX`]; nothing is written then.
///
/// # Panics
///
/// If `out` has a fixed capacity and is full, as every [`BufMut`] method does.
pub fn encode(tlv_type: u64, value: &[u8], out: &mut impl BufMut) -> Result<(), EncodeError> {
    put(tlv_type, value, Field::TlvValue, out)
}

pub(crate) fn put(
    tlv_type: u64,
    value: &[u8],
    field: Field,
    out: &mut impl BufMut,
) -> Result<(), EncodeError> {
    if value.len() > TLV_VALUE_MAX {
        let (found, max) = (value.len() as u64, TLV_VALUE_MAX as u64);
        return Err(EncodeError::TooLarge { field, found, max });
    }
    varint::encode(tlv_type, out)?;
    varint::encode(value.len() as u64, out)?;
    out.put_slice(value);
    Ok(())
}

/// As [`decode`], for values that can be wrong themselves: a fault of `known` counts from the end
/// of the value.
pub(crate) fn walk<'a>(
    mut section: &'a [u8],
    mut known: impl FnMut(u64, &'a [u8]) -> Result<bool, Fault>,
) -> Result<(), Fault> {
    let mut next_min = 0;
    let mut count = 0;
    while !section.is_empty() {
        let here = |field, reason| Fault { left: section.len(), field, reason };
        //= rfcs/0003-encoding.md#enc-11
        //# A decoder MUST reject a TLV section that has more than 32 TLVs.
        count += 1;
        if count > TLVS_MAX {
            let (found, max) = (count as u64, TLVS_MAX as u64);
            return Err(here(Field::TlvType, DecodeReason::TooLarge { found, max }));
        }
        let (rest, (tlv_type, value)) = one(section).map_err(|error| flat(error, section))?;
        //= rfcs/0003-encoding.md#enc-8
        //# A decoder MUST reject a TLV section whose types do not strictly ascend.
        if tlv_type < next_min {
            return Err(here(Field::TlvType, DecodeReason::NotAscending));
        }
        next_min = tlv_type + 1;
        let is_known = known(tlv_type, value)
            .map_err(|fault| Fault { left: fault.left + rest.len(), ..fault })?;
        //= rfcs/0003-encoding.md#enc-9
        //# A decoder MUST refuse a message that has a TLV of an unknown even type.
        if !is_known && tlv_type.is_multiple_of(2) {
            return Err(here(Field::TlvType, DecodeReason::CriticalTlv { tlv_type }));
        }
        //= rfcs/0003-encoding.md#enc-10
        //# A decoder MUST skip a TLV of an unknown odd type.
        section = rest;
    }
    Ok(())
}

/// One TLV: its type and its value.
fn one(input: &[u8]) -> Parsed<'_, (u64, &[u8])> {
    //= rfcs/0003-encoding.md#enc-12
    //# A decoder MUST reject a TLV whose value is longer than 16,383 bytes.
    let length = varint_max(Field::TlvLength, TLV_VALUE_MAX as u64);
    let value = length
        .flat_map(|length| bytes(Field::TlvValue, usize::try_from(length).unwrap_or(usize::MAX)));
    (varint(Field::TlvType), value).parse(input)
}
