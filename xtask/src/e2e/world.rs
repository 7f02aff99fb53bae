//! One step's folder and the processes in it.

use core::{cell::RefCell, time::Duration};
use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::sh;

/// No process of a step takes so long unless it hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// A folder, and what ran in it.
pub(super) struct World {
    dir: PathBuf,
    bin: PathBuf,
    ran: RefCell<Vec<String>>,
}

impl World {
    /// An empty world.
    pub(super) fn new(dir: PathBuf, bin: PathBuf) -> Result<Self> {
        fs::create_dir_all(&dir).with_context(|| format!("{}", dir.display()))?;
        Ok(Self { dir, bin, ran: RefCell::default() })
    }

    /// A path in this world.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Starts `samara --store STORE ARGS…`.
    pub(super) fn start<S: AsRef<OsStr>>(
        &self,
        store: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Result<Process> {
        let mut words = vec![OsString::from("--store"), self.path(store).into_os_string()];
        words.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        let shown: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        let stderr = self.path(&format!("stderr-{}", self.ran.borrow().len()));
        self.ran.borrow_mut().push(format!("samara {}", shown.join(" ")));
        let mut child = Command::new(&self.bin)
            .args(&words)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr)?)
            .spawn()
            .with_context(|| format!("can't start {}", self.bin.display()))?;
        let stdout = child.stdout.take().context("its standard output is a pipe")?;
        let (sender, lines) = sync_channel(1024);
        // Ends with the process; a full channel holds the process back, as a slow pipe would.
        thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = Vec::new();
            while stdout.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
                if sender.send(core::mem::take(&mut line)).is_err() {
                    break;
                }
            }
        });
        Ok(Process { child, lines, stderr, deadline: sh::now() + LIMIT })
    }

    /// Runs `samara --store STORE ARGS…` to its end.
    pub(super) fn run<S: AsRef<OsStr>>(
        &self,
        store: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Result<Finished> {
        self.start(store, args)?.finish()
    }

    /// Shares `paths` on a free port of loopback; returns when the ticket works.
    pub(super) fn share(&self, store: &str, bind: &str, paths: &[&Path]) -> Result<Shared> {
        let options = ["share", "--json", "--direct", "--bind", bind].map(OsString::from);
        let args = options.into_iter().chain(paths.iter().map(|path| path.as_os_str().to_owned()));
        let mut process = self.start(store, args)?;
        let ready = process.event("ready")?;
        let text = |key: &str| {
            ready[key].as_str().map(str::to_owned).with_context(|| format!("{key}: {ready}"))
        };
        let (id, ticket) = (text("id")?, text("ticket")?);
        Ok(Shared { process, id, ticket, size: ready["size"].as_u64().context("size")? })
    }

    /// The command line of a fetch from loopback into `out`.
    pub(super) fn get_args(&self, ticket: &str, out: &str) -> Vec<OsString> {
        let options = ["get", "--json", "--direct", "--bind", "127.0.0.1:0", "-o"];
        let mut args: Vec<OsString> = options.into_iter().map(OsString::from).collect();
        args.extend([self.path(out).into_os_string(), OsString::from(ticket)]);
        args
    }

    /// Fetches `ticket` into `out`, to the end.
    pub(super) fn get(&self, store: &str, ticket: &str, out: &str) -> Result<Finished> {
        self.run(store, self.get_args(ticket, out))
    }

    /// All command lines so far and what each wrote to its standard error.
    pub(super) fn transcript(&self) -> String {
        let mut out = String::new();
        for (index, line) in self.ran.borrow().iter().enumerate() {
            let stderr =
                fs::read_to_string(self.path(&format!("stderr-{index}"))).unwrap_or_default();
            out += &format!("  $ {line}\n");
            stderr.lines().for_each(|line| out += &format!("    {line}\n"));
        }
        out
    }
}

/// A running share.
pub(super) struct Shared {
    pub(super) process: Process,
    pub(super) id: String,
    pub(super) ticket: String,
    pub(super) size: u64,
}

