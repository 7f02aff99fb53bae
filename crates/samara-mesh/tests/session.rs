//! The state table of RFC 0005, row by row, and the worked examples of RFC 0005 and RFC 0007.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use samara_base::{BlobId, Class, GroupLog2, Instant, PeerId, RangeSet};
use samara_mesh::{
    Mesh, MeshConfig, SessionState,
    io::{Block, CloseReason, Input, MeshEvent, Opened, Output, ServeError},
    link::{DownReason, Lane, LinkEvent, LinkId, LinkInfo},
};
use samara_sched::WantSpec;
use samara_wire::{
    Cancel, Close, CloseCode, Credit, Data, End, EndCode, FrameDecoder, Have, Hello, Message, Ping,
    Pong, Present, RawFrame, Want,
};
use world::peer;

const LINK: LinkId = LinkId(1);

/// One mesh with a scripted peer at the other end of its link.
struct Script {
    mesh: Mesh,
    now: Instant,
    said: Vec<Message>,
    bytes: Vec<u8>,
    outputs: Vec<Output>,
    closed: Option<CloseReason>,
}

impl Script {
    fn new() -> Self {
        Self::with(MeshConfig::default())
    }

    fn with(config: MeshConfig) -> Self {
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

    fn open() -> Self {
        let mut script = Self::new();
        script.hear(hello());
        assert_eq!(script.state(), Some(SessionState::Open));
        script.said.clear();
        script
    }

    fn input(&mut self, input: Input) {
        self.mesh.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
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

    fn hear(&mut self, message: impl Into<Message>) {
        let frame = message.into().encode(false).unwrap().to_bytes();
        let mut decoder = FrameDecoder::new(samara_wire::FRAME_BODY_MAX, false);
        let raw = decoder.decode(&mut BytesMut::from(&frame[..])).unwrap().unwrap();
        self.hear_raw(raw);
    }

    fn hear_raw(&mut self, raw: RawFrame) {
        let frames = vec![raw];
        self.input(Input::Link(LinkEvent::Frames { link: LINK, lane: Lane::Control, frames }));
    }

    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.mesh.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Timeout);
        }
        self.now = end;
    }

    fn state(&self) -> Option<SessionState> {
        self.mesh.sessions().next().map(|(_, _, state)| state)
    }

    fn want(&mut self, size: u64) -> u64 {
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

    fn protocol_violation(&self) -> bool {
        matches!(self.closed, Some(CloseReason::Protocol(_)))
            && matches!(self.said.last(), Some(Message::Close(close)) if close.code == CloseCode::from_code(2))
    }
}

