//! The forgetful file system as the kernel sees it.

use core::time::Duration;
use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::{
    state::State,
    tree::{Change, Entry, Ino, Kind, Tree},
};

/// How long the kernel may remember a name or attributes.
const TTL: Duration = Duration::ZERO;

/// Size that it claims to have. Unit: blocks of 4096 bytes.
const BLOCKS: u64 = 1 << 20;

const PUNCH_HOLE: i32 = 2;
const KEEP_SIZE: i32 = 1;

/// Serves a [`State`].
#[derive(Debug)]
pub(crate) struct Forgetful(pub(crate) Arc<Mutex<State>>);

type Answer<T> = Result<T, Errno>;

impl Forgetful {
    /// The state, unless the power is off.
    fn state(&self) -> Answer<MutexGuard<'_, State>> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_cut() { Err(Errno::EIO) } else { Ok(state) }
    }

    /// The state for a change or a sync, which may be the one at which the power fails.
    fn change(&self) -> Answer<MutexGuard<'_, State>> {
        let mut state = self.state()?;
        if state.step() { Ok(state) } else { Err(Errno::EIO) }
    }

    fn make(&self, entry: Entry, is_dir: bool, mode: u32) -> Answer<FileAttr> {
        let mut state = self.change()?;
        if state.now.child(entry.0, &entry.1).is_some() {
            return Err(Errno::EEXIST);
        }
        let ino = state.new_ino();
        state.change(Change::Link { entry, ino, is_dir, mode });
        state.change(Change::Time { ino, time: now() });
        attributes(&state.now, ino)
    }

    fn link(&self, ino: Ino, entry: Entry) -> Answer<FileAttr> {
        let mut state = self.change()?;
        if state.now.child(entry.0, &entry.1).is_some() {
            return Err(Errno::EEXIST);
        }
        let mode = state.now.node(ino).ok_or(Errno::ENOENT)?.mode;
        state.change(Change::Link { entry, ino, is_dir: false, mode });
        attributes(&state.now, ino)
    }

    fn unlink(&self, entry: Entry, is_dir: bool) -> Answer<()> {
        let mut state = self.change()?;
        let ino = state.now.child(entry.0, &entry.1).ok_or(Errno::ENOENT)?;
        match &state.now.node(ino).ok_or(Errno::ENOENT)?.kind {
            Kind::Dir(_) if !is_dir => return Err(Errno::EISDIR),
            Kind::Dir(entries) if !entries.is_empty() => return Err(Errno::ENOTEMPTY),
            Kind::File { .. } if is_dir => return Err(Errno::ENOTDIR),
            _ => {}
        }
        state.change(Change::Unlink { entry });
        Ok(())
    }

    fn rename(&self, from: Entry, to: Entry, flags: RenameFlags) -> Answer<()> {
        let mut state = self.change()?;
        let no_replace = flags.contains(RenameFlags::RENAME_NOREPLACE);
        if flags.intersects(!RenameFlags::RENAME_NOREPLACE)
            || (no_replace && state.lacks.no_replace)
        {
            return Err(Errno::EINVAL);
        }
        state.now.child(from.0, &from.1).ok_or(Errno::ENOENT)?;
        if let Some(there) = state.now.child(to.0, &to.1) {
            if no_replace {
                return Err(Errno::EEXIST);
            }
            if let Some(Kind::Dir(entries)) = state.now.node(there).map(|node| &node.kind)
                && !entries.is_empty()
            {
                return Err(Errno::ENOTEMPTY);
            }
        }
        state.change(Change::Rename { from, to });
        Ok(())
    }

    fn write(&self, ino: Ino, at: u64, data: &[u8]) -> Answer<u32> {
        let mut state = self.change()?;
        state.change(Change::Write { ino, at, data: data.to_vec() });
        state.change(Change::Time { ino, time: now() });
        u32::try_from(data.len()).map_err(|_| Errno::EINVAL)
    }

    fn allocate(&self, ino: Ino, at: u64, len: u64, mode: i32) -> Answer<()> {
        let mut state = self.change()?;
        let end = at.saturating_add(len);
        match mode {
            _ if state.lacks.fallocate => return Err(Errno::EOPNOTSUPP),
            0 => state.change(Change::Grow { ino, len: end }),
            mode if mode == PUNCH_HOLE | KEEP_SIZE => {
                state.change(Change::Clear { ino, from: at, to: end });
            }
            _ => return Err(Errno::EOPNOTSUPP),
        }
        state.change(Change::Time { ino, time: now() });
        Ok(())
    }

    fn set(
        &self,
        ino: Ino,
        mode: Option<u32>,
        len: Option<u64>,
        time: Option<TimeOrNow>,
    ) -> Answer<FileAttr> {
        let mut state = self.change()?;
        if let Some(len) = len {
            state.change(Change::Len { ino, len });
            state.change(Change::Time { ino, time: now() });
        }
        if let Some(mode) = mode {
            state.change(Change::Mode { ino, mode: mode & 0o7777 });
        }
        if let Some(time) = time {
            let time = match time {
                TimeOrNow::SpecificTime(time) => time,
                TimeOrNow::Now => now(),
            };
            state.change(Change::Time { ino, time });
        }
        attributes(&state.now, ino)
    }

    fn read(&self, ino: Ino, at: u64, size: u32) -> Answer<Vec<u8>> {
        let state = self.state()?;
        match &state.now.node(ino).ok_or(Errno::ENOENT)?.kind {
            Kind::Dir(_) => Err(Errno::EISDIR),
            Kind::File { pages, len } => {
                let count = len.saturating_sub(at).min(size.into());
                let mut data = vec![0; usize::try_from(count).map_err(|_| Errno::EINVAL)?];
                pages.read(at, &mut data);
                Ok(data)
            }
        }
    }

    fn find(&self, dir: Ino, name: &OsStr) -> Answer<FileAttr> {
        let state = self.state()?;
        let ino = state.now.child(dir, name.as_bytes()).ok_or(Errno::ENOENT)?;
        attributes(&state.now, ino)
    }

    fn list(&self, dir: Ino) -> Answer<Vec<(Ino, FileType, Vec<u8>)>> {
        let state = self.state()?;
        let Kind::Dir(entries) = &state.now.node(dir).ok_or(Errno::ENOENT)?.kind else {
            return Err(Errno::ENOTDIR);
        };
        let dots = [b".".to_vec(), b"..".to_vec()].map(|name| (dir, FileType::Directory, name));
        let named = entries.iter().map(|(name, ino)| {
            let is_dir = matches!(state.now.node(*ino).map(|node| &node.kind), Some(Kind::Dir(_)));
            let kind = if is_dir { FileType::Directory } else { FileType::RegularFile };
            (*ino, kind, name.clone())
        });
        Ok(dots.into_iter().chain(named).collect())
    }
}

