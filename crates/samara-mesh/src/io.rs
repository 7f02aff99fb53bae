//! What goes in and out of the state machine.
//!
//! ```
//! use samara_base::RangeSet;
//! use samara_mesh::io::first_block;
//! use samara_base::GroupLog2;
//!
//! // Of a want for leaves 0..100 of a blob of 90 leaves of which 16..90 are held, the first block
//! // of at most 32 KiB is:
//! let block = first_block(&RangeSet::from(0..100), &RangeSet::from(16..90), 90, GroupLog2::KIB16, 32 << 10);
//! assert_eq!(block, Some(16..48));
//! ```

use alloc::string::String;
use core::{fmt, ops::Range};

use bytes::Bytes;
use samara_base::{BlobId, GroupLog2, LEAF_BYTES, PeerId, RangeSet};
use samara_sched::WantId;
pub use samara_wire::CloseCode;

use crate::link::{DownReason, LinkEvent, LinkId, Outgoing};

/// Names a piece of work given to the caller; comes back with the answer. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "an opaque number")]
pub struct Token(pub u64);

/// What happens to a [`Mesh`](crate::Mesh).
#[derive(Debug)]
#[non_exhaustive]
pub enum Input {
    /// A driver reports.
    Link(LinkEvent),
    /// The answer to [`Output::Open`].
    Opened {
        /// From the output.
        token: Token,
        /// What the store said.
        result: Result<Opened, ServeError>,
    },
    /// The answer to [`Output::Read`].
    Read {
        /// From the output.
        token: Token,
        /// What the store said.
        result: Result<Block, ServeError>,
    },
    /// The answer to [`Output::Write`].
    Written {
        /// From the output.
        token: Token,
        /// What the verifier and the store said.
        result: Result<Accepted, WriteError>,
    },
    /// An [`Output::Dial`] brought no link.
    DialFailed {
        /// The peer.
        peer: PeerId,
    },
    /// The time of [`Mesh::poll_timeout`](crate::Mesh::poll_timeout) has come.
    Timeout,
}

/// What the caller has to do. Drain with [`Mesh::poll_output`](crate::Mesh::poll_output).
#[derive(Debug)]
#[non_exhaustive]
pub enum Output {
    /// Hand a frame to a link.
    Transmit {
        /// The link.
        link: LinkId,
        /// The frame and its lane.
        outgoing: Outgoing,
    },
    /// Close a link after what was handed to it is sent.
    Close {
        /// The link.
        link: LinkId,
        /// Why; has been told to the peer if it could be.
        reason: CloseReason,
    },
    /// Try to reach a peer. Answer: a link comes up, or [`Input::DialFailed`].
    Dial {
        /// The peer.
        peer: PeerId,
    },
    /// Look a blob up and read its first block. Answer: [`Input::Opened`].
    Open(OpenRequest),
    /// Read and prove a block. Answer: [`Input::Read`].
    Read(ReadRequest),
    /// Verify a block and store it. Answer: [`Input::Written`].
    Write(WriteRequest),
    /// A peer shows a right; what it may have is the caller's decision at [`Output::Open`].
    Present {
        /// The session.
        link: LinkId,
        /// The peer.
        peer: PeerId,
        /// The right, opaque here.
        right: Bytes,
    },
    /// Something that the caller may want to know.
    Event(MeshEvent),
}

/// What a caller may want to know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum MeshEvent {
    /// A session is open.
    Connected {
        /// The session.
        link: LinkId,
        /// With whom.
        peer: PeerId,
        /// What the peer calls itself: untrusted text of at most 64 bytes.
        agent: String,
    },
    /// The peer said CLOSE; nothing more comes on this session.
    ClosedByPeer {
        /// The session.
        link: LinkId,
        /// With whom.
        peer: PeerId,
        /// Why, and so whether to come back; a code that nobody knows is `Internal` here.
        code: CloseCode,
    },
    /// A session, or a link that never became one, is gone.
    Disconnected {
        /// The session.
        link: LinkId,
        /// With whom.
        peer: PeerId,
        /// Why.
        reason: DownReason,
    },
    /// News of a want.
    Want(samara_sched::Event),
    /// A getter was sent data.
    Served {
        /// The getter.
        peer: PeerId,
        /// The blob.
        blob: BlobId,
        /// Bytes of data in this block.
        bytes: u64,
    },
}

/// Look a blob up for a peer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenRequest {
    /// Comes back with the answer.
    pub token: Token,
    /// The session that asks; rights were presented on it.
    pub link: LinkId,
    /// The peer that asks.
    pub peer: PeerId,
    /// The blob.
    pub blob: BlobId,
    /// Unit of proof.
    pub group: GroupLog2,
    /// What is wanted. Unit: leaves.
    pub ranges: RangeSet,
    /// What need not be proven. Unit: leaves.
    pub base: RangeSet,
    /// Bound on the first block. Unit: bytes of data.
    pub block_bytes: u64,
}

