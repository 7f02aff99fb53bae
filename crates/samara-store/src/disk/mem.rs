mod crash;
mod hook;

use core::ops::Range;
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    io,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Dir, Disk, File, Lock, LockOutcome, Meta, Open, check_rel, name, parent};
pub use hook::Call;

/// What goes wrong when a planned fault comes due. See [`MemDisk::fail_after`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The machine stops: this call and every later one fail, until [`MemDisk::crash`].
    Cut,
    /// This call fails for lack of space, and so do later ones that need space.
    NoSpace,
    /// This one call fails with an input/output error.
    Io,
}

/// A disk in memory that forgets what was not synced.
///
/// Every file has durable bytes and a list of writes since the last sync; every directory has
/// durable names and current names. [`crash`](Self::crash) goes back to what is durable. The model
/// is stricter than most real file systems: syncing a file does not make its name durable, and
/// [`File::sync`] makes neither its mode nor its time durable.
#[derive(Clone, Debug)]
pub struct MemDisk {
    state: Arc<Mutex<State>>,
    hook: hook::Hook,
}

#[derive(Clone, Debug, Default)]
struct State {
    nodes: BTreeMap<u64, Node>,
    node_next: u64,
    locks: BTreeMap<u64, String>,
    /// Clock of the file system. Unit: ticks of one millisecond.
    ticks: i64,
    calls: u64,
    plan: Option<(u64, Fault)>,
    cut: bool,
    full: bool,
    capacity: u64,
    read_fault: bool,
    /// As some file systems do, a sync of the whole does nothing, and reports no error.
    ignores_sync_all: bool,
}

#[derive(Clone, Debug)]
enum Node {
    Dir { now: BTreeMap<Vec<u8>, u64>, durable: BTreeMap<Vec<u8>, u64> },
    File(Content),
}

#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    /// What can't be read.
    bad: Option<Range<u64>>,
    /// No directory names it any more, so it takes no room. Handles to it work on.
    unnamed: bool,
    attributes: Attributes,
    durable_attributes: Attributes,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Attributes {
    mode: u32,
    mtime_ns: i64,
}

impl Content {
    /// As `fdatasync`.
    fn sync(&mut self) {
        self.durable.clone_from(&self.now);
        self.unsynced.clear();
    }

    /// As `fsync`.
    fn sync_with_meta(&mut self) {
        self.sync();
        self.durable_attributes = self.attributes;
    }
}

#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, data: Vec<u8> },
    Len(usize),
}

const ROOT: u64 = 1;

impl Default for MemDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl MemDisk {
    /// An empty disk of 2^40 bytes that never fails.
    #[must_use]
    pub fn new() -> Self {
        let mut state = State { node_next: ROOT + 1, capacity: 1 << 40, ..State::default() };
        let root = Node::Dir { now: BTreeMap::new(), durable: BTreeMap::new() };
        state.nodes.insert(ROOT, root);
        Self { state: Arc::new(Mutex::new(state)), hook: hook::Hook::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `calls` more calls that change something succeed; the next one meets `fault`.
    pub fn fail_after(&self, calls: u64, fault: Fault) {
        let mut state = self.lock();
        state.plan = Some((state.calls.saturating_add(calls), fault));
    }

    /// Cancels a planned fault, and a full disk has room again.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.plan = None;
        state.full = false;
        state.read_fault = false;
    }

    /// Calls so far that changed something or synced.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Whether a planned [`Fault::Cut`] came due.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.lock().cut
    }

