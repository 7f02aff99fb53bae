//! Memory follows what is done, never what is claimed, measured at the allocator.

mod common;

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
};
use std::alloc::System;

use common::Blob;
use samara_base::{GroupLog2, RangeSet};
use samara_tree::{Prover, Verifier};

/// Counts the bytes that the current thread has allocated, and their peak.
struct Counting;

thread_local! {
    static LIVE: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

// SAFETY: every call goes to the system's allocator with unchanged arguments.
#[expect(unsafe_code, reason = "an allocator is unsafe by contract")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (live, peak) = LIVE.get();
        let live = live + layout.size();
        LIVE.set((live, peak.max(live)));
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let (live, peak) = LIVE.get();
        LIVE.set((live.saturating_sub(layout.size()), peak));
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes that `make` left allocated, and the peak while it ran.
fn cost<T>(make: impl FnOnce() -> T) -> (T, usize, usize) {
    let (before, _) = LIVE.get();
    LIVE.set((before, before));
    let made = make();
    let (after, peak) = LIVE.get();
    (made, after.saturating_sub(before), peak - before)
}

#[test]
fn a_claimed_size_costs_nothing() {
    let blob = Blob::painted(100_000);
    let none = RangeSet::new();
    let (_, small, _) = cost(|| Verifier::new(blob.id, 1));
    let (mut verifier, large, _) = cost(|| Verifier::new(blob.id, u64::MAX));
    assert_eq!(small, large);
    // A transfer of one leaf with all 54 pairs of nonsense: what is reserved follows the proof.
    let proof = [0x11; 54 * 64];
    let (refused, _, peak) =
        cost(|| verifier.verify(GroupLog2::MIN, 0, &none, &proof, &[0; 1024], &mut |_, _| ()));
    assert!(refused.is_err());
    assert!(peak < 2 * proof.len(), "{peak}");
}

#[test]
fn the_largest_frontier_stays_below_its_bound() {
    let blob = Blob::new(vec![0; 65_536 << 10]);
    let none = RangeSet::new();
    let proof = blob.encode(GroupLog2::MIN, &(0..65_536), &none);
    let mut data = blob.data.clone();
    (0..65_536).step_by(2).for_each(|leaf| data[leaf * 1024] ^= 1);
    let (verifier, live, _) = cost(|| {
        let mut verifier = Verifier::new(blob.id, blob.size);
        let _ = verifier.verify(GroupLog2::MIN, 0, &none, &proof, &data, &mut |_, _| ()).unwrap();
        verifier
    });
    assert_eq!(verifier.nodes(), Verifier::NODES_MAX);
    assert!(live <= verifier.memory_bytes(), "{live} > {}", verifier.memory_bytes());
    assert!(live <= 10 << 20, "{live}");
    // Each part is counted: nodes, runs, and the values cached above nodes of 32 leaves.
    let (nodes, runs) = (verifier.nodes(), verifier.known().runs().len());
    assert_eq!((nodes, runs), (65_536, 32_768));
    assert!(verifier.memory_bytes() >= 128 * nodes + 32 * runs + 112 * 4_095);
}

#[test]
fn a_prover_is_small_whatever_the_size() {
    // 1 GiB of zeros: the outboard is 2 MiB, the prover keeps less.
    let group = vec![0u8; 16 << 10];
    let mut outboard = Vec::new();
    let mut builder = samara_tree::OutboardBuilder::new();
    (0..65_536).for_each(|_| builder.push(&group, &mut |_, cv| outboard.push(cv)));
    let (id, size) = builder.finish(&mut |_, cv| outboard.push(cv));
    let (prover, live, peak) = cost(|| Prover::open(id, size, outboard.as_slice()).unwrap());
    assert!(live <= prover.memory_bytes() && peak <= prover.memory_bytes() + 16_384, "{live}");
    assert!(prover.memory_bytes() <= 452 << 10, "{}", prover.memory_bytes());
    let (proof, _, peak) = cost(|| {
        prover.encode(outboard.as_slice(), GroupLog2::KIB16, &(0..16), &RangeSet::new(), &group)
    });
    assert_eq!(proof.unwrap().len(), 16 * 64);
    assert!(peak < 64 << 10, "{peak}");
}
