//! A model of the session and the transfer, explored to its end: two peers, a blob of three groups, and
//! every order in which frames, faults, crashes and timers can come. RFC 0005 and RFC 0007 are held to it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

mod bridge;
mod explore;
mod frame;
mod getter;
mod graph;
mod real;
mod rows;
mod setup;
mod source;
mod state;
mod step;

use explore::World;
use rows::{Row, Table};
use setup::{Mutation, Setup};
use stateright::{Checker, HasDiscoveries, Model};

/// Explores a world to its end: no property is broken, nothing goes round in circles.
fn check(name: &str, setup: Setup) -> (World, usize) {
    let world = World::new(setup);
    let checker = world.clone().checker().spawn_bfs().join();
    if let Some((property, path)) = checker.discoveries().into_iter().next() {
        let actions: Vec<_> = path.clone().into_vec().into_iter().map(|(_, then)| then).collect();
        panic!("{name}: {property}: {actions:?}\n{:#?}", path.last_state());
    }
    // No target and no time limit was set, so that it ends only when there is nothing left to explore.
    assert!(checker.is_done(), "{name}: all states are explored");
    // Stateright's `eventually` takes a run that comes back to a known state for one that ends well, so
    // that it proves nothing where runs meet again. Instead: a state in which nothing can happen has its
    // verdict, which is a property, and no run comes back to where it was. So every run ends, and with one.
    let graph = world.graph.lock().unwrap();
    assert!(!graph.has_cycle(), "{name}: a run goes on for ever");
    println!("{name}: {} states, {} steps", checker.unique_state_count(), graph.len());
    drop(graph);
    (world, checker.unique_state_count())
}

/// The property that a mistake breaks, found before anything else is.
fn finds(property: &'static str, setup: Setup) {
    let mutation = setup.mutation;
    let when = HasDiscoveries::AnyOf([property].into());
    let checker = World::new(setup).checker().finish_when(when).spawn_bfs().join();
    assert!(checker.discovery(property).is_some(), "{mutation:?} does not break: {property}");
}

/// The rows that one side has and the other has not.
fn compare(table: Table, taken: &BTreeSet<Row>, rfc: &BTreeSet<Row>) -> Vec<String> {
    let line = |what: &str, (state, event, action, next): &Row| {
        format!("{table:?}, {what}: | {state} | {event} | {action} | {next} |")
    };
    let unknown = taken.difference(rfc).map(|row| line("not in the RFC", row));
    let never = rfc.difference(taken).map(|row| line("never taken", row));
    unknown.chain(never).collect()
}

//= rfcs/0005-session.md#sess-4
//= type=test
//# A peer MUST close a session with code 2 on the first frame that it can not decode or that the state table does not allow.
//= rfcs/0005-session.md#sess-12
//= type=test
//# A peer MUST NOT send a frame after CLOSE.
//= rfcs/0007-transfer.md#xfer-1
//= type=test
//# A getter MUST end every want with exactly one verdict.
//= rfcs/0007-transfer.md#xfer-10
//= type=test
//# A getter MUST NOT store or pass on a byte before it is verified.
#[test]
fn every_run_keeps_the_properties_and_the_state_tables_have_what_happens_and_no_more() {
    let mut differences = Vec::new();
    let mut worlds = Vec::new();
    // The numbers of states, so that a world does not shrink unseen. Whoever changes the model changes them.
    for (name, setup, states) in [
        ("faults", Setup::faults(), 988_623),
        ("whims", Setup::whims(), 1_049_019),
        ("datagrams", Setup::datagrams(), 270_292),
        ("disorder", Setup::disorder(), 46_308),
    ] {
        let (world, count) = check(name, setup);
        if count != states {
            differences.push(format!("{name}: {count} states, not {states}"));
        }
        worlds.push(world);
    }
    let (session, transfer) = (
        include_str!("../../../../rfcs/0005-session.md"),
        include_str!("../../../../rfcs/0007-transfer.md"),
    );
    for (table, rfc, heading) in [
        (Table::Session, session, "### States\n"),
        (Table::Request, transfer, "### State of a request\n"),
        (Table::Want, transfer, "### State of a want\n"),
    ] {
        let taken = worlds.iter().flat_map(|world| world.taken.rows(table)).collect();
        differences.extend(compare(table, &taken, &rows::of_rfc(rfc, heading)));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_row_too_many_and_a_row_too_few_are_found() {
    let text = include_str!("../../../../rfcs/0007-transfer.md");
    let rows = rows::of_rfc(text, "### State of a request\n");
    assert!(rows.len() > 10 && compare(Table::Request, &rows, &rows).is_empty());
    let mut fewer = rows.clone();
    fewer.pop_first();
    assert_eq!(compare(Table::Request, &rows, &fewer).len(), 1);
    assert_eq!(compare(Table::Request, &fewer, &rows).len(), 1);
}

#[test]
fn every_property_finds_a_planted_mistake() {
    use Mutation as M;
    for (property, setup) in [
        ("only verified groups are held", Setup::faults().with(M::HoldsBeforeVerification)),
        ("no DATA is taken beyond the credit", Setup::whims().with(M::TakesBeyondCredit)),
        ("no DATA is sent beyond the credit", Setup::faults().with(M::SendsBeyondCredit)),
        ("no frame follows a CLOSE", Setup::whims().with(M::SpeaksAfterClose)),
        ("a WANT has one END at most", Setup::whims().with(M::ServesWhatIsCancelled)),
        ("no DATA follows the END of its WANT", Setup::whims().with(M::ServesWhatIsCancelled)),
        ("a liar is not asked again", Setup::faults().with(M::AsksAgain)),
        ("a want has one verdict at most", Setup::whims().with(M::EndsTwice)),
        ("what a want no longer needs is cancelled", Setup::whims().with(M::KeepsRequests)),
        ("a want that can not go on says why", Setup::whims().with(M::NoStallTimer)),
        (DEAD_END, Setup::faults().with(M::ForgetsNothing)),
        (DEAD_END, Setup::faults().with(M::WaitsForEnd)),
        // What RFC 0007 warns of: no deadline where frames vanish.
        (DEAD_END, Setup { deadline: false, ..Setup::datagrams() }),
    ] {
        finds(property, setup);
    }
}

#[test]
fn a_run_that_goes_on_for_ever_is_found() {
    let setup = Setup { kinds: &[setup::Kind::Silent], ..Setup::faults() };
    let world = World::new(setup.with(Mutation::StallFlaps));
    assert!(world.clone().checker().spawn_bfs().join().is_done());
    assert!(world.graph.lock().unwrap().has_cycle());
}

const DEAD_END: &str = "where nothing can happen, the want has its verdict";
