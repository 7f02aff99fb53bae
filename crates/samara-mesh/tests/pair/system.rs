//! Two real meshes in the small world.

use core::time::Duration;
use std::collections::BTreeMap;

use samara_base::{BlobId, Instant, PeerId, RangeSet, leaves};
use samara_mesh::{fuzzing::Wire, link::LinkId};
use samara_sched::{Waiting, WantId, WantSpec};

use crate::{
    ops::{Ask, Hint, Op},
    reference::Setup,
    world::{Malice, World, blob, peer},
};

/// Virtual time within which every want ends once nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(180);

/// A want that a mesh took.
pub(crate) struct Wanted {
    pub(crate) peer: PeerId,
    pub(crate) at: usize,
    /// `None`: the node had another want for the blob, which a node opens once only.
    pub(crate) id: Option<WantId>,
    pub(crate) ranges: RangeSet,
    /// What was held when it began.
    pub(crate) held: RangeSet,
    pub(crate) opened: Instant,
    /// How it stood when that changed last, and when that was.
    pub(crate) moved: (Option<Standing>, Instant),
}

/// How many leaves are missing, why nothing comes, and over which link something may.
pub(crate) type Standing = (u64, Option<Waiting>, Option<LinkId>);

pub(crate) struct System {
    pub(crate) world: World,
    pub(crate) setup: Setup,
    pub(crate) data: Vec<Vec<u8>>,
    pub(crate) ids: Vec<BlobId>,
    pub(crate) wants: Vec<Wanted>,
    /// Leaves that were verified at some time, by who has them.
    pub(crate) verified: BTreeMap<(PeerId, BlobId), RangeSet>,
    /// Since when there is no link.
    pub(crate) lonely: Option<Instant>,
    pub(crate) wire: Wire,
    /// The link on which a source has left questions without an answer.
    silenced: Option<LinkId>,
}

/// The node of a side.
pub(crate) fn node(side: usize) -> PeerId {
    peer(u8::try_from(side).unwrap() + 1)
}

impl System {
    pub(crate) fn new(setup: &Setup) -> Self {
        let mut world = World::with_rate(setup.rate);
        world.tap = Some(Vec::new());
        for side in 0..2 {
            world.add_with(side + 1, setup.config());
        }
        let (mut ids, mut data) = (Vec::new(), Vec::new());
        for (at, content) in setup.contents.iter().enumerate() {
            let mut bytes = blob(usize::try_from(content.size).unwrap());
            bytes[0] ^= u8::try_from(at).unwrap() + 1;
            let id = world.hold(node(content.side), &bytes);
            if content.half {
                let half = RangeSet::from(0..leaves(content.size) / 2);
                world.node(node(content.side)).blobs.get_mut(&id).unwrap().held = half;
            }
            ids.push(id);
            data.push(bytes);
        }
        Self {
            lonely: Some(world.now),
            world,
            setup: setup.clone(),
            data,
            ids,
            wants: Vec::new(),
            verified: BTreeMap::new(),
            wire: Wire::default(),
            silenced: None,
        }
    }

    /// Lets one thing happen.
    pub(crate) fn follow(&mut self, op: &Op) {
        match *op {
            Op::Want { side, at, ref ask } => self.want(side, at, ask),
            Op::Cancel { want } => {
                let (peer, now) = (self.wants[want].peer, self.world.now);
                if let Some(id) = self.wants[want].id {
                    self.world.node(peer).mesh.cancel(now, id);
                    self.world.drain(peer);
                }
            }
            Op::Pass { ms } => self.pass(Duration::from_millis(ms)),
            Op::Deliver { count } => {
                for _ in 0..count {
                    self.world.step();
                    self.look();
                }
            }
            Op::Connect => {
                if self.world.link().is_none() {
                    self.world.connect(node(0), node(1));
                }
            }
            Op::Drop => {
                if let Some(link) = self.world.link() {
                    self.world.cut(link);
                }
            }
            Op::Close { side } => {
                let now = self.world.now;
                self.world.node(node(side)).mesh.shutdown(now);
                self.world.drain(node(side));
                self.pass(Duration::from_millis(20));
            }
            Op::Crash { side } => self.world.crash(node(side), self.setup.config()),
            Op::Damage { at, byte } => {
                let (holder, byte) = (self.holder(at), byte % self.data[at].len());
                self.world.rot(holder, self.ids[at], byte);
            }
            Op::Grow { at } => self.grow(at),
            Op::Behave { side, malice } => self.world.node(node(side)).malice = malice,
            Op::Break { side, broken } => self.world.node(node(side)).broken_store = broken,
        }
        self.look();
        if self.world.nodes.values().any(|node| node.malice == Malice::Silent) {
            self.silenced = self.world.link();
        }
        self.lonely = match self.world.link() {
            Some(_) => None,
            None => self.lonely.or(Some(self.world.now)),
        };
    }

