//! Random operations on a store, with readers, rot, crashes and reopening, against maps.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod book;
mod check;
mod ops;
mod reference;
#[path = "../support/mod.rs"]
mod support;
mod system;

use proptest::test_runner::Config;
use proptest_state_machine::{StateMachineTest, prop_state_machine};

use crate::{ops::Op, reference::Model, system::System};

impl StateMachineTest for System {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(reference: &Model) -> Self {
        Self::new(reference)
    }

    fn apply(mut state: Self, _: &Model, op: Op) -> Self {
        state.follow(&op);
        state
    }

    fn check_invariants(state: &Self, reference: &Model) {
        check::invariants(state, reference);
    }
}

/// A quarter of the usual cases, since each is long; `PROPTEST_CASES` counts.
fn config() -> Config {
    let usual = Config::default();
    Config { cases: usual.cases.div_ceil(4), ..usual }
}

prop_state_machine! {
    #![proptest_config(config())]

    //= rfcs/0009-store.md#store-1
    //= type=test
    //# A store MUST verify every byte against the blob's id before it counts the byte as held.
    //= rfcs/0009-store.md#store-5
    //= type=test
    //# After any crash a store MUST hold everything that it acknowledged.
    //= rfcs/0009-store.md#store-19
    //= type=test
    //# A store MUST NOT read a shared file as a blob once its size or time of last change differs from what was recorded.
    #[test]
    fn any_sequence_of_operations_equals_the_model(sequential 1..30 => System);
}
