//! Entry points for fuzzers: they assert properties and never fail on bad input. Unstable.

mod index;
mod recovery;
mod used;

pub use self::{index::index, recovery::recovery};

use std::{path::Path, sync::Arc};

use samara_base::GroupLog2;

use self::used::used_store;
use crate::{
    Options, Store,
    disk::{Disk as _, MemDisk, Open},
    index::Index,
    journal,
    limits::PAYLOAD_MAX,
    record::{HEADER_LEN, Header, SEGMENT_HEADER_LEN, segment_header},
    row::{
        BlobRow, ChunkRow, ClassRow, Extent, MapRow, PartialRow, RenameRow, RootRow, ScrubRow,
        SegmentRow, decode_number, decode_ranges, encode_number, encode_ranges,
    },
    segment::{scan, segment_path},
};

/// Where the stores of targets lie.
const DIR: &str = "/store";

/// One byte more than any record has.
static ZEROS: [u8; PAYLOAD_MAX + 1] = [0; PAYLOAD_MAX + 1];

/// The decoder of record headers: total, canonical, bounded.
///
/// Input: segment number (one byte), then the header. Its CRC is made right, so that what lies
/// behind that check is reached.
///
/// # Panics
///
/// If a property is violated.
pub fn record(data: &[u8]) {
    let Some((&segment, data)) = data.split_first() else { return };
    let mut bytes = [0; HEADER_LEN];
    let len = data.len().min(HEADER_LEN);
    if let (Some(place), Some(data)) = (bytes.get_mut(..len), data.get(..len)) {
        place.copy_from_slice(data);
    }
    let raw = Header::decode(&bytes, segment.into());
    if let Some((fields, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32fast::hash(fields).to_le_bytes();
    }
    let sealed = Header::decode(&bytes, segment.into());
    for header in [raw, sealed].into_iter().flatten() {
        assert!(header.payload_len as usize <= PAYLOAD_MAX, "bounded");
        assert_eq!(header.encode(), bytes, "canonical");
        let longer = ZEROS.get(..=header.payload_len as usize);
        assert!(longer.is_some_and(|longer| header.check_payload(longer).is_err()));
    }
    if let Err(error) = sealed {
        assert!((error.offset as usize) < HEADER_LEN, "the error points into the header");
    }
    let _ = Header::decode(data, segment.into());
}

/// The rows of the index and the entries of the journal: total and canonical.
///
/// Input: which decoder (one byte), then the row.
///
/// # Panics
///
/// If a property is violated.
pub fn row(data: &[u8]) {
    let Some((&which, data)) = data.split_first() else { return };
    let again = match which % 13 {
        0 => BlobRow::decode(data).map(|row| row.encode()),
        1 => PartialRow::decode(data).map(|row| row.encode()),
        2 => Extent::decode(data).map(|row| row.encode().to_vec()),
        3 => RootRow::decode(data).map(|row| row.encode()),
        4 => RenameRow::decode(data).map(|row| row.encode()),
        5 => SegmentRow::decode(data).map(SegmentRow::encode),
        6 => decode_ranges(data).map(|set| encode_ranges(&set)),
        8 => ChunkRow::decode(data).map(|row| row.encode()),
        9 => MapRow::decode(data).map(|row| row.encode()),
        10 => ClassRow::decode(data).map(ClassRow::encode),
        11 => ScrubRow::decode(data).map(ScrubRow::encode),
        12 => decode_number(data).map(encode_number),
        _ => {
            let entry = journal::decode(data);
            assert!(entry.is_none_or(|entry| entry.proof.len() <= data.len()), "bounded");
            None
        }
    };
    if let Some(again) = again {
        assert_eq!(again, data, "canonical");
    }
}

/// Opening a store whose segment somebody made up, over a disk in memory: no panic, no false blob.
///
/// Input: flags (one byte: bit 0 makes header CRCs right, bit 1 makes payload CRCs right, bit 2 has the
/// index made again), then the segment behind its header.
///
/// # Panics
///
/// If a property is violated.
pub fn segment(data: &[u8]) {
    let Some((&flags, data)) = data.split_first() else { return };
    let mut bytes = segment_header(1).to_vec();
    bytes.extend_from_slice(data);
    if flags & 1 != 0 {
        mend(&mut bytes, flags & 2 != 0);
    }
    let (disk, dir) = (MemDisk::new(), Path::new(DIR));
    let options = Options { cache_bytes: 1 << 16, ..Options::default() };
    {
        let handle = disk.open_dir(dir, true).expect("invariant: a new disk");
        drop(Index::open(&*handle, options.cache_bytes).expect("invariant: a new disk"));
        handle.make_dirs(crate::segment::SEGMENTS_DIR).expect("invariant: a new disk");
        let file = handle.open(&segment_path(1), Open::Create { mode: 0o600 });
        let file = file.expect("invariant: a new disk");
        file.write_at(&bytes, 0).expect("invariant: a new disk");
        let mut last = SEGMENT_HEADER_LEN as u64;
        let scanned = scan(&*file, 1, 0, &mut |offset, header, payload| {
            assert_eq!(offset, last, "records follow each other");
            assert!(header.check_payload(payload).is_ok());
            last = offset + crate::record::stride(header.payload_len);
            Ok(())
        });
        let end = scanned.expect("invariant: the disk reads");
        assert_eq!(end, last);
    }
    if flags & 4 != 0 {
        let rebuilt = recovery::rebuild(&disk).expect("a disk with room");
        let id = rebuilt.put(data).expect("the store goes on");
        rebuilt.checkpoint().expect("the store goes on");
        let reader = rebuilt.reader(&id).expect("held").expect("held");
        assert_eq!(reader.read(0..data.len() as u64).expect("held"), data);
        return;
    }
    for turn in 0..2 {
        let store = Store::open_on(Arc::new(disk.clone()), dir, options);
        let store = store.expect("a segment alone never keeps a store from opening");
        for stat in store.list(None, 1 << 20).expect("the index is sound") {
            assert!(stat.complete && stat.size <= GroupLog2::KIB16.bytes());
            let reader = store.reader(&stat.id).expect("held").expect("held");
            let data = reader.read(0..stat.size).expect("what was adopted is true");
            assert_eq!(samara_tree::hash(&data), stat.id, "turn {turn}");
        }
        let id = store.put(data).expect("the store goes on");
        store.checkpoint().expect("the store goes on");
        let reader = store.reader(&id).expect("held").expect("held");
        assert_eq!(reader.read(0..data.len() as u64).expect("held"), data);
    }
}

/// Makes the CRCs of what look like records right.
fn mend(bytes: &mut [u8], payloads: bool) {
    let mut at = SEGMENT_HEADER_LEN;
    while let Some(rest) = bytes.get_mut(at..).filter(|rest| rest.len() >= HEADER_LEN) {
        let (header, payload) = rest.split_at_mut(HEADER_LEN);
        let len = header.get(8..12).and_then(|len| len.first_chunk::<4>());
        let len = len.map_or(0, |len| u32::from_le_bytes(*len)) as usize;
        if payloads && let (Some(crc), Some(payload)) = (header.get_mut(12..16), payload.get(..len))
        {
            crc.copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
        }
        if let Some((fields, crc)) = header.split_last_chunk_mut::<4>() {
            *crc = crc32fast::hash(fields).to_le_bytes();
        }
        let len = u32::try_from(len.min(PAYLOAD_MAX)).unwrap_or(0);
        at += usize::try_from(crate::record::stride(len)).unwrap_or(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Kind;

    fn record_of(payload: &[u8]) -> Vec<u8> {
        let mut header = Header::new(Kind::Data, samara_tree::hash(payload), payload);
        header.blob_size = payload.len() as u64;
        header.segment = 1;
        let mut bytes = header.encode().to_vec();
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn seeds_pass() {
        let good = [record_of(b"one"), record_of(&[7; 5000])].concat();
        for flags in 0..8 {
            segment(&[&[flags], good.as_slice()].concat());
            segment(&[&[flags], good.get(..100).unwrap()].concat());
            let mut bad = good.clone();
            bad[72] ^= 1;
            segment(&[&[flags], bad.as_slice()].concat());
        }
        record(&[&[1], good.as_slice()].concat());
        record(&[0; 73]);
        for which in 0..11 {
            row(&[&[which], [1; 100].as_slice()].concat());
            row(&[which]);
        }
    }

    #[test]
    fn random_input_passes() {
        let mut state = 1u64;
        for len in (0..400).step_by(7) {
            let data: Vec<u8> = (0..len)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    state.to_be_bytes()[0]
                })
                .collect();
            record(&data);
            row(&data);
        }
    }
}
