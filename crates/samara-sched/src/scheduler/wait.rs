//! Why a want makes no progress.

use alloc::vec::Vec;

use samara_base::{Instant, PeerId};

use super::Scheduler;
use crate::{
    request::InFlight,
    source::Source,
    verdict::{Fault, Waiting},
    want::{Standing, Want},
};

impl Scheduler {
    /// The peers of a want that have a link, with what is known of them.
    pub(super) fn connected<'a>(&self, want: &'a Want) -> Vec<(&'a PeerId, &'a Standing)> {
        let is_live = |peer: &PeerId| self.links(peer).next().is_some();
        want.standings.iter().filter(|(peer, _)| is_live(peer)).collect()
    }

    /// The requests of a want that may still bring something.
    pub(super) fn flights(&self, want: &Want) -> impl Iterator<Item = &InFlight> {
        let flights = want.requests.iter().filter_map(|request| self.requests.get(request));
        flights.filter(|flight| flight.brings())
    }

    fn links(&self, peer: &PeerId) -> impl Iterator<Item = &Source> {
        self.sources.values().filter(move |source| source.peer == *peer)
    }

    /// Why the want waits; `None`: it moves, or may at any moment.
    //= rfcs/0007-transfer.md#xfer-2
    //# A getter MUST name a waiting reason for every want that makes no progress.
    pub(super) fn reason(
        &self,
        now: Instant,
        want: &Want,
        connected: &[(&PeerId, &Standing)],
    ) -> Option<Waiting> {
        if self.flights(want).next().is_some() {
            return self.silence(now, want);
        }
        if connected.is_empty() {
            return Some(Waiting::NoProvider);
        }
        if connected.iter().all(|(_, standing)| standing.cannot(&want.missing)) {
            let refused =
                |(_, standing): &(&PeerId, &Standing)| standing.fault == Some(Fault::Refused);
            let all = connected.iter().all(refused);
            return Some(if all { Waiting::Permission } else { Waiting::NotHeld });
        }
        if connected.iter().any(|(_, standing)| standing.busy) {
            return Some(Waiting::PeerBusy);
        }
        // Taken from a silent source, and not yet asked of another.
        let is_silent = |(peer, standing): &(&PeerId, &Standing)| {
            !standing.offers(&want.missing).is_empty() && self.links(peer).any(|link| link.stalled)
        };
        let silent = now >= want.heard + self.limits.stall_min;
        Some(if silent && connected.iter().any(is_silent) {
            Waiting::Link
        } else {
            Waiting::Budget
        })
    }

    /// Why nothing comes of what is asked.
    fn silence(&self, now: Instant, want: &Want) -> Option<Waiting> {
        let link = |flight: &InFlight| self.sources.get(&flight.source);
        if self.flights(want).all(|flight| link(flight).is_none_or(|link| link.stalled)) {
            return Some(Waiting::Link);
        }
        let patience = |flight| link(flight).map(|link| link.patience(&self.limits));
        let patience = self.flights(want).filter_map(patience).max().unwrap_or_default();
        if now < want.heard + patience {
            return None;
        }
        let answers_others =
            |flight| link(flight).is_some_and(|link: &Source| link.alive > flight.heard);
        if self.flights(want).any(answers_others) {
            Some(Waiting::Budget)
        } else {
            // Sources were asked in turn, and none has answered.
            Some(Waiting::Link)
        }
    }
}
