use core::net::{IpAddr, SocketAddr, SocketAddrV6};

use samara_base::PeerId;

use super::{ADDRESSES_MAX, RELAY_BYTES_MAX, TicketBuildError};

/// Somebody who has the content, and where to reach them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Provider {
    peer: PeerId,
    /// Sorted, without duplicates, IPv4 first; IPv6 without scope and flow.
    addresses: Vec<SocketAddr>,
    relay: Option<String>,
}

impl Provider {
    /// A peer that has to be found by its key alone.
    #[must_use]
    pub const fn new(peer: PeerId) -> Self {
        Self { peer, addresses: Vec::new(), relay: None }
    }

    /// Adds an address. Addresses are a set: sorted, and one that is there already changes
    /// nothing. Scope and flow of an IPv6 address mean nothing on another machine and are dropped;
    /// an IPv4 address in IPv6 form becomes IPv4.
    ///
    /// # Errors
    ///
    /// The port is 0, or there are 8 addresses already.
    pub fn with_address(mut self, address: SocketAddr) -> Result<Self, TicketBuildError> {
        //= rfcs/0001-architecture.md#ticket-11
        //# A reader MUST refuse a ticket that has an address with port 0.
        if address.port() == 0 {
            return Err(TicketBuildError::Port);
        }
        let address = match address.ip().to_canonical() {
            ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
            IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, address.port(), 0, 0)),
        };
        let Err(at) = self.addresses.binary_search(&address) else {
            return Ok(self);
        };
        if self.addresses.len() >= ADDRESSES_MAX {
            return Err(TicketBuildError::TooManyAddresses);
        }
        self.addresses.insert(at, address);
        Ok(self)
    }

    /// Says which relay the peer can be reached through.
    ///
    /// # Errors
    ///
    /// The URL is empty, longer than 255 bytes or has blanks or control characters.
    pub fn with_relay(mut self, url: &str) -> Result<Self, TicketBuildError> {
        if !is_relay(url) {
            return Err(TicketBuildError::Relay);
        }
        self.relay = Some(url.to_owned());
        Ok(self)
    }

    /// The peer's key.
    #[must_use]
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    /// Where the peer listens: sorted, IPv4 first. May be empty.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The URL of the peer's relay. Not parsed: the link that uses it does that.
    #[must_use]
    pub fn relay(&self) -> Option<&str> {
        self.relay.as_deref()
    }
}

/// Whether a text can be a relay URL as far as a ticket cares.
pub(super) fn is_relay(url: &str) -> bool {
    (1..=RELAY_BYTES_MAX).contains(&url.len())
        && !url.chars().any(|letter| letter.is_whitespace() || letter.is_control())
}