fn hello() -> Hello {
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

fn asked(want: u64) -> Want {
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
fn example(rfc: &str, name: &str) -> Vec<u8> {
    let start = format!("```hex\n# {name}\n");
    let (_, rest) = rfc.split_once(&start).expect("the example is there");
    let (block, _) = rest.split_once("```").expect("the block ends");
    let digits = block.lines().flat_map(|line| line.split('#').next());
    let digits = digits.flat_map(str::split_whitespace);
    digits.map(|byte| u8::from_str_radix(byte, 16).expect("two digits")).collect()
}

//= rfcs/0005-session.md#sess-1
//= type=test
//# A peer MUST send HELLO as the first frame of a session.
#[test]
fn hello_comes_first_and_looks_as_in_the_rfc() {
    let mut script = Script::new();
    assert!(matches!(script.said[..], [Message::Hello(_)]), "without waiting for the peer's");
    let right = Bytes::from_static(&[1, 2, 3, 4]);
    script.mesh.present(script.now, peer(2), right);
    script.hear(hello());
    assert_eq!(script.bytes, example(include_str!("../../../rfcs/0005-session.md"), "opening"));
}

#[test]
fn a_want_looks_as_in_the_rfc() {
    let mut script = Script::open();
    script.bytes.clear();
    let mut spec = WantSpec::new(BlobId::from_bytes([7; 32]), [peer(2)]);
    spec.size = Some(100_000);
    spec.held = RangeSet::from(0..64);
    spec.known = RangeSet::from(0..64);
    script.mesh.want(script.now, spec).unwrap();
    script.drain();
    assert_eq!(script.bytes, example(include_str!("../../../rfcs/0007-transfer.md"), "want"));
}

//= rfcs/0005-session.md#sess-2
//= type=test
//# A peer MUST close a session on which HELLO arrives a second time.
#[test]
fn a_second_hello_closes() {
    let mut script = Script::open();
    script.hear(hello());
    assert!(script.protocol_violation());
}

//= rfcs/0005-session.md#sess-3
//= type=test
//# A peer MUST close a session with code 1 when no version lies in the ranges of both.
#[test]
fn versions_are_negotiated() {
    for (min, max, common) in [(1, 1, true), (1, 9, true), (2, 9, false)] {
        let mut script = Script::new();
        script.hear(Hello { version_min: min, version_max: max, ..hello() });
        assert_eq!(script.state() == Some(SessionState::Open), common, "{min}..{max}");
        if !common {
            assert_eq!(script.closed, Some(CloseReason::Version));
            let Some(Message::Close(close)) = script.said.last() else { panic!("says why") };
            assert_eq!(close.code, CloseCode::from_code(1));
        }
    }
}

//= rfcs/0003-encoding.md#enc-35
//= type=test
//# A sender MUST set no bit of `features` but those that a version which it speaks assigns.
//= rfcs/0003-encoding.md#enc-36
//= type=test
//# A receiver MUST ignore the bits of `features` that it does not know.
#[test]
fn features_of_later_versions_change_nothing() {
    let mut plain = Script::new();
    let [Message::Hello(said)] = &plain.said[..] else { panic!("HELLO comes first") };
    assert_eq!(said.features, 0);
    plain.hear(hello());
    for features in [1, 1 << 61, (1 << 62) - 1] {
        let mut script = Script::new();
        script.hear(Hello { features, ..hello() });
        assert_eq!(script.state(), Some(SessionState::Open));
        assert_eq!(script.said, plain.said, "{features:#x}");
    }
}

//= rfcs/0005-session.md#sess-4
//= type=test
//# A peer MUST close a session with code 2 on the first frame that it can not decode or that the state table does not allow.
#[test]
fn what_the_table_does_not_allow_closes() {
    let messages: [Message; 9] = [
        Credit { total: 1 }.into(),
        Ping { token: 1 }.into(),
        Pong { token: 1 }.into(),
        Present { right: Bytes::from_static(b"r") }.into(),
        asked(0).into(),
        Cancel { want: 0 }.into(),
        Have { want: 0, size: 1, held: RangeSet::new() }.into(),
        Data { want: 0, first: 0, proof: Bytes::new(), data: Bytes::from_static(b"d") }.into(),
        End { want: 0, code: EndCode::Done, missing: RangeSet::new(), retry_ms: None }.into(),
    ];
    for message in messages {
        let mut script = Script::new();
        script.hear(message.clone());
        assert!(script.protocol_violation(), "before HELLO: {message:?}");
    }
    // Unknown even kind, and a body that is no message of its kind.
    for raw in [(0x7e, &b""[..]), (0x02, b""), (0x04, b"\x01\x02"), (0x10, b"\x00")] {
        let mut script = Script::open();
        script.hear_raw(RawFrame { kind: raw.0, body: Bytes::from_static(raw.1) });
        assert!(script.protocol_violation(), "{raw:?}");
    }
    // An unknown odd kind is skipped, but it is no HELLO.
    for (mut script, skipped) in [(Script::open(), true), (Script::new(), false)] {
        script.hear_raw(RawFrame { kind: 0x7f, body: Bytes::from_static(b"later") });
        assert_eq!(script.state() == Some(SessionState::Open), skipped);
        assert_eq!(script.protocol_violation(), !skipped);
    }
}

//= rfcs/0005-session.md#sess-5
//= type=test
//# A peer MUST close a session on which no HELLO has come in time.
#[test]
fn a_peer_that_says_nothing_is_let_go() {
    let mut script = Script::new();
    script.wait(Duration::from_millis(9_900));
    assert_eq!(script.closed, None);
    script.wait(Duration::from_millis(200));
    assert_eq!(script.closed, Some(CloseReason::TimedOut));
}

/// Serves want 0 with a block of 1,000 bytes whenever the mesh asks.
fn serve(script: &mut Script) {
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

//= rfcs/0005-session.md#sess-6
//= type=test
//# A peer MUST NOT send DATA beyond the credit that it was granted.
//= rfcs/0005-session.md#sess-7
//= type=test
//# A peer MUST ignore a CREDIT whose total is not above the credit that it has.
#[test]
fn credit_is_kept_to() {
    let config = MeshConfig { block_bytes_max: 16 << 10, ..MeshConfig::default() };
    let mut script = Script::with(config);
    let block = 16 * 1024;
    script.hear(Hello { credit: 4 * block, ..hello() });
    script.said.clear();
    let ranges = RangeSet::from(0..1024);
    script.hear(Want { ranges, size: Some(64 * block), ..asked(0) });
    let sent = |script: &mut Script| {
        for _ in 0..200 {
            serve(script);
            let bytes = 1 << 30;
            let lane = Lane::Bulk;
            script.input(Input::Link(LinkEvent::Sent { link: LINK, lane, bytes }));
        }
        script.said.iter().filter(|message| matches!(message, Message::Data(_))).count()
    };
    assert_eq!(sent(&mut script), 4);
    script.hear(Credit { total: 4 * block });
    script.hear(Credit { total: 1 });
    assert_eq!(sent(&mut script), 4, "not above what it has");
    script.hear(Credit { total: 6 * block - 1 });
    assert_eq!(sent(&mut script), 5, "one byte short of the sixth");
    script.hear(Credit { total: 64 * block });
    assert_eq!(sent(&mut script), 64);
    assert!(matches!(script.said.last(), Some(Message::End(end)) if end.code == EndCode::Done));
}

//= rfcs/0005-session.md#sess-8
//= type=test
//# A peer MUST close a session on which DATA arrives beyond the credit that it granted.
#[test]
fn data_beyond_the_credit_closes() {
    let config = MeshConfig { credit_bytes: 64 << 10, ..MeshConfig::default() };
    let mut script = Script::with(config);
    script.hear(hello());
    let want = script.want(1 << 20);
    let data =
        |first, bytes| Data { want, first, proof: Bytes::new(), data: vec![0; bytes].into() };
    script.hear(data(0, 64 << 10));
    assert_eq!(script.closed, None, "exactly the credit");
    script.hear(data(64, 64 << 10));
    assert!(script.protocol_violation());
}

//= rfcs/0005-session.md#sess-9
//= type=test
//# A peer MUST close a session on which more rights are presented than its limit.
#[test]
fn rights_are_counted() {
    let mut script = Script::open();
    for number in 0..64_u8 {
        script.hear(Present { right: vec![number].into() });
    }
    assert_eq!(script.closed, None);
    script.hear(Present { right: Bytes::from_static(b"more") });
    assert!(script.protocol_violation());
}

//= rfcs/0005-session.md#sess-10
//= type=test
//# A peer SHOULD keep a DATA frame within 25 ms of the link's measured rate.
#[test]
fn blocks_follow_the_rate_of_the_link() {
    let mut script = Script::open();
    let first = |script: &mut Script, number| {
        let ranges = RangeSet::from(0..4096);
        script.outputs.clear();
        script.hear(Want { ranges, size: None, ..asked(number) });
        script.outputs.iter().find_map(|output| match output {
            Output::Open(open) => Some(open.block_bytes),
            _ => None,
        })
    };
    assert_eq!(first(&mut script, 0), Some(65_000), "a cautious start");
    let mut now = script.now;
    for _ in 0..40 {
        now = now + Duration::from_millis(25);
        script.now = now;
        // 800 KB/s: 20 KB in 25 ms.
        let event = LinkEvent::Sent { link: LINK, lane: Lane::Bulk, bytes: 20_000 };
        script.input(Input::Link(event));
    }
    let block = first(&mut script, 1).expect("opened");
    assert!((19_000..25_000).contains(&block), "{block}");
}

//= rfcs/0005-session.md#sess-11
//= type=test
//# A peer MUST answer PING with a PONG of the same token.
#[test]
fn a_ping_is_answered() {
    let mut script = Script::open();
    script.hear(Ping { token: 12_345 });
    assert_eq!(script.said, [Message::from(Pong { token: 12_345 })]);
    // An answer to a question that nobody asked changes nothing.
    script.hear(Pong { token: 99 });
    assert_eq!(script.state(), Some(SessionState::Open));
}

//= rfcs/0005-session.md#sess-12
//= type=test
//# A peer MUST NOT send a frame after CLOSE.
#[test]
fn nothing_follows_a_close() {
    for ours in [true, false] {
        let mut script = Script::open();
        script.hear(asked(0));
        if ours {
            script.mesh.shutdown(script.now);
            script.drain();
            assert!(matches!(script.said.last(), Some(Message::Close(_))));
        } else {
            script.hear(Close::new(CloseCode::from_code(0), "bye"));
        }
        let count = script.said.len();
        serve(&mut script);
        script.hear(Ping { token: 1 });
        script.hear(asked(1));
        script.wait(Duration::from_secs(60));
        assert_eq!(script.said.len(), count, "ours: {ours}");
        let reason = DownReason::Local;
        script.input(Input::Link(LinkEvent::Down { link: LINK, reason }));
        assert_eq!(script.state(), None);
    }
}

//= rfcs/0007-transfer.md#xfer-4
//= type=test
//# A source MUST send HAVE before the first DATA of a want whose stated size differs from the blob's or of which it does not hold every wanted leaf.
#[test]
fn have_tells_what_the_getter_does_not_know() {
    let size = 20 * 1024_u64;
    let all = RangeSet::from(0..20);
    for (hint, held, expected) in [
        (Some(size), all.clone(), false),
        (None, all.clone(), true),
        (Some(size + 1), all.clone(), true),
        (Some(size), RangeSet::from(0..16), true),
    ] {
        let mut script = Script::open();
        script.hear(Want { ranges: RangeSet::from(0..32), size: hint, ..asked(0) });
        let Some(Output::Open(open)) = script.outputs.pop() else { panic!("looks it up") };
        let range = open.first_block(size, &held).unwrap();
        let block = Block { proof: Bytes::new(), data: vec![0; 16 * 1024].into() };
        let first = Some((range, Ok(block)));
        let result = Ok(Opened { size, held: held.clone(), first });
        script.input(Input::Opened { token: open.token, result });
        let have = Message::from(Have { want: 0, size, held });
        assert_eq!(script.said.first() == Some(&have), expected, "{hint:?}");
        assert!(script.said.iter().any(|message| matches!(message, Message::Data(_))));
    }
}

//= rfcs/0007-transfer.md#xfer-5
//= type=test
//# A getter MUST close a session on which DATA arrives that no open WANT of it asked for.
#[test]
fn data_that_was_not_asked_for_closes() {
    let data = |want, first, bytes: usize| Data {
        want,
        first,
        proof: Bytes::new(),
        data: vec![0; bytes].into(),
    };
    let size = 100_000_u64;
    for (name, bad) in [
        ("a number never used", data(5, 0, 1024)),
        ("beyond the end", data(0, 128, 1024)),
        ("not whole groups", data(0, 0, 1024)),
        ("off the grid", data(0, 3, 1024)),
        ("longer than the blob", data(0, 64, 40 * 1024)),
    ] {
        let mut script = Script::open();
        script.want(size);
        script.hear(bad);
        assert!(script.protocol_violation(), "{name}");
    }
    let mut script = Script::open();
    let want = script.want(size);
    script.hear(data(want, 0, 65_536));
    assert_eq!(script.closed, None);
    script.hear(data(want, 0, 65_536));
    assert!(script.protocol_violation(), "twice");
    // After END it may still have been under way.
    let mut script = Script::open();
    let want = script.want(size);
    let missing = RangeSet::from(0..98);
    script.hear(End { want, code: EndCode::Unavailable, missing, retry_ms: None });
    script.hear(data(want, 0, 65_536));
    assert_eq!(script.closed, None);
}

//= rfcs/0007-transfer.md#xfer-20
//= type=test
//# A getter MUST close a session on which HAVE or END arrives for a number that no WANT of it had.
#[test]
fn answers_to_a_want_that_was_never_made_close() {
    let have = |want| Message::from(Have { want, size: 100_000, held: RangeSet::from(0..98) });
    let end = |want| {
        let missing = RangeSet::from(0..98);
        Message::from(End { want, code: EndCode::Unavailable, missing, retry_ms: None })
    };
    for answer in [have, end] {
        let mut script = Script::open();
        let want = script.want(100_000);
        script.hear(answer(want));
        script.hear(end(want));
        // Over, but it was made: its END may have crossed a CANCEL.
        script.hear(answer(want));
        assert_eq!(script.closed, None);
        script.hear(answer(want + 1));
        assert!(script.protocol_violation());
    }
}

//= rfcs/0007-transfer.md#xfer-6
//= type=test
//# A getter MUST ask for whole groups only.
//= rfcs/0007-transfer.md#xfer-8
//= type=test
//# A getter MUST bound the bytes that it has requested from a source and not yet accepted by a window derived from the rate measured on that source.
#[test]
fn requests_are_whole_groups_within_the_window() {
    for held in [RangeSet::new(), RangeSet::from(0..16), RangeSet::from_iter([3..5, 100..133])] {
        let mut script = Script::open();
        let mut spec = WantSpec::new(BlobId::from_bytes([7; 32]), [peer(2)]);
        spec.size = Some(64 << 20);
        spec.held = held.clone();
        script.mesh.want(script.now, spec).unwrap();
        script.drain();
        let mut total = 0;
        for message in &script.said {
            let Message::Want(want) = message else { continue };
            for run in want.ranges.runs() {
                assert_eq!(run.start % want.group.leaves(), 0, "{want:?}");
                assert_eq!(run.end % want.group.leaves(), 0, "{want:?}");
                assert!(!held.intersects(run), "asks for what it holds: {want:?}");
            }
            total += want.ranges.total() * 1024;
        }
        assert!(total >= 256 << 10, "the window is used: {total}");
        assert!(total <= (512 << 10) + (64 << 10), "the first window holds: {total}");
    }
}

//= rfcs/0007-transfer.md#xfer-14
//= type=test
//# A getter MUST NOT send a WANT to a peer that has sent false bytes or proofs three times.
#[test]
fn three_lies_end_the_conversation() {
    let mut world = world::World::default();
    let (getter, liar) = (world.add(1), world.add(2));
    world.node(liar).malice = world::Malice::FlipFrom(0);
    world.connect(getter, liar);
    let mut wanted = Vec::new();
    for number in 0..5 {
        let id = world.hold(liar, &world::blob(2000 + number));
        let want = world.want(getter, WantSpec::new(id, [liar]));
        wanted.push(world.verdict(getter, want, Duration::from_secs(60)));
    }
    assert!(wanted.iter().all(Option::is_some), "{wanted:?}");
    let served = |event: &&MeshEvent| matches!(event, MeshEvent::Served { .. });
    assert_eq!(world.node(liar).events.iter().filter(served).count(), 3, "then no more");
}

//= rfcs/0007-transfer.md#xfer-15
//= type=test
//# A source MUST answer a WANT for a blob that it does not hold and a WANT for a blob to which the peer has no right with the same END.
#[test]
fn a_refusal_says_nothing() {
    let mut script = Script::open();
    script.hear(asked(0));
    let Some(Output::Open(open)) = script.outputs.pop() else { panic!("looks it up") };
    script.input(Input::Opened { token: open.token, result: Err(ServeError::Unavailable) });
    let missing = RangeSet::from(0..16);
    let end = End { want: 0, code: EndCode::Unavailable, missing, retry_ms: None };
    assert_eq!(script.said, [Message::from(end)]);
}

//= rfcs/0007-transfer.md#xfer-19
//= type=test
//# A source MUST close a session on which a WANT has the number of a want that is open.
#[test]
fn too_many_wants_are_told_to_come_back() {
    let config = MeshConfig { wants_per_session_max: 3, ..MeshConfig::default() };
    let mut script = Script::with(config);
    script.hear(hello());
    script.said.clear();
    for number in 0..3 {
        script.hear(asked(number));
    }
    assert!(script.said.is_empty());
    script.hear(asked(3));
    let Some(Message::End(end)) = script.said.last() else { panic!("an answer") };
    assert_eq!((end.want, end.code), (3, EndCode::Busy));
    assert!(end.retry_ms.is_some());
    script.hear(asked(0));
    assert!(script.protocol_violation(), "a number in use");
    let _: PeerId = peer(2);
}

#[test]
fn a_refusal_does_not_wait_for_the_credit_of_another_want() {
    let mut script = Script::new();
    script.hear(Hello { credit: 0, ..hello() });
    script.said.clear();
    script.hear(asked(0));
    script.hear(Want { blob: BlobId::from_bytes([8; 32]), ..asked(1) });
    let both = opens(&mut script);
    let [(held, _), (unknown, _)] = both[..] else { panic!("{both:?}") };
    script.input(Input::Opened { token: held, result: one_group(1) });
    script.input(Input::Opened { token: unknown, result: Err(ServeError::Unavailable) });
    let [Message::End(end)] = &script.said[..] else { panic!("{:?}", script.said) };
    assert_eq!((end.want, end.code), (1, EndCode::Unavailable));
    script.hear(Credit { total: 16 * 1024 });
    let sent = script.said.iter().filter(|said| matches!(said, Message::Data(_)));
    assert_eq!(sent.count(), 1, "the other goes on");
    assert!(matches!(script.said.last(), Some(Message::End(end)) if end.want == 0));
}

#[test]
fn what_is_in_force_can_be_asked_while_the_session_is_open() {
    let mut script = Script::new();
    assert_eq!(script.mesh.terms(LINK), None, "before HELLO");
    script.hear(Hello { version_max: 9, features: 7, ..hello() });
    let terms = |script: &Script| {
        script.mesh.terms(LINK).map(|terms| (terms.version, terms.features, terms.credit))
    };
    assert_eq!(terms(&script), Some((1, 0, 1 << 20)));
    script.hear(Credit { total: 1 << 21 });
    script.hear(Credit { total: 1 << 19 });
    assert_eq!(terms(&script), Some((1, 0, 1 << 21)));
    script.hear(Close::new(CloseCode::Shutdown, ""));
    assert_eq!(terms(&script), None, "after CLOSE");
}

//= rfcs/0003-encoding.md#enc-27
//= type=test
//# A receiver MUST act on a CLOSE or END code that it does not know as on the code for internal.
#[test]
fn the_peers_reason_to_close_is_told() {
    for (code, told) in [(0, CloseCode::Done), (4, CloseCode::Shutdown), (77, CloseCode::Internal)]
    {
        let mut script = Script::open();
        script.hear(Close::new(CloseCode::from_code(code), "bye"));
        let closed = script.outputs.iter().filter_map(|output| match output {
            Output::Event(MeshEvent::ClosedByPeer { link, peer, code }) => {
                Some((*link, *peer, *code))
            }
            _ => None,
        });
        assert_eq!(closed.collect::<Vec<_>>(), [(LINK, peer(2), told)]);
    }
}

#[test]
fn a_peer_that_cancels_what_it_asks_for_makes_no_more_work_than_another() {
    let wide = |want| Want { ranges: RangeSet::from(0..64), size: None, ..asked(want) };
    let mut script = Script::open();
    for number in 0..5_000 {
        script.hear(wide(number));
        script.hear(Cancel { want: number });
    }
    assert_eq!(script.closed, None);
    let token = |output: &Output| match output {
        Output::Open(open) => Some(open.token),
        _ => None,
    };
    let opens: Vec<_> = script.outputs.iter().filter_map(token).collect();
    assert!(!opens.is_empty() && opens.len() < 100, "{} lie at the store", opens.len());
    // And what is answered makes room again.
    script.outputs.clear();
    for token in opens {
        script.input(Input::Opened { token, result: Err(ServeError::Unavailable) });
    }
    script.hear(wide(5_000));
    assert!(script.outputs.iter().filter_map(token).next().is_some());
}

/// Tokens and blobs of the opens that wait at the store.
fn opens(script: &mut Script) -> Vec<(samara_mesh::io::Token, BlobId)> {
    let opens = |output: &Output| match output {
        Output::Open(open) => Some((open.token, open.blob)),
        _ => None,
    };
    core::mem::take(&mut script.outputs).iter().filter_map(opens).collect()
}

/// What the store answers for a blob of one group: all of it, filled with one byte.
fn one_group(fill: u8) -> Result<Opened, ServeError> {
    let block = Block { proof: Bytes::new(), data: vec![fill; 16 * 1024].into() };
    Ok(Opened { size: 16 * 1024, held: RangeSet::from(0..16), first: Some((0..16, Ok(block))) })
}

#[test]
fn answers_in_any_order_end_each_want_once_also_if_its_number_is_used_again() {
    let of = |blob: u8, want| Want { blob: BlobId::from_bytes([blob; 32]), ..asked(want) };
    let mut script = Script::open();
    for (blob, want) in [(0xa0, 0), (0xa1, 1), (0xa2, 2)] {
        script.hear(of(blob, want));
    }
    let first = opens(&mut script);
    let [(zero, _), (one, _), (two, _)] = first[..] else { panic!("{first:?}") };
    // The last is answered first, and waits for those before it.
    script.input(Input::Opened { token: two, result: one_group(0xa2) });
    assert!(script.said.is_empty(), "{:?}", script.said);
    // Want 1 is given up, and its number used for another blob, before its answer comes.
    script.hear(Cancel { want: 1 });
    script.hear(of(0xb1, 1));
    let second = opens(&mut script);
    let [(again, blob)] = second[..] else { panic!("{second:?}") };
    assert_eq!(blob, BlobId::from_bytes([0xb1; 32]));
    script.input(Input::Opened { token: again, result: one_group(0xb1) });
    script.input(Input::Opened { token: one, result: one_group(0xa1) });
    script.input(Input::Opened { token: zero, result: one_group(0xa0) });
    assert_eq!(script.closed, None);

    let data = |message: &Message| match message {
        Message::Data(data) => Some((data.want, data.data[0])),
        _ => None,
    };
    let sent: Vec<_> = script.said.iter().filter_map(data).collect();
    assert_eq!(sent, [(0, 0xa0), (2, 0xa2), (1, 0xb1)], "in the order of the requests");
    let end = |message: &Message| match message {
        Message::End(end) => Some((end.want, end.code)),
        _ => None,
    };
    let mut ends: Vec<_> = script.said.iter().filter_map(end).collect();
    assert_eq!(ends.remove(0), (1, EndCode::Cancelled));
    ends.sort_unstable_by_key(|(want, _)| *want);
    assert_eq!(ends, [0, 1, 2].map(|want| (want, EndCode::Done)));
}

#[test]
fn a_damaged_block_takes_back_what_was_issued_behind_it_and_nothing_else() {
    let config = MeshConfig { block_bytes_max: 16 << 10, ..MeshConfig::default() };
    let mut script = Script::with(config);
    script.hear(hello());
    script.said.clear();
    let size = 4 * 16 * 1024;
    script.hear(Want { ranges: RangeSet::from(0..64), size: Some(size), ..asked(0) });
    script.hear(asked(1));
    let both = opens(&mut script);
    let [(zero, _), (one, _)] = both[..] else { panic!("{both:?}") };
    let block = |fill: u8| Block { proof: Bytes::new(), data: vec![fill; 16 * 1024].into() };
    let first = Some((0..16, Ok(block(1))));
    let held = RangeSet::from(0..64);
    script.input(Input::Opened { token: zero, result: Ok(Opened { size, held, first }) });
    script.input(Input::Opened { token: one, result: one_group(9) });
    // The second group is damaged; the others are answered as they are asked for.
    let mut asked_for = Vec::new();
    for _ in 0..10 {
        for output in core::mem::take(&mut script.outputs) {
            let Output::Read(read) = output else { continue };
            asked_for.push(read.range.start);
            let result = match read.range.start {
                16 => Err(ServeError::Damaged(RangeSet::from(16..32))),
                start => Ok(block(u8::try_from(start).unwrap())),
            };
            script.input(Input::Read { token: read.token, result });
        }
    }
    let sent = script.said.iter().filter_map(|message| match message {
        Message::Data(data) if data.want == 0 => Some(data.first),
        _ => None,
    });
    assert_eq!(sent.collect::<Vec<_>>(), [0, 32, 48], "asked for: {asked_for:?}");
    let ends = script.said.iter().filter_map(|message| match message {
        Message::End(end) => Some((end.want, end.code, end.missing.clone())),
        _ => None,
    });
    let mut ends: Vec<_> = ends.collect();
    ends.sort_unstable_by_key(|(want, ..)| *want);
    let damaged = (0, EndCode::Damaged, RangeSet::from(16..32));
    assert_eq!(ends, [damaged, (1, EndCode::Done, RangeSet::new())]);
}
