//! The disk fails at every single call of a workload, in every way that the model knows; after each
//! failure the store is opened again and everything that it ever acknowledged is looked at.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use core::{error::Error, fmt, str::FromStr, time::Duration};
use std::{collections::BTreeMap, env, path::Path, sync::LazyLock, thread};

use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_store::{
    Class, Store, StoreError, Target,
    disk::{Fault, MemDisk},
};
use support::{Holder, bytes, open, try_open};

type Outcome = Result<(), Box<dyn Error>>;

/// Calls that prepare the disk.
const FIRST_CALL: u64 = 2;

/// The workload has at least as many.
const CALLS_MIN: u64 = 250;

/// Blobs to receive, made once: three with an outboard file and a journal.
static HOLDERS: LazyLock<[Holder; 4]> = LazyLock::new(|| {
    [130_000, 1_100_000, 1_150_000, 1_200_000].map(|len| Holder::new(bytes(len, len as u64)))
});
static IMPORTED: LazyLock<Vec<u8>> = LazyLock::new(|| bytes(1_100_000, 11));

/// What the store has acknowledged, and what is true.
#[derive(Default)]
struct Model {
    truth: BTreeMap<BlobId, Vec<u8>>,
    /// Complete blobs, not acknowledged yet and acknowledged.
    done: Vec<BlobId>,
    acknowledged: Vec<BlobId>,
    /// Leaves held of unfinished ones at the last acknowledgement.
    held: BTreeMap<BlobId, RangeSet>,
    files: BTreeMap<&'static str, BlobId>,
    /// This one has a lease, and is carried.
    leased: Option<BlobId>,
}

impl Model {
    fn checkpoint(&mut self, store: &Store, partial: Option<(BlobId, RangeSet)>) -> Outcome {
        store.checkpoint()?;
        self.acknowledged.clone_from(&self.done);
        self.held.extend(partial);
        Ok(())
    }
}

/// A little of everything that writes.
fn workload(store: &Store, model: &mut Model) -> Outcome {
    for at in 0..3 {
        let data = bytes(500 * at, at as u64);
        model.truth.insert(samara_tree::hash(&data), data.clone());
        model.done.push(store.put(&data)?);
    }
    let data = bytes(70_000, 10);
    model.truth.insert(samara_tree::hash(&data), data.clone());
    model.done.push(store.put(&data)?);
    model.checkpoint(store, None)?;

    model.truth.insert(samara_tree::hash(&IMPORTED), IMPORTED.clone());
    let stat = store.import(IMPORTED.as_slice(), &mut |_| ())?;
    model.done.push(stat.id);
    // Another version of it, which has most of its chunks.
    let mut version = IMPORTED.clone();
    version.truncate(300_000);
    version[100_000..100_100].fill(9);
    model.truth.insert(samara_tree::hash(&version), version.clone());
    model.done.push(store.put(&version)?);

    let out = store.staging_root(Path::new("/out.part"))?;
    for at in 0..3u64 {
        let data = bytes(900, 20 + at);
        let id = samara_tree::hash(&data);
        model.truth.insert(id, data.clone());
        let rel = format!("d{at}/f").into_bytes();
        let target = Target::File { root: out, rel, mode: 0o644, mtime: None };
        store.receive_small(&id, &target, &data)?;
        model.done.push(id);
    }
    receive(store, model, &Target::Segments, &HOLDERS[0])?;
    // Long enough for an outboard file and a journal.
    receive(store, model, &Target::Segments, &HOLDERS[1])?;
    let target = Target::File { root: out, rel: b"big".to_vec(), mode: 0o600, mtime: None };
    receive(store, model, &target, &HOLDERS[2])?;
    model.checkpoint(store, None)?;
    store.publish_root(out, Path::new("/out"))?;

    let home = store.root(Path::new("/home"))?;
    let holder = &HOLDERS[3];
    let id = holder.id;
    let target = Target::File { root: home, rel: b".x.part".to_vec(), mode: 0o600, mtime: None };
    receive(store, model, &target, holder)?;
    store.publish_file(&id, &target, b"x", false)?;
    model.acknowledged.clone_from(&model.done);
    model.files.insert("/home/x", id);

    life(store, model)?;
    // A blob goes, and its space with it; and one that shares chunks with another.
    for gone in [model.done[3], samara_tree::hash(&IMPORTED)] {
        model.done.retain(|id| *id != gone);
        model.acknowledged.retain(|id| *id != gone);
        store.remove(&gone)?;
        model.checkpoint(store, None)?;
    }
    store.shutdown()?;
    Ok(())
}

