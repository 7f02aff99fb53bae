use bytes::Bytes;
use nom::{Parser, sequence::terminated};

use super::{Codec, no_tlvs};
use crate::{
    DecodeError, EncodeError, Field,
    encoded::Writer,
    parse::{varint, whole},
    registry::kind,
};

/// `CANCEL`: ends a want, from the getter. Spec: RFC 0003.
///
/// ```text
/// +---------+------+
/// | want v  | TLVs |   v = varint
/// +---------+------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "callers build it")]
pub struct Cancel {
    /// The want that the getter no longer needs.
    pub want: u64,
}

impl Cancel {
    /// The kind of the frame.
    pub const KIND: u64 = kind::CANCEL;
}

impl Codec for Cancel {
    fn decode(body: &Bytes) -> Result<Self, DecodeError> {
        whole(body, terminated(varint(Field::Want), no_tlvs).map(|want| Self { want }))
    }

    fn put(&self, out: &mut Writer) -> Result<(), EncodeError> {
        out.varint(Field::Want, self.want)
    }
}
