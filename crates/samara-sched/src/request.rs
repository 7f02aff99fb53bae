use core::{fmt, time::Duration};

use samara_base::{BlobId, Class, GroupLog2, Instant, PeerId, RangeSet};

use crate::want::WantId;

/// Names a live session with a peer that can be asked for bytes. Chosen by the caller, never
/// reused. Two sessions with one peer are two sources.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "an opaque number")]
pub struct SourceId(pub u64);

impl fmt::Debug for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source{}", self.0)
    }
}

/// Names a request, within one [`Scheduler`](crate::Scheduler). Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "an opaque number")]
pub struct RequestId(pub u64);

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request{}", self.0)
    }
}

/// Ask a source for ranges of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// Names this request in all later calls.
    pub id: RequestId,
    /// The want that it serves.
    pub want: WantId,
    /// Whom to ask.
    pub source: SourceId,
    /// The blob.
    pub blob: BlobId,
    /// The size that we believe, if any. Unit: bytes.
    pub size: Option<u64>,
    /// Unit of proof.
    pub group: GroupLog2,
    /// Urgency.
    pub class: Class,
    /// What is asked for. Unit: leaves, aligned to `group`.
    pub ranges: RangeSet,
    /// What need not be proven again; disjoint from `ranges`. Unit: leaves.
    pub known: RangeSet,
}

/// How a source ended a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndCause {
    /// It sent all that it holds of the ranges.
    Done,
    /// It does not hold the blob, or we may not have it: the source does not tell which.
    Unavailable,
    /// It has no capacity now.
    Busy {
        /// When to ask again.
        retry: Duration,
    },
    /// We asked for more than it allows.
    TooLarge,
    /// It found its own copy of the missing ranges damaged.
    Damaged,
    /// We cancelled it.
    Cancelled,
    /// Something failed at the source.
    Internal,
}

/// A request in flight.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) want: WantId,
    pub(crate) source: SourceId,
    pub(crate) peer: PeerId,
    /// The size under which its proofs are made: ours, until the source says otherwise.
    pub(crate) size: Option<u64>,
    /// The groups in which it was asked.
    pub(crate) group: GroupLog2,
    /// Leaves that have not arrived. Disjoint from those of every other request of the want.
    pub(crate) open: RangeSet,
    /// Leaves that arrived and are being verified and stored.
    pub(crate) arrived: RangeSet,
    /// When something of it arrived last, or when it was asked.
    pub(crate) heard: Instant,
    /// Nothing more will come: the source said so, went away, or was cancelled.
    pub(crate) ended: bool,
}

impl InFlight {
    /// Whether it may still bring something. One of which everything has come and been verified may
    /// not: a source that keeps its END back does not keep back the verdict.
    pub(crate) fn brings(&self) -> bool {
        !self.open.is_empty() || !self.arrived.is_empty()
    }
}
