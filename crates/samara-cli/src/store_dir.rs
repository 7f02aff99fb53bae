//! Which store: the one that the user names, or the first free slot of the default one.
//!
//! A store belongs to one process at a time. So that `share` in one terminal and `get` in another
//! simply work, the default store has slots: `store`, `store.2` … `store.8`. A store that the user
//! names has none: if it is in use, that is an error.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use samara::{Node, NodeOptions, StartError};
use samara_base::BlobId;
use samara_store::{OpenError, Options, Store};

use crate::{
    exit::{Code, Failure},
    output::Output,
};

/// Most slots of the default store.
const SLOTS_MAX: usize = 8;

/// Where the store is.
#[derive(Clone, Debug)]
pub(crate) enum StoreDir {
    /// The user named it.
    Named(PathBuf),
    /// The first slot of the default one.
    Default(PathBuf),
}

/// An open store.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) dir: PathBuf,
    pub(crate) store: Store,
}

/// The stores that can be looked into, and those that other processes use.
#[derive(Debug, Default)]
pub(crate) struct Stores {
    pub(crate) open: Vec<Open>,
    pub(crate) busy: Vec<PathBuf>,
}

impl StoreDir {
    /// The directory that the user named, or the default of this system.
    pub(crate) fn new(named: Option<PathBuf>) -> Result<Self, Failure> {
        if let Some(dir) = named {
            return Ok(Self::Named(dir));
        }
        let dir = data_dir().ok_or_else(|| {
            Failure::usage("this user has no home directory; say where with --store DIR")
        })?;
        Ok(Self::Default(dir.join("samara").join("store")))
    }

    /// All directories that may hold the store, in the order in which to try.
    pub(crate) fn slots(&self) -> Vec<PathBuf> {
        match self {
            Self::Named(dir) => vec![dir.clone()],
            Self::Default(first) => (1..=SLOTS_MAX).map(|number| slot(first, number)).collect(),
        }
    }

    /// Starts a node in the first free slot, or in the free one that has something of `blob`, so
    /// that what an earlier process began is found again.
    pub(crate) async fn start(
        &self,
        blob: Option<BlobId>,
        options: &NodeOptions,
    ) -> Result<Node, Failure> {
        let mut slots = self.slots();
        if let (Self::Default(_), Some(blob)) = (self, blob) {
            let has = |dir: &PathBuf| is_store(dir) && holds(dir, &blob);
            if let Some(at) = slots.iter().position(has) {
                slots[..=at].rotate_right(1);
            }
        }
        let mut in_use = None;
        for dir in slots {
            match Node::start(NodeOptions { store: dir, ..options.clone() }).await {
                Err(StartError::Store(error @ OpenError::InUse { .. })) => in_use = Some(error),
                started => return started.map_err(Failure::from),
            }
        }
        Err(match (self, in_use) {
            (Self::Named(_), Some(error)) => error.into(),
            (Self::Named(dir) | Self::Default(dir), _) => Failure::new(
                Code::InUse,
                format!(
                    "{SLOTS_MAX} samara processes use {} and its slots already; stop one, or name \
                     another directory with --store",
                    dir.display()
                ),
            ),
        })
    }

    /// Opens all slots that are there and free, to look for something in them.
    pub(crate) fn stores(&self) -> Result<Stores, Failure> {
        let mut stores = Stores::default();
        for dir in self.slots() {
            if !is_store(&dir) {
                if let Self::Named(dir) = self {
                    let text = format!("there is no store at {}", dir.display());
                    return Err(Failure::new(Code::NotFound, text));
                }
                continue;
            }
            match (Store::open(&dir, Options::default()), self) {
                (Ok(store), _) => stores.open.push(Open { dir, store }),
                (Err(OpenError::InUse { .. }), Self::Default(_)) => stores.busy.push(dir),
                (Err(error), _) => return Err(error.into()),
            }
        }
        Ok(stores)
    }
}

/// Whether a directory is a store (RFC 0009), be it one that lost its index. Who only looks makes none.
pub(crate) fn is_store(dir: &Path) -> bool {
    let is_segment = |name: OsString| {
        let name = name.to_string_lossy();
        name.strip_suffix(".seg").is_some_and(|number| number.len() == 8)
    };
    let has_segments =
        |entries: fs::ReadDir| entries.flatten().any(|entry| is_segment(entry.file_name()));
    dir.join("index.redb").is_file() || fs::read_dir(dir.join("segments")).is_ok_and(has_segments)
}

/// Whether a store that is free holds any part of a blob.
fn holds(dir: &Path, blob: &BlobId) -> bool {
    let store = Store::open(dir, Options::default());
    store.is_ok_and(|store| matches!(store.stat(blob), Ok(Some(_))))
}

impl Stores {
    /// Says which stores could not be looked into.
    pub(crate) fn note_busy(&self, output: &Output) {
        for dir in &self.busy {
            output.note(format_args!(
                "samara: {} is in use by another samara and is left out",
                dir.display()
            ));
        }
    }
}

fn slot(first: &Path, number: usize) -> PathBuf {
    match number {
        1 => first.to_owned(),
        number => first.with_extension(number.to_string()),
    }
}

/// Where programs keep the user's data.
fn data_dir() -> Option<PathBuf> {
    // Configuration enters through the command line; where a user's data lies, only the
    // environment knows.
    let named = |name| env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    if cfg!(windows) {
        named("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        Some(env::home_dir()?.join("Library/Application Support"))
    } else {
        named("XDG_DATA_HOME").or_else(|| Some(env::home_dir()?.join(".local/share")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_store_has_no_other_slots() {
        let dir = StoreDir::new(Some("somewhere".into())).unwrap();
        assert_eq!(dir.slots(), [Path::new("somewhere")]);
    }

    #[test]
    fn the_default_store_has_eight_slots() {
        let slots = StoreDir::Default("/data/samara/store".into()).slots();
        assert_eq!(slots.len(), 8);
        assert_eq!(slots[0], Path::new("/data/samara/store"));
        assert_eq!(slots[1], Path::new("/data/samara/store.2"));
        assert_eq!(slots[7], Path::new("/data/samara/store.8"));
    }
}
