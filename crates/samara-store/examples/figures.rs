//! Prints the figures that the store is held to, beside the limits of the machine in the same run.
//!
//! ```sh
//! cargo run --release -p samara-store --example figures -- import|read|many [DIR] [N]
//! ```
//!
//! `import`: N MiB (1024) that are new, that are in the store already, and without chunks; beside what
//! hashing and the disk take alone. `read`: random reads of 64 KiB. `many`: N blobs (1,000,000) of 1 KiB,
//! opened, looked up, collected. Everything is written below `DIR` (the system's temporary directory),
//! into a new directory that is removed at the end.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails may just say where")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use core::{
    hint::black_box,
    sync::atomic::{AtomicBool, Ordering},
};
use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::Instant,
};

use samara_base::BlobId;
use samara_chunk::{Chunker, ChunkerParams};
use samara_store::{Options, Store};
use samara_tree::OutboardBuilder;

/// Rounds of which the median counts.
const ROUNDS: usize = 5;

fn main() {
    let mut args = std::env::args().skip(1);
    let what = args.next().unwrap_or_else(|| "import".to_owned());
    let base = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let count: Option<u64> = args.next().map(|text| text.parse().unwrap());
    let dir = base.join(format!("samara-figures-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    match what.as_str() {
        "import" => import(&dir, count.unwrap_or(1024) << 20),
        "read" => read(&dir, count.unwrap_or(1024) << 20),
        "many" => many(&dir, count.unwrap_or(1_000_000)),
        _ => println!("import, read or many?"),
    }
    println!("peak resident memory {:.1} MiB", peak_kib() as f64 / 1024.0);
    fs::remove_dir_all(&dir).unwrap();
}

fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or(0)
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Time that this thread was on a processor: on a busy machine this says more than the clock.
fn on_processor<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let nanos = || -> u64 {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        text.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    let start = nanos();
    let done = work();
    ((nanos() - start) as f64 / 1e9, done)
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let done = work();
    (start.elapsed().as_secs_f64(), done)
}

/// Bytes that no compressor makes shorter, other ones for each seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for word in bytes.chunks_mut(8) {
            word.copy_from_slice(&self.next().to_le_bytes()[..word.len()]);
        }
    }
}

fn make_file(path: &Path, bytes: u64, seed: u64) {
    let (mut random, mut file) = (Random(seed), File::create(path).unwrap());
    let mut block = vec![0; 1 << 20];
    for _ in 0..bytes >> 20 {
        random.fill(&mut block);
        file.write_all(&block).unwrap();
    }
    file.sync_all().unwrap();
}

fn in_blocks(path: &Path, mut each: impl FnMut(&[u8])) {
    let mut file = File::open(path).unwrap();
    let mut block = vec![0; 1 << 20];
    loop {
        let len = file.read(&mut block).unwrap();
        if len == 0 {
            return;
        }
        each(&block[..len]);
    }
}

fn import(dir: &Path, bytes: u64) {
    let source = dir.join("source");
    make_file(&source, bytes, 42);
    let mut times: [Vec<f64>; 5] = Default::default();
    let mut index = [0.0; 2];
    for round in 0..ROUNDS {
        let hash = timed(|| {
            let (mut builder, mut chunker) =
                (OutboardBuilder::new(), Chunker::new(ChunkerParams::Kib64));
            in_blocks(&source, |block| {
                builder.push(block, &mut |_, cv| {
                    black_box(cv);
                });
                chunker.push(block, |chunk, _| {
                    black_box(chunk);
                });
            });
        });
        let copy = dir.join("copy");
        let disk = timed(|| {
            let mut file = File::create(&copy).unwrap();
            in_blocks(&source, |block| file.write_all(block).unwrap());
            file.sync_data().unwrap();
        });
        fs::remove_file(&copy).unwrap();
        let path = dir.join(format!("store{round}"));
        let store = Store::open(&path, Options::default()).unwrap();
        let put = |store: &Store| {
            let mut file = File::open(&source).unwrap();
            store.import(&mut file, &mut |_| ()).unwrap();
            store.checkpoint().unwrap();
        };
        let new = timed(|| put(&store));
        // Another blob with the same chunks but for the first.
        let mut file = fs::OpenOptions::new().write(true).open(&source).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(&[round as u8 + 1]).unwrap();
        let again = timed(|| put(&store));
        let usage = store.usage().unwrap();
        assert!(usage.shared_bytes > bytes * 9 / 10, "{usage:?}");
        drop(store);
        let (file, used) = index_bytes(&path);
        index = [file, used].map(|bytes| bytes as f64 / usage.chunks as f64);
        fs::remove_dir_all(&path).unwrap();
        let options = Options { chunking: None, ..Options::default() };
        let store = Store::open(&path, options).unwrap();
        let plain = timed(|| put(&store));
        drop(store);
        fs::remove_dir_all(&path).unwrap();
        for (times, (time, ())) in times.iter_mut().zip([hash, disk, new, again, plain]) {
            times.push(time);
        }
    }
    let rates = times.map(|mut times| bytes as f64 / median(&mut times) / 1e9);
    let limit = rates[0].min(rates[1]);
    for (what, rate) in [
        "cut and two hashes",
        "copy and fdatasync",
        "import of new bytes",
        "import of bytes that are there",
        "import without chunks",
    ]
    .iter()
    .zip(rates)
    {
        println!("{what:32} {rate:6.2} GB/s  {:5.2} of the lower limit", rate / limit);
    }
    let [file, used] = index;
    println!(
        "index: {used:.1} bytes per chunk of two blobs that share all but one, its file {file:.1}"
    );
}

