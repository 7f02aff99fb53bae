//! Move verified blobs between peers: the Samara node.
//!
//! A [`Node`] has a store, an identity and links. It takes files in where they lie, serves them to
//! whoever has the ticket, and fetches what a ticket names: chunk-verified, resumable, with
//! progress, and with a verdict for every fetch. It composes the crates below it and adds tokio;
//! whoever needs one of them alone takes that one.
//!
//! ```no_run
//! use samara::{FetchOptions, Node, NodeOptions};
//!
//! # async fn example() -> Result<(), Box<dyn core::error::Error>> {
//! // On one machine:
//! let node = Node::start(NodeOptions::new("store")).await?;
//! let share = node.share(["holiday.mp4".into()]).await?;
//! println!("{}", share.ticket);
//!
//! // On another:
//! let ticket = "samara1…".parse()?;
//! let options = FetchOptions { output: Some("holiday.mp4".into()), ..FetchOptions::default() };
//! let outcome = node.fetch(ticket, options).await?;
//! println!("{:?}: {} bytes", outcome.verdict, outcome.bytes);
//! node.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//!
//! - No byte reaches the disk, the caller or another peer before it is verified.
//! - A byte that is received is written once, at its final place.
//! - Every fetch ends in a verdict, and while it waits its progress says why.
//! - A peer gets nothing that it has no right to, and can't tell that from what is not held.
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `iroh` | yes | [`Node::start`] over the `iroh` engine; without it, bring a driver |
//! | `fuzzing` | no | the entry points of the fuzz targets |
#![forbid(unsafe_code)]

mod clock;
mod engine;
mod error;
mod fetch;
mod flush;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod node;
mod place;
mod plan;
mod pool;
mod progress;
mod reception;
mod serve;
mod share;
pub mod ticket;

pub use error::{FetchError, ShareError, StartError};
pub use fetch::{FetchOptions, Outcome};
pub use node::Node;
#[cfg(feature = "iroh")]
pub use node::NodeOptions;
pub use progress::{FetchProgress, ImportProgress, Phase, Running, Shortfall, SourceProgress};
pub use share::{Imported, Share};
pub use ticket::Ticket;

// What callers of this crate need of the crates below: they are part of its interface.
pub use samara_base as base;
pub use samara_chunk::{Entry, EntryKind, MAGIC as MANIFEST_MAGIC, Manifest, Rules};
pub use samara_net as net;
pub use samara_sched::{Blame, Fault, Verdict, Waiting};
pub use samara_store as store;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct WorkspaceReadmeDoctests;
