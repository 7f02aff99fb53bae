use bytes::{BufMut, Bytes};

use super::Codec;
use crate::{
    DecodeError, DecodeReason, EncodeError, Field, encoded::Writer, limits::RIGHT_MAX,
    registry::kind,
};

/// `PRESENT`: shows a right to the source. Opaque here; RFC 0010 says what it holds. Spec: RFC
/// 0003.
///
/// ```text
/// +---------------------+
/// | right, to the end   |   1 to 256 bytes
/// +---------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "callers build it")]
pub struct Present {
    /// The right. 1 to [`RIGHT_MAX`](crate::RIGHT_MAX) bytes; shares the frame's memory.
    pub right: Bytes,
}

impl Present {
    /// The kind of the frame.
    pub const KIND: u64 = kind::PRESENT;
}

impl Codec for Present {
    fn decode(body: &Bytes) -> Result<Self, DecodeError> {
        //= rfcs/0003-encoding.md#enc-28
        //# A decoder MUST reject a PRESENT whose right is empty or longer than 256 bytes.
        let (found, max) = (body.len() as u64, RIGHT_MAX as u64);
        let reason = if body.is_empty() {
            DecodeReason::Empty
        } else if found > max {
            DecodeReason::TooLarge { found, max }
        } else {
            return Ok(Self { right: body.clone() });
        };
        Err(DecodeError { offset: 0, field: Field::Right, reason })
    }

    fn hint(&self) -> usize {
        self.right.len()
    }

    fn put(&self, out: &mut Writer) -> Result<(), EncodeError> {
        let (found, max) = (self.right.len() as u64, RIGHT_MAX as u64);
        if found == 0 {
            return Err(EncodeError::Empty { field: Field::Right });
        }
        if found > max {
            return Err(EncodeError::TooLarge { field: Field::Right, found, max });
        }
        out.out().put_slice(&self.right);
        Ok(())
    }
}
