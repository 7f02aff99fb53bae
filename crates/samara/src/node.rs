//! The node: one store, one identity, any number of links.

use core::fmt;
#[cfg(feature = "iroh")]
use core::net::SocketAddr;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use samara_base::{BlobId, PeerId, RangeSet};
use samara_mesh::{Mesh, MeshConfig};
#[cfg(feature = "iroh")]
use samara_net::{
    driver::BindError,
    events::{EventLimits, events},
    iroh::{IrohDriver, IrohOptions, Relay},
};
use samara_net::{
    driver::{Driver, LocalAddrs, PeerAddr},
    events::Events,
};
#[cfg(feature = "iroh")]
use samara_store::Options as StoreOptions;
use samara_store::{ExportError, Store, StoreError};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    clock::Clock,
    engine::{Command, Engine},
    error::{FetchError, ShareError, StartError},
    fetch::{self, FetchOptions, Outcome},
    identity::Identity,
    progress::{FetchProgress, ImportProgress, Running},
    reception::byte_ranges,
    serve::{Grant, Grants},
    share::{self, Imported, Share},
    ticket::{Provider, Ticket},
};

/// How to run a node over the `iroh` engine. The defaults need no configuration.
#[cfg(feature = "iroh")]
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "options, built by literal")]
pub struct NodeOptions {
    /// Directory of the store; made if it is not there.
    pub store: PathBuf,
    /// UDP address to listen at, and no other. `None`: a port that this store's node always
    /// prefers, or any free one. Bulk of near peers comes to the TCP port of the same number if that
    /// is free, else to any.
    pub bind: Option<SocketAddr>,
    /// Relay servers for peers that cannot reach each other directly.
    pub relay: Relay,
    /// Whether to find and be found by peers on the LAN.
    pub lan_discovery: bool,
}

#[cfg(feature = "iroh")]
impl NodeOptions {
    /// Relays and LAN discovery on.
    #[must_use]
    pub fn new(store: impl Into<PathBuf>) -> Self {
        Self { store: store.into(), bind: None, relay: Relay::Default, lan_discovery: true }
    }

    /// Only addresses in tickets: no relay, no discovery, no internet.
    #[must_use]
    pub fn direct(store: impl Into<PathBuf>) -> Self {
        Self { store: store.into(), bind: None, relay: Relay::Off, lan_discovery: false }
    }
}

/// A running node. Clones are handles to the same node, which ends with
/// [`shutdown`](Self::shutdown) or when the last handle is dropped.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) identity: Identity,
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) grants: Arc<Grants>,
}

impl Inner {
    /// Tells the engine; `false` once the node is shut down.
    pub(crate) async fn tell(&self, command: Command) -> bool {
        self.commands.send(command).await.is_ok()
    }
}

