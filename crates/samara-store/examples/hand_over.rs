//! Shares a file where it lies and hands it over to a second store, which receives it straight into
//! a copy. Memory does not depend on the size of the file.
//!
//! ```sh
//! cargo run --release -p samara-store --example hand_over -- FILE NEW_DIR
//! ```

use core::error::Error;
use std::{env, fs, path::PathBuf};

use samara_base::{GroupLog2, RangeSet};
use samara_store::{Options, Store, Target};

/// Leaves in one transfer: 256 KiB.
const STEP: u64 = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args_os().skip(1).map(PathBuf::from);
    let (Some(file), Some(dir)) = (args.next(), args.next()) else {
        return Err("usage: hand_over FILE NEW_DIR".into());
    };
    let file = std::path::absolute(file)?;
    let home = file.parent().ok_or("a file has a directory")?;
    let name = file.file_name().ok_or("a file has a name")?.as_encoded_bytes();
    fs::create_dir(&dir)?;

    let source = Store::open(&dir.join("source"), Options::default())?;
    let root = source.root(home)?;
    let shared = source.share_in_place(root, name, &mut |_| ())?;
    source.checkpoint()?;
    println!("{} {} bytes, shared where it lies", shared.id, shared.size);

    let getter = Store::open(&dir.join("getter"), Options::default())?;
    let root = getter.root(&dir)?;
    let target = Target::File { root, rel: b".copy.part".to_vec(), mode: 0o644, mtime: None };
    let receiver = getter.receive(&shared.id, shared.size, &target)?;
    let reader = source.reader(&shared.id)?.ok_or("just shared")?;
    let leaves = samara_base::leaves(shared.size);
    // The last transfer comes first: it proves the size, so that space can be reserved.
    let last = (leaves - 1) / STEP * STEP;
    for first in core::iter::once(last).chain((0..last).step_by(STEP as usize)) {
        let range = first..(first + STEP).min(leaves);
        let known: RangeSet = receiver.known();
        let sent = reader.encode(GroupLog2::KIB64, &range, &known)?;
        let done = receiver.ingest(GroupLog2::KIB64, first, &known, &sent.proof, &sent.data)?;
        assert!(done.bad.is_empty());
    }
    receiver.finish()?;
    let stat = getter.publish_file(&shared.id, &target, b"copy", false)?;
    println!("received: {:?}", stat.place);
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
    }
    Ok(())
}
