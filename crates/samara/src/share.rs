//! Taking files and directories in where they lie, and sharing them.

use core::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use samara_base::{BlobId, PeerId};
use samara_chunk::{
    Entry, EntryKind, Manifest, ManifestBuilder, Mode, Mtime, check_path, is_reserved,
};
use samara_store::{RootId, Store};
use tokio::sync::{oneshot, watch};

use crate::{
    error::ShareError,
    node::{Inner, flatten},
    progress::{ImportProgress, Running},
    serve::Grant,
    ticket::{ADDRESSES_MAX, Format, Provider, Secret, Ticket, TicketBuildError},
};

/// What was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what a ticket says about content")]
pub struct Imported {
    /// The blob; for a collection, its manifest.
    pub id: BlobId,
    /// Whether it is a collection.
    pub format: Format,
    /// Bytes of content.
    pub size: u64,
    /// Files in it.
    pub files: u64,
    /// Name of the file or directory: any bytes but `/` and NUL.
    pub name: Vec<u8>,
}

/// A share that is being served.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Share {
    /// What is shared.
    pub imported: Imported,
    /// What to give to others.
    pub ticket: Ticket,
}

pub(crate) fn import(
    inner: Arc<Inner>,
    paths: Vec<PathBuf>,
) -> Running<Result<Imported, ShareError>, ImportProgress> {
    start(async move |progress, stop| take_in(&inner, paths, progress, stop).await)
}

pub(crate) fn share(
    inner: Arc<Inner>,
    paths: Vec<PathBuf>,
) -> Running<Result<Share, ShareError>, ImportProgress> {
    start(async move |progress, stop| {
        // Until the share is granted, peers that come too early are told to come back.
        let _importing = inner.grants.import();
        let imported = take_in(&inner, paths, progress, stop).await?;
        share_held(inner, imported).await
    })
}

/// Runs an import with a way to stop it.
fn start<T: Send + 'static, F: Future<Output = Result<T, ShareError>> + Send + 'static>(
    work: impl FnOnce(watch::Sender<ImportProgress>, Arc<AtomicBool>) -> F,
) -> Running<Result<T, ShareError>, ImportProgress> {
    let (sender, progress) = watch::channel(ImportProgress::default());
    let (cancel, cancelled) = oneshot::channel::<()>();
    let stop = Arc::new(AtomicBool::new(false));
    let work = work(sender, Arc::clone(&stop));
    let task = tokio::spawn(async move {
        tokio::pin!(work);
        tokio::select! {
            result = &mut work => result,
            Ok(()) = cancelled => {
                stop.store(true, Ordering::Relaxed);
                work.await
            }
        }
    });
    Running::new(task, progress, cancel)
}

/// Makes a ticket for what the store holds, and serves it.
pub(crate) async fn share_held(inner: Arc<Inner>, imported: Imported) -> Result<Share, ShareError> {
    let members = members(&inner, imported.id, imported.format).await?;
    let right = inner.identity.right(&imported.id);
    let grant = Grant { root: imported.id, members };
    inner.grants.add(Bytes::copy_from_slice(&right), grant);
    let ticket = make_ticket(&imported, &right, inner.provider()).map_err(ShareError::Ticket)?;
    Ok(Share { imported, ticket })
}

fn make_ticket(
    imported: &Imported,
    right: &[u8],
    provider: Provider,
) -> Result<Ticket, TicketBuildError> {
    Ticket::new(imported.id, imported.format)
        .with_size(imported.size)?
        .with_name(&imported.name)?
        .with_secret(Secret::new(right)?)?
        .with_provider(provider)
}

/// The blobs of a collection, sorted; none for a blob.
pub(crate) async fn members(
    inner: &Inner,
    root: BlobId,
    format: Format,
) -> Result<Arc<[BlobId]>, ShareError> {
    if format != Format::Collection {
        return Ok(Arc::default());
    }
    let store = inner.store.clone();
    flatten(
        tokio::task::spawn_blocking(move || {
            let manifest = read_manifest(&store, &root)?;
            let mut members = Vec::with_capacity(manifest.summary().files as usize);
            let mut entries = manifest.iter();
            while let Some(entry) = entries.next_entry() {
                if let EntryKind::File { id, .. } = entry.kind {
                    members.push(id);
                }
            }
            members.sort_unstable();
            members.dedup();
            Ok(members.into())
        })
        .await,
    )
}

