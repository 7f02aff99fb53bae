use core::num::NonZeroU64;
use std::{
    fs, io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::FileExt as _,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{
    self as sys, AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat, Timespec, Timestamps,
};

use super::{Dir, Disk, File, Lock, LockOutcome, Meta, Open, check_rel, name, parent};

/// The machine's own file systems.
///
/// On Linux every name is resolved in one system call that neither follows a symbolic link nor
/// leaves the directory (`openat2`); on other systems, and on kernels without it, component by
/// component.
#[derive(Clone, Copy, Debug)]
pub struct OsDisk {
    /// Bits that the process takes away from new files; `None`: not known.
    mask: Option<u32>,
}

impl OsDisk {
    /// The machine's file systems.
    #[must_use]
    pub fn new() -> Self {
        Self { mask: process_mask() }
    }
}

impl Default for OsDisk {
    fn default() -> Self {
        Self::new()
    }
}

/// The process's file mode mask. Linux tells it without changing it; elsewhere it stays unknown
/// and every new file gets its mode set explicitly.
fn process_mask() -> Option<u32> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(line.trim(), 8).ok()
}

impl Disk for OsDisk {
    fn open_dir(&self, path: &Path, create: bool) -> io::Result<Arc<dyn Dir>> {
        if create {
            fs::create_dir_all(path)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = sys::openat(CWD, path, flags, Mode::empty())?;
        let syncs_whole = syncs_whole(&fd);
        Ok(Arc::new(OsDir { fd, path: path.to_path_buf(), mask: self.mask, syncs_whole }))
    }

    fn rename_dir(&self, from: &Path, to: &Path) -> io::Result<()> {
        if let Some(result) = rename_in_one_call(CWD, from, CWD, to) {
            return result;
        }
        // The name is taken with an empty directory, which a rename may replace and nothing else.
        sys::mkdirat(CWD, to, Mode::from_raw_mode(0o700))?;
        let renamed = sys::renameat(CWD, from, CWD, to);
        if renamed.is_err() {
            // If that fails as well, an empty directory stays.
            let _ = sys::unlinkat(CWD, to, AtFlags::REMOVEDIR);
        }
        Ok(renamed?)
    }

    fn sync_parent(&self, path: &Path) -> io::Result<()> {
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::File::open(parent)?.sync_all()
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        match fs::symlink_metadata(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Tries to resolve a name in one call while others rename directories on the way.
#[cfg(any(target_os = "linux", target_os = "android"))]
const RESOLVE_TRIES_MAX: u32 = 32;

#[derive(Debug)]
struct OsDir {
    fd: OwnedFd,
    path: PathBuf,
    mask: Option<u32>,
    syncs_whole: bool,
}

/// Whether `syncfs` on this file system ends with a flush of the medium.
///
/// Only those known for it count. FUSE, and with it the shared storage of phones, takes the call and
/// passes nothing on; network file systems do not wait for the server's disk; FAT does not flush the
/// drive's cache.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn syncs_whole(fd: &OwnedFd) -> bool {
    const EXT: u64 = 0xef53;
    const XFS: u64 = 0x5846_5342;
    const BTRFS: u64 = 0x9123_683e;
    const F2FS: u64 = 0xf2f5_2010;
    const BCACHEFS: u64 = 0xca45_1a4e;
    const ZFS: u64 = 0x2fc1_2fc1;
    // It has no medium that anything could be missing from.
    const TMPFS: u64 = 0x0102_1994;
    // The types of the field differ between systems, and so do their signs.
    let kind = sys::fstatfs(fd).map(|stat| stat.f_type as u64 & 0xffff_ffff);
    kind.is_ok_and(|kind| matches!(kind, EXT | XFS | BTRFS | F2FS | BCACHEFS | ZFS | TMPFS))
}

/// POSIX has only the call for all file systems, which reports no error and need not wait.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn syncs_whole(_: &OwnedFd) -> bool {
    false
}

impl OsDir {
    /// Opens beneath this directory without following a symbolic link anywhere.
    fn resolve(&self, rel: &[u8], flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        //= rfcs/0009-store.md#store-16
        //# A store MUST NOT follow a symbolic link below a root.
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            use rustix::{fs::ResolveFlags, io::Errno};
            let beneath =
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            // Without a bound, somebody who renames all the time could keep us here.
            for _ in 0..RESOLVE_TRIES_MAX {
                match sys::openat2(&self.fd, rel, flags, mode, beneath) {
                    // The kernel saw a rename while it walked and asks to try again.
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    Err(Errno::NOSYS | Errno::PERM) => break,
                    result => return Ok(result?),
                }
            }
        }
        self.walk(rel, flags, mode)
    }

    /// [`Self::resolve`] without `openat2`.
    fn walk(&self, rel: &[u8], flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let mut at: Option<OwnedFd> = None;
        let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        for component in parent(rel).split(|&byte| byte == b'/').filter(|part| !part.is_empty()) {
            let from = at.as_ref().map_or_else(|| self.fd.as_fd(), OwnedFd::as_fd);
            at = Some(sys::openat(from, component, directory, Mode::empty())?);
        }
        let from = at.as_ref().map_or_else(|| self.fd.as_fd(), OwnedFd::as_fd);
        Ok(sys::openat(from, name(rel), flags, mode)?)
    }

    /// The directory that holds `rel`.
    fn parent_of(&self, rel: &[u8]) -> io::Result<OwnedFd> {
        check(rel)?;
        self.directory(parent(rel))
    }

    /// A directory of the tree; `b""` is this one.
    fn directory(&self, rel: &[u8]) -> io::Result<OwnedFd> {
        if rel.is_empty() {
            return self.fd.try_clone();
        }
        check(rel)?;
        self.resolve(rel, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
    }
}

fn check(rel: &[u8]) -> io::Result<()> {
    check_rel(rel).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

fn bits(mode: u32) -> Mode {
    // Set-user-id and its kin never come from a peer or a manifest.
    #[allow(clippy::useless_conversion, reason = "the raw type is narrower on other systems")]
    Mode::from_raw_mode((mode & 0o777).try_into().unwrap_or_default())
}

impl Dir for OsDir {
    fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self, rel: &[u8], how: Open) -> io::Result<Arc<dyn File>> {
        check(rel)?;
        let (flags, mode) = match how {
            // A pipe or a device must not block or seize anything merely by being looked at.
            Open::Read => (OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, 0),
            Open::Write => (OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY, 0),
            Open::Create { mode } => (OFlags::RDWR | OFlags::CREATE, mode),
            Open::CreateNew { mode } => (OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, mode),
        };
        let fd = self.resolve(rel, flags, bits(mode))?;
        if let Open::CreateNew { mode } = how
            && self.mask.is_none_or(|mask| mode & mask & 0o777 != 0)
        {
            sys::fchmod(&fd, bits(mode))?;
        }
        Ok(Arc::new(OsFile(fd.into())))
    }

    fn make_dirs(&self, rel: &[u8]) -> io::Result<()> {
        if rel.is_empty() {
            return Ok(());
        }
        check(rel)?;
        let mode = Mode::from_raw_mode(0o777);
        let ends = rel.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([rel.len()]) {
            let (part, _) = rel.split_at(end);
            let dir = self.parent_of(part)?;
            match sys::mkdirat(&dir, name(part), mode) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // What exists may be something else than a directory.
        self.directory(rel).map(drop)
    }

    fn list(&self, rel: &[u8], entry: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        for found in sys::Dir::read_from(self.directory(rel)?)? {
            let found = found?;
            let name = found.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                entry(name);
            }
        }
        Ok(())
    }

    fn stat(&self, rel: &[u8]) -> io::Result<Option<Meta>> {
        let found = self
            .parent_of(rel)
            .and_then(|dir| Ok(sys::statat(&dir, name(rel), AtFlags::SYMLINK_NOFOLLOW)?));
        match found {
            Ok(stat) => Ok(Some(meta(&stat))),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &[u8], to: &[u8], replace: bool) -> io::Result<()> {
        let (from_dir, to_dir) = (self.parent_of(from)?, self.parent_of(to)?);
        if replace {
            Ok(sys::renameat(&from_dir, name(from), &to_dir, name(to))?)
        } else {
            rename_no_replace(&from_dir, name(from), &to_dir, name(to))
        }
    }

    fn remove(&self, rel: &[u8]) -> io::Result<()> {
        Ok(sys::unlinkat(self.parent_of(rel)?, name(rel), AtFlags::empty())?)
    }

    fn sync_names(&self, rel: &[u8]) -> io::Result<()> {
        Ok(sys::fsync(self.directory(rel)?)?)
    }

    fn sync_all(&self) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            Ok(sys::syncfs(&self.fd)?)
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    fn syncs_whole(&self) -> bool {
        self.syncs_whole
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = sys::fstatvfs(&self.fd)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn try_lock(&self, rel: &[u8], note: &str) -> io::Result<LockOutcome> {
        check(rel)?;
        let fd = self.resolve(rel, OFlags::RDWR | OFlags::CREATE, Mode::from_raw_mode(0o600))?;
        let file = OsFile(fd.into());
        match sys::flock(&file.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                file.set_len(0)?;
                file.write_at(note.as_bytes(), 0)?;
                Ok(LockOutcome::Taken(Box::new(file)))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = [0; 64];
                let len = file.read_at(&mut text, 0)?;
                let text = text.get(..len).unwrap_or_default();
                Ok(LockOutcome::Held(String::from_utf8_lossy(text).into_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Renames unless the target exists. Where the file system cannot do both in one step, a hard link
/// does: creating it fails if the name is taken.
fn rename_no_replace<P: rustix::path::Arg + Copy>(
    from_dir: impl std::os::fd::AsFd,
    from: P,
    to_dir: impl std::os::fd::AsFd,
    to: P,
) -> io::Result<()> {
    if let Some(result) = rename_in_one_call(&from_dir, from, &to_dir, to) {
        return result;
    }
    sys::linkat(&from_dir, from, &to_dir, to, AtFlags::empty())?;
    sys::unlinkat(&from_dir, from, AtFlags::empty()).map_err(|error| {
        // As if nothing had been done, as far as that is possible.
        let _ = sys::unlinkat(&to_dir, to, AtFlags::empty());
        error.into()
    })
}

/// The system's own call for it; `None` where the system or the file system has none.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_in_one_call<P: rustix::path::Arg>(
    from_dir: impl std::os::fd::AsFd,
    from: P,
    to_dir: impl std::os::fd::AsFd,
    to: P,
) -> Option<io::Result<()>> {
    use rustix::{fs::RenameFlags, io::Errno};
    match sys::renameat_with(from_dir, from, to_dir, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => None,
        result => Some(result.map_err(Into::into)),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_in_one_call<P: rustix::path::Arg>(
    _from_dir: impl std::os::fd::AsFd,
    _from: P,
    _to_dir: impl std::os::fd::AsFd,
    _to: P,
) -> Option<io::Result<()>> {
    None
}

fn meta(stat: &Stat) -> Meta {
    let kind = FileType::from_raw_mode(stat.st_mode);
    let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
    #[allow(clippy::useless_conversion, reason = "the types differ between systems")]
    Meta {
        regular: kind == FileType::RegularFile,
        directory: kind == FileType::Directory,
        size: u64::try_from(stat.st_size).unwrap_or_default(),
        mtime_ns: i64::from(stat.st_mtime).saturating_mul(1_000_000_000).saturating_add(nanos),
        inode: u64::try_from(stat.st_ino).unwrap_or_default(),
        device: u64::try_from(stat.st_dev).unwrap_or_default(),
        mode: u32::from(stat.st_mode) & 0o7777,
    }
}

#[derive(Debug)]
struct OsFile(fs::File);

impl Lock for OsFile {}

impl File for OsFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, at.saturating_add(done as u64)) {
                Ok(0) => break,
                Ok(len) => done += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn read_vec(&self, buf: &mut Vec<u8>, at: u64, len: usize) -> io::Result<()> {
        let end = buf.len().saturating_add(len);
        buf.reserve_exact(len);
        while buf.len() < end {
            let done = len - (end - buf.len());
            // The allocator may have given more room than asked for; what is read too much is cut.
            let spare = rustix::buffer::spare_capacity(buf);
            match rustix::io::pread(&self.0, spare, at.saturating_add(done as u64)) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        buf.truncate(end);
        Ok(())
    }

    fn write_at(&self, data: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(data, at)
    }

    fn allocate(&self, at: u64, len: u64) -> io::Result<()> {
        match sys::fallocate(&self.0, sys::FallocateFlags::empty(), at, len) {
            Err(rustix::io::Errno::NOTSUP) => Err(io::ErrorKind::Unsupported.into()),
            result => Ok(result?),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_with_meta(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn punch(&self, at: u64, len: u64) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            use rustix::fs::FallocateFlags;
            let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            match sys::fallocate(&self.0, how, at, len) {
                Err(rustix::io::Errno::NOTSUP) => Err(io::ErrorKind::Unsupported.into()),
                result => Ok(result?),
            }
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        {
            let _ = (at, len);
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    fn start_writeback(&self, at: u64, len: u64) {
        // The advice starts write-back of dirty pages and drops clean ones, which is
        // `sync_file_range` in effect. It is a hint, so a failure changes nothing.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(len) = NonZeroU64::new(len) {
            let _ = sys::fadvise(&self.0, at, Some(len), sys::Advice::DontNeed);
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ = (at, NonZeroU64::new(len));
    }

    fn meta(&self) -> io::Result<Meta> {
        Ok(meta(&sys::fstat(&self.0)?))
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(sys::fchmod(&self.0, bits(mode))?)
    }

    fn set_mtime(&self, mtime_ns: i64) -> io::Result<()> {
        let time = Timespec {
            tv_sec: mtime_ns.div_euclid(1_000_000_000),
            tv_nsec: mtime_ns.rem_euclid(1_000_000_000),
        };
        let omit = Timespec { tv_sec: 0, tv_nsec: sys::UTIME_OMIT };
        Ok(sys::futimens(&self.0, &Timestamps { last_access: omit, last_modification: time })?)
    }
}
