//! Rows of every kind: round trip, one encoding per value, and no bytes that a decoder can't take.

use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::{
    Class,
    limits::{CHUNK_BYTES_MAX, MAP_ENTRIES_MAX},
};

fn loc() -> impl Strategy<Value = Loc> {
    any::<(u32, u32)>().prop_map(|(segment, offset)| Loc { segment, offset })
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}

fn external() -> impl Strategy<Value = External> {
    (any::<u32>(), name(), any::<(i64, u64, u64)>(), any::<bool>()).prop_map(
        |(root, rel, (mtime_ns, inode, device), stale)| External {
            root: RootId(root),
            rel: rel.into(),
            stamp: Stamp { mtime_ns, inode, device },
            stale,
        },
    )
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        loc().prop_map(Place::Record),
        Just(Place::Extents),
        any::<u64>().prop_map(Place::Chunks),
        external().prop_map(Place::External)
    ]
}

fn outboard() -> impl Strategy<Value = Outboard> {
    prop_oneof![Just(Outboard::None), loc().prop_map(Outboard::Record), Just(Outboard::Extents)]
}

fn blob() -> impl Strategy<Value = BlobRow> {
    (any::<u64>(), outboard(), any::<(bool, bool)>(), vec(place(), 1..=PLACES_MAX)).prop_map(
        |(size, outboard, (damaged, patched), places)| BlobRow {
            size,
            outboard,
            damaged,
            patched,
            places,
        },
    )
}

fn partial() -> impl Strategy<Value = PartialRow> {
    let file = (any::<(u32, u32)>(), name(), option::of(any::<i64>())).prop_map(
        |((root, mode), rel, mtime_ns)| PartialPlace::File {
            root: RootId(root),
            rel: rel.into(),
            mode,
            mtime_ns,
        },
    );
    let place = prop_oneof![Just(PartialPlace::Segments), file];
    (any::<(u64, u64)>(), place, name(), name()).prop_map(
        |((size, epoch), place, frontier, cvs)| PartialRow { size, place, epoch, frontier, cvs },
    )
}

fn root() -> impl Strategy<Value = RootRow> {
    (name(), any::<bool>(), option::of(name())).prop_map(|(path, staging, target)| RootRow {
        path,
        staging,
        target,
    })
}

fn rename() -> impl Strategy<Value = RenameRow> {
    (any::<(u32, bool, u64)>(), name(), name()).prop_map(|((root, replace, inode), from, to)| {
        RenameRow { root: RootId(root), replace, inode, from, to }
    })
}

fn set() -> impl Strategy<Value = RangeSet> {
    let run = (0..40_u32, any::<u64>(), 1..40_u64);
    vec(run, 0..20).prop_map(|runs| {
        let start = |bits: u32, at: u64| at & ((2 << bits) - 1);
        runs.into_iter().map(|(bits, at, len)| start(bits, at)..start(bits, at) + len).collect()
    })
}

fn class() -> impl Strategy<Value = ClassRow> {
    any::<(bool, u32, u32)>().prop_map(|(carried, used, uses)| ClassRow {
        class: if carried { Class::Carried } else { Class::Own },
        used,
        uses,
    })
}

fn scrub() -> impl Strategy<Value = ScrubRow> {
    any::<([u8; 32], (u64, u64, u64, u64))>().prop_map(|(id, (next, checked, damaged, passes))| {
        ScrubRow { id: BlobId::from_bytes(id), next, checked, damaged, passes }
    })
}

/// A kind of row.
struct Codec {
    name: &'static str,
    /// The bytes again, if they are a row.
    again: fn(&[u8]) -> Option<Vec<u8>>,
}

const CODECS: [Codec; 12] = [
    Codec { name: "blob", again: |bytes| Some(BlobRow::decode(bytes)?.encode()) },
    Codec { name: "partial", again: |bytes| Some(PartialRow::decode(bytes)?.encode()) },
    Codec { name: "extent", again: |bytes| Some(Extent::decode(bytes)?.encode().to_vec()) },
    Codec { name: "root", again: |bytes| Some(RootRow::decode(bytes)?.encode()) },
    Codec { name: "rename", again: |bytes| Some(RenameRow::decode(bytes)?.encode()) },
    Codec { name: "segment", again: |bytes| Some(SegmentRow::decode(bytes)?.encode()) },
    Codec { name: "chunk", again: |bytes| Some(ChunkRow::decode(bytes)?.encode()) },
    Codec { name: "map", again: |bytes| Some(MapRow::decode(bytes)?.encode()) },
    Codec { name: "leaves", again: |bytes| Some(encode_ranges(&decode_ranges(bytes)?)) },
    Codec { name: "class", again: |bytes| Some(ClassRow::decode(bytes)?.encode()) },
    Codec { name: "scrub", again: |bytes| Some(ScrubRow::decode(bytes)?.encode()) },
    Codec { name: "number", again: |bytes| Some(encode_number(decode_number(bytes)?)) },
];

