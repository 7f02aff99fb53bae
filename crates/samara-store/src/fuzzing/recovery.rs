//! Opening a store of which somebody else wrote the index and the files.

use core::time::Duration;
use std::{collections::BTreeSet, path::Path, sync::Arc};

use samara_base::{BlobId, GroupLog2, RangeSet};

use super::DIR;
use crate::{
    Class, Options, Store,
    disk::{Disk, MemDisk, Open},
    error::OpenError,
    index::{Batch, Index, Table},
    partial::{PARTIAL_DIR, partial_path},
    row::id_of,
    segment::{SEGMENTS_DIR, segment_path},
};

/// What one row or file takes before key and value: which table or file, length of the key, length
/// of the value (two bytes, least significant first).
const HEAD_LEN: usize = 4;

/// Numbers behind those of the tables: what else lies in a store's directory.
const OUTBOARD: u8 = 10;
const JOURNAL_EVEN: u8 = 11;
const JOURNAL_ODD: u8 = 12;
const SEGMENT: u8 = 13;
const OUTSIDE: u8 = 14;
/// Tables that came later: inputs that are there keep their meaning.
const LATER: u8 = 15;
const KINDS: u8 = 20;

/// Bytes of all files together; what would be longer is cut off.
const FILES_LEN_MAX: usize = 4 << 20;

/// Opening a store whose index, journals, outboards, segments and shared files somebody made up,
/// over a disk in memory: it opens, or says that it is damaged; no panic, no false byte.
///
/// Input: rows and files, each as number, lengths, key, value. Numbers below ten are tables of the
/// index; then come `ob`, `j0` and `j1` of the partial blob whose id is the key, a segment, a file
/// outside of the store, and the other tables. The value of a file is packed: see `unpack` below.
///
/// # Panics
///
/// If a property is violated.
pub fn recovery(data: &[u8]) {
    let disk = empty();
    lay_out(&disk, data);
    let options = Options { cache_bytes: 1 << 16, ..Options::default() };
    for _ in 0..2 {
        let store = match Store::open_on(Arc::new(disk.clone()), Path::new(DIR), options) {
            Ok(store) => store,
            Err(error) => {
                refused(&disk, &error);
                return;
            }
        };
        look_around(&store);
        go_on(&store, data);
    }
}

/// Whatever the store takes, it gives back.
pub(super) fn go_on(store: &Store, data: &[u8]) {
    let put = store.put(data);
    if let Ok(id) = put
        && let Ok(Some(reader)) = store.reader(&id)
        && let Ok(read) = reader.read(0..data.len() as u64)
    {
        assert_eq!(read, data);
    }
    let _ = store.evict(1, Class::Carried, Duration::ZERO);
    // A row that contradicts another may make it fail; it says so.
    let _ = store.checkpoint();
}

/// A store that is damaged gets another index; returns it then.
pub(super) fn refused(disk: &MemDisk, error: &OpenError) -> Option<Store> {
    assert!(!error.to_string().is_empty(), "every error says something");
    assert!(!matches!(error, OpenError::InUse { .. }), "nobody else has it open");
    matches!(error, OpenError::Corrupt { .. }).then(|| rebuild(disk)).flatten()
}

/// Makes the index of a store again, and reads what it has then.
pub(super) fn rebuild(disk: &MemDisk) -> Option<Store> {
    let options = Options { cache_bytes: 1 << 16, ..Options::default() };
    let (disk, dir) = (Arc::new(disk.clone()), Path::new(DIR));
    match Store::rebuild_index_on(disk, dir, options, &mut |_| ()) {
        Ok((store, _)) => {
            look_around(&store);
            Some(store)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty(), "every error says something");
            None
        }
    }
}

/// A disk with the folders of a store.
pub(super) fn empty() -> MemDisk {
    let disk = MemDisk::new();
    let dir = disk.open_dir(Path::new(DIR), true).expect("invariant: a new disk");
    for folder in [SEGMENTS_DIR, PARTIAL_DIR] {
        dir.make_dirs(folder).expect("invariant: a new disk");
    }
    disk
}

