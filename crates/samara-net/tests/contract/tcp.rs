//! The contract on links whose bulk lane has gone over to TCP, and what is special to that.

use core::{net::SocketAddr, time::Duration};
use std::{io, sync::Arc};

use bytes::Bytes;
use iroh::endpoint::{Connection, RecvStream, SendStream};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring::{default_provider, sign::any_eddsa_type},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime, alg_id},
    server::AlwaysResolvesServerRawPublicKeys,
    sign::{CertifiedKey, public_key_to_spki},
    version::TLS13,
};
use samara_base::PeerId;
use samara_mesh::link::{DownReason, Lane, LinkEvent, LinkId, RawFrame};
use samara_net::{
    driver::{Driver, PeerAddr},
    iroh::{ALPN, IrohDriver, Tuning},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::{
    quic::{LOOPBACK, Quic, closed_with, connect, engine_addr, node, peer_addr},
    suite::{Node, Pair, Wish, World, bytes, frame, linked, outgoing},
};

/// Links between near peers, which loopback is however busy the machine may be.
struct Tcp;

impl World for Tcp {
    type Driver = IrohDriver;
    const IDLE_TIMEOUT: Duration = Quic::IDLE_TIMEOUT;

    async fn node(&self, number: u8, wish: Wish) -> Node<IrohDriver> {
        let tuning = Tuning { tcp_rtt_max: Duration::from_secs(10), ..Tuning::default() };
        node(number, wish, tuning).await
    }

    async fn kill(&self, node: Node<IrohDriver>) {
        drop(node);
    }

    fn peer(&self, number: u8) -> PeerId {
        Quic.peer(number)
    }

    fn nobody(&self) -> PeerAddr {
        Quic.nobody()
    }

    /// Sends what makes the connection worth it, and waits until both sides have it. The next bulk
    /// frame of each side travels on it.
    async fn settle(&self, Pair { alice, bob, to_bob, to_alice }: &mut Pair<IrohDriver>) {
        // Small enough for any driver of the suite.
        let frames: Vec<RawFrame> = (0..140).map(|n| frame(n, 8_000)).collect();
        let out: Vec<_> = frames.iter().map(|frame| outgoing(Lane::Bulk, frame)).collect();
        let mut missing = bytes(&out);
        alice.driver.send(*to_bob, out).expect("there is room");
        let mut arrived = Vec::new();
        let (sent, received) = tokio::join!(
            alice.carried_by(*to_bob, "quic+tcp"),
            bob.carried_by(*to_alice, "quic+tcp")
        );
        for event in received {
            if let LinkEvent::Frames { lane: Lane::Bulk, frames, .. } = event {
                arrived.extend(frames);
            }
        }
        for event in sent {
            if let LinkEvent::Sent { bytes, .. } = event {
                missing -= bytes;
            }
        }
        while missing > 0 {
            if let LinkEvent::Sent { bytes, .. } = alice.next().await {
                missing -= bytes;
            }
        }
        if arrived.len() < frames.len() {
            let missing = frames.len() - arrived.len();
            arrived.append(&mut bob.receive(0, missing).await[1]);
        }
        assert!(arrived == frames, "the first frames arrive on either carrier");
    }

    /// The system of a killed process ends its TCP connections.
    fn is_death(&self, reason: &DownReason) -> bool {
        matches!(reason, DownReason::TimedOut | DownReason::Failed { .. })
    }
}

crate::contract!(
    #[tokio::test]
    Tcp
);

const BULK_ALPN: &[u8] = b"samara-bulk/1";

/// Believes everybody: what is tested is the other side.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Opens a TLS connection as the driver does, and shows a token.
async fn open(to: SocketAddr, alpn: &[u8], token: &[u8]) -> io::Result<TlsStream<TcpStream>> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let tcp = TcpStream::connect(to).await?;
    let name = ServerName::IpAddress(to.ip().into());
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    stream.write_all(token).await?;
    stream.flush().await?;
    Ok(stream.into())
}

