//! Two meshes, the links between them and their stores, with everything that can happen to these.

mod rules;

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use core::time::Duration;

use samara_base::{GroupLog2, Instant, PeerId, RangeSet, leaves};
use samara_sched::{Event, Verdict, WantId, WantSpec};
use samara_wire::{Message, RawFrame};

use super::{
    Wire,
    disk::{self, Disk, Malice, SIZES},
};
use crate::{
    Mesh, MeshConfig,
    io::{CloseReason, Input, MeshEvent, Output, WriteError},
    link::{DownReason, Lane, LinkEvent, LinkId, LinkInfo, Outgoing},
};

/// More things than happen at one time, or until all is over, unless two of them lead to each other.
const STEPS_MAX: usize = 100_000;
/// Links that are up at the same time.
const LINKS_MAX: usize = 3;
/// Wants that are looked at; some are never over.
const WANTS_MAX: usize = 64;

/// Lets anything happen between two nodes, in any order: links come and go, with ends that learn of
/// it at different times, frames of different lanes overtake each other, stores answer late, fail,
/// lie, forget and rot, nodes crash. What either says is allowed, no want counts what was not
/// verified, and when nothing goes wrong any more every want ends, and each question on the link has
/// its answer.
///
/// # Panics
///
/// If a property does not hold.
pub fn pair(data: &[u8]) {
    let mut dice = Dice(data);
    let mut pair = Pair::new(&mut dice);
    while !dice.0.is_empty() {
        pair.step(&mut dice);
        pair.watch();
        pair.check();
    }
    pair.end_well();
}

/// Decides by the bytes of the input; by zeros after its end.
struct Dice<'a>(&'a [u8]);

impl Dice<'_> {
    fn roll(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, end: usize) -> usize {
        usize::from(self.roll()) % end
    }

    fn one_in(&mut self, count: u8) -> bool {
        self.roll() % count == count - 1
    }
}

/// A want that a mesh took.
struct Wanted {
    id: WantId,
    at: usize,
    ranges: RangeSet,
    /// Something went wrong that it need not survive.
    excused: bool,
    opened: Instant,
}

struct Node {
    mesh: Mesh,
    disk: Disk,
    /// What the mesh is told next: answers of the store, and ends of links.
    inbox: VecDeque<Input>,
    /// Answers that the store keeps back; they come in their order.
    late: Vec<Input>,
    wants: Vec<Wanted>,
    verdicts: BTreeMap<WantId, Verdict>,
    /// What was verified at some time, by blob.
    verified: [RangeSet; SIZES.len()],
}

struct OnItsWay {
    frame: RawFrame,
    message: Message,
    /// What the sender's queue has of it.
    bytes: u64,
}

/// Frames on their way to one end of a link, by lane.
#[derive(Default)]
struct End {
    is_up: bool,
    /// Nobody was told that it is.
    is_new: bool,
    /// Its node waits for it.
    is_dialled: bool,
    control: VecDeque<OnItsWay>,
    bulk: VecDeque<OnItsWay>,
    /// The other end is gone: so will this one be, once it has read what is there.
    ends: bool,
}

struct Pair {
    now: Instant,
    nodes: [Node; 2],
    links: BTreeMap<LinkId, [End; 2]>,
    next_link: u64,
    /// Dialling leads to a link.
    reachable: bool,
    /// Since when there is no link, and both know.
    lonely: Option<Instant>,
    config: MeshConfig,
    wire: Wire,
}

fn peer(side: usize) -> PeerId {
    PeerId::from_bytes([if side == 0 { 1 } else { 2 }; 32])
}

impl Pair {
    fn new(dice: &mut Dice<'_>) -> Self {
        let choice = dice.roll();
        let pick = |bit: u8, few: u64, many: u64| if choice >> bit & 1 == 0 { many } else { few };
        let config = MeshConfig {
            // The least, hardly more than a small group or a large one with its proof, or more than there is.
            credit_bytes: [1 << 20, 9 << 10, 26 << 10, 80 << 10][usize::from(choice >> 6)],
            queue_bytes: pick(1, 1, 256 << 10),
            read_ahead_bytes: pick(2, 1, 256 << 10),
            wants_per_session_max: if choice >> 3 & 1 == 0 { 64 } else { 1 },
            block_bytes_max: 64 << 10,
            ..MeshConfig::default()
        };
        let node = |side: usize| Node {
            mesh: Mesh::new(config.clone(), side as u64),
            disk: Disk::default(),
            inbox: VecDeque::new(),
            late: Vec::new(),
            wants: Vec::new(),
            verdicts: BTreeMap::new(),
            verified: Default::default(),
        };
        let mut nodes = [node(0), node(1)];
        for (at, size) in SIZES.into_iter().enumerate() {
            // The last one is one half here, the other half there.
            let end = leaves(size);
            if at + 1 < SIZES.len() {
                nodes[at % 2].disk.put(at, 0..end);
            } else {
                nodes[0].disk.put(at, 0..end / 2);
                nodes[1].disk.put(at, end / 2..end);
            }
        }
        Self {
            now: Instant::from_micros(1),
            nodes,
            links: BTreeMap::new(),
            next_link: 0,
            reachable: choice >> 4 & 1 == 0,
            lonely: None,
            config,
            wire: Wire::default(),
        }
    }

