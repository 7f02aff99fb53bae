use core::{cmp::Ordering, fmt};

use crate::limits::{DEPTH_MAX, NAME_BYTES_MAX, PATH_BYTES_MAX};

/// Names that begin with this are reserved; see [`is_reserved`].
pub const RESERVED_PREFIX: &[u8] = b".samara-";

/// Names that end in this are reserved; see [`is_reserved`].
pub const RESERVED_SUFFIX: &[u8] = b".samara-part";

/// Whether a name belongs to Samara: a receiver keeps the unfinished parts of a transfer under such
/// names, so no collection may bring one, and whoever shares a directory passes over them. In any
/// mix of ASCII case.
///
/// ```
/// use samara_chunk::is_reserved;
///
/// assert!(is_reserved(b".movie.mp4.af1349b9f5.samara-part"));
/// assert!(!is_reserved(b"samara.txt"));
/// ```
#[must_use]
pub fn is_reserved(name: &[u8]) -> bool {
    let head = name.get(..RESERVED_PREFIX.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(RESERVED_PREFIX)) || ends_reserved(name)
}

/// Whether a name has [`RESERVED_SUFFIX`].
pub(crate) fn ends_reserved(name: &[u8]) -> bool {
    let tail = name.len().checked_sub(RESERVED_SUFFIX.len()).and_then(|at| name.get(at..));
    tail.is_some_and(|tail| tail.eq_ignore_ascii_case(RESERVED_SUFFIX))
}

/// What is wrong with a name or a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameProblem {
    /// A component is empty: the path is empty, begins or ends with `/` or has `//` in it.
    Empty,
    /// A component is `.` or `..`.
    Dots,
    /// A name contains `/`.
    Slash,
    /// A name contains the byte 0.
    Nul,
    /// A component [`is_reserved`].
    Reserved,
    /// A component is longer than [`NAME_BYTES_MAX`].
    NameTooLong,
    /// The path is longer than [`PATH_BYTES_MAX`].
    PathTooLong,
    /// The path has more than [`DEPTH_MAX`] components.
    TooDeep,
}

impl fmt::Display for NameProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str(
                "a component of the path is empty; paths are relative, without a `/` at either end",
            ),
            Self::Dots => f.write_str("a component of the path is `.` or `..`"),
            Self::Slash => f.write_str("a name contains `/`"),
            Self::Nul => f.write_str("a name contains the byte 0"),
            Self::Reserved => f.write_str(
                "names that begin with `.samara-` or end in `.samara-part` are those of \
                     unfinished transfers; rename the file or leave it out",
            ),
            Self::NameTooLong => write!(f, "a name is longer than {NAME_BYTES_MAX} bytes"),
            Self::PathTooLong => write!(f, "the path is longer than {PATH_BYTES_MAX} bytes"),
            Self::TooDeep => write!(f, "the path has more than {DEPTH_MAX} components"),
        }
    }
}

/// Why a byte string is not the path of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a position and a cause are all there is")]
pub struct PathError {
    /// Where the offending component begins. Unit: bytes from the start of the path.
    pub offset: u32,
    /// What is wrong with it.
    pub problem: NameProblem,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {} of the path)", self.problem, self.offset)
    }
}

impl core::error::Error for PathError {}

/// Checks one component of a path.
///
/// # Errors
///
/// The first problem found. Whether a particular operating system can hold the name is another
/// question: see [`Rules`](crate::Rules).
pub fn check_name(name: &[u8]) -> Result<(), NameProblem> {
    match name {
        [] => return Err(NameProblem::Empty),
        b"." | b".." => return Err(NameProblem::Dots),
        _ if name.len() > NAME_BYTES_MAX => return Err(NameProblem::NameTooLong),
        _ => {}
    }
    for byte in name {
        match byte {
            b'/' => return Err(NameProblem::Slash),
            0 => return Err(NameProblem::Nul),
            _ => {}
        }
    }
    if is_reserved(name) { Err(NameProblem::Reserved) } else { Ok(()) }
}

