//! The contract on QUIC over loopback, and what is special to this driver.

use core::{net::SocketAddr, time::Duration};
use std::collections::VecDeque;

use bytes::Bytes;
use iroh::{
    Endpoint, EndpointAddr, EndpointId, TransportAddr,
    endpoint::{Connection, ConnectionError, RecvStream, SendStream, presets},
};
use samara_base::PeerId;
use samara_mesh::link::{DownReason, FRAME_LEN_MAX, Lane, LinkEvent, RawFrame};
use samara_net::{
    driver::{BindError, DialError, Driver, PeerAddr},
    events::{EventLimits, events},
    iroh::{ALPN, IrohDriver, IrohOptions, Relay, Tuning},
};

use crate::suite::{Host, Node, Pair, Wish, World, frame, linked, outgoing};

pub(crate) const LOOPBACK: SocketAddr =
    SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 0);

/// QUIC alone.
pub(crate) struct Quic;

/// Each node has its own runtime: a node whose runtime is gone is as dead as a killed process.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// A driver in a runtime of its own, on loopback.
pub(crate) async fn node(number: u8, wish: Wish, tuning: Tuning) -> Node<IrohDriver> {
    let (sink, events) = events(wish.events);
    let options = IrohOptions {
        bind: Some(LOOPBACK),
        accept_timeout: Duration::from_secs(2),
        idle_timeout: Quic::IDLE_TIMEOUT,
        dial_timeout: Duration::from_secs(5),
        links_max: wish.links_max,
        queue_bytes: wish.queue_bytes,
        frame_len_max: wish.frame_len_max,
        tuning,
        ..IrohOptions::direct()
    };
    let runtime = runtime();
    let driver = runtime
        .spawn(IrohDriver::bind([number; 32], options, sink))
        .await
        .expect("no panic")
        .expect("loopback can be bound");
    Node { driver, events, host: Host(Some(runtime)), held: VecDeque::new() }
}

impl World for Quic {
    type Driver = IrohDriver;
    const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

    async fn node(&self, number: u8, wish: Wish) -> Node<IrohDriver> {
        let tuning = Tuning { tcp_rtt_max: Duration::ZERO, ..Tuning::default() };
        node(number, wish, tuning).await
    }

    async fn kill(&self, node: Node<IrohDriver>) {
        drop(node);
    }

    fn peer(&self, number: u8) -> PeerId {
        PeerId::from_bytes(*iroh::SecretKey::from_bytes(&[number; 32]).public().as_bytes())
    }

    fn nobody(&self) -> PeerAddr {
        PeerAddr::new(self.peer(99))
    }
}

crate::contract!(
    #[tokio::test]
    Quic
);

/// An endpoint of the engine without this crate's manners.
pub(crate) async fn stranger(alpns: &[&[u8]]) -> Endpoint {
    Endpoint::builder(presets::Minimal)
        .alpns(alpns.iter().map(|alpn| alpn.to_vec()).collect())
        .relay_mode(iroh::RelayMode::Disabled)
        .clear_ip_transports()
        .bind_addr("127.0.0.1:0")
        .expect("an address")
        .bind()
        .await
        .expect("loopback can be bound")
}

pub(crate) fn engine_addr(of: &PeerAddr) -> EndpointAddr {
    let id = EndpointId::from_bytes(of.peer.as_bytes()).expect("a key");
    EndpointAddr::new(id).with_addrs(of.direct.iter().copied().map(TransportAddr::Ip))
}

pub(crate) fn peer_addr(of: &Endpoint) -> PeerAddr {
    let peer = PeerId::from_bytes(*of.id().as_bytes());
    PeerAddr::at(peer, of.bound_sockets())
}

#[tokio::test]
async fn the_identity_is_the_ed25519_public_key() {
    // RFC 8032, section 7.1, test 1.
    let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let secret: PeerId = secret.parse().expect("32 bytes");
    let (sink, _events) = events(EventLimits::default());
    let options = IrohOptions { bind: Some(LOOPBACK), ..IrohOptions::direct() };
    let driver = IrohDriver::bind(*secret.as_bytes(), options, sink).await.expect("bound");
    assert_eq!(driver.local().to_string(), public);
    driver.shutdown().await;
}

#[tokio::test]
async fn the_port_asked_for_is_bound_or_nothing_is() {
    let holder = std::net::UdpSocket::bind(LOOPBACK).expect("a port");
    let addr = holder.local_addr().expect("bound");
    let bind = |addr| async move {
        let (sink, _events) = events(EventLimits::default());
        let options = IrohOptions { bind: Some(addr), ..IrohOptions::direct() };
        IrohDriver::bind([9; 32], options, sink).await
    };
    assert_eq!(bind(addr).await.map(|_| ()), Err(BindError::AddressInUse { addr }));
    drop(holder);
    let driver = bind(addr).await.expect("free again");
    assert_eq!(driver.bound(), [addr]);
    assert_eq!(driver.addrs().borrow().direct, [addr]);
    driver.shutdown().await;
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 4000));
    let refused = bind(elsewhere).await.map(|_| ());
    assert_eq!(refused, Err(BindError::AddressNotAvailable { addr: elsewhere }));
}

