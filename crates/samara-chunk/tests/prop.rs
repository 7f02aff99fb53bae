//! Manifests: round trip, canonical form, pieces, and nothing hostile gets through.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use samara_base::BlobId;
use samara_chunk::{
    Decoder, Entry, EntryKind, LinkTarget, Manifest, ManifestBuilder, Mode, Mtime, Rules, Step,
    check_path, compare_paths,
};

#[derive(Clone, Debug)]
enum Kind {
    File(u16, Option<(i64, u32)>, u64, [u8; 32]),
    Directory(u16, Option<(i64, u32)>),
    Symlink(Vec<u8>),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => b'a'..b'd', 1 => 1_u8..=255].prop_filter("slash", |b| *b != b'/');
    prop::collection::vec(byte, 1..6).prop_filter("dots", |name| name != b"." && name != b"..")
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(name(), 1..5).prop_map(|names| names.join(&b'/'))
}

fn kind() -> impl Strategy<Value = Kind> {
    let time = || {
        let recent = 1_700_000_000_i64..1_800_000_000;
        let seconds = prop_oneof![3 => recent, 1 => Mtime::SECONDS_MIN..=Mtime::SECONDS_MAX];
        prop::option::of((seconds, 0_u32..1_000_000_000))
    };
    prop_oneof![
        3 => (0_u16..0o1000, time(), 0_u64..1 << 56, any::<[u8; 32]>())
            .prop_map(|(mode, time, size, id)| Kind::File(mode, time, size, id)),
        2 => (0_u16..0o1000, time()).prop_map(|(mode, time)| Kind::Directory(mode, time)),
        1 => prop::collection::vec(1_u8..=255, 1..20).prop_map(Kind::Symlink),
    ]
}

/// A tree in which every directory on the way exists: what lies below something else is left out.
fn tree() -> impl Strategy<Value = BTreeMap<Vec<u8>, Kind>> {
    prop::collection::btree_map(path(), kind(), 0..40).prop_map(|entries| {
        let mut tree: BTreeMap<Vec<u8>, Kind> = BTreeMap::new();
        for (path, kind) in entries {
            let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            let above: Vec<_> = slashes.map(|(at, _)| path[..at].to_vec()).collect();
            for directory in above {
                tree.insert(directory, Kind::Directory(0o755, None));
            }
            tree.entry(path).or_insert(kind);
        }
        tree
    })
}

fn entry<'a>(path: &'a [u8], kind: &'a Kind) -> Entry<'a> {
    let mtime = |time: &Option<(i64, u32)>| time.map(|(s, n)| Mtime::new(s, n).unwrap());
    let mode = |bits: &u16| Mode::new(*bits).unwrap();
    match kind {
        Kind::File(bits, time, size, id) => {
            Entry::file(path, mode(bits), mtime(time), *size, BlobId::from_bytes(*id))
        }
        Kind::Directory(bits, time) => Entry::directory(path, mode(bits), mtime(time)),
        Kind::Symlink(target) => Entry::symlink(path, target),
    }
}

fn encode<'a>(entries: impl Iterator<Item = (&'a Vec<u8>, &'a Kind)>) -> Vec<u8> {
    let mut builder = ManifestBuilder::new();
    entries.for_each(|(path, kind)| builder.push(&entry(path, kind)).unwrap());
    let mut out = Vec::new();
    builder.finish(&mut out).unwrap();
    out
}

