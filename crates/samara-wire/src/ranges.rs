//! Run-length range sets.
//!
//! ```text
//! +---------+--------+-----------+--------+-----------+
//! | count v | skip v | len - 1 v | skip v | len - 1 v | ...   v = varint, count runs
//! +---------+--------+-----------+--------+-----------+
//! ```
//!
//! `skip` of the first run counts from 0, of each later run from one past the end of the run
//! before it: two runs can't touch, so a gap of 1 is written as 0. Every set has one encoding.
//!
//! ```
//! use samara_base::RangeSet;
//! use samara_wire::ranges;
//!
//! let set = RangeSet::from_iter([0..16, 32..48]);
//! let mut out = Vec::new();
//! ranges::encode(&set, ranges::RUNS_MAX, &mut out)?;
//! assert_eq!(out, [2, 0, 15, 15, 15]);
//! assert_eq!(ranges::decode(&out, ranges::RUNS_MAX)?, (set, &[][..]));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use alloc::vec::Vec;

use bytes::BufMut;
use nom::Parser;
use samara_base::RangeSet;

pub use crate::limits::{LEAVES_END_MAX, RUNS_MAX};
use crate::{
    DecodeError, DecodeReason, EncodeError, Field,
    parse::{Fault, Parsed, flat, varint, varint_max},
    varint,
};

/// Takes the range set at the start of `input`; returns it and the rest.
///
/// # Errors
///
/// [`DecodeError`] for more than `runs_max` runs, an end above [`LEAVES_END_MAX`], a varint that
/// is not minimal, or an input that ends too early.
pub fn decode(input: &[u8], runs_max: usize) -> Result<(RangeSet, &[u8]), DecodeError> {
    match ranges(Field::RangeSet, runs_max).parse(input) {
        Ok((rest, set)) => Ok((set, rest)),
        Err(error) => Err(flat(error, input).place(input.len())),
    }
}

/// Appends a range set to `out`.
///
/// # Errors
///
/// [`EncodeError::TooLarge`] for more than `runs_max` runs or an end above [`LEAVES_END_MAX`];
/// nothing is written then.
///
/// # Panics
///
/// If `out` has a fixed capacity and is full, as every [`BufMut`] method does.
pub fn encode(set: &RangeSet, runs_max: usize, out: &mut impl BufMut) -> Result<(), EncodeError> {
    put(set, Field::RangeSet, runs_max, out)
}

/// The first `runs_max` runs of `set`, for a sender whose set has more than a message carries.
#[must_use]
pub fn first_runs(set: &RangeSet, runs_max: usize) -> RangeSet {
    set.runs().iter().take(runs_max).cloned().collect()
}

/// Bytes that the encoding of `set` takes at most. Unit: bytes.
pub(crate) fn len_max(set: &RangeSet) -> usize {
    2 * varint::LEN_MAX * (set.runs().len() + 1)
}

pub(crate) fn put(
    set: &RangeSet,
    field: Field,
    runs_max: usize,
    out: &mut impl BufMut,
) -> Result<(), EncodeError> {
    let (runs, max) = (set.runs().len() as u64, runs_max.min(RUNS_MAX) as u64);
    if runs > max {
        return Err(EncodeError::TooLarge { field, found: runs, max });
    }
    if set.end() > LEAVES_END_MAX {
        return Err(EncodeError::TooLarge { field, found: set.end(), max: LEAVES_END_MAX });
    }
    varint::encode(runs, out)?;
    let mut floor = 0;
    for run in set.runs() {
        varint::encode(run.start - floor, out)?;
        varint::encode(run.end - run.start - 1, out)?;
        floor = run.end + 1;
    }
    Ok(())
}

/// A range set of at most `runs_max` runs.
pub(crate) fn ranges<'a>(
    field: Field,
    runs_max: usize,
) -> impl Parser<&'a [u8], Output = RangeSet, Error = Fault> {
    //= rfcs/0003-encoding.md#enc-5
    //# A decoder MUST reject a range set that has more runs than its field allows.
    let mut count = varint_max(field, runs_max.min(RUNS_MAX) as u64);
    move |input: &'a [u8]| {
        let (rest, count) = count.parse(input)?;
        runs(rest, field, count)
    }
}

fn runs(mut input: &[u8], field: Field, count: u64) -> Parsed<'_, RangeSet> {
    //= rfcs/0003-encoding.md#enc-7
    //# A decoder MUST NOT reserve memory for more runs than the bytes at hand can hold.
    let room = usize::try_from(count).unwrap_or(usize::MAX).min(input.len() / 2);
    let mut runs = Vec::with_capacity(room);
    let mut floor = 0;
    for _ in 0..count {
        let start_of_run = input;
        let (rest, (skip, more)) = (varint(field), varint(field)).parse(input)?;
        // No overflow: a varint is below 2^62 and `floor` at most 2^54 + 1.
        let start = floor + skip;
        let end = start + more + 1;
        //= rfcs/0003-encoding.md#enc-6
        //# A decoder MUST reject a range set that has a run which ends above 2^54.
        if end > LEAVES_END_MAX {
            let reason = DecodeReason::TooLarge { found: end, max: LEAVES_END_MAX };
            return Fault::at(start_of_run, field, reason);
        }
        runs.push(start..end);
        floor = end + 1;
        input = rest;
    }
    Ok((input, RangeSet::from_iter(runs)))
}
