use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use core::{ops::Range, time::Duration};

use samara_base::{Class, GroupLog2, Instant, LEAF_BYTES, PeerId, RangeSet};

use crate::{
    limits::SchedulerLimits,
    request::{EndCause, InFlight, Request, RequestId, SourceId},
    source::Source,
    verdict::{Blame, Fault, Verdict, Waiting},
    want::{Standing, Want, WantError, WantId, WantSpec},
};

/// Liars that are remembered.
const LIARS_MAX: usize = 4096;

/// How often time-outs and waiting reasons are looked at while something is open.
const TICK: Duration = Duration::from_millis(100);

/// What the scheduler wants done. Drain with [`Scheduler::poll_output`] after every call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Send this request.
    Request(Request),
    /// Tell the source that the rest of a request is no longer needed.
    Cancel {
        /// The request. It has ended for the scheduler; late data is not expected any more.
        request: RequestId,
        /// Its source.
        source: SourceId,
    },
    /// Tell whoever made the want.
    Event(Event),
}

/// What happened to a want.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The want makes no progress, and why; `None`: it goes on.
    Waiting {
        /// The want.
        want: WantId,
        /// The reason.
        reason: Option<Waiting>,
    },
    /// A source failed to deliver; the want goes on if others can.
    Blamed {
        /// The want.
        want: WantId,
        /// Who, what, why.
        blame: Blame,
    },
    /// The want has ended. The last event of every want.
    Ended {
        /// The want.
        want: WantId,
        /// How.
        verdict: Verdict,
    },
}

/// A snapshot of one source of a want.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceStatus {
    /// The peer.
    pub peer: PeerId,
    /// Whether a session with it is open.
    pub connected: bool,
    /// Bytes of this want accepted from it.
    pub bytes: u64,
    /// Rate measured on it, over all wants. Unit: bytes per second, 0 until measured.
    pub rate: u64,
}

/// A snapshot of a want that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WantStatus {
    /// Believed size. Unit: bytes.
    pub size: Option<u64>,
    /// Whether the size is proven.
    pub size_proven: bool,
    /// Not yet accepted. Unit: leaves.
    pub missing: RangeSet,
    /// Why nothing moves, if so.
    pub waiting: Option<Waiting>,
    /// The sources.
    pub sources: Vec<SourceStatus>,
}

/// The transfer engine. See the crate documentation.
///
/// Call any method, then drain [`poll_output`](Self::poll_output) to `None`, then wait until
/// [`poll_timeout`](Self::poll_timeout) or the next input. `now` never goes back.
#[derive(Debug)]
pub struct Scheduler {
    limits: SchedulerLimits,
    wants: BTreeMap<WantId, Want>,
    /// Wants with unassigned ranges, in the order in which they are served.
    ready: BTreeSet<(Class, WantId)>,
    sources: BTreeMap<SourceId, Source>,
    requests: BTreeMap<RequestId, InFlight>,
    outputs: VecDeque<Output>,
    /// Proven lies by peer; a new session does not wash them off.
    lies: BTreeMap<PeerId, u32>,
    ids: u64,
    tick: Option<Instant>,
}

impl Scheduler {
    /// An engine without wants and sources.
    #[must_use]
    pub const fn new(limits: SchedulerLimits) -> Self {
        Self {
            limits,
            wants: BTreeMap::new(),
            ready: BTreeSet::new(),
            sources: BTreeMap::new(),
            requests: BTreeMap::new(),
            outputs: VecDeque::new(),
            lies: BTreeMap::new(),
            ids: 0,
            tick: None,
        }
    }

    // Getters.

    /// How a want stands; `None` once it has ended.
    #[must_use]
    pub fn status(&self, want: WantId) -> Option<WantStatus> {
        let want = self.wants.get(&want)?;
        let source = |(peer, standing): (&PeerId, &Standing)| {
            let live = self.sources.values().filter(|source| source.peer == *peer);
            let rate = live.clone().map(|source| source.rate).sum();
            SourceStatus { peer: *peer, connected: live.count() > 0, bytes: standing.bytes, rate }
        };
        Some(WantStatus {
            size: want.size,
            size_proven: want.size_proven,
            missing: want.missing.clone(),
            waiting: want.waiting,
            sources: want.standings.iter().map(source).collect(),
        })
    }

