use alloc::vec::Vec;
use core::fmt;

use super::{Entries, Entry, EntryKind, LinkTarget};
use crate::{
    limits::NAME_BYTES_MAX,
    path::{check_name, ends_reserved},
};

/// What the system that a collection is extracted on can hold, and what its user wants.
///
/// Decoding gives the same answer everywhere; these rules come after it, in front of writing.
/// They say early, and for the whole collection, what would otherwise fail in the middle.
///
/// ```
/// use samara_chunk::{Entry, Hazard, Mode, Rules};
/// # use samara_base::BlobId;
/// # let id = BlobId::from_bytes([0; 32]);
///
/// let entry = Entry::file(b"logs/aux.txt", Mode::FILE, None, 0, id);
/// assert_eq!(Rules::UNIX.hazard(&entry), None);
/// assert_eq!(Rules::WINDOWS.hazard(&entry), Some(Hazard::DeviceName));
///
/// let entry = Entry::symlink(b"passwords", b"/etc/shadow");
/// assert_eq!(Rules::UNIX.hazard(&entry), Some(Hazard::LinkAbsolute));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a caller mixes its own rules")]
pub struct Rules {
    /// Refuse names that Windows cannot hold or understands differently: device names, the
    /// characters `< > : " / \ | ? *` and below 32, a dot or space at the end.
    pub windows_names: bool,
    /// Refuse names that are not UTF-8.
    pub utf8_names: bool,
    /// Refuse two names in one directory that differ in case only.
    pub case_insensitive: bool,
    /// Which symbolic links to refuse.
    pub links: LinkRule,
}

/// Which symbolic links to refuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "all, some or none")]
pub enum LinkRule {
    /// Refuse every link.
    None,
    /// Refuse links whose target is not [`LinkTarget::Inside`].
    #[default]
    Inside,
    /// Refuse none: the caller trusts whoever made the collection.
    Any,
}

impl Rules {
    /// Systems that hold every name: Linux, the BSDs.
    pub const UNIX: Self = Self {
        windows_names: false,
        utf8_names: false,
        case_insensitive: false,
        links: LinkRule::Inside,
    };
    /// macOS and iOS.
    pub const APPLE: Self = Self { utf8_names: true, case_insensitive: true, ..Self::UNIX };
    /// Windows, and media formatted for it (FAT, exFAT).
    pub const WINDOWS: Self =
        Self { windows_names: true, utf8_names: true, case_insensitive: true, ..Self::UNIX };
    /// What every system can hold: Windows names and no links at all.
    pub const PORTABLE: Self = Self { links: LinkRule::None, ..Self::WINDOWS };

    /// The rules of the system that this program was built for.
    #[must_use]
    pub const fn host() -> Self {
        if cfg!(windows) {
            Self::WINDOWS
        } else if cfg!(target_vendor = "apple") {
            Self::APPLE
        } else {
            Self::UNIX
        }
    }

    /// What one entry breaks, judged alone. Names that differ in case only are found by
    /// [`Manifest::check`](crate::Manifest::check), which sees all entries.
    #[must_use]
    pub fn hazard(&self, entry: &Entry<'_>) -> Option<Hazard> {
        self.name_hazard(entry.name()).or_else(|| match entry.kind {
            EntryKind::Symlink { target } => self.link_hazard(entry.path, target),
            EntryKind::File { .. } | EntryKind::Directory { .. } => None,
        })
    }

    /// What a single name breaks, for instance the name that a ticket suggests.
    #[must_use]
    pub fn name_hazard(&self, name: &[u8]) -> Option<Hazard> {
        if self.utf8_names && core::str::from_utf8(name).is_err() {
            return Some(Hazard::NotUtf8);
        }
        if self.windows_names { windows_hazard(name) } else { None }
    }

