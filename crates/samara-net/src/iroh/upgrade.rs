//! Gives the bulk lane of one link its TCP connection, once it is worth it.

use core::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use std::sync::Arc;

use iroh::{
    TransportAddr,
    endpoint::{Connection, Path},
};
use tokio::{
    io::split,
    sync::{Notify, oneshot},
    time::sleep,
};

use super::{
    Shared,
    lane::Stop,
    tcp::{self, Expected, OFFER_LEN, Reading, Stream, Tcp, Writing},
};
use crate::links::Handle;

/// Bulk that makes the connection worth its handshake. Unit: bytes.
const WORTH: u64 = 1 << 20;

/// How often a path that is not near, or a peer that is barred, is looked at again.
const AGAIN: Duration = Duration::from_secs(1);

/// Counts the bulk of a link until it is [`WORTH`] a connection.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    bytes: AtomicU64,
    enough: Notify,
}

impl Traffic {
    /// So many bytes came or went.
    pub(super) fn passed(&self, bytes: u64) {
        // One that counts too late or twice at the border does no harm.
        let before = self.bytes.load(Ordering::Relaxed);
        if before < WORTH && self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes >= WORTH {
            self.enough.notify_one();
        }
    }
}

/// Who has to open the connection, and what that side needs for it.
pub(super) enum Role {
    /// The side that dialled the link.
    Opens {
        /// Comes first on the control lane.
        offer: oneshot::Receiver<[u8; OFFER_LEN]>,
    },
    /// The other one. `None`: no connection can be claimed.
    Waits(Option<Expected>),
}

/// The lane's writer and reader wait for these.
pub(super) struct Halves {
    pub(super) write: oneshot::Sender<Writing>,
    pub(super) read: oneshot::Sender<Reading>,
}

impl Halves {
    fn hand_over(self, stream: Stream) {
        let (read, write) = split(stream);
        // Errors mean that the lane has ended, and the link with it.
        let _ = self.write.send(write);
        let _ = self.read.send(read);
    }
}

/// Runs until the lane has its connection, or for as long as the link lives.
pub(super) async fn upgrade(
    shared: Arc<Shared>,
    connection: Connection,
    handle: Arc<Handle>,
    traffic: Arc<Traffic>,
    role: Role,
    halves: Halves,
) -> Stop {
    let stream = match role {
        Role::Waits(Some(mut expected)) => expected.stream().await,
        Role::Waits(None) => None,
        Role::Opens { offer } => open(&shared, &connection, &handle, &traffic, offer).await,
    };
    let Some(stream) = stream else {
        // The halves' receivers wait for as long as these live.
        return core::future::pending().await;
    };
    halves.hand_over(stream);
    Stop::Done
}

async fn open(
    shared: &Shared,
    connection: &Connection,
    handle: &Handle,
    traffic: &Traffic,
    offer: oneshot::Receiver<[u8; OFFER_LEN]>,
) -> Option<Stream> {
    let offer = offer.await.ok()?;
    traffic.enough.notified().await;
    loop {
        let near = near(connection, shared.options.tuning.tcp_rtt_max);
        if let Some(to) = near.and_then(|path| tcp::target(offer, path))
            && !shared.tcp.is_barred(handle.peer)
        {
            let idle = shared.options.idle_timeout;
            match Tcp::dial(connection, handle.peer, to, idle).await {
                Ok(stream) => return Some(stream),
                // A firewall, mostly. It will not go away while this link lives.
                Err(error) => {
                    tracing::debug!(link = ?handle.link, %to, %error, "bulk stays on QUIC");
                    return None;
                }
            }
        }
        sleep(AGAIN).await;
    }
}

/// The peer's address, if no relay is between and the way is short.
fn near(connection: &Connection, rtt_max: Duration) -> Option<SocketAddr> {
    let paths = connection.paths();
    let path = paths.iter().find(Path::is_selected)?;
    match path.remote_addr() {
        TransportAddr::Ip(addr) if path.rtt() <= rtt_max => Some(*addr),
        _ => None,
    }
}
