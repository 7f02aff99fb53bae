//! Rows of the index: fixed-width little-endian values. Spec: RFC 0009, section "Index".

use samara_base::{BlobId, RangeSet};

mod chunk;

pub(crate) use chunk::{ChunkKey, ChunkRow, MapEntry, MapRow, NOWHERE, chunk_keys};

use crate::{
    limits::{PLACES_MAX, SHORT_BYTES_MAX},
    record::{Reader, stride},
};

/// A registered directory; see [`Store::root`](crate::Store::root).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootId(pub(crate) u32);

impl core::fmt::Display for RootId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "root {}", self.0)
    }
}

/// Where a record starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loc {
    pub(crate) segment: u32,
    /// Unit: bytes from the start of the segment file.
    pub(crate) offset: u32,
}

/// What the system said of an external file when its content was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) mtime_ns: i64,
    pub(crate) inode: u64,
    pub(crate) device: u64,
}

/// An external file, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct External {
    pub(crate) root: RootId,
    pub(crate) rel: Box<[u8]>,
    pub(crate) stamp: Stamp,
    /// The file was found changed.
    pub(crate) stale: bool,
}

/// Where the bytes of a complete blob are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In one record.
    Record(Loc),
    /// In records that the extent table lists.
    Extents,
    /// In the chunks of a map.
    Chunks(u64),
    /// In a file that is not the store's.
    External(External),
}

/// Where the outboard of a complete blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outboard {
    /// The blob fits one 16 KiB group.
    None,
    /// In one record.
    Record(Loc),
    /// In records that the extent table lists.
    Extents,
}

/// A complete blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlobRow {
    /// Unit: bytes.
    pub(crate) size: u64,
    pub(crate) outboard: Outboard,
    /// Some leaves are in quarantine; the damage table lists them.
    pub(crate) damaged: bool,
    /// Some groups were fetched again; the extent table lists their copies.
    pub(crate) patched: bool,
    /// At most [`PLACES_MAX`], best first, never empty.
    pub(crate) places: Vec<Place>,
}

const DAMAGED: u8 = 1;
const PATCHED: u8 = 2;

impl BlobRow {
    /// A blob of one group, all of it in one record.
    pub(crate) fn in_record(size: u64, loc: Loc) -> Self {
        let places = vec![Place::Record(loc)];
        Self { size, outboard: Outboard::None, damaged: false, patched: false, places }
    }

    /// The map whose chunks it consists of, if it has one.
    pub(crate) fn map(&self) -> Option<u64> {
        self.places.iter().find_map(|place| match place {
            Place::Chunks(map) => Some(*map),
            _ => None,
        })
    }

    /// Forgets files until there are few enough places. What the store itself has is never left
    /// behind: nobody would give it back.
    pub(crate) fn trim(&mut self) {
        let is_file = |place: &Place| matches!(place, Place::External(_));
        while self.places.len() > PLACES_MAX {
            let file = self.places.iter().rposition(is_file);
            self.places.remove(file.unwrap_or(self.places.len() - 1));
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        let flags = if self.damaged { DAMAGED } else { 0 } | if self.patched { PATCHED } else { 0 };
        out.push(flags);
        out.extend_from_slice(&self.size.to_le_bytes());
        match self.outboard {
            Outboard::None => out.push(0),
            Outboard::Record(loc) => {
                out.push(1);
                loc.put(&mut out);
            }
            Outboard::Extents => out.push(2),
        }
        for place in &self.places {
            match place {
                Place::Record(loc) => {
                    out.push(1);
                    loc.put(&mut out);
                }
                Place::Extents => out.push(2),
                Place::Chunks(map) => {
                    out.push(5);
                    out.extend_from_slice(&map.to_le_bytes());
                }
                Place::External(external) => {
                    out.push(if external.stale { 4 } else { 3 });
                    external.put(&mut out);
                }
            }
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let [flags] = reader.try_take::<1>()?;
        let size = u64::from_le_bytes(reader.try_take()?);
        let outboard = match reader.try_take::<1>()? {
            [0] => Outboard::None,
            [1] => Outboard::Record(Loc::take(&mut reader)?),
            [2] => Outboard::Extents,
            _ => return None,
        };
        let mut places = Vec::with_capacity(1);
        while let Some([tag]) = reader.try_take::<1>() {
            places.push(match tag {
                1 => Place::Record(Loc::take(&mut reader)?),
                2 => Place::Extents,
                3 | 4 => {
                    Place::External(External { stale: tag == 4, ..External::take(&mut reader)? })
                }
                5 => Place::Chunks(u64::from_le_bytes(reader.try_take()?)),
                _ => return None,
            });
        }
        let known = flags & !(DAMAGED | PATCHED) == 0;
        (known && (1..=PLACES_MAX).contains(&places.len())).then_some(Self {
            size,
            outboard,
            damaged: flags & DAMAGED != 0,
            patched: flags & PATCHED != 0,
            places,
        })
    }
}

impl Loc {
    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.segment.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
    }

    fn take(reader: &mut Reader<'_>) -> Option<Self> {
        let segment = u32::from_le_bytes(reader.try_take()?);
        Some(Self { segment, offset: u32::from_le_bytes(reader.try_take()?) })
    }
}

impl External {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.root.0.to_le_bytes());
        out.extend_from_slice(&self.stamp.mtime_ns.to_le_bytes());
        out.extend_from_slice(&self.stamp.inode.to_le_bytes());
        out.extend_from_slice(&self.stamp.device.to_le_bytes());
        put_bytes(out, &self.rel);
    }

    fn take(reader: &mut Reader<'_>) -> Option<Self> {
        let root = RootId(u32::from_le_bytes(reader.try_take()?));
        let stamp = Stamp {
            mtime_ns: i64::from_le_bytes(reader.try_take()?),
            inode: u64::from_le_bytes(reader.try_take()?),
            device: u64::from_le_bytes(reader.try_take()?),
        };
        Some(Self { root, rel: take_bytes(reader)?.into(), stamp, stale: false })
    }
}

