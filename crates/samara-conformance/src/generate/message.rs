use super::{List, no_params, tlv, v};
use crate::Codec;

const RFC: &str = "rfcs/0003-encoding.md";

/// The parts of a HELLO, each to be left out or replaced.
pub(super) fn hello(parts: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let tlvs = parts.iter().flat_map(|(tlv_type, value)| tlv(*tlv_type, value));
    [0x00].into_iter().chain(tlvs).collect()
}

pub(super) fn parts() -> Vec<(u64, Vec<u8>)> {
    vec![(0x00, vec![1, 1]), (0x02, v(1_114_112)), (0x04, v(64)), (0x06, v(4 << 20)), (0x08, v(0))]
}

/// The parts of a HELLO with one replaced, or added in its place.
pub(super) fn with(tlv_type: u64, value: Vec<u8>) -> Vec<u8> {
    let mut all = parts();
    all.retain(|(other, _)| *other != tlv_type);
    all.push((tlv_type, value));
    all.sort_by_key(|(tlv_type, _)| *tlv_type);
    hello(&all)
}

pub(super) fn session() -> List {
    let about =
        "HELLO, CREDIT, PING, PONG, CLOSE, PRESENT and frames of unknown kinds: kind and body.";
    let mut list = List::new("message-session", Codec::Message, RFC, about);
    let none = no_params();

    list.valid("HELLO without agent", &none, &hello(&parts()), None);
    list.valid("HELLO with agent", &none, &with(0x01, b"samara/0.1".to_vec()), None);
    list.valid("an agent of 64 bytes", &none, &with(0x01, vec![b'a'; 64]), Some("ENC-25"));
    list.valid("an agent beyond ASCII", &none, &with(0x01, "caf\u{e9}".into()), Some("ENC-25"));
    list.valid("versions 1 to 7", &none, &with(0x00, vec![1, 7]), Some("ENC-23"));
    list.valid("the smallest body limit", &none, &with(0x02, v(128)), Some("ENC-24"));
    list.valid("the largest numbers", &none, &with(0x06, v((1 << 62) - 1)), None);
    for (comment, bits) in
        [("a feature", 1), ("features", 0x3fff_ffff), ("all features there can be", (1 << 62) - 1)]
    {
        let comment = format!("{comment} that nobody knows");
        list.valid(&comment, &none, &with(0x08, v(bits)), Some("ENC-36"));
    }
    list.must_ignore("HELLO with an odd TLV", &none, &with(0x0b, b"later".to_vec()), "ENC-10");
    list.must_ignore("HELLO with an odd TLV in between", &none, &with(0x05, vec![]), "ENC-10");
    for missing in [0x00, 0x02, 0x04, 0x06, 0x08] {
        let mut all = parts();
        all.retain(|(tlv_type, _)| *tlv_type != missing);
        list.invalid("ENC-22", &format!("HELLO without TLV {missing}"), &none, &hello(&all));
    }
    list.invalid("ENC-22", "HELLO of nothing", &none, &[0x00]);
    list.invalid("ENC-23", "lowest version above highest", &none, &with(0x00, vec![2, 1]));
    list.invalid("ENC-24", "a body limit of 127", &none, &with(0x02, v(127)));
    list.invalid("ENC-24", "a body limit of 0", &none, &with(0x02, v(0)));
    list.invalid("ENC-24", "a body limit of 1,114,113", &none, &with(0x02, v(1_114_113)));
    list.invalid("ENC-24", "a body limit of 2^32 + 128", &none, &with(0x02, v((1 << 32) + 128)));
    list.invalid("ENC-25", "an agent that is there but empty", &none, &with(0x01, vec![]));
    list.invalid("ENC-25", "an agent of 65 bytes", &none, &with(0x01, vec![b'a'; 65]));
    list.invalid("ENC-25", "an agent that is not UTF-8", &none, &with(0x01, vec![b'a', 0xff]));
    list.invalid("ENC-25", "an agent with a surrogate", &none, &with(0x01, vec![0xed, 0xa0, 0x80]));
    list.invalid("ENC-25", "an agent with an overlong form", &none, &with(0x01, vec![0xc0, 0xaf]));
    list.invalid("ENC-25", "an agent whose character is cut", &none, &with(0x01, vec![b'a', 0xc3]));
    list.invalid("ENC-9", "HELLO with an unknown even TLV", &none, &with(0x0a, vec![]));
    list.invalid("ENC-13", "versions with a byte too many", &none, &with(0x00, vec![1, 1, 0]));
    list.invalid("ENC-13", "credit with a byte too many", &none, &with(0x06, vec![1, 0]));
    list.invalid("ENC-13", "features with a byte too many", &none, &with(0x08, vec![0, 0]));
    list.invalid(
        "ENC-13",
        "body limit with a byte too many",
        &none,
        &with(0x02, [v(1_000), vec![0]].concat()),
    );
    list.invalid("ENC-4", "versions with one number only", &none, &with(0x00, vec![1]));
    list.invalid("ENC-4", "credit without a number", &none, &with(0x06, vec![]));
    list.invalid("ENC-4", "wants_max whose number is cut", &none, &with(0x04, vec![0x40]));
    list.invalid("ENC-2", "credit that is not minimal", &none, &with(0x06, vec![0x40, 0x01]));
    let mut turned = parts();
    turned.swap(1, 2);
    list.invalid("ENC-8", "HELLO whose TLVs do not ascend", &none, &hello(&turned));
    let mut twice = parts();
    twice.insert(1, (0x02, v(1_000)));
    list.invalid("ENC-8", "HELLO with a TLV twice", &none, &hello(&twice));
    let whole = hello(&parts());
    let ends: Vec<usize> =
        (0..=parts().len()).map(|n| hello(parts().get(..n).unwrap_or_default()).len()).collect();
    for len in 0..whole.len() {
        let req = if ends.contains(&len) { "ENC-22" } else { "ENC-4" };
        let start = whole.get(..len).unwrap_or_default();
        if list.has(&none, start) {
            continue;
        }
        list.invalid(req, &format!("HELLO, cut after {len} bytes"), &none, start);
    }

    for (kind, name) in [(0x02, "CREDIT"), (0x04, "PING"), (0x06, "PONG"), (0x18, "CANCEL")] {
        for value in [0, 63, 64, (1 << 62) - 1] {
            list.valid(&format!("{name} {value}"), &none, &[vec![kind], v(value)].concat(), None);
        }
        let body = [vec![kind, 7], tlv(0x01, b"x")].concat();
        list.must_ignore(&format!("{name} with an odd TLV"), &none, &body, "ENC-10");
        let body = [vec![kind, 7], tlv(0x02, b"x")].concat();
        list.invalid("ENC-9", &format!("{name} with an even TLV"), &none, &body);
        list.invalid("ENC-4", &format!("{name} without its number"), &none, &[kind]);
        list.invalid("ENC-4", &format!("{name} whose number is cut"), &none, &[kind, 0x80, 0]);
        list.invalid(
            "ENC-2",
            &format!("{name} whose number is not minimal"),
            &none,
            &[kind, 0x40, 7],
        );
        list.invalid("ENC-4", &format!("{name} and half a TLV"), &none, &[kind, 7, 1]);
    }

    let close = |code: u64, reason: &[u8]| [vec![0x08], v(code), reason.to_vec()].concat();
    for code in 0..6 {
        list.valid(&format!("CLOSE {code}"), &none, &close(code, b"a reason"), None);
    }
    list.valid("CLOSE without a reason", &none, &close(0, b""), None);
    list.valid("CLOSE with 256 bytes of reason", &none, &close(2, &[b'r'; 256]), Some("ENC-26"));
    list.valid("CLOSE with an unknown code", &none, &close(6, b""), Some("ENC-27"));
    list.valid("CLOSE with the highest code", &none, &close((1 << 62) - 1, b""), Some("ENC-27"));
    list.invalid("ENC-26", "CLOSE with 257 bytes of reason", &none, &close(2, &[b'r'; 257]));
    list.invalid("ENC-26", "CLOSE with a reason that is not UTF-8", &none, &close(2, &[0xfe]));
    list.invalid("ENC-26", "CLOSE with half a character", &none, &close(2, &[0xe2, 0x82]));
    list.invalid("ENC-4", "CLOSE without a code", &none, &[0x08]);
    list.invalid("ENC-2", "CLOSE whose code is not minimal", &none, &[0x08, 0x40, 0x02]);

    let present = |right: &[u8]| [&[0x0a], right].concat();
    list.valid("PRESENT of one byte", &none, &present(&[0]), Some("ENC-28"));
    list.valid("PRESENT of 256 bytes", &none, &present(&[0xff; 256]), Some("ENC-28"));
    list.invalid("ENC-28", "PRESENT of nothing", &none, &present(&[]));
    list.invalid("ENC-28", "PRESENT of 257 bytes", &none, &present(&[0xff; 257]));

    for kind in [0x01, 0x0b, 0x0d, 0x11, 0x19, 0x1b, 0x3f, 0x41, 0x4001, (1 << 62) - 1] {
        let bytes = [v(kind), b"from the future".to_vec()].concat();
        list.must_ignore(&format!("a frame of the odd kind {kind}"), &none, &bytes, "ENC-21");
    }
    for kind in [0x0c, 0x0e, 0x1a, 0x1c, 0x3e, 0x40, 0x4000, (1 << 62) - 2] {
        let bytes = [v(kind), b"from the future".to_vec()].concat();
        list.invalid("ENC-20", &format!("a frame of the even kind {kind}"), &none, &bytes);
    }
    list
}

