//! Commits on a disk in memory whose syncs are counted, hang, fail or lose power.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use core::time::Duration;
use std::{
    sync::{Arc, Condvar, Mutex, mpsc},
    thread,
};

use samara_base::{BlobId, GroupLog2};
use samara_store::{
    Durability, Store, StoreError, Target,
    disk::{Call, Fault, MemDisk},
};
use support::{Holder, bytes, open};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);
/// Long enough for a thread that does not wait, on any machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Calls of one kind are counted, and hang while the gate is shut.
#[derive(Default)]
struct Gate {
    state: Mutex<Passed>,
    opened: Condvar,
}

#[derive(Default)]
struct Passed {
    seen: u32,
    hanging: u32,
    /// The call at which the gate is shut.
    shut_at: Option<u32>,
}

impl Gate {
    fn on(disk: &MemDisk, what: Call) -> Arc<Self> {
        let gate = Arc::new(Self::default());
        let watching = Arc::clone(&gate);
        disk.watch(Some(Arc::new(move |call| {
            if call == what {
                watching.pass();
            }
        })));
        gate
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        let number = state.seen;
        state.seen += 1;
        let is_shut = |state: &Passed| state.shut_at.is_some_and(|at| number >= at);
        if is_shut(&state) {
            state.hanging += 1;
            while is_shut(&state) {
                state = self.opened.wait(state).unwrap();
            }
            state.hanging -= 1;
        }
    }

    /// Shuts the gate when so many more calls have passed.
    fn shut_after(&self, calls: u32) {
        let mut state = self.state.lock().unwrap();
        state.shut_at = Some(state.seen + calls);
    }

    fn open(&self) {
        self.state.lock().unwrap().shut_at = None;
        self.opened.notify_all();
    }

    /// Waits until somebody hangs, or `unless` is true.
    fn catches(&self, unless: impl Fn() -> bool) -> bool {
        loop {
            // In this order: who hangs has not ended.
            let (is_over, hanging) = (unless(), self.state.lock().unwrap().hanging);
            if hanging > 0 || is_over {
                return hanging > 0;
            }
            thread::yield_now();
        }
    }

    fn seen(&self) -> u32 {
        self.state.lock().unwrap().seen
    }
}

/// What a thread that must not wait for anything returns.
fn in_time<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, answer) = mpsc::channel();
    thread::spawn(move || done.send(what()));
    answer.recv_timeout(PATIENCE).expect("it waits for somebody's disk")
}

fn read(store: &Store, id: &BlobId, data: &[u8]) {
    let reader = store.reader(id).unwrap().unwrap();
    assert_eq!(reader.read(0..data.len() as u64).unwrap(), data);
}

