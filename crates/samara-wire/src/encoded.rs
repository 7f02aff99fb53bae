//! Frames on their way out.

use alloc::vec::Vec;

use bytes::{Buf, BufMut, Bytes};

use crate::{
    EncodeError, FRAME_BODY_MAX, Field,
    limits::{CRC_LEN, HEADER_LEN_MAX},
    varint,
};

/// One whole frame as up to three pieces, so that the payload of a DATA message is never copied.
///
/// The pieces follow each other on the wire without a gap: `head`, `body`, `tail`. It knows
/// nothing of lanes or links. As a [`Buf`] it feeds vectored writes, and
/// [`into_parts`](Self::into_parts) suits carriers that take a list of [`Bytes`].
///
/// ```
/// use samara_wire::{Message, Ping};
///
/// let frame = Message::from(Ping { token: 7 }).encode(false)?;
/// assert_eq!(frame.to_bytes()[..], [0x04, 0x01, 0x07]);
/// # Ok::<(), samara_wire::EncodeError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    head: Bytes,
    body: Bytes,
    tail: Bytes,
}

impl Encoded {
    /// The header and everything before the payload.
    #[must_use]
    pub const fn head(&self) -> &Bytes {
        &self.head
    }

    /// The payload, shared with the message. Empty for all messages but DATA.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// The CRC-32 after a payload. Empty if there is no payload or no CRC-32.
    #[must_use]
    pub const fn tail(&self) -> &Bytes {
        &self.tail
    }

    /// The pieces in the order of the wire, for writes that take a list.
    #[must_use]
    pub fn into_parts(self) -> [Bytes; 3] {
        [self.head, self.body, self.tail]
    }

    /// Length of the frame, or of what a [`Buf`] user has left of it. Unit: bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.head.len() + self.body.len() + self.tail.len()
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The frame in one piece. Copies unless the head is all of it.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        if self.body.is_empty() && self.tail.is_empty() {
            return self.head.clone();
        }
        let mut all = Vec::with_capacity(self.len());
        all.extend_from_slice(&self.head);
        all.extend_from_slice(&self.body);
        all.extend_from_slice(&self.tail);
        all.into()
    }
}

impl Buf for Encoded {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        [&self.head, &self.body, &self.tail]
            .into_iter()
            .find(|piece| !piece.is_empty())
            .map_or(&[], |piece| piece.as_ref())
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len(), "cannot advance past the end of the frame");
        for piece in [&mut self.head, &mut self.body, &mut self.tail] {
            let step = count.min(piece.len());
            piece.advance(step);
            count -= step;
        }
    }

    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, dst: &mut [std::io::IoSlice<'a>]) -> usize {
        let pieces = [&self.head, &self.body, &self.tail].into_iter().filter(|p| !p.is_empty());
        dst.iter_mut().zip(pieces).map(|(slot, piece)| *slot = std::io::IoSlice::new(piece)).count()
    }
}

/// Bytes kept free in front of a body for the header.
const ROOM: usize = HEADER_LEN_MAX;