    /// Peers that some want could use and that have no live source.
    pub fn wanted_peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        let mut peers = BTreeSet::new();
        for want in self.wants.values() {
            let useful = want.standings.iter().filter(|(_, standing)| !standing.muted);
            peers.extend(useful.map(|(peer, _)| *peer));
        }
        for source in self.sources.values() {
            peers.remove(&source.peer);
        }
        peers.into_iter()
    }

    /// Number of open wants.
    #[must_use]
    pub fn wants(&self) -> usize {
        self.wants.len()
    }

    /// The next time at which [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.tick
    }

    /// The next thing to do, if any.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    // Commands.

    /// Opens a want.
    ///
    /// # Errors
    ///
    /// [`WantError::TooMany`] above [`SchedulerLimits::wants_max`].
    pub fn want(&mut self, now: Instant, spec: WantSpec) -> Result<WantId, WantError> {
        if self.wants.len() >= self.limits.wants_max {
            return Err(WantError::TooMany { max: self.limits.wants_max });
        }
        let id = WantId(self.next_id());
        self.ready.insert((spec.class, id));
        self.wants.insert(id, Want::new(spec, now));
        self.complete_if_done(id);
        self.settle(now);
        Ok(id)
    }

    /// Ends a want. Nothing happens if it has ended already.
    //= rfcs/0007-transfer.md#xfer-12
    //# A getter MUST send CANCEL for each open request of a want that has ended before its data was sent.
    pub fn cancel(&mut self, now: Instant, want: WantId) {
        self.end(want, Verdict::Cancelled);
        self.settle(now);
    }

    /// Ends a want because our own side can't keep its bytes.
    pub fn fail_local(&mut self, now: Instant, want: WantId) {
        self.end(want, Verdict::Local);
        self.settle(now);
    }

    /// Adds a peer that may have the blob.
    pub fn add_source(&mut self, now: Instant, want: WantId, peer: PeerId) {
        if let Some(state) = self.wants.get_mut(&want) {
            state.standings.entry(peer).or_default();
            self.ready.insert((state.spec.class, want));
        }
        self.settle(now);
    }

    // Handlers.

    /// A session with a peer is open. `requests_max`: how many requests it allows at once.
    pub fn source_up(&mut self, now: Instant, source: SourceId, peer: PeerId, requests_max: usize) {
        self.sources.insert(source, Source::new(peer, requests_max, now, &self.limits));
        for (id, want) in &mut self.wants {
            if let Some(standing) = want.standings.get_mut(&peer) {
                // A new session is a new chance: the peer may have been restarted or mended.
                if !standing.muted {
                    standing.retry = None;
                    standing.busy = false;
                    standing.lacks = RangeSet::new();
                    standing.held = None;
                }
                self.ready.insert((want.spec.class, *id));
            }
        }
        self.settle(now);
    }

    /// A session is gone; what was asked of it is asked of others.
    pub fn source_down(&mut self, now: Instant, source: SourceId) {
        let requests: Vec<_> = self.requests_of(source).collect();
        for request in requests {
            self.give_back(request);
        }
        self.sources.remove(&source);
        self.settle(now);
    }

    /// A round-trip time was measured.
    pub fn measured_rtt(&mut self, source: SourceId, rtt: Duration) {
        if let Some(source) = self.sources.get_mut(&source) {
            source.rtt = Some(source.rtt.map_or(rtt, |known| known.min(rtt)));
        }
    }

    /// The source of a request says how large the blob is and which leaves it holds.
    pub fn have(&mut self, now: Instant, request: RequestId, size: u64, held: &RangeSet) {
        let Some(flight) = self.requests.get(&request) else { return };
        let (id, peer) = (flight.want, flight.peer);
        let Some(want) = self.wants.get_mut(&id) else { return };
        if let Some(standing) = want.standings.get_mut(&peer) {
            standing.size = Some(size);
            standing.held = Some(held.clone());
        }
        if size > want.spec.size_max {
            want.too_large = Some(size);
            self.mute(id, peer, Fault::Refused);
        } else if want.size == Some(size) {
            want.size_from.get_or_insert(peer);
        } else if want.size_proven {
            self.lied(id, peer, &RangeSet::new(), true);
        } else if want.size_from.is_none_or(|from| from == peer) {
            want.set_size(size, peer);
            self.trim(id);
        }
        // Otherwise two sources disagree and nothing is proven yet: `offered` leaves this one
        // alone until the other's claim is proven or refuted.
        self.settle(now);
    }

    /// Leaves of a request arrived; they are not verified yet. `bytes` is what it cost on the link.
    pub fn arrived(&mut self, now: Instant, request: RequestId, leaves: Range<u64>, bytes: u64) {
        let Some(flight) = self.requests.get_mut(&request) else { return };
        let fresh = flight.open.within(&leaves);
        for run in fresh.runs() {
            flight.open.remove(run.clone());
            flight.arrived.insert(run.clone());
        }
        if let Some(source) = self.sources.get_mut(&flight.source) {
            source.arrived(bytes, now, &self.limits);
        }
    }

    /// Leaves were verified: `good` is stored, `bad` was not what the blob holds there.
    pub fn accepted(
        &mut self,
        now: Instant,
        request: RequestId,
        good: &RangeSet,
        bad: &RangeSet,
        size_proven: bool,
    ) {
        let Some(flight) = self.requests.get_mut(&request) else { return };
        let (id, peer, source) = (flight.want, flight.peer, flight.source);
        let mut done = flight.arrived.intersection(good);
        done = done.union(&flight.arrived.intersection(bad));
        flight.arrived = flight.arrived.difference(&done);
        self.release(source, &done);
        let Some(want) = self.wants.get_mut(&id) else {
            self.forget_if_done(request);
            return;
        };
        want.assigned = want.assigned.difference(&done);
        want.missing = want.missing.difference(good);
        want.known = want.known.union(good);
        want.size_proven |= size_proven;
        if !good.is_empty() {
            want.hopeless = None;
            want.reachable = now;
            if let Some(standing) = want.standings.get_mut(&peer) {
                standing.bytes += good.total() * LEAF_BYTES;
            }
            if want.waiting.take().is_some() {
                let event = Event::Waiting { want: id, reason: None };
                self.outputs.push_back(Output::Event(event));
            }
        }
        if !bad.is_empty() {
            let false_size = !want.size_proven && want.size_from == Some(peer);
            let last = want.leaves().saturating_sub(1);
            self.lied(id, peer, bad, false_size && bad.contains(last));
        }
        self.forget_if_done(request);
        self.complete_if_done(id);
        self.settle(now);
    }

    /// The proof that came with data is not a proof: nothing of it was stored.
    //= rfcs/0007-transfer.md#xfer-11
    //# A getter MUST NOT ask a source again for leaves of which that source has sent false bytes.
    pub fn refuted(&mut self, now: Instant, request: RequestId, leaves: Range<u64>) {
        let Some(flight) = self.requests.get(&request) else { return };
        let (id, peer) = (flight.want, flight.peer);
        self.drop_arrived(request, &leaves);
        self.give_back(request);
        self.lied(id, peer, &RangeSet::new(), true);
        self.settle(now);
    }

    /// Leaves that arrived were not stored, and no peer is to blame for it.
    pub fn dropped(&mut self, now: Instant, request: RequestId, leaves: Range<u64>) {
        self.drop_arrived(request, &leaves);
        self.settle(now);
    }

    /// The source ended a request. `missing`: what it did not send.
    pub fn ended(&mut self, now: Instant, request: RequestId, cause: EndCause, missing: &RangeSet) {
        let Some(flight) = self.requests.get(&request) else { return };
        let (id, peer, source, open) =
            (flight.want, flight.peer, flight.source, flight.open.clone());
        if let Some(source) = self.sources.get_mut(&source) {
            source.alive = now;
            source.stalled = false;
        }
        self.give_back(request);
        let limits = &self.limits;
        let Some(want) = self.wants.get_mut(&id) else { return };
        let Some(standing) = want.standings.get_mut(&peer) else { return };
        // A source that says «done» and left something out is taken at its deeds.
        let short = open.union(&missing.intersection(&want.missing));
        let fault = match cause {
            EndCause::Done if short.is_empty() => None,
            EndCause::Cancelled => None,
            EndCause::Done => {
                standing.lacks = standing.lacks.union(&short);
                standing.retry = Some(now + limits.lack_retry);
                Some(Fault::NotHeld)
            }
            EndCause::Damaged => {
                standing.lacks = standing.lacks.union(&short);
                standing.retry = Some(now + limits.refusal_retry);
                Some(Fault::Damaged)
            }
            EndCause::Busy { retry } => {
                standing.busy = true;
                standing.retry = Some(now + retry.min(limits.refusal_retry));
                None
            }
            EndCause::Unavailable | EndCause::TooLarge => {
                standing.lacks = RangeSet::new();
                standing.retry = Some(now + limits.refusal_retry);
                Some(Fault::Refused)
            }
            EndCause::Internal => {
                standing.lacks = RangeSet::new();
                standing.retry = Some(now + limits.lack_retry);
                Some(Fault::Failed)
            }
        };
        if fault.is_some() && standing.fault != fault {
            standing.fault = fault;
            let blames = want.blames().into_iter().filter(|blame| blame.peer == peer);
            let events = blames.map(|blame| Output::Event(Event::Blamed { want: id, blame }));
            self.outputs.extend(events);
        }
        self.settle(now);
        self.look_at(now, id);
    }

    /// Looks at time-outs, stalls, retries and waiting reasons.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.tick.is_none_or(|tick| tick > now) {
            return;
        }
        self.tick = None;
        self.look_at_stalls(now);
        let wants: Vec<_> = self.wants.keys().copied().collect();
        for id in wants {
            self.retry(now, id);
            self.look_at(now, id);
        }
        self.settle(now);
    }

    // The rest is private.

    const fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    fn requests_of(&self, source: SourceId) -> impl Iterator<Item = RequestId> + '_ {
        let of_source = move |(_, flight): &(&RequestId, &InFlight)| flight.source == source;
        self.requests.iter().filter(of_source).map(|(id, _)| *id)
    }

    /// Hands out windows and arms the clock. Ends every public mutation.
    fn settle(&mut self, now: Instant) {
        self.fill(now);
        if self.wants.is_empty() && self.requests.is_empty() {
            self.tick = None;
        } else if self.tick.is_none() {
            self.tick = Some(now + TICK);
        }
    }

    /// Assigns pieces, one per source in turn, until windows or ranges are used up.
    fn fill(&mut self, now: Instant) {
        let mut open: Vec<_> = self.sources.keys().copied().collect();
        while !open.is_empty() && !self.ready.is_empty() {
            open.retain(|source| self.assign_one(now, *source));
        }
    }

    /// Assigns one piece to a source. `false`: it has no room, or no want has a use for it.
    fn assign_one(&mut self, now: Instant, source_id: SourceId) -> bool {
        let Some(source) = self.sources.get_mut(&source_id) else { return false };
        let (peer, room, window, idle) =
            (source.peer, source.room(), source.window, source.in_flight == 0);
        // Small remainders of a window are left to grow, so that requests stay large.
        if room < (window / 8).max(1) || distrusted(&self.lies, &self.limits, &peer) {
            return false;
        }
        let budget = (window / 4).clamp(1, self.limits.piece_bytes_max).min(room);
        let mut exhausted = Vec::new();
        let mut found = None;
        for key in &self.ready {
            let Some(want) = self.wants.get(&key.1) else {
                exhausted.push(*key);
                continue;
            };
            let unassigned = want.unassigned();
            if unassigned.is_empty() {
                exhausted.push(*key);
                continue;
            }
            let offered = offered(want, &peer, &unassigned);
            if let Some((group, ranges)) = pick(want, &offered, budget) {
                let bytes = charge(&ranges);
                if bytes <= room || idle {
                    found = Some((*key, group, ranges, bytes));
                }
                break;
            }
        }
        for key in exhausted {
            self.ready.remove(&key);
        }
        let Some(((class, id), group, ranges, bytes)) = found else { return false };
        let request = RequestId(self.next_id());
        let Some(want) = self.wants.get_mut(&id) else { return false };
        want.assigned = want.assigned.union(&ranges);
        want.requests.push(request);
        let known = nearest(&want.known.difference(&ranges), &ranges, self.limits.known_runs_max);
        self.outputs.push_back(Output::Request(Request {
            id: request,
            want: id,
            source: source_id,
            blob: want.spec.blob,
            size: want.size,
            group,
            class,
            ranges: ranges.clone(),
            known,
        }));
        if let Some(source) = self.sources.get_mut(&source_id) {
            source.sent(bytes, now);
        }
        let flight = InFlight {
            want: id,
            source: source_id,
            peer,
            open: ranges,
            arrived: RangeSet::new(),
            ended: false,
        };
        self.requests.insert(request, flight);
        true
    }

    /// Ends a request on the source's side: what has not arrived may be asked again.
    fn give_back(&mut self, request: RequestId) {
        let Some(flight) = self.requests.get_mut(&request) else { return };
        let open = core::mem::take(&mut flight.open);
        let (id, source) = (flight.want, flight.source);
        if !core::mem::replace(&mut flight.ended, true)
            && let Some(source) = self.sources.get_mut(&source)
        {
            source.requests = source.requests.saturating_sub(1);
        }
        self.release(source, &open);
        if let Some(want) = self.wants.get_mut(&id) {
            want.assigned = want.assigned.difference(&open);
            self.ready.insert((want.spec.class, id));
        }
        self.forget_if_done(request);
    }

    /// What arrived is as good as never sent.
    fn drop_arrived(&mut self, request: RequestId, leaves: &Range<u64>) {
        let Some(flight) = self.requests.get_mut(&request) else { return };
        let gone = flight.arrived.within(leaves);
        flight.arrived = flight.arrived.difference(&gone);
        let (id, source) = (flight.want, flight.source);
        self.release(source, &gone);
        if let Some(want) = self.wants.get_mut(&id) {
            want.assigned = want.assigned.difference(&gone);
            self.ready.insert((want.spec.class, id));
        }
        self.forget_if_done(request);
    }

    /// Gives bytes back to the window of a source.
    fn release(&mut self, source: SourceId, leaves: &RangeSet) {
        if let Some(source) = self.sources.get_mut(&source) {
            source.in_flight = source.in_flight.saturating_sub(charge(leaves));
        }
    }

    /// Drops a request that has ended and of which nothing is being verified.
    fn forget_if_done(&mut self, request: RequestId) {
        let done = |flight: &InFlight| flight.ended && flight.arrived.is_empty();
        if self.requests.get(&request).is_some_and(done)
            && let Some(flight) = self.requests.remove(&request)
            && let Some(want) = self.wants.get_mut(&flight.want)
        {
            want.requests.retain(|open| *open != request);
        }
    }

    /// Ends a want whose ranges are all accepted.
    fn complete_if_done(&mut self, id: WantId) {
        if self.wants.get(&id).is_some_and(|want| want.missing.is_empty()) {
            self.end(id, Verdict::Complete);
        }
    }

    //= rfcs/0007-transfer.md#xfer-1
    //# A getter MUST end every want with exactly one verdict.
    fn end(&mut self, id: WantId, verdict: Verdict) {
        let Some(want) = self.wants.remove(&id) else { return };
        self.ready.remove(&(want.spec.class, id));
        for request in want.requests {
            self.cancel_request(request);
        }
        self.outputs.push_back(Output::Event(Event::Ended { want: id, verdict }));
    }

    fn cancel_request(&mut self, request: RequestId) {
        let Some(flight) = self.requests.get(&request) else { return };
        if !flight.ended && !flight.open.is_empty() {
            let source = flight.source;
            self.outputs.push_back(Output::Cancel { request, source });
        }
        self.give_back(request);
    }

    /// Cuts the requests of a want at the believed end of the blob.
    fn trim(&mut self, id: WantId) {
        let Some(want) = self.wants.get_mut(&id) else { return };
        let (end, class) = (want.leaves(), want.spec.class);
        let mut cut = Vec::new();
        for request in &want.requests {
            let Some(flight) = self.requests.get_mut(request) else { continue };
            let beyond = flight.open.within(&(end..u64::MAX));
            flight.open = flight.open.difference(&beyond);
            want.assigned = want.assigned.difference(&beyond);
            cut.push((flight.source, beyond));
        }
        for (source, beyond) in cut {
            self.release(source, &beyond);
        }
        self.ready.insert((class, id));
    }

    /// A source sent what is not the blob's. `mute`: it can't be trusted with this blob at all.
    fn lied(&mut self, id: WantId, peer: PeerId, bad: &RangeSet, mute: bool) {
        if self.lies.contains_key(&peer) || self.lies.len() < LIARS_MAX {
            *self.lies.entry(peer).or_default() += 1;
        }
        let Some(want) = self.wants.get_mut(&id) else { return };
        if mute && !want.size_proven && want.size_from == Some(peer) {
            self.forget_size(id);
        }
        let Some(want) = self.wants.get_mut(&id) else { return };
        let Some(standing) = want.standings.get_mut(&peer) else { return };
        standing.bad = standing.bad.union(bad);
        standing.fault = Some(Fault::Lied);
        if mute {
            self.mute(id, peer, Fault::Lied);
            return;
        }
        let blame = Blame { peer, fault: Fault::Lied, ranges: bad.clone() };
        self.outputs.push_back(Output::Event(Event::Blamed { want: id, blame }));
        self.ready.insert((want.spec.class, id));
    }

    /// Asks a peer for nothing more of this blob.
    fn mute(&mut self, id: WantId, peer: PeerId, fault: Fault) {
        for request in self.wants.get(&id).map(|want| want.requests.clone()).unwrap_or_default() {
            if self.requests.get(&request).is_some_and(|flight| flight.peer == peer) {
                self.cancel_request(request);
            }
        }
        let Some(want) = self.wants.get_mut(&id) else { return };
        let Some(standing) = want.standings.get_mut(&peer) else { return };
        if !core::mem::replace(&mut standing.muted, true) {
            standing.fault = Some(fault);
            let blame = Blame { peer, fault, ranges: RangeSet::new() };
            self.outputs.push_back(Output::Event(Event::Blamed { want: id, blame }));
        }
    }

    /// The size that a liar claimed is worth nothing: start over with what another claims.
    fn forget_size(&mut self, id: WantId) {
        for request in self.wants.get(&id).map(|want| want.requests.clone()).unwrap_or_default() {
            self.cancel_request(request);
        }
        let Some(want) = self.wants.get_mut(&id) else { return };
        let liar = want.size_from;
        want.forget_size();
        let other = want.standings.iter().find_map(|(peer, standing)| {
            standing
                .size
                .filter(|_| Some(*peer) != liar && !standing.muted)
                .map(|size| (*peer, size))
        });
        if let Some((peer, size)) = other {
            want.set_size(size, peer);
        }
        self.ready.insert((want.spec.class, id));
    }

    /// Takes work from sources that have gone silent, if somebody else can do it.
    fn look_at_stalls(&mut self, now: Instant) {
        let mut stalled = Vec::new();
        for (id, source) in &mut self.sources {
            if source.stall_at(&self.limits).is_some_and(|at| at <= now) {
                source.stalled = true;
            }
            if source.stalled {
                if source.in_flight == 0 {
                    // Nothing is at stake: try it again, carefully.
                    source.stalled = false;
                    source.window = self.limits.window_bytes_min;
                } else {
                    stalled.push(*id);
                }
            }
        }
        for source in stalled {
            let requests: Vec<_> = self.requests_of(source).collect();
            for request in requests {
                let Some(flight) = self.requests.get(&request) else { continue };
                let Some(want) = self.wants.get(&flight.want) else { continue };
                let other = self.sources.values().any(|other| {
                    other.peer != flight.peer
                        && !other.stalled
                        && !offered(want, &other.peer, &flight.open).is_empty()
                });
                if other {
                    self.cancel_request(request);
                }
            }
        }
    }

    /// Forgives what may be asked again.
    fn retry(&mut self, now: Instant, id: WantId) {
        let Some(want) = self.wants.get_mut(&id) else { return };
        for standing in want.standings.values_mut() {
            if standing.retry.is_some_and(|at| at <= now) {
                standing.retry = None;
                standing.busy = false;
                standing.lacks = RangeSet::new();
                standing.held = None;
                self.ready.insert((want.spec.class, id));
            }
        }
    }

    /// Names why a want does not move, and ends it when nothing can move it any more.
    //= rfcs/0007-transfer.md#xfer-2
    //# A getter MUST name a waiting reason for every want that makes no progress.
    fn look_at(&mut self, now: Instant, id: WantId) {
        let Some(want) = self.wants.get_mut(&id) else { return };
        if want.spec.deadline.is_some_and(|at| at <= now) {
            self.end(id, Verdict::Expired);
            return;
        }
        let connected: Vec<_> = want
            .standings
            .iter()
            .filter(|(peer, _)| live(&self.sources, peer).next().is_some())
            .collect();
        if !connected.is_empty() {
            want.reachable = now;
        }
        let cannot = |peer: &PeerId, standing: &Standing| {
            standing.cannot(&want.missing) || distrusted(&self.lies, &self.limits, peer)
        };
        let reason = if !want.requests.is_empty() {
            let stalled = |peer| live(&self.sources, peer).all(|live| live.stalled);
            let stalled = connected.iter().all(|(peer, _)| stalled(peer));
            stalled.then_some(Waiting::Link)
        } else if connected.is_empty() {
            Some(Waiting::NoProvider)
        } else if connected.iter().all(|(_, standing)| standing.cannot(&want.missing)) {
            let held =
                |(_, standing): &(&PeerId, &Standing)| standing.fault != Some(Fault::Refused);
            Some(if connected.iter().any(held) { Waiting::NotHeld } else { Waiting::Permission })
        } else if connected.iter().any(|(_, standing)| standing.busy) {
            Some(Waiting::PeerBusy)
        } else {
            Some(Waiting::Budget)
        };
        let everybody = want.requests.is_empty()
            && want.standings.iter().all(|(peer, standing)| cannot(peer, standing));
        if reason != want.waiting {
            want.waiting = reason;
            self.outputs.push_back(Output::Event(Event::Waiting { want: id, reason }));
        }
        if everybody {
            let since = *want.hopeless.get_or_insert(now);
            if now >= since + want.spec.grace {
                let verdict = verdict_of_hopeless(want);
                self.end(id, verdict);
                return;
            }
        }
        if let Some(patience) = want.spec.patience
            && now >= want.reachable + patience
        {
            self.end(id, Verdict::NoProvider);
        }
    }
}

