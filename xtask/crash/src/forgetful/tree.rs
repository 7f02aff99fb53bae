//! Files and directories, and the changes that can be made to them.

use std::{collections::BTreeMap, time::SystemTime};

use crate::pages::Pages;

/// Number of a file or directory.
pub(crate) type Ino = u64;

/// The directory that everything is in.
pub(crate) const ROOT: Ino = 1;

/// A name in a directory.
pub(crate) type Entry = (Ino, Vec<u8>);

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    File { pages: Pages, len: u64 },
    Dir(BTreeMap<Vec<u8>, Ino>),
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) mtime: SystemTime,
}

impl Node {
    pub(crate) fn new(is_dir: bool, mode: u32) -> Self {
        let kind = if is_dir {
            Kind::Dir(BTreeMap::new())
        } else {
            Kind::File { pages: Pages::default(), len: 0 }
        };
        Self { kind, mode, mtime: SystemTime::UNIX_EPOCH }
    }
}

/// One change. Each is made to what programs see at once, and to what is on the disk when it is
/// synced, or when a power cut happens to keep it.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Write {
        ino: Ino,
        at: u64,
        data: Vec<u8>,
    },
    /// Cut or grown.
    Len {
        ino: Ino,
        len: u64,
    },
    /// Grown only.
    Grow {
        ino: Ino,
        len: u64,
    },
    Clear {
        ino: Ino,
        from: u64,
        to: u64,
    },
    Mode {
        ino: Ino,
        mode: u32,
    },
    Time {
        ino: Ino,
        time: SystemTime,
    },
    /// A name for a file or directory, which is made if it is not there.
    Link {
        entry: Entry,
        ino: Ino,
        is_dir: bool,
        mode: u32,
    },
    Unlink {
        entry: Entry,
    },
    Rename {
        from: Entry,
        to: Entry,
    },
}

impl Change {
    /// The file whose bytes or length this changes.
    pub(crate) const fn data_of(&self) -> Option<Ino> {
        match self {
            Self::Write { ino, .. }
            | Self::Len { ino, .. }
            | Self::Grow { ino, .. }
            | Self::Clear { ino, .. } => Some(*ino),
            _ => None,
        }
    }

    /// The file or directory of which this changes what is said about it.
    pub(crate) const fn attributes_of(&self) -> Option<Ino> {
        match self {
            Self::Mode { ino, .. } | Self::Time { ino, .. } => Some(*ino),
            _ => None,
        }
    }

    /// The names that this changes.
    pub(crate) fn names(&self) -> Vec<&Entry> {
        match self {
            Self::Link { entry, .. } | Self::Unlink { entry } => vec![entry],
            Self::Rename { from, to } => vec![from, to],
            _ => vec![],
        }
    }

    /// The directory whose sync makes this durable. A rename is durable with its new name: to have
    /// only the old directory synced says nothing about it.
    pub(crate) const fn home(&self) -> Option<Ino> {
        match self {
            Self::Link { entry, .. } | Self::Unlink { entry } => Some(entry.0),
            Self::Rename { to, .. } => Some(to.0),
            _ => None,
        }
    }
}

/// A file system's content at one time.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    nodes: BTreeMap<Ino, Node>,
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self { nodes: BTreeMap::from([(ROOT, Node::new(true, 0o755))]) }
    }

    pub(crate) fn node(&self, ino: Ino) -> Option<&Node> {
        self.nodes.get(&ino)
    }

    pub(crate) fn child(&self, dir: Ino, name: &[u8]) -> Option<Ino> {
        match &self.nodes.get(&dir)?.kind {
            Kind::Dir(entries) => entries.get(name).copied(),
            Kind::File { .. } => None,
        }
    }

    pub(crate) fn last_ino(&self) -> Ino {
        self.nodes.last_key_value().map_or(ROOT, |(ino, _)| *ino)
    }

    /// Bytes that all files take.
    pub(crate) fn allocated(&self) -> u64 {
        let files = self.nodes.values().map(|node| match &node.kind {
            Kind::File { pages, .. } => pages.allocated(),
            Kind::Dir(_) => 0,
        });
        files.sum()
    }

    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Write { ino, at, data } => {
                self.file(*ino, |pages, len| {
                    pages.write(*at, data);
                    *len = (*len).max(at + data.len() as u64);
                });
            }
            Change::Len { ino, len: new } => self.file(*ino, |pages, len| {
                pages.clear(*new, u64::MAX);
                *len = *new;
            }),
            Change::Grow { ino, len: new } => self.file(*ino, |_, len| *len = (*len).max(*new)),
            Change::Clear { ino, from, to } => self.file(*ino, |pages, _| pages.clear(*from, *to)),
            Change::Mode { ino, mode } => {
                if let Some(node) = self.nodes.get_mut(ino) {
                    node.mode = *mode;
                }
            }
            Change::Time { ino, time } => {
                if let Some(node) = self.nodes.get_mut(ino) {
                    node.mtime = *time;
                }
            }
            Change::Link { entry, ino, is_dir, mode } => {
                self.nodes.entry(*ino).or_insert_with(|| Node::new(*is_dir, *mode));
                self.enter(entry, *ino);
            }
            Change::Unlink { entry } => {
                self.leave(entry);
            }
            Change::Rename { from, to } => {
                if let Some(ino) = self.leave(from) {
                    self.enter(to, ino);
                }
            }
        }
    }

    /// Makes a file or directory like one of `other`, without content and without a name, unless it
    /// is there.
    pub(crate) fn make_like(&mut self, other: &Self, ino: Ino) {
        if let Some(node) = other.nodes.get(&ino) {
            let is_dir = matches!(node.kind, Kind::Dir(_));
            self.nodes.entry(ino).or_insert_with(|| Node::new(is_dir, node.mode));
        }
    }

    fn file(&mut self, ino: Ino, change: impl FnOnce(&mut Pages, &mut u64)) {
        let node = self.nodes.get_mut(&ino);
        if let Some(Kind::File { pages, len }) = node.map(|node| &mut node.kind) {
            change(pages, len);
        }
    }

    fn entries(&mut self, dir: Ino) -> Option<&mut BTreeMap<Vec<u8>, Ino>> {
        match &mut self.nodes.get_mut(&dir)?.kind {
            Kind::Dir(entries) => Some(entries),
            Kind::File { .. } => None,
        }
    }

    fn enter(&mut self, (dir, name): &Entry, ino: Ino) {
        if let Some(entries) = self.entries(*dir) {
            entries.insert(name.clone(), ino);
        }
    }

    fn leave(&mut self, (dir, name): &Entry) -> Option<Ino> {
        self.entries(*dir)?.remove(name)
    }

    /// Forgets what no name leads to.
    pub(crate) fn sweep(&mut self) {
        let (mut reached, mut todo) = (BTreeMap::new(), vec![ROOT]);
        while let Some(ino) = todo.pop() {
            let Some(node) = self.nodes.remove(&ino) else { continue };
            if let Kind::Dir(entries) = &node.kind {
                todo.extend(entries.values());
            }
            reached.insert(ino, node);
        }
        self.nodes = reached;
    }
}