    /// Sets the size of the disk. Unit: bytes, files only, holes included.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = bytes;
    }

    /// Makes every read of these bytes of a file fail from now on.
    pub fn spoil(&self, path: &Path, bytes: Range<u64>) {
        let mut state = self.lock();
        let parent = path.parent().unwrap_or_else(|| Path::new("/"));
        let name = path.file_name().map(bytes_of).unwrap_or_default();
        let node = state.find(parent).and_then(|dir| state.child(dir, &name));
        if let Some(Node::File(content)) = node.ok().and_then(|node| state.nodes.get_mut(&node)) {
            content.bad = Some(bytes);
        }
    }

    /// Makes every read fail until [`Self::heal`].
    pub fn fail_reads(&self) {
        self.lock().read_fault = true;
    }

    /// The process died, but the machine did not: locks are gone, everything written is there, a
    /// planned [`Fault::Cut`] is over.
    pub fn power_on(&self) {
        let mut state = self.lock();
        state.locks.clear();
        state.plan = None;
        state.cut = false;
    }

    /// The bytes of a file, or `None` if there is none. For tests.
    #[must_use]
    pub fn read_file(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.lock();
        let node = state.find(path).ok()?;
        match state.nodes.get(&node) {
            Some(Node::File(content)) => Some(content.now.clone()),
            _ => None,
        }
    }

    /// Replaces the bytes of a file behind the store's back, durably; the file's directory must
    /// exist. The time of the last change stays unless `touch`. For tests.
    ///
    /// # Errors
    ///
    /// `NotFound` if the directory does not exist.
    pub fn write_file(&self, path: &Path, data: &[u8], touch: bool) -> io::Result<()> {
        let mut state = self.lock();
        let parent = path.parent().unwrap_or_else(|| Path::new("/"));
        let name = path.file_name().map(bytes_of).unwrap_or_default();
        let dir = state.find(parent)?;
        let node = match state.child(dir, &name) {
            Ok(node) => node,
            Err(_) => state.create(dir, &name, Node::File(Content::default()))?,
        };
        state.ticks += 1;
        let now = state.ticks * 1_000_000;
        if let Some(Node::Dir { now, durable }) = state.nodes.get_mut(&dir) {
            durable.clone_from(now);
        }
        if let Some(Node::File(content)) = state.nodes.get_mut(&node) {
            content.now = data.to_vec();
            if touch || content.attributes.mtime_ns == 0 {
                content.attributes.mtime_ns = now;
            }
            content.sync_with_meta();
        }
        Ok(())
    }

    /// From now on a sync of the whole file system does nothing and succeeds, and the disk says so
    /// ([`Dir::syncs_whole`]): as FUSE does.
    pub fn ignore_sync_all(&self) {
        self.lock().ignores_sync_all = true;
    }

    /// The paths of all files, sorted. For tests.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let state = self.lock();
        let mut found = Vec::new();
        let mut todo = vec![(ROOT, PathBuf::from("/"))];
        while let Some((node, path)) = todo.pop() {
            match state.nodes.get(&node) {
                Some(Node::Dir { now, .. }) => {
                    todo.extend(now.iter().map(|(name, node)| (*node, super::join(&path, name))));
                }
                Some(Node::File(_)) => found.push(path),
                None => {}
            }
        }
        found.sort();
        found
    }
}

/// Cuts or fills with zeros; in one copy, since the crash tests spend their time here.
fn set_len(bytes: &mut Vec<u8>, len: usize) {
    let more = len.saturating_sub(bytes.len());
    bytes.truncate(len);
    bytes.extend_from_slice(&vec![0; more]);
}

fn put(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    let end = at.saturating_add(data.len());
    if bytes.len() < end {
        set_len(bytes, end);
    }
    if let Some(place) = bytes.get_mut(at..end) {
        place.copy_from_slice(data);
    }
}