/// Blobs that are carried for others: some go, one has a lease, one is wanted here after all.
fn life(store: &Store, model: &mut Model) -> Outcome {
    let hour = Duration::from_hours(1);
    let mut carried = Vec::new();
    for at in 0..3 {
        let data = bytes(300 + 20_000 * at, 40 + at as u64);
        let holder = Holder::new(data);
        store.set_class(&holder.id, Class::Carried, hour)?;
        let done = model.done.len();
        receive(store, model, &Target::Segments, &holder)?;
        // Whether it is still there after an eviction, a later step knows.
        model.done.truncate(done);
        carried.push(holder.id);
    }
    store.lease(&carried[1], b"lease", hour * 2)?;
    store.put(&bytes(40_300, 42))?;
    model.done.extend([carried[1], carried[2]]);
    store.scrub(100_000)?;
    model.checkpoint(store, None)?;
    model.leased = Some(carried[1]);
    store.evict(u64::MAX, Class::Carried, hour)?;
    Ok(())
}

fn receive(store: &Store, model: &mut Model, target: &Target, holder: &Holder) -> Outcome {
    model.truth.insert(holder.id, holder.data.clone());
    let group = GroupLog2::KIB64;
    let receiver = store.receive(&holder.id, holder.size(), target)?;
    let mut ranges = holder.transfers(group, 256);
    ranges.reverse();
    for (at, range) in ranges.iter().enumerate() {
        let base = receiver.known();
        let (proof, data) = holder.send(group, range, &base);
        receiver.ingest(group, range.start, &base, &proof, &data)?;
        if at == 1 {
            model.checkpoint(store, Some((holder.id, receiver.held())))?;
        }
    }
    receiver.finish()?;
    model.held.remove(&holder.id);
    model.done.push(holder.id);
    Ok(())
}

fn prepared() -> MemDisk {
    let disk = MemDisk::new();
    use samara_store::disk::Disk as _;
    disk.open_dir(Path::new("/home"), true).unwrap();
    disk.sync_parent(Path::new("/home")).unwrap();
    disk
}

/// Everything acknowledged is there; nothing is reported that is not true; the store can go on.
fn check(disk: &MemDisk, model: &Model, what: &str) {
    let store = match try_open(disk) {
        Ok(store) => store,
        Err(error) => panic!("{what}: cannot open: {error}"),
    };
    for id in &model.acknowledged {
        let data = &model.truth[id];
        let reader = store.reader(id).unwrap().unwrap_or_else(|| panic!("{what}: {id} is gone"));
        let read = reader.read(0..data.len() as u64);
        let read = read.unwrap_or_else(|error| panic!("{what}: {id}: {error}"));
        assert_eq!(read, data, "{what}");
    }
    for (path, id) in &model.files {
        assert_eq!(disk.read_file(Path::new(path)).as_ref(), Some(&model.truth[id]), "{what}");
    }
    let name = |name| disk.read_file(Path::new(name));
    assert!(name("/home/x").is_none() || name("/home/.x.part").is_none(), "{what}: two names");
    for (id, held) in &model.held {
        let stat = store.stat(id).unwrap().unwrap_or_else(|| panic!("{what}: {id} is gone"));
        assert!(held.difference(&stat.held).is_empty(), "{what}: {held} of {:?}", stat.held);
    }
    // Whatever is reported is true, acknowledged or not.
    for stat in store.list(None, usize::MAX).unwrap() {
        let data = &model.truth[&stat.id];
        assert!(stat.damaged.is_empty(), "{what}: {stat:?}");
        let reader = store.reader(&stat.id).unwrap().unwrap();
        for run in stat.held.runs() {
            let end = (run.end * 1024).min(data.len() as u64);
            let read = reader.read(run.start * 1024..end);
            let read = read.unwrap_or_else(|error| panic!("{what}: {stat:?}: {error}"));
            let (from, to) = (usize::try_from(run.start * 1024).unwrap(), usize::try_from(end));
            assert_eq!(read, data[from..to.unwrap()], "{what}");
        }
    }
    //= rfcs/0009-store.md#store-35
    //= type=test
    //# A store MUST change a map and the counts of its chunks in the same commit.
    let audit = store.audit().unwrap();
    assert!(audit.is_safe() && audit.overcounted == 0 && audit.lost_maps == 0, "{what}: {audit:?}");
    // The counters are those of what is there, whatever of it survived.
    let (held, usage) = (store.held_bytes(), store.usage().unwrap());
    assert_eq!(held.carried, usage.carried_bytes, "{what}");
    assert_eq!(held.own + held.carried, usage.segment_live_bytes, "{what}");
    if let Some(id) = model.leased {
        assert_eq!(store.leases(&id).unwrap().len(), 1, "{what}");
        assert_eq!(store.class(&id).unwrap(), Class::Carried, "{what}");
    }
    let id = store.put(b"life goes on").unwrap();
    store.checkpoint().unwrap();
    drop(store);
    assert!(open(disk).reader(&id).unwrap().is_some(), "{what}");
}

