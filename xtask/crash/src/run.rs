//! A worker as seen from outside.

use core::time::Duration;
use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
};

use anyhow::{Context as _, Result, bail};

use crate::model::Line;

/// Nothing that a worker does takes as long.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// A worker at work. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    ear: Receiver<String>,
    mouth: ChildStdin,
}

/// What a worker did next.
#[derive(Debug)]
pub(crate) enum Next {
    /// It said something, and waits.
    Said(Line),
    /// It has ended.
    Ended,
    /// It has said nothing for the time given.
    Silent,
}

impl Worker {
    /// Starts one. Its complaints are ours to show only if `loud`: on a disk that fails, it fails.
    pub(crate) fn start(
        dir: &Path,
        (seed, round): (u64, u64),
        steps: u64,
        loud: bool,
    ) -> Result<Self> {
        let exe = std::env::current_exe()?;
        let mut child = Command::new(exe)
            .arg("work")
            .arg(dir)
            .args([seed, round, steps].map(|number| number.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if loud { Stdio::inherit() } else { Stdio::null() })
            .spawn()
            .context("can't start a worker")?;
        let (out, mouth) = (child.stdout.take(), child.stdin.take());
        let (out, mouth) = (out.context("no output")?, mouth.context("no input")?);
        // It waits for an answer to each line, so there is never more than one per thread.
        let (heard, ear) = mpsc::sync_channel(4);
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if heard.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, ear, mouth })
    }

    /// Waits for what it does next, at most `limit`.
    pub(crate) fn next_within(&self, limit: Duration) -> Result<Next> {
        match self.ear.recv_timeout(limit) {
            Ok(text) => Ok(Next::Said(Line::parse(&text)?)),
            Err(RecvTimeoutError::Timeout) => Ok(Next::Silent),
            Err(RecvTimeoutError::Disconnected) => Ok(Next::Ended),
        }
    }

    /// Waits for what it says next; `None` if it has ended.
    pub(crate) fn next(&self) -> Result<Option<Line>> {
        match self.next_within(SILENCE_MAX)? {
            Next::Said(line) => Ok(Some(line)),
            Next::Ended => Ok(None),
            Next::Silent => bail!("the worker has said nothing for {SILENCE_MAX:?}"),
        }
    }

    /// Lets it go on after what it said. If it can't hear that, it has ended, which shows next.
    pub(crate) fn go_on(&mut self) {
        let _ = self.mouth.write_all(b"\n").and_then(|()| self.mouth.flush());
    }

    /// Waits until it has ended.
    pub(crate) fn wait(mut self) -> Result<ExitStatus> {
        Ok(self.child.wait()?)
    }

    /// Kills it (SIGKILL) and waits until it has ended.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
