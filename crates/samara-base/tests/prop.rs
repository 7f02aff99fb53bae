//! Every operation of `RangeSet` equals the same operation on a plain set of numbers.

use core::{
    hash::{Hash as _, Hasher as _},
    ops::Range,
};
use std::{collections::BTreeSet, hash::DefaultHasher};

use proptest::prelude::*;
use samara_base::RangeSet;

const END: u64 = 64;

fn range() -> impl Strategy<Value = Range<u64>> {
    (0..END, 0..12_u64).prop_map(|(start, len)| start..(start + len).min(END))
}

fn model(set: &RangeSet) -> BTreeSet<u64> {
    set.runs().iter().cloned().flatten().collect()
}

fn assert_canonical(set: &RangeSet) {
    assert!(set.runs().iter().all(|run| run.start < run.end), "no empty run in {set:?}");
    assert!(set.runs().windows(2).all(|pair| pair[0].end < pair[1].start), "gaps in {set:?}");
}

fn hash(set: &RangeSet) -> u64 {
    let mut hasher = DefaultHasher::new();
    set.hash(&mut hasher);
    hasher.finish()
}

proptest! {
    #[test]
    fn inserts_and_removes_equal_the_model(ops in prop::collection::vec((any::<bool>(), range()), 0..40)) {
        let (mut set, mut expected) = (RangeSet::new(), BTreeSet::new());
        for (add, range) in ops {
            if add {
                expected.extend(range.clone());
                set.insert(range);
            } else {
                expected.retain(|value| !range.contains(value));
                set.remove(range);
            }
            assert_canonical(&set);
            prop_assert_eq!(model(&set), expected.clone());
            let anew: RangeSet = set.runs().iter().cloned().collect();
            prop_assert_eq!(&anew, &set, "equal, whatever the set once was");
            prop_assert_eq!(hash(&anew), hash(&set));
        }
        prop_assert_eq!(set.total(), expected.len() as u64);
        prop_assert_eq!(set.first(), expected.first().copied());
        prop_assert_eq!(set.end(), expected.last().map_or(0, |last| last + 1));
        for value in 0..END {
            prop_assert_eq!(set.contains(value), expected.contains(&value));
        }
    }

    #[test]
    fn algebra_equals_the_model(
        a in prop::collection::vec(range(), 0..10),
        b in prop::collection::vec(range(), 0..10),
        probe in range(),
        count in 0..END,
    ) {
        let flat = |ranges: &[Range<u64>]| ranges.iter().cloned().flatten().collect();
        let (x, y): (BTreeSet<u64>, BTreeSet<u64>) = (flat(&a), flat(&b));
        let (a, b) = (RangeSet::from_iter(a), RangeSet::from_iter(b));
        assert_canonical(&a);
        assert_canonical(&b);
        prop_assert_eq!((model(&a), model(&b)), (x.clone(), y.clone()));
        for (got, expected) in [
            (a.union(&b), x.union(&y).copied().collect::<BTreeSet<_>>()),
            (a.intersection(&b), x.intersection(&y).copied().collect()),
            (a.difference(&b), x.difference(&y).copied().collect()),
            (a.complement(END), (0..END).filter(|value| !x.contains(value)).collect()),
            (a.within(&probe), x.iter().copied().filter(|value| probe.contains(value)).collect()),
            (a.take(count), x.iter().copied().take(count as usize).collect()),
        ] {
            assert_canonical(&got);
            prop_assert_eq!(model(&got), expected);
        }
        prop_assert_eq!(a.contains_range(&probe), probe.clone().all(|value| x.contains(&value)));
        prop_assert_eq!(a.intersects(&probe), probe.clone().any(|value| x.contains(&value)));
    }

    #[test]
    fn sets_at_the_end_of_all_numbers_are_as_sets_at_the_start(
        a in prop::collection::vec(range(), 0..10),
        b in prop::collection::vec(range(), 0..10),
    ) {
        let end = u64::MAX;
        // The same, seen from the other end.
        let turned = |ranges: &[Range<u64>]| -> RangeSet {
            ranges.iter().map(|range| end - range.end..end - range.start).collect()
        };
        let (low_a, low_b) = (RangeSet::from_iter(a.clone()), RangeSet::from_iter(b.clone()));
        let (high_a, high_b) = (turned(&a), turned(&b));
        for (low, high) in [
            (low_a.union(&low_b), high_a.union(&high_b)),
            (low_a.intersection(&low_b), high_a.intersection(&high_b)),
            (low_a.difference(&low_b), high_a.difference(&high_b)),
        ] {
            assert_canonical(&high);
            prop_assert_eq!(turned(low.runs()), high);
        }
    }
}
