//! What an input may cost in memory, counted by the allocator itself.

use peak_alloc::PeakAlloc;

#[global_allocator]
static COUNTING: PeakAlloc = PeakAlloc;

/// A function of the crates' `fuzzing` modules, and what it may cost.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// `wire_varint`.
    pub name: &'static str,
    /// What looks at an input.
    pub function: fn(&[u8]),
    /// Bytes that may be live at once per byte of input.
    pub times: usize,
    /// Bytes that may be live at once beside that.
    pub plus: usize,
}

impl Target {
    /// Bytes that an input of this length may take at once.
    #[must_use]
    pub const fn bytes_max(&self, len: usize) -> usize {
        self.times * len + self.plus
    }

    /// Looks at an input and returns the bytes that were live at once, at most. Nothing else may
    /// run meanwhile.
    ///
    /// # Panics
    ///
    /// If a property does not hold, or the input took more than `times * len + plus` bytes.
    pub fn run(&self, data: &[u8]) -> usize {
        let before = COUNTING.current_usage();
        COUNTING.reset_peak_usage();
        (self.function)(data);
        let bytes = COUNTING.peak_usage().saturating_sub(before);
        let bytes_max = self.bytes_max(data.len());
        assert!(
            bytes <= bytes_max,
            "{} took {bytes} bytes at once for an input of {}; allowed are {bytes_max}",
            self.name,
            data.len(),
        );
        bytes
    }
}
