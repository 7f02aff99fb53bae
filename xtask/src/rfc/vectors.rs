//! Which requirements the vectors name.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{sh, text};

/// How many vectors name each requirement.
///
/// # Errors
///
/// If a vector file can't be read.
pub(super) fn count() -> Result<BTreeMap<String, u32>> {
    let mut found = BTreeMap::new();
    let folder = sh::root().join("rfcs/vectors");
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let file: Value = serde_json::from_str(&text::read(&path)?)
            .with_context(|| path.display().to_string())?;
        for test in file.get("tests").and_then(Value::as_array).into_iter().flatten() {
            if let Some(id) = test.get("req").and_then(Value::as_str) {
                *found.entry(id.to_owned()).or_default() += 1;
            }
        }
    }
    Ok(found)
}
