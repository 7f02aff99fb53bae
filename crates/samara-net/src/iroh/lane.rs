//! Moves frames between a lane's queue and its streams, in both directions.
//!
//! The bulk lane is striped: frame *n* travels whole on stream *n* modulo the number of stripes, and
//! the receiver takes them in the same turn, so order needs no numbers. Why stripes at all: see
//! [`super::Tuning::stream_receive_window`].

use core::{mem, pin::pin, task::Poll, time::Duration};
use std::{
    collections::VecDeque,
    io::{self, ErrorKind, IoSlice},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use iroh::endpoint::{ReadExactError, RecvStream, SendStream, WriteError};
use samara_mesh::link::{
    Encoded, FRAME_OVERHEAD_MAX, FrameError, FrameReader, Lane, LinkEvent, RawFrame,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use super::tcp::{OFFER_LEN, Reading, Writing};
use crate::{
    events::{CONTROL_SHARE, EventLimits, EventSink, events},
    links::{Handle, frame_len},
};

/// Frames that a writer takes in hand at once: small ones up to this, or a single larger one. Unit:
/// bytes. Far below the smallest window of a stripe, since a writer fills one stripe before the
/// next and the reader waits for them in turn.
const WRITE_BATCH: u64 = 64 << 10;

/// The same on TCP, which has no windows of its own above the system's. Unit: bytes.
const WRITE_BATCH_TCP: u64 = 256 << 10;

/// A TCP connection that carried the lane for so long is not the way's fault when it ends.
const TCP_PROVEN: Duration = Duration::from_secs(3);

/// How long the QUIC connection has to tell why the TCP connection ended.
const TCP_GRACE: Duration = Duration::from_secs(1);

/// Frames that a reader reports at once. Unit: bytes. The last one may exceed it.
const READ_BATCH: usize = 256 << 10;

/// Frames that a reader reports at once. Unit: frames.
const READ_BATCH_FRAMES: usize = 512;

/// A frame of which more than this is missing gets a buffer of exactly its size.
const LARGE: usize = 16 << 10;

/// Buffer for small frames. Unit: bytes. One read takes as many as have come.
const SMALL_BUFFER: usize = 32 << 10;

/// Read after a large frame, to learn how long the next one is. Unit: bytes. What it brings of the
/// next frame's body is moved once.
const PEEK: usize = 64;

/// What the control lane's reader takes off its stream while the node takes nothing. A peer that
/// keeps to the limits of a session has no more to say than that. Unit: bytes.
const CONTROL_AHEAD: u32 = 2 << 20;

/// The same. Unit: reports, each of at least one frame.
const CONTROL_AHEAD_EVENTS: usize = 16 << 10;

/// Emptied buffers that are kept in case the node has let go of their frames.
const POOL: usize = 8;

/// Why a reader or writer stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// The lane ended in good order; the connection tells why.
    Done,
    /// What came is not a frame.
    Protocol(FrameError),
    /// The stream is gone, and mostly the connection with it.
    Broken(io::Error),
    /// The bulk lane's TCP connection ended, and the QUIC connection did not soon after.
    TcpEnded {
        reason: String,
        /// Whether another connection would fare no better, as far as can be told.
        again: bool,
    },
    /// Nobody takes events.
    NodeGone,
}

/// Writes what is queued until the queue is sealed and empty, then ends the streams and waits until
/// the peer has all of it. Goes over to the TCP connection that comes by `over`, if one does, and
/// gives it up when it takes nothing for so long.
pub(super) async fn write(
    lane: Lane,
    mut stripes: Vec<SendStream>,
    mut over: Option<(oneshot::Receiver<Writing>, Duration)>,
    mut passed: impl FnMut(u64),
    handle: &Handle,
    sink: &EventSink,
) -> Stop {
    let count = stripes.len().max(1);
    //= rfcs/0001-architecture.md#link-5
    //# A driver of an ordered link MUST deliver the frames of one lane in the order in
    //# which they were sent.
    let mut turn = 0;
    let mut frames: Vec<Encoded> = Vec::new();
    let mut pieces: Vec<Vec<Bytes>> = vec![Vec::new(); count];
    while handle.outbox.take(lane, WRITE_BATCH, &mut frames).await {
        //= rfcs/0001-architecture.md#link-9
        //# A side that goes over to TCP MUST end its direction of the four bulk streams behind its last
        //# frame there, and carry every later bulk frame on the TCP connection.
        if let Some((over, patience)) = &mut over
            && let Ok(tcp) = over.try_recv()
        {
            finish(&mut stripes);
            return write_tcp(tcp, *patience, frames, handle, sink).await;
        }
        let bytes = frames.iter().map(frame_len).sum();
        passed(bytes);
        //= rfcs/0001-architecture.md#link-8
        //# A driver over QUIC MUST carry bulk frame n of a direction on the stream whose first byte is 1 + n modulo 4.
        for frame in frames.drain(..) {
            let parts = frame.into_parts().into_iter().filter(|piece| !piece.is_empty());
            pieces[turn].extend(parts);
            turn = (turn + 1) % count;
        }
        for (stream, pieces) in stripes.iter_mut().zip(&mut pieces) {
            if pieces.is_empty() {
                continue;
            }
            let write = stream.write_all_chunks(pieces);
            let written = match lane {
                Lane::Control => write.await,
                Lane::Bulk => handle.outbox.after_control(write).await,
            };
            match written {
                Ok(()) => pieces.clear(),
                Err(WriteError::Stopped(_code)) => {
                    return Stop::Broken(io::Error::other("lane stopped"));
                }
                Err(error) => return Stop::Broken(error.into()),
            }
        }
        //= rfcs/0001-architecture.md#link-6
        //# A driver MUST report each byte of a frame as `Sent` once, when the carrier has
        //# taken it and not before.
        handle.outbox.sent(lane, bytes);
        if sink.send(LinkEvent::Sent { link: handle.link, lane, bytes }).await.is_err() {
            return Stop::NodeGone;
        }
    }
    finish(&mut stripes);
    for stream in &mut stripes {
        let _ = stream.stopped().await;
    }
    Stop::Done
}

fn finish(stripes: &mut [SendStream]) {
    for stream in stripes {
        // Whatever it says, there is nothing left to do for this stream.
        let _ = stream.finish();
    }
}

/// Writes `frames` and whatever is queued after them, until the queue is sealed and empty. Ends when
/// the system takes nothing for longer than `patience`, which it may do for minutes by itself.
async fn write_tcp(
    mut to: Writing,
    patience: Duration,
    mut frames: Vec<Encoded>,
    handle: &Handle,
    sink: &EventSink,
) -> Stop {
    let mut pieces = Pieces::default();
    let began = Instant::now();
    loop {
        let bytes = frames.iter().map(frame_len).sum();
        let parts = frames.drain(..).flat_map(Encoded::into_parts);
        pieces.0.extend(parts.filter(|piece| !piece.is_empty()));
        let written = async {
            while pieces.has_remaining() {
                timeout(patience, to.write_buf(&mut pieces)).await??;
            }
            timeout(patience, to.flush()).await?
        };
        if let Err(error) = written.await {
            return tcp_ended(&error, began).await;
        }
        handle.outbox.sent(Lane::Bulk, bytes);
        let sent = LinkEvent::Sent { link: handle.link, lane: Lane::Bulk, bytes };
        if sink.send(sent).await.is_err() {
            return Stop::NodeGone;
        }
        if !handle.outbox.take(Lane::Bulk, WRITE_BATCH_TCP, &mut frames).await {
            // Not ended here: the link ends by its control lane.
            return Stop::Done;
        }
    }
}

/// A peer that ends the link ends both connections, and the QUIC connection tells why. It may be
/// the later one; who waits for that is not here any more when it comes.
///
/// A connection that the peer's system ends after a while is what a killed process leaves. One that
/// takes nothing, or ends as soon as it is used, will do so again.
async fn tcp_ended(error: &io::Error, began: Instant) -> Stop {
    let again = error.kind() == ErrorKind::TimedOut || began.elapsed() < TCP_PROVEN;
    sleep(TCP_GRACE).await;
    Stop::TcpEnded { reason: error.to_string(), again }
}

/// Parts of frames to be written, none of them empty.
#[derive(Debug, Default)]
struct Pieces(VecDeque<Bytes>);

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn has_remaining(&self) -> bool {
        !self.0.is_empty()
    }

    fn chunk(&self) -> &[u8] {
        self.0.front().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, to: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, piece) in to.iter_mut().zip(&self.0) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(first) = self.0.front_mut() {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.0.pop_front();
        }
    }
}

