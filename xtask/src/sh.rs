//! Running other programs: each command is shown before it runs, so it can be repeated by hand.

use core::time::Duration;
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Instant,
};

use anyhow::{Context, Result, bail};

/// A program with its arguments, run in the workspace's root.
#[derive(Debug)]
pub(crate) struct Cmd {
    inner: Command,
    shown: String,
}

/// A program to run in the workspace's root.
pub(crate) fn cmd(program: impl AsRef<OsStr>) -> Cmd {
    let program = program.as_ref();
    let mut inner = Command::new(program);
    inner.current_dir(root()).stdin(Stdio::null());
    Cmd { inner, shown: program.to_string_lossy().into_owned() }
}

/// `cargo` with a first argument, in the environment that it has when it is called by hand.
pub(crate) fn cargo(subcommand: &str) -> Cmd {
    let mut cargo = cmd("cargo");
    // What `cargo run` tells of xtask is not for the packages built next: some of them rebuild when
    // it changes, and everything above them with them.
    for (name, _) in std::env::vars_os() {
        let told =
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        if told.iter().any(|start| name.as_encoded_bytes().starts_with(start.as_bytes())) {
            cargo.inner.env_remove(name);
        }
    }
    cargo.arg(subcommand)
}

impl Cmd {
    /// Adds one argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        let word = arg.as_ref().to_string_lossy();
        let quoted = word.is_empty() || word.contains([' ', '\'', '"', '*', '$', '\\']);
        self.shown += &if quoted { format!(" '{word}'") } else { format!(" {word}") };
        self.inner.arg(arg);
        self
    }

    /// Adds arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(self, args: impl IntoIterator<Item = S>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.shown = format!("{name}='{}' {}", value.as_ref().to_string_lossy(), self.shown);
        self.inner.env(name, value);
        self
    }

    /// Runs it elsewhere.
    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.inner.current_dir(dir);
        self
    }

    /// Runs it and returns whether its exit code is 0, with all that it printed.
    ///
    /// # Errors
    ///
    /// If it can't be started.
    pub(crate) fn output(mut self) -> Result<(bool, String)> {
        let output =
            self.inner.output().with_context(|| format!("can't start `{}`", self.shown))?;
        let text = [output.stderr, output.stdout].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
    }

    /// Runs it with our standard output and error.
    ///
    /// # Errors
    ///
    /// If it can't be started or its exit code is not 0.
    pub(crate) fn run(mut self) -> Result<()> {
        eprintln!("$ {}", self.shown);
        let status =
            self.inner.status().with_context(|| format!("can't start `{}`", self.shown))?;
        if !status.success() {
            bail!("`{}` failed: {status}", self.shown);
        }
        Ok(())
    }

    /// Runs it with our standard output and error for at most `limit`, then interrupts it as Ctrl-C
    /// would. `None`: it was interrupted, and has ended.
    ///
    /// # Errors
    ///
    /// If it can't be started or interrupted.
    pub(crate) fn run_for(mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        eprintln!("$ {}", self.shown);
        let mut child =
            self.inner.spawn().with_context(|| format!("can't start `{}`", self.shown))?;
        let id = child.id().to_string();
        let (ended, end) = mpsc::channel();
        thread::spawn(move || ended.send(child.wait()));
        match end.recv_timeout(limit) {
            Ok(status) => Ok(Some(status?)),
            Err(_) => {
                cmd("kill").args(["-INT", &id]).run()?;
                end.recv().context("nobody waits for the child")??;
                Ok(None)
            }
        }
    }

    /// Runs it and returns its standard output; its standard error is ours.
    ///
    /// # Errors
    ///
    /// If it can't be started, its exit code is not 0 or its output is not UTF-8.
    pub(crate) fn read(mut self) -> Result<String> {
        let output = self
            .inner
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("can't start `{}`", self.shown))?;
        if !output.status.success() {
            bail!("`{}` failed: {}", self.shown, output.status);
        }
        String::from_utf8(output.stdout)
            .with_context(|| format!("`{}` printed no UTF-8", self.shown))
    }

    /// Whether it starts and ends with exit code 0. Shows nothing.
    pub(crate) fn succeeds(mut self) -> bool {
        let quiet = self.inner.stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    }
}

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Where cargo builds.
///
/// # Errors
///
/// If `cargo metadata` fails.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let text = cargo("metadata").args(["--format-version=1", "--no-deps"]).read()?;
    let value: serde_json::Value = serde_json::from_str(&text)?;
    let dir =
        value["target_directory"].as_str().context("cargo metadata names no target directory")?;
    Ok(PathBuf::from(dir))
}

/// Fails with the way to install a tool unless `probe` works.
///
/// # Errors
///
/// If the tool is missing.
pub(crate) fn require(tool: &str, probe: Cmd, install: &str) -> Result<()> {
    if !probe.succeeds() {
        bail!("{tool} is not installed; install it with: {install}");
    }
    Ok(())
}

/// The clock, for stop-watches and time limits of child processes.
#[expect(clippy::disallowed_methods, reason = "xtask is a runtime edge; nothing is replayed here")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Runs `job` and says how long it took.
pub(crate) fn timed<T>(job: impl FnOnce() -> T) -> (T, Duration) {
    let start = now();
    let result = job();
    (result, now().duration_since(start))
}
