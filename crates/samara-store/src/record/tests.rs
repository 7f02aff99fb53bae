use super::*;

fn sample() -> (Header, &'static [u8]) {
    let payload = b"abc";
    let mut header = Header::new(Kind::Data, samara_tree::hash(payload), payload);
    header.blob_size = 3;
    header.segment = 1;
    (header, payload)
}

/// The bytes between the fences of a block in the RFC that begins with this comment.
fn hex_of(comment: &str) -> Vec<u8> {
    let rfc = include_str!("../../../../rfcs/0009-store.md");
    let (_, block) = rfc.split_once(&format!("```hex\n# {comment}")).unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let lines = block.lines().skip(1).map(|line| line.split('#').next().unwrap());
    lines
        .flat_map(str::split_whitespace)
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

#[test]
fn the_example_of_the_rfc_is_what_the_code_writes() {
    let (header, payload) = sample();
    let mut bytes = header.encode().to_vec();
    bytes.extend_from_slice(payload);
    bytes.resize(usize::try_from(stride(3)).unwrap(), 0);
    assert_eq!(hex_of("record of \"abc\""), bytes);
    let row = crate::row::BlobRow {
        size: 3,
        outboard: crate::row::Outboard::None,
        damaged: false,
        patched: false,
        places: vec![crate::row::Place::Record(crate::row::Loc { segment: 1, offset: 64 })],
    };
    assert_eq!(hex_of("index row of \"abc\""), row.encode());
}

#[test]
fn a_header_round_trips() {
    let payload = [7; 32];
    for (kind, flags, blob_size) in [
        (Kind::Data, 0, 32),
        (Kind::Data, FLAG_PROVISIONAL, 0),
        (Kind::Outboard, 0, 40_000),
        (Kind::Bind, FLAG_PROVISIONAL, 40_000),
        (Kind::Bind, FLAG_PROVISIONAL, 0),
        (Kind::Chunk, 0, 32),
    ] {
        let header = Header {
            flags,
            blob_size,
            segment: 1,
            ..Header::new(kind, samara_tree::hash(&payload), &payload)
        };
        assert_eq!(Header::decode(&header.encode(), 1), Ok(header));
        assert_eq!(header.check_payload(&payload), Ok(()));
    }
}

//= rfcs/0009-store.md#store-2
//= type=test
//# A reader MUST treat a record whose header or payload does not match its CRC-32 as absent.
#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let (header, payload) = sample();
    let bytes = header.encode();
    for bit in 0..HEADER_LEN * 8 {
        let mut bytes = bytes;
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Header::decode(&bytes, 1).is_err(), "bit {bit}");
    }
    for len in 0..HEADER_LEN {
        let error = Header::decode(&bytes[..len], 1).unwrap_err();
        assert_eq!((error.offset as usize, error.field), (len, Field::Length));
    }
    for bit in 0..payload.len() * 8 {
        let mut payload = payload.to_vec();
        payload[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(header.check_payload(&payload).unwrap_err().field, Field::PayloadCrc);
    }
    assert_eq!(header.check_payload(b"ab").unwrap_err().field, Field::PayloadLen);
}

/// A header with some bytes replaced and its CRC made right again.
fn forged(change: impl FnOnce(&mut [u8; HEADER_LEN])) -> Result<Header, RecordError> {
    let mut bytes = sample().0.encode();
    change(&mut bytes);
    let crc = crc32fast::hash(&bytes[..68]);
    bytes[68..].copy_from_slice(&crc.to_le_bytes());
    Header::decode(&bytes, 1)
}

fn field(result: Result<Header, RecordError>) -> (u32, Field) {
    let error = result.unwrap_err();
    (error.offset, error.field)
}

