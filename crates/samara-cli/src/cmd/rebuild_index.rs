use std::path::Path;

use clap::Args;
use samara_store::{OpenError, Options, Rebuilt, Store, StoreError};

use super::Context;
use crate::{
    event::{PathText, RebuiltIndex},
    exit::{Code, Failure},
    progress::Bar,
    store_dir::{StoreDir, is_store},
    units::Bytes,
};

/// Make the index of the store again, when it is lost or damaged
///
/// Reads all that the store keeps, twice. Blobs in the store come back, and damaged parts of them are
/// named by `verify`. Files that you shared have to be shared again, and unfinished fetches start
/// anew. The old index stays beside the new one as index.old. Exit code 10 if blobs are damaged.
#[derive(Debug, Args)]
pub(crate) struct RebuildIndex {
    /// Also if the index can be opened: what it knows of shared files and unfinished fetches is lost.
    /// Needs --store
    #[arg(long)]
    force: bool,
}

impl RebuildIndex {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        if self.force && matches!(context.store, StoreDir::Default(_)) {
            return Err(Failure::usage("--force needs --store DIR: say which store"));
        }
        let mut code = Code::Complete;
        let mut seen = false;
        for dir in context.store.slots() {
            if !is_store(&dir) {
                continue;
            }
            seen = true;
            if !self.force {
                match Store::open(&dir, Options::default()) {
                    Ok(_) => {
                        let text = format!("samara: the index of {} is sound", dir.display());
                        context.output.note(text);
                        continue;
                    }
                    // An index that can't be read is as good as lost.
                    Err(OpenError::Corrupt { .. } | OpenError::Store(StoreError::Io { .. })) => {}
                    Err(error @ OpenError::InUse { .. })
                        if matches!(context.store, StoreDir::Default(_)) =>
                    {
                        context.output.note(format_args!("samara: {error}; it is left out"));
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            if rebuild(context, &dir)?.damaged > 0 {
                code = Code::Damaged;
            }
        }
        if seen {
            return Ok(code);
        }
        let dir = context.store.slots().into_iter().next().unwrap_or_default();
        Err(Failure::new(Code::NotFound, format!("there is no store at {}", dir.display())))
    }
}

fn rebuild(context: &Context, dir: &Path) -> Result<Rebuilt, Failure> {
    let bar = Bar::bytes(&context.output);
    let mut progress = |bytes| bar.set(bytes, None, format!("read {}", Bytes(bytes)));
    let (store, rebuilt) = Store::rebuild_index(dir, Options::default(), &mut progress)?;
    bar.clear();
    drop(store);
    let Rebuilt { whole, damaged, left_out, names, skipped_bytes, .. } = rebuilt;
    let event =
        RebuiltIndex { path: PathText::of(dir), whole, damaged, left_out, names, skipped_bytes };
    context.output.both(&event, format!("rebuilt  {}  {whole} blobs", dir.display()))?;
    if damaged > 0 {
        context.output.complain(format_args!(
            "samara: {damaged} more blobs are damaged; `samara verify` names them, and `samara get` \
             with their tickets mends them"
        ));
    }
    context.output.note(
        "samara: what was shared in place, or not fetched whole, is forgotten; share or get it again",
    );
    Ok(rebuilt)
}
