use clap::Args;
use samara_store::ReadError;

use super::{Context, stat::to_bytes};
use crate::{
    exit::{Code, Failure},
    lookup,
    units::{ByteRange, parse_range},
};

/// Bytes that are read, verified and written at a time.
const STEP_BYTES: u64 = 1 << 20;

/// Write a blob, or a part of it, to standard output
///
/// Every byte is verified before it is written. A part can be written as soon as it is here, while
/// the rest is still missing. With --json, an error is an object on standard error.
#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// Id, beginning of an id (6 digits or more), or name
    id: String,

    /// Only these bytes, the end not included: 0..1000, 1000.. or ..1000
    #[arg(long, value_name = "A..B", value_parser = parse_range)]
    range: Option<ByteRange>,
}

impl Cat {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        let found = lookup::find_one(&context.store, &self.id)?;
        let id = found.stat.id;
        let unreadable = |error| unreadable(error, found.stat.size);
        let gone = || Failure::new(Code::NotFound, format!("{id} is not in the store any more"));
        let reader = found.open.store.reader(&id).map_err(unreadable)?.ok_or_else(gone)?;
        let range = self.range.unwrap_or(ByteRange::ALL);
        if range.is_past(reader.size()) {
            let text = format!("the range begins behind the end: {id} has {} bytes", reader.size());
            return Err(Failure::usage(text));
        }
        let bytes = range.within(reader.size());
        let mut at = bytes.start;
        while at < bytes.end {
            // Steps end where groups do, so that no group is read twice.
            let end = ((at / STEP_BYTES + 1) * STEP_BYTES).min(bytes.end);
            let data = reader.read(at..end).map_err(unreadable)?;
            context.output.bytes(&data)?;
            at = end;
        }
        Ok(Code::Complete)
    }
}

/// In bytes, as the user asked.
fn unreadable(error: ReadError, size: u64) -> Failure {
    match error {
        ReadError::NotHeld { missing } => {
            let text = format!(
                "bytes {} are not here yet; run `samara get` with the ticket again",
                to_bytes(&missing, size)
            );
            Failure::new(Code::Partial, text)
        }
        ReadError::Damaged { ranges } => {
            let text = format!(
                "bytes {} are damaged on the disk and were not written; run `samara get` with the \
                 ticket again to mend them",
                to_bytes(&ranges, size)
            );
            Failure::new(Code::Damaged, text)
        }
        error => error.into(),
    }
}
