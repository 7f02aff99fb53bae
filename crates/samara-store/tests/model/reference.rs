//! What a store owes, as maps.
//!
//! The same code is used twice. As the reference, which has not seen the store, it is a lower bound:
//! after a crash it expects what was durable and no more. As the memory of the system under test it
//! is told what a crash left, and then equals the store.

use core::{fmt, ops::Range};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;
use samara_base::{BlobId, GroupLog2, RangeSet, leaves};

use crate::{
    book::{Blob, Book, Place},
    ops::{Op, Receive, is_allowed, ops},
    support::{Holder, bytes},
};

/// Leaves of one transfer, unless a group is larger.
pub(crate) const STEP_LEAVES: u64 = 64;

/// A content that blobs are made of. Those of one seed start with the same bytes.
#[derive(Clone)]
pub(crate) struct Content {
    seed: u64,
    pub(crate) holder: Arc<Holder>,
}

impl Content {
    pub(crate) fn all(&self) -> RangeSet {
        RangeSet::from(0..leaves(self.holder.size()))
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes({}, {}) = {}", self.holder.size(), self.seed, self.holder.id.fmt_short())
    }
}

/// A file of the user's.
#[derive(Clone, Debug)]
pub(crate) struct UserFile {
    /// The content that it has; `None` once the user changed it.
    pub(crate) at: Option<usize>,
    pub(crate) rotten: bool,
}

/// What the store did where it has a choice.
#[derive(Debug)]
pub(crate) enum Seen {
    /// Nobody looked: expect the least.
    Nothing,
    /// A receive holds this now.
    Held(RangeSet),
    /// A flipped bit was found, or lay under a copy that was fetched again; or there was none to
    /// flip.
    Rot(Option<bool>),
    /// These were collected.
    Gone(BTreeSet<BlobId>),
    /// This is left.
    Left(Book),
}

/// What should be where, in a store and in the user's files.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) pool: Arc<[Content]>,
    pub(crate) files: BTreeMap<u8, UserFile>,
    pub(crate) now: Book,
    /// What a crash must leave.
    pub(crate) durable: Book,
    /// Since the last checkpoint, what was at some time: a crash may leave any of it.
    pub(crate) past: Vec<Book>,
    /// Blobs of which a file changed and another place may be left.
    pub(crate) doubtful: BTreeSet<BlobId>,
    /// What time it is. Unit: hours.
    pub(crate) hour: u64,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pool.iter()).finish()
    }
}

impl Model {
    pub(crate) fn new(pool: &[(usize, u64)]) -> Self {
        let content = |&(size, seed): &(usize, u64)| Content {
            seed,
            holder: Arc::new(Holder::new(bytes(size, seed))),
        };
        Self {
            pool: pool.iter().map(content).collect(),
            files: BTreeMap::new(),
            now: Book::default(),
            durable: Book::default(),
            past: vec![Book::default()],
            doubtful: BTreeSet::new(),
            hour: 1,
        }
    }

    pub(crate) fn id(&self, at: usize) -> BlobId {
        self.pool[at].holder.id
    }

    pub(crate) fn blob(&self, at: usize) -> Option<&Blob> {
        self.now.blobs.get(&self.id(at))
    }

    /// Contents of which something is known.
    pub(crate) fn known(&self) -> impl Iterator<Item = usize> {
        (0..self.pool.len()).filter(|at| self.blob(*at).is_some())
    }

    pub(crate) fn pins(&self) -> impl Iterator<Item = (usize, u8)> {
        let number = |id| self.pool.iter().position(|content| content.holder.id == id);
        self.now.pins.iter().filter_map(move |(id, reason)| Some((number(*id)?, *reason)))
    }

    /// Whether a file is the only place of what it is shared as, so that damage must be found.
    pub(crate) fn can_rot(&self, file: u8) -> bool {
        let Some(UserFile { at: Some(at), rotten: false }) = self.files.get(&file) else {
            return false;
        };
        let only = BTreeSet::from([Place::File(file)]);
        let shared = |blob: &Blob| blob.places == only && !blob.unsure && !blob.held.is_empty();
        self.pool[*at].holder.size() > 0 && self.blob(*at).is_some_and(shared)
    }

