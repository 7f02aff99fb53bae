//! One connection from its lanes' opening to its end.

use core::time::Duration;
use std::sync::Arc;

use iroh::endpoint::{
    Connection, ConnectionError, Path, RecvStream, SendStream, VarInt, WriteError,
};
use samara_base::PeerId;
use samara_mesh::link::{DownReason, Lane, LinkEvent, LinkInfo};
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{
    IrohOptions, Shared,
    codes::{
        self,
        stream::{self, CONTROL},
    },
    failure,
    lane::{self, Stop},
    tcp::{self, Expected, OFFER_LEN},
    upgrade::{Halves, Role, Traffic, upgrade},
    window::Window,
};
use crate::links::{Ending, Handle, short_reason};

/// Application code of an orderly close.
pub(super) const CODE_CLOSED: VarInt = VarInt::from_u32(codes::CLOSED);
/// Application code of a close because the peer broke the protocol.
pub(super) const CODE_PROTOCOL: VarInt = VarInt::from_u32(codes::PROTOCOL);
/// Application code of a close because the bulk lane's TCP connection ended.
pub(super) const CODE_TCP: VarInt = VarInt::from_u32(codes::TCP);

/// First bytes of the bulk lane's streams, in turn. Other values than these and [`CONTROL`] are
/// refused.
const BULK: [u8; 4] = [stream::BULK_0, stream::BULK_1, stream::BULK_2, stream::BULK_3];

/// Streams of the bulk lane. Fixed by the protocol version.
pub(super) const STRIPES: u8 = BULK.len() as u8;

// The streams are kept in the order of their first bytes.
const _: () = assert!(CONTROL == 0 && BULK[0] == 1 && BULK[3] == STRIPES);

/// How often the path is looked at.
const OBSERVE_EVERY: Duration = Duration::from_secs(1);

/// Which side of the link this one is, as far as the bulk lane's TCP connection goes.
pub(super) enum Claim {
    /// It dialled the link, and opens the connection.
    Opens,
    /// It accepted the link, and waits for the connection. `None`: there can be none.
    Waits(Option<Expected>),
}

/// All streams of a link, the control lane's first.
pub(super) struct Streams(Vec<(SendStream, RecvStream)>);

/// Who is at the other end, as the handshake has proven.
pub(super) fn peer(connection: &Connection) -> PeerId {
    PeerId::from_bytes(*connection.remote_id().as_bytes())
}

/// Opens both lanes. The side that dialled does.
pub(super) async fn open(connection: &Connection) -> Result<Streams, ConnectionError> {
    let mut streams = Vec::new();
    for header in CONTROL..=STRIPES {
        let (mut send, recv) = connection.open_bi().await?;
        if header == CONTROL {
            // Cannot fail on a stream that was opened just now. If it did, the lanes would merely
            // be equal.
            let _ = send.set_priority(CONTROL_PRIORITY);
        }
        match send.write_all(&[header]).await {
            Ok(()) => streams.push((send, recv)),
            Err(WriteError::ConnectionLost(error)) => return Err(error),
            // Nobody stops or closes a stream before its first byte; if so, the connection tells.
            Err(_other) => return Err(connection.closed().await),
        }
    }
    Ok(Streams(streams))
}

/// Accepts both lanes' streams, in any order, and makes the offer.
pub(super) async fn accept(
    connection: &Connection,
    offer: [u8; OFFER_LEN],
) -> Result<Streams, String> {
    let mut streams: [Option<(SendStream, RecvStream)>; 1 + STRIPES as usize] = Default::default();
    while streams.iter().any(Option::is_none) {
        let (send, mut recv) = connection.accept_bi().await.map_err(|error| error.to_string())?;
        let mut header = [0; 1];
        recv.read_exact(&mut header).await.map_err(|error| error.to_string())?;
        let [header] = header;
        if header == CONTROL {
            let _ = send.set_priority(CONTROL_PRIORITY);
        }
        let Some(slot) = streams.get_mut(usize::from(header)) else {
            return Err(format!("stream {header} of a link is unknown"));
        };
        if slot.replace((send, recv)).is_some() {
            return Err(format!("stream {header} of a link was opened twice"));
        }
    }
    let mut streams = Streams(streams.into_iter().flatten().collect());
    if let Some((control, _)) = streams.0.first_mut() {
        control.write_all(&offer).await.map_err(|error| error.to_string())?;
    }
    Ok(streams)
}

/// The engine serves streams of higher priority first; bulk has 0.
const CONTROL_PRIORITY: i32 = 1;

/// What is known of the connection now.
fn info(connection: &Connection, peer: PeerId, frame_len_max: u32, tcp: bool) -> LinkInfo {
    let carrier = if tcp { "quic+tcp" } else { "quic" };
    let mut info = LinkInfo { frame_len_max, ..LinkInfo::reliable(peer, carrier) };
    let paths = connection.paths();
    if let Some(path) = paths.iter().find(Path::is_selected) {
        let stats = path.stats();
        info.rtt = Some(stats.rtt);
        // With TCP beside it, the engine's estimate is about the control lane.
        info.rate = stats.bandwidth_estimate.map(|bits| bits / 8).filter(|_rate| !tcp);
        // Somebody else's server carries every byte.
        info.cost = u32::from(path.is_relay());
    }
    info
}

