//! One session: HELLO, version, limits, credit, round-trip time, close.

use alloc::{collections::VecDeque, string::String, vec::Vec};

use bytes::Bytes;
use samara_base::{GroupLog2, Instant, PeerId};
use samara_wire::{
    AGENT_MAX, Close, CloseCode, Credit, FRAME_BODY_MAX, FRAME_BODY_MIN, FRAME_OVERHEAD_MAX, Hello,
    Message, PROOF_MAX, Ping, VERSION,
};

use crate::{
    config::MeshConfig,
    io::{CloseReason, MeshEvent, Output},
    link::{Lane, LinkId, LinkInfo, Outgoing},
    serve::Server,
};

/// The features that this version assigns: none.
const FEATURES: u64 = 0;

/// Where a session stands. Spec: RFC 0005, section "States".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SessionState {
    /// Our HELLO is sent; the peer's has not come.
    Opening,
    /// Both HELLOs are in.
    Open,
    /// CLOSE was sent or received; nothing more is sent.
    Closed,
}

/// What is in force on an open session. Spec: RFC 0005, sections "Versions and features" and "Credit".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terms {
    /// The highest version that both speak.
    pub version: u64,
    /// Bits of the features that both have named.
    pub features: u64,
    /// Bulk bytes that the peer allows us in total. Unit: bytes.
    pub credit: u64,
}

/// The outgoing side of a link: frames, queue and credit.
#[derive(Debug)]
pub(crate) struct Pipe {
    link: LinkId,
    crc: bool,
    /// Bytes handed to the link's bulk lane and not yet taken.
    queued: u64,
    queue_max: u64,
    /// Bulk bytes that the peer allows in total, and those used.
    credit: u64,
    used: u64,
    closed: bool,
}

impl Pipe {
    fn new(link: LinkId, crc: bool, queue_max: u64) -> Self {
        Self { link, crc, queued: 0, queue_max, credit: 0, used: 0, closed: false }
    }

    pub(crate) const fn link(&self) -> LinkId {
        self.link
    }

    /// Whether a block of so many bytes may be handed to the link now.
    pub(crate) const fn may_send_bulk(&self, bytes: u64) -> bool {
        self.queued < self.queue_max && self.credit - self.used >= bytes
    }

    pub(crate) fn transmit(
        &mut self,
        lane: Lane,
        message: &Message,
        outputs: &mut VecDeque<Output>,
    ) {
        //= rfcs/0005-session.md#sess-12
        //# A peer MUST NOT send a frame after CLOSE.
        if self.closed {
            return;
        }
        // Everything that we put into messages is within the limits of RFC 0003 by construction.
        let Ok(frame) = message.encode(self.crc) else {
            debug_assert!(false, "invariant: own messages encode: {message:?}");
            return;
        };
        if lane == Lane::Bulk {
            self.queued += frame.len() as u64;
        }
        if let Message::Data(data) = message {
            self.used += (data.proof.len() + data.data.len()) as u64;
        }
        let outgoing = Outgoing { lane, frame };
        outputs.push_back(Output::Transmit { link: self.link, outgoing });
    }

    /// The carrier took bytes off the bulk queue.
    pub(crate) const fn sent(&mut self, bytes: u64) {
        self.queued = self.queued.saturating_sub(bytes);
    }
}

/// A session with a peer over one link.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) info: LinkInfo,
    pub(crate) state: SessionState,
    pub(crate) pipe: Pipe,
    pub(crate) server: Server,
    pub(crate) opened: Instant,
    /// Wants that the peer allows us.
    pub(crate) wants_max: usize,
    /// Largest block of data that fits the peer's frames and credit.
    pub(crate) block_max: u64,
    pub(crate) rights: usize,
    /// In force since the peer's HELLO.
    version: u64,
    features: u64,
    /// Bulk bytes received, dealt with, and granted in total.
    received: u64,
    processed: u64,
    granted: u64,
    credit_window: u64,
    /// Largest group that was asked for, with the longest proof. Unit: bytes.
    block_asked: u64,
    ping: Option<(u64, Instant)>,
    pub(crate) next_ping: Instant,
    pings: u64,
    /// Rate at which the carrier takes bulk bytes. Unit: bytes per second, 0 until measured.
    rate: u64,
    rate_since: Instant,
    rate_bytes: u64,
    /// Numbers of our wants on this session: the next one.
    pub(crate) next_want: u64,
}