/// Whether a peer has lied too often to be asked for anything.
//= rfcs/0007-transfer.md#xfer-14
//# A getter MUST NOT send a WANT to a peer that has sent false bytes or proofs three times.
fn distrusted(lies: &BTreeMap<PeerId, u32>, limits: &SchedulerLimits, peer: &PeerId) -> bool {
    lies.get(peer).is_some_and(|lies| *lies >= limits.lies_max)
}

/// The live sessions with a peer.
fn live<'a>(
    sources: &'a BTreeMap<SourceId, Source>,
    peer: &'a PeerId,
) -> impl Iterator<Item = &'a Source> {
    sources.values().filter(move |source| source.peer == *peer)
}

/// What a want could ask of a peer, out of `unassigned`.
fn offered(want: &Want, peer: &PeerId, unassigned: &RangeSet) -> RangeSet {
    match want.standings.get(peer) {
        // Its claim about the size contradicts the one in force: wait until that is settled.
        Some(standing)
            if standing.size.is_some_and(|size| want.size.is_some_and(|our| our != size)) =>
        {
            RangeSet::new()
        }
        Some(standing) => standing.offers(unassigned),
        None => RangeSet::new(),
    }
}

/// Bytes counted against a window for these leaves.
fn charge(leaves: &RangeSet) -> u64 {
    leaves.total().saturating_mul(LEAF_BYTES)
}

