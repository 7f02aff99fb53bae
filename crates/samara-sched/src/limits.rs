use core::time::Duration;

/// Bounds of a [`Scheduler`](crate::Scheduler). Spec: RFC 0007, section "Limits".
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a plain set of numbers with defaults")]
pub struct SchedulerLimits {
    /// Wants that may be open at once.
    pub wants_max: usize,
    /// Smallest window of a source. Unit: bytes.
    pub window_bytes_min: u64,
    /// Window of a source of which nothing is known yet. Unit: bytes.
    pub window_bytes_start: u64,
    /// Largest window of a source: with a hundred such sources this bounds memory. Unit: bytes.
    pub window_bytes_max: u64,
    /// Largest request. Unit: bytes.
    pub piece_bytes_max: u64,
    /// Runs of known ranges named in a request.
    pub known_runs_max: usize,
    /// Proven lies after which a source is asked for nothing more.
    pub lies_max: u32,
    /// Least silence that counts as a stall.
    pub stall_min: Duration,
    /// How soon a source is asked again for what it said it does not hold.
    pub lack_retry: Duration,
    /// How soon a source is asked again for what it said is damaged, or for a blob it refused.
    pub refusal_retry: Duration,
}

impl Default for SchedulerLimits {
    fn default() -> Self {
        Self {
            wants_max: 65_536,
            window_bytes_min: 64 << 10,
            window_bytes_start: 512 << 10,
            window_bytes_max: 8 << 20,
            piece_bytes_max: 1 << 20,
            known_runs_max: 64,
            lies_max: 3,
            stall_min: Duration::from_secs(3),
            lack_retry: Duration::from_secs(2),
            refusal_retry: Duration::from_secs(15),
        }
    }
}