impl Node {
    /// Opens the store, binds the socket and starts to serve what will be shared.
    ///
    /// # Errors
    ///
    /// [`StartError`]: the store is in use, damaged or read-only, or the address can't be bound.
    #[cfg(feature = "iroh")]
    pub async fn start(options: NodeOptions) -> Result<Self, StartError> {
        let directory = options.store.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let store = Store::open(&directory, StoreOptions::default())?;
            let identity = Identity::load_or_create(&directory).map_err(StartError::Identity)?;
            Ok::<_, StartError>((store, identity))
        });
        let (store, identity) = flatten(opened.await)?;
        let (sink, links) = events(EventLimits::default());
        let network = IrohOptions {
            bind: options.bind,
            relay: options.relay,
            lan_discovery: options.lan_discovery,
            ..IrohOptions::default()
        };
        let driver = match options.bind {
            Some(_) => IrohDriver::bind(*identity.secret(), network, sink).await?,
            None => {
                let port = identity.preferred_port();
                let bind = Some(SocketAddr::from(([0, 0, 0, 0], port)));
                let fixed = IrohOptions { bind, ..network.clone() };
                match IrohDriver::bind(*identity.secret(), fixed, sink.clone()).await {
                    Err(BindError::AddressInUse { .. } | BindError::NotPermitted { .. }) => {
                        IrohDriver::bind(*identity.secret(), network, sink).await?
                    }
                    driver => driver?,
                }
            }
        };
        Self::run(store, identity, Arc::new(driver), links)
    }

    /// Starts a node over a driver of your own. `secret` is the node's identity; the driver's peer
    /// id should be made from it, but nothing here depends on that.
    ///
    /// # Errors
    ///
    /// [`StartError::Threads`].
    pub fn with_driver(
        store: Store,
        secret: [u8; 32],
        driver: Arc<dyn Driver>,
        links: Events,
    ) -> Result<Self, StartError> {
        Self::run(store, Identity::from_secret(secret), driver, links)
    }

    fn run(
        store: Store,
        identity: Identity,
        driver: Arc<dyn Driver>,
        links: Events,
    ) -> Result<Self, StartError> {
        let clock = Clock::start();
        let (commands, receiver) = mpsc::channel(64);
        let grants = Arc::<Grants>::default();
        let seed = u64::from_le_bytes(core::array::from_fn(|at| driver.local().as_bytes()[at]));
        let mesh = Mesh::new(MeshConfig::default(), seed);
        let engine = Engine::new(
            clock,
            mesh,
            Arc::clone(&driver),
            links,
            receiver,
            &store,
            Arc::clone(&grants),
        )
        .map_err(StartError::Threads)?;
        tokio::spawn(engine.run());
        let inner = Inner { clock, store, identity, driver, commands, grants };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Who we are.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.inner.driver.local()
    }

    /// Where we can be reached, as it changes.
    #[must_use]
    pub fn addrs(&self) -> watch::Receiver<LocalAddrs> {
        self.inner.driver.addrs()
    }

    /// The store, for everything that needs no network. Its methods block.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Takes a file or directory into the store where it lies, without serving it: files are
    /// hashed and referenced, nothing is copied.
    pub fn import(
        &self,
        path: impl AsRef<Path>,
    ) -> Running<Result<Imported, ShareError>, ImportProgress> {
        share::import(Arc::clone(&self.inner), [path.as_ref().to_owned()].into())
    }

    /// Shares files and directories where they lie: hashes them, and serves them to whoever has
    /// the ticket until the node ends or [`unshare`](Self::unshare). Several paths become one
    /// collection.
    pub fn share(
        &self,
        paths: impl IntoIterator<Item = PathBuf>,
    ) -> Running<Result<Share, ShareError>, ImportProgress> {
        share::share(Arc::clone(&self.inner), paths.into_iter().collect())
    }

    /// Serves a blob or collection that the store holds already.
    ///
    /// # Errors
    ///
    /// [`ShareError`] if it is not held or can't be read.
    pub async fn share_held(&self, imported: Imported) -> Result<Share, ShareError> {
        share::share_held(Arc::clone(&self.inner), imported).await
    }

    /// Stops serving a share. What is in transfer ends with a refusal.
    pub fn unshare(&self, ticket: &Ticket) {
        if let Some(secret) = ticket.secret() {
            self.inner.grants.remove(&Bytes::copy_from_slice(secret.as_bytes()));
        }
    }

    /// Fetches what a ticket names. Resumes by itself what an earlier fetch left.
    pub fn fetch(
        &self,
        ticket: Ticket,
        options: FetchOptions,
    ) -> Running<Result<Outcome, FetchError>, FetchProgress> {
        fetch::fetch(Arc::clone(&self.inner), ticket, options)
    }

    /// Goes on serving what was fetched, under the ticket's own right, and names this node as one
    /// more provider.
    ///
    /// # Errors
    ///
    /// [`ShareError`] if it is not held or can't be read.
    pub async fn reshare(&self, ticket: &Ticket) -> Result<Ticket, ShareError> {
        let members = share::members(&self.inner, ticket.root(), ticket.format()).await?;
        if let Some(secret) = ticket.secret() {
            let grant = Grant { root: ticket.root(), members };
            self.inner.grants.add(Bytes::copy_from_slice(secret.as_bytes()), grant);
        }
        // A ticket that has no room for one more provider stays as it is.
        Ok(ticket.clone().with_provider(self.provider()).unwrap_or_else(|_| ticket.clone()))
    }

    /// Writes a blob of the store to a file.
    ///
    /// # Errors
    ///
    /// [`ExportError`].
    pub async fn export(
        &self,
        id: BlobId,
        path: impl Into<PathBuf>,
        replace: bool,
    ) -> Result<(), ExportError> {
        let (store, path) = (self.inner.store.clone(), path.into());
        flatten(
            tokio::task::spawn_blocking(move || store.export(&id, &path, replace).map(drop)).await,
        )
    }

    /// Which bytes of a blob are held and verified; `None` if none ever were.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn ranges(&self, id: BlobId) -> Result<Option<RangeSet>, StoreError> {
        let store = self.inner.store.clone();
        flatten(
            tokio::task::spawn_blocking(move || {
                let stat = store.stat(&id)?;
                Ok(stat.map(|stat| byte_ranges(&stat.held, stat.size)))
            })
            .await,
        )
    }

    /// Ends all links with a reason, makes everything durable and stops.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the last checkpoint fails.
    pub async fn shutdown(&self) -> Result<(), StoreError> {
        let (done, ended) = oneshot::channel();
        if self.inner.tell(Command::Shutdown(done)).await {
            // The engine ends without an answer only if it is gone already.
            let _ = ended.await;
        }
        let store = self.inner.store.clone();
        flatten(tokio::task::spawn_blocking(move || store.checkpoint()).await)
    }

    /// How to name this node in a ticket.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.inner.provider()
    }
}

impl Inner {
    pub(crate) fn provider(&self) -> Provider {
        let addrs = self.driver.addrs().borrow().clone();
        let PeerAddr { peer, direct, relay } = addrs.for_peer(self.driver.local());
        share::provider(peer, &direct, relay.as_deref())
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("peer", &self.peer()).finish_non_exhaustive()
    }
}

/// The result of a blocking task; a panic in it goes on here.
pub(crate) fn flatten<T, E>(joined: Result<Result<T, E>, tokio::task::JoinError>) -> Result<T, E> {
    match joined {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