/// The next piece of a want: one run of whole groups, with the blob's last group while the size is
/// not proven.
//= rfcs/0007-transfer.md#xfer-6
//# A getter MUST ask for whole groups only.
fn pick(want: &Want, offered: &RangeSet, budget: u64) -> Option<(GroupLog2, RangeSet)> {
    let run = offered.runs().first()?;
    let total = want.leaves();
    let fits = |group: GroupLog2| {
        run.start % group.leaves() == 0
            && (run.end >= total || run.start + group.leaves() <= run.end)
    };
    let group = (0..=want.spec.group.get())
        .rev()
        .filter_map(GroupLog2::new)
        .find(|group| fits(*group))
        .unwrap_or(GroupLog2::MIN);
    let wish = (budget / LEAF_BYTES).max(group.leaves());
    let mut end = run.end.min(run.start.saturating_add(wish));
    if group < want.spec.group {
        // Only up to the next border of the wanted size, to go on there with larger groups.
        let border = (run.start | (want.spec.group.leaves() - 1)) + 1;
        end = end.min(border);
    }
    if end < total {
        end -= end % group.leaves();
    }
    let mut ranges = RangeSet::from(run.start..end);
    if want.size.is_some() && !want.size_proven && end < total {
        let last = (total - 1) - (total - 1) % group.leaves();
        if offered.contains_range(&(last..total)) {
            ranges.insert(last..total);
        }
    }
    Some((group, ranges))
}

/// At most `max` runs of `known`, those nearest to the start of `ranges`.
fn nearest(known: &RangeSet, ranges: &RangeSet, max: usize) -> RangeSet {
    let runs = known.runs();
    if runs.len() <= max {
        return known.clone();
    }
    let at = ranges.first().unwrap_or(0);
    let middle = runs.partition_point(|run| run.end <= at);
    let from = middle.saturating_sub(max / 2).min(runs.len() - max);
    runs.iter().skip(from).take(max).cloned().collect()
}

fn verdict_of_hopeless(want: &Want) -> Verdict {
    let blames = want.blames();
    let all = |fault| !blames.is_empty() && blames.iter().all(|blame| blame.fault == fault);
    let begun = want.known != want.spec.known || !want.spec.held.is_empty();
    if let Some(size) = want.too_large {
        Verdict::TooLarge { size, limit: want.spec.size_max }
    } else if begun {
        Verdict::Partial { missing: want.missing.clone(), blames }
    } else if all(Fault::Lied) {
        Verdict::ProviderLied { blames }
    } else if all(Fault::Refused) {
        Verdict::Unavailable
    } else {
        Verdict::Partial { missing: want.missing.clone(), blames }
    }
}
