use samara_base::BlobId;
use samara_chunk::{Entry, Extensions, ManifestEncoder, Mode, Mtime};

use super::{List, no_params, v};
use crate::Codec;

const ID: [u8; 32] = [0x5a; 32];

fn header() -> Vec<u8> {
    [b"SmraCol".as_slice(), &[1, 0]].concat()
}

fn end(entries: u64, bytes: u64) -> Vec<u8> {
    [vec![0], v(entries), v(bytes)].concat()
}

/// A file entry of 5 bytes.
fn file(depth: u8, shared: u8, suffix: &[u8]) -> Vec<u8> {
    let len = u8::try_from(suffix.len()).unwrap_or(u8::MAX);
    [&[1, depth, shared, len], suffix, &v(0o644), &v(5), &ID].concat()
}

fn directory(depth: u8, shared: u8, suffix: &[u8]) -> Vec<u8> {
    let len = u8::try_from(suffix.len()).unwrap_or(u8::MAX);
    [&[2, depth, shared, len], suffix, &v(0o755)].concat()
}

fn link(depth: u8, shared: u8, suffix: &[u8], target: &[u8]) -> Vec<u8> {
    let len = u8::try_from(suffix.len()).unwrap_or(u8::MAX);
    [&[3, depth, shared, len], suffix, &v(target.len() as u64), target].concat()
}

/// A manifest of these entries, of which `files` are files of 5 bytes.
fn manifest(entries: &[Vec<u8>], files: u64) -> Vec<u8> {
    [header(), entries.concat(), end(entries.len() as u64, files * 5)].concat()
}

