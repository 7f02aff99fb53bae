//! Which world is explored: who the source is, what may go wrong how often, and which mistake is planted.

use crate::frame::{ALL, Code, Groups};

/// What kind of source it is. Each check starts from several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Sound,
    /// This group is rotten on its disk; it finds out when it reads it.
    Damaged(u8),
    /// All of the blob is found damaged when it is looked up.
    Ruined,
    /// It never had the last group.
    Partial,
    /// It sends false bytes for these groups.
    Liar(Groups),
    /// It sends proofs that are none.
    Forger,
    /// It claims a size above what the want allows.
    Huge,
    Refuses,
    /// Its store is busy at the first WANT.
    Busy,
    /// Its store fails at the first WANT.
    Fails,
    /// When it comes to this group, its store says once that it fails, is busy or may not.
    Stops(u8, Code),
    /// It takes WANT and never answers.
    Silent,
    /// It sends false bytes for the second group, and no END.
    KeepsEnd,
}

impl Kind {
    /// All kinds, those with a group once for a group in the middle and once for the last.
    pub(crate) const EVERY: &'static [Self] = &[
        Self::Sound,
        Self::Damaged(1),
        Self::Damaged(2),
        Self::Ruined,
        Self::Partial,
        Self::Liar(0b010),
        Self::Liar(ALL),
        Self::Forger,
        Self::Huge,
        Self::Refuses,
        Self::Busy,
        Self::Fails,
        Self::Stops(0, Code::Internal),
        Self::Stops(1, Code::Internal),
        Self::Stops(1, Code::Unavailable),
        Self::Stops(1, Code::Busy),
        Self::Silent,
        Self::KeepsEnd,
    ];
}

/// How often each thing may still happen. Every fault costs one, so that the space of states ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// Links that can be had.
    pub(crate) links: u8,
    /// The link breaks, with all that is on it.
    pub(crate) cuts: u8,
    /// A frame vanishes; only where the carrier is not reliable.
    pub(crate) losses: u8,
    /// A frame arrives twice; likewise.
    pub(crate) duplicates: u8,
    /// A frame is overtaken by the next one of its lane; likewise.
    pub(crate) late: u8,
    pub(crate) getter_crashes: u8,
    pub(crate) source_crashes: u8,
    /// The getter's clock reaches the time to ask again.
    pub(crate) retries: u8,
    /// What peers and callers do at will: a frame that the protocol forbids, a cancel, a store that
    /// fails, a node that goes away, a timer that fires before it has to.
    pub(crate) whims: u8,
    /// A forbidden frame has been said.
    pub(crate) rogue: bool,
}

/// A mistake in the protocol that a property has to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    None,
    /// The getter counts a group as held when it arrives.
    HoldsBeforeVerification,
    /// The getter takes DATA whatever it granted.
    TakesBeyondCredit,
    /// The source sends whatever it was granted.
    SendsBeyondCredit,
    /// A peer goes on after its CLOSE.
    SpeaksAfterClose,
    /// The source answers CANCEL and goes on serving, up to a second END.
    ServesWhatIsCancelled,
    /// The getter does not notice that its want has ended.
    EndsTwice,
    /// The getter asks a liar again for what it lied about.
    AsksAgain,
    /// A want ends without CANCEL.
    KeepsRequests,
    /// A request that a broken session took away is not given back.
    ForgetsNothing,
    /// Silence is never noticed.
    NoStallTimer,
    /// Waits for the END of a request of which everything has come.
    WaitsForEnd,
    /// A stall is noticed, forgotten, and noticed again.
    StallFlaps,
}

/// One world.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) kinds: &'static [Kind],
    pub(crate) budget: Budget,
    /// Frames arrive, in order and once, or the link dies.
    pub(crate) reliable: bool,
    /// The want has a deadline.
    pub(crate) deadline: bool,
    /// What comes after the verdict is explored too.
    pub(crate) aftermath: bool,
    pub(crate) mutation: Mutation,
}

impl Setup {
    /// Cuts and crashes on a reliable link.
    pub(crate) fn faults() -> Self {
        Self {
            kinds: Kind::EVERY,
            budget: Budget {
                links: 3,
                cuts: 1,
                getter_crashes: 1,
                source_crashes: 1,
                retries: 1,
                ..Budget::default()
            },
            reliable: true,
            deadline: false,
            aftermath: true,
            mutation: Mutation::None,
        }
    }

    /// Timers, the caller's whims and what a hostile peer may say.
    pub(crate) fn whims() -> Self {
        Self {
            kinds: &[
                Kind::Sound,
                Kind::Damaged(1),
                Kind::Partial,
                Kind::Forger,
                Kind::Busy,
                Kind::Silent,
                Kind::KeepsEnd,
            ],
            budget: Budget { links: 1, retries: 1, whims: 1, ..Budget::default() },
            reliable: true,
            deadline: true,
            aftermath: true,
            mutation: Mutation::None,
        }
    }

    /// A carrier of datagrams: frames vanish and come twice.
    pub(crate) fn datagrams() -> Self {
        Self {
            kinds: &[Kind::Sound],
            budget: Budget {
                links: 2,
                losses: 1,
                duplicates: 1,
                source_crashes: 1,
                ..Budget::default()
            },
            reliable: false,
            deadline: true,
            aftermath: false,
            mutation: Mutation::None,
        }
    }

    /// A carrier of datagrams whose frames overtake each other.
    pub(crate) fn disorder() -> Self {
        Self {
            kinds: &[Kind::Sound, Kind::Damaged(1), Kind::Liar(0b010)],
            budget: Budget { links: 2, losses: 1, late: 1, ..Budget::default() },
            ..Self::datagrams()
        }
    }

    /// The same with a mistake.
    pub(crate) fn with(self, mutation: Mutation) -> Self {
        Self { mutation, ..self }
    }
}