    pub(crate) fn holder(&self, at: usize) -> PeerId {
        node(self.setup.contents[at].side)
    }

    fn grow(&mut self, at: usize) {
        let all = RangeSet::from(0..leaves(self.setup.contents[at].size));
        let holder = self.holder(at);
        self.world.node(holder).blobs.get_mut(&self.ids[at]).unwrap().held = all;
    }

    fn pass(&mut self, span: Duration) {
        let end = self.world.now + span;
        while self.world.now < end && self.world.step() {
            self.look();
        }
    }

    /// Looks at the frames of one event, and remembers what was verified.
    fn look(&mut self) {
        for tapped in self.world.tap.replace(Vec::new()).unwrap() {
            let other = if tapped.from == node(0) { node(1) } else { node(0) };
            if tapped.arrived {
                self.wire.arrived(tapped.link, other, &tapped.message);
            } else {
                self.wire.sent(tapped.link, tapped.from, other, &tapped.message);
            }
        }
        for (peer, node) in &self.world.nodes {
            for (id, receiving) in &node.receiving {
                let known = receiving.verifier.known();
                let seen = self.verified.entry((*peer, *id)).or_default();
                if seen.total() < known.total() || !known.difference(seen).is_empty() {
                    *seen = seen.union(known);
                }
            }
        }
    }

    fn want(&mut self, side: usize, at: usize, ask: &Ask) {
        let (getter, source, id) = (node(side), node(1 - side), self.ids[at]);
        let size = self.setup.contents[at].size;
        let now = self.world.now;
        let mut spec = WantSpec::new(id, [source]);
        spec.ranges = ask.ranges(size);
        spec.size = match ask.hint {
            Hint::None => None,
            Hint::True => Some(size),
            Hint::False(size) => Some(size),
        };
        spec.group = samara_base::GroupLog2::new(ask.group).unwrap();
        spec.class = ask.class;
        spec.patience = ask.patience_ms.map(Duration::from_millis);
        spec.deadline = ask.deadline_ms.map(|ms| now + Duration::from_millis(ms));
        spec.grace = Duration::from_millis(ask.grace_ms);
        if ask.small {
            spec.size_max = size - 1;
        }
        if let Some(receiving) = self.world.node(getter).receiving.get(&id) {
            spec.held = receiving.verifier.known().clone();
            spec.known = spec.held.clone();
            // What is held was proven under a size, so that is what the caller believes.
            spec.size = Some(receiving.verifier.size());
        }
        let ranges = spec.ranges.clone().unwrap_or_else(|| RangeSet::from(0..leaves(size)));
        let held = spec.held.clone();
        let open = self.open().any(|want| want.peer == getter && want.at == at);
        let id = (!open).then(|| self.world.want(getter, spec));
        let moved = (None, now);
        self.wants.push(Wanted { peer: getter, at, id, ranges, held, opened: now, moved });
    }

    /// Wants that their meshes work on.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Wanted> {
        self.wants.iter().filter(|want| {
            let status = |id| self.world.nodes[&want.peer].mesh.status(id);
            want.id.is_some_and(|id| status(id).is_some())
        })
    }

    /// Remembers which wants have moved.
    pub(crate) fn watch(&mut self) {
        let link = self.world.link();
        for want in &mut self.wants {
            let mesh = &self.world.nodes[&want.peer].mesh;
            let Some(status) = want.id.and_then(|id| mesh.status(id)) else { continue };
            let standing = Some((status.missing.total(), status.waiting, link));
            if want.moved.0 != standing {
                want.moved = (standing, self.world.now);
            }
        }
    }

    /// Nothing goes wrong any more: sources are honest and sound, and the link is new.
    pub(crate) fn end_well(&mut self) {
        for side in 0..2 {
            self.world.node(node(side)).malice = Malice::None;
            self.world.node(node(side)).broken_store = false;
            self.world.reachable(node(side), node(1 - side));
        }
        for at in 0..self.ids.len() {
            let holder = self.holder(at);
            self.world.mend(holder, self.ids[at], &self.data[at].clone());
        }
        // The link that is there comes to rest first, unless somebody waits on it for ever.
        if self.world.link().is_some() && self.world.link() != self.silenced {
            self.rest();
        }
        if let Some(link) = self.world.link() {
            self.world.cut(link);
        }
        self.rest();
    }

    /// Waits until every want has ended, and every WANT on the link has its END.
    fn rest(&mut self) {
        let link = self.world.link();
        let end = self.world.now + PATIENCE;
        while self.world.now < end && self.open().next().is_some() && self.world.step() {
            self.look();
        }
        // What is on its way still arrives.
        self.pass(Duration::from_secs(5));
        if let Some(link) = self.world.link().filter(|now| link.is_none_or(|before| before == *now))
        {
            self.wire.all_ended(link);
        }
    }
}
