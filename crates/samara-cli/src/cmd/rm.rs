use std::collections::BTreeSet;

use clap::Args;
use samara_base::BlobId;
use samara_store::{BlobPlace, Store};

use super::Context;
use crate::{
    event::Done,
    exit::{Code, Failure},
    lookup::{self, Found},
};

/// Forget blobs: their names, and the space that they take in the store
///
/// Files outside the store, whether you shared them or fetched them to a place with -o, are yours
/// and stay. What a folder shares with another one in the store stays too.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Ids, beginnings of ids (6 digits or more), or names
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

impl Rm {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        // All are found before the first is removed: a typing error removes nothing.
        let found = lookup::find_all(&context.store, &self.ids)?;
        let mut removed = BTreeSet::new();
        for found in &found {
            if !removed.insert((found.open.dir.clone(), found.stat.id)) {
                continue;
            }
            remove(found)?;
            found.open.store.checkpoint()?;
            let (id, size) = (found.stat.id, found.stat.size);
            context.output.both(&Done::new("removed", id, size), id)?;
        }
        Ok(Code::Complete)
    }
}

fn remove(found: &Found) -> Result<(), Failure> {
    let (store, id) = (&found.open.store, found.stat.id);
    let manifest = lookup::manifest(store, &found.stat)?;
    for (tag, tagged) in store.tags()? {
        if tagged == id {
            store.untag(&tag)?;
        }
    }
    store.remove(&id)?;
    let Some(manifest) = manifest else { return Ok(()) };
    let mut orphans = BTreeSet::new();
    lookup::members(&manifest, |id, _| {
        orphans.insert(id);
    });
    drop(manifest);
    keep_needed(store, &mut orphans)?;
    for id in &orphans {
        store.remove(id)?;
    }
    Ok(())
}

/// Takes out of `orphans` what has a name of its own or belongs to a collection that is here.
fn keep_needed(store: &Store, orphans: &mut BTreeSet<BlobId>) -> Result<(), Failure> {
    for (_, id) in store.tags()? {
        orphans.remove(&id);
    }
    lookup::each(store, |stat| {
        // Manifests lie in the store's own segments.
        if matches!(stat.place, BlobPlace::InSegments)
            && let Some(manifest) = lookup::manifest(store, &stat)?
        {
            lookup::members(&manifest, |id, _| {
                orphans.remove(&id);
            });
        }
        Ok(())
    })
}
