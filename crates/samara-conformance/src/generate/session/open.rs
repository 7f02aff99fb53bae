//! What an open session takes, but for transfers.

use super::*;

pub(super) fn add(list: &mut List) {
    let plain = node();
    credits(list, &plain);
    pings(list, &plain);
    rights(list, &plain);
    frames(list, &plain);
    bodies(list, &plain);
    ends(list, &plain);
}

fn credits(list: &mut List, plain: &Params) {
    // HELLO grants 1,000.
    for (comment, totals) in [
        ("CREDIT above what HELLO granted", &[1_001][..]),
        ("CREDIT of what HELLO granted", &[1_000]),
        ("CREDIT below what HELLO granted", &[999]),
        ("CREDIT twice", &[5_000, 5_000]),
        ("CREDIT that was overtaken", &[7_000, 5_000]),
        ("CREDIT of nothing, then of more", &[0, 2_000]),
        ("the largest CREDIT", &[(1 << 62) - 1, 1]),
    ] {
        let credits: Vec<_> = totals.iter().copied().map(credit).collect();
        list.valid(comment, plain, &after_hello(&credits), Some("SESS-7"));
    }
    let bytes = [hello(0), credit(1)].concat();
    list.valid("CREDIT after a HELLO that grants none", plain, &bytes, Some("SESS-7"));
}

fn pings(list: &mut List, plain: &Params) {
    for (comment, tokens) in [
        ("PING", &[7][..]),
        ("PING of the largest token", &[(1 << 62) - 1]),
        ("PINGs are answered in their order", &[3, 1, 2]),
        ("each PING is answered, also of a token that came before", &[5, 5]),
    ] {
        let pings: Vec<_> = tokens.iter().copied().map(ping).collect();
        list.valid(comment, plain, &after_hello(&pings), Some("SESS-11"));
    }
    let bytes = after_hello(&[pong(12_345), ping(1)]);
    list.valid("a PONG that nobody asked for changes nothing", plain, &bytes, Some("SESS-11"));
}

fn rights(list: &mut List, plain: &Params) {
    let rights = |count: u8| -> Vec<_> { (0..count).map(|right| present(&[right])).collect() };
    list.valid("rights at the limit", plain, &after_hello(&rights(3)), Some("SESS-9"));
    list.invalid("SESS-9", "a right above the limit", plain, &after_hello(&rights(4)));
    let same = |count| after_hello(&vec![present(b"same"); count]);
    list.valid("one right as often as the limit has it", plain, &same(3), Some("SESS-9"));
    list.invalid("SESS-9", "one right once more than that", plain, &same(4));
    let none = with_params(&[("rights_max", number(0))]);
    list.invalid("SESS-9", "a right where none is taken", &none, &after_hello(&rights(1)));
    let long = |len| after_hello(&[present(&vec![1; len])]);
    list.valid("a right of 256 bytes", plain, &long(256), Some("ENC-28"));
    list.invalid("ENC-28", "a right of 257 bytes", plain, &long(257));
    list.invalid("ENC-28", "a right of no byte", plain, &long(0));
}

fn frames(list: &mut List, plain: &Params) {
    let bytes = after_hello(&[frame(0x7f, b"later"), frame(0x4001, b""), ping(1)]);
    list.valid("frames of unknown odd kinds are skipped", plain, &bytes, Some("ENC-21"));
    for kind in [0x0c, 0x1a, 0x7e, 0x4000] {
        let bytes = after_hello(&[frame(kind, b""), ping(1)]);
        list.invalid("ENC-20", &format!("a frame of the even kind {kind}"), plain, &bytes);
    }
    let small = with_params(&[("frame_body_max", number(128))]);
    let odd = |len| after_hello(&[frame(0x7f, &vec![0; len]), ping(1)]);
    list.valid("a body at the node's limit", &small, &odd(128), Some("ENC-15"));
    list.invalid("ENC-15", "a body above the node's limit", &small, &odd(129));
    list.valid("the same body under a higher limit", plain, &odd(129), Some("ENC-15"));
    let claim = |len| after_hello(&[[v(0x7f), v(len)].concat()]);
    list.valid("a claim at the limit, and no body yet", &small, &claim(128), Some("ENC-15"));
    list.invalid("ENC-15", "a claim above the limit, and no body", &small, &claim(129));
    list.invalid("ENC-15", "a claim above every limit", plain, &claim(FRAME_BODY_MAX + 1));
    let bytes = after_hello(&[vec![0x40, 4, 1, 7]]);
    list.invalid("ENC-2", "a kind that is not minimal", plain, &bytes);
    let bytes = after_hello(&[vec![4, 0x40, 1, 7]]);
    list.invalid("ENC-2", "a length that is not minimal", plain, &bytes);
    let whole = [ping(1), ping(16_384)].concat();
    for len in [1, 2, 4, 8] {
        let start = after_hello(&[whole.get(..len).unwrap_or_default().to_vec()]);
        list.valid(&format!("two PINGs, cut after {len} bytes"), plain, &start, None);
    }
}

