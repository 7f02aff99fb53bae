//! What must be on the disk, and what may be: kept from what a worker says.
//!
//! Each thing that the store remembers is a *fact*: a key with one value at a time. The worker says
//! which value a fact may get before it begins, that it has it when the call has returned, and what
//! is acknowledged when a checkpoint has. After a crash a fact must have the value that was
//! acknowledged last, or one that was begun later.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use samara_base::RangeSet;

/// Something that the store, or a file system, remembers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A blob, by number.
    Blob(u32),
    /// A tag, by number.
    Tag(u32),
    /// Whether a blob is pinned.
    Pin(u32),
    /// A file of the user's below the root, by name.
    File(String),
}

/// The value of a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Not there.
    Nothing,
    /// A blob that is held completely; a pin.
    Whole,
    /// A blob of which some leaves are held.
    Held(RangeSet),
    /// The blob that a tag names, or that is in a file.
    Blob(u32),
}

/// What a worker says, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The store is open; recovery has made durable what it found.
    Opened,
    /// From now on a fact may have this value. The number rises from call to call.
    Begin(u64, Key, Value),
    /// All facts of this number have their value.
    End(u64),
    /// All facts up to this number are acknowledged.
    Ack(u64),
    /// The facts of this number are durable, whatever was before.
    Sure(u64),
    /// There is nothing more to do.
    Done,
}

impl Line {
    /// As one line of text, without its end.
    pub(crate) fn to_text(&self) -> String {
        match self {
            Self::Opened => "opened".into(),
            Self::Done => "done".into(),
            Self::End(number) => format!("end {number}"),
            Self::Ack(number) => format!("ack {number}"),
            Self::Sure(number) => format!("sure {number}"),
            Self::Begin(number, key, value) => {
                let key = match key {
                    Key::Blob(blob) => format!("blob {blob}"),
                    Key::Tag(tag) => format!("tag {tag}"),
                    Key::Pin(blob) => format!("pin {blob}"),
                    Key::File(name) => format!("file {name}"),
                };
                let value = match value {
                    Value::Nothing => "nothing".into(),
                    Value::Whole => "whole".into(),
                    Value::Blob(blob) => format!("blob {blob}"),
                    Value::Held(held) => held.runs().iter().fold("held".into(), |text, run| {
                        format!("{text} {} {}", run.start, run.end)
                    }),
                };
                format!("begin {number} {key} {value}")
            }
        }
    }

    /// The line that a text is.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut words = text.split(' ');
        let mut word = || words.next().with_context(|| format!("`{text}` is no whole line"));
        Ok(match word()? {
            "opened" => Self::Opened,
            "done" => Self::Done,
            "end" => Self::End(word()?.parse()?),
            "ack" => Self::Ack(word()?.parse()?),
            "sure" => Self::Sure(word()?.parse()?),
            "begin" => {
                let number = word()?.parse()?;
                let key = match (word()?, word()?) {
                    ("blob", blob) => Key::Blob(blob.parse()?),
                    ("tag", tag) => Key::Tag(tag.parse()?),
                    ("pin", blob) => Key::Pin(blob.parse()?),
                    ("file", name) => Key::File(name.into()),
                    _ => bail!("`{text}` has an unknown key"),
                };
                let value = match word()? {
                    "nothing" => Value::Nothing,
                    "whole" => Value::Whole,
                    "blob" => Value::Blob(word()?.parse()?),
                    "held" => {
                        let ends = words.map(str::parse).collect::<Result<Vec<u64>, _>>()?;
                        let mut held = RangeSet::new();
                        for run in ends.chunks_exact(2) {
                            if let [start, end] = *run {
                                held.insert(start..end);
                            }
                        }
                        Value::Held(held)
                    }
                    _ => bail!("`{text}` has an unknown value"),
                };
                Self::Begin(number, key, value)
            }
            _ => bail!("`{text}` was not understood"),
        })
    }
}

#[derive(Clone, Debug)]
struct Claim {
    number: u64,
    value: Value,
    ended: bool,
}

/// What may be on the disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// Oldest claim first; the first one is acknowledged. A key that is not here has nothing.
    facts: BTreeMap<Key, Vec<Claim>>,
    acks: u64,
    acked: u64,
}

impl Model {
    /// Takes in what the worker said. `found`: what was on the disk when the worker began, for
    /// [`Line::Opened`].
    pub(crate) fn hear(&mut self, line: Line, found: &BTreeMap<Key, Value>) {
        match line {
            Line::Opened => self.settle(found),
            Line::Begin(number, key, value) => {
                let claims = self.facts.entry(key).or_insert_with(|| {
                    vec![Claim { number: 0, value: Value::Nothing, ended: true }]
                });
                claims.push(Claim { number, value, ended: false });
            }
            Line::End(number) => {
                let all = self.facts.values_mut().flatten();
                all.filter(|claim| claim.number == number).for_each(|claim| claim.ended = true);
            }
            Line::Ack(number) => self.acknowledge(|claim| claim.ended && claim.number <= number),
            Line::Sure(number) => self.acknowledge(|claim| claim.number == number),
            Line::Done => {}
        }
    }

