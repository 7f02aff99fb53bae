//! Sessions as RFC 0005 and RFC 0007 have them: one mesh, and a peer that says what the test says.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod credit;
mod getter;
mod script;
mod source;
mod table;
#[path = "../world/mod.rs"]
mod world;
