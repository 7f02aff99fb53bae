//! Compressing chunks where it pays. Spec: RFC 0009, section "Chunks and maps".

use crate::error::StoreError;

/// How hard chunks are compressed before they are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression(u8);

impl Compression {
    /// Level 1: about as fast as a disk writes.
    pub const FAST: Self = Self(1);
    /// Level 9: a tenth of the speed, for what is written once and read often.
    pub const SMALL: Self = Self(9);

    /// zstd's levels 1 to 19; others are brought into these bounds.
    #[must_use]
    pub const fn level(level: u8) -> Self {
        Self(if level < 1 {
            1
        } else if level > 19 {
            19
        } else {
            level
        })
    }
}

/// What is tried first of a chunk. Unit: bytes.
#[cfg(feature = "zstd")]
const SAMPLE_LEN: usize = 8 << 10;
/// It pays if this part of a chunk is saved.
#[cfg(feature = "zstd")]
const SAVED_PART: usize = 16;
/// Most chunks that are stored as they are before one is tried again.
#[cfg(feature = "zstd")]
const SKIP_MAX: u32 = 63;

/// Compresses the chunks of one import, and finds out whether it pays.
pub(crate) struct Packer {
    #[cfg(feature = "zstd")]
    zstd: Option<zstd::bulk::Compressor<'static>>,
    #[cfg(feature = "zstd")]
    packed: Vec<u8>,
    /// Chunks to pass over, and how many it were last.
    #[cfg(feature = "zstd")]
    skip: (u32, u32),
}

impl Packer {
    /// One that stores chunks as they are: with other options the store was not opened.
    #[cfg(not(feature = "zstd"))]
    pub(crate) const fn new(_options: &crate::Options) -> Result<Self, StoreError> {
        Ok(Self {})
    }

    /// The compressed chunk, if it is worth it.
    #[cfg(not(feature = "zstd"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) const fn pack(&mut self, _chunk: &[u8]) -> Option<&[u8]> {
        None
    }

    /// One that does what the options say.
    #[cfg(feature = "zstd")]
    pub(crate) fn new(options: &crate::Options) -> Result<Self, StoreError> {
        let level = options.compression.map(|level| i32::from(level.0));
        let zstd = level.map(zstd::bulk::Compressor::new).transpose();
        let zstd = zstd.map_err(|error| StoreError::io("compress", "a chunk", error))?;
        Ok(Self { zstd, packed: Vec::new(), skip: (0, 0) })
    }

    /// The compressed chunk, if it is worth it.
    #[cfg(feature = "zstd")]
    pub(crate) fn pack(&mut self, chunk: &[u8]) -> Option<&[u8]> {
        let zstd = self.zstd.as_mut()?;
        let (left, last) = &mut self.skip;
        if *left > 0 {
            *left -= 1;
            return None;
        }
        let middle = chunk.len().saturating_sub(SAMPLE_LEN) / 2;
        let sample = chunk.get(middle..chunk.len().min(middle + SAMPLE_LEN)).unwrap_or_default();
        let mut pays = |bytes: &[u8]| {
            self.packed.clear();
            self.packed.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
            let len = zstd.compress_to_buffer(bytes, &mut self.packed).unwrap_or(usize::MAX);
            len <= bytes.len() - bytes.len() / SAVED_PART && len < bytes.len()
        };
        // The whole of a chunk of which the sample is all is tried once.
        let is_all = sample.len() == chunk.len();
        if pays(sample) && (is_all || pays(chunk)) {
            *last = 0;
            return Some(&self.packed);
        }
        *last = (*last * 2 + 1).min(SKIP_MAX);
        *left = *last;
        None
    }
}

#[cfg(feature = "zstd")]
std::thread_local! {
    /// What decompressing needs, kept so that it is not made anew for each chunk.
    static ZSTD: core::cell::RefCell<Option<zstd::bulk::Decompressor<'static>>> =
        const { core::cell::RefCell::new(None) };
}

/// Decompresses a chunk into all of `chunk`. Returns whether that is what it was.
pub(crate) fn unpack(packed: &[u8], chunk: &mut [u8]) -> Result<bool, StoreError> {
    #[cfg(feature = "zstd")]
    {
        ZSTD.with_borrow_mut(|kept| {
            let zstd = match kept {
                Some(zstd) => zstd,
                None => kept.insert(
                    zstd::bulk::Decompressor::new()
                        .map_err(|error| StoreError::io("decompress", "a chunk", error))?,
                ),
            };
            //= rfcs/0009-store.md#store-38
            //# A store MUST treat a compressed chunk as damaged that does not decompress to exactly its length.
            Ok(zstd.decompress_to_buffer(packed, chunk).is_ok_and(|len| len == chunk.len()))
        })
    }
    #[cfg(not(feature = "zstd"))]
    {
        let _ = (packed, chunk);
        Err(StoreError::Unsupported { feature: "zstd" })
    }
}

#[cfg(all(test, feature = "zstd"))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    fn packer() -> Packer {
        let options =
            crate::Options { compression: Some(Compression::FAST), ..crate::Options::default() };
        Packer::new(&options).expect("zstd has such a level")
    }

    #[test]
    fn what_shrinks_comes_back() {
        let text: Vec<u8> = (0..100_000_u32).flat_map(|at| (at / 7).to_le_bytes()).collect();
        for len in [64, 8_191, 8_192, 8_193, 100_000, 400_000] {
            let chunk = &text[..len];
            let packed = packer().pack(chunk).expect("numbers shrink").to_vec();
            let mut back = vec![9; len];
            assert!(unpack(&packed, &mut back).unwrap() && back == chunk, "{len}");
        }
    }

    #[test]
    fn what_does_not_shrink_is_tried_less_and_less() {
        let (noise, mut packer) = (noise(50_000), packer());
        let mut tries = Vec::new();
        for at in 0..200 {
            let skipped = packer.skip.0 > 0;
            assert_eq!(packer.pack(&noise), None);
            if !skipped {
                tries.push(at);
            }
        }
        assert_eq!(tries, [0, 2, 6, 14, 30, 62, 126, 190]);
        packer.skip.0 = 0;
        assert!(packer.pack(&[0; 50_000]).is_some());
        assert_eq!(packer.skip, (0, 0));
        assert_eq!(packer.pack(&[]), None);
    }

    //= rfcs/0009-store.md#store-38
    //= type=test
    //# A store MUST treat a compressed chunk as damaged that does not decompress to exactly its
    //# length.
    #[test]
    fn only_the_exact_length_counts() {
        let chunk = [7; 10_000];
        let packed = packer().pack(&chunk).unwrap().to_vec();
        assert!(unpack(&packed, &mut [0; 10_000]).unwrap());
        assert!(!unpack(&packed, &mut [0; 9_999]).unwrap());
        assert!(!unpack(&packed, &mut [0; 10_001]).unwrap());
        assert!(!unpack(&packed[..packed.len() - 1], &mut [0; 10_000]).unwrap());
        assert!(!unpack(&[], &mut [0; 10_000]).unwrap());
        for bit in 0..packed.len() * 8 {
            let mut bad = packed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let mut out = [0; 10_000];
            let _ = unpack(&bad, &mut out).unwrap();
        }
    }
}