#[tokio::test]
async fn senseless_options_are_refused() {
    let direct = IrohOptions::direct;
    let tuning = Tuning { stream_receive_window: 8 << 20, ..Tuning::default() };
    for options in [
        IrohOptions { idle_timeout: Duration::from_millis(999), ..direct() },
        IrohOptions { idle_timeout: Duration::from_millis(30_001), ..direct() },
        IrohOptions { frame_len_max: 63, ..direct() },
        IrohOptions { frame_len_max: FRAME_LEN_MAX + 1, ..direct() },
        IrohOptions { queue_bytes: 1000, ..direct() },
        IrohOptions { links_max: 0, ..direct() },
        IrohOptions { tuning, ..direct() },
    ] {
        let (sink, _events) = events(EventLimits::default());
        let refused = IrohDriver::bind([9; 32], options, sink).await.map(|_| ());
        assert!(matches!(refused, Err(BindError::BadOption { .. })), "{refused:?}");
    }
    let relay = Relay::Custom("no URL".to_owned());
    let (sink, _events) = events(EventLimits::default());
    let refused = IrohDriver::bind([9; 32], IrohOptions { relay, ..direct() }, sink).await;
    assert!(matches!(refused.map(|_| ()), Err(BindError::BadRelay { .. })));
}

//= rfcs/0001-architecture.md#link-3
//= type=test
//# A driver MUST NOT report a link as `Up` before the carrier has authenticated the peer
//# that it names.
#[tokio::test]
async fn somebody_else_at_the_address_is_not_believed() {
    let alice = Quic.node(1, Wish::default()).await;
    let bob = Quic.node(2, Wish::default()).await;
    let lie = PeerAddr { peer: Quic.peer(3), ..bob.addr() };
    let refused = alice.dial(lie).await;
    assert_eq!(refused, Err(DialError::WrongPeer { expected: Quic.peer(3) }));
}

#[tokio::test]
async fn an_address_without_an_answer_times_out() {
    let alice = Quic.node(1, Wish::default()).await;
    // Bound, so that nobody else answers, and never read.
    let silent = std::net::UdpSocket::bind(LOOPBACK).expect("a port");
    let addr = PeerAddr::at(Quic.peer(7), [silent.local_addr().expect("bound")]);
    let refused = alice.dial(addr).await;
    assert!(matches!(refused, Err(DialError::TimedOut { .. })), "{refused:?}");
}

#[tokio::test]
async fn another_protocol_is_incompatible() {
    let alice = Quic.node(1, Wish::default()).await;
    let other = stranger(&[b"samara/999"]).await;
    let accept = other.clone();
    tokio::spawn(async move {
        while let Some(incoming) = accept.accept().await {
            let _ = incoming.await;
        }
    });
    let refused = alice.dial(peer_addr(&other)).await;
    assert!(matches!(refused, Err(DialError::Incompatible { .. })), "{refused:?}");
    // And the other way round.
    assert!(other.connect(engine_addr(&alice.addr()), b"samara/999").await.is_err());
    other.close().await;
}

/// A connection, with streams that have these first bytes.
pub(crate) type Opened = (Connection, Vec<(SendStream, RecvStream)>);

pub(crate) async fn connect(from: &Endpoint, to: &PeerAddr, headers: &[u8]) -> Opened {
    let connection = from.connect(engine_addr(to), ALPN).await.expect("the peer is there");
    let mut streams = Vec::new();
    for header in headers {
        let (mut send, recv) = connection.open_bi().await.expect("within the limit");
        send.write_all(&[*header]).await.expect("open");
        streams.push((send, recv));
    }
    (connection, streams)
}