/// What takes TLS connections with this secret key.
fn acceptor(secret: [u8; 32]) -> TlsAcceptor {
    let prefix = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let key =
        any_eddsa_type(&PrivatePkcs8KeyDer::from([&prefix[..], &secret].concat())).expect("a key");
    let public = *iroh::SecretKey::from_bytes(&secret).public().as_bytes();
    let spki = public_key_to_spki(&alg_id::ED25519, public);
    let key = CertifiedKey::new(vec![CertificateDer::from(spki.to_vec())], key);
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::new(key))));
    config.alpn_protocols = vec![BULK_ALPN.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

fn token(connection: &Connection) -> [u8; 32] {
    let mut token = [0; 32];
    connection
        .export_keying_material(&mut token, b"samara bulk lane", b"")
        .expect("the handshake is over");
    token
}

fn ping(token: u8) -> RawFrame {
    RawFrame { kind: 4, body: Bytes::copy_from_slice(&[token]) }
}

fn ping_bytes(token: u8) -> [u8; 3] {
    [0x04, 0x01, token]
}

/// A link of a stranger to `bob`, and where `bob` takes its TCP connection.
struct Dialled {
    connection: Connection,
    streams: Vec<(SendStream, RecvStream)>,
    link: LinkId,
    tcp: SocketAddr,
}

async fn dial(from: &iroh::Endpoint, bob: &mut Node<IrohDriver>) -> Dialled {
    let (connection, mut streams) = connect(from, &bob.addr(), &[0, 1, 2, 3, 4]).await;
    let (link, _) = bob.up().await;
    let mut offer = [0; 4];
    streams[0].1.read_exact(&mut offer).await.expect("open");
    assert_eq!(offer[2..], [0, 0], "bob is bound to an IPv4 address only");
    let port = u16::from_be_bytes([offer[0], offer[1]]);
    assert_eq!(port, bob.driver.bound()[0].port(), "the same port as for QUIC is free");
    Dialled { connection, streams, link, tcp: SocketAddr::new(LOOPBACK.ip(), port) }
}

/// Whether the other side closes the connection without a byte of data.
async fn is_closed(stream: io::Result<TlsStream<TcpStream>>) -> bool {
    let Ok(mut stream) = stream else { return true };
    let read = timeout(Duration::from_secs(10), stream.read_u8()).await;
    matches!(read, Ok(Err(_)))
}

//= rfcs/0001-architecture.md#link-12
//= type=test
//# The side that accepts MUST close a TCP connection whose first 32 bytes are not the token of
//# an open link that has no TCP connection yet.
#[tokio::test]
async fn only_the_token_of_a_waiting_link_is_let_in() {
    let mut bob = Tcp.node(2, Wish::default()).await;
    let stranger = crate::quic::stranger(&[ALPN]).await;
    let Dialled { connection, streams, link, tcp } = dial(&stranger, &mut bob).await;
    let good = token(&connection);
    let mut wrong = good;
    wrong[31] ^= 1;
    assert!(is_closed(open(tcp, BULK_ALPN, &wrong).await).await);
    assert!(is_closed(open(tcp, b"samara-bulk/2", &good).await).await);
    // Bytes that are no TLS at all.
    let mut garbage = TcpStream::connect(tcp).await.expect("bob listens");
    garbage.write_all(&[7; 100]).await.expect("open");
    let mut rest = Vec::new();
    let _ = garbage.read_to_end(&mut rest).await;
    // All of that left the link as it was: the right token is still good.
    let mut stream = open(tcp, BULK_ALPN, &good).await.expect("bob listens");
    bob.carried_by(link, "quic+tcp").await;
    bob.driver.send(link, vec![outgoing(Lane::Bulk, &ping(1))]).expect("there is room");
    let mut bytes = [0; 3];
    stream.read_exact(&mut bytes).await.expect("open");
    assert_eq!(bytes, ping_bytes(1));
    // But only once.
    assert!(is_closed(open(tcp, BULK_ALPN, &good).await).await);
    // And not after the link's end.
    let Dialled { connection: later, .. } = dial(&stranger, &mut bob_after(bob, link).await).await;
    let old = token(&later);
    later.close(0_u32.into(), b"");
    drop((connection, streams));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(is_closed(open(tcp, BULK_ALPN, &old).await).await);
    stranger.close().await;
}

/// `bob`, when the stranger's first link has been replaced by the next one or is about to be.
async fn bob_after(mut bob: Node<IrohDriver>, link: LinkId) -> Node<IrohDriver> {
    bob.driver.close(link, "");
    bob.down(link).await;
    bob
}

//= rfcs/0001-architecture.md#link-9
//= type=test
//# A side that goes over to TCP MUST end its direction of the four bulk streams behind its last
//# frame there, and carry every later bulk frame on the TCP connection.
//= rfcs/0001-architecture.md#link-10
//= type=test
//# A driver MUST take the bulk frames of all four streams to their ends before it takes the first
//# frame of the TCP connection.
#[tokio::test]
async fn each_side_goes_over_behind_its_last_frame() {
    let mut bob = Tcp.node(2, Wish::default()).await;
    let stranger = crate::quic::stranger(&[ALPN]).await;
    let Dialled { connection, mut streams, link, tcp } = dial(&stranger, &mut bob).await;
    bob.driver.send(link, vec![outgoing(Lane::Bulk, &ping(10))]).expect("there is room");
    bob.sent(0, 3).await;
    let mut stream = open(tcp, BULK_ALPN, &token(&connection)).await.expect("bob listens");
    bob.carried_by(link, "quic+tcp").await;
    let out = (11..14).map(|token| outgoing(Lane::Bulk, &ping(token))).collect();
    bob.driver.send(link, out).expect("there is room");
    // Bob's direction: one frame on the first stream, all four end, the rest is on TCP.
    for (at, (_, recv)) in streams.iter_mut().enumerate().skip(1) {
        let got = recv.read_to_end(100).await.expect("bob ends it");
        assert_eq!(got, if at == 1 { ping_bytes(10).to_vec() } else { Vec::new() });
    }
    let mut bytes = [0; 9];
    stream.read_exact(&mut bytes).await.expect("open");
    assert_eq!(bytes[..], [ping_bytes(11), ping_bytes(12), ping_bytes(13)].concat());

    // The stranger's direction: what is on TCP waits for what comes late on the streams.
    stream.write_all(&[ping_bytes(3), ping_bytes(4)].concat()).await.expect("open");
    stream.flush().await.expect("open");
    for turn in (0..3).rev() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        streams[1 + usize::from(turn)].0.write_all(&ping_bytes(turn)).await.expect("open");
    }
    let early = bob.receive(0, 3).await;
    assert_eq!(early[1], (0..3).map(ping).collect::<Vec<_>>());
    for (send, _) in &mut streams[1..] {
        tokio::time::sleep(Duration::from_millis(50)).await;
        send.finish().expect("open");
    }
    assert_eq!(bob.receive(0, 2).await[1], [ping(3), ping(4)]);
    stranger.close().await;
}

