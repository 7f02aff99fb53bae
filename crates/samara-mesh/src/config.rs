use core::time::Duration;

use alloc::string::String;
use samara_base::{GroupLog2, LEAF_BYTES};
use samara_sched::SchedulerLimits;
use samara_wire::PROOF_MAX;

// registry session-limits: begin
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
const RIGHTS_MAX: usize = 64;
const WANTS_PER_SESSION_MAX: usize = 1024;
const CREDIT_BYTES: u64 = 16 << 20;
const CREDIT_BYTES_MIN: u64 = 9 << 10;
const READ_AHEAD_BYTES: u64 = 1 << 20;
const QUEUE_BYTES: u64 = 512 << 10;
const BLOCK_BYTES_MAX: u64 = 256 << 10;
// registry session-limits: end

/// Bounds and choices of a [`Mesh`](crate::Mesh). Spec: RFC 0005 and 0007, sections "Limits".
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a plain set of numbers with defaults")]
pub struct MeshConfig {
    /// What we call ourselves to peers. Unit: at most 64 bytes.
    pub agent: String,
    /// Bulk bytes that a peer may send ahead of what we have stored. Unit: bytes; less than 9 KiB
    /// counts as 9 KiB, which is one leaf with the longest proof. Groups are asked for no larger than
    /// this allows.
    pub credit_bytes: u64,
    /// Wants that a peer may have open with us.
    pub wants_per_session_max: usize,
    /// Blocks read ahead of a link. Unit: bytes.
    pub read_ahead_bytes: u64,
    /// Frames handed to a link and not yet taken by it. Unit: bytes, per link.
    pub queue_bytes: u64,
    /// Largest DATA frame. Unit: bytes of data.
    pub block_bytes_max: u64,
    /// Rights that a peer may present in one session.
    pub rights_max: usize,
    /// A session that is not open after this time is closed.
    pub hello_timeout: Duration,
    /// How often the round-trip time is measured while data flows.
    pub ping_interval: Duration,
    /// First and largest pause between two attempts to reach a peer.
    pub dial_pause: (Duration, Duration),
    /// Bounds of the transfer engine.
    pub scheduler: SchedulerLimits,
}

impl MeshConfig {
    /// The credit that is granted at once. Unit: bytes.
    pub(crate) fn credit_window(&self) -> u64 {
        self.credit_bytes.max(CREDIT_BYTES_MIN)
    }

    /// The largest unit of proof not above `group` that may be asked for.
    //= rfcs/0005-session.md#sess-15
    //# A getter MUST NOT ask in groups that are, with the longest proof, larger than its first
    //# credit.
    pub(crate) fn group_max(&self, group: GroupLog2) -> GroupLog2 {
        let room = self.credit_window() - PROOF_MAX as u64;
        let fits = (room / LEAF_BYTES).max(1).ilog2();
        let fits = u8::try_from(fits).unwrap_or(u8::MAX).min(group.get());
        GroupLog2::new(fits).unwrap_or(group)
    }
}

// The least credit is worth one leaf.
const _: () = assert!(CREDIT_BYTES_MIN == LEAF_BYTES + PROOF_MAX as u64);

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            agent: String::from(concat!("samara/", env!("CARGO_PKG_VERSION"))),
            credit_bytes: CREDIT_BYTES,
            wants_per_session_max: WANTS_PER_SESSION_MAX,
            read_ahead_bytes: READ_AHEAD_BYTES,
            queue_bytes: QUEUE_BYTES,
            block_bytes_max: BLOCK_BYTES_MAX,
            rights_max: RIGHTS_MAX,
            hello_timeout: HELLO_TIMEOUT,
            ping_interval: Duration::from_secs(5),
            dial_pause: (Duration::from_millis(250), Duration::from_secs(5)),
            scheduler: SchedulerLimits::default(),
        }
    }
}
