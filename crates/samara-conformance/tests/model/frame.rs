//! What travels on the model's link: every message of RFC 0003, as far as its content decides anything.

/// A set of the three groups of the blob: bit n is group n.
pub(crate) type Groups = u8;

/// The whole blob.
pub(crate) const ALL: Groups = 0b111;

/// The group with the lowest number.
pub(crate) fn first(groups: Groups) -> Option<u8> {
    (groups != 0).then(|| u8::try_from(groups.trailing_zeros()).unwrap_or(0))
}

/// The two ends of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Side {
    Getter,
    Source,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Getter, Self::Source];

    pub(crate) fn other(self) -> Self {
        if self == Self::Getter { Self::Source } else { Self::Getter }
    }
}

/// The two queues of a direction, each in order (LINK-5), not ordered among themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Lane {
    Control,
    Bulk,
}

impl Lane {
    pub(crate) const BOTH: [Self; 2] = [Self::Control, Self::Bulk];
}

/// Whether the bytes of a DATA are the blob's. Only verification finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Truth {
    True,
    /// The proof holds and the bytes do not fit it.
    False,
    /// The proof is none.
    Unproven,
}

/// How a source ends a request, with the code on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Code {
    Done,
    Unavailable,
    Busy,
    Damaged,
    Cancelled,
    Internal,
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Frame {
    Hello {
        /// Whether its versions have one in common with ours.
        common: bool,
    },
    Present,
    Ping,
    Pong,
    /// The new total. Unit: groups.
    Credit(u8),
    Want {
        number: u8,
        groups: Groups,
    },
    Cancel(u8),
    Have {
        number: u8,
        held: Groups,
        /// Claims a size above what the want allows.
        huge: bool,
    },
    Data {
        number: u8,
        group: u8,
        truth: Truth,
    },
    End {
        number: u8,
        code: Code,
        missing: Groups,
    },
    Close(u8),
    /// A body that is no message of its kind.
    Garbage,
    /// An odd kind of a later version.
    Later,
}

impl Frame {
    pub(crate) fn lane(self) -> Lane {
        match self {
            Self::Have { .. } | Self::Data { .. } | Self::End { .. } => Lane::Bulk,
            _ => Lane::Control,
        }
    }
}
