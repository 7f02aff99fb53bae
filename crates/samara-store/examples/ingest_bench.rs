//! Prints the throughput of the store's hot paths on this machine.
//!
//! ```sh
//! cargo run --release -p samara-store --example ingest_bench -- [DIR] [files] [MiB]
//! ```
//!
//! Everything is written below `DIR` (default: the system's temporary directory), into a new
//! directory that is removed at the end.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails may just say where")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use core::hint::black_box;
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Instant,
};

use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_store::{Options, RootId, Store, Target};
use samara_tree::OutboardBuilder;

struct Run {
    dir: PathBuf,
    files: u32,
    bytes: u64,
}

fn main() {
    let mut args = std::env::args().skip(1);
    let base = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let files = args.next().map_or(100_000, |text| text.parse().unwrap());
    let mib: u64 = args.next().map_or(1024, |text| text.parse().unwrap());
    let dir = base.join(format!("samara-ingest-bench-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let run = Run { dir, files, bytes: mib << 20 };
    run.small();
    run.large();
    println!("peak memory {} MiB", peak_kib() / 1024);
    fs::remove_dir_all(&run.dir).unwrap();
}

fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or(0)
}

/// Time that this thread was on a processor. Unit: seconds. On a busy machine this says more than
/// the clock.
fn cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos: u64 = text.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0);
    nanos as f64 / 1e9
}