fn read_manifest(store: &Store, root: &BlobId) -> Result<Manifest<Bytes>, ShareError> {
    let not_found = || ShareError::NotFound { path: root.to_string().into() };
    let reader = store.reader(root).map_err(ShareError::Read)?.ok_or_else(not_found)?;
    let bytes = reader.read(0..reader.size()).map_err(ShareError::Read)?;
    Manifest::decode(bytes).map_err(ShareError::NotACollection)
}

/// How to name a node in a ticket. Addresses that others can use come before loopback ones, and
/// what a ticket has no room for or can't say is left out.
pub(crate) fn provider(peer: PeerId, direct: &[SocketAddr], relay: Option<&str>) -> Provider {
    let mut direct = direct.to_vec();
    direct.retain(|addr| addr.port() != 0);
    direct.sort_by_key(|addr| (addr.ip().is_loopback(), addr.is_ipv6(), *addr));
    let mut provider = Provider::new(peer);
    for address in direct.into_iter().take(ADDRESSES_MAX) {
        provider = provider.clone().with_address(address).unwrap_or(provider);
    }
    match relay {
        Some(url) => provider.clone().with_relay(url).unwrap_or(provider),
        None => provider,
    }
}

async fn take_in(
    inner: &Inner,
    paths: Vec<PathBuf>,
    progress: watch::Sender<ImportProgress>,
    stop: Arc<AtomicBool>,
) -> Result<Imported, ShareError> {
    let store = inner.store.clone();
    let walk = move || {
        let mut walk = Walk { store, progress, stop, shown: 0 };
        let imported = walk.take_in(&paths)?;
        walk.store.tag(share_tag(&imported).as_bytes(), &imported.id)?;
        walk.store.checkpoint()?;
        walk.show();
        Ok(imported)
    };
    flatten(tokio::task::spawn_blocking(walk).await)
}

/// The tag that keeps a share in the store.
fn share_tag(imported: &Imported) -> String {
    format!("share/{}", imported.id)
}

/// A walk through what is taken in. Runs on a blocking thread.
struct Walk {
    store: Store,
    progress: watch::Sender<ImportProgress>,
    stop: Arc<AtomicBool>,
    /// Bytes at the last progress snapshot.
    shown: u64,
}

/// An entry found by the walk: small, since there may be a million.
struct Found {
    /// Relative to the root, components separated by `/`.
    path: Box<[u8]>,
    kind: Kind,
    mode: Mode,
    mtime: Option<Mtime>,
    size: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    Symlink,
}

impl Found {
    /// `None` for what a collection does not hold: pipes, sockets, devices.
    fn new(path: &[u8], metadata: &fs::Metadata) -> Option<Self> {
        let kind = if metadata.is_file() {
            Kind::File
        } else if metadata.is_dir() {
            Kind::Directory
        } else if metadata.is_symlink() {
            Kind::Symlink
        } else {
            return None;
        };
        let size = if kind == Kind::File { metadata.len() } else { 0 };
        Some(Self {
            path: path.into(),
            kind,
            mode: mode_of(metadata),
            mtime: mtime_of(metadata),
            size,
        })
    }
}

impl Walk {
    fn take_in(&mut self, paths: &[PathBuf]) -> Result<Imported, ShareError> {
        if let [path] = paths {
            let metadata = metadata(path)?;
            let name = name_of(path)?;
            if metadata.is_file() {
                return self.file(path, &metadata, name);
            }
            if metadata.is_dir() {
                let mut found = Vec::new();
                self.find(path, &mut Vec::new(), &mut found)?;
                return self.collection(vec![(path.clone(), found)], name);
            }
            return Err(ShareError::NotAFile { path: path.clone() });
        }
        // Several paths: a collection whose first components are their names.
        let mut groups = Vec::new();
        for path in paths {
            let metadata = metadata(path)?;
            let name = name_of(path)?;
            let parent = parent_of(path)?;
            let mut prefix = name.clone();
            let mut found = Vec::new();
            let Some(entry) = Found::new(&name, &metadata) else {
                return Err(ShareError::NotAFile { path: path.clone() });
            };
            found.push(entry);
            if metadata.is_dir() {
                self.find(path, &mut prefix, &mut found)?;
            }
            groups.push((parent, found));
        }
        self.collection(groups, b"shared".to_vec())
    }

