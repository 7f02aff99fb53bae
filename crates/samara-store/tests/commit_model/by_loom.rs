//! Every interleaving of a few callers, by a model checker: its threads, locks and condition
//! variables take the place of the real ones. A wake-up that is lost is a deadlock, which it reports.

#[path = "../../src/commit.rs"]
mod commit;

mod sync {
    use core::time::Duration;

    pub(super) use loom::sync::{Condvar, Mutex, MutexGuard};

    pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap()
    }

    pub(super) fn wait<'a, T>(until: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        until.wait(guard).unwrap()
    }

    /// No time at all ends at any moment: others may do anything or nothing before. Any other time
    /// never ends.
    pub(super) fn wait_while<'a, T>(
        until: &Condvar,
        mutex: &'a Mutex<T>,
        mut guard: MutexGuard<'a, T>,
        time: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        if time.is_zero() {
            drop(guard);
            return locked(mutex);
        }
        while condition(&mut guard) {
            guard = wait(until, guard);
        }
        guard
    }
}

use core::time::Duration;

use loom::{
    model::Builder,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    thread,
};

use commit::Commits;

/// It ends while the others are at any point.
const SOME_TIME: Option<Duration> = Some(Duration::ZERO);
/// It ends only when somebody ends it.
const FOR_EVER: Option<Duration> = Some(Duration::MAX);
const AT_ONCE: Option<Duration> = None;

/// How often threads may be interrupted, in one run of three, while they could go on. Of two threads
/// all runs are explored, of three without a bound there are too many.
const THREE: Option<usize> = Some(3);

/// What there is of a store: writes that wait, a checkpoint that takes them, and what is durable.
#[derive(Debug)]
struct World {
    commits: Commits<u32>,
    /// A bit for each write that no checkpoint has taken.
    waiting: AtomicU32,
    durable: AtomicU32,
    is_under_way: AtomicBool,
    made: AtomicU32,
    /// The checkpoints that fail, by number from 0, as bits.
    fail: u32,
    /// What failed checkpoints had taken.
    lost: Mutex<u32>,
}

impl World {
    fn new(fail: u32) -> Arc<Self> {
        Arc::new(Self {
            commits: Commits::new(u32::MAX),
            waiting: AtomicU32::new(0),
            durable: AtomicU32::new(0),
            is_under_way: AtomicBool::new(false),
            made: AtomicU32::new(0),
            fail,
            lost: Mutex::new(0),
        })
    }

    fn checkpoint(&self) -> Result<(), u32> {
        assert!(!self.is_under_way.swap(true, SeqCst), "one at a time");
        let number = self.made.fetch_add(1, SeqCst);
        let taken = self.waiting.swap(0, SeqCst);
        // A failure puts back what was taken, as one for lack of space leaves it.
        let fails = self.fail >> number & 1 == 1;
        if fails {
            *self.lost.lock().unwrap() |= taken;
            self.waiting.fetch_or(taken, SeqCst);
        } else {
            self.durable.fetch_or(taken, SeqCst);
        }
        self.is_under_way.store(false, SeqCst);
        if fails { Err(number) } else { Ok(()) }
    }

    fn write_and_commit(&self, writer: u32, delay: Option<Duration>) -> Result<(), u32> {
        self.waiting.fetch_or(1 << writer, SeqCst);
        let is_taken = || self.waiting.load(SeqCst) & 1 << writer == 0;
        let done = self.commits.commit(delay, is_taken, || self.checkpoint());
        //= rfcs/0009-store.md#store-50
        //= type=test
        //# A store MUST NOT acknowledge a commit before a checkpoint has succeeded that took everything that was done before the commit.
        if done.is_ok() {
            assert_ne!(self.durable.load(SeqCst) & 1 << writer, 0, "acknowledged and not durable");
        }
        done
    }
}

