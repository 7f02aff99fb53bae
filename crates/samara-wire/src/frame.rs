//! Frames: what cuts a byte stream into messages.
//!
//! ```text
//! +--------+----------+--------------+------------------+
//! | kind v | length v | length bytes | CRC-32, 4 B (LE) |   v = varint; CRC-32 only where the
//! +--------+----------+--------------+------------------+   link does not detect corruption
//! ```
//!
//! ```
//! use bytes::BytesMut;
//! use samara_wire::{FRAME_BODY_MAX, FrameDecoder};
//!
//! let mut decoder = FrameDecoder::new(FRAME_BODY_MAX, false);
//! let mut buffer = BytesMut::from(&[0x04, 0x01][..]);
//! assert_eq!(decoder.decode(&mut buffer)?, None);
//! assert_eq!(decoder.need(), 1, "one byte of the body is missing");
//!
//! buffer.extend_from_slice(&[0x07]);
//! let frame = decoder.decode(&mut buffer)?.ok_or("a whole frame")?;
//! assert_eq!((frame.kind, &frame.body[..]), (0x04, &[0x07][..]));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use bytes::{Buf, Bytes, BytesMut};

use crate::{
    EncodeError, Encoded, FRAME_BODY_MAX, Field, FrameError,
    encoded::Writer,
    limits::{CRC_LEN, HEADER_LEN_MIN},
    varint::{self, Flaw},
};

/// One frame as it came off a link, its body not looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a pair; drivers build it")]
pub struct RawFrame {
    /// What the body is. Unknown even kinds are refused, unknown odd kinds skipped.
    pub kind: u64,
    /// The body, sharing memory with the buffer that it was cut from: keeping it keeps all of
    /// that buffer.
    pub body: Bytes,
}

impl RawFrame {
    /// The frame as bytes. For kinds that [`Message`](crate::Message) does not have.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] for a kind above [`varint::MAX`] or a body above [`FRAME_BODY_MAX`].
    pub fn encode(&self, crc: bool) -> Result<Encoded, EncodeError> {
        Writer::new(0, crc).finish(self.kind, self.body.clone(), crc)
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    kind: u64,
    /// Of the header itself. Unit: bytes.
    len: usize,
    /// Unit: bytes.
    body_len: usize,
}

/// Cuts frames off bytes without copying them.
///
/// One decoder belongs to one byte stream. It holds no bytes itself: they stay in the caller's
/// buffer until a frame is whole, so the caller's memory is bounded by [`need`](Self::need), which
/// never asks for more than one frame.
#[derive(Clone, Debug)]
pub struct FrameDecoder {
    body_max: u32,
    crc: bool,
    /// The header of the frame at the front of the buffer, once it is there.
    header: Option<Header>,
    /// Bytes missing for the next step.
    need: usize,
    /// The stream is beyond repair.
    failed: Option<FrameError>,
}

impl FrameDecoder {
    /// A decoder that refuses bodies above `body_max` bytes (and above [`FRAME_BODY_MAX`] in any
    /// case). `crc` says whether frames carry a CRC-32, which both sides know from the link.
    #[must_use]
    pub const fn new(body_max: u32, crc: bool) -> Self {
        let body_max = if body_max < FRAME_BODY_MAX { body_max } else { FRAME_BODY_MAX };
        Self { body_max, crc, header: None, need: HEADER_LEN_MIN, failed: None }
    }

    /// The largest body that this decoder takes. Unit: bytes.
    #[must_use]
    pub const fn body_max(&self) -> u32 {
        self.body_max
    }

    /// How many more bytes the current frame needs, at least one: until its header is there, what
    /// the header needs at least; then exactly what the frame needs. Unit: bytes.
    ///
    /// At most [`body_max`](Self::body_max) + [`FRAME_OVERHEAD_MAX`](crate::FRAME_OVERHEAD_MAX). A
    /// driver reserves this much before it reads on.
    #[must_use]
    pub const fn need(&self) -> usize {
        self.need
    }

    /// Splits the next whole frame off the front of `buffer`; `None` until more bytes are there.
    /// Incomplete frames stay in the buffer, which must not be changed at its front between calls.
    ///
    /// # Errors
    ///
    /// [`FrameError`] if the bytes are not a frame: close the link. Every later call returns the
    /// same error.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<RawFrame>, FrameError> {
        //= rfcs/0003-encoding.md#enc-19
        //# After a framing error on a byte stream, a receiver MUST NOT decode any further frame of
        //# that stream.
        if let Some(error) = self.failed {
            return Err(error);
        }
        let whole = match self.whole_len(buffer) {
            Ok(whole) => whole,
            Err(error) => return self.fail(error),
        };
        let Some((header, len)) = whole else {
            return Ok(None);
        };
        self.header = None;
        self.need = HEADER_LEN_MIN;
        match self.open(header, buffer.split_to(len).freeze()) {
            Ok(frame) => Ok(Some(frame)),
            Err(error) => self.fail(error),
        }
    }

