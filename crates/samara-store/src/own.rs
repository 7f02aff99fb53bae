//! One at a time changes a blob as a whole: brings it in, replaces it or removes it.

use std::collections::BTreeSet;

use crate::sync::{Condvar, Mutex, locked, wait};

/// The blobs, or maps, that somebody changes as a whole.
///
/// Comes before all locks; nobody who has one waits for another. Who only changes what the row of a
/// blob says does so with [`Inner::change`](crate::inner::Inner::change) and needs none of this.
#[derive(Debug)]
pub(crate) struct Owners<K> {
    owned: Mutex<BTreeSet<K>>,
    given_up: Condvar,
}

/// The right to change one of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Owned<'a, K: Ord + Copy> {
    owners: &'a Owners<K>,
    pub(crate) id: K,
}

impl<K> Default for Owners<K> {
    fn default() -> Self {
        Self { owned: Mutex::default(), given_up: Condvar::new() }
    }
}

impl<K: Ord + Copy> Owners<K> {
    /// Waits until nobody else has it.
    pub(crate) fn take(&self, id: K) -> Owned<'_, K> {
        let mut owned = locked(&self.owned);
        while !owned.insert(id) {
            owned = wait(&self.given_up, owned);
        }
        Owned { owners: self, id }
    }

    /// Does not wait: `None` if somebody has it.
    pub(crate) fn try_take(&self, id: K) -> Option<Owned<'_, K>> {
        let is_free = locked(&self.owned).insert(id);
        is_free.then(|| Owned { owners: self, id })
    }
}

impl<K: Ord + Copy> Drop for Owned<'_, K> {
    fn drop(&mut self) {
        locked(&self.owners.owned).remove(&self.id);
        self.owners.given_up.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use samara_base::BlobId;

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
