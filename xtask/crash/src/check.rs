//! The checker: opens the store that a crash left, and compares all that it says with what it must
//! and may hold.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use samara_base::{BlobId, RangeSet};
use samara_store::{BlobPlace, BlobStat, Options, Store};

use crate::{
    blobs::{Blob, Blobs},
    model::{Key, Model, Value},
    work::{MODE, REASON, STORE, mtime, options},
};

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The machine died with it.
    PowerCut,
    /// It died alone: what it wrote is there.
    Kill,
}

/// What a check found.
pub(crate) type Found = BTreeMap<Key, Value>;

/// Opens the store below `dir`, looks at everything, works on with it, and opens it again.
///
/// # Errors
///
/// Whatever is not as it must be.
pub(crate) fn check(
    dir: &Path,
    (seed, round): (u64, u64),
    blobs: &Blobs,
    model: &Model,
    end: End,
) -> Result<Found> {
    let check = Check { dir: dir.join("home"), blobs, model, end };
    let options = options(seed, round ^ 0x00c0_ffee);
    let first = {
        let store = open(dir, options)?;
        let found = check.all(&store)?;
        let probe = Blob::probe(seed ^ round)?;
        let id = store.put(&probe).context("put after the crash")?;
        store.checkpoint().context("checkpoint after the crash")?;
        let reader = store.reader(&id)?.context("what was put after the crash is not held")?;
        ensure!(reader.read(0..probe.len() as u64)? == probe, "what was put is something else");
        (found, list(&store)?)
    };
    let store = open(dir, options).context("the second time")?;
    ensure!(list(&store)? == first.1, "the second opening finds something else");
    Ok(first.0)
}

fn open(dir: &Path, options: Options) -> Result<Store> {
    Store::open(&dir.join(STORE), options).context("open after the crash")
}

fn list(store: &Store) -> Result<Vec<BlobStat>> {
    store.list(None, usize::MAX).context("list after the crash")
}

#[derive(Debug)]
struct Check<'a> {
    dir: PathBuf,
    blobs: &'a Blobs,
    model: &'a Model,
    end: End,
}

