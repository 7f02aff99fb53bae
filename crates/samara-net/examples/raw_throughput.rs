//! Moves bytes between two processes over one link and tells what it cost.
//!
//! ```sh
//! cargo run --release -p samara-net --example raw_throughput -- --mib 1024 --frame-kib 256
//! ```
//!
//! Without a role the program starts itself twice, as sender and as receiver, and prints one line
//! for each. `serve` and `get ADDRESS` are the roles, for use across machines or namespaces.

use core::{iter, net::SocketAddr, time::Duration};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use bytes::Bytes;
use samara_base::PeerId;
use samara_mesh::link::{Lane, LinkEvent, Outgoing, RawFrame};
use samara_net::{
    driver::{Driver, PeerAddr},
    events::{EventLimits, Events, events},
    iroh::{Congestion, IrohDriver, IrohOptions, Tuning},
};

type Error = Box<dyn core::error::Error>;

/// The kind of DATA; the payload only looks like one.
const DATA: u64 = 0x14;
/// An unknown kind that everybody skips: here, the receiver's request.
const ASK: u64 = 0x21;

#[derive(Clone)]
struct Args {
    role: Option<String>,
    peer: Option<String>,
    bind: SocketAddr,
    mib: u64,
    frame_kib: u64,
    /// Bytes that the sender keeps queued.
    window: u64,
    threads: usize,
    ping: bool,
    tuning: Tuning,
}

impl Args {
    fn parse() -> Result<Self, Error> {
        let mut args = Self {
            role: None,
            peer: None,
            bind: "127.0.0.1:0".parse()?,
            mib: 1024,
            frame_kib: 256,
            window: 1 << 20,
            threads: 2,
            ping: false,
            tuning: Tuning::default(),
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "serve" => args.role = Some(word),
                "get" => {
                    args.peer = Some(value()?);
                    args.role = Some(word);
                }
                "--bind" => args.bind = value()?.parse()?,
                "--mib" => args.mib = value()?.parse()?,
                "--frame-kib" => args.frame_kib = value()?.parse()?,
                "--window" => args.window = value()?.parse()?,
                "--threads" => args.threads = value()?.parse()?,
                "--ping" => args.ping = true,
                "--stream-window" => args.tuning.stream_receive_window = value()?.parse()?,
                "--receive-window" => args.tuning.receive_window = value()?.parse()?,
                "--send-window" => args.tuning.send_window = value()?.parse()?,
                "--no-tcp" => args.tuning.tcp_rtt_max = Duration::ZERO,
                "--congestion" => {
                    args.tuning.congestion = match value()?.as_str() {
                        "patient" => Congestion::Patient,
                        "cubic" => Congestion::Cubic,
                        "bbr3" => Congestion::Bbr3,
                        other => return Err(format!("no controller {other}").into()),
                    }
                }
                other => return Err(format!("what is {other}?").into()),
            }
        }
        Ok(args)
    }
}

/// What the process has used: CPU seconds (user, system) and its largest resident set in MiB.
#[cfg(target_os = "linux")]
fn usage() -> (f64, f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    // Clock ticks are 10 ms on every Linux.
    let ticks = |at: usize| -> f64 {
        fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0) / 100.0
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
        .unwrap_or(0.0);
    (ticks(11), ticks(12), peak / 1024.0)
}

#[cfg(not(target_os = "linux"))]
fn usage() -> (f64, f64, f64) {
    (0.0, 0.0, 0.0)
}

async fn bind(secret: u8, args: &Args) -> Result<(IrohDriver, Events), Error> {
    let (sink, events) = events(EventLimits::default());
    let options =
        IrohOptions { bind: Some(args.bind), tuning: args.tuning.clone(), ..IrohOptions::direct() };
    Ok((IrohDriver::bind([secret; 32], options, sink).await?, events))
}

