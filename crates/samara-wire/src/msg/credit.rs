use bytes::Bytes;
use nom::{Parser, sequence::terminated};

use super::{Codec, no_tlvs};
use crate::{
    DecodeError, EncodeError, Field,
    encoded::Writer,
    parse::{varint, whole},
    registry::kind,
};

/// `CREDIT`: raises what the peer may send. Spec: RFC 0003.
///
/// ```text
/// +---------+------+
/// | total v | TLVs |   v = varint
/// +---------+------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "callers build it")]
pub struct Credit {
    /// Bulk bytes (proof and data of DATA) that the peer may send on this session, counted from its
    /// start. Never shrinks. Unit: bytes.
    pub total: u64,
}

impl Credit {
    /// The kind of the frame.
    pub const KIND: u64 = kind::CREDIT;
}

impl Codec for Credit {
    fn decode(body: &Bytes) -> Result<Self, DecodeError> {
        whole(body, terminated(varint(Field::Total), no_tlvs).map(|total| Self { total }))
    }

    fn put(&self, out: &mut Writer) -> Result<(), EncodeError> {
        out.varint(Field::Total, self.total)
    }
}
