//! HAVE, DATA and END.

use samara_base::{GroupLog2, RangeSet};

use super::*;
use crate::{
    generate::tree::Blob,
    ours::{bytes, ranges},
};

/// What the node has asked for: leaves of a blob, in groups.
struct Asked {
    blob: Blob,
    group: u8,
    wanted: RangeSet,
    /// Whether the WANT says the size.
    sized: bool,
}

impl Asked {
    /// All of a blob of so many leaves.
    fn all(leaves: usize, group: u8) -> Self {
        let wanted = RangeSet::from(0..leaves as u64);
        Self { blob: Blob::new(1024 * leaves), group, wanted, sized: true }
    }

    fn params(&self, changes: &[(&str, Value)]) -> Params {
        let mut want = json!({
            "message": "want",
            "want": "0",
            "blob": bytes(self.blob.id.as_bytes()),
            "group": number(self.group),
            "class": "3",
            "ranges": ranges(&self.wanted),
            "known": [],
        });
        if self.sized {
            want["size"] = number(self.blob.data.len());
        }
        let mut params = with_params(changes);
        params.insert("asked".to_owned(), want);
        params
    }

    /// The DATA that a sound source sends first.
    fn data(&self, first: u64, end: u64) -> Vec<u8> {
        let (leaves, base) = (first..end, RangeSet::new());
        let group = GroupLog2::new(self.group).unwrap_or(GroupLog2::KIB16);
        let proof = self.blob.proof(group, &leaves, &base);
        data(0, first, &proof, self.blob.slice(&leaves))
    }
}

pub(super) fn add(list: &mut List) {
    unasked(list);
    asked(list);
    groups(list);
    over(list);
    sizes(list);
    credit_used(list);
}

/// The node has asked for nothing.
fn unasked(list: &mut List) {
    let plain = node();
    let data = data(0, 0, &[], b"data");
    list.invalid("XFER-5", "DATA where nothing was asked for", &plain, &after_hello(&[data]));
    let bytes = after_hello(&[have(0, 1, 1)]);
    list.invalid("XFER-20", "HAVE where nothing was asked for", &plain, &bytes);
    for code in [0, 1, 5, 99] {
        let comment = format!("END {code} where nothing was asked for");
        list.invalid("XFER-20", &comment, &plain, &after_hello(&[end(0, code)]));
    }
}

fn asked(list: &mut List) {
    let two = Asked::all(2, 0);
    let params = two.params(&[]);
    let (first, second) = (two.data(0, 1), two.data(1, 2));
    list.valid("no answer yet", &params, &after_hello(&[]), None);
    let bytes = after_hello(core::slice::from_ref(&first));
    list.valid("the first leaf", &params, &bytes, Some("XFER-5"));
    list.valid("the last leaf first", &params, &after_hello(&[second]), Some("XFER-5"));
    list.valid("all in one", &params, &after_hello(&[two.data(0, 2)]), Some("XFER-5"));
    list.valid("HAVE", &params, &after_hello(&[have(0, 2048, 2), first.clone()]), Some("XFER-4"));
    let twice = after_hello(&[first.clone(), first]);
    list.invalid("XFER-5", "DATA twice", &params, &twice);
    let leaf = [0; 1024];
    for (comment, bad) in [
        ("DATA of a number that was never used", data(9, 0, &[], &leaf)),
        ("DATA of a leaf behind the end", data(0, 2, &[], &leaf)),
        ("DATA that reaches behind the end", data(0, 0, &[], &[0; 2049])),
        ("DATA far behind the end", data(0, 1 << 40, &[], &leaf)),
    ] {
        list.invalid("XFER-5", comment, &params, &after_hello(&[bad]));
    }
    list.invalid("XFER-20", "HAVE of a number never used", &params, &after_hello(&[have(9, 1, 1)]));
    list.invalid("XFER-20", "END of a number never used", &params, &after_hello(&[end(9, 1)]));
}

fn groups(list: &mut List) {
    let four = Asked::all(4, 1);
    let params = four.params(&[]);
    list.valid("a whole group", &params, &after_hello(&[four.data(0, 2)]), Some("XFER-5"));
    for (comment, first, bytes) in
        [("half a group", 0, 1024), ("a group off its place", 1, 2048), ("one and a half", 0, 3072)]
    {
        let bad = data(0, first, &[], &vec![0; bytes]);
        list.invalid("XFER-5", comment, &params, &after_hello(&[bad]));
    }
    let some = Asked { wanted: RangeSet::from_iter([0..1, 3..4]), ..Asked::all(4, 0) };
    let params = some.params(&[]);
    list.valid("one of the leaves asked for", &params, &after_hello(&[some.data(3, 4)]), None);
    let bytes = after_hello(&[some.data(1, 2)]);
    list.invalid("XFER-5", "a leaf that was not asked for", &params, &bytes);
    let bytes = after_hello(&[some.data(0, 2)]);
    list.invalid("XFER-5", "a leaf asked for, and one that was not", &params, &bytes);
}

/// The want has ended.
fn over(list: &mut List) {
    let two = Asked::all(2, 0);
    let params = two.params(&[]);
    for (comment, behind) in [
        ("END", vec![]),
        ("DATA behind END is dropped", vec![two.data(0, 1)]),
        ("DATA behind END is dropped, whatever it is", vec![data(0, 7, &[], b"data")]),
        ("HAVE behind END is dropped", vec![have(0, 4096, 1)]),
        ("END behind END is dropped", vec![end(0, 0), ping(1)]),
    ] {
        let bytes = after_hello(&[vec![end(0, 1)], behind].concat());
        list.valid(comment, &params, &bytes, Some("XFER-5"));
    }
    list.valid("END of an unknown code", &params, &after_hello(&[end(0, 99)]), Some("ENC-27"));
    let bytes = after_hello(&[end(0, 1), data(9, 0, &[], b"data")]);
    list.invalid("XFER-5", "DATA of another number behind END", &params, &bytes);
}

/// The WANT says no size.
fn sizes(list: &mut List) {
    let two = Asked { sized: false, ..Asked::all(2, 0) };
    let params = two.params(&[]);
    let first = two.data(0, 1);
    let bytes = after_hello(&[have(0, 2048, 2), first.clone()]);
    list.valid("HAVE says the size before DATA", &params, &bytes, Some("XFER-4"));
    list.invalid("XFER-4", "DATA before anyone has said the size", &params, &after_hello(&[first]));
}

/// The node grants just enough, or a byte less: proofs count.
fn credit_used(list: &mut List) {
    let ten = Asked::all(10, 0);
    let bytes = after_hello(&[ten.data(0, 9)]);
    for (granted, enough) in [(9_792, true), (9_791, false), (9_216, false)] {
        let params = ten.params(&[("credit", number(granted))]);
        let comment = format!("9,792 bytes of proof and data under a credit of {granted}");
        if enough {
            list.valid(&comment, &params, &bytes, Some("SESS-8"));
        } else {
            list.invalid("SESS-8", &comment, &params, &bytes);
        }
    }
    let params = ten.params(&[("credit", number(9_791))]);
    let bytes = after_hello(&[end(0, 1), ten.data(0, 9)]);
    list.invalid("SESS-8", "DATA that is dropped counts, too", &params, &bytes);
}
