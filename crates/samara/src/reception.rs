//! Where the bytes of a want go, and verifying them on the way.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use samara_base::{BlobId, GroupLog2, LEAF_BYTES, RangeSet, leaves};
use samara_mesh::io::{Accepted, WriteError, WriteRequest};
use samara_sched::{Blame, Verdict, Waiting};
use samara_store::{IngestError, ReadError, ReceiveError, Receiver, Store, Target};
use tokio::sync::Notify;

use crate::error::FetchError;

/// Counts of a fetch, updated where things happen and read by whoever shows progress.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Bytes of content stored by this fetch.
    pub(crate) stored: AtomicU64,
    /// Bytes that came over links.
    pub(crate) received: AtomicU64,
}

/// A want that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) key: u64,
    pub(crate) verdict: Verdict,
}

/// What the engine tells a fetch. Bounded by the number of wants that the fetch has open.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    state: Mutex<Mail>,
    pub(crate) news: Notify,
    pub(crate) counters: Counters,
}

#[derive(Debug, Default)]
struct Mail {
    ended: Vec<Ended>,
    waiting: Option<Waiting>,
    blames: Vec<(u64, Blame)>,
}

/// Blames that are kept: enough to explain, too few to flood.
const BLAMES_MAX: usize = 256;

impl Mailbox {
    fn with<R>(&self, act: impl FnOnce(&mut Mail) -> R) -> R {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn end(&self, key: u64, verdict: Verdict) {
        self.with(|mail| mail.ended.push(Ended { key, verdict }));
        self.news.notify_one();
    }

    pub(crate) fn wait(&self, reason: Option<Waiting>) {
        self.with(|mail| mail.waiting = reason);
    }

    pub(crate) fn blame(&self, key: u64, blame: Blame) {
        self.with(|mail| {
            if mail.blames.len() < BLAMES_MAX {
                mail.blames.push((key, blame));
            }
        });
    }

    pub(crate) fn take_ended(&self) -> Vec<Ended> {
        self.with(|mail| core::mem::take(&mut mail.ended))
    }

    pub(crate) fn waiting(&self) -> Option<Waiting> {
        self.with(|mail| mail.waiting)
    }

    pub(crate) fn blames(&self) -> Vec<(u64, Blame)> {
        self.with(|mail| mail.blames.clone())
    }
}

/// Where the bytes of one want go.
#[derive(Debug)]
pub(crate) struct Reception {
    pub(crate) blob: BlobId,
    /// The fetch's own name for the want.
    pub(crate) key: u64,
    target: Target,
    receiver: Mutex<Option<Receiver>>,
    failed: Mutex<Option<FetchError>>,
    pub(crate) mailbox: Arc<Mailbox>,
}

impl Reception {
    pub(crate) fn new(blob: BlobId, key: u64, target: Target, mailbox: Arc<Mailbox>) -> Self {
        Self { blob, key, target, receiver: Mutex::default(), failed: Mutex::default(), mailbox }
    }

    /// Keeps an opened receiver, so that the first write need not open it again.
    pub(crate) fn set_receiver(&self, receiver: Receiver) {
        *self.receiver.lock().unwrap_or_else(PoisonError::into_inner) = Some(receiver);
    }

    /// Takes the receiver out, to finish it.
    pub(crate) fn take_receiver(&self) -> Option<Receiver> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Why our own side failed, if it did.
    pub(crate) fn take_failure(&self) -> Option<FetchError> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn fail(&self, error: FetchError) -> WriteError {
        tracing::warn!(blob = %self.blob.fmt_short(), %error, "cannot store received data");
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        WriteError::Local
    }

    //= rfcs/0007-transfer.md#xfer-10
    //# A getter MUST NOT store or pass on a byte before it is verified.
    /// Verifies a block and stores it. Runs on a pool thread, one block of a want at a time.
    pub(crate) fn write(
        &self,
        store: &Store,
        request: &WriteRequest,
    ) -> Result<Accepted, WriteError> {
        let counters = &self.mailbox.counters;
        let bytes = (request.proof.len() + request.data.len()) as u64;
        counters.received.fetch_add(bytes, Ordering::Relaxed);
        if request.size <= GroupLog2::KIB16.bytes() {
            return self.write_small(store, request);
        }
        let receiver = self.receiver(store, request.size)?;
        let ingested = receiver.ingest(
            request.group,
            request.first_leaf,
            &request.base,
            &request.proof,
            &request.data,
        );
        match ingested {
            Ok(ingested) => {
                let stored = bytes_of(&ingested.good, request.size);
                counters.stored.fetch_add(stored, Ordering::Relaxed);
                Ok(Accepted {
                    good: ingested.good.union(&ingested.duplicate),
                    bad: ingested.bad,
                    size_proven: receiver.size_proven(),
                })
            }
            Err(IngestError::Verify(error)) => {
                tracing::warn!(blob = %self.blob.fmt_short(), peer = %request.peer.fmt_short(), %error, "false proof");
                Err(WriteError::NotProven)
            }
            Err(IngestError::Store(error)) => Err(self.fail(error.into())),
            // The fetch has ended under us.
            Err(_) => Err(WriteError::Local),
        }
    }