    /// One of the things that can happen.
    fn step(&mut self, dice: &mut Dice<'_>) {
        let side = dice.below(2);
        match dice.below(24) {
            0..=3 => self.want(side, dice),
            4..=12 => self.deliver(side, dice),
            13 | 14 => self.pass(Duration::from_millis(1 << dice.below(15))),
            15 => self.connect(),
            16 => self.cut(side, dice),
            17 => self.crash(side),
            18 => self.behave(side, dice),
            19 => {
                self.nodes[side].disk.broken = dice.one_in(2);
                if self.nodes[side].disk.broken {
                    self.excuse();
                }
            }
            20 => {
                if let Some(wanted) = self.nodes[side].wants.last_mut() {
                    wanted.excused = true;
                    self.nodes[side].mesh.cancel(self.now, wanted.id);
                    self.drain(side);
                }
            }
            21 => {
                let (at, leaf) = (dice.below(SIZES.len()), u64::from(dice.roll()));
                if dice.one_in(2) {
                    self.nodes[side].disk.damage(at, leaf);
                } else {
                    self.nodes[side].disk.lose(at, leaf..leaf + 16);
                }
                self.excuse();
            }
            22 => {
                self.nodes[side].mesh.shutdown(self.now);
                self.drain(side);
            }
            _ => self.reachable = !self.reachable,
        }
    }

    fn want(&mut self, side: usize, dice: &mut Dice<'_>) {
        let at = dice.below(SIZES.len());
        let options = dice.roll();
        let chosen = |bit: u8| options >> bit & 1 == 1;
        let now = self.now;
        let disturbed = self.nodes.iter().any(|node| node.disk.disturbed || node.disk.broken);
        let other = self.nodes[1 - side].disk.served(at);
        let node = &mut self.nodes[side];
        let open = |wanted: &Wanted| wanted.at == at && !node.verdicts.contains_key(&wanted.id);
        if node.wants.len() == WANTS_MAX || node.wants.iter().any(open) {
            return;
        }
        let end = leaves(SIZES[at]);
        let mut spec = WantSpec::new(disk::blob(at), [peer(1 - side)]);
        let mut excused = disturbed;
        if chosen(0) {
            let (one, other) = (u64::from(dice.roll()) % end, u64::from(dice.roll()) % end);
            spec.ranges = Some(RangeSet::from(one.min(other)..one.max(other) + 1));
        }
        if chosen(1) {
            spec.group = GroupLog2::KIB16;
        }
        if chosen(2) {
            spec.size = Some(SIZES[at]);
        } else if chosen(3) {
            spec.size = Some(u64::from(dice.roll()) << 10);
            excused = true;
        }
        if chosen(4) {
            spec.deadline = Some(now + Duration::from_millis(1 << dice.below(14)));
            excused = true;
        }
        if chosen(5) {
            spec.patience = Some(Duration::from_millis(1 << dice.below(14)));
            excused = true;
        }
        if chosen(6) {
            spec.grace = Duration::from_millis(1 << dice.below(14));
        }
        if chosen(7) {
            spec.class = samara_base::Class::Interactive;
        }
        let (held, size) = node.disk.held(at);
        if !held.is_empty() {
            (spec.held, spec.known, spec.size) = (held.clone(), held.clone(), Some(size));
            node.verified[at] = node.verified[at].union(held);
        }
        let ranges = spec.ranges.clone().unwrap_or_else(|| RangeSet::from(0..end));
        // What the other side does not have, it need not deliver.
        excused |= !ranges.difference(&spec.held).difference(&other).is_empty();
        if let Ok(id) = node.mesh.want(now, spec) {
            node.wants.push(Wanted { id, at, ranges, excused, opened: now });
        }
        self.drain(side);
    }

    /// Something goes wrong that no want need survive.
    fn excuse(&mut self) {
        for wanted in self.nodes.iter_mut().flat_map(|node| &mut node.wants) {
            wanted.excused = true;
        }
    }

