//! The layer table: which crate may depend on which, and on what else.
//!
//! An arrow that is not here is a *boundary change*: it needs a line in an RFC and a change of this
//! table. `ARCHITECTURE.md` shows the table; `cargo xtask tidy` checks both against `cargo metadata`.

/// One crate's place.
#[derive(Debug)]
pub(crate) struct Layer {
    /// The crate's name.
    pub(crate) name: &'static str,
    /// What it does, for the table in `ARCHITECTURE.md`.
    pub(crate) does: &'static str,
    /// Which of ours it may depend on.
    pub(crate) ours: &'static [&'static str],
    /// What else it may depend on; `None` above the sans-IO crates, where nothing is forbidden.
    pub(crate) others: Option<&'static [&'static str]>,
    /// What kind of code it is.
    pub(crate) kind: LayerKind,
}

/// What a crate may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayerKind {
    /// `no_std` with `alloc`; no IO, no clock, no randomness. Builds for wasm32.
    //= rfcs/0001-architecture.md#arch-3
    //# A crate of kind `no_std` MUST build for `wasm32-unknown-unknown` into a module that
    //# imports nothing.
    Core,
    /// Synchronous, with `std` and an injected disk; no runtime.
    Sync,
    /// On tokio.
    Async,
}

impl LayerKind {
    /// For the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Core => "`no_std` + `alloc`, sans-IO",
            Self::Sync => "`std`, synchronous",
            Self::Async => "tokio",
        }
    }
}

/// All crates under `crates/`, lowest first. Tests may use any crate that stands above them here.
pub(crate) const LAYERS: &[Layer] = &[
    Layer {
        name: "samara-base",
        does: "identifiers, range sets, time, priority classes",
        ours: &[],
        others: Some(&[]),
        kind: LayerKind::Core,
    },
    Layer {
        name: "samara-wire",
        does: "varints, TLV, range sets on the wire, frames, messages",
        ours: &["samara-base"],
        others: Some(&["bytes", "crc32fast", "nom"]),
        kind: LayerKind::Core,
    },
    Layer {
        name: "samara-tree",
        does: "blob identity: BLAKE3 tree, outboards, proofs of ranges, verification",
        ours: &["samara-base"],
        others: Some(&["blake3"]),
        kind: LayerKind::Core,
    },
    Layer {
        name: "samara-chunk",
        does: "collection manifests; content-defined chunking (`std`)",
        ours: &["samara-base"],
        others: Some(&["blake3", "fastcdc"]),
        kind: LayerKind::Core,
    },
    Layer {
        name: "samara-store",
        does: "the durable store: extents, index, recovery",
        ours: &["samara-base", "samara-tree", "samara-chunk"],
        others: Some(&["bytes", "crc32fast", "redb", "rustix", "tracing", "zstd"]),
        kind: LayerKind::Sync,
    },
    Layer {
        name: "samara-sched",
        does: "the receiver-driven transfer engine: wants, sources, verdicts",
        ours: &["samara-base", "samara-tree"],
        others: Some(&["tracing"]),
        kind: LayerKind::Core,
    },
    Layer {
        name: "samara-mesh",
        does: "the link contract, sessions, serving, transfer",
        ours: &["samara-base", "samara-wire", "samara-sched"],
        others: Some(&["bytes", "tracing"]),
        kind: LayerKind::Core,
    },
    Layer {
        name: "samara-net",
        does: "link drivers: in-memory, iroh",
        ours: &["samara-base", "samara-wire", "samara-mesh"],
        others: None,
        kind: LayerKind::Async,
    },
    Layer {
        name: "samara",
        does: "the node: mesh, store and links bound together; tickets",
        ours: &[
            "samara-base",
            "samara-wire",
            "samara-tree",
            "samara-chunk",
            "samara-store",
            "samara-sched",
            "samara-mesh",
            "samara-net",
        ],
        others: None,
        kind: LayerKind::Async,
    },
    Layer {
        name: "samara-conformance",
        does: "test vectors of the RFCs, and a runner for any implementation",
        ours: &[
            "samara",
            "samara-base",
            "samara-wire",
            "samara-tree",
            "samara-chunk",
            "samara-store",
            "samara-sched",
            "samara-mesh",
        ],
        others: None,
        kind: LayerKind::Async,
    },
    Layer {
        name: "samara-cli",
        does: "the `samara` command",
        ours: &["samara", "samara-base", "samara-store"],
        others: None,
        kind: LayerKind::Async,
    },
];

/// Runtimes: whoever is linked with one of them is not sans-IO.
pub(crate) const RUNTIMES: &[&str] = &["async-std", "futures-executor", "mio", "smol", "tokio"];

/// Packages of the workspace that stand beside the layers and may use all of them.
pub(crate) const BESIDE: &[&str] = &["samara-benches", "samara-crash", "xtask"];

/// The layer of a crate.
pub(crate) fn layer(name: &str) -> Option<&'static Layer> {
    LAYERS.iter().find(|layer| layer.name == name)
}

/// The crates that build without `std`.
pub(crate) fn core_crates() -> impl Iterator<Item = &'static str> {
    LAYERS.iter().filter(|layer| layer.kind == LayerKind::Core).map(|layer| layer.name)
}

/// The table as Markdown.
pub(crate) fn table() -> String {
    let mut table = String::from(
        "| crate | does | may depend on (ours) | may use | kind |\n| --- | --- | --- | --- | --- |\n",
    );
    let list = |names: &[&str], strip: bool| {
        let short =
            |name: &&str| name.strip_prefix("samara-").filter(|_| strip).unwrap_or(name).to_owned();
        if names.is_empty() {
            "–".to_owned()
        } else {
            names.iter().map(short).collect::<Vec<_>>().join(", ")
        }
    };
    for layer in LAYERS {
        let others = layer.others.map_or_else(|| "anything".to_owned(), |names| list(names, false));
        table += &format!(
            "| [`{0}`](crates/{0}) | {1} | {2} | {others} | {3} |\n",
            layer.name,
            layer.does,
            list(layer.ours, true),
            layer.kind.name()
        );
    }
    table
}
