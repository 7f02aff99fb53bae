use std::{vec, vec::Vec};

use fastcdc::v2020::{FastCDC, Normalization};

use super::*;

/// Bytes that no two windows share: a cheap generator, the same on every machine.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[7]
        })
        .collect()
}

/// The crate over the whole blob at once.
fn reference(data: &[u8], params: ChunkerParams) -> Vec<(u64, u32)> {
    let (min, avg, max) = (params.min_bytes(), params.avg_bytes(), params.max_bytes());
    FastCDC::with_level(data, min, avg, max, Normalization::Level2)
        .map(|chunk| (u64::try_from(chunk.offset).unwrap(), u32::try_from(chunk.length).unwrap()))
        .collect()
}

fn pushed(data: &[u8], params: ChunkerParams, piece: usize) -> Vec<(u64, u32)> {
    let mut cuts = Vec::new();
    let mut chunker = Chunker::new(params);
    let mut check = |chunk: Chunk, bytes: &[u8]| {
        assert_eq!(chunk.id.as_bytes(), blake3::hash(bytes).as_bytes());
        let start = usize::try_from(chunk.offset).unwrap();
        assert_eq!(bytes, &data[start..start + bytes.len()]);
        assert_eq!(chunk.len as usize, bytes.len());
        cuts.push((chunk.offset, chunk.len));
    };
    for bytes in data.chunks(piece) {
        chunker.push(bytes, &mut check);
        assert!(chunker.held_bytes() < params.max_bytes());
        assert!(chunker.held.capacity() <= 2 * params.max_bytes());
    }
    assert_eq!(chunker.finish(&mut check), data.len() as u64);
    cuts
}

//= rfcs/0004-chunking.md#chunk-1
//= type=test
//# A chunker MUST cut where the FastCDC 2020 search of this section cuts.
//
//= rfcs/0004-chunking.md#chunk-3
//= type=test
//# A chunker MUST place the same cuts whatever the pieces in which it receives a blob.
//
//= rfcs/0004-chunking.md#chunk-4
//= type=test
//# The id of a chunk MUST be the BLAKE3 hash of the chunk's bytes.
//
//= rfcs/0004-chunking.md#chunk-5
//= type=test
//# A chunker MUST hold back fewer bytes than the maximum of its profile.
#[test]
fn cuts_are_those_of_the_crate_over_the_whole_blob() {
    let params = ChunkerParams::Kib16;
    let max = params.max_bytes();
    let mut mixed = noise(5 * max + 77, 3);
    mixed.extend(vec![0; 3 * max + 1]);
    mixed.extend(noise(2 * max, 4));
    mixed.extend(b"abc".repeat(max));
    let blobs = [noise(9 * max + 1, 1), vec![0; 4 * max], mixed];
    for data in &blobs {
        let expected = reference(data, params);
        for piece in [511, 4_096, max - 1, max, max + 1, 3 * max + 5, data.len()] {
            assert_eq!(pushed(data, params, piece), expected, "pieces of {piece}");
        }
    }
}

#[test]
fn every_profile_agrees_with_the_crate() {
    for params in ChunkerParams::ALL {
        let data = noise(9 * params.avg_bytes() + 3, u64::from(params.code()));
        assert_eq!(pushed(&data, params, 10_000), reference(&data, params), "{params:?}");
        assert_eq!(ChunkerParams::from_code(params.code()), Some(params));
    }
    assert_eq!(ChunkerParams::from_code(17), None);
}

#[test]
fn lengths_around_the_edges() {
    let params = ChunkerParams::Kib16;
    let edges =
        [params.min_bytes(), params.avg_bytes(), params.max_bytes(), 2 * params.max_bytes()];
    let lengths = edges.into_iter().flat_map(|edge| [edge - 1, edge, edge + 1, edge + 2]);
    for len in [1, 2, 3].into_iter().chain(lengths) {
        for data in [noise(len, len as u64), vec![7; len]] {
            let expected = reference(&data, params);
            for piece in [len, len.div_ceil(2), 1_021] {
                assert_eq!(pushed(&data, params, piece), expected, "length {len}");
            }
        }
    }
}

#[test]
fn an_empty_blob_has_no_chunks() {
    let mut chunker = Chunker::new(ChunkerParams::default());
    chunker.push(&[], |_, _| panic!("no bytes, no chunk"));
    assert_eq!(chunker.finish(|_, _| panic!("no bytes, no chunk")), 0);
}

#[test]
fn an_insertion_changes_few_chunks() {
    let params = ChunkerParams::Kib16;
    let old = noise(64 * params.avg_bytes(), 11);
    let mut new = old.clone();
    new.insert(old.len() / 2, 1);
    let ids = |data: &[u8]| {
        let mut ids = Vec::new();
        let mut chunker = Chunker::new(params);
        chunker.push(data, |chunk, _| ids.push(chunk.id));
        chunker.finish(|chunk, _| ids.push(chunk.id));
        ids
    };
    let old = ids(&old);
    let changed = ids(&new).iter().filter(|id| !old.contains(id)).count();
    assert!((1..=4).contains(&changed), "{changed} chunks changed");
}