#[tokio::test]
async fn streams_that_end_out_of_turn_end_the_link() {
    let mut bob = Tcp.node(2, Wish::default()).await;
    let stranger = crate::quic::stranger(&[ALPN]).await;
    // A frame behind the turn at which the lane ends; half a frame at its end.
    for late in [&ping_bytes(1)[..], &ping_bytes(1)[..2]] {
        let Dialled { connection, mut streams, link, tcp } = dial(&stranger, &mut bob).await;
        let at = if late.len() == 3 { 2 } else { 1 };
        streams[at].0.write_all(late).await.expect("open");
        let _stream = open(tcp, BULK_ALPN, &token(&connection)).await.expect("bob listens");
        for (send, _) in &mut streams[1..] {
            send.finish().expect("open");
        }
        assert!(matches!(bob.down(link).await, DownReason::Failed { .. }));
        assert_eq!(closed_with(&connection.closed().await).0, 1);
    }
    stranger.close().await;
}

#[tokio::test]
async fn a_tcp_connection_that_ends_early_or_carries_no_frames_ends_the_link() {
    let mut bob = Tcp.node(2, Wish::default()).await;
    let stranger = crate::quic::stranger(&[ALPN]).await;
    for garbage in [true, false] {
        let Dialled { connection, mut streams, link, tcp } = dial(&stranger, &mut bob).await;
        let mut stream = open(tcp, BULK_ALPN, &token(&connection)).await.expect("bob listens");
        for (send, _) in &mut streams[1..] {
            send.finish().expect("open");
        }
        // A kind in two bytes that fits one.
        let bytes: &[u8] = if garbage { &[0x40, 0x04] } else { &ping_bytes(9)[..2] };
        stream.write_all(bytes).await.expect("open");
        stream.flush().await.expect("open");
        if !garbage {
            drop(stream);
        }
        let reason = bob.down(link).await;
        let (code, _) = closed_with(&connection.closed().await);
        if garbage {
            assert!(matches!(reason, DownReason::Protocol(_)), "{reason:?}");
            assert_eq!(code, 1);
        } else {
            assert!(matches!(reason, DownReason::Failed { .. }), "{reason:?}");
            assert_eq!(code, 2);
        }
    }
    // Nothing is offered to this peer for a while.
    let (_connection, mut streams) = connect(&stranger, &bob.addr(), &[0, 1, 2, 3, 4]).await;
    let mut offer = [9; 4];
    streams[0].1.read_exact(&mut offer).await.expect("open");
    assert_eq!(offer, [0; 4]);
    stranger.close().await;
}

