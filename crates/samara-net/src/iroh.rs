//! Links over the internet and the LAN: QUIC by the `iroh` engine.
//!
//! A link is one QUIC connection between two Ed25519 identities with five bidirectional streams:
//! one for the control lane, with the higher priority, so that a cancel overtakes the bulk that
//! waits before it, and four for the bulk lane, whose frames take them in turn. The side that dials
//! opens them and writes one byte on each: 0 for the control lane, 1 to 4 for the bulk lane. After
//! that, whole frames of RFC 0003 without CRC follow in both directions, frame *n* of the bulk lane
//! on stream 1 + *n* modulo 4: QUIC has its own integrity.
//!
//! ```mermaid
//! sequenceDiagram
//!     participant A as dials
//!     participant B as accepts
//!     A->>B: QUIC, TLS 1.3, raw Ed25519 keys both ways, ALPN samara/1
//!     A->>B: streams 0 to 4, one byte each: 0, 1, 2, 3, 4
//!     B->>A: stream 0, four bytes: where B takes TCP
//!     Note over A,B: Up on both sides, frames in both directions
//!     A->>B: end of stream 0 (A closes)
//!     B->>A: end of stream 0 (B has read to the end)
//!     A->>B: CONNECTION_CLOSE with a code and at most 256 bytes of reason
//! ```
//!
//! | code | means |
//! | --- | --- |
//! | 0 | closed in order, or replaced by a newer link |
//! | 1 | the peer broke the protocol: an unknown stream, a reset lane, bytes that are no frame |
//! | 2 | the TCP connection of the bulk lane ended before the link |
//!
//! After 1 MiB of bulk on a direct path of at most [`Tuning::tcp_rtt_max`], the bulk lane goes over
//! to TLS on TCP, for which A dials B: RFC 0001, "The bulk lane over TCP". A socket listens at the
//! port of each QUIC socket, or at any other if that one is taken for TCP. Whatever fails about it
//! leaves the lane on QUIC; only a connection that breaks later ends the link, and keeps the two
//! peers on QUIC for a minute unless a killed process is the likelier cause.
//!
//! ```
//! use samara_base::PeerId;
//! use samara_net::driver::{Driver, PeerAddr};
//! use samara_net::events::{EventLimits, events};
//! use samara_net::iroh::{IrohDriver, IrohOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let loopback = "127.0.0.1:0".parse()?;
//! // `direct` is the mode without relays, discovery, DNS or any traffic that nobody asked for.
//! let bind = |secret: [u8; 32]| async move {
//!     let (sink, events) = events(EventLimits::default());
//!     let options = IrohOptions { bind: Some(loopback), ..IrohOptions::direct() };
//!     Ok::<_, Box<dyn std::error::Error>>((IrohDriver::bind(secret, options, sink).await?, events))
//! };
//! let (alice, _events) = bind([1; 32]).await?;
//! let (bob, _events) = bind([2; 32]).await?;
//!
//! let address = bob.addrs().borrow().for_peer(bob.local());
//! let link = alice.dial(address).await?;
//! assert_eq!(alice.dial(PeerAddr::new(bob.local())).await?, link);
//!
//! alice.shutdown().await;
//! bob.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Address lifecycle
//!
//! [`Driver::addrs`] starts with what the sockets are bound to. A socket bound to all interfaces
//! stands for one address for each of them, updated when interfaces come and go; loopback counts
//! only if there is nothing else. When a relay is on, its URL appears as soon as it answered, and
//! the address that a NAT shows to the outside joins the direct ones. A driver that is bound to one
//! address has that one for ever. Give others [`LocalAddrs::for_peer`] as it is *then*; a peer that
//! moved is found again by its relay or by LAN discovery, if they are on.
//!
//! # What the engine gets wrong by default and this module sets
//!
//! | knob | engine | here | because |
//! | --- | --- | --- | --- |
//! | streams for bulk | – | 4 | a stream's window cannot exceed 2 MiB, see [`Tuning::stream_receive_window`] |
//! | receive window | 1.25 MB a stream | 2 MiB, growing to 10 MiB a link | a path of 100 ms is not capped at 12.5 MB/s, a LAN has no 10 MiB of queue |
//! | congestion control | CUBIC | [`Congestion::Patient`] | with 1 % of loss at 20 ms: CUBIC 1 MB/s, this 8, BBR3 9 |
//! | idle time-out | 30 s | 10 s | a dead source is noticed while the user still looks |
//! | largest packet tried | 1452 | 1472 bytes | Ethernet over IPv4; the engine cannot go beyond |
//! | control lane | unread packets end the connection | 2 MiB are read ahead of the node | a node that is starved for a moment keeps its link |
//! | writers | in the order of blocking | bulk waits for control | the engine wakes the last blocked writer first, which is bulk, for ever |
//! | LAN discovery | off | on | most of the time there is no internet |
//!
//! Measured with `examples/raw_throughput.rs`, release build, two processes on a machine of two
//! cores, medians of three: 1 GiB in frames of 256 KiB over loopback takes 1.2 s, with 1.2 CPU
//! seconds and 21 MiB resident at the receiver, 0.6 and 15 at the sender. With `--no-tcp` it takes
//! 3.8 s, 3.5 and 3.3 CPU seconds; BBR3 half as much again. Acknowledging less often and starting
//! with larger packets changed nothing.

