//! The two ends of a link in memory: pacing, delay, framing, and how it dies.

use core::time::Duration;
use std::{collections::VecDeque, sync::Arc};

use bytes::BytesMut;
use samara_mesh::link::{
    DownReason, Encoded, FRAME_OVERHEAD_MAX, FrameReader, Lane, LinkEvent, LinkInfo, RawFrame,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};

use super::Path;
use crate::{
    events::EventSink,
    links::{Handle, LANES, frame_len},
};

/// What is on its way to the other end.
enum Flight {
    Frame { due: Instant, lane: Lane, frame: Encoded, _window: OwnedSemaphorePermit },
    Close { due: Instant, reason: String },
}

/// One end's share of a link.
pub(super) struct End {
    path: Path,
    window: Arc<Semaphore>,
    outgoing: mpsc::UnboundedSender<Flight>,
    incoming: mpsc::UnboundedReceiver<Flight>,
}

pub(super) fn pair(path: &Path) -> (End, End) {
    #[expect(clippy::disallowed_methods, reason = "the window's permits bound what is in it")]
    let channel = mpsc::unbounded_channel;
    let (to_far, from_near) = channel();
    let (to_near, from_far) = channel();
    let end = |outgoing, incoming| End {
        path: *path,
        window: Arc::new(Semaphore::new(window(path))),
        outgoing,
        incoming,
    };
    (end(to_far, from_far), end(to_near, from_near))
}

fn window(path: &Path) -> usize {
    usize::try_from(path.window.max(1)).unwrap_or(usize::MAX >> 3)
}

/// Runs one end from `Up` to `Down`.
pub(super) async fn live(
    handle: &Handle,
    info: LinkInfo,
    end: End,
    cut: watch::Receiver<bool>,
    sink: &EventSink,
    idle_timeout: Duration,
    up: Option<oneshot::Sender<()>>,
) {
    let link = handle.link;
    let body_max = info.frame_len_max.saturating_sub(FRAME_OVERHEAD_MAX);
    if sink.send(LinkEvent::Up { link, info }).await.is_err() {
        return;
    }
    if let Some(up) = up {
        // Whoever dialled may have lost interest; the link stays.
        let _ = up.send(());
    }
    let End { path, window, outgoing, incoming } = end;
    let closing = outgoing.clone();
    let ended = async {
        tokio::select! {
            never = pump(handle, &path, &window, outgoing, sink) => match never {},
            reason = deliver(handle, body_max, incoming, cut.clone(), sink, idle_timeout) => reason,
            () = starve(cut.clone(), idle_timeout) => DownReason::TimedOut,
            () = sink.closed() => DownReason::Local,
        }
    };
    let mut ended = core::pin::pin!(ended);
    let (reason, said) = tokio::select! {
        reason = &mut ended => {
            let said = match &reason {
                DownReason::Protocol(error) => Some(error.to_string()),
                DownReason::Local => Some(String::new()),
                _ => None,
            };
            (reason, said)
        }
        ending = handle.ended() => {
            // The control lane is sealed and goes out at the link's pace, if the peer takes it.
            let linger = path.delay.saturating_add(Duration::from_millis(500));
            tokio::select! {
                _ = timeout(linger, handle.outbox.drained()) => {}
                _ = &mut ended => {}
            }
            (ending.to_node(), Some(ending.to_peer().to_owned()))
        }
    };
    if let Some(reason) = said {
        // An error means that the other end is gone already.
        let _ = closing.send(Flight::Close { due: Instant::now() + path.delay, reason });
    }
    handle.outbox.seal();
    // An error means that nobody wants to know.
    let _ = sink.send(LinkEvent::Down { link, reason }).await;
}

