//! Values by chance, for two subjects to agree on.

use samara_base::RangeSet;
use serde_json::{Map, Value, json};

use crate::{
    Codec, Params,
    ours::{bytes, number, ranges},
};

/// Numbers by chance, the same for the same seed on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Numbers for a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// The next number.
    pub const fn number(&mut self) -> u64 {
        // xorshift64*.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`, which is above 0.
    pub const fn below(&mut self, end: u64) -> u64 {
        (self.number() >> 11) % end
    }

    /// A number of up to `bits` bits: all lengths are equally likely.
    pub const fn sized(&mut self, bits: u32) -> u64 {
        let bits = self.below(bits as u64 + 1);
        if bits == 0 { 0 } else { self.number() >> (64 - bits) }
    }

    /// Whether a coin falls on its head.
    pub const fn coin(&mut self) -> bool {
        self.number() >> 63 == 1
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.number().to_le_bytes()[7]).collect()
    }

    fn text(&mut self, len: u64) -> String {
        let letters = ['a', 'Z', '0', ' ', '\n', '"', '\\', '\u{e9}', '\u{20ac}', '\u{1f600}'];
        let mut text = String::new();
        while (text.len() as u64) + 4 <= len {
            let at = usize::try_from(self.below(letters.len() as u64)).unwrap_or(0);
            text.extend(letters.get(at));
        }
        text
    }

    fn set(&mut self, runs_max: u64, end: u32) -> RangeSet {
        let mut set = RangeSet::new();
        let few = if self.coin() { 3 } else { runs_max };
        let (runs, mut at) = (self.below(few.min(runs_max) + 1), 0_u64);
        for _ in 0..runs {
            let (gap, len) = (self.sized(end - 12), self.sized(end - 12) + 1);
            at += gap + 1;
            set.insert(at..at + len);
            at += len;
        }
        set
    }
}

/// What the values of [`value`] are decoded under.
#[must_use]
pub fn params(codec: Codec) -> Params {
    let value = match codec {
        Codec::Ranges => json!({ "runs_max": "1024" }),
        Codec::Tlv => json!({ "known": (0..64).map(number).collect::<Value>() }),
        Codec::Frame => json!({ "crc": true, "body_max": "1114112" }),
        _ => json!({}),
    };
    match value {
        Value::Object(params) => params,
        _ => Params::new(),
    }
}

/// The names of the messages that [`value`] makes.
pub const MESSAGES: [&str; 11] = [
    "hello", "credit", "ping", "pong", "close", "present", "want", "have", "data", "end", "cancel",
];

/// A value of a codec; of messages, the one of this name. `None` for codecs whose bytes do not
/// follow from a value.
pub fn value(codec: Codec, message: &str, random: &mut Random) -> Option<Value> {
    Some(match codec {
        Codec::Varint => number(random.sized(62)),
        Codec::Ranges => ranges(&random.set(1024, 54)),
        Codec::Tlv => {
            let mut types: Vec<u64> = (0..random.below(33)).map(|_| random.below(64)).collect();
            types.sort_unstable();
            types.dedup();
            types
                .into_iter()
                .map(|tlv_type| {
                    let len = random.sized(9);
                    json!({ "type": number(tlv_type), "value": bytes(&random.bytes(len)) })
                })
                .collect()
        }
        Codec::Frame => (0..random.below(4))
            .map(|_| {
                let (kind, len) = (random.sized(62), random.sized(11));
                json!({ "kind": number(kind), "body": bytes(&random.bytes(len)) })
            })
            .collect(),
        Codec::Message => message_value(message, random)?,
        Codec::Manifest => manifest(random),
        _ => return None,
    })
}

