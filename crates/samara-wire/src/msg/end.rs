use bytes::Bytes;
use nom::Parser;
use samara_base::RangeSet;

use super::{Codec, tlvs};
use crate::{
    DecodeError, EncodeError, Field,
    code::codes,
    encoded::Writer,
    limits::RUNS_MAX,
    parse::{Parsed, finish, varint, whole},
    ranges::{self, ranges},
    registry::{end as tlv_types, end_code, kind},
};

codes! {
    /// How a source ends a want. Meanings: RFC 0007.
    pub enum EndCode {
        /// All that was asked for has been sent, but what is missing: the source does not hold that.
        Done = end_code::DONE, "done";
        /// The source does not serve this blob, or not these ranges: ask another one. It does not
        /// say whether it holds the blob.
        Unavailable = end_code::UNAVAILABLE, "unavailable";
        /// The source serves as much as it can: ask again later.
        Busy = end_code::BUSY, "busy";
        /// The want is larger than the source serves at once: ask for less.
        TooLarge = end_code::TOO_LARGE, "too large";
        /// The source found its own copy of the missing ranges, or of a part of them, damaged: ask
        /// another one.
        Damaged = end_code::DAMAGED, "damaged";
        /// The getter cancelled, and the source has stopped.
        Cancelled = end_code::CANCELLED, "cancelled";
        /// The source failed in a way that is its own fault: ask another one.
        Internal = end_code::INTERNAL, "internal error";
    }
}

/// `END`: ends a want, from the source. Spec: RFC 0003; what follows from it: RFC 0007.
///
/// ```text
/// +--------+--------+-----------+---------------------+
/// | want v | code v | missing r | TLVs: 0x01 retry_ms |   v = varint, r = range set
/// +--------+--------+-----------+---------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "callers build it")]
pub struct End {
    /// Number of the want.
    pub want: u64,
    /// How it ended.
    pub code: EndCode,
    /// What was asked for and not sent. At most [`RUNS_MAX`](crate::RUNS_MAX) runs. Unit: leaves.
    pub missing: RangeSet,
    /// When it makes sense to ask again. Unit: milliseconds from now.
    pub retry_ms: Option<u64>,
}

impl End {
    /// The kind of the frame.
    pub const KIND: u64 = kind::END;
}

fn parse(input: &[u8]) -> Parsed<'_, End> {
    let (rest, (want, code, missing)) =
        (varint(Field::Want), varint(Field::Code), ranges(Field::Missing, RUNS_MAX))
            .parse(input)?;
    let mut retry_ms = None;
    let (rest, ()) = tlvs(rest, |tlv_type, value| match tlv_type {
        tlv_types::RETRY_MS => {
            retry_ms = Some(finish(value, varint(Field::RetryMs).parse(value))?);
            Ok(true)
        }
        _ => Ok(false),
    })?;
    Ok((rest, End { want, code: EndCode::from_code(code), missing, retry_ms }))
}

impl Codec for End {
    fn decode(body: &Bytes) -> Result<Self, DecodeError> {
        whole(body, parse)
    }

    fn hint(&self) -> usize {
        32 + ranges::len_max(&self.missing).min(1024)
    }

    fn put(&self, out: &mut Writer) -> Result<(), EncodeError> {
        out.varint(Field::Want, self.want)?;
        out.varint(Field::Code, self.code.code())?;
        ranges::put(&self.missing, Field::Missing, RUNS_MAX, out.out())?;
        match self.retry_ms {
            Some(retry_ms) => out.tlv_varint(tlv_types::RETRY_MS, Field::RetryMs, retry_ms),
            None => Ok(()),
        }
    }
}
