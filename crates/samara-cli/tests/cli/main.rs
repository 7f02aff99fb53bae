//! The built command, driven as people and scripts drive it, over loopback only.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test helper fails its test")]

mod damage;
mod interface;
mod store;
mod transfer;
mod world;
