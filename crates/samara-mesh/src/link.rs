//! The link contract: what the mesh asks of whatever carries its frames.
//!
//! A link opens, changes, carries frames and dies at any moment. Drivers turn a carrier (QUIC, a
//! WebSocket, a serial line) into [`LinkEvent`]s and take [`Encoded`] frames; they decide nothing
//! about blobs. Spec: RFC 0001, section "Link contract".
//!
//! ```
//! use bytes::BytesMut;
//! use samara_mesh::link::{FrameReader, FRAME_LEN_MAX};
//!
//! // A driver on a byte stream cuts whole frames off what it has read: PING with token 7.
//! let mut reader = FrameReader::new(FRAME_LEN_MAX);
//! let mut buffer = BytesMut::from(&[0x04, 0x01, 0x07, 0x04][..]);
//! let frame = reader.next_frame(&mut buffer)?.ok_or("one whole frame")?;
//! assert_eq!(frame.kind, 0x04);
//! assert!(reader.next_frame(&mut buffer)?.is_none(), "the second frame is not whole yet");
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use alloc::{string::String, vec::Vec};
use core::{fmt, time::Duration};

use bytes::BytesMut;
use samara_base::PeerId;
use samara_wire::{FRAME_BODY_MAX, FrameDecoder};
// What the contract's types consist of, so that a driver needs this module and nothing below it.
pub use samara_wire::{Encoded, FRAME_OVERHEAD_MAX, FrameError, REASON_MAX, RawFrame};

/// Largest frame that any link carries: header, body and CRC. Unit: bytes.
pub const FRAME_LEN_MAX: u32 = FRAME_BODY_MAX + FRAME_OVERHEAD_MAX;

/// Names one link for as long as it lives. Chosen by the node, never reused in a process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "an opaque number")]
pub struct LinkId(pub u64);

impl fmt::Debug for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link{}", self.0)
    }
}

/// The two queues of a link. A link without lanes of its own serves `Control` first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "two lanes by RFC 0001")]
pub enum Lane {
    /// Everything small: session control, wants, cancels.
    Control,
    /// DATA, and whatever must stay in order with it.
    Bulk,
}

/// What a link is, as far as its driver knows. May change while the link lives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "drivers build it")]
pub struct LinkInfo {
    /// The authenticated peer at the other end.
    pub peer: PeerId,
    /// Whether frames arrive at all (or the link dies).
    pub reliable: bool,
    /// Whether the frames of one lane arrive in the order in which they were sent.
    pub ordered: bool,
    /// Whether the carrier detects corruption itself; without it, frames carry a CRC-32.
    pub integrity: bool,
    /// Largest frame. Unit: bytes, at most [`FRAME_LEN_MAX`].
    pub frame_len_max: u32,
    /// Expected rate, if known. Unit: bytes per second.
    pub rate: Option<u64>,
    /// Round-trip time, if known.
    pub rtt: Option<Duration>,
    /// Relative price of a byte; 0 is free.
    pub cost: u32,
    /// Hops to the peer; 1 is a neighbour.
    pub hops: u8,
    /// What carries the link at present, for people: `quic`, `quic+tcp`, `memory`.
    pub carrier: &'static str,
}

impl LinkInfo {
    /// A reliable, ordered link with its own integrity and encryption, such as QUIC.
    #[must_use]
    pub const fn reliable(peer: PeerId, carrier: &'static str) -> Self {
        Self {
            peer,
            reliable: true,
            ordered: true,
            integrity: true,
            frame_len_max: FRAME_LEN_MAX,
            rate: None,
            rtt: None,
            cost: 0,
            hops: 1,
            carrier,
        }
    }
}

/// Why a link is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DownReason {
    /// We closed it.
    Local,
    /// The peer closed it.
    Remote {
        /// What the peer said, if anything. At most 256 bytes are kept.
        reason: String,
    },
    /// Nothing arrived for too long.
    TimedOut,
    /// The carrier failed.
    Failed {
        /// The driver's description.
        reason: String,
    },
    /// The peer sent something that is not a frame.
    Protocol(FrameError),
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("closed here"),
            Self::Remote { reason } if reason.is_empty() => f.write_str("closed by the peer"),
            Self::Remote { reason } => write!(f, "closed by the peer: {reason}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Failed { reason } => write!(f, "failed: {reason}"),
            Self::Protocol(error) => write!(f, "the peer broke the framing: {error}"),
        }
    }
}

/// What a driver reports to the node, in order, for each link.
#[derive(Debug)]
#[non_exhaustive]
pub enum LinkEvent {
    /// A link is open. Always the first event of a link.
    Up {
        /// The new link.
        link: LinkId,
        /// What it is.
        info: LinkInfo,
    },
    /// What is known of the link has changed.
    Changed {
        /// The link.
        link: LinkId,
        /// What it is now.
        info: LinkInfo,
    },
    /// Whole frames arrived on one lane, in order. Drivers batch what one read brought.
    Frames {
        /// The link.
        link: LinkId,
        /// The lane.
        lane: Lane,
        /// The frames.
        frames: Vec<RawFrame>,
    },
    /// The carrier took frames off the lane's queue.
    Sent {
        /// The link.
        link: LinkId,
        /// The lane.
        lane: Lane,
        /// Bytes of frames taken since the last such event.
        bytes: u64,
    },
    /// The link is gone. Always the last event of a link; frames not yet `Sent` are lost.
    Down {
        /// The link.
        link: LinkId,
        /// Why.
        reason: DownReason,
    },
}

/// A frame on its way out, with the lane that it belongs to.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a pair")]
pub struct Outgoing {
    /// The lane.
    pub lane: Lane,
    /// The frame.
    pub frame: Encoded,
}

/// Cuts whole frames off a byte stream. For drivers whose carrier has no message borders and has
/// its own integrity.
#[derive(Debug)]
pub struct FrameReader {
    decoder: FrameDecoder,
}

impl FrameReader {
    /// A reader that refuses frames with a body above `body_max` bytes.
    #[must_use]
    pub fn new(body_max: u32) -> Self {
        Self { decoder: FrameDecoder::new(body_max, false) }
    }

    /// Splits the next whole frame off `buffer` without copying; `None` until more bytes are there.
    ///
    /// # Errors
    ///
    /// [`FrameError`] if the bytes can't be a frame: close the link.
    pub fn next_frame(&mut self, buffer: &mut BytesMut) -> Result<Option<RawFrame>, FrameError> {
        self.decoder.decode(buffer)
    }

    /// How many more bytes the current frame needs, at least one: what a driver makes room for
    /// before it reads on, so that a frame lands in one buffer and is never moved.
    #[must_use]
    pub const fn need(&self) -> usize {
        self.decoder.need()
    }
}
