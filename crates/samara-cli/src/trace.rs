//! What the parts below have to say, on standard error.

use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// Shows warnings, or with each `-v` more.
pub(crate) fn start(verbose: u8, quiet: bool, bars: &MultiProgress) {
    let (ours, others) = match (verbose, quiet) {
        (0, true) => return,
        (0, false) => (LevelFilter::WARN, LevelFilter::OFF),
        (1, _) => (LevelFilter::INFO, LevelFilter::ERROR),
        (2, _) => (LevelFilter::DEBUG, LevelFilter::WARN),
        (3, _) => (LevelFilter::TRACE, LevelFilter::INFO),
        _ => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    let mut filter = Targets::new().with_default(others).with_target("samara", ours);
    if verbose == 0 {
        // Why a fetch cannot keep its bytes, the command says itself, and once.
        filter = filter.with_target("samara::reception", LevelFilter::OFF);
    }
    let format = fmt::layer()
        .log_internal_errors(false)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .with_target(verbose > 0);
    let writer = Writer { bars: bars.clone() };
    let registry = tracing_subscriber::registry();
    // There is no other subscriber in this program; and if there were, it would do.
    let _ = if verbose == 0 {
        registry.with(format.without_time().with_writer(writer).with_filter(filter)).try_init()
    } else {
        registry.with(format.with_writer(writer).with_filter(filter)).try_init()
    };
}

/// Standard error, without tearing the bars on it.
#[derive(Clone, Debug)]
struct Writer {
    bars: MultiProgress,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bars.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
