use clap::Args;
use samara_store::Damage;

use super::{Context, stat::to_bytes};
use crate::{
    event::{Ranges, Summary, Verified},
    exit::{Code, Failure},
    progress::Bar,
    store_dir::Open,
    units::Bytes,
};

const MIB: u64 = 1 << 20;
/// Read between two looks at the progress.
const STEP_BYTES: u64 = 4 * MIB;
/// Where a scrub is, is made durable each time this much was read. Unit: bytes.
const REMEMBER_BYTES: u64 = 256 * MIB;

/// Read and hash everything that is stored, a part at a time
///
/// As `verify`, but in the background's manner: it goes on where the last scrub stopped, and ends when
/// it has been through, or after --budget. Damaged ranges are taken out of service and named; the
/// same `samara get` as before mends them. Exit code 10 if anything is damaged, or if a file that
/// was shared in place has changed.
#[derive(Debug, Args)]
pub(crate) struct Scrub {
    /// Read at most so many MiB of each store now
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    budget: Option<u32>,
}

impl Scrub {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        let bar = Bar::bytes(&context.output);
        let mut summary = Summary { blobs: 0, bytes: 0, damaged: 0 };
        let stores = context.store.stores()?;
        for open in &stores.open {
            self.store(context, open, &bar, &mut summary)?;
        }
        bar.clear();
        stores.note_busy(&context.output);
        let Summary { blobs, bytes, damaged } = summary;
        if context.output.json() {
            context.output.event(&summary)?;
        }
        if damaged == 0 {
            let text = format!("samara: {}, {blobs} blobs to their ends: all good", Bytes(bytes));
            context.output.note(text);
            return Ok(Code::Complete);
        }
        context.output.complain(format_args!(
            "samara: {damaged} pieces of damage; run `samara get` with the tickets again, or share the \
             files again"
        ));
        Ok(Code::Damaged)
    }

    fn store(
        &self,
        context: &Context,
        open: &Open,
        bar: &Bar,
        summary: &mut Summary,
    ) -> Result<(), Failure> {
        let mut left = self.budget.map_or(u64::MAX, |mib| u64::from(mib) * MIB);
        let (mut read, mut remembered) = (0_u64, 0_u64);
        while left > 0 {
            let step = left.min(STEP_BYTES);
            let report = open.store.scrub(step)?;
            summary.blobs += report.blobs;
            summary.bytes += report.checked_bytes;
            summary.damaged += (report.damaged.len() + report.changed.len()) as u64;
            for damage in &report.damaged {
                damaged(context, open, damage)?;
            }
            for path in &report.changed {
                context.output.complain(format_args!(
                    "samara: {} has changed since it was shared: share it again",
                    path.display()
                ));
            }
            bar.set(summary.bytes, None, format!("scrubbed {}", Bytes(summary.bytes)));
            if report.done {
                break;
            }
            // Small blobs take more of the budget than they have bytes.
            left -= step;
            read += report.checked_bytes;
            if read - remembered >= REMEMBER_BYTES {
                remembered = read;
                open.store.checkpoint()?;
            }
        }
        Ok(open.store.checkpoint()?)
    }
}

fn damaged(context: &Context, open: &Open, damage: &Damage) -> Result<(), Failure> {
    let size = open.store.stat(&damage.id)?.map_or(0, |stat| stat.size);
    let ranges = to_bytes(&damage.leaves, size);
    let text = format!("damaged  {}  bytes {ranges}", damage.id);
    let (id, damaged) = (damage.id.to_string(), Ranges(&ranges));
    let event = Verified { id, size, ok: false, damaged, message: None };
    context.output.both(&event, text)
}
