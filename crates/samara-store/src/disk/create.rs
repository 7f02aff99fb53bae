//! Directories whose names are durable.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Dir, Disk};

/// The directories on the way to `path`, itself first, that do not exist.
pub(crate) fn missing(disk: &dyn Disk, path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut missing = Vec::new();
    for dir in path.ancestors() {
        if disk.exists(dir)? {
            break;
        }
        missing.push(dir.to_path_buf());
    }
    Ok(missing)
}

/// Opens a directory, and creates it and its parents if they are missing. What it creates is durable.
pub(crate) fn create_dir(disk: &dyn Disk, path: &Path) -> io::Result<Arc<dyn Dir>> {
    let created = missing(disk, path)?;
    let opened = disk.open_dir(path, true)?;
    if !created.is_empty() {
        sync_way(disk, path, &created)?;
    }
    Ok(opened)
}

/// Makes the names on the way to `path` durable: those that this process has `created`, and those
/// that another one may have created before it died. Of the latter, one in a directory that may not be
/// read is left to whoever made it.
pub(crate) fn sync_way(disk: &dyn Disk, path: &Path, created: &[PathBuf]) -> io::Result<()> {
    //= rfcs/0009-store.md#store-62
    //# A store MUST make the names of the directories that it creates durable before it acknowledges what is in them.
    for dir in path.ancestors().filter(|dir| dir.parent().is_some()) {
        match disk.sync_parent(dir) {
            Err(error)
                if error.kind() == io::ErrorKind::PermissionDenied
                    && !created.iter().any(|created| created == dir) => {}
            result => result?,
        }
    }
    Ok(())
}
