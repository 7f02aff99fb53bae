//! Links for Samara: what turns a carrier into the frames and events of the mesh.
//!
//! A [`Driver`](driver::Driver) dials and accepts links, takes frames on two lanes, and reports all
//! that happens through one bounded [queue of events](events). It decides nothing about blobs and
//! reads no frame's body. Two drivers are here: [`memory`], links inside one process for tests and
//! simulations, and `iroh`, QUIC between Ed25519 identities with direct addresses, LAN discovery
//! and relays, and TLS on TCP beside it for the bulk of near peers. What is *not* here: cryptography
//! (the engine's and rustls's), NAT traversal, name services (the engine's), and
//! sessions, retries or scheduling (`samara-mesh`'s).
//!
//! ```
//! use bytes::Bytes;
//! use samara_base::PeerId;
//! use samara_mesh::link::{DownReason, Lane, LinkEvent, Outgoing, RawFrame};
//! use samara_net::{driver::{Driver, PeerAddr}, events::{EventLimits, events}, memory::MemoryNet};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let net = MemoryNet::new();
//! let (sink, mut events) = events(EventLimits::default());
//! // Both drivers of this example report to the same queue, as several drivers of a node do.
//! let alice = net.driver(PeerId::from_bytes([1; 32]), sink.clone())?;
//! let bob = net.driver(PeerId::from_bytes([2; 32]), sink)?;
//!
//! let link = alice.dial(PeerAddr::new(bob.local())).await?;
//! let frame = RawFrame { kind: 0x21, body: Bytes::from_static(b"hello") };
//! alice.send(link, vec![Outgoing { lane: Lane::Bulk, frame: frame.encode(false)? }])?;
//! alice.close(link, "that was all");
//!
//! while let Some(event) = events.recv().await {
//!     match event {
//!         LinkEvent::Up { link, info } => println!("{link:?} to {} is up", info.peer.fmt_short()),
//!         LinkEvent::Down { link: down, reason } if down == link => {
//!             assert_eq!(reason, DownReason::Local);
//!             break;
//!         }
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The contract
//!
//! Every driver keeps it; `tests/contract/suite.rs` checks each point on each driver.
//!
//! - **Events.** `Up` is a link's first event, `Down` its last, and each comes once. A link's name
//!   is never used again on one event queue.
//! - **Order.** The frames of one lane arrive whole, unchanged and in the order in which they were
//!   queued. Between lanes there is no order, but control overtakes bulk that waits.
//! - **Sent.** For each lane, the bytes reported by `Sent` never exceed the bytes queued, and reach
//!   them if the link lives. `Sent` means that the carrier took them, not that the peer has them.
//! - **Bounds.** A lane holds at most the driver's `queue_bytes` that were not `Sent`. The caller
//!   keeps below by counting; one who does not gets
//!   [`QueueFull`](driver::SendError::QueueFull) and loses the link.
//! - **Back-pressure.** A node that takes no events stops its peers by the carrier's flow control.
//!   A node that waits for a driver's future takes events meanwhile.
//! - **Long frames.** One that is longer than `frame_len_max` is refused before it is queued, with
//!   all frames of that call, and the link stays. One that arrives ends the link with `Protocol`,
//!   after the frames before it.
//! - **Dials.** A peer that is linked is not dialled again; dials of one peer at the same time share
//!   an attempt. Peers that dial each other at the same moment get two links, and both work.
//! - **Restart.** A peer that opens a link while an older one that it opened is up has lost that
//!   one: it ends with `Failed`.
//! - **Close.** What waits on the control lane, and the reason, reach a peer that takes them at once;
//!   what waits on the bulk lane does not. The peer reports `Remote` with the reason.
//! - **Death.** A peer that vanishes without a word ends with `TimedOut` after the driver's
//!   `idle_timeout`, or with `Failed` where the carrier notices earlier.
//! - **Drop.** A driver that is dropped without [`shutdown`](driver::Driver::shutdown) opens no link
//!   any more. `iroh` then shuts down in the background; `memory` vanishes without a word, which is
//!   how tests kill a node.
//!
//! # Limits
//!
//! | what | value | set by |
//! | --- | --- | --- |
//! | frame, header and CRC included | 1,114,128 bytes | `FRAME_LEN_MAX`; lower by `frame_len_max` |
//! | bytes queued and not `Sent`, per lane | 8 MiB | `queue_bytes` |
//! | events that wait for the node, urgent and others | 256 each | `EventLimits::events` |
//! | bytes of frames that wait for the node | 4 MiB, 1 MiB of it control | `EventLimits::frame_bytes` |
//! | links of a driver | 256 | `links_max` |
//! | received and unread, per QUIC link | 2 MiB, growing to 10 MiB with the path | `Tuning` |
//! | sent and unacknowledged, per QUIC link | 16 MiB | `Tuning::send_window` |
//! | QUIC handshakes under way | 64, addresses proven from 32 on | – |
//! | TCP handshakes of others under way | 64, 5 s and 64 KiB each | – |
//! | bulk within TLS, per link over TCP | 256 KiB out, 80 KiB in | – |
//! | text of a close | 256 bytes | – |
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `iroh` | yes | the `iroh` module, about 240 crates |
#![forbid(unsafe_code)]

pub mod driver;
pub mod events;
#[cfg(feature = "iroh")]
pub mod iroh;
mod links;
pub mod memory;

#[cfg(all(doctest, feature = "iroh"))]
#[doc = include_str!("../README.md")]
struct Readme;