const BLOB: [u8; 32] = [
    0x8c, 0x46, 0xe0, 0xd2, 0xce, 0x12, 0x4f, 0x78, 0x27, 0x5d, 0x06, 0xef, 0xe3, 0xf3, 0xa9, 0x15,
    0xac, 0xb1, 0xc7, 0x77, 0x09, 0x1c, 0x36, 0x69, 0x86, 0x5b, 0xcd, 0x98, 0x1b, 0x43, 0x88, 0x6f,
];

fn set(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| v(*number)).collect()
}

fn alternate(count: usize) -> Vec<u8> {
    [v(count as u64), vec![0; 2 * count]].concat()
}

fn want(group: u8, class: u8, ranges: &[u8], known: &[u8], tlvs: &[u8]) -> Vec<u8> {
    [&[0x10, 0x01], &BLOB[..], &[group, class], ranges, known, tlvs].concat()
}

pub(super) fn transfer() -> List {
    let about = "WANT, HAVE, DATA and END: kind and body.";
    let mut list = List::new("message-transfer", Codec::Message, RFC, about);
    let none = no_params();
    let (all, nothing) = (set(&[1, 0, 0]), set(&[0]));

    list.valid("the WANT of the RFC", &none, &want(4, 3, &all, &nothing, &[]), Some("ENC-29"));
    for group in [0, 1, 2, 3, 5, 6, 7, 8, 9, 10] {
        let bytes = want(group, 3, &all, &nothing, &[]);
        list.valid(&format!("WANT in groups of 2^{group} leaves"), &none, &bytes, Some("ENC-29"));
    }
    for class in [0, 1, 2, 4] {
        let bytes = want(4, class, &all, &nothing, &[]);
        list.valid(&format!("WANT of class {class}"), &none, &bytes, Some("ENC-29"));
    }
    let size = tlv(0x01, &v(6));
    list.valid("WANT with a size", &none, &want(4, 3, &all, &nothing, &size), None);
    list.valid(
        "WANT that knows other leaves",
        &none,
        &want(0, 3, &all, &set(&[1, 1, 0]), &[]),
        Some("ENC-30"),
    );
    list.valid(
        "WANT between what it knows",
        &none,
        &want(0, 3, &set(&[1, 5, 0]), &set(&[2, 4, 0, 0, 0]), &[]),
        Some("ENC-30"),
    );
    list.valid(
        "WANT of 1,024 runs",
        &none,
        &want(0, 3, &alternate(1024), &nothing, &[]),
        Some("ENC-5"),
    );
    let far = set(&[1, 5_000, 0]);
    list.valid(
        "WANT that knows 64 runs",
        &none,
        &want(0, 3, &far, &alternate(64), &[]),
        Some("ENC-30"),
    );
    list.valid(
        "WANT up to leaf 2^54",
        &none,
        &want(10, 3, &set(&[1, 0, (1 << 54) - 1]), &nothing, &[]),
        Some("ENC-6"),
    );
    for (comment, ranges) in [
        ("WANT of the first leaf of a group", set(&[1, 16, 0])),
        ("WANT that begins within a group", set(&[1, 1, 30])),
        ("WANT that ends within a group", set(&[1, 0, 17])),
    ] {
        let comment = format!("{comment}, which the source deals with");
        list.valid(&comment, &none, &want(4, 3, &ranges, &nothing, &[]), Some("XFER-18"));
    }
    list.valid(
        "WANT that knows leaves behind the end, which mean nothing",
        &none,
        &want(4, 3, &all, &set(&[1, 1 << 53, 0]), &size),
        Some("XFER-17"),
    );
    list.valid(
        "WANT that knows part of a group",
        &none,
        &want(4, 3, &set(&[1, 16, 15]), &set(&[1, 3, 4]), &[]),
        Some("XFER-17"),
    );
    list.must_ignore(
        "the WANT from the future of the RFC",
        &none,
        &want(4, 3, &all, &nothing, &tlv(7, &[0xbe, 0xef])),
        "ENC-10",
    );
    list.must_ignore(
        "WANT with a size and an odd TLV",
        &none,
        &want(4, 3, &all, &nothing, &[size.clone(), tlv(3, b"")].concat()),
        "ENC-10",
    );
    list.invalid(
        "ENC-29",
        "WANT in groups of 2^11 leaves",
        &none,
        &want(11, 3, &all, &nothing, &[]),
    );
    list.invalid(
        "ENC-29",
        "WANT in groups of 2^255 leaves",
        &none,
        &want(255, 3, &all, &nothing, &[]),
    );
    for class in [5, 6, 0x40, 255] {
        let bytes = want(4, class, &all, &nothing, &[]);
        list.invalid("ENC-29", &format!("WANT of class {class}"), &none, &bytes);
    }
    list.invalid("ENC-30", "WANT of nothing", &none, &want(4, 3, &nothing, &nothing, &[]));
    list.invalid("ENC-30", "WANT that knows what it wants", &none, &want(4, 3, &all, &all, &[]));
    list.invalid(
        "ENC-30",
        "WANT that knows one leaf of what it wants",
        &none,
        &want(0, 3, &set(&[1, 0, 9]), &set(&[1, 9, 3]), &[]),
    );
    list.invalid(
        "ENC-30",
        "WANT that knows 65 runs",
        &none,
        &want(0, 3, &far, &alternate(65), &[]),
    );
    list.invalid(
        "ENC-5",
        "WANT of 1,025 runs",
        &none,
        &want(0, 3, &alternate(1025), &nothing, &[]),
    );
    list.invalid(
        "ENC-6",
        "WANT beyond leaf 2^54",
        &none,
        &want(0, 3, &set(&[1, 1 << 54, 0]), &nothing, &[]),
    );
    list.invalid(
        "ENC-9",
        "WANT with an unknown even TLV",
        &none,
        &want(4, 3, &all, &nothing, &tlv(2, b"")),
    );
    list.invalid(
        "ENC-13",
        "WANT whose size has a byte too many",
        &none,
        &want(4, 3, &all, &nothing, &tlv(1, &[6, 0])),
    );
    list.invalid(
        "ENC-8",
        "WANT with two sizes",
        &none,
        &want(4, 3, &all, &nothing, &[size.clone(), size].concat()),
    );
    list.cut("ENC-4", "WANT", &none, &want(4, 3, &all, &nothing, &[]));

    let have = |size: u64, held: &[u8], tlvs: &[u8]| {
        [vec![0x12, 1], v(size), held.to_vec(), tlvs.to_vec()].concat()
    };
    list.valid("the HAVE of the RFC", &none, &have(6, &all, &[]), None);
    list.valid("HAVE of nothing", &none, &have(0, &nothing, &[]), None);
    list.valid("HAVE of the largest size", &none, &have((1 << 62) - 1, &all, &[]), None);
    list.valid("HAVE of 1,024 runs", &none, &have(1 << 30, &alternate(1024), &[]), Some("ENC-5"));
    list.must_ignore("HAVE with an odd TLV", &none, &have(6, &all, &tlv(1, b"?")), "ENC-10");
    list.invalid("ENC-5", "HAVE of 1,025 runs", &none, &have(1 << 30, &alternate(1025), &[]));
    list.invalid("ENC-9", "HAVE with an even TLV", &none, &have(6, &all, &tlv(2, b"?")));
    list.invalid("ENC-6", "HAVE beyond leaf 2^54", &none, &have(6, &set(&[1, 0, 1 << 54]), &[]));
    for (size, leaves) in [(0, 1), (1024, 1), (1025, 2), (40_000, 40), ((1 << 62) - 1, 1 << 52)] {
        let comment = format!("HAVE of all of {size} bytes");
        if !list.has(&none, &have(size, &set(&[1, 0, leaves - 1]), &[])) {
            let bytes = have(size, &set(&[1, 0, leaves - 1]), &[]);
            list.valid(&comment, &none, &bytes, Some("ENC-34"));
        }
        let bytes = have(size, &set(&[1, 0, leaves]), &[]);
        list.invalid("ENC-34", &format!("{comment} and a leaf behind it"), &none, &bytes);
        let bytes = have(size, &set(&[1, leaves, 0]), &[]);
        list.invalid("ENC-34", &format!("HAVE of a leaf behind {size} bytes"), &none, &bytes);
    }
    let two = have(40_000, &set(&[2, 0, 9, 30, 0]), &[]);
    list.invalid("ENC-34", "HAVE whose second run is behind the end", &none, &two);
    list.cut("ENC-4", "HAVE", &none, &have(400_000, &set(&[2, 0, 9, 70, 2]), &[]));

    let data = |first: u64, proof: &[u8], data: &[u8]| {
        [vec![0x14, 1], v(first), v(proof.len() as u64), proof.to_vec(), data.to_vec()].concat()
    };
    list.valid("the DATA of the RFC", &none, &data(0, &[], b"samara"), None);
    list.valid("the DATA of the empty blob", &none, &data(0, &[], &[]), Some("ENC-32"));
    list.valid(
        "DATA with a proof of one pair",
        &none,
        &data(2, &[0x11; 64], &[0x28]),
        Some("ENC-31"),
    );
    list.valid("DATA with the longest proof", &none, &data(0, &[0x11; 8192], &[1]), Some("ENC-31"));
    list.valid("DATA of two leaves and a byte", &none, &data(7, &[], &[0x5a; 2049]), None);
    list.valid(
        "DATA of the last leaf of all",
        &none,
        &data((1 << 54) - 1, &[], &[1; 1024]),
        Some("ENC-33"),
    );
    list.invalid("ENC-31", "a proof of 8,256 bytes", &none, &data(0, &[0x11; 8256], &[1]));
    for len in [1, 32, 63, 65, 100] {
        let bytes = data(0, &vec![0x11; len], &[1]);
        list.invalid("ENC-31", &format!("a proof of {len} bytes"), &none, &bytes);
    }
    list.invalid(
        "ENC-31",
        "a proof of 2^62 - 1 bytes that are not there",
        &none,
        &[vec![0x14, 1, 0], v((1 << 62) - 1)].concat(),
    );
    list.invalid("ENC-32", "DATA without data from leaf 1 on", &none, &data(1, &[], &[]));
    list.invalid("ENC-32", "DATA without data but with a proof", &none, &data(0, &[0x11; 64], &[]));
    list.invalid("ENC-33", "DATA from leaf 2^54 on", &none, &data(1 << 54, &[], &[1]));
    list.invalid(
        "ENC-33",
        "DATA whose second leaf is 2^54",
        &none,
        &data((1 << 54) - 1, &[], &[1; 1025]),
    );
    list.invalid(
        "ENC-4",
        "DATA whose proof is cut",
        &none,
        &[&[0x14, 1, 0, 0x40, 0x40][..], &[0x11; 63]].concat(),
    );
    list.cut("ENC-4", "DATA", &none, &[0x14, 1, 0, 0]);

    let end = |code: u64, missing: &[u8], tlvs: &[u8]| {
        [vec![0x16, 1], v(code), missing.to_vec(), tlvs.to_vec()].concat()
    };
    for code in 0..7 {
        list.valid(&format!("END {code}"), &none, &end(code, &nothing, &[]), None);
    }
    list.valid("END with a time to come back", &none, &end(2, &all, &tlv(1, &v(1_500))), None);
    list.valid("END with an unknown code", &none, &end(7, &all, &[]), Some("ENC-27"));
    list.valid("END with the highest code", &none, &end((1 << 62) - 1, &all, &[]), Some("ENC-27"));
    list.valid("END that lacks 1,024 runs", &none, &end(1, &alternate(1024), &[]), Some("ENC-5"));
    let most = set(&[1, 0, (1 << 54) - 1]);
    list.valid("END that lacks all leaves there can be", &none, &end(1, &most, &[]), Some("ENC-6"));
    list.must_ignore("END with an odd TLV", &none, &end(0, &nothing, &tlv(5, b"?")), "ENC-10");
    list.invalid("ENC-5", "END that lacks 1,025 runs", &none, &end(1, &alternate(1025), &[]));
    list.invalid("ENC-9", "END with an even TLV", &none, &end(0, &nothing, &tlv(4, b"?")));
    list.invalid(
        "ENC-13",
        "END whose time has a byte too many",
        &none,
        &end(2, &all, &tlv(1, &[5, 0])),
    );
    list.invalid("ENC-4", "END whose time is empty", &none, &end(2, &all, &tlv(1, &[])));
    list.invalid("ENC-2", "END whose code is not minimal", &none, &[0x16, 1, 0x40, 0x01, 0]);
    list.cut("ENC-4", "END", &none, &end(70, &set(&[2, 0, 9, 70, 2]), &[]));
    list
}
