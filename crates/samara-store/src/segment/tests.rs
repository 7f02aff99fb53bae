use super::*;
use crate::disk::{Disk as _, MemDisk};
use std::path::Path;

fn dir() -> Arc<dyn Dir> {
    let dir = MemDisk::new().open_dir(Path::new("/store"), true).unwrap();
    dir.make_dirs(SEGMENTS_DIR).unwrap();
    dir
}

fn append(writer: &mut Writer, payload: &[u8]) -> Loc {
    let id = samara_tree::hash(payload);
    let blob_size = payload.len() as u64;
    let what = Append { kind: Kind::Data, flags: 0, id, blob_size, blob_offset: 0, payload };
    writer.append(&what).unwrap()
}

fn scanned(dir: &dyn Dir, number: u32) -> (Vec<(u64, Vec<u8>)>, u64) {
    let file = dir.open(&segment_path(number), Open::Read).unwrap();
    let mut found = Vec::new();
    let end = scan(&*file, number, 0, &mut |at, _, payload| {
        found.push((at, payload.to_vec()));
        Ok(())
    });
    (found, end.unwrap())
}

#[test]
fn what_is_appended_is_scanned_whatever_the_sizes() {
    let dir = dir();
    let mut writer = Writer::new(Arc::clone(&dir), 1 << 30, 0, 1, None);
    let sizes = [0, 1, 7, 8, 9, DIRECT_LEN - 1, DIRECT_LEN, DIRECT_LEN + 1, 3, PAYLOAD_MAX, 5];
    let mut expected = Vec::new();
    for (at, size) in sizes.into_iter().enumerate() {
        let payload = vec![u8::try_from(at).unwrap(); size];
        let loc = append(&mut writer, &payload);
        assert!(loc.offset.is_multiple_of(8));
        expected.push((u64::from(loc.offset), payload));
    }
    writer.flush().unwrap();
    let (found, end) = scanned(&*dir, 1);
    assert_eq!(found, expected);
    let unsynced = writer.take_unsynced();
    assert_eq!(unsynced.keys().copied().collect::<Vec<_>>(), [1]);
    assert_eq!(unsynced[&1].1, end);
}

#[test]
fn a_full_segment_is_followed_by_the_next() {
    let dir = dir();
    let mut writer = Writer::new(Arc::clone(&dir), 4096, 0, 1, None);
    let locs: Vec<Loc> = (0..5).map(|at| append(&mut writer, &vec![at; 1500])).collect();
    writer.flush().unwrap();
    assert_eq!(locs.iter().map(|loc| loc.segment).collect::<Vec<_>>(), [1, 1, 2, 2, 3]);
    let sealed = dir.open(&segment_path(1), Open::Read).unwrap().meta().unwrap().size;
    assert_eq!(sealed, 64 + 2 * stride(1500), "the preallocation is cut off");
}

#[test]
fn a_failed_append_leaves_no_record_and_the_next_takes_its_place() {
    let disk = MemDisk::new();
    let dir = disk.open_dir(Path::new("/store"), true).unwrap();
    dir.make_dirs(SEGMENTS_DIR).unwrap();
    let mut writer = Writer::new(Arc::clone(&dir), 1 << 30, 0, 1, None);
    append(&mut writer, b"first");
    for (at, len) in [(0, 100_000), (1, 100_000)] {
        disk.fail_after(at, crate::disk::Fault::Io);
        let payload = vec![1; len];
        let id = samara_tree::hash(&payload);
        let what = Append {
            kind: Kind::Data,
            flags: 0,
            id,
            blob_size: len as u64,
            blob_offset: 0,
            payload: &payload,
        };
        assert!(writer.append(&what).is_err());
        disk.heal();
    }
    append(&mut writer, b"second");
    writer.flush().unwrap();
    let (found, _) = scanned(&*dir, 1);
    let payloads: Vec<&[u8]> = found.iter().map(|(_, payload)| payload.as_slice()).collect();
    assert_eq!(payloads, [b"first".as_slice(), b"second"]);
}

#[test]
fn names_of_segments_are_canonical() {
    assert_eq!(segment_path(7), b"segments/00000007.seg");
    assert_eq!(segment_number(b"00000007.seg"), Some(7));
    assert_eq!(segment_number(b"99999999.seg"), Some(99_999_999));
    for name in [
        b"7.seg".as_slice(),
        b"00000007.sex",
        b"+0000007.seg",
        b"000000007.seg",
        b"00000000.seg",
        b"100000000.seg",
        b"",
    ] {
        assert_eq!(segment_number(name), None);
    }
}

//= rfcs/0009-store.md#store-25
//= type=test
//# A store MUST number its segments from 1 to 99,999,999.
#[test]
fn no_segment_gets_a_number_that_its_name_cannot_hold() {
    let dir = dir();
    let mut writer = Writer::new(Arc::clone(&dir), 4096, 0, 99_999_999, None);
    let id = samara_tree::hash(b"");
    let payload = vec![1; 3000];
    let what = Append {
        kind: Kind::Data,
        flags: 0,
        id,
        blob_size: 3000,
        blob_offset: 0,
        payload: &payload,
    };
    assert_eq!(writer.append(&what).unwrap().segment, 99_999_999);
    let error = writer.append(&what).unwrap_err();
    assert!(error.to_string().contains("the last segment number is taken"), "{error}");
    let mut names = Vec::new();
    dir.list(SEGMENTS_DIR, &mut |name| names.push(name.to_vec())).unwrap();
    assert_eq!(names, [b"99999999.seg"]);
}

#[test]
fn pieces_of_an_extent_skip_the_headers_between() {
    let loc = Loc { segment: 1, offset: 64 };
    let extent = Extent { loc, chunk: 10, len: 25 };
    let found: Vec<_> = pieces(&extent, 5, 25).collect();
    let record = stride(10);
    assert_eq!(found, [(141, 5), (136 + record, 10), (136 + 2 * record, 5)]);
    assert_eq!(pieces(&extent, 7, 7).count(), 0);
}

#[test]
fn an_extent_grows_only_by_the_record_that_follows_it() {
    let loc = Loc { segment: 1, offset: 64 };
    let extent = Extent { loc, chunk: 10, len: 10 };
    let next = Loc { segment: 1, offset: 64 + u32::try_from(stride(10)).unwrap() };
    assert_eq!(extend(&extent, next, 10), Some(Extent { len: 20, ..extent }));
    assert_eq!(extend(&extent, next, 3), Some(Extent { len: 13, ..extent }));
    assert_eq!(extend(&extent, next, 11), None, "longer than the chunk");
    assert_eq!(extend(&extent, Loc { segment: 2, ..next }, 10), None, "another segment");
    assert_eq!(extend(&extent, loc, 10), None, "another place");
    let short = Extent { len: 13, ..extent };
    assert_eq!(extend(&short, next, 10), None, "the last record was short");
}
