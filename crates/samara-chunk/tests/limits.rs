//! Both sides of each limit, out and in.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use samara_base::BlobId;
use samara_chunk::{
    DecodeError, DecodeProblem, Decoder, EncodeError, Entry, ExtensionProblem, Extensions,
    Manifest, ManifestBuilder, ManifestEncoder, Mode, Mtime, NameProblem, PathError, Step,
    limits::*,
};

const ID: BlobId = BlobId::from_bytes([0; 32]);

fn encode(entries: &[Entry<'_>]) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    let mut encoder = ManifestEncoder::new(&mut out);
    entries.iter().try_for_each(|entry| encoder.push(entry, &mut out))?;
    encoder.finish(&mut out);
    Ok(out)
}

fn decode(entries: &[u8]) -> Result<(), DecodeProblem> {
    let bytes = [b"SmraCol\x01\x00", entries].concat();
    Manifest::decode(bytes).map(|_| ()).map_err(|error| error.problem)
}

/// An entry of the directory `name` in the directory of `depth` names, as it is on the wire.
fn directory(depth: usize, name: &[u8]) -> Vec<u8> {
    let (depth, len) = (u8::try_from(depth).unwrap(), u8::try_from(name.len()).unwrap());
    [&[2, depth, 0, len][..], name, &[0x41, 0xed]].concat()
}

fn end(entries: u8) -> [u8; 3] {
    assert!(entries < 0x40, "a varint of one byte");
    [0, entries, 0]
}

/// Names in ascending order, without `/` and 0: seven bits a byte, the top bit set.
fn ascending(at: u32) -> [u8; 3] {
    [at >> 14, at >> 7 & 0x7f, at & 0x7f].map(|bits| 0x80 | u8::try_from(bits).unwrap())
}

fn refused(offset: u32, problem: NameProblem) -> Result<Vec<u8>, EncodeError> {
    Err(EncodeError::Path(PathError { offset, problem }))
}

//= rfcs/0004-chunking.md#coll-12
//= type=test
//# A decoder MUST refuse a manifest that exceeds a limit of the limits table.
#[test]
fn names() {
    let entry = |name: &[u8]| encode(&[Entry::symlink(name, b"x")]);
    assert!(Manifest::decode(entry(&[b'n'; 255]).unwrap()).is_ok());
    assert_eq!(entry(&[b'n'; 256]), refused(0, NameProblem::NameTooLong));
    // 255 bytes of the sibling's name and one more.
    let first = directory(0, &[b'n'; 255]);
    let second = [2, 0, 255, 1, b'n', 0x41, 0xed];
    let problem = DecodeProblem::Name(NameProblem::NameTooLong);
    assert_eq!(decode(&[&first[..], &second, &end(2)].concat()), Err(problem));
    let second = [&[2, 0, 254, 1, b'o'][..], &[0x41, 0xed]].concat();
    assert_eq!(decode(&[&first[..], &second, &end(2)].concat()), Ok(()));
}

#[test]
fn components() {
    let chain = |depth: usize| (0..depth).flat_map(|at| directory(at, b"d")).collect::<Vec<u8>>();
    assert_eq!(decode(&[&chain(63)[..], &directory(63, b"d"), &[0, 0x40, 64, 0]].concat()), Ok(()));
    let problem = DecodeProblem::Name(NameProblem::TooDeep);
    assert_eq!(decode(&[&chain(64)[..], &directory(64, b"d")].concat()), Err(problem));
    let path = [&b"d/".repeat(64)[..], b"d"].concat();
    assert_eq!(encode(&[Entry::symlink(&path, b"x")]), refused(128, NameProblem::TooDeep));
}

#[test]
fn paths() {
    // 15 directories of 255 bytes and their slashes are 3840 bytes: 256 are left.
    let above: Vec<u8> = (0..15).flat_map(|at| directory(at, &[b'n'; 255])).collect();
    let long = directory(15, &[b'n'; 254]);
    let rest = |name: &[u8]| [&above[..], &long, &directory(16, name), &end(17)].concat();
    assert_eq!(decode(&rest(b"n")), Ok(()));
    let problem = DecodeProblem::Name(NameProblem::PathTooLong);
    assert_eq!(decode(&rest(b"nn")), Err(problem));
    let path = [&b"n"[..]; 2049].join(&b'/');
    assert_eq!(path.len(), 4097);
    let refused = refused(4096, NameProblem::PathTooLong);
    assert_eq!(encode(&[Entry::symlink(&path, b"x")]), refused);
}

#[test]
fn targets() {
    let entry = |len: usize| encode(&[Entry::symlink(b"l", &vec![b'x'; len])]);
    assert!(Manifest::decode(entry(TARGET_BYTES_MAX).unwrap()).is_ok());
    assert_eq!(entry(TARGET_BYTES_MAX + 1), Err(EncodeError::Target));
    let raw = [&[3, 0, 0, 1, b'l', 0x50, 0x01][..], &[b'x'; 4097]].concat();
    assert_eq!(decode(&raw), Err(DecodeProblem::TooLarge));

    let mut builder = ManifestBuilder::new();
    let refused = builder.push(&Entry::symlink(b"l", &[b'x'; 4097]));
    assert_eq!(refused, Err(EncodeError::Target));
    assert!(builder.is_empty());
}

#[test]
fn extensions() {
    // Type 1 and a length of two bytes leave 4093 of 4096.
    let area = |len: u16| {
        let [high, low] = ((len - 3) | 0x4000).to_be_bytes();
        [&[1, high, low][..], &vec![0; usize::from(len) - 3]].concat()
    };
    let longest = area(4096);
    let extensions = Extensions::decode(&longest).unwrap();
    let entry = Entry { extensions, ..Entry::symlink(b"l", b"x") };
    let mut out = Vec::new();
    let mut encoder = ManifestEncoder::with_extensions(extensions, &mut out);
    encoder.push(&entry, &mut out).unwrap();
    encoder.finish(&mut out);
    assert!(Manifest::decode(out).is_ok());

    let longer = area(4097);
    let error = Extensions::decode(&longer).unwrap_err();
    assert_eq!(error.problem, ExtensionProblem::TooLong);
    let raw = [&[0x0b, 0, 0, 1, b'l', 1, b'x', 0x50, 0x01][..], &longer].concat();
    assert_eq!(decode(&raw), Err(DecodeProblem::TooLarge));
    let raw = [b"SmraCol\x01\x50\x01", &longer[..]].concat();
    let error = Manifest::decode(raw).unwrap_err();
    assert_eq!((error.offset, error.problem), (8, DecodeProblem::TooLarge));
}

//= rfcs/0004-chunking.md#coll-23
//= type=test
//# A decoder MUST NOT refuse a manifest because of the count of its extensions or the length of one
//# of them, as long as their area is within its limit.
#[test]
fn as_many_extensions_as_an_area_holds() {
    // Types 1 to 63 take one byte, those above two; each has a length of 0.
    let mut area: Vec<u8> = (1..64).step_by(2).flat_map(|kind| [kind, 0]).collect();
    for kind in (0x4041_u16..).step_by(2).take(1344) {
        area.extend(kind.to_be_bytes());
        area.push(0);
    }
    assert_eq!(area.len(), 4096);
    assert_eq!(Extensions::decode(&area).unwrap().iter().count(), 1376);
    let mut header = b"SmraCol\x01\x50\x00".to_vec();
    header.extend(&area);
    header.extend([0, 0, 0]);
    assert!(Manifest::decode(header).is_ok());
}

#[test]
fn sizes() {
    let file = |path, size| Entry::file(path, Mode::FILE, None, size, ID);
    let most = encode(&[file(b"a", TOTAL_BYTES_MAX - 1), file(b"b", 1)]).unwrap();
    assert_eq!(Manifest::decode(most).unwrap().summary().bytes, TOTAL_BYTES_MAX);
    let refused = encode(&[file(b"a", TOTAL_BYTES_MAX), file(b"b", 1)]);
    assert_eq!(refused, Err(EncodeError::TooManyBytes));
    assert_eq!(encode(&[file(b"a", u64::MAX)]), Err(EncodeError::TooManyBytes));
    // The largest varint, then 1.
    let first = [b"\x01\x00\x00\x01a\x41\xa4", &[0xff; 8][..], &[0; 32]].concat();
    let second = [b"\x01\x00\x00\x01b\x41\xa4", &[1][..], &[0; 32]].concat();
    assert_eq!(decode(&[&first[..], &second].concat()), Err(DecodeProblem::TooLarge));
}

#[test]
fn times() {
    let entry = |seconds| {
        let mtime = Mtime::new(seconds, 999_999_999);
        assert!(mtime.is_some());
        Entry::directory(if seconds < 0 { b"a" } else { b"b" }, Mode::DIRECTORY, mtime)
    };
    // The widest difference that there can be.
    let bytes = encode(&[entry(Mtime::SECONDS_MIN), entry(Mtime::SECONDS_MAX)]).unwrap();
    assert!(Manifest::decode(bytes).is_ok());
    let raw = |seconds: u64, nanos: u32| {
        let seconds = (seconds | 3 << 62).to_be_bytes();
        let nanos = (nanos | 2 << 30).to_be_bytes();
        decode(&[b"\x06\x00\x00\x01d\x41\xed", &seconds[..], &nanos, &end(1)].concat())
    };
    let zigzag_max = (1 << 61) - 2;
    assert_eq!(raw(zigzag_max, 999_999_999), Ok(()));
    assert_eq!(raw(zigzag_max + 1, 999_999_999), Ok(()), "-2^60");
    assert_eq!(raw(zigzag_max + 2, 999_999_999), Err(DecodeProblem::TooLarge));
    assert_eq!(raw(zigzag_max, 1_000_000_000), Err(DecodeProblem::TooLarge));
}

#[test]
fn entries() {
    let mut out = Vec::new();
    let mut encoder = ManifestEncoder::new(&mut out);
    for at in 0..ENTRIES_MAX {
        encoder.push(&Entry::symlink(&ascending(at), b"x"), &mut out).unwrap();
    }
    let one_more = encoder.push(&Entry::symlink(b"\xff", b"x"), &mut out);
    assert_eq!(one_more, Err(EncodeError::TooManyEntries));
    let before_end = out.len();
    encoder.finish(&mut out);
    assert_eq!(Manifest::decode(&out).unwrap().summary().symlinks, ENTRIES_MAX);

    out.truncate(before_end);
    out.extend_from_slice(b"\x03\x00\x00\x01\xff\x01x");
    let error = Manifest::decode(&out).unwrap_err();
    assert_eq!(error.problem, DecodeProblem::TooManyEntries);
}

/// Feeds links with extensions of nearly 4 KiB to a decoder until exactly `total` bytes with the
/// end record.
fn manifest_of(total: usize) -> Result<(), DecodeError> {
    let link = |at: usize, area: usize| {
        let [high, low] = u16::try_from((area - 3) | 0x4000).unwrap().to_be_bytes();
        let [len_high, len_low] = u16::try_from(area | 0x4000).unwrap().to_be_bytes();
        let name = ascending(u32::try_from(at).unwrap());
        let (shared, suffix) = match at {
            0 => (0, &name[..]),
            _ if at & 0x3fff == 0 => (0, &name[..]),
            _ if at & 0x7f == 0 => (1, &name[1..]),
            _ => (2, &name[2..]),
        };
        let head = [0x0b, 0, shared, u8::try_from(suffix.len()).unwrap()];
        let area = [&[1, high, low][..], &vec![0; area - 3]].concat();
        [&head[..], suffix, &[1, b'x', len_high, len_low], &area].concat()
    };
    let mut decoder = Decoder::new();
    decoder.step(b"SmraCol\x01\x00")?;
    // The end record: a tag, a count of entries in four bytes, one byte of bytes.
    let end_len = 1 + 4 + 1;
    let (mut written, mut at) = (9, 0);
    while written + end_len < total {
        let left = total - written - end_len;
        let whole = link(at, EXTENSION_BYTES_MAX);
        // Keep enough for a last entry that fills up exactly.
        let entry = if left >= whole.len() + 200 {
            whole
        } else if left > 4_000 {
            link(at, 200)
        } else {
            let fixed = link(at, 200).len() - 200;
            link(at, left - fixed)
        };
        written += entry.len();
        at += 1;
        assert!(matches!(decoder.step(&entry)?, Step::Entry { .. }));
    }
    let count = (u32::try_from(at).unwrap() | 2 << 30).to_be_bytes();
    let end = [&[0][..], &count, &[0]].concat();
    assert!(matches!(decoder.step(&end)?, Step::End { .. }));
    Ok(())
}

#[test]
fn manifests() {
    let max = usize::try_from(MANIFEST_BYTES_MAX).unwrap();
    assert_eq!(manifest_of(max), Ok(()));
    let error = manifest_of(max + 1).unwrap_err();
    assert_eq!(error.problem, DecodeProblem::TooLong);

    // Zeros that nobody touches: the length alone refuses them.
    let error = Manifest::decode(vec![0; max + 1]).unwrap_err();
    assert_eq!(error.problem, DecodeProblem::TooLong);
    let error = Manifest::decode(vec![0; max]).unwrap_err();
    assert_eq!(error.problem, DecodeProblem::Magic);
}

#[test]
fn manifests_that_are_written() {
    let area = [&[1, 0x4f, 0xfd][..], &[0; 4093]].concat();
    let extensions = Extensions::decode(&area).unwrap();
    let (mut out, mut total) = (Vec::new(), 0);
    let mut encoder = ManifestEncoder::new(&mut out);
    for at in 0_u32.. {
        total += out.len();
        out.clear();
        let path = format!("{at:08}");
        let entry = Entry { extensions, ..Entry::symlink(path.as_bytes(), b"x") };
        match encoder.push(&entry, &mut out) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error, EncodeError::TooLong);
                assert!(out.is_empty());
                break;
            }
        }
    }
    encoder.finish(&mut out);
    total += out.len();
    let max = usize::try_from(MANIFEST_BYTES_MAX).unwrap();
    assert!(total <= max && total > max - 2 * 4_200, "{total}");
}
