//! A file system in memory that forgets what was not synced when its power is cut.
//!
//! It is stricter than the common ones, and so nearer to what POSIX promises: a sync of a file says
//! nothing about its name, `fdatasync` nothing about times and permissions, and the sync of a
//! directory nothing about the files in it. After a cut every call fails until it is unmounted.
//!
//! The kernel passes on `fsync`, `fdatasync` and `fsync` of directories. It does *not* pass on
//! `syncfs`: on FUSE that call returns success and nothing is synced.

mod fs;
mod state;
mod tree;

pub(crate) use fs::Forgetful;
pub(crate) use state::{Keep, Lacks, State};
pub(crate) use tree::Tree;