fn message_value(message: &str, random: &mut Random) -> Option<Value> {
    let mut value = match message {
        "hello" => {
            let min = random.sized(30);
            json!({
                "min": number(min),
                "max": number(min + random.sized(30)),
                "frame_body_max": number(128 + random.below(1_114_112 - 127)),
                "wants_max": number(random.sized(62)),
                "credit": number(random.sized(62)),
                "features": number(random.sized(62)),
            })
        }
        "credit" => json!({ "total": number(random.sized(62)) }),
        "ping" | "pong" => json!({ "token": number(random.sized(62)) }),
        "close" => {
            let len = random.below(257);
            json!({ "code": number(random.sized(62)), "reason": random.text(len) })
        }
        "present" => {
            let len = random.below(256) + 1;
            json!({ "right": bytes(&random.bytes(len)) })
        }
        "want" => want(random),
        "have" => {
            let (size, held) = (random.sized(62), random.set(1024, 54));
            json!({
                "want": number(random.sized(62)),
                "size": number(size),
                "held": ranges(&held.within(&(0..samara_base::leaves(size)))),
            })
        }
        "data" => {
            let (proof, data) = (64 * random.below(129), random.below(3_000) + 1);
            json!({
                "want": number(random.sized(62)),
                "first": number(random.sized(53)),
                "proof": bytes(&random.bytes(proof)),
                "data": bytes(&random.bytes(data)),
            })
        }
        "end" => json!({
            "want": number(random.sized(62)),
            "code": number(random.sized(62)),
            "missing": ranges(&random.set(1024, 54)),
        }),
        "cancel" => json!({ "want": number(random.sized(62)) }),
        _ => return None,
    };
    let object = value.as_object_mut()?;
    object.insert("message".to_owned(), message.into());
    if message == "hello" && random.coin() {
        let len = 4 + random.below(61);
        object.insert("agent".to_owned(), random.text(len).into());
    }
    let optional = match message {
        "want" => "size",
        "end" => "retry_ms",
        _ => return Some(value),
    };
    if random.coin() {
        object.insert(optional.to_owned(), number(random.sized(62)));
    }
    Some(value)
}

fn want(random: &mut Random) -> Value {
    let mut wanted = random.set(1024, 54);
    if wanted.is_empty() {
        wanted.insert(0..1);
    }
    let mut known = random.set(64, 54).difference(&wanted);
    if known.runs().len() > 64 {
        known = known.runs().iter().take(64).cloned().collect();
    }
    json!({
        "want": number(random.sized(62)),
        "blob": bytes(&random.bytes(32)),
        "group": number(random.below(11)),
        "class": number(random.below(5)),
        "ranges": ranges(&wanted),
        "known": ranges(&known),
    })
}

/// Names that come in this order.
const NAMES: [&[u8]; 8] = [b"\x01", b"A", b"B.txt", b"a", b"ab", b"ab.c", b"b\xff\xfe", b"zz zz"];

fn manifest(random: &mut Random) -> Value {
    let mut entries = Vec::new();
    below(random, &[], 0, &mut entries);
    json!({ "entries": entries })
}

fn below(random: &mut Random, parent: &[u8], depth: u32, entries: &mut Vec<Value>) {
    for name in NAMES {
        if random.below(3) > 0 {
            continue;
        }
        let slash: &[u8] = if parent.is_empty() { b"" } else { b"/" };
        let path = [parent, slash, name].concat();
        let mut entry = Map::from_iter([("path".to_owned(), bytes(&path))]);
        let mut put = |key: &str, value: Value| {
            entry.insert(key.to_owned(), value);
        };
        let kind = random.below(3);
        if kind < 2 {
            put("mode", number(random.below(0o1000)));
            if random.coin() {
                let seconds = random.sized(60).cast_signed();
                let seconds = if random.coin() { seconds } else { -seconds };
                let nanos = random.below(1_000_000_000);
                put("mtime", Value::Array(vec![number(seconds), number(nanos)]));
            }
        }
        match kind {
            0 => {
                put("kind", "file".into());
                put("size", number(random.sized(40)));
                put("id", bytes(&random.bytes(32)));
            }
            1 => put("kind", "directory".into()),
            _ => {
                put("kind", "symlink".into());
                put("target", bytes(b"../a"));
            }
        }
        entries.push(Value::Object(entry));
        if kind == 1 && depth < 3 {
            below(random, &path, depth + 1, entries);
        }
    }
}
