use super::List;
use crate::{Codec, Params, ours::number};

fn params(segment: u32) -> Params {
    Params::from_iter([("segment".to_owned(), number(segment))])
}

/// The fields of a record's header, to be changed one by one.
#[derive(Clone)]
struct Fields {
    magic: [u8; 4],
    kind: u8,
    flags: u8,
    zeros: [u8; 2],
    payload_len: u32,
    payload_crc: u32,
    blob_size: u64,
    blob_offset: u64,
    id: [u8; 32],
    segment: u32,
}

impl Fields {
    /// Of a data record of the whole of a small blob.
    fn of(payload: &[u8]) -> Self {
        Self {
            magic: *b"SmRc",
            kind: 1,
            flags: 0,
            zeros: [0; 2],
            payload_len: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            payload_crc: super::frame::crc32(payload),
            blob_size: payload.len() as u64,
            blob_offset: 0,
            id: *samara_tree::hash(payload).as_bytes(),
            segment: 7,
        }
    }

    fn record(&self, payload: &[u8]) -> Vec<u8> {
        let mut out = self.magic.to_vec();
        out.extend([self.kind, self.flags]);
        out.extend(self.zeros);
        out.extend(self.payload_len.to_le_bytes());
        out.extend(self.payload_crc.to_le_bytes());
        out.extend(self.blob_size.to_le_bytes());
        out.extend(self.blob_offset.to_le_bytes());
        out.extend(self.id);
        out.extend(self.segment.to_le_bytes());
        out.extend(super::frame::crc32(&out).to_le_bytes());
        out.extend(payload);
        out
    }
}

pub(super) fn list() -> List {
    let about = "One record of a segment: header and payload.";
    let mut list = List::new("record", Codec::Record, "rfcs/0009-store.md", about);
    let seven = params(7);
    let payload = b"samara".as_slice();
    let sound = Fields::of(payload);
    let bytes = sound.record(payload);
    list.valid("a blob of six bytes", &seven, &bytes, Some("STORE-2"));
    list.valid("the empty blob", &seven, &Fields::of(b"").record(b""), Some("STORE-2"));
    let middle = Fields { blob_size: 1 << 40, blob_offset: (1 << 40) - 6, ..sound.clone() };
    list.valid("the end of a large blob", &seven, &middle.record(payload), None);
    outboards(&mut list);
    imports(&mut list);
    chunks(&mut list);
    maps(&mut list);
    segments(&mut list);

    for bit in (0..8 * bytes.len()).step_by(3) {
        let mut flipped = bytes.clone();
        if let Some(byte) = flipped.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        list.invalid("STORE-2", &format!("bit {bit} is flipped"), &seven, &flipped);
    }
    list.invalid("STORE-21", "a record of another segment", &params(8), &bytes);
    list.invalid(
        "STORE-2",
        "its last byte is missing",
        &seven,
        bytes.get(..bytes.len() - 1).unwrap_or_default(),
    );
    list.invalid(
        "STORE-2",
        "with the bytes up to the next record, which are not its own",
        &seven,
        &[bytes.as_slice(), &[0; 2]].concat(),
    );
    list.invalid("STORE-2", "half a header", &seven, bytes.get(..36).unwrap_or_default());
    list.invalid("STORE-2", "nothing", &seven, &[]);
    let cases = [
        ("another magic", Fields { magic: *b"SmRd", ..sound.clone() }, "STORE-21"),
        ("kind 0", Fields { kind: 0, ..sound.clone() }, "STORE-21"),
        ("kind 6", Fields { kind: 6, ..sound.clone() }, "STORE-21"),
        ("kind 255", Fields { kind: 255, ..sound.clone() }, "STORE-21"),
        ("an unknown flag", Fields { flags: 2, ..sound.clone() }, "STORE-21"),
        ("bytes that have to be zero", Fields { zeros: [0, 1], ..sound.clone() }, "STORE-21"),
        ("a payload CRC of another payload", Fields { payload_crc: 0, ..sound.clone() }, "STORE-2"),
        (
            "a payload of 1,048,577 bytes",
            Fields { payload_len: (1 << 20) + 1, blob_size: 1 << 30, ..sound.clone() },
            "STORE-20",
        ),
        (
            "a payload of 2^32 - 1 bytes",
            Fields { payload_len: u32::MAX, blob_size: 1 << 40, ..sound.clone() },
            "STORE-20",
        ),
        ("data behind the end of the blob", Fields { blob_size: 5, ..sound.clone() }, "STORE-21"),
        (
            "data at an offset behind the blob",
            Fields { blob_offset: 1, ..sound.clone() },
            "STORE-21",
        ),
        (
            "an offset that overflows",
            Fields { blob_offset: u64::MAX, blob_size: u64::MAX, ..sound },
            "STORE-21",
        ),
    ];
    for (comment, fields, req) in cases {
        list.invalid(
            req,
            &format!("{comment}, under a sound CRC-32"),
            &seven,
            &fields.record(payload),
        );
    }
    list
}

