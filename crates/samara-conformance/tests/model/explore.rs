//! The model as stateright sees it: what may happen in a state, and what must hold in each.

use std::sync::{Arc, Mutex, PoisonError};

use stateright::{Model, Property};

use crate::{
    frame::{ALL, Frame, Groups, Lane, Side, Truth},
    graph::Graph,
    rows::Taken,
    setup::{Kind, Mutation, Setup},
    state::{Broken, Getter, Link, Phase, Slot, Source, State, Verdict},
    step::Step,
};

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Connect,
    Deliver(Side, Lane),
    /// The source's store answers.
    StoreAnswers,
    /// The getter's verifier has looked at the oldest group.
    Verify,
    Tick,
    Stall,
    Retry,
    Patience,
    Deadline,
    Down(Side),
    HelloTimeout(Side),
    // What follows are faults and whims: nothing may depend on their coming.
    Cancel,
    FailLocal,
    Shutdown(Side),
    Cut,
    CrashGetter {
        /// Of what was written, what the disk has after all.
        kept: Groups,
    },
    CrashSource,
    Rogue(Side, Frame),
    Lose(Side, Lane),
    Duplicate(Side, Lane),
    /// The second frame of a lane comes before the first.
    Overtake(Side, Lane),
}

impl Action {
    /// Whether it happens by itself sooner or later, if nothing else does.
    pub(crate) fn is_progress(self) -> bool {
        matches!(
            self,
            Self::Connect
                | Self::Deliver(..)
                | Self::StoreAnswers
                | Self::Verify
                | Self::Tick
                | Self::Stall
                | Self::Retry
                | Self::Patience
                | Self::Down(_)
                | Self::HelloTimeout(_)
        )
    }
}

/// A world to explore, and what was seen on the way.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) taken: Arc<Taken>,
    pub(crate) graph: Arc<Mutex<Graph>>,
}

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        Self { setup, taken: Arc::default(), graph: Arc::default() }
    }

    fn is_enabled(&self, state: &State, action: Action) -> bool {
        let left = state.left;
        let getter = &state.getter;
        let open = getter.want.is_open();
        let queue = |to: Side, lane: Lane| state.wires[to as usize][lane as usize].len();
        let opening = |side| state.phase(side) == Some(Phase::Opening);
        let late = getter.session.is_some_and(|session| !session.stalled)
            && getter.source_up
            && getter.want.expects()
            && !getter.want.retry;
        match action {
            Action::Connect => open && state.link == Link::None && left.links > 0,
            Action::Deliver(to, lane) => queue(to, lane) > 0,
            Action::StoreAnswers => store_can_answer(state),
            Action::Verify => !getter.writes.is_empty(),
            Action::FailLocal => left.whims > 0 && open && !getter.writes.is_empty(),
            Action::Tick => {
                open && {
                    let (reason, verdict) = getter.outlook(self.setup.mutation);
                    verdict.is_some() || reason.is_some() && reason != getter.want.waiting
                }
            }
            Action::Stall => {
                let timer = self.setup.mutation != Mutation::NoStallTimer;
                open && late && timer && (left.whims > 0 || is_idle(state))
            }
            Action::Retry => open && getter.want.retry && left.retries > 0,
            Action::Patience => {
                // Whoever is known to be of no use is not waited for.
                let hopeless = getter.outlook(self.setup.mutation).1.is_some();
                let alone = open && state.link == Link::None && left.links == 0;
                alone && (!hopeless || getter.want.retry)
            }
            Action::Deadline => open && (self.setup.deadline || state.kind == Kind::Silent),
            Action::Down(side) => may_go_down(state, side),
            Action::HelloTimeout(side) => {
                let coming = state.under_way(side, Frame::Hello { common: true });
                opening(side) && state.link == Link::Up && (left.whims > 0 || !coming)
            }
            Action::Cancel => open && left.whims > 0,
            Action::Shutdown(side) => {
                let phase = state.phase(side);
                left.whims > 0 && phase.is_some() && phase != Some(Phase::Closed)
            }
            Action::Cut => left.cuts > 0 && state.link == Link::Up,
            Action::CrashGetter { kept } => {
                open && left.getter_crashes > 0 && kept & !getter.held == 0
            }
            Action::CrashSource => left.source_crashes > 0 && state.source.session.is_some(),
            Action::Rogue(to, _) => {
                let phase = state.phase(to);
                left.whims > 0 && phase.is_some() && phase != Some(Phase::Closed)
            }
            Action::Lose(to, lane) => left.losses > 0 && queue(to, lane) > 0,
            Action::Duplicate(to, lane) => left.duplicates > 0 && queue(to, lane) > 0,
            Action::Overtake(to, lane) => left.late > 0 && queue(to, lane) > 1,
        }
    }

    fn step<'a>(&'a self, state: &State) -> Step<'a> {
        Step::new(&self.setup, &self.taken, state)
    }

    /// All that could happen anywhere, before a look at the state.
    fn candidates(&self, state: &State, actions: &mut Vec<Action>) {
        use Action::{
            Cancel, Connect, CrashSource, Cut, Deadline, FailLocal, Patience, Retry, Stall,
            StoreAnswers, Tick, Verify,
        };
        actions.extend([Connect, StoreAnswers, Verify, Tick, Stall, Retry, Patience, Deadline]);
        actions.extend([Cancel, FailLocal, Cut, CrashSource]);
        actions.extend((0..=ALL).map(|kept| Action::CrashGetter { kept }));
        for side in Side::BOTH {
            actions.extend([
                Action::Down(side),
                Action::HelloTimeout(side),
                Action::Shutdown(side),
            ]);
            for lane in Lane::BOTH {
                actions.extend([Action::Deliver(side, lane), Action::Lose(side, lane)]);
                actions.extend([Action::Duplicate(side, lane), Action::Overtake(side, lane)]);
            }
        }
        if state.left.whims > 0 {
            actions.extend(rogue(state).into_iter().map(|(to, frame)| Action::Rogue(to, frame)));
        }
    }

    /// The state after an action.
    pub(crate) fn after(&self, state: &State, action: Action) -> State {
        let mut step = self.step(state);
        let left = &mut step.state.left;
        match action {
            Action::Connect => step.connect(),
            Action::Deliver(to, lane) => {
                let frame = step.state.wires[to as usize][lane as usize].remove(0);
                step.hear(to, frame);
            }
            Action::StoreAnswers => step.store_answers(),
            Action::Verify => step.verify(),
            Action::Tick => step.tick(),
            Action::Stall => {
                left.whims = left.whims.saturating_sub(1);
                step.stall();
            }
            Action::Retry => {
                left.retries -= 1;
                step.retry();
            }
            Action::Patience => step.expire(Verdict::NoProvider, "no source for so long"),
            Action::Deadline => step.expire(Verdict::Expired, "the deadline passes"),
            Action::Down(side) => step.down(side),
            Action::HelloTimeout(side) => {
                left.whims = left.whims.saturating_sub(1);
                step.hello_timeout(side);
            }
            fault => befall(&mut step, fault),
        }
        step.state
    }

    /// Whether something will happen by itself.
    fn goes_on(&self, state: &State) -> bool {
        // The usual case first, since it is asked of every state.
        !is_idle(state) || self.any_enabled(state, Action::is_progress)
    }

    /// Whether the caller will put an end to it.
    fn can_be_ended(&self, state: &State) -> bool {
        self.is_enabled(state, Action::Deadline)
    }

    fn any_enabled(&self, state: &State, of: fn(Action) -> bool) -> bool {
        let mut actions = Vec::new();
        self.actions(state, &mut actions);
        actions.into_iter().any(of)
    }
}

