//! Where the values of a partial blob's groups are kept.

use std::sync::Arc;

use samara_base::BlobId;
use samara_tree::{Cv, CvSource, Tree};

use crate::{
    disk::{File, Open, join},
    error::StoreError,
    inner::Inner,
    journal::Journal,
    outboard::{ReadValues, StoredOutboard, cvs_of},
    partial::partial_path,
};

/// Outboards of up to this many values are kept in memory and in the index; longer ones have files.
pub(crate) const MEMORY_CVS_MAX: u64 = 64;
/// Length of the header of an outboard file. Unit: bytes.
const OB_HEADER_LEN: usize = 64;
const OB_MAGIC: &[u8; 8] = b"SamaraOb";

/// Where the values of the groups that are held are kept.
#[derive(Debug)]
pub(crate) enum Cvs {
    Memory(Vec<Cv>),
    File {
        file: Arc<dyn File>,
        journal: Journal,
    },
    /// The blob was complete once: its outboard is in its final place.
    Stored(StoredOutboard),
}

impl Cvs {
    /// For a receive that starts or goes on. A size that is only claimed costs nothing: memory is
    /// bounded, and a file has holes.
    pub(crate) fn open(inner: &Inner, id: BlobId, tree: Tree) -> Result<Self, StoreError> {
        let count = tree.stored_cvs();
        if count <= MEMORY_CVS_MAX {
            let count = usize::try_from(count).unwrap_or_default();
            return Ok(Self::Memory(vec![Cv::default(); count]));
        }
        let open = |ending| {
            let path = partial_path(id, ending);
            inner.open_own(&path, Open::Create { mode: 0o600 })
        };
        let (file, even, odd) = (open("ob")?, open("j0")?, open("j1")?);
        let path = join(inner.dir.path(), &partial_path(id, "ob"));
        let meta = file.meta().map_err(|error| StoreError::io("stat", &path, error))?;
        if meta.size == 0 {
            let mut header = [0; OB_HEADER_LEN];
            let fields = [OB_MAGIC, tree.size().to_le_bytes().as_slice(), id.as_bytes()].concat();
            if let Some(place) = header.get_mut(..fields.len()) {
                place.copy_from_slice(&fields);
            }
            file.write_at(&header, 0).map_err(|error| StoreError::io("write", &path, error))?;
        }
        // Their names are synced by the first checkpoint, before the row that needs them.
        Ok(Self::File { file, journal: Journal::new([even, odd]) })
    }

    pub(crate) fn write(&mut self, values: &[(u64, Cv)]) -> Result<(), StoreError> {
        match self {
            Self::Memory(cvs) => {
                for (at, cv) in values {
                    let place = usize::try_from(*at).ok().and_then(|at| cvs.get_mut(at));
                    if let Some(place) = place {
                        *place = *cv;
                    }
                }
                Ok(())
            }
            Self::File { file, .. } => {
                for run in values.chunk_by(|(a, _), (b, _)| a + 1 == *b) {
                    let Some((first, _)) = run.first() else { continue };
                    let bytes: Vec<u8> = run.iter().flat_map(|(_, cv)| cv.0).collect();
                    let at =
                        first.saturating_mul(Cv::LEN as u64).saturating_add(OB_HEADER_LEN as u64);
                    file.write_at(&bytes, at)
                        .map_err(|error| StoreError::io("write", "partial outboard", error))?;
                }
                Ok(())
            }
            Self::Stored(_) => Ok(()),
        }
    }
}

impl CvSource for Cvs {
    type Error = StoreError;

    fn read_cvs(&self, first_group: u64, out: &mut [Cv]) -> Result<(), StoreError> {
        self.read_values(first_group, out).map(drop)
    }
}

impl ReadValues for Cvs {
    fn read_values(&self, first_group: u64, out: &mut [Cv]) -> Result<bool, StoreError> {
        match self {
            Self::Memory(cvs) => {
                let read = cvs.as_slice().read_cvs(first_group, out);
                read.map(|()| true).map_err(StoreError::corrupt)
            }
            Self::File { file, .. } => {
                let mut bytes = vec![0; out.len() * Cv::LEN];
                let at =
                    first_group.saturating_mul(Cv::LEN as u64).saturating_add(OB_HEADER_LEN as u64);
                let found = file
                    .read_at(&mut bytes, at)
                    .map_err(|error| StoreError::io("read", "partial outboard", error))?;
                cvs_of(&bytes, out);
                Ok(found == bytes.len())
            }
            Self::Stored(stored) => stored.read_values(first_group, out),
        }
    }
}

/// Stored values under newer ones.
pub(crate) struct Overlaid<'a> {
    pub(crate) cvs: &'a Cvs,
    pub(crate) values: &'a [(u64, Cv)],
}

impl CvSource for Overlaid<'_> {
    type Error = StoreError;

    fn read_cvs(&self, first_group: u64, out: &mut [Cv]) -> Result<(), StoreError> {
        self.cvs.read_cvs(first_group, out)?;
        for (at, cv) in self.values {
            let place = at.checked_sub(first_group).and_then(|at| usize::try_from(at).ok());
            if let Some(place) = place.and_then(|at| out.get_mut(at)) {
                *place = *cv;
            }
        }
        Ok(())
    }
}
