//! Test vectors of the Samara RFCs, and a runner that holds any implementation to them.
//!
//! Spec: RFC 0014. An implementation under test is a [`Subject`]: in the same process, or a child
//! process in any language that answers one line of JSON per request ([`Child`]). The vectors are
//! files in `rfcs/vectors`; [`run`] compares a subject with them, by requirement of the RFCs, [`cross`] compares two subjects
//! with each other.
//!
//! ```
//! use samara_conformance::{Answer, Codec, Params, Subject};
//! use serde_json::{Value, json};
//!
//! /// Knows one codec, and of that the numbers below 64.
//! struct Tiny;
//!
//! impl Subject for Tiny {
//!     fn name(&self) -> String {
//!         "tiny".to_owned()
//!     }
//!
//!     fn decode(&mut self, codec: Codec, _: &Params, bytes: &[u8]) -> std::io::Result<Answer<Value>> {
//!         Ok(match (codec, bytes) {
//!             (Codec::Varint, [byte @ 0..64]) => Answer::Valid(json!(byte.to_string())),
//!             (Codec::Varint, _) => Answer::Invalid("not that small".to_owned()),
//!             _ => Answer::Unsupported,
//!         })
//!     }
//!
//!     fn encode(&mut self, _: Codec, _: &Params, _: &Value) -> std::io::Result<Answer<Vec<u8>>> {
//!         Ok(Answer::Unsupported)
//!     }
//! }
//!
//! let answer = Tiny.decode(Codec::Varint, &Params::new(), &[0x07])?;
//! assert_eq!(answer, Answer::Valid(json!("7")));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `ours` | yes | the crates of this repository as a subject (`Ours`), the generator of the vectors and the program |
#![forbid(unsafe_code)]

pub mod child;
#[cfg(feature = "ours")]
pub mod generate;
#[cfg(feature = "ours")]
mod ours;
pub mod report;
mod requirements;
pub mod runner;
mod subject;
pub mod vectors;

pub use child::{Child, serve};
#[cfg(feature = "ours")]
pub use ours::Ours;
pub use requirements::{Requirement, Requirements, Section, Selection};
pub use runner::{Failure, Report, Skips, Tally, cross, run};
pub use subject::{Answer, Codec, Params, Subject, UnknownCodec};
pub use vectors::{Expect, Test, VectorError, VectorFile};

/// Compiles and runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
