//! Takes connections that peers open.

use std::sync::Arc;

use iroh::endpoint::Incoming;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    ALPN, Shared,
    link::{self, Claim},
    start,
};

/// Handshakes under way at the same time. Beyond half of it, a client proves its address first, so
/// that forged ones cost nothing; beyond it, packets are dropped and the client tries again.
const HANDSHAKES_MAX: usize = 64;

/// Runs until the endpoint closes.
pub(super) async fn accept(shared: Arc<Shared>) {
    let endpoint = shared.endpoint.clone();
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    // The driver may be dropped without a shutdown: this task must not keep it alive.
    let weak = Arc::downgrade(&shared);
    drop(shared);
    while let Some(incoming) = endpoint.accept().await {
        let Some(shared) = weak.upgrade() else { break };
        if handshakes.available_permits() < HANDSHAKES_MAX / 2 && !incoming.remote_addr_validated()
        {
            // An error means that it was validated after all; the client tries again.
            let _ = incoming.retry();
            continue;
        }
        let Ok(handshake) = Arc::clone(&handshakes).try_acquire_owned() else {
            incoming.ignore();
            continue;
        };
        let Ok(slot) = shared.links.slot() else {
            incoming.refuse();
            continue;
        };
        tokio::spawn(greet(shared, incoming, handshake, slot));
    }
}

/// Finishes the handshake and waits for both lanes.
async fn greet(
    shared: Arc<Shared>,
    incoming: Incoming,
    handshake: OwnedSemaphorePermit,
    slot: OwnedSemaphorePermit,
) {
    let opened = async {
        let accepting = incoming.accept().map_err(|error| error.to_string())?;
        let connection = accepting.await.map_err(|error| error.to_string())?;
        if connection.alpn() != ALPN {
            return Err("another protocol".to_owned());
        }
        // Before the offer, so that whoever follows it is expected.
        let (offer, expected) = shared.tcp.invite(&connection, link::peer(&connection));
        match link::accept(&connection, offer).await {
            Ok(streams) => Ok((connection, streams, Claim::Waits(expected))),
            Err(reason) => {
                connection.close(link::CODE_PROTOCOL, reason.as_bytes());
                Err(reason)
            }
        }
    };
    // A connection that is dropped here closes by itself.
    match timeout(shared.options.accept_timeout, opened).await {
        Ok(Ok((connection, streams, claim))) => {
            // An error means that the driver shuts down; the peer was told.
            let _ = start(&shared, connection, streams, claim, slot, None);
        }
        Ok(Err(reason)) => tracing::debug!(reason, "a peer could not be linked"),
        Err(_elapsed) => tracing::debug!("a peer opened a connection and no lanes"),
    }
    drop(handshake);
}
