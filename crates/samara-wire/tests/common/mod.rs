//! What the integration tests share. Each uses a part of it.
#![allow(dead_code, reason = "every test binary compiles all of it and uses some")]

use bytes::Bytes;
use samara_base::{BlobId, Class, GroupLog2, RangeSet};
use samara_wire::{
    Cancel, Close, CloseCode, Credit, Data, DecodeError, DecodeReason, End, EndCode, Field, Have,
    Hello, Message, Ping, Pong, Present, Want,
};

/// BLAKE3 of `samara`.
pub(crate) const BLOB: &str = "8c46e0d2ce124f78275d06efe3f3a915acb1c777091c3669865bcd981b43886f";

pub(crate) fn blob() -> BlobId {
    BLOB.parse().unwrap()
}

pub(crate) fn hello() -> Hello {
    Hello {
        version_min: 1,
        version_max: 1,
        agent: "samara/0.1".into(),
        frame_body_max: samara_wire::FRAME_BODY_MAX,
        wants_max: 64,
        credit: 4 << 20,
        features: 0,
    }
}

pub(crate) fn want() -> Want {
    Want {
        want: 1,
        blob: blob(),
        group: GroupLog2::KIB16,
        class: Class::Bulk,
        ranges: RangeSet::from(0..1),
        known: RangeSet::new(),
        size: None,
    }
}

pub(crate) fn have() -> Have {
    Have { want: 1, size: 6, held: RangeSet::from(0..1) }
}

pub(crate) fn data() -> Data {
    Data { want: 1, first: 0, proof: Bytes::new(), data: Bytes::from_static(b"samara") }
}

pub(crate) fn end() -> End {
    End { want: 1, code: EndCode::Done, missing: RangeSet::new(), retry_ms: None }
}

/// One message of each kind, with all its parts.
pub(crate) fn samples() -> [Message; 11] {
    [
        hello().into(),
        Credit { total: 1 << 30 }.into(),
        Ping { token: 7 }.into(),
        Pong { token: 7 }.into(),
        Close { code: CloseCode::Protocol, reason: "no such length".into() }.into(),
        Present { right: Bytes::from_static(b"a right") }.into(),
        Want { known: RangeSet::from(16..64), size: Some(100_000), ..want() }.into(),
        Have { size: 100_000, held: runs(20), ..have() }.into(),
        Data { first: 16, proof: Bytes::from(vec![0xcc; 128]), ..data() }.into(),
        End { code: EndCode::Busy, missing: runs(3), retry_ms: Some(500), ..end() }.into(),
        Cancel { want: 1 }.into(),
    ]
}

/// A set of `count` runs of 2 leaves.
pub(crate) fn runs(count: u64) -> RangeSet {
    (0..count).map(|at| 5 * at..5 * at + 2).collect()
}

/// The body of a message's only encoding.
pub(crate) fn body(message: impl Into<Message>) -> Bytes {
    let frame = message.into().encode(false).unwrap().to_bytes();
    let decoder = samara_wire::FrameDecoder::new(samara_wire::FRAME_BODY_MAX, false);
    decoder.decode_one(frame).unwrap().0.body
}

/// Asserts that a body is refused at a place for a reason.
#[track_caller]
pub(crate) fn refused(
    kind: u64,
    body: impl AsRef<[u8]>,
    offset: u32,
    field: Field,
    reason: DecodeReason,
) {
    let body = Bytes::copy_from_slice(body.as_ref());
    let error = Message::decode(kind, body).expect_err("the body is refused");
    assert_eq!((error.offset, error.field, error.reason), (offset, field, reason));
}

/// Decodes a body that has to be fine.
#[track_caller]
pub(crate) fn decoded(kind: u64, body: impl AsRef<[u8]>) -> Message {
    decode(kind, body).expect("the body is fine").expect("the kind is known")
}

pub(crate) fn decode(kind: u64, body: impl AsRef<[u8]>) -> Result<Option<Message>, DecodeError> {
    Message::decode(kind, Bytes::copy_from_slice(body.as_ref()))
}
