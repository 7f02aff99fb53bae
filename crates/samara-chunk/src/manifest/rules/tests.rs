extern crate std;
use std::string::ToString;

use samara_base::BlobId;

use super::*;
use crate::{Manifest, ManifestBuilder, Mode};

fn file(path: &[u8]) -> Entry<'_> {
    Entry::file(path, Mode::FILE, None, 0, BlobId::from_bytes([0; 32]))
}

fn check(entries: &[Entry<'_>], rules: &Rules) -> Result<(), (u32, Hazard)> {
    let mut builder = ManifestBuilder::new();
    entries.iter().for_each(|entry| builder.push(entry).unwrap());
    let mut bytes = Vec::new();
    builder.finish(&mut bytes).unwrap();
    let manifest = Manifest::decode(bytes).unwrap();
    manifest.check(rules).map_err(|error| (error.index, error.hazard))
}

//= rfcs/0004-chunking.md#coll-18
//= type=test
//# An extractor MUST refuse a name that its system can't hold or takes for another one, before it
//# writes anything.
#[test]
fn names_that_windows_lacks() {
    for (name, hazard) in [
        (&b"CON"[..], Hazard::DeviceName),
        (b"nul", Hazard::DeviceName),
        (b"Aux.tar.gz", Hazard::DeviceName),
        (b"prn .txt", Hazard::DeviceName),
        (b"COM0", Hazard::DeviceName),
        (b"lpt9.x", Hazard::DeviceName),
        ("com\u{b2}".as_bytes(), Hazard::DeviceName),
        (b"CONIN$", Hazard::DeviceName),
        (b"conout$.x", Hazard::DeviceName),
        (b"a:b", Hazard::Character { byte: b':' }),
        (b"a\\b", Hazard::Character { byte: b'\\' }),
        (b"what?", Hazard::Character { byte: b'?' }),
        (b"\x1f", Hazard::Character { byte: 0x1f }),
        (b"a.", Hazard::TrailingDotOrSpace),
        (b"a ", Hazard::TrailingDotOrSpace),
        (b"...", Hazard::TrailingDotOrSpace),
        (b"caf\xe9", Hazard::NotUtf8),
    ] {
        assert_eq!(Rules::WINDOWS.hazard(&file(name)), Some(hazard), "{name:?}");
        assert_eq!(check(&[file(b"0"), file(name)], &Rules::WINDOWS).map_err(|e| e.1), Err(hazard));
        assert_eq!(Rules::UNIX.hazard(&file(name)), None, "{name:?}");
        assert!(!hazard.to_string().is_empty());
    }
    assert_eq!(Rules::APPLE.hazard(&file(b"caf\xe9")), Some(Hazard::NotUtf8));
}

#[test]
fn names_that_only_look_like_devices() {
    for name in
        [&b"CONS"[..], b"COM", b"COM10", b"COMA", b"LPT", b"xnul", b".nul", b"nul-1", b" con"]
    {
        assert_eq!(Rules::WINDOWS.hazard(&file(name)), None, "{name:?}");
    }
}

#[test]
fn a_directory_is_checked_like_a_file() {
    let entries = [file(b"a/aux/b")];
    assert_eq!(check(&entries, &Rules::WINDOWS), Err((1, Hazard::DeviceName)));
}

#[test]
fn names_that_differ_in_case_only() {
    for (one, other) in [
        (&b"a"[..], &b"A"[..]),
        (b"dir/README", b"dir/readme"),
        ("Straße".as_bytes(), "STRASSE".as_bytes()),
        ("ΟΔΟΣ".as_bytes(), "οδος".as_bytes()),
        ("\u{212a}".as_bytes(), b"k"),
        (b"x/a", b"X/b"),
    ] {
        let entries = [file(one), file(other)];
        assert_eq!(check(&entries, &Rules::UNIX), Ok(()));
        let found = check(&entries, &Rules::APPLE).map_err(|error| error.1);
        assert_eq!(found, Err(Hazard::Case), "{one:?} {other:?}");
    }
    // In other directories, or different in more than case.
    for (one, other) in [(&b"x/a"[..], &b"y/A"[..]), (b"a/b", b"ab"), (b"a\xc3\xa9", b"ae\xcc\x81")]
    {
        assert_eq!(check(&[file(one), file(other)], &Rules::APPLE), Ok(()), "{one:?} {other:?}");
    }
}

#[test]
fn the_second_of_two_names_is_blamed() {
    // In order: "A", "a", "a/b", "c", "z".
    let directory = Entry::directory(b"a", Mode::DIRECTORY, None);
    let entries = [file(b"A"), directory, file(b"a/b"), file(b"c"), file(b"z")];
    assert_eq!(check(&entries, &Rules::APPLE), Err((1, Hazard::Case)));
}

//= rfcs/0004-chunking.md#coll-17
//= type=test
//# An extractor MUST refuse a link whose target is not inside the collection, unless its user allows
//# such links.
#[test]
fn links_that_lead_out() {
    for (path, target, hazard) in [
        (&b"l"[..], &b"/etc/passwd"[..], Hazard::LinkAbsolute),
        (b"l", b"..", Hazard::LinkEscapes),
        (b"d/l", b"../../x", Hazard::LinkEscapes),
        (b"d/l", b"x/../../../y", Hazard::LinkEscapes),
    ] {
        let link = Entry::symlink(path, target);
        assert_eq!(Rules::UNIX.hazard(&link), Some(hazard));
        assert_eq!(check(&[link], &Rules::UNIX).map_err(|error| error.1), Err(hazard));
        let trusting = Rules { links: LinkRule::Any, ..Rules::UNIX };
        assert_eq!(trusting.hazard(&link), None);
    }
    let inside = Entry::symlink(b"d/l", b"../x");
    assert_eq!(Rules::UNIX.hazard(&inside), None);
    assert_eq!(Rules::PORTABLE.hazard(&inside), Some(Hazard::Link));
}

/// The attack that makes a later `..` dangerous: `s` is inside by itself, and so `d/s/..` would be
/// by its text alone, but it lies above the top.
#[test]
fn links_through_links() {
    let entries = [Entry::symlink(b"d/s", b".."), Entry::symlink(b"t", b"d/s/..")];
    assert_eq!(Rules::UNIX.hazard(&entries[0]), None);
    assert_eq!(check(&entries, &Rules::UNIX), Err((2, Hazard::LinkEscapes)));
}

#[test]
fn separators_in_targets() {
    let link = Entry::symlink(b"d/l", b"..\\..\\x");
    assert_eq!(Rules::UNIX.hazard(&link), None, "an ordinary name here");
    assert_eq!(Rules::WINDOWS.hazard(&link), Some(Hazard::Character { byte: b'\\' }));
    let drive = Entry::symlink(b"l", b"C:/x");
    assert_eq!(Rules::WINDOWS.hazard(&drive), Some(Hazard::Character { byte: b':' }));
    assert_eq!(Rules::WINDOWS.hazard(&Entry::symlink(b"d/l", b"./../x")), None);
}

#[test]
fn suggested_names_become_safe() {
    for (name, unix, windows) in [
        (&b""[..], &b"_"[..], &b"_"[..]),
        (b".", b"_.", b"__"),
        (b"a/b\0c\n", b"a_b_c_", b"a_b_c_"),
        (b"CON", b"CON", b"_CON"),
        (b"what? ", b"what? ", b"what__"),
        (b".SAMARA-x", b"_.SAMARA-x", b"_.SAMARA-x"),
        (b"x.Samara-Part", b"x.Samara-Par_", b"x.Samara-Par_"),
        (b"\xff\xfe.txt", b"\xff\xfe.txt", b"__.txt"),
        ("\u{202e}fdp.exe".as_bytes(), b"_fdp.exe", b"_fdp.exe"),
    ] {
        assert_eq!(Rules::UNIX.sanitise(name), unix, "{name:?}");
        assert_eq!(Rules::WINDOWS.sanitise(name), windows, "{name:?}");
    }
    let long = "é".repeat(200);
    let safe = Rules::APPLE.sanitise(long.as_bytes());
    assert_eq!(safe.len(), 254, "between two characters");
    assert!(core::str::from_utf8(&safe).is_ok());
    let reserved = [b".samara-", &[b'x'; 300][..]].concat();
    assert_eq!(Rules::UNIX.sanitise(&reserved).len(), 255);
    // Cut right behind what is then a reserved ending.
    let ending = [&[b'x'; 243][..], b".samara-part-of-a-longer-name"].concat();
    let safe = Rules::UNIX.sanitise(&ending);
    assert!(safe.ends_with(b".samara-par_") && check_name(&safe).is_ok());
}
