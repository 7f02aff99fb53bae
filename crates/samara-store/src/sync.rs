//! Locks, and waiting with them: what the model checker puts its own in the place of.

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

use core::time::Duration;
use std::sync::PoisonError;

/// Locks a mutex. A panic of another thread leaves nothing half-done that matters: every invariant
/// is re-established from the disk at open, and no lock is held over a callback.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `until` is notified, or for no reason.
pub(crate) fn wait<'a, T>(until: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    until.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// Waits as long as `condition` holds, but not longer than `time`. The mutex is that of the guard.
pub(crate) fn wait_while<'a, T>(
    until: &Condvar,
    _mutex: &'a Mutex<T>,
    guard: MutexGuard<'a, T>,
    time: Duration,
    condition: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    let waited = until.wait_timeout_while(guard, time, condition);
    waited.unwrap_or_else(PoisonError::into_inner).0
}
