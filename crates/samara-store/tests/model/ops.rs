//! What can be done to a store, and when.

use proptest::{prelude::*, strategy::Union};

use crate::reference::Model;

/// Files of the user's that blobs are shared from.
pub(crate) const FILES: u8 = 3;

/// One step. `at` says which content of the pool it is about.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Put {
        at: usize,
    },
    Import {
        at: usize,
    },
    /// Writes the content to a file of the user's and shares it.
    Share {
        at: usize,
        file: u8,
    },
    /// The user changes a shared file.
    Touch {
        file: u8,
    },
    /// Receives some transfers, or all; goes on where an earlier one stopped.
    Receive(Receive),
    Remove {
        at: usize,
    },
    /// Keeps a reader open over what comes.
    Watch {
        at: usize,
    },
    Export {
        at: usize,
    },
    Verify {
        at: usize,
    },
    Tag {
        at: usize,
        name: u8,
    },
    Untag {
        name: u8,
    },
    Pin {
        at: usize,
        reason: u8,
    },
    Unpin {
        at: usize,
        reason: u8,
    },
    /// Keeps a blob for some hours.
    Lease {
        at: usize,
        reason: u8,
        hours: u8,
    },
    Release {
        at: usize,
        reason: u8,
    },
    /// An hour passes.
    Pass,
    /// For whom a blob is held.
    Class {
        at: usize,
        carried: bool,
    },
    /// Notes a use.
    Use {
        at: usize,
    },
    /// Evicts until so much is given back.
    Evict {
        carried: bool,
        needed: u64,
    },
    /// Reads all again, with such a budget.
    Scrub {
        budget: u64,
    },
    /// Removes what has neither a name, a pin nor a lease.
    Collect,
    /// Flips a bit of a shared file, and not its time.
    Rot {
        file: u8,
        byte: usize,
    },
    Checkpoint,
    Reopen,
    /// The process dies, the machine does not.
    Kill,
    /// The power fails; with a seed, some of what was not synced survives.
    Crash {
        seed: Option<u64>,
    },
}

/// A part of a transfer of a blob.
#[derive(Clone, Debug)]
pub(crate) struct Receive {
    pub(crate) at: usize,
    /// Unit of proof.
    pub(crate) group: u8,
    /// Which transfers out of each four are sent.
    pub(crate) pick: u8,
    /// All are sent, whatever `pick` says.
    pub(crate) all: bool,
    /// Into a file instead of segments.
    pub(crate) file: bool,
    /// The source flips a bit of this byte.
    pub(crate) lie: Option<usize>,
}

impl Receive {
    /// Whether the transfer of this number is sent.
    pub(crate) const fn sends(&self, number: usize) -> bool {
        self.all || self.pick >> (number % 4) & 1 == 1
    }
}

/// The steps that make sense in a state.
pub(crate) fn ops(model: &Model) -> BoxedStrategy<Op> {
    let at = || 0..model.pool.len();
    let file = || 0..FILES;
    let small = || 0..3_u8;
    let receive = (at(), 0..8_u8, 1..16_u8, any::<bool>(), any::<bool>());
    let receive = (receive, prop::option::weighted(0.2, any::<usize>()));
    let receive = receive.prop_map(|((at, group, pick, all, file), lie)| {
        Op::Receive(Receive { at, group, pick, all, file, lie })
    });
    let mut found = vec![
        (3, at().prop_map(|at| Op::Put { at }).boxed()),
        (2, at().prop_map(|at| Op::Import { at }).boxed()),
        (3, (at(), file()).prop_map(|(at, file)| Op::Share { at, file }).boxed()),
        (6, receive.boxed()),
        (1, at().prop_map(|at| Op::Watch { at }).boxed()),
        (1, (at(), small()).prop_map(|(at, name)| Op::Tag { at, name }).boxed()),
        (1, (at(), small()).prop_map(|(at, reason)| Op::Pin { at, reason }).boxed()),
        (
            1,
            (at(), small(), 0..4_u8)
                .prop_map(|(at, reason, hours)| Op::Lease { at, reason, hours })
                .boxed(),
        ),
        (1, (at(), small()).prop_map(|(at, reason)| Op::Release { at, reason }).boxed()),
        (1, Just(Op::Pass).boxed()),
        (2, (at(), any::<bool>()).prop_map(|(at, carried)| Op::Class { at, carried }).boxed()),
        (1, at().prop_map(|at| Op::Use { at }).boxed()),
        (
            1,
            (any::<bool>(), 1..300_000_u64)
                .prop_map(|(carried, needed)| Op::Evict { carried, needed })
                .boxed(),
        ),
        (1, (1..400_000_u64).prop_map(|budget| Op::Scrub { budget }).boxed()),
        (1, Just(Op::Collect).boxed()),
        (1, Just(Op::Checkpoint).boxed()),
        (1, Just(Op::Reopen).boxed()),
        (1, Just(Op::Kill).boxed()),
        (2, prop::option::of(any::<u64>()).prop_map(|seed| Op::Crash { seed }).boxed()),
    ];
    // What needs something to be there is drawn only from what is there.
    let known: Vec<usize> = model.known().collect();
    if !known.is_empty() {
        let one = || prop::sample::select(known.clone());
        found.push((3, one().prop_map(|at| Op::Remove { at }).boxed()));
        found.push((1, one().prop_map(|at| Op::Export { at }).boxed()));
        found.push((1, one().prop_map(|at| Op::Verify { at }).boxed()));
    }
    let files: Vec<u8> = model.files.keys().copied().collect();
    if !files.is_empty() {
        let one = || prop::sample::select(files.clone());
        found.push((1, one().prop_map(|file| Op::Touch { file }).boxed()));
        found.push((
            3,
            (one(), any::<usize>()).prop_map(|(file, byte)| Op::Rot { file, byte }).boxed(),
        ));
    }
    let names: Vec<u8> = model.now.tags.keys().copied().collect();
    if !names.is_empty() {
        let one = prop::sample::select(names);
        found.push((1, one.prop_map(|name| Op::Untag { name }).boxed()));
    }
    let pins: Vec<_> = model.pins().collect();
    if !pins.is_empty() {
        let one = prop::sample::select(pins);
        found.push((1, one.prop_map(|(at, reason)| Op::Unpin { at, reason }).boxed()));
    }
    Union::new_weighted(found).boxed()
}

/// Whether a step still makes sense after others were taken out.
pub(crate) fn is_allowed(model: &Model, op: &Op) -> bool {
    let in_pool = |at: usize| at < model.pool.len();
    match op {
        Op::Put { at }
        | Op::Import { at }
        | Op::Share { at, .. }
        | Op::Watch { at }
        | Op::Tag { at, .. }
        | Op::Pin { at, .. }
        | Op::Lease { at, .. }
        | Op::Release { at, .. }
        | Op::Class { at, .. }
        | Op::Use { at }
        | Op::Receive(Receive { at, .. }) => in_pool(*at),
        Op::Remove { at } | Op::Export { at } | Op::Verify { at } => {
            in_pool(*at) && model.blob(*at).is_some()
        }
        Op::Unpin { at, reason } => {
            in_pool(*at) && model.now.pins.contains(&(model.id(*at), *reason))
        }
        Op::Untag { name } => model.now.tags.contains_key(name),
        Op::Touch { file } => model.files.contains_key(file),
        Op::Rot { file, .. } => model.can_rot(*file),
        Op::Pass
        | Op::Evict { .. }
        | Op::Scrub { .. }
        | Op::Collect
        | Op::Checkpoint
        | Op::Reopen
        | Op::Kill
        | Op::Crash { .. } => true,
    }
}
