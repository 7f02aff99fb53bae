//! Small files that were just written, until a checkpoint makes them durable.

use std::sync::Arc;

use crate::{disk::File, error::StoreError, inner::Inner, row::RootId};

/// A new small file that the next checkpoint makes durable.
#[derive(Debug)]
pub(crate) enum NewSmall {
    /// With its bytes.
    Unsynced(Arc<dyn File>),
    /// Its bytes are durable, its name is not.
    Synced,
}

impl Inner {
    /// A small file that was just written. Its bytes are made durable at once where a checkpoint could
    /// not have many of them synced together: to keep all their handles until then has no bound.
    pub(crate) fn new_small(
        &self,
        root: RootId,
        rel: &[u8],
        file: Arc<dyn File>,
    ) -> Result<NewSmall, StoreError> {
        if self.root_if_there(root)?.is_some_and(|dir| dir.syncs_whole()) {
            return Ok(NewSmall::Unsynced(file));
        }
        //= rfcs/0009-store.md#store-61
        //# A store MUST sync a file by itself where a sync of the whole file system is not known to reach the medium.
        match file.sync_with_meta() {
            Ok(()) => Ok(NewSmall::Synced),
            Err(error) => {
                //= rfcs/0009-store.md#store-6
                //# After a failed sync or index commit a store MUST refuse all further operations until it is opened again.
                self.poison();
                Err(StoreError::io("sync", self.external_path(root, rel), error))
            }
        }
    }
}