/// A fault or a whim.
fn befall(step: &mut Step<'_>, fault: Action) {
    let left = &mut step.state.left;
    match fault {
        Action::Cancel => {
            left.whims -= 1;
            step.cancel();
        }
        Action::FailLocal => {
            left.whims -= 1;
            step.fail_local();
        }
        Action::Shutdown(side) => {
            left.whims -= 1;
            step.shut_down(side);
        }
        Action::Cut => {
            left.cuts -= 1;
            step.cut();
        }
        Action::CrashGetter { kept } => {
            left.getter_crashes -= 1;
            crash_getter(step, kept);
        }
        Action::CrashSource => {
            left.source_crashes -= 1;
            crash_source(step);
        }
        Action::Rogue(to, frame) => {
            left.whims -= 1;
            left.rogue = true;
            step.hear(to, frame);
        }
        Action::Lose(to, lane) => {
            left.losses -= 1;
            step.state.wires[to as usize][lane as usize].remove(0);
        }
        Action::Duplicate(to, lane) => {
            left.duplicates -= 1;
            let frame = step.state.wires[to as usize][lane as usize][0];
            step.hear(to, frame);
        }
        Action::Overtake(to, lane) => {
            left.late -= 1;
            let frame = step.state.wires[to as usize][lane as usize].remove(1);
            step.hear(to, frame);
        }
        progress => unreachable!("{progress:?} is handled by the caller"),
    }
}

/// Power goes at the getter: what it knew is gone, and of what it wrote the disk has some. The caller
/// wants the blob again.
fn crash_getter(step: &mut Step<'_>, kept: Groups) {
    if step.state.link == Link::Up {
        step.cut();
    }
    let false_held = step.state.getter.false_held & kept;
    step.state.getter = Getter { held: kept, false_held, ..Getter::default() };
    step.rest_if_gone();
    step.open_want();
}

fn crash_source(step: &mut Step<'_>) {
    if step.state.link == Link::Up {
        step.cut();
    }
    let Source { quarantine, was_busy, .. } = step.state.source;
    step.state.source = Source { quarantine, was_busy, ..Source::default() };
    step.rest_if_gone();
}

fn store_can_answer(state: &State) -> bool {
    let open = state.phase(Side::Source) == Some(Phase::Open);
    let asked = match state.source.slot {
        Some(Slot::Opening { .. }) => state.kind != Kind::Silent,
        Some(Slot::Reading { .. } | Slot::Orphan) => true,
        Some(Slot::Ready { .. }) | None => false,
    };
    open && asked
}

