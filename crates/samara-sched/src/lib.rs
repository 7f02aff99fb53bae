//! The receiver-driven transfer engine: which bytes to ask of which source next.
//!
//! A [`Scheduler`] takes *wants* (a blob, the ranges of it, who may have it) and *sources* (live
//! sessions with peers) and decides requests, cancels, time-outs and verdicts. It is sans-IO: it
//! owns no socket, file, thread, clock or random source. It never sees a byte of a blob; whoever
//! drives it verifies and stores, and reports what was accepted. Spec: RFC 0007.
//!
//! It is *not* a network or a session: `samara-mesh` turns its requests into frames.
//!
//! ```
//! use samara_base::{BlobId, Instant, PeerId, RangeSet};
//! use samara_sched::{Event, Output, Scheduler, SchedulerLimits, SourceId, Verdict, WantSpec};
//!
//! let (now, peer) = (Instant::ZERO, PeerId::from_bytes([1; 32]));
//! let mut scheduler = Scheduler::new(SchedulerLimits::default());
//! let mut spec = WantSpec::new(BlobId::from_bytes([2; 32]), [peer]);
//! spec.size = Some(10_000);
//! let want = scheduler.want(now, spec)?;
//! scheduler.source_up(now, SourceId(1), peer, 64);
//!
//! let Some(Output::Request(request)) = scheduler.poll_output() else { panic!("asks at once") };
//! assert_eq!(request.ranges, RangeSet::from(0..10), "all ten leaves in one request");
//! scheduler.arrived(now, request.id, 0..10, 10_000);
//! scheduler.accepted(now, request.id, &RangeSet::from(0..10), &RangeSet::new(), true);
//! let ended = core::iter::from_fn(|| scheduler.poll_output()).find_map(|output| match output {
//!     Output::Event(Event::Ended { verdict, .. }) => Some(verdict),
//!     _ => None,
//! });
//! assert_eq!(ended, Some(Verdict::Complete));
//! # Ok::<(), samara_sched::WantError>(())
//! ```
//!
//! # Invariants
//!
//! - Every want ends in exactly one [`Verdict`].
//! - A want that makes no progress has a [`Waiting`] reason, and a change of reason is an event.
//! - A leaf is asked of one source at a time; it is asked again only after its request ended.
//! - Bytes requested and not yet accepted stay within the source's window.
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `std` | yes | nothing today; reserved so that dependents can forward it |
//! | `tracing` | no | events on assignment, blame and verdicts |
//! | `fuzzing` | no | the entry points of the fuzz targets |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod limits;
mod request;
mod scheduler;
mod source;
mod verdict;
mod want;

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;

pub use limits::SchedulerLimits;
pub use request::{EndCause, Request, RequestId, SourceId};
pub use scheduler::{Event, Output, Scheduler, SourceStatus, WantStatus};
pub use verdict::{Blame, Fault, Verdict, Waiting};
pub use want::{WantError, WantId, WantSpec};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
