//! Blame, time-outs and verdicts.

use alloc::{collections::BTreeMap, vec::Vec};

use samara_base::{Instant, PeerId, RangeSet};

use super::{Event, Output, Scheduler, assign::offered};
use crate::{
    limits::{LIARS_MAX, SchedulerLimits},
    verdict::{Blame, Fault, Verdict},
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
        let idle = self.sources.values().all(|source| source.in_flight == 0);
        for (id, source) in &mut self.sources {
            if source.stall_at(&self.limits).is_some_and(|at| at <= now) {
                source.stall(now);
            }
            if source.stalled && source.in_flight == 0 {
                source.try_again(now, idle, &self.limits);
            } else if source.stalled {
                stalled.push(*id);
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
        let Some(want) = self.wants.get(&id) else { return };
        if want.spec.deadline.is_some_and(|at| at <= now) {
            self.end(id, Verdict::Expired);
            return;
        }
        let connected = self.connected(want);
        let is_reachable = !connected.is_empty();
        let reason = self.reason(now, want, &connected);
        let cannot = |peer: &PeerId, standing: &Standing| {
            standing.cannot(&want.missing) || distrusted(&self.lies, &self.limits, peer)
        };
        let everybody = self.flights(want).next().is_none()
            && want.standings.iter().all(|(peer, standing)| cannot(peer, standing));
        let Some(want) = self.wants.get_mut(&id) else { return };
        if is_reachable {
            want.reachable = now;
        }
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
