//! What is known of blobs and names at one time.

use std::collections::{BTreeMap, BTreeSet};

use samara_base::{BlobId, GroupLog2, RangeSet};

/// Where bytes of a blob may be read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// A segment, or a file that was received.
    Store,
    /// A file of the user's.
    File(u8),
}

/// What should be known of a blob.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) leaves: u64,
    pub(crate) held: RangeSet,
    pub(crate) places: BTreeSet<Place>,
    /// All of it was held once, and not forgotten since.
    pub(crate) complete: bool,
    /// A crash has left some of `places`, and nobody knows which.
    pub(crate) unsure: bool,
}

impl Blob {
    /// What can be read: of a blob that was complete, whole groups only, as its outboard proves them.
    pub(crate) fn readable(&self) -> RangeSet {
        if !self.complete {
            return self.held.clone();
        }
        let missing = self.held.complement(self.leaves);
        let groups = missing.runs().iter().map(|run| GroupLog2::KIB16.align(run, self.leaves));
        groups.collect::<RangeSet>().complement(self.leaves)
    }
}

/// All that a store knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Book {
    pub(crate) blobs: BTreeMap<BlobId, Blob>,
    pub(crate) tags: BTreeMap<u8, BlobId>,
    pub(crate) pins: BTreeSet<(BlobId, u8)>,
    /// Ends of leases, in hours.
    pub(crate) leases: BTreeMap<(BlobId, u8), u64>,
    /// Blobs that are carried for others.
    pub(crate) carried: BTreeSet<BlobId>,
}

impl Book {
    /// What of a blob is held.
    pub(crate) fn held(&self, id: &BlobId) -> RangeSet {
        self.blobs.get(id).map(|blob| blob.held.clone()).unwrap_or_default()
    }

    /// What of a blob can be read.
    pub(crate) fn readable(&self, id: &BlobId) -> RangeSet {
        self.blobs.get(id).map(Blob::readable).unwrap_or_default()
    }

    /// The complete blobs that nothing keeps at an hour, and those that may be complete.
    pub(crate) fn loose(&self, hour: u64) -> BTreeSet<BlobId> {
        let loose = self
            .blobs
            .iter()
            .filter(|(id, blob)| (blob.complete || blob.unsure) && !self.is_kept(id, hour));
        loose.map(|(id, _)| *id).collect()
    }

    /// Whether a name, a pin or a lease keeps a blob at an hour.
    pub(crate) fn is_kept(&self, id: &BlobId, hour: u64) -> bool {
        self.tags.values().any(|tagged| tagged == id)
            || self.pins.iter().any(|(pinned, _)| pinned == id)
            || self.leases.iter().any(|((leased, _), end)| leased == id && *end > hour)
    }

    /// A file of the user's is not what it was. Returns the blobs that may have lost their last
    /// place, and of those for which that is sure, nothing is held any more.
    pub(crate) fn lose_file(&mut self, file: u8) -> Vec<BlobId> {
        let mut lost = Vec::new();
        for (id, blob) in &mut self.blobs {
            if blob.places.remove(&Place::File(file)) {
                if blob.places.is_empty() {
                    blob.held = RangeSet::new();
                }
                if blob.places.is_empty() || blob.unsure {
                    lost.push(*id);
                }
            }
        }
        lost
    }
}