/// One stream and the bytes that came on it.
struct Stripe<R> {
    stream: R,
    reader: FrameReader,
    buffer: BytesMut,
    /// Whether the frame before was large, so that the next one is expected to be.
    large: bool,
}

//= rfcs/0001-architecture.md#link-4
//# A driver of a reliable link MUST deliver each frame whole, once, and on the lane on
//# which the peer sent it.
/// Reads frames and reports them until the streams end or one breaks.
///
/// Each payload byte is moved once, from the engine's packet to its frame's place; frames are
/// slices of that place. A large frame has a buffer to itself, small frames share one. `arrived`
/// learns of the bytes of each read.
async fn read<R: AsyncRead + Unpin>(
    lane: Lane,
    streams: Vec<R>,
    frame_len_max: u32,
    mut arrived: impl FnMut(u64),
    handle: &Handle,
    sink: &EventSink,
) -> Stop {
    //= rfcs/0001-architecture.md#link-7
    //# A driver MUST close a link whose peer sends what is not a frame or a frame above
    //# `frame_len_max`, without buffering more than `frame_len_max` bytes of it.
    let body_max = frame_len_max.saturating_sub(FRAME_OVERHEAD_MAX);
    let mut stripes: Vec<Stripe<R>> = streams
        .into_iter()
        .map(|stream| Stripe {
            stream,
            reader: FrameReader::new(body_max),
            buffer: BytesMut::new(),
            large: false,
        })
        .collect();
    let count = stripes.len().max(1);
    let mut turn = 0;
    let mut pool = Pool::default();
    let mut batch = Batch::default();
    loop {
        let Some(stripe) = stripes.get_mut(turn) else { return Stop::Done };
        match stripe.reader.next_frame(&mut stripe.buffer) {
            Ok(Some(frame)) => {
                batch.push(frame);
                turn = (turn + 1) % count;
                if batch.is_full() && !batch.report(lane, handle, sink).await {
                    return Stop::NodeGone;
                }
                continue;
            }
            Ok(None) => {}
            Err(error) => {
                // What came before it was in order.
                return if batch.report(lane, handle, sink).await {
                    Stop::Protocol(error)
                } else {
                    Stop::NodeGone
                };
            }
        }
        let Stripe { stream, reader, buffer, large } = stripe;
        let need = reader.need();
        let limit = if need > LARGE {
            *large = true;
            pool.make_room(buffer, need, need);
            need
        } else if mem::take(large) {
            pool.make_room(buffer, need.max(PEEK), PEEK);
            need.max(PEEK)
        } else {
            pool.make_room(buffer, need, SMALL_BUFFER);
            buffer.capacity() - buffer.len()
        };
        let mut room = (&mut *buffer).limit(limit);
        let mut read = pin!(stream.read_buf(&mut room));
        let read = match futures::poll!(read.as_mut()) {
            Poll::Ready(read) => read,
            Poll::Pending => {
                // Nothing more for now: report what there is before waiting.
                if !batch.report(lane, handle, sink).await {
                    return Stop::NodeGone;
                }
                read.await
            }
        };
        match read {
            Ok(0) => {
                return if batch.report(lane, handle, sink).await {
                    ended(&mut stripes).await
                } else {
                    Stop::NodeGone
                };
            }
            Ok(bytes) => arrived(u64::try_from(bytes).unwrap_or(u64::MAX)),
            Err(error) => return Stop::Broken(error),
        }
    }
}

