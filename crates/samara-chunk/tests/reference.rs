//! The chunker against the search of RFC 0004, written down as the document has it: one byte at a
//! time, with a gear table made from its definition.
#![cfg(feature = "std")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use proptest::prelude::*;
use samara_chunk::{Chunk, Chunker, ChunkerParams};

/// MD5 of one block of 64 equal bytes (RFC 1321): what the gear table is made of.
fn md5_of_64(byte: u8) -> [u8; 16] {
    const SHIFTS: [[u32; 4]; 4] =
        [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    let table: [u32; 64] =
        core::array::from_fn(|at| ((at as f64 + 1.0).sin().abs() * 4_294_967_296.0) as u32);
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    // The block, then the padding: a one bit, zeros, the length of 512 bits.
    let mut padding = [0; 64];
    padding[0] = 0x80;
    padding[57] = 2;
    for block in [[byte; 64], padding] {
        let word = |at: usize| u32::from_le_bytes(block[4 * at..4 * at + 4].try_into().unwrap());
        let [mut a, mut b, mut c, mut d] = state;
        for at in 0..64 {
            let (mixed, from) = match at / 16 {
                0 => ((b & c) | (!b & d), at),
                1 => ((d & b) | (!d & c), (5 * at + 1) % 16),
                2 => (b ^ c ^ d, (3 * at + 5) % 16),
                _ => (c ^ (b | !d), (7 * at) % 16),
            };
            let sum = a.wrapping_add(mixed).wrapping_add(table[at]).wrapping_add(word(from));
            (a, d, c) = (d, c, b);
            b = b.wrapping_add(sum.rotate_left(SHIFTS[at / 16][at % 4]));
        }
        for (sum, part) in state.iter_mut().zip([a, b, c, d]) {
            *sum = sum.wrapping_add(part);
        }
    }
    let mut out = [0; 16];
    out.chunks_mut(4).zip(state).for_each(|(out, word)| out.copy_from_slice(&word.to_le_bytes()));
    out
}

fn gear() -> [u64; 256] {
    core::array::from_fn(|byte| {
        let hash = md5_of_64(u8::try_from(byte).unwrap());
        u64::from_be_bytes(hash[..8].try_into().unwrap())
    })
}

/// Strict and loose mask of the table in the document.
fn masks(params: ChunkerParams) -> (u64, u64) {
    match params.code() {
        14 => (0x0000_d903_0353_7000, 0x0000_d901_0353_0000),
        15 => (0x0000_d907_0353_7000, 0x0000_d903_0353_0000),
        16 => (0x0000_d907_0753_7000, 0x0000_d903_1353_0000),
        18 => (0x0000_d917_4753_7000, 0x0000_d903_0353_7000),
        other => panic!("profile {other} is not in the document"),
    }
}

fn next(b: &[u8], params: ChunkerParams, gear: &[u64; 256]) -> usize {
    let (strict, loose) = masks(params);
    let limit = b.len().min(params.max_bytes());
    if limit <= params.min_bytes() {
        return limit;
    }
    let mut hash = 0_u64;
    for i in params.min_bytes()..limit / 2 * 2 {
        hash = hash.wrapping_mul(2).wrapping_add(gear[usize::from(b[i])]);
        let mask = if i < params.avg_bytes() { strict } else { loose };
        if hash & mask == 0 {
            return i;
        }
    }
    limit
}

fn reference(mut blob: &[u8], params: ChunkerParams) -> Vec<u32> {
    let (gear, mut lengths) = (gear(), Vec::new());
    while !blob.is_empty() {
        let len = next(blob, params, &gear);
        lengths.push(u32::try_from(len).unwrap());
        blob = &blob[len..];
    }
    lengths
}

fn pushed(blob: &[u8], params: ChunkerParams, pieces: &[usize]) -> Vec<u32> {
    let mut lengths = Vec::new();
    let mut take = |chunk: Chunk, _: &[u8]| lengths.push(chunk.len);
    let mut chunker = Chunker::new(params);
    let (mut rest, mut sizes) = (blob, pieces.iter().cycle());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
        chunker.push(piece, &mut take);
        rest = after;
    }
    chunker.finish(&mut take);
    lengths
}

fn noise(len: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn the_gear_table_is_what_the_document_says() {
    let gear = gear();
    assert_eq!((gear[0], gear[255]), (0x3b5d_3c7d_207e_37dc, 0xaabd_2b2a_4515_04e1));
}

//= rfcs/0004-chunking.md#chunk-2
//= type=test
//# A chunker MUST use the masks of its profile's row.
#[test]
fn every_profile_cuts_as_the_document_says() {
    for params in ChunkerParams::ALL {
        let blob = noise(7 * params.avg_bytes() + 1, params.code());
        assert_eq!(pushed(&blob, params, &[blob.len()]), reference(&blob, params), "{params:?}");
    }
}

#[test]
fn the_last_odd_byte_is_no_cut() {
    // Every length from one where the last byte would be a cut: the search never looks at it.
    let params = ChunkerParams::Kib16;
    let blob = noise(3 * params.avg_bytes(), 1);
    let first = usize::try_from(reference(&blob, params)[0]).unwrap();
    for len in first..first + 4 {
        assert_eq!(pushed(&blob[..len], params, &[1_000]), reference(&blob[..len], params));
    }
}

#[derive(Clone, Debug)]
enum Run {
    Noise(usize, u8),
    Constant(usize, u8),
    Periodic(usize, Vec<u8>),
}

fn run() -> impl Strategy<Value = Run> {
    let len = 0_usize..100_000;
    prop_oneof![
        (len.clone(), any::<u8>()).prop_map(|(len, seed)| Run::Noise(len, seed)),
        (len.clone(), any::<u8>()).prop_map(|(len, byte)| Run::Constant(len, byte)),
        (len, prop::collection::vec(any::<u8>(), 2..70))
            .prop_map(|(len, period)| Run::Periodic(len, period)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_blob_in_any_pieces(
        runs in prop::collection::vec(run(), 1..5),
        pieces in prop::collection::vec(1_usize..200_000, 1..6),
        which in 0_usize..3,
    ) {
        let params = ChunkerParams::ALL[which];
        let blob: Vec<u8> = runs
            .iter()
            .flat_map(|run| match run {
                Run::Noise(len, seed) => noise(*len, *seed),
                Run::Constant(len, byte) => vec![*byte; *len],
                Run::Periodic(len, period) => period.iter().copied().cycle().take(*len).collect(),
            })
            .collect();
        prop_assert_eq!(pushed(&blob, params, &pieces), reference(&blob, params));
    }
}