/// A short byte string behind its length (u16).
fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u16::try_from(bytes.len()).unwrap_or(SHORT_BYTES_MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes.get(..usize::from(len)).unwrap_or_default());
}

fn take_bytes<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let len = u16::from_le_bytes(reader.try_take()?);
    let (bytes, rest) = reader.0.split_at_checked(usize::from(len))?;
    reader.0 = rest;
    Some(bytes)
}

/// Where a receive puts the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PartialPlace {
    Segments,
    File { root: RootId, rel: Box<[u8]>, mode: u32, mtime_ns: Option<i64> },
}

/// A blob that is being received, as of the last checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartialRow {
    /// Unit: bytes. Proven if the last leaf is held.
    pub(crate) size: u64,
    pub(crate) place: PartialPlace,
    /// Number of the checkpoint; entries of the journal with this number or a later one follow it.
    pub(crate) epoch: u64,
    /// The verifier's frontier, as `samara-tree` exports it.
    pub(crate) frontier: Vec<u8>,
    /// The outboard so far, if it is short enough to be kept here.
    pub(crate) cvs: Vec<u8>,
}

impl PartialRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.frontier.len() + self.cvs.len());
        out.extend_from_slice(&self.size.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        match &self.place {
            PartialPlace::Segments => out.push(1),
            PartialPlace::File { root, rel, mode, mtime_ns } => {
                out.push(if mtime_ns.is_some() { 3 } else { 2 });
                out.extend_from_slice(&root.0.to_le_bytes());
                out.extend_from_slice(&mode.to_le_bytes());
                out.extend_from_slice(&mtime_ns.unwrap_or_default().to_le_bytes());
                put_bytes(&mut out, rel);
            }
        }
        let len = u32::try_from(self.cvs.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&self.cvs);
        out.extend_from_slice(&self.frontier);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let size = u64::from_le_bytes(reader.try_take()?);
        let epoch = u64::from_le_bytes(reader.try_take()?);
        let [tag] = reader.try_take::<1>()?;
        let place = match tag {
            1 => PartialPlace::Segments,
            2 | 3 => {
                let root = RootId(u32::from_le_bytes(reader.try_take()?));
                let mode = u32::from_le_bytes(reader.try_take()?);
                let mtime_ns = i64::from_le_bytes(reader.try_take()?);
                let rel = take_bytes(&mut reader)?.into();
                if tag == 2 && mtime_ns != 0 {
                    return None;
                }
                PartialPlace::File { root, rel, mode, mtime_ns: (tag == 3).then_some(mtime_ns) }
            }
            _ => return None,
        };
        let len = u32::from_le_bytes(reader.try_take()?);
        let (cvs, frontier) = reader.0.split_at_checked(len as usize)?;
        Some(Self { size, place, epoch, frontier: frontier.to_vec(), cvs: cvs.to_vec() })
    }
}

/// What an extent holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Holds {
    Data = 0,
    Outboard = 1,
    /// A 16 KiB group that was fetched again; it covers what lies below.
    Patch = 2,
    /// The record that binds an import's provisional id to the blob.
    Binding = 3,
    /// A record of a map, while the index is made again. Offsets are those of its first chunk.
    Map = 4,
}

/// A run of a blob in records of one segment that follow each other. All but the last carry `chunk`
/// bytes of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The first record.
    pub(crate) loc: Loc,
    /// Unit: bytes, at least 1.
    pub(crate) chunk: u32,
    /// Payload of all records. Unit: bytes.
    pub(crate) len: u64,
}

impl Extent {
    pub(crate) const KEY_LEN: usize = 41;

    /// Key: id, what it holds, big-endian offset in the blob (so that keys sort by place).
    pub(crate) fn key(id: BlobId, holds: Holds, offset: u64) -> [u8; Self::KEY_LEN] {
        let mut key = [0; Self::KEY_LEN];
        let (head, tail) = key.split_at_mut(32);
        head.copy_from_slice(id.as_bytes());
        if let Some((kind, place)) = tail.split_first_mut() {
            *kind = holds as u8;
            place.copy_from_slice(&offset.to_be_bytes());
        }
        key
    }

