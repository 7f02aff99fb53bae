//! Mounting, in a mount namespace of our own: when this process ends, in whatever way, the kernel
//! takes all its mounts and loop devices away.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::{Arc, Mutex},
};

use anyhow::{Context as _, Result, bail};
use fuser::{BackgroundSession, Config, Filesystem, MountOption};

use crate::forgetful::{Forgetful, Lacks, State, Tree};

/// Runs this program again with other arguments, where nobody sees its mounts. Somebody who is not
/// root may mount FUSE there, if the system lets them, and nothing else.
///
/// # Errors
///
/// If it can't be started.
pub(crate) fn in_own_namespace(args: &[String]) -> Result<ExitCode> {
    let status = unshare()?.arg(std::env::current_exe()?).args(args).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Why there can't be a mount namespace of our own.
///
/// # Errors
///
/// If there can't.
pub(crate) fn require_namespace() -> Result<()> {
    let mut probe = unshare()?;
    probe.arg("true").stdout(Stdio::null()).stderr(Stdio::null());
    let status = probe.status().context("can't start `unshare` (package util-linux)")?;
    if !status.success() {
        bail!("the system allows no mount namespace; try again as root");
    }
    Ok(())
}

fn unshare() -> io::Result<Command> {
    let mut unshare = Command::new("unshare");
    if !is_root()? {
        unshare.arg("--map-root-user");
    }
    unshare.args(["--mount", "--propagation", "private"]);
    Ok(unshare)
}

fn is_root() -> io::Result<bool> {
    Ok(fs::metadata("/proc/self")?.uid() == 0)
}

/// Why FUSE can't be used here.
///
/// # Errors
///
/// If it can't.
pub(crate) fn require_fuse() -> Result<()> {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/fuse");
    opened
        .context("FUSE can't be used: /dev/fuse (kernel module `fuse`; permission to open it)")?;
    let dir = tempfile::tempdir()?;
    let state = State::new(Tree::new(), Lacks::default(), None);
    Fuse::mount(Forgetful(Arc::new(Mutex::new(state))), dir.path())?.unmount()
}

/// Why a file system of the kernel can't be used on a loop device here.
///
/// # Errors
///
/// If it can't.
pub(crate) fn require_disk(kind: &str, mkfs: &str, package: &str) -> Result<()> {
    require_fuse()?;
    let known = fs::read_to_string("/proc/filesystems")?;
    if !known.lines().any(|line| line.trim() == kind) {
        bail!("this kernel has no {kind} (or its module is not loaded: modprobe {kind})");
    }
    // Within a user namespace it is seen, but can't be used.
    let outside = fs::read_to_string("/proc/self/uid_map")?;
    if !is_root()? || outside.split_whitespace().nth(1) != Some("0") {
        bail!("{kind} on a loop device needs root");
    }
    if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/loop-control") {
        bail!("no loop devices: /dev/loop-control: {error} (kernel module `loop`)");
    }
    if Command::new(mkfs).arg("-V").output().is_err() {
        bail!("`{mkfs}` is missing: install the package {package}");
    }
    Ok(())
}

/// A file system of ours, mounted.
#[derive(Debug)]
pub(crate) struct Fuse(Option<BackgroundSession>);

impl Fuse {
    /// Serves a file system at a directory.
    ///
    /// # Errors
    ///
    /// If it can't be mounted.
    pub(crate) fn mount(filesystem: impl Filesystem, at: &Path) -> Result<Self> {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("samara-crash".into())];
        let session = fuser::spawn_mount(filesystem, at, &config);
        Ok(Self(Some(session.with_context(|| format!("mount FUSE at {}", at.display()))?)))
    }

    /// Takes it away.
    ///
    /// # Errors
    ///
    /// If somebody still uses it.
    pub(crate) fn unmount(mut self) -> Result<()> {
        match self.0.take() {
            Some(session) => session.umount_and_join().context("unmount FUSE"),
            None => Ok(()),
        }
    }
}

/// A file system of the kernel over a loop device, which goes with it.
#[derive(Debug)]
pub(crate) struct Loop {
    at: PathBuf,
    mounted: bool,
}

impl Loop {
    /// Mounts an image.
    ///
    /// # Errors
    ///
    /// If `mount` does not.
    pub(crate) fn mount(image: &Path, at: &Path, kind: &str) -> Result<Self> {
        let mut mount = Command::new("mount");
        run(mount.args(["-t", kind, "-o", "loop"]).arg(image).arg(at))?;
        Ok(Self { at: at.into(), mounted: true })
    }

    /// Takes it away.
    ///
    /// # Errors
    ///
    /// If somebody still uses it.
    pub(crate) fn unmount(mut self) -> Result<()> {
        self.mounted = false;
        run(Command::new("umount").arg(&self.at))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        if self.mounted {
            let _ = run(Command::new("umount").arg("--lazy").arg(&self.at));
        }
    }
}

/// Runs a program, which says what went wrong.
///
/// # Errors
///
/// If it can't be started or fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("can't start {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} failed: {}: {}", output.status, said.trim());
    }
    Ok(())
}
