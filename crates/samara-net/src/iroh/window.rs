//! How much a peer may have under way: as much as the path needs, and no more.
//!
//! A window that is too small caps a long path; one that is too large fills every queue between
//! the disk of the sender and that of the receiver, which costs memory, cache and the latency of
//! whatever comes next. So a link starts with a window that suits a LAN, and the receiver widens
//! it when what arrives in one round trip comes near to it.

use core::time::Duration;

use tokio::time::Instant;

/// Arrivals are looked at no more often than this.
const SPAN_MIN: Duration = Duration::from_millis(5);

/// The shortest round trip seen counts for this long, then for as long again.
const EPOCH: Duration = Duration::from_secs(10);

/// Decides on one link's receive window.
#[derive(Debug)]
pub(super) struct Window {
    /// Unit: bytes.
    current: u64,
    /// Unit: bytes.
    max: u64,
    since: Instant,
    /// Arrived since then. Unit: bytes.
    arrived: u64,
    epoch: Instant,
    rtt_before: Option<Duration>,
    rtt_now: Option<Duration>,
}

impl Window {
    pub(super) const fn new(initial: u64, max: u64, now: Instant) -> Self {
        let current = if initial < max { initial } else { max };
        Self { current, max, since: now, arrived: 0, epoch: now, rtt_before: None, rtt_now: None }
    }

    /// Takes note of what arrived. Returns the new window if it is to be widened. Unit: bytes.
    ///
    /// `rtt` is asked only when it is needed: it costs a lock.
    pub(super) fn arrived(
        &mut self,
        bytes: u64,
        now: Instant,
        rtt: impl FnOnce() -> Option<Duration>,
    ) -> Option<u64> {
        self.arrived = self.arrived.saturating_add(bytes);
        let span = now.saturating_duration_since(self.since);
        if self.current >= self.max || span < SPAN_MIN.max(self.rtt_now.unwrap_or_default()) {
            return None;
        }
        if now.saturating_duration_since(self.epoch) >= EPOCH {
            self.rtt_before = self.rtt_now.take();
            self.epoch = now;
        }
        self.rtt_now = match (self.rtt_now, rtt()) {
            (Some(known), Some(new)) => Some(known.min(new)),
            (known, new) => known.or(new),
        };
        let rtt = match (self.rtt_before, self.rtt_now) {
            (Some(before), Some(now)) => Some(before.min(now)),
            (before, now) => before.or(now),
        };
        let arrived = core::mem::take(&mut self.arrived);
        self.since = now;
        let in_a_round_trip =
            u128::from(arrived).checked_mul(rtt?.as_micros())? / span.as_micros().max(1);
        // Twice what is used leaves room to double, as slow start does.
        let want = u64::try_from(in_a_round_trip).unwrap_or(u64::MAX).saturating_mul(2);
        let widen = want > self.current;
        if widen {
            self.current = want.min(self.max);
        }
        widen.then_some(self.current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Feeds `rate` bytes per second with this round-trip time for a while; the window at the end.
    fn settle(rate: u64, rtt: Duration) -> u64 {
        let mut now = Instant::now();
        let mut window = Window::new(2 * MIB, 10 * MIB, now);
        let mut current = 2 * MIB;
        for _ in 0..2_000 {
            now += Duration::from_millis(10);
            // No more than the window comes in a round trip.
            let cap = u128::from(current) * 10_000 / rtt.as_micros().max(1);
            let bytes = (rate / 100).min(u64::try_from(cap).unwrap());
            current = window.arrived(bytes, now, || Some(rtt)).unwrap_or(current);
        }
        current
    }

    #[tokio::test]
    async fn a_lan_keeps_the_first_window() {
        assert_eq!(settle(1_000_000_000, Duration::from_micros(300)), 2 * MIB);
        assert_eq!(settle(1_000_000, Duration::from_millis(200)), 2 * MIB);
    }

    #[tokio::test]
    async fn a_long_fat_path_gets_what_it_needs() {
        let window = settle(40_000_000, Duration::from_millis(100));
        assert!((4_000_000..=9_000_000).contains(&window), "{window}");
        assert_eq!(settle(1_000_000_000, Duration::from_millis(100)), 10 * MIB);
    }

    #[tokio::test]
    async fn a_queue_that_fills_widens_nothing() {
        // The round trip grows with the queue, the shortest one counts.
        let mut now = Instant::now();
        let mut window = Window::new(2 * MIB, 10 * MIB, now);
        for step in 0_u64..500 {
            now += Duration::from_millis(10);
            let rtt = Duration::from_micros(300 + step * 20);
            assert_eq!(window.arrived(5 * MIB, now, || Some(rtt)), None, "at step {step}");
        }
    }
}
