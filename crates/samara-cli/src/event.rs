//! The JSON objects on standard output. They are part of the interface: fields are added, never
//! changed or removed. The README has the table.

use std::path::Path;

use samara_base::RangeSet;
use serde::{Serialize, Serializer, ser::SerializeSeq as _};

use crate::exit::Failure;

/// A path as JSON can say it: lossy, and exact in hexadecimal if it is not UTF-8.
#[derive(Debug, Default, Serialize)]
pub(crate) struct PathText {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
}

/// The same for the name of a file or directory.
#[derive(Debug, Default, Serialize)]
pub(crate) struct NameText {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_hex: Option<String>,
}

fn lossy(bytes: &[u8]) -> (String, Option<String>) {
    match core::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => {
            let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            (String::from_utf8_lossy(bytes).into_owned(), Some(hex))
        }
    }
}

impl PathText {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let (path, path_hex) = lossy(bytes);
        Self { path, path_hex }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.path.is_empty()
    }

    pub(crate) fn of(path: &Path) -> Self {
        #[cfg(unix)]
        return Self::new(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()));
        #[cfg(not(unix))]
        return Self::new(path.to_string_lossy().as_bytes());
    }
}

impl core::fmt::Display for PathText {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.path)
    }
}

impl NameText {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let (name, name_hex) = lossy(bytes);
        Self { name, name_hex }
    }
}

/// Byte ranges as `[[start, end], …]`, half open.
#[derive(Debug)]
pub(crate) struct Ranges<'a>(pub(crate) &'a RangeSet);

impl Serialize for Ranges<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.runs().len()))?;
        for run in self.0.runs() {
            list.serialize_element(&[run.start, run.end])?;
        }
        list.end()
    }
}

/// A failure. `code` is the exit code, `kind` its name.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "error")]
pub(crate) struct Error<'a> {
    code: u8,
    kind: &'static str,
    message: &'a str,
}

impl<'a> From<&'a Failure> for Error<'a> {
    fn from(failure: &'a Failure) -> Self {
        let Failure { code, message } = failure;
        Self { code: *code as u8, kind: code.name(), message }
    }
}

/// `share`: it can be fetched from now on. The first object of all.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "ready")]
pub(crate) struct Ready {
    pub(crate) id: String,
    pub(crate) size: u64,
    pub(crate) ticket: String,
    pub(crate) format: &'static str,
    pub(crate) files: u64,
    #[serde(flatten)]
    pub(crate) name: NameText,
    pub(crate) peer: String,
    pub(crate) addresses: Vec<String>,
    pub(crate) relay: Option<String>,
}

/// `get`: how far it has come.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "progress")]
pub(crate) struct Progress {
    pub(crate) phase: &'static str,
    pub(crate) bytes: u64,
    pub(crate) bytes_total: Option<u64>,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_reused: u64,
    pub(crate) files: u64,
    pub(crate) files_total: u64,
    /// Bytes per second.
    pub(crate) rate: u64,
    pub(crate) eta_seconds: Option<f64>,
    pub(crate) sources: Vec<Source>,
}

/// A source of a fetch.
#[derive(Debug, Serialize)]
pub(crate) struct Source {
    pub(crate) peer: String,
    pub(crate) connected: bool,
    pub(crate) bytes: u64,
}

/// `get`: nothing moves, and why. `reason` is for programs.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "waiting")]
pub(crate) struct Waiting {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) bytes: u64,
    pub(crate) bytes_total: Option<u64>,
}

/// `get`: a source failed to deliver something.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "blame")]
pub(crate) struct Blame<'a> {
    pub(crate) peer: String,
    pub(crate) fault: &'static str,
    pub(crate) message: String,
    pub(crate) id: String,
    /// Where it lies in the collection; empty for a single blob.
    #[serde(flatten)]
    pub(crate) path: PathText,
    pub(crate) ranges: Ranges<'a>,
}

/// `get`: how it ended. The last object of a fetch that began.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "verdict")]
pub(crate) struct Verdict {
    pub(crate) verdict: &'static str,
    pub(crate) message: String,
    pub(crate) id: String,
    pub(crate) bytes: u64,
    pub(crate) bytes_total: Option<u64>,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_reused: u64,
    pub(crate) seconds: f64,
    /// Where it is now; null if it is in the store, or not complete.
    pub(crate) path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path_hex: Option<String>,
    pub(crate) missing: Vec<Missing>,
}

impl Verdict {
    /// Says where the result is.
    pub(crate) fn at(mut self, path: Option<&Path>) -> Self {
        if let Some(path) = path {
            let PathText { path, path_hex } = PathText::of(path);
            (self.path, self.path_hex) = (Some(path), path_hex);
        }
        self
    }
}