pub(crate) fn closed_with(error: &ConnectionError) -> (u64, String) {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            (close.error_code.into_inner(), String::from_utf8_lossy(&close.reason).into_owned())
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn lanes_that_are_not_the_protocols_are_refused() {
    let mut bob = Quic.node(2, Wish::default()).await;
    let stranger = stranger(&[ALPN]).await;
    for (headers, word) in [(&[0, 9][..], "unknown"), (&[0, 1, 1], "twice")] {
        let (connection, _streams) = connect(&stranger, &bob.addr(), headers).await;
        let (code, reason) = closed_with(&connection.closed().await);
        assert_eq!(code, 1);
        assert!(reason.contains(word), "{reason}");
    }
    // A connection without lanes is given up, and holds nobody else back.
    let (idle, _streams) = connect(&stranger, &bob.addr(), &[0, 1]).await;
    let alice = Quic.node(1, Wish::default()).await;
    alice.dial(bob.addr()).await.expect("bob serves others meanwhile");
    assert_eq!(bob.up().await.1.peer, alice.driver.local());
    assert!(matches!(idle.closed().await, ConnectionError::ApplicationClosed(_)));
    stranger.close().await;
}

#[tokio::test]
async fn bytes_that_are_no_frame_end_the_link() {
    let mut bob = Quic.node(2, Wish::default()).await;
    let stranger = stranger(&[ALPN]).await;
    let (connection, mut streams) = connect(&stranger, &bob.addr(), &[0, 1, 2, 3, 4]).await;
    let (link, info) = bob.up().await;
    assert_eq!(info.peer, peer_addr(&stranger).peer);
    // A good PING, then a kind in two bytes that fits one.
    streams[0].0.write_all(&[0x04, 0x01, 0x07, 0x40, 0x04]).await.expect("open");
    let got = bob.receive(1, 0).await;
    assert_eq!(got[0], [RawFrame { kind: 4, body: Bytes::from_static(&[7]) }]);
    assert!(matches!(bob.down(link).await, DownReason::Protocol(_)));
    assert_eq!(closed_with(&connection.closed().await).0, 1);
    stranger.close().await;
}

//= rfcs/0001-architecture.md#link-8
//= type=test
//# A driver over QUIC MUST carry bulk frame n of a direction on the stream whose first byte is 1 + n modulo 4.
#[tokio::test]
async fn bulk_frames_take_the_four_streams_in_turn() {
    let mut bob = Quic.node(2, Wish::default()).await;
    let stranger = stranger(&[ALPN]).await;
    let (_connection, mut streams) = connect(&stranger, &bob.addr(), &[0, 1, 2, 3, 4]).await;
    let (link, _) = bob.up().await;
    // The last stream first: only the turn makes the order.
    for turn in (0..4_u8).rev() {
        // Two frames on each stream: n and n + 4.
        let bytes = [0x04, 0x01, turn, 0x04, 0x01, turn + 4];
        streams[1 + usize::from(turn)].0.write_all(&bytes).await.expect("open");
    }
    let ping = |token: u8| RawFrame { kind: 4, body: Bytes::copy_from_slice(&[token]) };
    let got = bob.receive(0, 8).await;
    assert_eq!(got[1], (0..8).map(ping).collect::<Vec<_>>());

    let out = (0..8).map(|token| outgoing(Lane::Bulk, &ping(token))).collect();
    bob.driver.send(link, out).expect("there is room");
    // Nothing is offered where TCP is off.
    let mut offer = [9; 4];
    streams[0].1.read_exact(&mut offer).await.expect("open");
    assert_eq!(offer, [0; 4]);
    for turn in 0..4_u8 {
        let mut bytes = [0; 6];
        streams[1 + usize::from(turn)].1.read_exact(&mut bytes).await.expect("open");
        assert_eq!(bytes, [0x04, 0x01, turn, 0x04, 0x01, turn + 4]);
    }
    stranger.close().await;
}

#[tokio::test]
async fn a_reset_lane_ends_the_link() {
    let mut bob = Quic.node(2, Wish::default()).await;
    let stranger = stranger(&[ALPN]).await;
    let (_connection, mut streams) = connect(&stranger, &bob.addr(), &[0, 1, 2, 3, 4]).await;
    let (link, _) = bob.up().await;
    streams[2].0.reset(7_u32.into()).expect("open");
    // The stripe is read when its turn comes: after the first frame of stripe 1.
    streams[1].0.write_all(&[0x04, 0x01, 0x07]).await.expect("open");
    assert!(matches!(bob.down(link).await, DownReason::Failed { .. }));
    stranger.close().await;
}

#[tokio::test]
async fn dials_of_each_other_at_the_same_moment_both_succeed() {
    let mut alice = Quic.node(1, Wish::default()).await;
    let mut bob = Quic.node(2, Wish::default()).await;
    let (one, two) = tokio::join!(alice.dial(bob.addr()), bob.dial(alice.addr()));
    let (one, two) = (one.expect("bob is there"), two.expect("alice is there"));
    // One link or two, both usable.
    let frames = [frame(1, 10), frame(2, 10)];
    alice.driver.send(one, vec![outgoing(Lane::Control, &frames[0])]).expect("up");
    bob.driver.send(two, vec![outgoing(Lane::Control, &frames[1])]).expect("up");
    let arrives = async |node: &mut Node<IrohDriver>, wanted: &RawFrame| loop {
        if let LinkEvent::Frames { frames, .. } = node.next().await {
            assert_eq!(&frames[0], wanted);
            break;
        }
    };
    tokio::join!(arrives(&mut bob, &frames[0]), arrives(&mut alice, &frames[1]));
}

#[tokio::test]
async fn a_driver_that_is_dropped_says_good_bye() {
    let Pair { alice, mut bob, to_alice, .. } = linked(&Quic, Wish::default()).await;
    let Node { driver, events: _events, host, .. } = alice;
    drop(driver);
    assert!(matches!(bob.down(to_alice).await, DownReason::Remote { .. }));
    drop(host);
}
