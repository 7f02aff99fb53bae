use core::{fmt, ops, time::Duration};

/// A point on a monotone clock that the caller owns. Unit: microseconds since an origin that only
/// the caller knows.
///
/// Protocol code never reads a clock: instants come in as arguments, so the same code runs under
/// the real clock, in the simulator and in the fuzzer.
///
/// ```
/// use core::time::Duration;
/// use samara_base::Instant;
///
/// let start = Instant::from_micros(5);
/// let later = start + Duration::from_millis(2);
/// assert_eq!(later.saturating_since(start), Duration::from_millis(2));
/// assert_eq!(start.saturating_since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    micros: u64,
}

impl Instant {
    /// The origin of the caller's clock.
    pub const ZERO: Self = Self { micros: 0 };

    /// The instant `micros` microseconds after the origin.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self { micros }
    }

    /// Microseconds since the origin.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.micros
    }

    /// Time passed since `earlier`; zero if `earlier` is not earlier.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.micros.saturating_sub(earlier.micros))
    }
}

impl ops::Add<Duration> for Instant {
    type Output = Self;

    /// Adds, saturating at the end of the clock (584,000 years).
    fn add(self, rhs: Duration) -> Self {
        let micros = u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX);
        Self { micros: self.micros.saturating_add(micros) }
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.micros / 1_000_000, self.micros % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn addition_saturates_instead_of_wrapping() {
        assert_eq!(Instant::from_micros(3) + Duration::MAX, Instant::from_micros(u64::MAX));
    }

    #[test]
    fn debug_prints_seconds() {
        assert_eq!(std::format!("{:?}", Instant::from_micros(1_000_002)), "1.000002s");
    }
}
