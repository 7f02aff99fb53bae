use core::fmt;

use crate::{limits::EXTENSION_BYTES_MAX, varint};

/// What is wrong with an extension area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtensionProblem {
    /// The area ends inside an extension.
    Overrun,
    /// A varint is longer than its value needs.
    NotMinimal,
    /// The types do not ascend.
    Order,
    /// An even type that this version does not know: whoever wrote it says that the manifest must
    /// not be used without understanding it. Update Samara.
    UnknownCritical {
        /// The type.
        kind: u64,
    },
    /// The area is longer than [`EXTENSION_BYTES_MAX`].
    TooLong,
}

impl fmt::Display for ExtensionProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overrun => f.write_str("the extension area ends inside an extension"),
            Self::NotMinimal => f.write_str("a number is longer than its value needs"),
            Self::Order => f.write_str("the types of the extensions do not ascend"),
            Self::UnknownCritical { kind } => {
                write!(f, "it needs extension {kind}, which this version does not know; update")
            }
            Self::TooLong => {
                write!(f, "the extension area is longer than {EXTENSION_BYTES_MAX} bytes")
            }
        }
    }
}

/// Why bytes are not an extension area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a position and a cause are all there is")]
pub struct ExtensionError {
    /// Where the offending extension begins. Unit: bytes from the start of the area.
    pub offset: u32,
    /// What is wrong with it.
    pub problem: ExtensionProblem,
}

impl fmt::Display for ExtensionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {} of the extensions)", self.problem, self.offset)
    }
}

impl core::error::Error for ExtensionError {}

/// Extensions of a manifest or an entry: `type varint, length varint, value`, types ascending.
///
/// Version 1 assigns no type. Odd types that a reader does not know are kept as they are, so that
/// a manifest decodes and encodes to the same bytes; even ones are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Extensions<'a> {
    bytes: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// No extensions.
    pub const EMPTY: Self = Self { bytes: &[] };

    /// Checks an extension area.
    ///
    /// ```
    /// use samara_chunk::Extensions;
    ///
    /// let extensions = Extensions::decode(b"\x01\x02hi")?;
    /// assert_eq!(extensions.iter().next(), Some((1, &b"hi"[..])));
    /// assert!(Extensions::decode(b"\x02\x02hi").is_err(), "even types are critical");
    /// # Ok::<(), samara_chunk::ExtensionError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The first problem found and where.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, ExtensionError> {
        let mut rest = bytes;
        let at = |rest: &[u8], problem| ExtensionError {
            offset: u32::try_from(bytes.len() - rest.len()).unwrap_or(u32::MAX),
            problem,
        };
        if bytes.len() > EXTENSION_BYTES_MAX {
            return Err(at(&[], ExtensionProblem::TooLong));
        }
        //= rfcs/0004-chunking.md#coll-23
        //# A decoder MUST NOT refuse a manifest because of the count of its extensions or the length
        //# of one of them, as long as their area is within its limit.
        let mut above: Option<u64> = None;
        while !rest.is_empty() {
            let (kind, _, after) = take(rest).map_err(|problem| at(rest, problem))?;
            if above.is_some_and(|above| kind <= above) {
                return Err(at(rest, ExtensionProblem::Order));
            }
            //= rfcs/0004-chunking.md#coll-15
            //# A decoder MUST refuse an extension of an even type that it does not know.
            if kind % 2 == 0 {
                return Err(at(rest, ExtensionProblem::UnknownCritical { kind }));
            }
            //= rfcs/0004-chunking.md#coll-16
            //# A decoder MUST skip an extension of an odd type that it does not know.
            above = Some(kind);
            rest = after;
        }
        Ok(Self { bytes })
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The encoded area.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Type and value of each, types ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &'a [u8])> + use<'a> {
        let mut rest = self.bytes;
        core::iter::from_fn(move || {
            let (kind, value, after) = take(rest).ok()?;
            rest = after;
            Some((kind, value))
        })
    }
}

/// One extension off the front: type, value, rest.
fn take(input: &[u8]) -> Result<(u64, &[u8], &[u8]), ExtensionProblem> {
    let varint = |input| {
        varint::take(input).map_err(|fault| match fault {
            varint::Fault::Truncated => ExtensionProblem::Overrun,
            varint::Fault::NotMinimal => ExtensionProblem::NotMinimal,
        })
    };
    let (kind, rest) = varint(input)?;
    let (len, rest) = varint(rest)?;
    let len = usize::try_from(len).map_err(|_| ExtensionProblem::Overrun)?;
    let (value, rest) = rest.split_at_checked(len).ok_or(ExtensionProblem::Overrun)?;
    Ok((kind, value, rest))
}
