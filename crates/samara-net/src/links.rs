//! What every driver needs beside its carrier: the table of open links, the bounded queue of each,
//! shared dials, and the signal that ends a link.

use core::{future::Future, time::Duration};
#[cfg(feature = "iroh")]
use core::{future::poll_fn, pin::pin, task::ready};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use samara_base::PeerId;
use samara_mesh::link::{DownReason, Encoded, Lane, LinkId, Outgoing, REASON_MAX};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use crate::driver::{DialError, SendError};

/// Both lanes, the more urgent first.
pub(crate) const LANES: [Lane; 2] = [Lane::Control, Lane::Bulk];

/// Locks, and goes on if another thread panicked while it held the lock: every critical section in
/// this crate leaves its data whole at each step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// At most [`REASON_MAX`] bytes of what was said, cut between characters.
pub(crate) fn short_reason(text: &str) -> &str {
    text.get(..text.floor_char_boundary(REASON_MAX)).unwrap_or_default()
}

/// Why a link ends by a decision taken on this side. The first one counts.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// The node closed it, or the driver shuts down.
    Close { reason: String },
    /// The node queued more than the contract allows.
    Overflow { lane: Lane, limit: u64 },
    /// The same peer opened a newer link.
    Replaced,
}

impl Ending {
    /// What the peer is told.
    pub(crate) fn to_peer(&self) -> &str {
        match self {
            Self::Close { reason } => short_reason(reason),
            Self::Overflow { .. } => "internal error",
            Self::Replaced => "replaced by a newer link",
        }
    }

    /// What this node is told.
    pub(crate) fn to_node(&self) -> DownReason {
        match self {
            Self::Close { .. } => DownReason::Local,
            Self::Overflow { lane, limit } => DownReason::Failed {
                reason: format!("more than {limit} bytes were queued on the {lane:?} lane"),
            },
            Self::Replaced => DownReason::Failed {
                reason: "the peer opened a newer link, so it has lost this one".to_owned(),
            },
        }
    }
}

/// One lane's queue.
#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Encoded>,
    /// Bytes queued and not yet reported as `Sent`, including those that a writer has in hand.
    unsent: u64,
    /// Nothing is accepted any more.
    sealed: bool,
}

/// The frames of one link that its carrier has not taken yet.
#[derive(Debug)]
pub(crate) struct Outbox {
    queues: Mutex<[Queue; 2]>,
    ready: [Notify; 2],
    /// The carrier has taken all of the control lane.
    drained: Notify,
    limit: u64,
}

impl Outbox {
    pub(crate) fn new(limit: u64) -> Self {
        Self { queues: Mutex::default(), ready: Default::default(), drained: Notify::new(), limit }
    }

    /// Queues all of the frames or none.
    fn push(
        &self,
        link: LinkId,
        frame_len_max: u32,
        frames: Vec<Outgoing>,
    ) -> Result<(), SendError> {
        let mut added = [0_u64; 2];
        for Outgoing { lane, frame } in &frames {
            let length = frame_len(frame);
            if length > u64::from(frame_len_max) {
                return Err(SendError::FrameTooLong { length, limit: frame_len_max });
            }
            added[index(*lane)] += length;
        }
        {
            let mut queues = lock(&self.queues);
            if queues.iter().any(|queue| queue.sealed) {
                return Err(SendError::NoLink { link });
            }
            for lane in LANES {
                let wanted = queues[index(lane)].unsent.saturating_add(added[index(lane)]);
                if wanted > self.limit {
                    return Err(SendError::QueueFull { lane, limit: self.limit });
                }
            }
            for Outgoing { lane, frame } in frames {
                let queue = &mut queues[index(lane)];
                queue.unsent += frame_len(&frame);
                queue.frames.push_back(frame);
            }
        }
        for lane in LANES {
            if added[index(lane)] > 0 {
                self.ready[index(lane)].notify_one();
            }
        }
        Ok(())
    }

    /// Takes frames until `bytes` are in hand or the queue is empty. `false` if it is empty and
    /// will stay so.
    #[cfg(feature = "iroh")]
    pub(crate) async fn take(&self, lane: Lane, bytes: u64, into: &mut Vec<Encoded>) -> bool {
        loop {
            if self.try_take(lane, bytes, into) {
                return true;
            }
            if lock(&self.queues)[index(lane)].sealed {
                return false;
            }
            self.ready[index(lane)].notified().await;
        }
    }

