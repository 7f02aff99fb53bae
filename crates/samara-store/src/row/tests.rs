use super::*;

fn external(rel: &[u8], stale: bool) -> Place {
    Place::External(External {
        root: RootId(3),
        rel: rel.into(),
        stamp: Stamp { mtime_ns: -5, inode: 6, device: 7 },
        stale,
    })
}

#[test]
fn blob_rows_round_trip_and_nothing_else_decodes() {
    let loc = Loc { segment: 9, offset: 64 };
    for outboard in [Outboard::None, Outboard::Record(loc), Outboard::Extents] {
        for places in [
            vec![Place::Record(loc)],
            vec![Place::Extents, external(b"a/\xff", false)],
            vec![external(b"a", true), external(&[b'x'; 4095], false), Place::Record(loc)],
        ] {
            let row = BlobRow { size: u64::MAX, outboard, damaged: true, patched: false, places };
            let bytes = row.encode();
            assert_eq!(BlobRow::decode(&bytes), Some(row));
            for len in 0..bytes.len() {
                let cut = BlobRow::decode(&bytes[..len]);
                assert!(cut.is_none_or(|cut| cut.encode() == bytes[..len]), "cut at {len}");
            }
        }
    }
    assert_eq!(BlobRow::decode(&[0; 10]), None, "no place");
    let mut many = BlobRow {
        size: 1,
        outboard: Outboard::None,
        damaged: false,
        patched: true,
        places: vec![Place::Extents; PLACES_MAX],
    };
    assert_eq!(BlobRow::decode(&many.encode()), Some(many.clone()));
    many.places.push(Place::Extents);
    assert_eq!(BlobRow::decode(&many.encode()), None, "five places");
}

#[test]
fn partial_rows_round_trip() {
    let file = |mtime_ns| PartialPlace::File {
        root: RootId(1),
        rel: b"x".as_slice().into(),
        mode: 0o644,
        mtime_ns,
    };
    for place in [PartialPlace::Segments, file(None), file(Some(-1))] {
        let row =
            PartialRow { size: 5, place, epoch: 2, frontier: vec![1, 2, 3], cvs: vec![4; 64] };
        assert_eq!(PartialRow::decode(&row.encode()), Some(row));
    }
}

#[test]
fn small_rows_round_trip() {
    let extent = Extent { loc: Loc { segment: 1, offset: 64 }, chunk: 10, len: 25 };
    assert_eq!(Extent::decode(&extent.encode()), Some(extent));
    assert_eq!(Extent::decode(&[0; 20]), None, "a chunk of no bytes");
    let root = RootRow { path: b"/a".to_vec(), staging: true, target: None };
    assert_eq!(RootRow::decode(&root.encode()), Some(root.clone()));
    let root = RootRow { target: Some(b"/b".to_vec()), ..root };
    assert_eq!(RootRow::decode(&root.encode()), Some(root));
    let rename = RenameRow {
        root: RootId(2),
        replace: true,
        inode: 3,
        from: b"a".to_vec(),
        to: b"b".to_vec(),
    };
    assert_eq!(RenameRow::decode(&rename.encode()), Some(rename));
    let segment = SegmentRow { end: 5, live: 6 };
    assert_eq!(SegmentRow::decode(&segment.encode()), Some(segment));
    let set = RangeSet::from_iter([0..3, 10..12]);
    assert_eq!(decode_ranges(&encode_ranges(&set)), Some(set));
    assert_eq!(decode_ranges(&[0; 8]), None);
    assert_eq!(decode_ranges(&[0; 16]), None, "an empty run");
    let adjacent = [encode_ranges(&RangeSet::from(0..3)), encode_ranges(&RangeSet::from(3..4))];
    assert_eq!(decode_ranges(&adjacent.concat()), None, "not coalesced");
    assert_eq!(decode_ranges(&[255; 16]), None, "the end does not overflow");
}

#[test]
fn extent_keys_sort_by_place() {
    let id = samara_tree::hash(b"x");
    let key = |holds, offset| Extent::key(id, holds, offset);
    assert!(key(Holds::Data, 255) < key(Holds::Data, 256));
    assert!(key(Holds::Data, u64::MAX) < key(Holds::Outboard, 0));
    assert!(key(Holds::Outboard, u64::MAX) < key(Holds::Patch, 0));
    assert_eq!(Extent::key_offset(&key(Holds::Data, 77)), Some(77));
}
