//! What can happen to two nodes, and when.

use proptest::{prelude::*, strategy::Union};
use samara_base::{Class, leaves};

use crate::{reference::Model, world::Malice};

/// One step. `at` says which content it is about, `side` which node.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Want {
        side: usize,
        at: usize,
        ask: Ask,
    },
    /// The caller wants no longer what it wanted, by the number of the want.
    Cancel {
        want: usize,
    },
    /// Virtual time goes by. Unit: milliseconds.
    Pass {
        ms: u64,
    },
    /// So many things happen, frames arrive above all.
    Deliver {
        count: usize,
    },
    Connect,
    Drop,
    /// Says CLOSE on the session.
    Close {
        side: usize,
    },
    /// Loses its memory, not its disk.
    Crash {
        side: usize,
    },
    /// A bit flips at the source.
    Damage {
        at: usize,
        byte: usize,
    },
    /// The source holds all of the content from now on.
    Grow {
        at: usize,
    },
    /// A node behaves like this from now on.
    Behave {
        side: usize,
        malice: Malice,
    },
    /// The store of a node takes nothing any more, or does again.
    Break {
        side: usize,
        broken: bool,
    },
}

/// How something is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// A part, by thousandths of the blob; all if `None`.
    pub(crate) part: Option<(u64, u64)>,
    pub(crate) hint: Hint,
    /// Largest unit of proof.
    pub(crate) group: u8,
    pub(crate) class: Class,
    /// The caller takes no blob as large as this one.
    pub(crate) small: bool,
    pub(crate) patience_ms: Option<u64>,
    pub(crate) deadline_ms: Option<u64>,
    pub(crate) grace_ms: u64,
}

/// What the caller believes of the size.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hint {
    None,
    True,
    False(u64),
}

fn ask() -> impl Strategy<Value = Ask> {
    let hint = prop_oneof![
        2 => Just(Hint::None),
        3 => Just(Hint::True),
        1 => (0..2_000_000_u64).prop_map(Hint::False),
    ];
    let part = prop::option::weighted(0.3, (0..1000_u64, 0..1000_u64));
    let group = prop_oneof![Just(4_u8), Just(6_u8)];
    let class = prop_oneof![Just(Class::Bulk), Just(Class::Interactive)];
    let patience = prop::option::weighted(0.3, 500..5000_u64);
    let deadline = prop::option::weighted(0.2, 1..5000_u64);
    let grace = prop_oneof![3 => Just(0), 1 => 1..5000_u64];
    let what = (part, hint, group, class, prop::bool::weighted(0.05));
    (what, (patience, deadline, grace)).prop_map(|(what, (patience_ms, deadline_ms, grace_ms))| {
        let (part, hint, group, class, small) = what;
        Ask { part, hint, group, class, small, patience_ms, deadline_ms, grace_ms }
    })
}

fn malice() -> impl Strategy<Value = Malice> {
    prop_oneof![
        3 => Just(Malice::None),
        1 => (0..300_u64).prop_map(Malice::FlipFrom),
        1 => Just(Malice::FlipProof),
        1 => prop_oneof![1..2_000_000_u64, Just(1 << 50)].prop_map(Malice::Size),
        1 => Just(Malice::Silent),
        1 => Just(Malice::Refuse),
    ]
}

/// The steps that make sense in a state.
pub(crate) fn ops(model: &Model) -> BoxedStrategy<Op> {
    let side = || 0..2_usize;
    let at = || 0..model.setup.contents.len();
    let contents = model.setup.contents.clone();
    // Mostly of the one who has it.
    let want = (at(), ask(), prop::bool::weighted(0.95)).prop_map(move |(at, ask, other)| {
        let holder = contents[at].side;
        Op::Want { side: if other { 1 - holder } else { holder }, at, ask }
    });
    let mut found = vec![
        (6, want.boxed()),
        (4, (1..2000_u64).prop_map(|ms| Op::Pass { ms }).boxed()),
        (1, (2000..30_000_u64).prop_map(|ms| Op::Pass { ms }).boxed()),
        (6, (1..40_usize).prop_map(|count| Op::Deliver { count }).boxed()),
        (1, side().prop_map(|side| Op::Crash { side }).boxed()),
        (2, (side(), malice()).prop_map(|(side, malice)| Op::Behave { side, malice }).boxed()),
        (1, (side(), any::<bool>()).prop_map(|(side, broken)| Op::Break { side, broken }).boxed()),
        (2, (at(), any::<usize>()).prop_map(|(at, byte)| Op::Damage { at, byte }).boxed()),
        (1, at().prop_map(|at| Op::Grow { at }).boxed()),
    ];
    if model.linked {
        found.push((1, Just(Op::Drop).boxed()));
        found.push((1, side().prop_map(|side| Op::Close { side }).boxed()));
    } else {
        found.push((12, Just(Op::Connect).boxed()));
    }
    let open: Vec<usize> = model.open().collect();
    if !open.is_empty() {
        found.push((1, prop::sample::select(open).prop_map(|want| Op::Cancel { want }).boxed()));
    }
    Union::new_weighted(found).boxed()
}

/// Whether a step still makes sense after others were taken out.
pub(crate) fn is_allowed(model: &Model, op: &Op) -> bool {
    let in_pool = |at: usize| at < model.setup.contents.len();
    match op {
        Op::Want { at, .. } | Op::Damage { at, .. } | Op::Grow { at } => in_pool(*at),
        Op::Cancel { want } => model.open().any(|open| open == *want),
        Op::Connect => !model.linked,
        Op::Drop | Op::Close { .. } => model.linked,
        Op::Pass { .. }
        | Op::Deliver { .. }
        | Op::Crash { .. }
        | Op::Behave { .. }
        | Op::Break { .. } => true,
    }
}

impl Ask {
    /// The leaves that are wanted of a blob; `None` for all.
    pub(crate) fn ranges(&self, size: u64) -> Option<samara_base::RangeSet> {
        let (one, other) = self.part?;
        let total = leaves(size);
        let (start, end) = (one.min(other) * total / 1000, one.max(other) * total / 1000 + 1);
        Some((start..end).into())
    }
}
