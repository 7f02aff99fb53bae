use alloc::vec::Vec;
use core::{fmt, time::Duration};

use samara_base::{BlobId, Class, GroupLog2, Instant, PeerId, RangeSet, leaves};

use crate::{
    request::RequestId,
    verdict::{Blame, Fault, Waiting},
};

/// One past the largest leaf of any blob.
const LEAVES_END: u64 = leaves(u64::MAX);

/// Names a want, within one [`Scheduler`](crate::Scheduler). Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "an opaque number")]
pub struct WantId(pub u64);

impl fmt::Debug for WantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "want{}", self.0)
    }
}

/// What is wanted, from whom, and for how long. Spec: RFC 0007, section "Wants".
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "callers fill it in")]
pub struct WantSpec {
    /// The blob.
    pub blob: BlobId,
    /// What the caller believes of the size; a hint, proven by the transfer. Unit: bytes.
    pub size: Option<u64>,
    /// Which leaves are wanted; `None` for all.
    pub ranges: Option<RangeSet>,
    /// Leaves already held and proven.
    pub held: RangeSet,
    /// Leaves of `held` whose proofs need not be sent again.
    pub known: RangeSet,
    /// Urgency.
    pub class: Class,
    /// Largest unit of proof; smaller ones are used where ranges are not aligned to it.
    pub group: GroupLog2,
    /// Peers to ask.
    pub sources: Vec<PeerId>,
    /// Refuse a blob above this size. Unit: bytes.
    pub size_max: u64,
    /// End with `Expired` at this time, whatever the progress.
    pub deadline: Option<Instant>,
    /// End after so long without a reachable source; `None` waits for ever.
    pub patience: Option<Duration>,
    /// End after so long when every source has said that it cannot deliver what is missing.
    pub grace: Duration,
}

impl WantSpec {
    /// A want for a whole blob with the defaults: bulk class, 64 KiB groups, no size limit, no
    /// deadline, endless patience, no grace.
    #[must_use]
    pub fn new(blob: BlobId, sources: impl IntoIterator<Item = PeerId>) -> Self {
        Self {
            blob,
            size: None,
            ranges: None,
            held: RangeSet::new(),
            known: RangeSet::new(),
            class: Class::Bulk,
            group: GroupLog2::KIB64,
            sources: sources.into_iter().collect(),
            size_max: u64::MAX,
            deadline: None,
            patience: None,
            grace: Duration::ZERO,
        }
    }
}

/// Why a want was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WantError {
    /// Too many wants are open; try again when one has ended.
    TooMany {
        /// The limit.
        max: usize,
    },
}

impl fmt::Display for WantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { max } => {
                write!(f, "{max} transfers are open already; wait until one ends")
            }
        }
    }
}

impl core::error::Error for WantError {}

/// What we know of one peer with respect to one want.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Leaves that the peer said it holds; `None` until it has said.
    pub(crate) held: Option<RangeSet>,
    /// Leaves that the peer failed to deliver; asked again at `retry`.
    pub(crate) lacks: RangeSet,
    /// Leaves that it did not deliver in large groups, to be asked for in the smallest that an
    /// outboard has.
    pub(crate) fine: RangeSet,
    /// It found some of `fine` damaged; when asked again, it may merely say that it lacks them.
    pub(crate) damaged: bool,
    /// Leaves of which it sent false bytes; never asked again.
    pub(crate) bad: RangeSet,
    pub(crate) fault: Option<Fault>,
    /// The peer may be asked again from here on.
    pub(crate) retry: Option<Instant>,
    /// It is busy until `retry`, which is not a fault.
    pub(crate) busy: bool,
    /// The size that it claims.
    pub(crate) size: Option<u64>,
    /// It lied about this blob: never asked again.
    pub(crate) muted: bool,
    /// Bytes accepted from it.
    pub(crate) bytes: u64,
}

impl Standing {
    /// Whether the peer has said that it serves nothing of the blob for now.
    const fn refuses(&self) -> bool {
        self.muted || (self.retry.is_some() && !self.busy && self.lacks.is_empty())
    }

    /// Out of `leaves`, what the peer is not known to lack.
    pub(crate) fn claims(&self, leaves: &RangeSet) -> RangeSet {
        match &self.held {
            Some(held) => leaves.intersection(held).difference(&self.lacks).difference(&self.bad),
            None if self.lacks.is_empty() && self.bad.is_empty() => leaves.clone(),
            None => leaves.difference(&self.lacks).difference(&self.bad),
        }
    }

    /// Whether the peer has said, one way or the other, that it cannot deliver any of `leaves`.
    pub(crate) fn cannot(&self, leaves: &RangeSet) -> bool {
        self.refuses() || self.claims(leaves).is_empty()
    }

    /// Out of `leaves`, what the peer may be asked for now.
    pub(crate) fn offers(&self, leaves: &RangeSet) -> RangeSet {
        if self.refuses() || self.busy { RangeSet::new() } else { self.claims(leaves) }
    }
}

/// Standings by peer, sorted: a want has few sources, and there are many small wants.
#[derive(Debug, Default)]
pub(crate) struct Standings(Vec<(PeerId, Standing)>);

impl Standings {
    fn find(&self, peer: &PeerId) -> Result<usize, usize> {
        self.0.binary_search_by(|(found, _)| found.cmp(peer))
    }

