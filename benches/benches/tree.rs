//! The tree at the speed of the hash: raw BLAKE3, outboard, encode (checked read and proof) and
//! verify, and the same work by `bao-tree`, in one run.
//!
//! `cargo bench -p samara-benches --bench tree`
#![expect(clippy::unwrap_used, reason = "benchmark")]

use core::{hint::black_box, ops::Range};

use bao_tree::{
    BaoTree, BlockSize, ChunkNum, ChunkRanges,
    io::{
        outboard::PreOrderMemOutboard,
        sync::{decode_ranges, encode_ranges_validated},
    },
};
use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use samara_base::{GroupLog2, RangeSet};
use samara_tree::{Cv, OutboardBuilder, Prover, Verifier};

const SIZE: usize = 64 << 20;
/// What one DATA frame carries: 1 MiB.
const FRAME_LEAVES: u64 = 1024;

struct Blob {
    data: Vec<u8>,
    outboard: Vec<Cv>,
    prover: Prover,
}

fn build(data: &[u8]) -> (Vec<Cv>, samara_base::BlobId) {
    let mut outboard = Vec::with_capacity(data.len() / 16384 + 1);
    let mut builder = OutboardBuilder::new();
    for piece in data.chunks(256 << 10) {
        builder.push(piece, &mut |_, cv| outboard.push(cv));
    }
    let (id, _) = builder.finish(&mut |_, cv| outboard.push(cv));
    (outboard, id)
}

impl Blob {
    fn new() -> Self {
        let data = samara_benches::random_bytes(SIZE);
        let (outboard, id) = build(&data);
        let prover = Prover::open(id, SIZE as u64, outboard.as_slice()).unwrap();
        Self { data, outboard, prover }
    }

    fn slice(&self, leaves: &Range<u64>) -> &[u8] {
        let bytes = self.prover.tree().bytes(leaves);
        &self.data[bytes.start as usize..bytes.end as usize]
    }

    /// All frames in order, each relative to those before it.
    fn frames(&self, group: GroupLog2) -> Vec<(Range<u64>, RangeSet, Vec<u8>)> {
        let leaves = self.prover.tree().leaves();
        let firsts = (0..leaves).step_by(FRAME_LEAVES as usize);
        let frames = firsts.map(|first| {
            let range = first..(first + FRAME_LEAVES).min(leaves);
            let base = RangeSet::from(0..first);
            let proof = self.encode(group, &range, &base);
            (range, base, proof)
        });
        frames.collect()
    }

    fn encode(&self, group: GroupLog2, range: &Range<u64>, base: &RangeSet) -> Vec<u8> {
        let outboard = self.outboard.as_slice();
        self.prover.encode(outboard, group, range, base, self.slice(range)).unwrap()
    }
}

fn ours(bench: &mut BenchmarkGroup<'_, WallTime>, blob: &Blob, log2: u8) {
    let group = GroupLog2::new(log2).unwrap();
    let name = |what: &str| format!("{what}/64MiB/groups{}", group.leaves());
    let frames = blob.frames(group);
    bench.bench_function(name("encode"), |bench| {
        bench.iter(|| {
            for (range, base, _) in &frames {
                black_box(blob.encode(group, range, base));
            }
        });
    });
    bench.bench_function(name("verify"), |bench| {
        let mut outboard = vec![Cv::default(); blob.outboard.len()];
        bench.iter(|| {
            let mut verifier = Verifier::new(blob.prover.id(), SIZE as u64);
            for (range, base, proof) in &frames {
                let data = blob.slice(range);
                let verified =
                    verifier.verify(group, range.start, base, proof, data, &mut |at, cv| {
                        outboard[at as usize] = cv;
                    });
                assert!(verified.unwrap().bad.is_empty());
            }
            assert!(verifier.is_complete());
        });
        assert_eq!(outboard, blob.outboard);
    });
}

fn theirs(bench: &mut BenchmarkGroup<'_, WallTime>, blob: &Blob, log2: u8) {
    let block = BlockSize::from_chunk_log(log2);
    let name = |what: &str| format!("{what}/64MiB/groups{}/bao-tree", 1 << log2);
    let outboard = PreOrderMemOutboard::create(&blob.data, block);
    let ranges = ChunkRanges::from(ChunkNum(0)..ChunkNum(SIZE as u64 / 1024));
    let mut encoded = Vec::with_capacity(SIZE + SIZE / 100);
    encode_ranges_validated(blob.data.as_slice(), &outboard, &ranges, &mut encoded).unwrap();
    bench.bench_function(name("encode"), |bench| {
        let mut sink = Vec::with_capacity(encoded.len());
        bench.iter(|| {
            sink.clear();
            let data = blob.data.as_slice();
            encode_ranges_validated(data, &outboard, &ranges, &mut sink).unwrap();
        });
    });
    bench.bench_function(name("verify"), |bench| {
        let mut data = vec![0u8; SIZE];
        bench.iter(|| {
            let mut got = PreOrderMemOutboard {
                root: outboard.root,
                tree: BaoTree::new(SIZE as u64, block),
                data: vec![0; outboard.data.len()],
            };
            decode_ranges(encoded.as_slice(), &ranges, data.as_mut_slice(), &mut got).unwrap();
        });
    });
    bench.bench_function(name("outboard"), |bench| {
        bench.iter(|| {
            black_box(PreOrderMemOutboard::create(&blob.data, block));
        });
    });
}

fn tree(criterion: &mut Criterion) {
    let blob = Blob::new();
    let mut bench = criterion.benchmark_group("tree");
    bench.throughput(Throughput::Bytes(SIZE as u64)).sample_size(20);
    bench.bench_function("hash/64MiB/raw", |bench| bench.iter(|| blake3::hash(&blob.data)));
    bench.bench_function("outboard/64MiB/groups16", |bench| bench.iter(|| build(&blob.data)));
    ours(&mut bench, &blob, 4);
    bench.bench_function("hash/64MiB/raw-again", |bench| bench.iter(|| blake3::hash(&blob.data)));
    ours(&mut bench, &blob, 6);
    ours(&mut bench, &blob, 0);
    theirs(&mut bench, &blob, 4);
    bench.finish();
}

criterion_group!(benches, tree);
criterion_main!(benches);