//= rfcs/0009-store.md#store-55
//= type=test
//# A store MUST NOT hold up a put or a read while a checkpoint syncs, unless as much waits for the next one as makes one due.
#[test]
fn blobs_are_put_and_read_while_a_sync_hangs() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let durable = bytes(300_000, 1);
    let durable_id = store.put(&durable).unwrap();
    store.checkpoint().unwrap();
    let gate = Gate::on(&disk, Call::Sync);
    let holder = Holder::new(bytes(200_000, 2));
    // Each sync of a checkpoint hangs in turn: of segments, of their names, of the index.
    let mut syncs = 0;
    loop {
        let waiting = bytes(20_000, 100 + u64::from(syncs));
        let waiting_id = store.put(&waiting).unwrap();
        // It does not fit the segment, so the checkpoint has names to sync as well.
        store.put(&bytes(900_000, 200 + u64::from(syncs))).unwrap();
        gate.shut_after(syncs);
        let committing = {
            let store = store.clone();
            thread::spawn(move || store.checkpoint())
        };
        if !gate.catches(|| committing.is_finished()) {
            gate.open();
            committing.join().unwrap().unwrap();
            break;
        }
        let (store, holder) = (store.clone(), Holder::new(holder.data.clone()));
        let durable = (durable_id, durable.clone());
        in_time(move || {
            read(&store, &durable.0, &durable.1);
            read(&store, &waiting_id, &waiting);
            // Buffered, written past the buffer, and into a new segment.
            for (at, size) in [1_000, 20_000, 100_000, 700_000, 700_000].into_iter().enumerate() {
                let data = bytes(size, 1_000 * u64::from(syncs + 1) + at as u64);
                let id = store.put(&data).unwrap();
                read(&store, &id, &data);
                assert!(store.stat(&id).unwrap().unwrap().complete);
            }
            let receiver = store.receive(&holder.id, holder.size(), &Target::Segments).unwrap();
            let range = receiver.held().total()..receiver.held().total() + 16;
            let known = receiver.known();
            let (proof, data) = holder.send(GroupLog2::KIB16, &range, &known);
            receiver.ingest(GroupLog2::KIB16, range.start, &known, &proof, &data).unwrap();
            // One that is large enough for files of its own.
            let seed = 2_000_000 + u64::from(syncs);
            let large = samara_tree::hash(&seed.to_le_bytes());
            store.receive(&large, 2 << 20, &Target::Segments).unwrap();
            store.tag(b"name", &durable.0).unwrap();
            assert_eq!(store.tags().unwrap().len(), 1);
            assert!(!store.list(None, 100).unwrap().is_empty());
            store.commit(Durability::None).unwrap();
        });
        gate.open();
        committing.join().unwrap().unwrap();
        syncs += 1;
    }
    assert!(syncs >= 3, "{syncs} syncs of a checkpoint");
}

#[test]
fn what_is_buffered_is_read_while_somebody_writes() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let (old, new) = (bytes(3_000, 1), bytes(3_000, 2));
    let old_id = store.put(&old).unwrap();
    store.checkpoint().unwrap();
    let new_id = store.put(&new).unwrap();
    let gate = Gate::on(&disk, Call::Write);
    gate.shut_after(0);
    let writing = {
        let store = store.clone();
        thread::spawn(move || store.put(&bytes(700_000, 3)))
    };
    assert!(gate.catches(|| writing.is_finished()));
    let reading = store.clone();
    in_time(move || {
        read(&reading, &old_id, &old);
        read(&reading, &new_id, &new);
    });
    gate.open();
    let id = writing.join().unwrap().unwrap();
    read(&store, &id, &bytes(700_000, 3));
}

//= rfcs/0009-store.md#store-54
//= type=test
//# A commit without durability MUST NOT wait for the disk or for another commit.
#[test]
fn a_commit_without_durability_waits_for_nothing() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let gate = Gate::on(&disk, Call::Sync);
    store.put(&bytes(1_000, 1)).unwrap();
    store.commit(Durability::None).unwrap();
    assert_eq!(gate.seen(), 0);
    gate.shut_after(0);
    let committing = {
        let store = store.clone();
        thread::spawn(move || store.commit(Durability::Immediate))
    };
    assert!(gate.catches(|| committing.is_finished()));
    let same = store.clone();
    in_time(move || same.commit(Durability::None)).unwrap();
    gate.open();
    committing.join().unwrap().unwrap();
    // After a failed sync it is refused like everything else.
    store.put(&bytes(1_000, 2)).unwrap();
    disk.watch(Some(Arc::new(|call| assert_ne!(call, Call::Sync, "as planned"))));
    let panicked = thread::scope(|scope| scope.spawn(|| store.checkpoint()).join());
    assert!(panicked.is_err());
    for durability in [Durability::None, Durability::Batched(LONG), Durability::Immediate] {
        assert!(matches!(store.commit(durability), Err(StoreError::Poisoned)));
    }
    assert!(matches!(store.put(b"more"), Err(StoreError::Poisoned)));
    disk.watch(None);
}

