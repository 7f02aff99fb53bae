use samara_chunk::{
    Decoder, Entry, EntryKind, Extensions, Manifest, ManifestEncoder, Mode, Mtime, Step,
};
use serde_json::{Map, Value};

use super::{
    Outcome,
    json::{Object, bytes, number, to_bytes, to_number},
};

pub(super) fn decode(input: &[u8]) -> Outcome<Value> {
    let manifest = Manifest::decode(input).map_err(|error| error.to_string())?;
    let mut entries = Vec::new();
    let mut iter = manifest.iter();
    while let Some(entry) = iter.next_entry() {
        entries.push(entry_to_json(&entry));
    }
    let mut value = Map::from_iter([("entries".to_owned(), Value::Array(entries))]);
    let mut decoder = Decoder::new();
    if let Ok(Step::Header { extensions, .. }) = decoder.step(input)
        && !extensions.is_empty()
    {
        value.insert("extensions".to_owned(), bytes(extensions.as_bytes()));
    }
    Ok(Value::Object(value))
}

fn entry_to_json(entry: &Entry<'_>) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        out.insert(key.to_owned(), value);
    };
    put("path", bytes(entry.path));
    let time = |mtime: Mtime| Value::Array(vec![number(mtime.seconds()), number(mtime.nanos())]);
    match entry.kind {
        EntryKind::File { mode, mtime, size, id } => {
            put("kind", "file".into());
            put("mode", number(mode.bits()));
            if let Some(mtime) = mtime {
                put("mtime", time(mtime));
            }
            put("size", number(size));
            put("id", bytes(id.as_bytes()));
        }
        EntryKind::Directory { mode, mtime } => {
            put("kind", "directory".into());
            put("mode", number(mode.bits()));
            if let Some(mtime) = mtime {
                put("mtime", time(mtime));
            }
        }
        EntryKind::Symlink { target } => {
            put("kind", "symlink".into());
            put("target", bytes(target));
        }
    }
    if !entry.extensions.is_empty() {
        put("extensions", bytes(entry.extensions.as_bytes()));
    }
    Value::Object(out)
}

/// The bytes of optional extensions: present means that there are some.
fn extensions(object: Object<'_>) -> Outcome<Vec<u8>> {
    match object.optional("extensions") {
        None => Ok(Vec::new()),
        Some(value) => match to_bytes(value)? {
            empty if empty.is_empty() => Err("extensions that are there are not empty".to_owned()),
            bytes => Ok(bytes),
        },
    }
}

pub(super) fn encode(value: &Value) -> Outcome<Vec<u8>> {
    let value = Object::new(value)?;
    let own = extensions(value)?;
    let own = Extensions::decode(&own).map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    let mut encoder = ManifestEncoder::with_extensions(own, &mut out);
    for entry in value.list("entries")? {
        push(&mut encoder, Object::new(entry)?, &mut out)?;
    }
    encoder.finish(&mut out);
    Ok(out)
}

fn push(encoder: &mut ManifestEncoder, entry: Object<'_>, out: &mut Vec<u8>) -> Outcome<()> {
    let path = entry.bytes("path")?;
    let extensions = extensions(entry)?;
    let mode = || {
        let mode = Mode::new(entry.number("mode")?);
        mode.ok_or_else(|| "no such mode".to_owned())
    };
    let mtime = || match entry.optional("mtime") {
        None => Ok(None),
        Some(value) => match value.as_array().map(Vec::as_slice) {
            Some([seconds, nanos]) => {
                let mtime = Mtime::new(to_number(seconds)?, to_number(nanos)?);
                mtime.map(Some).ok_or_else(|| format!("no such time as {value}"))
            }
            _ => Err(format!("{value} is no time")),
        },
    };
    let target;
    let kind = match entry.text("kind")? {
        "file" => EntryKind::File {
            mode: mode()?,
            mtime: mtime()?,
            size: entry.number("size")?,
            id: entry.id("id")?,
        },
        "directory" => EntryKind::Directory { mode: mode()?, mtime: mtime()? },
        "symlink" => {
            target = entry.bytes("target")?;
            EntryKind::Symlink { target: &target }
        }
        other => return Err(format!("there is no kind `{other}`")),
    };
    let extensions = Extensions::decode(&extensions).map_err(|error| error.to_string())?;
    let entry = Entry { path: &path, kind, extensions };
    encoder.push(&entry, out).map_err(|error| error.to_string())
}