    /// The nearest name that these rules and [`check_name`](crate::check_name) allow, for names that
    /// somebody else suggests. Control characters, and characters that turn the direction of text
    /// around to disguise a suffix, are replaced on every system.
    ///
    /// ```
    /// use samara_chunk::Rules;
    ///
    /// assert_eq!(Rules::UNIX.sanitise(b"../../etc/passwd"), b".._.._etc_passwd");
    /// assert_eq!(Rules::WINDOWS.sanitise(b"nul.txt"), b"_nul.txt");
    /// assert_eq!(Rules::UNIX.sanitise(b"nul.txt"), b"nul.txt");
    /// ```
    #[must_use]
    pub fn sanitise(&self, name: &[u8]) -> Vec<u8> {
        let mut safe = Vec::with_capacity(name.len().min(NAME_BYTES_MAX) + 1);
        for chunk in name.utf8_chunks() {
            for letter in chunk.valid().chars() {
                let windows = self.windows_names && u8::try_from(letter).is_ok_and(is_forbidden);
                let replace = letter == '/' || letter.is_control() || turns_text(letter) || windows;
                let letter = if replace { '_' } else { letter };
                safe.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            match chunk.invalid() {
                [] => {}
                _ if self.utf8_names => safe.push(b'_'),
                invalid => safe.extend_from_slice(invalid),
            }
        }
        cut_name(&mut safe);
        if check_name(&safe).is_err() || self.windows_names && is_device(&safe) {
            safe.insert(0, b'_');
            cut_name(&mut safe);
        }
        if self.windows_names
            && let Some(last @ (b'.' | b' ')) = safe.last_mut()
        {
            *last = b'_';
        }
        safe
    }

    fn link_hazard(&self, path: &[u8], target: &[u8]) -> Option<Hazard> {
        //= rfcs/0004-chunking.md#coll-17
        //# An extractor MUST refuse a link whose target is not inside the collection, unless its
        //# user allows such links.
        match (self.links, LinkTarget::of(path, target)) {
            (LinkRule::None, _) => return Some(Hazard::Link),
            (LinkRule::Inside, LinkTarget::Absolute) => return Some(Hazard::LinkAbsolute),
            (LinkRule::Inside, LinkTarget::Escapes) => return Some(Hazard::LinkEscapes),
            (LinkRule::Inside, LinkTarget::Inside) | (LinkRule::Any, _) => {}
        }
        // `..\..\x` and `C:\x` are single names to `LinkTarget`, so the names are checked too.
        let names =
            target.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"." | b".."));
        names.filter_map(|name| self.name_hazard(name)).next()
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::host()
    }
}

/// Why an entry should not be extracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hazard {
    /// The name is a device on Windows: `CON`, `NUL`, `COM1.txt`.
    DeviceName,
    /// The name has a character that Windows forbids or takes for a separator.
    Character {
        /// The character.
        byte: u8,
    },
    /// The name ends in a dot or a space, which Windows drops.
    TrailingDotOrSpace,
    /// The name is not UTF-8.
    NotUtf8,
    /// Another entry of the same directory has the same name in another case.
    Case,
    /// The entry is a symbolic link and no links are wanted.
    Link,
    /// The link has an absolute target.
    LinkAbsolute,
    /// The link may lead out of the collection.
    LinkEscapes,
}

impl fmt::Display for Hazard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeviceName => f.write_str("the name is a device on Windows"),
            Self::Character { byte } if byte.is_ascii_graphic() => {
                write!(f, "the name has the character {}", char::from(*byte))
            }
            Self::Character { byte } => write!(f, "the name has the character {byte:#04x}"),
            Self::TrailingDotOrSpace => f.write_str("the name ends in a dot or a space"),
            Self::NotUtf8 => f.write_str("the name is not UTF-8"),
            Self::Case => f.write_str("another name differs from this one in case only"),
            Self::Link => f.write_str("it is a symbolic link"),
            Self::LinkAbsolute => f.write_str("the symbolic link has an absolute target"),
            Self::LinkEscapes => f.write_str("the symbolic link may lead out of the collection"),
        }
    }
}

/// The first entry that breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "an entry and a cause are all there is")]
pub struct RuleError {
    /// The entry, counted from 0 in the order of [`Manifest::iter`](crate::Manifest::iter).
    pub index: u32,
    /// What it breaks.
    pub hazard: Hazard,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} cannot be extracted here: {}", self.index, self.hazard)
    }
}

impl core::error::Error for RuleError {}

/// 16 bytes of a BLAKE3 hash: nobody makes two paths that agree in them.
type FoldHash = [u8; 16];

