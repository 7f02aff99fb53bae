//! What must be true of every want, at any time and at the end.

use core::time::Duration;

use samara_base::{LEAF_BYTES, RangeSet, leaves};
use samara_mesh::io::{CloseReason, MeshEvent};
use samara_sched::{Event, Verdict, Waiting, WantId, WantStatus};

use crate::{
    ops::Hint,
    reference::{Kind, Model, Want},
    system::{System, Wanted},
};

/// A want that has not moved for so long has a reason.
const STILL: Duration = Duration::from_secs(20);
/// After so long without a link, everybody knows.
const LONELY: Duration = Duration::from_secs(1);

/// Looks at everything.
pub(crate) fn check(system: &System, reference: &Model) {
    stored(system);
    for (wanted, want) in system.wants.iter().zip(&reference.wants) {
        let Some(id) = wanted.id.filter(|_| !want.gone) else { continue };
        let node = &system.world.nodes[&wanted.peer];
        match (node.mesh.status(id), node.verdicts.get(&id)) {
            (Some(status), None) => open(system, wanted, id, &status),
            (None, Some(verdict)) => ended(system, wanted, want, verdict),
            (status, verdict) => panic!("{status:?}, {verdict:?}: open or ended, one of them"),
        }
        let cancelled = want.excused.contains(&Kind::Cancelled);
        assert!(!cancelled || node.verdicts.contains_key(&id), "a cancelled want has ended");
    }
    for node in system.world.nodes.values() {
        let broke = node.closes.iter().find(|reason| matches!(reason, CloseReason::Protocol(_)));
        assert_eq!(broke, None, "nobody breaks the protocol");
    }
}

/// Every byte that is stored is one of the blob's.
fn stored(system: &System) {
    for node in system.world.nodes.values() {
        for (id, receiving) in &node.receiving {
            let at = system.ids.iter().position(|known| known == id).unwrap();
            for (leaf, bytes) in &receiving.data {
                let from = usize::try_from(leaf * LEAF_BYTES).unwrap();
                let part = system.data[at].get(from..from + bytes.len());
                assert!(part == Some(&bytes[..]), "leaf {leaf} of {id} is false");
            }
        }
    }
}

/// What of a want was verified at some time. A store that is told another size before one is proven
/// starts over, so it need not have all of it any more.
fn verified(system: &System, wanted: &Wanted) -> RangeSet {
    let key = (wanted.peer, system.ids[wanted.at]);
    system.verified.get(&key).cloned().unwrap_or_default().union(&wanted.held)
}

fn open(system: &System, wanted: &Wanted, id: WantId, status: &WantStatus) {
    let end = status.size.map_or(0, leaves);
    let counted = wanted.ranges.within(&(0..end)).difference(&status.missing);
    let unproven = counted.difference(&verified(system, wanted));
    assert!(unproven.is_empty(), "{unproven} counts as held and was never verified");

    let now = system.world.now;
    let still = now.saturating_since(wanted.moved.1) > STILL;
    assert!(
        !still || status.waiting.is_some(),
        "it does not move, and nobody says why: {status:?}"
    );
    let lonely = system.lonely.map(|since| now.saturating_since(since.max(wanted.opened)));
    if lonely.is_some_and(|span| span > LONELY) {
        assert_eq!(status.waiting, Some(Waiting::NoProvider), "{status:?}");
    }
    let events = &system.world.nodes[&wanted.peer].events;
    let told = events.iter().rev().find_map(|event| match event {
        MeshEvent::Want(Event::Waiting { want, reason }) if *want == id => Some(*reason),
        _ => None,
    });
    assert_eq!(told.flatten(), status.waiting, "a change of reason is an event");
}

fn ended(system: &System, wanted: &Wanted, want: &Want, verdict: &Verdict) {
    let kind = Kind::of(verdict);
    let excused = kind == Kind::Complete || want.excused.contains(&kind);
    assert!(excused, "{verdict:?} of {want:?}, held {}", wanted.held);
    let missing = wanted.ranges.difference(&verified(system, wanted));
    match verdict {
        Verdict::Complete => assert!(missing.is_empty(), "complete without {missing}"),
        Verdict::Partial { missing: named, .. } => {
            let mut more = missing.difference(named);
            let misled = want.excused.contains(&Kind::ProviderLied);
            if misled || matches!(want.ask.hint, Hint::False(_)) {
                // What lies beyond the end in which it believed can't be named.
                more = more.within(&(0..named.end()));
            }
            assert!(more.is_empty(), "{more} is missing as well as {named}");
        }
        _ => {}
    }
}

/// Nothing goes wrong any more, and some time went by: all is over.
pub(crate) fn all_ended(system: &System, reference: &Model) {
    for (wanted, want) in system.wants.iter().zip(&reference.wants) {
        let Some(id) = wanted.id.filter(|_| !want.gone) else { continue };
        let node = &system.world.nodes[&wanted.peer];
        let status = node.mesh.status(id);
        assert!(node.verdicts.contains_key(&id), "no verdict: {want:?}, {status:?}");
    }
    for node in system.world.nodes.values() {
        assert_eq!(node.mesh.serving(), 0, "a source has forgotten all wants");
    }
}
