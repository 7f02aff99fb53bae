//! One test for each way in which bytes are not a manifest.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use samara_chunk::{
    DecodeError, DecodeProblem, Decoder, ExtensionProblem, Field, Manifest, NameProblem, Step,
};

/// Magic, version 1, no extensions. Entries begin at byte 9.
const HEADER: &[u8] = b"SmraCol\x01\x00";
/// A directory `d`, mode 0755: tag, depth 0, shared 0, length 1, `d`, mode. 7 bytes.
const DIR: &[u8] = b"\x02\x00\x00\x01d\x41\xed";
/// A link `l` to `x`: tag, depth 0, shared 0, length 1, `l`, length 1, `x`. 7 bytes.
const LINK: &[u8] = b"\x03\x00\x00\x01l\x01x";

fn fault(parts: &[&[u8]]) -> (u32, Field, DecodeProblem) {
    let bytes = parts.concat();
    let error = Manifest::decode(&bytes[..]).unwrap_err();
    assert_eq!(in_pieces(&bytes), Some(error), "the same answer byte by byte");
    assert!(error.to_string().contains(&format!("byte {}", error.offset)));
    (error.offset, error.field, error.problem)
}

/// Decodes with one more byte visible at a time. `None` if the manifest is whole.
fn in_pieces(bytes: &[u8]) -> Option<DecodeError> {
    let (mut decoder, mut start) = (Decoder::new(), 0);
    for end in 0..=bytes.len() {
        loop {
            match decoder.step(&bytes[start..end]) {
                Ok(Step::More) => break,
                Ok(Step::End { used: 0 }) => break,
                Ok(Step::Header { used, .. } | Step::Entry { used, .. } | Step::End { used }) => {
                    start += used;
                }
                Err(error) => {
                    assert_eq!(decoder.step(b"").unwrap_err(), error, "it stays failed");
                    return Some(error);
                }
            }
        }
    }
    if decoder.is_finished() { None } else { Manifest::decode(bytes).err() }
}

//= rfcs/0004-chunking.md#coll-22
//= type=test
//# A decoder MUST refuse a manifest that begins with another magic, or whose extensions are
//# cut, do not ascend or are empty where their tag says that there are some.
#[test]
fn something_else_than_a_manifest() {
    assert_eq!(fault(&[b""]), (0, Field::Magic, DecodeProblem::Truncated));
    assert_eq!(fault(&[b"SmraCo"]), (0, Field::Magic, DecodeProblem::Truncated));
    assert_eq!(fault(&[b"SmraCob\x01\x00"]), (0, Field::Magic, DecodeProblem::Magic));
}

//= rfcs/0004-chunking.md#coll-2
//= type=test
//# A decoder MUST refuse a manifest whose version it does not know.
#[test]
fn another_version() {
    for found in [0, 2, 255] {
        let expected = (7, Field::Version, DecodeProblem::Version { found });
        assert_eq!(fault(&[b"SmraCol", &[found], b"\x00\x00\x00\x00"]), expected);
    }
}

//= rfcs/0004-chunking.md#coll-3
//= type=test
//# A decoder MUST refuse an end record whose figures differ from the entries before it.
#[test]
fn figures_at_the_end_that_do_not_agree() {
    let entries = (17, Field::EndEntries, DecodeProblem::EndMismatch);
    assert_eq!(fault(&[HEADER, DIR, b"\x00\x00\x00"]), entries);
    assert_eq!(fault(&[HEADER, DIR, b"\x00\x02\x00"]), entries);
    let bytes = (18, Field::EndBytes, DecodeProblem::EndMismatch);
    assert_eq!(fault(&[HEADER, DIR, b"\x00\x01\x01"]), bytes);
    assert!(Manifest::decode([HEADER, DIR, b"\x00\x01\x00"].concat()).is_ok());
}