    fn file(
        &mut self,
        path: &Path,
        metadata: &fs::Metadata,
        name: Vec<u8>,
    ) -> Result<Imported, ShareError> {
        self.progress.send_modify(|progress| {
            progress.files_total = 1;
            progress.bytes_total = metadata.len();
        });
        let root = self.store.root(&parent_of(path)?)?;
        let stat = self.hash(root, &name)?;
        Ok(Imported { id: stat.0, format: Format::Blob, size: stat.1, files: 1, name })
    }

    fn collection(
        &mut self,
        groups: Vec<(PathBuf, Vec<Found>)>,
        name: Vec<u8>,
    ) -> Result<Imported, ShareError> {
        let all = || groups.iter().flat_map(|(_, found)| found);
        let files = all().filter(|found| found.kind == Kind::File).count() as u64;
        let bytes = all().map(|found| found.size).sum::<u64>();
        self.progress.send_modify(|progress| {
            progress.files_total = files;
            progress.bytes_total = bytes;
        });
        let mut builder = ManifestBuilder::new();
        for (directory, found) in groups {
            let root = self.store.root(&canonical(&directory)?)?;
            // Each is given up as soon as the manifest has it.
            for found in found {
                let path = directory.join(to_path(&found.path));
                let target;
                let entry = match found.kind {
                    Kind::Directory => Entry::directory(&found.path, found.mode, found.mtime),
                    Kind::Symlink => {
                        target = link_target(&path)?;
                        Entry::symlink(&found.path, &target)
                    }
                    Kind::File => {
                        let (id, size) = self.hash(root, &found.path)?;
                        Entry::file(&found.path, found.mode, found.mtime, size, id)
                    }
                };
                let failed = |error| ShareError::Entry { path: path.clone(), error };
                builder.push(&entry).map_err(failed)?;
            }
        }
        let mut manifest = Vec::new();
        let summary = builder.finish(&mut manifest).map_err(ShareError::Manifest)?;
        drop(builder);
        let id = self.store.put(&manifest)?;
        let files = u64::from(summary.files);
        Ok(Imported { id, format: Format::Collection, size: summary.bytes, files, name })
    }

    /// Hashes a file where it lies: its id and size.
    fn hash(&mut self, root: RootId, rel: &[u8]) -> Result<(BlobId, u64), ShareError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(ShareError::Cancelled);
        }
        let before = self.progress.borrow().bytes;
        let (progress, mut shown) = (&self.progress, self.shown);
        let mut tick = |bytes: u64| {
            // Often enough to look alive, seldom enough to cost nothing.
            if before + bytes >= shown + (32 << 20) {
                shown = before + bytes;
                progress.send_modify(|progress| progress.bytes = before + bytes);
            }
        };
        let stat = match self.store.share_in_place(root, rel, &mut tick) {
            Ok(stat) => stat,
            Err(samara_store::ShareError::NotFound { path }) => {
                return Err(ShareError::NotFound { path });
            }
            Err(samara_store::ShareError::NotAFile { path }) => {
                return Err(ShareError::NotAFile { path });
            }
            Err(samara_store::ShareError::Store(error)) => return Err(error.into()),
            Err(error) => return Err(ShareError::File(error)),
        };
        self.shown = shown;
        self.progress.send_if_modified(|progress| {
            progress.bytes = before + stat.size;
            progress.files += 1;
            progress.files % 256 == 0 || progress.files == progress.files_total
        });
        Ok((stat.id, stat.size))
    }

    fn show(&self) {
        self.progress.send_modify(|_| ());
    }

    /// Lists a directory, depth first, in any order. Symbolic links are not followed; what is
    /// neither file, directory nor link is left out.
    fn find(
        &self,
        directory: &Path,
        prefix: &mut Vec<u8>,
        found: &mut Vec<Found>,
    ) -> Result<(), ShareError> {
        let failed = |error| ShareError::Io { path: directory.to_owned(), error };
        for entry in fs::read_dir(directory).map_err(failed)? {
            if self.stop.load(Ordering::Relaxed) {
                return Err(ShareError::Cancelled);
            }
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let metadata =
                entry.metadata().map_err(|error| ShareError::Io { path: path.clone(), error })?;
            let length = prefix.len();
            if length > 0 {
                prefix.push(b'/');
            }
            let name = to_bytes(&entry.file_name());
            if is_reserved(&name) {
                // What an unfinished fetch left here is nobody's content.
                tracing::warn!(path = %path.display(), "left out: an unfinished fetch");
                prefix.truncate(length);
                continue;
            }
            prefix.extend_from_slice(&name);
            check_path(prefix).map_err(|error| ShareError::Path { path: path.clone(), error })?;
            match Found::new(prefix, &metadata) {
                Some(entry) => found.push(entry),
                None => {
                    let path = path.display();
                    tracing::warn!(%path, "left out: neither file, directory nor link");
                }
            }
            if metadata.is_dir() {
                self.find(&path, prefix, found)?;
            }
            prefix.truncate(length);
        }
        Ok(())
    }
}

