//! The glue to nom: the structure of a message is a nom parser over its body; the leaves that are
//! hot (varints, runs) are by hand.

use bytes::Bytes;
use nom::{IResult, Parser, bytes::complete::take, error::ErrorKind, error::ParseError};

use crate::{DecodeError, DecodeReason, Field, varint};

/// What a parser over a body returns: the rest and the value.
pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, Fault>;

/// A [`DecodeError`] whose place is still counted from the end of the input, since that is what a
/// parser knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Bytes from the offending field to the end of the input.
    pub(crate) left: usize,
    pub(crate) field: Field,
    pub(crate) reason: DecodeReason,
}

impl Fault {
    /// `Err` for a field that starts at `input`.
    #[inline]
    pub(crate) fn at<T>(
        input: &[u8],
        field: Field,
        reason: DecodeReason,
    ) -> Result<T, nom::Err<Self>> {
        Err(nom::Err::Error(Self { left: input.len(), field, reason }))
    }

    /// The error, given the length of the whole input. Unit: bytes.
    pub(crate) fn place(self, total: usize) -> DecodeError {
        let offset = u32::try_from(total.saturating_sub(self.left)).unwrap_or(u32::MAX);
        DecodeError { offset, field: self.field, reason: self.reason }
    }
}

impl ParseError<&[u8]> for Fault {
    //= rfcs/0003-encoding.md#enc-4
    //# A decoder MUST reject bytes that end before their last field does.
    // nom's own parsers fail here for this reason only.
    fn from_error_kind(input: &[u8], _kind: ErrorKind) -> Self {
        Self { left: input.len(), field: Field::Body, reason: DecodeReason::Truncated }
    }

    fn append(_input: &[u8], _kind: ErrorKind, other: Self) -> Self {
        other
    }
}

/// Runs a parser that has to use up all of `input`.
pub(crate) fn whole<'a, T>(
    input: &'a [u8],
    mut parser: impl Parser<&'a [u8], Output = T, Error = Fault>,
) -> Result<T, DecodeError> {
    match finish(input, parser.parse(input)) {
        Ok(value) => Ok(value),
        Err(fault) => Err(fault.place(input.len())),
    }
}

/// The value, if nothing is left after it. What can be left is in the value of a TLV: a body ends
/// in a field or a section that takes the rest.
pub(crate) fn finish<T>(input: &[u8], parsed: Parsed<'_, T>) -> Result<T, Fault> {
    match parsed {
        Ok(([], value)) => Ok(value),
        //= rfcs/0003-encoding.md#enc-13
        //# A decoder MUST reject a TLV whose value has bytes after its last field.
        Ok((rest, _)) => {
            let (field, reason) = (Field::TlvValue, DecodeReason::TrailingData);
            Err(Fault { left: rest.len(), field, reason })
        }
        Err(error) => Err(flat(error, input)),
    }
}

/// nom's three ways to fail as our one. Parsers over a body never ask for more.
pub(crate) fn flat(error: nom::Err<Fault>, input: &[u8]) -> Fault {
    match error {
        nom::Err::Error(fault) | nom::Err::Failure(fault) => fault,
        nom::Err::Incomplete(_) => Fault::from_error_kind(input, ErrorKind::Complete),
    }
}

/// A varint.
#[inline]
pub(crate) fn varint<'a>(
    field: Field,
) -> impl Parser<&'a [u8], Output = u64, Error = Fault> + Copy {
    move |input: &'a [u8]| match varint::split(input) {
        Ok((value, rest)) => Ok((rest, value)),
        Err(flaw) => Fault::at(input, field, flaw.reason()),
    }
}

/// A varint with a largest value.
#[inline]
pub(crate) fn varint_max<'a>(
    field: Field,
    max: u64,
) -> impl Parser<&'a [u8], Output = u64, Error = Fault> {
    move |input: &'a [u8]| {
        let (rest, found) = varint(field).parse(input)?;
        if found > max {
            return Fault::at(input, field, DecodeReason::TooLarge { found, max });
        }
        Ok((rest, found))
    }
}

/// One byte.
#[inline]
pub(crate) fn byte<'a>(field: Field) -> impl Parser<&'a [u8], Output = u8, Error = Fault> {
    move |input: &'a [u8]| match input.split_first() {
        Some((&byte, rest)) => Ok((rest, byte)),
        None => Fault::at(input, field, DecodeReason::Truncated),
    }
}

/// An array of bytes.
#[inline]
pub(crate) fn array<'a, const N: usize>(
    field: Field,
) -> impl Parser<&'a [u8], Output = &'a [u8; N], Error = Fault> {
    move |input: &'a [u8]| match input.split_first_chunk() {
        Some((array, rest)) => Ok((rest, array)),
        None => Fault::at(input, field, DecodeReason::Truncated),
    }
}

/// So many bytes.
#[inline]
pub(crate) fn bytes<'a>(
    field: Field,
    count: usize,
) -> impl Parser<&'a [u8], Output = &'a [u8], Error = Fault> {
    move |input: &'a [u8]| {
        take(count)
            .parse(input)
            .map_err(|error: nom::Err<Fault>| error.map(|fault| Fault { field, ..fault }))
    }
}

/// UTF-8 up to the end of the input, at most `max` bytes.
pub(crate) fn text_rest(input: &[u8], field: Field, max: usize) -> Parsed<'_, &str> {
    if input.len() > max {
        let (found, max) = (input.len() as u64, max as u64);
        return Fault::at(input, field, DecodeReason::TooLarge { found, max });
    }
    match core::str::from_utf8(input) {
        Ok(text) => Ok((&[], text)),
        Err(_) => Fault::at(input, field, DecodeReason::NotUtf8),
    }
}

/// A part of `body` as bytes that share its memory.
pub(crate) fn share(body: &Bytes, part: &[u8]) -> Bytes {
    body.slice_ref(part)
}
