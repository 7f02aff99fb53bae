//! The task that owns the mesh: links, disk threads and commands meet here.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use samara_base::{BlobId, PeerId};
use samara_mesh::{
    Mesh,
    io::{
        Accepted, Block, Input, MeshEvent, OpenRequest, Opened, Output, ReadRequest, ServeError,
        Token, WriteError, WriteRequest,
    },
    link::{LinkId, Outgoing},
};
use samara_net::{
    driver::{Driver, PeerAddr},
    events::Events,
};
use samara_sched::{Event, Verdict, WantId, WantSpec, WantStatus};
use samara_store::Store;
use tokio::sync::{mpsc, oneshot};

use crate::{
    clock::Clock,
    flush::{FlushThread, Flusher},
    pool::{Pool, Weigh},
    reception::Reception,
    serve::{Grants, Server},
};

/// Inputs taken in one go before outputs are carried out, so that frames and jobs go in batches.
const BATCH: usize = 64;

/// What the node asks of the engine.
#[derive(Debug)]
pub(crate) enum Command {
    /// Open wants; each ends in its reception's mailbox.
    Want(Vec<(WantSpec, Arc<Reception>)>),
    /// End all wants of a mailbox.
    Cancel(Arc<crate::reception::Mailbox>),
    /// How the wants of a mailbox stand.
    Status(Arc<crate::reception::Mailbox>, oneshot::Sender<Vec<WantStatus>>),
    /// Where a peer can be reached, and what to show to it.
    Know { addr: PeerAddr, right: Option<Bytes> },
    /// Say CLOSE everywhere and end.
    Shutdown(oneshot::Sender<()>),
}

/// Work for the disk threads.
#[derive(Debug)]
enum Job {
    Open(OpenRequest),
    Read(ReadRequest),
    Write(Arc<Reception>, WriteRequest),
}

/// What the disk threads answer.
#[derive(Debug)]
enum Done {
    Opened(Token, Result<Opened, ServeError>),
    Read(Token, Result<Block, ServeError>),
    Written(Token, WantId, Result<Accepted, WriteError>),
}

impl Weigh for Done {
    fn weight(&self) -> usize {
        match self {
            Self::Opened(_, Ok(Opened { first: Some((_, Ok(block))), .. }))
            | Self::Read(_, Ok(block)) => block.data.len(),
            // A written block gives window back: worth telling soon.
            Self::Written(_, _, Ok(accepted)) => {
                usize::try_from(accepted.good.total()).unwrap_or(usize::MAX).saturating_mul(1024)
            }
            _ => 0,
        }
    }
}

/// The engine's state.
pub(crate) struct Engine {
    clock: Clock,
    mesh: Mesh,
    driver: Arc<dyn Driver>,
    links: Events,
    commands: mpsc::Receiver<Command>,
    /// Before the pools: a thread that waits to answer must find out that nobody listens.
    done: mpsc::Receiver<Vec<Done>>,
    readers: Pool<Job>,
    writers: Pool<Job>,
    /// Ends when the writers have.
    _flush: FlushThread,
    dials: mpsc::Sender<PeerId>,
    dial_failures: mpsc::Receiver<PeerId>,
    grants: Arc<Grants>,
    /// Rights shown on each session.
    rights: BTreeMap<LinkId, Vec<Bytes>>,
    addresses: BTreeMap<PeerId, PeerAddr>,
    wants: BTreeMap<WantId, Arc<Reception>>,
    /// Wants above the scheduler's limit.
    backlog: VecDeque<(WantSpec, Arc<Reception>)>,
    /// Frames collected for the next hand-over to the driver.
    frames: BTreeMap<LinkId, Vec<Outgoing>>,
    closing: Option<oneshot::Sender<()>>,
}

impl Engine {
    pub(crate) fn new(
        clock: Clock,
        mesh: Mesh,
        driver: Arc<dyn Driver>,
        links: Events,
        commands: mpsc::Receiver<Command>,
        store: &Store,
        grants: Arc<Grants>,
    ) -> std::io::Result<Self> {
        let (answers, done) = mpsc::channel(64);
        let server = Server::new(store.clone());
        let for_writes = store.clone();
        let read = move |job| match job {
            Job::Open(request) => Done::Opened(request.token, server.open(&request)),
            Job::Read(request) => Done::Read(request.token, server.read(&request)),
            Job::Write(_, request) => {
                Done::Written(request.token, request.want, Err(WriteError::Local))
            }
        };
        let (flusher, flush) = Flusher::start(store.clone())?;
        let write = move |job| match job {
            Job::Write(reception, request) => {
                let result = reception.write(&for_writes, &request);
                flusher.wrote();
                Done::Written(request.token, request.want, result)
            }
            Job::Open(request) => Done::Opened(request.token, Err(ServeError::Internal)),
            Job::Read(request) => Done::Read(request.token, Err(ServeError::Internal)),
        };
        let readers = Pool::start("samara-read", 2, &answers, read)?;
        let writers = Pool::start("samara-write", 2, &answers, write)?;
        let (dials, dial_failures) = mpsc::channel(256);
        Ok(Self {
            clock,
            mesh,
            driver,
            links,
            commands,
            readers,
            writers,
            _flush: flush,
            done,
            dials,
            dial_failures,
            grants,
            rights: BTreeMap::new(),
            addresses: BTreeMap::new(),
            wants: BTreeMap::new(),
            backlog: VecDeque::new(),
            frames: BTreeMap::new(),
            closing: None,
        })
    }