/// An endpoint that accepts one link of `alice` and offers a port.
struct Host {
    endpoint: iroh::Endpoint,
    listener: TcpListener,
}

/// A link that `alice` opened.
struct Accepted {
    connection: Connection,
    streams: Vec<(SendStream, RecvStream)>,
    link: LinkId,
}

impl Host {
    async fn new() -> Self {
        let endpoint = crate::quic::stranger(&[ALPN]).await;
        let listener = TcpListener::bind(LOOPBACK).await.expect("a port");
        Self { endpoint, listener }
    }

    fn secret(&self) -> [u8; 32] {
        self.endpoint.secret_key().to_bytes()
    }

    async fn accept(&self, alice: &mut Node<IrohDriver>) -> Accepted {
        let streams = async {
            let incoming = self.endpoint.accept().await.expect("alice dials");
            let connection = incoming.await.expect("alice dials");
            let mut streams = Vec::new();
            for number in 0..5 {
                let (send, mut recv) = connection.accept_bi().await.expect("five of them");
                assert_eq!(recv.read_u8().await.expect("a header"), number);
                streams.push((send, recv));
            }
            (connection, streams)
        };
        let addr = peer_addr(&self.endpoint);
        let (link, (connection, mut streams)) = tokio::join!(alice.dial(addr), streams);
        let link = link.expect("the link is accepted");
        assert_eq!(alice.up().await.0, link);
        let port = self.listener.local_addr().expect("bound").port();
        let [a, b] = port.to_be_bytes();
        streams[0].0.write_all(&[a, b, 0, 0]).await.expect("open");
        Accepted { connection, streams, link }
    }
}

/// Sends alice enough to make the connection worth it: ten frames over the four streams.
async fn enough(streams: &mut [(SendStream, RecvStream)]) -> Vec<RawFrame> {
    let frames: Vec<RawFrame> = (0..10).map(|n| frame(n, 120_000)).collect();
    for (turn, frame) in frames.iter().enumerate() {
        let bytes = outgoing(Lane::Bulk, frame).frame.into_parts().concat();
        streams[1 + turn % 4].0.write_all(&bytes).await.expect("alice reads");
    }
    frames
}

