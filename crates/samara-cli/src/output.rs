//! Data on standard output, everything else on standard error, and never a panic on a closed pipe.

use core::fmt::Display;
use std::{
    io::{self, IsTerminal as _, Write as _},
    path::Path,
};

use indicatif::MultiProgress;
use serde::Serialize;

use crate::{event, exit::Failure};

/// Where a command's words go.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    /// Standard output is for bytes, so failures are objects on standard error.
    data: bool,
    bars: MultiProgress,
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet, data: false, bars: MultiProgress::new() }
    }

    /// Keeps standard output for the bytes of a blob.
    pub(crate) fn for_data(self) -> Self {
        Self { data: true, ..self }
    }

    /// Whether standard output is for programs.
    pub(crate) const fn json(&self) -> bool {
        self.json
    }

    /// Whether there is somebody to show moving bars to.
    pub(crate) fn interactive(&self) -> bool {
        !self.json && !self.quiet && io::stderr().is_terminal()
    }

    /// The bars on the terminal; who writes to standard error must suspend them.
    pub(crate) const fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// One JSON object as one line, at once.
    pub(crate) fn event(&self, event: &impl Serialize) -> Result<(), Failure> {
        let mut line =
            serde_json::to_vec(event).map_err(|error| Failure::output(&io::Error::other(error)))?;
        line.push(b'\n');
        self.bytes(&line)
    }

    /// One line for people.
    pub(crate) fn line(&self, text: impl Display) -> Result<(), Failure> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// One line that ends with a path, exactly as it is: a script will use it.
    pub(crate) fn path(&self, before: &str, path: &Path) -> Result<(), Failure> {
        let path = path.as_os_str().as_encoded_bytes();
        self.bytes(&[before.as_bytes(), path, b"\n"].concat())
    }

    /// Either, as the user asked.
    pub(crate) fn both(&self, event: &impl Serialize, text: impl Display) -> Result<(), Failure> {
        if self.json { self.event(event) } else { self.line(text) }
    }

    /// Bytes as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let write = || {
            let mut stdout = io::stdout().lock();
            stdout.write_all(bytes)?;
            stdout.flush()
        };
        // A bar on the same terminal would be torn.
        if io::stdout().is_terminal() { self.bars.suspend(write) } else { write() }
            .map_err(|error| Failure::output(&error))
    }

    /// A remark on standard error, unless the user wants none.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.quiet {
            self.complain(text);
        }
    }

    /// Something that must be said, on standard error.
    pub(crate) fn complain(&self, text: impl Display) {
        let line = format!("{text}\n");
        // If standard error is closed, nobody wants to know.
        self.bars.suspend(|| io::stderr().write_all(line.as_bytes()).ok());
    }

    /// A command's failure: a sentence on standard error and, for programs, an object on standard
    /// output.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        let event = event::Error::from(failure);
        if self.json && self.data {
            self.complain(object(&event).unwrap_or_default());
            return;
        }
        self.complain(format_args!("samara: {failure}"));
        if self.json {
            // The exit code tells it too, should standard output be closed.
            let _ = self.event(&event);
        }
    }
}

fn object(event: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(event).map_err(|error| Failure::output(&io::Error::other(error)))
}
