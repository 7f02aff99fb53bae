//! How a fetch ended: for programs, for people, for the exit code.

use samara::{Fault, Outcome, Shortfall, Verdict};
use samara_base::{BlobId, LEAF_BYTES, RangeSet};

use crate::{
    event::{self, Failed, Missing, PathText, Ranges},
    exit::Code,
    units::{Bytes, Time},
};

/// Ranges that are written out for people; programs get all.
const RANGES_SHOWN_MAX: usize = 8;

/// The exit code and the word of a verdict.
pub(super) const fn code(verdict: &Verdict) -> (Code, &'static str) {
    match verdict {
        Verdict::Complete => (Code::Complete, "complete"),
        Verdict::Cancelled => (Code::Cancelled, "cancelled"),
        Verdict::Expired => (Code::NoProvider, "expired"),
        Verdict::NoProvider => (Code::NoProvider, "no_provider"),
        Verdict::Unavailable => (Code::Unavailable, "unavailable"),
        Verdict::Partial { .. } => (Code::Partial, "partial"),
        Verdict::TooLarge { .. } => (Code::Unavailable, "too_large"),
        Verdict::ProviderLied { .. } => (Code::Unavailable, "provider_lied"),
        _ => (Code::Failed, "failed"),
    }
}

/// One sentence for people.
pub(super) fn message(outcome: &Outcome) -> String {
    let here =
        format!("{} of {} are here and kept", Bytes(outcome.bytes), Bytes(outcome.bytes_total));
    let again = "the same command goes on from there";
    match &outcome.verdict {
        Verdict::Complete => complete(outcome),
        Verdict::Cancelled => format!("stopped; {here}, {again}"),
        Verdict::Expired => format!("the time is up; {here}, {again}"),
        Verdict::NoProvider => {
            format!("no source was reachable for so long; {here}, {again}: is it still shared?")
        }
        Verdict::Unavailable => format!(
            "every source refuses it or does not have it; {here}: ask for a new ticket, or share it \
             again"
        ),
        Verdict::Partial { .. } => {
            let gone = outcome.bytes_total.saturating_sub(outcome.bytes);
            let ranges = match list(&missing(outcome)) {
                list if list.is_empty() => list,
                list => format!(" ({list})"),
            };
            format!(
                "partial: no source delivers {gone} bytes{ranges}; {here}, the same command gets \
                 the rest as soon as a source has it"
            )
        }
        Verdict::TooLarge { size, limit } => format!(
            "a source claims {} for something that can have {} at most: the ticket and the source \
             do not agree",
            Bytes(*size),
            Bytes(*limit)
        ),
        Verdict::ProviderLied { .. } => format!(
            "every source sent bytes that are not what the ticket names, none of which were kept; \
             {here}: find another source"
        ),
        _ => format!("the bytes could not be kept on this machine; {here}, {again}"),
    }
}

fn complete(outcome: &Outcome) -> String {
    let fresh = outcome.bytes.saturating_sub(outcome.bytes_reused);
    let mut text = format!("complete: {} in {}", Bytes(outcome.bytes), Time(outcome.elapsed));
    let micros = outcome.elapsed.as_micros().max(1);
    let rate = u128::from(fresh) * 1_000_000 / micros;
    if fresh > 0 {
        text += &format!(" ({}/s)", Bytes(u64::try_from(rate).unwrap_or(u64::MAX)));
    }
    if outcome.bytes_reused > 0 {
        text += &format!(", {} were here already", Bytes(outcome.bytes_reused));
    }
    text
}

/// What no source delivered.
fn missing(outcome: &Outcome) -> Vec<Missing> {
    let Verdict::Partial { missing: leaves, .. } = &outcome.verdict else { return Vec::new() };
    let single = outcome.shortfalls.iter().all(|shortfall| shortfall.blob == outcome.root);
    if single {
        let size = outcome.bytes_total;
        let bytes = leaves.runs().iter().map(|run| {
            let at = |leaf: u64| leaf.saturating_mul(LEAF_BYTES).min(size);
            at(run.start)..at(run.end)
        });
        return entries(&outcome.root, b"", &bytes.collect(), &outcome.shortfalls);
    }
    // Of a collection: what the sources of each file did not deliver.
    let mut all: Vec<Missing> = Vec::new();
    for Shortfall { blob, path, ranges, .. } in &outcome.shortfalls {
        let id = blob.to_string();
        if all.iter().all(|known| known.id != id) {
            all.extend(entries(blob, path, ranges, &outcome.shortfalls));
        }
    }
    all
}

fn entries(
    blob: &BlobId,
    path: &[u8],
    ranges: &RangeSet,
    shortfalls: &[Shortfall],
) -> Vec<Missing> {
    let failed = |run: &core::ops::Range<u64>| {
        // No ranges: nothing of the blob came.
        let concerns = |it: &&Shortfall| {
            it.blob == *blob && (it.ranges.is_empty() || it.ranges.intersects(run))
        };
        let failed = |it: &Shortfall| Failed { peer: it.peer.to_string(), fault: word(it.fault) };
        shortfalls.iter().filter(concerns).map(failed).collect()
    };
    let entry = |run: &core::ops::Range<u64>| Missing {
        id: blob.to_string(),
        path: PathText::new(path),
        start: run.start,
        end: run.end,
        sources: failed(run),
    };
    ranges.runs().iter().map(entry).collect()
}

fn list(missing: &[Missing]) -> String {
    let mut text = String::new();
    for (at, Missing { path, start, end, .. }) in missing.iter().take(RANGES_SHOWN_MAX).enumerate()
    {
        let comma = if at == 0 { "" } else { ", " };
        let of = if path.is_empty() { String::new() } else { format!(" of {path}") };
        text += &format!("{comma}bytes {start}..{end}{of}");
    }
    if missing.len() > RANGES_SHOWN_MAX {
        text += &format!(" and {} more ranges", missing.len() - RANGES_SHOWN_MAX);
    }
    text
}

/// Who failed to deliver what.
pub(super) fn blame(shortfall: &Shortfall) -> event::Blame<'_> {
    let Shortfall { blob, path, peer, fault, ranges, .. } = shortfall;
    let ranges_text = if ranges.is_empty() {
        String::new()
    } else {
        format!(": {}", list(&entries(blob, path, ranges, &[])))
    };
    event::Blame {
        peer: peer.to_string(),
        fault: word(*fault),
        message: format!("source {} {fault}{ranges_text}", peer.fmt_short()),
        id: blob.to_string(),
        path: PathText::new(path),
        ranges: Ranges(ranges),
    }
}

/// The last object of a fetch.
pub(super) fn event(outcome: &Outcome, verdict: &'static str, message: String) -> event::Verdict {
    event::Verdict {
        verdict,
        message,
        id: outcome.root.to_string(),
        bytes: outcome.bytes,
        bytes_total: Some(outcome.bytes_total),
        bytes_received: outcome.bytes_received,
        bytes_reused: outcome.bytes_reused,
        seconds: outcome.elapsed.as_secs_f64(),
        path: None,
        path_hex: None,
        missing: missing(outcome),
    }
}

/// A fault in a word, for programs.
const fn word(fault: Fault) -> &'static str {
    match fault {
        Fault::NotHeld => "not_held",
        Fault::Damaged => "damaged",
        Fault::Lied => "lied",
        Fault::Refused => "refused",
        Fault::Failed => "failed",
        _ => "other",
    }
}
