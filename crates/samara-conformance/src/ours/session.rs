//! A node of ours, and a peer that says what the input has. Spec: RFC 0014, section "Values".

use core::time::Duration;
use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use samara_base::{BlobId, Instant, LEAF_BYTES, PeerId, RangeSet, leaves};
use samara_mesh::{
    Mesh, MeshConfig, SessionState,
    io::{
        Accepted, Block, CloseReason, Input, MeshEvent, OpenRequest, Opened, Output, ServeError,
        WriteRequest,
    },
    link::{Lane, LinkEvent, LinkId, LinkInfo, Outgoing, RawFrame},
};
use samara_sched::WantSpec;
use samara_wire::{
    EndCode, FRAME_BODY_MAX, FRAME_BODY_MIN, FRAME_OVERHEAD_MAX, FrameDecoder, Message, Want,
};
use serde_json::{Value, json};

use super::{
    Outcome, Pattern,
    json::{Object, number},
    message,
};
use crate::Params;

const LINK: LinkId = LinkId(1);
const PEER: PeerId = PeerId::from_bytes([2; 32]);
/// Longest time after the input. Unit: milliseconds.
const WAIT_MS_MAX: u64 = 3_600_000;

/// When the node's store answers, and when the link takes what the node says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// As soon as it is asked.
    Eager,
    /// Once all of the input is there, the last first.
    Late,
}

pub(super) fn decode(params: &Params, input: &[u8]) -> Outcome<Value> {
    decode_with(Store::Late, params, input)
}

/// What the node makes of the input; `Err` if the peer broke the protocol.
pub(crate) fn decode_with(store: Store, params: &Params, input: &[u8]) -> Outcome<Value> {
    let script = Script::read(params)?;
    let mut node = Node::new(store, script)?;
    node.hear(input)?;
    node.work()?;
    node.wait()?;
    Ok(node.value())
}

/// A blob that the node holds.
#[derive(Debug)]
struct Held {
    id: BlobId,
    size: u64,
    right: Option<Vec<u8>>,
}

/// The params.
#[derive(Debug)]
struct Script {
    frame_body_max: u32,
    config: MeshConfig,
    held: Option<Held>,
    asked: Option<Want>,
    wait: Duration,
}

impl Script {
    fn read(params: &Params) -> Outcome<Self> {
        let params = Object::of(params);
        let frame_body_max = params.number("frame_body_max")?;
        if !(FRAME_BODY_MIN..=FRAME_BODY_MAX).contains(&frame_body_max) {
            return Err(format!("no HELLO says a `frame_body_max` of {frame_body_max}"));
        }
        let config = MeshConfig {
            credit_bytes: params.number("credit")?,
            wants_per_session_max: params.number("wants_max")?,
            rights_max: params.number("rights_max")?,
            ..MeshConfig::default()
        };
        let asked =
            params.optional("asked").map(|value| match message::from_json(Object::new(value)?)? {
                Message::Want(want) => Ok(want),
                _ => Err("`asked` is no WANT".to_owned()),
            });
        let wait = params.optional("wait_ms").map(|_| params.number("wait_ms")).transpose()?;
        let wait = wait.unwrap_or(0);
        if wait > WAIT_MS_MAX {
            return Err("`wait_ms` is more than an hour".to_owned());
        }
        Ok(Self {
            frame_body_max,
            config,
            held: params.optional("held").map(Held::read).transpose()?,
            asked: asked.transpose()?,
            wait: Duration::from_millis(wait),
        })
    }
}

impl Held {
    fn read(value: &Value) -> Outcome<Self> {
        let object = Object::new(value)?;
        let size = Pattern::read(object.get("data")?)?.len as u64;
        let right = object.optional("right").map(|_| object.bytes("right")).transpose()?;
        Ok(Self { id: object.id("id")?, size, right })
    }
}

