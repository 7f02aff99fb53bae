use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use core::time::Duration;

use bytes::Bytes;
use samara_base::{Instant, PeerId};
use samara_sched::{
    Output as Scheduled, Scheduler, SourceId, WantError, WantId, WantSpec, WantStatus,
};
use samara_wire::{Cancel, Message, Pong, RUNS_MAX, RawFrame, Want};

use crate::{
    config::MeshConfig,
    fetch::Getter,
    io::{Accepted, CloseReason, Input, MeshEvent, Output, Token, WriteError},
    link::{DownReason, Lane, LinkEvent, LinkId, LinkInfo},
    requests::{Owner, Requests},
    serve::Serving,
    session::{Session, SessionState, Terms, rights_of},
};

/// Attempts to reach a peer.
#[derive(Debug)]
struct Dialing {
    next: Instant,
    pause: Duration,
    pending: bool,
}

/// Sessions with peers, serving them and getting from them: one state machine.
///
/// Feed [`handle_input`](Self::handle_input), drain [`poll_output`](Self::poll_output) to `None`,
/// wait until [`poll_timeout`](Self::poll_timeout) or the next input. `now` never goes back.
#[derive(Debug)]
pub struct Mesh {
    config: MeshConfig,
    sessions: BTreeMap<LinkId, Session>,
    scheduler: Scheduler,
    getter: Getter,
    outputs: VecDeque<Output>,
    requests: Requests,
    dialing: BTreeMap<PeerId, Dialing>,
    rights: Vec<(PeerId, Bytes)>,
    random: u64,
    tick: Option<Instant>,
    now: Instant,
}

impl Mesh {
    /// A mesh without links. `seed` decides the jitter of pauses between dials, nothing else.
    #[must_use]
    pub fn new(config: MeshConfig, seed: u64) -> Self {
        let scheduler = Scheduler::new(config.scheduler.clone());
        Self {
            config,
            sessions: BTreeMap::new(),
            scheduler,
            getter: Getter::default(),
            outputs: VecDeque::new(),
            requests: Requests::default(),
            dialing: BTreeMap::new(),
            rights: Vec::new(),
            random: seed | 1,
            tick: None,
            now: Instant::ZERO,
        }
    }

    // Getters.

    /// How a want stands; `None` once it has ended.
    #[must_use]
    pub fn status(&self, want: WantId) -> Option<WantStatus> {
        self.scheduler.status(want)
    }

    /// Open sessions.
    pub fn sessions(&self) -> impl Iterator<Item = (LinkId, &LinkInfo, SessionState)> {
        self.sessions.iter().map(|(link, session)| (*link, &session.info, session.state))
    }

    /// What is in force on a session; `None` unless it is open.
    #[must_use]
    pub fn terms(&self, link: LinkId) -> Option<Terms> {
        self.sessions.get(&link)?.terms()
    }

    /// Wants of peers that are being served.
    #[must_use]
    pub fn serving(&self) -> usize {
        self.sessions.values().map(|session| session.server.len()).sum()
    }

