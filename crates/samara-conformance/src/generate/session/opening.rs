//! Before HELLO, and HELLO itself.

use super::*;

pub(super) fn add(list: &mut List) {
    let plain = node();
    let first = framed(&message::hello(&message::parts()));
    list.valid("nothing yet", &plain, &[], None);
    list.valid("nothing for 9.8 s", &wait(9_800), &[], Some("SESS-5"));
    list.valid("nothing for 10.2 s", &wait(10_200), &[], Some("SESS-5"));
    let half = first.get(..first.len() - 1).unwrap_or_default();
    list.valid("HELLO without its last byte", &plain, half, Some("SESS-5"));
    list.valid("the same, and nothing more for 10.2 s", &wait(10_200), half, Some("SESS-5"));
    list.valid("HELLO", &plain, &first, Some("SESS-1"));
    list.valid("HELLO, and nothing more for 10.2 s", &wait(10_200), &first, Some("SESS-5"));
    closing(list, &plain);
    hellos(list, &plain);
    versions(list, &plain);
    others(list, &plain);
}

fn closing(list: &mut List, plain: &Params) {
    for code in [0, 2, 5] {
        list.valid(&format!("CLOSE {code} at once"), plain, &close(code, b"bye"), Some("SESS-4"));
    }
    list.valid("CLOSE 6 is internal", plain, &close(6, b""), Some("ENC-27"));
    list.valid("CLOSE 2^62 - 1 is internal", plain, &close((1 << 62) - 1, b""), Some("ENC-27"));
    let bytes = [close(0, b""), framed(&message::hello(&message::parts()))].concat();
    list.valid("HELLO behind CLOSE is not looked at", plain, &bytes, Some("SESS-12"));
    list.invalid("ENC-26", "CLOSE with a reason of 257 bytes", plain, &close(0, &[b'r'; 257]));
}

fn hellos(list: &mut List, plain: &Params) {
    let with = |tlv_type, value| framed(&message::with(tlv_type, value));
    list.valid("HELLO with agent", plain, &with(0x01, b"other/1".to_vec()), None);
    list.valid("HELLO with an odd TLV", plain, &with(0x0b, b"later".to_vec()), Some("ENC-10"));
    list.valid("features that nobody knows", plain, &with(0x08, v(u64::MAX >> 2)), Some("ENC-36"));
    list.invalid("ENC-9", "HELLO with an even TLV", plain, &with(0x0a, vec![]));
    list.invalid("ENC-24", "HELLO with a body limit of 127", plain, &with(0x02, v(127)));
    list.invalid(
        "ENC-24",
        "HELLO with a body limit of 1,114,113",
        plain,
        &with(0x02, v(1_114_113)),
    );
    list.invalid("ENC-25", "HELLO with an agent of 65 bytes", plain, &with(0x01, vec![b'a'; 65]));
    list.invalid("ENC-25", "HELLO with an agent that is not UTF-8", plain, &with(0x01, vec![0xff]));
    list.invalid("ENC-13", "HELLO with a byte behind its credit", plain, &with(0x06, vec![1, 0]));
    list.invalid("ENC-2", "HELLO whose credit is not minimal", plain, &with(0x06, vec![0x40, 1]));
    list.invalid("ENC-4", "HELLO with half of its versions", plain, &with(0x00, vec![1]));
    let mut turned = message::parts();
    turned.swap(1, 2);
    let turned = framed(&message::hello(&turned));
    list.invalid("ENC-8", "HELLO whose TLVs do not ascend", plain, &turned);
    list.invalid("ENC-25", "HELLO with an agent of no byte", plain, &with(0x01, vec![]));
    for missing in [0x00, 0x02, 0x04, 0x06, 0x08] {
        let mut parts = message::parts();
        parts.retain(|(tlv_type, _)| *tlv_type != missing);
        let bytes = framed(&message::hello(&parts));
        list.invalid("ENC-22", &format!("HELLO without TLV {missing}"), plain, &bytes);
    }
}

fn versions(list: &mut List, plain: &Params) {
    let with = |min, max| framed(&message::with(0x00, vec![min, max]));
    for (min, max) in [(0, 1), (1, 9), (0, 0), (2, 2), (2, 9)] {
        let comment = format!("versions {min} to {max}");
        list.valid(&comment, plain, &with(min, max), Some("SESS-3"));
    }
    let bytes = [with(2, 2), vec![0xff; 9]].concat();
    list.valid("what stands behind is not looked at", plain, &bytes, Some("SESS-3"));
    list.invalid("ENC-23", "versions 1 to 0", plain, &with(1, 0));
    let first = framed(&message::hello(&message::parts()));
    let twice = [first.clone(), first.clone()].concat();
    list.invalid("SESS-2", "HELLO twice", plain, &twice);
    let bytes = [first.clone(), with(2, 2)].concat();
    list.invalid("SESS-2", "a second HELLO without a common version", plain, &bytes);
    let bytes = [first.clone(), ping(1), close(0, b""), first].concat();
    list.valid("a second HELLO behind CLOSE", plain, &bytes, Some("SESS-12"));
}

/// Whatever else comes first.
fn others(list: &mut List, plain: &Params) {
    let first = framed(&message::hello(&message::parts()));
    for (name, other) in [
        ("CREDIT", credit(1)),
        ("PING", ping(1)),
        ("PONG", pong(1)),
        ("PRESENT", present(b"right")),
        ("WANT", want(0, [9; 32])),
        ("CANCEL", cancel(0)),
        ("HAVE", have(0, 1, 1)),
        ("DATA", data(0, 0, &[], b"data")),
        ("END", end(0, 0)),
        ("a frame of an unknown odd kind", frame(0x7f, b"later")),
    ] {
        let bytes = [other, first.clone()].concat();
        list.invalid("SESS-1", &format!("{name} before HELLO"), plain, &bytes);
    }
    let bytes = [frame(0x7e, b""), first].concat();
    list.invalid("ENC-20", "a frame of an unknown even kind before HELLO", plain, &bytes);
}