/// A running process; killed when it is dropped.
pub(super) struct Process {
    child: Child,
    lines: Receiver<Vec<u8>>,
    stderr: PathBuf,
    deadline: Instant,
}

impl Process {
    /// The next line of standard output, with its end; `None` at the end of all.
    fn line(&mut self) -> Result<Option<Vec<u8>>> {
        match self.lines.recv_timeout(self.deadline.saturating_duration_since(sh::now())) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => bail!("silent for {} s", LIMIT.as_secs()),
        }
    }

    /// Reads objects until one satisfies `wanted`.
    pub(super) fn event_where(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        while let Some(line) = self.line()? {
            let value: Value = serde_json::from_slice(&line)
                .with_context(|| format!("not JSON: {}", String::from_utf8_lossy(&line)))?;
            if wanted(&value) {
                return Ok(value);
            }
        }
        bail!("it ended before the awaited object");
    }

    /// Reads objects until one is of a kind.
    pub(super) fn event(&mut self, kind: &str) -> Result<Value> {
        self.event_where(|value| value["event"] == kind).with_context(|| format!("event {kind}"))
    }

    /// Reads objects until so many bytes of a fetch are there; fails if it ended before.
    pub(super) fn progress_at(&mut self, bytes: u64) -> Result<Value> {
        let there = |value: &Value| value["bytes"].as_u64().is_some_and(|there| there >= bytes);
        let object = self.event_where(there)?;
        ensure!(object["event"] == "progress", "it was too fast to be watched: {object}");
        Ok(object)
    }

    /// Waits for the end of the process.
    pub(super) fn finish(mut self) -> Result<Finished> {
        let mut stdout = Vec::new();
        while let Some(line) = self.line()? {
            stdout.push(line);
        }
        let status = self.child.wait()?;
        let stderr = String::from_utf8_lossy(&fs::read(&self.stderr)?).into_owned();
        ensure!(!stderr.contains("panicked at"), "it panicked: {stderr}");
        Ok(Finished { status, stdout, stderr })
    }

    /// SIGKILL.
    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Has ended already: nothing to kill.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A process that has ended.
pub(super) struct Finished {
    status: ExitStatus,
    stdout: Vec<Vec<u8>>,
    /// What it wrote to standard error.
    pub(super) stderr: String,
}

impl Finished {
    /// Its exit code.
    pub(super) fn code(&self) -> Result<i32> {
        self.status.code().with_context(|| format!("killed: {}", self.status))
    }

    /// What it wrote to standard output.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.stdout.concat()
    }

    /// Its last object, the verdict.
    pub(super) fn verdict(&self) -> Result<Value> {
        let last =
            self.stdout.iter().rev().find(|line| !line.is_empty()).context("it printed nothing")?;
        let value: Value = serde_json::from_slice(last)?;
        ensure!(value["event"] == "verdict", "the last object is no verdict: {value}");
        Ok(value)
    }

    /// Fails unless the verdict is `complete` with exit code 0; returns it.
    pub(super) fn complete(&self) -> Result<Value> {
        let verdict = self.verdict()?;
        ensure!(
            verdict["verdict"] == "complete" && self.code()? == 0,
            "code {}: {verdict}",
            self.code()?
        );
        Ok(verdict)
    }

    /// Fails unless its exit code is 0.
    pub(super) fn succeeded(&self) -> Result<()> {
        ensure!(self.code()? == 0, "it ended with exit code {}", self.code()?);
        Ok(())
    }

    /// Fails unless it was refused: one of these exit codes and a sentence for people.
    pub(super) fn refused(&self, codes: &[i32]) -> Result<()> {
        let code = self.code()?;
        ensure!(codes.contains(&code), "it ended with exit code {code}, not {codes:?}");
        ensure!(
            self.stderr.split_whitespace().count() >= 3,
            "it does not say why: {:?}",
            self.stderr
        );
        Ok(())
    }
}
