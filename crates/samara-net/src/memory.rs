//! Links inside one process: for tests, examples and simulations on tokio's clock.
//!
//! A [`MemoryNet`] is a network of peers. Links obey the same contract as those of a real carrier:
//! frames are cut off a byte stream by the same reader, lanes have priorities, a slow receiver
//! holds the sender back, and a link that is [cut](MemoryNet::cut) dies by its time-out. Time is
//! tokio's, so a test with a paused clock runs delays and time-outs at once.
//!
//! ```
//! use bytes::Bytes;
//! use samara_base::PeerId;
//! use samara_mesh::link::{Lane, LinkEvent, Outgoing, RawFrame};
//! use samara_net::driver::{Driver, PeerAddr};
//! use samara_net::events::{EventLimits, events};
//! use samara_net::memory::MemoryNet;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let net = MemoryNet::new();
//! let (sink, _alice_events) = events(EventLimits::default());
//! let alice = net.driver(PeerId::from_bytes([1; 32]), sink)?;
//! let (sink, mut bob_events) = events(EventLimits::default());
//! let bob = net.driver(PeerId::from_bytes([2; 32]), sink)?;
//!
//! let link = alice.dial(PeerAddr::new(bob.local())).await?;
//! // PING with token 7, as RFC 0003 has it.
//! let ping = RawFrame { kind: 0x04, body: Bytes::from_static(&[7]) };
//! alice.send(link, vec![Outgoing { lane: Lane::Control, frame: ping.encode(false)? }])?;
//!
//! assert!(matches!(bob_events.recv().await, Some(LinkEvent::Up { .. })));
//! let Some(LinkEvent::Frames { frames, .. }) = bob_events.recv().await else {
//!     return Err("frames follow".into());
//! };
//! assert_eq!(frames, [ping]);
//! # Ok(())
//! # }
//! ```

mod wire;

use core::{fmt, time::Duration};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, Weak},
};

use futures::{FutureExt, future::BoxFuture};
use samara_base::PeerId;
use samara_mesh::link::{FRAME_LEN_MAX, LinkId, LinkInfo, Outgoing};
use tokio::sync::watch;

use crate::{
    driver::{BindError, DialError, Driver, LocalAddrs, PeerAddr, SendError},
    events::EventSink,
    links::{Ending, Handle, Links, lock},
};

/// What links between two peers are like, in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "configuration, built by literal")]
pub struct Path {
    /// One-way delay.
    pub delay: Duration,
    /// Capacity. Unit: bytes per second; `None` is unlimited.
    pub rate: Option<u64>,
    /// Bytes on the way or not yet taken by the receiver before the sender is held back.
    pub window: u32,
}

impl Default for Path {
    /// No delay, unlimited, 1 MiB of window.
    fn default() -> Self {
        Self { delay: Duration::ZERO, rate: None, window: 1 << 20 }
    }
}

/// What holds for the whole of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "configuration, built by literal")]
pub struct NetOptions {
    /// Links between peers for which [`MemoryNet::set_path`] said nothing.
    pub path: Path,
    /// How long a cut link lives, and how long a dial of an absent peer lasts.
    pub idle_timeout: Duration,
}

impl Default for NetOptions {
    /// The default [`Path`], 10 s.
    fn default() -> Self {
        Self { path: Path::default(), idle_timeout: Duration::from_secs(10) }
    }
}

/// What holds for one driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "configuration, built by literal")]
pub struct MemoryOptions {
    /// What a lane may hold that was not sent. Unit: bytes.
    pub queue_bytes: u64,
    /// Links open at the same time, in both directions.
    pub links_max: usize,
    /// Longest frame to send and to accept. Unit: bytes, at most [`FRAME_LEN_MAX`].
    pub frame_len_max: u32,
}

impl Default for MemoryOptions {
    /// 8 MiB, 256 links, the longest frames.
    fn default() -> Self {
        Self { queue_bytes: 8 << 20, links_max: 256, frame_len_max: FRAME_LEN_MAX }
    }
}

#[derive(Default)]
struct Net {
    drivers: BTreeMap<PeerId, Weak<Node>>,
    paths: BTreeMap<(PeerId, PeerId), Path>,
    /// Whether the pair is cut. An entry appears when either peer first needs it.
    cuts: BTreeMap<(PeerId, PeerId), watch::Sender<bool>>,
}

impl Net {
    fn cut(&mut self, a: PeerId, b: PeerId) -> &watch::Sender<bool> {
        self.cuts.entry(pair(a, b)).or_insert_with(|| watch::Sender::new(false))
    }
}

