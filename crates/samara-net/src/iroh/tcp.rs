//! TCP beside the QUIC endpoint: listeners, and the connections of bulk lanes.
//!
//! Who may have which connection: RFC 0001, "The bulk lane over TCP".

use core::{fmt, net::SocketAddr, time::Duration};
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, Weak},
};

use iroh::endpoint::Connection;
use rustls::pki_types::ServerName;
use samara_base::PeerId;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, oneshot},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::{Shared, tls};
use crate::links::lock;

/// Handshakes under way at the same time; what comes beyond is closed.
const HANDSHAKES_MAX: usize = 64;

/// Longest time from a connection's begin to the end of its token.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a peer whose connection broke is not dialled again.
const BAR: Duration = Duration::from_secs(60);

/// Barred peers that are remembered at most.
const BARRED_MAX: usize = 1024;

/// Read from the socket at once. Unit: bytes. The TLS engine takes 4 KiB at a time.
const READ_BUFFER: usize = 64 << 10;

/// What the TLS engine holds on the way out. Unit: bytes.
const WRITE_BUFFER: usize = 256 << 10;

/// The lowest port that an offer may name.
const PORT_MIN: u16 = 1024;

/// Where this side takes connections, as a peer is told.
pub(super) const OFFER_LEN: usize = 4;

/// A connection after its token.
pub(super) type Stream = TlsStream<BufReader<TcpStream>>;
/// What comes in.
pub(super) type Reading = ReadHalf<Stream>;
/// What goes out.
pub(super) type Writing = WriteHalf<Stream>;

/// Ties a TCP connection to one QUIC connection: both ends compute it, nobody else can.
type Token = [u8; 32];

fn token(connection: &Connection) -> io::Result<Token> {
    let mut token = [0; 32];
    connection
        .export_keying_material(&mut token, b"samara bulk lane", b"")
        .map_err(|_error| io::Error::other("the engine exports no keys"))?;
    Ok(token)
}

/// One driver's TCP side.
pub(super) struct Tcp {
    acceptor: Option<TlsAcceptor>,
    /// Ports on IPv4 and IPv6, 0 for none.
    ports: [u16; 2],
    expected: Mutex<BTreeMap<Token, oneshot::Sender<Stream>>>,
    barred: Mutex<BTreeMap<PeerId, Instant>>,
    /// One permit for each handshake that a peer may have under way.
    handshakes: Arc<Semaphore>,
}

impl fmt::Debug for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tcp").field("ports", &self.ports).finish_non_exhaustive()
    }
}

impl Tcp {
    /// Listens at the addresses of the QUIC sockets: at the same port if it is free for TCP, else
    /// at any. Where that fails, this side takes no connections and bulk stays on QUIC.
    pub(super) fn bind(
        secret: &[u8; 32],
        local: PeerId,
        bound: &[SocketAddr],
    ) -> (Self, Vec<TcpListener>) {
        let (mut listeners, mut ports) = (Vec::new(), [0; 2]);
        let acceptor = tls::acceptor(secret, local)
            .inspect_err(|error| tracing::warn!(%error, "no TLS: bulk stays on QUIC"))
            .ok();
        for addr in bound.iter().filter(|_| acceptor.is_some()) {
            let port = &mut ports[usize::from(addr.is_ipv6())];
            if *port != 0 {
                continue;
            }
            let any = SocketAddr::new(addr.ip(), 0);
            // Nobody would dial a system's port, so it is left to others.
            let same = if addr.port() < PORT_MIN { any } else { *addr };
            match listen(same).or_else(|_taken| listen(any)) {
                Ok(listener) => {
                    *port = listener.local_addr().map_or(0, |addr| addr.port());
                    listeners.push(listener);
                }
                Err(error) => tracing::debug!(%addr, %error, "no TCP: bulk stays on QUIC"),
            }
        }
        let (expected, barred) = (Mutex::default(), Mutex::default());
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        (Self { acceptor, ports, expected, barred, handshakes }, listeners)
    }

    /// What a peer that dialled is offered, and what waits for the connection that comes of it.
    pub(super) fn invite(
        self: &Arc<Self>,
        connection: &Connection,
        peer: PeerId,
    ) -> ([u8; OFFER_LEN], Option<Expected>) {
        let nothing = ([0; OFFER_LEN], None);
        if self.ports == [0; 2] || self.is_barred(peer) {
            return nothing;
        }
        let Ok(token) = token(connection) else { return nothing };
        let (sender, stream) = oneshot::channel();
        lock(&self.expected).insert(token, sender);
        let [[a, b], [c, d]] = self.ports.map(u16::to_be_bytes);
        ([a, b, c, d], Some(Expected { tcp: Arc::clone(self), token, stream }))
    }

    /// Opens the connection that belongs to a link.
    pub(super) async fn dial(
        connection: &Connection,
        peer: PeerId,
        to: SocketAddr,
        idle: Duration,
    ) -> io::Result<Stream> {
        let token = token(connection)?;
        let connector = tls::connector(peer).map_err(io::Error::other)?;
        let dial = async {
            let tcp = TcpStream::connect(to).await?;
            prepare(&tcp, idle);
            let name = ServerName::IpAddress(to.ip().into());
            let tcp = BufReader::with_capacity(READ_BUFFER, tcp);
            let mut stream = begin(connector.connect(name, tcp).await?.into())?;
            stream.write_all(&token).await?;
            stream.flush().await?;
            Ok(stream)
        };
        timeout(HANDSHAKE_TIMEOUT, dial).await?
    }

