//! Content-defined chunking, pushed.

use std::vec::Vec;

use fastcdc::v2020::{self, Normalization};
use samara_base::ChunkId;

use crate::limits::profile;

/// How large chunks are: a profile of RFC 0004.
///
/// Two peers share chunks only when they cut with the same profile, so there are few of them, and
/// a profile never changes its meaning.
///
/// | profile | code | minimum | average | maximum |
/// | --- | --- | --- | --- | --- |
/// | [`Kib16`](Self::Kib16) | 14 | 4 KiB | 16 KiB | 64 KiB |
/// | [`Kib32`](Self::Kib32) | 15 | 8 KiB | 32 KiB | 128 KiB |
/// | [`Kib64`](Self::Kib64) | 16 | 16 KiB | 64 KiB | 256 KiB |
/// | [`Kib256`](Self::Kib256) | 18 | 64 KiB | 256 KiB | 1 MiB |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ChunkerParams {
    /// 16 KiB: most found again, most chunks.
    Kib16,
    /// 32 KiB.
    Kib32,
    /// 64 KiB, the default.
    #[default]
    Kib64,
    /// 256 KiB, for very large blobs.
    Kib256,
}

impl ChunkerParams {
    /// All profiles, smallest chunks first.
    pub const ALL: [Self; 4] = [Self::Kib16, Self::Kib32, Self::Kib64, Self::Kib256];

    /// The profile's number: the base-2 logarithm of the average.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Kib16 => profile::KIB16,
            Self::Kib32 => profile::KIB32,
            Self::Kib64 => profile::KIB64,
            Self::Kib256 => profile::KIB256,
        }
    }

    /// The profile with this number, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            profile::KIB16 => Some(Self::Kib16),
            profile::KIB32 => Some(Self::Kib32),
            profile::KIB64 => Some(Self::Kib64),
            profile::KIB256 => Some(Self::Kib256),
            _ => None,
        }
    }

    /// The size that chunks tend to. Unit: bytes.
    #[must_use]
    pub const fn avg_bytes(self) -> usize {
        1 << self.code()
    }

    /// No chunk but the last of a blob is shorter. Unit: bytes.
    #[must_use]
    pub const fn min_bytes(self) -> usize {
        self.avg_bytes() / 4
    }

    /// No chunk is longer. Unit: bytes.
    #[must_use]
    pub const fn max_bytes(self) -> usize {
        self.avg_bytes() * 4
    }
}

/// A chunk of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "where, how long and what: there is no more to it")]
pub struct Chunk {
    /// Where the chunk begins. Unit: bytes from the start of the blob.
    pub offset: u64,
    /// Length, at least 1. Unit: bytes.
    pub len: u32,
    /// The BLAKE3 hash of the chunk's bytes.
    pub id: ChunkId,
}

/// Cuts a stream of bytes into content-defined chunks and names them.
///
/// The chunks depend on the bytes and the profile only, never on the pieces in which the bytes
/// come. At most one chunk is held back; a piece that is itself longer than
/// [`max_bytes`](ChunkerParams::max_bytes) is cut where it lies and mostly not copied.
///
/// ```
/// use samara_chunk::{Chunker, ChunkerParams};
///
/// let data: Vec<u8> = (0..500_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
/// let mut chunks = Vec::new();
/// let mut chunker = Chunker::new(ChunkerParams::Kib64);
/// for piece in data.chunks(1_000) {
///     chunker.push(piece, |chunk, bytes| {
///         assert_eq!(bytes.len(), chunk.len as usize);
///         chunks.push(chunk);
///     });
/// }
/// chunker.finish(|chunk, _| chunks.push(chunk));
/// assert_eq!(chunks.iter().map(|chunk| u64::from(chunk.len)).sum::<u64>(), 500_000);
/// ```
#[derive(Clone, Debug)]
pub struct Chunker {
    cutter: Cutter,
    /// What is held back, from `head` on. Less than the maximum between calls, and twice that with
    /// what was cut off the front already.
    held: Vec<u8>,
    head: usize,
    /// Where the next chunk begins. Unit: bytes from the start of the blob.
    offset: u64,
}

impl Chunker {
    /// A chunker at the start of a blob.
    #[must_use]
    pub fn new(params: ChunkerParams) -> Self {
        Self { cutter: Cutter::new(params), held: Vec::new(), head: 0, offset: 0 }
    }