/// Writes what the input says to a disk on which an empty store was made.
fn lay_out(disk: &MemDisk, data: &[u8]) {
    let dir = disk.open_dir(Path::new(DIR), false).expect("invariant: a new disk");
    let write = |path: &[u8], bytes: &[u8]| {
        let file = dir.open(path, Open::Create { mode: 0o600 });
        file.and_then(|file| file.write_at(bytes, 0)).expect("invariant: a new disk");
    };
    let (index, _) = Index::open(&*dir, 1 << 16).expect("invariant: a new disk");
    let mut batch = Batch::default();
    let mut room = FILES_LEN_MAX;
    let mut rest = data;
    while let Some(([kind, key_len, low, high], after)) = rest.split_first_chunk::<HEAD_LEN>() {
        let (key, after) = after.split_at_checked(usize::from(*key_len)).unwrap_or((after, &[]));
        let value_len = usize::from(u16::from_le_bytes([*low, *high]));
        let (value, after) = after.split_at_checked(value_len).unwrap_or((after, &[]));
        rest = after;
        let kind = kind % KINDS;
        let file = if (OUTBOARD..LATER).contains(&kind) { unpack(value, room) } else { Vec::new() };
        room -= file.len();
        let ending = match kind {
            OUTBOARD => "ob",
            JOURNAL_EVEN => "j0",
            JOURNAL_ODD => "j1",
            SEGMENT => {
                let number = key.first().copied().unwrap_or(0);
                write(&segment_path(u32::from(number)), &file);
                continue;
            }
            OUTSIDE => {
                let name = format!("/outside-{}", key.first().copied().unwrap_or(0));
                let written = disk.write_file(Path::new(&name), &file, true);
                written.expect("invariant: a new disk");
                continue;
            }
            table => {
                let number = if table < LATER { table } else { table - LATER + OUTBOARD };
                if let Some(table) = Table::at(usize::from(number)) {
                    batch.put(table, key, value.to_vec());
                }
                continue;
            }
        };
        let mut id = [0; 32];
        id.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        write(&partial_path(BlobId::from_bytes(id), ending), &file);
    }
    index.commit(&[&batch]).expect("invariant: a new disk");
}

/// A file out of few bytes, so that short inputs make long files: a count of bytes that follow as
/// they are, these, then the length of a run (two bytes, least significant first) and its byte. Ends
/// at `len_max` bytes.
fn unpack(mut packed: &[u8], len_max: usize) -> Vec<u8> {
    let mut file = Vec::new();
    while let Some((literals, rest)) = packed.split_first() {
        let literals = usize::from(*literals).min(rest.len());
        let (literals, rest) = rest.split_at(literals);
        file.extend_from_slice(literals);
        let Some(([low, high, byte], rest)) = rest.split_first_chunk() else { break };
        let run = usize::from(u16::from_le_bytes([*low, *high]));
        file.resize((file.len() + run).min(len_max), *byte);
        if file.len() == len_max {
            break;
        }
        packed = rest;
    }
    file.truncate(len_max);
    file
}

/// Reads whatever the store says that it has. Whole blobs are what their ids say.
pub(super) fn look_around(store: &Store) {
    // One by one: a row that somebody made up must not hide the others.
    for id in ids(store) {
        let Ok(Some(stat)) = store.stat(&id) else { continue };
        assert!(!stat.complete || stat.size_proven, "a complete blob has a proven size");
        let Ok(Some(reader)) = store.reader(&stat.id) else { continue };
        let end = reader.size().min(1 << 20);
        if let Ok(read) = reader.read(0..end) {
            assert_eq!(read.len() as u64, end);
            if end == reader.size() && stat.complete {
                assert_eq!(samara_tree::hash(&read), reader.id(), "bytes that were read are true");
            }
        }
        let leaves = 0..samara_base::leaves(end);
        let held = reader.held().intersection(&RangeSet::from(leaves));
        if let Some(run) = held.runs().first() {
            let group = GroupLog2::KIB16;
            let run = group.align(run, samara_base::leaves(reader.size()));
            let _ = reader.encode(group, &run, &RangeSet::new());
        }
        if reader.size() == end {
            let _ = store.verify(&stat.id, &mut |_| ());
        }
    }
    let _ = (store.list(None, 64), store.usage(), store.tags());
    let explained = store.explain_eviction(1 << 20, Class::Carried, Duration::MAX);
    assert!(explained.is_err() || explained.is_ok_and(|list| list.len() <= 64));
    for _ in 0..64 {
        if store.scrub(1 << 20).map_or(true, |report| report.done) {
            break;
        }
    }
}

