//! Two meshes and a link between them, in virtual time: whatever happens to the link, to the sources
//! and to the nodes, the promises of RFC 0005 and RFC 0007 hold.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ops;
mod reference;
mod system;
mod verdicts;
#[path = "../world/mod.rs"]
mod world;

use proptest::test_runner::Config;
use proptest_state_machine::{StateMachineTest, prop_state_machine};

use crate::{ops::Op, reference::Model, system::System};

impl StateMachineTest for System {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(reference: &Model) -> Self {
        Self::new(&reference.setup)
    }

    fn apply(mut state: Self, reference: &Model, op: Op) -> Self {
        state.follow(&op);
        state.watch();
        verdicts::check(&state, reference);
        state
    }

    fn teardown(mut state: Self, mut reference: Model) {
        reference.relink();
        state.end_well();
        verdicts::check(&state, &reference);
        verdicts::all_ended(&state, &reference);
    }
}

/// Half of the usual cases, since each is long; `PROPTEST_CASES` counts.
fn config() -> Config {
    let usual = Config::default();
    Config { cases: usual.cases.div_ceil(2), ..usual }
}

prop_state_machine! {
    #![proptest_config(config())]

    //= rfcs/0005-session.md#sess-6
    //= type=test
    //# A peer MUST NOT send DATA beyond the credit that it was granted.
    //= rfcs/0007-transfer.md#xfer-1
    //= type=test
    //# A getter MUST end every want with exactly one verdict.
    //= rfcs/0007-transfer.md#xfer-2
    //= type=test
    //# A getter MUST name a waiting reason for every want that makes no progress.
    //= rfcs/0007-transfer.md#xfer-3
    //= type=test
    //# A source MUST answer every WANT with exactly one END.
    //= rfcs/0007-transfer.md#xfer-6
    //= type=test
    //# A getter MUST ask for whole groups only.
    //= rfcs/0007-transfer.md#xfer-10
    //= type=test
    //# A getter MUST NOT store or pass on a byte before it is verified.
    #[test]
    fn whatever_happens_to_a_pair_its_wants_end_as_they_may(sequential 1..30 => System);
}