/// Runs the workload with a fault after some calls. Returns what it may rely on, unless the
/// workload was over before the fault came due.
fn run(disk: &MemDisk, calls: u64, fault: Fault) -> Option<Model> {
    disk.fail_after(calls, fault);
    let mut model = Model::default();
    let _ = try_open(disk).map_err(Into::into).and_then(|store| workload(&store, &mut model));
    (disk.calls() > calls).then_some(model)
}

/// Has the power fail at every call.
fn cut_everywhere(mut seed: impl FnMut(u64) -> Option<u64>) {
    let mut at = FIRST_CALL;
    loop {
        let (disk, seed) = (prepared(), seed(at));
        let Some(model) = run(&disk, at, Fault::Cut) else { break };
        disk.crash(seed);
        check(&disk, &model, &format!("cut after {at} calls, seed {seed:?}"));
        at += 1;
    }
    assert!(at > CALLS_MIN, "the workload has only {at} calls");
    println!("{} crash points", at - FIRST_CALL);
}

/// A way in which the power fails: the call that meets a fault, the fault, and what survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    fault: Fault,
    call: u64,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Unsynced changes, by bit.
    Subset(u64),
    /// By chance, some in part.
    Chance(u64),
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = if self.fault == Fault::Cut { "cut" } else { "io" };
        match self.fate {
            Fate::Subset(bits) => write!(f, "{fault}:{}:subset:{bits}", self.call),
            Fate::Chance(seed) => write!(f, "{fault}:{}:chance:{seed}", self.call),
        }
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no point: say cut|io:CALL:subset|chance:NUMBER");
        let parts: Vec<&str> = text.split(':').collect();
        let [fault, call, kind, number] = parts[..] else { return Err(wrong()) };
        let number = number.parse().map_err(|_| wrong())?;
        let fault = match fault {
            "cut" => Fault::Cut,
            "io" => Fault::Io,
            _ => return Err(wrong()),
        };
        let fate = match kind {
            "subset" => Fate::Subset(number),
            "chance" => Fate::Chance(number),
            _ => return Err(wrong()),
        };
        Ok(Self { fault, call: call.parse().map_err(|_| wrong())?, fate })
    }
}

/// What may survive of so many unsynced changes, `count` ways at most: all subsets if that is enough,
/// else those that lack or have one or none, and chance.
fn fates(unsynced: usize, count: u64, call: u64) -> Vec<Fate> {
    let bits = u32::try_from(unsynced).unwrap_or(u32::MAX);
    let all = 1_u64.checked_shl(bits).filter(|all| *all <= count);
    if let Some(all) = all {
        return (0..all).map(Fate::Subset).collect();
    }
    let every = 1_u64.checked_shl(bits).map_or(u64::MAX, |all| all - 1);
    let single = (0..bits.min(64)).map(|bit| 1 << bit);
    let subsets = [0, every].into_iter().chain(single.flat_map(|bit| [bit, every & !bit]));
    // Chance has half of them, since only it tears writes.
    let subsets = subsets.take(usize::try_from(count / 2).unwrap()).map(Fate::Subset);
    let mut fates: Vec<Fate> = subsets.collect();
    let chance = (fates.len() as u64..count).map(|at| Fate::Chance(call << 32 | at));
    fates.extend(chance);
    fates
}

/// Looks at one point.
fn look(point: Point) {
    let disk = prepared();
    let model = run(&disk, point.call, point.fault).expect("the workload has such a call");
    look_at(&disk, &model, point);
}

/// Lets the power fail on a copy of the disk.
fn look_at(disk: &MemDisk, model: &Model, point: Point) {
    let disk = disk.fork();
    match point.fate {
        Fate::Subset(bits) => disk.crash_subset(bits),
        Fate::Chance(seed) => disk.crash(Some(seed)),
    }
    check(&disk, model, &point.to_string());
}

