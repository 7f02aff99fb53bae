use samara_wire::{ranges as sets, tlv, varint};
use serde_json::{Value, json};

use super::{
    Outcome,
    json::{Object, bytes, number, ranges, to_bytes, to_number, to_ranges},
};
use crate::Params;

fn whole<T>((value, rest): (T, &[u8])) -> Outcome<T> {
    if rest.is_empty() { Ok(value) } else { Err(format!("{} bytes follow it", rest.len())) }
}

pub(super) fn decode_varint(input: &[u8]) -> Outcome<Value> {
    let decoded = varint::decode(input).map_err(|error| error.to_string())?;
    whole(decoded).map(number)
}

pub(super) fn encode_varint(value: &Value) -> Outcome<Vec<u8>> {
    let mut out = Vec::new();
    varint::encode(to_number(value)?, &mut out).map_err(|error| error.to_string())?;
    Ok(out)
}

pub(super) fn decode_ranges(params: &Params, input: &[u8]) -> Outcome<Value> {
    let runs_max = Object::of(params).number("runs_max")?;
    let decoded = sets::decode(input, runs_max).map_err(|error| error.to_string())?;
    whole(decoded).map(|set| ranges(&set))
}

pub(super) fn encode_ranges(params: &Params, value: &Value) -> Outcome<Vec<u8>> {
    let (set, runs_max) = (to_ranges(value)?, Object::of(params).number("runs_max")?);
    let mut out = Vec::new();
    sets::encode(&set, runs_max, &mut out).map_err(|error| error.to_string())?;
    Ok(out)
}

pub(super) fn decode_tlv(params: &Params, input: &[u8]) -> Outcome<Value> {
    let known = Object::of(params).list("known")?;
    let known = known.iter().map(to_number::<u64>).collect::<Outcome<Vec<_>>>()?;
    let mut found = Vec::new();
    tlv::decode(input, |tlv_type, value| {
        let is_known = known.contains(&tlv_type);
        if is_known {
            found.push(json!({ "type": number(tlv_type), "value": bytes(value) }));
        }
        is_known
    })
    .map_err(|error| error.to_string())?;
    Ok(Value::Array(found))
}

pub(super) fn encode_tlv(value: &Value) -> Outcome<Vec<u8>> {
    let list = value.as_array().ok_or("a section is a list")?;
    let (mut out, mut next) = (Vec::new(), 0);
    for one in list {
        let one = Object::new(one)?;
        let tlv_type: u64 = one.number("type")?;
        if tlv_type < next {
            return Err("the types do not ascend".to_owned());
        }
        next = tlv_type + 1;
        let value = to_bytes(one.get("value")?)?;
        tlv::encode(tlv_type, &value, &mut out).map_err(|error| error.to_string())?;
    }
    if list.len() > tlv::TLVS_MAX {
        return Err(format!("a section has at most {} TLVs", tlv::TLVS_MAX));
    }
    Ok(out)
}
