use bytes::Bytes;
use nom::Parser;
use samara_base::{RangeSet, leaves};

use super::{Codec, no_tlvs};
use crate::{
    DecodeError, DecodeReason, EncodeError, Field,
    encoded::Writer,
    limits::RUNS_MAX,
    parse::{Fault, Parsed, varint, whole},
    ranges::{self, ranges},
    registry::kind,
};

/// `HAVE`: what the source holds of a wanted blob. Spec: RFC 0003; what follows from it: RFC 0007.
///
/// ```text
/// +--------+--------+--------+------+
/// | want v | size v | held r | TLVs |   v = varint, r = range set
/// +--------+--------+--------+------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "callers build it")]
pub struct Have {
    /// Number of the want.
    pub want: u64,
    /// Size of the blob: a claim until the last group is verified. Unit: bytes.
    pub size: u64,
    /// What the source can prove that it holds. At most [`RUNS_MAX`](crate::RUNS_MAX) runs: a
    /// source with more says the [first](crate::ranges::first_runs). None is behind the end of the
    /// blob. Unit: leaves.
    pub held: RangeSet,
}

impl Have {
    /// The kind of the frame.
    pub const KIND: u64 = kind::HAVE;
}

fn parse(input: &[u8]) -> Parsed<'_, Have> {
    let (held_at, (want, size)) = (varint(Field::Want), varint(Field::Size)).parse(input)?;
    let (rest, held) = ranges(Field::Held, RUNS_MAX).parse(held_at)?;
    //= rfcs/0003-encoding.md#enc-34
    //# A decoder MUST reject a HAVE whose held set has a leaf behind the last one of a blob of its
    //# size.
    let (found, max) = (held.end(), leaves(size));
    if found > max {
        return Fault::at(held_at, Field::Held, DecodeReason::TooLarge { found, max });
    }
    let (rest, ()) = no_tlvs(rest)?;
    Ok((rest, Have { want, size, held }))
}

impl Codec for Have {
    fn decode(body: &Bytes) -> Result<Self, DecodeError> {
        whole(body, parse)
    }

    fn hint(&self) -> usize {
        16 + ranges::len_max(&self.held).min(1024)
    }

    fn put(&self, out: &mut Writer) -> Result<(), EncodeError> {
        out.varint(Field::Want, self.want)?;
        out.varint(Field::Size, self.size)?;
        let (found, max) = (self.held.end(), leaves(self.size));
        if found > max {
            return Err(EncodeError::TooLarge { field: Field::Held, found, max });
        }
        ranges::put(&self.held, Field::Held, RUNS_MAX, out.out())
    }
}
