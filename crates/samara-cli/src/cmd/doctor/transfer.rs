//! A real transfer between two nodes on this machine.

use core::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use samara::{FetchOptions, Node, NodeOptions, Verdict};

use super::Finding;
use crate::{
    exit::plain,
    units::{Bytes, Time},
};

/// Enough to see that it works; too little to be in the way. Unit: bytes.
const SIZE: usize = 8 << 20;

/// More than enough for it.
const LIMIT: Duration = Duration::from_secs(20);

/// Moves some bytes over loopback.
pub(super) async fn loopback() -> Finding {
    let advice = "look at the firewall or sandbox of this machine, then run with -vv";
    match tokio::time::timeout(LIMIT, attempt()).await {
        Ok(Ok(message)) => Finding::ok(message),
        Ok(Err(message)) => Finding::fail(message, advice),
        Err(_) => Finding::fail(format!("not done within {} s", LIMIT.as_secs()), advice),
    }
}

async fn attempt() -> Result<String, String> {
    let text = |error: io::Error| plain(&error);
    let dir = Dir::new("loopback").map_err(text)?;
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let data: Vec<u8> = (0..SIZE as u64).map(|at| (at.wrapping_mul(at) >> 9) as u8).collect();
    fs::write(&from, &data).map_err(text)?;
    let source = node(&dir, "source").await?;
    let getter = node(&dir, "getter").await?;
    let share = source.share([from]).await.map_err(|error| error.to_string())?;
    let options =
        FetchOptions { output: Some(to.clone()), timeout: Some(LIMIT), ..FetchOptions::default() };
    let outcome = getter.fetch(share.ticket, options).await.map_err(|error| error.to_string())?;
    end(&getter).await;
    end(&source).await;
    if outcome.verdict != Verdict::Complete {
        return Err(format!("{} bytes did not arrive: {:?}", data.len(), outcome.verdict));
    }
    if fs::read(&to).map_err(text)? != data {
        return Err("other bytes arrived than were sent".to_owned());
    }
    Ok(format!("moved {} in {}, verified", Bytes(outcome.bytes), Time(outcome.elapsed)))
}

async fn node(dir: &Dir, name: &str) -> Result<Node, String> {
    let mut options = NodeOptions::direct(dir.path().join(name));
    options.bind = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    Node::start(options).await.map_err(|error| error.to_string())
}

/// Ends a node of a check. What it cannot make durable is deleted anyway.
pub(super) async fn end(node: &Node) {
    let _ = tokio::time::timeout(Duration::from_secs(2), node.shutdown()).await;
}

/// A directory for a check, removed with all that is in it.
#[derive(Debug)]
pub(super) struct Dir {
    path: PathBuf,
}

impl Dir {
    pub(super) fn new(name: &str) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            env::temp_dir().join(format!("samara-doctor-{}-{name}-{count}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // Nothing but the check's own files is in it, and the system cleans this place too.
        let _ = fs::remove_dir_all(&self.path);
    }
}
