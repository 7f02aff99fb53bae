use core::{fmt, str::FromStr};

/// Why a string is not an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseIdError {
    /// The string does not have 64 characters. Copy the whole identifier.
    Length {
        /// Characters found. Unit: bytes of the string.
        found: usize,
    },
    /// A character is not a hexadecimal digit. Copy the identifier again.
    Digit {
        /// Byte offset of the first such character.
        offset: usize,
    },
}

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { found } => {
                write!(f, "an identifier has 64 hexadecimal digits, this has {found} characters")
            }
            Self::Digit { offset } => {
                write!(f, "character {} is not a hexadecimal digit", offset + 1)
            }
        }
    }
}

impl core::error::Error for ParseIdError {}

/// Displays the first 10 hexadecimal digits of an identifier.
#[derive(Clone, Copy)]
pub struct ShortId([u8; 5]);

impl fmt::Display for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn parse_hex(text: &str) -> Result<[u8; 32], ParseIdError> {
    let text = text.as_bytes();
    let digit = |at: usize| -> Result<u8, ParseIdError> {
        let byte = text.get(at).copied().unwrap_or_default();
        char::from(byte)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
            .ok_or(ParseIdError::Digit { offset: at })
    };
    if text.len() != 64 {
        return Err(ParseIdError::Length { found: text.len() });
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = digit(2 * at)? << 4 | digit(2 * at + 1)?;
    }
    Ok(bytes)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Length. Unit: bytes.
            pub const LEN: usize = 32;

            /// The identifier with these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The bytes of the identifier.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first 10 hexadecimal digits, for logs and progress lines.
            #[must_use]
            pub const fn fmt_short(&self) -> ShortId {
                ShortId([self.0[0], self.0[1], self.0[2], self.0[3], self.0[4]])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.fmt_short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex(text).map(Self)
            }
        }
    };
}

id! {
    /// Names a blob: the BLAKE3 hash of its bytes, printed as `b3sum` prints it.
    ///
    /// It depends on nothing else: not on the chunker, the link, compression, a file name or the
    /// peer that made it. Spec: RFC 0002.
    BlobId
}

id! {
    /// Names a chunk, a content-defined piece of a blob: the BLAKE3 hash of the chunk's bytes.
    ///
    /// Spec: RFC 0004.
    ChunkId
}

id! {
    /// Names a peer: its Ed25519 public key.
    ///
    /// Spec: RFC 0001.
    PeerId
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{format, string::ToString};

    #[test]
    fn hex_round_trips_in_both_cases() {
        let id = BlobId::from_bytes(core::array::from_fn(|at| u8::try_from(at * 7).unwrap()));
        let text = id.to_string();
        assert_eq!(text.parse::<BlobId>(), Ok(id));
        assert_eq!(text.to_uppercase().parse::<BlobId>(), Ok(id));
        assert_eq!(format!("{id:?}"), "BlobId(00070e151c)");
    }

    #[test]
    fn parse_errors_say_where() {
        let text = "0".repeat(63);
        assert_eq!(text.parse::<PeerId>(), Err(ParseIdError::Length { found: 63 }));
        let text = format!("{text}g");
        assert_eq!(text.parse::<ChunkId>(), Err(ParseIdError::Digit { offset: 63 }));
        assert_eq!(
            "é".repeat(32).parse::<BlobId>(),
            Err(ParseIdError::Digit { offset: 0 }),
            "multi-byte characters are refused, not split"
        );
    }
}