    /// Keeps a peer on QUIC for a while: its TCP connection ended before the link.
    pub(super) fn bar(&self, peer: PeerId) {
        let mut barred = lock(&self.barred);
        barred.retain(|_peer, since| since.elapsed() < BAR);
        if barred.len() < BARRED_MAX {
            barred.insert(peer, Instant::now());
        }
    }

    pub(super) fn is_barred(&self, peer: PeerId) -> bool {
        lock(&self.barred).get(&peer).is_some_and(|since| since.elapsed() < BAR)
    }
}

/// Where to dial, given what the peer offers and how it is reached.
pub(super) fn target(offer: [u8; OFFER_LEN], path: SocketAddr) -> Option<SocketAddr> {
    let [a, b, c, d] = offer;
    let port = u16::from_be_bytes(if path.is_ipv4() { [a, b] } else { [c, d] });
    let mut target = path;
    target.set_port(port);
    (port >= PORT_MIN).then_some(target)
}

/// A link's claim on the connection that shows its token.
pub(super) struct Expected {
    tcp: Arc<Tcp>,
    token: Token,
    stream: oneshot::Receiver<Stream>,
}

impl Expected {
    /// The connection, once it is there; `None` if there will be none.
    pub(super) async fn stream(&mut self) -> Option<Stream> {
        (&mut self.stream).await.ok()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        lock(&self.tcp.expected).remove(&self.token);
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        // IPv4 has a listener of its own.
        socket.set_only_v6(true)?;
    }
    // A restart finds its port free although connections of the last run are not forgotten yet.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(128)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Sets what a bulk connection needs. What a system lacks it does without.
fn prepare(tcp: &TcpStream, idle: Duration) {
    // An error here means that the connection is gone, which its first use tells.
    let _ = tcp.set_nodelay(true);
    // Both sides notice a path that is dead for TCP and not for QUIC, whether data travel or not.
    let _ = SockRef::from(tcp).set_tcp_keepalive(&TcpKeepalive::new().with_time(idle));
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = SockRef::from(tcp).set_tcp_user_timeout(Some(patience(idle)));
}

/// What both sides do after the handshake. TLS lets a side be silent about its protocol.
fn begin(mut stream: Stream) -> io::Result<Stream> {
    if stream.get_ref().1.alpn_protocol() != Some(tls::ALPN) {
        return Err(io::Error::other("another protocol"));
    }
    match &mut stream {
        TlsStream::Client(side) => side.get_mut().1.set_buffer_limit(Some(WRITE_BUFFER)),
        TlsStream::Server(side) => side.get_mut().1.set_buffer_limit(Some(WRITE_BUFFER)),
    }
    Ok(stream)
}

/// How long data may stay unacknowledged: as long as on a QUIC connection, and as long again for a
/// reader that takes nothing for a while.
pub(super) fn patience(idle: Duration) -> Duration {
    idle.saturating_mul(2)
}

/// Takes connections until the endpoint closes.
pub(super) async fn accept(shared: Weak<Shared>, listener: TcpListener) {
    loop {
        let accepted = listener.accept().await;
        let Some(shared) = shared.upgrade() else { return };
        let tcp = match accepted {
            Ok((tcp, _from)) => tcp,
            Err(error) => {
                // Out of descriptors, mostly: those of others must close first.
                tracing::debug!(%error, "a TCP connection could not be taken");
                drop(shared);
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let handshakes = Arc::clone(&shared.tcp.handshakes);
        let Ok(handshake) = handshakes.try_acquire_owned() else { continue };
        // A stranger's socket keeps nothing alive.
        let closed = shared.endpoint.closed();
        tokio::spawn(closed.run_until(async move {
            match timeout(HANDSHAKE_TIMEOUT, greet(&shared, tcp)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a TCP connection is not a link's"),
                Err(_elapsed) => tracing::debug!("a TCP connection showed no token"),
            }
            drop(handshake);
        }));
    }
}

//= rfcs/0001-architecture.md#link-12
//# The side that accepts MUST close a TCP connection whose first 32 bytes are not the token of
//# an open link that has no TCP connection yet.
async fn greet(shared: &Shared, tcp: TcpStream) -> io::Result<()> {
    let no_tls = || io::Error::other("TLS is not set up");
    let acceptor = shared.tcp.acceptor.as_ref().ok_or_else(no_tls)?;
    prepare(&tcp, shared.options.idle_timeout);
    let tcp = BufReader::with_capacity(READ_BUFFER, tcp);
    let mut stream = begin(acceptor.accept(tcp).await?.into())?;
    let mut token = Token::default();
    stream.read_exact(&mut token).await?;
    // Taken out: a token opens one connection.
    let link = lock(&shared.tcp.expected).remove(&token);
    let link = link.ok_or_else(|| io::Error::other("no link waits for this token"))?;
    link.send(stream).map_err(|_stream| io::Error::other("the link has ended"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offer_of_the_rfc_is_read() {
        let offer = [0xb7, 0xd3, 0, 0];
        let v4: SocketAddr = "192.0.2.7:1".parse().unwrap();
        let v6: SocketAddr = "[fe80::7]:1".parse().unwrap();
        assert_eq!(target(offer, v4), Some("192.0.2.7:47059".parse().unwrap()));
        assert_eq!(target(offer, v6), None);
        assert_eq!(target([0x03, 0xff, 0x04, 0x00], v4), None, "a system's port");
        assert_eq!(target([0x03, 0xff, 0x04, 0x00], v6).map(|addr| addr.port()), Some(1024));
    }
}
