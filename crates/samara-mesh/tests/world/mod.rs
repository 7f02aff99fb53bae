//! A small world around unchanged meshes: virtual time, links with latency, stores in memory.
//! The same calls give the same run.
#![allow(dead_code, reason = "each test file uses a part of it")]

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use bytes::Bytes;
use samara_base::{BlobId, Instant, LEAF_BYTES, PeerId, RangeSet, leaves};
use samara_mesh::{
    Mesh, MeshConfig,
    io::{
        Accepted, Block, CloseReason, Input, MeshEvent, Opened, Output, ServeError, WriteError,
        WriteRequest,
    },
    link::{DownReason, Lane, LinkEvent, LinkId, LinkInfo, Outgoing},
};
use samara_sched::{Event, Verdict, WantId, WantSpec};
use samara_tree::{Cv, EncodeError, OutboardBuilder, Prover, Verifier};
use samara_wire::{FrameDecoder, Message, RawFrame};

/// One way of a link takes so long.
pub(crate) const LATENCY: Duration = Duration::from_millis(5);

/// A blob as a source holds it.
pub(crate) struct Held {
    pub(crate) data: Vec<u8>,
    outboard: Vec<Cv>,
    prover: Prover,
    /// What it claims to hold.
    pub(crate) held: RangeSet,
    damaged: RangeSet,
}

/// What a node does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Malice {
    #[default]
    None,
    /// Flips a bit of the data of every block that starts at or after this leaf.
    FlipFrom(u64),
    /// Flips a bit of every proof that is not empty.
    FlipProof,
    /// Claims this size.
    Size(u64),
    /// Takes wants and never answers.
    Silent,
    /// Refuses everything.
    Refuse,
}

/// A blob as a getter receives it.
pub(crate) struct Receiving {
    pub(crate) verifier: Verifier,
    pub(crate) data: BTreeMap<u64, Vec<u8>>,
}

pub(crate) struct Node {
    pub(crate) mesh: Mesh,
    pub(crate) blobs: BTreeMap<BlobId, Held>,
    pub(crate) receiving: BTreeMap<BlobId, Receiving>,
    pub(crate) malice: Malice,
    pub(crate) events: Vec<MeshEvent>,
    pub(crate) verdicts: BTreeMap<WantId, Verdict>,
    /// Bytes of frames that arrived here, by lane.
    pub(crate) arrived: u64,
    pub(crate) closes: Vec<CloseReason>,
    pub(crate) presented: Vec<Bytes>,
    pub(crate) reachable: BTreeSet<PeerId>,
    /// The store of this node fails at every write.
    pub(crate) broken_store: bool,
}

/// A frame on its way over a link.
#[derive(Debug)]
pub(crate) struct Tapped {
    pub(crate) link: LinkId,
    pub(crate) from: PeerId,
    /// Whether it has arrived; if not, it was sent just now.
    pub(crate) arrived: bool,
    pub(crate) message: Message,
}

/// Something that will happen, earliest first, then in the order of its making.
struct Future {
    at: Instant,
    order: u64,
    to: PeerId,
    input: Input,
}

impl PartialEq for Future {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Future {}
impl PartialOrd for Future {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Future {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) nodes: BTreeMap<PeerId, Node>,
    /// Ends of each link: the same number at both.
    pub(crate) links: BTreeMap<LinkId, (PeerId, PeerId)>,
    queue: BinaryHeap<Future>,
    order: u64,
    next_link: u64,
    /// Bytes per second of each direction of each link; 0 for instant.
    pub(crate) rate: u64,
    /// Frames that were sent and that arrived, in order, for whoever takes them out.
    pub(crate) tap: Option<Vec<Tapped>>,
    busy: BTreeMap<(LinkId, PeerId), Instant>,
}

pub(crate) fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

/// Bytes that differ everywhere, the same on every machine.
pub(crate) fn blob(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at / 251 + at % 251) as u8).collect()
}

impl World {
    /// A world whose links carry so many bytes per second each way.
    pub(crate) fn with_rate(rate: u64) -> Self {
        Self { rate, ..Self::default() }
    }

    pub(crate) fn add(&mut self, number: u8) -> PeerId {
        self.add_with(number, MeshConfig::default())
    }

    pub(crate) fn add_with(&mut self, number: u8, config: MeshConfig) -> PeerId {
        let node = Node {
            mesh: Mesh::new(config, u64::from(number)),
            blobs: BTreeMap::new(),
            receiving: BTreeMap::new(),
            malice: Malice::None,
            events: Vec::new(),
            verdicts: BTreeMap::new(),
            arrived: 0,
            closes: Vec::new(),
            presented: Vec::new(),
            reachable: BTreeSet::new(),
            broken_store: false,
        };
        self.nodes.insert(peer(number), node);
        peer(number)
    }

