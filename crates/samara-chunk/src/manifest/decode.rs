use alloc::vec::Vec;

use samara_base::BlobId;

use super::{
    DecodeError, DecodeProblem, Entry, EntryKind, Extensions, Field, MAGIC, MANIFEST_VERSION, Mode,
    Mtime, Summary, entry::unzigzag, tag,
};
use crate::{
    limits::{
        DEPTH_MAX, ENTRIES_MAX, EXTENSION_BYTES_MAX, MANIFEST_BYTES_MAX, MODE_MAX, NANOS_MAX,
        PATH_BYTES_MAX, TARGET_BYTES_MAX, TOTAL_BYTES_MAX,
    },
    path::{NameProblem, check_name},
    varint,
};

/// The path of the entry before, as a stack of components: all that the next entry refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Track {
    path: Vec<u8>,
    /// Where each component ends in `path`. At most [`DEPTH_MAX`].
    ends: Vec<u16>,
    /// Whether an entry may lie directly below `path`. Also true for the empty path.
    is_directory: bool,
    /// Of the last entry that has a time. Unit: seconds since 1970.
    pub(super) mtime_seconds: i64,
}

impl Track {
    pub(super) fn new() -> Self {
        Self { path: Vec::new(), ends: Vec::new(), is_directory: true, mtime_seconds: 0 }
    }

    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    /// Components of the path.
    pub(super) fn depth(&self) -> usize {
        self.ends.len()
    }

    /// Most components that the parent of the next entry can have.
    pub(super) fn parent_depth_max(&self) -> usize {
        if self.is_directory { self.ends.len() } else { self.ends.len().saturating_sub(1) }
    }

    /// The path of the first `depth` components, without a `/` at its end.
    pub(super) fn parent(&self, depth: usize) -> &[u8] {
        let end = depth.checked_sub(1).and_then(|at| self.ends.get(at)).map_or(0, |end| *end);
        self.path.get(..usize::from(end)).unwrap_or_default()
    }

    /// The last entry that lies directly in the directory of `depth` components: the name at that
    /// depth, empty if there is none yet.
    pub(super) fn sibling(&self, depth: usize) -> &[u8] {
        let start = self.parent(depth).len() + usize::from(depth > 0);
        let end = self.ends.get(depth).map_or(start, |end| usize::from(*end));
        self.path.get(start..end).unwrap_or_default()
    }

    /// Goes to the entry whose parent has `depth` components and whose name is `shared` bytes of
    /// the sibling's followed by `suffix`. Returns where the name begins.
    pub(super) fn go(
        &mut self,
        depth: usize,
        shared: usize,
        suffix: &[u8],
        is_directory: bool,
    ) -> usize {
        let parent = self.parent(depth).len();
        let start = parent + usize::from(depth > 0);
        if self.ends.len() == depth {
            self.path.truncate(parent);
            if depth > 0 {
                self.path.push(b'/');
            }
        }
        self.path.truncate(start + shared);
        self.path.extend_from_slice(suffix);
        self.ends.truncate(depth);
        self.ends.push(u16::try_from(self.path.len()).unwrap_or(u16::MAX));
        self.is_directory = is_directory;
        start
    }
}

/// What [`Decoder::step`] found at the front of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a manifest is a header, entries and an end")]
pub enum Step<'a> {
    /// The input ends inside what comes next: call again with the same bytes and more behind
    /// them. [`ENTRY_BYTES_MAX`](crate::limits::ENTRY_BYTES_MAX) bytes are always enough.
    More,
    /// The header. Drop `used` bytes of the input and go on.
    Header {
        /// Extensions of the whole manifest.
        extensions: Extensions<'a>,
        /// Bytes to drop.
        used: usize,
    },
    /// An entry. Drop `used` bytes of the input and go on.
    Entry {
        /// The entry; its path lies in the decoder.
        entry: Entry<'a>,
        /// Bytes to drop.
        used: usize,
    },
    /// The end. No bytes may follow.
    End {
        /// Bytes to drop.
        used: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Header,
    Entries,
    End,
    Failed(DecodeError),
}