/// Checks a whole path: components separated by single `/`, relative.
///
/// ```
/// use samara_chunk::{NameProblem, check_path};
///
/// assert!(check_path(b"photos/2026/one.jpg").is_ok());
/// let error = check_path(b"photos/../../etc/passwd").unwrap_err();
/// assert_eq!((error.offset, error.problem), (7, NameProblem::Dots));
/// ```
///
/// # Errors
///
/// The first problem found and where.
pub fn check_path(path: &[u8]) -> Result<(), PathError> {
    let at = |offset: usize, problem| PathError {
        offset: u32::try_from(offset).unwrap_or(u32::MAX),
        problem,
    };
    if path.len() > PATH_BYTES_MAX {
        return Err(at(PATH_BYTES_MAX, NameProblem::PathTooLong));
    }
    let mut offset = 0;
    for (depth, name) in path.split(|byte| *byte == b'/').enumerate() {
        if depth >= DEPTH_MAX {
            return Err(at(offset, NameProblem::TooDeep));
        }
        check_name(name).map_err(|problem| at(offset, problem))?;
        offset += name.len() + 1;
    }
    Ok(())
}

/// The order of entries in a manifest: component by component, each compared byte by byte. A
/// directory is followed at once by everything below it.
///
/// ```
/// use core::cmp::Ordering;
/// use samara_chunk::compare_paths;
///
/// assert_eq!(compare_paths(b"a/z", b"a.txt"), Ordering::Less);
/// ```
#[must_use]
pub fn compare_paths(left: &[u8], right: &[u8]) -> Ordering {
    // No name holds the byte 0, so a `/` read as 0 sorts before every byte of a name.
    let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    left.iter().map(key).cmp(right.iter().map(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn problem(path: &[u8]) -> Option<(u32, NameProblem)> {
        check_path(path).err().map(|error| (error.offset, error.problem))
    }

    #[test]
    fn paths_that_no_collection_may_bring() {
        for (path, offset, expected) in [
            (&b""[..], 0, NameProblem::Empty),
            (b"/etc/passwd", 0, NameProblem::Empty),
            (b"a/", 2, NameProblem::Empty),
            (b"a//b", 2, NameProblem::Empty),
            (b".", 0, NameProblem::Dots),
            (b"a/..", 2, NameProblem::Dots),
            (b"a/./b", 2, NameProblem::Dots),
            (b"a\0b", 0, NameProblem::Nul),
            (b".samara-", 0, NameProblem::Reserved),
            (b"a/.SaMaRa-x", 2, NameProblem::Reserved),
            (b"a/x.SaMaRa-pArt", 2, NameProblem::Reserved),
            (b".samara-part", 0, NameProblem::Reserved),
        ] {
            assert_eq!(problem(path), Some((offset, expected)), "{path:?}");
        }
    }

    #[test]
    fn paths_that_only_look_dangerous() {
        for path in [&b"..."[..], b"..a", b"a..", b".samara", b"a\\b", b"\xff\xfe", b"nul", b"a:b"]
        {
            assert_eq!(problem(path), None, "{path:?}");
        }
    }

    #[test]
    fn limits_at_both_sides() {
        let name = Vec::from([b'n'; NAME_BYTES_MAX]);
        assert_eq!(problem(&name), None);
        assert_eq!(problem(&[b'n'; NAME_BYTES_MAX + 1]), Some((0, NameProblem::NameTooLong)));

        let deep = Vec::from([&b"d"[..]; DEPTH_MAX]);
        assert_eq!(problem(&deep.join(&b'/')), None);
        let deeper = Vec::from([&b"d"[..]; DEPTH_MAX + 1]);
        assert_eq!(problem(&deeper.join(&b'/')), Some((128, NameProblem::TooDeep)));

        let long = Vec::from([&name[..]; 16]).join(&b'/');
        assert_eq!(long.len(), PATH_BYTES_MAX - 1);
        let exact = [&long[1..], b"/n"].concat();
        assert_eq!(exact.len(), PATH_BYTES_MAX);
        assert_eq!(problem(&exact), None);
        assert_eq!(problem(&[&long[..], b"/n"].concat()), Some((4096, NameProblem::PathTooLong)));
    }

    #[test]
    fn a_directory_comes_right_before_what_it_holds() {
        let sorted = [&b"a"[..], b"a/b", b"a/b/c", b"a/b.c", b"a.b", b"a0", b"b"];
        for pair in sorted.windows(2) {
            assert_eq!(compare_paths(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
    }
}
