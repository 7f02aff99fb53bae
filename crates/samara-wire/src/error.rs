//! Why bytes are not a message, and why a message can't become bytes.

use core::fmt;

/// The part of a frame or message that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// A varint outside any message.
    Varint,
    /// A range set outside any message.
    RangeSet,
    /// A frame's kind.
    Kind,
    /// A frame's body length.
    Length,
    /// A frame's body.
    Body,
    /// A frame's CRC-32.
    Crc,
    /// A TLV's type.
    TlvType,
    /// A TLV's length.
    TlvLength,
    /// A TLV's value.
    TlvValue,
    /// HELLO `versions`.
    Versions,
    /// HELLO `agent`.
    Agent,
    /// HELLO `frame_body_max`.
    FrameBodyMax,
    /// HELLO `wants_max`.
    WantsMax,
    /// HELLO `credit`.
    Credit,
    /// HELLO `features`.
    Features,
    /// CREDIT `total`.
    Total,
    /// PING or PONG `token`.
    Token,
    /// CLOSE or END `code`.
    Code,
    /// CLOSE `reason`.
    Reason,
    /// PRESENT `right`.
    Right,
    /// The number of a want.
    Want,
    /// WANT `blob`.
    Blob,
    /// WANT `group`.
    Group,
    /// WANT `class`.
    Class,
    /// WANT `ranges`.
    Ranges,
    /// WANT `known`.
    Known,
    /// WANT or HAVE `size`.
    Size,
    /// HAVE `held`.
    Held,
    /// DATA `first`.
    First,
    /// DATA `proof`.
    Proof,
    /// DATA `data`.
    Data,
    /// END `missing`.
    Missing,
    /// END `retry_ms`.
    RetryMs,
}

