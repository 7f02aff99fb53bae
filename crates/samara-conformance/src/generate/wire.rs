use serde_json::Value;

use super::{List, no_params, tlv as one, v};
use crate::{Codec, Params, ours::number};

const RFC: &str = "rfcs/0003-encoding.md";

pub(super) fn varint() -> List {
    let about = "One varint and nothing after it.";
    let mut list = List::new("varint", Codec::Varint, RFC, about);
    let none = no_params();
    for value in [
        0,
        1,
        2,
        37,
        62,
        63,
        64,
        65,
        255,
        256,
        15_293,
        16_382,
        16_383,
        16_384,
        16_385,
        65_535,
        65_536,
        494_878_333,
        (1 << 30) - 1,
        1 << 30,
        (1 << 30) + 1,
        u64::from(u32::MAX),
        1 << 32,
        (1 << 53) - 1,
        1 << 53,
        (1 << 53) + 1,
        1 << 54,
        (1 << 61) + 7,
        (1 << 62) - 2,
        (1 << 62) - 1,
    ] {
        list.valid(&format!("{value}"), &none, &v(value), Some("ENC-1"));
    }
    for (len, prefix) in [(2, 0x40_u8), (4, 0x80), (8, 0xc0)] {
        for value in [0_u64, 1, 7, 62, 63, 64, 255, 16_383, 16_384, (1 << 30) - 1] {
            let mut bytes: Vec<u8> = value.to_be_bytes().into_iter().skip(8 - len).collect();
            let shortest = v(value).len();
            let fits = value < 1 << (8 * len - 2);
            if let Some(first) = bytes.first_mut()
                && fits
                && shortest < len
            {
                *first |= prefix;
                let comment = format!("{value} in {len} bytes, where {shortest} are enough");
                list.invalid("ENC-2", &comment, &none, &bytes);
            }
        }
    }
    for value in [64, 16_384, 1 << 30, (1 << 62) - 1] {
        list.cut("ENC-4", &format!("{value}"), &none, &v(value));
    }
    list
}

fn runs_max(runs: u32) -> Params {
    Params::from_iter([("runs_max".to_owned(), number(runs))])
}

pub(super) fn ranges() -> List {
    let about = "One range set and nothing after it.";
    let mut list = List::new("ranges", Codec::Ranges, RFC, about);
    let (many, few) = (runs_max(1024), runs_max(64));
    let set = |numbers: &[u64]| numbers.iter().flat_map(|number| v(*number)).collect::<Vec<_>>();
    list.valid("the empty set", &many, &set(&[0]), None);
    list.valid("0..1", &many, &set(&[1, 0, 0]), None);
    list.valid("1..2", &many, &set(&[1, 1, 0]), None);
    list.valid("0..64: the length less 1 in one byte", &many, &set(&[1, 0, 63]), None);
    list.valid("0..65: in two", &many, &set(&[1, 0, 64]), None);
    list.valid("the example of the RFC", &many, &set(&[3, 0, 15, 15, 15, 0, 0]), None);
    list.valid("two runs, a gap of 1", &many, &set(&[2, 0, 0, 0, 0]), None);
    list.valid("two runs, a gap of 2", &many, &set(&[2, 0, 0, 1, 0]), None);
    list.valid("all leaves", &many, &set(&[1, 0, (1 << 54) - 1]), Some("ENC-6"));
    list.valid("the last leaf", &many, &set(&[1, (1 << 54) - 1, 0]), Some("ENC-6"));
    list.valid(
        "two runs, the second ends at 2^54",
        &many,
        &set(&[2, 0, 0, (1 << 54) - 3, 0]),
        Some("ENC-6"),
    );
    let alternate = |count: usize| {
        let mut bytes = v(count as u64);
        bytes.extend_from_slice(&vec![0; 2 * count]);
        bytes
    };
    list.valid("64 runs of 64", &few, &alternate(64), Some("ENC-5"));
    list.valid("1,024 runs of 1,024", &many, &alternate(1024), Some("ENC-5"));
    list.invalid("ENC-5", "65 runs of 64", &few, &alternate(65));
    list.invalid("ENC-5", "1,025 runs of 1,024", &many, &alternate(1025));
    list.invalid("ENC-5", "one run of none", &runs_max(0), &set(&[1, 0, 0]));
    list.invalid("ENC-5", "2^62 - 1 runs, and bytes for none", &many, &v((1 << 62) - 1));
    list.invalid("ENC-6", "one leaf too many", &many, &set(&[1, 0, 1 << 54]));
    list.invalid("ENC-6", "one leaf too far", &many, &set(&[1, 1 << 54, 0]));
    list.invalid(
        "ENC-6",
        "start and length overflow 2^62",
        &many,
        &set(&[1, (1 << 62) - 1, (1 << 62) - 1]),
    );
    list.invalid(
        "ENC-6",
        "the second run ends above 2^54",
        &many,
        &set(&[2, 0, 0, (1 << 54) - 2, 0]),
    );
    list.invalid(
        "ENC-6",
        "the gap alone is beyond 2^54",
        &many,
        &set(&[2, 0, 0, (1 << 62) - 1, 0]),
    );
    list.invalid("ENC-2", "a count that is not minimal", &many, &[0x40, 0x01, 0, 0]);
    list.invalid("ENC-2", "a skip that is not minimal", &many, &[1, 0x40, 0x00, 0]);
    list.invalid("ENC-2", "a length that is not minimal", &many, &[1, 0, 0x40, 0x3f]);
    list.cut("ENC-4", "three runs", &many, &set(&[3, 0, 15, 15, 15, 0, 0]));
    list.cut("ENC-4", "a run with long numbers", &many, &set(&[1, 1 << 40, 1 << 41]));
    list
}