/// Goes through `count` points or a few more at every `step`th call from the `first` on, evenly over
/// calls and faults. Returns how many.
fn enumerate(count: u64, calls: u64, first: u64, step: u64) -> u64 {
    let faults = [Fault::Cut, Fault::Io];
    let calls: Vec<u64> = (first..calls).step_by(usize::try_from(step).unwrap()).collect();
    let (mut left, mut done) = (calls.len() as u64 * faults.len() as u64, 0);
    for fault in faults {
        for call in calls.iter().map(|call| FIRST_CALL + call) {
            // What one call does not need is for those behind it.
            let share = count.saturating_sub(done).div_ceil(left).max(1);
            left -= 1;
            let disk = prepared();
            let Some(model) = run(&disk, call, fault) else { continue };
            for fate in fates(disk.unsynced(), share, call) {
                look_at(&disk, &model, Point { fault, call, fate });
                done += 1;
            }
        }
    }
    done
}

/// `cargo xtask crash` sets the number of points, or a single one.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test has no command line")]
fn any_of_the_unsynced_changes_may_survive() {
    if let Ok(point) = env::var("SAMARA_CRASH_POINT") {
        return look(point.parse().unwrap());
    }
    let count = env::var("SAMARA_CRASH_POINTS").map_or(400, |count| count.parse().unwrap());
    let calls = {
        let disk = prepared();
        workload(&open(&disk), &mut Model::default()).unwrap();
        disk.calls() - FIRST_CALL
    };
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let done: u64 = thread::scope(|scope| {
        let part = |first| scope.spawn(move || enumerate(count / threads, calls, first, threads));
        let parts: Vec<_> = (0..threads).map(part).collect();
        parts.into_iter().map(|part| part.join().unwrap()).sum()
    });
    assert!(done >= count / 2, "{done} of {count}");
    println!("{done} crash points");
}

#[test]
fn a_point_is_named_so_that_it_can_be_replayed() {
    for text in ["cut:7:subset:5", "io:300:chance:18446744073709551615"] {
        assert_eq!(text.parse::<Point>().unwrap().to_string(), text);
    }
    for text in ["", "cut:7:subset", "cut:x:subset:5", "fire:7:subset:5", "cut:7:luck:5"] {
        assert!(text.parse::<Point>().is_err(), "{text}");
    }
    assert_eq!(fates(2, 4, 1), [0, 1, 2, 3].map(Fate::Subset));
    let fates = fates(70, 40, 1);
    assert_eq!(fates.len(), 40);
    assert_eq!(fates[..3], [0, u64::MAX, 1].map(Fate::Subset));
    assert!(fates[20..].iter().all(|fate| matches!(fate, Fate::Chance(_))));
}

#[test]
fn without_a_fault_everything_is_there() {
    let disk = prepared();
    assert_eq!(disk.calls(), FIRST_CALL);
    let mut model = Model::default();
    workload(&open(&disk), &mut model).unwrap();
    check(&disk, &model, "no fault");
}

//= rfcs/0009-store.md#store-5
//= type=test
//# After any crash a store MUST hold everything that it acknowledged.
//= rfcs/0009-store.md#store-4
//= type=test
//# A store MUST make a payload durable before it commits an index row that points to it.
//= rfcs/0009-store.md#store-10
//= type=test
//# A store MUST commit the intention to rename a file or directory before it renames it.
#[test]
fn the_power_fails_at_every_call_and_unsynced_writes_are_lost() {
    cut_everywhere(|_| None);
}

#[test]
fn the_power_fails_at_every_call_and_unsynced_writes_survive_by_chance() {
    cut_everywhere(|at| Some(at.wrapping_mul(0x9e37)));
}

#[test]
fn every_call_fails_once() {
    let mut at = FIRST_CALL;
    loop {
        let disk = prepared();
        let Some(model) = run(&disk, at, Fault::Io) else { break };
        disk.crash(None);
        check(&disk, &model, &format!("error after {at} calls"));
        at += 1;
    }
    assert!(at > CALLS_MIN, "the workload has only {at} calls");
    println!("{} crash points", at - FIRST_CALL);
}

#[test]
fn the_process_dies_at_every_call_and_the_machine_lives_on() {
    let mut at = FIRST_CALL;
    loop {
        let disk = prepared();
        let Some(model) = run(&disk, at, Fault::Cut) else { break };
        // What was written stays, synced or not.
        disk.power_on();
        check(&disk, &model, &format!("killed after {at} calls"));
        at += 1;
    }
    assert!(at > CALLS_MIN, "the workload has only {at} calls");
    println!("{} crash points", at - FIRST_CALL);
}