/// A network of peers inside this process. Clones are the same network.
#[derive(Clone, Default)]
pub struct MemoryNet {
    net: Arc<Mutex<Net>>,
    options: NetOptions,
}

impl fmt::Debug for MemoryNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peers: Vec<PeerId> = lock(&self.net).drivers.keys().copied().collect();
        f.debug_struct("MemoryNet").field("peers", &peers).finish_non_exhaustive()
    }
}

impl MemoryNet {
    /// A network with the default [`NetOptions`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A network with these options.
    #[must_use]
    pub fn with_options(options: NetOptions) -> Self {
        Self { net: Arc::default(), options }
    }

    /// The driver of one peer, which reports to `sink`, with the default [`MemoryOptions`].
    ///
    /// # Errors
    ///
    /// [`BindError::PeerInUse`] while another driver of this peer lives.
    pub fn driver(&self, peer: PeerId, sink: EventSink) -> Result<MemoryDriver, BindError> {
        self.driver_with(peer, MemoryOptions::default(), sink)
    }

    /// The driver of one peer, which reports to `sink`.
    ///
    /// # Errors
    ///
    /// [`BindError::PeerInUse`] while another driver of this peer lives.
    pub fn driver_with(
        &self,
        peer: PeerId,
        options: MemoryOptions,
        sink: EventSink,
    ) -> Result<MemoryDriver, BindError> {
        let mut net = lock(&self.net);
        let taken = net.drivers.get(&peer).and_then(Weak::upgrade);
        if taken.is_some_and(|node| !*node.gone.borrow()) {
            return Err(BindError::PeerInUse { peer });
        }
        let options = MemoryOptions {
            frame_len_max: options.frame_len_max.min(FRAME_LEN_MAX),
            links_max: options.links_max.min(tokio::sync::Semaphore::MAX_PERMITS),
            ..options
        };
        let node = Arc::new(Node {
            peer,
            options,
            sink,
            links: Links::new(options.links_max),
            net: self.clone(),
            addrs: watch::Sender::default(),
            gone: watch::Sender::new(false),
        });
        net.drivers.insert(peer, Arc::downgrade(&node));
        Ok(MemoryDriver { node })
    }

    /// Sets what links between two peers that open from now on are like.
    pub fn set_path(&self, a: PeerId, b: PeerId, path: Path) {
        lock(&self.net).paths.insert(pair(a, b), path);
    }

    /// Stops everything between two peers. Links die by their time-out unless
    /// [healed](Self::heal) before; what was under way then arrives late, but arrives.
    pub fn cut(&self, a: PeerId, b: PeerId) {
        lock(&self.net).cut(a, b).send_replace(true);
    }

    /// Undoes [`cut`](Self::cut).
    pub fn heal(&self, a: PeerId, b: PeerId) {
        lock(&self.net).cut(a, b).send_replace(false);
    }

    fn path(&self, a: PeerId, b: PeerId) -> Path {
        lock(&self.net).paths.get(&pair(a, b)).copied().unwrap_or(self.options.path)
    }
}

fn pair(a: PeerId, b: PeerId) -> (PeerId, PeerId) {
    (a.min(b), a.max(b))
}

struct Node {
    peer: PeerId,
    options: MemoryOptions,
    sink: EventSink,
    links: Links,
    net: MemoryNet,
    addrs: watch::Sender<LocalAddrs>,
    /// The driver was dropped: its links vanish without a word.
    gone: watch::Sender<bool>,
}

/// One peer of a [`MemoryNet`]. Dropping it is pulling its plug: the others learn of it by their
/// time-outs. [`shutdown`](Driver::shutdown) says good-bye.
pub struct MemoryDriver {
    node: Arc<Node>,
}

impl fmt::Debug for MemoryDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDriver").field("peer", &self.node.peer).finish_non_exhaustive()
    }
}

impl Drop for MemoryDriver {
    fn drop(&mut self) {
        self.node.gone.send_replace(true);
    }
}

impl Driver for MemoryDriver {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn local(&self) -> PeerId {
        self.node.peer
    }

    fn addrs(&self) -> watch::Receiver<LocalAddrs> {
        self.node.addrs.subscribe()
    }

