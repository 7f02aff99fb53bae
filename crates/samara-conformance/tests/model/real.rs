//! Two real meshes that are led along a run of the model: the same frames in the same queues, the same
//! answers of stores, the same faults.

use core::{ops::Range, time::Duration};
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use samara_base::{BlobId, GroupLog2, Instant, PeerId, RangeSet};
use samara_mesh::{
    Mesh, MeshConfig,
    io::{
        Accepted, Block, Input, MeshEvent, OpenRequest, Opened, Output, ReadRequest, ServeError,
        WriteError, WriteRequest,
    },
    link::{DownReason, LinkEvent, LinkId, LinkInfo, Outgoing, RawFrame},
};
use samara_sched::{Event, Verdict, WantId, WantSpec};
use samara_tree::{Cv, OutboardBuilder, Prover, Verifier};
use samara_wire::{EndCode, FRAME_BODY_MAX, FrameDecoder, Message};

use crate::{
    explore::Action,
    frame::{ALL, Code, Frame, Groups, Lane, Side},
    setup::Kind,
};

const GROUP: u64 = 16;
const SIZE: u64 = 3 * GROUP * 1024;
const HOUR: Duration = Duration::from_secs(3600);

fn peer(side: Side) -> PeerId {
    PeerId::from_bytes([side as u8 + 1; 32])
}

fn leaves(groups: Groups) -> RangeSet {
    let group = |at: u64| at * GROUP..(at + 1) * GROUP;
    (0..3).filter(|at| groups & (1 << at) != 0).map(group).collect()
}

fn groups(leaves: &RangeSet) -> Groups {
    (0..3).filter(|at| leaves.contains(at * GROUP)).fold(0, |all, at| all | 1 << at)
}

/// What the source's store was asked.
#[derive(Debug)]
enum Asked {
    Open(OpenRequest),
    Read(ReadRequest),
}

/// Both meshes and what is around them.
pub(crate) struct Real {
    kind: Kind,
    meshes: [Mesh; 2],
    now: [Instant; 2],
    /// Each side's end of the link.
    ends: [Option<LinkId>; 2],
    whole: bool,
    links: u64,
    wires: [[VecDeque<RawFrame>; 2]; 2],
    data: Vec<u8>,
    id: BlobId,
    outboard: Vec<Cv>,
    // The source's store.
    asked: Option<Asked>,
    quarantine: Groups,
    stopped: bool,
    // The getter's.
    writes: VecDeque<WriteRequest>,
    verifier: Verifier,
    pub(crate) held: Groups,
    want: Option<WantId>,
    pub(crate) verdict: Option<Verdict>,
}

fn config(side: Side) -> MeshConfig {
    MeshConfig {
        // Two groups with their proofs, not three.
        credit_bytes: 40 << 10,
        wants_per_session_max: 1,
        rights_max: 1,
        // One group at a time.
        read_ahead_bytes: 1,
        ping_interval: 1000 * HOUR,
        agent: format!("{side:?}"),
        ..MeshConfig::default()
    }
}

impl Real {
    pub(crate) fn new(kind: Kind) -> Self {
        let data: Vec<u8> = (0..SIZE).map(|at| (at / 251 + at % 251) as u8).collect();
        let mut outboard = Vec::new();
        let mut builder = OutboardBuilder::new();
        builder.push(&data, &mut |_, cv| outboard.push(cv));
        let (id, _) = builder.finish(&mut |_, cv| outboard.push(cv));
        let mut real = Self {
            kind,
            meshes: Side::BOTH.map(|side| Mesh::new(config(side), 1)),
            now: [Instant::from_micros(1_000_000); 2],
            ends: [None; 2],
            whole: false,
            links: 0,
            wires: Default::default(),
            data,
            id,
            outboard,
            asked: None,
            quarantine: 0,
            stopped: false,
            writes: VecDeque::new(),
            verifier: Verifier::new(id, SIZE),
            held: 0,
            want: None,
            verdict: None,
        };
        real.open_want();
        real
    }

