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

mod assign;
mod judge;
mod wait;

use assign::charge;

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
            state.standings.add(peer);
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
        let Some(flight) = self.requests.get_mut(&request) else { return };
        flight.size = Some(size);
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
            self.renounce_other_sizes(id, peer, size);
        } else {
            // Two sources disagree and nothing is proven yet: this one is left alone until the
            // other's claim is proven or refuted.
            self.renounce(request);
        }
        self.settle(now);
    }

    /// Leaves of a request arrived; they are not verified yet. `bytes` is what it cost on the link.
    pub fn arrived(&mut self, now: Instant, request: RequestId, leaves: Range<u64>, bytes: u64) {
        let Some(flight) = self.requests.get_mut(&request) else { return };
        flight.heard = now;
        let fresh = flight.open.within(&leaves);
        for run in fresh.runs() {
            flight.open.remove(run.clone());
            flight.arrived.insert(run.clone());
        }
        if let Some(want) = self.wants.get_mut(&flight.want) {
            want.heard = now;
        }
        if let Some(source) = self.sources.get_mut(&flight.source) {
            source.arrived(bytes, now, &self.limits);
        }
    }

    /// Something arrived of a request that is over. Unit of `bytes`: bytes.
    pub fn arrived_late(&mut self, now: Instant, source: SourceId, bytes: u64) {
        if let Some(source) = self.sources.get_mut(&source) {
            source.measure(bytes, now, &self.limits);
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
        let (id, peer, source, size) = (flight.want, flight.peer, flight.source, flight.size);
        let mut done = flight.arrived.intersection(good);
        done = done.union(&flight.arrived.intersection(bad));
        flight.arrived = flight.arrived.difference(&done);
        self.release(source, &done);
        let Some(want) = self.wants.get_mut(&id) else {
            self.forget_if_done(request);
            return;
        };
        want.assigned = want.assigned.difference(&done);
        if size.is_some() && size != want.size {
            // Proven under a size that is not in force: worth nothing under the one that is.
            self.ready.insert((want.spec.class, id));
            self.forget_if_done(request);
            self.settle(now);
            return;
        }
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
        // Before the request is given back, so that the source is told to stop.
        self.lied(id, peer, &RangeSet::new(), true);
        self.give_back(request);
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
        let group = flight.group;
        if let Some(source) = self.sources.get_mut(&source) {
            source.alive = now;
            source.stalled = false;
        }
        self.give_back(request);
        let limits = &self.limits;
        let Some(want) = self.wants.get_mut(&id) else { return };
        want.heard = now;
        let Some(standing) = want.standings.get_mut(&peer) else { return };
        // A source that says «done» and left something out is taken at its deeds.
        let short = open.union(&missing.intersection(&want.missing));
        // One bad group of 16 KiB keeps back the larger one around it.
        let again = group > GroupLog2::KIB16 && !standing.claims(&short).is_empty();
        let fault = match cause {
            EndCause::Done if short.is_empty() => None,
            EndCause::Done | EndCause::Damaged if again => {
                standing.fine = standing.fine.union(&standing.claims(&short));
                standing.damaged |= cause == EndCause::Damaged;
                None
            }
            EndCause::Done => {
                standing.lacks = standing.lacks.union(&short);
                standing.retry = Some(now + limits.lack_retry);
                Some(if standing.damaged { Fault::Damaged } else { Fault::NotHeld })
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
            // What we cancel is forgotten at once, so nobody asked for this end.
            EndCause::Internal | EndCause::Cancelled => {
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

    /// Gives up requests to others whose proofs are made under another size than this. The peer
    /// itself says HAVE for each of its own.
    fn renounce_other_sizes(&mut self, id: WantId, peer: PeerId, size: u64) {
        for request in self.wants.get(&id).map(|want| want.requests.clone()).unwrap_or_default() {
            let other = |flight: &InFlight| {
                flight.peer != peer && flight.size.is_some_and(|under| under != size)
            };
            if self.requests.get(&request).is_some_and(other) {
                self.renounce(request);
            }
        }
    }

    /// Cancels a request even if all that it asks for has been cut off: nothing of it is welcome.
    fn renounce(&mut self, request: RequestId) {
        if let Some(flight) = self.requests.get(&request)
            && !flight.ended
        {
            self.outputs.push_back(Output::Cancel { request, source: flight.source });
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
}