/// Whether the difference is worth an event.
fn differs(old: &LinkInfo, new: &LinkInfo) -> bool {
    let moved = |old: Option<u128>, new: Option<u128>| match (old, new) {
        (Some(old), Some(new)) => old.abs_diff(new) * 4 > old.max(1),
        (old, new) => old.is_some() != new.is_some(),
    };
    old.cost != new.cost
        || old.carrier != new.carrier
        || moved(old.rtt.map(|rtt| rtt.as_micros()), new.rtt.map(|rtt| rtt.as_micros()))
        || moved(old.rate.map(u128::from), new.rate.map(u128::from))
}

/// Which of a link's tasks ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Read(Lane),
    Write(Lane),
    Upgrade,
}

//= rfcs/0001-architecture.md#link-1
//# A driver MUST report `Up` as the first event of a link and `Down` as its last.
/// Runs the link from `Up` to `Down`.
pub(super) async fn live(
    shared: &Arc<Shared>,
    handle: &Arc<Handle>,
    connection: &Connection,
    streams: Streams,
    claim: Claim,
    up: Option<oneshot::Sender<()>>,
) {
    let (link, sink, options) = (handle.link, &shared.sink, &shared.options);
    //= rfcs/0001-architecture.md#link-3
    //# A driver MUST NOT report a link as `Up` before the carrier has authenticated the
    //# peer that it names.
    let known = info(connection, handle.peer, options.frame_len_max, false);
    if sink.send(LinkEvent::Up { link, info: known.clone() }).await.is_err() {
        connection.close(CODE_CLOSED, b"shutting down");
        return;
    }
    if let Some(up) = up {
        // Whoever dialled may have lost interest; the link stays.
        let _ = up.send(());
    }
    let mut tasks = spawn(shared, handle, connection, streams, claim);
    let reason = carry(shared, handle, connection, known, &mut tasks).await;
    // Nothing is taken from here on, and no task of this link reports after its `Down`.
    handle.outbox.seal();
    tasks.shutdown().await;
    // An error means that nobody wants to know.
    let _ = sink.send(LinkEvent::Down { link, reason }).await;
}

/// A task for each direction of each lane, so that none waits for another's lock or queue, and one
/// for the bulk lane's TCP connection.
fn spawn(
    shared: &Arc<Shared>,
    handle: &Arc<Handle>,
    connection: &Connection,
    streams: Streams,
    claim: Claim,
) -> JoinSet<(Part, Stop)> {
    let frame_len_max = shared.options.frame_len_max;
    let mut streams = streams.0.into_iter();
    let control: Vec<_> = streams.by_ref().take(1).collect();
    let (control_send, control_recv): (Vec<_>, Vec<_>) = control.into_iter().unzip();
    let (bulk_send, bulk_recv): (Vec<_>, Vec<_>) = streams.unzip();
    let (offered, offer) = oneshot::channel();
    let (offered, role) = match claim {
        Claim::Opens => (Some(offered), Role::Opens { offer }),
        Claim::Waits(expected) => (None, Role::Waits(expected)),
    };
    let (write, write_over) = oneshot::channel();
    let (read, read_over) = oneshot::channel();
    let traffic = Arc::new(Traffic::default());

    let mut tasks = JoinSet::new();
    let with = || (Arc::clone(handle), shared.sink.clone());
    let (to, from) = with();
    tasks.spawn(async move {
        let stop = lane::read_control(control_recv, offered, frame_len_max, &to, &from).await;
        (Part::Read(Lane::Control), stop)
    });
    let (to, from) = with();
    tasks.spawn(async move {
        let stop = lane::write(Lane::Control, control_send, None, |_bytes| (), &to, &from).await;
        (Part::Write(Lane::Control), stop)
    });
    let (to, from) = with();
    let (mut widen, passed) = (widen(&shared.options, connection), Arc::clone(&traffic));
    tasks.spawn(async move {
        let arrived = |bytes| {
            passed.passed(bytes);
            widen(bytes);
        };
        let stop = lane::read_bulk(bulk_recv, read_over, frame_len_max, arrived, &to, &from).await;
        (Part::Read(Lane::Bulk), stop)
    });
    let (to, from) = with();
    let passed = Arc::clone(&traffic);
    let over = (write_over, tcp::patience(shared.options.idle_timeout));
    tasks.spawn(async move {
        let passed = |bytes| passed.passed(bytes);
        let stop = lane::write(Lane::Bulk, bulk_send, Some(over), passed, &to, &from).await;
        (Part::Write(Lane::Bulk), stop)
    });
    let (shared, connection) = (Arc::clone(shared), connection.clone());
    let handle = Arc::clone(handle);
    tasks.spawn(async move {
        let halves = Halves { write, read };
        (Part::Upgrade, upgrade(shared, connection, handle, traffic, role, halves).await)
    });
    tasks
}

