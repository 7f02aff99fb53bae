//! The group commit by itself, without a store: all ways in which a few callers can interleave, and
//! some with many.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::duplicate_mod, reason = "the same file, over two kinds of locks")]

mod by_loom;
mod by_threads;