    fn open_want(&mut self) {
        let now = self.now[0];
        let mut spec = WantSpec::new(self.id, [peer(Side::Source)]);
        spec.size = Some(SIZE);
        spec.group = GroupLog2::KIB16;
        spec.held = leaves(self.held);
        spec.size_max = 1 << 30;
        spec.patience = Some(HOUR);
        spec.deadline = Some(now + 100 * HOUR);
        let right = Bytes::from_static(b"the right");
        self.meshes[0].present(now, peer(Side::Source), right);
        self.want = Some(self.meshes[0].want(now, spec).unwrap());
        self.drain(Side::Getter);
    }

    fn input(&mut self, side: Side, input: Input) {
        let at = side as usize;
        self.meshes[at].handle_input(self.now[at], input);
        self.drain(side);
    }

    fn drain(&mut self, side: Side) {
        while let Some(output) = self.meshes[side as usize].poll_output() {
            match output {
                Output::Transmit { link, outgoing } => self.transmit(side, link, &outgoing),
                Output::Open(request) => self.asked = Some(Asked::Open(request)),
                Output::Read(request) => self.asked = Some(Asked::Read(request)),
                Output::Write(request) => self.writes.push_back(request),
                Output::Event(MeshEvent::Want(Event::Ended { verdict, want })) => {
                    assert!(self.want.is_none_or(|ours| ours == want));
                    assert_eq!(self.verdict.replace(verdict), None, "one verdict");
                }
                _ => {}
            }
        }
    }

    fn transmit(&mut self, from: Side, link: LinkId, outgoing: &Outgoing) {
        let to = from.other() as usize;
        if !self.whole || self.ends[to] != Some(link) {
            return;
        }
        let mut decoder = FrameDecoder::new(FRAME_BODY_MAX, false);
        let mut buffer = BytesMut::from(outgoing.frame.to_bytes().as_ref());
        let frame = decoder.decode(&mut buffer).unwrap().expect("whole frame");
        let message = Message::decode(frame.kind, frame.body.clone()).unwrap();
        if self.kind == Kind::KeepsEnd && matches!(message, Some(Message::End(_))) {
            return;
        }
        self.wires[to][outgoing.lane as usize].push_back(frame);
    }

    /// The frames of a queue, as the model would write them down; see [`told`].
    pub(crate) fn queue(&self, to: Side, lane: Lane) -> Vec<String> {
        let message = |frame: &RawFrame| {
            let message = Message::decode(frame.kind, frame.body.clone()).unwrap().unwrap();
            match message {
                Message::Hello(_) => "HELLO".to_owned(),
                Message::Present(_) => "PRESENT".to_owned(),
                Message::Ping(_) => "PING".to_owned(),
                Message::Pong(_) => "PONG".to_owned(),
                Message::Credit(_) => "CREDIT".to_owned(),
                Message::Want(want) => format!("WANT {} {:#b}", want.want, groups(&want.ranges)),
                Message::Cancel(cancel) => format!("CANCEL {}", cancel.want),
                Message::Have(have) => format!("HAVE {} {:#b}", have.want, groups(&have.held)),
                Message::Data(data) => format!("DATA {} {}", data.want, data.first / GROUP),
                Message::End(end) => {
                    format!("END {} {:?} {:#b}", end.want, end.code, groups(&end.missing))
                }
                Message::Close(close) => format!("CLOSE {:?}", close.code),
                other => format!("{other:?}"),
            }
        };
        self.wires[to as usize][lane as usize].iter().map(message).collect()
    }

    pub(crate) fn phase(&self, side: Side) -> Option<String> {
        let mesh = &self.meshes[side as usize];
        mesh.sessions().next().map(|(_, _, state)| format!("{state:?}"))
    }

