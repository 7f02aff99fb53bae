//! What a source can not hold up by saying nothing.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use core::time::Duration;

use samara_base::{BlobId, Instant, PeerId, RangeSet};
use samara_sched::{
    Event, Output, RequestId, Scheduler, SchedulerLimits, SourceId, Verdict, WantSpec,
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
    scheduler.ended(later, request, samara_sched::EndCause::Done, &RangeSet::new());
    assert_eq!(verdict(&mut scheduler), None);
}
