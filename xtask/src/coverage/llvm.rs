//! The tools of LLVM that read what the compiler's instrumentation writes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::sh::{Cmd, cargo, cmd, require};

/// Where the tools are.
pub(crate) enum Llvm {
    /// The component of rustup: its folder. cargo-llvm-cov finds it itself.
    Component(PathBuf),
    /// The distribution's, on the path: the end of their names.
    System(String),
}

impl Llvm {
    /// The component of rustup, or the distribution's tools of the same version of LLVM.
    ///
    /// # Errors
    ///
    /// If there is neither.
    pub(crate) fn find() -> Result<Self> {
        let libraries = cmd("rustc").args(["--print", "target-libdir"]).read()?;
        let component = Path::new(libraries.trim()).with_file_name("bin");
        if component.join("llvm-profdata").exists() {
            return Ok(Self::Component(component));
        }
        let version = cmd("rustc").arg("-vV").read()?;
        let major = major(&version).context("rustc -vV names no version of LLVM")?;
        for tool in ["llvm-cov", "llvm-profdata"] {
            require(
                &format!("{tool} {major}"),
                cmd(format!("{tool}-{major}")).arg("--version"),
                &format!("apt-get install llvm-{major}, or rustup component add llvm-tools"),
            )?;
        }
        Ok(Self::System(format!("-{major}")))
    }

    /// A tool by its name.
    pub(crate) fn tool(&self, name: &str) -> Cmd {
        match self {
            Self::Component(folder) => cmd(folder.join(name)),
            Self::System(suffix) => cmd(format!("{name}{suffix}")),
        }
    }

    /// A command of cargo-llvm-cov.
    pub(super) fn cargo(&self, subcommand: &str) -> Cmd {
        let command = cargo("llvm-cov").arg(subcommand).args(["--profile", "measure"]);
        match self {
            Self::Component(_) => command,
            Self::System(suffix) => command
                .env("LLVM_COV", format!("llvm-cov{suffix}"))
                .env("LLVM_PROFDATA", format!("llvm-profdata{suffix}")),
        }
    }
}

/// The major version of the compiler's LLVM.
fn major(version: &str) -> Option<&str> {
    version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?.split('.').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compilers_llvm_is_found_by_its_major_version() {
        assert_eq!(major("rustc 1.95.0\nhost: x\nLLVM version: 22.1.2\n"), Some("22"));
        assert_eq!(major("rustc 1.95.0\n"), None);
    }
}
