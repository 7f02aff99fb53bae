use alloc::vec::Vec;
use core::{fmt, ops::Range};

use runs::Runs;

mod runs;

/// A set of `u64`s kept as sorted, disjoint, non-adjacent, non-empty runs.
///
/// The unit is the caller's: bytes, leaves or groups. Because equal sets have equal runs, the run
/// list is a canonical form and `==` is set equality. Operations that build a new set cost
/// O(runs of both); [`insert`](Self::insert) and [`remove`](Self::remove) cost O(log runs) plus the
/// move of the tail. A set that never had more than one run takes no allocation.
///
/// ```
/// use samara_base::RangeSet;
///
/// let mut set = RangeSet::from(0..10);
/// set.insert(10..20);
/// set.remove(5..6);
/// assert_eq!(set.runs(), [0..5, 6..20]);
/// assert_eq!(set.total(), 19);
/// assert!(set.contains(4) && !set.contains(5));
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct RangeSet {
    runs: Runs,
}

impl RangeSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { runs: Runs::Empty }
    }

    /// The runs: sorted, disjoint, non-adjacent, non-empty.
    #[must_use]
    pub const fn runs(&self) -> &[Range<u64>] {
        self.runs.as_slice()
    }

    /// Whether the set has no element.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.runs().is_empty()
    }

    /// Number of elements.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.runs().iter().map(|run| run.end - run.start).sum()
    }

    /// The smallest element.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.runs().first().map(|run| run.start)
    }

    /// One past the largest element, 0 for the empty set.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.runs().last().map_or(0, |run| run.end)
    }

    /// Whether `value` is in the set. O(log runs).
    #[must_use]
    pub fn contains(&self, value: u64) -> bool {
        let at = self.runs().partition_point(|run| run.end <= value);
        self.runs().get(at).is_some_and(|run| run.start <= value)
    }

    /// Whether every element of `range` is in the set. True for an empty range. O(log runs).
    #[must_use]
    pub fn contains_range(&self, range: &Range<u64>) -> bool {
        if range.start >= range.end {
            return true;
        }
        let at = self.runs().partition_point(|run| run.end <= range.start);
        self.runs().get(at).is_some_and(|run| run.start <= range.start && run.end >= range.end)
    }

    /// Whether some element of `range` is in the set. O(log runs).
    #[must_use]
    pub fn intersects(&self, range: &Range<u64>) -> bool {
        if range.start >= range.end {
            return false;
        }
        let at = self.runs().partition_point(|run| run.end <= range.start);
        self.runs().get(at).is_some_and(|run| run.start < range.end)
    }

    /// Adds a range. Empty ranges change nothing.
    pub fn insert(&mut self, range: Range<u64>) {
        let Runs::Many(runs) = &mut self.runs else {
            *self = self.union(&Self::from(range));
            return;
        };
        if range.start >= range.end {
            return;
        }
        let from = runs.partition_point(|run| run.end < range.start);
        let to = runs.partition_point(|run| run.start <= range.end);
        if from == to {
            runs.insert(from, range);
            return;
        }
        let start = runs.get(from).map_or(range.start, |run| run.start.min(range.start));
        let end = runs.get(to - 1).map_or(range.end, |run| run.end.max(range.end));
        runs.splice(from..to, core::iter::once(start..end));
    }

    /// Removes a range. Empty ranges change nothing.
    pub fn remove(&mut self, range: Range<u64>) {
        let Runs::Many(runs) = &mut self.runs else {
            *self = self.difference(&Self::from(range));
            return;
        };
        if range.start >= range.end {
            return;
        }
        let from = runs.partition_point(|run| run.end <= range.start);
        let to = runs.partition_point(|run| run.start < range.end);
        if from >= to {
            return;
        }
        let head = runs.get(from).map_or(0..0, |run| run.start..range.start);
        let tail = runs.get(to - 1).map_or(0..0, |run| range.end..run.end);
        let keep = [head, tail].into_iter().filter(|run| run.start < run.end);
        runs.splice(from..to, keep);
    }

    /// Elements of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let (mut left, mut right) = (self.runs().iter().peekable(), other.runs().iter().peekable());
        Self::from_sorted(core::iter::from_fn(|| {
            let first = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) if b.start < a.start => right.next(),
                (Some(_), _) => left.next(),
                (None, _) => right.next(),
            };
            first.cloned()
        }))
    }

    /// Elements of both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut runs = Runs::Empty;
        let (mut left, mut right) = (self.runs().iter().peekable(), other.runs().iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let (start, end) = (a.start.max(b.start), a.end.min(b.end));
            if start < end {
                runs.push(start..end);
            }
            if a.end <= b.end {
                left.next();
            } else {
                right.next();
            }
        }
        Self { runs }
    }

    /// Elements of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut runs = Runs::Empty;
        let mut at = 0;
        for run in self.runs() {
            let mut start = run.start;
            while let Some(hole) = other.runs().get(at) {
                if hole.end <= start {
                    at += 1;
                    continue;
                }
                if hole.start >= run.end {
                    break;
                }
                if hole.start > start {
                    runs.push(start..hole.start);
                }
                start = hole.end;
                if hole.end >= run.end {
                    break;
                }
                at += 1;
            }
            if start < run.end {
                runs.push(start..run.end);
            }
        }
        Self { runs }
    }

    /// Elements of `0..end` that are not in the set.
    #[must_use]
    pub fn complement(&self, end: u64) -> Self {
        Self::from(0..end).difference(self)
    }

    /// The elements inside `range`.
    #[must_use]
    pub fn within(&self, range: &Range<u64>) -> Self {
        self.intersection(&Self::from(range.clone()))
    }

    /// The first elements, at most `count` of them.
    #[must_use]
    pub fn take(&self, count: u64) -> Self {
        let mut left = count;
        let mut runs = Runs::Empty;
        for run in self.runs() {
            if left == 0 {
                break;
            }
            let len = left.min(run.end - run.start);
            runs.push(run.start..run.start + len);
            left -= len;
        }
        Self { runs }
    }

    /// Coalesces runs that are sorted by start.
    fn from_sorted(sorted: impl IntoIterator<Item = Range<u64>>) -> Self {
        let mut runs = Runs::Empty;
        for run in sorted.into_iter().filter(|run| run.start < run.end) {
            match runs.last_mut() {
                Some(last) if last.end >= run.start => last.end = last.end.max(run.end),
                _ => runs.push(run),
            }
        }
        Self { runs }
    }
}

impl From<Range<u64>> for RangeSet {
    fn from(range: Range<u64>) -> Self {
        Self::from_sorted([range])
    }
}

impl FromIterator<Range<u64>> for RangeSet {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut ranges = ranges.into_iter();
        let (Some(first), second) = (ranges.next(), ranges.next()) else { return Self::new() };
        let Some(second) = second else { return Self::from(first) };
        let mut all: Vec<_> = [first, second].into_iter().chain(ranges).collect();
        all.retain(|run| run.start < run.end);
        all.sort_unstable_by_key(|run| run.start);
        all.dedup_by(|run, last| {
            let joined = last.end >= run.start;
            if joined {
                last.end = last.end.max(run.end);
            }
            joined
        });
        Self { runs: Runs::Many(all) }
    }
}

impl fmt::Debug for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.runs()).finish()
    }
}

impl fmt::Display for RangeSet {
    /// Half-open runs separated by commas: `0..5,6..20`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, run) in self.runs().iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}..{}", run.start, run.end)?;
        }
        Ok(())
    }
}