/// Builds a frame from its body's fields.
#[derive(Debug)]
pub(crate) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// A writer that need not grow for a body of `hint` bytes.
    pub(crate) fn new(hint: usize, crc: bool) -> Self {
        let mut out = Vec::with_capacity(ROOM + hint + if crc { CRC_LEN } else { 0 });
        out.put_bytes(0, ROOM);
        Self { out }
    }

    /// Where fields without a check of their own are appended.
    pub(crate) const fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Appends a varint.
    #[inline]
    pub(crate) fn varint(&mut self, field: Field, value: u64) -> Result<(), EncodeError> {
        let bytes = varint::Bytes::new(value).ok_or(EncodeError::TooLarge {
            field,
            found: value,
            max: varint::MAX,
        })?;
        self.out.extend_from_slice(bytes.as_slice());
        Ok(())
    }

    /// Appends a TLV whose value is a varint.
    pub(crate) fn tlv_varint(
        &mut self,
        tlv_type: u64,
        field: Field,
        value: u64,
    ) -> Result<(), EncodeError> {
        let bytes = varint::Bytes::new(value).ok_or(EncodeError::TooLarge {
            field,
            found: value,
            max: varint::MAX,
        })?;
        crate::tlv::put(tlv_type, bytes.as_slice(), field, &mut self.out)
    }

    /// Puts the header in front and the CRC-32 behind. `payload` is the end of the body.
    pub(crate) fn finish(
        mut self,
        kind: u64,
        payload: Bytes,
        crc: bool,
    ) -> Result<Encoded, EncodeError> {
        let body_len = (self.out.len() - ROOM + payload.len()) as u64;
        let max = u64::from(FRAME_BODY_MAX);
        if body_len > max {
            return Err(EncodeError::TooLarge { field: Field::Body, found: body_len, max });
        }
        let (Some(kind_bytes), Some(len_bytes)) =
            (varint::Bytes::new(kind), varint::Bytes::new(body_len))
        else {
            let max = varint::MAX;
            return Err(EncodeError::TooLarge { field: Field::Kind, found: kind, max });
        };
        // Right-aligned in the room, so that header and fields are one piece.
        let start = ROOM - kind_bytes.as_slice().len() - len_bytes.as_slice().len();
        let header = kind_bytes.as_slice().iter().chain(len_bytes.as_slice());
        for (slot, byte) in self.out.iter_mut().skip(start).zip(header) {
            *slot = *byte;
        }
        let mut tail = Bytes::new();
        //= rfcs/0003-encoding.md#enc-17
        //# A sender MUST append the CRC-32 to every frame on a link that does not detect
        //# corruption itself, and to no frame on a link that does.
        if crc {
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(self.out.get(start..).unwrap_or_default());
            hasher.update(&payload);
            let sum = hasher.finalize().to_le_bytes();
            if payload.is_empty() {
                self.out.extend_from_slice(&sum);
            } else {
                tail = Bytes::copy_from_slice(&sum);
            }
        }
        let mut head = Bytes::from(self.out);
        head.advance(start);
        Ok(Encoded { head, body: payload, tail })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::{Data, Message, Ping};
    use std::{vec, vec::Vec};

    fn data(crc: bool) -> Encoded {
        let payload = Bytes::from_static(&[0xaa; 5]);
        let proof = Bytes::from_static(&[0xbb; 64]);
        Message::from(Data { want: 1, first: 2, proof, data: payload }).encode(crc).unwrap()
    }

    #[test]
    fn the_payload_of_data_is_shared_not_copied() {
        let payload = Bytes::from(vec![7; 1024]);
        let at = payload.as_ptr();
        let message = Data { want: 1, first: 0, proof: Bytes::new(), data: payload };
        let frame = Message::from(message).encode(true).unwrap();
        assert_eq!(frame.body().as_ptr(), at);
        assert_eq!(frame.tail().len(), 4);
    }

    #[test]
    fn other_messages_are_one_piece_with_and_without_crc() {
        for crc in [false, true] {
            let frame = Message::from(Ping { token: 1 }).encode(crc).unwrap();
            assert!(frame.body().is_empty() && frame.tail().is_empty());
            assert_eq!(frame.len(), if crc { 7 } else { 3 });
        }
    }

    #[test]
    fn reading_it_as_a_buffer_gives_the_same_bytes_at_any_step() {
        let frame = data(true);
        for step in 1..=frame.len() {
            let (mut left, mut bytes) = (frame.clone(), Vec::new());
            while left.has_remaining() {
                let take = step.min(left.chunk().len());
                bytes.extend_from_slice(&left.chunk()[..take]);
                left.advance(take);
            }
            assert_eq!(bytes, frame.to_bytes());
            assert!(left.is_empty() && !frame.is_empty());
        }
        let parts = frame.clone().into_parts();
        assert_eq!([frame.head(), frame.body(), frame.tail()], [&parts[0], &parts[1], &parts[2]]);
        assert_eq!(parts.concat(), frame.to_bytes());
    }

    #[test]
    #[should_panic(expected = "past the end of the frame")]
    fn a_frame_ends_where_it_ends() {
        let mut frame = data(true);
        frame.advance(frame.len() + 1);
    }

    #[cfg(feature = "std")]
    #[test]
    fn vectored_writes_skip_empty_pieces() {
        let (with_crc, without) = (data(true), data(false));
        let mut slices = [std::io::IoSlice::new(&[]); 4];
        assert_eq!(with_crc.chunks_vectored(&mut slices), 3);
        let pieces: Vec<&[u8]> = slices[..3].iter().map(|slice| &**slice).collect();
        assert_eq!(pieces.concat(), with_crc.to_bytes());
        assert_eq!(without.chunks_vectored(&mut slices), 2);
        assert_eq!(with_crc.chunks_vectored(&mut slices[..1]), 1);
    }
}
