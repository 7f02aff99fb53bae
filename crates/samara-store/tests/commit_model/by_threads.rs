//! Many callers on real threads, which go on when the test has seen the others wait.

#[path = "../../src/commit.rs"]
mod commit;

mod sync {
    use core::{
        cell::RefCell,
        sync::atomic::{AtomicBool, Ordering::SeqCst},
        time::Duration,
    };
    use std::sync::{Arc, PoisonError};

    pub(super) use std::sync::{Mutex, MutexGuard};

    pub(super) use std::sync::Condvar;

    std::thread_local! {
        /// Set when this thread waits for the first time. It holds the lock then, so who takes the
        /// lock after that finds it waiting.
        pub(super) static WAITS: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
    }

    fn tell() {
        if let Some(waits) = WAITS.take() {
            waits.store(true, SeqCst);
        }
    }

    pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wait<'a, T>(until: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        tell();
        until.wait(guard).unwrap()
    }

    pub(super) fn wait_while<'a, T>(
        until: &Condvar,
        _mutex: &'a Mutex<T>,
        guard: MutexGuard<'a, T>,
        time: Duration,
        condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        tell();
        until.wait_timeout_while(guard, time, condition).unwrap().0
    }
}

use core::{
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    time::Duration,
};
use std::{
    panic::catch_unwind,
    sync::{Arc, mpsc},
    thread,
};

use commit::Commits;
use sync::WAITS;

const MANY: usize = 32;
/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

/// A commit in a thread of its own, which is waiting when this returns.
fn waiting<'scope, E: Clone + Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    commit: impl FnOnce() -> Result<(), E> + Send + 'scope,
) -> thread::ScopedJoinHandle<'scope, Result<(), E>> {
    let waits = Arc::new(AtomicBool::new(false));
    let counted = Arc::clone(&waits);
    let thread = scope.spawn(move || {
        WAITS.set(Some(counted));
        commit()
    });
    while !waits.load(SeqCst) {
        assert!(!thread.is_finished(), "it should wait");
        thread::yield_now();
    }
    thread
}

//= rfcs/0009-store.md#store-52
//= type=test
//# Commits that arrive while a checkpoint is under way MUST share the next one.
#[test]
fn all_who_come_meanwhile_share_the_next() {
    let commits = Commits::new("abandoned");
    let made = AtomicU32::new(0);
    let (began, begun) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let (commits, made) = (&commits, &made);
        let first = scope.spawn(move || {
            commits.commit(
                None,
                || false,
                || {
                    began.send(()).unwrap();
                    gone.recv().unwrap();
                    made.fetch_add(1, SeqCst);
                    Ok(())
                },
            )
        });
        begun.recv().unwrap();
        let others: Vec<_> = (0..MANY)
            .map(|at| {
                let delay = at.is_multiple_of(2).then_some(LONG);
                waiting(scope, move || {
                    commits.commit(
                        delay,
                        || false,
                        || {
                            made.fetch_add(1, SeqCst);
                            Ok(())
                        },
                    )
                })
            })
            .collect();
        assert_eq!(made.load(SeqCst), 0);
        go.send(()).unwrap();
        for commit in others.into_iter().chain([first]) {
            assert_eq!(commit.join().unwrap(), Ok(()));
        }
    });
    assert_eq!(made.load(SeqCst), 2);
}

//= rfcs/0009-store.md#store-51
//= type=test
//# The failure of a checkpoint MUST be reported to every commit that shares it, unless a later checkpoint has succeeded since.
#[test]
fn all_who_share_a_checkpoint_get_its_error() {
    let commits = Commits::new("abandoned");
    thread::scope(|scope| {
        let commits = &commits;
        let run = || Err("no space");
        let others: Vec<_> = (0..MANY)
            .map(|_| waiting(scope, move || commits.commit(Some(LONG), || false, run)))
            .collect();
        assert_eq!(commits.commit(None, || false, run), Err("no space"));
        for commit in others {
            assert_eq!(commit.join().unwrap(), Err("no space"));
        }
    });
    // It is over with that: the next is a new one.
    assert_eq!(commits.commit(None, || false, || Ok(())), Ok(()));
}

#[test]
fn a_checkpoint_that_panics_leaves_nobody_waiting() {
    let commits = Commits::new("abandoned");
    thread::scope(|scope| {
        let commits = &commits;
        let others: Vec<_> = (0..MANY)
            .map(|_| {
                waiting(scope, move || {
                    commits.commit(Some(LONG), || false, || unreachable!("the other one leads"))
                })
            })
            .collect();
        let panics = || commits.commit(None, || false, || panic!("as planned"));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        for commit in others {
            assert_eq!(commit.join().unwrap(), Err("abandoned"));
        }
    });
    assert_eq!(commits.commit(None, || false, || Ok(())), Ok(()));
}

/// The one with the least patience makes the checkpoint for all.
#[test]
fn the_shortest_delay_counts() {
    let commits = Commits::new("abandoned");
    thread::scope(|scope| {
        let commits = &commits;
        let others: Vec<_> = (0..MANY)
            .map(|_| {
                waiting(scope, move || {
                    commits.commit(Some(LONG), || false, || unreachable!("the other one leads"))
                })
            })
            .collect();
        assert_eq!(commits.commit(Some(Duration::from_millis(1)), || false, || Ok(())), Ok(()));
        for commit in others {
            assert_eq!(commit.join().unwrap(), Ok(()));
        }
    });
}

/// Whose writes were all taken joins the checkpoint under way, even with a delay.
#[test]
fn what_was_taken_needs_no_other_checkpoint() {
    let commits = Commits::new("abandoned");
    let (began, begun) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let commits = &commits;
        let first = scope.spawn(move || {
            commits.commit(
                None,
                || false,
                || {
                    began.send(()).unwrap();
                    gone.recv().unwrap();
                    Ok(())
                },
            )
        });
        begun.recv().unwrap();
        let joins = [None, Some(LONG)].map(|delay| {
            waiting(scope, move || {
                commits.commit(delay, || true, || unreachable!("its writes were taken"))
            })
        });
        go.send(()).unwrap();
        for commit in joins.into_iter().chain([first]) {
            assert_eq!(commit.join().unwrap(), Ok(()));
        }
    });
    // And when that one has ended well there is nothing to wait for.
    assert_eq!(commits.commit(Some(LONG), || true, || unreachable!("all is durable")), Ok(()));
    assert_eq!(commits.commit(None, || false, || Err("no space")), Err("no space"));
    assert_eq!(commits.commit(Some(Duration::ZERO), || true, || Err("again")), Err("again"));
}