/// A node with one link, and what it has said on it.
#[derive(Debug)]
struct Node {
    mesh: Mesh,
    now: Instant,
    store: Store,
    script: Script,
    rights: Vec<Bytes>,
    /// What the store has not answered yet.
    opens: Vec<OpenRequest>,
    writes: Vec<WriteRequest>,
    /// Frames that the link has not taken.
    queue: Vec<(Lane, u64)>,
    pongs: Vec<Value>,
    /// Numbers and codes.
    ends: Vec<(u64, u64)>,
    /// Wants of the peer that were not refused or cancelled.
    served: BTreeSet<u64>,
    /// By whom, and the code.
    closed: Option<(&'static str, u64)>,
}

impl Node {
    fn new(store: Store, script: Script) -> Outcome<Self> {
        let mut node = Self {
            mesh: Mesh::new(script.config.clone(), 1),
            now: Instant::from_micros(1_000_000),
            store,
            script,
            rights: Vec::new(),
            opens: Vec::new(),
            writes: Vec::new(),
            queue: Vec::new(),
            pongs: Vec::new(),
            ends: Vec::new(),
            served: BTreeSet::new(),
            closed: None,
        };
        if let Some(want) = &node.script.asked {
            let mut spec = WantSpec::new(want.blob, [PEER]);
            (spec.size, spec.group, spec.class) = (want.size, want.group, want.class);
            spec.ranges = Some(want.ranges.clone());
            spec.known = want.known.clone();
            spec.held = want.known.clone();
            node.mesh.want(node.now, spec).map_err(|error| error.to_string())?;
        }
        let mut info = LinkInfo::reliable(PEER, "script");
        info.frame_len_max = node.script.frame_body_max + FRAME_OVERHEAD_MAX;
        node.input(Input::Link(LinkEvent::Up { link: LINK, info }))?;
        Ok(node)
    }

    fn hear(&mut self, input: &[u8]) -> Outcome<()> {
        let mut decoder = FrameDecoder::new(self.script.frame_body_max, false);
        let mut buffer = BytesMut::from(input);
        while self.closed.is_none() {
            let frame = decoder.decode(&mut buffer).map_err(|error| error.to_string())?;
            // What is not whole has not come yet.
            let Some(frame) = frame else { break };
            self.note(&frame);
            let frames = vec![frame];
            let lane = Lane::Control;
            self.input(Input::Link(LinkEvent::Frames { link: LINK, lane, frames }))?;
        }
        Ok(())
    }

    /// Remembers the numbers of the peer's wants.
    fn note(&mut self, frame: &RawFrame) {
        if let Ok(Some(Message::Want(want))) = Message::decode(frame.kind, frame.body.clone()) {
            self.served.insert(want.want);
        }
    }

    fn input(&mut self, input: Input) -> Outcome<()> {
        self.mesh.handle_input(self.now, input);
        while let Some(output) = self.mesh.poll_output() {
            match output {
                Output::Transmit { outgoing, .. } => self.sent(outgoing)?,
                Output::Close { reason: CloseReason::Protocol(what), .. } => {
                    return Err(what.to_owned());
                }
                Output::Close { reason, .. } => {
                    // After a CLOSE of the peer, too, the link is closed.
                    self.closed =
                        self.closed.or_else(|| Some(("node", reason.close_code().code())));
                }
                Output::Event(MeshEvent::ClosedByPeer { code, .. }) => {
                    self.closed = Some(("peer", code.code()));
                }
                Output::Present { right, .. } => self.rights.push(right),
                Output::Open(open) => self.opens.push(open),
                Output::Read(read) => {
                    let size = self.script.held.as_ref().map_or(0, |held| held.size);
                    let result = Ok(block(read.range.start, read.range.end, size));
                    self.mesh.handle_input(self.now, Input::Read { token: read.token, result });
                }
                Output::Write(write) => self.writes.push(write),
                _ => {}
            }
        }
        if self.store == Store::Eager { self.work() } else { Ok(()) }
    }