//= rfcs/0001-architecture.md#link-11
//= type=test
//# The side that opens the TCP connection MUST NOT send the token before TLS has proven that the
//# other side has the key of the link's peer.
#[tokio::test]
async fn the_token_goes_to_the_links_peer_and_to_nobody_else() {
    let mut alice = Tcp.node(1, Wish::default()).await;
    // Somebody else has the port.
    let host = Host::new().await;
    let Accepted { connection, mut streams, link } = host.accept(&mut alice).await;
    let frames = enough(&mut streams).await;
    assert!(alice.receive(0, 10).await[1] == frames);
    let (tcp, _) = host.listener.accept().await.expect("alice tries");
    let heard = async {
        let mut stream = acceptor([77; 32]).accept(tcp).await?;
        let mut token = [0; 32];
        stream.read_exact(&mut token).await
    };
    heard.await.expect_err("nothing is told to somebody else");
    // Which changes nothing for the link.
    alice.driver.send(link, vec![outgoing(Lane::Bulk, &ping(5))]).expect("there is room");
    let mut bytes = [0; 3];
    streams[1].1.read_exact(&mut bytes).await.expect("open");
    assert_eq!(bytes, ping_bytes(5));
    connection.close(0_u32.into(), b"");
    alice.down(link).await;

    // The peer itself.
    let Accepted { connection, mut streams, link } = host.accept(&mut alice).await;
    let frames = enough(&mut streams).await;
    let (tcp, _) = host.listener.accept().await.expect("alice tries");
    let mut stream = acceptor(host.secret()).accept(tcp).await.expect("alice believes it");
    let mut shown = [0; 32];
    stream.read_exact(&mut shown).await.expect("open");
    assert_eq!(shown, token(&connection));
    let before: usize = alice
        .carried_by(link, "quic+tcp")
        .await
        .iter()
        .map(|event| match event {
            LinkEvent::Frames { frames, .. } => frames.len(),
            _ => 0,
        })
        .sum();
    alice.receive(0, frames.len() - before).await;
    alice.driver.send(link, vec![outgoing(Lane::Bulk, &ping(6))]).expect("there is room");
    stream.read_exact(&mut bytes).await.expect("open");
    assert_eq!(bytes, ping_bytes(6));
    host.endpoint.close().await;
}

#[tokio::test]
async fn a_peer_whose_tcp_broke_is_left_on_quic_for_a_while() {
    let mut alice = Tcp.node(1, Wish::default()).await;
    let host = Host::new().await;
    for turn in 0..3 {
        let Accepted { connection, mut streams, link } = host.accept(&mut alice).await;
        let frames = enough(&mut streams).await;
        if turn < 2 {
            let (tcp, _) = host.listener.accept().await.expect("alice tries");
            let mut stream = acceptor(host.secret()).accept(tcp).await.expect("alice believes it");
            stream.read_exact(&mut [0; 32]).await.expect("a token");
            for (send, _) in &mut streams[1..] {
                send.finish().expect("open");
            }
            if turn == 0 {
                // Long enough that its end is taken for the peer's.
                tokio::time::sleep(Duration::from_millis(3_200)).await;
            }
            drop(stream);
            assert!(matches!(alice.down(link).await, DownReason::Failed { .. }));
            assert_eq!(closed_with(&connection.closed().await).0, 2);
        } else {
            assert!(alice.receive(0, 10).await[1] == frames);
            let again = timeout(Duration::from_millis(1_500), host.listener.accept()).await;
            assert!(again.is_err(), "alice does not try again so soon");
        }
    }
    host.endpoint.close().await;
}

#[tokio::test]
async fn tcp_that_takes_nothing_is_given_up_although_quic_lives() {
    let mut alice = Tcp.node(1, Wish::default()).await;
    let host = Host::new().await;
    let Accepted { connection, mut streams, link } = host.accept(&mut alice).await;
    enough(&mut streams).await;
    let (tcp, _) = host.listener.accept().await.expect("alice tries");
    let mut stream = acceptor(host.secret()).accept(tcp).await.expect("alice believes it");
    stream.read_exact(&mut [0; 32]).await.expect("a token");
    alice.carried_by(link, "quic+tcp").await;
    // More than the buffers of both systems hold, and nobody reads it.
    let out = (0..600).map(|n| outgoing(Lane::Bulk, &frame(n, 100_000))).collect();
    alice.driver.send(link, out).expect("there is room");
    assert!(matches!(alice.down(link).await, DownReason::Failed { .. }));
    assert_eq!(closed_with(&connection.closed().await).0, 2);
    host.endpoint.close().await;
}