/// Offset, length and size of outboard records.
fn outboards(list: &mut List) {
    let seven = params(7);
    let record = |blob_size, blob_offset, len: usize| {
        let payload = vec![0x11; len];
        Fields { kind: 2, blob_size, blob_offset, ..Fields::of(&payload) }.record(&payload)
    };
    for (comment, size, offset, len) in [
        ("an outboard", 40_000, 0, 96),
        ("the last value of an outboard", 40_000, 64, 32),
        ("the end of the outboard of a large blob", 1 << 40, (1 << 31) - 64, 64),
    ] {
        list.valid(comment, &seven, &record(size, offset, len), Some("STORE-24"));
    }
    for (comment, size, offset, len) in [
        ("an outboard of 95 bytes", 40_000, 0, 95),
        ("an outboard that begins within a value", 40_000, 16, 64),
        ("an outboard with a value too many", 40_000, 0, 128),
        ("an outboard that ends a value too late", 40_000, 64, 64),
        ("an outboard of a blob that fits one group", 16_384, 0, 32),
    ] {
        list.invalid("STORE-24", comment, &seven, &record(size, offset, len));
    }
}

/// What has a provisional id.
fn imports(list: &mut List) {
    let seven = params(7);
    let (data, bound) = (b"samara".as_slice(), [0x22; 32]);
    let sound = Fields { flags: 1, blob_size: 0, ..Fields::of(data) };
    for (comment, blob_offset) in [
        ("the first data of an import whose id is not known yet", 0),
        ("later data of an import whose id is not known yet", 1 << 20),
        ("data of an import that ends at 2^64 - 1", u64::MAX - 6),
    ] {
        let bytes = Fields { blob_offset, ..sound.clone() }.record(data);
        list.valid(comment, &seven, &bytes, Some("STORE-23"));
    }
    let binding = Fields { kind: 3, flags: 1, blob_size: 2_000_000, ..Fields::of(&bound) };
    list.valid("a binding", &seven, &binding.record(&bound), Some("STORE-22"));
    let nothing = Fields { blob_size: 0, ..binding.clone() };
    list.valid("a binding to a blob of size 0", &seven, &nothing.record(&bound), Some("STORE-22"));
    let cases = [
        (
            "STORE-23",
            "provisional data with a size",
            Fields { blob_size: 6, ..sound.clone() },
            data,
        ),
        (
            "STORE-21",
            "provisional data at an offset that overflows",
            Fields { blob_offset: u64::MAX - 5, ..sound },
            data,
        ),
        (
            "STORE-23",
            "a provisional outboard",
            Fields { kind: 2, flags: 1, blob_size: 40_000, ..Fields::of(&bound) },
            &bound,
        ),
        ("STORE-22", "a binding of the blob's id", Fields { flags: 0, ..binding.clone() }, &bound),
        ("STORE-22", "a binding at offset 1", Fields { blob_offset: 1, ..binding.clone() }, &bound),
    ];
    for (req, comment, fields, payload) in cases {
        list.invalid(req, comment, &seven, &fields.record(payload));
    }
    for len in [0, 31, 33, 64] {
        let payload = vec![0x22; len];
        let fields = Fields { kind: 3, flags: 1, blob_size: 9, ..Fields::of(&payload) };
        let comment = format!("a binding with a payload of {len} bytes");
        list.invalid("STORE-22", &comment, &seven, &fields.record(&payload));
    }
}

