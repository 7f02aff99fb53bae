//! Rows of state tables: those that the model takes, and those that an RFC has.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// The tables, by their first state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    /// RFC 0005, "States".
    Session,
    /// RFC 0007, "State of a request".
    Request,
    /// RFC 0007, "State of a want".
    Want,
}

/// One transition: state, event, action, next state, in the words of the RFC.
pub(crate) type Row = (String, String, String, String);

/// What a peer does in a transition, in the order in which a row names it.
pub(crate) type Actions = Vec<&'static str>;

type Entry = (Table, &'static str, &'static str, Actions, &'static str);

/// The rows that were taken. A side effect of exploring; not part of any state.
#[derive(Debug, Default)]
pub(crate) struct Taken(Mutex<BTreeSet<Entry>>);

impl Taken {
    pub(crate) fn note(
        &self,
        table: Table,
        from: &'static str,
        event: &'static str,
        mut actions: Actions,
        to: &'static str,
    ) {
        actions.dedup();
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rows.insert((table, from, event, actions, to));
    }

    /// The rows of a table, as an RFC writes them.
    pub(crate) fn rows(&self, table: Table) -> BTreeSet<Row> {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_table = rows.iter().filter(|(of, ..)| *of == table);
        let row = |(_, from, event, actions, to): &Entry| {
            let action = if actions.is_empty() { "–".to_owned() } else { actions.join(", ") };
            ((*from).to_owned(), (*event).to_owned(), action, (*to).to_owned())
        };
        of_table.map(row).collect()
    }
}

/// The rows of the first table with the columns state, event, action and next under a heading. A row
/// of several states or next states, with commas between them, is a row of each.
pub(crate) fn of_rfc(text: &str, heading: &str) -> BTreeSet<Row> {
    let (_, section) = text.split_once(heading).expect("the heading is there");
    let header = "| state | event | action | next |\n| --- | --- | --- | --- |\n";
    let (before, table) = section.split_once(header).expect("the table is there");
    assert!(!before.contains("\n#"), "{heading}: the table is in another section");
    let mut rows = BTreeSet::new();
    for line in table.lines().take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [states, event, action, next] = cells[..] else { panic!("four cells: {line}") };
        for state in states.split(", ") {
            for next in next.split(", ") {
                let row = (state.into(), event.into(), action.into(), next.into());
                assert!(rows.insert(row), "twice in the table: {state}: {line}");
            }
        }
    }
    rows
}