impl Check<'_> {
    fn all(&self, store: &Store) -> Result<Found> {
        let mut found = Found::new();
        for blob in self.blobs.iter() {
            let stat = store.stat(&blob.id)?;
            let value = self.blob(store, blob, stat.as_ref());
            let value = value.with_context(|| format!("blob {} ({})", blob.number, blob.id))?;
            found.insert(Key::Blob(blob.number), value);
            let pinned = store.pins(&blob.id)?.iter().any(|reason| reason == REASON);
            let value = if pinned { Value::Whole } else { Value::Nothing };
            self.is_allowed(Key::Pin(blob.number), value, &mut found)?;
        }
        self.others(store)?;
        let audit = store.audit()?;
        let sound = audit.is_safe() && audit.overcounted == 0 && audit.lost_maps == 0;
        ensure!(sound, "the index does not agree with itself: {audit:?}");
        self.tags(store, &mut found)?;
        self.files(&mut found)?;
        Ok(found)
    }

    fn is_allowed(&self, key: Key, value: Value, found: &mut Found) -> Result<()> {
        let allowed = self.model.allowed(&key);
        ensure!(allowed.contains(&&value), "{key:?} is {value:?}, not one of {allowed:?}");
        found.insert(key, value);
        Ok(())
    }

    /// What is held of a blob: all of it must read back, and it must be enough.
    fn blob(&self, store: &Store, blob: &Blob, stat: Option<&BlobStat>) -> Result<Value> {
        let key = Key::Blob(blob.number);
        let allowed = self.model.allowed(&key);
        let Some(stat) = stat else {
            ensure!(store.reader(&blob.id)?.is_none(), "it can be read, but is not known");
            // A receive of which nothing has arrived yet is acknowledged with nothing.
            let nothing = |value: &&Value| match value {
                Value::Nothing => true,
                Value::Held(held) => held.total() == 0,
                _ => false,
            };
            ensure!(allowed.iter().any(nothing), "it is gone; it must be one of {allowed:?}");
            return Ok(Value::Nothing);
        };
        ensure!(stat.damaged.total() == 0, "leaves {:?} are damaged", stat.damaged);
        let reader = store.reader(&blob.id)?.context("it is known, but can't be read")?;
        ensure!(reader.held() == stat.held, "held is {:?} and {:?}", reader.held(), stat.held);
        for run in stat.held.runs() {
            let bytes = blob.leaf_bytes(run);
            let read = reader.read(bytes.clone()).with_context(|| format!("read {run:?}"))?;
            ensure!(read == blob.part(&bytes)?, "leaves {run:?} are something else");
        }
        let all = stat.held == RangeSet::from(0..blob.leaves());
        ensure!(all || !stat.complete, "it is complete, but {:?} is held", stat.held);
        let enough = |value: &&Value| match value {
            Value::Whole => stat.complete,
            Value::Held(held) => held.difference(&stat.held).total() == 0,
            Value::Nothing | Value::Blob(_) => false,
        };
        // On its way from nothing to something, or back.
        let between = allowed.contains(&&Value::Nothing) && allowed.len() > 1;
        ensure!(
            between || allowed.iter().any(enough),
            "{:?} is held; it must be one of {allowed:?}",
            stat.held
        );
        if self.end == End::Kill
            && blob.has_journal()
            && matches!(stat.place, BlobPlace::External(_))
            && let Some(last @ Value::Held(_)) = self.model.last_ended(&key)
            && allowed.last() == Some(&last)
        {
            // What arrived in a file is found by its journal, though nobody has acknowledged it.
            ensure!(enough(&last), "{:?} is held, but {last:?} had been written", stat.held);
        }
        Ok(if stat.complete { Value::Whole } else { Value::Held(stat.held.clone()) })
    }

    /// What is held beside the blobs of the run must be what its id says.
    fn others(&self, store: &Store) -> Result<()> {
        for stat in list(store)? {
            let reader = store.reader(&stat.id)?.with_context(|| format!("read {}", stat.id))?;
            if !stat.complete || self.blobs.iter().any(|blob| blob.id == stat.id) {
                continue;
            }
            let id: BlobId = samara_tree::hash(&reader.read(0..stat.size)?);
            ensure!(id == stat.id, "{} reads as {id}", stat.id);
        }
        Ok(())
    }

    fn tags(&self, store: &Store, found: &mut Found) -> Result<()> {
        let mut tags = BTreeMap::new();
        for (name, id) in store.tags()? {
            let name = String::from_utf8(name)?;
            let number = name.strip_prefix('t').and_then(|number| number.parse::<u32>().ok());
            let number = number.with_context(|| format!("nobody made a tag `{name}`"))?;
            let blob = self.blobs.iter().find(|blob| blob.id == id);
            let blob = blob.with_context(|| format!("tag {name} names {id}"))?;
            tags.insert(Key::Tag(number), Value::Blob(blob.number));
        }
        let known = self.model.keys().filter(|key| matches!(key, Key::Tag(_)));
        let keys: Vec<Key> = known.chain(tags.keys()).cloned().collect();
        for key in keys {
            let value = tags.get(&key).cloned().unwrap_or(Value::Nothing);
            self.is_allowed(key, value, found)?;
        }
        Ok(())
    }

    /// Files of the user's that must be there have the right bytes; what else lies there is theirs.
    fn files(&self, found: &mut Found) -> Result<()> {
        for key in self.model.keys() {
            let Key::File(name) = key else { continue };
            let allowed = self.model.allowed(key);
            let fits = |value: &&&Value| match value {
                Value::Blob(number) => self.file(name, *number),
                _ => Ok(false),
            };
            // What may be missing is looked at in vain: it may be there in part, or whole and not yet
            // what the store takes it for.
            if allowed.contains(&&Value::Nothing) {
                continue;
            }
            let mut value = None;
            for candidate in &allowed {
                if fits(&candidate).with_context(|| format!("the file {name}"))? {
                    value = Some((*candidate).clone());
                }
            }
            match value {
                Some(value) => found.insert(key.clone(), value),
                None => bail!("the file {name} must be one of {allowed:?}"),
            };
        }
        Ok(())
    }

    fn file(&self, name: &str, number: u32) -> Result<bool> {
        let path = self.dir.join(name);
        let data = fs::read(&path)?;
        let blob = self.blobs.get(number)?;
        ensure!(data == blob.data, "{} of {} bytes is not blob {number}", data.len(), blob.size());
        let last = name.rsplit('/').next().unwrap_or(name);
        if last.starts_with('r') || last.starts_with('s') {
            let meta = fs::metadata(&path)?;
            ensure!(meta.mode() & 0o777 == MODE, "its mode is {:o}", meta.mode());
            let time = mtime(number);
            let as_told = meta.mtime() == i64::try_from(time.as_secs())?
                && meta.mtime_nsec() == i64::from(time.subsec_nanos());
            ensure!(as_told, "its time is {}.{:09}", meta.mtime(), meta.mtime_nsec());
        }
        Ok(true)
    }
}