    /// Takes what is there. `false` if nothing is.
    pub(crate) fn try_take(&self, lane: Lane, bytes: u64, into: &mut Vec<Encoded>) -> bool {
        let mut queues = lock(&self.queues);
        let frames = &mut queues[index(lane)].frames;
        let (mut taken, before) = (0, into.len());
        while taken < bytes
            && let Some(frame) = frames.pop_front()
        {
            taken += frame_len(&frame);
            into.push(frame);
        }
        into.len() > before
    }

    /// Waits until something may have been queued, or the queue was sealed.
    pub(crate) async fn changed(&self) {
        tokio::select! {
            () = self.ready[0].notified() => {}
            () = self.ready[1].notified() => {}
        }
    }

    /// The carrier took these bytes: room for as many is free again.
    pub(crate) fn sent(&self, lane: Lane, bytes: u64) {
        let queue = &mut lock(&self.queues)[index(lane)];
        queue.unsent = queue.unsent.saturating_sub(bytes);
        if lane == Lane::Control && queue.unsent == 0 {
            // Kept for one who comes too late to wait for it.
            self.drained.notify_one();
            self.drained.notify_waiters();
        }
    }

    fn control_waits(&self) -> bool {
        lock(&self.queues)[index(Lane::Control)].unsent > 0
    }

    /// Waits until the carrier has taken all of the control lane.
    pub(crate) async fn drained(&self) {
        while self.control_waits() {
            self.drained.notified().await;
        }
    }

    /// Runs `write`, but not while control frames wait: what the carrier has room for is theirs.
    #[cfg(feature = "iroh")]
    pub(crate) async fn after_control<F: Future>(&self, write: F) -> F::Output {
        let (mut write, mut drained) = (pin!(write), pin!(self.drained()));
        poll_fn(|cx| {
            if self.control_waits() {
                ready!(drained.as_mut().poll(cx));
                drained.set(self.drained());
            }
            write.as_mut().poll(cx)
        })
        .await
    }

    /// Accepts nothing any more and drops what waits on the bulk lane.
    pub(crate) fn seal(&self) {
        let mut queues = lock(&self.queues);
        for queue in queues.iter_mut() {
            queue.sealed = true;
        }
        queues[index(Lane::Bulk)].frames.clear();
        drop(queues);
        for ready in &self.ready {
            ready.notify_one();
        }
    }
}

/// A frame's length on the carrier. Unit: bytes.
pub(crate) fn frame_len(frame: &Encoded) -> u64 {
    u64::try_from(frame.len()).unwrap_or(u64::MAX)
}

const fn index(lane: Lane) -> usize {
    match lane {
        Lane::Control => 0,
        Lane::Bulk => 1,
    }
}

/// One open link, as the driver's methods see it. Its carrier's task owns the rest.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) link: LinkId,
    pub(crate) peer: PeerId,
    /// Whether the peer opened it.
    pub(crate) inbound: bool,
    pub(crate) outbox: Outbox,
    frame_len_max: u32,
    ending: watch::Sender<Option<Ending>>,
}

impl Handle {
    pub(crate) fn new(
        link: LinkId,
        peer: PeerId,
        inbound: bool,
        queue_bytes: u64,
        frame_len_max: u32,
    ) -> Arc<Self> {
        Arc::new(Self {
            link,
            peer,
            inbound,
            outbox: Outbox::new(queue_bytes),
            frame_len_max,
            ending: watch::Sender::new(None),
        })
    }

    /// Ends the link, unless it ends already.
    pub(crate) fn end(&self, ending: Ending) {
        self.outbox.seal();
        self.ending.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(ending);
            }
            first
        });
    }

    /// Waits until somebody ends the link.
    pub(crate) async fn ended(&self) -> Ending {
        let mut ending = self.ending.subscribe();
        let Ok(ending) = ending.wait_for(Option::is_some).await.map(|value| value.clone()) else {
            return core::future::pending().await;
        };
        ending.unwrap_or(Ending::Close { reason: String::new() })
    }

    fn is_ending(&self) -> bool {
        self.ending.borrow().is_some()
    }
}

type SharedDial = Shared<BoxFuture<'static, Result<LinkId, DialError>>>;
type WeakDial = WeakShared<BoxFuture<'static, Result<LinkId, DialError>>>;

#[derive(Debug, Default)]
struct Tables {
    links: BTreeMap<LinkId, Arc<Handle>>,
    dials: BTreeMap<PeerId, WeakDial>,
}

/// The links of one driver.
#[derive(Debug)]
pub(crate) struct Links {
    tables: Mutex<Tables>,
    /// One permit for each link that is open or being opened.
    slots: Arc<Semaphore>,
    limit: usize,
    emptied: Notify,
    closing: watch::Sender<bool>,
}

