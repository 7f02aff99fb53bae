//! Checkpoints in the background, so that data travel while others reach the disk.

use std::{
    io,
    sync::mpsc::{SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use samara_store::{Store, StoreError};

/// The thread that makes checkpoints. Dropping this waits for it, so drop all [`Flusher`]s before.
#[derive(Debug)]
pub(crate) struct FlushThread(Option<JoinHandle<()>>);

impl Drop for FlushThread {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // One that panicked has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

/// Tells the thread what there is to do. It ends with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct Flusher {
    store: Store,
    due: SyncSender<()>,
}

impl Flusher {
    pub(crate) fn start(store: Store) -> io::Result<(Self, FlushThread)> {
        let (due, asked) = sync_channel(1);
        let background = store.clone();
        let thread = thread::Builder::new().name("samara-flush".to_owned()).spawn(move || {
            let mut failed = false;
            while asked.recv().is_ok() {
                // Short of space, the writer finds out too; after a failed sync, everybody does.
                match background.checkpoint() {
                    Ok(()) => failed = false,
                    Err(StoreError::Poisoned) => break,
                    Err(error) if !failed => {
                        failed = true;
                        tracing::warn!(%error, "a checkpoint failed");
                    }
                    Err(_again) => {}
                }
            }
        })?;
        Ok((Self { store, due }, FlushThread(Some(thread))))
    }

    /// Something was written.
    pub(crate) fn wrote(&self) {
        if self.store.wants_checkpoint() {
            // If one is asked for already, that will do.
            let _ = self.due.try_send(());
        }
    }
}