mod accept;
mod address;
mod codes;
mod failure;
mod lane;
mod link;
mod patient;
mod tcp;
mod tls;
mod tuning;
mod upgrade;
mod window;

use core::{fmt, net::SocketAddr, time::Duration};
use std::sync::{Arc, Mutex};

use futures::{FutureExt, StreamExt, future::BoxFuture};
use iroh::{
    Endpoint, RelayMode, RelayUrl, SecretKey, Watcher,
    endpoint::{Connection, presets},
};
use iroh_mdns_address_lookup::MdnsAddressLookup;
use samara_base::PeerId;
use samara_mesh::link::{FRAME_LEN_MAX, LinkId, Outgoing};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, watch},
    time::timeout,
};

pub use self::tuning::{Congestion, Tuning};
use self::{link::Claim, tcp::Tcp};
use crate::{
    driver::{BindError, DialError, Driver, LocalAddrs, PeerAddr, SendError},
    events::EventSink,
    links::{self, Links, lock},
};

/// The link protocol's name in the TLS handshake. A change that old peers cannot follow gets a new
/// one.
pub const ALPN: &[u8] = b"samara/1";

/// Which relay servers help peers that cannot reach each other directly. A relay sees who talks to
/// whom and how much, never what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Relay {
    /// None. Direct addresses and LAN discovery must do.
    #[default]
    Off,
    /// The public servers of the engine's makers.
    Default,
    /// One server of your own, by its URL.
    Custom(String),
}

/// How to run the driver. Start from [`IrohOptions::direct`] or [`IrohOptions::default`].
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "configuration, built by literal")]
pub struct IrohOptions {
    /// UDP socket to bind, and no other. `None`: any free port on all interfaces, IPv4 and IPv6. Port
    /// 0 is any free port. Unless [`Tuning::tcp_rtt_max`] is zero, TCP listens at the same address:
    /// at the same port if it is free, else at any.
    pub bind: Option<SocketAddr>,
    /// Relay servers.
    pub relay: Relay,
    /// Whether to find and be found by peers on the LAN, by mDNS. Where the network cannot do that,
    /// the driver runs without; see [`IrohDriver::discovery`].
    pub lan_discovery: bool,
    /// How long a dial may take.
    pub dial_timeout: Duration,
    /// How long a peer that dialled may take to open its lanes.
    pub accept_timeout: Duration,
    /// Silence after which a peer counts as dead. Both sides' values hold: the smaller one counts.
    /// From 1 s to 30 s.
    pub idle_timeout: Duration,
    /// How long a closing link waits for its control lane to reach the peer.
    pub linger: Duration,
    /// Links open at the same time, in both directions.
    pub links_max: usize,
    /// What a lane may hold that was not sent. Unit: bytes.
    pub queue_bytes: u64,
    /// Longest frame to send and to accept. Unit: bytes, at most [`FRAME_LEN_MAX`].
    pub frame_len_max: u32,
    /// Windows, congestion control and the rest.
    pub tuning: Tuning,
}

