//! The store, its disk, and what the system allows.

use std::{fs, path::Path, time::SystemTime};

use samara_store::{OpenError, Options, Store};

use super::Finding;
use crate::{exit::plain, store_dir::StoreDir, units::Bytes};

/// Less free space than this is worth a word. Unit: bytes.
const SPACE_MIN: u64 = 1 << 30;

/// Fewer open files than this may be too few for many links at once.
#[cfg(unix)]
const FILES_MIN: u64 = 256;

/// 2026-01-01. A clock before it is wrong. Unit: seconds since 1970.
const EPOCH: u64 = 1_767_225_600;

/// 2100-01-01. So is one after it.
const LATEST: u64 = 4_102_444_800;

/// Opens each store that is there, or sees that one can be made.
pub(super) fn store(dir: &StoreDir) -> Finding {
    let mut seen = Vec::new();
    for slot in dir.slots() {
        let shown = slot.display();
        if !slot.exists() {
            continue;
        }
        match Store::open(&slot, Options::default()) {
            Ok(store) => match store.usage() {
                Ok(usage) => seen.push(format!("{shown} ({} blobs)", usage.blobs)),
                Err(error) => {
                    return Finding::fail(
                        format!("{shown}: {error}"),
                        "run samara rebuild-index --force --store with that directory; share again what you shared",
                    );
                }
            },
            Err(OpenError::InUse { .. }) if matches!(dir, StoreDir::Default(_)) => {
                seen.push(format!("{shown} (in use by another samara)"));
            }
            Err(error) => {
                let advice = match error {
                    OpenError::InUse { .. } => "stop that process, or name another --store",
                    OpenError::ReadOnly { .. } => "make it writable, or name another --store",
                    OpenError::Version { .. } => "update samara",
                    OpenError::Corrupt { .. } => "run samara rebuild-index with the same --store",
                    _ => "move that directory away; files that you shared are not touched",
                };
                return Finding::fail(error.to_string(), advice);
            }
        }
    }
    if !seen.is_empty() {
        return Finding::ok(seen.join(", "));
    }
    let Some(slot) = dir.slots().into_iter().next() else {
        return Finding::fail("no place for a store", "name one with --store");
    };
    let parent = existing(&slot);
    match probe(parent) {
        Ok(()) => Finding::ok(format!("{} can be made", slot.display())),
        Err(error) => Finding::fail(
            format!("{} cannot be made: {}", slot.display(), plain(&error)),
            "name a directory that you can write with --store",
        ),
    }
}

/// The nearest directory above that is there.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|dir| dir.is_dir()).unwrap_or_else(|| Path::new("."))
}

/// Whether a file can be made here.
fn probe(dir: &Path) -> std::io::Result<()> {
    let path = dir.join(format!(".samara-doctor-{}", std::process::id()));
    fs::File::create_new(&path)?;
    fs::remove_file(&path)
}

/// Free space where the store is.
#[cfg(unix)]
pub(super) fn space(dir: &StoreDir) -> Finding {
    let Some(slot) = dir.slots().into_iter().next() else { return Finding::ok("no store") };
    let at = existing(&slot);
    match rustix::fs::statvfs(at) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let text = format!("{} free at {}", Bytes(free), at.display());
            if free < SPACE_MIN {
                Finding::warn(text, "free some space, or name a --store on another disk")
            } else {
                Finding::ok(text)
            }
        }
        Err(error) => Finding::warn(format!("unknown: {error}"), "look at it with `df`"),
    }
}

#[cfg(not(unix))]
pub(super) fn space(dir: &StoreDir) -> Finding {
    let Some(slot) = dir.slots().into_iter().next() else { return Finding::ok("no store") };
    let store = Store::open(&slot, Options::default());
    match store.ok().and_then(|store| store.usage().ok()) {
        Some(usage) if usage.free_bytes < SPACE_MIN => Finding::warn(
            format!("{} free", Bytes(usage.free_bytes)),
            "free some space, or name a --store on another disk",
        ),
        Some(usage) => Finding::ok(format!("{} free", Bytes(usage.free_bytes))),
        None => Finding::ok("not known before the store is made"),
    }
}

/// A clock that is years off fails certificates of relays and confuses times of files.
pub(super) fn clock() -> Finding {
    #[expect(clippy::disallowed_methods, reason = "the check is about the real clock")]
    let now = SystemTime::now();
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if (EPOCH..LATEST).contains(&seconds) {
        Finding::ok("plausible")
    } else {
        Finding::warn(
            format!("{seconds} seconds since 1970 cannot be right"),
            "set the clock: relays are refused by a clock that is wrong",
        )
    }
}

/// How many files and sockets a process may have open.
#[cfg(unix)]
pub(super) fn open_files() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match limit {
        Some(limit) if limit < FILES_MIN => {
            Finding::warn(format!("at most {limit}"), "raise it: ulimit -n 1024")
        }
        Some(limit) => Finding::ok(format!("at most {limit}")),
        None => Finding::ok("no limit"),
    }
}

#[cfg(not(unix))]
pub(super) fn open_files() -> Finding {
    Finding::ok("no limit known")
}