impl Field {
    /// The name of the field in RFC 0003.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Varint => "varint",
            Self::RangeSet => "range set",
            Self::Kind => "kind",
            Self::Length => "length",
            Self::Body => "body",
            Self::Crc => "crc",
            Self::TlvType => "TLV type",
            Self::TlvLength => "TLV length",
            Self::TlvValue => "TLV value",
            Self::Versions => "versions",
            Self::Agent => "agent",
            Self::FrameBodyMax => "frame_body_max",
            Self::WantsMax => "wants_max",
            Self::Credit => "credit",
            Self::Features => "features",
            Self::Total => "total",
            Self::Token => "token",
            Self::Code => "code",
            Self::Reason => "reason",
            Self::Right => "right",
            Self::Want => "want",
            Self::Blob => "blob",
            Self::Group => "group",
            Self::Class => "class",
            Self::Ranges => "ranges",
            Self::Known => "known",
            Self::Size => "size",
            Self::Held => "held",
            Self::First => "first",
            Self::Proof => "proof",
            Self::Data => "data",
            Self::Missing => "missing",
            Self::RetryMs => "retry_ms",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is wrong with a field. Part of [`DecodeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeReason {
    /// The bytes end inside the field.
    Truncated,
    /// The varint has a shorter form.
    NotMinimal,
    /// The number or length is above its limit.
    TooLarge {
        /// The value found.
        found: u64,
        /// The limit, in the unit of the field.
        max: u64,
    },
    /// The number is below its limit.
    TooSmall {
        /// The value found.
        found: u64,
        /// The limit, in the unit of the field.
        min: u64,
    },
    /// The field has to have at least one byte or element.
    Empty,
    /// The field is not UTF-8.
    NotUtf8,
    /// The length is not a multiple of the field's unit.
    Unaligned {
        /// The length found. Unit: bytes.
        found: u64,
        /// The unit. Unit: bytes.
        unit: u64,
    },
    /// The code has no meaning that this version knows, and there is no safe guess.
    UnknownCode {
        /// The code found.
        code: u8,
    },
    /// The lower bound is above the upper one.
    Inverted,
    /// The set shares elements with the ranges that are asked for.
    Overlap,
    /// The TLV's type is not above the one before it.
    NotAscending,
    /// The sender insists that the TLV of this type is understood (even type), and it is not.
    CriticalTlv {
        /// The type.
        tlv_type: u64,
    },
    /// The sender insists that the message of this kind is understood (even kind), and it is not.
    CriticalKind {
        /// The kind.
        kind: u64,
    },
    /// A TLV that the message can't do without is not there.
    Absent,
    /// Bytes are left after the end of the value.
    TrailingData,
}

impl fmt::Display for DecodeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the bytes end inside the field"),
            Self::NotMinimal => f.write_str("the varint is not in its shortest form"),
            Self::TooLarge { found, max } => write!(f, "{found} is above the limit of {max}"),
            Self::TooSmall { found, min } => write!(f, "{found} is below the limit of {min}"),
            Self::Empty => f.write_str("it must not be empty"),
            Self::NotUtf8 => f.write_str("it is not UTF-8"),
            Self::Unaligned { found, unit } => {
                write!(f, "the length {found} is not a multiple of {unit}")
            }
            Self::UnknownCode { code } => write!(f, "the code {code} is not known here"),
            Self::Inverted => f.write_str("the lower bound is above the upper one"),
            Self::Overlap => f.write_str("it overlaps the ranges that are asked for"),
            Self::NotAscending => f.write_str("TLV types must ascend without repeats"),
            Self::CriticalTlv { tlv_type } => {
                write!(f, "the critical TLV {tlv_type:#x} is not known here")
            }
            Self::CriticalKind { kind } => {
                write!(f, "the critical message {kind:#x} is not known here")
            }
            Self::Absent => f.write_str("it is required and not there"),
            Self::TrailingData => f.write_str("bytes are left after its end"),
        }
    }
}

/// Why bytes are not a message. Always the peer's fault: close the session, or drop the datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DecodeError {
    /// Where the offending field starts. Unit: bytes from the start of what was decoded (for a
    /// message, its body).
    pub offset: u32,
    /// The offending field.
    pub field: Field,
    /// What is wrong with it.
    pub reason: DecodeReason,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.field, self.offset, self.reason)
    }
}

impl core::error::Error for DecodeError {}

/// Why a message can't become bytes: a field breaks a limit of RFC 0003. Nothing was written.
///
/// Whoever builds the message has to keep the limits, so this is a local mistake, never the
/// peer's fault: cut the value down or split the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EncodeError {
    /// The number, length or count is above its limit. Cut it down or split the message.
    TooLarge {
        /// The field.
        field: Field,
        /// Its value.
        found: u64,
        /// The limit, in the unit of the field.
        max: u64,
    },
    /// The number is below its limit. Raise it.
    TooSmall {
        /// The field.
        field: Field,
        /// Its value.
        found: u64,
        /// The limit, in the unit of the field.
        min: u64,
    },
    /// The field has to have at least one byte or element. Do not send the message.
    Empty {
        /// The field.
        field: Field,
    },
    /// The length is not a multiple of the field's unit. Pass whole units.
    Unaligned {
        /// The field.
        field: Field,
        /// The length. Unit: bytes.
        found: u64,
        /// The unit. Unit: bytes.
        unit: u64,
    },
    /// The lower bound is above the upper one. Exchange them.
    Inverted {
        /// The field.
        field: Field,
    },
    /// `known` of a WANT overlaps its `ranges`. Subtract one from the other.
    Overlap {
        /// The field.
        field: Field,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { field, found, max } => {
                write!(f, "cannot encode {field}: {found} is above the limit of {max}")
            }
            Self::TooSmall { field, found, min } => {
                write!(f, "cannot encode {field}: {found} is below the limit of {min}")
            }
            Self::Empty { field } => write!(f, "cannot encode {field}: it must not be empty"),
            Self::Unaligned { field, found, unit } => {
                write!(f, "cannot encode {field}: the length {found} is not a multiple of {unit}")
            }
            Self::Inverted { field } => {
                write!(f, "cannot encode {field}: the lower bound is above the upper one")
            }
            Self::Overlap { field } => {
                write!(f, "cannot encode {field}: it overlaps the ranges that are asked for")
            }
        }
    }
}

impl core::error::Error for EncodeError {}

/// Why bytes are not a frame. On a byte stream the position of the next frame is lost: close the
/// link. On a carrier of datagrams: drop the datagram.
///
/// Offsets count from the first byte of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FrameError {
    /// The kind or the length is a varint with a shorter form.
    NotMinimal {
        /// Where the varint starts. Unit: bytes.
        offset: u32,
        /// Which of the two.
        field: Field,
    },
    /// The body would be longer than this side takes.
    BodyTooLong {
        /// Where the length starts. Unit: bytes.
        offset: u32,
        /// The length that the peer claims. Unit: bytes.
        found: u64,
        /// The limit. Unit: bytes.
        max: u32,
    },
    /// The CRC-32 does not fit the bytes: the carrier damaged the frame.
    Checksum {
        /// Where the CRC-32 starts. Unit: bytes.
        offset: u32,
        /// The CRC-32 of the bytes that arrived.
        computed: u32,
        /// The CRC-32 that the frame carries.
        found: u32,
    },
    /// The datagram ends inside the frame.
    Truncated {
        /// Bytes that are missing, at least. Unit: bytes.
        missing: u32,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMinimal { offset, field } => {
                write!(f, "{field} at byte {offset}: the varint is not in its shortest form")
            }
            Self::BodyTooLong { offset, found, max } => {
                write!(f, "length at byte {offset}: {found} is above the limit of {max}")
            }
            Self::Checksum { offset, computed, found } => write!(
                f,
                "crc at byte {offset}: the frame says {found:08x}, its bytes give {computed:08x}"
            ),
            Self::Truncated { missing } => {
                write!(f, "the datagram ends inside the frame, at least {missing} bytes too early")
            }
        }
    }
}

impl core::error::Error for FrameError {}