/// Runs `work` and prints what it took by the clock and of the processor, and the latter by item
/// or by byte.
fn measure<T>(what: &str, items: u64, bytes: u64, work: impl FnOnce() -> T) -> T {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let result = work();
    report(what, items, bytes, start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    result
}

fn report(what: &str, items: u64, bytes: u64, seconds: f64, cpu: f64) {
    let rate = if items > 1 {
        format!("{:7.2} us each", cpu * 1e6 / items as f64)
    } else if bytes > 0 {
        format!("{:7.2} GB/s", bytes as f64 / cpu / 1e9)
    } else {
        String::new()
    };
    println!("{what:<46} {seconds:7.3} s  cpu {cpu:7.3} s  {rate}");
}

fn content(at: u32) -> [u8; 1024] {
    let mut data = [0; 1024];
    data[..4].copy_from_slice(&at.to_le_bytes());
    data
}

fn name(at: u32) -> Vec<u8> {
    format!("d{:03}/file-{at:06}.txt", at / 1000).into_bytes()
}

impl Run {
    fn open(&self, name: &str) -> Store {
        Store::open(&self.dir.join(name), Options::default()).unwrap()
    }

    fn small(&self) {
        let count = u64::from(self.files);
        println!("{} files of 1 KiB", self.files);
        let source = self.dir.join("source");
        measure("  write the files (not the store)", count, 0, || {
            for at in 0..self.files {
                if at.is_multiple_of(1000) {
                    fs::create_dir_all(source.join(format!("d{:03}", at / 1000))).unwrap();
                }
                let path = source.join(String::from_utf8(name(at)).unwrap());
                fs::File::create(path).unwrap().write_all(&content(at)).unwrap();
            }
        });
        let ids: Vec<BlobId> = (0..self.files).map(|at| samara_tree::hash(&content(at))).collect();

        let sharer = self.open("sharer");
        let root = sharer.root(&source).unwrap();
        measure("  share_in_place", count, 0, || share(&sharer, root, self.files));
        measure("  serve (reader + encode)", count, 0, || serve(&sharer, &ids));

        let store = self.open("segments");
        measure("  receive_small to segments", count, 0, || {
            for (at, id) in ids.iter().enumerate() {
                let data = content(u32::try_from(at).unwrap());
                store.receive_small(id, &Target::Segments, &data).unwrap();
            }
        });
        measure("    its last checkpoint", 1, 0, || store.checkpoint().unwrap());
        measure("  serve from segments", count, 0, || serve(&store, &ids));
        drop(store);
        drop(measure("  open after a clean end", 1, 0, || self.open("segments")));

        let store = self.open("files");
        let root = store.staging_root(&self.dir.join("out.part")).unwrap();
        measure("  receive_small to files", count, 0, || {
            for (at, id) in ids.iter().enumerate() {
                let at = u32::try_from(at).unwrap();
                let target = Target::File { root, rel: name(at), mode: 0o644, mtime: None };
                store.receive_small(id, &target, &content(at)).unwrap();
            }
        });
        measure("    its last checkpoint", 1, 0, || store.checkpoint().unwrap());
        measure("  publish_root", 1, 0, || {
            store.publish_root(root, &self.dir.join("out")).unwrap();
        });
    }

    fn large(&self) {
        let bytes = self.bytes;
        println!("one file of {} MiB", bytes >> 20);
        let path = self.dir.join("large");
        let data = random(64 << 20);
        {
            let mut file = fs::File::create(&path).unwrap();
            let mut left = bytes;
            let mut turn = 0u64;
            while left > 0 {
                let len = left.min(data.len() as u64);
                file.write_all(&turn.to_le_bytes()).unwrap();
                file.write_all(&data[..usize::try_from(len).unwrap() - 8]).unwrap();
                left -= len;
                turn += 1;
            }
        }
        measure("  hash alone (not the store)", 1, bytes, || {
            let mut builder = OutboardBuilder::new();
            let mut left = bytes;
            while left > 0 {
                for piece in data.chunks(256 << 10) {
                    builder.push(piece, &mut |_, _| ());
                }
                left = left.saturating_sub(data.len() as u64);
            }
            black_box(builder.finish(&mut |_, _| ()))
        });
        measure("  write alone (not the store)", 1, bytes, || {
            let mut file = fs::File::create(self.dir.join("plain")).unwrap();
            let mut left = bytes;
            while left > 0 {
                for piece in data.chunks(256 << 10) {
                    file.write_all(piece).unwrap();
                }
                file.sync_data().unwrap();
                left = left.saturating_sub(data.len() as u64);
            }
        });
        fs::remove_file(self.dir.join("plain")).unwrap();
        let sharer = self.open("sharer");
        let root = sharer.root(&self.dir).unwrap();
        let stat = measure("  share_in_place", 1, bytes, || {
            sharer.share_in_place(root, b"large", &mut |_| ()).unwrap()
        });
        sharer.checkpoint().unwrap();
        for log2 in [4, 6, 8] {
            let group = GroupLog2::new(log2).unwrap();
            measure(&format!("  serve, groups and steps of {group}"), 1, bytes, || {
                self.pass(&sharer, stat.id, group, group.leaves(), &mut |_, _, _, _| ());
            });
        }
        for (what, log2, leaves) in [
            ("64 KiB groups, 64 KiB steps", 6, 64),
            ("64 KiB groups, 256 KiB steps", 6, 256),
            ("16 KiB groups, 256 KiB steps", 4, 256),
        ] {
            let group = GroupLog2::new(log2).unwrap();
            for file in [false, true] {
                let name = format!("large-{log2}-{leaves}-{file}");
                let store = self.open(&name);
                let target = if file {
                    let root = store.root(&self.dir).unwrap();
                    let rel = format!("{name}.part").into_bytes();
                    Target::File { root, rel, mode: 0o644, mtime: None }
                } else {
                    Target::Segments
                };
                let receiver = store.receive(&stat.id, bytes, &target).unwrap();
                // The source is read outside of the measured time.
                let (mut spent, mut cpu) = (0.0, 0.0);
                self.pass(&sharer, stat.id, group, leaves, &mut |at, base, proof, data| {
                    let (start, before) = (Instant::now(), cpu_seconds());
                    let done = receiver.ingest(group, at, base, proof, data).unwrap();
                    black_box(done);
                    spent += start.elapsed().as_secs_f64();
                    cpu += cpu_seconds() - before;
                });
                let place = if file { "file" } else { "segments" };
                report(&format!("  ingest, {what}, to {place}"), 1, bytes, spent, cpu);
                measure("    finish and checkpoint", 1, 0, || {
                    receiver.finish().unwrap();
                    store.checkpoint().unwrap();
                });
                drop((receiver, store));
                fs::remove_dir_all(self.dir.join(&name)).unwrap();
                let _ = fs::remove_file(self.dir.join(format!("{name}.part")));
            }
        }
        let store = self.open("import");
        measure("  import into segments", 1, bytes, || {
            store.import(fs::File::open(&path).unwrap(), &mut |_| ()).unwrap();
            store.checkpoint().unwrap();
        });
        measure("  read from segments, 1 MiB steps", 1, bytes, || {
            let reader = store.reader(&stat.id).unwrap().unwrap();
            let mut at = 0;
            while at < bytes {
                let end = (at + (1 << 20)).min(bytes);
                black_box(reader.read(at..end).unwrap());
                at = end;
            }
        });
        measure("  export", 1, bytes, || {
            store.export(&stat.id, Path::new(&self.dir.join("copy")), false).unwrap();
        });
    }

    /// Reads a whole blob in steps and gives each with its proof to `take`.
    #[expect(clippy::type_complexity, reason = "used once")]
    fn pass(
        &self,
        store: &Store,
        id: BlobId,
        group: GroupLog2,
        step: u64,
        take: &mut dyn FnMut(u64, &RangeSet, &[u8], &[u8]),
    ) {
        let reader = store.reader(&id).unwrap().unwrap();
        let leaves = samara_base::leaves(self.bytes);
        let mut base = RangeSet::new();
        let mut at = 0;
        while at < leaves {
            let range = at..(at + step).min(leaves);
            let sent = reader.encode(group, &range, &base).unwrap();
            take(at, &base, &sent.proof, &sent.data);
            at = range.end;
            base.insert(range);
        }
    }
}

fn share(store: &Store, root: RootId, files: u32) {
    for at in 0..files {
        store.share_in_place(root, &name(at), &mut |_| ()).unwrap();
    }
    store.checkpoint().unwrap();
}

fn serve(store: &Store, ids: &[BlobId]) {
    for id in ids {
        let reader = store.reader(id).unwrap().unwrap();
        black_box(reader.encode(GroupLog2::KIB16, &(0..1), &RangeSet::new()).unwrap());
    }
}

fn random(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut data = Vec::with_capacity(len);
    while data.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        data.extend_from_slice(&state.to_le_bytes());
    }
    data.truncate(len);
    data
}
