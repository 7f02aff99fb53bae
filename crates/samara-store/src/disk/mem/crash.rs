//! What is left when the power fails.

use std::sync::{Arc, Mutex};

use super::{Change, Content, MemDisk, Node, hook::Hook, put, set_len};

impl MemDisk {
    /// The power fails and comes back. Without a seed everything unsynced is lost. With one, each
    /// unsynced write survives by the toss of a coin, some of them only in part, and so does each
    /// unsynced name: what a real disk may do.
    ///
    /// Files that were open before must not be used any more.
    pub fn crash(&self, seed: Option<u64>) {
        self.fail(&mut seed.map_or(Fate::Subset(0), |seed| Fate::Chance(Coin(seed))));
    }

    /// As [`crash`](Self::crash), where of the [`unsynced`](Self::unsynced) changes those survive whose
    /// bit is set, the first 64 of them.
    pub fn crash_subset(&self, survivors: u64) {
        self.fail(&mut Fate::Subset(survivors));
    }

    /// Changes that were not synced: writes, lengths, and directories with other names.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        let count = |node: &Node| match node {
            Node::Dir { now, durable } => usize::from(now != durable),
            Node::File(content) => content.unsynced.len(),
        };
        self.lock().nodes.values().map(count).sum()
    }

    /// A disk of its own in the same state.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.lock().clone())), hook: Hook::default() }
    }

    fn fail(&self, fate: &mut Fate) {
        let mut state = self.lock();
        for node in state.nodes.values_mut() {
            match node {
                Node::Dir { now, durable } => {
                    if now == durable {
                        continue;
                    }
                    if fate.spares() {
                        durable.clone_from(now);
                    } else {
                        now.clone_from(durable);
                    }
                }
                Node::File(content) => content.crash(fate),
            }
        }
        state.locks.clear();
        state.plan = None;
        state.cut = false;
        state.full = false;
        state.read_fault = false;
    }
}

/// Which changes survive. Of two ways in which a file's mode and time may come out of it, a subset
/// takes the worse one.
enum Fate {
    Chance(Coin),
    /// The next one by the lowest bit.
    Subset(u64),
}

impl Fate {
    /// Whether the next change survives.
    fn spares(&mut self) -> bool {
        match self {
            Self::Chance(coin) => coin.toss(),
            Self::Subset(bits) => {
                let spared = *bits & 1 == 1;
                *bits >>= 1;
                spared
            }
        }
    }

    /// How much of the next write survives. Unit: bytes.
    fn spares_of(&mut self, len: usize) -> usize {
        match self {
            Self::Chance(coin) => match coin.next() % 4 {
                0 | 1 => len,
                2 => 0,
                _ => usize::try_from(coin.next() % (len as u64 + 1)).unwrap_or_default(),
            },
            Self::Subset(_) => usize::from(self.spares()) * len,
        }
    }
}

/// A small generator of coin tosses, so that a crash is replayed by its seed.
struct Coin(u64);

impl Coin {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    fn toss(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

impl Content {
    fn crash(&mut self, fate: &mut Fate) {
        for change in core::mem::take(&mut self.unsynced) {
            match change {
                Change::Write { at, data } => {
                    let spared = fate.spares_of(data.len());
                    put(&mut self.durable, at, data.get(..spared).unwrap_or_default());
                }
                Change::Len(len) if fate.spares() => set_len(&mut self.durable, len),
                Change::Len(_) => {}
            }
        }
        self.now.clone_from(&self.durable);
        if self.attributes != self.durable_attributes
            && let Fate::Chance(coin) = fate
            && coin.toss()
        {
            self.durable_attributes = self.attributes;
        }
        self.attributes = self.durable_attributes;
    }
}
