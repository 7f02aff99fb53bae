//! Registered directories: where external files are.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    disk::{Dir, Disk},
    error::{StoreError, failed},
    row::{RootId, RootRow},
};

/// Open directories kept.
const OPEN_DIRS_MAX: usize = 64;

/// All registered directories, with the handles of those in use.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    rows: BTreeMap<RootId, RootRow>,
    open: BTreeMap<RootId, Arc<dyn Dir>>,
}

impl Roots {
    pub(crate) fn new(rows: BTreeMap<RootId, RootRow>) -> Self {
        Self { rows, open: BTreeMap::new() }
    }

    pub(crate) fn find(&self, path: &Path) -> Option<(RootId, &RootRow)> {
        let bytes = path.as_os_str().as_encoded_bytes();
        self.rows.iter().find(|(_, row)| row.path == bytes).map(|(id, row)| (*id, row))
    }

    pub(crate) fn row(&self, root: RootId) -> Option<&RootRow> {
        self.rows.get(&root)
    }

    /// Sets a row; its directory is opened anew when it is next needed.
    pub(crate) fn set(&mut self, root: RootId, row: RootRow) {
        self.rows.insert(root, row);
        self.open.remove(&root);
    }

    /// Uses `dir` from now on. Whoever names a directory means the one that has the name now, which
    /// the user may have made anew since it was opened last.
    pub(crate) fn opened(&mut self, root: RootId, dir: Arc<dyn Dir>) {
        if self.open.len() >= OPEN_DIRS_MAX && !self.open.contains_key(&root) {
            self.open.pop_first();
        }
        self.open.insert(root, dir);
    }

    pub(crate) fn next_id(&self) -> RootId {
        RootId(self.rows.last_key_value().map_or(1, |(last, _)| last.0.saturating_add(1)))
    }

    pub(crate) fn path(&self, root: RootId) -> Option<PathBuf> {
        self.rows.get(&root).map(|row| path_of(&row.path))
    }

    pub(crate) fn is_staging(&self, root: RootId) -> bool {
        self.rows.get(&root).is_some_and(|row| row.staging)
    }

    pub(crate) fn dir(
        &mut self,
        disk: &dyn Disk,
        root: RootId,
    ) -> Result<Arc<dyn Dir>, StoreError> {
        if let Some(dir) = self.open.get(&root) {
            return Ok(Arc::clone(dir));
        }
        let path = self.path(root).unwrap_or_default();
        let dir = disk.open_dir(&path, false).map_err(failed("open", &path))?;
        self.opened(root, Arc::clone(&dir));
        Ok(dir)
    }
}

/// A path from the system's bytes.
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
    }
    #[cfg(not(unix))]
    {
        PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
    }
}
