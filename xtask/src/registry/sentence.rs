//! Numbers that are written a second time: in the sentence of a requirement, in another table, or in
//! a constant that a limit follows from.

use std::collections::BTreeMap;

use super::{
    FILE, Registry,
    table::{Row, Table},
};

/// What stands before a limit in a sentence.
const BOUNDS: [&str; 7] =
    ["more than ", "longer than ", "above ", "below ", "at most ", "at least ", " to "];

/// How a sentence may write a small number.
const WORDS: [&str; 4] = ["zero", "one", "two", "three"];

impl Registry {
    /// Each limit has its value here, or shows that of another table.
    pub(super) fn check_limits(&self, problems: &mut Vec<String>) {
        for table in self.tables.iter().filter(|table| table.is_of_limits()) {
            for row in &table.rows {
                let mut problem = |what: &str| {
                    problems.push(format!("{FILE}: {}: {}: {what}", table.id, row.name))
                };
                let cell = |key: &str| row.cells.get(key).map(String::as_str);
                match cell("as").map(|other| self.named(other)) {
                    Some(None) => problem("`as` is no `TABLE CONST` with a value"),
                    Some(Some(shown)) => {
                        let text = cell("text").map(str::to_owned).or_else(|| table.shown(row));
                        if !says(&text.unwrap_or_default(), &shown) {
                            problem(&format!("does not say {shown}, as what it repeats"));
                        }
                    }
                    // Numbers with a status are not limits; a verdict has no value at all.
                    None if row.value.is_none() && cell("text").is_some() => {
                        problem("neither a `value`, nor `as` what it repeats");
                    }
                    None => {}
                }
                if cell("equals").is_some() && row.value.is_none() {
                    problem("`equals` without a `value`");
                }
                if cell("derived").is_some()
                    && (cell("equals").is_none() || table.derived.is_none())
                {
                    problem(
                        "derived, but not asserted: `equals` in the row, `derived` in the table",
                    );
                }
            }
        }
    }

    /// The value of a row that is named by its table and its constant.
    fn named(&self, name: &str) -> Option<String> {
        let (id, constant) = name.split_once(' ')?;
        let table = self.tables.iter().find(|table| table.id == id)?;
        table.shown(table.rows.iter().find(|row| row.constant() == constant)?)
    }

    /// A requirement that a limit names says its value, and none says another limit.
    pub(super) fn check_sentences(
        &self,
        sentences: &BTreeMap<String, String>,
        problems: &mut Vec<String>,
    ) {
        let rows =
            || self.tables.iter().flat_map(|table| table.rows.iter().map(move |r| (table, r)));
        for (table, row) in rows() {
            for id in requirements(row) {
                let shown = table.shown(row).unwrap_or_default();
                let problem = match sentences.get(id) {
                    None => format!("{id} is no requirement in force"),
                    Some(sentence) if !says_or_spells(sentence, &shown) => {
                        format!("{id} does not say {shown}")
                    }
                    Some(_) => continue,
                };
                problems.push(format!("{FILE}: {}: {}: {problem}", table.id, row.name));
            }
        }
        for (id, sentence) in sentences {
            let of_it = |(_, row): &(&Table, &Row)| requirements(row).any(|named| named == id);
            let listed: Vec<String> =
                rows().filter(of_it).filter_map(|(table, row)| table.shown(row)).collect();
            for bound in BOUNDS {
                for (at, _) in sentence.match_indices(bound) {
                    let number = sentence.get(at + bound.len()..).unwrap_or_default();
                    let is_listed = |shown: &String| starts_with(number, shown);
                    if number.starts_with(|c: char| c.is_ascii_digit())
                        && !listed.iter().any(is_listed)
                    {
                        let number = number.split(' ').next().unwrap_or(number);
                        problems.push(format!(
                            "{FILE}: no limit with `requirement = \"{id}\"` is {number}, which {id} says"
                        ));
                    }
                }
            }
        }
    }
}

/// The requirements that state a limit.
fn requirements(row: &Row) -> impl Iterator<Item = &str> {
    row.cells.get("requirement").into_iter().flat_map(|ids| ids.split(", "))
}

fn says_or_spells(sentence: &str, shown: &str) -> bool {
    let word = shown.parse().ok().and_then(|number: usize| WORDS.get(number));
    says(sentence, shown)
        || word.is_some_and(|word| sentence.split(' ').any(|other| other == *word))
}

/// Whether a text has a number, and not only as a part of another one.
fn says(text: &str, shown: &str) -> bool {
    !shown.is_empty()
        && text.match_indices(shown).any(|(at, _)| {
            let before = text.get(..at).unwrap_or_default();
            let is_part = |c: char| c.is_ascii_alphanumeric() || [',', '.', '^'].contains(&c);
            !before.ends_with(is_part) && starts_with(text.get(at..).unwrap_or_default(), shown)
        })
}

/// Whether a text begins with a number, and not with a longer one.
fn starts_with(text: &str, shown: &str) -> bool {
    text.strip_prefix(shown).is_some_and(|rest| {
        let digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let goes_on = |between: &str| rest.strip_prefix(between).is_some_and(digit);
        !["", ",", ".", "^"].into_iter().any(goes_on) && (shown.contains(" - ") || !goes_on(" - "))
    })
}
