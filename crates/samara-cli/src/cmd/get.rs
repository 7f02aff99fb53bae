use core::time::Duration;
use std::{
    io::Read as _,
    path::{MAIN_SEPARATOR, PathBuf},
};

use clap::Args;
use samara::{
    FetchError, FetchOptions, Node, Outcome, Rules, Ticket,
    ticket::{Format, TICKET_TEXT_MAX},
};

use super::{Context, shut_down};
use crate::{
    args::Network,
    event,
    exit::{Code, Failure},
    lookup,
    signals::Stop,
    units::parse_time,
};

mod verdict;
mod view;

use view::View;

/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Most bytes that are read for a ticket from standard input: generous to blanks around it.
const STDIN_BYTES_MAX: u64 = 16 * TICKET_TEXT_MAX as u64;

/// Fetch what a ticket names
///
/// Interrupted at any moment, by whatever: the same command goes on where it was. While no source
/// is reachable it waits, for ever unless --patience or --timeout says otherwise, and says why.
///
/// With -o, the result is written in place: verified on the way, under its final name only when it
/// is complete. Without it, it is kept in the store; `samara export` writes it out.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Tickets of one file or folder: all their sources are used; `-` reads one from standard input
    #[arg(required = true, value_name = "TICKET")]
    tickets: Vec<String>,

    /// Where to put it; a directory takes a file under the ticket's name, and a folder if this is
    /// `.` or ends with `/`
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,

    /// Replace what is at the destination
    #[arg(short, long, requires = "output")]
    force: bool,

    /// Go on serving what was fetched, until Ctrl-C
    #[arg(short, long)]
    keep: bool,

    /// Give up after this time, whatever the progress: 90, 90s, 5m, 2h
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout: Option<Duration>,

    /// Give up when no source was reachable for this time [default: wait for ever]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    patience: Option<Duration>,

    /// Wait this time for another source when all reachable ones lack something
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "0")]
    grace: Duration,

    #[command(flatten)]
    network: Network,
}

impl Get {
    pub(crate) async fn run(self, context: &Context) -> Result<Code, Failure> {
        let mut stop = Stop::listen()?;
        let tickets = self.read_tickets()?;
        let (ticket, others) =
            tickets.split_first().ok_or_else(|| Failure::usage("which ticket?"))?;
        same(ticket, others)?;
        let options = FetchOptions {
            output: self.destination(ticket)?,
            others: others.to_vec(),
            replace: self.force,
            patience: self.patience,
            grace: self.grace,
            timeout: self.timeout,
            ..FetchOptions::default()
        };
        let node = context.store.start(Some(ticket.root()), &self.network.options()).await?;
        let result = self.fetch(&node, ticket, options, &mut stop, context).await;
        shut_down(&node, &context.output).await;
        result
    }

    fn read_tickets(&self) -> Result<Vec<Ticket>, Failure> {
        let mut tickets = Vec::new();
        for text in &self.tickets {
            let mut read = String::new();
            let text = if text == "-" {
                let stdin = std::io::stdin().lock();
                stdin.take(STDIN_BYTES_MAX).read_to_string(&mut read).map_err(|error| {
                    Failure::new(
                        Code::of_io(&error),
                        format!("cannot read a ticket from standard input: {error}"),
                    )
                })?;
                &read
            } else {
                text
            };
            tickets.push(text.parse::<Ticket>()?);
        }
        Ok(tickets)
    }

    /// Where the result goes; a path that ends with a separator is a directory, there or not.
    fn destination(&self, ticket: &Ticket) -> Result<Option<PathBuf>, Failure> {
        let Some(path) = &self.output else { return Ok(None) };
        if path.as_os_str() == "-" {
            let text =
                "standard output cannot be resumed: fetch into the store, then `samara cat` it";
            return Err(Failure::usage(text));
        }
        let directory = path.as_os_str().as_encoded_bytes().ends_with(&[MAIN_SEPARATOR as u8]);
        if ticket.format() == Format::Blob && directory && !path.is_dir() {
            std::fs::create_dir_all(path).map_err(Failure::io("create", path))?;
        }
        Ok(Some(path.clone()))
    }