//= rfcs/0004-chunking.md#coll-4
//= type=test
//# A decoder MUST refuse a manifest that ends before its end record or has bytes after it.
#[test]
fn cut_short_or_too_long() {
    let bytes = [HEADER, DIR, LINK, b"\x00\x02\x00"].concat();
    assert!(Manifest::decode(&bytes[..]).is_ok());
    for end in 0..bytes.len() {
        assert_eq!(fault(&[&bytes[..end]]).2, DecodeProblem::Truncated, "{end} bytes");
    }
    let trailing = (26, Field::Manifest, DecodeProblem::TrailingData);
    assert_eq!(fault(&[&bytes, b"\x00"]), trailing);
}

//= rfcs/0004-chunking.md#coll-5
//= type=test
//# A decoder MUST refuse a tag that the table does not list.
#[test]
fn tags_that_do_not_exist() {
    let listed = [0, 1, 2, 3, 5, 6, 9, 10, 11, 13, 14];
    for tag in (0..=255).filter(|tag| !listed.contains(tag)) {
        let expected = (9, Field::Tag, DecodeProblem::UnknownTag { tag });
        assert_eq!(fault(&[HEADER, &[tag], &DIR[1..]]), expected);
    }
}

//= rfcs/0004-chunking.md#coll-6
//= type=test
//# A decoder MUST refuse a varint that is not minimal.
#[test]
fn varints_that_are_too_long() {
    let problem = DecodeProblem::NotMinimal;
    assert_eq!(fault(&[b"SmraCol\x01\x40\x00"]), (8, Field::Extensions, problem));
    let mode = b"\x02\x00\x00\x01d\x40\x3f";
    assert_eq!(fault(&[HEADER, mode]), (14, Field::Mode, problem));
    let seconds = b"\x06\x00\x00\x01d\x41\xed\x40\x01\x00";
    assert_eq!(fault(&[HEADER, seconds]), (16, Field::Mtime, problem));
    let nanos = b"\x06\x00\x00\x01d\x41\xed\x00\x40\x01";
    assert_eq!(fault(&[HEADER, nanos]), (17, Field::Mtime, problem));
    let size = b"\x01\x00\x00\x01f\x41\xed\x80\x00\x00\x05";
    assert_eq!(fault(&[HEADER, size]), (16, Field::Size, problem));
    let target = b"\x03\x00\x00\x01l\x40\x01x";
    assert_eq!(fault(&[HEADER, target]), (14, Field::Target, problem));
    assert_eq!(fault(&[HEADER, b"\x00\x40\x00"]), (10, Field::EndEntries, problem));
    assert_eq!(fault(&[HEADER, b"\x00\x00\x40\x00"]), (11, Field::EndBytes, problem));
}

//= rfcs/0004-chunking.md#coll-7
//= type=test
//# A decoder MUST refuse an entry whose parent is not a directory entry that precedes it.
#[test]
fn entries_without_a_directory() {
    // Depth 1 at the top, below a link, and depth 2 below a directory.
    let at_top = (10, Field::Depth, DecodeProblem::NoParent);
    assert_eq!(fault(&[HEADER, b"\x03\x01\x00\x01l\x01x"]), at_top);
    let below_link = (17, Field::Depth, DecodeProblem::NoParent);
    assert_eq!(fault(&[HEADER, LINK, b"\x03\x01\x00\x01l\x01x"]), below_link);
    assert_eq!(fault(&[HEADER, DIR, b"\x03\x02\x00\x01l\x01x"]), below_link);
    // A file: 1 byte of size and 32 of id behind the mode.
    let file = [b"\x01\x00\x00\x01f\x41\xed\x00", &[7; 32][..]].concat();
    let below_file = (50, Field::Depth, DecodeProblem::NoParent);
    assert_eq!(fault(&[HEADER, &file, b"\x03\x01\x00\x01l\x01x"]), below_file);
}