fn chunk() -> impl Strategy<Value = ChunkRow> {
    let lens = (1..=CHUNK_BYTES_MAX).prop_flat_map(|len| (Just(len), 1..=len));
    (loc_or_nowhere(), lens, any::<u32>()).prop_map(|(loc, (len, stored), count)| ChunkRow {
        loc,
        len,
        stored,
        count,
    })
}

fn map() -> impl Strategy<Value = MapRow> {
    let entry = (any::<[u8; 16]>(), 1..=CHUNK_BYTES_MAX);
    let entry = entry.prop_map(|(key, len)| MapEntry { key, len });
    (loc_or_nowhere(), vec(entry, 0..=MAP_ENTRIES_MAX))
        .prop_map(|(loc, entries)| MapRow { loc, entries })
}

fn loc_or_nowhere() -> impl Strategy<Value = Loc> {
    let loc = loc().prop_map(|loc| Loc { segment: loc.segment.max(1), ..loc });
    prop_oneof![Just(NOWHERE), loc]
}

/// Bytes of a row of some kind.
fn encoded() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        blob().prop_map(|row| row.encode()),
        partial().prop_map(|row| row.encode()),
        root().prop_map(|row| row.encode()),
        rename().prop_map(|row| row.encode()),
        set().prop_map(|set| encode_ranges(&set)),
        chunk().prop_map(|row| row.encode()),
        map().prop_map(|row| row.encode()),
        class().prop_map(ClassRow::encode),
        scrub().prop_map(ScrubRow::encode),
        any::<u64>().prop_map(encode_number),
        vec(any::<u8>(), 0..80),
    ]
}

proptest! {
    #[test]
    fn every_row_comes_back(
        blob in blob(),
        partial in partial(),
        root in root(),
        rename in rename(),
        set in set(),
        part in chunk(),
        map in map(),
        (loc, chunk, len) in (loc(), 1..=u32::MAX, (any::<u64>(), 0..64_u32)),
        (end, live) in any::<(u64, u64)>(),
        (class, scrub) in (class(), scrub()),
    ) {
        prop_assert_eq!(ClassRow::decode(&class.encode()), Some(class));
        prop_assert_eq!(ScrubRow::decode(&scrub.encode()), Some(scrub));
        prop_assert_eq!(decode_number(&encode_number(end)), Some(end));
        let (extent, segment) = (Extent { loc, chunk, len: len.0 >> len.1 }, SegmentRow { end, live });
        prop_assert_eq!(BlobRow::decode(&blob.encode()), Some(blob));
        prop_assert_eq!(PartialRow::decode(&partial.encode()), Some(partial));
        prop_assert_eq!(RootRow::decode(&root.encode()), Some(root));
        prop_assert_eq!(RenameRow::decode(&rename.encode()), Some(rename));
        prop_assert_eq!(decode_ranges(&encode_ranges(&set)), Some(set));
        prop_assert_eq!(ChunkRow::decode(&part.encode()), Some(part));
        prop_assert_eq!(MapRow::decode(&map.encode()), Some(map));
        let fits = Some(extent).filter(Extent::fits_a_segment);
        prop_assert_eq!(Extent::decode(&extent.encode()), fits);
        prop_assert_eq!(SegmentRow::decode(&segment.encode()), Some(segment));
    }

    /// Whatever is taken for a row is its only encoding: changed, cut, of another kind, or random.
    #[test]
    fn bytes_are_the_only_encoding_of_a_row_or_none(
        mut bytes in encoded(),
        at: prop::sample::Index,
        change: u8,
        cut in option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        if !bytes.is_empty() {
            *at.get_mut(&mut bytes) ^= change;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        for codec in CODECS {
            if let Some(again) = (codec.again)(&bytes) {
                prop_assert_eq!(&again, &bytes, "{}", codec.name);
            }
        }
    }

    #[test]
    fn keys_of_extents_sort_by_blob_kind_and_offset(
        one in any::<([u8; 32], bool, u64)>(),
        other in any::<([u8; 32], bool, u64)>(),
    ) {
        let key = |(id, patch, offset): ([u8; 32], bool, u64)| {
            let holds = if patch { Holds::Patch } else { Holds::Data };
            Extent::key(BlobId::from_bytes(id), holds, offset)
        };
        prop_assert_eq!(key(one).cmp(&key(other)), one.cmp(&other));
        prop_assert_eq!(Extent::key_offset(&key(one)), Some(one.2));
    }
}
