extern crate std;
use alloc::vec::Vec;
use std::string::{String, ToString};

use samara_base::BlobId;

use super::*;
use crate::{NameProblem, path::PathError};

fn file(path: &[u8]) -> Entry<'_> {
    Entry::file(path, Mode::FILE, Mtime::new(1_700_000_000, 5), 10, BlobId::from_bytes([9; 32]))
}

fn directory(path: &[u8]) -> Entry<'_> {
    Entry::directory(path, Mode::DIRECTORY, None)
}

fn encode(entries: &[Entry<'_>]) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    let mut encoder = ManifestEncoder::new(&mut out);
    entries.iter().try_for_each(|entry| encoder.push(entry, &mut out))?;
    encoder.finish(&mut out);
    Ok(out)
}

#[test]
fn entries_come_back_as_they_went_in() {
    let entries = [
        directory(b"a"),
        file(b"a/b"),
        directory(b"a/c"),
        file(b"a/c/IMG_0001"),
        file(b"a/c/IMG_0002"),
        Entry::symlink(b"a/d", b"../x"),
        file(b"a.txt"),
        file(b"ab"),
    ];
    let bytes = encode(&entries).unwrap();
    let manifest = Manifest::decode(&bytes).unwrap();
    let mut iter = manifest.iter();
    for entry in &entries {
        assert_eq!(iter.next_entry().as_ref(), Some(entry));
    }
    assert_eq!(iter.next_entry(), None);
    assert_eq!(iter.next_entry(), None);
    let expected = Summary { files: 5, directories: 2, symlinks: 1, bytes: 50 };
    assert_eq!(manifest.summary(), expected);
}

#[test]
fn the_empty_collection_has_twelve_bytes() {
    let bytes = encode(&[]).unwrap();
    assert_eq!(bytes, b"SmraCol\x01\x00\x00\x00\x00");
    assert_eq!(Manifest::decode(&bytes).unwrap().summary(), Summary::default());
}

#[test]
fn the_encoder_refuses_what_has_no_place() {
    for (entries, expected) in [
        (&[file(b"b"), file(b"a")][..], EncodeError::Order),
        (&[file(b"a"), file(b"a")], EncodeError::Duplicate),
        (&[directory(b"a"), file(b"a")], EncodeError::Duplicate),
        (&[file(b"a/b")], EncodeError::MissingParent),
        (&[directory(b"a"), file(b"b/c")], EncodeError::MissingParent),
        (&[directory(b"a"), file(b"a/b/c")], EncodeError::MissingParent),
        (&[file(b"a"), file(b"a/b")], EncodeError::BelowNonDirectory),
        (&[Entry::symlink(b"a", b"/"), file(b"a/b")], EncodeError::BelowNonDirectory),
        (&[file(b"a"), file(b"ab/c")], EncodeError::MissingParent),
        (&[Entry::symlink(b"a", b"")], EncodeError::Target),
        (&[Entry::symlink(b"a", b"x\0")], EncodeError::Target),
        (&[file(b"../x")], EncodeError::Path(PathError { offset: 0, problem: NameProblem::Dots })),
    ] {
        assert_eq!(encode(entries), Err(expected), "{entries:?}");
    }
}

#[test]
fn a_refused_entry_leaves_the_encoder_usable() {
    let mut out = Vec::new();
    let mut encoder = ManifestEncoder::new(&mut out);
    encoder.push(&file(b"a"), &mut out).unwrap();
    let before = out.clone();
    encoder.push(&file(b"a/b"), &mut out).unwrap_err();
    assert_eq!(out, before);
    encoder.push(&file(b"b"), &mut out).unwrap();
    assert_eq!(encoder.finish(&mut out).files, 2);
    assert!(Manifest::decode(&out).is_ok());
}

#[test]
fn the_builder_sorts_and_adds_directories() {
    let mut builder = ManifestBuilder::new();
    for entry in [file(b"b/c/d"), file(b"a.b"), file(b"a/b"), Entry::symlink(b"l", b"a")] {
        builder.push(&entry).unwrap();
    }
    builder.push(&Entry::directory(b"b", Mode::new(0o700).unwrap(), None)).unwrap();
    let mut out = Vec::new();
    builder.finish(&mut out).unwrap();
    let manifest = Manifest::decode(out).unwrap();
    let mut seen = Vec::new();
    let mut entries = manifest.iter();
    while let Some(entry) = entries.next_entry() {
        if let EntryKind::Directory { mode, .. } = entry.kind {
            assert_eq!(mode.bits(), if entry.path == b"b" { 0o700 } else { 0o755 });
        }
        seen.push(String::from_utf8(entry.path.to_vec()).unwrap());
    }
    assert_eq!(seen, ["a", "a/b", "a.b", "b", "b/c", "b/c/d", "l"]);
}

#[test]
fn the_builder_blames_the_entry() {
    let mut builder = ManifestBuilder::new();
    for path in [&b"b"[..], b"a", b"a/b", b"c"] {
        builder.push(&file(path)).unwrap();
    }
    let mut out = Vec::from(*b"kept");
    let error = builder.finish(&mut out).unwrap_err();
    assert_eq!(error, BuildError { index: 2, problem: EncodeError::BelowNonDirectory });
    assert_eq!(builder.path(error.index), Some(&b"a/b"[..]));
    assert_eq!(out, b"kept");
    assert_eq!(error.to_string(), "entry 2: the entry lies below a file or a link");
}

//= rfcs/0004-chunking.md#coll-14
//= type=test
//# A decoder MUST NOT reserve memory for more than one path and the bytes at hand.
#[test]
fn a_decoder_keeps_one_path_whatever_the_manifest_says() {
    // 64 directories, each in the one before, the last 16 with long names; then many short ones
    // at the bottom, each of which stands for a path of 4,000 bytes.
    let mut bytes = Vec::from(*b"SmraCol\x01\x00");
    for depth in 0..63 {
        let name = if depth < 48 { &b"d"[..] } else { &[b'n'; 255] };
        bytes.extend_from_slice(&[2, depth, 0, u8::try_from(name.len()).unwrap()]);
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&[0x41, 0xed]);
    }
    for last in 1..=255 {
        if last != b'/' && last != b'.' {
            bytes.extend_from_slice(&[3, 63, 0, 1, last, 1, b'x']);
        }
    }
    let (mut decoder, mut rest, mut longest) = (Decoder::new(), &bytes[..], 0);
    while let Ok((entry, used)) = decoder.next_of_whole(rest).map(Option::unwrap) {
        longest = longest.max(entry.path.len());
        rest = &rest[used..];
    }
    assert!(rest.is_empty() && longest > 3_900, "{longest}");
    assert!(decoder.memory_bytes() <= 2 * 4_096 + 2 * 64 * 2, "{}", decoder.memory_bytes());
}