impl Links {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            tables: Mutex::default(),
            slots: Arc::new(Semaphore::new(limit)),
            limit,
            emptied: Notify::new(),
            closing: watch::Sender::new(false),
        }
    }

    /// Room for one more link, kept while the permit lives.
    pub(crate) fn slot(&self) -> Result<OwnedSemaphorePermit, DialError> {
        if *self.closing.borrow() {
            return Err(DialError::Closed);
        }
        Arc::clone(&self.slots)
            .try_acquire_owned()
            .map_err(|_full| DialError::TooManyLinks { limit: self.limit })
    }

    /// Puts an open link into the table. An inbound one replaces an older inbound one of the same
    /// peer: a peer that opens a second link has lost the first, since it keeps what it has.
    pub(crate) fn insert(&self, handle: &Arc<Handle>) -> Result<(), DialError> {
        let mut tables = lock(&self.tables);
        // Checked under the lock, as `shut` sets it: no link slips in behind it.
        if *self.closing.borrow() {
            return Err(DialError::Closed);
        }
        if handle.inbound {
            for older in tables.links.values() {
                if older.inbound && older.peer == handle.peer {
                    older.end(Ending::Replaced);
                }
            }
        }
        tables.links.insert(handle.link, Arc::clone(handle));
        Ok(())
    }

    pub(crate) fn remove(&self, link: LinkId) {
        let mut tables = lock(&self.tables);
        tables.links.remove(&link);
        if tables.links.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    fn get(&self, link: LinkId) -> Option<Arc<Handle>> {
        lock(&self.tables).links.get(&link).cloned()
    }

    /// A link to the peer that will stay, as far as is known.
    pub(crate) fn linked(&self, peer: PeerId) -> Option<LinkId> {
        let tables = lock(&self.tables);
        let handle =
            tables.links.values().find(|handle| handle.peer == peer && !handle.is_ending())?;
        Some(handle.link)
    }

    /// [`Driver::send`](crate::driver::Driver::send).
    pub(crate) fn send(&self, link: LinkId, frames: Vec<Outgoing>) -> Result<(), SendError> {
        let handle = self.get(link).ok_or(SendError::NoLink { link })?;
        let result = handle.outbox.push(link, handle.frame_len_max, frames);
        if let Err(SendError::QueueFull { lane, limit }) = result {
            handle.end(Ending::Overflow { lane, limit });
        }
        result
    }

    /// [`Driver::close`](crate::driver::Driver::close).
    pub(crate) fn close(&self, link: LinkId, reason: &str) {
        if let Some(handle) = self.get(link) {
            handle.end(Ending::Close { reason: short_reason(reason).to_owned() });
        }
    }

    /// Runs `attempt`, or joins the one that is under way for this peer.
    pub(crate) fn dial_once<F>(
        &self,
        peer: PeerId,
        attempt: impl FnOnce() -> F,
    ) -> BoxFuture<'static, Result<LinkId, DialError>>
    where
        F: Future<Output = Result<LinkId, DialError>> + Send + 'static,
    {
        let mut tables = lock(&self.tables);
        tables.dials.retain(|_peer, dial| dial.upgrade().is_some());
        let running: Option<SharedDial> =
            tables.dials.get(&peer).and_then(WeakShared::upgrade).filter(|dial| {
                // A finished attempt is no answer for a dial made after it.
                dial.peek().is_none()
            });
        let dial = running.unwrap_or_else(|| attempt().boxed().shared());
        if let Some(weak) = dial.downgrade() {
            tables.dials.insert(peer, weak);
        }
        dial.boxed()
    }

    /// Lets no further link open, ends all that are, and waits until they are gone.
    pub(crate) async fn shut(&self, reason: &str, within: Duration) {
        {
            let tables = lock(&self.tables);
            self.closing.send_replace(true);
            for handle in tables.links.values() {
                handle.end(Ending::Close { reason: reason.to_owned() });
            }
        }
        let emptied = async {
            loop {
                let mut notified = core::pin::pin!(self.emptied.notified());
                notified.as_mut().enable();
                if lock(&self.tables).links.is_empty() {
                    return;
                }
                notified.await;
            }
        };
        // A node that takes no events any more would hold the links back for ever.
        if tokio::time::timeout(within, emptied).await.is_err() {
            tracing::warn!("links are still open at shutdown: the node takes no events");
        }
    }

    /// Waits until [`shut`](Self::shut) was called.
    pub(crate) async fn closing(&self) {
        // An error means that the sender is gone, which `self` holds.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }
}
