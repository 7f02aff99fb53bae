//! All that a peer says on a session, and what a node makes of it.

mod get;
mod open;
mod opening;
mod source;

use serde_json::{Value, json};

use super::{List, frame::frame, message, v};
use crate::{
    Codec, Params,
    ours::{Store, decode_with, number},
};

const RFC: &str = "rfcs/0005-session.md";
const FRAME_BODY_MAX: u64 = 1_114_112;

pub(super) fn list() -> List {
    let about = "The bytes that a peer sends on a fresh session, and where they have led to.";
    let mut list = List::new("session", Codec::Session, RFC, about);
    opening::add(&mut list);
    open::add(&mut list);
    source::add(&mut list);
    get::add(&mut list);
    timing(&mut list);
    list
}

/// No test may depend on how fast a node is.
//= rfcs/0014-conformance.md#conf-10
//# A vector of `session` MUST have the same result and value whenever the node under test looks blobs up,
//# stores what it is sent, and has its own frames leave.
fn timing(list: &mut List) {
    for test in list.file.tests.clone() {
        let of = |store| decode_with(store, &test.params, &test.bytes).ok();
        if of(Store::Eager) != of(Store::Late) {
            list.problem(&test.comment, "depends on when the store answers");
        }
    }
}

/// A node with small limits that holds nothing and asks for nothing.
fn node() -> Params {
    with_params(&[])
}

/// The same with some params replaced or added.
fn with_params(changes: &[(&str, Value)]) -> Params {
    let mut params = Params::from_iter([
        ("frame_body_max".to_owned(), number(FRAME_BODY_MAX)),
        ("wants_max".to_owned(), number(2)),
        ("credit".to_owned(), number(65_536)),
        ("rights_max".to_owned(), number(3)),
    ]);
    params.extend(changes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    params
}

/// A message whose kind has one byte, as a frame.
fn framed(message: &[u8]) -> Vec<u8> {
    match message {
        [kind, body @ ..] => frame(u64::from(*kind), body),
        [] => Vec::new(),
    }
}

/// The HELLO of a peer that grants so many bytes.
fn hello(credit: u64) -> Vec<u8> {
    framed(&message::with(0x06, v(credit)))
}

/// A peer's first frame, and what it says behind it.
fn after_hello(frames: &[Vec<u8>]) -> Vec<u8> {
    [hello(1_000), frames.concat()].concat()
}

/// A message of one number: CREDIT, PING, PONG, CANCEL.
fn single(kind: u8, value: u64) -> Vec<u8> {
    framed(&[vec![kind], v(value)].concat())
}

fn credit(total: u64) -> Vec<u8> {
    single(0x02, total)
}

fn ping(token: u64) -> Vec<u8> {
    single(0x04, token)
}

fn pong(token: u64) -> Vec<u8> {
    single(0x06, token)
}

fn cancel(want: u64) -> Vec<u8> {
    single(0x18, want)
}

fn close(code: u64, reason: &[u8]) -> Vec<u8> {
    framed(&[vec![0x08], v(code), reason.to_vec()].concat())
}

fn present(right: &[u8]) -> Vec<u8> {
    framed(&[&[0x0a], right].concat())
}

/// A WANT for the first 16 leaves of a blob.
fn want(number: u64, blob: [u8; 32]) -> Vec<u8> {
    want_of(number, blob, &[4, 3, 1, 0, 15, 0])
}

/// A WANT with what stands behind the blob's id.
fn want_of(number: u64, blob: [u8; 32], rest: &[u8]) -> Vec<u8> {
    framed(&[vec![0x10], v(number), blob.to_vec(), rest.to_vec()].concat())
}

/// A HAVE of the first leaves.
fn have(want: u64, size: u64, leaves: u64) -> Vec<u8> {
    framed(&[vec![0x12], v(want), v(size), vec![1, 0], v(leaves - 1)].concat())
}

fn data(want: u64, first: u64, proof: &[u8], data: &[u8]) -> Vec<u8> {
    let head = [vec![0x14], v(want), v(first), v(proof.len() as u64)].concat();
    framed(&[&head, proof, data].concat())
}

/// An END with the leaf 0 missing.
fn end(want: u64, code: u64) -> Vec<u8> {
    framed(&[vec![0x16], v(want), v(code), vec![1, 0, 0]].concat())
}

/// Waits for so long behind the input.
fn wait(ms: u64) -> Params {
    with_params(&[("wait_ms", json!(ms.to_string()))])
}