/// Decodes a manifest piece by piece, with memory for one path.
///
/// Use [`Manifest`](crate::Manifest) where the whole manifest lies in memory.
///
/// ```
/// use samara_chunk::{Decoder, Entry, ManifestEncoder, Mode, Step};
///
/// let mut bytes = Vec::new();
/// let mut encoder = ManifestEncoder::new(&mut bytes);
/// encoder.push(&Entry::directory(b"a", Mode::DIRECTORY, None), &mut bytes)?;
/// encoder.finish(&mut bytes);
///
/// // As if one byte arrived at a time.
/// let (mut decoder, mut held, mut paths) = (Decoder::new(), Vec::new(), 0);
/// for byte in bytes {
///     held.push(byte);
///     let used = match decoder.step(&held)? {
///         Step::More => 0,
///         Step::Header { used, .. } | Step::End { used } => used,
///         Step::Entry { entry, used } => {
///             assert_eq!(entry.path, b"a");
///             paths += 1;
///             used
///         }
///     };
///     held.drain(..used);
/// }
/// assert!(decoder.is_finished() && paths == 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    track: Track,
    /// Of the input's first byte. Unit: bytes from the start of the manifest.
    offset: u32,
    phase: Phase,
    summary: Summary,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder that expects the first byte of a manifest.
    #[must_use]
    pub fn new() -> Self {
        Self { track: Track::new(), offset: 0, phase: Phase::Header, summary: Summary::default() }
    }

    /// Counts and sizes so far.
    #[must_use]
    pub const fn summary(&self) -> Summary {
        self.summary
    }

    /// Upper bound of the memory that the decoder holds beside itself. Unit: bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.track.path.capacity() + self.track.ends.capacity() * size_of::<u16>()
    }

    /// Whether the end of the manifest was taken.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.phase == Phase::End
    }

    /// Takes what comes next off the front of `input`.
    ///
    /// # Errors
    ///
    /// The bytes are not a manifest. The decoder stays failed and answers with the same error.
    pub fn step<'a>(&'a mut self, input: &'a [u8]) -> Result<Step<'a>, DecodeError> {
        //= rfcs/0004-chunking.md#coll-13
        //# A decoder MUST give the same answer on every operating system.
        //
        //= rfcs/0004-chunking.md#coll-14
        //# A decoder MUST NOT reserve memory for more than one path and the bytes at hand.
        let result = match self.phase {
            Phase::Failed(error) => return Err(error),
            Phase::Header => {
                self.take_header(input).map(|(extensions, used)| Step::Header { extensions, used })
            }
            Phase::Entries => match self.take_entry(input) {
                Ok(Taken::Entry { kind, extensions, used }) => {
                    let entry = Entry { path: self.track.path(), kind, extensions };
                    return Ok(Step::Entry { entry, used });
                }
                Ok(Taken::End { used }) => Ok(Step::End { used }),
                Err(error) => Err(error),
            },
            Phase::End if input.is_empty() => Ok(Step::End { used: 0 }),
            Phase::End => Err(self.trailing()),
        };
        match result {
            Err(error) if error.problem == DecodeProblem::Truncated => Ok(Step::More),
            Err(error) => {
                self.phase = Phase::Failed(error);
                Err(error)
            }
            Ok(step) => Ok(step),
        }
    }

    /// Like `step` for input that has the whole rest of the manifest: passes over the header and
    /// refuses bytes after the end.
    pub(super) fn next_of_whole<'a>(
        &'a mut self,
        input: &'a [u8],
    ) -> Result<Option<(Entry<'a>, usize)>, DecodeError> {
        let skip = match self.phase {
            Phase::Header => self.take_header(input)?.1,
            Phase::Entries => 0,
            Phase::End => return Ok(None),
            Phase::Failed(error) => return Err(error),
        };
        let input = input.get(skip..).unwrap_or_default();
        match self.take_entry(input)? {
            Taken::Entry { kind, extensions, used } => {
                let entry = Entry { path: self.track.path(), kind, extensions };
                Ok(Some((entry, skip + used)))
            }
            //= rfcs/0004-chunking.md#coll-4
            //# A decoder MUST refuse a manifest that ends before its end record or has bytes
            //# after it.
            Taken::End { used } if input.len() > used => Err(self.trailing()),
            Taken::End { .. } => Ok(None),
        }
    }

    const fn trailing(&self) -> DecodeError {
        let problem = DecodeProblem::TrailingData;
        DecodeError { offset: self.offset, field: Field::Manifest, problem }
    }

    fn take_header<'i>(&mut self, input: &'i [u8]) -> Result<(Extensions<'i>, usize), DecodeError> {
        let mut cursor = Cursor::new(input, self.offset);
        //= rfcs/0004-chunking.md#coll-22
        //# A decoder MUST refuse a manifest that begins with another magic, or whose extensions are
        //# cut, do not ascend or are empty where their tag says that there are some.
        let at = cursor.offset();
        if cursor.bytes(MAGIC.len(), Field::Magic)? != MAGIC {
            return Err(DecodeError {
                offset: at,
                field: Field::Magic,
                problem: DecodeProblem::Magic,
            });
        }
        //= rfcs/0004-chunking.md#coll-2
        //# A decoder MUST refuse a manifest whose version it does not know.
        let at = cursor.offset();
        let version = cursor.byte(Field::Version)?;
        if version != MANIFEST_VERSION {
            return Err(DecodeError {
                offset: at,
                field: Field::Version,
                problem: DecodeProblem::Version { found: version },
            });
        }
        let len = cursor.varint(EXTENSION_BYTES_MAX as u64, Field::Extensions)?;
        let extensions = cursor.extensions(len)?;
        let used = self.advance(&cursor)?;
        self.phase = Phase::Entries;
        Ok((extensions, used))
    }

    /// Takes an entry or the end. Changes the decoder only once all bytes are there.
    fn take_entry<'i>(&mut self, input: &'i [u8]) -> Result<Taken<'i>, DecodeError> {
        let mut cursor = Cursor::new(input, self.offset);
        let at = cursor.offset();
        let byte = cursor.byte(Field::Tag)?;
        let kind = byte & tag::KIND_MASK;
        let flags = byte & !tag::KIND_MASK;
        //= rfcs/0004-chunking.md#coll-5
        //# A decoder MUST refuse a tag that the table does not list.
        let known = match kind {
            tag::END => flags == 0,
            tag::SYMLINK => flags & !tag::EXTENSIONS == 0,
            _ => flags & tag::UNKNOWN_MASK == 0,
        };
        if !known {
            let problem = DecodeProblem::UnknownTag { tag: byte };
            return Err(DecodeError { offset: at, field: Field::Tag, problem });
        }
        if kind == tag::END {
            return self.take_end(cursor);
        }
        if self.summary.entries() >= ENTRIES_MAX {
            let problem = DecodeProblem::TooManyEntries;
            return Err(DecodeError { offset: at, field: Field::Tag, problem });
        }
        let name = self.name(&mut cursor)?;
        let before = self.track.mtime_seconds;
        let kind = match kind {
            tag::SYMLINK => EntryKind::Symlink { target: cursor.target()? },
            tag::DIRECTORY => {
                EntryKind::Directory { mode: cursor.mode()?, mtime: cursor.mtime(flags, before)? }
            }
            _ => EntryKind::File {
                mode: cursor.mode()?,
                mtime: cursor.mtime(flags, before)?,
                size: cursor.varint(TOTAL_BYTES_MAX - self.summary.bytes, Field::Size)?,
                id: cursor.id()?,
            },
        };
        let extensions = if flags & tag::EXTENSIONS == 0 {
            Extensions::EMPTY
        } else {
            let at = cursor.offset();
            let len = cursor.varint(EXTENSION_BYTES_MAX as u64, Field::Extensions)?;
            if len == 0 {
                let problem = DecodeProblem::ExtensionsEmpty;
                return Err(DecodeError { offset: at, field: Field::Extensions, problem });
            }
            cursor.extensions(len)?
        };
        let used = self.advance(&cursor)?;
        if let EntryKind::File { mtime: Some(mtime), .. }
        | EntryKind::Directory { mtime: Some(mtime), .. } = kind
        {
            self.track.mtime_seconds = mtime.seconds();
        }
        match kind {
            EntryKind::File { size, .. } => {
                self.summary.files += 1;
                self.summary.bytes += size;
            }
            EntryKind::Directory { .. } => self.summary.directories += 1,
            EntryKind::Symlink { .. } => self.summary.symlinks += 1,
        }
        let is_directory = matches!(kind, EntryKind::Directory { .. });
        let start = self.track.go(name.depth, name.shared, name.suffix, is_directory);
        //= rfcs/0004-chunking.md#coll-9
        //# A decoder MUST refuse a name that is empty, is `.` or `..`, contains `/` or the byte 0,
        //# begins with `.samara-` or ends in `.samara-part`, in any mix of ASCII case.
        check_name(self.track.path().get(start..).unwrap_or_default()).map_err(|problem| {
            DecodeError {
                offset: name.offset,
                field: Field::Name,
                problem: DecodeProblem::Name(problem),
            }
        })?;
        Ok(Taken::Entry { kind, extensions, used })
    }

    /// The head of an entry: where it hangs and what it is called.
    fn name<'i>(&self, cursor: &mut Cursor<'i>) -> Result<Name<'i>, DecodeError> {
        let at = cursor.offset();
        let depth = usize::from(cursor.byte(Field::Depth)?);
        let fail = |offset, field, problem| Err(DecodeError { offset, field, problem });
        //= rfcs/0004-chunking.md#coll-7
        //# A decoder MUST refuse an entry whose parent is not a directory entry that precedes it.
        if depth > self.track.parent_depth_max() {
            return fail(at, Field::Depth, DecodeProblem::NoParent);
        }
        //= rfcs/0004-chunking.md#coll-12
        //# A decoder MUST refuse a manifest that exceeds a limit of the limits table.
        if depth >= DEPTH_MAX {
            return fail(at, Field::Depth, DecodeProblem::Name(NameProblem::TooDeep));
        }
        let at = cursor.offset();
        let shared = usize::from(cursor.byte(Field::Shared)?);
        let sibling = self.track.sibling(depth);
        //= rfcs/0004-chunking.md#coll-8
        //# A decoder MUST refuse an entry whose name is not greater than the name of the sibling
        //# before it or does not share exactly the stated count of bytes with it.
        if shared > sibling.len() {
            return fail(at, Field::Shared, DecodeProblem::Order);
        }
        let offset = cursor.offset();
        let len = usize::from(cursor.byte(Field::Name)?);
        let suffix = cursor.bytes(len, Field::Name)?;
        match (suffix.first(), sibling.get(shared)) {
            (None, _) if shared == 0 => {
                return fail(offset, Field::Name, DecodeProblem::Name(NameProblem::Empty));
            }
            (None, _) => return fail(offset, Field::Name, DecodeProblem::Order),
            (Some(first), Some(before)) if first <= before => {
                return fail(offset, Field::Name, DecodeProblem::Order);
            }
            _ => {}
        }
        let path_len = self.track.parent(depth).len() + usize::from(depth > 0) + shared + len;
        if path_len > PATH_BYTES_MAX {
            let problem = DecodeProblem::Name(NameProblem::PathTooLong);
            return fail(offset, Field::Name, problem);
        }
        Ok(Name { depth, shared, suffix, offset })
    }

    fn take_end<'i>(&mut self, mut cursor: Cursor<'_>) -> Result<Taken<'i>, DecodeError> {
        //= rfcs/0004-chunking.md#coll-3
        //# A decoder MUST refuse an end record whose figures differ from the entries before it.
        let figures = [
            (Field::EndEntries, u64::from(self.summary.entries())),
            (Field::EndBytes, self.summary.bytes),
        ];
        for (field, expected) in figures {
            let offset = cursor.offset();
            if cursor.varint(varint::MAX, field)? != expected {
                return Err(DecodeError { offset, field, problem: DecodeProblem::EndMismatch });
            }
        }
        let used = self.advance(&cursor)?;
        self.phase = Phase::End;
        Ok(Taken::End { used })
    }

    /// Moves behind what the cursor took; returns how many bytes that was.
    fn advance(&mut self, cursor: &Cursor<'_>) -> Result<usize, DecodeError> {
        if cursor.offset() > MANIFEST_BYTES_MAX {
            let problem = DecodeProblem::TooLong;
            return Err(DecodeError { offset: self.offset, field: Field::Manifest, problem });
        }
        self.offset = cursor.offset();
        Ok(cursor.used())
    }
}

