use clap::Args;

use super::Context;
use crate::{
    event,
    exit::{Code, Failure},
    signals::Stop,
};

mod disk;
mod network;
mod transfer;

/// Check what works on this machine, and say what to do about the rest
///
/// Looks at the store and its disk, the clock, limits of the system, UDP and TCP ports, multicast on
/// the LAN, the relay, and moves some bytes between two nodes over loopback. Exit code 1 if something
/// that every transfer needs does not work.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Do not try the relay, which is on the internet
    #[arg(long)]
    direct: bool,
}

impl Doctor {
    pub(crate) async fn run(self, context: &Context) -> Result<Code, Failure> {
        let mut stop = Stop::listen()?;
        let mut report = Report { context, failed: false };
        tokio::select! {
            () = stop.asked() => Err(Failure::cancelled()),
            result = self.check(&mut report) => result.map(|()| match report.failed {
                true => Code::Failed,
                false => Code::Complete,
            }),
        }
    }

    async fn check(&self, report: &mut Report<'_>) -> Result<(), Failure> {
        report.show("version", Finding::ok(env!("CARGO_PKG_VERSION")))?;
        report.show("store", disk::store(&report.context.store))?;
        report.show("disk", disk::space(&report.context.store))?;
        report.show("clock", disk::clock())?;
        report.show("open files", disk::open_files())?;
        report.show("udp ipv4", network::udp(core::net::Ipv4Addr::UNSPECIFIED.into()))?;
        report.show("udp ipv6", network::udp(core::net::Ipv6Addr::UNSPECIFIED.into()))?;
        report.show("tcp", network::tcp())?;
        report.show("multicast", network::multicast())?;
        report.show("loopback", transfer::loopback().await)?;
        report.show("lan discovery", network::discovery().await)?;
        if !self.direct {
            report.show("relay", network::relay().await)?;
        }
        Ok(())
    }
}

/// What a check found.
#[derive(Debug)]
struct Finding {
    grade: Grade,
    message: String,
    advice: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grade {
    /// It works.
    Ok,
    /// Something is missing that some transfers need.
    Warn,
    /// Nothing works without this.
    Fail,
}

impl Finding {
    fn ok(message: impl Into<String>) -> Self {
        Self { grade: Grade::Ok, message: message.into(), advice: None }
    }

    fn warn(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { grade: Grade::Warn, message: message.into(), advice: Some(advice.into()) }
    }

    fn fail(message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { grade: Grade::Fail, message: message.into(), advice: Some(advice.into()) }
    }
}

struct Report<'a> {
    context: &'a Context,
    failed: bool,
}

impl Report<'_> {
    fn show(&mut self, name: &'static str, finding: Finding) -> Result<(), Failure> {
        let Finding { grade, message, advice } = &finding;
        self.failed |= *grade == Grade::Fail;
        let result = match grade {
            Grade::Ok => "ok",
            Grade::Warn => "warn",
            Grade::Fail => "fail",
        };
        let check = event::Check { name, result, message, advice: advice.as_deref() };
        let mut text = format!("{result:<4}  {name:<13}  {message}");
        if let Some(advice) = advice {
            text += &format!("\n{:21}-> {advice}", "");
        }
        self.context.output.both(&check, text)
    }
}
