use core::time::Duration;
use std::path::PathBuf;

use clap::Args;
use samara::{FetchOptions, Node, Rules, Ticket, Verdict, ticket::Format};
use samara_base::BlobId;
use samara_store::Store;

use super::{Context, shut_down};
use crate::{
    args::Network,
    event::Done,
    exit::{Code, Failure},
    lookup::{self, Found, name_of_tag},
    signals::Stop,
};

/// Write a file or folder from the store to a path
///
/// It appears whole or not at all, and nothing is overwritten without --force.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Id, beginning of an id (6 digits or more), or name
    id: String,

    /// Where to; a file goes into a directory that exists, under the name that the store knows, a
    /// folder only if this is `.` or ends with `/`
    path: PathBuf,

    /// Replace what is there
    #[arg(short, long)]
    force: bool,
}

impl Export {
    pub(crate) async fn run(self, context: &Context) -> Result<Code, Failure> {
        let mut stop = Stop::listen()?;
        let found = lookup::find_one(&context.store, &self.id)?;
        let id = found.stat.id;
        let (size, path) = match lookup::manifest(&found.open.store, &found.stat)? {
            Some(manifest) => {
                let size = manifest.summary().bytes;
                let mut ticket = Ticket::new(id, Format::Collection);
                if let Some(name) = known_name(&found.open.store, &id)? {
                    // A name that no ticket takes is missed only if PATH has none either.
                    ticket = ticket.clone().with_name(&name).unwrap_or(ticket);
                }
                // The node opens the store itself.
                let dir = found.open.dir.clone();
                drop((manifest, found));
                (size, self.folder(ticket, dir, &mut stop, context).await?)
            }
            None => (found.stat.size, self.file(found).await?),
        };
        if context.output.json() {
            context.output.event(&Done::new("exported", id, size).at(&path))?;
        } else {
            context.output.path("", &path)?;
        }
        Ok(Code::Complete)
    }

    async fn file(&self, found: Found) -> Result<PathBuf, Failure> {
        let Found { open, stat } = found;
        let path = if self.path.is_dir() {
            let name = known_name(&open.store, &stat.id)?.ok_or_else(|| {
                let text = format!(
                    "the store knows no name for {}: give the name too, like {}",
                    stat.id,
                    self.path.join("NAME").display()
                );
                Failure::usage(text)
            })?;
            self.path.join(to_path(&Rules::host().sanitise(&name)))
        } else {
            self.path.clone()
        };
        let (to, force) = (path.clone(), self.force);
        let export = move || open.store.export(&stat.id, &to, force);
        match tokio::task::spawn_blocking(export).await {
            Ok(result) => result?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
        Ok(path)
    }

    /// A folder is fetched from nobody: all of it is here already.
    async fn folder(
        &self,
        ticket: Ticket,
        store: PathBuf,
        stop: &mut Stop,
        context: &Context,
    ) -> Result<PathBuf, Failure> {
        let mut options = Network::none();
        options.store = store;
        let node = Node::start(options).await?;
        let options = FetchOptions {
            output: Some(self.path.clone()),
            replace: self.force,
            patience: Some(Duration::ZERO),
            ..FetchOptions::default()
        };
        let mut running = node.fetch(ticket, options);
        let outcome = tokio::select! {
            outcome = &mut running => outcome,
            () = stop.asked() => {
                running.cancel();
                running.await
            }
        };
        shut_down(&node, &context.output).await;
        let outcome = outcome?;
        match outcome.verdict {
            Verdict::Complete => Ok(outcome.path.unwrap_or_else(|| self.path.clone())),
            Verdict::Cancelled => Err(Failure::cancelled()),
            _ => Err(Failure::new(
                Code::Partial,
                "the store has only a part of it; run `samara get` with its ticket again",
            )),
        }
    }
}

/// The name that people know it by, as it came: any bytes.
fn known_name(store: &Store, id: &BlobId) -> Result<Option<Vec<u8>>, Failure> {
    let tags = store.tags()?;
    let mut names = tags.iter().filter(|(_, tagged)| tagged == id);
    Ok(names.find_map(|(tag, _)| name_of_tag(tag)).map(<[u8]>::to_vec))
}

#[cfg(unix)]
fn to_path(name: &[u8]) -> PathBuf {
    <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name).into()
}

#[cfg(not(unix))]
fn to_path(name: &[u8]) -> PathBuf {
    String::from_utf8_lossy(name).into_owned().into()
}