impl OpenRequest {
    /// The range of the first block, given what the store knows of the blob.
    #[must_use]
    pub fn first_block(&self, size: u64, held: &RangeSet) -> Option<Range<u64>> {
        let total = samara_base::leaves(size);
        first_block(&self.ranges, held, total, self.group, self.block_bytes)
    }
}

/// The first run of whole groups out of `wanted` that is held, at most `bytes` long but at least
/// one group. Unit of ranges: leaves. `total`: leaves of the blob.
#[must_use]
pub fn first_block(
    wanted: &RangeSet,
    held: &RangeSet,
    total: u64,
    group: GroupLog2,
    bytes: u64,
) -> Option<Range<u64>> {
    let room = (bytes / LEAF_BYTES).max(group.leaves());
    for run in wanted.intersection(held).runs() {
        // A group that is held in part can't be proven: round inward, the blob's end included.
        //= rfcs/0007-transfer.md#xfer-18
        //# A source MUST NOT send a group of which a leaf inside the blob was not asked for.
        let start = run.start.next_multiple_of(group.leaves());
        let mut end = run.end.min(start.saturating_add(room));
        if end < total {
            end -= end % group.leaves();
        }
        if start < end {
            return Some(start..end);
        }
    }
    None
}

/// A blob that may be served.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the caller builds it")]
pub struct Opened {
    /// Proven or believed size. Unit: bytes.
    pub size: u64,
    /// What is held. Unit: leaves.
    pub held: RangeSet,
    /// The first block and its range, if any of the wanted ranges is held.
    pub first: Option<(Range<u64>, Result<Block, ServeError>)>,
}

/// A block that was read, with its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the caller builds it")]
pub struct Block {
    /// The proof relative to the base of the request.
    pub proof: Bytes,
    /// The data.
    pub data: Bytes,
}

/// Why a blob or block can't be served.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServeError {
    /// It is not here, or the peer may not have it: the peer must not learn which.
    Unavailable,
    /// Out of capacity for now.
    Busy,
    /// These leaves were found damaged and will not be served again.
    Damaged(RangeSet),
    /// These leaves are not here any more. The others are served.
    NotHeld(RangeSet),
    /// Reading failed.
    Internal,
}

/// Read and prove a block.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReadRequest {
    /// Comes back with the answer.
    pub token: Token,
    /// The session that it is for.
    pub link: LinkId,
    /// The blob.
    pub blob: BlobId,
    /// Unit of proof.
    pub group: GroupLog2,
    /// What to read: whole groups. Unit: leaves.
    pub range: Range<u64>,
    /// What need not be proven. Unit: leaves.
    pub base: RangeSet,
}

/// Verify a block and store it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WriteRequest {
    /// Comes back with the answer.
    pub token: Token,
    /// The want that it is for.
    pub want: WantId,
    /// The blob.
    pub blob: BlobId,
    /// The size under which the proof was made. Unit: bytes.
    pub size: u64,
    /// Unit of proof.
    pub group: GroupLog2,
    /// First leaf of the data.
    pub first_leaf: u64,
    /// What the proof leaves out. Unit: leaves.
    pub base: RangeSet,
    /// The proof.
    pub proof: Bytes,
    /// The data.
    pub data: Bytes,
    /// Who sent it.
    pub peer: PeerId,
}

/// What became of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the caller builds it")]
pub struct Accepted {
    /// Verified and stored. Unit: leaves.
    pub good: RangeSet,
    /// Not what the blob holds there. Unit: leaves.
    pub bad: RangeSet,
    /// Whether the blob's size is proven now.
    pub size_proven: bool,
}

/// Why a block was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// The proof is no proof: the source is to blame.
    NotProven,
    /// Our store failed; the want ends, and the caller knows why.
    Local,
}

/// Why we close a session. Spec: RFC 0005, section "Close codes".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// No longer needed.
    Done,
    /// No common version.
    Version,
    /// The peer broke the protocol.
    Protocol(&'static str),
    /// The peer did not say HELLO in time, or does not answer.
    TimedOut,
    /// We are going away.
    Shutdown,
}

impl CloseReason {
    /// What the peer is told.
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::Done => CloseCode::Done,
            Self::Version => CloseCode::Version,
            Self::Protocol(_) => CloseCode::Protocol,
            Self::TimedOut => CloseCode::TimedOut,
            Self::Shutdown => CloseCode::Shutdown,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Version => "no common version",
            Self::Protocol(what) => what,
            Self::TimedOut => "timed out",
            Self::Shutdown => "shutting down",
        })
    }
}