//= rfcs/0009-store.md#store-53
//= type=test
//# An immediate commit MUST end the wait of batched commits for others.
#[test]
fn many_batched_commits_share_one_checkpoint_with_an_immediate_one() {
    const WRITERS: u64 = 32;
    let disk = MemDisk::new();
    let store = open(&disk);
    let gate = Gate::on(&disk, Call::Sync);
    store.put(&bytes(1_024, 0)).unwrap();
    store.checkpoint().unwrap();
    store.put(&bytes(1_024, 1)).unwrap();
    let before = gate.seen();
    store.checkpoint().unwrap();
    let one_checkpoint = gate.seen() - before;
    let before = gate.seen();
    thread::scope(|scope| {
        let committing: Vec<_> = (0..WRITERS)
            .map(|seed| {
                let (wrote, written) = mpsc::channel();
                let store = &store;
                let thread = scope.spawn(move || {
                    store.put(&bytes(1_024, 100 + seed)).unwrap();
                    wrote.send(()).unwrap();
                    store.commit(Durability::Batched(LONG))
                });
                // One after the other, so that each would have the disk for itself if it did not wait.
                written.recv().unwrap();
                thread
            })
            .collect();
        assert_eq!(gate.seen(), before, "somebody did not wait");
        // It takes all that was put. Who has yet to commit then finds that it is durable.
        store.commit(Durability::Immediate).unwrap();
        committing.into_iter().for_each(|commit| commit.join().unwrap().unwrap());
    });
    assert_eq!(gate.seen() - before, one_checkpoint);
    assert_eq!(store.usage().unwrap().blobs, WRITERS + 2);
}

/// Alone it waits for its whole delay, and then makes a checkpoint.
#[test]
fn a_batched_commit_waits_for_others_as_long_as_it_says() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let gate = Gate::on(&disk, Call::Sync);
    store.put(&bytes(1_024, 1)).unwrap();
    let delay = Duration::from_millis(50);
    #[expect(clippy::disallowed_methods, reason = "the test is about the real clock")]
    let start = std::time::Instant::now();
    store.commit(Durability::Batched(delay)).unwrap();
    assert!(start.elapsed() >= delay);
    assert!(gate.seen() > 0);
    // Nothing is left to be made durable, so there is nothing to wait for.
    let before = gate.seen();
    let same = store.clone();
    in_time(move || same.commit(Durability::Batched(LONG))).unwrap();
    assert_eq!(gate.seen(), before);
}

#[test]
fn a_failed_sync_reaches_all_who_share_it_and_poisons() {
    let disk = MemDisk::new();
    let store = open(&disk);
    store.put(&bytes(1_024, 0)).unwrap();
    store.checkpoint().unwrap();
    // The first checkpoint hangs, and fails. All others come meanwhile.
    let gate = Gate::on(&disk, Call::Sync);
    gate.shut_after(0);
    store.put(&bytes(1_024, 1)).unwrap();
    thread::scope(|scope| {
        let first = scope.spawn(|| store.checkpoint());
        assert!(gate.catches(|| first.is_finished()));
        let others: Vec<_> = (0..8)
            .map(|seed| {
                store.put(&bytes(1_024, 10 + seed)).unwrap();
                scope.spawn(|| store.commit(Durability::Immediate))
            })
            .collect();
        disk.fail_after(0, Fault::Io);
        gate.open();
        assert!(matches!(first.join().unwrap(), Err(StoreError::Io { .. })));
        for commit in others {
            // Who found that all was taken waits for the first, the others for the next one.
            let done = commit.join().unwrap();
            assert!(matches!(done, Err(StoreError::Io { .. } | StoreError::Poisoned)), "{done:?}");
        }
    });
    assert!(matches!(store.commit(Durability::None), Err(StoreError::Poisoned)));
}

