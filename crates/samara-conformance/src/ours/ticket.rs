use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use samara::ticket::{Format, Provider, Secret, Ticket};
use samara_base::PeerId;
use serde_json::{Map, Value};

use super::{
    Outcome,
    json::{Object, bytes, number, to_bytes, to_number},
};

pub(super) fn decode(input: &[u8]) -> Outcome<Value> {
    let text = core::str::from_utf8(input).map_err(|error| error.to_string())?;
    let ticket: Ticket = text.parse().map_err(|error| format!("{error}"))?;
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        out.insert(key.to_owned(), value);
    };
    put("root", bytes(ticket.root().as_bytes()));
    let format = if ticket.format() == Format::Collection { "collection" } else { "blob" };
    put("format", format.into());
    if let Some(size) = ticket.size() {
        put("size", number(size));
    }
    if let Some(name) = ticket.raw_name() {
        put("name", bytes(name));
    }
    if let Some(secret) = ticket.secret() {
        put("secret", bytes(secret.as_bytes()));
    }
    if !ticket.providers().is_empty() {
        put("providers", ticket.providers().iter().map(provider_to_json).collect());
    }
    Ok(Value::Object(out))
}

fn provider_to_json(provider: &Provider) -> Value {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for address in provider.addresses() {
        let (list, octets) = match address.ip() {
            IpAddr::V4(ip) => (&mut v4, ip.octets().to_vec()),
            IpAddr::V6(ip) => (&mut v6, ip.octets().to_vec()),
        };
        list.push(Value::Array(vec![bytes(&octets), number(address.port())]));
    }
    let mut out = Map::from_iter([
        ("peer".to_owned(), bytes(provider.peer().as_bytes())),
        ("v4".to_owned(), Value::Array(v4)),
        ("v6".to_owned(), Value::Array(v6)),
    ]);
    if let Some(relay) = provider.relay() {
        out.insert("relay".to_owned(), relay.into());
    }
    Value::Object(out)
}

pub(super) fn encode(value: &Value) -> Outcome<Vec<u8>> {
    let value = Object::new(value)?;
    let format = match value.text("format")? {
        "blob" => Format::Blob,
        "collection" => Format::Collection,
        other => return Err(format!("there is no format `{other}`")),
    };
    let failed = |error: samara::ticket::TicketBuildError| error.to_string();
    let mut ticket = Ticket::new(value.id("root")?, format);
    if value.optional("size").is_some() {
        ticket = ticket.with_size(value.number("size")?).map_err(failed)?;
    }
    if value.optional("name").is_some() {
        ticket = ticket.with_name(&value.bytes("name")?).map_err(failed)?;
    }
    if value.optional("secret").is_some() {
        let secret = Secret::new(&value.bytes("secret")?).map_err(failed)?;
        ticket = ticket.with_secret(secret).map_err(failed)?;
    }
    if value.optional("providers").is_some() {
        for provider in value.list("providers")? {
            let provider = provider_from_json(Object::new(provider)?)?;
            ticket = ticket.with_provider(provider).map_err(failed)?;
        }
    }
    Ok(ticket.to_string().into_bytes())
}

fn provider_from_json(value: Object<'_>) -> Outcome<Provider> {
    let failed = |error: samara::ticket::TicketBuildError| error.to_string();
    let peer = <[u8; 32]>::try_from(value.bytes("peer")?).map_err(|_| "`peer` has not 32 bytes")?;
    let mut provider = Provider::new(PeerId::from_bytes(peer));
    for key in ["v4", "v6"] {
        for address in value.list(key)? {
            let Some([ip, port]) = address.as_array().map(Vec::as_slice) else {
                return Err(format!("{address} is no address"));
            };
            let ip = to_bytes(ip)?;
            let ip: IpAddr = match key {
                "v4" => <[u8; 4]>::try_from(ip).map(|octets| Ipv4Addr::from(octets).into()),
                _ => <[u8; 16]>::try_from(ip).map(|octets| Ipv6Addr::from(octets).into()),
            }
            .map_err(|_| format!("{address} has an address of another length"))?;
            let address = SocketAddr::new(ip, to_number(port)?);
            provider = provider.with_address(address).map_err(failed)?;
        }
    }
    if value.optional("relay").is_some() {
        provider = provider.with_relay(value.text("relay")?).map_err(failed)?;
    }
    Ok(provider)
}
