use bytes::Bytes;
use samara_base::{Class, GroupLog2};
use samara_wire::{
    Cancel, Close, CloseCode, Credit, Data, End, EndCode, FRAME_BODY_MAX, FrameDecoder, Have,
    Hello, Message, Ping, Pong, Present, Want, varint,
};
use serde_json::{Map, Value, json};

use super::{
    Outcome,
    json::{Object, bytes, number, ranges},
};

pub(super) fn decode(input: &[u8]) -> Outcome<Value> {
    let (kind, body) = varint::decode(input).map_err(|error| error.to_string())?;
    if body.len() > FRAME_BODY_MAX as usize {
        return Err("no frame has a body this long".to_owned());
    }
    let decoded = Message::decode(kind, Bytes::copy_from_slice(body));
    Ok(match decoded.map_err(|error| error.to_string())? {
        Some(message) => to_json(&message),
        None => json!({ "message": "skipped", "kind": number(kind) }),
    })
}

fn to_json(message: &Message) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        out.insert(key.to_owned(), value);
    };
    match message {
        Message::Hello(hello) => {
            put("message", "hello".into());
            put("min", number(hello.version_min));
            put("max", number(hello.version_max));
            if !hello.agent.is_empty() {
                put("agent", hello.agent.as_str().into());
            }
            put("frame_body_max", number(hello.frame_body_max));
            put("wants_max", number(hello.wants_max));
            put("credit", number(hello.credit));
            put("features", number(hello.features));
        }
        Message::Credit(credit) => {
            put("message", "credit".into());
            put("total", number(credit.total));
        }
        Message::Ping(ping) => {
            put("message", "ping".into());
            put("token", number(ping.token));
        }
        Message::Pong(pong) => {
            put("message", "pong".into());
            put("token", number(pong.token));
        }
        Message::Close(close) => {
            put("message", "close".into());
            put("code", number(close.code.code()));
            put("reason", close.reason.as_str().into());
        }
        Message::Present(present) => {
            put("message", "present".into());
            put("right", bytes(&present.right));
        }
        Message::Want(want) => {
            put("message", "want".into());
            put("want", number(want.want));
            put("blob", bytes(want.blob.as_bytes()));
            put("group", number(want.group.get()));
            put("class", number(want.class.code()));
            put("ranges", ranges(&want.ranges));
            put("known", ranges(&want.known));
            if let Some(size) = want.size {
                put("size", number(size));
            }
        }
        Message::Have(have) => {
            put("message", "have".into());
            put("want", number(have.want));
            put("size", number(have.size));
            put("held", ranges(&have.held));
        }
        Message::Data(data) => {
            put("message", "data".into());
            put("want", number(data.want));
            put("first", number(data.first));
            put("proof", bytes(&data.proof));
            put("data", bytes(&data.data));
        }
        Message::End(end) => {
            put("message", "end".into());
            put("want", number(end.want));
            put("code", number(end.code.code()));
            put("missing", ranges(&end.missing));
            if let Some(retry) = end.retry_ms {
                put("retry_ms", number(retry));
            }
        }
        Message::Cancel(cancel) => {
            put("message", "cancel".into());
            put("want", number(cancel.want));
        }
        // One that this crate does not know yet.
        _ => put("message", "unknown".into()),
    }
    Value::Object(out)
}

pub(super) fn encode(value: &Value) -> Outcome<Vec<u8>> {
    let value = Object::new(value)?;
    if value.text("message")? == "skipped" {
        return Ok(Vec::new());
    }
    let message = from_json(value)?;
    let frame = message.encode(false).map_err(|error| error.to_string())?;
    let decoder = FrameDecoder::new(FRAME_BODY_MAX, false);
    let (frame, _) = decoder.decode_one(frame.to_bytes()).map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    varint::encode(frame.kind, &mut out).map_err(|error| error.to_string())?;
    out.extend_from_slice(&frame.body);
    Ok(out)
}

pub(super) fn from_json(value: Object<'_>) -> Outcome<Message> {
    let optional = |key| value.optional(key).map(super::json::to_number).transpose();
    Ok(match value.text("message")? {
        "hello" => {
            let agent = match value.optional("agent") {
                // Absent and empty are two things in the notation, and one of them has no bytes.
                Some(agent) if agent == "" => return Err("an agent is not empty".to_owned()),
                Some(_) => value.text("agent")?.to_owned(),
                None => String::new(),
            };
            Message::Hello(Hello {
                version_min: value.number("min")?,
                version_max: value.number("max")?,
                agent,
                frame_body_max: value.number("frame_body_max")?,
                wants_max: value.number("wants_max")?,
                credit: value.number("credit")?,
                features: value.number("features")?,
            })
        }
        "credit" => Message::Credit(Credit { total: value.number("total")? }),
        "ping" => Message::Ping(Ping { token: value.number("token")? }),
        "pong" => Message::Pong(Pong { token: value.number("token")? }),
        "close" => Message::Close(Close {
            code: CloseCode::from_code(value.number("code")?),
            reason: value.text("reason")?.to_owned(),
        }),
        "present" => Message::Present(Present { right: value.bytes("right")?.into() }),
        "want" => Message::Want(Want {
            want: value.number("want")?,
            blob: value.id("blob")?,
            group: GroupLog2::new(value.number("group")?).ok_or("no such group size")?,
            class: Class::from_code(value.number("class")?).ok_or("no such class")?,
            ranges: value.ranges("ranges")?,
            known: value.ranges("known")?,
            size: optional("size")?,
        }),
        "have" => Message::Have(Have {
            want: value.number("want")?,
            size: value.number("size")?,
            held: value.ranges("held")?,
        }),
        "data" => Message::Data(Data {
            want: value.number("want")?,
            first: value.number("first")?,
            proof: value.bytes("proof")?.into(),
            data: value.bytes("data")?.into(),
        }),
        "end" => Message::End(End {
            want: value.number("want")?,
            code: EndCode::from_code(value.number("code")?),
            missing: value.ranges("missing")?,
            retry_ms: optional("retry_ms")?,
        }),
        "cancel" => Message::Cancel(Cancel { want: value.number("want")? }),
        other => return Err(format!("there is no message `{other}`")),
    })
}