    pub(crate) fn node(&mut self, peer: PeerId) -> &mut Node {
        self.nodes.get_mut(&peer).expect("node was added")
    }

    /// Gives a node a whole blob.
    pub(crate) fn hold(&mut self, peer: PeerId, data: &[u8]) -> BlobId {
        let mut outboard = Vec::new();
        let mut builder = OutboardBuilder::new();
        builder.push(data, &mut |_, cv| outboard.push(cv));
        let (id, size) = builder.finish(&mut |_, cv| outboard.push(cv));
        let prover = Prover::open(id, size, outboard.as_slice()).expect("own outboard");
        let held = RangeSet::from(0..leaves(size));
        let data = data.to_vec();
        let blob = Held { data, outboard, prover, held, damaged: RangeSet::new() };
        self.node(peer).blobs.insert(id, blob);
        id
    }

    /// Flips a bit of what a node holds, behind its back.
    pub(crate) fn rot(&mut self, peer: PeerId, id: BlobId, byte: usize) {
        self.node(peer).blobs.get_mut(&id).expect("held").data[byte] ^= 1;
    }

    /// Lets `from` reach `to` by dialling.
    pub(crate) fn reachable(&mut self, from: PeerId, to: PeerId) {
        self.node(from).reachable.insert(to);
    }

    pub(crate) fn connect(&mut self, a: PeerId, b: PeerId) -> LinkId {
        self.next_link += 1;
        let link = LinkId(self.next_link);
        self.links.insert(link, (a, b));
        for (at, other) in [(a, b), (b, a)] {
            let event = LinkEvent::Up { link, info: LinkInfo::reliable(other, "test") };
            self.later(LATENCY, at, Input::Link(event));
        }
        link
    }

    pub(crate) fn cut(&mut self, link: LinkId) {
        let Some((a, b)) = self.links.remove(&link) else { return };
        let stale = |future: &Future| {
            !matches!(&future.input,
                Input::Link(
                    LinkEvent::Up { link: at, .. }
                    | LinkEvent::Frames { link: at, .. }
                    | LinkEvent::Sent { link: at, .. },
                ) if *at == link)
        };
        self.queue.retain(stale);
        for at in [a, b] {
            let reason = DownReason::TimedOut;
            self.later(Duration::ZERO, at, Input::Link(LinkEvent::Down { link, reason }));
        }
    }

    /// Takes everything from a node but what its disk has, and starts it anew.
    pub(crate) fn crash(&mut self, peer: PeerId, config: MeshConfig) {
        let ends = |(_, (a, b)): (&LinkId, &(PeerId, PeerId))| *a == peer || *b == peer;
        let links: Vec<_> = self.links.iter().filter(|end| ends(*end)).map(|it| *it.0).collect();
        for link in links {
            self.cut(link);
        }
        self.queue.retain(|future| future.to != peer);
        let seed = self.order;
        let node = self.node(peer);
        node.mesh = Mesh::new(config, seed);
        node.verdicts.clear();
        node.events.clear();
    }

    /// The link between two nodes, if there is one.
    pub(crate) fn link(&self) -> Option<LinkId> {
        self.links.keys().next().copied()
    }

    /// Makes a damaged blob sound again.
    pub(crate) fn mend(&mut self, peer: PeerId, id: BlobId, data: &[u8]) {
        let blob = self.node(peer).blobs.get_mut(&id).expect("held");
        blob.data = data.to_vec();
        blob.damaged = RangeSet::new();
    }

    fn note(&mut self, link: LinkId, from: PeerId, arrived: bool, frame: &RawFrame) {
        let Some(tap) = &mut self.tap else { return };
        let message = Message::decode(frame.kind, frame.body.clone());
        let message = message.expect("own message").expect("known kind");
        tap.push(Tapped { link, from, arrived, message });
    }

    pub(crate) fn want(&mut self, at: PeerId, spec: WantSpec) -> WantId {
        let now = self.now;
        let want = self.node(at).mesh.want(now, spec).expect("few wants");
        self.drain(at);
        want
    }

    pub(crate) fn later(&mut self, after: Duration, to: PeerId, input: Input) {
        self.order += 1;
        self.queue.push(Future { at: self.now + after, order: self.order, to, input });
    }

