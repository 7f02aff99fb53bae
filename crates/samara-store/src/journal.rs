//! The journal of a large receive: which proofs were verified since the last checkpoint.
//!
//! Nothing in it is trusted. At recovery each entry's proof and the data that it speaks of are
//! verified again, from the checkpoint's frontier on. Spec: RFC 0009, section "Partial blobs".

use std::sync::Arc;

use samara_base::{GroupLog2, RangeSet};

use crate::{disk::File, limits::JOURNAL_ENTRY_MAX, record::Reader};

const MAGIC: [u8; 4] = *b"SmJl";
/// Length of an entry before base and proof. Unit: bytes.
const HEAD_LEN: usize = 48;

/// One verified transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) epoch: u64,
    pub(crate) group: GroupLog2,
    pub(crate) first_leaf: u64,
    /// Unit: bytes.
    pub(crate) data_len: u32,
    pub(crate) base: RangeSet,
    pub(crate) proof: Vec<u8>,
}

/// The two files of a receive's journal: one takes entries since the last checkpoint, the other
/// those before, until that checkpoint is committed.
#[derive(Debug)]
pub(crate) struct Journal {
    files: [Arc<dyn File>; 2],
    end: u64,
    buffer: Vec<u8>,
}

impl Journal {
    pub(crate) const fn new(files: [Arc<dyn File>; 2]) -> Self {
        Self { files, end: 0, buffer: Vec::new() }
    }

    fn file(&self, epoch: u64) -> &Arc<dyn File> {
        let [even, odd] = &self.files;
        if epoch.is_multiple_of(2) { even } else { odd }
    }

    /// Begins the entries of `epoch`. Best effort: a journal that cannot be written costs only
    /// bytes that are fetched again.
    pub(crate) fn begin(&mut self, epoch: u64) {
        let _ = self.file(epoch).set_len(0);
        self.end = 0;
    }

    /// Adds an entry, best effort.
    pub(crate) fn add(
        &mut self,
        epoch: u64,
        group: GroupLog2,
        first_leaf: u64,
        data_len: usize,
        base: &RangeSet,
        proof: &[u8],
    ) {
        // A longer one is left out: its data is fetched again if the process dies before the next checkpoint.
        let total = HEAD_LEN + base.runs().len() * 16 + proof.len();
        let (Ok(data_len), true) = (u32::try_from(data_len), total <= JOURNAL_ENTRY_MAX) else {
            return;
        };
        let mut buffer = core::mem::take(&mut self.buffer);
        buffer.clear();
        encode(&mut buffer, epoch, group, first_leaf, data_len, base, proof);
        if self.file(epoch).write_at(&buffer, self.end).is_ok() {
            self.end += buffer.len() as u64;
        }
        self.buffer = buffer;
    }

    /// All entries from `epoch` on, oldest first, each given to `visit`. Stops a file at its first
    /// entry that is not whole.
    pub(crate) fn replay(&self, epoch: u64, visit: &mut dyn FnMut(Entry)) {
        for epoch in [epoch, epoch.saturating_add(1)] {
            let file = self.file(epoch);
            let mut at = 0;
            let mut head = [0; HEAD_LEN];
            let mut entry = Vec::new();
            while let Ok(HEAD_LEN) = file.read_at(&mut head, at) {
                let Some(len) = entry_len(&head) else { break };
                entry.resize(len, 0);
                if !file.read_at(&mut entry, at).is_ok_and(|read| read == len) {
                    break;
                }
                let Some(found) = decode(&entry) else { break };
                if found.epoch != epoch {
                    break;
                }
                visit(found);
                at += len as u64;
            }
        }
    }
}

/// Writes an entry: magic, CRC-32 of what follows, lengths and numbers, base, proof.
fn encode(
    out: &mut Vec<u8>,
    epoch: u64,
    group: GroupLog2,
    first_leaf: u64,
    data_len: u32,
    base: &RangeSet,
    proof: &[u8],
) {
    let start = out.len();
    let length = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&epoch.to_le_bytes());
    out.extend_from_slice(&first_leaf.to_le_bytes());
    out.extend_from_slice(&data_len.to_le_bytes());
    out.extend_from_slice(&length(base.runs().len()));
    out.extend_from_slice(&length(proof.len()));
    out.extend_from_slice(&u32::from(group.get()).to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    for run in base.runs() {
        out.extend_from_slice(&run.start.to_le_bytes());
        out.extend_from_slice(&run.end.to_le_bytes());
    }
    out.extend_from_slice(proof);
    let crc = crc32fast::hash(out.get(start + 8..).unwrap_or_default());
    if let Some(place) = out.get_mut(start + 4..start + 8) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
}

/// The length of the entry with this head.
fn entry_len(head: &[u8; HEAD_LEN]) -> Option<usize> {
    let mut reader = Reader(head);
    if reader.take::<4>() != MAGIC {
        return None;
    }
    let _ = (reader.u32(), reader.u64(), reader.u64(), reader.u32());
    let (runs, proof) = (reader.u32() as usize, reader.u32() as usize);
    let len = runs.checked_mul(16)?.checked_add(proof)?.checked_add(HEAD_LEN)?;
    (len <= JOURNAL_ENTRY_MAX).then_some(len)
}

/// Reads a whole entry.
pub(crate) fn decode(bytes: &[u8]) -> Option<Entry> {
    let len = entry_len(bytes.first_chunk()?)?;
    let mut reader = Reader(bytes);
    let _ = reader.u32();
    let crc = reader.u32();
    if bytes.len() != len || crc32fast::hash(reader.0) != crc {
        return None;
    }
    let (epoch, first_leaf, data_len) = (reader.u64(), reader.u64(), reader.u32());
    let (runs, _) = (reader.u32(), reader.u32());
    let group = GroupLog2::new(u8::try_from(reader.u32()).ok()?)?;
    if reader.u64() != 0 {
        return None;
    }
    let mut base = RangeSet::new();
    for _ in 0..runs {
        let (start, end) = (reader.u64(), reader.u64());
        // Ascending, disjoint and coalesced, so that one set has one form.
        if start >= end || (!base.is_empty() && start <= base.end()) {
            return None;
        }
        base.insert(start..end);
    }
    Some(Entry { epoch, group, first_leaf, data_len, base, proof: reader.0.to_vec() })
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_round_trips_and_every_flipped_bit_is_noticed() {
        let entry = Entry {
            epoch: 7,
            group: GroupLog2::KIB64,
            first_leaf: 128,
            data_len: 65_536,
            base: RangeSet::from_iter([0..16, 64..128]),
            proof: vec![9; 128],
        };
        let mut bytes = Vec::new();
        let Entry { epoch, group, first_leaf, data_len, base, proof } = &entry;
        encode(&mut bytes, *epoch, *group, *first_leaf, *data_len, base, proof);
        assert_eq!(decode(&bytes), Some(entry));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bytes), None, "bit {bit}");
        }
    }
}