//= rfcs/0009-store.md#store-21
//= type=test
//# A reader MUST treat a record as absent whose magic, kind, flags, zeros, segment number or
//# span is not as the table says.
#[test]
fn each_field_has_its_own_refusal() {
    assert_eq!(field(forged(|bytes| bytes[0] = 0)), (0, Field::Magic));
    assert_eq!(field(forged(|bytes| bytes[4] = 6)), (4, Field::Kind));
    assert_eq!(field(forged(|bytes| bytes[5] = 2)), (5, Field::Flags));
    assert_eq!(field(forged(|bytes| bytes[7] = 1)), (6, Field::Reserved));
    assert_eq!(field(forged(|bytes| bytes[64] = 2)), (64, Field::Segment));
    for segment in [0, SEGMENT_NUMBER_MAX + 1] {
        let header = Header { segment, ..sample().0 };
        assert_eq!(field(Header::decode(&header.encode(), segment)), (64, Field::Segment));
    }
    let header = Header { segment: SEGMENT_NUMBER_MAX, ..sample().0 };
    assert_eq!(Header::decode(&header.encode(), SEGMENT_NUMBER_MAX), Ok(header));
    // The payload would reach past the end of the blob.
    assert_eq!(field(forged(|bytes| bytes[24] = 1)), (24, Field::Span));
    assert_eq!(field(forged(|bytes| bytes[24..32].fill(255))), (24, Field::Span));
}

/// What is wrong with a header of this kind, flag, size, offset and length.
fn spanned(
    kind: Kind,
    flags: u8,
    blob_size: u64,
    blob_offset: u64,
    payload_len: u32,
) -> Option<(u32, Field)> {
    let header = Header { kind, flags, blob_size, blob_offset, payload_len, ..sample().0 };
    Header::decode(&header.encode(), 1).err().map(|error| (error.offset, error.field))
}

//= rfcs/0009-store.md#store-22
//= type=test
//# A reader MUST treat a binding as absent whose id is not marked as provisional, whose payload is
//# not 32 bytes long or whose blob offset is not 0.
#[test]
fn a_binding_has_one_form() {
    let bind = |flags, offset, len| spanned(Kind::Bind, flags, 2_000_000, offset, len);
    assert_eq!(bind(FLAG_PROVISIONAL, 0, 32), None);
    assert_eq!(bind(0, 0, 32), Some((5, Field::Flags)));
    assert_eq!(bind(FLAG_PROVISIONAL, 0, 31), Some((8, Field::PayloadLen)));
    assert_eq!(bind(FLAG_PROVISIONAL, 0, 33), Some((8, Field::PayloadLen)));
    assert_eq!(bind(FLAG_PROVISIONAL, 1, 32), Some((24, Field::Span)));
}

//= rfcs/0009-store.md#store-23
//= type=test
//# A reader MUST treat a record with a provisional id as absent if it is an outboard, or if it is
//# data with a blob size other than 0.
#[test]
fn what_has_a_provisional_id_has_no_size_yet() {
    assert_eq!(spanned(Kind::Data, FLAG_PROVISIONAL, 0, 1 << 40, 9), None);
    assert_eq!(spanned(Kind::Data, FLAG_PROVISIONAL, 9, 0, 9), Some((16, Field::BlobSize)));
    let outboard = spanned(Kind::Outboard, FLAG_PROVISIONAL, 40_000, 0, 96);
    assert_eq!(outboard, Some((5, Field::Flags)));
}

//= rfcs/0009-store.md#store-24
//= type=test
//# A reader MUST treat an outboard record as absent whose blob offset or payload length is not a
//# multiple of 32, or whose span ends behind the outboard of a blob of its size.
#[test]
fn an_outboard_is_whole_values_and_no_more_than_the_size_has() {
    let outboard = |size, offset, len| spanned(Kind::Outboard, 0, size, offset, len);
    for (size, offset, len) in [(40_000, 0, 96), (40_000, 64, 32), (49_153, 96, 32)] {
        assert_eq!(outboard(size, offset, len), None);
    }
    for (size, offset, len) in
        [(40_000, 0, 95), (40_000, 1, 32), (40_000, 64, 64), (49_152, 96, 32), (16_384, 0, 32)]
    {
        assert_eq!(outboard(size, offset, len), Some((24, Field::Span)), "{size} {offset} {len}");
    }
}

