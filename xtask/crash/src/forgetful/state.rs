//! What programs see, what is on the disk, and what lies between.

use std::collections::BTreeSet;

use super::tree::{Change, Ino, Tree};
use crate::{
    pages::{PAGE, SECTOR, pieces},
    random::Random,
};

/// How much of what was not synced survives a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Nothing,
    Everything,
    /// Each page and each name by chance. Unit: percent.
    Some(u64),
}

impl Keep {
    pub(crate) const fn draw(random: &mut Random) -> Self {
        match random.below(10) {
            0..4 => Self::Nothing,
            4 => Self::Everything,
            _ => Self::Some(1 + random.below(99)),
        }
    }
}

/// What the file system lacks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lacks {
    /// No `fallocate`, so no reserving and no holes.
    pub(crate) fallocate: bool,
    /// No rename that spares what is there.
    pub(crate) no_replace: bool,
}

/// A file system with a power switch.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) now: Tree,
    durable: Tree,
    /// Oldest first.
    unsynced: Vec<Change>,
    next: Ino,
    pub(crate) lacks: Lacks,
    /// Changes and syncs so far.
    steps: u64,
    cut_at: Option<u64>,
    cut: bool,
}

impl State {
    /// A file system with this content, all of it on the disk. The power fails at the step of this
    /// number.
    pub(crate) fn new(tree: Tree, lacks: Lacks, cut_at: Option<u64>) -> Self {
        Self {
            next: tree.last_ino() + 1,
            durable: tree.clone(),
            now: tree,
            unsynced: Vec::new(),
            lacks,
            steps: 0,
            cut_at,
            cut: false,
        }
    }

    pub(crate) const fn is_cut(&self) -> bool {
        self.cut
    }

    pub(crate) const fn steps(&self) -> u64 {
        self.steps
    }

    /// Counts a step; `false`: the power is off.
    pub(crate) fn step(&mut self) -> bool {
        self.steps += 1;
        self.cut |= self.cut_at.is_some_and(|at| self.steps > at);
        !self.cut
    }

    pub(crate) const fn cut(&mut self) {
        self.cut = true;
    }

    pub(crate) const fn new_ino(&mut self) -> Ino {
        self.next += 1;
        self.next - 1
    }

    /// Makes a change that is not on the disk yet.
    pub(crate) fn change(&mut self, change: Change) {
        self.now.apply(&change);
        self.unsynced.push(change);
    }

    /// Makes a file's bytes durable, and without `data_only` what is said about it as well.
    pub(crate) fn sync_file(&mut self, ino: Ino, data_only: bool) {
        // It may be synced before its name is.
        self.durable.make_like(&self.now, ino);
        self.sync(|change| {
            change.data_of() == Some(ino) || (!data_only && change.attributes_of() == Some(ino))
        });
    }

    /// Makes a directory's names durable, and those that must be for these to be.
    pub(crate) fn sync_dir(&mut self, dir: Ino) {
        let mut chosen: BTreeSet<usize> = BTreeSet::new();
        for (at, change) in self.unsynced.iter().enumerate() {
            if change.home() == Some(dir) || change.attributes_of() == Some(dir) {
                chosen.insert(at);
            }
        }
        close(&self.unsynced, &mut chosen);
        self.durable.make_like(&self.now, dir);
        let mut at = 0;
        self.sync(|_| {
            at += 1;
            chosen.contains(&(at - 1))
        });
    }

    fn sync(&mut self, mut is_synced: impl FnMut(&Change) -> bool) {
        let durable = &mut self.durable;
        self.unsynced.retain(|change| {
            let synced = is_synced(change);
            if synced {
                durable.apply(change);
            }
            !synced
        });
    }

    /// What is on the disk after a power cut.
    pub(crate) fn survivor(&self, keep: Keep, random: &mut Random) -> Tree {
        let mut tree = self.durable.clone();
        match keep {
            Keep::Nothing => {}
            Keep::Everything => self.unsynced.iter().for_each(|change| tree.apply(change)),
            Keep::Some(percent) => self.apply_some(&mut tree, percent, random),
        }
        tree.sweep();
        tree
    }

    fn apply_some(&self, tree: &mut Tree, percent: u64, random: &mut Random) {
        let names_anything = |change: &Change| !change.names().is_empty();
        let mut names = BTreeSet::new();
        for (at, change) in self.unsynced.iter().enumerate() {
            if names_anything(change) && random.chance(percent) {
                names.insert(at);
            }
        }
        close(&self.unsynced, &mut names);
        for (at, change) in self.unsynced.iter().enumerate() {
            match change {
                Change::Write { ino, at, data } => {
                    // Pages mostly; now and then a page is torn.
                    let unit = if random.chance(10) { SECTOR } else { PAGE };
                    for (at, data) in pieces(*at, data, unit) {
                        if random.chance(percent) {
                            tree.apply(&Change::Write { ino: *ino, at, data: data.to_vec() });
                        }
                    }
                }
                change if names_anything(change) => {
                    if names.contains(&at) {
                        tree.apply(change);
                    }
                }
                change => {
                    if random.chance(percent) {
                        tree.apply(change);
                    }
                }
            }
        }
    }
}