    /// Takes down what the node says.
    fn sent(&mut self, outgoing: Outgoing) -> Outcome<()> {
        let frame = outgoing.frame.to_bytes();
        let (lane, bytes) = (outgoing.lane, frame.len() as u64);
        let mut buffer = BytesMut::from(&frame[..]);
        let raw = FrameDecoder::new(FRAME_BODY_MAX, false).decode(&mut buffer);
        let raw = raw.map_err(|error| error.to_string())?.ok_or("half a frame")?;
        match Message::decode(raw.kind, raw.body).map_err(|error| error.to_string())? {
            Some(Message::Pong(pong)) => self.pongs.push(number(pong.token)),
            Some(Message::End(end)) => {
                if let EndCode::Unavailable | EndCode::Busy | EndCode::Cancelled = end.code {
                    self.ends.push((end.want, end.code.code()));
                    self.served.remove(&end.want);
                }
            }
            Some(Message::Want(want))
                if want.want == 0 && self.script.asked.as_ref() != Some(&want) =>
            {
                return Err("this node asks for that with another WANT".to_owned());
            }
            _ => {}
        }
        self.queue.push((lane, bytes));
        Ok(())
    }

    /// Has the store answer all that it was asked, and the link take all that it was given.
    fn work(&mut self) -> Outcome<()> {
        loop {
            if let Some(open) = self.opens.pop() {
                let result = self.look_up(&open);
                self.input(Input::Opened { token: open.token, result })?;
            } else if let Some(write) = self.writes.pop() {
                self.input(written(&write))?;
            } else if let Some((lane, bytes)) = self.queue.pop() {
                self.input(Input::Link(LinkEvent::Sent { link: LINK, lane, bytes }))?;
            } else {
                return Ok(());
            }
        }
    }

    fn look_up(&self, open: &OpenRequest) -> Result<Opened, ServeError> {
        let held = self.script.held.as_ref().filter(|held| {
            let shown = |right: &Vec<u8>| self.rights.iter().any(|shown| shown == right);
            held.id == open.blob && held.right.as_ref().is_none_or(shown)
        });
        let size = held.ok_or(ServeError::Unavailable)?.size;
        let held = RangeSet::from(0..leaves(size));
        let first = open.first_block(size, &held);
        let first = first.map(|range| (range.clone(), Ok(block(range.start, range.end, size))));
        Ok(Opened { size, held, first })
    }

    /// Lets the time after the input pass.
    fn wait(&mut self) -> Outcome<()> {
        let end = self.now + self.script.wait;
        while let Some(at) = self.mesh.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Timeout)?;
        }
        Ok(())
    }

    fn value(mut self) -> Value {
        if let Some((by, code)) = self.closed {
            return json!({ "state": "closed", "by": by, "code": number(code) });
        }
        let state = self.mesh.sessions().next().map(|(_, _, state)| state);
        let Some(terms) = self.mesh.terms(LINK).filter(|_| state == Some(SessionState::Open))
        else {
            return json!({ "state": "opening" });
        };
        self.ends.sort_by_key(|(want, _)| *want);
        let ends = self.ends.iter().map(|(want, code)| json!([number(want), number(code)]));
        json!({
            "state": "open",
            "version": number(terms.version),
            "features": number(terms.features),
            "credit": number(terms.credit),
            "pongs": self.pongs,
            "ends": ends.collect::<Value>(),
            "served": self.served.iter().map(number).collect::<Value>(),
        })
    }
}

/// Bytes of a blob: nobody looks at them here.
fn block(first: u64, end: u64, size: u64) -> Block {
    let len = (end * LEAF_BYTES).min(size).saturating_sub(first * LEAF_BYTES);
    let data = vec![0; usize::try_from(len).unwrap_or(0)];
    Block { proof: Bytes::new(), data: data.into() }
}

/// All that was sent is good: nobody looks at its bytes either.
fn written(write: &WriteRequest) -> Input {
    let end = write.first_leaf + leaves(write.data.len() as u64);
    let good = RangeSet::from(write.first_leaf..end);
    let size_proven = end == leaves(write.size);
    let result = Ok(Accepted { good, bad: RangeSet::new(), size_proven });
    Input::Written { token: write.token, result }
}
