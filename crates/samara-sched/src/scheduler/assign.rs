//! Who is asked for which bytes next.

use alloc::vec::Vec;

use samara_base::{GroupLog2, Instant, LEAF_BYTES, PeerId, RangeSet};

use super::{Output, Scheduler, judge::distrusted};
use crate::{
    request::{InFlight, Request, RequestId, SourceId},
    verdict::Waiting,
    want::Want,
};

impl Scheduler {
    /// Assigns pieces, one per source in turn, until windows or ranges are used up.
    pub(super) fn fill(&mut self, now: Instant) {
        let mut open: Vec<_> = self.sources.keys().copied().collect();
        while !open.is_empty() && !self.ready.is_empty() {
            open.retain(|source| self.assign_one(now, *source));
        }
    }

    /// Assigns one piece to a source. `false`: it has no room, or no want has a use for it.
    pub(super) fn assign_one(&mut self, now: Instant, source_id: SourceId) -> bool {
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
            let fine = want.standings.get(&peer).map(|standing| &standing.fine);
            if let Some((group, ranges)) = pick(want, &offered, fine, budget) {
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
        // From here on its source has time to answer; unless others had it before, and did not.
        let brings = |id| self.requests.get(id).is_some_and(InFlight::brings);
        if want.waiting != Some(Waiting::Link) && !want.requests.iter().any(brings) {
            want.heard = now;
        }
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
            size: want.size,
            group,
            open: ranges,
            arrived: RangeSet::new(),
            heard: now,
            ended: false,
        };
        self.requests.insert(request, flight);
        true
    }
}

/// What a want could ask of a peer, out of `unassigned`.
pub(super) fn offered(want: &Want, peer: &PeerId, unassigned: &RangeSet) -> RangeSet {
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
pub(super) fn charge(leaves: &RangeSet) -> u64 {
    leaves.total().saturating_mul(LEAF_BYTES)
}

/// The next piece of a want: one run of whole groups, with the blob's last group while the size is
/// not proven.
//= rfcs/0007-transfer.md#xfer-6
//# A getter MUST ask for whole groups only.
fn pick(
    want: &Want,
    offered: &RangeSet,
    fine: Option<&RangeSet>,
    budget: u64,
) -> Option<(GroupLog2, RangeSet)> {
    let mut run = offered.runs().first()?.clone();
    let mut most = want.spec.group;
    //= rfcs/0007-transfer.md#xfer-16
    //# A getter SHOULD ask once more, in groups of 16 KiB, for what a source that claims to hold it did not deliver in larger groups.
    let border = fine.and_then(|fine| fine.runs().iter().find(|fine| fine.end > run.start));
    if let Some(border) = border {
        if border.start <= run.start {
            most = most.min(GroupLog2::KIB16);
            run.end = run.end.min(border.end);
        } else {
            run.end = run.end.min(border.start);
        }
    }
    let total = want.leaves();
    let fits = |group: GroupLog2| {
        run.start % group.leaves() == 0
            && (run.end >= total || run.start + group.leaves() <= run.end)
    };
    let group = (0..=most.get())
        .rev()
        .filter_map(GroupLog2::new)
        .find(|group| fits(*group))
        .unwrap_or(GroupLog2::MIN);
    let wish = (budget / LEAF_BYTES).max(group.leaves());
    let mut end = run.end.min(run.start.saturating_add(wish));
    if group < most {
        // Only up to the next border of the wanted size, to go on there with larger groups.
        let border = (run.start | (most.leaves() - 1)) + 1;
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
