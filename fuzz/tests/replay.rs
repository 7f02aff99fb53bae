//! Feeds seeds, and what the corpora hold, to every fuzz target: no libFuzzer, no sanitizer, any
//! toolchain.
//!
//! Arguments name the targets; none means all.
#![forbid(unsafe_code)]

use std::{
    env,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn Error>> {
    let wanted: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let (mut targets, mut seeds) = (0, 0);
    for target in samara_fuzz::TARGETS {
        let name = target.name;
        let mut most = (0, 1, 0);
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut paths = files(&root.join("seeds").join(name))?;
        let corpus = root.join("corpus").join(name);
        if corpus.exists() {
            paths.extend(files(&corpus)?);
        }
        for path in paths {
            let data = fs::read(&path)?;
            // Shown only if the target panics: the panic message follows it.
            let shown = ShowOnPanic(&path);
            let (bytes, bytes_max) = (target.run(&data), target.bytes_max(data.len()));
            if bytes * most.1 > most.0 * bytes_max {
                most = (bytes, bytes_max, data.len());
            }
            drop(shown);
            seeds += 1;
        }
        println!("{name}: at most {} of {} bytes, for an input of {}", most.0, most.1, most.2);
        targets += 1;
    }
    println!("replayed {seeds} inputs of {targets} targets");
    Ok(())
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
}

/// Names the seed if its target panics.
struct ShowOnPanic<'a>(&'a Path);

impl Drop for ShowOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input is {}", self.0.display());
        }
    }
}