enum Taken<'i> {
    Entry { kind: EntryKind<'i>, extensions: Extensions<'i>, used: usize },
    End { used: usize },
}

struct Name<'i> {
    depth: usize,
    shared: usize,
    suffix: &'i [u8],
    offset: u32,
}

/// A position in the input; every error it makes says where.
struct Cursor<'i> {
    rest: &'i [u8],
    input_len: usize,
    base: u32,
}

impl<'i> Cursor<'i> {
    const fn new(input: &'i [u8], base: u32) -> Self {
        Self { rest: input, input_len: input.len(), base }
    }

    const fn used(&self) -> usize {
        self.input_len - self.rest.len()
    }

    /// Saturates above 4 GiB, which is far above the limit on manifests.
    fn offset(&self) -> u32 {
        self.base.saturating_add(u32::try_from(self.used()).unwrap_or(u32::MAX))
    }

    fn fail<T>(&self, field: Field, problem: DecodeProblem) -> Result<T, DecodeError> {
        Err(DecodeError { offset: self.offset(), field, problem })
    }

    fn byte(&mut self, field: Field) -> Result<u8, DecodeError> {
        let Some((byte, rest)) = self.rest.split_first() else {
            return self.fail(field, DecodeProblem::Truncated);
        };
        self.rest = rest;
        Ok(*byte)
    }