impl Session {
    /// Opens a session: HELLO goes out at once.
    //= rfcs/0005-session.md#sess-1
    //# A peer MUST send HELLO as the first frame of a session.
    pub(crate) fn new(
        now: Instant,
        link: LinkId,
        info: LinkInfo,
        config: &MeshConfig,
        outputs: &mut VecDeque<Output>,
    ) -> Self {
        let credit = config.credit_window();
        let mut pipe = Pipe::new(link, !info.integrity, config.queue_bytes);
        let hello = Hello {
            version_min: VERSION,
            version_max: VERSION,
            agent: clip_agent(&config.agent),
            frame_body_max: info
                .frame_len_max
                .saturating_sub(FRAME_OVERHEAD_MAX)
                .clamp(FRAME_BODY_MIN, FRAME_BODY_MAX),
            wants_max: config.wants_per_session_max as u64,
            credit,
            //= rfcs/0003-encoding.md#enc-35
            //# A sender MUST set no bit of `features` but those that a version which it speaks
            //# assigns.
            features: FEATURES,
        };
        pipe.transmit(Lane::Control, &Message::Hello(hello), outputs);
        Self {
            info,
            state: SessionState::Opening,
            pipe,
            server: Server::default(),
            opened: now,
            wants_max: 0,
            block_max: 0,
            rights: 0,
            version: 0,
            features: 0,
            received: 0,
            processed: 0,
            granted: credit,
            credit_window: credit,
            block_asked: 0,
            ping: None,
            next_ping: now,
            pings: 0,
            rate: 0,
            rate_since: now,
            rate_bytes: 0,
            next_want: 0,
        }
    }

    pub(crate) fn peer(&self) -> PeerId {
        self.info.peer
    }

    /// Takes the peer's HELLO.
    pub(crate) fn hello(
        &mut self,
        hello: &Hello,
        config: &MeshConfig,
        rights: &[Bytes],
        outputs: &mut VecDeque<Output>,
    ) -> Result<(), CloseReason> {
        //= rfcs/0005-session.md#sess-2
        //# A peer MUST close a session on which HELLO arrives a second time.
        if self.state != SessionState::Opening {
            return Err(CloseReason::Protocol("HELLO came twice"));
        }
        //= rfcs/0005-session.md#sess-3
        //# A peer MUST close a session with code 1 when no version lies in the ranges of both.
        if hello.version_min > VERSION || hello.version_max < VERSION {
            return Err(CloseReason::Version);
        }
        //= rfcs/0003-encoding.md#enc-36
        //# A receiver MUST ignore the bits of `features` that it does not know.
        self.features = hello.features & FEATURES;
        self.version = hello.version_max.min(VERSION);
        self.state = SessionState::Open;
        self.pipe.credit = hello.credit;
        self.wants_max = usize::try_from(hello.wants_max).unwrap_or(usize::MAX);
        // Room for the header and the longest proof; a quarter of the credit, so that blocks flow.
        //= rfcs/0005-session.md#sess-14
        //# A source MUST NOT send a DATA of several groups whose data and longest proof are more than
        //# a quarter of the first credit.
        let body = u64::from(hello.frame_body_max).saturating_sub(16 << 10);
        let share = (hello.credit / 4).saturating_sub(PROOF_MAX as u64);
        self.block_max = config.block_bytes_max.min(body).min(share).max(1);
        for right in rights {
            let present = Message::Present(samara_wire::Present { right: right.clone() });
            self.pipe.transmit(Lane::Control, &present, outputs);
        }
        let event = MeshEvent::Connected {
            link: self.pipe.link,
            peer: self.info.peer,
            agent: printable(&hello.agent),
        };
        outputs.push_back(Output::Event(event));
        Ok(())
    }

    /// What is in force; `None` unless the session is open.
    pub(crate) fn terms(&self) -> Option<Terms> {
        let (version, features, credit) = (self.version, self.features, self.pipe.credit);
        let open = self.state == SessionState::Open;
        open.then_some(Terms { version, features, credit })
    }

    /// Takes a CREDIT.
    //= rfcs/0005-session.md#sess-7
    //# A peer MUST ignore a CREDIT whose total is not above the credit that it has.
    pub(crate) fn credit(&mut self, credit: &Credit) {
        self.pipe.credit = self.pipe.credit.max(credit.total);
    }

    /// Counts bulk bytes in. `Err`: the peer went beyond its credit.
    //= rfcs/0005-session.md#sess-8
    //# A peer MUST close a session on which DATA arrives beyond the credit that it granted.
    pub(crate) fn bulk_in(&mut self, bytes: u64) -> Result<(), CloseReason> {
        if bytes > self.granted - self.received {
            return Err(CloseReason::Protocol("DATA beyond the credit"));
        }
        self.received += bytes;
        Ok(())
    }

    /// Remembers how large the blocks are that are asked for, and sees that the credit allows one.
    pub(crate) fn asked(&mut self, group: GroupLog2, outputs: &mut VecDeque<Output>) {
        self.block_asked = self.block_asked.max(group.bytes() + PROOF_MAX as u64);
        self.grant(outputs);
    }

    /// Bulk bytes are stored or dropped: the peer may send as many more.
    pub(crate) fn bulk_done(&mut self, bytes: u64, outputs: &mut VecDeque<Output>) {
        self.processed += bytes;
        self.grant(outputs);
    }