    /// Takes the first frame out of one datagram; returns it and what follows it. Independent of
    /// [`decode`](Self::decode): a bad datagram spoils nothing.
    ///
    /// # Errors
    ///
    /// [`FrameError`] if the datagram does not start with a whole frame: drop the datagram.
    pub fn decode_one(&self, datagram: Bytes) -> Result<(RawFrame, Bytes), FrameError> {
        //= rfcs/0003-encoding.md#enc-16
        //# A receiver of datagrams MUST drop a datagram from the first byte that is not part of a
        //# whole valid frame.
        let mut decoder = Self::new(self.body_max, self.crc);
        let mut datagram = datagram;
        let Some((header, len)) = decoder.whole_len(&datagram)? else {
            let missing = u32::try_from(decoder.need).unwrap_or(u32::MAX);
            return Err(FrameError::Truncated { missing });
        };
        let frame = self.open(header, datagram.split_to(len))?;
        Ok((frame, datagram))
    }

    fn fail<T>(&mut self, error: FrameError) -> Result<T, FrameError> {
        self.failed = Some(error);
        Err(error)
    }

    /// The header and the length of the frame at the front of `bytes`, if it is whole; else sets
    /// what it needs.
    fn whole_len(&mut self, bytes: &[u8]) -> Result<Option<(Header, usize)>, FrameError> {
        let header = match self.header {
            Some(header) => header,
            None => match parse_header(bytes, self.body_max) {
                Ok(header) => header,
                Err(NoHeader::Short(missing)) => {
                    self.need = missing;
                    return Ok(None);
                }
                Err(NoHeader::Wrong(error)) => return Err(error),
            },
        };
        let len = header.len + header.body_len + if self.crc { CRC_LEN } else { 0 };
        if bytes.len() < len {
            self.header = Some(header);
            self.need = len - bytes.len();
            return Ok(None);
        }
        Ok(Some((header, len)))
    }

    /// Checks and removes what is around the body of a whole frame.
    fn open(&self, header: Header, mut frame: Bytes) -> Result<RawFrame, FrameError> {
        let end = header.len + header.body_len;
        if self.crc {
            // The frame is whole, so these are exactly four bytes.
            let found = frame.split_off(end).get_u32_le();
            let computed = crc32fast::hash(&frame);
            //= rfcs/0003-encoding.md#enc-18
            //# A receiver MUST discard a frame whose CRC-32 does not fit its bytes.
            if computed != found {
                let offset = u32::try_from(end).unwrap_or(u32::MAX);
                return Err(FrameError::Checksum { offset, computed, found });
            }
        }
        frame.advance(header.len);
        Ok(RawFrame { kind: header.kind, body: frame })
    }
}

/// Why there is no header at the front of a stream.
#[derive(Debug)]
enum NoHeader {
    /// At least this many more bytes are needed.
    Short(usize),
    Wrong(FrameError),
}

fn parse_header(input: &[u8], body_max: u32) -> Result<Header, NoHeader> {
    let (kind, rest) = header_varint(input, Field::Kind, 0)?;
    let offset = u32::try_from(input.len() - rest.len()).unwrap_or(u32::MAX);
    let (found, rest) = header_varint(rest, Field::Length, offset)?;
    //= rfcs/0003-encoding.md#enc-15
    //# A receiver MUST refuse a frame whose body is longer than its limit, before it waits for or
    //# stores any byte of the body.
    if found > u64::from(body_max) {
        return Err(NoHeader::Wrong(FrameError::BodyTooLong { offset, found, max: body_max }));
    }
    let body_len = usize::try_from(found).unwrap_or(usize::MAX);
    Ok(Header { kind, len: input.len() - rest.len(), body_len })
}

/// A varint of a header, which starts at `offset` of the frame.
fn header_varint(input: &[u8], field: Field, offset: u32) -> Result<(u64, &[u8]), NoHeader> {
    varint::split(input).map_err(|flaw| match flaw {
        Flaw::Short(missing) => NoHeader::Short(missing),
        Flaw::NotMinimal => NoHeader::Wrong(FrameError::NotMinimal { offset, field }),
    })
}

#[cfg(test)]
mod tests;
