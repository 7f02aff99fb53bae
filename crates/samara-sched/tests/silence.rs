//! What a source can not hold up by saying nothing.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use core::time::Duration;
use std::collections::VecDeque;

use samara_base::{BlobId, Instant, PeerId, RangeSet};
use samara_sched::{
    EndCause, Event, Output, RequestId, Scheduler, SchedulerLimits, SourceId, Verdict, Waiting,
    WantId, WantSpec,
};

/// Three groups are asked of a source; all have come and been verified, the second as false. No END.
fn all_but_the_end() -> (Scheduler, Instant, RequestId) {
    let now = Instant::from_micros(1_000_000);
    let (peer, source) = (PeerId::from_bytes([2; 32]), SourceId(1));
    let mut scheduler = Scheduler::new(SchedulerLimits::default());
    scheduler.source_up(now, source, peer, 8);
    let mut spec = WantSpec::new(BlobId::from_bytes([7; 32]), [peer]);
    spec.size = Some(48 * 1024);
    spec.group = samara_base::GroupLog2::KIB16;
    scheduler.want(now, spec).unwrap();
    let Some(Output::Request(request)) = scheduler.poll_output() else { panic!("asks at once") };
    assert_eq!(request.ranges, RangeSet::from(0..48));
    for (leaves, good) in [(0..16, true), (16..32, false), (32..48, true)] {
        scheduler.arrived(now, request.id, leaves.clone(), 16 * 1024);
        let (good, bad) = match good {
            true => (RangeSet::from(leaves), RangeSet::new()),
            false => (RangeSet::new(), RangeSet::from(leaves)),
        };
        scheduler.accepted(now, request.id, &good, &bad, true);
    }
    (scheduler, now, request.id)
}

fn verdict(scheduler: &mut Scheduler) -> Option<Verdict> {
    let mut found = None;
    while let Some(output) = scheduler.poll_output() {
        if let Output::Event(Event::Ended { verdict, .. }) = output {
            assert_eq!(found.replace(verdict), None, "one verdict");
        }
    }
    found
}

//= rfcs/0007-transfer.md#xfer-1
//= type=test
//# A getter MUST end every want with exactly one verdict.
#[test]
fn an_end_that_never_comes_holds_up_no_verdict() {
    let (mut scheduler, now, request) = all_but_the_end();
    let later = now + Duration::from_secs(10);
    scheduler.handle_timeout(later);
    let Some(Verdict::Partial { missing, .. }) = verdict(&mut scheduler) else {
        panic!("nothing is left to wait for");
    };
    assert_eq!(missing, RangeSet::from(16..32));
    // And when it comes after all, it changes nothing.
    scheduler.ended(later, request, EndCause::Done, &RangeSet::new());
    assert_eq!(verdict(&mut scheduler), None);
}

/// Lets a clock run that looks at everything every 100 ms. Calls `asked` for each request, and returns
/// the reasons that were named, with their times in milliseconds.
fn reasons(
    scheduler: &mut Scheduler,
    now: &mut Instant,
    ms: u64,
    mut asked: impl FnMut(&mut Scheduler, Instant, &samara_sched::Request),
) -> Vec<(u64, Option<Waiting>)> {
    let (start, mut reasons) = (*now, Vec::new());
    for _ in 0..=ms / 100 {
        scheduler.handle_timeout(*now);
        while let Some(output) = scheduler.poll_output() {
            match output {
                Output::Event(Event::Waiting { reason, .. }) => {
                    reasons.push((now.saturating_since(start).as_millis() as u64, reason));
                }
                Output::Request(request) => asked(scheduler, *now, &request),
                _ => {}
            }
        }
        *now = *now + Duration::from_millis(100);
    }
    reasons
}

/// A want of four groups, and two links to the peer that has them.
fn two_links() -> (Scheduler, Instant, WantId) {
    let now = Instant::from_micros(1_000_000);
    let peer = PeerId::from_bytes([2; 32]);
    let mut scheduler = Scheduler::new(SchedulerLimits::default());
    scheduler.source_up(now, SourceId(1), peer, 8);
    scheduler.source_up(now, SourceId(2), peer, 8);
    let mut spec = WantSpec::new(BlobId::from_bytes([7; 32]), [peer]);
    spec.size = Some(64 * 1024);
    spec.group = samara_base::GroupLog2::KIB16;
    let want = scheduler.want(now, spec).unwrap();
    (scheduler, now, want)
}

//= rfcs/0007-transfer.md#xfer-2
//= type=test
//# A getter MUST name a waiting reason for every want that makes no progress.
#[test]
fn a_want_that_is_asked_over_two_silent_links_in_turn_waits_for_the_link() {
    let (mut scheduler, mut now, want) = two_links();
    let mut asked = Vec::new();
    let named = reasons(&mut scheduler, &mut now, 20_000, |_, _, request| {
        asked.push(request.source.0);
    });
    assert_eq!(named, [(3000, Some(Waiting::Link))], "once, and it stays");
    // What is tried again is asked in smaller pieces.
    asked.dedup();
    assert_eq!(asked, [1, 2, 1], "back to the first after a pause");
    assert_eq!(scheduler.status(want).unwrap().waiting, Some(Waiting::Link));
}

#[test]
fn a_second_link_to_the_same_peer_takes_over_from_a_silent_one() {
    let (mut scheduler, mut now, _) = two_links();
    let named = reasons(&mut scheduler, &mut now, 5_000, |scheduler, now, request| {
        if request.source == SourceId(2) {
            for leaf in (0..64).step_by(16) {
                scheduler.arrived(now, request.id, leaf..leaf + 16, 16 * 1024);
            }
            scheduler.accepted(now, request.id, &(0..64).into(), &RangeSet::new(), true);
        }
    });
    assert_eq!(named, [(3000, Some(Waiting::Link)), (3000, None)]);
    assert_eq!(scheduler.wants(), 0, "it has all");
}

//= rfcs/0007-transfer.md#xfer-2
//= type=test
//# A getter MUST name a waiting reason for every want that makes no progress.
#[test]
fn a_want_whose_source_answers_another_waits_for_the_budget() {
    let (mut scheduler, mut now, silent) = two_links();
    scheduler.source_down(now, SourceId(2));
    let peer = PeerId::from_bytes([2; 32]);
    let mut spec = WantSpec::new(BlobId::from_bytes([8; 32]), [peer]);
    spec.size = Some(32 << 20);
    let other = scheduler.want(now, spec).unwrap();
    let (mut told, mut requests) = (Vec::new(), VecDeque::new());
    for _ in 0..100 {
        // A request of the other want every 100 ms.
        let named = reasons(&mut scheduler, &mut now, 0, |_, _, request| {
            if request.want == other {
                requests.push_back(request.clone());
            }
        });
        told.extend(named.into_iter().map(|(_, reason)| reason));
        let request = requests.pop_front().unwrap();
        for run in request.ranges.runs() {
            scheduler.arrived(now, request.id, run.clone(), 1024 * (run.end - run.start));
        }
        scheduler.accepted(now, request.id, &request.ranges, &RangeSet::new(), false);
        scheduler.ended(now, request.id, EndCause::Done, &RangeSet::new());
    }
    assert_eq!(told, [Some(Waiting::Budget)]);
    assert_eq!(scheduler.status(silent).unwrap().waiting, Some(Waiting::Budget));
    assert_eq!(scheduler.status(other).unwrap().waiting, None);
}