    /// Grants the whole window again if that is worth a frame, or if the peer may wait for it.
    //= rfcs/0005-session.md#sess-13
    //# A peer MUST grant again, up to its first credit beyond what it has dealt with, when it has
    //# dealt with all DATA that came and what is left of the credit is less than a quarter of its
    //# first credit, or than the largest group that it has asked for on the session with the
    //# longest proof.
    fn grant(&mut self, outputs: &mut VecDeque<Output>) {
        let total = self.processed + self.credit_window;
        let more = total - self.granted;
        let is_short = self.granted - self.received < self.block_asked;
        if more >= self.credit_window / 4 || (is_short && more > 0) {
            self.granted = total;
            let credit = Message::Credit(Credit { total });
            self.pipe.transmit(Lane::Control, &credit, outputs);
        }
    }

    /// The carrier took bytes off the bulk queue.
    pub(crate) fn taken(&mut self, now: Instant, bytes: u64) {
        self.pipe.sent(bytes);
        self.rate_bytes += bytes;
        let span = u64::try_from(now.saturating_since(self.rate_since).as_micros());
        let span = span.unwrap_or(u64::MAX);
        if span >= 20_000 {
            let rate = self.rate_bytes.saturating_mul(1_000_000) / span;
            self.rate = if self.rate == 0 { rate } else { 3 * (self.rate / 4) + rate / 4 };
            self.rate_since = now;
            self.rate_bytes = 0;
        }
    }

    /// How much data a frame carries: 25 ms of the link's time, within limits.
    //= rfcs/0005-session.md#sess-10
    //# A peer SHOULD keep a DATA frame within 25 ms of the link's measured rate.
    pub(crate) fn block_bytes(&self) -> u64 {
        let rate = if self.rate == 0 { self.info.rate.unwrap_or(2_600_000) } else { self.rate };
        (rate / 40).clamp(4 << 10, self.block_max.max(4 << 10)).min(self.block_max)
    }

    /// Measures the round trip if it is time.
    pub(crate) fn ping(
        &mut self,
        now: Instant,
        config: &MeshConfig,
        outputs: &mut VecDeque<Output>,
    ) {
        if self.state == SessionState::Open && self.ping.is_none() && now >= self.next_ping {
            self.pings += 1;
            self.ping = Some((self.pings, now));
            self.next_ping = now + config.ping_interval;
            let ping = Message::Ping(Ping { token: self.pings });
            self.pipe.transmit(Lane::Control, &ping, outputs);
        }
    }

    /// Takes a PONG: the round-trip time, if it answers the PING that is out.
    pub(crate) fn pong(&mut self, now: Instant, token: u64) -> Option<core::time::Duration> {
        let (_, sent) = self.ping.take_if(|(expected, _)| *expected == token)?;
        Some(now.saturating_since(sent))
    }

    /// Says CLOSE and sends nothing more.
    pub(crate) fn close(&mut self, reason: CloseReason, outputs: &mut VecDeque<Output>) {
        if self.state == SessionState::Closed {
            return;
        }
        self.state = SessionState::Closed;
        let text = alloc::string::ToString::to_string(&reason);
        let close = Message::Close(Close::new(reason.close_code(), &text));
        self.pipe.transmit(Lane::Control, &close, outputs);
        self.pipe.closed = true;
        outputs.push_back(Output::Close { link: self.pipe.link, reason });
    }

    /// The peer said CLOSE.
    pub(crate) fn closed_by_peer(&mut self, code: CloseCode, outputs: &mut VecDeque<Output>) {
        self.state = SessionState::Closed;
        self.pipe.closed = true;
        //= rfcs/0003-encoding.md#enc-27
        //# A receiver MUST act on a CLOSE or END code that it does not know as on the code for internal.
        let (link, peer, code) = (self.pipe.link, self.info.peer, code.or_internal());
        outputs.push_back(Output::Event(MeshEvent::ClosedByPeer { link, peer, code }));
        let reason = CloseReason::Done;
        outputs.push_back(Output::Close { link: self.pipe.link, reason });
    }
}

/// The start of a text, as much as HELLO carries, cut at a character.
fn clip_agent(text: &str) -> String {
    let fits = |end: &usize| text.is_char_boundary(*end);
    let end = (0..=text.len().min(AGENT_MAX)).rev().find(fits).unwrap_or(0);
    String::from(text.get(..end).unwrap_or_default())
}

/// Text of a peer, fit for a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).collect()
}

/// What the pairs of a right and a peer amount to.
pub(crate) fn rights_of(rights: &[(PeerId, Bytes)], peer: PeerId) -> Vec<Bytes> {
    rights.iter().filter(|(to, _)| *to == peer).map(|(_, right)| right.clone()).collect()
}
