//! Data that is described instead of listed. Spec: RFC 0014, section "Values".

use serde_json::{Value, json};

use super::{
    Outcome,
    json::{Object, number, to_number},
};

/// Longest data that a description makes. Unit: bytes.
const LEN_MAX: usize = 64 << 20;

/// Byte i is i mod 251, but for those whose lowest bit is flipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub(crate) len: usize,
    /// Strictly ascending.
    flip: Vec<usize>,
}

impl Pattern {
    pub(crate) const fn new(len: usize) -> Self {
        Self { len, flip: Vec::new() }
    }

    pub(super) fn read(value: &Value) -> Outcome<Self> {
        let object = Object::new(value)?;
        let len = object.number("len")?;
        if len > LEN_MAX {
            return Err(format!("{len} bytes are more than this subject makes"));
        }
        let flip = match object.optional("flip") {
            Some(Value::Array(list)) => list.iter().map(to_number).collect::<Outcome<Vec<_>>>()?,
            Some(other) => return Err(format!("`flip`: {other} is no list")),
            None => Vec::new(),
        };
        if !flip.is_sorted_by(|a, b| a < b) || flip.last().is_some_and(|last| *last >= len) {
            return Err("`flip` does not ascend or leaves the data".to_owned());
        }
        Ok(Self { len, flip })
    }

    /// Flips the lowest bit of a byte, or back.
    pub(crate) fn flip(&mut self, at: usize) {
        match self.flip.binary_search(&at) {
            Ok(place) => {
                self.flip.remove(place);
            }
            Err(place) => self.flip.insert(place, at),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut value = json!({ "len": number(self.len) });
        if !self.flip.is_empty() {
            value["flip"] = self.flip.iter().map(number).collect();
        }
        value
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..=250).cycle().take(self.len).collect();
        for at in &self.flip {
            if let Some(byte) = bytes.get_mut(*at) {
                *byte ^= 1;
            }
        }
        bytes
    }
}