fn read(dir: &Path, bytes: u64) {
    let source = dir.join("source");
    make_file(&source, bytes, 43);
    for chunking in [Some(ChunkerParams::Kib64), None] {
        let options = Options { chunking, ..Options::default() };
        let path = dir.join("store");
        let store = Store::open(&path, options).unwrap();
        let id = store.import(File::open(&source).unwrap(), &mut |_| ()).unwrap().id;
        store.checkpoint().unwrap();
        let reader = store.reader(&id).unwrap().unwrap();
        let mut random = Random(7);
        let mut times = Vec::new();
        let reads = 8_192;
        for _ in 0..ROUNDS {
            let (time, ()) = on_processor(|| {
                for _ in 0..reads {
                    let at = (random.next() % (bytes >> 16)) << 16;
                    black_box(reader.read(at..at + 65_536).unwrap());
                }
            });
            times.push(time);
        }
        let rate = f64::from(reads) * 65_536.0 / median(&mut times) / 1e9;
        let how = if chunking.is_some() { "in chunks" } else { "without chunks" };
        println!("random verified reads of 64 KiB, {how:16} {rate:6.2} GB/s of processor time");
        drop((reader, store));
        fs::remove_dir_all(&path).unwrap();
    }
    // What a core does at most: read and hash.
    let file = File::open(&source).unwrap();
    let mut buffer = vec![0; 65_536];
    let (mut random, mut times) = (Random(9), Vec::new());
    for _ in 0..ROUNDS {
        let (time, ()) = on_processor(|| {
            for _ in 0..8_192 {
                use std::os::unix::fs::FileExt as _;
                let at = (random.next() % (bytes >> 16)) << 16;
                file.read_exact_at(&mut buffer, at).unwrap();
                black_box(samara_tree::hash(&buffer));
            }
        });
        times.push(time);
    }
    let rate = 8_192.0 * 65_536.0 / median(&mut times) / 1e9;
    println!("pread and BLAKE3 alone                            {rate:6.2} GB/s of processor time");
}

/// Bytes that the index takes: its file, and what of it are rows and what leads to them. The rest is
/// room in pages, and pages that wait to be used by the next commits.
fn index_bytes(store: &Path) -> (u64, u64) {
    let path = store.join("index.redb");
    let len = fs::metadata(&path).unwrap().len();
    let db = redb::Builder::new().set_cache_size(1 << 20).open(&path).unwrap();
    let txn = db.begin_write().unwrap();
    let stats = txn.stats().unwrap();
    (len, stats.stored_bytes() + stats.metadata_bytes())
}

fn many(dir: &Path, count: u64) {
    let path = dir.join("store");
    let store = Store::open(&path, Options::default()).unwrap();
    let mut ids: Vec<BlobId> = Vec::new();
    let (mut random, mut block) = (Random(1), [0; 1024]);
    let (time, ()) = timed(|| {
        for _ in 0..count {
            random.fill(&mut block);
            ids.push(store.put(&block).unwrap());
        }
        store.checkpoint().unwrap();
    });
    println!("put {count} blobs of 1 KiB, durable: {:.0}/s", count as f64 / time);
    drop(store);
    let (file, used) = index_bytes(&path);
    let per = |bytes: u64| bytes as f64 / count as f64;
    println!("index: {:.1} bytes per blob, its file {:.1}", per(used), per(file));
    let mut opens = Vec::new();
    for _ in 0..ROUNDS {
        opens.push(timed(|| drop(Store::open(&path, Options::default()).unwrap())).0);
    }
    println!("open: {:.0} ms", median(&mut opens) * 1e3);
    let store = Store::open(&path, Options::default()).unwrap();
    let look = |store: &Store, count: u64, random: &mut Random| {
        let mut times: Vec<f64> = (0..count)
            .map(|_| {
                let id = ids[(random.next() % ids.len() as u64) as usize];
                timed(|| black_box(store.stat(&id).unwrap())).0
            })
            .collect();
        times.sort_by(f64::total_cmp);
        (times[times.len() / 2] * 1e6, times[times.len() * 99 / 100] * 1e6)
    };
    look(&store, 100_000, &mut random);
    let (p50, p99) = look(&store, 200_000, &mut random);
    println!("look-up, warm: p50 {p50:.1} us, p99 {p99:.1} us");
    // A tenth goes; the others are kept. Readers go on meanwhile.
    let gone: std::collections::HashSet<BlobId> = ids.iter().step_by(10).copied().collect();
    let done = AtomicBool::new(false);
    let ((time, removed), (p50, p99)) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut times = Vec::new();
            let mut random = Random(3);
            while !done.load(Ordering::Relaxed) {
                let id = ids[(random.next() % ids.len() as u64) as usize];
                times.push(timed(|| black_box(store.stat(&id).unwrap())).0);
            }
            times.sort_by(f64::total_cmp);
            (times[times.len() / 2] * 1e6, times[times.len() * 99 / 100] * 1e6)
        });
        let collected = timed(|| {
            store.collect(core::time::Duration::ZERO, &mut |id| !gone.contains(id)).unwrap()
        });
        done.store(true, Ordering::Relaxed);
        (collected, reader.join().unwrap())
    });
    println!(
        "collected {removed} of {count} in {time:.2} s; meanwhile p50 {p50:.1}, p99 {p99:.1} us"
    );
}
