//! Blob identity: BLAKE3 trees, outboards, proofs of ranges, incremental verification.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod builder;
mod cv;
mod encode;
mod error;
mod frontier;
#[cfg(any(fuzzing, feature = "fuzzing", test))]
#[doc(hidden)]
pub mod fuzzing;
mod geometry;
mod lose;
mod node;
mod prover;
mod source;
mod state;
mod verifier;

pub use builder::OutboardBuilder;
pub use cv::{Cv, group_cv, hash};
pub use error::{EncodeError, FrontierField, OpenError, VerifyError};
pub use geometry::Tree;
pub use node::Node;
pub use prover::Prover;
pub use source::{CvSource, OutboardTooShort};
pub use verifier::{Verified, Verifier};
