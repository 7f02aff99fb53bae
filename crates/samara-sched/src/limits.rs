use core::time::Duration;

// registry transfer-limits: begin
pub(crate) const WANTS_MAX: usize = 65_536;
pub(crate) const WINDOW_BYTES_MIN: u64 = 64 << 10;
pub(crate) const WINDOW_BYTES_START: u64 = 512 << 10;
pub(crate) const WINDOW_BYTES_MAX: u64 = 8 << 20;
pub(crate) const PIECE_BYTES_MAX: u64 = 1 << 20;
pub(crate) const KNOWN_RUNS_MAX: usize = 64;
pub(crate) const STALL_MIN: Duration = Duration::from_secs(3);
pub(crate) const STALL_PAUSE_MIN: Duration = Duration::from_secs(15);
pub(crate) const STALL_PAUSE_MAX: Duration = Duration::from_secs(120);
pub(crate) const LACK_RETRY: Duration = Duration::from_secs(2);
pub(crate) const REFUSAL_RETRY: Duration = Duration::from_secs(15);
pub(crate) const LIES_MAX: u32 = 3;
pub(crate) const LIARS_MAX: usize = 4096;
// registry transfer-limits: end

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
            wants_max: WANTS_MAX,
            window_bytes_min: WINDOW_BYTES_MIN,
            window_bytes_start: WINDOW_BYTES_START,
            window_bytes_max: WINDOW_BYTES_MAX,
            piece_bytes_max: PIECE_BYTES_MAX,
            known_runs_max: KNOWN_RUNS_MAX,
            lies_max: LIES_MAX,
            stall_min: STALL_MIN,
            lack_retry: LACK_RETRY,
            refusal_retry: REFUSAL_RETRY,
        }
    }
}