    /// Lets one thing happen. `false` when nothing ever will.
    pub(crate) fn step(&mut self) -> bool {
        let timer = self
            .nodes
            .iter()
            .filter_map(|(peer, node)| node.mesh.poll_timeout().map(|at| (at, *peer)))
            .min();
        let next = self.queue.peek().map(|future| future.at);
        match (timer, next) {
            (Some((at, peer)), next) if next.is_none_or(|next| at < next) => {
                self.now = self.now.max(at);
                self.handle(peer, Input::Timeout);
            }
            (_, Some(_)) => {
                let future = self.queue.pop().expect("peeked");
                self.now = self.now.max(future.at);
                self.handle(future.to, future.input);
            }
            (Some(_), None) | (None, None) => return false,
        }
        true
    }

    /// Runs until a want has ended or virtual time is up.
    pub(crate) fn verdict(
        &mut self,
        at: PeerId,
        want: WantId,
        within: Duration,
    ) -> Option<Verdict> {
        let end = self.now + within;
        while self.now < end {
            if let Some(verdict) = self.node(at).verdicts.get(&want) {
                return Some(verdict.clone());
            }
            if !self.step() {
                break;
            }
        }
        self.node(at).verdicts.get(&want).cloned()
    }

    pub(crate) fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end && self.step() {}
    }

    /// What a getter has of a blob, every byte of it verified.
    pub(crate) fn received(&mut self, at: PeerId, id: BlobId) -> Vec<u8> {
        let Some(receiving) = self.node(at).receiving.get(&id) else { return Vec::new() };
        receiving.data.values().flatten().copied().collect()
    }

    pub(crate) fn handle(&mut self, at: PeerId, input: Input) {
        let now = self.now;
        if let Input::Link(LinkEvent::Frames { link, frames, .. }) = &input {
            self.node(at).arrived +=
                frames.iter().map(|frame| frame.body.len() as u64).sum::<u64>();
            if let Some((a, b)) = self.links.get(link).copied() {
                let from = if a == at { b } else { a };
                for frame in frames {
                    self.note(*link, from, true, frame);
                }
            }
        }
        self.node(at).mesh.handle_input(now, input);
        self.drain(at);
    }

    pub(crate) fn drain(&mut self, at: PeerId) {
        while let Some(output) = self.node(at).mesh.poll_output() {
            match output {
                Output::Transmit { link, outgoing } => self.transmit(at, link, &outgoing),
                Output::Close { link, reason } => {
                    self.node(at).closes.push(reason);
                    if let Some((a, b)) = self.links.remove(&link) {
                        let other = if a == at { b } else { a };
                        let local = LinkEvent::Down { link, reason: DownReason::Local };
                        self.later(Duration::ZERO, at, Input::Link(local));
                        let reason = DownReason::Remote { reason: reason.to_string() };
                        let remote = LinkEvent::Down { link, reason };
                        self.later(2 * LATENCY, other, Input::Link(remote));
                    }
                }
                Output::Dial { peer } => {
                    if self.node(at).reachable.contains(&peer) && self.nodes.contains_key(&peer) {
                        self.connect(at, peer);
                    } else {
                        self.later(LATENCY, at, Input::DialFailed { peer });
                    }
                }
                Output::Open(request) => {
                    let node = self.node(at);
                    let result = match (node.malice, node.blobs.get_mut(&request.blob)) {
                        (Malice::Silent, _) => continue,
                        (Malice::Refuse, _) | (_, None) => Err(ServeError::Unavailable),
                        (malice, Some(blob)) => {
                            let mut size = blob.data.len() as u64;
                            let mut held = blob.held.difference(&blob.damaged);
                            if let Malice::Size(claim) = malice {
                                size = claim;
                                held = RangeSet::from(0..leaves(claim));
                            }
                            let first = request.first_block(size, &held).map(|range| {
                                let block =
                                    read(blob, malice, request.group, &range, &request.base);
                                (range, block)
                            });
                            Ok(Opened { size, held, first })
                        }
                    };
                    let token = request.token;
                    self.later(Duration::ZERO, at, Input::Opened { token, result });
                }
                Output::Read(request) => {
                    let node = self.node(at);
                    let malice = node.malice;
                    let blob = node.blobs.get_mut(&request.blob).expect("was opened");
                    let result = read(blob, malice, request.group, &request.range, &request.base);
                    let token = request.token;
                    self.later(Duration::ZERO, at, Input::Read { token, result });
                }
                Output::Write(request) => {
                    let token = request.token;
                    let result = if self.node(at).broken_store {
                        let now = self.now;
                        self.node(at).mesh.fail_local(now, request.want);
                        Err(WriteError::Local)
                    } else {
                        write(self.node(at), &request)
                    };
                    self.later(Duration::ZERO, at, Input::Written { token, result });
                }
                Output::Present { right, .. } => self.node(at).presented.push(right),
                Output::Event(event) => {
                    if let MeshEvent::Want(Event::Ended { want, verdict }) = &event {
                        let old = self.node(at).verdicts.insert(*want, verdict.clone());
                        assert_eq!(old, None, "a want ends once");
                    }
                    self.node(at).events.push(event);
                }
                _ => {}
            }
        }
    }

    fn transmit(&mut self, at: PeerId, link: LinkId, outgoing: &Outgoing) {
        let Some((a, b)) = self.links.get(&link).copied() else { return };
        let other = if a == at { b } else { a };
        let bytes = outgoing.frame.len() as u64;
        // Each direction of a link carries one frame after the other.
        let air = match self.rate {
            0 => Duration::ZERO,
            rate => Duration::from_micros(bytes * 1_000_000 / rate),
        };
        let start = self.busy.get(&(link, at)).copied().unwrap_or_default().max(self.now);
        self.busy.insert((link, at), start + air);
        let sent = (start + air).saturating_since(self.now);
        let mut decoder = FrameDecoder::new(samara_wire::FRAME_BODY_MAX, false);
        let mut buffer = outgoing.frame.to_bytes().as_ref().into();
        let frame = decoder.decode(&mut buffer).expect("own frame").expect("whole frame");
        self.note(link, at, false, &frame);
        let lane = outgoing.lane;
        if lane == Lane::Bulk {
            self.later(sent, at, Input::Link(LinkEvent::Sent { link, lane, bytes }));
        }
        let frames = vec![frame];
        self.later(sent + LATENCY, other, Input::Link(LinkEvent::Frames { link, lane, frames }));
    }
}