/// Takes frames off the queue at the link's pace. Control first, frame by frame.
async fn pump(
    handle: &Handle,
    path: &Path,
    window: &Arc<Semaphore>,
    outgoing: mpsc::UnboundedSender<Flight>,
    sink: &EventSink,
) -> core::convert::Infallible {
    let mut free_at = Instant::now();
    let mut taken = Vec::new();
    loop {
        let lane = LANES.into_iter().find(|lane| handle.outbox.try_take(*lane, 1, &mut taken));
        let (Some(lane), Some(frame)) = (lane, taken.pop()) else {
            handle.outbox.changed().await;
            continue;
        };
        let bytes = frame_len(&frame);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX).min(path.window.max(1));
        let Ok(permit) = Arc::clone(window).acquire_many_owned(permits).await else {
            return core::future::pending().await;
        };
        if let Some(rate) = path.rate {
            let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
            let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
            free_at = free_at.max(Instant::now()) + Duration::from_nanos(nanos);
            sleep_until(free_at).await;
        }
        let due = Instant::now() + path.delay;
        if outgoing.send(Flight::Frame { due, lane, frame, _window: permit }).is_err() {
            // The other end is gone. How this end learns of it is not the pump's business.
            return core::future::pending().await;
        }
        handle.outbox.sent(lane, bytes);
        if sink.send(LinkEvent::Sent { link: handle.link, lane, bytes }).await.is_err() {
            return core::future::pending().await;
        }
    }
}

/// Hands what arrives to the node until the link ends from the other side.
async fn deliver(
    handle: &Handle,
    body_max: u32,
    mut incoming: mpsc::UnboundedReceiver<Flight>,
    mut cut: watch::Receiver<bool>,
    sink: &EventSink,
    idle_timeout: Duration,
) -> DownReason {
    let mut readers = LANES.map(|lane| (lane, FrameReader::new(body_max), BytesMut::new()));
    let mut held = VecDeque::new();
    loop {
        let next = match held.pop_front() {
            Some(flight) => Some(flight),
            None => incoming.recv().await,
        };
        let Some(flight) = next else {
            // The other end vanished: silence, until the time is over.
            tokio::time::sleep(idle_timeout).await;
            return DownReason::TimedOut;
        };
        let due = match &flight {
            Flight::Frame { due, .. } | Flight::Close { due, .. } => *due,
        };
        sleep_until(due).await;
        // A closed channel means that the network is gone; then nothing is cut any more.
        let _ = cut.wait_for(|cut| !*cut).await;
        let (lane, mut batch) = match flight {
            Flight::Close { reason, .. } => return DownReason::Remote { reason },
            Flight::Frame { lane, frame, _window, .. } => (lane, vec![(frame, _window)]),
        };
        // What is due as well and belongs to the same lane goes along.
        while batch.len() < 32
            && let Ok(flight) = incoming.try_recv()
        {
            match flight {
                Flight::Frame { due, lane: same, frame, _window }
                    if same == lane && due <= Instant::now() =>
                {
                    batch.push((frame, _window));
                }
                other => {
                    held.push_back(other);
                    break;
                }
            }
        }
        let Some((_, reader, buffer)) = readers.iter_mut().find(|(at, ..)| *at == lane) else {
            continue;
        };
        let mut windows = Vec::with_capacity(batch.len());
        let mut frames: Vec<RawFrame> = Vec::with_capacity(batch.len());
        let mut broken = None;
        for (frame, window) in batch {
            windows.push(window);
            buffer.extend_from_slice(&frame.to_bytes());
            loop {
                match reader.next_frame(buffer) {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(error) => {
                        broken = Some(error);
                        break;
                    }
                }
            }
        }
        if !frames.is_empty() {
            let event = LinkEvent::Frames { link: handle.link, lane, frames };
            if sink.send(event).await.is_err() {
                return DownReason::Local;
            }
        }
        if let Some(error) = broken {
            return DownReason::Protocol(error);
        }
    }
}

/// Ends when the link was cut for as long as it can live without a word.
async fn starve(mut cut: watch::Receiver<bool>, idle_timeout: Duration) {
    loop {
        if cut.wait_for(|cut| *cut).await.is_err() {
            return core::future::pending().await;
        }
        if timeout(idle_timeout, cut.wait_for(|cut| !*cut)).await.is_err() {
            return;
        }
    }
}