    async fn fetch(
        &self,
        node: &Node,
        ticket: &Ticket,
        options: FetchOptions,
        stop: &mut Stop,
        context: &Context,
    ) -> Result<Code, Failure> {
        let into_store = options.output.is_none();
        let mut view = View::new(&context.output);
        let mut running = node.fetch(ticket.clone(), options);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stopping = false;
        let result = loop {
            tokio::select! {
                biased;
                () = stop.asked(), if !stopping => {
                    stopping = true;
                    running.cancel();
                    view.stopping();
                }
                result = &mut running => break result,
                _ = look.tick() => view.show(&running.snapshot()),
            }
        };
        view.close();
        match result {
            Ok(outcome) => self.report(node, ticket, &outcome, into_store, stop, context).await,
            Err(error) => Err(failed(error, ticket, &running.snapshot(), context)),
        }
    }

    async fn report(
        &self,
        node: &Node,
        ticket: &Ticket,
        outcome: &Outcome,
        into_store: bool,
        stop: &mut Stop,
        context: &Context,
    ) -> Result<Code, Failure> {
        let output = &context.output;
        let (code, name) = verdict::code(&outcome.verdict);
        let message = verdict::message(outcome);
        for shortfall in &outcome.shortfalls {
            let blame = verdict::blame(shortfall);
            if output.json() {
                // The verdict matters more than whether somebody reads this.
                let _ = output.event(&blame);
            } else {
                output.complain(format_args!("samara: {}", blame.message));
            }
        }
        if code == Code::Complete {
            if into_store && let Some(name) = ticket.file_name(&Rules::host()) {
                lookup::remember(node.store(), &name, &outcome.root)?;
            }
            output.note(format_args!("samara: {message}"));
        } else {
            output.complain(format_args!("samara: {message}"));
        }
        if output.json() {
            let event = verdict::event(outcome, name, message);
            // Whoever read the events may have left; the exit code says it too.
            let _ = output.event(&event.at(outcome.path.as_deref()));
        } else if code == Code::Complete {
            match &outcome.path {
                Some(path) => output.path("", path)?,
                None => {
                    output.line(outcome.root)?;
                    output.note(format_args!(
                        "samara: it is in the store; write it out with:  samara export {} PATH",
                        outcome.root.fmt_short()
                    ));
                }
            }
        }
        if self.keep && code == Code::Complete {
            let ticket = node.reshare(ticket).await?.to_string();
            if output.json() {
                let id = outcome.root.to_string();
                let _ = output.event(&event::Serving { id, ticket });
            } else {
                output
                    .note(format_args!("samara: serving it from here too until Ctrl-C: {ticket}"));
            }
            stop.asked().await;
        }
        Ok(code)
    }
}

/// Tickets are one fetch only if they name the same thing.
fn same(first: &Ticket, others: &[Ticket]) -> Result<(), Failure> {
    let root = |ticket: &Ticket| (ticket.root(), ticket.format());
    if others.iter().all(|other| root(other) == root(first)) {
        return Ok(());
    }
    let text = "these tickets name different things: fetch them one by one";
    Err(Failure::new(Code::BadTicket, text))
}

/// A fetch that failed on our own side still ends with a verdict.
fn failed(
    error: FetchError,
    ticket: &Ticket,
    last: &samara::FetchProgress,
    context: &Context,
) -> Failure {
    let failure = Failure::from(error);
    if context.output.json() {
        context.output.failure(&failure);
        let event = event::Verdict {
            verdict: failure.code.name(),
            message: failure.message,
            id: ticket.root().to_string(),
            bytes: last.bytes,
            bytes_total: last.bytes_total,
            bytes_received: last.bytes_received,
            bytes_reused: last.bytes_reused,
            seconds: 0.0,
            path: None,
            path_hex: None,
            missing: Vec::new(),
        };
        let _ = context.output.event(&event);
        return Failure::new(failure.code, "");
    }
    failure
}
