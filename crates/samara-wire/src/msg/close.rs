use alloc::string::String;

use bytes::{BufMut, Bytes};
use nom::Parser;

use super::Codec;
use crate::{
    DecodeError, EncodeError, Field,
    code::codes,
    encoded::Writer,
    limits::REASON_MAX,
    parse::{text_rest, varint, whole},
    registry::{close_code, kind},
};

codes! {
    /// Why a session ends. Meanings: RFC 0005.
    pub enum CloseCode {
        /// Nothing is wrong: the sender has no more use for the session. Open one when needed.
        Done = close_code::DONE, "done";
        /// The two sides share no version. Update one of them.
        Version = close_code::VERSION, "no common version";
        /// The peer broke the encoding, a limit or the order of messages. Do not try again.
        Protocol = close_code::PROTOCOL, "the protocol was broken";
        /// What had to come did not come in time. Try again.
        TimedOut = close_code::TIMED_OUT, "timed out";
        /// The node is going away. Try again later.
        Shutdown = close_code::SHUTDOWN, "shutting down";
        /// The sender failed in a way that is its own fault. Try again later.
        Internal = close_code::INTERNAL, "internal error";
    }
}

/// `CLOSE`: ends a session; nothing follows it. Spec: RFC 0003.
///
/// ```text
/// +---------+---------------------+
/// | code v  | reason, to the end  |   v = varint; reason: UTF-8, at most 256 bytes
/// +---------+---------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "callers build it")]
pub struct Close {
    /// Why.
    pub code: CloseCode,
    /// For a human reading a log. At most [`REASON_MAX`](crate::REASON_MAX) bytes.
    pub reason: String,
}

impl Close {
    /// The kind of the frame.
    pub const KIND: u64 = kind::CLOSE;

    /// A CLOSE whose reason is cut to the limit, so that it always encodes.
    #[must_use]
    pub fn new(code: CloseCode, reason: &str) -> Self {
        let end = reason.floor_char_boundary(REASON_MAX);
        Self { code, reason: reason.get(..end).unwrap_or_default().into() }
    }
}

impl Codec for Close {
    fn decode(body: &Bytes) -> Result<Self, DecodeError> {
        //= rfcs/0003-encoding.md#enc-26
        //# A decoder MUST reject a CLOSE whose reason is longer than 256 bytes or not UTF-8.
        let reason = |input| text_rest(input, Field::Reason, REASON_MAX);
        whole(
            body,
            (varint(Field::Code), reason).map(|(code, reason)| Self {
                code: CloseCode::from_code(code),
                reason: String::from(reason),
            }),
        )
    }

    fn hint(&self) -> usize {
        8 + self.reason.len()
    }

    fn put(&self, out: &mut Writer) -> Result<(), EncodeError> {
        let (found, max) = (self.reason.len() as u64, REASON_MAX as u64);
        if found > max {
            return Err(EncodeError::TooLarge { field: Field::Reason, found, max });
        }
        out.varint(Field::Code, self.code.code())?;
        out.out().put_slice(self.reason.as_bytes());
        Ok(())
    }
}