    /// Lets the same happen as in the model.
    pub(crate) fn act(&mut self, action: Action) {
        match action {
            Action::Connect => self.connect(),
            Action::Deliver(to, lane) => self.deliver(to, lane),
            Action::StoreAnswers => self.store_answers(),
            Action::Verify => self.verify(),
            Action::Tick | Action::Retry => self.wait(Side::Getter, Duration::from_millis(110)),
            Action::Stall => self.wait(Side::Getter, Duration::from_millis(3_100)),
            Action::Patience => self.wait(Side::Getter, HOUR),
            Action::Deadline => self.wait(Side::Getter, 200 * HOUR),
            Action::HelloTimeout(side) => self.wait(side, Duration::from_millis(10_100)),
            Action::Down(side) => self.down(side),
            Action::Cancel => {
                let want = self.want.expect("a want is open");
                self.meshes[0].cancel(self.now[0], want);
                self.drain(Side::Getter);
            }
            Action::FailLocal => self.fail_local(),
            Action::Shutdown(side) => {
                let at = side as usize;
                self.meshes[at].shutdown(self.now[at]);
                self.drain(side);
            }
            Action::Cut => self.cut(),
            Action::CrashGetter { kept } => {
                self.crash(Side::Getter);
                self.writes.clear();
                self.verifier = Verifier::new(self.id, SIZE);
                self.held = kept;
                (self.want, self.verdict) = (None, None);
                self.open_want();
            }
            Action::CrashSource => {
                self.crash(Side::Source);
                self.asked = None;
            }
            other => panic!("{other:?} is not for real links"),
        }
    }

    fn wait(&mut self, side: Side, span: Duration) {
        let at = side as usize;
        self.now[at] = self.now[at] + span;
        self.input(side, Input::Timeout);
    }

    fn connect(&mut self) {
        self.links += 1;
        let link = LinkId(self.links);
        (self.ends, self.whole) = ([Some(link); 2], true);
        for side in Side::BOTH {
            let info = LinkInfo::reliable(peer(side.other()), "model");
            self.input(side, Input::Link(LinkEvent::Up { link, info }));
        }
    }

    fn deliver(&mut self, to: Side, lane: Lane) {
        let frame = self.wires[to as usize][lane as usize].pop_front().expect("as in the model");
        let link = self.ends[to as usize].expect("as in the model");
        let lane = match lane {
            Lane::Control => samara_mesh::link::Lane::Control,
            Lane::Bulk => samara_mesh::link::Lane::Bulk,
        };
        let frames = vec![frame];
        self.input(to, Input::Link(LinkEvent::Frames { link, lane, frames }));
    }

    fn cut(&mut self) {
        self.whole = false;
        self.wires = Default::default();
    }

    fn down(&mut self, side: Side) {
        let link = self.ends[side as usize].take().expect("as in the model");
        self.wires[side as usize] = Default::default();
        if side == Side::Source {
            self.asked = None;
        }
        let reason = DownReason::TimedOut;
        self.input(side, Input::Link(LinkEvent::Down { link, reason }));
    }

    fn crash(&mut self, side: Side) {
        self.cut();
        self.ends[side as usize] = None;
        self.meshes[side as usize] = Mesh::new(config(side), 1);
    }

    // The source's store.

    fn store_answers(&mut self) {
        let input = match self.asked.take() {
            Some(Asked::Open(request)) => {
                Input::Opened { token: request.token, result: self.open(&request) }
            }
            Some(Asked::Read(request)) => {
                let result = self.read(&request.range, &request.base);
                Input::Read { token: request.token, result }
            }
            None => panic!("the store was asked in the model"),
        };
        self.input(Side::Source, input);
    }

    fn open(&mut self, request: &OpenRequest) -> Result<Opened, ServeError> {
        let mut held = leaves(ALL & !self.quarantine);
        let mut size = SIZE;
        match self.kind {
            Kind::Refuses => return Err(ServeError::Unavailable),
            Kind::Ruined => return Err(ServeError::Damaged(leaves(ALL))),
            Kind::Busy if !core::mem::replace(&mut self.stopped, true) => {
                return Err(ServeError::Busy);
            }
            Kind::Fails if !core::mem::replace(&mut self.stopped, true) => {
                return Err(ServeError::Internal);
            }
            Kind::Partial => held = leaves(0b011),
            Kind::Huge => {
                size = 1 << 40;
                held = RangeSet::from(0..size / 1024);
            }
            _ => {}
        }
        let first = request.first_block(size, &held);
        let first = first.map(|range| (range.clone(), self.read(&range, &request.base)));
        Ok(Opened { size, held, first })
    }

