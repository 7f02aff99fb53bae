//! Moves frames between a lane's queue and its stream, in both directions.

use core::mem;
use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use iroh::endpoint::{RecvStream, SendStream, WriteError};
use samara_mesh::link::{Encoded, FrameError, FrameReader, Lane, LinkEvent, RawFrame};
use tokio::io::AsyncReadExt;

use crate::{
    events::EventSink,
    links::{Handle, frame_len},
};

/// Frames that a writer takes in hand at once. Unit: bytes. The last one may exceed it.
const WRITE_BATCH: u64 = 256 << 10;

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
    Broken(String),
    /// Nobody takes events.
    NodeGone,
}

/// Writes what is queued until the queue is sealed and empty, then ends the stream and waits until
/// the peer has all of it.
pub(super) async fn write(
    lane: Lane,
    mut stream: SendStream,
    handle: &Handle,
    sink: &EventSink,
) -> Stop {
    let mut frames: Vec<Encoded> = Vec::new();
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut lengths: VecDeque<u64> = VecDeque::new();
    while handle.outbox.take(lane, WRITE_BATCH, &mut frames).await {
        lengths.extend(frames.iter().map(frame_len));
        pieces.extend(
            frames.drain(..).flat_map(Encoded::into_parts).filter(|piece| !piece.is_empty()),
        );
        let mut rest = pieces.as_mut_slice();
        let mut written = 0;
        while !rest.is_empty() {
            let count = match stream.write_many_chunks(&mut rest).await {
                Ok(count) => count,
                Err(WriteError::Stopped(_code)) => return Stop::Broken("lane stopped".to_owned()),
                Err(error) => return Stop::Broken(error.to_string()),
            };
            written += u64::try_from(count).unwrap_or(u64::MAX);
            // Whole frames are reported, so that the node counts in what it sent.
            let mut bytes = 0;
            while let Some(length) = lengths.front()
                && *length <= written
            {
                bytes += *length;
                written -= *length;
                lengths.pop_front();
            }
            if bytes > 0 {
                handle.outbox.sent(lane, bytes);
                let sent = LinkEvent::Sent { link: handle.link, lane, bytes };
                if sink.send(sent).await.is_err() {
                    return Stop::NodeGone;
                }
            }
        }
        pieces.clear();
    }
    if stream.finish().is_ok() {
        // Whatever it says, there is nothing left to do for this lane.
        let _ = stream.stopped().await;
    }
    Stop::Done
}

/// Reads frames and reports them until the stream ends or breaks.
///
/// Each payload byte is moved once, from the engine's packet to its frame's place; frames are
/// slices of that place. A large frame has a buffer to itself, small frames share one.
pub(super) async fn read(
    lane: Lane,
    mut stream: RecvStream,
    frame_len_max: u32,
    handle: &Handle,
    sink: &EventSink,
) -> Stop {
    let mut reader = FrameReader::new(body_max(frame_len_max));
    let mut buffer = BytesMut::new();
    let mut pool = Pool::default();
    let mut batch: Vec<RawFrame> = Vec::new();
    // Whether the frame before was large, so that the next one is expected to be.
    let mut large = false;
    loop {
        let need = reader.need();
        let limit = if need > LARGE {
            large = true;
            pool.make_room(&mut buffer, need, need);
            need
        } else if mem::take(&mut large) {
            pool.make_room(&mut buffer, need.max(PEEK), PEEK);
            need.max(PEEK)
        } else {
            pool.make_room(&mut buffer, need, SMALL_BUFFER);
            buffer.capacity() - buffer.len()
        };
        match stream.read_buf(&mut (&mut buffer).limit(limit)).await {
            Ok(0) => return Stop::Done,
            Ok(_count) => {}
            Err(error) => return Stop::Broken(error.to_string()),
        }
        let mut bytes = 0;
        loop {
            let next = reader.next_frame(&mut buffer);
            let whole = matches!(next, Ok(Some(_)));
            let failure = match next {
                Ok(Some(frame)) => {
                    bytes += frame.body.len();
                    batch.push(frame);
                    None
                }
                Ok(None) => None,
                Err(error) => Some(error),
            };
            let full = bytes >= READ_BATCH || batch.len() >= READ_BATCH_FRAMES;
            if (!whole || full) && !batch.is_empty() {
                let frames = mem::take(&mut batch);
                bytes = 0;
                let event = LinkEvent::Frames { link: handle.link, lane, frames };
                if sink.send(event).await.is_err() {
                    return Stop::NodeGone;
                }
            }
            if let Some(error) = failure {
                return Stop::Protocol(error);
            }
            if !whole {
                break;
            }
        }
    }
}

/// What a frame may have beside its body. Unit: bytes.
const OVERHEAD: u32 = 16;

fn body_max(frame_len_max: u32) -> u32 {
    frame_len_max.saturating_sub(OVERHEAD)
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
