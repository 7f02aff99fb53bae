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
    for kind in [Kind::Data, Kind::Outboard, Kind::Bind] {
        for flags in [0, FLAG_PROVISIONAL] {
            let (sample, payload) = sample();
            let header = Header { kind, flags, ..sample };
            assert_eq!(Header::decode(&header.encode(), 1), Ok(header));
            assert_eq!(header.check_payload(payload), Ok(()));
        }
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
    assert_eq!(field(forged(|bytes| bytes[4] = 4)), (4, Field::Kind));
    assert_eq!(field(forged(|bytes| bytes[5] = 2)), (5, Field::Flags));
    assert_eq!(field(forged(|bytes| bytes[7] = 1)), (6, Field::Reserved));
    assert_eq!(field(forged(|bytes| bytes[64] = 2)), (64, Field::Segment));
    // The payload would reach past the end of the blob.
    assert_eq!(field(forged(|bytes| bytes[24] = 1)), (24, Field::Span));
    assert_eq!(field(forged(|bytes| bytes[24..32].fill(255))), (24, Field::Span));
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