fn metadata(path: &Path) -> Result<fs::Metadata, ShareError> {
    fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ShareError::NotFound { path: path.to_owned() },
        _ => ShareError::Io { path: path.to_owned(), error },
    })
}

fn canonical(path: &Path) -> Result<PathBuf, ShareError> {
    fs::canonicalize(path).map_err(|error| ShareError::Io { path: path.to_owned(), error })
}

fn link_target(path: &Path) -> Result<Vec<u8>, ShareError> {
    let target =
        fs::read_link(path).map_err(|error| ShareError::Io { path: path.to_owned(), error })?;
    Ok(to_bytes(target.as_os_str()))
}

/// The last component of a path, resolved if it is `.` or `..`.
fn name_of(path: &Path) -> Result<Vec<u8>, ShareError> {
    match path.file_name() {
        Some(name) => Ok(to_bytes(name)),
        None => Ok(canonical(path)?.file_name().map_or_else(|| b"root".to_vec(), to_bytes)),
    }
}

/// The directory that a path lies in, as an absolute path. A link at the end of `path` is followed
/// by nobody: the file is opened in its own directory.
fn parent_of(path: &Path) -> Result<PathBuf, ShareError> {
    let resolved = if path.file_name().is_some() { path.to_owned() } else { canonical(path)? };
    match resolved.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => canonical(parent),
        _ => canonical(Path::new(".")),
    }
}

#[cfg(unix)]
pub(crate) fn to_bytes(name: &std::ffi::OsStr) -> Vec<u8> {
    std::os::unix::ffi::OsStrExt::as_bytes(name).to_vec()
}

#[cfg(unix)]
pub(crate) fn to_path(bytes: &[u8]) -> PathBuf {
    <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes).into()
}

#[cfg(not(unix))]
pub(crate) fn to_bytes(name: &std::ffi::OsStr) -> Vec<u8> {
    name.to_string_lossy().replace('\\', "/").into_bytes()
}

#[cfg(not(unix))]
pub(crate) fn to_path(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}

#[cfg(unix)]
fn mode_of(metadata: &fs::Metadata) -> Mode {
    Mode::from_st_mode(std::os::unix::fs::MetadataExt::mode(metadata))
}

#[cfg(not(unix))]
fn mode_of(metadata: &fs::Metadata) -> Mode {
    if metadata.is_dir() { Mode::DIRECTORY } else { Mode::FILE }
}

fn mtime_of(metadata: &fs::Metadata) -> Option<Mtime> {
    let modified = metadata.modified().ok()?;
    match modified.duration_since(std::time::UNIX_EPOCH) {
        Ok(since) => Mtime::new(i64::try_from(since.as_secs()).ok()?, since.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let seconds = -i64::try_from(before.as_secs()).ok()?;
            match before.subsec_nanos() {
                0 => Mtime::new(seconds, 0),
                nanos => Mtime::new(seconds - 1, 1_000_000_000 - nanos),
            }
        }
    }
}