    /// Runs until a [`Command::Shutdown`], or until every node handle is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            self.carry_out();
            if let Some(closing) = self.closing.take() {
                // Nobody takes the answers of the disk threads any more: let them end.
                self.done.close();
                self.driver.shutdown().await;
                // The disk threads end here: nothing is written after the answer.
                let _ = tokio::task::spawn_blocking(move || drop(self)).await;
                // The caller may have given up waiting.
                let _ = closing.send(());
                return;
            }
            let timeout = self.mesh.poll_timeout().map(|at| self.clock.at(at));
            let timer = async {
                match timeout {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => core::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => {
                        self.mesh.shutdown(self.clock.now());
                        self.carry_out();
                        self.done.close();
                        self.driver.shutdown().await;
                        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
                        return;
                    }
                },
                Some(done) = self.done.recv() => self.done(done),
                Some(event) = self.links.recv() => self.link(event),
                Some(peer) = self.dial_failures.recv() => self.input(Input::DialFailed { peer }),
                () = timer => self.input(Input::Timeout),
            }
            // Whatever else is there already goes into the same round.
            for _ in 0..BATCH {
                let mut more = false;
                if let Ok(done) = self.done.try_recv() {
                    self.done(done);
                    more = true;
                }
                if let Some(event) = self.links.try_recv() {
                    self.link(event);
                    more = true;
                }
                if !more {
                    break;
                }
            }
        }
    }

    fn input(&mut self, input: Input) {
        self.mesh.handle_input(self.clock.now(), input);
    }

    fn link(&mut self, event: samara_mesh::link::LinkEvent) {
        if let samara_mesh::link::LinkEvent::Down { link, .. } = &event {
            self.frames.remove(link);
        }
        self.input(Input::Link(event));
    }

    fn done(&mut self, batch: Vec<Done>) {
        for done in batch {
            match done {
                Done::Opened(token, result) => self.input(Input::Opened { token, result }),
                Done::Read(token, result) => self.input(Input::Read { token, result }),
                Done::Written(token, want, result) => {
                    if result == Err(WriteError::Local) {
                        self.mesh.fail_local(self.clock.now(), want);
                    }
                    self.input(Input::Written { token, result });
                }
            }
        }
    }

    fn command(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Want(wants) => {
                self.backlog.extend(wants);
                self.open_wants();
            }
            Command::Cancel(mailbox) => {
                for want in self.wants_of(&mailbox) {
                    self.mesh.cancel(now, want);
                }
                self.backlog.retain(|(_, reception)| {
                    let keep = !Arc::ptr_eq(&reception.mailbox, &mailbox);
                    if !keep {
                        mailbox.end(reception.key, Verdict::Cancelled);
                    }
                    keep
                });
            }
            Command::Status(mailbox, reply) => {
                let wants = self.wants_of(&mailbox);
                let all = wants.into_iter().filter_map(|want| self.mesh.status(want)).collect();
                let _ = reply.send(all);
            }
            Command::Know { addr, right } => {
                let peer = addr.peer;
                self.addresses.insert(peer, addr);
                if let Some(right) = right {
                    self.mesh.present(now, peer, right);
                }
            }
            Command::Shutdown(reply) => {
                self.mesh.shutdown(now);
                self.closing = Some(reply);
            }
        }
    }

    /// Opens wants as far as the scheduler's limit allows; the others wait for one to end. A fetch
    /// has at most a thousand open, so the backlog is bounded by the number of fetches.
    fn open_wants(&mut self) {
        let now = self.clock.now();
        while let Some((spec, reception)) = self.backlog.pop_front() {
            match self.mesh.want(now, spec.clone()) {
                Ok(want) => {
                    self.wants.insert(want, reception);
                }
                Err(_) => {
                    self.backlog.push_front((spec, reception));
                    return;
                }
            }
        }
    }

    fn wants_of(&self, mailbox: &Arc<crate::reception::Mailbox>) -> BTreeSet<WantId> {
        let of_mailbox =
            |(_, reception): &(&WantId, &Arc<Reception>)| Arc::ptr_eq(&reception.mailbox, mailbox);
        self.wants.iter().filter(of_mailbox).map(|(want, _)| *want).collect()
    }

    /// Carries out what the mesh decided.
    fn carry_out(&mut self) {
        while let Some(output) = self.mesh.poll_output() {
            match output {
                Output::Transmit { link, outgoing } => {
                    self.frames.entry(link).or_default().push(outgoing);
                }
                Output::Close { link, reason } => {
                    self.hand_over(link);
                    self.driver.close(link, &reason.to_string());
                }
                Output::Dial { peer } => self.dial(peer),
                Output::Open(request) => {
                    if self.allows(request.link, &request.blob) {
                        self.readers.submit(request.token.0, Job::Open(request));
                    } else {
                        let (token, result) = (request.token, Err(self.grants.refusal()));
                        self.input(Input::Opened { token, result });
                    }
                }
                // Asked again for each block: a share may have ended meanwhile.
                Output::Read(request) if self.allows(request.link, &request.blob) => {
                    self.readers.submit(request.token.0, Job::Read(request));
                }
                Output::Read(request) => {
                    let (token, result) = (request.token, Err(ServeError::Unavailable));
                    self.input(Input::Read { token, result });
                }
                Output::Write(request) => match self.wants.get(&request.want) {
                    Some(reception) => {
                        // All blocks of a blob on one thread, whoever wants it: they are written in
                        // order, and never the same file by two threads.
                        let key = spread(&reception.blob);
                        let job = Job::Write(Arc::clone(reception), request);
                        self.writers.submit(key, job);
                    }
                    None => {
                        let (token, result) = (request.token, Err(WriteError::Local));
                        self.input(Input::Written { token, result });
                    }
                },
                // Nobody may honour it yet: a share can come after the session. The mesh bounds how
                // many there are.
                Output::Present { link, right, .. } => {
                    self.rights.entry(link).or_default().push(right);
                }
                Output::Event(event) => self.event(event),
                _ => {}
            }
        }
        let links: Vec<_> = self.frames.keys().copied().collect();
        for link in links {
            self.hand_over(link);
        }
    }

    /// Whether the rights shown on a session open a blob.
    fn allows(&self, link: LinkId, blob: &BlobId) -> bool {
        let rights = self.rights.get(&link).map_or(&[][..], Vec::as_slice);
        self.grants.allow(rights, blob)
    }

    fn hand_over(&mut self, link: LinkId) {
        let Some(frames) = self.frames.remove(&link) else { return };
        if let Err(error) = self.driver.send(link, frames) {
            // The driver reports the link as down; nothing else is to be done here.
            tracing::debug!(?link, %error, "frames were not taken");
        }
    }

    fn dial(&self, peer: PeerId) {
        let addr = self.addresses.get(&peer).cloned().unwrap_or_else(|| PeerAddr::new(peer));
        let (driver, failures) = (Arc::clone(&self.driver), self.dials.clone());
        tokio::spawn(async move {
            if let Err(error) = driver.dial(addr).await {
                tracing::debug!(peer = %peer.fmt_short(), %error, "cannot reach a peer");
                // The engine is gone if this fails.
                let _ = failures.send(peer).await;
            }
        });
    }

    fn event(&mut self, event: MeshEvent) {
        match event {
            MeshEvent::Want(Event::Ended { want, verdict }) => {
                if let Some(reception) = self.wants.remove(&want) {
                    reception.mailbox.end(reception.key, verdict);
                }
                if !self.backlog.is_empty() {
                    self.open_wants();
                }
            }
            MeshEvent::Want(Event::Waiting { want, reason }) => {
                if let Some(reception) = self.wants.get(&want) {
                    reception.mailbox.wait(reason);
                }
            }
            MeshEvent::Want(Event::Blamed { want, blame }) => {
                if let Some(reception) = self.wants.get(&want) {
                    tracing::info!(
                        blob = %reception.blob.fmt_short(),
                        peer = %blame.peer.fmt_short(),
                        fault = %blame.fault,
                        leaves = %blame.ranges,
                        "a source failed to deliver"
                    );
                    reception.mailbox.blame(reception.key, blame);
                }
            }
            MeshEvent::Connected { peer, agent, link } => {
                tracing::info!(?link, peer = %peer.fmt_short(), agent, "connected");
            }
            MeshEvent::ClosedByPeer { peer, code, link } => {
                tracing::info!(?link, peer = %peer.fmt_short(), %code, "the peer closed the session");
            }
            // In the order of outputs this comes after the session's last PRESENT.
            MeshEvent::Disconnected { peer, reason, link } => {
                self.rights.remove(&link);
                tracing::info!(?link, peer = %peer.fmt_short(), %reason, "disconnected");
            }
            _ => {}
        }
    }
}

/// A number by which blobs spread evenly: ids are hashes.
fn spread(blob: &BlobId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *blob.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