/// After the stream whose turn it is, all of them must be at their ends, and none within a frame.
async fn ended<R: AsyncRead + Unpin>(stripes: &mut [Stripe<R>]) -> Stop {
    for Stripe { stream, buffer, .. } in stripes {
        match stream.read_u8().await {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof && buffer.is_empty() => {}
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => {
                return Stop::Broken(error);
            }
            Ok(_) | Err(_) => {
                let reason = "the lane ended in the middle of its frames";
                return Stop::Broken(io::Error::new(ErrorKind::InvalidData, reason));
            }
        }
    }
    Stop::Done
}

/// Reads the bulk lane: its four streams and then the TCP connection that comes by `over`.
/// `arrived` learns of the bytes of each read from the streams.
pub(super) async fn read_bulk(
    streams: Vec<RecvStream>,
    over: oneshot::Receiver<Reading>,
    frame_len_max: u32,
    arrived: impl FnMut(u64),
    handle: &Handle,
    sink: &EventSink,
) -> Stop {
    //= rfcs/0001-architecture.md#link-10
    //# A driver MUST take the bulk frames of all four streams to their ends before it takes the
    //# first frame of the TCP connection.
    match read(Lane::Bulk, streams, frame_len_max, arrived, handle, sink).await {
        Stop::Done => {}
        stop => return stop,
    }
    // Without one, the peer is about to end the link.
    let Ok(tcp) = over.await else { return Stop::Done };
    let began = Instant::now();
    match read(Lane::Bulk, vec![tcp], frame_len_max, |_bytes| (), handle, sink).await {
        Stop::Done => {
            tcp_ended(&io::Error::other("the peer ended its TCP connection"), began).await
        }
        Stop::Broken(error) => tcp_ended(&error, began).await,
        stop => stop,
    }
}

