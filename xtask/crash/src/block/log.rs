//! A disk that remembers each write and each flush, so that it can be made again as it was at any
//! moment.

use crate::{
    pages::{PAGE, Pages, pieces},
    random::Random,
};

/// What a disk was told.
#[derive(Clone, Debug)]
enum Entry {
    Write {
        at: u64,
        data: Vec<u8>,
    },
    Clear {
        from: u64,
        to: u64,
    },
    /// All before is on the medium.
    Flush,
}

/// How much of what was written since the last flush is on the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Nothing,
    Everything,
    /// Each write by chance, some in part. Unit: percent.
    Some(u64),
}

impl Kept {
    pub(crate) const fn draw(random: &mut Random) -> Self {
        match random.below(4) {
            0 => Self::Nothing,
            1 => Self::Everything,
            _ => Self::Some(1 + random.below(99)),
        }
    }
}

/// A disk with its history.
#[derive(Debug)]
pub(crate) struct Log {
    /// Before the first entry.
    first: Pages,
    pub(crate) now: Pages,
    /// Unit: bytes.
    pub(crate) size: u64,
    entries: Vec<Entry>,
    flushes: u64,
}

impl Log {
    pub(crate) fn new(image: Pages, size: u64) -> Self {
        Self { first: image.clone(), now: image, size, entries: Vec::new(), flushes: 0 }
    }

    pub(crate) fn write(&mut self, at: u64, data: &[u8]) {
        self.now.write(at, data);
        self.entries.push(Entry::Write { at, data: data.to_vec() });
    }

    pub(crate) fn clear(&mut self, from: u64, to: u64) {
        self.now.clear(from, to);
        self.entries.push(Entry::Clear { from, to });
    }

    pub(crate) fn flush(&mut self) {
        self.flushes += 1;
        self.entries.push(Entry::Flush);
    }

    /// How many entries there are: a moment.
    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) const fn flushes(&self) -> u64 {
        self.flushes
    }

    /// The moment right behind the last flush before `moment`, or the beginning.
    pub(crate) fn flushed_before(&self, moment: usize) -> usize {
        let before = self.entries.get(..moment).unwrap_or(&self.entries);
        before.iter().rposition(|entry| matches!(entry, Entry::Flush)).map_or(0, |at| at + 1)
    }

    /// The disk as it is when the power fails at `moment`.
    pub(crate) fn image(&self, moment: usize, kept: Kept, random: &mut Random) -> Pages {
        let flushed = self.flushed_before(moment);
        let (safe, rest) = self.entries.get(..moment).unwrap_or(&self.entries).split_at(flushed);
        let mut image = self.first.clone();
        for entry in safe {
            apply(&mut image, entry);
        }
        for entry in rest {
            match kept {
                Kept::Nothing => {}
                Kept::Everything => apply(&mut image, entry),
                Kept::Some(percent) if random.chance(percent) => apply(&mut image, entry),
                Kept::Some(percent) => {
                    // Never less than a block of 4 KiB, which all these file systems expect to be
                    // written as a whole: XFS can't be mounted with half of a directory's block.
                    if let Entry::Write { at, data } = entry
                        && random.chance(10)
                    {
                        for (at, data) in pieces(*at, data, PAGE) {
                            if random.chance(percent) {
                                image.write(at, data);
                            }
                        }
                    }
                }
            }
        }
        image
    }
}

fn apply(image: &mut Pages, entry: &Entry) {
    match entry {
        Entry::Write { at, data } => image.write(*at, data),
        Entry::Clear { from, to } => image.clear(*from, *to),
        Entry::Flush => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Log {
        let mut log = Log::new(Pages::default(), 1 << 20);
        log.write(0, &[1; 512]);
        log.flush();
        log.write(512, &[2; 512]);
        log.write(1024, &[3; 512]);
        log
    }

    fn firsts(image: &Pages) -> [u8; 3] {
        [0, 512, 1024].map(|at| {
            let mut byte = [0];
            image.read(at, &mut byte);
            byte[0]
        })
    }

    #[test]
    fn what_was_flushed_is_there_at_every_later_moment() {
        let log = log();
        let mut random = Random::new(1);
        assert_eq!(firsts(&log.image(4, Kept::Nothing, &mut random)), [1, 0, 0]);
        assert_eq!(firsts(&log.image(3, Kept::Everything, &mut random)), [1, 2, 0]);
        assert_eq!(firsts(&log.image(1, Kept::Nothing, &mut random)), [0, 0, 0]);
        assert_eq!((log.flushed_before(4), log.flushed_before(1)), (2, 0));
    }

    #[test]
    fn any_subset_of_the_rest_may_be_there() {
        let (log, mut random) = (log(), Random::new(1));
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            seen.insert(firsts(&log.image(4, Kept::Some(50), &mut random)));
        }
        assert_eq!(Vec::from_iter(seen), [[1, 0, 0], [1, 0, 3], [1, 2, 0], [1, 2, 3]]);
    }
}