impl Default for IrohOptions {
    /// Any free port, public relays, LAN discovery; dead peers are noticed within 10 s.
    fn default() -> Self {
        Self {
            bind: None,
            relay: Relay::Default,
            lan_discovery: true,
            dial_timeout: Duration::from_secs(10),
            accept_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(10),
            linger: Duration::from_millis(500),
            links_max: 256,
            queue_bytes: 8 << 20,
            frame_len_max: FRAME_LEN_MAX,
            tuning: Tuning::default(),
        }
    }
}

impl IrohOptions {
    /// Only the addresses that are given: no relay, no discovery, no DNS, not one packet to anybody
    /// but the peers dialled.
    #[must_use]
    pub fn direct() -> Self {
        Self { relay: Relay::Off, lan_discovery: false, ..Self::default() }
    }

    fn check(&self) -> Result<(), BindError> {
        let bad = |option, must| Err(BindError::BadOption { option, must });
        if self.idle_timeout < Duration::from_secs(1) || self.idle_timeout > Duration::from_secs(30)
        {
            return bad("idle_timeout", "from 1 s to 30 s");
        }
        if self.frame_len_max < 64 || self.frame_len_max > FRAME_LEN_MAX {
            return bad("frame_len_max", "from 64 bytes to the protocol's largest frame");
        }
        if self.queue_bytes < u64::from(self.frame_len_max) {
            return bad("queue_bytes", "at least frame_len_max");
        }
        if self.links_max == 0 || self.links_max > 65_536 {
            return bad("links_max", "from 1 to 65536");
        }
        self.tuning.check()
    }
}

/// What the driver, its accept loop and its links share.
#[derive(Debug)]
struct Shared {
    endpoint: Endpoint,
    local: PeerId,
    options: IrohOptions,
    sink: EventSink,
    links: Links,
    addrs: watch::Sender<LocalAddrs>,
    discovery: Mutex<Discovery>,
    tcp: Arc<Tcp>,
}

/// What became of LAN discovery.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Discovery {
    /// Not wanted.
    Off,
    /// Peers on the LAN can be dialled without an address.
    On,
    /// It could not start, and will be tried again when the network changes: no multicast, or
    /// another program keeps UDP port 5353 for itself.
    Failed {
        /// What the engine said.
        reason: String,
    },
}

/// Name of the service on the LAN, so that only Samara's nodes are told of each other.
const SERVICE: &str = "samara1";

impl Shared {
    /// Starts LAN discovery if it is wanted and not on.
    fn discover(&self) {
        let mut discovery = lock(&self.discovery);
        if !self.options.lan_discovery || *discovery == Discovery::On {
            return;
        }
        // An error means that the endpoint is closed; then nothing is to be discovered.
        let Ok(services) = self.endpoint.address_lookup() else { return };
        *discovery =
            match MdnsAddressLookup::builder().service_name(SERVICE).build(self.endpoint.id()) {
                Ok(mdns) => {
                    services.add(mdns);
                    Discovery::On
                }
                Err(error) => {
                    let reason = error.to_string();
                    tracing::warn!(reason, "LAN discovery is off until the network changes");
                    Discovery::Failed { reason }
                }
            };
    }
}

