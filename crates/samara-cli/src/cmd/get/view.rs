//! Showing a fetch while it runs.

use core::time::Duration;

use samara::{FetchProgress, Phase, Waiting};
use tokio::time::Instant;

use crate::{
    event,
    output::Output,
    progress::{Bar, waiting},
};

/// Between two progress objects, unless much has happened.
const PACE: Duration = Duration::from_millis(200);

/// A part of the whole that is much.
const MUCH: u64 = 16;

/// A wait is worth mentioning when it lasts.
const LASTS: Duration = Duration::from_secs(1);

/// What the user sees of a fetch.
#[derive(Debug)]
pub(super) struct View {
    output: Output,
    bar: Bar,
    /// When the last progress object was written, and at how many bytes.
    shown: Option<(Instant, u64)>,
    /// Why nothing moves, since when, and whether that was said.
    waiting: Option<(Waiting, Instant, bool)>,
}

impl View {
    pub(super) fn new(output: &Output) -> Self {
        Self { output: output.clone(), bar: Bar::bytes(output), shown: None, waiting: None }
    }

    pub(super) fn show(&mut self, progress: &FetchProgress) {
        let now = Instant::now();
        let news = self.wait(progress.waiting, now);
        let reason = self.waiting.filter(|(.., said)| *said).map(|(reason, ..)| waiting(reason));
        self.bar.fetch(progress, reason.as_ref().map(|(_, text)| text.as_str()));
        match reason {
            Some((word, message)) => {
                if !news {
                } else if self.output.json() {
                    self.event(&event::Waiting {
                        reason: word,
                        message,
                        bytes: progress.bytes,
                        bytes_total: progress.bytes_total,
                    });
                } else if !self.output.interactive() {
                    self.output.note(format_args!("samara: {message}"));
                }
            }
            None if news && !self.output.json() && !self.output.interactive() => {
                self.output.note("samara: going on");
            }
            None => {}
        }
        if self.output.json() && self.due(progress, now) {
            self.shown = Some((now, progress.bytes));
            self.event(&object(progress));
        }
    }

    /// Takes note of why nothing moves; whether there is something new to say.
    fn wait(&mut self, reason: Option<Waiting>, now: Instant) -> bool {
        let (Some(reason), before) = (reason, self.waiting) else {
            return self.waiting.take().is_some_and(|(.., said)| said);
        };
        let (since, said) = match before {
            Some((before, since, said)) if before == reason => (since, said),
            _ => (now, false),
        };
        let lasts = now.duration_since(since) >= LASTS;
        self.waiting = Some((reason, since, said || lasts));
        lasts && !said
    }

    fn due(&self, progress: &FetchProgress, now: Instant) -> bool {
        let Some((at, bytes)) = self.shown else { return true };
        let much = progress.bytes_total.map_or(u64::MAX, |total| total / MUCH).max(1);
        let moved = progress.bytes.saturating_sub(bytes);
        moved > 0 && (now.duration_since(at) >= PACE || moved >= much)
    }

    /// Whoever read the events may have left; the fetch goes on.
    fn event(&self, event: &impl serde::Serialize) {
        let _ = self.output.event(event);
    }

    pub(super) fn stopping(&self) {
        self.output.note("samara: stopping; press Ctrl-C again to stop at once");
    }

    pub(super) fn close(&self) {
        self.bar.clear();
    }
}

fn object(progress: &FetchProgress) -> event::Progress {
    event::Progress {
        phase: match progress.phase {
            Phase::Connecting => "connecting",
            Phase::Receiving => "receiving",
            Phase::Finishing => "finishing",
            _ => "other",
        },
        bytes: progress.bytes,
        bytes_total: progress.bytes_total,
        bytes_received: progress.bytes_received,
        bytes_reused: progress.bytes_reused,
        files: progress.files,
        files_total: progress.files_total,
        rate: progress.rate,
        eta_seconds: progress.eta.map(|eta| eta.as_secs_f64()),
        sources: progress
            .sources
            .iter()
            .map(|source| event::Source {
                peer: source.peer.to_string(),
                connected: source.connected,
                bytes: source.bytes,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_said_once_and_only_when_it_lasts() {
        let mut view = View::new(&Output::new(true, true));
        let start = Instant::now();
        let reason = Some(Waiting::NoProvider);
        assert!(!view.wait(reason, start));
        assert!(!view.wait(reason, start + LASTS / 2));
        assert!(view.wait(reason, start + LASTS));
        assert!(!view.wait(reason, start + LASTS * 2), "said already");
        assert!(view.wait(None, start + LASTS * 2), "it goes on");
        assert!(!view.wait(None, start + LASTS * 3));
    }

    #[test]
    fn a_change_of_the_reason_is_a_new_wait() {
        let mut view = View::new(&Output::new(true, true));
        let start = Instant::now();
        assert!(!view.wait(Some(Waiting::Link), start));
        assert!(!view.wait(Some(Waiting::NoProvider), start + LASTS));
        assert!(view.wait(Some(Waiting::NoProvider), start + LASTS * 2));
    }

    #[test]
    fn progress_comes_at_a_pace_and_when_much_has_happened() {
        let mut view = View::new(&Output::new(true, true));
        let start = Instant::now();
        let mut progress = FetchProgress::default();
        assert!(view.due(&progress, start), "the first one");
        view.shown = Some((start, 0));
        progress.bytes_total = Some(1600);
        progress.bytes = 1;
        assert!(!view.due(&progress, start));
        assert!(view.due(&progress, start + PACE));
        progress.bytes = 100;
        assert!(view.due(&progress, start), "a sixteenth");
    }
}
