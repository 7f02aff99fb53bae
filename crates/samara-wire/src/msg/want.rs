use bytes::{BufMut, Bytes};
use nom::Parser;
use samara_base::{BlobId, Class, GroupLog2, RangeSet};

use super::{Codec, tlvs};
use crate::{
    DecodeError, DecodeReason, EncodeError, Field,
    encoded::Writer,
    limits::{KNOWN_RUNS_MAX, RUNS_MAX},
    parse::{Fault, Parsed, array, byte, finish, varint, whole},
    ranges::{self, ranges},
    registry::{kind, want as tlv_types},
};

/// `WANT`: asks a source for ranges of a blob. Spec: RFC 0003; what follows from it: RFC 0007.
///
/// ```text
/// +--------+------------+-----------+-----------+----------+---------+-----------------+
/// | want v | blob, 32 B | group, 1B | class, 1B | ranges r | known r | TLVs: 0x01 size |
/// +--------+------------+-----------+-----------+----------+---------+-----------------+
///                                                       v = varint, r = range set
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "callers build it")]
pub struct Want {
    /// Number of the want, chosen by the getter.
    pub want: u64,
    /// The blob.
    pub blob: BlobId,
    /// The unit of proof that the getter can afford.
    pub group: GroupLog2,
    /// How urgent it is.
    pub class: Class,
    /// What is asked for; not empty. At most [`RUNS_MAX`](crate::RUNS_MAX) runs. Unit: leaves.
    pub ranges: RangeSet,
    /// Leaves whose proofs the getter holds already, disjoint from `ranges`. At most
    /// [`KNOWN_RUNS_MAX`](crate::KNOWN_RUNS_MAX) runs. Unit: leaves.
    pub known: RangeSet,
    /// The size that the getter believes the blob to have. Unit: bytes.
    pub size: Option<u64>,
}

impl Want {
    /// The kind of the frame.
    pub const KIND: u64 = kind::WANT;
}

fn group(input: &[u8]) -> Parsed<'_, GroupLog2> {
    let (rest, log2) = byte(Field::Group).parse(input)?;
    //= rfcs/0003-encoding.md#enc-29
    //# A decoder MUST reject a WANT whose group is above 10 or whose class it does not know.
    match GroupLog2::new(log2) {
        Some(group) => Ok((rest, group)),
        None => {
            let (found, max) = (u64::from(log2), u64::from(GroupLog2::MAX.get()));
            Fault::at(input, Field::Group, DecodeReason::TooLarge { found, max })
        }
    }
}

fn class(input: &[u8]) -> Parsed<'_, Class> {
    let (rest, code) = byte(Field::Class).parse(input)?;
    match Class::from_code(code) {
        Some(class) => Ok((rest, class)),
        None => Fault::at(input, Field::Class, DecodeReason::UnknownCode { code }),
    }
}

fn overlaps(ranges: &RangeSet, known: &RangeSet) -> bool {
    known.runs().iter().any(|run| ranges.intersects(run))
}

fn parse(input: &[u8]) -> Parsed<'_, Want> {
    let (rest, (want, blob, group, class)) =
        (varint(Field::Want), array(Field::Blob), group, class).parse(input)?;
    //= rfcs/0003-encoding.md#enc-30
    //# A decoder MUST reject a WANT whose ranges are empty, or whose known set has more than 64
    //# runs or overlaps its ranges.
    let (known_at, asked) = ranges(Field::Ranges, RUNS_MAX).parse(rest)?;
    if asked.is_empty() {
        return Fault::at(rest, Field::Ranges, DecodeReason::Empty);
    }
    let (rest, known) = ranges(Field::Known, KNOWN_RUNS_MAX).parse(known_at)?;
    if overlaps(&asked, &known) {
        return Fault::at(known_at, Field::Known, DecodeReason::Overlap);
    }
    let mut size = None;
    let (rest, ()) = tlvs(rest, |tlv_type, value| match tlv_type {
        tlv_types::SIZE => {
            size = Some(finish(value, varint(Field::Size).parse(value))?);
            Ok(true)
        }
        _ => Ok(false),
    })?;
    let blob = BlobId::from_bytes(*blob);
    Ok((rest, Want { want, blob, group, class, ranges: asked, known, size }))
}

impl Codec for Want {
    fn decode(body: &Bytes) -> Result<Self, DecodeError> {
        whole(body, parse)
    }

    fn hint(&self) -> usize {
        let sets = ranges::len_max(&self.ranges) + ranges::len_max(&self.known);
        64 + sets.min(1024)
    }

    fn put(&self, out: &mut Writer) -> Result<(), EncodeError> {
        if self.ranges.is_empty() {
            return Err(EncodeError::Empty { field: Field::Ranges });
        }
        if overlaps(&self.ranges, &self.known) {
            return Err(EncodeError::Overlap { field: Field::Known });
        }
        out.varint(Field::Want, self.want)?;
        out.out().put_slice(self.blob.as_bytes());
        out.out().put_u8(self.group.get());
        out.out().put_u8(self.class.code());
        ranges::put(&self.ranges, Field::Ranges, RUNS_MAX, out.out())?;
        ranges::put(&self.known, Field::Known, KNOWN_RUNS_MAX, out.out())?;
        match self.size {
            Some(size) => out.tlv_varint(tlv_types::SIZE, Field::Size, size),
            None => Ok(()),
        }
    }
}
