use bytes::Bytes;
use nom::{Parser, sequence::terminated};
use samara_base::RangeSet;

use super::{Codec, no_tlvs};
use crate::{
    DecodeError, EncodeError, Field,
    encoded::Writer,
    limits::RUNS_MAX,
    parse::{varint, whole},
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
    /// source with more says the [first](crate::ranges::first_runs). Unit: leaves.
    pub held: RangeSet,
}

impl Have {
    /// The kind of the frame.
    pub const KIND: u64 = kind::HAVE;
}

impl Codec for Have {
    fn decode(body: &Bytes) -> Result<Self, DecodeError> {
        let fields = (varint(Field::Want), varint(Field::Size), ranges(Field::Held, RUNS_MAX));
        whole(body, terminated(fields, no_tlvs).map(|(want, size, held)| Self { want, size, held }))
    }

    fn hint(&self) -> usize {
        16 + ranges::len_max(&self.held).min(1024)
    }

    fn put(&self, out: &mut Writer) -> Result<(), EncodeError> {
        out.varint(Field::Want, self.want)?;
        out.varint(Field::Size, self.size)?;
        ranges::put(&self.held, Field::Held, RUNS_MAX, out.out())
    }
}
