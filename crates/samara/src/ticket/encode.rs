use core::net::IpAddr;

use samara_wire::{tlv, varint};

use super::{CHECKSUM_LEN, PREFIX, Provider, Ticket, field, provider_field};

/// The fields of a ticket.
pub(super) fn body(ticket: &Ticket) -> Vec<u8> {
    let mut out = Vec::new();
    put(field::ROOT, ticket.root.as_bytes(), &mut out);
    if let Some(size) = ticket.size {
        put(field::SIZE, &number(size), &mut out);
    }
    put(field::FORMAT, &number(ticket.format.code()), &mut out);
    if let Some(name) = &ticket.name {
        put(field::NAME, name, &mut out);
    }
    if let Some(secret) = &ticket.secret {
        put(field::SECRET, secret.as_bytes(), &mut out);
    }
    if !ticket.providers.is_empty() {
        let mut list = Vec::new();
        for provider in &ticket.providers {
            let record = record(provider);
            list.extend_from_slice(&number(record.len() as u64));
            list.extend_from_slice(&record);
        }
        put(field::PROVIDERS, &list, &mut out);
    }
    out
}

/// The bytes that become letters: the length of the body, the body, the checksum.
pub(super) fn sealed(body: &[u8]) -> Vec<u8> {
    let mut out = number(body.len() as u64);
    out.extend_from_slice(body);
    let checksum = checksum(&out);
    out.extend_from_slice(&checksum);
    out
}

/// The checksum of a ticket, over the prefix and all bytes before the checksum.
pub(super) fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_LEN] {
    let covered = [PREFIX.as_bytes(), bytes].concat();
    let [a, b, c, d, ..] = *samara_tree::hash(&covered).as_bytes();
    [a, b, c, d]
}

/// Length of a ticket whose body has `body_len` bytes. Unit: characters.
pub(super) fn text_len(body_len: usize) -> usize {
    let prefix = varint::len(body_len as u64).unwrap_or(varint::LEN_MAX);
    PREFIX.len() + letters(prefix + body_len + CHECKSUM_LEN)
}

/// Letters that `bytes` bytes take in base 32 without padding.
pub(super) const fn letters(bytes: usize) -> usize {
    (bytes * 8).div_ceil(5)
}

fn record(provider: &Provider) -> Vec<u8> {
    let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
    for address in provider.addresses() {
        let port = address.port().to_be_bytes();
        match address.ip() {
            IpAddr::V4(ip) => ipv4.extend(ip.octets().into_iter().chain(port)),
            IpAddr::V6(ip) => ipv6.extend(ip.octets().into_iter().chain(port)),
        }
    }
    let mut out = provider.peer().as_bytes().to_vec();
    let relay = provider.relay().unwrap_or_default().as_bytes();
    for (kind, value) in [
        (provider_field::IPV4, &ipv4[..]),
        (provider_field::IPV6, &ipv6),
        (provider_field::RELAY, relay),
    ] {
        if !value.is_empty() {
            put(kind, value, &mut out);
        }
    }
    out
}

fn number(value: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(varint::LEN_MAX);
    varint::encode(value, &mut out).expect("invariant: sizes were checked, lengths are small");
    out
}

fn put(kind: u64, value: &[u8], out: &mut Vec<u8>) {
    tlv::encode(kind, value, out).expect("invariant: no field is longer than a TLV holds");
}