#[tokio::test]
async fn a_port_that_answers_nobody_leaves_the_link_on_quic() {
    let mut alice = Tcp.node(1, Wish::default()).await;
    let mut host = Host::new().await;
    // A port that is free again.
    let gone = TcpListener::bind(LOOPBACK).await.expect("a port");
    let held = core::mem::replace(&mut host.listener, gone);
    let Accepted { mut streams, link, .. } = host.accept(&mut alice).await;
    drop(core::mem::replace(&mut host.listener, held));
    for _ in 0..3 {
        let frames = enough(&mut streams[..]).await;
        // Ten frames move the turn by two: start each round where the last one ended.
        streams[1..].rotate_left(2);
        assert!(alice.receive(0, 10).await[1] == frames);
    }
    alice.driver.send(link, vec![outgoing(Lane::Control, &ping(1))]).expect("still up");
    host.endpoint.close().await;
}

#[tokio::test]
async fn the_port_may_be_taken_for_tcp() {
    let holder = TcpListener::bind(LOOPBACK).await.expect("a port");
    let taken = holder.local_addr().expect("bound");
    let (sink, _events) = samara_net::events::events(samara_net::events::EventLimits::default());
    let options = samara_net::iroh::IrohOptions {
        bind: Some(taken),
        ..samara_net::iroh::IrohOptions::direct()
    };
    // UDP is free there, and that is what counts.
    let Ok(driver) = IrohDriver::bind([9; 32], options, sink).await else {
        return; // Another program has the UDP port of this number.
    };
    assert_eq!(driver.bound(), [taken]);
    let stranger = crate::quic::stranger(&[ALPN]).await;
    let addr = PeerAddr::at(driver.local(), [taken]);
    let connection = stranger.connect(engine_addr(&addr), ALPN).await.expect("it is there");
    let mut control = None;
    let mut others = Vec::new();
    for header in 0..5 {
        let (mut send, recv) = connection.open_bi().await.expect("within the limit");
        send.write_all(&[header]).await.expect("open");
        if header == 0 {
            control = Some(recv);
        } else {
            others.push((send, recv));
        }
    }
    let mut offer = [0; 4];
    control.expect("opened").read_exact(&mut offer).await.expect("open");
    let port = u16::from_be_bytes([offer[0], offer[1]]);
    assert!(port != 0 && port != taken.port(), "another port is offered");
    TcpStream::connect(SocketAddr::new(LOOPBACK.ip(), port)).await.expect("somebody listens");
    driver.shutdown().await;
    stranger.close().await;
}

#[tokio::test]
async fn what_was_sent_before_is_not_lost_in_going_over() {
    // Both directions, across the moment at which the lane goes over.
    let Pair { mut alice, mut bob, to_bob, to_alice } = linked(&Quicker, Wish::default()).await;
    let frames: Vec<RawFrame> = (0..400).map(|n| frame(n, 50_000)).collect();
    for some in frames.chunks(20) {
        let out: Vec<_> = some.iter().map(|frame| outgoing(Lane::Bulk, frame)).collect();
        alice.driver.send(to_bob, out.clone()).expect("there is room");
        bob.driver.send(to_alice, out).expect("there is room");
    }
    let (at_alice, at_bob) = tokio::join!(alice.receive(0, 400), bob.receive(0, 400));
    assert!(at_alice[1] == frames && at_bob[1] == frames);
}

/// As [`Tcp`], but links start on QUIC.
struct Quicker;

impl World for Quicker {
    type Driver = IrohDriver;
    const IDLE_TIMEOUT: Duration = Tcp::IDLE_TIMEOUT;

    async fn node(&self, number: u8, wish: Wish) -> Node<IrohDriver> {
        Tcp.node(number, wish).await
    }

    async fn kill(&self, node: Node<IrohDriver>) {
        drop(node);
    }

    fn peer(&self, number: u8) -> PeerId {
        Tcp.peer(number)
    }

    fn nobody(&self) -> PeerAddr {
        Tcp.nobody()
    }
}
