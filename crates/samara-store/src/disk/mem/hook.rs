//! Somebody who looks on while a disk in memory works.

use core::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::MemDisk;

/// What is about to be done to a [`MemDisk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// Bytes are written to a file.
    Write,
    /// A file, a directory, or everything is synced.
    Sync,
}

type Watcher = Arc<dyn Fn(Call) + Send + Sync>;

/// Called before each write and sync.
#[derive(Clone, Default)]
pub(super) struct Hook(Arc<Mutex<Option<Watcher>>>);

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").finish_non_exhaustive()
    }
}

impl Hook {
    pub(super) fn call(&self, call: Call) {
        let watcher = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(watcher) = watcher {
            watcher(call);
        }
    }
}

impl MemDisk {
    /// Has `watcher` called before each write and each sync, in the thread that asks for it; `None`:
    /// nobody. The call hangs as long as the watcher does, and other calls go on meanwhile. A
    /// [`fork`](Self::fork) has no watcher. For tests.
    pub fn watch(&self, watcher: Option<Arc<dyn Fn(Call) + Send + Sync>>) {
        *self.hook.0.lock().unwrap_or_else(PoisonError::into_inner) = watcher;
    }
}