    /// A peer without a standing gets one; of those that have one nothing changes.
    pub(crate) fn add(&mut self, peer: PeerId) {
        if let Err(at) = self.find(&peer) {
            self.0.insert(at, (peer, Standing::default()));
        }
    }

    pub(crate) fn get(&self, peer: &PeerId) -> Option<&Standing> {
        let at = self.find(peer).ok()?;
        self.0.get(at).map(|(_, standing)| standing)
    }

    pub(crate) fn get_mut(&mut self, peer: &PeerId) -> Option<&mut Standing> {
        let at = self.find(peer).ok()?;
        self.0.get_mut(at).map(|(_, standing)| standing)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Standing)> {
        self.0.iter().map(|(peer, standing)| (peer, standing))
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Standing> {
        self.0.iter_mut().map(|(_, standing)| standing)
    }
}

/// What has to be held for a want to be complete, if the blob is of this size. What lies beyond the
/// end is not there to be had, but that must be proven: by the last leaf.
fn demand(spec: &WantSpec, size: Option<u64>) -> RangeSet {
    let all = || RangeSet::from(0..LEAVES_END);
    let wanted = spec.ranges.as_ref().map_or_else(all, |ranges| ranges.within(&(0..LEAVES_END)));
    let Some(end) = size.map(leaves) else { return wanted };
    let mut demand = wanted.within(&(0..end));
    if wanted.end() > end {
        demand.insert(end - 1..end);
    }
    demand
}

/// A want that has not ended.
#[derive(Debug)]
pub(crate) struct Want {
    pub(crate) spec: WantSpec,
    /// Believed size; the claim of `size_from` until proven.
    pub(crate) size: Option<u64>,
    pub(crate) size_proven: bool,
    pub(crate) size_from: Option<PeerId>,
    /// Wanted and not accepted.
    pub(crate) missing: RangeSet,
    /// The part of `missing` that is in a request.
    pub(crate) assigned: RangeSet,
    pub(crate) known: RangeSet,
    pub(crate) standings: Standings,
    pub(crate) waiting: Option<Waiting>,
    /// Last time that a source was reachable or bytes were accepted.
    pub(crate) reachable: Instant,
    /// When something of it came last, or when, with nothing in flight, it was asked for.
    pub(crate) heard: Instant,
    /// Since when every source has said that it cannot deliver.
    pub(crate) hopeless: Option<Instant>,
    /// Requests in flight, those included that wait for verification alone.
    pub(crate) requests: Vec<RequestId>,
    /// A source claimed a size above the limit.
    pub(crate) too_large: Option<u64>,
}

impl Want {
    pub(crate) fn new(spec: WantSpec, now: Instant) -> Self {
        let missing = demand(&spec, spec.size).difference(&spec.held);
        let mut standings = Standings(Vec::with_capacity(spec.sources.len()));
        for peer in &spec.sources {
            standings.add(*peer);
        }
        let known = spec.known.clone();
        Self {
            size: spec.size,
            spec,
            size_proven: false,
            size_from: None,
            missing,
            assigned: RangeSet::new(),
            known,
            standings,
            waiting: None,
            reachable: now,
            heard: now,
            hopeless: None,
            requests: Vec::new(),
            too_large: None,
        }
    }

    /// Believed number of leaves.
    pub(crate) fn leaves(&self) -> u64 {
        self.size.map_or(LEAVES_END, leaves)
    }

    /// Takes a new belief about the size: what lies beyond the end is wanted no longer.
    pub(crate) fn set_size(&mut self, size: u64, from: PeerId) {
        let demand = demand(&self.spec, Some(size));
        self.missing = if self.size.is_some_and(|old| old < size) {
            // A smaller claim had cut the end off: bring it back.
            let beyond = demand.within(&(self.leaves()..leaves(size)));
            self.missing.intersection(&demand).union(&beyond)
        } else {
            let last = demand.within(&(leaves(size) - 1..leaves(size)));
            self.missing.intersection(&demand).union(&last.difference(&self.known))
        };
        self.size = Some(size);
        self.size_from = Some(from);
    }

    /// Starts over: what was proven under a false size is proven under no size.
    pub(crate) fn forget_size(&mut self) {
        self.missing = demand(&self.spec, None);
        self.known = RangeSet::new();
        self.size = None;
        self.size_from = None;
    }

    /// Missing, and in no request.
    pub(crate) fn unassigned(&self) -> RangeSet {
        self.missing.difference(&self.assigned)
    }

    /// Who failed to deliver what.
    pub(crate) fn blames(&self) -> Vec<Blame> {
        let blame = |(peer, standing): (&PeerId, &Standing)| {
            let fault = match standing.fault {
                Some(fault) => fault,
                None if standing.held.is_some() => Fault::NotHeld,
                None => return None,
            };
            let failed = standing.lacks.union(&standing.bad).within(&(0..self.leaves()));
            let ranges = match &standing.held {
                _ if !failed.is_empty() => failed.intersection(&self.missing),
                Some(held) => self.missing.difference(held),
                None => RangeSet::new(),
            };
            Some(Blame { peer: *peer, fault, ranges })
        };
        self.standings.iter().filter_map(blame).collect()
    }
}
