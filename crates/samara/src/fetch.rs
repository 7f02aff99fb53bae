//! Fetching what a ticket names: blobs, collections, into the store or into place.

use core::{sync::atomic::Ordering, time::Duration};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use bytes::Bytes;
use futures::FutureExt as _;
use samara_base::{BlobId, Class, PeerId, RangeSet, leaves};
use samara_chunk::{Manifest, Rules, limits::MANIFEST_BYTES_MAX};
use samara_net::driver::PeerAddr;
use samara_sched::{Verdict, WantSpec};
use samara_store::{Store, Target};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};

use crate::{
    engine::Command,
    error::FetchError,
    node::{Inner, flatten},
    place::{self, Place},
    plan::{self, Child},
    progress::{FetchProgress, Phase, Running, Shortfall, SourceProgress},
    reception::{Mailbox, Reception, byte_ranges, bytes_of},
    ticket::{Format, Ticket},
};

/// Wants of a collection that are open at once.
const WANTS_MAX: usize = 1024;

/// Bytes of the wants of a collection that are open at once: enough for a long fast link.
const WANTS_BYTES: u64 = 32 << 20;

/// How often progress is sampled.
const SAMPLE: Duration = Duration::from_millis(100);

/// How often what was received is made durable.
const CHECKPOINT: Duration = Duration::from_secs(1);

/// How to fetch.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "options, built by literal")]
pub struct FetchOptions {
    /// Where to put the file or directory; `None` keeps it in the store only.
    pub output: Option<PathBuf>,
    /// More tickets for the same content: their providers are asked too, each with the right of its
    /// own ticket.
    pub others: Vec<Ticket>,
    /// Whether something at `output` may be replaced.
    pub replace: bool,
    /// End when no source was reachable for so long; `None` waits for ever.
    pub patience: Option<Duration>,
    /// End when so long every source has said that it can't deliver what is missing.
    pub grace: Duration,
    /// End after so long, whatever the progress.
    pub timeout: Option<Duration>,
    /// Fetch nothing whose content is larger. Unit: bytes.
    pub size_max: u64,
    /// What may be extracted here.
    pub rules: Rules,
    /// Urgency.
    pub class: Class,
}

impl Default for FetchOptions {
    /// Into the store, without limits of time.
    fn default() -> Self {
        Self {
            output: None,
            others: Vec::new(),
            replace: false,
            patience: None,
            grace: Duration::ZERO,
            timeout: None,
            size_max: u64::MAX,
            rules: Rules::host(),
            class: Class::Bulk,
        }
    }
}

/// How a fetch ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The verdict: of the blob, or the worst of the collection's blobs.
    pub verdict: Verdict,
    /// What was fetched.
    pub root: BlobId,
    /// Bytes of content that are here now.
    pub bytes: u64,
    /// Bytes of content in all, as far as known.
    pub bytes_total: u64,
    /// Bytes that came over links, proofs included.
    pub bytes_received: u64,
    /// Bytes of content that were here before.
    pub bytes_reused: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// Where the result is, if it was to be put somewhere and is complete.
    pub path: Option<PathBuf>,
    /// What sources failed to deliver.
    pub shortfalls: Vec<Shortfall>,
}

pub(crate) fn fetch(
    inner: Arc<Inner>,
    ticket: Ticket,
    options: FetchOptions,
) -> Running<Result<Outcome, FetchError>, FetchProgress> {
    let (sender, progress) = watch::channel(FetchProgress::default());
    let (cancel, cancelled) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let mailbox = Arc::<Mailbox>::default();
        let inner_now = inner.clock.elapsed();
        let fetch = Fetch {
            started: inner_now,
            inner,
            ticket,
            options,
            mailbox,
            peers: BTreeSet::new(),
            progress: sender,
            cancelled: false,
            rate: Rate::default(),
            reused: 0,
            checkpoint_at: inner_now + CHECKPOINT,
            checkpoint: None,
            sizes: BTreeMap::new(),
        };
        let (inner, mailbox) = (Arc::clone(&fetch.inner), Arc::clone(&fetch.mailbox));
        let result = fetch.run(cancelled).await;
        if result.is_err() {
            // Nobody would take what its other wants still bring. Fails if the node is shut down.
            let _ = inner.tell(Command::Cancel(mailbox)).await;
        }
        result
    });
    Running::new(task, progress, cancel)
}