    fn dial(&self, addr: PeerAddr) -> BoxFuture<'static, Result<LinkId, DialError>> {
        let node = Arc::clone(&self.node);
        async move {
            if addr.peer == node.peer {
                return Err(DialError::Itself);
            }
            if let Some(link) = node.links.linked(addr.peer) {
                return Ok(link);
            }
            let attempt = Arc::clone(&node);
            node.links.dial_once(addr.peer, || connect(attempt, addr.peer)).await
        }
        .boxed()
    }

    fn send(&self, link: LinkId, frames: Vec<Outgoing>) -> Result<(), SendError> {
        self.node.links.send(link, frames)
    }

    fn close(&self, link: LinkId, reason: &str) {
        self.node.links.close(link, reason);
    }

    fn shutdown(&self) -> BoxFuture<'static, ()> {
        let node = Arc::clone(&self.node);
        async move {
            let within = node.net.options.idle_timeout;
            node.links.shut("shutting down", within).await;
            let mut net = lock(&node.net.net);
            // Only its own entry: the peer may have a new driver already.
            if net.drivers.get(&node.peer).is_some_and(|at| at.as_ptr() == Arc::as_ptr(&node)) {
                net.drivers.remove(&node.peer);
            }
        }
        .boxed()
    }
}

/// Opens a link from `near` to `peer`.
async fn connect(near: Arc<Node>, peer: PeerId) -> Result<LinkId, DialError> {
    let options = near.net.options;
    let slot = near.links.slot()?;
    let path = near.net.path(near.peer, peer);
    let (known, mut cut) = {
        let mut net = lock(&near.net.net);
        (net.drivers.contains_key(&peer), net.cut(near.peer, peer).subscribe())
    };
    if !known {
        return Err(DialError::NoAddress);
    }
    let handshake = async {
        // A closed channel means that the network is gone: nobody answers then.
        if cut.wait_for(|cut| !*cut).await.is_err() {
            core::future::pending::<()>().await;
        }
        tokio::time::sleep(path.delay.saturating_mul(2)).await;
        let far = lock(&near.net.net).drivers.get(&peer).and_then(Weak::upgrade);
        match far {
            Some(far) if !*far.gone.borrow() => far,
            _ => core::future::pending().await,
        }
    };
    let after = options.idle_timeout;
    let far = tokio::select! {
        far = tokio::time::timeout(after, handshake) => {
            far.map_err(|_elapsed| DialError::TimedOut { after })?
        }
        () = near.links.closing() => return Err(DialError::Closed),
    };
    let far_slot = far.links.slot().map_err(|error| DialError::Refused {
        reason: match error {
            DialError::TooManyLinks { .. } => "too many links".to_owned(),
            _ => "shutting down".to_owned(),
        },
    })?;
    let (near_end, far_end) = wire::pair(&path);
    let end = |node: &Arc<Node>, peer: PeerId, inbound: bool| {
        let MemoryOptions { queue_bytes, frame_len_max, .. } = node.options;
        let info = LinkInfo {
            frame_len_max,
            rate: path.rate,
            rtt: Some(path.delay.saturating_mul(2)),
            ..LinkInfo::reliable(peer, "memory")
        };
        let link = node.sink.next_link();
        (Handle::new(link, peer, inbound, queue_bytes, frame_len_max), info)
    };
    let (far_handle, far_info) = end(&far, near.peer, true);
    let (near_handle, near_info) = end(&near, peer, false);
    far.links
        .insert(&far_handle)
        .map_err(|_closing| DialError::Refused { reason: "shutting down".to_owned() })?;
    if let Err(error) = near.links.insert(&near_handle) {
        far.links.remove(far_handle.link);
        return Err(error);
    }
    let link = near_handle.link;
    tokio::spawn(run(far, far_handle, far_info, far_end, cut.clone(), far_slot, None));
    let (up, is_up) = tokio::sync::oneshot::channel();
    tokio::spawn(run(near, near_handle, near_info, near_end, cut, slot, Some(up)));
    is_up.await.map_err(|_ended| DialError::Closed)?;
    Ok(link)
}

/// The life of one end of a link.
async fn run(
    node: Arc<Node>,
    handle: Arc<Handle>,
    info: LinkInfo,
    end: wire::End,
    cut: watch::Receiver<bool>,
    slot: tokio::sync::OwnedSemaphorePermit,
    up: Option<tokio::sync::oneshot::Sender<()>>,
) {
    let mut gone = node.gone.subscribe();
    let sink = node.sink.clone();
    let idle_timeout = node.net.options.idle_timeout;
    let live = async {
        wire::live(&handle, info, end, cut, &sink, idle_timeout, up).await;
    };
    tokio::select! {
        // First, since a node that is dropped whole drops its events as well.
        biased;
        // The plug is pulled: nobody is told anything.
        _ = gone.wait_for(|gone| *gone) => {}
        () = live => {}
    }
    handle.end(Ending::Close { reason: String::new() });
    node.links.remove(handle.link);
    drop(slot);
}
