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
    let loc = Loc { segment: 1, offset: 64 };
    let chunk = ChunkRow { loc, len: 1_048_576, stored: 9, count: 2 };
    assert_eq!(ChunkRow::decode(&chunk.encode()), Some(chunk));
    assert_eq!(ChunkRow { loc: NOWHERE, ..chunk }.extent(), None);
    for wrong in [
        ChunkRow { len: 0, ..chunk },
        ChunkRow { len: 1_048_577, ..chunk },
        ChunkRow { stored: 0, ..chunk },
        ChunkRow { stored: 10, len: 9, ..chunk },
        ChunkRow { loc: Loc { segment: 0, offset: 8 }, ..chunk },
    ] {
        assert_eq!(ChunkRow::decode(&wrong.encode()), None, "{wrong:?}");
    }
    let entry = MapEntry { key: [7; 16], len: 1_048_576 };
    let map = MapRow { loc, entries: vec![entry; 128] };
    assert_eq!(MapRow::decode(&map.encode()), Some(map.clone()));
    for entries in [vec![entry; 129], vec![MapEntry { len: 0, ..entry }]] {
        assert_eq!(MapRow::decode(&MapRow { loc, entries }.encode()), None);
    }
    assert_eq!(MapRow::decode(&MapRow { loc, entries: vec![entry] }.encode()[..27]), None);
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

#[test]
fn keys_of_maps_sort_by_map_and_offset() {
    assert!(MapRow::key(1, u64::MAX) < MapRow::key(2, 0));
    assert!(MapRow::key(1, 255) < MapRow::key(1, 256));
    assert_eq!(MapRow::parts(&MapRow::key(3, 77)), Some((3, 77)));
    assert_eq!(MapRow::parts(&[0; 15]), None);
}

#[test]
fn a_count_stops_at_its_end_and_never_comes_back() {
    let loc = Loc { segment: 1, offset: 64 };
    let row = |count| ChunkRow { loc, len: 5, stored: 5, count };
    assert_eq!(row(2).uncounted(1), Some(row(1)));
    assert_eq!(row(2).uncounted(2), None);
    assert_eq!(row(1).uncounted(2), None);
    assert_eq!(row(u32::MAX - 1).counted(2), row(u32::MAX));
    assert_eq!(row(u32::MAX).uncounted(1), Some(row(u32::MAX)));
}

/// What the store itself has would be given back by nobody.
#[test]
fn places_are_trimmed_from_the_files() {
    let mut row = BlobRow::in_record(5, Loc { segment: 1, offset: 64 });
    for name in [b"a", b"b", b"c", b"d"] {
        row.places.insert(0, external(name, false));
    }
    row.trim();
    assert_eq!(row.places.len(), PLACES_MAX);
    assert_eq!(row.places.last(), Some(&Place::Record(Loc { segment: 1, offset: 64 })));
    assert_eq!(row.places.first(), Some(&external(b"d", false)));
}