//= rfcs/0009-store.md#store-33
//= type=test
//# A reader MUST treat a chunk record as absent whose id is provisional, whose blob offset is not 0,
//# whose blob size is not the length of a chunk, or whose payload is not as long as the chunk if it is
//# not compressed, or not shorter if it is.
#[test]
fn a_chunk_is_a_whole() {
    let chunk = |flags, size, offset, len| spanned(Kind::Chunk, flags, size, offset, len);
    assert_eq!(chunk(0, 9, 0, 9), None);
    assert_eq!(chunk(0, 1_048_576, 0, 1_048_576), None);
    assert_eq!(chunk(FLAG_PROVISIONAL, 9, 0, 9), Some((5, Field::Flags)));
    assert_eq!(chunk(0, 9, 1, 9), Some((24, Field::Span)));
    assert_eq!(chunk(0, 10, 0, 9), Some((8, Field::PayloadLen)));
    assert_eq!(chunk(0, 8, 0, 9), Some((8, Field::PayloadLen)));
    assert_eq!(chunk(0, 0, 0, 0), Some((16, Field::BlobSize)));
    assert_eq!(chunk(FLAG_COMPRESSED, 9, 0, 8), None);
    assert_eq!(chunk(FLAG_COMPRESSED, 1_048_576, 0, 1), None);
    assert_eq!(chunk(FLAG_COMPRESSED, 1_048_577, 0, 1), Some((16, Field::BlobSize)));
    for len in [0, 9, 10] {
        assert_eq!(chunk(FLAG_COMPRESSED, 9, 0, len), Some((8, Field::PayloadLen)));
    }
    assert_eq!(spanned(Kind::Data, FLAG_COMPRESSED, 9, 0, 9), Some((5, Field::Flags)));
}

//= rfcs/0009-store.md#store-34
//= type=test
//# A reader MUST treat a map record as absent whose id is not provisional, whose blob size is not 0,
//# whose payload is not one or more entries of 36 bytes, or of which an entry's length is not 1 to
//# 1,048,576.
#[test]
fn a_map_is_entries_of_chunks() {
    let map = |flags, size, offset, len| spanned(Kind::Map, flags, size, offset, len);
    for len in [36, 72, 1_048_572] {
        assert_eq!(map(FLAG_PROVISIONAL, 0, 1 << 40, len), None);
    }
    assert_eq!(map(0, 0, 0, 36), Some((5, Field::Flags)));
    assert_eq!(map(FLAG_PROVISIONAL, 36, 0, 36), Some((16, Field::BlobSize)));
    for len in [0, 35, 37] {
        assert_eq!(map(FLAG_PROVISIONAL, 0, 0, len), Some((8, Field::PayloadLen)), "{len}");
    }
    let entry = |len: u32| [&[1; 32][..], &len.to_le_bytes()].concat();
    let check = |payload: &[u8]| {
        let header = Header::new(Kind::Map, samara_tree::hash(b"any"), payload);
        header.check_payload(payload).map_err(|error| (error.offset, error.field))
    };
    for len in [1, 1_048_576] {
        assert_eq!(check(&[entry(7), entry(len)].concat()), Ok(()));
    }
    for len in [0, 1_048_577, u32::MAX] {
        assert_eq!(check(&[entry(7), entry(len)].concat()), Err((140, Field::Entry)));
    }
}

//= rfcs/0009-store.md#store-20
//= type=test
//# A reader MUST treat a record that announces a payload of more than 1,048,576 bytes as absent.
#[test]
fn the_payload_limit_is_exact() {
    let with = |len: u32| {
        forged(|bytes| {
            bytes[8..12].copy_from_slice(&len.to_le_bytes());
            bytes[16..24].copy_from_slice(&u64::from(len).to_le_bytes());
        })
    };
    assert_eq!(with(1_048_576).unwrap().payload_len, 1_048_576);
    assert_eq!(field(with(1_048_577)), (8, Field::PayloadLen));
}

#[test]
fn a_segment_header_is_checked_field_by_field() {
    let good = segment_header(7);
    assert_eq!(check_segment_header(&good, 7), Ok(()));
    assert_eq!(check_segment_header(&good, 8).unwrap_err().field, Field::Segment);
    assert_eq!(check_segment_header(&good[..63], 7).unwrap_err().field, Field::Length);
    for (at, expected) in
        [(0, Field::Magic), (8, Field::Version), (20, Field::HeaderCrc), (63, Field::HeaderCrc)]
    {
        let mut bad = good;
        bad[at] ^= 1;
        assert_eq!(check_segment_header(&bad, 7).unwrap_err().field, expected);
    }
}
