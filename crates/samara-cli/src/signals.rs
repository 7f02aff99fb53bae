//! Ctrl-C and its relatives: the first asks to stop, the second stops.

use std::io;

use tokio::sync::watch;

use crate::exit::{Code, Failure};

/// Hears the signals that ask a process to end. Clones hear the same.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    asked: watch::Receiver<bool>,
}

impl Stop {
    /// Starts to listen. From now on a signal does not end the process by itself, until the second
    /// one does so at once.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let (sender, asked) = watch::channel(false);
        let mut signals = Signals::new().map_err(|error| {
            Failure::new(Code::Failed, format!("cannot listen for signals: {error}"))
        })?;
        tokio::spawn(async move {
            signals.next().await;
            sender.send_replace(true);
            signals.next().await;
            std::process::exit(i32::from(Code::Cancelled as u8));
        });
        Ok(Self { asked })
    }

    /// Waits until somebody wants this process to end.
    pub(crate) async fn asked(&mut self) {
        if self.asked.wait_for(|asked| *asked).await.is_err() {
            // The listener ends only with the process.
            core::future::pending().await
        }
    }
}

/// Not SIGHUP: who starts this with `nohup` wants it to go on, and nothing is lost otherwise.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            core::future::pending().await
        }
    }
}
