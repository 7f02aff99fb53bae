//! A module of the core crates for wasm32: hashes, proves and verifies without a single import.
//!
//! `run.mjs` calls these functions under node and compares what they return with published vectors.
//! Not `forbid(unsafe_code)`, since `no_mangle` counts as unsafe; there is no other.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;
use core::panic::PanicInfo;

use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_tree::{Cv, OutboardBuilder, Prover, Verifier};

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// The input of BLAKE3's test vectors: bytes 0 to 250, over and over.
fn paint(len: u32) -> Vec<u8> {
    (0..=250_u8).cycle().take(len as usize).collect()
}

fn import(blob: &[u8]) -> (BlobId, u64, Vec<Cv>) {
    let mut outboard = Vec::new();
    let mut builder = OutboardBuilder::new();
    for piece in blob.chunks(4_099) {
        builder.push(piece, &mut |_, cv| outboard.push(cv));
    }
    let (id, size) = builder.finish(&mut |_, cv| outboard.push(cv));
    (id, size, outboard)
}

/// Four bytes of the id of a painted blob, little endian.
#[allow(unsafe_code, reason = "an exported name")]
#[unsafe(no_mangle)]
pub extern "C" fn id_word(len: u32, word: u32) -> u32 {
    let (id, ..) = import(&paint(len));
    let bytes = id.as_bytes().chunks_exact(4).nth(word as usize);
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// Proves a painted blob as a whole, flips a bit at `flip` (none if it lies outside), verifies.
/// Returns the number of good leaves, or `u32::MAX` if a step failed.
#[allow(unsafe_code, reason = "an exported name")]
#[unsafe(no_mangle)]
pub extern "C" fn good_leaves(len: u32, group: u32, flip: u32) -> u32 {
    transfer(len, group, flip).unwrap_or(u32::MAX)
}

fn transfer(len: u32, group: u32, flip: u32) -> Option<u32> {
    let group = GroupLog2::new(u8::try_from(group).ok()?)?;
    let mut blob = paint(len);
    let (id, size, outboard) = import(&blob);
    let base = RangeSet::new();
    let prover = Prover::open(id, size, outboard.as_slice()).ok()?;
    let range = 0..prover.tree().leaves();
    let proof = prover.encode(outboard.as_slice(), group, &range, &base, &blob).ok()?;
    if let Some(byte) = blob.get_mut(flip as usize) {
        *byte ^= 1;
    }
    let mut verifier = Verifier::new(id, size);
    let verified = verifier.verify(group, 0, &base, &proof, &blob, &mut |_, _| ()).ok()?;
    u32::try_from(verified.good.runs().iter().map(|run| run.end - run.start).sum::<u64>()).ok()
}
