//! Runs of the model, driven through two real meshes in step.

use samara_sched::Verdict as Reached;
use stateright::Model;

use crate::{
    explore::{Action, World},
    frame::{Lane, Side},
    real::{Real, told},
    setup::{Budget, Kind, Mutation, Setup},
    state::{Phase, State, Verdict},
};

/// xorshift64: the same walks everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let mixed = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(mixed % sides as u64).expect("few sides")
    }
}

/// Whether real meshes can be brought to it alone: a real clock that goes on so far makes nothing else
/// happen, and what a hostile peer says is left to the tests of `samara-mesh`.
fn is_for_real(state: &State, action: Action) -> bool {
    let want = &state.getter.want;
    let opening = state.phase(Side::Getter) == Some(Phase::Opening);
    match action {
        Action::Rogue(..) => false,
        Action::Retry => want.busy && !want.expects(),
        Action::Deadline => !opening,
        Action::HelloTimeout(side) => side == Side::Source || !want.retry,
        Action::Tick => !want.busy,
        _ => true,
    }
}

fn verdict(real: &Reached) -> Verdict {
    match real {
        Reached::Complete => Verdict::Complete,
        Reached::Cancelled => Verdict::Cancelled,
        Reached::Expired => Verdict::Expired,
        Reached::NoProvider => Verdict::NoProvider,
        Reached::Unavailable => Verdict::Unavailable,
        Reached::Partial { .. } => Verdict::Partial,
        Reached::TooLarge { .. } => Verdict::TooLarge,
        Reached::ProviderLied { .. } => Verdict::ProviderLied,
        Reached::Local => Verdict::Local,
        other => panic!("the model has no {other:?}"),
    }
}

/// What both can tell of themselves after a step.
fn compare(state: &State, real: &Real) -> Result<(), String> {
    for side in Side::BOTH {
        let phase = state.phase(side).map(|phase| format!("{phase:?}"));
        if real.phase(side) != phase {
            return Err(format!("{side:?}: {:?}, not {phase:?}", real.phase(side)));
        }
        for lane in Lane::BOTH {
            let frames = &state.wires[side as usize][lane as usize];
            let expected: Vec<_> = frames.iter().copied().map(told).collect();
            let found = real.queue(side, lane);
            if found != expected {
                return Err(format!("to {side:?}, {lane:?}: {found:?}, not {expected:?}"));
            }
        }
    }
    let (held, ended) = (state.getter.held, state.getter.want.verdict);
    if real.held != held || real.verdict.as_ref().map(verdict) != ended {
        let (found, verdict) = (real.held, &real.verdict);
        return Err(format!("holds {found:#b}, {verdict:?}; not {held:#b}, {ended:?}"));
    }
    Ok(())
}

fn setup() -> Setup {
    let budget = Budget {
        links: 3,
        cuts: 1,
        getter_crashes: 1,
        source_crashes: 1,
        retries: 1,
        whims: 2,
        ..Budget::default()
    };
    Setup { budget, deadline: true, mutation: Mutation::None, ..Setup::faults() }
}

/// One walk, from its first state to where nothing can happen. The actions, and what differed.
fn walk(world: &World, kind: Kind, dice: &mut Dice) -> (Vec<Action>, Result<State, String>) {
    let mut state = world.init_states().into_iter().find(|state| state.kind == kind);
    let mut state = state.take().expect("every kind has a first state");
    let mut real = Real::new(kind);
    let mut actions = Vec::new();
    loop {
        let mut choice = Vec::new();
        world.actions(&state, &mut choice);
        choice.retain(|action| is_for_real(&state, *action));
        if choice.is_empty() {
            return (actions, Ok(state));
        }
        // Faults and whims rarely, so that walks get somewhere.
        if dice.roll(4) > 0 && choice.iter().any(|action| action.is_progress()) {
            choice.retain(|action| action.is_progress());
        }
        // One way in which the getter crashes weighs as much as any other fault.
        let crash = Action::CrashGetter { kept: u8::try_from(dice.roll(8)).unwrap() };
        choice.retain(|action| !matches!(action, Action::CrashGetter { .. }) || *action == crash);
        if choice.is_empty() {
            continue;
        }
        let action = choice[dice.roll(choice.len())];
        actions.push(action);
        state = world.after(&state, action);
        real.act(action);
        if let Err(difference) = compare(&state, &real) {
            return (actions, Err(difference));
        }
    }
}

#[test]
fn two_real_meshes_do_what_the_model_does() {
    let world = World::new(setup());
    let mut dice = Dice(0x5eed);
    let (mut steps, mut verdicts) = (0, Vec::new());
    for kind in Kind::EVERY {
        for number in 0..WALKS {
            let (actions, result) = walk(&world, *kind, &mut dice);
            steps += actions.len();
            match result {
                Ok(state) => verdicts.extend(state.getter.want.verdict),
                Err(difference) => panic!("{kind:?}, walk {number}: {difference}\n{actions:?}"),
            }
        }
    }
    verdicts.sort_unstable();
    verdicts.dedup();
    assert_eq!(verdicts.len(), 9, "each verdict was reached: {verdicts:?}");
    assert!(steps > 10_000, "{steps} steps");
}

#[test]
fn a_model_that_is_wrong_differs_from_the_meshes() {
    for mutation in [
        Mutation::HoldsBeforeVerification,
        Mutation::SendsBeyondCredit,
        Mutation::ServesWhatIsCancelled,
        Mutation::AsksAgain,
        Mutation::KeepsRequests,
        Mutation::ForgetsNothing,
    ] {
        let world = World::new(setup().with(mutation));
        let mut dice = Dice(0x5eed);
        let differs = |kind: &Kind| (0..WALKS).any(|_| walk(&world, *kind, &mut dice).1.is_err());
        assert!(Kind::EVERY.iter().any(differs), "{mutation:?}");
    }
}

/// Per kind of source.
const WALKS: usize = 150;
