//! Benchmarks: the parts with criterion, the whole against other programs.

mod peers;

use anyhow::{Result, bail};

use crate::{
    args::Args,
    sh::{self, cargo},
};

/// `cargo xtask bench [CRATE|peers|loopback|link-down]`.
pub(crate) fn command(mut args: Args) -> Result<()> {
    match args.subcommand(&["peers", "loopback", "link-down"]).as_deref() {
        Some("peers") => return peers::command(args),
        Some("loopback") => return peers::loopback(args),
        Some("link-down") => return peers::link_down(args),
        _ => {}
    }
    let (names, rest) = (args.positionals(), args.rest());
    args.finish()?;
    let mut bench = cargo("bench").args(["--package", "samara-benches"]);
    for name in names {
        if !sh::root().join(format!("benches/benches/{name}.rs")).is_file() {
            bail!("benches/benches/{name}.rs does not exist");
        }
        bench = bench.args(["--bench", &name]);
    }
    bench.arg("--").args(rest).run()
}