proptest! {
    #[test]
    fn what_goes_in_comes_out_in_order(tree in tree()) {
        let manifest = Manifest::decode(encode(tree.iter())).unwrap();
        let mut expected: Vec<_> = tree.iter().collect();
        expected.sort_by(|left, right| compare_paths(left.0, right.0));
        let mut entries = manifest.iter();
        for (path, kind) in expected {
            prop_assert_eq!(entries.next_entry(), Some(entry(path, kind)));
        }
        prop_assert!(entries.next_entry().is_none());
    }

    #[test]
    fn the_order_of_pushing_does_not_matter(tree in tree()) {
        prop_assert_eq!(encode(tree.iter()), encode(tree.iter().rev()));
    }

    #[test]
    fn pieces_of_any_size_give_the_same_entries(tree in tree(), piece in 1_usize..40) {
        let bytes = encode(tree.iter());
        let manifest = Manifest::decode(&bytes[..]).unwrap();
        let mut whole = manifest.iter();
        let (mut decoder, mut held) = (Decoder::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            held.extend_from_slice(piece);
            loop {
                let used = match decoder.step(&held).unwrap() {
                    Step::More => break,
                    Step::Header { used, .. } | Step::End { used } => used,
                    Step::Entry { entry, used } => {
                        prop_assert_eq!(Some(entry), whole.next_entry());
                        used
                    }
                };
                held.drain(..used);
                if decoder.is_finished() {
                    break;
                }
            }
        }
        prop_assert!(decoder.is_finished() && held.is_empty());
        prop_assert_eq!(decoder.summary(), manifest.summary());
    }

    /// One changed byte is another valid manifest or an error, and never a path that leads out.
    #[test]
    fn a_changed_byte_stays_harmless(
        tree in tree(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = encode(tree.iter());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        samara_chunk_properties(&bytes);
    }

    #[test]
    fn arbitrary_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        samara_chunk_properties(&bytes);
        samara_chunk_properties(&[b"SmraCol\x01\x00", &bytes[..]].concat());
    }

    /// A link that is called inside, resolved name by name through real directories, never goes
    /// above the top.
    #[test]
    fn inside_means_inside(path in path(), target in "[ab./]{1,12}") {
        if LinkTarget::of(&path, target.as_bytes()) == LinkTarget::Inside {
            let mut depth = path.iter().filter(|byte| **byte == b'/').count();
            for name in target.split('/') {
                depth = match name {
                    "" | "." => depth,
                    ".." => depth.checked_sub(1).expect("above the top"),
                    _ => depth + 1,
                };
            }
            prop_assert!(!target.starts_with('/'));
        }
    }

    #[test]
    fn safe_names_are_safe(name in prop::collection::vec(any::<u8>(), 0..300)) {
        for rules in [Rules::UNIX, Rules::APPLE, Rules::WINDOWS] {
            let safe = rules.sanitise(&name);
            prop_assert!(check_path(&safe).is_ok() && !safe.contains(&b'/'));
            prop_assert_eq!(rules.name_hazard(&safe), None);
        }
    }

    /// Names that the file system of the name's own case would confuse are found.
    #[test]
    fn case_is_folded(name in "[a-zA-Zäöüßéøçñ]{1,8}") {
        let other = name.to_uppercase();
        prop_assume!(other != name);
        let mut builder = ManifestBuilder::new();
        builder.push(&Entry::symlink(name.as_bytes(), b"x")).unwrap();
        builder.push(&Entry::symlink(other.as_bytes(), b"x")).unwrap();
        let mut bytes = Vec::new();
        builder.finish(&mut bytes).unwrap();
        let manifest = Manifest::decode(bytes).unwrap();
        prop_assert!(manifest.check(&Rules::UNIX).is_ok());
        prop_assert!(manifest.check(&Rules::APPLE).is_err());
    }
}

/// What must hold of any bytes.
fn samara_chunk_properties(bytes: &[u8]) {
    let Ok(manifest) = Manifest::decode(bytes) else { return };
    let mut kinds: BTreeMap<Vec<u8>, bool> = BTreeMap::new();
    let mut entries = manifest.iter();
    while let Some(entry) = entries.next_entry() {
        assert_eq!(check_path(entry.path), Ok(()));
        if let Some(slash) = entry.path.iter().rposition(|byte| *byte == b'/') {
            assert_eq!(kinds.get(&entry.path[..slash]), Some(&true), "in a directory");
        }
        let is_directory = matches!(entry.kind, EntryKind::Directory { .. });
        assert!(kinds.insert(entry.path.to_vec(), is_directory).is_none(), "once");
    }
    assert_eq!(kinds.len(), usize::try_from(manifest.summary().entries()).unwrap());
}
