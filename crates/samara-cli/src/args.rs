//! The command line.

use core::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, builder::Styles, builder::styling::AnsiColor};
use samara::{NodeOptions, net::iroh::Relay};

use crate::cmd;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// The table of exit codes, as `--help` and the README show it.
const EXIT_CODES: &str = "\
Exit codes:
    0  complete
    1  another failure
    2  wrong usage
    3  partial: no source delivers the rest; ranges and sources are named
    4  unavailable: the sources refuse it, do not have it, or send something else
    5  no source was reachable in time, or the time was up
    6  the store is in use by another process
    7  the disk is full
    8  the destination exists, and --force was not given
    9  the ticket is wrong
   10  stored data is damaged, or a shared file has changed
   11  no such file, blob or tag
   12  access denied, or a read-only file system
  130  stopped by Ctrl-C; what arrived is kept";

const EXAMPLES: &str = "\
Examples:
  samara share holiday.mp4           prints a ticket and serves until Ctrl-C
  samara get TICKET -o .             on another machine: fetches it into this directory
  samara get TICKET                  fetches it into the store; then: samara export ID PATH";

/// Move files of any size between machines: verified piece by piece, resumable, with no server.
///
/// One machine runs `samara share PATH` and prints a ticket; another runs `samara get TICKET`.
/// Every byte is proven against the ticket before it is stored. Kill either side in the middle and
/// start it again: it goes on where it was.
#[derive(Debug, Parser)]
#[command(
    name = "samara",
    version,
    styles = STYLES,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"),
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The store's directory [default: this user's data directory]
    ///
    /// The default is `samara/store` in the data directory of this user (on Linux
    /// `~/.local/share`); if another samara uses it, `samara/store.2` to `store.8`. A store that is
    /// named here is used, or it is an error (exit code 6).
    #[arg(long, global = true, env = "SAMARA_STORE", hide_env_values = true, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,

    /// Write one JSON object per line to standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Say more on standard error; twice, much more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Say nothing but errors on standard error
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// How to reach others.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Network options")]
pub(crate) struct Network {
    /// Listen at this UDP address, for example 0.0.0.0:4433
    ///
    /// Without it, on all addresses, at a port that the same store prefers every time. Where the TCP
    /// port of the same number is free, near peers send bulk there, which costs less.
    #[arg(long, value_name = "IP:PORT")]
    bind: Option<SocketAddr>,

    /// Use only the addresses in the ticket: no relay, no discovery, no internet
    #[arg(long)]
    direct: bool,

    /// Relay for machines that cannot reach each other directly: off, default, or a URL
    ///
    /// A relay sees who talks to whom and how much, never what. The default one is a public
    /// server.
    #[arg(long, value_name = "off|default|URL", value_parser = parse_relay, conflicts_with = "direct")]
    relay: Option<Relay>,
}

impl Network {
    /// Options for a node; the store is set when it is chosen.
    pub(crate) fn options(&self) -> NodeOptions {
        let mut options = if self.direct {
            NodeOptions::direct(PathBuf::new())
        } else {
            NodeOptions::new(PathBuf::new())
        };
        options.bind = self.bind;
        if let Some(relay) = &self.relay {
            options.relay = relay.clone();
        }
        options
    }

    /// A node that nobody reaches, for work on the store alone.
    pub(crate) fn none() -> NodeOptions {
        let mut options = NodeOptions::direct(PathBuf::new());
        options.bind = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        options
    }
}

fn parse_relay(text: &str) -> Result<Relay, String> {
    match text {
        "off" => Ok(Relay::Off),
        "default" => Ok(Relay::Default),
        url if url.starts_with("https://") || url.starts_with("http://") => {
            Ok(Relay::Custom(url.to_owned()))
        }
        _ => Err("say off, default, or a URL like https://relay.example.org".to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Share(cmd::share::Share),
    Get(cmd::get::Get),
    Add(cmd::add::Add),
    Ls(cmd::ls::Ls),
    Rm(cmd::rm::Rm),
    Cat(cmd::cat::Cat),
    Export(cmd::export::Export),
    Verify(cmd::verify::Verify),
    Scrub(cmd::scrub::Scrub),
    Id(cmd::id::Id),
    Stat(cmd::stat::Stat),
    Doctor(cmd::doctor::Doctor),
    RebuildIndex(cmd::rebuild_index::RebuildIndex),
    Completions(cmd::completions::Completions),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::exit::Code;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_and_readme_list_every_exit_code() {
        let readme = include_str!("../README.md");
        for code in [
            Code::Complete,
            Code::Failed,
            Code::Usage,
            Code::Partial,
            Code::Unavailable,
            Code::NoProvider,
            Code::InUse,
            Code::NoSpace,
            Code::Exists,
            Code::BadTicket,
            Code::Damaged,
            Code::NotFound,
            Code::Denied,
            Code::Cancelled,
        ] {
            let number = code as u8;
            assert!(EXIT_CODES.contains(&format!("\n{number:>5}  ")), "{code:?}");
            assert!(readme.contains(&format!("| {number} | `{}` |", code.name())), "{code:?}");
        }
    }

    #[test]
    fn relays_are_off_default_or_a_url() {
        assert_eq!(parse_relay("off"), Ok(Relay::Off));
        assert_eq!(parse_relay("default"), Ok(Relay::Default));
        assert!(matches!(parse_relay("https://relay.example.org"), Ok(Relay::Custom(_))));
        assert!(parse_relay("on").is_err());
    }
}