    fn bytes(&mut self, len: usize, field: Field) -> Result<&'i [u8], DecodeError> {
        let Some((bytes, rest)) = self.rest.split_at_checked(len) else {
            return self.fail(field, DecodeProblem::Truncated);
        };
        self.rest = rest;
        Ok(bytes)
    }

    fn varint(&mut self, max: u64, field: Field) -> Result<u64, DecodeError> {
        match varint::take(self.rest) {
            Ok((value, _)) if value > max => self.fail(field, DecodeProblem::TooLarge),
            Ok((value, rest)) => {
                self.rest = rest;
                Ok(value)
            }
            Err(varint::Fault::Truncated) => self.fail(field, DecodeProblem::Truncated),
            //= rfcs/0004-chunking.md#coll-6
            //# A decoder MUST refuse a varint that is not minimal.
            Err(varint::Fault::NotMinimal) => self.fail(field, DecodeProblem::NotMinimal),
        }
    }

    /// A length that was checked against a limit of at most 4 KiB, and that many bytes.
    fn sized(&mut self, len: u64, field: Field) -> Result<&'i [u8], DecodeError> {
        self.bytes(usize::try_from(len).unwrap_or(usize::MAX), field)
    }

    fn mode(&mut self) -> Result<Mode, DecodeError> {
        let at = self.offset();
        let bits = self.varint(MODE_MAX.into(), Field::Mode)?;
        u16::try_from(bits).ok().and_then(Mode::new).ok_or(DecodeError {
            offset: at,
            field: Field::Mode,
            problem: DecodeProblem::TooLarge,
        })
    }

    /// A time, as the difference to that of an earlier entry.
    fn mtime(&mut self, flags: u8, before: i64) -> Result<Option<Mtime>, DecodeError> {
        if flags & tag::MTIME == 0 {
            return Ok(None);
        }
        // Both are below 2^61, so the sum cannot overflow.
        let at = self.offset();
        let seconds = before + unzigzag(self.varint(varint::MAX, Field::Mtime)?);
        let nanos = self.varint(NANOS_MAX.into(), Field::Mtime)?;
        let mtime = u32::try_from(nanos).ok().and_then(|nanos| Mtime::new(seconds, nanos));
        mtime.map(Some).ok_or(DecodeError {
            offset: at,
            field: Field::Mtime,
            problem: DecodeProblem::TooLarge,
        })
    }

    fn id(&mut self) -> Result<BlobId, DecodeError> {
        let Some((id, rest)) = self.rest.split_first_chunk() else {
            return self.fail(Field::Id, DecodeProblem::Truncated);
        };
        self.rest = rest;
        Ok(BlobId::from_bytes(*id))
    }

    fn target(&mut self) -> Result<&'i [u8], DecodeError> {
        //= rfcs/0004-chunking.md#coll-11
        //# A decoder MUST refuse a link target that is empty or contains the byte 0.
        let at = self.offset();
        let len = self.varint(TARGET_BYTES_MAX as u64, Field::Target)?;
        let target = self.sized(len, Field::Target)?;
        let fail = |problem| Err(DecodeError { offset: at, field: Field::Target, problem });
        match target {
            [] => fail(DecodeProblem::TargetEmpty),
            _ if target.contains(&0) => fail(DecodeProblem::TargetNul),
            _ => Ok(target),
        }
    }

    fn extensions(&mut self, len: u64) -> Result<Extensions<'i>, DecodeError> {
        let at = self.offset();
        let bytes = self.sized(len, Field::Extensions)?;
        Extensions::decode(bytes).map_err(|error| DecodeError {
            offset: at.saturating_add(error.offset),
            field: Field::Extensions,
            problem: DecodeProblem::Extensions(error.problem),
        })
    }
}
