//! What each want may end in.
//!
//! The reference does not know when a frame arrives. It knows what has gone wrong while a want was
//! open, and each thing that goes wrong excuses some verdicts. What is not excused is a bug.

use core::fmt;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;
use samara_mesh::MeshConfig;
use samara_sched::Verdict;

use crate::{
    ops::{Ask, Op, is_allowed, ops},
    world::Malice,
};

/// A blob, and who holds how much of it at the beginning.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) size: u64,
    pub(crate) side: usize,
    /// The first half at most.
    pub(crate) half: bool,
}

/// The world before anything happens.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Unit: bytes per second; 0 for no limit.
    pub(crate) rate: u64,
    pub(crate) credit_bytes: u64,
    pub(crate) queue_bytes: u64,
    pub(crate) read_ahead_bytes: u64,
    pub(crate) wants_max: usize,
    pub(crate) contents: Vec<Content>,
}

impl Setup {
    pub(crate) fn config(&self) -> MeshConfig {
        MeshConfig {
            credit_bytes: self.credit_bytes,
            queue_bytes: self.queue_bytes,
            read_ahead_bytes: self.read_ahead_bytes,
            wants_per_session_max: self.wants_max,
            ..MeshConfig::default()
        }
    }
}

/// A verdict without what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Complete,
    Cancelled,
    Expired,
    NoProvider,
    Unavailable,
    Partial,
    TooLarge,
    ProviderLied,
    Local,
}

impl Kind {
    pub(crate) fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Complete => Self::Complete,
            Verdict::Cancelled => Self::Cancelled,
            Verdict::Expired => Self::Expired,
            Verdict::NoProvider => Self::NoProvider,
            Verdict::Unavailable => Self::Unavailable,
            Verdict::Partial { .. } => Self::Partial,
            Verdict::TooLarge { .. } => Self::TooLarge,
            Verdict::ProviderLied { .. } => Self::ProviderLied,
            Verdict::Local => Self::Local,
            other => panic!("a verdict that the test does not know: {other:?}"),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Want {
    pub(crate) side: usize,
    pub(crate) at: usize,
    pub(crate) ask: Ask,
    /// The node that wanted it has forgotten it.
    pub(crate) gone: bool,
    /// What it may end in, beside being complete.
    pub(crate) excused: BTreeSet<Kind>,
}

#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) setup: Setup,
    pub(crate) linked: bool,
    pub(crate) wants: Vec<Want>,
    malice: [Malice; 2],
    /// Has sent false bytes, proofs or sizes that the other side may remember.
    lied: [bool; 2],
    broken: [bool; 2],
    /// Contents that the source holds in part only, or damaged.
    lacking: BTreeSet<usize>,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.setup.fmt(f)
    }
}

impl Model {
    fn new(setup: Setup) -> Self {
        let halves = setup.contents.iter().enumerate().filter(|(_, content)| content.half);
        Self {
            lacking: halves.map(|(at, _)| at).collect(),
            setup,
            linked: false,
            wants: Vec::new(),
            malice: [Malice::None; 2],
            lied: [false; 2],
            broken: [false; 2],
        }
    }

    /// Wants that have not ended, as far as the reference can tell.
    pub(crate) fn open(&self) -> impl Iterator<Item = usize> {
        let open = |want: &Want| !want.gone && !want.excused.contains(&Kind::Cancelled);
        self.wants.iter().enumerate().filter(move |(_, want)| open(want)).map(|(at, _)| at)
    }

    /// What the state of things excuses a want for.
    fn excuses(&self, want: &Want) -> Vec<Kind> {
        let source = 1 - want.side;
        let mut kinds = Vec::new();
        if want.ask.deadline_ms.is_some() {
            kinds.push(Kind::Expired);
        }
        if want.ask.patience_ms.is_some() && !self.linked {
            kinds.push(Kind::NoProvider);
        }
        if want.ask.small {
            kinds.push(Kind::TooLarge);
        }
        if self.malice[source] == Malice::Refuse || self.setup.contents[want.at].side != source {
            kinds.extend([Kind::Unavailable, Kind::Partial]);
        }
        if self.lacking.contains(&want.at) {
            kinds.push(Kind::Partial);
        }
        if self.lied[source] {
            kinds.extend([Kind::Partial, Kind::ProviderLied]);
        }
        if matches!(self.malice[source], Malice::Size(_)) && want.ask.small {
            kinds.push(Kind::TooLarge);
        }
        if self.broken[want.side] {
            kinds.push(Kind::Local);
        }
        kinds
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Want { side, at, ref ask } => {
                let ask = ask.clone();
                let excused = BTreeSet::new();
                self.wants.push(Want { side, at, ask, gone: false, excused });
            }
            Op::Cancel { want } => {
                self.wants[want].excused.insert(Kind::Cancelled);
            }
            Op::Connect => self.linked = true,
            Op::Drop | Op::Close { .. } => self.linked = false,
            Op::Crash { side } => {
                self.linked = false;
                for want in self.wants.iter_mut().filter(|want| want.side == side) {
                    want.gone = true;
                }
                // What it knew of the other is gone as well.
                self.lied[1 - side] = self.lies(1 - side);
            }
            Op::Damage { at, .. } => {
                self.lacking.insert(at);
            }
            Op::Behave { side, malice } => {
                self.malice[side] = malice;
                self.lied[side] |= self.lies(side);
            }
            Op::Break { side, broken } => self.broken[side] = broken,
            // It may have been damaged before.
            Op::Grow { .. } | Op::Pass { .. } | Op::Deliver { .. } => {}
        }
        self.excuse();
    }

    /// The link goes down once more, and comes up again.
    pub(crate) fn relink(&mut self) {
        self.linked = false;
        self.excuse();
    }

    fn excuse(&mut self) {
        for number in self.open().collect::<Vec<_>>() {
            let kinds = self.excuses(&self.wants[number]);
            self.wants[number].excused.extend(kinds);
        }
    }

    fn lies(&self, side: usize) -> bool {
        let lies = [Malice::None, Malice::Silent, Malice::Refuse];
        !lies.contains(&self.malice[side])
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Op;

    fn init_state() -> BoxedStrategy<Self> {
        let size = prop_oneof![
            2 => 1..2000_u64,
            1 => Just(16_384),
            1 => Just(65_537),
            3 => 20_000..300_000_u64,
            2 => 300_000..1_500_000_u64,
        ];
        let content = (size, 0..2_usize, prop::bool::weighted(0.2));
        let content = content.prop_map(|(size, side, half)| Content { size, side, half });
        let contents = prop::collection::vec(content, 1..5);
        let rate = prop_oneof![Just(0), 300_000..5_000_000_u64];
        let credit = prop_oneof![2 => Just(512 << 10), 1 => Just(16 << 20)];
        let queue = prop_oneof![1 => Just(1_u64), 2 => Just(512 << 10)];
        let read_ahead = prop_oneof![1 => Just(1_u64), 2 => Just(1 << 20)];
        let wants_max = prop_oneof![1 => 1..4_usize, 2 => Just(1024)];
        (contents, rate, credit, queue, read_ahead, wants_max)
            .prop_map(|(contents, rate, credit_bytes, queue_bytes, read_ahead_bytes, wants_max)| {
                Self::new(Setup {
                    rate,
                    credit_bytes,
                    queue_bytes,
                    read_ahead_bytes,
                    wants_max,
                    contents,
                })
            })
            .boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Op> {
        ops(state)
    }

    fn preconditions(state: &Self, op: &Op) -> bool {
        is_allowed(state, op)
    }

    fn apply(mut state: Self, op: &Op) -> Self {
        state.step(op);
        state
    }
}
