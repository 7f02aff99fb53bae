use clap::Args;
use samara_base::{LEAF_BYTES, RangeSet};
use samara_store::{BlobPlace, BlobStat};

use super::{Context, ls::state};
use crate::{
    event::{PathText, StoreInfo},
    exit::{Code, Failure},
    lookup::{self, Found, name_of_tag},
    units::Bytes,
};

/// Tell all about a blob, or about the store
#[derive(Debug, Args)]
pub(crate) struct Stat {
    /// Blobs; none: the store
    #[arg(value_name = "ID")]
    ids: Vec<String>,
}

impl Stat {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        if self.ids.is_empty() {
            stores(context)?;
        }
        if !self.ids.is_empty() {
            for found in lookup::find_all(&context.store, &self.ids)? {
                blob(&found, context)?;
            }
        }
        Ok(Code::Complete)
    }
}

fn stores(context: &Context) -> Result<(), Failure> {
    let stores = context.store.stores()?;
    for open in &stores.open {
        let usage = open.store.usage()?;
        let info = StoreInfo {
            path: PathText::of(&open.dir),
            in_use: false,
            blobs: Some(usage.blobs),
            partial_blobs: Some(usage.partials),
            blob_bytes: Some(usage.blob_bytes),
            segment_bytes: Some(usage.segment_live_bytes),
            free_bytes: Some(usage.free_bytes),
        };
        let text = format!(
            "store   {}\nblobs   {} complete ({}), {} partial\ntakes   {} in its own files; the rest \
             is in files outside\nfree    {}",
            open.dir.display(),
            usage.blobs,
            Bytes(usage.blob_bytes),
            usage.partials,
            Bytes(usage.segment_live_bytes),
            Bytes(usage.free_bytes),
        );
        context.output.both(&info, text)?;
    }
    for dir in &stores.busy {
        let info = StoreInfo { path: PathText::of(dir), in_use: true, ..StoreInfo::default() };
        let text = format!("store   {}\n        in use by another samara", dir.display());
        context.output.both(&info, text)?;
    }
    if stores.open.is_empty() && stores.busy.is_empty() {
        context.output.note("samara: there is no store yet; `share`, `get` and `add` make one");
    }
    Ok(())
}

fn blob(found: &Found, context: &Context) -> Result<(), Failure> {
    let Found { open, stat } = found;
    let tags = open.store.tags()?;
    let (held, damaged) = byte_ranges(stat);
    let blob = lookup::describe(found, &tags, &held, &damaged)?;
    let claimed = if stat.size_proven { "" } else { ", as claimed" };
    let mut text = format!(
        "id      {}\nsize    {} ({} bytes{claimed})\nstate   {}\n",
        blob.id,
        Bytes(stat.size),
        stat.size,
        state(stat, held.total())
    );
    if let (Some(files), Some(size)) = (blob.files, blob.content_size) {
        text += &format!("folder  {files} files, {} ({size} bytes)\n", Bytes(size));
    }
    if !stat.complete {
        text += &format!("held    {held}\n");
    }
    if !damaged.is_empty() {
        text += &format!("damaged {damaged}; fetch it again to mend it\n");
    }
    let place = match &stat.place {
        BlobPlace::External(path) => path.display().to_string(),
        _ => "the store".to_owned(),
    };
    text += &format!("lies in {place}\nstore   {}", open.dir.display());
    for (tag, _) in tags.iter().filter(|(_, id)| *id == stat.id) {
        let (what, tag) = name_of_tag(tag).map_or(("tag ", tag.as_slice()), |name| ("name", name));
        text += &format!("\n{what}    {}", PathText::new(tag));
    }
    context.output.both(&blob, text)
}

/// What is held and what is damaged of a blob, in bytes.
pub(super) fn byte_ranges(stat: &BlobStat) -> (RangeSet, RangeSet) {
    (to_bytes(&stat.held, stat.size), to_bytes(&stat.damaged, stat.size))
}

/// Leaves as bytes.
pub(super) fn to_bytes(leaves: &RangeSet, size: u64) -> RangeSet {
    let at = |leaf: u64| leaf.saturating_mul(LEAF_BYTES).min(size);
    leaves.runs().iter().map(|run| at(run.start)..at(run.end)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_leaf_ends_with_the_blob() {
        let leaves = RangeSet::from_iter([0..1, 3..5]);
        let bytes = RangeSet::from_iter([0..1024, 3072..4100]);
        assert_eq!(to_bytes(&leaves, 4100), bytes);
        assert_eq!(to_bytes(&(0..1).into(), 0), RangeSet::new());
    }
}