#[test]
fn a_full_disk_at_every_call_loses_nothing_and_the_work_can_be_done_again() {
    let mut at = FIRST_CALL;
    loop {
        let disk = prepared();
        disk.fail_after(at, Fault::NoSpace);
        let mut model = Model::default();
        let what = format!("full after {at} calls");
        if let Ok(store) = try_open(&disk) {
            let _ = workload(&store, &mut model);
            disk.heal();
            // The same store goes on, unless even a commit failed.
            match store.put(b"after all").map(|_| store.checkpoint()) {
                Ok(Ok(()) | Err(StoreError::Poisoned)) | Err(StoreError::Poisoned) => {}
                Ok(Err(error)) | Err(error) => panic!("{what}: {error}"),
            }
            model.truth.insert(samara_tree::hash(b"after all"), b"after all".to_vec());
        }
        if disk.calls() <= at {
            break;
        }
        disk.heal();
        check(&disk, &model, &what);
        at += 1;
    }
    assert!(at > CALLS_MIN, "the workload has only {at} calls");
    println!("{} crash points", at - FIRST_CALL);
}

//= rfcs/0009-store.md#store-27
//= type=test
//# A store MUST make the removal of a segment file durable before it commits the removal of that segment's row.
#[test]
fn what_was_removed_stays_away_once_its_segment_is_gone() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let small = store.put(&bytes(2_000, 1)).unwrap();
    // Fills the first segment, so that another one is written to.
    let large = store.put(&bytes(1_100_000, 2)).unwrap();
    store.checkpoint().unwrap();
    for id in [small, large] {
        assert!(store.remove(&id).unwrap());
    }
    // Commits the removal and deletes the file; the next one deletes its row.
    store.checkpoint().unwrap();
    store.checkpoint().unwrap();
    drop(store);
    // The name of the file is back, if nobody made sure of its end.
    disk.crash(None);
    let store = open(&disk);
    assert_eq!(store.list(None, 10).unwrap(), []);
    assert_eq!(store.recovery().blobs_adopted, 0);
}

#[test]
fn a_segment_of_which_only_the_name_was_left_gets_its_header() {
    let disk = MemDisk::new();
    drop(open(&disk));
    disk.write_file(Path::new("/store/segments/00000001.seg"), b"", true).unwrap();
    let store = open(&disk);
    store.put(&bytes(500, 1)).unwrap();
    store.checkpoint().unwrap();
    let since = store.put(&bytes(600, 2)).unwrap();
    // What does not fit the buffer any more has it written.
    store.put(&bytes(700_000, 3)).unwrap();
    drop(store);
    disk.power_on();
    // Without the header nothing behind the last checkpoint would be found.
    let store = open(&disk);
    assert_eq!(store.recovery().blobs_adopted, 1);
    assert!(store.stat(&since).unwrap().is_some());
}

//= rfcs/0009-store.md#store-5
//= type=test
//# After any crash a store MUST hold everything that it acknowledged.
#[test]
fn what_was_recovered_stays_when_a_neighbour_is_removed() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let holder = &HOLDERS[1];
    let receiver = store.receive(&holder.id, holder.size(), &Target::Segments).unwrap();
    let take = |range: core::ops::Range<u64>| {
        let known = receiver.known();
        let (proof, data) = holder.send(GroupLog2::KIB16, &range, &known);
        receiver.ingest(GroupLog2::KIB16, range.start, &known, &proof, &data).unwrap();
    };
    take(0..16);
    store.checkpoint().unwrap();
    // Since then, with no checkpoint: a blob, a part of the receive, and another blob.
    let gone = store.put(&bytes(2_000, 1)).unwrap();
    take(16..32);
    let kept = store.put(&bytes(3_000, 2)).unwrap();
    // What does not fit the buffer any more has it written.
    store.put(&bytes(700_000, 3)).unwrap();
    drop(receiver);
    drop(store);
    disk.power_on();

    let store = open(&disk);
    assert_eq!(store.recovery().blobs_adopted, 2);
    assert!(store.recovery().bytes_recovered > 0);
    let usage = store.usage().unwrap();
    assert!(usage.segment_live_bytes <= usage.segment_bytes, "{usage:?}");
    assert!(store.remove(&gone).unwrap());
    store.checkpoint().unwrap();
    drop(store);

    // The hole that is left must not be taken for the end of the segment.
    let store = open(&disk);
    assert!(store.stat(&gone).unwrap().is_none(), "what was removed stays away");
    let reader = store.reader(&kept).unwrap().unwrap();
    assert_eq!(reader.read(0..3_000).unwrap(), bytes(3_000, 2));
    let reader = store.reader(&holder.id).unwrap().unwrap();
    assert_eq!(reader.read(0..32 * 1024).unwrap(), holder.data[..32 * 1024]);
}
