use core::convert::Infallible;

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
    /// Whatever the store says; passed through unchanged.
    fn read_cvs(&self, first_group: u64, out: &mut [Cv]) -> Result<(), Self::Error>;
}

impl<S: CvSource + ?Sized> CvSource for &S {
    type Error = S::Error;

    fn read_cvs(&self, first_group: u64, out: &mut [Cv]) -> Result<(), Self::Error> {
        (**self).read_cvs(first_group, out)
    }
}

/// An outboard in memory. Values past its end read as zeros, which then fail to verify.
impl CvSource for [Cv] {
    type Error = Infallible;

    fn read_cvs(&self, first_group: u64, out: &mut [Cv]) -> Result<(), Self::Error> {
        let from = usize::try_from(first_group).unwrap_or(usize::MAX).min(self.len());
        let mut stored = self.iter().skip(from);
        out.fill_with(|| stored.next().copied().unwrap_or_default());
        Ok(())
    }
}
