use samara_store::conformance::{self, Record};
use serde_json::{Value, json};

use super::{
    Outcome,
    json::{Object, bytes, number},
};
use crate::Params;

pub(super) fn decode(params: &Params, input: &[u8]) -> Outcome<Value> {
    let record = conformance::decode(input, Object::of(params).number("segment")?)?;
    Ok(json!({
        "kind": number(record.kind),
        "provisional": record.provisional,
        "compressed": record.compressed,
        "id": bytes(record.id.as_bytes()),
        "blob_size": number(record.blob_size),
        "blob_offset": number(record.blob_offset),
        "payload": bytes(&record.payload),
    }))
}

pub(super) fn encode(params: &Params, value: &Value) -> Outcome<Vec<u8>> {
    let value = Object::new(value)?;
    let record = Record {
        kind: value.number("kind")?,
        provisional: value.flag("provisional")?,
        compressed: value.flag("compressed")?,
        id: value.id("id")?,
        blob_size: value.number("blob_size")?,
        blob_offset: value.number("blob_offset")?,
        payload: value.bytes("payload")?,
    };
    conformance::encode(&record, Object::of(params).number("segment")?)
}