/// Chunks, which are wholes.
fn chunks(list: &mut List) {
    let seven = params(7);
    let payload = b"samara".as_slice();
    let sound = Fields { kind: 4, ..Fields::of(payload) };
    list.valid("a chunk", &seven, &sound.record(payload), Some("STORE-33"));
    let cases = [
        ("a chunk with a provisional id", Fields { flags: 1, ..sound.clone() }),
        ("a chunk at an offset", Fields { blob_offset: 1, ..sound.clone() }),
        ("a chunk that is longer than its payload", Fields { blob_size: 7, ..sound.clone() }),
        ("a chunk that is shorter than its payload", Fields { blob_size: 5, ..sound }),
    ];
    for (comment, fields) in cases {
        list.invalid("STORE-33", comment, &seven, &fields.record(payload));
    }
    let packed = Fields { kind: 4, flags: 2, blob_size: 7, ..Fields::of(payload) };
    list.valid("a compressed chunk", &seven, &packed.record(payload), Some("STORE-33"));
    let longest = Fields { blob_size: 1 << 20, ..packed.clone() };
    list.valid("a long compressed chunk", &seven, &longest.record(payload), Some("STORE-33"));
    let cases = [
        ("a compressed chunk that is no shorter", Fields { blob_size: 6, ..packed.clone() }),
        ("a compressed chunk of 1,048,577 bytes", Fields { blob_size: (1 << 20) + 1, ..packed }),
    ];
    for (comment, fields) in cases {
        list.invalid("STORE-33", comment, &seven, &fields.record(payload));
    }
    let data = Fields { flags: 2, blob_size: 7, ..Fields::of(payload) };
    list.invalid("STORE-21", "compressed data", &seven, &data.record(payload));
    let empty = Fields { kind: 4, ..Fields::of(b"") };
    list.invalid("STORE-33", "a chunk of no bytes", &seven, &empty.record(b""));
}

/// Maps, which are entries of chunks.
fn maps(list: &mut List) {
    let seven = params(7);
    let entry = |len: u32| [&[0x33; 32][..], &len.to_le_bytes()].concat();
    let map = |payload: &[u8]| Fields { kind: 5, flags: 1, blob_size: 0, ..Fields::of(payload) };
    let two = [entry(1), entry(1_048_576)].concat();
    list.valid("a map of two chunks", &seven, &map(&two).record(&two), Some("STORE-34"));
    let later = Fields { blob_offset: 1 << 40, ..map(&two) };
    list.valid("a later part of a map", &seven, &later.record(&two), Some("STORE-34"));
    let known = Fields { flags: 0, ..map(&two) };
    list.invalid("STORE-34", "a map of the blob's id", &seven, &known.record(&two));
    let sized = Fields { blob_size: 72, ..map(&two) };
    list.invalid("STORE-34", "a map with a size", &seven, &sized.record(&two));
    for (comment, payload) in [
        ("a map of no chunks", Vec::new()),
        ("a map that ends within an entry", vec![1; 71]),
        ("a map with a chunk of no bytes", [entry(1), entry(0)].concat()),
        ("a map with a chunk of 1,048,577 bytes", [entry(1_048_577), entry(1)].concat()),
    ] {
        list.invalid("STORE-34", comment, &seven, &map(&payload).record(&payload));
    }
}

/// Numbers of segments.
fn segments(list: &mut List) {
    let payload = b"samara".as_slice();
    let at = |segment| Fields { segment, ..Fields::of(payload) }.record(payload);
    for (comment, segment) in [("in the first segment", 1), ("in the last segment", 99_999_999)] {
        list.valid(comment, &params(segment), &at(segment), Some("STORE-25"));
    }
    for segment in [0, 100_000_000, u32::MAX] {
        let comment = format!("in a segment {segment}, which there is not");
        list.invalid("STORE-21", &comment, &params(segment), &at(segment));
    }
}