    /// The next time at which [`Input::Timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.tick.into_iter().chain(self.scheduler.poll_timeout()).min()
    }

    /// The next thing to do, if any.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    // Commands.

    /// Opens a want. Peers of it that are not linked are dialled.
    ///
    /// # Errors
    ///
    /// [`WantError`] above the scheduler's limit.
    pub fn want(&mut self, now: Instant, mut spec: WantSpec) -> Result<WantId, WantError> {
        self.advance(now);
        spec.group = self.config.group_max(spec.group);
        let peers = spec.sources.clone();
        let want = self.scheduler.want(now, spec)?;
        for peer in peers {
            self.dial(peer);
        }
        self.settle();
        Ok(want)
    }

    /// Ends a want with [`Verdict::Cancelled`](samara_sched::Verdict::Cancelled).
    pub fn cancel(&mut self, now: Instant, want: WantId) {
        self.advance(now);
        self.scheduler.cancel(now, want);
        self.settle();
    }

    /// Ends a want because our own side can't keep its bytes.
    pub fn fail_local(&mut self, now: Instant, want: WantId) {
        self.advance(now);
        self.scheduler.fail_local(now, want);
        self.settle();
    }

    /// Adds a peer that may have the blob of a want.
    pub fn add_source(&mut self, now: Instant, want: WantId, peer: PeerId) {
        self.advance(now);
        self.scheduler.add_source(now, want, peer);
        self.dial(peer);
        self.settle();
    }

    /// Shows a right to a peer, now and on every later session with it.
    pub fn present(&mut self, now: Instant, peer: PeerId, right: Bytes) {
        self.advance(now);
        if self.rights.iter().any(|(to, known)| *to == peer && *known == right) {
            return;
        }
        let present = Message::Present(samara_wire::Present { right: right.clone() });
        for session in self.sessions.values_mut() {
            if session.peer() == peer && session.state == SessionState::Open {
                session.pipe.transmit(Lane::Control, &present, &mut self.outputs);
            }
        }
        self.rights.push((peer, right));
    }

    /// Says CLOSE on every session.
    pub fn shutdown(&mut self, now: Instant) {
        self.advance(now);
        for session in self.sessions.values_mut() {
            session.close(CloseReason::Shutdown, &mut self.outputs);
        }
    }

    // Handlers.

    /// Feeds one input. Never blocks, never fails: what a peer does wrong ends its session, and an
    /// answer to work that nobody waits for any more is dropped.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.advance(now);
        match input {
            Input::Link(event) => self.handle_link(event),
            Input::Opened { token, result } => {
                if let Some(Owner::Serve { link }) = self.requests.take(token) {
                    self.with_server(link, |server, serving| server.opened(token, result, serving));
                }
            }
            Input::Read { token, result } => {
                if let Some(Owner::Serve { link }) = self.requests.take(token) {
                    self.with_server(link, |server, _| server.read(token, result));
                }
            }
            Input::Written { token, result } => self.handle_written(token, result),
            Input::DialFailed { peer } => self.dial_failed(peer),
            Input::Timeout => self.handle_timeout(),
        }
        self.settle();
    }

    fn handle_link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up { link, info } => {
                // A link is not yet a session: until HELLO, a peer that hangs up at once is dialled
                // again after a pause only.
                self.dial_failed(info.peer);
                let session = Session::new(self.now, link, info, &self.config, &mut self.outputs);
                self.sessions.insert(link, session);
            }
            LinkEvent::Changed { link, info } => {
                if let Some(session) = self.sessions.get_mut(&link) {
                    session.info = info;
                }
            }
            LinkEvent::Frames { link, lane, frames } => {
                for frame in frames {
                    self.handle_frame(link, lane, frame);
                }
                self.with_server(link, |_, _| ());
            }
            LinkEvent::Sent { link, lane, bytes } => {
                if lane == Lane::Bulk
                    && let Some(session) = self.sessions.get_mut(&link)
                {
                    session.taken(self.now, bytes);
                }
                self.with_server(link, |_, _| ());
            }
            LinkEvent::Down { link, reason } => self.handle_down(link, reason),
        }
    }

    fn handle_down(&mut self, link: LinkId, reason: DownReason) {
        let Some(session) = self.sessions.remove(&link) else { return };
        self.getter.forget_link(link);
        self.scheduler.source_down(self.now, SourceId(link.0));
        let peer = session.peer();
        let event = MeshEvent::Disconnected { link, peer, reason };
        self.outputs.push_back(Output::Event(event));
    }

    //= rfcs/0005-session.md#sess-4
    //# A peer MUST close a session with code 2 on the first frame that it can not decode or that the state table does not allow.
    fn handle_frame(&mut self, link: LinkId, lane: Lane, frame: RawFrame) {
        let Some(session) = self.sessions.get_mut(&link) else { return };
        if session.state == SessionState::Closed {
            return;
        }
        let result = match Message::decode(frame.kind, frame.body) {
            Ok(Some(message)) => self.handle_message(link, lane, message),
            Ok(None) if session.state == SessionState::Opening => {
                Err(CloseReason::Protocol("a frame before HELLO"))
            }
            Ok(None) => Ok(()),
            Err(_) => Err(CloseReason::Protocol("a frame that can't be decoded")),
        };
        if let Err(reason) = result
            && let Some(session) = self.sessions.get_mut(&link)
        {
            session.close(reason, &mut self.outputs);
            self.getter.forget_link(link);
            self.scheduler.source_down(self.now, SourceId(link.0));
        }
    }

    fn handle_message(
        &mut self,
        link: LinkId,
        _lane: Lane,
        message: Message,
    ) -> Result<(), CloseReason> {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(()) };
        let outputs = &mut self.outputs;
        // Lanes are not ordered among themselves, but nobody sends before both HELLOs are in.
        if session.state == SessionState::Opening
            && !matches!(message, Message::Hello(_) | Message::Close(_))
        {
            return Err(CloseReason::Protocol("a frame before HELLO"));
        }
        match message {
            Message::Hello(hello) => {
                let rights = rights_of(&self.rights, session.peer());
                session.hello(&hello, &self.config, &rights, outputs)?;
                session.ping(now, &self.config, outputs);
                let (peer, wants_max) = (session.peer(), session.wants_max);
                self.dialing.remove(&peer);
                if let Some(rtt) = session.info.rtt {
                    self.scheduler.measured_rtt(SourceId(link.0), rtt);
                }
                self.scheduler.source_up(now, SourceId(link.0), peer, wants_max);
            }
            Message::Credit(credit) => session.credit(&credit),
            //= rfcs/0005-session.md#sess-11
            //# A peer MUST answer PING with a PONG of the same token.
            Message::Ping(ping) => {
                let pong = Message::Pong(Pong { token: ping.token });
                session.pipe.transmit(Lane::Control, &pong, outputs);
            }
            Message::Pong(pong) => {
                if let Some(rtt) = session.pong(now, pong.token) {
                    self.scheduler.measured_rtt(SourceId(link.0), rtt);
                }
            }
            Message::Close(close) => {
                session.closed_by_peer(close.code, outputs);
                self.getter.forget_link(link);
                self.scheduler.source_down(now, SourceId(link.0));
            }
            Message::Present(present) => {
                //= rfcs/0005-session.md#sess-9
                //# A peer MUST close a session on which more rights are presented than its limit.
                if session.rights >= self.config.rights_max {
                    return Err(CloseReason::Protocol("too many rights"));
                }
                session.rights += 1;
                let (peer, right) = (session.peer(), present.right);
                outputs.push_back(Output::Present { link, peer, right });
            }
            Message::Want(want) => {
                return self
                    .with_server(link, |server, serving| server.want(want, serving))
                    .unwrap_or(Ok(()))
                    .map_err(CloseReason::Protocol);
            }
            Message::Cancel(cancel) => {
                self.with_server(link, |server, serving| server.cancel(cancel.want, serving));
            }
            Message::Have(have) => {
                if let Some(request) = self.getter.have(link, &have) {
                    let mut held = have.held;
                    if held.runs().len() >= RUNS_MAX {
                        // What a full message leaves out is unknown, not missing.
                        held.insert(held.end()..u64::MAX);
                    }
                    self.scheduler.have(now, request, have.size, &held);
                //= rfcs/0007-transfer.md#xfer-20
                //# A getter MUST close a session on which HAVE or END arrives for a number that no WANT of it had.
                } else if have.want >= session.next_want {
                    return Err(CloseReason::Protocol("HAVE for a want that was never made"));
                }
            }
            Message::Data(data) => return self.handle_data(link, data),
            Message::End(end) => {
                if let Some((request, cause)) = self.getter.end(link, &end) {
                    self.scheduler.ended(now, request, cause, &end.missing);
                } else if end.want >= session.next_want {
                    return Err(CloseReason::Protocol("END for a want that was never made"));
                }
            }
            _ => return Err(CloseReason::Protocol("a message of a later version")),
        }
        Ok(())
    }

    fn handle_data(&mut self, link: LinkId, data: samara_wire::Data) -> Result<(), CloseReason> {
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(()) };
        let bytes = data.bulk_len();
        session.bulk_in(bytes)?;
        let number = data.want;
        let arrival = self.getter.data(link, session.peer(), data, &mut self.requests)?;
        let Some(arrival) = arrival else {
            // Sent before our CANCEL arrived.
            if number >= session.next_want {
                return Err(CloseReason::Protocol("DATA for a want that was never made"));
            }
            session.bulk_done(bytes, &mut self.outputs);
            // It comes late, but it says how fast the link is.
            self.scheduler.arrived_late(self.now, SourceId(link.0), bytes);
            return Ok(());
        };
        self.scheduler.arrived(self.now, arrival.request, arrival.leaves, bytes);
        self.outputs.push_back(Output::Write(arrival.write));
        Ok(())
    }

    fn handle_written(&mut self, token: Token, result: Result<Accepted, WriteError>) {
        let Some(Owner::Write { link, request, leaves, bytes }) = self.requests.take(token) else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(&link) {
            session.bulk_done(bytes, &mut self.outputs);
        }
        match result {
            Ok(done) => {
                let (good, bad) = (&done.good, &done.bad);
                self.scheduler.accepted(self.now, request, good, bad, done.size_proven);
            }
            Err(WriteError::NotProven) => {
                self.scheduler.refuted(self.now, request, leaves.0..leaves.1);
            }
            // The caller ends the want with `fail_local`, or has ended it already.
            Err(WriteError::Local) => {
                self.scheduler.dropped(self.now, request, leaves.0..leaves.1);
            }
        }
    }

    fn handle_timeout(&mut self) {
        let now = self.now;
        self.scheduler.handle_timeout(now);
        if self.tick.is_none_or(|tick| tick > now) {
            return;
        }
        self.tick = None;
        let peers: Vec<_> = self.scheduler.wanted_peers().collect();
        self.dialing.retain(|peer, dialing| dialing.pending || peers.contains(peer));
        for peer in peers {
            self.dial(peer);
        }
        for (link, session) in &mut self.sessions {
            //= rfcs/0005-session.md#sess-5
            //# A peer MUST close a session on which no HELLO has come in time.
            let late = now >= session.opened + self.config.hello_timeout;
            if session.state == SessionState::Opening && late {
                session.close(CloseReason::TimedOut, &mut self.outputs);
            }
            if self.getter.busy(*link) {
                session.ping(now, &self.config, &mut self.outputs);
            }
        }
    }

    // Plumbing.

    fn advance(&mut self, now: Instant) {
        debug_assert!(now >= self.now, "time goes forward");
        self.now = self.now.max(now);
    }

    /// Runs something on the serving half of a session, then pumps it.
    fn with_server<R>(
        &mut self,
        link: LinkId,
        act: impl FnOnce(&mut crate::serve::Server, &mut Serving<'_>) -> R,
    ) -> Option<R> {
        let session = self.sessions.get_mut(&link)?;
        if session.state != SessionState::Open {
            return None;
        }
        let block_bytes = session.block_bytes();
        let mut serving = Serving {
            peer: session.info.peer,
            pipe: &mut session.pipe,
            outputs: &mut self.outputs,
            requests: &mut self.requests,
            block_bytes,
            read_ahead_bytes: self.config.read_ahead_bytes,
            wants_max: self.config.wants_per_session_max,
        };
        let result = act(&mut session.server, &mut serving);
        session.server.pump(&mut serving);
        Some(result)
    }

    /// Requests to the node that it has not answered.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn requests(&self) -> usize {
        self.requests.len()
    }

    /// Turns what the scheduler decided into frames, and arms the clock.
    fn settle(&mut self) {
        while let Some(output) = self.scheduler.poll_output() {
            match output {
                Scheduled::Request(request) => self.ask(&request),
                Scheduled::Cancel { request, .. } => {
                    let Some((link, number)) = self.getter.forget(request) else { continue };
                    if let Some(session) = self.sessions.get_mut(&link) {
                        let cancel = Message::Cancel(Cancel { want: number });
                        session.pipe.transmit(Lane::Control, &cancel, &mut self.outputs);
                    }
                }
                Scheduled::Event(event) => {
                    self.outputs.push_back(Output::Event(MeshEvent::Want(event)));
                }
                _ => {}
            }
        }
        let opening = self.sessions.values().any(|session| session.state == SessionState::Opening);
        if self.tick.is_none() && (opening || self.scheduler.wants() > 0) {
            self.tick = Some(self.now + Duration::from_millis(100));
        }
    }

    fn ask(&mut self, request: &samara_sched::Request) {
        let link = LinkId(request.source.0);
        let Some(session) = self.sessions.get_mut(&link) else { return };
        let number = session.next_want;
        session.next_want += 1;
        // Where we believe the blob's end to be, a longer blob has the rest of the group: ask for
        // whole groups, whatever the size.
        let last = request.ranges.end();
        let mut ranges = request.ranges.clone();
        ranges.insert(last..last.next_multiple_of(request.group.leaves()));
        self.getter.ask(link, number, request, ranges.clone());
        let want = Message::Want(Want {
            want: number,
            blob: request.blob,
            group: request.group,
            class: request.class,
            known: request.known.difference(&ranges),
            ranges,
            size: request.size,
        });
        session.asked(request.group, &mut self.outputs);
        session.pipe.transmit(Lane::Control, &want, &mut self.outputs);
    }

    /// Dials a peer unless a session or an attempt is there, or the pause is not over.
    fn dial(&mut self, peer: PeerId) {
        let now = self.now;
        if self.sessions.values().any(|session| session.peer() == peer) {
            return;
        }
        let first = self.config.dial_pause.0;
        let dialing = self.dialing.entry(peer);
        let dialing = dialing.or_insert(Dialing { next: now, pause: first, pending: false });
        if dialing.pending || now < dialing.next {
            return;
        }
        dialing.pending = true;
        self.outputs.push_back(Output::Dial { peer });
    }

    fn dial_failed(&mut self, peer: PeerId) {
        let jitter = self.next_random() % 512;
        let Some(dialing) = self.dialing.get_mut(&peer) else { return };
        dialing.pending = false;
        // Three quarters to five quarters of the pause, so that peers do not march in step.
        let pause = dialing.pause * (768 + u32::try_from(jitter).unwrap_or(0)) / 1024;
        dialing.next = self.now + pause;
        dialing.pause = (dialing.pause * 8 / 5).min(self.config.dial_pause.1);
    }

    /// xorshift64*: good enough for jitter, and the same on every machine.
    const fn next_random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }
}
