//! Durable puts of small blobs by several threads, which share the syncs.
//!
//! `cargo bench -p samara-benches --bench store`, below the system's directory for temporary files: set `TMPDIR` to
//! the disk that is meant.
#![expect(clippy::unwrap_used, reason = "benchmark")]

use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use std::thread;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use samara_store::{Durability, Options, Store};

/// Bytes of a blob.
const SIZE: usize = 1024;
/// Commits of each thread, one after the other.
const COMMITS: u64 = 16;

/// Each thread puts a blob and waits until it is durable, and again.
fn put_and_commit(store: &Store, threads: u64, durability: Durability, next: &AtomicU64) {
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut blob = samara_benches::random_bytes(SIZE);
                for _ in 0..COMMITS {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    blob[..8].copy_from_slice(&number.to_le_bytes());
                    store.put(&blob).unwrap();
                    store.commit(durability).unwrap();
                }
            });
        }
    });
}

fn commit(criterion: &mut Criterion) {
    let mut bench = criterion.benchmark_group("store commit");
    bench.sample_size(20).measurement_time(Duration::from_secs(4));
    let kinds = [
        ("immediate", Durability::Immediate),
        ("batched-2ms", Durability::Batched(Duration::from_millis(2))),
    ];
    for threads in [1, 4, 16] {
        bench.throughput(Throughput::Elements(threads * COMMITS));
        for (name, durability) in kinds {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path(), Options::default()).unwrap();
            let next = AtomicU64::new(0);
            bench.bench_function(format!("{name}/1KiB/threads{threads}"), |bench| {
                bench.iter(|| put_and_commit(&store, threads, durability, &next));
            });
        }
    }
    bench.finish();
}

criterion_group!(benches, commit);
criterion_main!(benches);
