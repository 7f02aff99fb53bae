//! What moves, on standard error, for people.

use core::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use samara::{FetchProgress, ImportProgress, Phase, SourceProgress, Waiting};

use crate::{
    output::Output,
    units::{Bytes, Time},
};

/// Redraws per second.
const DRAWS: u8 = 10;

/// A bar that is only there when somebody can see it.
#[derive(Debug)]
pub(crate) struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// A bar of bytes. Hidden unless standard error is a terminal that the user wants to look at.
    pub(crate) fn bytes(output: &Output) -> Self {
        if !output.interactive() {
            return Self { bar: ProgressBar::hidden() };
        }
        output.bars().set_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWS));
        let bar = output.bars().add(ProgressBar::no_length());
        bar.set_style(style("{spinner} {msg}"));
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { bar }
    }

    pub(crate) fn set(&self, bytes: u64, total: Option<u64>, message: String) {
        if self.bar.is_hidden() {
            return;
        }
        if let Some(total) = total
            && self.bar.length() != Some(total)
        {
            self.bar.set_length(total);
            self.bar.set_style(style("{spinner} {bar:20} {percent:>3} %  {msg}"));
        }
        self.bar.set_position(bytes);
        self.bar.set_message(message);
    }

    /// How far an import has come.
    pub(crate) fn import(&self, progress: &ImportProgress) {
        let ImportProgress { bytes, bytes_total, files, files_total, .. } = *progress;
        let total = Some(bytes_total).filter(|_| files_total > 0);
        let mut message = format!("hashed {} of {}", Bytes(bytes), Bytes(bytes_total));
        if files_total > 1 {
            message += &format!(", {files} of {files_total} files");
        }
        self.set(bytes, total, message);
    }

    /// How far a fetch has come; `waiting` is what to say when nothing moves.
    pub(crate) fn fetch(&self, progress: &FetchProgress, waiting: Option<&str>) {
        if !self.bar.is_hidden() {
            self.set(progress.bytes, progress.bytes_total, describe(progress, waiting));
        }
    }

    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// One line about a fetch: bytes, rate, time left, source; or why nothing moves.
fn describe(progress: &FetchProgress, waiting: Option<&str>) -> String {
    if let Some(reason) = waiting {
        return reason.to_owned();
    }
    let mut text = match progress.bytes_total {
        Some(total) => format!("{} of {}", Bytes(progress.bytes), Bytes(total)),
        None => Bytes(progress.bytes).to_string(),
    };
    if progress.files_total > 1 {
        text += &format!(", {} of {} files", progress.files, progress.files_total);
    }
    match progress.phase {
        Phase::Connecting => text += ", connecting",
        Phase::Finishing => text += ", finishing",
        _ => {
            text += &format!(", {}/s", Bytes(progress.rate));
            if let Some(eta) = progress.eta {
                text += &format!(", {} left", Time(eta));
            }
            let active = |source: &&SourceProgress| source.connected;
            let mut sources = progress.sources.iter().filter(active);
            match (sources.next(), sources.count()) {
                (None, _) => {}
                (Some(source), 0) => text += &format!(", from {}", source.peer.fmt_short()),
                (Some(_), others) => text += &format!(", from {} sources", others + 1),
            }
        }
    }
    text
}

/// Why a fetch waits: a word for programs, a sentence for people.
pub(crate) fn waiting(reason: Waiting) -> (&'static str, String) {
    let (word, then) = match reason {
        Waiting::NoProvider => ("no_provider", "is it still shared? It is tried again and again"),
        Waiting::Link => ("link", "the connection may be down; it goes on by itself"),
        Waiting::PeerBusy => ("peer_busy", "it is asked again"),
        Waiting::NotHeld => ("not_held", "another source may have them"),
        Waiting::Permission => ("permission", "it may have stopped sharing this"),
        Waiting::Budget => ("budget", "it goes on when they are done"),
        _ => ("other", "it goes on by itself"),
    };
    (word, format!("waiting: {reason}; {then}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_bytes_rate_time_left_and_source() {
        let mut progress = FetchProgress::default();
        progress.phase = Phase::Receiving;
        progress.bytes = 1 << 20;
        progress.bytes_total = Some(4 << 20);
        progress.rate = 1 << 20;
        progress.eta = Some(Duration::from_secs(3));
        let text = describe(&progress, None);
        assert_eq!(text, "1.00 MiB of 4.00 MiB, 1.00 MiB/s, 3.0 s left");

        progress.files = 1;
        progress.files_total = 3;
        progress.phase = Phase::Finishing;
        assert_eq!(describe(&progress, None), "1.00 MiB of 4.00 MiB, 1 of 3 files, finishing");

        let text = describe(&progress, Some("waiting: no source is reachable"));
        assert_eq!(text, "waiting: no source is reachable");
    }
}