#[expect(clippy::disallowed_methods, reason = "files of a real system have real times")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn entry(dir: INodeNo, name: &OsStr) -> Entry {
    (dir.0, name.as_bytes().to_vec())
}

fn attributes(tree: &Tree, ino: Ino) -> Answer<FileAttr> {
    let node = tree.node(ino).ok_or(Errno::ENOENT)?;
    let (kind, size, blocks) = match &node.kind {
        Kind::File { pages, len } => (FileType::RegularFile, *len, pages.allocated() / 512),
        Kind::Dir(_) => (FileType::Directory, 0, 0),
    };
    Ok(FileAttr {
        ino: INodeNo(ino),
        size,
        blocks,
        atime: node.mtime,
        mtime: node.mtime,
        ctime: node.mtime,
        crtime: node.mtime,
        kind,
        perm: u16::try_from(node.mode & 0o7777).unwrap_or_default(),
        nlink: if kind == FileType::Directory { 2 } else { 1 },
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    })
}

fn entered(reply: ReplyEntry, answer: Answer<FileAttr>) {
    match answer {
        Ok(attr) => reply.entry(&TTL, &attr, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn told(reply: ReplyAttr, answer: Answer<FileAttr>) {
    match answer {
        Ok(attr) => reply.attr(&TTL, &attr),
        Err(error) => reply.error(error),
    }
}

fn done(reply: ReplyEmpty, answer: Answer<()>) {
    match answer {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Forgetful {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entered(reply, self.find(parent.0, name));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        told(reply, self.state().and_then(|state| attributes(&state.now, ino.0)));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        told(reply, self.set(ino.0, mode, size, mtime));
    }

    fn mkdir(
        &self,
        _: &Request,
        dir: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        entered(reply, self.make(entry(dir, name), true, mode & !umask & 0o7777));
    }

    fn create(
        &self,
        _: &Request,
        dir: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.make(entry(dir, name), false, mode & !umask & 0o7777) {
            Ok(attr) => {
                reply.created(&TTL, &attr, Generation(0), FileHandle(0), FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn link(&self, _: &Request, ino: INodeNo, dir: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entered(reply, self.link(ino.0, entry(dir, name)));
    }

    fn unlink(&self, _: &Request, dir: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.unlink(entry(dir, name), false));
    }

    fn rmdir(&self, _: &Request, dir: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.unlink(entry(dir, name), true));
    }

    fn rename(
        &self,
        _: &Request,
        dir: INodeNo,
        name: &OsStr,
        new_dir: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        done(reply, self.rename(entry(dir, name), entry(new_dir, new_name), flags));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.state() {
            Ok(_) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.read(ino.0, offset, size) {
            Ok(data) => reply.data(&data),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.write(ino.0, offset, data) {
            Ok(len) => reply.written(len),
            Err(error) => reply.error(error),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        done(reply, self.allocate(ino.0, offset, length, mode));
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, data_only: bool, reply: ReplyEmpty) {
        done(reply, self.change().map(|mut state| state.sync_file(ino.0, data_only)));
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(reply, self.change().map(|mut state| state.sync_dir(ino.0)));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        match self.list(ino.0) {
            Ok(entries) => {
                let rest = (1..).zip(entries).skip(usize::try_from(offset).unwrap_or(usize::MAX));
                for (next, (ino, kind, name)) in rest {
                    if reply.add(INodeNo(ino), next, kind, OsStr::from_bytes(&name)) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(error) => reply.error(error),
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        match self.state() {
            Ok(state) => {
                let free = BLOCKS.saturating_sub(state.now.allocated() / 4096);
                reply.statfs(BLOCKS, free, free, 1 << 20, 1 << 20, 4096, 255, 4096);
            }
            Err(error) => reply.error(error),
        }
    }
}