    /// A blob of one group is its own proof.
    fn write_small(&self, store: &Store, request: &WriteRequest) -> Result<Accepted, WriteError> {
        let all = RangeSet::from(0..leaves(request.size));
        let false_bytes = Accepted { good: RangeSet::new(), bad: all.clone(), size_proven: false };
        let whole = request.first_leaf == 0 && request.data.len() as u64 == request.size;
        if !whole || !request.proof.is_empty() {
            // Part of a blob this small is never asked for.
            return Err(WriteError::NotProven);
        }
        match store.receive_small(&self.blob, &self.target, &request.data) {
            Ok(()) => {
                self.mailbox.counters.stored.fetch_add(request.size, Ordering::Relaxed);
                Ok(Accepted { good: all, bad: RangeSet::new(), size_proven: true })
            }
            Err(ReceiveError::Mismatch) => Ok(false_bytes),
            Err(error) => Err(self.fail(error.into())),
        }
    }

    fn receiver(&self, store: &Store, size: u64) -> Result<Receiver, WriteError> {
        let mut slot = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(receiver) = slot.as_ref().filter(|receiver| receiver.size() == size) {
            return Ok(receiver.clone());
        }
        // First block, or the size believed so far was a lie.
        *slot = None;
        let receiver =
            store.receive(&self.blob, size, &self.target).map_err(|error| match error {
                // Another size is proven: who proves under this one is to blame.
                ReceiveError::Size { .. } => WriteError::NotProven,
                error => self.fail(error.into()),
            })?;
        *slot = Some(receiver.clone());
        Ok(receiver)
    }
}

/// Whether a blob that the store counts as complete can still be read. A file of the user's that
/// is gone or changed is found out here, and the store then knows it too. Blocks.
pub(crate) fn is_there(store: &Store, blob: &BlobId) -> Result<bool, FetchError> {
    match store.reader(blob) {
        Ok(reader) => Ok(reader.is_some()),
        Err(ReadError::Changed { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Bytes in a set of leaves of a blob: the last leaf may be short.
pub(crate) fn bytes_of(set: &RangeSet, size: u64) -> u64 {
    byte_ranges(set, size).total()
}

/// The bytes that leaves cover.
pub(crate) fn byte_ranges(set: &RangeSet, size: u64) -> RangeSet {
    let bytes = |run: &core::ops::Range<u64>| {
        run.start.saturating_mul(LEAF_BYTES)..run.end.saturating_mul(LEAF_BYTES).min(size)
    };
    set.runs().iter().map(bytes).collect()
}

/// What an earlier attempt left of a blob.
#[derive(Debug, Default)]
pub(crate) struct Resumed {
    pub(crate) size: Option<u64>,
    pub(crate) held: RangeSet,
    pub(crate) known: RangeSet,
    pub(crate) complete: bool,
}

impl Reception {
    /// Finds what an earlier attempt left, and goes on from there. Blocks.
    pub(crate) fn resume(&self, store: &Store, size: Option<u64>) -> Result<Resumed, FetchError> {
        let Some(stat) = store.stat(&self.blob)? else { return Ok(Resumed::default()) };
        if stat.complete && is_there(store, &self.blob)? {
            let (size, held) = (Some(stat.size), stat.held);
            return Ok(Resumed { size, held, complete: true, ..Resumed::default() });
        }
        let believed = if stat.size_proven { stat.size } else { size.unwrap_or(stat.size) };
        if believed <= GroupLog2::KIB16.bytes() {
            return Ok(Resumed::default());
        }
        let receiver = store.receive(&self.blob, believed, &self.target)?;
        let (held, known) = (receiver.held(), receiver.known());
        self.set_receiver(receiver);
        Ok(Resumed { size: Some(believed), held, known, complete: false })
    }
}