    /// Follows one step.
    pub(crate) fn step(&mut self, op: &Op, seen: Seen) {
        match op {
            Op::Put { at } | Op::Import { at } => {
                self.now.carried.remove(&self.id(*at));
                self.complete(*at, Place::Store);
            }
            Op::Share { at, file } => {
                self.overwrite(*file, Some(*at));
                self.complete(*at, Place::File(*file));
                // It is there whatever became of the other places.
                self.doubtful.remove(&self.id(*at));
            }
            Op::Touch { file } => self.overwrite(*file, None),
            Op::Receive(receive) => self.receive(receive, seen),
            Op::Remove { at } => self.remove(&self.id(*at)),
            Op::Tag { at, name } => {
                self.now.tags.insert(*name, self.id(*at));
            }
            Op::Untag { name } => {
                self.now.tags.remove(name);
            }
            Op::Pin { at, reason } => {
                self.now.pins.insert((self.id(*at), *reason));
            }
            Op::Unpin { at, reason } => {
                self.now.pins.remove(&(self.id(*at), *reason));
            }
            Op::Lease { at, reason, hours } => {
                let end = self.hour + u64::from(*hours);
                self.now.leases.insert((self.id(*at), *reason), end);
            }
            Op::Release { at, reason } => {
                self.now.leases.remove(&(self.id(*at), *reason));
            }
            Op::Pass => self.hour += 1,
            Op::Class { at, carried: true } => {
                self.now.carried.insert(self.id(*at));
            }
            Op::Class { at, carried: false } => {
                self.now.carried.remove(&self.id(*at));
            }
            Op::Evict { .. } => match seen {
                Seen::Gone(gone) if !gone.is_empty() => {
                    for id in gone {
                        self.remove(&id);
                    }
                    self.checkpoint();
                }
                Seen::Gone(_) => {}
                _ => self.doubt_what_may_go(),
            },
            Op::Collect => {
                let hour = self.hour;
                let gone = match seen {
                    Seen::Gone(gone) => gone,
                    _ => self.give_up(self.now.loose(hour)),
                };
                for id in gone {
                    self.remove(&id);
                }
                self.now.leases.retain(|_, end| *end > hour);
                self.checkpoint();
            }
            Op::Rot { file, byte } => self.rot(*file, *byte, &seen),
            Op::Checkpoint | Op::Reopen => self.checkpoint(),
            Op::Kill | Op::Crash { .. } => self.crash(seen),
            Op::Watch { .. }
            | Op::Export { .. }
            | Op::Verify { .. }
            | Op::Use { .. }
            | Op::Scrub { .. } => {}
        }
        self.past.push(self.now.clone());
    }

    pub(crate) fn checkpoint(&mut self) {
        self.durable = self.now.clone();
        self.past = vec![self.now.clone()];
    }

    /// All of a content is in one more place.
    fn complete(&mut self, at: usize, place: Place) {
        let all = self.pool[at].all();
        let blob = self.now.blobs.entry(self.pool[at].holder.id).or_default();
        if blob.held == all && place == Place::Store && !blob.unsure {
            // What is there is not written again.
            return;
        }
        if blob.held != all && !blob.unsure {
            *blob = Blob::default();
        }
        blob.leaves = all.end();
        blob.held = all;
        blob.complete = true;
        blob.places.insert(place);
    }

    fn remove(&mut self, id: &BlobId) {
        self.now.blobs.remove(id);
        self.now.carried.remove(id);
        // From here on nothing is promised: it may be back after a crash, or not.
        self.durable.blobs.remove(id);
    }

    /// Expects nothing any more of what nothing keeps: perhaps it was evicted.
    fn doubt_what_may_go(&mut self) {
        let may_go = self.now.blobs.keys().filter(|id| !self.now.is_kept(id, self.hour));
        let may_go: Vec<_> = may_go.copied().collect();
        for id in may_go {
            if let Some(blob) = self.now.blobs.get_mut(&id) {
                (blob.held, blob.unsure) = (RangeSet::new(), true);
            }
            self.durable.blobs.remove(&id);
        }
    }

    /// Expects nothing any more of blobs that may be gone, and returns those that are.
    fn give_up(&mut self, mut blobs: BTreeSet<BlobId>) -> BTreeSet<BlobId> {
        for (id, blob) in self.now.blobs.iter_mut().filter(|(_, blob)| blob.unsure) {
            if blobs.remove(id) {
                blob.held = RangeSet::new();
            }
        }
        blobs
    }

    fn overwrite(&mut self, file: u8, at: Option<usize>) {
        for id in self.now.lose_file(file) {
            self.doubtful.insert(id);
        }
        // Any of what was since the last checkpoint may be what is durable.
        let past = self.past.iter_mut().chain([&mut self.durable]);
        let lost: Vec<_> = past.flat_map(|book| book.lose_file(file)).collect();
        for id in lost {
            self.durable.blobs.remove(&id);
        }
        self.files.insert(file, UserFile { at, rotten: false });
    }

