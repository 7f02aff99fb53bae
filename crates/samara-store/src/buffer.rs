//! Buffers for reads, used again and again: a new one costs clearing it and a page fault per 4 KiB.

use std::sync::Arc;

use bytes::Bytes;

use crate::sync::{Mutex, locked};

/// Shorter reads get memory of their own length. Unit: bytes.
const POOLED_MIN: usize = 32 << 10;
/// Longer ones are not kept. Unit: bytes.
const KEPT_MAX: usize = 2 << 20;
/// Buffers that wait to be used again.
const KEPT: usize = 4;

/// Buffers that wait to be used again.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    kept: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// A buffer of `len` bytes with any contents.
    pub(crate) fn take(self: &Arc<Self>, len: usize) -> Buffer {
        if len < POOLED_MIN {
            return Buffer { bytes: vec![0; len], len, home: None };
        }
        let bytes = {
            let mut kept = locked(&self.kept);
            let fitting = |bytes: &Vec<u8>| (len..=len.saturating_mul(4)).contains(&bytes.len());
            let at = kept.iter().position(fitting);
            at.map(|at| kept.swap_remove(at))
        };
        // One of a few sizes, so that the next read finds a use for it.
        let room = if len <= KEPT_MAX { len.next_power_of_two() } else { len };
        let bytes = bytes.unwrap_or_else(|| vec![0; room]);
        Buffer { bytes, len, home: Some(Arc::clone(self)) }
    }
}

/// Memory for one read. It goes back to where it came from when it is dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    len: usize,
    home: Option<Arc<Buffers>>,
}

impl Buffer {
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }

    /// What was read, to be handed out.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(home) = &self.home else { return };
        let mut kept = locked(&home.kept);
        if kept.len() < KEPT && self.bytes.len() <= KEPT_MAX {
            kept.push(core::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_once_nobody_has_it() {
        let buffers = Arc::new(Buffers::default());
        let mut buffer = buffers.take(65_536);
        buffer.bytes().fill(7);
        let bytes = buffer.freeze();
        let (place, part) = (bytes.as_ptr(), bytes.slice(10..20));
        drop(bytes);
        assert_ne!(buffers.take(65_536).as_ref().as_ptr(), place, "a part of it is in use");
        assert_eq!(part, [7; 10].as_slice());
        drop(part);
        assert!((0..KEPT).any(|_| {
            let again = buffers.take(40_000);
            let same = again.as_ref().as_ptr() == place;
            core::mem::forget(again);
            same
        }));
    }

    #[test]
    fn few_are_kept_and_no_large_ones() {
        let buffers = Arc::new(Buffers::default());
        let many: Vec<Buffer> = (0..10).map(|_| buffers.take(1 << 20)).collect();
        drop(many);
        drop(buffers.take(3 << 20));
        drop(buffers.take(100));
        let kept = locked(&buffers.kept);
        assert_eq!(kept.iter().map(Vec::len).collect::<Vec<_>>(), [1 << 20; KEPT]);
    }
}
