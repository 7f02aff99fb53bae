//! Between the addresses of this crate and those of the engine.

use iroh::{EndpointAddr, EndpointId, TransportAddr};

use super::relay_url;
use crate::driver::{DialError, LocalAddrs, PeerAddr};

/// What the engine says of this node, sorted.
pub(super) fn local(addr: &EndpointAddr) -> LocalAddrs {
    let mut direct: Vec<_> = addr.ip_addrs().copied().collect();
    direct.sort_unstable();
    LocalAddrs { direct, relay: addr.relay_urls().next().map(ToString::to_string) }
}

/// What to give to the engine in order to reach a peer.
pub(super) fn remote(addr: &PeerAddr, relays: bool) -> Result<EndpointAddr, DialError> {
    let peer = EndpointId::from_bytes(addr.peer.as_bytes()).map_err(|error| {
        DialError::BadAddress { reason: format!("{} is no public key: {error}", addr.peer) }
    })?;
    let mut to = EndpointAddr::new(peer);
    to.addrs.extend(addr.direct.iter().copied().map(TransportAddr::Ip));
    if relays && let Some(url) = &addr.relay {
        let url = relay_url(url).map_err(|reason| DialError::BadAddress {
            reason: format!("{url:?} is no relay URL: {reason}"),
        })?;
        to.addrs.insert(TransportAddr::Relay(url));
    }
    Ok(to)
}

#[cfg(test)]
mod tests {
    use samara_base::PeerId;

    use super::*;

    fn peer() -> PeerId {
        PeerId::from_bytes(*iroh::SecretKey::from_bytes(&[3; 32]).public().as_bytes())
    }

    #[test]
    fn a_relay_counts_only_if_relays_are_on() {
        let relay = Some("https://relay.example.org/".to_owned());
        let addr = PeerAddr { relay, ..PeerAddr::at(peer(), ["192.0.2.1:7".parse().unwrap()]) };
        assert_eq!(remote(&addr, true).unwrap().addrs.len(), 2);
        assert_eq!(remote(&addr, false).unwrap().addrs.len(), 1);
    }

    #[test]
    fn what_cannot_be_an_address_is_refused() {
        let relay = Some("not a URL".to_owned());
        let addr = PeerAddr { relay, ..PeerAddr::new(peer()) };
        assert!(matches!(remote(&addr, true), Err(DialError::BadAddress { .. })));
        // Not the encoding of a curve point.
        let mut bytes = [0; 32];
        bytes[0] = 2;
        let addr = PeerAddr::new(PeerId::from_bytes(bytes));
        assert!(matches!(remote(&addr, true), Err(DialError::BadAddress { .. })));
    }

    #[test]
    fn local_addresses_are_sorted() {
        let one = "192.0.2.9:1".parse().unwrap();
        let two = "192.0.2.1:1".parse().unwrap();
        let addr = EndpointAddr::new(EndpointId::from_bytes(peer().as_bytes()).unwrap())
            .with_ip_addr(one)
            .with_ip_addr(two);
        assert_eq!(local(&addr).direct, [two, one]);
        assert_eq!(local(&addr).relay, None);
    }
}