/// The `iroh` driver. Needs a tokio runtime with IO and time. Dropping it shuts it down in the
/// background; await [`shutdown`](Driver::shutdown) to be sure that peers learn of it.
pub struct IrohDriver {
    shared: Arc<Shared>,
    runtime: Handle,
}

impl Drop for IrohDriver {
    fn drop(&mut self) {
        self.runtime.spawn(self.shutdown());
    }
}

impl fmt::Debug for IrohDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IrohDriver")
            .field("peer", &self.shared.local)
            .field("addrs", &*self.shared.addrs.borrow())
            .finish_non_exhaustive()
    }
}

impl IrohDriver {
    /// Binds the sockets and starts to accept links, which are reported to `sink`. The Ed25519
    /// secret key makes the identity: its public key is the [`PeerId`].
    ///
    /// # Errors
    ///
    /// [`BindError`], in particular [`AddressInUse`](BindError::AddressInUse): the port asked for
    /// is bound or nothing is.
    pub async fn bind(
        secret_key: [u8; 32],
        options: IrohOptions,
        sink: EventSink,
    ) -> Result<Self, BindError> {
        options.check()?;
        let relay_mode = match &options.relay {
            Relay::Off => RelayMode::Disabled,
            Relay::Default => RelayMode::Default,
            Relay::Custom(url) => RelayMode::custom([relay_url(url)
                .map_err(|reason| BindError::BadRelay { url: url.clone(), reason })?]),
        };
        let mut builder = Endpoint::builder(presets::Minimal)
            .secret_key(SecretKey::from_bytes(&secret_key))
            .alpns(vec![ALPN.to_vec()])
            .relay_mode(relay_mode)
            .transport_config(options.tuning.transport(&options));
        if let Some(addr) = options.bind {
            builder = builder
                .clear_ip_transports()
                .bind_addr(addr)
                .map_err(|error| BindError::Failed { reason: error.to_string() })?;
        }
        let endpoint = builder.bind().await.map_err(|error| failure::bind(error, options.bind))?;
        let local = PeerId::from_bytes(*endpoint.id().as_bytes());
        let mut watcher = endpoint.watch_addr();
        let addrs = watch::Sender::new(address::local(&watcher.get()));
        let links = Links::new(options.links_max);
        let discovery = Mutex::new(Discovery::Off);
        let near = options.tuning.tcp_rtt_max > Duration::ZERO;
        let bound = if near { endpoint.bound_sockets() } else { Vec::new() };
        let (tcp, listeners) = Tcp::bind(&secret_key, local, &bound);
        let tcp = Arc::new(tcp);
        let shared =
            Arc::new(Shared { endpoint, local, options, sink, links, addrs, discovery, tcp });
        shared.discover();
        for listener in listeners {
            let accept = tcp::accept(Arc::downgrade(&shared), listener);
            let closed = shared.endpoint.closed();
            tokio::spawn(closed.run_until(accept));
        }
        tokio::spawn(accept::accept(Arc::clone(&shared)));
        let follow = Arc::downgrade(&shared);
        let closed = shared.endpoint.closed();
        tokio::spawn(closed.run_until(async move {
            let mut changes = watcher.stream();
            while let Some(now) = changes.next().await
                && let Some(shared) = follow.upgrade()
            {
                shared.discover();
                shared.addrs.send_if_modified(|current| {
                    let new = address::local(&now);
                    let changed = *current != new;
                    *current = new;
                    changed
                });
            }
        }));
        Ok(Self { shared, runtime: Handle::current() })
    }

    /// Whether LAN discovery is on. It hears what the system's default route leads to; a LAN without
    /// one, as between two machines on a cable, needs addresses.
    #[must_use]
    pub fn discovery(&self) -> Discovery {
        lock(&self.shared.discovery).clone()
    }

    /// The UDP sockets that are bound.
    #[must_use]
    pub fn bound(&self) -> Vec<SocketAddr> {
        self.shared.endpoint.bound_sockets()
    }

