//! The mesh adapter: link contract, sessions, serving and transfer as one sans-IO state machine.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod link;