/// Runs one writer per delay in all ways; `check` looks at the end of each.
fn explore(
    delays: &'static [Option<Duration>],
    fail: u32,
    preemptions: Option<usize>,
    check: fn(&World, &[Result<(), u32>]),
) {
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(move || {
        let world = World::new(fail);
        let spawn = |(writer, delay): (usize, &Option<Duration>)| {
            let (world, delay) = (Arc::clone(&world), *delay);
            let writer = u32::try_from(writer).unwrap();
            thread::spawn(move || world.write_and_commit(writer, delay))
        };
        let (last, others) = delays.split_last().unwrap();
        let threads: Vec<_> = others.iter().enumerate().map(spawn).collect();
        let writer = u32::try_from(others.len()).unwrap();
        let mine = world.write_and_commit(writer, *last);
        let mut outcomes: Vec<_> =
            threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        outcomes.push(mine);
        check(&world, &outcomes);
    });
}

fn all_good(world: &World, outcomes: &[Result<(), u32>]) {
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let made = usize::try_from(world.made.load(SeqCst)).unwrap();
    assert!((1..=outcomes.len()).contains(&made), "{made} checkpoints");
}

#[test]
fn immediate_commits_end_and_are_durable() {
    explore(&[AT_ONCE, AT_ONCE], 0, None, all_good);
    explore(&[AT_ONCE, AT_ONCE, AT_ONCE], 0, THREE, all_good);
}

#[test]
fn batched_commits_whose_time_ends_are_durable() {
    explore(&[SOME_TIME, SOME_TIME], 0, None, all_good);
    explore(&[SOME_TIME, AT_ONCE, SOME_TIME], 0, THREE, all_good);
}

/// Whoever waits for ever is taken along by one that does not, whichever way they meet.
#[test]
fn one_with_patience_is_taken_along() {
    for hurried in [AT_ONCE, SOME_TIME] {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || {
            let world = World::new(0);
            let is_done = Arc::new(AtomicBool::new(false));
            let patient = {
                let (world, is_done) = (Arc::clone(&world), Arc::clone(&is_done));
                thread::spawn(move || {
                    world.write_and_commit(0, FOR_EVER).unwrap();
                    is_done.store(true, SeqCst);
                })
            };
            // The hurried one may come too early a few times.
            while !is_done.load(SeqCst) {
                world.write_and_commit(1, hurried).unwrap();
                thread::yield_now();
            }
            patient.join().unwrap();
        });
    }
}

#[test]
fn a_failure_reaches_all_who_share_the_checkpoint() {
    // All fail: nobody is told of a success.
    let all = u32::MAX;
    explore(&[AT_ONCE, AT_ONCE], all, None, |_, outcomes| {
        assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
    });
    explore(&[AT_ONCE, SOME_TIME, AT_ONCE], all, THREE, |_, outcomes| {
        assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
    });
    // Only the first fails: its leader is told, and who is told of success is durable, which
    // `write_and_commit` checks.
    explore(&[AT_ONCE, SOME_TIME, AT_ONCE], 1, THREE, |world, outcomes| {
        assert!(outcomes.contains(&Err(0)), "{outcomes:?}");
        assert!(outcomes.iter().all(|outcome| outcome.is_ok() || *outcome == Err(0)));
        assert_ne!(*world.lost.lock().unwrap(), 0);
    });
}

/// One whose write was taken before it commits waits for the checkpoint that took it, and learns how
/// that one ended.
#[test]
fn what_was_taken_is_waited_for() {
    for fail in [0, 1] {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(4);
        builder.check(move || {
            let world = World::new(fail);
            world.waiting.fetch_or(0b10, SeqCst);
            let leader = {
                let world = Arc::clone(&world);
                thread::spawn(move || world.write_and_commit(0, AT_ONCE))
            };
            let is_taken = || world.waiting.load(SeqCst) & 0b10 == 0;
            let done = world.commits.commit(AT_ONCE, is_taken, || world.checkpoint());
            if done.is_ok() {
                assert_ne!(world.durable.load(SeqCst) & 0b10, 0, "acknowledged and not durable");
            }
            let _ = leader.join().unwrap();
        });
    }
}
