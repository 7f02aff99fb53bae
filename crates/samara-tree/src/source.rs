use core::fmt;

use crate::Cv;

/// Where a stored outboard is read from: one chaining value per 16 KiB group, in order.
///
/// A blob that fits one 16 KiB group has no outboard and its source is never read.
pub trait CvSource {
    /// Why a read failed.
    type Error;

    /// Fills `out` with the values of the groups from `first_group` on.
    ///
    /// # Errors
    ///
    /// Whatever the store says; passed through unchanged. A read past the end of what is stored
    /// must be an error, since a wrong size may ask for it.
    fn read_cvs(&self, first_group: u64, out: &mut [Cv]) -> Result<(), Self::Error>;
}

impl<S: CvSource + ?Sized> CvSource for &S {
    type Error = S::Error;

    fn read_cvs(&self, first_group: u64, out: &mut [Cv]) -> Result<(), Self::Error> {
        (**self).read_cvs(first_group, out)
    }
}

/// An outboard in memory.
impl CvSource for [Cv] {
    type Error = OutboardTooShort;

    fn read_cvs(&self, first_group: u64, out: &mut [Cv]) -> Result<(), Self::Error> {
        let error = OutboardTooShort { cvs: self.len(), first_group };
        let from = usize::try_from(first_group).map_err(|_| error)?;
        let end = from.checked_add(out.len()).ok_or(error)?;
        out.copy_from_slice(self.get(from..end).ok_or(error)?);
        Ok(())
    }
}

/// An outboard in memory has fewer values than the size of the blob says. Give the right size, or
/// the whole outboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboardTooShort {
    /// Values that there are.
    pub cvs: usize,
    /// Group at which the failed read began.
    pub first_group: u64,
}

impl fmt::Display for OutboardTooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the outboard has {} values, group {} needs more", self.cvs, self.first_group)
    }
}

impl core::error::Error for OutboardTooShort {}
