use core::fmt;

use samara_base::RangeSet;

use crate::Node;

/// Why a proof with its data was refused. Nothing changed in the [`Verifier`](crate::Verifier).
///
/// A group whose *data* is wrong is no error of the whole: see [`Verified`](crate::Verified).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// The data starts or ends outside the blob. Blame the sender, or the claimed size.
    OutOfRange {
        /// First leaf given.
        first_leaf: u64,
        /// Leaves that the blob has at the size the verifier was made for.
        leaves: u64,
    },
    /// The data does not start and end at a group boundary. Blame the sender.
    Unaligned {
        /// First leaf given.
        first_leaf: u64,
    },
    /// The transfer has more groups than [`GROUPS_MAX`](crate::Verifier::GROUPS_MAX). Blame the
    /// sender.
    TooManyGroups {
        /// Groups given.
        found: u64,
    },
    /// The data is shorter or longer than its leaves. Blame the sender, or the claimed size.
    DataLength {
        /// Bytes in these leaves.
        expected: u64,
        /// Bytes given.
        found: u64,
    },
    /// The proof is not as long as size, group, range and base say. Blame the sender.
    ProofLength {
        /// Bytes that the rule gives.
        expected: u64,
        /// Bytes given.
        found: u64,
    },
    /// A pair in the proof does not hash to its parent. Blame the sender, or the claimed size.
    ParentMismatch {
        /// The parent.
        node: Node,
    },
    /// The base leaves out a pair that this verifier does not have. The base was computed from
    /// something else than what was verified here: ask again with [`known`](crate::Verifier::known).
    NotKnown {
        /// The node whose pair is missing.
        node: Node,
    },
    /// The proven parts are scattered in more pieces than
    /// [`NODES_MAX`](crate::Verifier::NODES_MAX) allows. Fill gaps first, then ask again.
    Fragmented,
}

impl VerifyError {
    /// Whether the sender broke the protocol (or the size that it claimed is wrong), as opposed to
    /// an error on our own side.
    #[must_use]
    pub const fn is_peer_fault(self) -> bool {
        !matches!(self, Self::NotKnown { .. } | Self::Fragmented)
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { first_leaf, leaves } => {
                write!(f, "data at leaf {first_leaf} reaches past the blob's {leaves} leaves")
            }
            Self::Unaligned { first_leaf } => {
                write!(f, "data at leaf {first_leaf} does not consist of whole groups")
            }
            Self::TooManyGroups { found } => {
                let max = crate::Verifier::GROUPS_MAX;
                write!(f, "{found} groups in one transfer are more than {max}")
            }
            Self::DataLength { expected, found } => {
                write!(f, "these leaves have {expected} bytes, {found} came")
            }
            Self::ProofLength { expected, found } => {
                write!(f, "the proof must have {expected} bytes, {found} came")
            }
            Self::ParentMismatch { node } => {
                write!(f, "the pair of leaves {node} does not hash to its parent")
            }
            Self::NotKnown { node } => {
                write!(f, "the base leaves out the pair of leaves {node}, which is not known here")
            }
            Self::Fragmented => f.write_str("too many scattered parts: fill gaps first"),
        }
    }
}

impl core::error::Error for VerifyError {}

/// Why a range was not encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError<E> {
    /// The outboard could not be read.
    Source(E),
    /// The range is empty, reaches past the end or is not made of whole groups. Round it with
    /// [`GroupLog2::align`](samara_base::GroupLog2::align).
    Unaligned,
    /// A part of the range is not held here. Ask for what [`known`](crate::Verifier::known) has.
    NotHeld,
    /// The data given does not have the length of the span.
    DataLength {
        /// Bytes in the span.
        expected: u64,
        /// Bytes given.
        found: u64,
    },
    /// Stored bytes do not match their stored values any more. Quarantine these leaves, serve the
    /// others.
    Damaged {
        /// Leaves, in units of what was stored with one value.
        leaves: RangeSet,
    },
    /// The stored values under a node do not merge to its proven value any more. Hash these leaves
    /// again and store their values.
    Outboard {
        /// The node.
        node: Node,
    },
}

impl<E: fmt::Display> fmt::Display for EncodeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => write!(f, "the outboard cannot be read: {error}"),
            Self::Unaligned => f.write_str("the range is not made of whole groups of the blob"),
            Self::NotHeld => f.write_str("a part of the range is not held"),
            Self::DataLength { expected, found } => {
                write!(f, "the span has {expected} bytes, {found} were given")
            }
            Self::Damaged { leaves } => write!(f, "stored leaves {leaves} are damaged"),
            Self::Outboard { node } => {
                write!(f, "the stored outboard of leaves {node} is damaged: hash them again")
            }
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for EncodeError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Source(error) => Some(error),
            _ => None,
        }
    }
}

/// Why a stored outboard or an exported frontier was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError<E> {
    /// The outboard could not be read.
    Source(E),
    /// The values do not merge to the blob's id: they belong to another blob or another size, or
    /// are damaged. Hash the data again.
    Root,
    /// The bytes of a frontier are not well-formed. Start from an older frontier.
    Malformed {
        /// Offset of the first wrong byte or field.
        offset: u32,
        /// What is wrong there.
        field: FrontierField,
    },
    /// The parts would be scattered in more pieces than
    /// [`NODES_MAX`](crate::Verifier::NODES_MAX) allows. Give up larger parts, or fewer.
    Fragmented,
}

/// The parts of an exported frontier, for errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrontierField {
    /// The first four bytes.
    Magic,
    /// The number of nodes, against the limit and the length.
    Count,
    /// The check over all other bytes.
    Check,
    /// The name of a node: a node of this tree, behind the one before it.
    Node,
}

impl<E: fmt::Display> fmt::Display for OpenError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => write!(f, "the outboard cannot be read: {error}"),
            Self::Fragmented => f.write_str("too many scattered parts"),
            Self::Root => f.write_str("the stored values do not merge to the blob's id"),
            Self::Malformed { offset, field } => {
                let field = match field {
                    FrontierField::Magic => "magic",
                    FrontierField::Count => "node count",
                    FrontierField::Check => "check",
                    FrontierField::Node => "node",
                };
                write!(f, "the frontier has a wrong {field} at byte {offset}")
            }
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for OpenError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Source(error) => Some(error),
            _ => None,
        }
    }
}