/// Sends what is asked for to whoever asks, keeping `window` bytes queued.
async fn serve(args: &Args) -> Result<(), Error> {
    let (driver, mut events) = bind(1, args).await?;
    let direct = driver.addrs().borrow().direct.clone();
    let at = direct.first().ok_or("no address")?;
    println!("READY {}@{at}", driver.local());
    std::io::stdout().flush()?;
    let length = usize::try_from(args.frame_kib << 10)?;
    let mut x = 0x9e37_79b9_7f4a_7c15_u64;
    let block: Vec<u8> = iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()[0]
    })
    .take(length)
    .collect();
    let block = Bytes::from(block);
    let (mut left, mut queued, mut to) = (0_u64, 0_u64, None);
    while let Some(event) = events.recv().await {
        match event {
            LinkEvent::Up { link, .. } => to = Some(link),
            LinkEvent::Frames { frames, lane, .. } => {
                for frame in frames {
                    if lane == Lane::Control
                        && let Some(link) = to
                    {
                        // An echo, to measure latency under load.
                        let out = Outgoing { lane, frame: frame.encode(false)? };
                        // The receiver may be gone: it leaves when it has everything.
                        let _ = driver.send(link, vec![out]);
                    } else {
                        left = u64::from_le_bytes(frame.body[..].try_into()?);
                    }
                }
            }
            LinkEvent::Sent { lane: Lane::Bulk, bytes, .. } => queued -= bytes,
            LinkEvent::Down { .. } => break,
            _ => {}
        }
        if let Some(link) = to {
            let mut out = Vec::new();
            while left > 0 && queued < args.window {
                let body = block.slice(..block.len().min(usize::try_from(left)?));
                left -= u64::try_from(body.len())?;
                let frame = RawFrame { kind: DATA, body }.encode(false)?;
                queued += u64::try_from(frame.len())?;
                out.push(Outgoing { lane: Lane::Bulk, frame });
            }
            if !out.is_empty() {
                driver.send(link, out)?;
            }
        }
    }
    let (user, system, peak) = usage();
    println!("serve user={user:.2} system={system:.2} cpu={:.2} rss_mib={peak:.1}", user + system);
    driver.shutdown().await;
    Ok(())
}

async fn get(peer: &str, args: &Args) -> Result<(), Error> {
    let (driver, mut events) = bind(2, args).await?;
    let (id, at) = peer.split_once('@').ok_or("ID@ADDRESS")?;
    let link = driver.dial(PeerAddr::at(id.parse::<PeerId>()?, [at.parse()?])).await?;
    let mut left = args.mib << 20;
    let ask = RawFrame { kind: ASK, body: Bytes::copy_from_slice(&left.to_le_bytes()) };
    #[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
    let now = Instant::now;
    let began = now();
    driver.send(link, vec![Outgoing { lane: Lane::Bulk, frame: ask.encode(false)? }])?;
    let ping = || -> Result<(), Error> {
        let frame = RawFrame { kind: ASK, body: Bytes::from_static(&[0; 100]) }.encode(false)?;
        Ok(driver.send(link, vec![Outgoing { lane: Lane::Control, frame }])?)
    };
    let mut pinged = now();
    let mut pings: Vec<Duration> = Vec::new();
    if args.ping {
        ping()?;
    }
    let mut rtt = None;
    while left > 0 {
        match events.recv().await {
            Some(LinkEvent::Frames { frames, lane: Lane::Bulk, .. }) => {
                let bytes: usize = frames.iter().map(|frame| frame.body.len()).sum();
                left -= u64::try_from(bytes)?;
            }
            Some(LinkEvent::Frames { .. }) => {
                pings.push(pinged.elapsed());
                pinged = now();
                ping()?;
            }
            Some(LinkEvent::Changed { info, .. }) => rtt = info.rtt,
            Some(LinkEvent::Down { reason, .. }) => return Err(reason.to_string().into()),
            Some(_) => {}
            None => return Err("the driver is gone".into()),
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let (user, system, peak) = usage();
    #[expect(clippy::cast_precision_loss, reason = "a figure for reading")]
    let rate = (args.mib << 20) as f64 / 1e6 / seconds;
    println!(
        "get   user={user:.2} system={system:.2} cpu={:.2} rss_mib={peak:.1} wall={seconds:.2} \
         MB/s={rate:.0} rtt={rtt:?}",
        user + system
    );
    if !pings.is_empty() {
        pings.sort_unstable();
        let at = |part: usize| pings.get(pings.len() * part / 100).copied().unwrap_or_default();
        println!("ping  n={} p50={:?} p99={:?}", pings.len(), at(50), at(99));
    }
    driver.shutdown().await;
    Ok(())
}

/// Runs both roles as child processes with the same options.
fn both() -> Result<(), Error> {
    let program = std::env::current_exe()?;
    let options: Vec<String> = std::env::args().skip(1).collect();
    let mut server =
        Command::new(&program).arg("serve").args(&options).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(server.stdout.take().ok_or("stdout")?).lines();
    let ready = lines.next().ok_or("the sender said nothing")??;
    let peer = ready.strip_prefix("READY ").ok_or("READY comes first")?;
    let status = Command::new(&program).arg("get").arg(peer).args(&options).status()?;
    for line in lines {
        println!("{}", line?);
    }
    server.wait()?;
    if status.success() { Ok(()) } else { Err("the receiver failed".into()) }
}

fn main() -> ExitCode {
    let run = || -> Result<(), Error> {
        let args = Args::parse()?;
        let runtime = || {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(args.threads)
                .enable_all()
                .build()
        };
        match (args.role.as_deref(), &args.peer) {
            (Some("serve"), _) => runtime()?.block_on(serve(&args)),
            (Some(_), Some(peer)) => runtime()?.block_on(get(peer, &args)),
            _ => both(),
        }
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("raw_throughput: {error}");
            ExitCode::FAILURE
        }
    }
}
