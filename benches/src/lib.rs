//! Shared inputs for the benchmarks: the same bytes in every run and on every machine.
#![forbid(unsafe_code)]

/// Bytes that no compressor shrinks: `len` of them, rounded up to a multiple of 8.
#[must_use]
pub fn random_bytes(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let words = (0..len.div_ceil(8)).flat_map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state ^ state >> 29).to_le_bytes()
    });
    words.collect()
}
