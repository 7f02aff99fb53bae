//! What a long operation tells while it runs.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, stream};
use samara_base::{BlobId, PeerId, RangeSet};
use samara_sched::{Fault, Waiting};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};

/// How far a share or import has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportProgress {
    /// Bytes hashed.
    pub bytes: u64,
    /// Bytes in all, once the files are counted.
    pub bytes_total: u64,
    /// Files hashed.
    pub files: u64,
    /// Files in all, once they are counted.
    pub files_total: u64,
}

/// What a fetch is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Looking for a source.
    #[default]
    Connecting,
    /// Receiving bytes.
    Receiving,
    /// Making the result durable and moving it into place.
    Finishing,
}

/// A source of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceProgress {
    /// The peer.
    pub peer: PeerId,
    /// Whether it is connected.
    pub connected: bool,
    /// Bytes accepted from it for this fetch.
    pub bytes: u64,
}

/// How far a fetch has come. A snapshot, taken a few times a second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchProgress {
    /// What it is doing.
    pub phase: Phase,
    /// Bytes of content that are here and verified.
    pub bytes: u64,
    /// Bytes of content in all; a claim until the end.
    pub bytes_total: Option<u64>,
    /// Of `bytes`, those that were here before.
    pub bytes_reused: u64,
    /// Bytes that came over links for this fetch, proofs included.
    pub bytes_received: u64,
    /// Files that are here, for a collection.
    pub files: u64,
    /// Files in all, for a collection.
    pub files_total: u64,
    /// Smoothed rate. Unit: bytes of content per second.
    pub rate: u64,
    /// Time left at this rate.
    pub eta: Option<Duration>,
    /// Why nothing moves, if so.
    pub waiting: Option<Waiting>,
    /// The sources.
    pub sources: Vec<SourceProgress>,
}

/// A range of a blob that a source failed to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shortfall {
    /// The blob.
    pub blob: BlobId,
    /// Where it lies in the collection; empty for a single blob.
    pub path: Vec<u8>,
    /// The source.
    pub peer: PeerId,
    /// Why.
    pub fault: Fault,
    /// What is missing. Unit: bytes.
    pub ranges: RangeSet,
}

/// A running operation: a future of its result and a stream of its progress.
///
/// Dropping it does not stop the operation; [`cancel`](Self::cancel) does.
#[must_use = "await it for the result"]
pub struct Running<T, P> {
    task: JoinHandle<T>,
    progress: watch::Receiver<P>,
    cancel: Option<oneshot::Sender<()>>,
}

impl<T, P: Clone> Running<T, P> {
    pub(crate) const fn new(
        task: JoinHandle<T>,
        progress: watch::Receiver<P>,
        cancel: oneshot::Sender<()>,
    ) -> Self {
        Self { task, progress, cancel: Some(cancel) }
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> P {
        self.progress.borrow().clone()
    }

    /// Asks the operation to end early. Its result says that it was cancelled.
    pub fn cancel(&mut self) {
        if let Some(cancel) = self.cancel.take() {
            // It has ended by itself if nobody listens.
            let _ = cancel.send(());
        }
    }
}

impl<T, P: Clone + Send + Sync + 'static> Running<T, P> {
    /// Snapshots as they change, ending with the operation. A slow reader misses the ones in
    /// between, never the last.
    pub fn progress(&self) -> impl Stream<Item = P> + Send + Unpin + use<T, P> {
        let first = Some(self.progress.clone());
        Box::pin(stream::unfold(first, async |receiver| {
            let mut receiver = receiver?;
            let more = receiver.changed().await.is_ok();
            let snapshot = receiver.borrow_and_update().clone();
            more.then_some((snapshot, Some(receiver)))
        }))
    }
}

impl<T, P> Future for Running<T, P> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match Pin::new(&mut self.task).poll(context) {
            Poll::Ready(Ok(result)) => Poll::Ready(result),
            Poll::Ready(Err(error)) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down under us; there is no result and never will be.
                Err(_) => Poll::Pending,
            },
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T, P> fmt::Debug for Running<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}
