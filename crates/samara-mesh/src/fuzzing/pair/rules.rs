//! What must be true of a pair, at any time and at the end.

use alloc::vec::Vec;
use core::time::Duration;

use samara_base::leaves;
use samara_sched::{Verdict, Waiting};

use super::{Pair, STEPS_MAX, Wanted};
use crate::{fuzzing::disk::Malice, io::Input};

/// Virtual time within which every want ends once nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(600);
/// After so long without a link, everybody knows.
const LONELY: Duration = Duration::from_secs(1);

impl Pair {
    /// Whoever has no link says so. How long a silent link may take depends on its round trips, which may
    /// be as long as the input says.
    pub(super) fn watch(&mut self) {
        let now = self.now;
        let known = self.nodes.iter().all(|node| node.inbox.is_empty());
        self.lonely = self.lonely.or(Some(now)).filter(|_| known && self.links.is_empty());
        let Some(lonely) = self.lonely else { return };
        for node in &self.nodes {
            for wanted in &node.wants {
                let Some(status) = node.mesh.status(wanted.id) else { continue };
                if now.saturating_since(lonely.max(wanted.opened)) > LONELY {
                    assert_eq!(status.waiting, Some(Waiting::NoProvider), "{status:?}");
                }
            }
        }
    }

    /// What must be true at any time.
    pub(super) fn check(&self) {
        for node in &self.nodes {
            for wanted in &node.wants {
                let (status, verdict) =
                    (node.mesh.status(wanted.id), node.verdicts.get(&wanted.id));
                assert!(status.is_some() != verdict.is_some(), "open or ended, one of them");
                let counted = match (status, verdict) {
                    // What lies beyond the end in which it believes does not count.
                    (Some(status), _) => {
                        let end = status.size.map_or(0, leaves);
                        wanted.ranges.within(&(0..end)).difference(&status.missing)
                    }
                    (None, Some(Verdict::Complete)) => wanted.ranges.clone(),
                    _ => continue,
                };
                let unproven = counted.difference(&node.verified[wanted.at]);
                assert!(unproven.is_empty(), "{unproven} counts as held and was never verified");
            }
        }
    }

    /// Nothing goes wrong any more: every want ends.
    pub(super) fn end_well(&mut self) {
        self.reachable = true;
        for side in 0..2 {
            let node = &mut self.nodes[side];
            (node.disk.malice, node.disk.broken) = (Malice::None, false);
            node.disk.mend();
            self.claim(side, None);
            self.awake(side);
        }
        let end = self.now + PATIENCE;
        for _ in 0..STEPS_MAX {
            if self.deliver_one(0, 0) || self.deliver_one(1, 0) {
                continue;
            }
            self.check();
            if self.nodes.iter().all(|node| node.verdicts.len() == node.wants.len()) {
                return self.all_ended();
            }
            let Some((at, side)) = self.timer().filter(|(at, _)| *at < end) else { break };
            self.now = self.now.max(at);
            self.handle(side, Input::Timeout);
        }
        let open = |wanted: &Wanted| self.nodes.iter().find_map(|node| node.mesh.status(wanted.id));
        let open: Vec<_> =
            self.nodes.iter().flat_map(|node| &node.wants).filter_map(open).collect();
        panic!("at {:?} these wants have not ended: {open:?}", self.now);
    }

    fn all_ended(&self) {
        for link in self.links.keys() {
            self.wire.all_ended(*link);
        }
        for node in &self.nodes {
            assert_eq!(node.mesh.serving(), 0, "a source has forgotten all wants");
            for wanted in node.wants.iter().filter(|wanted| !wanted.excused) {
                let verdict = &node.verdicts[&wanted.id];
                assert_eq!(*verdict, Verdict::Complete, "nothing was in its way");
            }
        }
    }
}