    fn receive(&mut self, receive: &Receive, seen: Seen) {
        let content = &self.pool[receive.at];
        let (id, all) = (content.holder.id, content.all());
        let old = self.now.blobs.get(&id).cloned().unwrap_or_default();
        let (held, seen) = match seen {
            Seen::Held(held) => (held, true),
            _ => (old.held.union(&self.proven(receive)), false),
        };
        // Of a blob that was complete and has no place any more, nobody needs to know any longer.
        let gone = old.complete && old.places.is_empty();
        if held.is_empty() {
            if gone {
                self.now.blobs.remove(&id);
            }
            return;
        }
        let mut blob = if gone { Blob::default() } else { old };
        if blob.places.is_empty() || blob.unsure {
            blob.places.insert(Place::Store);
        }
        blob.leaves = all.end();
        blob.complete |= held == all;
        // The rest of a group with a false leaf may be good, and be all that was missing.
        blob.unsure |= !seen && held != all && self.lie(receive).is_some();
        blob.held = held;
        self.now.blobs.insert(id, blob);
    }

    /// What the transfers of a receive prove at least.
    pub(crate) fn proven(&self, receive: &Receive) -> RangeSet {
        let holder = &self.pool[receive.at].holder;
        let group = GroupLog2::new(receive.group).expect("below the largest");
        let transfers = holder.transfers(group, STEP_LEAVES).into_iter().enumerate();
        let sent = transfers.filter(|(number, _)| receive.sends(*number));
        let mut proven: RangeSet = sent.map(|(_, range)| range).collect();
        if let Some(leaf) = self.lie(receive) {
            proven.remove(group.align(&(leaf..leaf + 1), holder.leaves()));
        }
        proven
    }

    /// The leaf in which the source of a receive lies.
    pub(crate) fn lie(&self, receive: &Receive) -> Option<u64> {
        let size = self.pool[receive.at].holder.data.len();
        let byte = receive.lie.filter(|_| size > 0)? % size;
        Some(byte as u64 / 1024)
    }

    /// A bit of a file flips. Whoever finds it makes everything durable first.
    fn rot(&mut self, file: u8, byte: usize, seen: &Seen) {
        if matches!(seen, Seen::Rot(None)) {
            return;
        }
        let Some(UserFile { at: Some(at), rotten }) = self.files.get_mut(&file) else { return };
        *rotten = true;
        let holder = Arc::clone(&self.pool[*at].holder);
        if matches!(seen, Seen::Rot(Some(false))) {
            return;
        }
        let group = group_of(&holder, byte % holder.data.len());
        for book in [&mut self.now, &mut self.durable] {
            if let Some(blob) = book.blobs.get_mut(&holder.id) {
                blob.held.remove(group.clone());
            }
        }
        if matches!(seen, Seen::Rot(_)) {
            self.checkpoint();
        }
    }

    /// The least that a crash leaves: what was durable, names only if they were not taken away since,
    /// and of what else there was, perhaps a place.
    fn least(&self) -> Book {
        let mut left = self.durable.clone();
        left.tags.retain(|name, id| self.past.iter().all(|book| book.tags.get(name) == Some(id)));
        left.pins.retain(|pin| self.past.iter().all(|book| book.pins.contains(pin)));
        left.leases
            .retain(|lease, end| self.past.iter().all(|book| book.leases.get(lease) == Some(end)));
        for (id, blob) in self.past.iter().flat_map(|book| &book.blobs) {
            left.blobs.entry(*id).or_insert_with(|| Blob {
                held: RangeSet::new(),
                unsure: true,
                ..blob.clone()
            });
        }
        left
    }

    fn crash(&mut self, seen: Seen) {
        let mut left = match seen {
            Seen::Left(book) => book,
            _ => self.least(),
        };
        for (id, blob) in &mut left.blobs {
            let past = self.past.iter().filter_map(|book| book.blobs.get(id));
            let places: BTreeSet<_> = past.clone().map(|blob| blob.places.clone()).collect();
            blob.unsure |= places.len() > 1;
            blob.places.extend(places.into_iter().flatten());
        }
        self.now = left;
        self.checkpoint();
    }
}

/// The group of a byte in the outboard, which is what a store finds damaged.
pub(crate) fn group_of(holder: &Holder, byte: usize) -> Range<u64> {
    let leaf = byte as u64 / 1024;
    GroupLog2::KIB16.align(&(leaf..leaf + 1), holder.leaves())
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Op;

    fn init_state() -> BoxedStrategy<Self> {
        let size = prop_oneof![
            2 => Just(0),
            6 => 1..3000_usize,
            2 => Just(16_384),
            2 => Just(16_385),
            6 => 17_000..200_000_usize,
            1 => 1_050_000..1_200_000_usize,
        ];
        prop::collection::vec((size, 0..2_u64), 2..6).prop_map(|pool| Self::new(&pool)).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Op> {
        ops(state)
    }

    fn preconditions(state: &Self, op: &Op) -> bool {
        is_allowed(state, op)
    }

    fn apply(mut state: Self, op: &Op) -> Self {
        state.step(op, Seen::Nothing);
        // A lower bound takes nothing for granted.
        let doubtful = core::mem::take(&mut state.doubtful);
        state.give_up(doubtful);
        state
    }
}