pub(super) fn list() -> List {
    let about = "One collection manifest.";
    let mut list = List::new("manifest", Codec::Manifest, "rfcs/0004-chunking.md", about);
    let none = no_params();
    list.valid("no entry", &none, &manifest(&[], 0), Some("COLL-1"));
    list.valid("one file", &none, &manifest(&[file(0, 0, b"a")], 1), None);
    list.valid(
        "a directory with a file",
        &none,
        &manifest(&[directory(0, 0, b"a"), file(1, 0, b"b")], 1),
        Some("COLL-7"),
    );
    list.valid(
        "names that share a beginning",
        &none,
        &manifest(&[file(0, 0, b"photo1"), file(0, 5, b"2")], 2),
        Some("COLL-8"),
    );
    list.valid(
        "a name that continues the one before",
        &none,
        &manifest(&[file(0, 0, b"a"), file(0, 1, b"b")], 2),
        Some("COLL-8"),
    );
    list.valid(
        "a directory before a file that begins like it",
        &none,
        &manifest(&[directory(0, 0, b"a"), file(1, 0, b"b"), file(0, 1, b".txt")], 2),
        None,
    );
    list.valid("a link", &none, &manifest(&[link(0, 0, b"l", b"a/b")], 0), None);
    list.valid(
        "a link with a target outside, which is the extractor's business",
        &none,
        &manifest(&[link(0, 0, b"l", b"/etc/passwd")], 0),
        Some("COLL-17"),
    );
    list.valid(
        "a name that is not UTF-8",
        &none,
        &manifest(&[file(0, 0, &[0xff, 0xfe])], 1),
        Some("COLL-13"),
    );
    list.valid(
        "a name that Windows reserves",
        &none,
        &manifest(&[file(0, 0, b"CON")], 1),
        Some("COLL-13"),
    );
    list.valid(
        "a name with a backslash",
        &none,
        &manifest(&[file(0, 0, b"a\\b")], 1),
        Some("COLL-13"),
    );
    list.valid(
        "names that differ in case only",
        &none,
        &manifest(&[file(0, 0, b"A"), file(0, 0, b"a")], 2),
        Some("COLL-13"),
    );
    list.valid(
        "a name of 255 bytes",
        &none,
        &manifest(&[file(0, 0, &[b'n'; 255])], 1),
        Some("COLL-12"),
    );
    list.valid("a name of three dots", &none, &manifest(&[file(0, 0, b"...")], 1), Some("COLL-9"));
    list.valid(
        "a target of 4,096 bytes",
        &none,
        &manifest(&[link(0, 0, b"l", &[b't'; 4096])], 0),
        Some("COLL-12"),
    );
    let deep = |depth: u8| {
        let mut entries: Vec<_> = (0..depth).map(|at| directory(at, 0, b"d")).collect();
        entries.push(file(depth, 0, b"f"));
        manifest(&entries, 1)
    };
    list.valid("64 components", &none, &deep(63), Some("COLL-12"));
    timed(&mut list);
    extended(&mut list);
    names(&mut list);

    list.invalid("COLL-12", "65 components", &none, &deep(64));
    list.invalid(
        "COLL-2",
        "version 2",
        &none,
        &[b"SmraCol".as_slice(), &[2, 0], &end(0, 0)].concat(),
    );
    list.invalid(
        "COLL-2",
        "version 0",
        &none,
        &[b"SmraCol".as_slice(), &[0, 0], &end(0, 0)].concat(),
    );
    list.invalid(
        "COLL-22",
        "another magic",
        &none,
        &[b"SmraCot".as_slice(), &[1, 0], &end(0, 0)].concat(),
    );
    let one = file(0, 0, b"a");
    for (comment, entries, bytes) in [
        ("one entry too few", 0, 5),
        ("one entry too many", 2, 5),
        ("bytes too few", 1, 4),
        ("bytes too many", 1, 6),
    ] {
        let bytes = [header(), one.clone(), end(entries, bytes)].concat();
        list.invalid("COLL-3", &format!("an end record with {comment}"), &none, &bytes);
    }
    list.invalid(
        "COLL-4",
        "a byte behind the end record",
        &none,
        &[manifest(&[], 0), vec![0]].concat(),
    );
    list.invalid("COLL-4", "no end record", &none, &[header(), one.clone()].concat());
    list.cut(
        "COLL-4",
        "a directory with a file",
        &none,
        &manifest(&[directory(0, 0, b"a"), file(1, 0, b"b")], 1),
    );
    for tag in [0x04, 0x07, 0x08, 0x0c, 0x0f, 0x10, 0x11, 0x21, 0x41, 0x81, 0xff] {
        let mut entry = one.clone();
        if let Some(first) = entry.first_mut() {
            *first = tag;
        }
        list.invalid("COLL-5", &format!("the tag {tag:#04x}"), &none, &manifest(&[entry], 1));
    }
    let long = [&[1, 0, 0, 1, b'a'][..], &[0x80, 0, 1, 0xa4], &v(5), &ID].concat();
    list.invalid("COLL-6", "a mode in four bytes", &none, &manifest(&[long], 1));
    let long = [&[1, 0, 0, 1, b'a'][..], &v(0o644), &[0x40, 5], &ID].concat();
    list.invalid("COLL-6", "a size in two bytes", &none, &manifest(&[long], 1));
    list.invalid(
        "COLL-6",
        "a count in two bytes",
        &none,
        &[header(), one, vec![0, 0x40, 1, 5]].concat(),
    );
    let high = [&[1, 0, 0, 1, b'a'][..], &v(0o1000), &v(5), &ID].concat();
    list.invalid("COLL-12", "a mode above 0777", &none, &manifest(&[high], 1));
    list.invalid("COLL-7", "a file below nothing", &none, &manifest(&[file(1, 0, b"b")], 1));
    list.invalid(
        "COLL-7",
        "a file below a file",
        &none,
        &manifest(&[file(0, 0, b"a"), file(1, 0, b"b")], 2),
    );
    list.invalid(
        "COLL-7",
        "a file below a link",
        &none,
        &manifest(&[link(0, 0, b"a", b"x"), file(1, 0, b"b")], 1),
    );
    list.invalid(
        "COLL-7",
        "a file two levels below a directory",
        &none,
        &manifest(&[directory(0, 0, b"a"), file(2, 0, b"b")], 1),
    );
    list.invalid(
        "COLL-8",
        "the same name twice",
        &none,
        &manifest(&[file(0, 0, b"a"), file(0, 1, b"")], 2),
    );
    list.invalid(
        "COLL-8",
        "names that descend",
        &none,
        &manifest(&[file(0, 0, b"b"), file(0, 0, b"a")], 2),
    );
    list.invalid(
        "COLL-8",
        "less shared than there is",
        &none,
        &manifest(&[file(0, 0, b"ab"), file(0, 0, b"ac")], 2),
    );
    list.invalid(
        "COLL-8",
        "more shared than the sibling has",
        &none,
        &manifest(&[file(0, 0, b"a"), file(0, 2, b"b")], 2),
    );
    list.invalid("COLL-8", "shared without a sibling", &none, &manifest(&[file(0, 1, b"a")], 1));
    list.invalid(
        "COLL-8",
        "shared with the parent",
        &none,
        &manifest(&[directory(0, 0, b"a"), file(1, 1, b"b")], 1),
    );
    list.invalid("COLL-11", "a link to nothing", &none, &manifest(&[link(0, 0, b"l", b"")], 0));
    list.invalid(
        "COLL-11",
        "a target with the byte 0",
        &none,
        &manifest(&[link(0, 0, b"l", b"a\0b")], 0),
    );
    list.invalid(
        "COLL-12",
        "a target of 4,097 bytes",
        &none,
        &manifest(&[link(0, 0, b"l", &[b't'; 4097])], 0),
    );
    list.invalid(
        "COLL-12",
        "a name of 256 bytes",
        &none,
        &manifest(&[file(0, 0, &[b'n'; 254]), file(0, 254, b"ab")], 2),
    );
    list
}

