//! The steps between states, to see that no run goes on for ever.

use core::hash::{BuildHasherDefault, Hash, Hasher};
use std::collections::HashMap;

/// A quick hash. States that it confuses could only make a cycle seem to be where none is.
#[derive(Debug, Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value.cast_unsigned() as u64);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(23) ^ value ^ 0x5a).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// States by their hash, and the steps between them.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    numbers: HashMap<u64, u32, BuildHasherDefault<Quick>>,
    steps: Vec<(u32, u32)>,
}

impl Graph {
    fn number(&mut self, state: &impl Hash) -> u32 {
        let mut hasher = Quick::default();
        state.hash(&mut hasher);
        let next = u32::try_from(self.numbers.len()).expect("few states");
        *self.numbers.entry(hasher.finish()).or_insert(next)
    }

    pub(crate) fn add<S: Hash>(&mut self, from: &S, to: &S) {
        let step = (self.number(from), self.number(to));
        self.steps.push(step);
    }

    /// Number of steps.
    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether some run comes back to where it was: takes away, one by one, states to which no step
    /// leads, until none is left or each of the rest is behind another one of the rest.
    pub(crate) fn has_cycle(&self) -> bool {
        let count = self.numbers.len();
        let mut into = vec![0_u32; count];
        let mut steps = self.steps.clone();
        steps.sort_unstable();
        for (_, to) in &steps {
            into[*to as usize] += 1;
        }
        let mut free: Vec<_> = (0..count).filter(|state| into[*state] == 0).collect();
        let mut taken = 0;
        while let Some(state) = free.pop() {
            taken += 1;
            let at = u32::try_from(state).expect("few states");
            let begin = steps.partition_point(|(from, _)| *from < at);
            for (_, to) in steps[begin..].iter().take_while(|(from, _)| *from == at) {
                let to = *to as usize;
                into[to] -= 1;
                if into[to] == 0 {
                    free.push(to);
                }
            }
        }
        taken < count
    }
}
