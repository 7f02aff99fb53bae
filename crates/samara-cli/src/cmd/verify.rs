use std::collections::BTreeSet;

use clap::Args;
use samara_base::{BlobId, RangeSet};

use super::{Context, stat::to_bytes};
use crate::{
    event::{Ranges, Summary, Verified},
    exit::{Code, Failure},
    lookup::{self, Found},
    progress::Bar,
    store_dir::Open,
    units::Bytes,
};

/// Read and hash what the store holds, again
///
/// Damaged ranges are taken out of service and named; the same `samara get` as before mends them.
/// Exit code 10 if anything is damaged, or if a file that was shared in place has changed.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Ids, beginnings of ids (6 digits or more), or names; a folder stands for its files too; none
    /// means all
    #[arg(value_name = "ID")]
    ids: Vec<String>,
}

impl Verify {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        let mut check = Check::new(context, !self.ids.is_empty());
        if self.ids.is_empty() {
            let stores = context.store.stores()?;
            for open in &stores.open {
                lookup::each(&open.store, |stat| check.blob(open, stat.id, stat.size))?;
                open.store.checkpoint()?;
            }
            stores.note_busy(&context.output);
        } else {
            for Found { open, stat } in lookup::find_all(&context.store, &self.ids)? {
                let manifest = lookup::manifest(&open.store, &stat)?;
                check.blob(&open, stat.id, stat.size)?;
                let mut members = BTreeSet::new();
                if let Some(manifest) = manifest {
                    lookup::members(&manifest, |id, _| {
                        members.insert(id);
                    });
                }
                for id in members {
                    if let Some(stat) = open.store.stat(&id)? {
                        check.blob(&open, id, stat.size)?;
                    }
                }
                open.store.checkpoint()?;
            }
        }
        check.finish()
    }
}

/// What was found so far.
struct Check<'a> {
    context: &'a Context,
    /// Whether good blobs are listed too.
    all: bool,
    bar: Bar,
    summary: Summary,
}

impl<'a> Check<'a> {
    fn new(context: &'a Context, all: bool) -> Self {
        let bar = Bar::bytes(&context.output);
        Self { context, all, bar, summary: Summary { blobs: 0, bytes: 0, damaged: 0 } }
    }

    fn blob(&mut self, open: &Open, id: BlobId, size: u64) -> Result<(), Failure> {
        let before = self.summary.bytes;
        let bar = &self.bar;
        let mut progress =
            |bytes| bar.set(before + bytes, None, format!("verified {}", Bytes(before + bytes)));
        let Some(report) = open.store.verify(&id, &mut progress)? else { return Ok(()) };
        // Damage that was found earlier is damage still.
        let known = open.store.stat(&id)?.map_or_else(RangeSet::new, |stat| stat.damaged);
        let damaged = to_bytes(&report.damaged.union(&known), size);
        let message = report.changed.map(|path| {
            format!("{} has changed since it was shared: share it again", path.display())
        });
        let ok = damaged.is_empty() && message.is_none();
        self.summary.blobs += 1;
        self.summary.bytes += report.good_bytes;
        self.summary.damaged += u64::from(!ok);
        let text = match &message {
            Some(message) => format!("changed  {id}  {message}"),
            None if ok => format!("ok       {id}"),
            None => format!("damaged  {id}  bytes {damaged}"),
        };
        let event = Verified { id: id.to_string(), size, ok, damaged: Ranges(&damaged), message };
        if self.context.output.json() || self.all || !ok {
            self.context.output.both(&event, text)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Code, Failure> {
        self.bar.clear();
        let Summary { blobs, bytes, damaged } = self.summary;
        let output = &self.context.output;
        if output.json() {
            output.event(&self.summary)?;
        }
        if damaged == 0 {
            output.note(format_args!("samara: {blobs} blobs, {}: all good", Bytes(bytes)));
            return Ok(Code::Complete);
        }
        output.complain(format_args!(
            "samara: {damaged} of {blobs} blobs are damaged or changed; run `samara get` with their \
             tickets again, or share the files again"
        ));
        Ok(Code::Damaged)
    }
}