/// Adds the earlier changes of the same names: without them the chosen ones make no sense.
fn close(changes: &[Change], chosen: &mut BTreeSet<usize>) {
    let mut names = BTreeSet::new();
    for (at, change) in changes.iter().enumerate().rev() {
        if chosen.contains(&at) || change.names().iter().any(|name| names.contains(*name)) {
            names.extend(change.names().into_iter().cloned());
            chosen.insert(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::time::SystemTime;

    use super::{
        super::tree::{Kind, Node, ROOT},
        *,
    };

    fn entry(name: &str) -> (Ino, Vec<u8>) {
        (ROOT, name.into())
    }

    fn with_file() -> (State, Ino) {
        let mut state = State::new(Tree::new(), Lacks::default(), None);
        let ino = state.new_ino();
        state.change(Change::Link { entry: entry("a"), ino, is_dir: false, mode: 0o644 });
        state.change(Change::Write { ino, at: 0, data: vec![1; 10_000] });
        state.change(Change::Time { ino, time: SystemTime::UNIX_EPOCH + Duration::from_secs(9) });
        (state, ino)
    }

    fn after(state: &State, keep: Keep) -> Tree {
        state.survivor(keep, &mut Random::new(1))
    }

    #[test]
    fn a_file_needs_its_own_sync_and_that_of_its_name() {
        let (mut state, ino) = with_file();
        state.sync_file(ino, false);
        assert!(after(&state, Keep::Nothing).child(ROOT, b"a").is_none());
        assert!(after(&state, Keep::Everything).child(ROOT, b"a").is_some());
        state.sync_dir(ROOT);
        let tree = after(&state, Keep::Nothing);
        assert_eq!(tree.child(ROOT, b"a"), Some(ino));
        assert_eq!(tree.allocated(), 12_288);
    }

    #[test]
    fn a_sync_of_data_is_no_sync_of_times() {
        let (mut state, ino) = with_file();
        state.sync_dir(ROOT);
        state.sync_file(ino, true);
        let time = |state: &State| after(state, Keep::Nothing).node(ino).map(|node| node.mtime);
        assert_eq!(time(&state), Some(SystemTime::UNIX_EPOCH));
        state.sync_file(ino, false);
        assert_eq!(time(&state), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(9)));
    }

    #[test]
    fn a_rename_is_whole_and_durable_with_its_new_directory() {
        let (mut state, ino) = with_file();
        let dir = state.new_ino();
        state.change(Change::Link { entry: entry("d"), ino: dir, is_dir: true, mode: 0o755 });
        state.sync_dir(ROOT);
        state.change(Change::Rename { from: entry("a"), to: (dir, b"b".to_vec()) });
        state.sync_dir(ROOT);
        let tree = after(&state, Keep::Nothing);
        assert_eq!((tree.child(ROOT, b"a"), tree.child(dir, b"b")), (Some(ino), None));
        // A new file under the old name can't be there without the old one having gone.
        let other = state.new_ino();
        state.change(Change::Link { entry: entry("a"), ino: other, is_dir: false, mode: 0o600 });
        state.sync_dir(ROOT);
        let tree = after(&state, Keep::Nothing);
        assert_eq!((tree.child(ROOT, b"a"), tree.child(dir, b"b")), (Some(other), Some(ino)));
    }

    #[test]
    fn any_subset_may_survive_and_no_byte_is_made_up() {
        let (mut state, ino) = with_file();
        state.sync_dir(ROOT);
        state.change(Change::Unlink { entry: entry("a") });
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let tree = state.survivor(Keep::Some(50), &mut Random::new(seed));
            let named = tree.child(ROOT, b"a").is_some();
            let mut bytes = vec![7; 10_000];
            if let Some(Node { kind: Kind::File { pages, .. }, .. }) = tree.node(ino) {
                pages.read(0, &mut bytes);
                assert!(bytes.iter().all(|byte| *byte < 2));
            }
            seen.insert((named, bytes[0], bytes[5_000], bytes[9_999]));
        }
        assert!(seen.len() >= 8, "{seen:?}");
    }

    #[test]
    fn the_power_fails_at_its_step() {
        let mut state = State::new(Tree::new(), Lacks::default(), Some(2));
        assert!(state.step() && state.step());
        assert!(!state.step() && state.is_cut());
        assert!(!state.step());
    }
}