    fn read(&mut self, range: &Range<u64>, base: &RangeSet) -> Result<Block, ServeError> {
        let bit = 1 << (range.start / GROUP);
        let mut flip = false;
        match self.kind {
            Kind::Damaged(group) if 1 << group == bit => {
                self.quarantine |= bit;
                return Err(ServeError::Damaged(range.clone().into()));
            }
            Kind::Stops(at, code)
                if 1 << at == bit && !core::mem::replace(&mut self.stopped, true) =>
            {
                return Err(match code {
                    Code::Unavailable => ServeError::Unavailable,
                    Code::Busy => ServeError::Busy,
                    _ => ServeError::Internal,
                });
            }
            Kind::Liar(bad) => flip = bad & bit != 0,
            Kind::KeepsEnd => flip = bit == 0b010,
            _ => {}
        }
        let source = self.outboard.as_slice();
        let prover = Prover::open(self.id, SIZE, source).unwrap();
        let bytes =
            |of: &Range<u64>| (of.start * 1024) as usize..(of.end * 1024).min(SIZE) as usize;
        let span = prover.span(range);
        let group = GroupLog2::KIB16;
        let proof = prover.encode(source, group, range, base, &self.data[bytes(&span)]);
        let (mut proof, mut data) = (proof.unwrap(), self.data[bytes(range)].to_vec());
        if flip {
            data[0] ^= 1;
        }
        if matches!(self.kind, Kind::Forger | Kind::Huge) {
            proof.extend_from_slice(&[9; 64]);
        }
        Ok(Block { proof: proof.into(), data: data.into() })
    }

    // The getter's store.

    fn verify(&mut self) {
        let write = self.writes.pop_front().expect("as in the model");
        let verified = self.verifier.verify(
            write.group,
            write.first_leaf,
            &write.base,
            &write.proof,
            &write.data,
            &mut |_, _| (),
        );
        let result = verified.map_err(|_| WriteError::NotProven).map(|verified| {
            let good = verified.good.union(&verified.duplicate);
            self.held |= groups(&good);
            Accepted { good, bad: verified.bad, size_proven: self.verifier.size_proven() }
        });
        self.input(Side::Getter, Input::Written { token: write.token, result });
    }

    fn fail_local(&mut self) {
        let write = self.writes.pop_front().expect("as in the model");
        self.meshes[0].fail_local(self.now[0], write.want);
        self.drain(Side::Getter);
        let result = Err(WriteError::Local);
        self.input(Side::Getter, Input::Written { token: write.token, result });
    }
}

/// A frame of the model, as [`Real::queue`] writes one down.
pub(crate) fn told(frame: Frame) -> String {
    let code = |code| match code {
        Code::Done => EndCode::Done,
        Code::Unavailable => EndCode::Unavailable,
        Code::Busy => EndCode::Busy,
        Code::Damaged => EndCode::Damaged,
        Code::Cancelled => EndCode::Cancelled,
        Code::Internal => EndCode::Internal,
    };
    match frame {
        Frame::Hello { .. } => "HELLO".to_owned(),
        Frame::Present => "PRESENT".to_owned(),
        Frame::Ping => "PING".to_owned(),
        Frame::Pong => "PONG".to_owned(),
        Frame::Credit(_) => "CREDIT".to_owned(),
        Frame::Want { number, groups } => format!("WANT {number} {groups:#b}"),
        Frame::Cancel(number) => format!("CANCEL {number}"),
        Frame::Have { number, held, .. } => format!("HAVE {number} {held:#b}"),
        Frame::Data { number, group, .. } => format!("DATA {number} {group}"),
        Frame::End { number, code: of, missing } => {
            format!("END {number} {:?} {missing:#b}", code(of))
        }
        Frame::Close(code) => format!("CLOSE {:?}", samara_wire::CloseCode::from_code(code.into())),
        Frame::Garbage | Frame::Later => "not for real links".to_owned(),
    }
}