fn known(types: &[u64]) -> Params {
    let types: Value = types.iter().map(number).collect();
    Params::from_iter([("known".to_owned(), types)])
}

pub(super) fn tlv() -> List {
    let about = "One TLV section; `known` are the types that the reader knows.";
    let mut list = List::new("tlv", Codec::Tlv, RFC, about);
    let (none, two, both) = (known(&[]), known(&[2]), known(&[1, 2]));
    let long = vec![0x55; 16_383];
    list.valid("no TLV", &none, &[], None);
    list.valid("no TLV where some are known", &both, &[], None);
    list.valid("one", &two, &one(2, b"two"), None);
    list.valid("an empty value", &two, &one(2, b""), None);
    list.valid("two", &both, &[one(1, b"a"), one(2, b"b")].concat(), Some("ENC-8"));
    list.valid("a type of two bytes", &known(&[64]), &one(64, b"x"), None);
    list.valid("the highest even type", &known(&[(1 << 62) - 2]), &one((1 << 62) - 2, b""), None);
    list.valid("a value of 16,383 bytes", &two, &one(2, &long), Some("ENC-12"));
    let section = |count: u64, step: u64| {
        (0..count).flat_map(|at| one(at * step + 1, b"")).collect::<Vec<_>>()
    };
    let types: Vec<u64> = (0..40).map(|at| at * 2 + 1).collect();
    list.valid("32 TLVs", &known(&types), &section(32, 2), Some("ENC-11"));
    for (comment, bytes) in [
        ("an unknown odd type alone", one(7, b"future")),
        ("an unknown odd type after a known one", [one(2, b"two"), one(7, b"odd")].concat()),
        ("an unknown odd type before a known one", [one(1, b"odd"), one(2, b"two")].concat()),
        ("the highest odd type", one((1 << 62) - 1, b"")),
        ("32 TLVs, all of them skipped", section(32, 2)),
        ("a skipped value of 16,383 bytes", one(9, &long)),
    ] {
        list.must_ignore(comment, &two, &bytes, "ENC-10");
    }
    for (comment, bytes) in [
        ("an unknown even type alone", one(4, b"must know")),
        ("type 0, unknown", one(0, b"")),
        ("an unknown even type after a known one", [one(2, b"two"), one(4, b"x")].concat()),
        ("an unknown even type after a skipped one", [one(3, b"odd"), one(4, b"x")].concat()),
        ("the highest even type, unknown", one((1 << 62) - 2, b"")),
    ] {
        list.invalid("ENC-9", comment, &two, &bytes);
    }
    for (comment, bytes) in [
        ("the same type twice", [one(2, b"a"), one(2, b"a")].concat()),
        ("types that descend", [one(2, b"a"), one(1, b"b")].concat()),
        ("a skipped type twice", [one(7, b""), one(7, b"")].concat()),
        ("a skipped type below the one before it", [one(7, b""), one(5, b"")].concat()),
        ("a third type below the second", [one(1, b""), one(7, b""), one(2, b"")].concat()),
    ] {
        list.invalid("ENC-8", comment, &both, &bytes);
    }
    list.invalid("ENC-11", "33 TLVs, all of them known", &known(&types), &section(33, 2));
    list.invalid("ENC-11", "33 TLVs, all of them skipped", &none, &section(33, 2));
    list.invalid(
        "ENC-12",
        "a value of 16,384 bytes",
        &two,
        &one(2, &[long.clone(), vec![0]].concat()),
    );
    list.invalid(
        "ENC-12",
        "a skipped value of 16,384 bytes",
        &two,
        &one(3, &[long, vec![0]].concat()),
    );
    list.invalid("ENC-12", "a length of 2^62 - 1", &two, &[v(2), v((1 << 62) - 1)].concat());
    list.invalid("ENC-2", "a type that is not minimal", &two, &[0x40, 0x02, 0]);
    list.invalid("ENC-2", "a length that is not minimal", &two, &[2, 0x40, 0x01, 0xaa]);
    list.cut("ENC-4", "one known TLV", &two, &one(2, b"two"));
    list.cut("ENC-4", "a skipped TLV", &two, &one(77, b"odd"));
    list
}
