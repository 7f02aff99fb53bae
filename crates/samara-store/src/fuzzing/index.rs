//! Opening a store whose index file somebody changed.

use std::{
    panic,
    path::{Path, PathBuf},
    sync::{Arc, Once, OnceLock},
};

use super::{
    DIR,
    recovery::{empty, go_on, look_around, refused},
    used_store,
};
use crate::{Options, Store, disk::MemDisk, index};

const INDEX: &str = "/store/index.redb";

/// What a change takes before its bytes: where in the file (four bytes, least significant first),
/// and how many bytes there are.
const HEAD_LEN: usize = 5;

/// The bit of a place that says that the file ends there, or goes on to there with the byte that is
/// a length otherwise.
const CUT: u32 = 1 << 31;

/// Opening a store whose index file somebody changed, over a disk in memory: it opens, or says that
/// it is damaged, and then the index can be made again; no panic, no false byte.
///
/// Input: changes of the index of a store that was in use, each a place, a length and as many bytes;
/// or, with the highest bit of the place set, a new length of the file and what to fill it with.
///
/// Pages and commit slots have checksums that nothing here mends, so most changes of them end at
/// those; what is behind them is the rows, which `recovery` makes up.
///
/// # Panics
///
/// If a property is violated.
pub fn index(data: &[u8]) {
    leave_guarded_panics();
    let disk = disk();
    let path = Path::new(INDEX);
    let mut file = disk.read_file(path).expect("invariant: a store that was in use");
    change(&mut file, data);
    disk.write_file(path, &file, false).expect("invariant: a new disk");
    let options = Options { cache_bytes: 1 << 16, ..Options::default() };
    for _ in 0..2 {
        let store = match Store::open_on(Arc::new(disk.clone()), Path::new(DIR), options) {
            Ok(store) => store,
            Err(error) => {
                let rebuilt = refused(&disk, &error).expect("the segments are sound");
                for blob in [&b"small"[..], &[1; 20_000]] {
                    let stat = rebuilt.stat(&samara_tree::hash(blob)).expect("the index is new");
                    assert!(stat.is_some_and(|stat| stat.complete), "what is in segments is back");
                }
                return;
            }
        };
        look_around(&store);
        go_on(&store, data);
    }
}

fn change(file: &mut Vec<u8>, changes: &[u8]) {
    let len_max = 2 * file.len();
    let mut rest = changes;
    while let Some(([a, b, c, d, len], after)) = rest.split_first_chunk::<HEAD_LEN>() {
        let place = u32::from_le_bytes([*a, *b, *c, *d]);
        let at = (place & !CUT) as usize;
        if place & CUT != 0 {
            file.resize(at % len_max, *len);
            rest = after;
            continue;
        }
        let (bytes, after) = after.split_at_checked(usize::from(*len)).unwrap_or((after, &[]));
        rest = after;
        let places = file.iter_mut().skip(at % len_max);
        places.zip(bytes).for_each(|(place, byte)| *place = *byte);
    }
}

/// A new disk with the files of a store that was in use.
fn disk() -> MemDisk {
    static FILES: OnceLock<Vec<(PathBuf, Vec<u8>)>> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let disk = used_store();
        let files = disk.files().into_iter();
        files.map(|path| (path.clone(), disk.read_file(&path).unwrap_or_default())).collect()
    });
    let disk = empty();
    for (path, bytes) in files {
        disk.write_file(path, bytes, true).expect("invariant: a new disk");
    }
    disk
}

/// A panic inside of redb is caught and told as damage; a fuzzer would end the process before.
fn leave_guarded_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !index::is_guarded() {
                before(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change as an input has it.
    fn at(place: usize, bytes: &[u8]) -> Vec<u8> {
        let mut out = u32::try_from(place).unwrap().to_le_bytes().to_vec();
        out.push(u8::try_from(bytes.len()).unwrap());
        out.extend_from_slice(bytes);
        out
    }

    #[test]
    fn changes_are_made_where_they_say() {
        let mut file = vec![0; 8];
        let cut = [5, 0, 0, 0x80, 0];
        change(&mut file, &[&at(3, &[1, 2])[..], &at(7, &[9, 9]), &cut, &[1, 0]].concat());
        assert_eq!(file, [0, 0, 0, 1, 2]);
        change(&mut file, &[&[7, 0, 0, 0x80, 4][..], &at(0, &[9])].concat());
        assert_eq!(file, [9, 0, 0, 1, 2, 4, 4]);
    }

    #[test]
    fn the_store_is_one_that_was_in_use() {
        let store = Store::open_on(Arc::new(disk()), Path::new(DIR), Options::default()).unwrap();
        let stats = store.list(None, 10).unwrap();
        let complete = stats.iter().filter(|stat| stat.complete).count();
        assert_eq!((stats.len(), complete), (4, 3), "{stats:?}");
    }

    #[test]
    fn damage_anywhere_passes() {
        index(&[]);
        let len = disk().read_file(Path::new(INDEX)).unwrap().len();
        // The header closely, then all over the file.
        for place in (0..320).chain((320..len).step_by(len / 50)) {
            index(&at(place, &[0x5a]));
            index(&at(place, &[0xff; 8]));
        }
        for len in (0..len).step_by(len / 20) {
            let [a, b, c, d] = u32::try_from(len).unwrap().to_le_bytes();
            index(&[a, b, c, d | 0x80, 0]);
        }
    }
}