//= rfcs/0004-chunking.md#coll-8
//= type=test
//# A decoder MUST refuse an entry whose name is not greater than the name of the sibling before it
//# or does not share exactly the stated count of bytes with it.
#[test]
fn names_out_of_order() {
    let link = |shared: u8, suffix: &[u8]| {
        let len = u8::try_from(suffix.len()).unwrap();
        [&[3, 0, shared, len][..], suffix, b"\x01x"].concat()
    };
    let first = link(0, b"mm");
    // Byte 9 + 8 is the second entry's tag: its `shared` is byte 19, its length byte 20.
    let name = (20, Field::Name, DecodeProblem::Order);
    for (shared, suffix) in [
        (0, &b"l"[..]), // smaller
        (0, b"m"),      // a prefix
        (0, b"mm"),     // the same, written whole
        (2, b""),       // the same
        (1, b""),       // a prefix
        (1, b"l"),      // smaller in its second byte
        (1, b"mz"),     // "mmz" shares two bytes, not one
        (0, b"mz"),     // "mz" shares one byte, not none
    ] {
        assert_eq!(fault(&[HEADER, &first, &link(shared, suffix)]), name, "{shared} {suffix:?}");
    }
    let shared = (19, Field::Shared, DecodeProblem::Order);
    assert_eq!(fault(&[HEADER, &first, &link(3, b"z")]), shared);
    // The first name in a directory shares nothing, whatever lies beside the directory.
    let child = [3, 1, 1, 1, b'z', 1, b'x'];
    assert_eq!(fault(&[HEADER, DIR, &child]), (18, Field::Shared, DecodeProblem::Order));

    for (shared, suffix) in [(0, &b"n"[..]), (1, b"n"), (2, b"\x01")] {
        let bytes = [HEADER, &first, &link(shared, suffix), b"\x00\x02\x00"].concat();
        assert!(Manifest::decode(bytes).is_ok());
    }
}

//= rfcs/0004-chunking.md#coll-9
//= type=test
//# A decoder MUST refuse a name that is empty, is `.` or `..`, contains `/` or the byte 0, begins
//# with `.samara-` or ends in `.samara-part`, in any mix of ASCII case.
#[test]
fn names_that_lead_elsewhere() {
    for (name, problem) in [
        (&b""[..], NameProblem::Empty),
        (b".", NameProblem::Dots),
        (b"..", NameProblem::Dots),
        (b"/", NameProblem::Slash),
        (b"../x", NameProblem::Slash),
        (b"a/b", NameProblem::Slash),
        (b"a\0", NameProblem::Nul),
        (b".samara-", NameProblem::Reserved),
        (b".SAMARA-part", NameProblem::Reserved),
        (b"x.samara-PART", NameProblem::Reserved),
    ] {
        let len = u8::try_from(name.len()).unwrap();
        let entry = [&[3, 0, 0, len][..], name, b"\x01x"].concat();
        let expected = (12, Field::Name, DecodeProblem::Name(problem));
        assert_eq!(fault(&[HEADER, &entry]), expected, "{name:?}");
    }
}

#[test]
fn a_dangerous_name_made_of_shared_bytes() {
    // "." cannot come first, but ".." could share its first byte with ".-".
    let entries = b"\x03\x00\x00\x02.-\x01x\x03\x00\x01\x01.\x01x";
    let expected = (20, Field::Name, DecodeProblem::Name(NameProblem::Dots));
    assert_eq!(fault(&[HEADER, entries]), expected);
    let entries = b"\x03\x00\x00\x08.samara,\x01x\x03\x00\x07\x01-\x01x";
    let expected = (26, Field::Name, DecodeProblem::Name(NameProblem::Reserved));
    assert_eq!(fault(&[HEADER, entries]), expected);
}

//= rfcs/0004-chunking.md#coll-10
//= type=test
//# An encoder MUST drop all bits of a mode but the nine permissions.
#[test]
fn modes_with_special_bits_have_no_encoding() {
    use samara_chunk::Mode;
    assert_eq!(Mode::from_st_mode(0o106_755).bits(), 0o755);
    for mode in [0o1000_u16, 0o4755, 0o7777] {
        let [high, low] = (mode | 0x4000).to_be_bytes();
        let entry = [2, 0, 0, 1, b'd', high, low];
        assert_eq!(fault(&[HEADER, &entry]), (14, Field::Mode, DecodeProblem::TooLarge));
    }
}