/// Blobs that the index speaks of.
fn ids(store: &Store) -> BTreeSet<BlobId> {
    let rows = |table| store.inner.rows(table, &[], None, 64).unwrap_or_default();
    let rows = [rows(Table::Blobs), rows(Table::Partials)].concat();
    rows.iter().filter_map(|(key, _)| id_of(key)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{error::StoreError, fuzzing::used_store, row::BlobRow};

    /// The opposite of [`unpack`].
    fn pack(mut file: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        while !file.is_empty() {
            let run_at =
                |at: usize| file[at..].iter().take_while(|byte| **byte == file[at]).count();
            let limit = file.len().min(255);
            let literals = (0..limit).find(|at| run_at(*at) > 4).unwrap_or(limit);
            packed.push(u8::try_from(literals).unwrap());
            packed.extend_from_slice(&file[..literals]);
            file = &file[literals..];
            let run = file.iter().take_while(|byte| **byte == file[0]).count().min(65_535);
            packed.extend_from_slice(&u16::try_from(run).unwrap().to_le_bytes());
            packed.push(file.first().copied().unwrap_or(0));
            file = &file[run..];
        }
        packed
    }

    /// What lies in a store's directory, as an input that lays it out again.
    fn dump(disk: &MemDisk) -> Vec<u8> {
        let mut out = Vec::new();
        let mut add = |kind: u8, key: &[u8], value: &[u8]| {
            let len = u16::try_from(value.len()).unwrap();
            out.extend_from_slice(&[kind, u8::try_from(key.len()).unwrap()]);
            out.extend_from_slice(&len.to_le_bytes());
            out.extend_from_slice(key);
            out.extend_from_slice(value);
        };
        let dir = disk.open_dir(Path::new(DIR), false).unwrap();
        let (index, _) = Index::open(&*dir, 1 << 16).unwrap();
        for number in (0..OUTBOARD).chain(LATER..KINDS) {
            let at = if number < LATER { number } else { number - LATER + OUTBOARD };
            let table = Table::at(at.into()).unwrap();
            let rows = index.rows_under(BTreeMap::new(), table, &[], None, usize::MAX).unwrap();
            rows.iter().for_each(|(key, value)| add(number, key, value));
        }
        for path in disk.files() {
            let mut bytes = disk.read_file(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            bytes.truncate(end.next_multiple_of(8));
            let bytes = pack(&bytes);
            assert_eq!(
                unpack(&bytes, FILES_LEN_MAX).len().next_multiple_of(8),
                end.next_multiple_of(8)
            );
            let id = name.split('.').next().and_then(|id| id.parse::<BlobId>().ok());
            let ending = ["ob", "j0", "j1"].iter().position(|ending| name.ends_with(ending));
            if let (Some(id), Some(ending)) = (id, ending) {
                add(OUTBOARD + u8::try_from(ending).unwrap(), id.as_bytes(), &bytes);
            } else if path.starts_with("/store/segments") {
                add(SEGMENT, &[1], &bytes);
            } else if path.starts_with("/outside-0") {
                add(OUTSIDE, &[0], &bytes);
            }
        }
        out
    }

    #[test]
    fn what_a_store_leaves_is_an_input_that_lays_out_the_same_store() {
        let input = dump(&used_store());
        let disk = empty();
        lay_out(&disk, &input);
        let store = Store::open_on(Arc::new(disk), Path::new(DIR), Options::default()).unwrap();
        let stats = store.list(None, 10).unwrap();
        let partial = stats.iter().find(|stat| !stat.complete).unwrap();
        assert_eq!(partial.held, RangeSet::from(0..16), "the checkpoint's group");
        assert_eq!(stats.iter().filter(|stat| stat.complete).count(), 3, "{stats:?}");
        recovery(&input);
    }

    /// A store in which somebody made up the sizes in the rows of complete blobs.
    fn with_sizes(change: impl Fn(u64) -> u64) -> Store {
        let disk = used_store();
        let dir = disk.open_dir(Path::new(DIR), false).unwrap();
        let (index, _) = Index::open(&*dir, 1 << 16).unwrap();
        let rows = index.rows_under(BTreeMap::new(), Table::Blobs, &[], None, usize::MAX);
        let mut batch = Batch::default();
        for (key, value) in rows.unwrap() {
            let mut row = BlobRow::decode(&value).unwrap();
            row.size = change(row.size);
            batch.put(Table::Blobs, &key, row.encode());
        }
        index.commit(&[&batch]).unwrap();
        drop(index);
        Store::open_on(Arc::new(disk), Path::new(DIR), Options::default()).unwrap()
    }

    #[test]
    fn no_bytes_of_a_partial_blob_prove_nothing() {
        // A partial blob of 0 bytes, alone and behind a row that is none.
        let partial = [&[2, 32, 21, 0][..], &[7; 32], &[0; 16], &[1, 0, 0, 0, 0]].concat();
        recovery(&partial);
        recovery(&[&[1, 32, 1, 0][..], &[6; 32], &[0xff], &partial].concat());
    }

    #[test]
    fn sums_of_what_rows_say_stay_in_range() {
        // Two segments, and two blobs, of almost 2^64 bytes.
        let segment = |number| [&[9, 4, 16, 0, 0, 0, 0, number][..], &[0xff; 16]].concat();
        let blob =
            |id| [&[1, 32, 19, 0][..], &[id; 32], &[0], &[0xff; 8], &[0, 1], &[1; 8]].concat();
        recovery(&[segment(1), segment(2), blob(1), blob(2)].concat());
    }

    //= rfcs/0009-store.md#store-26
    //= type=test
    //# A store MUST stop at the first byte that is missing when it merges an outboard or reads a blob to make one.
    #[test]
    fn a_size_that_a_row_makes_up_costs_no_more_than_what_is_there() {
        // 2^40 groups: years of hashing.
        let store = with_sizes(|size| size + (1 << 54));
        let stats = store.list(None, 10).unwrap();
        assert_eq!(stats.iter().filter(|stat| stat.complete).count(), 3);
        for stat in stats.iter().filter(|stat| stat.complete) {
            assert!(store.reader(&stat.id).and_then(|reader| reader.unwrap().read(0..1)).is_err());
        }
    }

    //= rfcs/0009-store.md#store-28
    //= type=test
    //# A store MUST treat the row of a complete blob of 0 bytes as damage unless the blob is the empty one.
    #[test]
    fn only_the_empty_blob_has_no_bytes() {
        let store = with_sizes(|_| 0);
        let id = samara_tree::hash(b"small");
        let refused = store.reader(&id).err().unwrap();
        assert!(refused.to_string().contains("the row of blob"), "{refused}");
        assert!(matches!(store.stat(&id), Err(StoreError::Corrupt { .. })));

        let empty = store.put(b"").unwrap();
        store.checkpoint().unwrap();
        assert!(store.stat(&empty).unwrap().unwrap().complete);
        let reader = store.reader(&empty).unwrap().unwrap();
        assert_eq!(reader.read(0..0).unwrap().len(), 0);
    }

    #[test]
    fn damage_anywhere_passes() {
        let input = dump(&used_store());
        for at in (0..input.len()).step_by(13) {
            recovery(&input[..at]);
            let mut flipped = input.clone();
            flipped[at] ^= 1 << (at % 8);
            recovery(&flipped);
        }
        recovery(&[]);
    }
}
