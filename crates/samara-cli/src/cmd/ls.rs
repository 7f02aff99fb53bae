use std::collections::BTreeSet;

use clap::Args;
use samara::EntryKind;
use samara_base::BlobId;
use samara_store::{BlobPlace, BlobStat};

use super::Context;
use crate::{
    event::{self, PathText},
    exit::{Code, Failure},
    lookup::{self, Found},
    store_dir::Open,
    units::Bytes,
};

/// Digits of an id that are listed: enough to be unique in any store, and to be typed.
const DIGITS: usize = 16;

/// List what the store holds, or the files of a folder in it
///
/// Each line has the beginning of the id, the size, the state and a name. Other commands take such
/// a beginning, or the name, where they want an ID.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Folders in the store whose files to list
    #[arg(value_name = "ID")]
    ids: Vec<String>,

    /// Also what belongs to folders, or to nothing
    #[arg(short, long, conflicts_with = "ids")]
    all: bool,
}

impl Ls {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        if !self.ids.is_empty() {
            for found in lookup::find_all(&context.store, &self.ids)? {
                files(&found, context)?;
            }
            return Ok(Code::Complete);
        }
        let stores = context.store.stores()?;
        for open in &stores.open {
            self.store(open, context)?;
        }
        stores.note_busy(&context.output);
        Ok(Code::Complete)
    }

    fn store(&self, open: &Open, context: &Context) -> Result<(), Failure> {
        let tags = open.store.tags()?;
        let named: BTreeSet<BlobId> = tags.iter().map(|(_, id)| *id).collect();
        lookup::each(&open.store, |stat| {
            if !self.all && stat.complete && !named.contains(&stat.id) {
                return Ok(());
            }
            let found = Found { open: open.clone(), stat };
            blob(&found, &tags, context)
        })
    }
}

fn blob(found: &Found, tags: &[(Vec<u8>, BlobId)], context: &Context) -> Result<(), Failure> {
    let (held, damaged) = super::stat::byte_ranges(&found.stat);
    let blob = lookup::describe(found, tags, &held, &damaged)?;
    let stat = &found.stat;
    let size = blob.content_size.unwrap_or(stat.size);
    let files = blob.files.map_or_else(String::new, |files| format!(" in {files} files"));
    let text = format!(
        "{:.DIGITS$}  {:>10}  {:<9}  {}{files}",
        blob.id,
        Bytes(size).to_string(),
        state(stat, held.total()),
        name(stat, tags),
    );
    context.output.both(&blob, text.trim_end())
}

/// In one word.
pub(super) fn state(stat: &BlobStat, held: u64) -> String {
    if !stat.damaged.is_empty() {
        "damaged".to_owned()
    } else if stat.complete {
        "complete".to_owned()
    } else if stat.size_proven && stat.held.is_empty() && stat.size > 0 {
        // Who knows the size has seen the end; it is gone since.
        "changed".to_owned()
    } else {
        let percent = u128::from(held) * 100 / u128::from(stat.size.max(1));
        format!("{percent} %")
    }
}

/// What people know it by.
fn name(stat: &BlobStat, tags: &[(Vec<u8>, BlobId)]) -> String {
    let mut names = tags.iter().filter(|(_, id)| *id == stat.id);
    if let Some(name) = names.find_map(|(tag, _)| lookup::name_of_tag(tag)) {
        return PathText::new(name).to_string();
    }
    match &stat.place {
        BlobPlace::External(path) => path.display().to_string(),
        _ => String::new(),
    }
}

/// The entries of a collection.
fn files(found: &Found, context: &Context) -> Result<(), Failure> {
    let Found { open, stat } = found;
    let Some(manifest) = lookup::manifest(&open.store, stat)? else {
        let text = format!("{} is a file, not a folder; `samara stat` tells about it", stat.id);
        return Err(Failure::usage(text));
    };
    let mut entries = manifest.iter();
    while let Some(entry) = entries.next_entry() {
        let path = PathText::new(entry.path);
        let name = path.to_string();
        let (event, text) = match entry.kind {
            EntryKind::File { id, size, .. } => (
                event::Entry {
                    path,
                    kind: "file",
                    id: Some(id.to_string()),
                    size: Some(size),
                    target: None,
                },
                format!("{:.DIGITS$}  {:>10}  {name}", id.to_string(), Bytes(size).to_string()),
            ),
            EntryKind::Directory { .. } => (
                event::Entry { path, kind: "directory", id: None, size: None, target: None },
                format!("{:DIGITS$}  {:>10}  {name}/", "", ""),
            ),
            EntryKind::Symlink { target } => {
                let target = PathText::new(target);
                let text = format!("{:DIGITS$}  {:>10}  {name} -> {target}", "", "");
                let target = Some(target);
                (event::Entry { path, kind: "symlink", id: None, size: None, target }, text)
            }
        };
        context.output.both(&event, text)?;
    }
    Ok(())
}
