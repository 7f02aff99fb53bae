use core::{fmt, str::FromStr};
use std::io;

use serde_json::{Map, Value};

/// What a decoder knows beside the bytes, by name.
pub type Params = Map<String, Value>;

/// One format. Spec: RFC 0014, section "Values".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// A number (RFC 0003).
    Varint,
    /// A set of leaves (RFC 0003).
    Ranges,
    /// A section of types, lengths and values (RFC 0003).
    Tlv,
    /// Frames of a byte stream (RFC 0003).
    Frame,
    /// The kind of a frame and its body (RFC 0003).
    Message,
    /// The id of a blob (RFC 0002).
    Identity,
    /// The stored values of a blob's groups (RFC 0002).
    Outboard,
    /// A proof with its data (RFC 0002).
    Transfer,
    /// What is kept of a partial blob (RFC 0002).
    Frontier,
    /// What people paste (RFC 0001).
    Ticket,
    /// A collection (RFC 0004).
    Manifest,
    /// A record of a store (RFC 0009).
    Record,
    /// What a node makes of all that a peer sends (RFC 0005, RFC 0007).
    Session,
}

impl Codec {
    /// All codecs, in the order of the RFC's table.
    pub const ALL: [Self; 13] = [
        Self::Varint,
        Self::Ranges,
        Self::Tlv,
        Self::Frame,
        Self::Message,
        Self::Identity,
        Self::Outboard,
        Self::Transfer,
        Self::Frontier,
        Self::Ticket,
        Self::Manifest,
        Self::Record,
        Self::Session,
    ];

    /// The name in vector files and in requests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Varint => "varint",
            Self::Ranges => "ranges",
            Self::Tlv => "tlv",
            Self::Frame => "frame",
            Self::Message => "message",
            Self::Identity => "identity",
            Self::Outboard => "outboard",
            Self::Transfer => "transfer",
            Self::Frontier => "frontier",
            Self::Ticket => "ticket",
            Self::Manifest => "manifest",
            Self::Record => "record",
            Self::Session => "session",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A codec that no RFC knows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownCodec {
    /// Its name.
    pub name: String,
}

impl fmt::Display for UnknownCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no codec of RFC 0014", self.name)
    }
}

impl core::error::Error for UnknownCodec {}

impl FromStr for Codec {
    type Err = UnknownCodec;

    fn from_str(name: &str) -> Result<Self, UnknownCodec> {
        let found = Self::ALL.into_iter().find(|codec| codec.name() == name);
        found.ok_or_else(|| UnknownCodec { name: name.to_owned() })
    }
}

/// What a subject says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "RFC 0014 has these three")]
pub enum Answer<T> {
    /// Done, with this result.
    Valid(T),
    /// Refused, with a reason for humans.
    Invalid(String),
    /// Not implemented.
    Unsupported,
}

impl<T> Answer<T> {
    /// The result with another type.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        match self {
            Self::Valid(value) => Answer::Valid(change(value)),
            Self::Invalid(reason) => Answer::Invalid(reason),
            Self::Unsupported => Answer::Unsupported,
        }
    }
}

/// An implementation under test. Spec: RFC 0014, section "Subjects".
///
/// Implement it to test in the same process; or speak the line protocol and be tested as a
/// [`Child`](crate::Child), in any language.
pub trait Subject {
    /// What the runner calls it.
    fn name(&self) -> String;

    /// What the bytes mean.
    ///
    /// # Errors
    ///
    /// Only if the subject itself is out of reach, say because its process died.
    fn decode(&mut self, codec: Codec, params: &Params, bytes: &[u8]) -> io::Result<Answer<Value>>;

    /// The canonical bytes of a value.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    fn encode(
        &mut self,
        codec: Codec,
        params: &Params,
        value: &Value,
    ) -> io::Result<Answer<Vec<u8>>>;
}