    /// Takes the next bytes of the blob and gives every chunk that is now certain to `sink`, with
    /// its bytes.
    pub fn push(&mut self, bytes: &[u8], mut sink: impl FnMut(Chunk, &[u8])) {
        let mut rest = self.cut_held(bytes, &mut sink);
        // What is left is cut where the caller has it: nothing is held back at this point, unless
        // nothing is left.
        //= rfcs/0004-chunking.md#chunk-3
        //# A chunker MUST place the same cuts whatever the pieces in which it receives a blob.
        while rest.len() >= self.cutter.max {
            let Some((chunk, after)) = rest.split_at_checked(self.cutter.cut(rest)) else { break };
            emit(&mut self.offset, chunk, &mut sink);
            rest = after;
        }
        self.hold(rest);
    }

    /// Ends the blob: gives the last chunks to `sink` and returns the blob's length in bytes. An
    /// empty blob has no chunks.
    pub fn finish(mut self, mut sink: impl FnMut(Chunk, &[u8])) -> u64 {
        let mut rest = self.held.get(self.head..).unwrap_or_default();
        while !rest.is_empty() {
            let Some((chunk, after)) = rest.split_at_checked(self.cutter.cut(rest)) else { break };
            emit(&mut self.offset, chunk, &mut sink);
            rest = after;
        }
        self.offset
    }

    /// Bytes held back until the next cut is certain: less than
    /// [`max_bytes`](ChunkerParams::max_bytes). Allocated is at most twice that maximum.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.len() - self.head
    }

    /// Appends to what is held, without letting the buffer grow beyond twice the maximum.
    fn hold(&mut self, bytes: &[u8]) {
        //= rfcs/0004-chunking.md#chunk-5
        //# A chunker MUST hold back fewer bytes than the maximum of its profile.
        let len = self.held.len() + bytes.len();
        debug_assert!(len <= 2 * self.cutter.max, "less than the maximum before and behind `head`");
        if len > self.held.capacity() {
            self.held.reserve_exact(len.next_power_of_two() - self.held.len());
        }
        self.held.extend_from_slice(bytes);
    }

    /// Cuts what was held back, borrowing from `bytes` what it takes to see a longest chunk.
    /// Returns what of `bytes` is not held.
    fn cut_held<'b>(&mut self, bytes: &'b [u8], sink: &mut impl FnMut(Chunk, &[u8])) -> &'b [u8] {
        let max = self.cutter.max;
        let mut rest = bytes;
        while self.held_bytes() > 0 && !rest.is_empty() {
            if self.head >= max {
                self.held.drain(..self.head);
                self.head = 0;
            }
            let lacking = max - self.held_bytes();
            let Some((borrowed, after)) = rest.split_at_checked(lacking) else {
                self.hold(rest);
                return &[];
            };
            self.hold(borrowed);
            rest = after;
            let window = self.held.get(self.head..).unwrap_or_default();
            let Some((chunk, beyond)) = window.split_at_checked(self.cutter.cut(window)) else {
                break;
            };
            emit(&mut self.offset, chunk, sink);
            let consumed = bytes.len() - rest.len();
            if beyond.len() <= consumed {
                // All that is held still lies in `bytes` too: go on there.
                rest = bytes.get(consumed - beyond.len()..).unwrap_or_default();
                self.held.clear();
                self.head = 0;
            } else {
                self.head = self.held.len() - beyond.len();
            }
        }
        rest
    }
}

fn emit(offset: &mut u64, bytes: &[u8], sink: &mut impl FnMut(Chunk, &[u8])) {
    //= rfcs/0004-chunking.md#chunk-4
    //# The id of a chunk MUST be the BLAKE3 hash of the chunk's bytes.
    let id = ChunkId::from_bytes(*blake3::hash(bytes).as_bytes());
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    sink(Chunk { offset: *offset, len, id }, bytes);
    *offset += u64::from(len);
}

/// The search for one cut. The only code that knows which crate does it.
#[derive(Clone, Copy, Debug)]
struct Cutter {
    min: usize,
    avg: usize,
    max: usize,
    mask_s: u64,
    mask_l: u64,
}

impl Cutter {
    fn new(params: ChunkerParams) -> Self {
        //= rfcs/0004-chunking.md#chunk-2
        //# A chunker MUST use the masks of its profile's row.
        let (mask_s, mask_l) = v2020::select_masks(params.avg_bytes(), Normalization::Level2);
        let (min, avg, max) = (params.min_bytes(), params.avg_bytes(), params.max_bytes());
        Self { min, avg, max, mask_s, mask_l }
    }

    /// Length of the first chunk of `window`, which has the rest of the blob or at least `max`
    /// bytes. At least 1 for a window that is not empty.
    fn cut(&self, window: &[u8]) -> usize {
        //= rfcs/0004-chunking.md#chunk-1
        //# A chunker MUST cut where the FastCDC 2020 search of this section cuts.
        let Self { min, avg, max, mask_s, mask_l } = *self;
        v2020::cut(window, min, avg, max, mask_s, mask_l, mask_s << 1, mask_l << 1).1
    }
}

#[cfg(test)]
mod tests;