/// A smoothed rate.
#[derive(Debug, Default)]
struct Rate {
    at: Duration,
    bytes: u64,
    smooth: u64,
}

impl Rate {
    fn sample(&mut self, now: Duration, bytes: u64) -> u64 {
        let span = u64::try_from(now.saturating_sub(self.at).as_micros()).unwrap_or(u64::MAX);
        if span >= 50_000 {
            let fresh = bytes.saturating_sub(self.bytes).saturating_mul(1_000_000) / span;
            self.smooth = if self.smooth == 0 { fresh } else { (self.smooth * 7 + fresh * 3) / 10 };
            (self.at, self.bytes) = (now, bytes);
        }
        self.smooth
    }
}

/// A fetch that runs.
struct Fetch {
    inner: Arc<Inner>,
    ticket: Ticket,
    options: FetchOptions,
    mailbox: Arc<Mailbox>,
    /// Whom to ask.
    peers: BTreeSet<PeerId>,
    progress: watch::Sender<FetchProgress>,
    started: Duration,
    cancelled: bool,
    rate: Rate,
    reused: u64,
    checkpoint_at: Duration,
    checkpoint: Option<JoinHandle<Duration>>,
    /// Blob, path and size by key, of wants that are open or were blamed.
    sizes: BTreeMap<u64, (BlobId, Vec<u8>, u64)>,
}

impl Fetch {
    async fn run(mut self, mut cancel: oneshot::Receiver<()>) -> Result<Outcome, FetchError> {
        for (addr, right) in self.providers().collect::<Vec<_>>() {
            self.peers.insert(addr.peer);
            self.tell(Command::Know { addr, right }).await?;
        }
        let (output, replace) = (self.options.output.clone(), self.options.replace);
        let (root, format) = (self.ticket.root(), self.ticket.format());
        let name = self.ticket.file_name(&self.options.rules);
        let store = self.inner.store.clone();
        let place = flatten(
            tokio::task::spawn_blocking(move || match output {
                Some(output) => {
                    place::prepare(&store, &output, name.as_deref(), &root, format, replace)
                        .map(Some)
                }
                None => Ok(None),
            })
            .await,
        )?;
        match format {
            Format::Collection => self.collection(place, &mut cancel).await,
            _ => self.blob(place, &mut cancel).await,
        }
    }