fn bytes_of(name: &OsStr) -> Vec<u8> {
    name.as_encoded_bytes().to_vec()
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl State {
    /// Counts a call that changes something; fails it if a fault is due.
    fn change(&mut self) -> io::Result<()> {
        if self.cut {
            return Err(io::Error::other("the power is off"));
        }
        let call = self.calls;
        self.calls += 1;
        if let Some((due, fault)) = self.plan
            && call >= due
        {
            match fault {
                Fault::Cut => {
                    self.cut = true;
                    return Err(io::Error::other("the power is off"));
                }
                Fault::NoSpace => self.full = true,
                Fault::Io => {
                    self.plan = None;
                    return Err(io::Error::other("planned input/output error"));
                }
            }
        }
        self.ticks += 1;
        Ok(())
    }

    fn reads(&self) -> io::Result<()> {
        if self.cut || self.read_fault {
            return Err(io::Error::other("planned input/output error"));
        }
        Ok(())
    }

    fn child(&self, dir: u64, name: &[u8]) -> io::Result<u64> {
        match self.nodes.get(&dir) {
            Some(Node::Dir { now, .. }) => now.get(name).copied().ok_or_else(not_found),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(not_found()),
        }
    }

    fn find(&self, path: &Path) -> io::Result<u64> {
        path.components().try_fold(ROOT, |at, part| match part {
            Component::Normal(name) => self.child(at, &bytes_of(name)),
            _ => Ok(at),
        })
    }

    fn walk(&self, dir: u64, rel: &[u8]) -> io::Result<u64> {
        rel.split(|&byte| byte == b'/')
            .filter(|part| !part.is_empty())
            .try_fold(dir, |at, part| self.child(at, part))
    }

    fn create(&mut self, dir: u64, name: &[u8], node: Node) -> io::Result<u64> {
        let number = self.node_next;
        match self.nodes.get_mut(&dir) {
            Some(Node::Dir { now, .. }) => now.insert(name.to_vec(), number),
            _ => return Err(not_found()),
        };
        self.node_next += 1;
        self.nodes.insert(number, node);
        Ok(number)
    }

    fn make_dir(&mut self, dir: u64, name: &[u8]) -> io::Result<u64> {
        match self.child(dir, name) {
            Ok(node) => match self.nodes.get(&node) {
                Some(Node::Dir { .. }) => Ok(node),
                _ => Err(io::ErrorKind::NotADirectory.into()),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.change()?;
                let node = Node::Dir { now: BTreeMap::new(), durable: BTreeMap::new() };
                self.create(dir, name, node)
            }
            Err(error) => Err(error),
        }
    }

    fn used(&self) -> u64 {
        self.nodes
            .values()
            .map(|node| match node {
                Node::File(content) if !content.unnamed => content.now.len() as u64,
                _ => 0,
            })
            .sum()
    }

    /// Finds the files that no directory names, now or after a crash.
    fn find_unnamed(&mut self) {
        let named = |node: &Node| match node {
            Node::Dir { now, durable } => now.values().chain(durable.values()).copied().collect(),
            Node::File(_) => Vec::new(),
        };
        let named: BTreeSet<u64> = self.nodes.values().flat_map(named).collect();
        for (node, found) in &mut self.nodes {
            if let Node::File(content) = found {
                content.unnamed = !named.contains(node);
            }
        }
    }

    fn content(&mut self, node: u64) -> io::Result<&mut Content> {
        match self.nodes.get_mut(&node) {
            Some(Node::File(content)) => Ok(content),
            _ => Err(not_found()),
        }
    }

    /// Fails if a file that grows by `more` bytes does not fit.
    fn room(&self, more: u64) -> io::Result<()> {
        if more > 0 && (self.full || self.used().saturating_add(more) > self.capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync_dir(&mut self, node: u64) -> io::Result<()> {
        self.change()?;
        match self.nodes.get_mut(&node) {
            Some(Node::Dir { now, durable }) => {
                durable.clone_from(now);
                self.find_unnamed();
                Ok(())
            }
            _ => Err(not_found()),
        }
    }
}

impl Disk for MemDisk {
    fn open_dir(&self, path: &Path, create: bool) -> io::Result<Arc<dyn Dir>> {
        let mut state = self.lock();
        let mut at = ROOT;
        for part in path.components() {
            if let Component::Normal(name) = part {
                let name = bytes_of(name);
                at = if create { state.make_dir(at, &name)? } else { state.child(at, &name)? };
            }
        }
        if !matches!(state.nodes.get(&at), Some(Node::Dir { .. })) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Arc::new(MemDir { disk: self.clone(), node: at, path: path.to_path_buf() }))
    }

    fn rename_dir(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        let split = |path: &Path| {
            let parent = path.parent().unwrap_or_else(|| Path::new("/")).to_path_buf();
            (parent, path.file_name().map(bytes_of).unwrap_or_default())
        };
        let ((from_dir, from), (to_dir, to)) = (split(from), split(to));
        let (from_dir, to_dir) = (state.find(&from_dir)?, state.find(&to_dir)?);
        let node = state.child(from_dir, &from)?;
        if state.child(to_dir, &to).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if let Some(Node::Dir { now, .. }) = state.nodes.get_mut(&from_dir) {
            now.remove(&from);
        }
        if let Some(Node::Dir { now, .. }) = state.nodes.get_mut(&to_dir) {
            now.insert(to, node);
        }
        Ok(())
    }

    fn sync_parent(&self, path: &Path) -> io::Result<()> {
        self.hook.call(Call::Sync);
        let mut state = self.lock();
        let node = state.find(path.parent().unwrap_or_else(|| Path::new("/")))?;
        state.sync_dir(node)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.lock();
        state.reads()?;
        match state.find(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[derive(Debug)]
struct MemDir {
    disk: MemDisk,
    node: u64,
    path: PathBuf,
}

fn check(rel: &[u8]) -> io::Result<()> {
    check_rel(rel).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

impl Dir for MemDir {
    fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self, rel: &[u8], how: Open) -> io::Result<Arc<dyn File>> {
        check(rel)?;
        let mut state = self.disk.lock();
        state.reads()?;
        let dir = state.walk(self.node, parent(rel))?;
        let found = match (state.child(dir, name(rel)), how) {
            (Ok(_), Open::CreateNew { .. }) => {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            (Ok(node), _) => node,
            (Err(error), Open::Create { mode } | Open::CreateNew { mode })
                if error.kind() == io::ErrorKind::NotFound =>
            {
                state.change()?;
                if state.full {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                let mtime_ns = state.ticks * 1_000_000;
                let attributes = Attributes { mode, mtime_ns };
                let content =
                    Content { attributes, durable_attributes: attributes, ..Content::default() };
                state.create(dir, name(rel), Node::File(content))?
            }
            (Err(error), _) => return Err(error),
        };
        if let (Some(Node::Dir { .. }), false) = (state.nodes.get(&found), how == Open::Read) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Arc::new(MemFile { disk: self.disk.clone(), node: found }))
    }

    fn make_dirs(&self, rel: &[u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        let mut at = self.node;
        for part in rel.split(|&byte| byte == b'/').filter(|part| !part.is_empty()) {
            at = state.make_dir(at, part)?;
        }
        Ok(())
    }

    fn list(&self, rel: &[u8], entry: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let names: Vec<Vec<u8>> = {
            let state = self.disk.lock();
            state.reads()?;
            let dir = state.walk(self.node, rel)?;
            match state.nodes.get(&dir) {
                Some(Node::Dir { now, .. }) => now.keys().cloned().collect(),
                _ => return Err(io::ErrorKind::NotADirectory.into()),
            }
        };
        names.iter().for_each(|name| entry(name));
        Ok(())
    }

    fn stat(&self, rel: &[u8]) -> io::Result<Option<Meta>> {
        check(rel)?;
        let state = self.disk.lock();
        state.reads()?;
        Ok(state.walk(self.node, rel).ok().and_then(|node| state.meta(node)))
    }

    fn rename(&self, from: &[u8], to: &[u8], replace: bool) -> io::Result<()> {
        check(from)?;
        check(to)?;
        let mut state = self.disk.lock();
        state.change()?;
        let from_dir = state.walk(self.node, parent(from))?;
        let to_dir = state.walk(self.node, parent(to))?;
        let node = state.child(from_dir, name(from))?;
        if !replace && state.child(to_dir, name(to)).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if let Some(Node::Dir { now, .. }) = state.nodes.get_mut(&to_dir) {
            now.insert(name(to).to_vec(), node);
        }
        if !replace {
            // As on file systems where this takes a link and an unlink: the power can fail between.
            if let Err(error) = state.change() {
                if !state.cut
                    && let Some(Node::Dir { now, .. }) = state.nodes.get_mut(&to_dir)
                {
                    now.remove(name(to));
                }
                return Err(error);
            }
        }
        if let Some(Node::Dir { now, .. }) = state.nodes.get_mut(&from_dir) {
            now.remove(name(from));
        }
        Ok(())
    }

    fn remove(&self, rel: &[u8]) -> io::Result<()> {
        check(rel)?;
        let mut state = self.disk.lock();
        state.change()?;
        let dir = state.walk(self.node, parent(rel))?;
        match state.nodes.get_mut(&dir) {
            Some(Node::Dir { now, .. }) => now.remove(name(rel)).map(drop).ok_or_else(not_found),
            _ => Err(not_found()),
        }
    }

    fn sync_names(&self, rel: &[u8]) -> io::Result<()> {
        self.disk.hook.call(Call::Sync);
        let mut state = self.disk.lock();
        let dir = state.walk(self.node, rel)?;
        state.sync_dir(dir)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.disk.hook.call(Call::Sync);
        let mut state = self.disk.lock();
        state.change()?;
        if state.ignores_sync_all {
            return Ok(());
        }
        for node in state.nodes.values_mut() {
            match node {
                Node::Dir { now, durable } => durable.clone_from(now),
                Node::File(content) => content.sync_with_meta(),
            }
        }
        state.find_unnamed();
        Ok(())
    }

    fn syncs_whole(&self) -> bool {
        !self.disk.lock().ignores_sync_all
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.disk.lock();
        Ok(if state.full { 0 } else { state.capacity.saturating_sub(state.used()) })
    }

    fn try_lock(&self, rel: &[u8], note: &str) -> io::Result<LockOutcome> {
        self.open(rel, Open::Create { mode: 0o600 })?;
        let mut state = self.disk.lock();
        let node = state.walk(self.node, rel)?;
        if let Some(holder) = state.locks.get(&node) {
            return Ok(LockOutcome::Held(holder.clone()));
        }
        state.locks.insert(node, note.to_owned());
        Ok(LockOutcome::Taken(Box::new(MemLock { disk: self.disk.clone(), node })))
    }
}

#[derive(Debug)]
struct MemLock {
    disk: MemDisk,
    node: u64,
}

impl Lock for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.disk.lock().locks.remove(&self.node);
    }
}

impl State {
    fn meta(&self, node: u64) -> Option<Meta> {
        self.nodes.get(&node).map(|found| match found {
            Node::Dir { .. } => {
                Meta { directory: true, inode: node, device: 1, mode: 0o755, ..Meta::default() }
            }
            Node::File(content) => Meta {
                regular: true,
                directory: false,
                size: content.now.len() as u64,
                mtime_ns: content.attributes.mtime_ns,
                inode: node,
                device: 1,
                mode: content.attributes.mode,
            },
        })
    }
}

#[derive(Debug)]
struct MemFile {
    disk: MemDisk,
    node: u64,
}

impl File for MemFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let mut state = self.disk.lock();
        state.reads()?;
        let content = state.content(self.node)?;
        let end = at.saturating_add(buf.len() as u64);
        if content.bad.as_ref().is_some_and(|bad| bad.start < end && at < bad.end) {
            return Err(io::Error::other("a bad sector"));
        }
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(content.now.len());
        let found = content.now.get(from..).unwrap_or_default();
        let len = found.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..len), found.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }

    fn write_at(&self, data: &[u8], at: u64) -> io::Result<()> {
        self.disk.hook.call(Call::Write);
        let mut state = self.disk.lock();
        state.change()?;
        let at = usize::try_from(at).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let more =
            at.saturating_add(data.len()).saturating_sub(state.content(self.node)?.now.len());
        state.room(more as u64)?;
        let mtime_ns = state.ticks * 1_000_000;
        let content = state.content(self.node)?;
        put(&mut content.now, at, data);
        content.unsynced.push(Change::Write { at, data: data.to_vec() });
        content.attributes.mtime_ns = mtime_ns;
        Ok(())
    }

    fn allocate(&self, at: u64, len: u64) -> io::Result<()> {
        let end = at.saturating_add(len);
        let size = self.meta()?.size;
        if end > size { self.set_len(end) } else { Ok(()) }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.change()?;
        let old = state.content(self.node)?.now.len() as u64;
        state.room(len.saturating_sub(old))?;
        let len = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let mtime_ns = state.ticks * 1_000_000;
        let content = state.content(self.node)?;
        set_len(&mut content.now, len);
        content.unsynced.push(Change::Len(len));
        content.attributes.mtime_ns = mtime_ns;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.hook.call(Call::Sync);
        let mut state = self.disk.lock();
        state.change()?;
        state.content(self.node)?.sync();
        Ok(())
    }

    fn sync_with_meta(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.change()?;
        state.content(self.node)?.sync_with_meta();
        Ok(())
    }

    fn punch(&self, at: u64, len: u64) -> io::Result<()> {
        let end = at.saturating_add(len).min(self.meta()?.size);
        let len = usize::try_from(end.saturating_sub(at)).unwrap_or_default();
        self.write_at(&vec![0; len], at)
    }

    fn start_writeback(&self, _at: u64, _len: u64) {}

    fn meta(&self) -> io::Result<Meta> {
        let state = self.disk.lock();
        state.reads()?;
        state.meta(self.node).ok_or_else(not_found)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.change()?;
        state.content(self.node)?.attributes.mode = mode;
        Ok(())
    }

    fn set_mtime(&self, mtime_ns: i64) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.change()?;
        state.content(self.node)?.attributes.mtime_ns = mtime_ns;
        Ok(())
    }
}
