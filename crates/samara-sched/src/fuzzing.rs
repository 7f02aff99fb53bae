//! Properties that the fuzz targets check, for any input. Not a stable API.

use alloc::{collections::BTreeMap, vec::Vec};
use core::{ops::Range, time::Duration};

use samara_base::{BlobId, Instant, PeerId, RangeSet};

use crate::{
    EndCause, Event, Output, RequestId, Scheduler, SchedulerLimits, SourceId, WantId, WantSpec,
};

/// Reads numbers off the input; zeros once it is used up.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u64 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                u64::from(*first)
            }
            None => 0,
        }
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.byte() << 8 | self.byte()) % end.max(1)
    }

    fn range(&mut self, end: u64) -> Range<u64> {
        let start = self.below(end);
        start..start + 1 + self.below(64)
    }
}

/// Feeds a scheduler any sequence of commands and reports, true and false ones. It never panics,
/// ends each want once, asks only of live sources, never for the same leaf twice at a time, and
/// keeps what it asks of a source within the window.
///
/// # Panics
///
/// If a property does not hold.
pub fn scheduler(data: &[u8]) {
    let mut script = Script(data);
    let limits = SchedulerLimits { wants_max: 8, ..SchedulerLimits::default() };
    let mut scheduler = Scheduler::new(limits);
    let mut now = Instant::ZERO;
    let mut sources = BTreeMap::<SourceId, PeerId>::new();
    let mut wants = Vec::<WantId>::new();
    let mut requests = BTreeMap::<RequestId, (WantId, SourceId, RangeSet)>::new();
    let peer = |number: u64| PeerId::from_bytes([u8::try_from(number % 4).unwrap_or(0); 32]);
    let mut next_source = 0;
    while !script.0.is_empty() {
        now = now + Duration::from_millis(script.below(700));
        let request = {
            let at = script.below(requests.len() as u64 + 1);
            let at = usize::try_from(at).unwrap_or(0);
            requests.keys().nth(at).copied().unwrap_or(RequestId(u64::MAX))
        };
        match script.byte() % 12 {
            0 => {
                let mut spec = WantSpec::new(BlobId::from_bytes([7; 32]), [peer(script.byte())]);
                spec.sources.push(peer(script.byte()));
                spec.size = (script.byte() % 2 == 0).then(|| script.below(1 << 16) << 8);
                spec.size_max = script.below(1 << 16) << 10;
                spec.held = RangeSet::from(script.range(4096));
                spec.known = spec.held.clone();
                spec.deadline = (script.byte() % 8 == 0).then_some(now + Duration::from_secs(2));
                spec.patience = (script.byte() % 8 == 0).then_some(Duration::from_secs(2));
                if let Ok(want) = scheduler.want(now, spec) {
                    wants.push(want);
                }
            }
            1 => {
                next_source += 1;
                let (source, peer) = (SourceId(next_source), peer(script.byte()));
                sources.insert(source, peer);
                let room = usize::try_from(script.below(20)).unwrap_or(0);
                scheduler.source_up(now, source, peer, room);
            }
            2 => {
                let source = SourceId(script.below(next_source + 1));
                sources.remove(&source);
                scheduler.source_down(now, source);
            }
            3 => {
                let held = RangeSet::from_iter([script.range(4096), script.range(4096)]);
                scheduler.have(now, request, script.below(1 << 16) << (script.byte() % 40), &held);
            }
            4 => {
                let range = script.range(4096);
                scheduler.arrived(now, request, range, script.below(1 << 16));
            }
            5 | 6 => {
                let all = requests.get(&request).map(|(_, _, ranges)| ranges.clone());
                let good = all.unwrap_or_default().take(script.below(1 << 12));
                for run in good.runs() {
                    scheduler.arrived(now, request, run.clone(), 1);
                }
                let bad = RangeSet::from(script.range(4096));
                let bad = if script.byte() % 4 == 0 { bad } else { RangeSet::new() };
                scheduler.accepted(now, request, &good, &bad, script.byte() % 2 == 0);
            }
            7 => scheduler.refuted(now, request, script.range(4096)),
            8 => {
                let cause = match script.byte() % 8 {
                    0..=2 => EndCause::Done,
                    3 => EndCause::Unavailable,
                    4 => EndCause::Busy { retry: Duration::from_millis(script.below(1000)) },
                    5 => EndCause::Damaged,
                    6 => EndCause::Cancelled,
                    _ => EndCause::Internal,
                };
                scheduler.ended(now, request, cause, &RangeSet::from(script.range(4096)));
                requests.remove(&request);
            }
            9 => {
                let at = usize::try_from(script.below(wants.len() as u64 + 1)).unwrap_or(0);
                if let Some(want) = wants.get(at) {
                    scheduler.cancel(now, *want);
                }
            }
            10 => scheduler.measured_rtt(SourceId(script.below(next_source + 1)), {
                Duration::from_micros(script.below(1 << 16))
            }),
            _ => scheduler.handle_timeout(now),
        }
        while let Some(output) = scheduler.poll_output() {
            match output {
                Output::Request(request) => {
                    assert!(sources.contains_key(&request.source), "asks live sources only");
                    assert!(!request.ranges.is_empty(), "asks for something");
                    assert!(request.ranges.intersection(&request.known).is_empty(), "disjoint");
                    assert!(request.known.runs().len() <= 64, "bounded");
                    assert!(request.ranges.total() <= (1 << 10) + 64, "one piece");
                    requests.insert(request.id, (request.want, request.source, request.ranges));
                }
                Output::Cancel { request, .. } => {
                    requests.remove(&request);
                }
                Output::Event(Event::Ended { want, .. }) => {
                    let before = wants.len();
                    wants.retain(|open| *open != want);
                    assert_eq!(before, wants.len() + 1, "a want ends once");
                    assert!(scheduler.status(want).is_none(), "and is forgotten");
                }
                Output::Event(_) => {}
            }
        }
        requests
            .retain(|_, (want, source, _)| wants.contains(want) && sources.contains_key(source));
        assert_eq!(scheduler.wants(), wants.len(), "every other want is open");
        assert!(wants.is_empty() || scheduler.poll_timeout().is_some(), "no want is forgotten");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_script_keeps_the_properties() {
        let mut state = 1_u64;
        for length in 0..400 {
            let next = |_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(length);
                u8::try_from(state >> 56).unwrap_or(0)
            };
            let data: Vec<u8> = (0..length * 4).map(next).collect();
            scheduler(&data);
        }
    }
}
