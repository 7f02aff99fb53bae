//! Ports, multicast, discovery, relay.

use core::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};
use std::{
    io,
    net::{TcpListener, TcpStream, UdpSocket},
};

use samara::{
    Node, NodeOptions,
    net::{
        driver::Driver as _,
        events::{EventLimits, events},
        iroh::{Discovery, IrohDriver, IrohOptions, Relay},
    },
};

use super::Finding;
use crate::exit::plain;

/// Long enough for a packet to this very machine.
const NEAR: Duration = Duration::from_secs(1);

/// Long enough for a relay on the other side of the world.
const FAR: Duration = Duration::from_secs(6);

/// Where mDNS speaks.
const MDNS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

const WITHOUT_LAN: &str = "peers on the LAN are not found by themselves, but tickets have addresses; \
                           allow multicast (mDNS, UDP 5353) in the firewall";

/// Whether a UDP port can be had at all.
pub(super) fn udp(ip: IpAddr) -> Finding {
    match UdpSocket::bind(SocketAddr::new(ip, 0)) {
        Ok(_) => Finding::ok("ports can be opened"),
        Err(error) if ip.is_ipv6() => Finding::warn(
            format!("not available: {}", plain(&error)),
            "nothing to do unless the other side has IPv6 only",
        ),
        Err(error) => Finding::fail(
            format!("no port can be opened: {}", plain(&error)),
            "look at the firewall or sandbox of this machine",
        ),
    }
}

/// Whether the bulk of near peers can travel over TCP.
pub(super) fn tcp() -> Finding {
    let attempt = || -> io::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, listener.local_addr()?.port()));
        TcpStream::connect_timeout(&to, NEAR).map(drop)
    };
    match attempt() {
        Ok(()) => Finding::ok("ports can be opened"),
        Err(error) => Finding::warn(
            format!("not available: {}", plain(&error)),
            "transfers work, but those between near machines are slower; allow TCP at the same port \
             as UDP in the firewall",
        ),
    }
}

/// Whether a multicast packet comes back to this machine.
pub(super) fn multicast() -> Finding {
    let probe = || -> io::Result<bool> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.join_multicast_v4(&MDNS, &Ipv4Addr::UNSPECIFIED)?;
        socket.set_multicast_loop_v4(true)?;
        socket.set_multicast_ttl_v4(1)?;
        socket.set_read_timeout(Some(NEAR))?;
        let sent = format!("samara doctor {}", std::process::id());
        socket.send_to(sent.as_bytes(), (MDNS, socket.local_addr()?.port()))?;
        let mut received = [0; 64];
        match socket.recv(&mut received) {
            Ok(len) => Ok(received.get(..len) == Some(sent.as_bytes())),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Ok(false),
                _ => Err(error),
            },
        }
    };
    match probe() {
        Ok(true) => Finding::ok("works on this machine; others must hear it too to be found"),
        Ok(false) => Finding::warn("a packet to 224.0.0.251 does not come back", WITHOUT_LAN),
        Err(error) => Finding::warn(format!("not available: {}", plain(&error)), WITHOUT_LAN),
    }
}

/// Whether LAN discovery starts, and where peers would find this machine.
pub(super) async fn discovery() -> Finding {
    let (sink, _events) = events(EventLimits::default());
    let options = IrohOptions { lan_discovery: true, ..IrohOptions::direct() };
    let driver = match IrohDriver::bind(process_secret(), options, sink).await {
        Ok(driver) => driver,
        Err(error) => return Finding::fail(error.to_string(), "look at the firewall or sandbox"),
    };
    let direct = driver.addrs().borrow().direct.clone();
    let state = driver.discovery();
    driver.shutdown().await;
    let list: Vec<String> = direct.iter().map(ToString::to_string).collect();
    match state {
        Discovery::Failed { reason } => Finding::warn(reason, WITHOUT_LAN),
        _ if direct.iter().all(|addr| addr.ip().is_loopback()) => Finding::warn(
            format!("this machine is in no network; reachable at {}", list.join(", ")),
            "connect it to one, if others shall reach it",
        ),
        _ => Finding::ok(format!("on; reachable at {}", list.join(", "))),
    }
}

/// An identity for a check that is over in a moment and trusted by nobody.
fn process_secret() -> [u8; 32] {
    *blake3::hash(format!("samara doctor {}", std::process::id()).as_bytes()).as_bytes()
}

/// Whether the default relay answers.
pub(super) async fn relay() -> Finding {
    let advice = "transfers on the LAN and to machines with an address of their own work without it; \
                  for others, look at the internet connection, or name a relay with --relay";
    let (node, _dir) = match node(Relay::Default).await {
        Ok(started) => started,
        Err(error) => return Finding::warn(error, advice),
    };
    let mut addrs = node.addrs();
    let answered = addrs.wait_for(|addrs| addrs.relay.is_some());
    let url = match tokio::time::timeout(FAR, answered).await {
        Ok(Ok(addrs)) => addrs.relay.clone(),
        _ => None,
    };
    super::transfer::end(&node).await;
    match url {
        Some(url) => Finding::ok(format!("{url} answers")),
        None => Finding::warn(format!("none answers within {} s", FAR.as_secs()), advice),
    }
}

async fn node(relay: Relay) -> Result<(Node, super::transfer::Dir), String> {
    let dir = super::transfer::Dir::new("net").map_err(|error| plain(&error))?;
    let options = NodeOptions { relay, ..NodeOptions::direct(dir.path().join("store")) };
    let node = Node::start(options).await.map_err(|error| error.to_string())?;
    Ok((node, dir))
}
