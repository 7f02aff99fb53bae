//! The one queue through which every driver of a node reports: bounded in events and in bytes.
//!
//! A bound on events alone would let a hundred large frames wait; a bound on bytes alone would let
//! a million empty ones. A driver that meets a full queue stops reading, the carrier's flow control
//! then stops the peer: no memory grows because a node is slow.
//!
//! ```
//! use samara_base::PeerId;
//! use samara_mesh::link::{LinkEvent, LinkInfo};
//! use samara_net::events::{EventLimits, events};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (sink, mut events) = events(EventLimits::default());
//! let link = sink.next_link();
//! let info = LinkInfo::reliable(PeerId::from_bytes([7; 32]));
//! sink.send(LinkEvent::Up { link, info }).await?;
//! assert!(matches!(events.recv().await, Some(LinkEvent::Up { .. })));
//! # Ok(())
//! # }
//! ```

use core::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
};
use std::sync::Arc;

use samara_mesh::link::{LinkEvent, LinkId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How much may wait between the drivers and the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "configuration, built by literal")]
pub struct EventLimits {
    /// Events. At least 1.
    pub events: usize,
    /// Bytes of received frames. One batch of frames may exceed it when nothing else waits.
    pub frame_bytes: u32,
}

impl Default for EventLimits {
    /// 256 events, 4 MiB of frames.
    fn default() -> Self {
        Self { events: 256, frame_bytes: 4 << 20 }
    }
}

/// The node has dropped its [`Events`]: nobody will ever see what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "says all there is")]
pub struct NodeGone;

impl fmt::Display for NodeGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the node no longer takes events: shut the driver down")
    }
}

impl core::error::Error for NodeGone {}

/// Bytes that an event holds while it waits; given back when the node takes it.
type Held = Option<OwnedSemaphorePermit>;

/// Makes the queue of one node. Give clones of the sink to its drivers.
#[must_use]
pub fn events(limits: EventLimits) -> (EventSink, Events) {
    let (sender, receiver) = mpsc::channel(limits.events.max(1));
    let frame_bytes = limits.frame_bytes.max(1);
    let sink = EventSink {
        sender,
        bytes: Arc::new(Semaphore::new(usize::try_from(frame_bytes).unwrap_or(usize::MAX >> 3))),
        frame_bytes,
        links: Arc::new(AtomicU64::new(0)),
    };
    (sink, Events { receiver })
}

/// The drivers' end of the queue. Clones belong to the same node.
#[derive(Clone, Debug)]
pub struct EventSink {
    sender: mpsc::Sender<(LinkEvent, Held)>,
    bytes: Arc<Semaphore>,
    frame_bytes: u32,
    links: Arc<AtomicU64>,
}

impl EventSink {
    /// A name for a new link, never given before on this queue.
    #[must_use]
    pub fn next_link(&self) -> LinkId {
        LinkId(self.links.fetch_add(1, Ordering::Relaxed))
    }

    /// Reports an event, waiting while the queue is full. Waiting drivers take turns.
    ///
    /// # Errors
    ///
    /// [`NodeGone`] if the node has dropped its end.
    pub async fn send(&self, event: LinkEvent) -> Result<(), NodeGone> {
        let held = match &event {
            LinkEvent::Frames { frames, .. } => {
                let bytes: usize = frames
                    .iter()
                    .map(|frame| frame.body.len() + size_of_val(frame))
                    .fold(0, usize::saturating_add);
                let permits = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.frame_bytes);
                let bytes = Arc::clone(&self.bytes);
                Some(bytes.acquire_many_owned(permits).await.map_err(|_closed| NodeGone)?)
            }
            _ => None,
        };
        self.sender.send((event, held)).await.map_err(|_closed| NodeGone)
    }

    /// Reports an event that holds no frames, if there is room for it now.
    pub(crate) fn try_send(&self, event: LinkEvent) -> bool {
        self.sender.try_send((event, None)).is_ok()
    }

    /// Waits until the node has dropped its end.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }
}

/// The node's end of the queue.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::Receiver<(LinkEvent, Held)>,
}

impl Events {
    /// The next event; `None` when all drivers are gone. Cancel-safe.
    pub async fn recv(&mut self) -> Option<LinkEvent> {
        self.receiver.recv().await.map(|(event, _held)| event)
    }

    /// The next event if one waits.
    pub fn try_recv(&mut self) -> Option<LinkEvent> {
        self.receiver.try_recv().ok().map(|(event, _held)| event)
    }

    /// [`recv`](Self::recv) for hand-written futures.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<LinkEvent>> {
        self.receiver.poll_recv(cx).map(|item| item.map(|(event, _held)| event))
    }
}