    /// The last claim of each key for which `durable` says so is the oldest that may still be true.
    fn acknowledge(&mut self, durable: impl Fn(&Claim) -> bool) {
        self.acks += 1;
        for claims in self.facts.values_mut() {
            let older = claims.iter().rposition(&durable).unwrap_or_default();
            self.acked += older as u64;
            claims.drain(..older);
        }
    }

    /// What recovery found is acknowledged from then on, and nothing else of it can come back. The
    /// numbers begin anew.
    pub(crate) fn settle(&mut self, found: &BTreeMap<Key, Value>) {
        for (key, claims) in &mut self.facts {
            // A file that was not looked at keeps what it may have.
            if let Some(value) = found.get(key) {
                claims.clear();
                claims.push(Claim { number: 0, value: value.clone(), ended: true });
            } else {
                claims.iter_mut().for_each(|claim| claim.number = 0);
                claims.iter_mut().skip(1).for_each(|claim| claim.ended = false);
            }
        }
    }

    /// The values that a fact may have.
    pub(crate) fn allowed(&self, key: &Key) -> Vec<&Value> {
        match self.facts.get(key) {
            Some(claims) => claims.iter().map(|claim| &claim.value).collect(),
            None => vec![&Value::Nothing],
        }
    }

    /// The value that a fact has if the process alone dies: that of the last call that returned.
    pub(crate) fn last_ended(&self, key: &Key) -> Option<&Value> {
        let claims = self.facts.get(key)?;
        claims.iter().rev().find(|claim| claim.ended).map(|claim| &claim.value)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.facts.keys()
    }

    /// Checkpoints that were acknowledged, and facts that became durable by them.
    pub(crate) const fn acknowledged(&self) -> (u64, u64) {
        (self.acks, self.acked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(number: u64, value: Value) -> Line {
        Line::Begin(number, Key::Blob(7), value)
    }

    #[test]
    fn lines_round_trip() -> Result<()> {
        let mut held = RangeSet::from(3..9);
        held.insert(20..21);
        for line in [
            Line::Opened,
            Line::Done,
            Line::End(3),
            Line::Ack(4),
            Line::Sure(4),
            begin(1, Value::Whole),
            begin(2, Value::Held(held)),
            begin(2, Value::Held(RangeSet::new())),
            Line::Begin(3, Key::Tag(1), Value::Blob(2)),
            Line::Begin(3, Key::Pin(1), Value::Nothing),
            Line::Begin(4, Key::File("a/b".into()), Value::Blob(2)),
        ] {
            assert_eq!(Line::parse(&line.to_text())?, line);
        }
        assert!(Line::parse("begin 3 blob").is_err());
        assert!(Line::parse("end x").is_err());
        Ok(())
    }

    #[test]
    fn an_acknowledgement_ends_what_was_before() {
        let (mut model, found) = (Model::default(), BTreeMap::new());
        let key = Key::Blob(7);
        assert_eq!(model.allowed(&key), [&Value::Nothing]);
        model.hear(begin(1, Value::Whole), &found);
        assert_eq!(model.allowed(&key), [&Value::Nothing, &Value::Whole]);
        // What has not returned can't be acknowledged by this.
        model.hear(Line::Ack(1), &found);
        assert_eq!(model.allowed(&key), [&Value::Nothing, &Value::Whole]);
        model.hear(Line::End(1), &found);
        model.hear(begin(2, Value::Nothing), &found);
        model.hear(Line::End(2), &found);
        model.hear(Line::Ack(1), &found);
        assert_eq!(model.allowed(&key), [&Value::Whole, &Value::Nothing]);
        model.hear(Line::Ack(2), &found);
        assert_eq!(model.allowed(&key), [&Value::Nothing]);
        assert_eq!(model.last_ended(&key), Some(&Value::Nothing));
    }

    #[test]
    fn one_call_may_be_durable_by_itself() {
        let (mut model, found) = (Model::default(), BTreeMap::new());
        for line in [begin(1, Value::Whole), Line::End(1), begin(2, Value::Nothing), Line::End(2)] {
            model.hear(line, &found);
        }
        model.hear(Line::Begin(3, Key::File("x".into()), Value::Blob(1)), &found);
        model.hear(Line::End(3), &found);
        model.hear(Line::Sure(3), &found);
        assert_eq!(model.allowed(&Key::File("x".into())), [&Value::Blob(1)]);
        assert_eq!(model.allowed(&Key::Blob(7)).len(), 3);
        assert_eq!(model.acknowledged(), (1, 1));
    }

    #[test]
    fn what_recovery_found_is_all_there_is() {
        let mut model = Model::default();
        model.hear(begin(5, Value::Whole), &BTreeMap::new());
        let found = BTreeMap::from([(Key::Blob(7), Value::Whole)]);
        model.hear(Line::Opened, &found);
        assert_eq!(model.allowed(&Key::Blob(7)), [&Value::Whole]);
        model.hear(begin(1, Value::Nothing), &found);
        assert_eq!(model.allowed(&Key::Blob(7)), [&Value::Whole, &Value::Nothing]);
    }
}
