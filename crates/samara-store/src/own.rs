//! One at a time changes a blob as a whole: brings it in, replaces it or removes it.

use std::{
    collections::BTreeSet,
    sync::{Condvar, Mutex, PoisonError},
};

use samara_base::BlobId;

use crate::inner::locked;

/// The blobs that somebody changes as a whole.
///
/// Comes before all locks; nobody who has one blob waits for another. Who only changes what the row
/// of a blob says does so with [`Inner::change`](crate::inner::Inner::change) and needs none of this.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    owned: Mutex<BTreeSet<BlobId>>,
    given_up: Condvar,
}

/// The right to change one blob, until it is dropped.
#[derive(Debug)]
pub(crate) struct Owned<'a> {
    owners: &'a Owners,
    id: BlobId,
}

impl Owners {
    /// Waits until nobody else has the blob.
    pub(crate) fn take(&self, id: BlobId) -> Owned<'_> {
        let mut owned = locked(&self.owned);
        while !owned.insert(id) {
            owned = self.given_up.wait(owned).unwrap_or_else(PoisonError::into_inner);
        }
        Owned { owners: self, id }
    }

    /// Does not wait: `None` if somebody has the blob.
    pub(crate) fn try_take(&self, id: BlobId) -> Option<Owned<'_>> {
        let is_free = locked(&self.owned).insert(id);
        is_free.then(|| Owned { owners: self, id })
    }
}

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        locked(&self.owners.owned).remove(&self.id);
        self.owners.given_up.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[test]
    fn one_at_a_time_has_a_blob_and_nobody_waits_for_another() {
        let owners = Owners::default();
        let [one, other] = [[1; 32], [2; 32]].map(BlobId::from_bytes);
        let first = owners.take(one);
        assert!(owners.try_take(one).is_none());
        drop(owners.take(other));
        let (told, tell) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..3 {
                let (owners, told) = (&owners, told.clone());
                scope.spawn(move || {
                    let _owned = owners.take(one);
                    told.send(()).unwrap();
                });
            }
            assert!(tell.try_recv().is_err());
            drop(first);
            (0..3).for_each(|_| tell.recv().unwrap());
        });
        assert!(owners.try_take(one).is_some());
    }
}
