//! Link drivers.
#![forbid(unsafe_code)]

pub mod driver;
pub mod events;
#[cfg(feature = "iroh")]
pub mod iroh;
mod links;
pub mod memory;