    fn behave(&mut self, side: usize, dice: &mut Dice<'_>) {
        let (malice, claim) = match dice.below(7) {
            0 => (Malice::Data(u64::from(dice.roll())), None),
            1 => (Malice::Proof, None),
            2 => (Malice::None, Some(1 << 50)),
            3 => (Malice::None, Some((u64::from(dice.roll()) << 10) + 1)),
            4 => (Malice::Silent, None),
            5 => (Malice::Refuse, None),
            _ => (Malice::None, None),
        };
        self.claim(side, claim);
        let node = &mut self.nodes[side];
        node.disk.malice = malice;
        if claim.is_some() || !matches!(malice, Malice::None | Malice::Silent) {
            node.disk.disturbed = true;
            self.excuse();
        }
        self.awake(side);
    }

    /// What a node says of sizes: on one link always the same.
    fn claim(&mut self, side: usize, claim: Option<u64>) {
        if self.nodes[side].disk.claim != claim {
            self.cut_all(side);
            self.nodes[side].disk.claim = claim;
        }
    }

    /// What the store has kept back comes now.
    fn awake(&mut self, side: usize) {
        let node = &mut self.nodes[side];
        if node.disk.malice != Malice::Silent {
            node.inbox.extend(node.late.drain(..));
        }
    }

    fn connect(&mut self) {
        if self.links.len() == LINKS_MAX {
            return;
        }
        self.next_link += 1;
        let link = LinkId(self.next_link);
        let end = || End { is_up: true, is_new: true, ..End::default() };
        self.links.insert(link, [end(), end()]);
    }

    /// One end of a link is gone, and perhaps the other as well.
    fn cut(&mut self, side: usize, dice: &mut Dice<'_>) {
        let Some(link) = self.links.keys().nth(dice.below(LINKS_MAX)).copied() else { return };
        self.down(side, link, DownReason::TimedOut);
        if dice.one_in(2) {
            self.down(1 - side, link, DownReason::TimedOut);
        }
    }

    fn down(&mut self, side: usize, link: LinkId, reason: DownReason) {
        let Some(ends) = self.links.get_mut(&link) else { return };
        if !ends[side].is_up {
            return;
        }
        let inbox = &mut self.nodes[side].inbox;
        if !ends[side].is_new {
            inbox.push_back(Input::Link(LinkEvent::Down { link, reason }));
        } else if ends[side].is_dialled {
            inbox.push_back(Input::DialFailed { peer: peer(1 - side) });
        }
        ends[side] = End::default();
        ends[1 - side].ends = true;
        if !ends[1 - side].is_up {
            self.links.remove(&link);
        }
    }

    fn cut_all(&mut self, side: usize) {
        for link in self.links.keys().copied().collect::<Vec<_>>() {
            self.down(side, link, DownReason::Local);
        }
    }

    /// Takes everything from a node but what its disk has.
    fn crash(&mut self, side: usize) {
        self.cut_all(side);
        let node = &mut self.nodes[side];
        node.mesh = Mesh::new(self.config.clone(), self.next_link);
        node.inbox.clear();
        node.late.clear();
        node.wants.clear();
        node.verdicts.clear();
    }

    /// One after the other, a few things reach a node.
    fn deliver(&mut self, side: usize, dice: &mut Dice<'_>) {
        let choice = dice.roll();
        for _ in 0..=choice >> 4 {
            self.deliver_one(side, usize::from(choice & 15));
        }
    }

    /// `false` if there is nothing for the node.
    fn deliver_one(&mut self, side: usize, choice: usize) -> bool {
        if choice.is_multiple_of(2)
            && let Some(input) = self.nodes[side].inbox.pop_front()
        {
            self.handle(side, input);
            return true;
        }
        let count = self.links.len();
        for turn in 0..count {
            let nth = (choice / 4 + turn) % count;
            let Some((link, ends)) = self.links.iter_mut().nth(nth) else { continue };
            let (link, end) = (*link, &mut ends[side]);
            if end.is_new {
                end.is_new = false;
                let info = LinkInfo::reliable(peer(1 - side), "fuzz");
                self.handle(side, Input::Link(LinkEvent::Up { link, info }));
                return true;
            }
            let bulk_first = choice & 2 == 2 && !end.bulk.is_empty();
            let (lane, queue) = match bulk_first || end.control.is_empty() {
                true => (Lane::Bulk, &mut end.bulk),
                false => (Lane::Control, &mut end.control),
            };
            let Some(OnItsWay { frame, message, bytes }) = queue.pop_front() else {
                if end.ends && end.is_up {
                    self.down(side, link, DownReason::Remote { reason: Default::default() });
                    return true;
                }
                continue;
            };
            if lane == Lane::Bulk && ends[1 - side].is_up {
                let event = LinkEvent::Sent { link, lane, bytes };
                self.nodes[1 - side].inbox.push_back(Input::Link(event));
            }
            self.wire.arrived(link, peer(side), &message);
            let frames = Vec::from([frame]);
            self.handle(side, Input::Link(LinkEvent::Frames { link, lane, frames }));
            return true;
        }
        match self.nodes[side].inbox.pop_front() {
            Some(input) => self.handle(side, input),
            None => return false,
        }
        true
    }

