//! A child process is killed in the middle of its work, again and again, and everything that it
//! acknowledged is looked at.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(unix)]

mod support;

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use samara_base::{GroupLog2, RangeSet};
use samara_store::{Options, Store, Target};
use support::{Holder, bytes};

const CHILD: &str = "--kill-test-child";
const BIG: usize = 24 << 20;
const ROUNDS: u64 = 8;

/// Blobs of a round, by number.
fn small(round: u64, at: u64) -> Vec<u8> {
    bytes(usize::try_from(at * 37 % 5000).unwrap(), round * 1_000_000 + at + 1)
}

fn options() -> Options {
    Options { segment_bytes: 2 << 20, ..Options::default() }
}

/// The child: puts small blobs and receives a big one, and says what was acknowledged.
fn work(dir: &Path, round: u64) {
    let store = Store::open(&dir.join("store"), options()).unwrap();
    let root = store.root(dir).unwrap();
    let holder = Holder::new(bytes(BIG, 7));
    let rel = b"big.part".to_vec();
    let target = Target::File { root, rel, mode: 0o600, mtime: None };
    let receiver = store.receive(&holder.id, holder.size(), &target).unwrap();
    let group = GroupLog2::KIB64;
    println!("held {}", receiver.held().total());
    let mut at = 0;
    for range in holder.transfers(group, 256) {
        if !receiver.held().intersects(&range) {
            let known = receiver.known();
            let (proof, data) = holder.send(group, &range, &known);
            receiver.ingest(group, range.start, &known, &proof, &data).unwrap();
            println!("ingested {}", receiver.held().total());
        }
        for _ in 0..20 {
            store.put(&small(round, at)).unwrap();
            at += 1;
        }
        if range.start % 2048 == 0 {
            store.checkpoint().unwrap();
            println!("checkpoint {at} {}", receiver.held().total());
        }
    }
    println!("done");
    loop {
        std::thread::park();
    }
}

/// Starts a child, lets it print `lines` lines, kills it. Returns its last words.
fn kill_after(dir: &Path, round: u64, lines: u64) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([CHILD, dir.to_str().unwrap(), &round.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    for line in stdout.lines() {
        let line = line.unwrap();
        let done = line == "done";
        said.push(line);
        if done || said.len() as u64 >= lines {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    said
}

fn number(said: &[String], word: &str, at: usize) -> u64 {
    let line = said.iter().rev().find(|line| line.starts_with(word));
    line.map_or(0, |line| line.split(' ').nth(at).unwrap().parse().unwrap())
}

fn main() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some(CHILD) {
        let (dir, round) = (args.next().unwrap(), args.next().unwrap());
        work(Path::new(&dir), round.parse().unwrap());
        return;
    }
    // What a test runner asks of a harness.
    if std::env::args().any(|arg| arg == "--ignored") {
        return;
    }
    if std::env::args().any(|arg| arg == "--list") {
        println!("a_killed_process_loses_nothing_that_it_acknowledged: test");
        return;
    }
    a_killed_process_loses_nothing_that_it_acknowledged();
    println!("test a_killed_process_loses_nothing_that_it_acknowledged ... ok");
}

fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let holder = Holder::new(bytes(BIG, 7));
    let mut held_before = 0;
    for round in 0..ROUNDS {
        let said = kill_after(dir.path(), round, 5 + round * 7 % 40);
        let acknowledged = number(&said, "checkpoint", 1);
        let ingested = number(&said, "ingested", 1).max(number(&said, "held", 1));
        let store = Store::open(&dir.path().join("store"), options()).unwrap();
        for at in 0..acknowledged {
            let data = small(round, at);
            let reader = store.reader(&samara_tree::hash(&data)).unwrap().unwrap();
            assert_eq!(reader.read(0..data.len() as u64).unwrap(), data, "round {round}");
        }
        // Not one byte is fetched again, though most of them were never acknowledged: only the
        // process died, and what it wrote is found and verified.
        let stat = store.stat(&holder.id).unwrap().unwrap();
        assert!(
            stat.held.total() >= ingested,
            "round {round}: {} of {ingested}",
            stat.held.total()
        );
        assert!(stat.held.total() >= held_before);
        held_before = stat.held.total();
        let reader = store.reader(&holder.id).unwrap().unwrap();
        for run in stat.held.runs() {
            let end = (run.end * 1024).min(holder.size());
            let from = usize::try_from(run.start * 1024).unwrap();
            let to = usize::try_from(end).unwrap();
            assert_eq!(reader.read(run.start * 1024..end).unwrap(), holder.data[from..to]);
        }
    }
    assert!(held_before > holder.leaves() / 3, "the rounds made progress: {held_before}");
    let store = Store::open(&dir.path().join("store"), options()).unwrap();
    let receiver = store.receive(&holder.id, holder.size(), &Target::Segments).unwrap();
    for range in holder.transfers(GroupLog2::KIB64, 256) {
        let known = receiver.known();
        let (proof, data) = holder.send(GroupLog2::KIB64, &range, &known);
        receiver.ingest(GroupLog2::KIB64, range.start, &known, &proof, &data).unwrap();
    }
    assert_eq!(receiver.held(), RangeSet::from(0..holder.leaves()));
    receiver.finish().unwrap();
    let root = store.root(dir.path()).unwrap();
    let target = Target::File { root, rel: b"big.part".to_vec(), mode: 0o600, mtime: None };
    store.publish_file(&holder.id, &target, b"big", false).unwrap();
    assert_eq!(std::fs::read(dir.path().join("big")).unwrap(), holder.data);
}
