//! A disk whose every write and flush is kept, under a real file system of the kernel.
//!
//! The disk is a file on a FUSE file system of ours; a loop device makes a block device of it. The
//! loop driver turns a flush into a sync of that file, so writes and flushes arrive here in the order
//! in which the kernel's file system made them.

mod fs;
mod log;

pub(crate) use fs::{BlockFile, NAME};
pub(crate) use log::{Kept, Log};