/// Bodies that are no message of their kind.
fn bodies(list: &mut List, plain: &Params) {
    let odd = framed(&[0x04, 7, 1, 1, 9]);
    list.valid("PING with an odd TLV", plain, &after_hello(&[odd]), Some("ENC-10"));
    let blob = [9; 32];
    let far = [vec![4, 3, 1], v(1 << 54), vec![0, 0]].concat();
    for (req, comment, bad) in [
        ("ENC-4", "PING without a token", framed(&[0x04])),
        ("ENC-2", "PING whose token is not minimal", framed(&[0x04, 0x40, 7])),
        ("ENC-9", "PING with an even TLV", framed(&[0x04, 7, 2, 0])),
        ("ENC-8", "PING with two TLVs of one type", framed(&[0x04, 7, 1, 0, 1, 0])),
        ("ENC-4", "CREDIT without a total", framed(&[0x02])),
        ("ENC-4", "PONG whose token is cut", framed(&[0x06, 0x80, 0])),
        ("ENC-4", "CLOSE without a code", framed(&[0x08])),
        ("ENC-4", "CANCEL without a number", framed(&[0x18])),
        ("ENC-4", "WANT without ranges", want_of(0, blob, &[4, 3])),
        ("ENC-4", "WANT whose id is cut", framed(&[&[0x10, 0][..], &[9; 31]].concat())),
        ("ENC-4", "HAVE without a set", framed(&[0x12, 0, 1])),
        ("ENC-4", "END without what is missing", framed(&[0x16, 0, 0])),
        (
            "ENC-4",
            "DATA whose proof is cut",
            framed(&[&[0x14, 0, 0, 0x40, 0x40][..], &[0; 63]].concat()),
        ),
        ("ENC-9", "CREDIT with an even TLV", framed(&[0x02, 7, 2, 0])),
        ("ENC-9", "CANCEL with an even TLV", framed(&[0x18, 7, 2, 0])),
        ("ENC-9", "HAVE with an even TLV", framed(&[0x12, 0, 1, 0, 2, 0])),
        ("ENC-9", "END with an even TLV", framed(&[0x16, 0, 0, 0, 2, 0])),
        ("ENC-13", "END with a byte behind its time", framed(&[0x16, 0, 2, 0, 1, 2, 7, 7])),
        ("ENC-6", "WANT for a leaf above 2^54", want_of(0, blob, &far)),
        ("ENC-33", "DATA of a leaf above 2^54", data(0, 1 << 54, &[], b"data")),
        ("ENC-26", "CLOSE whose reason is not UTF-8", close(0, &[0xff])),
        ("ENC-29", "WANT in groups of 2 MiB", want_of(0, blob, &[11, 3, 1, 0, 15, 0])),
        ("ENC-29", "WANT of class 5", want_of(0, blob, &[4, 5, 1, 0, 15, 0])),
        ("ENC-30", "WANT for nothing", want_of(0, blob, &[4, 3, 0, 0])),
        ("ENC-30", "WANT for what is known", want_of(0, blob, &[4, 3, 1, 0, 15, 1, 15, 0])),
        ("ENC-34", "HAVE of a leaf behind the end", have(0, 1024, 2)),
        ("ENC-31", "DATA with half a pair as proof", data(0, 0, &[0; 32], b"data")),
        ("ENC-32", "DATA without data", data(0, 1, &[], b"")),
    ] {
        // What stands behind the first broken frame changes nothing.
        list.invalid(req, comment, plain, &after_hello(&[bad, ping(1), close(0, b"")]));
    }
}

fn ends(list: &mut List, plain: &Params) {
    for (code, reason) in [(0, &b"done"[..]), (2, b""), (4, &[b'r'; 256])] {
        let bytes = after_hello(&[ping(1), close(code, reason)]);
        list.valid(&format!("CLOSE {code} of an open session"), plain, &bytes, Some("SESS-4"));
    }
    list.valid("CLOSE 99 is internal", plain, &after_hello(&[close(99, b"")]), Some("ENC-27"));
    for (comment, behind) in [
        ("PING behind CLOSE is not looked at", ping(1)),
        ("a second CLOSE is not looked at", close(4, b"")),
        ("a broken frame behind CLOSE is not looked at", frame(0x7e, b"")),
        ("bytes that are no frame behind CLOSE", vec![0x40, 0x04, 1, 7]),
    ] {
        list.valid(comment, plain, &after_hello(&[close(0, b""), behind]), Some("SESS-12"));
    }
}
