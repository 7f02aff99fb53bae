//! Heads of records and segments: round trip, one encoding per value, every change noticed.

use proptest::prelude::*;
use samara_tree::{Cv, Tree};

use super::*;

/// Headers that a store writes (STORE-22 to STORE-25).
fn header() -> impl Strategy<Value = Header> {
    let payload = proptest::collection::vec(any::<u8>(), 0..100);
    let kind = prop_oneof![
        Just(Kind::Data),
        Just(Kind::Outboard),
        Just(Kind::Bind),
        Just(Kind::Chunk),
        Just(Kind::Map)
    ];
    let numbers = (any::<(u64, u64)>(), 1..=SEGMENT_NUMBER_MAX);
    (kind, any::<bool>(), payload, numbers, any::<[u8; 32]>()).prop_map(
        |(kind, provisional, mut payload, ((size, offset), segment), id)| {
            let (whole, unit) = match kind {
                Kind::Data => (size.max(payload.len() as u64), 1),
                Kind::Outboard => (Tree::new(size).outboard_len(), Cv::LEN),
                Kind::Bind => (BlobId::LEN as u64, BlobId::LEN),
                Kind::Chunk => (payload.len().max(1) as u64, 1),
                Kind::Map => (2 * MAP_ENTRY_LEN as u64, MAP_ENTRY_LEN),
            };
            // A payload is of whole values and ends within its blob, or its outboard.
            let len = usize::try_from(whole).unwrap_or(usize::MAX).min(payload.len()) / unit * unit;
            payload.resize(if kind == Kind::Bind { unit } else { len }, 7);
            if matches!(kind, Kind::Chunk | Kind::Map) {
                payload.resize(usize::try_from(whole).unwrap_or_default(), 7);
            }
            let unit = unit as u64;
            let mut header = Header::new(kind, BlobId::from_bytes(id), &payload);
            header.blob_offset = offset % (whole - payload.len() as u64 + 1) / unit * unit;
            header.blob_size = match kind {
                Kind::Data | Kind::Chunk => whole,
                Kind::Map => 0,
                Kind::Outboard | Kind::Bind => size,
            };
            if kind == Kind::Map {
                header.blob_offset = offset % (1 << 63);
            }
            let never_known = matches!(kind, Kind::Bind | Kind::Map);
            if never_known || (kind == Kind::Data && provisional) {
                header.flags = FLAG_PROVISIONAL;
            }
            if kind == Kind::Data && provisional {
                header.blob_size = 0;
                header.blob_offset %= 1 << 63;
            }
            header.segment = segment;
            header
        },
    )
}

/// Puts the right CRC-32 at the end, so that the fields are looked at.
fn seal(bytes: &mut [u8; HEADER_LEN]) {
    let (fields, crc) = bytes.split_last_chunk_mut::<4>().expect("invariant: longer than a CRC");
    *crc = crc32fast::hash(fields).to_le_bytes();
}

proptest! {
    #[test]
    fn every_head_comes_back_in_its_segment_alone(header in header()) {
        let bytes = header.encode();
        prop_assert_eq!(Header::decode(&bytes, header.segment), Ok(header));
        prop_assert!(Header::decode(&bytes, header.segment ^ 1).is_err());
    }

    #[test]
    fn any_changed_byte_of_a_head_is_noticed(
        header in header(),
        at: prop::sample::Index,
        change in 1..=u8::MAX,
    ) {
        let mut bytes = header.encode();
        bytes[at.index(HEADER_LEN)] ^= change;
        prop_assert!(Header::decode(&bytes, header.segment).is_err());
    }

    /// A writer that errs puts a right CRC on wrong fields: what is taken is the only encoding.
    #[test]
    fn a_sealed_head_is_the_only_encoding_of_what_it_says_or_none(
        header in header(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = header.encode();
        for (at, change) in changes {
            bytes[at.index(HEADER_LEN)] ^= change;
        }
        seal(&mut bytes);
        if let Ok(again) = Header::decode(&bytes, header.segment) {
            prop_assert_eq!(again.encode(), bytes);
        }
    }

    #[test]
    fn a_payload_passes_as_it_was_and_no_other(
        payload in proptest::collection::vec(any::<u8>(), 1..200),
        at: prop::sample::Index,
        change in 1..=u8::MAX,
    ) {
        let header = Header::new(Kind::Data, BlobId::from_bytes([1; 32]), &payload);
        prop_assert_eq!(header.check_payload(&payload), Ok(()));
        let mut changed = payload;
        *at.get_mut(&mut changed) ^= change;
        prop_assert!(header.check_payload(&changed).is_err());
    }

    #[test]
    fn a_segment_is_known_by_its_number(
        number: u32,
        at: prop::sample::Index,
        change in 1..=u8::MAX,
    ) {
        let mut bytes = segment_header(number);
        prop_assert_eq!(check_segment_header(&bytes, number), Ok(()));
        prop_assert!(check_segment_header(&bytes, number ^ 1).is_err());
        bytes[at.index(SEGMENT_HEADER_LEN)] ^= change;
        prop_assert!(check_segment_header(&bytes, number).is_err());
    }
}