    /// The offset in a key.
    pub(crate) fn key_offset(key: &[u8]) -> Option<u64> {
        key.get(33..).and_then(|tail| tail.first_chunk::<8>()).map(|be| u64::from_be_bytes(*be))
    }

    pub(crate) fn encode(&self) -> [u8; 20] {
        let mut out = Vec::with_capacity(20);
        self.loc.put(&mut out);
        out.extend_from_slice(&self.chunk.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        out.first_chunk().copied().unwrap_or([0; 20])
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let loc = Loc::take(&mut reader)?;
        let chunk = u32::from_le_bytes(reader.try_take()?);
        let len = u64::from_le_bytes(reader.try_take()?);
        let extent = Self { loc, chunk, len };
        (chunk > 0 && reader.0.is_empty() && extent.fits_a_segment()).then_some(extent)
    }

    /// Whether its records end where one can begin: offsets in a segment have 32 bits.
    pub(crate) fn fits_a_segment(&self) -> bool {
        let before_last = (self.len.saturating_sub(1) / u64::from(self.chunk))
            .checked_mul(stride(self.chunk))
            .and_then(|bytes| bytes.checked_add(self.loc.offset.into()));
        before_last.is_some_and(|last| last <= u32::MAX.into())
    }
}

/// A registered directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RootRow {
    /// Absolute path, in the system's bytes.
    pub(crate) path: Vec<u8>,
    /// The directory was made by the store, which may do with its files what it likes.
    pub(crate) staging: bool,
    /// The directory is being renamed to this path.
    pub(crate) target: Option<Vec<u8>>,
}

impl RootRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![u8::from(self.staging)];
        put_bytes(&mut out, &self.path);
        if let Some(target) = &self.target {
            put_bytes(&mut out, target);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let [staging] = reader.try_take::<1>()?;
        let path = take_bytes(&mut reader)?.to_vec();
        let target =
            if reader.0.is_empty() { None } else { Some(take_bytes(&mut reader)?.to_vec()) };
        (staging < 2 && reader.0.is_empty()).then_some(Self { path, staging: staging == 1, target })
    }
}

/// A finished file that is being moved to its final name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RenameRow {
    pub(crate) root: RootId,
    pub(crate) replace: bool,
    pub(crate) inode: u64,
    pub(crate) from: Vec<u8>,
    pub(crate) to: Vec<u8>,
}

impl RenameRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![u8::from(self.replace)];
        out.extend_from_slice(&self.root.0.to_le_bytes());
        out.extend_from_slice(&self.inode.to_le_bytes());
        put_bytes(&mut out, &self.from);
        put_bytes(&mut out, &self.to);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let [replace] = reader.try_take::<1>()?;
        let root = RootId(u32::from_le_bytes(reader.try_take()?));
        let inode = u64::from_le_bytes(reader.try_take()?);
        let from = take_bytes(&mut reader)?.to_vec();
        let to = take_bytes(&mut reader)?.to_vec();
        let whole = replace < 2 && reader.0.is_empty();
        whole.then_some(Self { root, replace: replace == 1, inode, from, to })
    }
}

/// How far a segment is indexed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentRow {
    /// Everything before is indexed. Unit: bytes.
    pub(crate) end: u64,
    /// Bytes in use, headers included. Unit: bytes.
    pub(crate) live: u64,
}

impl SegmentRow {
    pub(crate) fn encode(self) -> Vec<u8> {
        [self.end.to_le_bytes(), self.live.to_le_bytes()].concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let end = u64::from_le_bytes(reader.try_take()?);
        let live = u64::from_le_bytes(reader.try_take()?);
        reader.0.is_empty().then_some(Self { end, live })
    }
}

/// A set of leaves: start and length of each run.
pub(crate) fn encode_ranges(set: &RangeSet) -> Vec<u8> {
    set.runs()
        .iter()
        .flat_map(|run| [run.start.to_le_bytes(), (run.end - run.start).to_le_bytes()])
        .flatten()
        .collect()
}

pub(crate) fn decode_ranges(bytes: &[u8]) -> Option<RangeSet> {
    let mut reader = Reader(bytes);
    let mut set = RangeSet::new();
    while !reader.0.is_empty() {
        let start = u64::from_le_bytes(reader.try_take()?);
        let len = u64::from_le_bytes(reader.try_take()?);
        // Ascending, disjoint and coalesced, so that one set has one form.
        if len == 0 || (!set.is_empty() && start <= set.end()) {
            return None;
        }
        set.insert(start..start.checked_add(len)?);
    }
    Some(set)
}

/// Key of a pin: id, reason.
pub(crate) fn pin_key(id: BlobId, reason: &[u8]) -> Vec<u8> {
    [id.as_bytes(), reason].concat()
}

/// The id at the front of a key or value.
pub(crate) fn id_of(bytes: &[u8]) -> Option<BlobId> {
    bytes.first_chunk::<32>().map(|id| BlobId::from_bytes(*id))
}

mod life;

pub(crate) use life::{
    ALL_OF_IT, CARRIED_KEY, ClassRow, SCRUB_KEY, ScrubRow, decode_number, encode_number,
};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
