//! A state of the whole: both peers, what is on the link between them, and what may still go wrong.

pub(crate) use samara_sched::{Fault, Waiting as Reason};

use crate::{
    frame::{Code, Frame, Groups, Side, Truth},
    setup::{Budget, Kind},
};

/// Where a session stands. Spec: RFC 0005, section "States".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    Opening,
    Open,
    Closed,
}

/// One end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    pub(crate) phase: Phase,
    /// Groups that the peer may send us, those that it has sent, and those dealt with.
    pub(crate) granted: u8,
    pub(crate) received: u8,
    pub(crate) dealt: u8,
    /// Groups that we may send, and those sent.
    pub(crate) credit: u8,
    pub(crate) used: u8,
    /// Rights that the peer has shown.
    pub(crate) rights: u8,
    /// Our PING is out.
    pub(crate) ping: bool,
    pub(crate) next_want: u8,
    /// Nothing has come for too long.
    pub(crate) stalled: bool,
}

impl Session {
    /// Groups in the first credit: fewer than the blob has, so that the third has to wait.
    pub(crate) const WINDOW: u8 = 2;

    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Opening,
            granted: Self::WINDOW,
            received: 0,
            dealt: 0,
            credit: 0,
            used: 0,
            rights: 0,
            ping: false,
            next_want: 0,
            stalled: false,
        }
    }
}

/// How a want ended. Spec: RFC 0007, section "Verdicts".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Complete,
    Partial,
    Unavailable,
    NoProvider,
    ProviderLied,
    TooLarge,
    Expired,
    Cancelled,
    Local,
}

/// A request as the getter knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    /// Names it among all of this life.
    pub(crate) id: u8,
    pub(crate) number: u8,
    /// What was asked for, and what of it has come on the link.
    pub(crate) groups: Groups,
    pub(crate) came: Groups,
    /// Not yet arrived; arrived and not yet verified.
    pub(crate) open: Groups,
    pub(crate) arrived: Groups,
    /// The session still takes frames for it.
    pub(crate) asked: bool,
    /// Nothing more will come.
    pub(crate) ended: bool,
}

/// A group on its way to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    pub(crate) request: u8,
    pub(crate) group: u8,
    pub(crate) truth: Truth,
    /// The session that it came on is still there.
    pub(crate) session: bool,
}

/// The want: one at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Want {
    pub(crate) verdicts: u8,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) missing: Groups,
    pub(crate) requests: Vec<Request>,
    /// Some of it was here from the start, or has been accepted.
    pub(crate) begun: bool,
    pub(crate) waiting: Option<Reason>,
    /// What is known of the source with respect to this want.
    pub(crate) claims: Option<Groups>,
    pub(crate) lacks: Groups,
    pub(crate) bad: Groups,
    pub(crate) fault: Option<Fault>,
    pub(crate) retry: bool,
    pub(crate) busy: bool,
    pub(crate) muted: bool,
    pub(crate) too_large: bool,
}

/// The peer that wants the blob.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Getter {
    pub(crate) session: Option<Session>,
    pub(crate) want: Want,
    pub(crate) writes: Vec<Write>,
    pub(crate) next_request: u8,
    pub(crate) lies: u8,
    /// The transfer takes the session for one that can be asked.
    pub(crate) source_up: bool,
    /// On its disk and counted as held; of these, what is not the blob's.
    pub(crate) held: Groups,
    pub(crate) false_held: Groups,
}

/// Where a request stands at the source. Spec: RFC 0007, section "State of a request".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Serve {
    pub(crate) number: u8,
    pub(crate) wanted: Groups,
    /// What the store holds, once it has answered.
    pub(crate) held: Option<Groups>,
    pub(crate) issued: Groups,
    pub(crate) sent: Groups,
    pub(crate) damaged: Groups,
}

/// What the source's store has to answer, or has answered. One at a time: the read-ahead is a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    Opening {
        number: u8,
    },
    Reading {
        number: u8,
        group: u8,
    },
    /// Waits for credit.
    Ready {
        number: u8,
        group: u8,
        truth: Truth,
    },
    /// Was cancelled before the answer came.
    Orphan,
}

impl Slot {
    pub(crate) fn number(self) -> Option<u8> {
        match self {
            Self::Opening { number }
            | Self::Reading { number, .. }
            | Self::Ready { number, .. } => Some(number),
            Self::Orphan => None,
        }
    }
}

/// The peer that has the blob.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    pub(crate) session: Option<Session>,
    pub(crate) serves: Vec<Serve>,
    pub(crate) slot: Option<Slot>,
    /// What it found damaged; on its disk.
    pub(crate) quarantine: Groups,
    /// Its store has been busy, or has failed, once.
    pub(crate) was_busy: bool,
    /// Numbers of this session to which END was sent.
    pub(crate) ended: u8,
    /// What a getter that does not misbehave has granted in all.
    pub(crate) granted: u8,
}

/// What must never happen, and has. One bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Broken {
    DataBeyondCredit,
    SentBeyondCredit,
    FrameAfterClose,
    SecondEnd,
    DataAfterEnd,
    AskedLiar,
}

/// Whether the link is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Link {
    #[default]
    None,
    Up,
    /// It broke; one side or both have yet to notice.
    Cut,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) kind: Kind,
    pub(crate) getter: Getter,
    pub(crate) source: Source,
    pub(crate) link: Link,
    /// Frames on their way, by receiver and lane.
    pub(crate) wires: [[Vec<Frame>; 2]; 2],
    pub(crate) left: Budget,
    pub(crate) broken: u8,
}

impl State {
    pub(crate) fn session(&self, side: Side) -> Option<Session> {
        match side {
            Side::Getter => self.getter.session,
            Side::Source => self.source.session,
        }
    }

    pub(crate) fn session_mut(&mut self, side: Side) -> &mut Option<Session> {
        match side {
            Side::Getter => &mut self.getter.session,
            Side::Source => &mut self.source.session,
        }
    }

    pub(crate) fn phase(&self, side: Side) -> Option<Phase> {
        self.session(side).map(|session| session.phase)
    }

    /// Whether a frame of this kind is on its way to a side.
    pub(crate) fn under_way(&self, to: Side, frame: Frame) -> bool {
        self.wires[to as usize].iter().flatten().any(|other| *other == frame)
    }
}

/// The same names for a code as RFC 0003 has numbers.
pub(crate) fn code_number(code: Code) -> u8 {
    match code {
        Code::Done => 0,
        Code::Unavailable => 1,
        Code::Busy => 2,
        Code::Damaged => 4,
        Code::Cancelled => 5,
        Code::Internal => 6,
    }
}
