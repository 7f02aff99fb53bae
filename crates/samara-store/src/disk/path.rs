use core::fmt;

pub use crate::limits::REL_PATH_MAX;

/// Why a relative path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathError {
    /// The path has no bytes. Name a file below the root.
    Empty,
    /// The path is longer than [`REL_PATH_MAX`]. Use a shorter one, or a root nearer to the file.
    TooLong {
        /// Length found. Unit: bytes.
        found: usize,
    },
    /// The path starts with `/`. Paths are relative to their root.
    Absolute,
    /// A component is empty, `.` or `..`. Name the file directly.
    Component {
        /// Where the component starts. Unit: bytes.
        offset: usize,
    },
    /// The path contains a zero byte, which no file name can.
    Nul {
        /// Where. Unit: bytes.
        offset: usize,
    },
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the path is empty; name a file below the root"),
            Self::TooLong { found } => {
                write!(f, "the path has {found} bytes, at most {REL_PATH_MAX} are allowed")
            }
            Self::Absolute => f.write_str("the path is absolute; it must be relative to its root"),
            Self::Component { offset } => {
                write!(f, "the path has an empty, '.' or '..' component at byte {offset}")
            }
            Self::Nul { offset } => write!(f, "the path has a zero byte at {offset}"),
        }
    }
}

impl core::error::Error for PathError {}

/// Checks a relative path: 1 to [`REL_PATH_MAX`] bytes, not absolute, no zero byte, and no
/// component that is empty, `.` or `..`. Any other bytes are fine: names need not be UTF-8.
///
/// # Errors
///
/// [`PathError`] for the first fault.
///
/// ```
/// use samara_store::disk::{PathError, check_rel};
///
/// assert_eq!(check_rel(b"photos/\xff.jpg"), Ok(()));
/// assert_eq!(check_rel(b"photos/../../etc"), Err(PathError::Component { offset: 7 }));
/// ```
pub fn check_rel(rel: &[u8]) -> Result<(), PathError> {
    //= rfcs/0009-store.md#store-15
    //# A store MUST refuse a relative path that is empty, absolute or longer than 4,095 bytes, or that has a zero byte or a component that is empty, `.` or `..`.
    if rel.is_empty() {
        return Err(PathError::Empty);
    }
    if rel.len() > REL_PATH_MAX {
        return Err(PathError::TooLong { found: rel.len() });
    }
    if rel.first() == Some(&b'/') {
        return Err(PathError::Absolute);
    }
    if let Some(offset) = rel.iter().position(|&byte| byte == 0) {
        return Err(PathError::Nul { offset });
    }
    let mut offset = 0;
    for component in rel.split(|&byte| byte == b'/') {
        if matches!(component, b"" | b"." | b"..") {
            return Err(PathError::Component { offset });
        }
        offset += component.len() + 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    //= rfcs/0009-store.md#store-15
    //= type=test
    //# A store MUST refuse a relative path that is empty, absolute or longer than 4,095 bytes, or that has a zero byte or a component that is empty, `.` or `..`.
    #[test]
    fn every_fault_has_its_own_error() {
        assert_eq!(check_rel(b""), Err(PathError::Empty));
        assert_eq!(check_rel(b"/etc/passwd"), Err(PathError::Absolute));
        assert_eq!(check_rel(b"a/../b"), Err(PathError::Component { offset: 2 }));
        assert_eq!(check_rel(b"./b"), Err(PathError::Component { offset: 0 }));
        assert_eq!(check_rel(b"a//b"), Err(PathError::Component { offset: 2 }));
        assert_eq!(check_rel(b"a/"), Err(PathError::Component { offset: 2 }));
        assert_eq!(check_rel(b"a\0b"), Err(PathError::Nul { offset: 1 }));
    }

    #[test]
    fn the_length_limit_is_exact() {
        assert_eq!(check_rel(&[b'a'; REL_PATH_MAX]), Ok(()));
        assert_eq!(
            check_rel(&[b'a'; REL_PATH_MAX + 1]),
            Err(PathError::TooLong { found: REL_PATH_MAX + 1 })
        );
    }

    #[test]
    fn any_other_bytes_are_names() {
        assert_eq!(check_rel(b"...\xff\n/ok"), Ok(()));
    }
}
