//! Blame, time-outs, waiting reasons and verdicts.

use alloc::{collections::BTreeMap, vec::Vec};

use samara_base::{Instant, PeerId, RangeSet};

use super::{Event, Output, Scheduler, assign::offered};
use crate::{
    limits::{LIARS_MAX, SchedulerLimits},
    request::{InFlight, SourceId},
    source::Source,
    verdict::{Blame, Fault, Verdict, Waiting},
    want::{Standing, Want, WantId},
};

impl Scheduler {
    /// A source sent what is not the blob's. `mute`: it can't be trusted with this blob at all.
    pub(super) fn lied(&mut self, id: WantId, peer: PeerId, bad: &RangeSet, mute: bool) {
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
    pub(super) fn mute(&mut self, id: WantId, peer: PeerId, fault: Fault) {
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
    pub(super) fn forget_size(&mut self, id: WantId) {
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
    pub(super) fn look_at_stalls(&mut self, now: Instant) {
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
                // Another link to the same peer will do as well.
                let other = self.sources.iter().any(|(other_id, other)| {
                    *other_id != source
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
    pub(super) fn retry(&mut self, now: Instant, id: WantId) {
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
    pub(super) fn look_at(&mut self, now: Instant, id: WantId) {
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
        // A request of which everything has come and been verified has nothing left to bring: a source
        // that keeps its END back does not keep back the verdict.
        let brings = |flight: &&InFlight| !flight.open.is_empty() || !flight.arrived.is_empty();
        let flights = want.requests.iter().filter_map(|request| self.requests.get(request));
        let flights: Vec<_> = flights.filter(brings).collect();
        let waits = !flights.is_empty();
        let cannot = |peer: &PeerId, standing: &Standing| {
            standing.cannot(&want.missing) || distrusted(&self.lies, &self.limits, peer)
        };
        let reason = if waits {
            let source = |flight: &&InFlight| self.sources.get(&flight.source);
            let stalled = |flight| source(flight).is_none_or(|source| source.stalled);
            let patience = |flight| source(flight).map(|source| source.patience(&self.limits));
            let patience = flights.iter().filter_map(patience).max().unwrap_or_default();
            let answers_others =
                |flight: &&InFlight| source(flight).is_some_and(|it| it.alive > flight.heard);
            if flights.iter().all(stalled) {
                Some(Waiting::Link)
            } else if now < want.heard + patience {
                None
            } else if flights.iter().any(answers_others) {
                Some(Waiting::Budget)
            } else {
                // Sources were asked in turn, and none has answered.
                Some(Waiting::Link)
            }
        } else if connected.is_empty() {
            Some(Waiting::NoProvider)
        } else if connected.iter().all(|(_, standing)| standing.cannot(&want.missing)) {
            let held =
                |(_, standing): &(&PeerId, &Standing)| standing.fault != Some(Fault::Refused);
            Some(if connected.iter().any(held) { Waiting::NotHeld } else { Waiting::Permission })
        } else if connected.iter().any(|(_, standing)| standing.busy) {
            Some(Waiting::PeerBusy)
        } else if now >= want.heard + self.limits.stall_min
            && connected.iter().any(|(peer, _)| live(&self.sources, peer).any(|it| it.stalled))
        {
            // Taken from a silent source, and not yet asked of another.
            Some(Waiting::Link)
        } else {
            Some(Waiting::Budget)
        };
        let everybody =
            !waits && want.standings.iter().all(|(peer, standing)| cannot(peer, standing));
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
pub(super) fn distrusted(
    lies: &BTreeMap<PeerId, u32>,
    limits: &SchedulerLimits,
    peer: &PeerId,
) -> bool {
    lies.get(peer).is_some_and(|lies| *lies >= limits.lies_max)
}

/// The live sessions with a peer.
fn live<'a>(
    sources: &'a BTreeMap<SourceId, Source>,
    peer: &'a PeerId,
) -> impl Iterator<Item = &'a Source> {
    sources.values().filter(move |source| source.peer == *peer)
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
