//! What a node uses of any carrier: [`Driver`], and the addresses and errors that go with it.
//!
//! ```
//! use samara_base::PeerId;
//! use samara_net::driver::{Driver, PeerAddr};
//! use samara_net::memory::MemoryNet;
//! use samara_net::events::{EventLimits, events};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Code that moves blobs sees `dyn Driver` and never which engine is behind it.
//! async fn meet(driver: &dyn Driver, peer: PeerId) -> Result<(), samara_net::driver::DialError> {
//!     let first = driver.dial(PeerAddr::new(peer)).await?;
//!     let second = driver.dial(PeerAddr::new(peer)).await?;
//!     assert_eq!(first, second, "a peer that is linked isn't dialled again");
//!     Ok(())
//! }
//!
//! let net = MemoryNet::new();
//! let (sink, _events) = events(EventLimits::default());
//! let (other, _others) = events(EventLimits::default());
//! let alice = net.driver(PeerId::from_bytes([1; 32]), sink)?;
//! let bob = net.driver(PeerId::from_bytes([2; 32]), other)?;
//! meet(&alice, bob.local()).await?;
//! # Ok(())
//! # }
//! ```

use core::{fmt, net::SocketAddr, time::Duration};

use futures::future::BoxFuture;
use samara_base::PeerId;
use samara_mesh::link::{Lane, LinkId, Outgoing};
use tokio::sync::watch;

/// Where a peer may be reached. An empty address leaves the finding to the driver's discovery.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "tickets and configuration build it by literal")]
pub struct PeerAddr {
    /// Who must answer: the driver proves it, whatever the addresses say.
    pub peer: PeerId,
    /// Addresses to try, all at once.
    pub direct: Vec<SocketAddr>,
    /// URL of a relay server at which the peer can be reached, if there is one.
    pub relay: Option<String>,
}

impl PeerAddr {
    /// The peer alone, to be found by discovery.
    #[must_use]
    pub const fn new(peer: PeerId) -> Self {
        Self { peer, direct: Vec::new(), relay: None }
    }

    /// The peer at these addresses.
    #[must_use]
    pub fn at(peer: PeerId, direct: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self { peer, direct: direct.into_iter().collect(), relay: None }
    }
}

/// Where this node can be reached at present, as far as its driver knows.
///
/// It starts with what the sockets are bound to and grows: interfaces appear, a relay answers, a
/// NAT tells its outside address. Watch [`Driver::addrs`] instead of reading it once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data, made by every driver")]
pub struct LocalAddrs {
    /// Socket addresses, sorted.
    pub direct: Vec<SocketAddr>,
    /// URL of the relay server that this node listens at.
    pub relay: Option<String>,
}

impl LocalAddrs {
    /// What to give to others so that they can dial `peer`.
    #[must_use]
    pub fn for_peer(&self, peer: PeerId) -> PeerAddr {
        PeerAddr { peer, direct: self.direct.clone(), relay: self.relay.clone() }
    }
}

/// Why a peer could not be linked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialError {
    /// Nobody knows an address of the peer. Give one, or turn discovery on.
    NoAddress,
    /// An address cannot be used: not a relay URL, or not a peer id. Correct it.
    BadAddress {
        /// What is wrong with it.
        reason: String,
    },
    /// No address leads anywhere: no route, no interface, network down. Try again later.
    Unreachable {
        /// What the carrier said.
        reason: String,
    },
    /// Nobody answered. The peer may be away, or something between drops the packets.
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// The peer is there and does not want this link: full, or shutting down. Try again later.
    Refused {
        /// What the peer said, if anything.
        reason: String,
    },
    /// Somebody else answers at this address. The address is out of date, or the peer has a new key.
    WrongPeer {
        /// Who was expected.
        expected: PeerId,
    },
    /// The other side speaks no version of the link protocol that this one speaks.
    Incompatible {
        /// What the carrier said.
        reason: String,
    },
    /// The address is this node's own.
    Itself,
    /// As many links are open as [the driver may have](DialError::TooManyLinks::limit). Close one.
    TooManyLinks {
        /// The limit.
        limit: usize,
    },
    /// The driver is shut down.
    Closed,
    /// The carrier failed in another way.
    Failed {
        /// What the carrier said.
        reason: String,
    },
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str(
                "no address of this peer is known: give one, or turn discovery on and wait for it",
            ),
            Self::BadAddress { reason } => write!(f, "the address cannot be used: {reason}"),
            Self::Unreachable { reason } => {
                write!(f, "the peer cannot be reached from here: {reason}")
            }
            Self::TimedOut { after } => write!(
                f,
                "nobody answered within {} s: the peer may be away or a firewall in the way",
                after.as_secs_f32()
            ),
            Self::Refused { reason } if reason.is_empty() => {
                f.write_str("the peer refused the link: try again later")
            }
            Self::Refused { reason } => write!(f, "the peer refused the link: {reason}"),
            Self::WrongPeer { expected } => write!(
                f,
                "somebody other than {} answers at this address: ask for a new one",
                expected.fmt_short()
            ),
            Self::Incompatible { reason } => {
                write!(f, "the other side speaks no common link protocol: {reason}")
            }
            Self::Itself => f.write_str("the address is this node's own"),
            Self::TooManyLinks { limit } => {
                write!(f, "{limit} links are open, which is the limit: close one first")
            }
            Self::Closed => f.write_str("the driver is shut down"),
            Self::Failed { reason } => write!(f, "the link could not be made: {reason}"),
        }
    }
}

