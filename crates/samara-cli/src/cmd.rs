//! The commands, a file each.

pub(crate) mod add;
pub(crate) mod cat;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod id;
pub(crate) mod ls;
pub(crate) mod rebuild_index;
pub(crate) mod rm;
pub(crate) mod scrub;
pub(crate) mod share;
pub(crate) mod stat;
pub(crate) mod verify;

use core::time::Duration;

use samara::Node;

use crate::{output::Output, store_dir::StoreDir};

/// What every command gets.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) store: StoreDir,
    pub(crate) output: Output,
}

/// How long a node may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// Ends a node: peers are told, and what arrived is made durable.
async fn shut_down(node: &Node, output: &Output) {
    match tokio::time::timeout(GOODBYE, node.shutdown()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => output.complain(format_args!("samara: the store did not close: {error}")),
        Err(_) => output.note("samara: a peer does not answer the goodbye; ended without"),
    }
}
