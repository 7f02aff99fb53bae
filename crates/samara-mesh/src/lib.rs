//! The mesh adapter: link contract, sessions, serving and getting as one sans-IO state machine.
//!
//! A [`Mesh`] takes what link drivers and the store report and says what to send, read, write and
//! dial. It owns no socket, file, thread, clock or random source, so the same code runs under a
//! real runtime, in a simulator and in a fuzzer. It composes `samara-wire` (bytes) with
//! `samara-sched` (which bytes of whom). Spec: RFC 0001 (link contract), RFC 0005 (session), RFC
//! 0007 (transfer).
//!
//! It is *not* a driver (see `samara-net`) and *not* a store: verification and disk work are
//! outputs, answered by inputs with the same [`io::Token`].
//!
//! ```
//! use samara_base::{BlobId, Instant, PeerId};
//! use samara_mesh::{Mesh, MeshConfig, io::Output};
//! use samara_sched::WantSpec;
//!
//! let mut mesh = Mesh::new(MeshConfig::default(), 1);
//! let provider = PeerId::from_bytes([7; 32]);
//! mesh.want(Instant::ZERO, WantSpec::new(BlobId::from_bytes([1; 32]), [provider]))?;
//! let Some(Output::Dial { peer }) = mesh.poll_output() else { panic!("nobody is linked yet") };
//! assert_eq!(peer, provider);
//! # Ok::<(), samara_sched::WantError>(())
//! ```
//!
//! # Invariants
//!
//! - Nothing of a session is sent before HELLO, nothing after CLOSE.
//! - Every WANT of a peer is answered by exactly one END, unless the session ends first.
//! - DATA goes out only under credit and only while the link's queue has room.
//! - What a peer does wrong ends its session, never the process.
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `std` | yes | nothing today; forwarded to the crates below |
//! | `tracing` | no | events on sessions |
//! | `fuzzing` | no | the entry points of the fuzz targets |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod config;
mod fetch;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod io;
pub mod link;
mod mesh;
mod requests;
mod serve;
mod session;

pub use config::MeshConfig;
pub use mesh::Mesh;
pub use session::{SessionState, Terms};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