impl core::error::Error for DialError {}

impl DialError {
    /// Whether the same dial can succeed later without anything being changed here.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::NoAddress
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Refused { .. }
            | Self::TooManyLinks { .. }
            | Self::Failed { .. } => true,
            Self::BadAddress { .. }
            | Self::WrongPeer { .. }
            | Self::Incompatible { .. }
            | Self::Itself
            | Self::Closed => false,
        }
    }
}

/// Why frames were not queued. None of the frames of that call was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// There is no such link (any more): its [`Down`](samara_mesh::link::LinkEvent::Down) has been
    /// or will be reported.
    NoLink {
        /// The link.
        link: LinkId,
    },
    /// More bytes would wait on a lane than it may hold. The caller lost count of `Sent`, so the
    /// link is closed.
    QueueFull {
        /// The lane.
        lane: Lane,
        /// What a lane may hold. Unit: bytes.
        limit: u64,
    },
    /// A frame is longer than the link carries. The link stays; split the frame.
    FrameTooLong {
        /// Its length. Unit: bytes.
        length: u64,
        /// The link's `frame_len_max`. Unit: bytes.
        limit: u32,
    },
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLink { link } => write!(f, "{link:?} is not open: dial the peer again"),
            Self::QueueFull { lane, limit } => write!(
                f,
                "more than {limit} bytes wait on the {lane:?} lane: wait for Sent before sending on"
            ),
            Self::FrameTooLong { length, limit } => {
                write!(f, "a frame of {length} bytes exceeds the link's {limit}: split it")
            }
        }
    }
}

impl core::error::Error for SendError {}

/// Why a driver could not start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BindError {
    /// Another process (or driver) has the address. Choose another port, or end the other.
    AddressInUse {
        /// The address.
        addr: SocketAddr,
    },
    /// This machine has no such address. Bind to one that it has, or to `0.0.0.0`.
    AddressNotAvailable {
        /// The address.
        addr: SocketAddr,
    },
    /// The system does not allow this address or port to this user.
    NotPermitted {
        /// The address.
        addr: SocketAddr,
    },
    /// The relay's URL is none. Correct it.
    BadRelay {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An option has a value that makes no sense. Correct it.
    BadOption {
        /// Its name.
        option: &'static str,
        /// What it must be.
        must: &'static str,
    },
    /// The peer id is taken in this network.
    PeerInUse {
        /// The peer.
        peer: PeerId,
    },
    /// The engine could not start for another reason.
    Failed {
        /// What it said.
        reason: String,
    },
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressInUse { addr } => {
                write!(f, "UDP {addr} is in use: choose another port or end what holds it")
            }
            Self::AddressNotAvailable { addr } => {
                write!(f, "this machine has no address {}: bind to one that it has", addr.ip())
            }
            Self::NotPermitted { addr } => {
                write!(f, "the system does not permit UDP {addr}: choose a port above 1023")
            }
            Self::BadRelay { url, reason } => write!(f, "{url:?} is no relay URL: {reason}"),
            Self::BadOption { option, must } => write!(f, "option {option} must be {must}"),
            Self::PeerInUse { peer } => {
                write!(f, "peer {} has a driver in this network already", peer.fmt_short())
            }
            Self::Failed { reason } => write!(f, "the network engine cannot start: {reason}"),
        }
    }
}

impl core::error::Error for BindError {}

/// Turns a carrier into links. See the [crate documentation](crate) for the contract that all
/// drivers keep and that one test suite checks on each.
///
/// Every method is cheap and none blocks; what takes time is a future. All of them may be called
/// from any task or thread.
pub trait Driver: Send + Sync + 'static {
    /// What this carrier is called in logs and progress lines.
    fn name(&self) -> &'static str;

    /// This node's own identity.
    fn local(&self) -> PeerId;

    /// Where this node can be reached, as it changes.
    fn addrs(&self) -> watch::Receiver<LocalAddrs>;

    /// Links a peer. A peer that is linked already keeps its link and this returns it; dials of one
    /// peer at the same time share one attempt.
    ///
    /// The future does nothing until polled, and dropping it gives the attempt up. It must not be
    /// awaited where the node takes events: the link's `Up` goes through the same queue before the
    /// future ends.
    ///
    /// # Errors
    ///
    /// [`DialError`] if no link to that very peer could be made.
    fn dial(&self, addr: PeerAddr) -> BoxFuture<'static, Result<LinkId, DialError>>;

    /// Queues frames on their lanes, in the order given. Returns at once.
    ///
    /// The caller bounds what waits: bytes queued minus bytes reported by `Sent` stay below the
    /// driver's limit for a lane.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the frames were not queued; then none of them was.
    fn send(&self, link: LinkId, frames: Vec<Outgoing>) -> Result<(), SendError>;

    /// Closes a link. What waits on the control lane is still delivered if the peer takes it at
    /// once; what waits on the bulk lane is dropped. `Down` with `Local` follows. A link that is
    /// not open is ignored.
    fn close(&self, link: LinkId, reason: &str);

    /// Closes all links, then the carrier. No link opens any more; ends when every `Down` is
    /// reported and the carrier's sockets are closed. Safe to call more than once.
    fn shutdown(&self) -> BoxFuture<'static, ()>;
}
