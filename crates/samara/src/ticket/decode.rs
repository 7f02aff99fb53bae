//! From the bytes of a ticket to the ticket.

use core::net::{IpAddr, SocketAddr};

use samara_base::{BlobId, PeerId};
use samara_wire::{DecodeReason, tlv, varint};

use super::{
    ADDRESSES_MAX, Format, PROVIDERS_MAX, Provider, Secret, Ticket, TicketError, TicketField,
    field, provider_field,
};

const fn malformed(field: TicketField) -> TicketError {
    TicketError::Malformed { field }
}

/// Reads the fields of a ticket.
pub(super) fn body(body: &[u8]) -> Result<Ticket, TicketError> {
    let (mut root, mut format, mut size) = (None, None, None);
    let (mut name, mut secret, mut providers) = (None, None, None);
    fields(body, |kind, value| {
        let slot = match kind {
            field::ROOT => &mut root,
            field::SIZE => &mut size,
            field::FORMAT => &mut format,
            field::NAME => &mut name,
            field::SECRET => &mut secret,
            field::PROVIDERS => &mut providers,
            _ => return false,
        };
        *slot = Some(value);
        true
    })?;
    //= rfcs/0001-architecture.md#ticket-8
    //# A reader MUST refuse a ticket that lacks its root or its format, or has a field that the
    //# table does not allow.
    let root = root
        .and_then(|root| <[u8; 32]>::try_from(root).ok())
        .map(BlobId::from_bytes)
        .ok_or(malformed(TicketField::Root))?;
    let format = format
        .and_then(number)
        .and_then(Format::from_code)
        .ok_or(malformed(TicketField::Format))?;
    let mut ticket = Ticket::new(root, format);
    if let Some(size) = size {
        let size = number(size).ok_or(malformed(TicketField::Size))?;
        ticket = ticket.with_size(size).map_err(|_| malformed(TicketField::Size))?;
    }
    if let Some(name) = name {
        ticket = ticket.with_name(name).map_err(|_| malformed(TicketField::Name))?;
    }
    if let Some(secret) = secret {
        ticket = Secret::new(secret)
            .and_then(|secret| ticket.with_secret(secret))
            .map_err(|_| malformed(TicketField::Secret))?;
    }
    if let Some(list) = providers {
        ticket = self::providers(ticket, list)?;
    }
    Ok(ticket)
}

/// Walks a section of fields; `known` says whether it knows the type.
fn fields<'a>(
    section: &'a [u8],
    known: impl FnMut(u64, &'a [u8]) -> bool,
) -> Result<(), TicketError> {
    //= rfcs/0001-architecture.md#ticket-7
    //# A reader MUST refuse a ticket that has a field of an even type that it does not know.
    tlv::decode(section, known).map_err(|error| match error.reason {
        DecodeReason::CriticalTlv { tlv_type } => TicketError::UnknownField { kind: tlv_type },
        _ => malformed(TicketField::Fields),
    })
}

/// A value that is one varint and nothing else.
fn number(value: &[u8]) -> Option<u64> {
    match varint::decode(value) {
        Ok((number, [])) => Some(number),
        _ => None,
    }
}

fn providers(mut ticket: Ticket, list: &[u8]) -> Result<Ticket, TicketError> {
    let wrong = malformed(TicketField::Providers);
    let mut rest = list;
    let mut count = 0;
    while count == 0 || !rest.is_empty() {
        let (len, after) = varint::decode(rest).map_err(|_| wrong)?;
        let len = usize::try_from(len).map_err(|_| wrong)?;
        let (record, after) = after.split_at_checked(len).ok_or(wrong)?;
        rest = after;
        count += 1;
        if count > PROVIDERS_MAX {
            return Err(wrong);
        }
        ticket = ticket.with_provider(provider(record)?).map_err(|_| wrong)?;
    }
    Ok(ticket)
}

fn provider(record: &[u8]) -> Result<Provider, TicketError> {
    let (peer, section) = record.split_first_chunk().ok_or(malformed(TicketField::Providers))?;
    let (mut ipv4, mut ipv6, mut relay) = (None, None, None);
    fields(section, |kind, value| {
        match kind {
            provider_field::IPV4 => ipv4 = Some(value),
            provider_field::IPV6 => ipv6 = Some(value),
            provider_field::RELAY => relay = Some(value),
            _ => return false,
        }
        true
    })?;
    let mut provider = Provider::new(PeerId::from_bytes(*peer));
    let wrong = malformed(TicketField::Address);
    let v4 = ipv4.map(addresses::<4, 6>).transpose()?.unwrap_or_default();
    let v6 = ipv6.map(addresses::<16, 18>).transpose()?.unwrap_or_default();
    for address in v4.iter().chain(&v6) {
        provider = provider.with_address(*address).map_err(|_| wrong)?;
    }
    // Sorted, no duplicates, no IPv4 in IPv6 form: then adding changed nothing.
    if provider.addresses().iter().ne(v4.iter().chain(&v6)) {
        return Err(wrong);
    }
    if let Some(url) = relay {
        let wrong = malformed(TicketField::Relay);
        let url = core::str::from_utf8(url).map_err(|_| wrong)?;
        provider = provider.with_relay(url).map_err(|_| wrong)?;
    }
    Ok(provider)
}

/// A list of addresses, each `IP` bytes and a port, that is `EACH` bytes in all.
fn addresses<const IP: usize, const EACH: usize>(
    list: &[u8],
) -> Result<Vec<SocketAddr>, TicketError>
where
    IpAddr: From<[u8; IP]>,
{
    let wrong = malformed(TicketField::Address);
    let (records, left) = list.as_chunks::<EACH>();
    if records.is_empty() || records.len() > ADDRESSES_MAX || !left.is_empty() {
        return Err(wrong);
    }
    let read = |record: &[u8; EACH]| {
        let (ip, port) = record.split_first_chunk::<IP>()?;
        let port = u16::from_be_bytes(*port.first_chunk()?);
        Some(SocketAddr::new(IpAddr::from(*ip), port))
    };
    records.iter().map(read).collect::<Option<_>>().ok_or(wrong)
}
