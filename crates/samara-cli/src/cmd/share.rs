use core::time::Duration;
use std::path::PathBuf;

use clap::Args;
use futures::StreamExt as _;
use samara::{Node, net::iroh::Relay, ticket::Format};

use super::{Context, shut_down};
use crate::{
    args::Network,
    event::{NameText, Ready},
    exit::{Code, Failure},
    progress::Bar,
    signals::Stop,
    units::Bytes,
};

/// How long to wait for a relay to answer before the ticket is made without it.
const RELAY_WAIT: Duration = Duration::from_secs(3);

/// Share files and folders: print a ticket, serve until Ctrl-C
///
/// The files are hashed where they lie and nothing is copied, so leave them there, unchanged, as
/// long as you share them. Several paths become one folder. Who has the ticket can fetch them; the
/// same paths shared again from the same store get the same ticket.
#[derive(Debug, Args)]
pub(crate) struct Share {
    /// Files and folders
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    network: Network,
}

impl Share {
    pub(crate) async fn run(self, context: &Context) -> Result<Code, Failure> {
        let mut stop = Stop::listen()?;
        let options = self.network.options();
        let node = context.store.start(None, &options).await?;
        let result = serve(&node, self.paths, &options.relay, &mut stop, context).await;
        shut_down(&node, &context.output).await;
        result
    }
}

async fn serve(
    node: &Node,
    paths: Vec<PathBuf>,
    relay: &Relay,
    stop: &mut Stop,
    context: &Context,
) -> Result<Code, Failure> {
    let output = &context.output;
    let bar = Bar::bytes(output);
    let mut running = node.share(paths);
    let mut progress = running.progress();
    let mut stopping = false;
    let mut share = loop {
        tokio::select! {
            biased;
            () = stop.asked(), if !stopping => {
                stopping = true;
                running.cancel();
            }
            result = &mut running => break result?,
            Some(progress) = progress.next() => bar.import(&progress),
        }
    };
    if *relay != Relay::Off && node.provider().relay().is_none() {
        let mut addrs = node.addrs();
        let answered = tokio::select! {
            () = stop.asked() => return Err(Failure::cancelled()),
            answered = addrs.wait_for(|addrs| addrs.relay.is_some()) => answered.is_ok(),
            () = tokio::time::sleep(RELAY_WAIT) => false,
        };
        if answered {
            share = node.share_held(share.imported).await?;
        } else {
            output.note(
                "samara: no relay answers; the ticket works where this machine can be reached directly",
            );
        }
    }
    bar.clear();
    let (imported, provider) = (&share.imported, node.provider());
    let ready = Ready {
        id: imported.id.to_string(),
        size: imported.size,
        ticket: share.ticket.to_string(),
        format: format_name(imported.format),
        files: imported.files,
        name: NameText::new(&imported.name),
        peer: node.peer().to_string(),
        addresses: provider.addresses().iter().map(ToString::to_string).collect(),
        relay: provider.relay().map(str::to_owned),
    };
    let files = match imported.format {
        Format::Collection => format!(", {} files", imported.files),
        _ => String::new(),
    };
    let text = format!(
        "id      {}\nsize    {} ({} bytes{files})\nticket  {}",
        ready.id,
        Bytes(ready.size),
        ready.size,
        ready.ticket
    );
    output.both(&ready, text)?;
    output.note(
        "\nServing until Ctrl-C. On the other machine:  samara get TICKET -o .\n\
         Who has the ticket can fetch this: it is as private as its content.",
    );
    stop.asked().await;
    Ok(Code::Complete)
}

/// What a root is, in JSON.
pub(super) const fn format_name(format: Format) -> &'static str {
    match format {
        Format::Collection => "collection",
        _ => "blob",
    }
}