/// Nothing is under way that could still bring the getter something.
fn is_idle(state: &State) -> bool {
    let quiet = state.wires.iter().flatten().all(Vec::is_empty);
    quiet && state.getter.writes.is_empty() && !store_can_answer(state)
}

/// A side notices the end of a link when it broke, when it closed it itself, or when the other has and
/// all that it sent before has arrived.
fn may_go_down(state: &State, side: Side) -> bool {
    let gone = state.session(side.other()).is_none();
    let drained = state.wires[side as usize].iter().all(Vec::is_empty);
    match state.phase(side) {
        None => false,
        Some(Phase::Closed) => true,
        Some(_) => state.link == Link::Cut || gone && drained,
    }
}

/// What a hostile peer may say to each side.
fn rogue(state: &State) -> Vec<(Side, Frame)> {
    let session = state.getter.session;
    let number = session.map_or(0, |session| session.next_want.saturating_sub(1));
    let (never, groups, truth) = (6, ALL, Truth::False);
    let either = [
        Frame::Hello { common: true },
        Frame::Hello { common: false },
        Frame::Present,
        Frame::Pong,
        Frame::Garbage,
        Frame::Later,
    ];
    let to_getter = [
        Frame::Have { number: never, held: ALL, huge: false },
        Frame::Data { number, group: 0, truth },
        Frame::Data { number, group: 1, truth },
        Frame::Data { number: never, group: 0, truth },
    ];
    let to_source = [
        Frame::Want { number, groups },
        Frame::Want { number: never, groups },
        Frame::Cancel(never),
    ];
    let mut all = Vec::new();
    all.extend(either.into_iter().chain(to_getter).map(|frame| (Side::Getter, frame)));
    all.extend(either.into_iter().chain(to_source).map(|frame| (Side::Source, frame)));
    all
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let start = |kind: &Kind| {
            let state = State {
                kind: *kind,
                getter: Getter::default(),
                source: Source::default(),
                link: Link::None,
                wires: Default::default(),
                left: self.setup.budget,
                broken: 0,
            };
            let mut step = self.step(&state);
            step.open_want();
            step.state
        };
        self.setup.kinds.iter().map(start).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if !self.setup.aftermath && !state.getter.want.is_open() {
            return;
        }
        self.candidates(state, actions);
        actions.retain(|action| self.is_enabled(state, *action));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let next = self.after(state, action);
        let mut graph = self.graph.lock().unwrap_or_else(PoisonError::into_inner);
        graph.add(state, &next);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("only verified groups are held", |_, state: &State| {
                state.getter.false_held == 0
            }),
            Property::always("no DATA is taken beyond the credit", |_, state: &State| {
                !is_broken(state, Broken::DataBeyondCredit)
            }),
            Property::always("no DATA is sent beyond the credit", |_, state: &State| {
                !is_broken(state, Broken::SentBeyondCredit)
            }),
            Property::always("no frame follows a CLOSE", |_, state: &State| {
                !is_broken(state, Broken::FrameAfterClose)
            }),
            Property::always("a WANT has one END at most", |_, state: &State| {
                !is_broken(state, Broken::SecondEnd)
            }),
            Property::always("no DATA follows the END of its WANT", |_, state: &State| {
                !is_broken(state, Broken::DataAfterEnd)
            }),
            Property::always("a liar is not asked again", |_, state: &State| {
                !is_broken(state, Broken::AskedLiar)
            }),
            Property::always("a want has one verdict at most", |_, state: &State| {
                state.getter.want.verdicts < 2
            }),
            Property::always(
                "what a want no longer needs is cancelled",
                |world: &Self, state: &State| is_cancelled(world, state),
            ),
            Property::always(
                "a want that can not go on says why",
                |world: &Self, state: &State| {
                    let want = &state.getter.want;
                    !want.is_open() || want.waiting.is_some() || world.goes_on(state)
                },
            ),
            Property::always(
                "where nothing can happen, the want has its verdict",
                |world: &Self, state: &State| {
                    !state.getter.want.is_open()
                        || world.goes_on(state)
                        || world.can_be_ended(state)
                },
            ),
        ]
    }
}

fn is_broken(state: &State, what: Broken) -> bool {
    state.broken & (1 << what as u8) != 0
}

/// A request of which the source has something to send, of a want that has ended, has its CANCEL under
/// way. Not so where frames vanish, or where a hostile peer made the request or its answer.
fn is_cancelled(world: &World, state: &State) -> bool {
    let open = |side| state.phase(side) == Some(Phase::Open);
    if state.getter.want.is_open()
        || state.link != Link::Up
        || state.left.rogue
        || !open(Side::Getter)
        || !open(Side::Source)
    {
        return true;
    }
    let unsent = state.source.serves.iter().filter(|serve| {
        let held = serve.held.unwrap_or(ALL);
        serve.wanted & held & !serve.sent & !serve.damaged != 0
    });
    let cancelled = |number| state.under_way(Side::Source, Frame::Cancel(number));
    !world.setup.reliable || unsent.map(|serve| serve.number).all(cancelled)
}