/// What the bulk lane's reader tells of its arrivals, so that the window follows the path.
fn widen(options: &IrohOptions, connection: &Connection) -> impl FnMut(u64) + use<> {
    let connection = connection.clone();
    let tuning = &options.tuning;
    let mut window =
        Window::new(u64::from(tuning.receive_window), tuning.receive_window_max(), Instant::now());
    move |bytes| {
        let rtt = || connection.paths().iter().find(Path::is_selected).map(|path| path.rtt());
        if let Some(bytes) = window.arrived(bytes, Instant::now(), rtt)
            && let Ok(bytes) = VarInt::from_u64(bytes)
        {
            connection.set_receive_window(bytes);
        }
    }
}

/// Waits for whatever ends the link, ends the connection, and says why.
///
/// An orderly end takes three steps, since a connection that closes drops what was received and
/// not read: the closing side finishes its control lane; the other side reads to that end and
/// finishes its own; the closing side sees that and closes the connection with its reason.
async fn carry(
    shared: &Shared,
    handle: &Handle,
    connection: &Connection,
    mut known: LinkInfo,
    tasks: &mut JoinSet<(Part, Stop)>,
) -> DownReason {
    let (sink, options) = (&shared.sink, &shared.options);
    let mut observe = interval(OBSERVE_EVERY);
    observe.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut closed = core::pin::pin!(connection.closed());
    let mut ended = core::pin::pin!(handle.ended());
    // Once the node has closed the link: what to say at last, and how long to wait before.
    let mut farewell: Option<Ending> = None;
    let mut linger = core::pin::pin!(sleep(options.linger));
    let mut peer_done = false;
    let mut tcp = false;
    loop {
        tokio::select! {
            error = &mut closed => {
                if failure::is_of_tcp(&error) {
                    shared.tcp.bar(handle.peer);
                }
                return farewell.map_or_else(|| failure::down(&error), |ending| ending.to_node());
            }
            ending = &mut ended, if farewell.is_none() => {
                let orderly = matches!(ending, Ending::Close { .. }) && !peer_done;
                if !orderly {
                    connection.close(CODE_CLOSED, ending.to_peer().as_bytes());
                    return ending.to_node();
                }
                farewell = Some(ending);
                linger.as_mut().reset(Instant::now() + options.linger);
            }
            () = &mut linger, if farewell.is_some() => {
                return farewell.map_or(DownReason::Local, |ending| part(connection, &ending));
            }
            Some(done) = tasks.join_next() => match done {
                Ok((Part::Read(Lane::Control), Stop::Done)) => {
                    if let Some(ending) = farewell {
                        return part(connection, &ending);
                    }
                    // The peer is about to close and waits for the end of this side's lane.
                    peer_done = true;
                    handle.outbox.seal();
                }
                Ok((Part::Upgrade, Stop::Done)) => {
                    tracing::info!(link = ?handle.link, "bulk goes over TCP");
                    tcp = true;
                    observe.reset_immediately();
                }
                Ok((_, Stop::Done)) => {}
                Ok((_, Stop::Protocol(error))) => {
                    let text = error.to_string();
                    connection.close(CODE_PROTOCOL, short_reason(&text).as_bytes());
                    return DownReason::Protocol(error);
                }
                Ok((_, Stop::NodeGone)) => {
                    connection.close(CODE_CLOSED, b"shutting down");
                    return DownReason::Local;
                }
                Ok((_, Stop::Broken(reason))) => {
                    // Mostly the connection is gone, and knows better why.
                    if let Some(error) = connection.close_reason() {
                        if failure::is_of_tcp(&error) {
                            shared.tcp.bar(handle.peer);
                        }
                        return failure::down(&error);
                    }
                    connection.close(CODE_PROTOCOL, b"a lane was reset");
                    return DownReason::Failed { reason: reason.to_string() };
                }
                Ok((_, Stop::TcpEnded { reason, again })) => {
                    if again {
                        shared.tcp.bar(handle.peer);
                    }
                    connection.close(CODE_TCP, b"the TCP connection ended");
                    return DownReason::Failed { reason };
                }
                Err(error) => {
                    connection.close(CODE_CLOSED, b"internal error");
                    return DownReason::Failed { reason: error.to_string() };
                }
            },
            () = sink.closed() => {
                connection.close(CODE_CLOSED, b"shutting down");
                return DownReason::Local;
            }
            _ = observe.tick() => {
                let now = info(connection, handle.peer, options.frame_len_max, tcp);
                let changed = || LinkEvent::Changed { link: handle.link, info: now.clone() };
                // With a full queue the news can wait for the next look.
                if differs(&known, &now) && sink.try_send(changed()) {
                    known = now;
                }
            }
        }
    }
}

fn part(connection: &Connection, ending: &Ending) -> DownReason {
    connection.close(CODE_CLOSED, ending.to_peer().as_bytes());
    ending.to_node()
}
