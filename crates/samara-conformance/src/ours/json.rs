//! Values in JSON. Spec: RFC 0014, section "Values".

use core::str::FromStr;

use data_encoding::HEXLOWER;
use samara_base::{BlobId, RangeSet};
use serde_json::{Map, Value};

use super::Outcome;

/// A number as a value.
pub(crate) fn number(value: impl ToString) -> Value {
    Value::String(value.to_string())
}

/// Bytes as a value.
pub(crate) fn bytes(value: &[u8]) -> Value {
    Value::String(HEXLOWER.encode(value))
}

/// A set as a value.
pub(crate) fn ranges(set: &RangeSet) -> Value {
    let runs = set.runs().iter();
    runs.map(|run| Value::Array(vec![number(run.start), number(run.end)])).collect()
}

/// An object whose keys are taken one by one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object<'a>(&'a Map<String, Value>);

impl<'a> Object<'a> {
    pub(super) fn new(value: &'a Value) -> Outcome<Self> {
        value.as_object().map(Self).ok_or_else(|| format!("{value} is no object"))
    }

    pub(super) const fn of(map: &'a Map<String, Value>) -> Self {
        Self(map)
    }

    pub(super) fn optional(self, key: &str) -> Option<&'a Value> {
        self.0.get(key)
    }

    pub(super) fn get(self, key: &str) -> Outcome<&'a Value> {
        self.0.get(key).ok_or_else(|| format!("the key `{key}` is missing"))
    }

    pub(super) fn text(self, key: &str) -> Outcome<&'a str> {
        let value = self.get(key)?;
        value.as_str().ok_or_else(|| format!("`{key}` is no text"))
    }

    pub(super) fn flag(self, key: &str) -> Outcome<bool> {
        let value = self.get(key)?;
        value.as_bool().ok_or_else(|| format!("`{key}` is neither true nor false"))
    }

    pub(super) fn number<N: FromStr + ToString>(self, key: &str) -> Outcome<N> {
        to_number(self.get(key)?).map_err(|error| format!("`{key}`: {error}"))
    }

    pub(super) fn bytes(self, key: &str) -> Outcome<Vec<u8>> {
        to_bytes(self.get(key)?).map_err(|error| format!("`{key}`: {error}"))
    }

    pub(super) fn id(self, key: &str) -> Outcome<BlobId> {
        let bytes = <[u8; 32]>::try_from(self.bytes(key)?);
        bytes.map(BlobId::from_bytes).map_err(|_| format!("`{key}` has not 32 bytes"))
    }

    pub(super) fn ranges(self, key: &str) -> Outcome<RangeSet> {
        to_ranges(self.get(key)?).map_err(|error| format!("`{key}`: {error}"))
    }

    pub(super) fn list(self, key: &str) -> Outcome<&'a [Value]> {
        let value = self.get(key)?;
        value.as_array().map(Vec::as_slice).ok_or_else(|| format!("`{key}` is no list"))
    }
}

pub(super) fn to_number<N: FromStr + ToString>(value: &Value) -> Outcome<N> {
    let number = value.as_str().and_then(|text| {
        // A sign or zeros in front would be a second way to write it.
        text.parse().ok().filter(|number: &N| number.to_string() == text)
    });
    number.ok_or_else(|| format!("{value} is no number in range"))
}

pub(super) fn to_bytes(value: &Value) -> Outcome<Vec<u8>> {
    let text = value.as_str().ok_or_else(|| format!("{value} is not hex"))?;
    HEXLOWER.decode(text.as_bytes()).map_err(|error| error.to_string())
}

pub(super) fn to_ranges(value: &Value) -> Outcome<RangeSet> {
    let runs = value.as_array().ok_or_else(|| format!("{value} is no set"))?;
    let mut set = RangeSet::new();
    for run in runs {
        let Some([start, end]) = run.as_array().map(Vec::as_slice) else {
            return Err(format!("{run} is no range"));
        };
        let (start, end) = (to_number::<u64>(start)?, to_number::<u64>(end)?);
        if start >= end || (!set.is_empty() && start <= set.end()) {
            return Err(format!("{run} is empty or not behind the range before it"));
        }
        set.insert(start..end);
    }
    Ok(set)
}
