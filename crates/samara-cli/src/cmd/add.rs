use std::{
    io,
    path::{Path, PathBuf},
};

use clap::Args;
use futures::StreamExt as _;
use samara::{Imported, Node, ticket::Format};

use super::{Context, share::format_name, shut_down};
use crate::{
    args::Network,
    event::Done,
    exit::{Code, Failure},
    lookup,
    progress::Bar,
    signals::Stop,
    units::Bytes,
};

/// Take files and folders into the store, without sharing them yet
///
/// Files are hashed and referenced where they lie; nothing is copied. Standard input (`-`) is
/// copied into the store.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Files and folders; `-` is standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

impl Add {
    pub(crate) async fn run(self, context: &Context) -> Result<Code, Failure> {
        let mut stop = Stop::listen()?;
        let node = context.store.start(None, &Network::none()).await?;
        let mut result = Ok(Code::Complete);
        for path in &self.paths {
            let added = if path == Path::new("-") {
                add_stdin(&node, &mut stop, context).await
            } else {
                add(&node, path, &mut stop, context).await
            };
            if let Err(failure) = added {
                // What was added before stays, and is made durable below.
                result = Err(failure);
                break;
            }
        }
        shut_down(&node, &context.output).await;
        result
    }
}

async fn add(node: &Node, path: &Path, stop: &mut Stop, context: &Context) -> Result<(), Failure> {
    let output = &context.output;
    let bar = Bar::bytes(output);
    let mut running = node.import(path);
    let mut progress = running.progress();
    let mut stopping = false;
    let imported = loop {
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
    bar.clear();
    let Imported { id, format, size, files, name } = imported;
    lookup::remember(node.store(), &name, &id)?;
    if !output.json() {
        return output.path(&format!("{id}  "), path);
    }
    output.event(&Done {
        format: Some(format_name(format)),
        files: Some(files).filter(|_| format == Format::Collection),
        ..Done::new("added", id, size).at(path)
    })
}

async fn add_stdin(node: &Node, stop: &mut Stop, context: &Context) -> Result<(), Failure> {
    let output = &context.output;
    let (store, shown) = (node.store().clone(), output.clone());
    let import = tokio::task::spawn_blocking(move || {
        let bar = Bar::bytes(&shown);
        let mut progress = |bytes| bar.set(bytes, None, format!("added {}", Bytes(bytes)));
        let stat = store.import(io::stdin().lock(), &mut progress)?;
        store.tag(format!("share/{}", stat.id).as_bytes(), &stat.id)?;
        Ok::<_, Failure>(stat)
    });
    let stat = tokio::select! {
        // A read that waits for input cannot be cancelled; it ends with the process, and what it
        // copied so far belongs to nothing.
        () = stop.asked() => return Err(Failure::cancelled()),
        joined = import => match joined {
            Ok(result) => result?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        },
    };
    let done = Done::new("added", stat.id, stat.size).at(Path::new("-"));
    output.both(&done, format_args!("{}  -", stat.id))
}
