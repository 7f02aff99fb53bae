//! The vectors of the RFCs as inputs of the fuzz targets.

use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::corpus_dir;
use crate::vectors;

/// Puts the bytes of all vectors into the corpora of the targets that take them.
///
/// # Errors
///
/// If a vector file can't be read or is not as RFC 0014 says.
pub(super) fn spread() -> Result<()> {
    let mut count = 0;
    vectors::each(|name, codec, test| {
        let Some((target, input)) = input(codec, test)? else { return Ok(()) };
        let folder = corpus_dir(target);
        fs::create_dir_all(&folder)?;
        let id = test.get("id").and_then(Value::as_u64).unwrap_or_default();
        fs::write(folder.join(format!("vector-{name}-{id}")), input)?;
        count += 1;
        Ok(())
    })?;
    eprintln!("fuzz: {count} vectors are inputs");
    if count == 0 { bail!("no vector is an input; were the codecs renamed?") } else { Ok(()) }
}

/// The target that decodes a codec, and what it takes for a test. Transfers and outboards are not
/// among them: the target that verifies makes these of the input, and damages them.
fn input(codec: &str, test: &Value) -> Result<Option<(&'static str, Vec<u8>)>> {
    let bytes = hex(test.get("bytes").and_then(Value::as_str).unwrap_or_default())?;
    let param = |name: &str| test.get("params")?.get(name)?.as_str()?.parse::<u64>().ok();
    let byte = |value: u64| u8::try_from(value).unwrap_or(u8::MAX);
    Ok(match codec {
        "varint" => Some(("wire_varint", bytes)),
        "ranges" => Some(("wire_ranges", bytes)),
        "tlv" => Some(("wire_tlv", bytes)),
        "message" => Some(("wire_message", bytes)),
        "manifest" => Some(("chunk_manifest", bytes)),
        "ticket" => Some(("samara_ticket", bytes)),
        "session" => Some(("mesh_session", bytes)),
        "frame" => {
            // Whether there are CRC-32s, and the body limit in units of 16 bytes.
            let crc = test.pointer("/params/crc").and_then(Value::as_bool).unwrap_or(false);
            let limit = byte(param("body_max").unwrap_or(0) / 16);
            Some(("wire_frame_stream", [&[u8::from(crc), limit], bytes.as_slice()].concat()))
        }
        "record" => {
            let segment = byte(param("segment").unwrap_or(0));
            Some(("store_record", [&[segment], bytes.as_slice()].concat()))
        }
        "frontier" => {
            // A blob of that size of which nothing is held, and the bytes as they are.
            let [low, high] = u16::try_from(param("size").unwrap_or(0)).unwrap_or(0).to_le_bytes();
            Some(("tree_frontier", [&[0, low, high, 0, 1, 0], bytes.as_slice()].concat()))
        }
        _ => None,
    })
}

fn hex(text: &str) -> Result<Vec<u8>> {
    let digit = |at: usize| {
        let digit = text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        digit.with_context(|| format!("`{text}` is not hex"))
    };
    (0..text.len()).step_by(2).map(digit).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_vector_becomes_the_input_of_its_target() -> Result<()> {
        let test = json!({ "bytes": "4007" });
        assert_eq!(input("varint", &test)?, Some(("wire_varint", vec![0x40, 0x07])));
        let test = json!({ "bytes": "0401", "params": { "crc": true, "body_max": "128" } });
        assert_eq!(input("frame", &test)?, Some(("wire_frame_stream", vec![1, 8, 4, 1])));
        let test = json!({ "bytes": "aa", "params": { "segment": "7" } });
        assert_eq!(input("record", &test)?, Some(("store_record", vec![7, 0xaa])));
        let test = json!({ "bytes": "0401", "params": { "credit": "9" } });
        assert_eq!(input("session", &test)?, Some(("mesh_session", vec![4, 1])));
        let test = json!({ "bytes": "aa", "params": { "size": "300" } });
        let expected = vec![0, 0x2c, 0x01, 0, 1, 0, 0xaa];
        assert_eq!(input("frontier", &test)?, Some(("tree_frontier", expected)));
        assert_eq!(input("identity", &json!({ "bytes": "" }))?, None);
        assert!(input("varint", &json!({ "bytes": "4" })).is_err());
        Ok(())
    }
}
