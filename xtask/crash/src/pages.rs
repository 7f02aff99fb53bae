//! The bytes of a file in memory: cheap to copy, holes cost nothing.

use std::{collections::BTreeMap, sync::Arc};

/// Bytes of a page. Unit: bytes.
pub(crate) const PAGE: u64 = 4096;

/// What a disk writes as a whole or not at all. Unit: bytes.
pub(crate) const SECTOR: u64 = 512;

type Page = [u8; 4096];

/// Bytes by position. What was never written reads as zeros.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pages(BTreeMap<u64, Arc<Page>>);

impl Pages {
    pub(crate) fn read(&self, at: u64, buf: &mut [u8]) {
        let mut rest = buf;
        let mut at = at;
        while !rest.is_empty() {
            let (page, from, len) = place(at, rest.len());
            let (piece, tail) = rest.split_at_mut(len);
            match self.0.get(&page).and_then(|page| page.get(from..from + len)) {
                Some(bytes) => piece.copy_from_slice(bytes),
                None => piece.fill(0),
            }
            rest = tail;
            at += len as u64;
        }
    }

    pub(crate) fn write(&mut self, at: u64, data: &[u8]) {
        let mut rest = data;
        let mut at = at;
        while !rest.is_empty() {
            let (page, from, len) = place(at, rest.len());
            let (piece, tail) = rest.split_at(len);
            let page = self.0.entry(page).or_insert_with(|| Arc::new([0; 4096]));
            if let Some(bytes) = Arc::make_mut(page).get_mut(from..from + len) {
                bytes.copy_from_slice(piece);
            }
            rest = tail;
            at += len as u64;
        }
    }

    /// Makes a range read as zeros.
    pub(crate) fn clear(&mut self, from: u64, to: u64) {
        let whole = from.div_ceil(PAGE)..to / PAGE;
        if whole.start < whole.end {
            let mut behind = self.0.split_off(&whole.start);
            let mut kept = behind.split_off(&whole.end);
            self.0.append(&mut kept);
        }
        let mut at = from;
        while at < to {
            let end = ((at / PAGE + 1) * PAGE).min(to);
            if self.0.contains_key(&(at / PAGE)) {
                let len = usize::try_from(end - at).unwrap_or_default();
                self.write(at, [0; 4096].get(..len).unwrap_or_default());
            }
            // No need to visit the hole page by page.
            at = match self.0.range(end / PAGE..).next() {
                Some((page, _)) => end.max(page * PAGE),
                None => to,
            };
        }
    }

    /// Bytes that pages take.
    pub(crate) fn allocated(&self) -> u64 {
        self.0.len() as u64 * PAGE
    }
}

/// The page of a byte, its place there, and how many of `len` bytes fit.
fn place(at: u64, len: usize) -> (u64, usize, usize) {
    let from = usize::try_from(at % PAGE).unwrap_or_default();
    (at / PAGE, from, len.min(4096 - from))
}

/// A range in pieces that end where `unit` ends.
pub(crate) fn pieces(at: u64, data: &[u8], unit: u64) -> Vec<(u64, &[u8])> {
    let (mut at, mut rest) = (at, data);
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let len = usize::try_from(unit - at % unit).unwrap_or(usize::MAX).min(rest.len());
        let (piece, tail) = rest.split_at(len);
        pieces.push((at, piece));
        rest = tail;
        at += len as u64;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_as_a_plain_buffer() {
        let mut random = crate::random::Random::new(1);
        let (mut pages, mut plain) = (Pages::default(), vec![0; 50_000]);
        for _ in 0..2_000 {
            let at = random.below(45_000);
            let len = usize::try_from(random.below(5_000)).unwrap();
            let from = usize::try_from(at).unwrap();
            if random.chance(50) {
                let data = vec![random.next().to_le_bytes()[0]; len];
                pages.write(at, &data);
                plain[from..from + len].copy_from_slice(&data);
            } else {
                pages.clear(at, at + len as u64);
                plain[from..from + len].fill(0);
            }
            let mut read = vec![1; 50_000];
            pages.read(0, &mut read);
            assert!(read == plain);
        }
        pages.clear(0, u64::MAX);
        assert_eq!(pages.allocated(), 0);
    }

    #[test]
    fn pieces_end_where_units_end() {
        let data = [7; 1_000];
        let found: Vec<_> =
            pieces(500, &data, 512).iter().map(|(at, data)| (*at, data.len())).collect();
        assert_eq!(found, [(500, 12), (512, 512), (1024, 476)]);
    }
}
