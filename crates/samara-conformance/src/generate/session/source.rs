//! WANT and CANCEL.

use super::*;
use crate::ours::{Pattern, bytes};

/// The size of the blob that the node holds.
const SIZE: usize = 16_384;
const OTHER: [u8; 32] = [9; 32];

/// What the node holds, and the right that it takes for it.
fn held(right: Option<&[u8]>) -> Params {
    let data = Pattern::new(SIZE);
    let mut held = json!({ "id": bytes(&blob()), "data": data.to_json() });
    if let Some(right) = right {
        held["right"] = bytes(right);
    }
    with_params(&[("held", held)])
}

fn blob() -> [u8; 32] {
    *samara_tree::hash(&Pattern::new(SIZE).bytes()).as_bytes()
}

/// Frames of a peer that grants no byte, so that what is held stays open.
fn asks(frames: &[Vec<u8>]) -> Vec<u8> {
    [hello(0), frames.concat()].concat()
}

pub(super) fn add(list: &mut List) {
    access(list);
    limits(list);
    cancels(list);
    numbers(list);
}

fn access(list: &mut List) {
    let (open, shut) = (held(None), held(Some(b"right")));
    let same = Some("XFER-15");
    list.valid("a WANT where nothing is held", &node(), &asks(&[want(0, OTHER)]), same);
    list.valid("a WANT for another blob", &open, &asks(&[want(0, OTHER)]), same);
    list.valid("a WANT for what is held", &open, &asks(&[want(0, blob())]), Some("XFER-3"));
    list.valid("a WANT without the right", &shut, &asks(&[want(0, blob())]), same);
    let frames = [present(b"righ"), present(b"right."), want(0, blob())];
    list.valid("a WANT with other rights", &shut, &asks(&frames), same);
    let frames = [present(b"left"), present(b"right"), want(0, blob())];
    list.valid("a WANT with the right among others", &shut, &asks(&frames), Some("XFER-3"));
    let frames = [present(b"right"), want(1, OTHER), want(0, blob())];
    list.valid("a right to one blob is none to another", &shut, &asks(&frames), same);
    let frames = [want(0, blob()), want(1, OTHER), ping(1)];
    let comment = "a refusal does not wait for the credit of another want";
    list.valid(comment, &open, &asks(&frames), Some("XFER-3"));
    let beyond = want_of(0, blob(), &[4, 3, 1, 0, 31, 0]);
    list.valid("a WANT that reaches behind the end", &open, &asks(&[beyond]), Some("XFER-3"));
    let sized = want_of(0, blob(), &[4, 3, 1, 0, 15, 0, 1, 4, 0x80, 0, 0x40, 0]);
    list.valid("a WANT that says the size", &open, &asks(&[sized]), Some("XFER-3"));
    let later = want_of(0, blob(), &[4, 3, 1, 0, 15, 0, 7, 2, 0xbe, 0xef]);
    list.valid("a WANT from the future", &open, &asks(&[later]), Some("ENC-10"));
    let critical = want_of(0, blob(), &[4, 3, 1, 0, 15, 0, 6, 2, 0xbe, 0xef]);
    list.invalid("ENC-9", "a WANT with an even TLV", &open, &asks(&[critical]));
    let bytes = [hello(1 << 20), want(0, blob())].concat();
    list.valid("a WANT with credit for all of it", &open, &bytes, Some("XFER-3"));
}

/// `wants_max` is 2.
fn limits(list: &mut List) {
    let open = held(None);
    let wants = |numbers: &[u64]| -> Vec<_> {
        numbers.iter().map(|number| want(*number, blob())).collect()
    };
    list.valid("wants at the limit", &open, &asks(&wants(&[0, 1])), Some("XFER-3"));
    list.valid("a want above the limit", &open, &asks(&wants(&[0, 1, 2])), Some("XFER-3"));
    let frames = wants(&[0, 1, 2, 2]);
    list.valid("the same once more", &open, &asks(&frames), Some("XFER-3"));
    let frames = [wants(&[7, 5, 6]), vec![cancel(7)], wants(&[6])].concat();
    list.valid("room that CANCEL has made", &open, &asks(&frames), Some("XFER-13"));
    let mut none = held(None);
    none.insert("wants_max".to_owned(), number(0));
    list.valid("a want where none is taken", &none, &asks(&wants(&[0])), Some("XFER-3"));
    let frames = [wants(&[0, 1]), vec![want(2, OTHER)]].concat();
    list.valid("a want above the limit for what is not held", &open, &asks(&frames), None);
}

fn cancels(list: &mut List) {
    let open = held(None);
    let one = want(3, blob());
    for (comment, frames) in [
        ("CANCEL", vec![one.clone(), cancel(3)]),
        ("CANCEL twice", vec![one.clone(), cancel(3), cancel(3)]),
        ("CANCEL of another want", vec![one.clone(), want(4, blob()), cancel(4)]),
        ("CANCEL of no want", vec![cancel(3), ping(1)]),
        ("CANCEL before its WANT", vec![cancel(3), one.clone()]),
        ("CREDIT behind CANCEL", vec![one, cancel(3), credit(1 << 20)]),
    ] {
        list.valid(comment, &open, &asks(&frames), Some("XFER-13"));
    }
}

fn numbers(list: &mut List) {
    let open = held(None);
    let largest = (1 << 62) - 1;
    let bytes = asks(&[want(largest, blob()), want(0, OTHER)]);
    list.valid("the largest number", &open, &bytes, Some("XFER-3"));
    let one = want(3, blob());
    let frames = [one.clone(), cancel(3), one.clone()];
    list.valid("a number that is free again", &open, &asks(&frames), Some("XFER-19"));
    let frames = [one.clone(), cancel(3), one.clone(), cancel(3)];
    list.valid("the same, cancelled again", &open, &asks(&frames), Some("XFER-13"));
    for (comment, second) in [
        ("a number in use, for the same blob", one.clone()),
        ("a number in use, for another blob", want(3, OTHER)),
        ("a number in use, for other leaves", want_of(3, blob(), &[4, 3, 1, 16, 15, 0])),
    ] {
        list.invalid("XFER-19", comment, &open, &asks(&[one.clone(), second]));
    }
    let frames = [one.clone(), want(4, blob()), one.clone()];
    list.invalid("XFER-19", "a number in use, with no room for another", &open, &asks(&frames));
    let frames = [one.clone(), cancel(3), one.clone(), one];
    list.invalid("XFER-19", "a number in use for the second time", &open, &asks(&frames));
}