//= rfcs/0009-store.md#store-50
//= type=test
//# A store MUST NOT acknowledge a commit before a checkpoint has succeeded that took everything that was done before the commit.
#[test]
fn what_was_acknowledged_is_there_after_a_power_cut() {
    let calls = {
        let disk = MemDisk::new();
        drop(open(&disk));
        let before = disk.calls();
        write_until_cut(&disk, &open(&disk));
        disk.calls() - before
    };
    assert!(calls > 50, "{calls}");
    for call in 0..calls {
        // Every other time each change that was not synced survives by chance.
        let seed = (call % 2 == 0).then_some(call);
        let disk = MemDisk::new();
        let store = open(&disk);
        disk.fail_after(call, Fault::Cut);
        let acknowledged = write_until_cut(&disk, &store);
        drop(store);
        disk.crash(seed);
        let store = open(&disk);
        for (id, data) in &acknowledged {
            read(&store, id, data);
        }
    }
}

/// A few threads put blobs, some of them large enough for the next segment, and commit each way.
/// Returns what was acknowledged. Without a cut all is.
fn write_until_cut(disk: &MemDisk, store: &Store) -> Vec<(BlobId, Vec<u8>)> {
    const ROUNDS: u64 = 4;
    let modes = [
        Durability::Immediate,
        Durability::Batched(Duration::from_micros(200)),
        Durability::Batched(Duration::ZERO),
        Durability::None,
    ];
    let acknowledged = thread::scope(|scope| {
        let writers = (0_u64..).zip(modes).map(|(writer, mode)| {
            scope.spawn(move || {
                let (mut acknowledged, mut waiting) = (Vec::new(), Vec::new());
                for round in 0..ROUNDS {
                    let size = if round == 3 { 400_000 } else { 1_024 };
                    let data = bytes(size, 100 * writer + round);
                    let Ok(id) = store.put(&data) else { break };
                    let Ok(()) = store.commit(mode) else { break };
                    waiting.push((id, data));
                    if mode != Durability::None {
                        acknowledged.append(&mut waiting);
                    }
                }
                // What was not waited for is durable with any later checkpoint.
                if store.checkpoint().is_ok() {
                    acknowledged.append(&mut waiting);
                }
                acknowledged
            })
        });
        let writers: Vec<_> = writers.collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    if !disk.is_cut() {
        assert_eq!(acknowledged.len() as u64, 4 * ROUNDS);
    }
    acknowledged
}

//= rfcs/0009-store.md#store-56
//= type=test
//# A store MUST make the name of a segment durable before it commits an index row that points into the segment.
#[test]
fn a_new_segment_has_its_name_when_a_blob_in_it_is_acknowledged() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let blobs: Vec<_> = (0..8).map(|seed| bytes(400_000, seed)).collect();
    let ids: Vec<_> = blobs.iter().map(|data| store.put(data).unwrap()).collect();
    let segments = |disk: &MemDisk| {
        let files = disk.files();
        files.iter().filter(|path| path.extension().is_some_and(|end| end == "seg")).count()
    };
    assert!(segments(&disk) >= 4);
    // Nothing waits for the disk when a segment is created: their names are as yet undone by a crash.
    let lost = disk.fork();
    lost.crash(None);
    assert_eq!(segments(&lost), 0);
    store.checkpoint().unwrap();
    drop(store);
    disk.crash(None);
    let store = open(&disk);
    for (id, data) in ids.iter().zip(&blobs) {
        read(&store, id, data);
    }
}

#[test]
fn a_segment_that_a_killed_process_created_has_its_name_too() {
    let disk = MemDisk::new();
    let store = open(&disk);
    store.put(&bytes(1_000, 1)).unwrap();
    drop(store);
    disk.power_on();
    // The name is there, and nobody has synced it.
    let store = open(&disk);
    let data = bytes(1_000, 2);
    let id = store.put(&data).unwrap();
    store.checkpoint().unwrap();
    drop(store);
    disk.crash(None);
    read(&open(&disk), &id, &data);
}