    /// Whom to ask, and the right to show there: nobody is shown the right of another's ticket.
    fn providers(&self) -> impl Iterator<Item = (PeerAddr, Option<Bytes>)> + '_ {
        let tickets = core::iter::once(&self.ticket).chain(&self.options.others);
        tickets.filter(|ticket| ticket.root() == self.ticket.root()).flat_map(|ticket| {
            let right = ticket.secret().map(|secret| Bytes::copy_from_slice(secret.as_bytes()));
            ticket.providers().iter().map(move |provider| {
                let addr = PeerAddr {
                    peer: provider.peer(),
                    direct: provider.addresses().to_vec(),
                    relay: provider.relay().map(str::to_owned),
                };
                (addr, right.clone())
            })
        })
    }

    /// One blob, into the store or into place.
    async fn blob(
        &mut self,
        place: Option<Place>,
        cancel: &mut oneshot::Receiver<()>,
    ) -> Result<Outcome, FetchError> {
        let (root, size) = (self.ticket.root(), self.ticket.size());
        let target = place.as_ref().map_or(Target::Segments, Place::file_target);
        let (verdict, total) = self.one(root, size, &target, self.options.class, cancel).await?;
        let complete = verdict == Verdict::Complete;
        let path = match place {
            Some(place) if complete => {
                self.show(|progress| progress.phase = Phase::Finishing);
                let store = self.inner.store.clone();
                Some(flatten(
                    tokio::task::spawn_blocking(move || place.publish_file(&store, &root)).await,
                )?)
            }
            _ => None,
        };
        self.finish(verdict, root, total, path).await
    }

    /// Fetches one blob whole: its verdict and size.
    async fn one(
        &mut self,
        blob: BlobId,
        size: Option<u64>,
        target: &Target,
        class: Class,
        cancel: &mut oneshot::Receiver<()>,
    ) -> Result<(Verdict, u64), FetchError> {
        let reception =
            Arc::new(Reception::new(blob, 0, target.clone(), Arc::clone(&self.mailbox)));
        let (store, resume) = (self.inner.store.clone(), Arc::clone(&reception));
        let resumed =
            flatten(tokio::task::spawn_blocking(move || resume.resume(&store, size)).await)?;
        let mut total = resumed.size.or(size);
        self.reused += total.map_or(0, |size| bytes_of(&resumed.held, size));
        self.sizes.insert(0, (blob, Vec::new(), total.unwrap_or(u64::MAX)));
        self.show(|progress| progress.bytes_total = total);
        if resumed.complete {
            return Ok((Verdict::Complete, total.unwrap_or(0)));
        }
        let mut spec = self.spec(blob, total, class);
        if self.ticket.format() == Format::Collection {
            // A manifest will be read into memory.
            spec.size_max = spec.size_max.min(u64::from(MANIFEST_BYTES_MAX));
        }
        spec.held = resumed.held;
        spec.known = resumed.known;
        self.tell(Command::Want(vec![(spec, Arc::clone(&reception))])).await?;
        let verdict = loop {
            if let Some(ended) = self.mailbox.take_ended().pop() {
                break ended.verdict;
            }
            self.step(cancel, 1).await?;
        };
        if let Some(failure) = reception.take_failure() {
            return Err(failure);
        }
        if let Some(receiver) = reception.take_receiver() {
            total = Some(receiver.size());
            if verdict == Verdict::Complete {
                flatten(tokio::task::spawn_blocking(move || receiver.finish()).await)?;
            }
        }
        Ok((verdict, total.unwrap_or(0)))
    }

    /// What is left of the time that the fetch may take, if that is limited.
    fn time_left(&self) -> Option<Duration> {
        let timeout = self.options.timeout?;
        Some(self.started.saturating_add(timeout).saturating_sub(self.inner.clock.elapsed()))
    }

    fn spec(&self, blob: BlobId, size: Option<u64>, class: Class) -> WantSpec {
        let mut spec = WantSpec::new(blob, self.peers.iter().copied());
        spec.size = size;
        spec.class = class;
        spec.size_max = self.options.size_max;
        spec.patience = self.options.patience;
        spec.grace = self.options.grace;
        spec.deadline = self
            .options
            .timeout
            .map(|timeout| samara_base::Instant::ZERO + self.started.saturating_add(timeout));
        spec
    }

    /// A collection: its manifest first, then its files, many at a time.
    async fn collection(
        &mut self,
        place: Option<Place>,
        cancel: &mut oneshot::Receiver<()>,
    ) -> Result<Outcome, FetchError> {
        let root = self.ticket.root();
        let segments = Target::Segments;
        let (verdict, _) = self.one(root, None, &segments, Class::Interactive, cancel).await?;
        if verdict != Verdict::Complete {
            return self.finish(verdict, root, self.ticket.size().unwrap_or(0), None).await;
        }
        // What the manifest cost is not content.
        self.reused = 0;
        self.mailbox.counters.stored.store(0, Ordering::Relaxed);
        let (store, rules) = (self.inner.store.clone(), self.options.rules);
        let extract = place.is_some();
        let manifest = flatten(
            tokio::task::spawn_blocking(move || {
                read_manifest(&store, &root, extract.then_some(rules))
            })
            .await,
        )?;
        let summary = manifest.summary();
        //= rfcs/0004-chunking.md#coll-21
        //# An extractor MUST compare the sum of sizes with the space and the limit that its user allows, before it writes a file.
        if summary.bytes > self.options.size_max {
            let verdict = Verdict::TooLarge { size: summary.bytes, limit: self.options.size_max };
            return self.finish(verdict, root, summary.bytes, None).await;
        }
        if let Some(place) = &place {
            place.check_space(summary.bytes)?;
        }
        self.show(|progress| {
            progress.phase = Phase::Receiving;
            progress.bytes_total = Some(summary.bytes);
            progress.files_total = u64::from(summary.files);
        });
        let store = self.inner.store.clone();
        let (children, plans) = tokio::sync::mpsc::channel(4);
        let (planned, entries) = (place.clone(), manifest.clone());
        let planner = tokio::task::spawn_blocking(move || {
            plan::plan(&store, &entries, planned.as_ref(), &children)
        });
        let verdict = self.children(plans, cancel).await?;
        if matches!(verdict, Verdict::Cancelled | Verdict::Expired) {
            // The planner ends by itself when it finds that nobody listens.
            return self.finish(verdict, root, summary.bytes, None).await;
        }
        let plan = flatten(planner.await)?;
        let path = match place {
            Some(place) if verdict == Verdict::Complete => {
                self.show(|progress| progress.phase = Phase::Finishing);
                let store = self.inner.store.clone();
                let publish = move || {
                    plan::complete(&store, &manifest, &place, &plan)?;
                    place.publish_directory(&store, &manifest)
                };
                Some(flatten(tokio::task::spawn_blocking(publish).await)?)
            }
            _ => None,
        };
        self.finish(verdict, root, summary.bytes, path).await
    }

    /// Fetches what the planner finds missing, a window of wants at a time: the worst verdict.
    async fn children(
        &mut self,
        mut plans: tokio::sync::mpsc::Receiver<Vec<Child>>,
        cancel: &mut oneshot::Receiver<()>,
    ) -> Result<Verdict, FetchError> {
        let mut waiting = std::collections::VecDeque::<Child>::new();
        let mut open = BTreeMap::<u64, (Arc<Reception>, u64)>::new();
        let (mut open_bytes, mut key, mut done) = (0_u64, 0_u64, false);
        let mut worst = Verdict::Complete;
        loop {
            // Start what fits the window.
            let mut wants = Vec::new();
            while open.len() < WANTS_MAX
                && (open_bytes < WANTS_BYTES || open.is_empty())
                && !self.cancelled
            {
                let Some(child) = waiting.pop_front() else { break };
                match child {
                    Child::Here { bytes } => {
                        self.reused += bytes;
                        self.progress.send_if_modified(|progress| {
                            progress.files += 1;
                            false
                        });
                    }
                    Child::Missing { blob, path, size, target, held, known } => {
                        key += 1;
                        self.reused += bytes_of(&held, size);
                        let reception =
                            Arc::new(Reception::new(blob, key, target, Arc::clone(&self.mailbox)));
                        let mut spec = self.spec(blob, Some(size), self.options.class);
                        spec.size_max = size;
                        spec.held = held;
                        spec.known = known;
                        self.sizes.insert(key, (blob, path, size));
                        open.insert(key, (Arc::clone(&reception), size));
                        open_bytes += size;
                        wants.push((spec, reception));
                    }
                }
            }
            if !wants.is_empty() {
                self.tell(Command::Want(wants)).await?;
            }
            // Take what has ended.
            let mut finished = Vec::new();
            for ended in self.mailbox.take_ended() {
                let Some((reception, size)) = open.remove(&ended.key) else { continue };
                open_bytes -= size;
                if let Some(failure) = reception.take_failure() {
                    return Err(failure);
                }
                if ended.verdict == Verdict::Complete {
                    self.sizes.remove(&ended.key);
                    self.progress.send_if_modified(|progress| {
                        progress.files += 1;
                        false
                    });
                    if let Some(receiver) = reception.take_receiver() {
                        finished.push(receiver);
                    }
                } else if worst == Verdict::Complete
                    || matches!(ended.verdict, Verdict::Partial { .. })
                {
                    worst = ended.verdict;
                }
            }
            if !finished.is_empty() {
                let finish = move || {
                    finished.iter().try_for_each(|receiver| {
                        receiver.finish().map(drop).map_err(FetchError::from)
                    })
                };
                flatten(tokio::task::spawn_blocking(finish).await)?;
            }
            if self.cancelled && open.is_empty() {
                plans.close();
                return Ok(Verdict::Cancelled);
            }
            if waiting.is_empty() && !done {
                match plans.try_recv() {
                    Ok(batch) => {
                        waiting.extend(batch);
                        continue;
                    }
                    Err(tokio::sync::mpsc::error::TryRecvError::Disconnected) => done = true,
                    Err(tokio::sync::mpsc::error::TryRecvError::Empty) if open.is_empty() => {
                        // The planner reads and hashes what is here, which may take long.
                        let left = self.time_left();
                        tokio::select! {
                            biased;
                            Ok(()) = &mut *cancel, if !self.cancelled => self.cancelled = true,
                            batch = plans.recv() => match batch {
                                Some(batch) => waiting.extend(batch),
                                None => done = true,
                            },
                            () = tokio::time::sleep(left.unwrap_or_default()), if left.is_some() => {
                                plans.close();
                                return Ok(Verdict::Expired);
                            }
                        }
                        continue;
                    }
                    Err(tokio::sync::mpsc::error::TryRecvError::Empty) => {}
                }
            }
            if done && waiting.is_empty() && open.is_empty() {
                let arrived = self.mailbox.counters.stored.load(Ordering::Relaxed) + self.reused;
                let nothing =
                    matches!(worst, Verdict::Complete | Verdict::Expired | Verdict::Cancelled);
                // One file that nobody gives does not make the others unavailable.
                return Ok(if nothing || arrived == 0 {
                    worst
                } else {
                    Verdict::Partial { missing: RangeSet::new(), blames: Vec::new() }
                });
            }
            if open.is_empty() {
                continue;
            }
            self.step(cancel, open.len()).await?;
        }
    }

    /// Waits for news, a sample of progress or a cancel.
    async fn step(
        &mut self,
        cancel: &mut oneshot::Receiver<()>,
        open: usize,
    ) -> Result<(), FetchError> {
        let mailbox = Arc::clone(&self.mailbox);
        tokio::select! {
            biased;
            Ok(()) = &mut *cancel, if !self.cancelled => {
                self.cancelled = true;
                self.tell(Command::Cancel(mailbox)).await?;
            }
            () = mailbox.news.notified() => {}
            () = tokio::time::sleep(SAMPLE) => {
                if self.inner.commands.is_closed() {
                    return Err(FetchError::Closed);
                }
            }
        }
        let now = self.inner.clock.elapsed();
        if now.saturating_sub(self.rate.at) >= SAMPLE {
            self.sample(open).await?;
        }
        self.checkpoint(now);
        Ok(())
    }

    /// Makes what is here durable now and then: at least a second apart, and so seldom that a disk
    /// that is slow to sync spends most of its time on the transfer.
    fn checkpoint(&mut self, now: Duration) {
        if now < self.checkpoint_at
            || self.checkpoint.as_ref().is_some_and(|run| !run.is_finished())
        {
            return;
        }
        if let Some(took) = self.checkpoint.take().and_then(|run| run.now_or_never()) {
            // A failed checkpoint poisons the store, which the next write reports.
            self.checkpoint_at = now + 8 * took.unwrap_or_default();
            if now < self.checkpoint_at {
                return;
            }
        }
        self.checkpoint_at = now + CHECKPOINT;
        let (store, clock) = (self.inner.store.clone(), self.inner.clock);
        self.checkpoint = Some(tokio::task::spawn_blocking(move || {
            let start = clock.elapsed();
            if let Err(error) = store.checkpoint() {
                tracing::warn!(%error, "a checkpoint failed");
            }
            clock.elapsed().saturating_sub(start)
        }));
    }

    async fn sample(&mut self, open: usize) -> Result<(), FetchError> {
        let mut sources = BTreeMap::<_, SourceProgress>::new();
        // With many small wants the picture would cost more than it tells.
        if open <= 8 {
            let (reply, status) = oneshot::channel();
            self.tell(Command::Status(Arc::clone(&self.mailbox), reply)).await?;
            for want in status.await.unwrap_or_default() {
                for source in want.sources {
                    let entry = sources.entry(source.peer).or_insert(SourceProgress {
                        peer: source.peer,
                        connected: source.connected,
                        bytes: 0,
                    });
                    entry.bytes += source.bytes;
                }
            }
        }
        let counters = &self.mailbox.counters;
        let stored = counters.stored.load(Ordering::Relaxed);
        let received = counters.received.load(Ordering::Relaxed);
        let rate = self.rate.sample(self.inner.clock.elapsed(), stored);
        let (reused, waiting) = (self.reused, self.mailbox.waiting());
        self.progress.send_modify(|progress| {
            if stored > 0 && progress.phase == Phase::Connecting {
                progress.phase = Phase::Receiving;
            }
            progress.bytes = reused + stored;
            progress.bytes_reused = reused;
            progress.bytes_received = received;
            progress.rate = rate;
            progress.waiting = waiting;
            progress.eta = progress.bytes_total.filter(|_| rate > 0).map(|total| {
                Duration::from_millis(
                    total.saturating_sub(progress.bytes).saturating_mul(1000) / rate,
                )
            });
            if !sources.is_empty() {
                progress.sources = sources.into_values().collect();
            }
        });
        Ok(())
    }

    /// Makes everything durable and sums up.
    async fn finish(
        &mut self,
        verdict: Verdict,
        root: BlobId,
        bytes_total: u64,
        path: Option<PathBuf>,
    ) -> Result<Outcome, FetchError> {
        let store = self.inner.store.clone();
        let keep = verdict == Verdict::Complete;
        flatten(
            tokio::task::spawn_blocking(move || {
                if keep {
                    store.tag(format!("fetch/{root}").as_bytes(), &root)?;
                }
                store.checkpoint()
            })
            .await,
        )?;
        let counters = &self.mailbox.counters;
        let stored = counters.stored.load(Ordering::Relaxed);
        let bytes_received = counters.received.load(Ordering::Relaxed);
        let bytes = if keep { bytes_total } else { self.reused + stored };
        let reused = self.reused;
        let waiting = None;
        self.show(|progress| {
            progress.bytes = bytes;
            progress.bytes_reused = reused;
            progress.bytes_received = bytes_received;
            progress.waiting = waiting;
        });
        Ok(Outcome {
            verdict,
            root,
            bytes,
            bytes_total,
            bytes_received,
            bytes_reused: reused,
            elapsed: self.inner.clock.elapsed().saturating_sub(self.started),
            path,
            shortfalls: self.shortfalls(),
        })
    }

    /// What sources failed to deliver, in bytes, of blobs that are not here in the end.
    fn shortfalls(&self) -> Vec<Shortfall> {
        let shortfall = |(key, blame): (u64, samara_sched::Blame)| {
            let (blob, path, size) = self.sizes.get(&key)?;
            let ranges = blame.ranges.within(&(0..leaves(*size)));
            Some(Shortfall {
                blob: *blob,
                path: path.clone(),
                peer: blame.peer,
                fault: blame.fault,
                ranges: byte_ranges(&ranges, *size),
            })
        };
        let mut all: Vec<Shortfall> = Vec::new();
        for new in self.mailbox.blames().into_iter().filter_map(shortfall) {
            let same = |old: &&mut Shortfall| {
                (old.blob, old.peer, old.fault) == (new.blob, new.peer, new.fault)
            };
            match all.iter_mut().find(same) {
                Some(old) => old.ranges = old.ranges.union(&new.ranges),
                None => all.push(new),
            }
        }
        all
    }

    fn show(&self, change: impl FnOnce(&mut FetchProgress)) {
        self.progress.send_modify(change);
    }

    async fn tell(&self, command: Command) -> Result<(), FetchError> {
        if self.inner.tell(command).await { Ok(()) } else { Err(FetchError::Closed) }
    }
}

fn read_manifest(
    store: &Store,
    root: &BlobId,
    rules: Option<Rules>,
) -> Result<Manifest<Bytes>, FetchError> {
    let Some(reader) = store.reader(root)? else {
        return Err(FetchError::Read(samara_store::ReadError::NotHeld {
            missing: RangeSet::new(),
        }));
    };
    // It may have come here as something else, under no such limit.
    if reader.size() > u64::from(MANIFEST_BYTES_MAX) {
        return Err(FetchError::NotACollection(samara_chunk::DecodeError {
            offset: MANIFEST_BYTES_MAX,
            field: samara_chunk::Field::Manifest,
            problem: samara_chunk::DecodeProblem::TooLong,
        }));
    }
    let bytes = reader.read(0..reader.size())?;
    let manifest = Manifest::decode(bytes).map_err(FetchError::NotACollection)?;
    if let Some(rules) = rules {
        manifest.check(&rules).map_err(FetchError::Unsafe)?;
    }
    Ok(manifest)
}