    /// Tells the engine that the network may have changed. Only needed where the system does not
    /// say so, as on Android.
    pub async fn network_changed(&self) {
        self.shared.endpoint.network_change().await;
    }
}

fn relay_url(url: &str) -> Result<RelayUrl, String> {
    url.parse::<RelayUrl>().map_err(|error| error.to_string())
}

impl Driver for IrohDriver {
    fn name(&self) -> &'static str {
        "iroh"
    }

    fn local(&self) -> PeerId {
        self.shared.local
    }

    fn addrs(&self) -> watch::Receiver<LocalAddrs> {
        self.shared.addrs.subscribe()
    }

    fn dial(&self, addr: PeerAddr) -> BoxFuture<'static, Result<LinkId, DialError>> {
        let shared = Arc::clone(&self.shared);
        async move {
            if addr.peer == shared.local {
                return Err(DialError::Itself);
            }
            if let Some(link) = shared.links.linked(addr.peer) {
                return Ok(link);
            }
            let attempt = Arc::clone(&shared);
            shared.links.dial_once(addr.peer, move || connect(attempt, addr)).await
        }
        .boxed()
    }

    fn send(&self, link: LinkId, frames: Vec<Outgoing>) -> Result<(), SendError> {
        self.shared.links.send(link, frames)
    }

    fn close(&self, link: LinkId, reason: &str) {
        self.shared.links.close(link, reason);
    }

    fn shutdown(&self) -> BoxFuture<'static, ()> {
        let shared = Arc::clone(&self.shared);
        async move {
            let options = &shared.options;
            let within = options.linger.saturating_add(Duration::from_secs(2));
            shared.links.shut("shutting down", within).await;
            shared.endpoint.close().await;
        }
        .boxed()
    }
}

/// Makes a connection, opens both lanes and starts the link.
async fn connect(shared: Arc<Shared>, addr: PeerAddr) -> Result<LinkId, DialError> {
    let slot = shared.links.slot()?;
    let after = shared.options.dial_timeout;
    let peer = addr.peer;
    let endpoint_addr = address::remote(&addr, shared.options.relay != Relay::Off)?;
    let dial = async {
        let connection = shared
            .endpoint
            .connect(endpoint_addr, ALPN)
            .await
            .map_err(|error| failure::dial(&error, peer, after))?;
        let streams = link::open(&connection)
            .await
            .map_err(|error| failure::connection(&error, peer, after))?;
        Ok((connection, streams))
    };
    let dial = async {
        tokio::select! {
            dialled = timeout(after, dial) => {
                dialled.unwrap_or(Err(DialError::TimedOut { after }))
            }
            () = shared.links.closing() => Err(DialError::Closed),
        }
    };
    let (connection, streams) = dial.await?;
    let (up, is_up) = tokio::sync::oneshot::channel();
    let link = start(&shared, connection, streams, Claim::Opens, slot, Some(up))?;
    is_up.await.map_err(|_ended| DialError::Closed)?;
    Ok(link)
}

/// Puts a connection with both lanes into the table and spawns the task that runs it.
fn start(
    shared: &Arc<Shared>,
    connection: Connection,
    streams: link::Streams,
    claim: Claim,
    slot: OwnedSemaphorePermit,
    up: Option<tokio::sync::oneshot::Sender<()>>,
) -> Result<LinkId, DialError> {
    let peer = link::peer(&connection);
    let options = &shared.options;
    let handle = links::Handle::new(
        shared.sink.next_link(),
        peer,
        matches!(claim, Claim::Waits(_)),
        options.queue_bytes,
        options.frame_len_max,
    );
    if let Err(error) = shared.links.insert(&handle) {
        connection.close(link::CODE_CLOSED, b"shutting down");
        return Err(error);
    }
    let link = handle.link;
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        link::live(&shared, &handle, &connection, streams, claim, up).await;
        shared.links.remove(handle.link);
        drop(slot);
    });
    Ok(link)
}
