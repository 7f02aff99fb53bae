//! The messages, one per file.
//!
//! A body is the fields in their order, then either a last field that reaches to the end of the
//! body (CLOSE, PRESENT, DATA) or a TLV section (all others).
//!
//! ```
//! use bytes::Bytes;
//! use samara_wire::{Message, Ping};
//!
//! let message = Message::decode(0x04, Bytes::from_static(&[0x07]))?;
//! assert_eq!(message, Some(Message::Ping(Ping { token: 7 })));
//!
//! let unknown = Message::decode(0x7f, Bytes::from_static(b"from the future"))?;
//! assert_eq!(unknown, None, "odd kinds that are not known are skipped");
//! # Ok::<(), samara_wire::DecodeError>(())
//! ```

use bytes::Bytes;

use crate::{
    DecodeError, DecodeReason, EncodeError, Encoded, Field,
    encoded::Writer,
    parse::{Fault, Parsed},
    tlv,
};

mod cancel;
mod close;
mod credit;
mod data;
mod end;
mod have;
mod hello;
mod ping;
mod pong;
mod present;
mod want;

pub use cancel::Cancel;
pub use close::{Close, CloseCode};
pub use credit::Credit;
pub use data::Data;
pub use end::{End, EndCode};
pub use have::Have;
pub use hello::Hello;
pub use ping::Ping;
pub use pong::Pong;
pub use present::Present;
pub use want::Want;

/// What each message's file supplies.
trait Codec: Sized {
    /// Reads a body. Parts of it may be shared.
    fn decode(body: &Bytes) -> Result<Self, DecodeError>;

    /// Bytes that [`put`](Self::put) writes at most, roughly. Unit: bytes.
    fn hint(&self) -> usize {
        32
    }

    /// Writes the body up to the payload.
    fn put(&self, out: &mut Writer) -> Result<(), EncodeError>;

    /// The end of the body that is shared instead of copied.
    fn payload(&self) -> Bytes {
        Bytes::new()
    }
}

/// The end of a body whose message has no TLV of its own yet.
fn no_tlvs(input: &[u8]) -> Parsed<'_, ()> {
    tlvs(input, |_, _| Ok(false))
}

/// The TLV section at the end of a body. `known` reads the types that the message has.
//= rfcs/0003-encoding.md#enc-14
//# A node MUST NOT copy a TLV that it has skipped into a message of its own.
// No message has a place to keep one.
fn tlvs<'a>(
    input: &'a [u8],
    known: impl FnMut(u64, &'a [u8]) -> Result<bool, Fault>,
) -> Parsed<'a, ()> {
    match tlv::walk(input, known) {
        Ok(()) => Ok((&[], ())),
        Err(fault) => Err(nom::Err::Error(fault)),
    }
}

macro_rules! messages {
    ($( $(#[$doc:meta])* $name:ident, )+) => {
        /// One message of the protocol.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Message {
            $( $(#[$doc])* $name($name), )+
        }

        impl Message {
            /// The kind that the message's frame carries.
            #[must_use]
            pub const fn kind(&self) -> u64 {
                match self {
                    $( Self::$name(_) => $name::KIND, )+
                }
            }

            /// Reads the body of a frame. `Ok(None)` means: a kind of a later version that may be
            /// skipped. Large parts (DATA's proof and data) share the body's memory.
            ///
            /// # Errors
            ///
            /// [`DecodeError`] if the body is not the one encoding of a message, or the kind is
            /// even and not known. Always the peer's fault.
            pub fn decode(kind: u64, body: Bytes) -> Result<Option<Self>, DecodeError> {
                match kind {
                    $( $name::KIND => <$name as Codec>::decode(&body).map(|m| Some(Self::$name(m))), )+
                    //= rfcs/0003-encoding.md#enc-20
                    //# A receiver MUST refuse a frame of an unknown even kind.
                    _ if kind.is_multiple_of(2) => Err(DecodeError {
                        offset: 0,
                        field: Field::Kind,
                        reason: DecodeReason::CriticalKind { kind },
                    }),
                    //= rfcs/0003-encoding.md#enc-21
                    //# A receiver MUST skip a frame of an unknown odd kind that comes after HELLO.
                    _ => Ok(None),
                }
            }

            /// The message as one frame, with a CRC-32 if the link does not detect corruption
            /// itself. The payload of DATA is shared, not copied.
            ///
            /// # Errors
            ///
            /// [`EncodeError`] if a field breaks a limit: a mistake of whoever built the message.
            /// Whatever encodes also decodes, to an equal message.
            pub fn encode(&self, crc: bool) -> Result<Encoded, EncodeError> {
                //= rfcs/0003-encoding.md#enc-3
                //# An encoder MUST refuse a message that breaks a limit of this document.
                fn frame(
                    kind: u64,
                    message: &impl Codec,
                    crc: bool,
                ) -> Result<Encoded, EncodeError> {
                    let mut out = Writer::new(message.hint(), crc);
                    message.put(&mut out)?;
                    out.finish(kind, message.payload(), crc)
                }
                match self {
                    $( Self::$name(message) => frame($name::KIND, message, crc), )+
                }
            }
        }

        $(
            impl From<$name> for Message {
                fn from(message: $name) -> Self {
                    Self::$name(message)
                }
            }
        )+
    };
}

messages! {
    /// Opens a session: versions, limits, features.
    Hello,
    /// Raises what the peer may send.
    Credit,
    /// Asks for a sign of life.
    Ping,
    /// Gives a sign of life.
    Pong,
    /// Ends a session.
    Close,
    /// Shows a right.
    Present,
    /// Asks for ranges of a blob.
    Want,
    /// Says what of a wanted blob the source holds.
    Have,
    /// Carries verified bytes.
    Data,
    /// Ends a want, from the source.
    End,
    /// Ends a want, from the getter.
    Cancel,
}

const _: () = assert!(
    size_of::<Message>() <= 128,
    "a message moves through queues by value; box what makes it larger"
);

#[cfg(test)]
mod tests;