fn encoded(entries: &[Entry<'_>], extensions: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let extensions = Extensions::decode(extensions).unwrap_or_default();
    let mut encoder = ManifestEncoder::with_extensions(extensions, &mut out);
    for entry in entries {
        // What is refused is missing in the bytes, and the value shows it.
        let _ = encoder.push(entry, &mut out);
    }
    encoder.finish(&mut out);
    out
}

fn timed(list: &mut List) {
    let none = no_params();
    let id = BlobId::from_bytes(ID);
    let at = |seconds, nanos| Mtime::new(seconds, nanos);
    let file = |path, mtime| Entry::file(path, Mode::FILE, mtime, 5, id);
    for (comment, seconds, nanos) in [
        ("1970", 0, 0),
        ("2026", 1_795_000_000, 123_456_789),
        ("before 1970", -1, 999_999_999),
        ("the earliest time", Mtime::SECONDS_MIN, 0),
        ("the latest time", Mtime::SECONDS_MAX, 999_999_999),
    ] {
        list.valid(comment, &none, &encoded(&[file(b"a", at(seconds, nanos))], &[]), None);
    }
    let entries = [
        Entry::directory(b"a", Mode::DIRECTORY, at(100, 0)),
        file(b"a/b", at(90, 1)),
        file(b"a/c", None),
        file(b"a/d", at(95, 2)),
    ];
    list.valid("times are differences to the time before", &none, &encoded(&entries, &[]), None);
    let entry = |seconds: u64, nanos: u64| {
        [&[5, 0, 0, 1, b'a'][..], &v(0o644), &v(seconds), &v(nanos), &v(5), &ID].concat()
    };
    list.invalid(
        "COLL-12",
        "1,000,000,000 nanoseconds",
        &none,
        &manifest(&[entry(0, 1_000_000_000)], 1),
    );
    list.invalid("COLL-12", "2^60 seconds", &none, &manifest(&[entry(1 << 61, 0)], 1));
    list.invalid("COLL-12", "-2^60 - 1 seconds", &none, &manifest(&[entry((1 << 61) + 1, 0)], 1));
}

/// A file entry of 5 bytes with an area of extensions.
fn extended_file(area: &[u8]) -> Vec<u8> {
    let len = v(area.len() as u64);
    [&[9, 0, 0, 1, b'a'][..], &v(0o644), &v(5), &ID, &len, area].concat()
}

fn extended(list: &mut List) {
    let none = no_params();
    let id = BlobId::from_bytes(ID);
    let file = |extensions| Entry {
        extensions: Extensions::decode(extensions).unwrap_or_default(),
        ..Entry::file(b"a", Mode::FILE, None, 5, id)
    };
    list.must_ignore(
        "an odd extension of the manifest",
        &none,
        &encoded(&[], b"\x01\x02hi"),
        "COLL-16",
    );
    list.must_ignore(
        "two odd extensions of a file",
        &none,
        &encoded(&[file(b"\x01\x00\x03\x01x")], &[]),
        "COLL-16",
    );
    let with = |extensions: &[u8]| {
        let area = [v(extensions.len() as u64), extensions.to_vec()].concat();
        [b"SmraCol".as_slice(), &[1], &area, &end(0, 0)].concat()
    };
    list.invalid("COLL-15", "an even extension", &none, &with(b"\x02\x00"));
    list.invalid("COLL-15", "extension 0", &none, &with(b"\x00\x01x"));
    list.invalid("COLL-22", "extensions that do not ascend", &none, &with(b"\x03\x00\x01\x00"));
    list.invalid("COLL-22", "an extension twice", &none, &with(b"\x01\x00\x01\x00"));
    list.invalid("COLL-22", "an extension that is cut", &none, &with(b"\x01\x05x"));
    let long = [vec![1], v(4093), vec![0; 4093]].concat();
    list.must_ignore("4,096 bytes of extensions", &none, &with(&long), "COLL-12");
    let long = [vec![1], v(4094), vec![0; 4094]].concat();
    list.invalid("COLL-12", "4,097 bytes of extensions", &none, &with(&long));
    list.invalid("COLL-6", "a type that is not minimal", &none, &with(&[0x40, 1, 0]));
    list.invalid(
        "COLL-6",
        "a length of an extension that is not minimal",
        &none,
        &with(&[1, 0x40, 0]),
    );
    list.invalid(
        "COLL-22",
        "extensions of which a skipped one comes twice",
        &none,
        &with(b"\x01\x00\x03\x00\x03\x00"),
    );
    let many = |count: u64| (0..count).flat_map(|at| [v(2 * at + 1), vec![0]].concat());
    for count in [32, 33, 1376] {
        let area: Vec<u8> = many(count).collect();
        let comment = format!("{count} extensions");
        list.must_ignore(&comment, &none, &with(&area), "COLL-23");
        let bytes = manifest(&[extended_file(&area)], 1);
        list.must_ignore(&format!("{comment} of a file"), &none, &bytes, "COLL-23");
    }
    let more: Vec<u8> = many(1377).collect();
    list.invalid("COLL-12", "1377 extensions, which no area holds", &none, &with(&more));
    for (req, comment, area) in [
        ("COLL-15", "an even extension", b"\x02\x00".as_slice()),
        ("COLL-22", "extensions that descend", b"\x03\x00\x01\x00"),
        ("COLL-22", "an extension twice", b"\x03\x00\x03\x00"),
        ("COLL-22", "an extension that is cut", b"\x03\x02x"),
        ("COLL-6", "an extension whose type is not minimal", b"\x40\x03\x00"),
    ] {
        let bytes = manifest(&[extended_file(area)], 1);
        list.invalid(req, &format!("a file with {comment}"), &none, &bytes);
    }
    let empty = [&[9, 0, 0, 1, b'a'][..], &v(0o644), &v(5), &ID, &[0]].concat();
    list.invalid("COLL-22", "a flag for extensions, and none", &none, &manifest(&[empty], 1));
}

fn names(list: &mut List) {
    let none = no_params();
    for (comment, name) in [
        ("empty", &b""[..]),
        (".", b"."),
        ("..", b".."),
        ("with a slash", b"a/b"),
        ("a slash alone", b"/"),
        ("with the byte 0", b"a\0"),
        (".samara-", b".samara-"),
        (".samara-x", b".samara-x"),
        (".SaMaRa-x", b".SaMaRa-x"),
        ("x.samara-part", b"x.samara-part"),
        ("x.SAMARA-PART", b"x.SAMARA-PART"),
    ] {
        let bytes = manifest(&[file(0, 0, name)], 1);
        list.invalid("COLL-9", &format!("the name {comment}"), &none, &bytes);
        let bytes = manifest(&[directory(0, 0, name)], 0);
        list.invalid("COLL-9", &format!("a directory with the name {comment}"), &none, &bytes);
    }
    let shared = manifest(&[file(0, 0, b".samara"), file(0, 7, b"-x")], 2);
    list.invalid("COLL-9", "the name .samara-x, of which a part is shared", &none, &shared);
}