//= rfcs/0004-chunking.md#coll-11
//= type=test
//# A decoder MUST refuse a link target that is empty or contains the byte 0.
#[test]
fn links_to_nothing() {
    let empty = (14, Field::Target, DecodeProblem::TargetEmpty);
    assert_eq!(fault(&[HEADER, b"\x03\x00\x00\x01l\x00"]), empty);
    let nul = (14, Field::Target, DecodeProblem::TargetNul);
    assert_eq!(fault(&[HEADER, b"\x03\x00\x00\x01l\x02x\x00"]), nul);
}

//= rfcs/0004-chunking.md#coll-15
//= type=test
//# A decoder MUST refuse an extension of an even type that it does not know.
#[test]
fn extensions_that_must_be_understood() {
    let critical = |kind| DecodeProblem::Extensions(ExtensionProblem::UnknownCritical { kind });
    let header = b"SmraCol\x01\x02\x00\x00\x00\x00\x00";
    assert_eq!(fault(&[header]), (9, Field::Extensions, critical(0)));
    // A directory with the extensions 1 (one byte) and 6 (none).
    let entry = b"\x0a\x00\x00\x01d\x41\xed\x05\x01\x01x\x06\x00";
    assert_eq!(fault(&[HEADER, entry]), (20, Field::Extensions, critical(6)));
}

//= rfcs/0004-chunking.md#coll-16
//= type=test
//# A decoder MUST skip an extension of an odd type that it does not know.
#[test]
fn extensions_that_need_not_be_understood() {
    let header = b"SmraCol\x01\x03\x01\x01x";
    let entry = b"\x0a\x00\x00\x01d\x41\xed\x05\x01\x01x\x07\x00";
    let manifest = Manifest::decode([&header[..], entry, b"\x00\x01\x00"].concat()).unwrap();
    let mut entries = manifest.iter();
    let entry = entries.next_entry().unwrap();
    let kinds: Vec<_> = entry.extensions.iter().collect();
    assert_eq!(kinds, [(1, &b"x"[..]), (7, b"")]);
    assert_eq!(entries.next_entry(), None);
}

//= rfcs/0004-chunking.md#coll-22
//= type=test
//# A decoder MUST refuse a manifest that begins with another magic, or whose extensions are
//# cut, do not ascend or are empty where their tag says that there are some.
#[test]
fn extension_areas_that_are_not_one() {
    let in_header = |area: &[u8]| {
        let len = u8::try_from(area.len()).unwrap();
        fault(&[b"SmraCol\x01", &[len], area, b"\x00\x00\x00"])
    };
    let problem = |problem| DecodeProblem::Extensions(problem);
    let overrun = problem(ExtensionProblem::Overrun);
    for area in [&b"\x01"[..], b"\x01\x02x", b"\x40", b"\x01\x40"] {
        assert_eq!(in_header(area), (9, Field::Extensions, overrun), "{area:?}");
    }
    let long = problem(ExtensionProblem::NotMinimal);
    assert_eq!(in_header(b"\x40\x01\x00"), (9, Field::Extensions, long));
    let order = problem(ExtensionProblem::Order);
    assert_eq!(in_header(b"\x03\x00\x01\x00"), (11, Field::Extensions, order));
    assert_eq!(in_header(b"\x03\x00\x03\x00"), (11, Field::Extensions, order));
    let empty = (16, Field::Extensions, DecodeProblem::ExtensionsEmpty);
    assert_eq!(fault(&[HEADER, b"\x0a\x00\x00\x01d\x41\xed\x00"]), empty);
}

//= rfcs/0004-chunking.md#coll-13
//= type=test
//# A decoder MUST give the same answer on every operating system.
#[test]
fn names_that_this_system_may_lack_decode_all_the_same() {
    for name in [&b"NUL"[..], b"a:b", b"a\\b", b"\xff", b"a.", b"a ", b"C:", b"*?"] {
        let len = u8::try_from(name.len()).unwrap();
        let bytes = [HEADER, &[3, 0, 0, len], name, b"\x02/x\x00\x01\x00"].concat();
        let manifest = Manifest::decode(bytes).unwrap();
        assert_eq!(manifest.iter().next_entry().map(|entry| entry.path.to_vec()).unwrap(), name);
    }
}
