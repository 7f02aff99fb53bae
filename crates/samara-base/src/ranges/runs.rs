//! How a range set keeps its runs.

use alloc::{vec, vec::Vec};
use core::{
    hash::{Hash, Hasher},
    ops::Range,
};

/// Runs in ascending order. Nearly all sets have one or none, and these need no allocation.
#[derive(Clone, Debug, Default)]
pub(super) enum Runs {
    #[default]
    Empty,
    One(Range<u64>),
    /// Any number: what has grown once keeps its memory.
    Many(Vec<Range<u64>>),
}

impl Runs {
    pub(super) const fn as_slice(&self) -> &[Range<u64>] {
        match self {
            Self::Empty => &[],
            Self::One(run) => core::slice::from_ref(run),
            Self::Many(runs) => runs.as_slice(),
        }
    }

    pub(super) const fn last_mut(&mut self) -> Option<&mut Range<u64>> {
        match self {
            Self::Empty => None,
            Self::One(run) => Some(run),
            Self::Many(runs) => runs.as_mut_slice().last_mut(),
        }
    }

    pub(super) fn push(&mut self, run: Range<u64>) {
        match self {
            Self::Empty => *self = Self::One(run),
            Self::One(first) => *self = Self::Many(vec![first.clone(), run]),
            Self::Many(runs) => runs.push(run),
        }
    }
}

impl PartialEq for Runs {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Runs {}

impl Hash for Runs {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}