/// Reads the control lane, and goes on reading for a while when the node is slow.
///
/// What is not read stays in the engine (noq-proto 1.4) packet by packet, and it ends the
/// *connection* when more than 2048 packets of one stream wait. A few hundred kilobytes of small
/// frames, each in a packet of its own, are enough for that. The bulk lane is safe without this: its
/// packets are full, or bounded in number by the wants of a session.
///
/// The side that dialled takes the peer's offer first and tells it by `offer`.
pub(super) async fn read_control(
    mut streams: Vec<RecvStream>,
    offer: Option<oneshot::Sender<[u8; OFFER_LEN]>>,
    frame_len_max: u32,
    handle: &Handle,
    sink: &EventSink,
) -> Stop {
    if let (Some(offer), Some(stream)) = (offer, streams.first_mut()) {
        let mut bytes = [0; OFFER_LEN];
        match stream.read_exact(&mut bytes).await {
            // An error means that nobody wants to know.
            Ok(()) => drop(offer.send(bytes)),
            Err(ReadExactError::FinishedEarly(_)) => return Stop::Done,
            Err(error) => return Stop::Broken(io::Error::other(error)),
        }
    }
    let (ahead, mut waiting) = events(EventLimits {
        events: CONTROL_AHEAD_EVENTS,
        frame_bytes: CONTROL_AHEAD * CONTROL_SHARE,
    });
    let reading = async move {
        // Dropped at the end, which ends the other half.
        let ahead = ahead;
        read(Lane::Control, streams, frame_len_max, |_bytes| (), handle, &ahead).await
    };
    let passing_on = async move {
        while let Some(event) = waiting.recv().await {
            if sink.send(event).await.is_err() {
                return false;
            }
        }
        true
    };
    match futures::join!(reading, passing_on) {
        (stop, true) => stop,
        (_, false) => Stop::NodeGone,
    }
}

/// Frames to be reported together.
#[derive(Default)]
struct Batch {
    frames: Vec<RawFrame>,
    bytes: usize,
}

impl Batch {
    fn push(&mut self, frame: RawFrame) {
        self.bytes += frame.body.len();
        self.frames.push(frame);
    }

    const fn is_full(&self) -> bool {
        self.bytes >= READ_BATCH || self.frames.len() >= READ_BATCH_FRAMES
    }

    /// `false` if nobody takes events any more.
    async fn report(&mut self, lane: Lane, handle: &Handle, sink: &EventSink) -> bool {
        if self.frames.is_empty() {
            return true;
        }
        let Self { frames, .. } = mem::take(self);
        sink.send(LinkEvent::Frames { link: handle.link, lane, frames }).await.is_ok()
    }
}

/// Buffers whose frames the node may have let go of. A buffer that nobody else holds is used
/// again, which spares the allocator and the page faults of fresh memory.
#[derive(Debug, Default)]
struct Pool {
    emptied: VecDeque<BytesMut>,
}

impl Pool {
    /// Makes room for `need` more bytes behind what is in `buffer`; a new buffer has at least
    /// `size` bytes.
    fn make_room(&mut self, buffer: &mut BytesMut, need: usize, size: usize) {
        if buffer.capacity() - buffer.len() >= need {
            return;
        }
        let want = (buffer.len() + need).max(size);
        let reusable = self.emptied.iter_mut().position(|old| old.try_reclaim(want));
        let mut fresh = reusable
            .and_then(|at| self.emptied.remove(at))
            .unwrap_or_else(|| BytesMut::with_capacity(want));
        fresh.put_slice(buffer);
        buffer.clear();
        let old = mem::replace(buffer, fresh);
        if self.emptied.len() == POOL {
            self.emptied.pop_front();
        }
        self.emptied.push_back(old);
    }
}
