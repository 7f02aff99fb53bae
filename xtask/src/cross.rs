//! The core crates where there is no `std`: on this machine without the feature, and on wasm32.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::{
    layers,
    sh::{self, Cmd, cargo, cmd, require},
};

/// The module that runs under node.
pub(crate) const WASM_MANIFEST: &str = "xtask/wasm/Cargo.toml";

const WASM: &str = "wasm32-unknown-unknown";

/// Builds each core crate without its `std` feature.
///
/// # Errors
///
/// If one does not build.
pub(crate) fn no_std() -> Result<()> {
    for name in layers::core_crates() {
        cargo("check").args(["--quiet", "--package", name, "--no-default-features"]).run()?;
    }
    Ok(())
}

/// Builds all core crates for wasm32 and runs a small module of theirs under node.
///
/// # Errors
///
/// If something does not build, asks for an import, or gives a wrong answer.
//= rfcs/0001-architecture.md#arch-3
//= type=test
//# A crate of kind `no_std` MUST build for `wasm32-unknown-unknown` into a module that
//# imports nothing.
pub(crate) fn wasm() -> Result<()> {
    let toolchain = WasmToolchain::find()?;
    let target_dir = sh::target_dir()?.join("wasm");
    let packages = layers::core_crates().flat_map(|name| ["--package", name]);
    toolchain.build(&target_dir).arg("--no-default-features").args(packages).run()?;
    toolchain.build(&target_dir).args(["--manifest-path", WASM_MANIFEST]).run()?;
    require("node", cmd("node").arg("--version"), "apt-get install nodejs")?;
    let module = target_dir.join(WASM).join("debug/samara_wasm_smoke.wasm");
    cmd("node").arg("xtask/wasm/run.mjs").arg(module).run()
}

/// What compiles for wasm32 here.
enum WasmToolchain {
    /// The toolchain in use has the target's library.
    Rustup,
    /// Debian's `rustc-web` builds the library from `rust-web-src`; for machines whose toolchain
    /// can't get the target.
    Debian { rustc: PathBuf, linker: &'static str },
}

impl WasmToolchain {
    fn find() -> Result<Self> {
        let libdir = cmd("rustc").args(["--print", "target-libdir", "--target", WASM]).read()?;
        if Path::new(libdir.trim()).is_dir() {
            return Ok(Self::Rustup);
        }
        let rustc = PathBuf::from("/usr/bin/rustc");
        let source = Path::new("/usr/lib/rustlib/src/rust/library/core");
        let linker = ["wasm-ld", "wasm-ld-19"].into_iter().find(|linker| {
            Command::new(linker)
                .arg("--version")
                .output()
                .is_ok_and(|output| output.status.success())
        });
        match linker {
            Some(linker) if rustc.is_file() && source.is_dir() => {
                Ok(Self::Debian { rustc, linker })
            }
            _ => bail!(
                "no toolchain for {WASM}; install one with: rustup target add {WASM}\n\
                 or on Debian with: apt-get install rustc-web rust-web-src lld-19"
            ),
        }
    }

    fn build(&self, target_dir: &Path) -> Cmd {
        let build = cargo("build").args(["--target", WASM, "--target-dir"]).arg(target_dir);
        match self {
            Self::Rustup => build,
            Self::Debian { rustc, linker } => build
                .env("RUSTC", rustc)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                .arg("-Zbuild-std=core,alloc"),
        }
    }
}
