use bytes::Bytes;
use nom::{Parser, sequence::terminated};

use super::{Codec, no_tlvs};
use crate::{
    DecodeError, EncodeError, Field,
    encoded::Writer,
    parse::{varint, whole},
    registry::kind,
};

/// `PING`: asks for a sign of life. Spec: RFC 0003.
///
/// ```text
/// +---------+------+
/// | token v | TLVs |   v = varint
/// +---------+------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "callers build it")]
pub struct Ping {
    /// Chosen by the sender; PONG repeats it.
    pub token: u64,
}

impl Ping {
    /// The kind of the frame.
    pub const KIND: u64 = kind::PING;
}

impl Codec for Ping {
    fn decode(body: &Bytes) -> Result<Self, DecodeError> {
        whole(body, terminated(varint(Field::Token), no_tlvs).map(|token| Self { token }))
    }

    fn put(&self, out: &mut Writer) -> Result<(), EncodeError> {
        out.varint(Field::Token, self.token)
    }
}