    /// Time goes by.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        for _ in 0..STEPS_MAX {
            let Some((at, side)) = self.timer().filter(|(at, _)| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            self.handle(side, Input::Timeout);
        }
        panic!("time stands still");
    }

    /// What a node waits for, the earliest of it.
    fn timer(&self) -> Option<(Instant, usize)> {
        let timer = |side: usize| Some((self.nodes[side].mesh.poll_timeout()?, side));
        (0..2).filter_map(timer).min()
    }

    fn handle(&mut self, side: usize, input: Input) {
        self.nodes[side].mesh.handle_input(self.now, input);
        self.drain(side);
    }

    fn drain(&mut self, side: usize) {
        for _ in 0..STEPS_MAX {
            let Some(output) = self.nodes[side].mesh.poll_output() else { return };
            self.carry_out(side, output);
        }
        panic!("the outputs of one input never end");
    }

    fn carry_out(&mut self, side: usize, output: Output) {
        let node = &mut self.nodes[side];
        let answer = match output {
            Output::Transmit { link, outgoing } => return self.transmit(side, link, &outgoing),
            Output::Close { link, reason } => {
                let broke = matches!(reason, CloseReason::Protocol(_));
                assert!(!broke, "{:?} thinks that the protocol was broken: {reason}", peer(side));
                return self.down(side, link, DownReason::Local);
            }
            Output::Dial { .. } if self.reachable && self.links.len() < LINKS_MAX => {
                self.connect();
                if let Some(mut ends) = self.links.last_entry() {
                    ends.get_mut()[side].is_dialled = true;
                }
                return;
            }
            Output::Dial { peer } => Input::DialFailed { peer },
            Output::Open(request) => {
                let (token, result) = (request.token, node.disk.open(&request));
                Input::Opened { token, result }
            }
            Output::Read(request) => {
                let (token, result) = (request.token, node.disk.read(&request));
                Input::Read { token, result }
            }
            Output::Write(request) => {
                let (token, result) = (request.token, node.disk.write(&request));
                if let Ok(accepted) = &result {
                    let at = disk::index(&request.blob);
                    node.verified[at] = node.verified[at].union(&accepted.good);
                }
                if result == Err(WriteError::Local) {
                    node.mesh.fail_local(self.now, request.want);
                }
                node.inbox.push_back(Input::Written { token, result });
                return;
            }
            Output::Event(MeshEvent::Want(Event::Ended { want, verdict })) => {
                let old = node.verdicts.insert(want, verdict);
                assert_eq!(old, None, "a want ends once");
                return;
            }
            Output::Event(_) | Output::Present { .. } => return,
        };
        if node.disk.malice == Malice::Silent {
            node.late.push(answer);
        } else {
            node.inbox.push_back(answer);
        }
    }

    fn transmit(&mut self, side: usize, link: LinkId, outgoing: &Outgoing) {
        let Some(ends) = self.links.get_mut(&link).filter(|ends| ends[side].is_up) else { return };
        let (frame, message) = super::own(&outgoing.frame);
        self.wire.sent(link, peer(side), peer(1 - side), &message);
        // Who is no longer there reads nothing.
        let end = &mut ends[1 - side];
        if !end.is_up {
            return;
        }
        let queue = match outgoing.lane {
            Lane::Control => &mut end.control,
            Lane::Bulk => &mut end.bulk,
        };
        queue.push_back(OnItsWay { frame, message, bytes: outgoing.frame.len() as u64 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_happens_the_properties_hold(data in prop::collection::vec(any::<u8>(), 0..400)) {
            pair(&data);
        }
    }

    #[test]
    fn a_blob_arrives_over_a_link_that_dies_at_any_frame() {
        // The second node wants all of the third blob; a link comes up; a few things arrive.
        let want = [1, 0, 2, 0];
        let arrive = |count: u8| [[0, 4, count << 4], [1, 4, count << 4]].concat();
        for frames in 0..16 {
            let script = [&[0][..], &want, &[0, 15], &arrive(frames), &[0, 16, 0, 1]].concat();
            let mut dice = Dice(&script);
            let mut pair = Pair::new(&mut dice);
            while !dice.0.is_empty() {
                pair.step(&mut dice);
            }
            let before = pair.nodes[1].verified[2].total();
            pair.end_well();
            assert!(before < 98 || frames > 10, "it died in the middle");
            assert_eq!(pair.nodes[1].verified[2].total(), 98);
            assert!(!pair.nodes[1].wants[0].excused);
        }
    }
}
