//! One mesh, and a peer that says what the test says.

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use samara_base::{BlobId, Class, GroupLog2, Instant, RangeSet};
use samara_mesh::{
    Mesh, MeshConfig, SessionState,
    io::{Block, CloseReason, Input, Opened, Output, ServeError},
    link::{Lane, LinkEvent, LinkId, LinkInfo},
};
use samara_sched::WantSpec;
use samara_wire::{CloseCode, FrameDecoder, Hello, Message, RawFrame, Want};

use crate::world::peer;

pub(crate) const LINK: LinkId = LinkId(1);

/// One mesh with a scripted peer at the other end of its link.
pub(crate) struct Script {
    pub(crate) mesh: Mesh,
    pub(crate) now: Instant,
    pub(crate) said: Vec<Message>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) closed: Option<CloseReason>,
}

impl Script {
    pub(crate) fn new() -> Self {
        Self::with(MeshConfig::default())
    }

    pub(crate) fn with(config: MeshConfig) -> Self {
        let mut script = Self {
            mesh: Mesh::new(config, 1),
            now: Instant::from_micros(1_000_000),
            said: Vec::new(),
            bytes: Vec::new(),
            outputs: Vec::new(),
            closed: None,
        };
        let info = LinkInfo::reliable(peer(2), "test");
        script.input(Input::Link(LinkEvent::Up { link: LINK, info }));
        script
    }

    pub(crate) fn open() -> Self {
        let mut script = Self::new();
        script.hear(hello());
        assert_eq!(script.state(), Some(SessionState::Open));
        script.said.clear();
        script
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.mesh.handle_input(self.now, input);
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.mesh.poll_output() {
            match output {
                Output::Transmit { outgoing, .. } => {
                    assert_eq!(self.closed, None, "nothing is sent after CLOSE");
                    let frame = outgoing.frame.to_bytes();
                    self.bytes.extend_from_slice(&frame);
                    let mut decoder = FrameDecoder::new(samara_wire::FRAME_BODY_MAX, false);
                    let mut buffer = BytesMut::from(&frame[..]);
                    let raw = decoder.decode(&mut buffer).unwrap().unwrap();
                    self.said.push(Message::decode(raw.kind, raw.body).unwrap().unwrap());
                }
                Output::Close { reason, .. } => self.closed = Some(reason),
                output => self.outputs.push(output),
            }
        }
    }

    pub(crate) fn hear(&mut self, message: impl Into<Message>) {
        let frame = message.into().encode(false).unwrap().to_bytes();
        let mut decoder = FrameDecoder::new(samara_wire::FRAME_BODY_MAX, false);
        let raw = decoder.decode(&mut BytesMut::from(&frame[..])).unwrap().unwrap();
        self.hear_raw(raw);
    }

    pub(crate) fn hear_raw(&mut self, raw: RawFrame) {
        let frames = vec![raw];
        self.input(Input::Link(LinkEvent::Frames { link: LINK, lane: Lane::Control, frames }));
    }

    pub(crate) fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.mesh.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Timeout);
        }
        self.now = end;
    }

    pub(crate) fn state(&self) -> Option<SessionState> {
        self.mesh.sessions().next().map(|(_, _, state)| state)
    }

    pub(crate) fn want(&mut self, size: u64) -> u64 {
        let mut spec = WantSpec::new(BlobId::from_bytes([7; 32]), [peer(2)]);
        spec.size = Some(size);
        self.mesh.want(self.now, spec).unwrap();
        self.drain();
        let want = self.said.iter().find_map(|message| match message {
            Message::Want(want) => Some(want.want),
            _ => None,
        });
        want.expect("asks at once")
    }

    pub(crate) fn protocol_violation(&self) -> bool {
        matches!(self.closed, Some(CloseReason::Protocol(_)))
            && matches!(self.said.last(), Some(Message::Close(close)) if close.code == CloseCode::from_code(2))
    }
}

pub(crate) fn hello() -> Hello {
    Hello {
        version_min: 1,
        version_max: 1,
        agent: String::from("test"),
        frame_body_max: samara_wire::FRAME_BODY_MAX,
        wants_max: 64,
        credit: 1 << 20,
        features: 0,
    }
}

pub(crate) fn asked(want: u64) -> Want {
    Want {
        want,
        blob: BlobId::from_bytes([9; 32]),
        group: GroupLog2::KIB16,
        class: Class::Bulk,
        ranges: RangeSet::from(0..16),
        known: RangeSet::new(),
        size: Some(16 * 1024),
    }
}

/// The bytes of a `hex` block of an RFC that begins with `# name`.
pub(crate) fn example(rfc: &str, name: &str) -> Vec<u8> {
    let start = format!("```hex\n# {name}\n");
    let (_, rest) = rfc.split_once(&start).expect("the example is there");
    let (block, _) = rest.split_once("```").expect("the block ends");
    let digits = block.lines().flat_map(|line| line.split('#').next());
    let digits = digits.flat_map(str::split_whitespace);
    digits.map(|byte| u8::from_str_radix(byte, 16).expect("two digits")).collect()
}

/// Tokens and blobs of the opens that wait at the store.
pub(crate) fn opens(script: &mut Script) -> Vec<(samara_mesh::io::Token, BlobId)> {
    let opens = |output: &Output| match output {
        Output::Open(open) => Some((open.token, open.blob)),
        _ => None,
    };
    core::mem::take(&mut script.outputs).iter().filter_map(opens).collect()
}

/// What the store answers for a blob of one group: all of it, filled with one byte.
pub(crate) fn one_group(fill: u8) -> Result<Opened, ServeError> {
    let block = Block { proof: Bytes::new(), data: vec![fill; 16 * 1024].into() };
    Ok(Opened { size: 16 * 1024, held: RangeSet::from(0..16), first: Some((0..16, Ok(block))) })
}

/// Serves want 0 with a block of one group whenever the mesh asks.
pub(crate) fn serve(script: &mut Script) {
    for output in core::mem::take(&mut script.outputs) {
        let block = || Block { proof: Bytes::new(), data: vec![0; 16 * 1024].into() };
        match output {
            Output::Open(open) => {
                let (size, held) = (64 * 16 * 1024, RangeSet::from(0..1024));
                let range = open.first_block(size, &held).expect("held");
                let first = Some((range, Ok(block())));
                let result = Ok(Opened { size, held, first });
                script.input(Input::Opened { token: open.token, result });
            }
            Output::Read(read) => {
                script.input(Input::Read { token: read.token, result: Ok(block()) });
            }
            _ => {}
        }
    }
}
