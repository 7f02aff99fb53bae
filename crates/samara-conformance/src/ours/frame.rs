use bytes::{Bytes, BytesMut};
use samara_wire::{FrameDecoder, RawFrame};
use serde_json::{Value, json};

use super::{
    Outcome,
    json::{Object, bytes, number},
};
use crate::Params;

pub(super) fn decode(params: &Params, input: &[u8]) -> Outcome<Value> {
    let params = Object::of(params);
    let mut decoder = FrameDecoder::new(params.number("body_max")?, params.flag("crc")?);
    let mut buffer = BytesMut::from(input);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.decode(&mut buffer).map_err(|error| error.to_string())? {
        frames.push(json!({ "kind": number(frame.kind), "body": bytes(&frame.body) }));
    }
    if buffer.is_empty() {
        Ok(Value::Array(frames))
    } else {
        Err(format!("{} bytes of the last frame are missing", decoder.need()))
    }
}

pub(super) fn encode(params: &Params, value: &Value) -> Outcome<Vec<u8>> {
    let params = Object::of(params);
    let (crc, body_max) = (params.flag("crc")?, params.number::<usize>("body_max")?);
    let mut out = Vec::new();
    for frame in value.as_array().ok_or("frames are a list")? {
        let frame = Object::new(frame)?;
        let (kind, body) = (frame.number("kind")?, Bytes::from(frame.bytes("body")?));
        if body.len() > body_max {
            return Err(format!("a body of {} bytes is above the limit", body.len()));
        }
        let encoded = RawFrame { kind, body }.encode(crc).map_err(|error| error.to_string())?;
        out.extend_from_slice(&encoded.to_bytes());
    }
    Ok(out)
}
