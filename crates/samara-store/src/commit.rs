//! Group commit: which checkpoint a caller waits for, and who makes it. Spec: RFC 0009, section
//! "Durability".
//!
//! Checkpoints have numbers, from 1 on, and one is made at a time. Who comes while one is under way
//! shares the next; one of those who share it makes it, in its own thread. This file knows nothing
//! of a disk. The test `commit_model` includes it and explores how its callers may interleave, so it
//! locks and waits through the module `sync` beside it.

use core::time::Duration;

use super::sync::{Condvar, Mutex, locked, wait, wait_while};

/// Who waits for which checkpoint.
#[derive(Debug)]
pub(crate) struct Commits<E: Clone> {
    /// A leaf of the lock order, and never held while a checkpoint is made.
    state: Mutex<State<E>>,
    /// A checkpoint ended.
    changed: Condvar,
    /// What those are told whose checkpoint came to no end.
    abandoned: E,
}

#[derive(Debug)]
struct State<E> {
    /// The last checkpoint that began.
    begun: u64,
    /// The last one that ended. If another began since, it is under way.
    ended: u64,
    /// The last one that succeeded. It made durable what all earlier ones should have.
    good: u64,
    /// Why the last one that failed did.
    error: Option<E>,
}

impl<E> State<E> {
    const fn is_under_way(&self) -> bool {
        self.begun > self.ended
    }
}

impl<E: Clone> Commits<E> {
    /// `abandoned` is what those are told who wait for a checkpoint that panicked.
    pub(crate) fn new(abandoned: E) -> Self {
        let state = State { begun: 0, ended: 0, good: 0, error: None };
        Self { state: Mutex::new(state), changed: Condvar::new(), abandoned }
    }

    /// Returns when a checkpoint has ended that covers what was done before the call; `run` makes one.
    ///
    /// `is_taken` says whether checkpoints that have begun took all of that; then it is enough to wait
    /// for the one under way, if any. It is called with a lock held, and must not wait. With a `delay`
    /// others get that long to join before the next one begins, unless somebody without a delay comes.
    ///
    /// # Errors
    ///
    /// What `run` reported, to whoever called it, if nothing has succeeded since.
    pub(crate) fn commit(
        &self,
        delay: Option<Duration>,
        is_taken: impl Fn() -> bool,
        run: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let is_done = |state: &State<E>| state.good == state.begun && is_taken();
        let mut state = locked(&self.state);
        if is_done(&state) {
            return Ok(());
        }
        //= rfcs/0009-store.md#store-50
        //# A store MUST NOT acknowledge a commit before a checkpoint has succeeded that took everything that was done before the commit.
        let joins = state.is_under_way() && is_taken();
        let number = state.begun + u64::from(!joins);
        //= rfcs/0009-store.md#store-53
        //# An immediate commit MUST end the wait of batched commits for others.
        // It does so by making the checkpoint that they share, as does the first whose time is over.
        if let Some(delay) = delay.filter(|_| !joins) {
            let gathers = |state: &mut State<E>| state.ended < number && !is_done(state);
            state = wait_while(&self.changed, &self.state, state, delay, gathers);
            if is_done(&state) {
                return Ok(());
            }
        }
        //= rfcs/0009-store.md#store-52
        //# Commits that arrive while a checkpoint is under way MUST share the next one.
        while state.ended < number {
            if state.is_under_way() {
                state = wait(&self.changed, state);
                continue;
            }
            state.begun = number;
            drop(state);
            let mut leader = Leader { commits: self, outcome: None };
            let outcome = run();
            leader.outcome = Some(outcome.clone());
            return outcome;
        }
        //= rfcs/0009-store.md#store-51
        //# The failure of a checkpoint MUST be reported to every commit that shares it, unless a later checkpoint has succeeded since.
        if state.good >= number {
            return Ok(());
        }
        Err(state.error.clone().unwrap_or_else(|| self.abandoned.clone()))
    }
}

/// Tells the others how the checkpoint ended, also when it panicked.
struct Leader<'a, E: Clone> {
    commits: &'a Commits<E>,
    outcome: Option<Result<(), E>>,
}

impl<E: Clone> Drop for Leader<'_, E> {
    fn drop(&mut self) {
        let mut state = locked(&self.commits.state);
        state.ended = state.begun;
        match self.outcome.take() {
            Some(Ok(())) => state.good = state.begun,
            Some(Err(error)) => state.error = Some(error),
            None => state.error = Some(self.commits.abandoned.clone()),
        }
        drop(state);
        self.commits.changed.notify_all();
    }
}