/// A range that no source delivered. Bytes, half open.
#[derive(Debug, Serialize)]
pub(crate) struct Missing {
    pub(crate) id: String,
    /// Where it lies in the collection; empty for a single blob.
    #[serde(flatten)]
    pub(crate) path: PathText,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Who was asked for it.
    pub(crate) sources: Vec<Failed>,
}

/// A source that did not deliver a range, and why, in the words of [`Blame`].
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failed {
    pub(crate) peer: String,
    pub(crate) fault: &'static str,
}

/// `get --keep`: what was fetched is served from here too.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "serving")]
pub(crate) struct Serving {
    pub(crate) id: String,
    pub(crate) ticket: String,
}

/// `add`, `id`, `export`, `rm`: one thing that was done.
#[derive(Debug, Serialize)]
pub(crate) struct Done {
    /// `added`, `id`, `exported` or `removed`.
    pub(crate) event: &'static str,
    pub(crate) id: String,
    pub(crate) size: u64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<PathText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) files: Option<u64>,
}

impl Done {
    pub(crate) fn new(event: &'static str, id: impl ToString, size: u64) -> Self {
        Self { event, id: id.to_string(), size, path: None, format: None, files: None }
    }

    pub(crate) fn at(mut self, path: &Path) -> Self {
        self.path = Some(PathText::of(path));
        self
    }
}

/// `ls` and `stat`: a blob of the store.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "blob")]
pub(crate) struct Blob<'a> {
    pub(crate) id: String,
    pub(crate) size: u64,
    pub(crate) size_proven: bool,
    pub(crate) bytes_held: u64,
    pub(crate) complete: bool,
    pub(crate) format: &'static str,
    /// Bytes of all files of a collection.
    pub(crate) content_size: Option<u64>,
    pub(crate) files: Option<u64>,
    /// Where the bytes are, if not in the store's own segments.
    pub(crate) place: Option<PathText>,
    pub(crate) held: Ranges<'a>,
    pub(crate) damaged: Ranges<'a>,
    pub(crate) tags: Vec<String>,
    pub(crate) store: PathText,
}

/// `ls ID`: an entry of a collection.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "entry")]
pub(crate) struct Entry {
    #[serde(flatten)]
    pub(crate) path: PathText,
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<PathText>,
}

/// `verify`, `scrub`: a blob whose stored bytes were hashed again.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "verified")]
pub(crate) struct Verified<'a> {
    pub(crate) id: String,
    pub(crate) size: u64,
    pub(crate) ok: bool,
    pub(crate) damaged: Ranges<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

/// `verify`, `scrub`: the sum.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "summary")]
pub(crate) struct Summary {
    pub(crate) blobs: u64,
    pub(crate) bytes: u64,
    pub(crate) damaged: u64,
}

/// `rebuild-index`: a store whose index was made again.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "rebuilt")]
pub(crate) struct RebuiltIndex {
    #[serde(flatten)]
    pub(crate) path: PathText,
    pub(crate) whole: u64,
    pub(crate) damaged: u64,
    pub(crate) left_out: u64,
    pub(crate) names: u64,
    pub(crate) skipped_bytes: u64,
}

/// `stat`: a store. The figures are absent if it is in use.
#[derive(Debug, Default, Serialize)]
#[serde(tag = "event", rename = "store")]
pub(crate) struct StoreInfo {
    #[serde(flatten)]
    pub(crate) path: PathText,
    pub(crate) in_use: bool,
    pub(crate) blobs: Option<u64>,
    pub(crate) partial_blobs: Option<u64>,
    /// Sizes of all complete blobs together.
    pub(crate) blob_bytes: Option<u64>,
    /// Bytes in use in the store's own files.
    pub(crate) segment_bytes: Option<u64>,
    /// Space left on the disk.
    pub(crate) free_bytes: Option<u64>,
}

/// `doctor`: one finding. `result` is `ok`, `warn` or `fail`.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "check")]
pub(crate) struct Check<'a> {
    pub(crate) name: &'a str,
    pub(crate) result: &'static str,
    pub(crate) message: &'a str,
    pub(crate) advice: Option<&'a str>,
}

/// `completions`: the script.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "completions")]
pub(crate) struct Completions {
    pub(crate) shell: String,
    pub(crate) script: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_utf8_is_exact_in_hexadecimal() {
        let json = serde_json::to_string(&PathText::new(b"a\xffb")).unwrap();
        assert_eq!(json, "{\"path\":\"a\u{fffd}b\",\"path_hex\":\"61ff62\"}");
        let json = serde_json::to_string(&PathText::new("é".as_bytes())).unwrap();
        assert_eq!(json, r#"{"path":"é"}"#);
    }

    #[test]
    fn ranges_are_pairs() {
        let ranges = RangeSet::from_iter([0..5, 7..9]);
        assert_eq!(serde_json::to_string(&Ranges(&ranges)).unwrap(), "[[0,5],[7,9]]");
    }
}
