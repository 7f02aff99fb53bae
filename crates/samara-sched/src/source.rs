use core::time::Duration;

use samara_base::{Instant, PeerId};

use crate::limits::{STALL_PAUSE_MAX, STALL_PAUSE_MIN, SchedulerLimits};

/// Least span over which a rate is measured; shorter ones measure the batching, not the link.
const RATE_SPAN: Duration = Duration::from_millis(20);
/// After so long few bytes are a measurement too: the link is slow.
const RATE_SPAN_SLOW: Duration = Duration::from_secs(1);

/// A live session with a peer, and what was measured of it.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) peer: PeerId,
    /// Requests that the peer allows at once.
    pub(crate) requests_max: usize,
    pub(crate) requests: usize,
    /// Bytes requested and not yet accepted.
    pub(crate) in_flight: u64,
    /// Bound on `in_flight`.
    pub(crate) window: u64,
    /// Smoothed rate. Unit: bytes per second; 0 until measured.
    pub(crate) rate: u64,
    pub(crate) rtt: Option<Duration>,
    /// Last time that anything arrived or a request was sent into an empty pipe.
    pub(crate) alive: Instant,
    pub(crate) stalled: bool,
    /// When to try it again after it stalled, and how long after the next time.
    retry: Instant,
    pause: Duration,
    span_start: Instant,
    span_bytes: u64,
    /// Whether the window was the limit in this span.
    limited: bool,
}

impl Source {
    pub(crate) fn new(
        peer: PeerId,
        requests_max: usize,
        now: Instant,
        limits: &SchedulerLimits,
    ) -> Self {
        Self {
            peer,
            requests_max,
            requests: 0,
            in_flight: 0,
            window: limits.window_bytes_start,
            rate: 0,
            rtt: None,
            alive: now,
            stalled: false,
            retry: now,
            pause: STALL_PAUSE_MIN,
            span_start: now,
            span_bytes: 0,
            limited: false,
        }
    }

    /// Bytes that may still be requested. Notes that the window was the limit when there are none.
    pub(crate) fn room(&mut self) -> u64 {
        let room = self.window.saturating_sub(self.in_flight);
        self.limited |= room == 0;
        if self.requests >= self.requests_max || self.stalled { 0 } else { room }
    }

    pub(crate) fn sent(&mut self, bytes: u64, now: Instant) {
        if self.in_flight == 0 {
            self.alive = now;
            self.span_start = now;
            self.span_bytes = 0;
        }
        self.in_flight += bytes;
        self.requests += 1;
    }

    /// Bytes have come in, proven or not.
    //= rfcs/0007-transfer.md#xfer-8
    //# A getter MUST bound the bytes that it has requested from a source and not yet accepted by a window derived from the rate measured on that source.
    pub(crate) fn arrived(&mut self, bytes: u64, now: Instant, limits: &SchedulerLimits) {
        self.stalled = false;
        self.pause = STALL_PAUSE_MIN;
        self.measure(bytes, now, limits);
    }

    /// Measures what has come in late as well: it says how fast the link is, not that the source is in
    /// time.
    pub(crate) fn measure(&mut self, bytes: u64, now: Instant, limits: &SchedulerLimits) {
        self.alive = now;
        self.span_bytes += bytes;
        let span = now.saturating_since(self.span_start);
        if span < RATE_SPAN || (self.span_bytes < self.window / 4 && span < RATE_SPAN_SLOW) {
            return;
        }
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1);
        let rate = u64::try_from(u128::from(self.span_bytes) * 1_000_000 / u128::from(micros))
            .unwrap_or(u64::MAX);
        self.rate =
            if self.rate == 0 { rate } else { (3 * (self.rate / 4)).saturating_add(rate / 4) };
        self.span_start = now;
        self.span_bytes = 0;
        // Keep a quarter of a second in the pipe, or four round trips on long paths; grow at most
        // twofold per span, so that one burst cannot inflate the window.
        let depth = self.rtt.map_or(250_000, |rtt| {
            u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX).saturating_mul(4).max(250_000)
        });
        let target = u128::from(self.rate) * u128::from(depth) / 1_000_000;
        let target = u64::try_from(target).unwrap_or(u64::MAX);
        if target < self.window {
            self.window = target.max(limits.window_bytes_min);
        } else if core::mem::take(&mut self.limited) {
            self.window = target.min(self.window.saturating_mul(2)).min(limits.window_bytes_max);
        }
    }

    /// It was silent for too long.
    pub(crate) fn stall(&mut self, now: Instant) {
        self.stalled = true;
        self.retry = now + self.pause;
        self.pause = (self.pause * 2).min(STALL_PAUSE_MAX);
    }

    /// Tries it again, carefully, if it stalled long ago or `idle`, which is: nothing is asked of
    /// anybody. Nothing may be asked of it.
    pub(crate) fn try_again(&mut self, now: Instant, idle: bool, limits: &SchedulerLimits) {
        if idle || now >= self.retry {
            self.stalled = false;
            self.window = limits.window_bytes_min;
        }
    }

    /// When silence becomes a stall: from the measured rate, with a floor.
    //= rfcs/0007-transfer.md#xfer-9
    //# A getter MUST derive the time after which a silent source counts as stalled from the rate and round-trip time measured on it, with a floor.
    pub(crate) fn stall_at(&self, limits: &SchedulerLimits) -> Option<Instant> {
        let waits = self.in_flight > 0 && !self.stalled;
        waits.then(|| self.alive + self.patience(limits))
    }

    /// How long it may be silent, given what it was asked for.
    pub(crate) fn patience(&self, limits: &SchedulerLimits) -> Duration {
        let drain = self.in_flight.saturating_mul(1_000_000).checked_div(self.rate).unwrap_or(0);
        Duration::from_micros(drain.saturating_mul(2))
            .saturating_add(self.rtt.unwrap_or_default().saturating_mul(8))
            .max(limits.stall_min)
    }
}