pub(super) fn check(mut entries: Entries<'_>, rules: &Rules) -> Result<(), RuleError> {
    //= rfcs/0004-chunking.md#coll-18
    //# An extractor MUST refuse a name that its system can't hold or takes for another one, before
    //# it writes anything.
    let mut index = 0;
    // The folded path of each entry, as a hash that is made from that of its directory: the cost
    // is that of the name, however deep the entry lies.
    let mut above: Vec<FoldHash> = Vec::new();
    let mut seen: Vec<(FoldHash, u32)> = Vec::new();
    let mut folded = Vec::new();
    while let Some(entry) = entries.next_entry() {
        if let Some(hazard) = rules.hazard(&entry) {
            return Err(RuleError { index, hazard });
        }
        if rules.case_insensitive {
            let depth = entry.path.iter().filter(|byte| **byte == b'/').count();
            above.truncate(depth);
            folded.clear();
            folded.extend_from_slice(&above.last().copied().unwrap_or_default());
            fold(entry.name(), &mut folded);
            let mut hash = FoldHash::default();
            hash.copy_from_slice(&blake3::hash(&folded).as_bytes()[..16]);
            above.push(hash);
            seen.push((hash, index));
        }
        index += 1;
    }
    seen.sort_unstable();
    let same = seen.iter().zip(seen.iter().skip(1)).filter(|(left, right)| left.0 == right.0);
    match same.map(|(_, later)| later.1).min() {
        Some(index) => Err(RuleError { index, hazard: Hazard::Case }),
        None => Ok(()),
    }
}

/// Appends a name without its case.
fn fold(name: &[u8], out: &mut Vec<u8>) {
    if name.is_ascii() {
        out.extend(name.iter().map(u8::to_ascii_lowercase));
        return;
    }
    for chunk in name.utf8_chunks() {
        // Upper case first: it joins what has one capital letter (`ſ` and `s`, `ς` and `σ`).
        let upper = chunk.valid().chars().flat_map(char::to_uppercase);
        for letter in upper.flat_map(char::to_lowercase) {
            out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        }
        out.extend_from_slice(chunk.invalid());
    }
}

/// Cuts a name to the longest length, between characters, so that what was UTF-8 stays UTF-8, and
/// spoils an ending that is reserved.
fn cut_name(name: &mut Vec<u8>) {
    if name.len() > NAME_BYTES_MAX {
        let is_start = |at: &usize| name.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
        let end = (0..=NAME_BYTES_MAX).rev().find(is_start).unwrap_or(NAME_BYTES_MAX);
        name.truncate(end);
    }
    if ends_reserved(name)
        && let Some(last) = name.last_mut()
    {
        *last = b'_';
    }
}

/// Whether Windows forbids a byte in names, or takes it for a separator.
const fn is_forbidden(byte: u8) -> bool {
    matches!(byte, 0..32 | b'/' | b'<' | b'>' | b':' | b'"' | b'\\' | b'|' | b'?' | b'*')
}

/// Whether a character changes the direction of the text behind it and is itself invisible.
const fn turns_text(letter: char) -> bool {
    matches!(
        letter,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

fn windows_hazard(name: &[u8]) -> Option<Hazard> {
    if let Some(byte) = name.iter().copied().find(|byte| is_forbidden(*byte)) {
        return Some(Hazard::Character { byte });
    }
    if matches!(name.last(), Some(b'.' | b' ')) {
        return Some(Hazard::TrailingDotOrSpace);
    }
    is_device(name).then_some(Hazard::DeviceName)
}

/// Whether Windows opens a device for this name. What follows the first dot does not matter, nor
/// do spaces before it.
fn is_device(name: &[u8]) -> bool {
    let stem = name.split(|byte| *byte == b'.').next().unwrap_or_default().trim_ascii_end();
    let is = |device: &[u8]| stem.eq_ignore_ascii_case(device);
    if [&b"CON"[..], b"PRN", b"AUX", b"NUL", b"CONIN$", b"CONOUT$"].into_iter().any(is) {
        return true;
    }
    let Some((port, digit)) = stem.split_at_checked(3) else { return false };
    let numbered = [&b"COM"[..], b"LPT"].iter().any(|device| port.eq_ignore_ascii_case(device));
    // Superscript one, two and three count as digits.
    let superscripts = ["\u{b9}", "\u{b2}", "\u{b3}"].map(str::as_bytes);
    numbered && (matches!(digit, [b'0'..=b'9']) || superscripts.contains(&digit))
}

#[cfg(test)]
mod tests;