fn read(
    blob: &mut Held,
    malice: Malice,
    group: samara_base::GroupLog2,
    range: &core::ops::Range<u64>,
    base: &RangeSet,
) -> Result<Block, ServeError> {
    let bytes = |range: &core::ops::Range<u64>| {
        let end = (range.end * LEAF_BYTES).min(blob.data.len() as u64);
        let start = (range.start * LEAF_BYTES).min(end);
        start as usize..end as usize
    };
    if matches!(malice, Malice::Size(_)) {
        // Whatever it sends, it can't prove its claim.
        let data = vec![7; ((range.end - range.start) * LEAF_BYTES) as usize];
        let claim = if let Malice::Size(claim) = malice { claim } else { 0 };
        let end = (range.end * LEAF_BYTES).min(claim) - range.start * LEAF_BYTES;
        let length = samara_tree::Tree::new(claim).proof_len(group, range, base);
        let data = data[..end as usize].to_vec();
        return Ok(Block { proof: vec![9; length as usize].into(), data: data.into() });
    }
    let span = blob.prover.span(range);
    let source = blob.outboard.as_slice();
    match blob.prover.encode(source, group, range, base, &blob.data[bytes(&span)]) {
        Ok(mut proof) => {
            let mut data = blob.data[bytes(range)].to_vec();
            match malice {
                Malice::FlipFrom(leaf) if range.start >= leaf => data[0] ^= 1,
                Malice::FlipProof if !proof.is_empty() => proof[0] ^= 1,
                _ => {}
            }
            Ok(Block { proof: proof.into(), data: data.into() })
        }
        Err(EncodeError::Damaged { leaves: damaged }) => {
            blob.damaged = blob.damaged.union(&damaged);
            Err(ServeError::Damaged(damaged))
        }
        Err(_) => Err(ServeError::Internal),
    }
}

fn write(node: &mut Node, request: &WriteRequest) -> Result<Accepted, WriteError> {
    let receiving = node.receiving.entry(request.blob).or_insert_with(|| Receiving {
        verifier: Verifier::new(request.blob, request.size),
        data: BTreeMap::new(),
    });
    if receiving.verifier.size() != request.size {
        if receiving.verifier.size_proven() {
            // As a store says it: whoever claims another size has no proof.
            return Err(WriteError::NotProven);
        }
        receiving.verifier = Verifier::new(request.blob, request.size);
        receiving.data.clear();
    }
    let verified = receiving
        .verifier
        .verify(
            request.group,
            request.first_leaf,
            &request.base,
            &request.proof,
            &request.data,
            &mut |_, _| (),
        )
        .map_err(|_| WriteError::NotProven)?;
    for run in verified.good.runs() {
        for leaf in run.clone() {
            let at = ((leaf - request.first_leaf) * LEAF_BYTES) as usize;
            let end = (at + LEAF_BYTES as usize).min(request.data.len());
            receiving.data.insert(leaf, request.data[at..end].to_vec());
        }
    }
    let size_proven = receiving.verifier.size_proven();
    let good = verified.good.union(&verified.duplicate);
    Ok(Accepted { good, bad: verified.bad, size_proven })
}
