//! The one queue through which every driver of a node reports: bounded in events and in bytes.
//!
//! A bound on events alone would let a hundred large frames wait; a bound on bytes alone would let
//! a million empty ones. A driver that meets a full queue stops reading, the carrier's flow control
//! then stops the peer: no memory grows because a node is slow.
//!
//! The queue has two halves. Bulk frames and the end of a link wait in one, everything else in the
//! other, which is served first: a cancel reaches the node before the bulk that it cancels.
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
//! let info = LinkInfo::reliable(PeerId::from_bytes([7; 32]), "memory");
//! sink.send(LinkEvent::Up { link, info }).await?;
//! assert!(matches!(events.recv().await, Some(LinkEvent::Up { .. })));
//! # Ok(())
//! # }
//! ```

use core::{
    fmt,
    future::poll_fn,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, Waker},
};
use std::sync::Arc;

use samara_mesh::link::{Lane, LinkEvent, LinkId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How much may wait between the drivers and the node, in each of the queue's two halves: what is
/// urgent, and bulk frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "configuration, built by literal")]
pub struct EventLimits {
    /// Events. At least 1.
    pub events: usize,
    /// Bytes of received frames, a quarter of it for control frames. One batch may exceed it when
    /// nothing else waits.
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

/// An event, and the bytes that it holds while it waits, given back when the node takes it.
type Item = (LinkEvent, Option<OwnedSemaphorePermit>);

/// Part of the byte limit that control frames have for themselves.
pub(crate) const CONTROL_SHARE: u32 = 4;

/// Makes the queue of one node. Give clones of the sink to its drivers.
#[must_use]
pub fn events(limits: EventLimits) -> (EventSink, Events) {
    let half = |bytes: u32| {
        let (sender, receiver) = mpsc::channel(limits.events.max(1));
        let permits = usize::try_from(bytes.max(1)).unwrap_or(Semaphore::MAX_PERMITS);
        (Half { sender, bytes: Arc::new(Semaphore::new(permits)), limit: bytes.max(1) }, receiver)
    };
    let control = limits.frame_bytes / CONTROL_SHARE;
    let (urgent, urgent_receiver) = half(control);
    let (rest, rest_receiver) = half(limits.frame_bytes - control);
    let sink = EventSink { urgent, rest, links: Arc::new(AtomicU64::new(0)) };
    (sink, Events { urgent: urgent_receiver, rest: rest_receiver, held: None })
}

#[derive(Clone, Debug)]
struct Half {
    sender: mpsc::Sender<Item>,
    bytes: Arc<Semaphore>,
    limit: u32,
}

impl Half {
    /// What the event counts against the limit, if anything. Unit: bytes.
    fn weigh(&self, event: &LinkEvent) -> Option<u32> {
        let LinkEvent::Frames { frames, .. } = event else { return None };
        let bytes: usize = frames
            .iter()
            .map(|frame| frame.body.len() + size_of_val(frame))
            .fold(0, usize::saturating_add);
        Some(u32::try_from(bytes).unwrap_or(u32::MAX).min(self.limit))
    }
}

/// The drivers' end of the queue. Clones belong to the same node.
#[derive(Clone, Debug)]
pub struct EventSink {
    urgent: Half,
    /// Bulk frames, and whatever must come after them.
    rest: Half,
    links: Arc<AtomicU64>,
}

impl EventSink {
    //= rfcs/0001-architecture.md#link-2
    //# A driver MUST NOT use the number of a link again in the same process.
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
        let half = self.half(&event);
        let held = match half.weigh(&event) {
            Some(bytes) => {
                let permits = Arc::clone(&half.bytes).acquire_many_owned(bytes);
                Some(permits.await.map_err(|_closed| NodeGone)?)
            }
            None => None,
        };
        half.sender.send((event, held)).await.map_err(|_closed| NodeGone)
    }

    /// Reports an event if there is room for it now; `false` if not, and the event is dropped.
    /// For news that the next look brings again.
    #[must_use]
    pub fn try_send(&self, event: LinkEvent) -> bool {
        let half = self.half(&event);
        let held = half
            .weigh(&event)
            .map(|bytes| Arc::clone(&half.bytes).try_acquire_many_owned(bytes))
            .transpose();
        held.is_ok_and(|held| half.sender.try_send((event, held)).is_ok())
    }

    const fn half(&self, event: &LinkEvent) -> &Half {
        match event {
            LinkEvent::Frames { lane: Lane::Bulk, .. } | LinkEvent::Down { .. } => &self.rest,
            _ => &self.urgent,
        }
    }

    /// Waits until the node has dropped its end.
    pub async fn closed(&self) {
        self.rest.sender.closed().await;
    }
}

/// The node's end of the queue.
#[derive(Debug)]
pub struct Events {
    urgent: mpsc::Receiver<Item>,
    rest: mpsc::Receiver<Item>,
    /// Taken off `rest`, to be handed out when nothing urgent waits any more.
    held: Option<Item>,
}

impl Events {
    /// The next event; `None` when all drivers are gone. Cancel-safe.
    pub async fn recv(&mut self) -> Option<LinkEvent> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next event if one waits.
    pub fn try_recv(&mut self) -> Option<LinkEvent> {
        match self.poll_recv(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(event) => event,
            Poll::Pending => None,
        }
    }

    /// [`recv`](Self::recv) for hand-written futures.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<LinkEvent>> {
        // Taken first and handed out last: what a link reported as urgent before it, its `Up` in
        // particular, is in the other half by now.
        let mut rest_open = true;
        if self.held.is_none() {
            match self.rest.poll_recv(cx) {
                Poll::Ready(Some(item)) => self.held = Some(item),
                Poll::Ready(None) => rest_open = false,
                Poll::Pending => {}
            }
        }
        match self.urgent.poll_recv(cx) {
            Poll::Ready(Some((event, _held))) => return Poll::Ready(Some(event)),
            Poll::Ready(None) if self.held.is_none() && !rest_open => return Poll::Ready(None),
            Poll::Ready(None) | Poll::Pending => {}
        }
        match self.held.take() {
            Some((event, _held)) => Poll::Ready(Some(event)),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use samara_base::PeerId;
    use samara_mesh::link::{DownReason, LinkInfo, RawFrame};

    use super::*;

    fn frames(link: LinkId, lane: Lane, length: usize) -> LinkEvent {
        let frame = RawFrame { kind: 0x21, body: Bytes::from(vec![0; length]) };
        LinkEvent::Frames { link, lane, frames: vec![frame] }
    }

    fn up(link: LinkId) -> LinkEvent {
        LinkEvent::Up { link, info: LinkInfo::reliable(PeerId::from_bytes([1; 32]), "memory") }
    }

    #[tokio::test]
    async fn control_overtakes_bulk_and_down_stays_last() {
        let (sink, mut events) = events(EventLimits::default());
        let link = sink.next_link();
        sink.send(up(link)).await.unwrap();
        sink.send(frames(link, Lane::Bulk, 10)).await.unwrap();
        sink.send(frames(link, Lane::Control, 20)).await.unwrap();
        sink.send(LinkEvent::Down { link, reason: DownReason::Local }).await.unwrap();
        drop(sink);
        let mut seen = Vec::new();
        while let Some(event) = events.recv().await {
            seen.push(match event {
                LinkEvent::Up { .. } => "up",
                LinkEvent::Frames { lane: Lane::Control, .. } => "control",
                LinkEvent::Frames { .. } => "bulk",
                LinkEvent::Down { .. } => "down",
                _ => "other",
            });
        }
        assert_eq!(seen, ["up", "control", "bulk", "down"]);
    }

    #[tokio::test]
    async fn bytes_are_bounded_and_given_back() {
        let (sink, mut events) = events(EventLimits { events: 100, frame_bytes: 4_000 });
        let link = sink.next_link();
        let mut third = Box::pin(async {
            for _ in 0..3 {
                sink.send(frames(link, Lane::Bulk, 1_000)).await.unwrap();
            }
        });
        assert!(futures::poll!(third.as_mut()).is_pending(), "3,000 bytes for bulk, less headers");
        assert!(events.try_recv().is_some());
        assert!(futures::poll!(third.as_mut()).is_ready());
        // A batch beyond the limit passes alone.
        while events.try_recv().is_some() {}
        sink.send(frames(link, Lane::Bulk, 1_000_000)).await.unwrap();
    }

    #[tokio::test]
    async fn events_are_bounded() {
        let (sink, mut events) = events(EventLimits { events: 2, frame_bytes: 1 << 20 });
        assert!(sink.try_send(up(sink.next_link())));
        assert!(sink.try_send(up(sink.next_link())));
        assert!(!sink.try_send(up(sink.next_link())));
        assert!(events.recv().await.is_some());
        assert!(sink.try_send(up(sink.next_link())));
    }

    #[tokio::test]
    async fn drivers_learn_that_the_node_is_gone() {
        let (sink, events) = events(EventLimits::default());
        drop(events);
        sink.closed().await;
        assert_eq!(sink.send(up(sink.next_link())).await, Err(NodeGone));
    }
}
