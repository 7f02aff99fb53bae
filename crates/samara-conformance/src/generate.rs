//! Makes the vector files.
//!
//! What is written by hand here is the bytes, above all those that have to be refused, and which
//! requirement they break. What valid bytes mean is filled in by our own decoder; that others read
//! the same in them is what the vectors are for. A list that our own crates do not answer as it
//! says is an error.

use serde_json::Value;

use crate::{Answer, Codec, Expect, Ours, Params, Subject as _, Test, VectorFile};

mod frame;
mod manifest;
mod message;
mod random;
mod record;
mod session;
mod ticket;
mod tree;
mod wire;

pub use random::{MESSAGES, Random, params, value};

/// All files by name, in the order of the names.
///
/// # Errors
///
/// The tests that our own crates do not answer as they should.
pub fn all() -> Result<Vec<(&'static str, VectorFile)>, Vec<String>> {
    let lists = [
        frame::list(),
        tree::frontier(),
        tree::identity(),
        manifest::list(),
        message::session(),
        message::transfer(),
        tree::outboard(),
        wire::ranges(),
        record::list(),
        session::list(),
        ticket::list(),
        wire::tlv(),
        tree::transfer(),
        wire::varint(),
    ];
    let mut problems = Vec::new();
    let mut files = Vec::new();
    for list in lists {
        problems.extend(list.problems);
        files.push((list.name, list.file));
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

/// A vector file that is being made.
struct List {
    name: &'static str,
    file: VectorFile,
    problems: Vec<String>,
}

impl List {
    fn new(name: &'static str, codec: Codec, rfc: &str, about: &str) -> Self {
        let (rfc, about) = (rfc.to_owned(), about.to_owned());
        Self {
            name,
            file: VectorFile { codec, rfc, about, tests: Vec::new() },
            problems: Vec::new(),
        }
    }

    /// Bytes that have a meaning and are its only encoding.
    fn valid(&mut self, comment: &str, params: &Params, bytes: &[u8], req: Option<&str>) {
        let value = self.decoded(comment, params, bytes);
        let encoded = value.as_ref().and_then(|value| self.encoded(comment, params, value));
        if encoded.as_ref().is_some_and(|encoded| encoded != bytes) {
            self.problem(comment, "is not the canonical encoding of its value");
        }
        self.add(comment, params, bytes, (Expect::Valid, req), (value, None));
    }

    /// Bytes that have a meaning, of which some are skipped.
    fn must_ignore(&mut self, comment: &str, params: &Params, bytes: &[u8], req: &str) {
        let value = self.decoded(comment, params, bytes);
        let canonical = value.as_ref().and_then(|value| self.encoded(comment, params, value));
        //= rfcs/0014-conformance.md#conf-9
        //# A vector of a codec that is not encoded MUST NOT be `must-ignore`.
        if canonical.is_none() {
            self.problem(comment, "has no canonical encoding");
        }
        self.add(comment, params, bytes, (Expect::MustIgnore, Some(req)), (value, canonical));
    }

    /// Bytes that have to be refused.
    fn invalid(&mut self, req: &str, comment: &str, params: &Params, bytes: &[u8]) {
        match Ours.decode(self.file.codec, params, bytes) {
            Ok(Answer::Invalid(_)) => {}
            other => self.problem(comment, &format!("has to be refused, and is {other:?}")),
        }
        self.add(comment, params, bytes, (Expect::Invalid, Some(req)), (None, None));
    }

    /// Each proper beginning of bytes that have a meaning, if it has none itself.
    fn cut(&mut self, req: &str, what: &str, params: &Params, bytes: &[u8]) {
        for len in 0..bytes.len() {
            let Some(start) = bytes.get(..len) else { continue };
            let refused =
                matches!(Ours.decode(self.file.codec, params, start), Ok(Answer::Invalid(_)));
            if refused && !self.has(params, start) {
                self.invalid(req, &format!("{what}, cut after {len} bytes"), params, start);
            }
        }
    }

    fn has(&self, params: &Params, bytes: &[u8]) -> bool {
        self.file.tests.iter().any(|test| test.params == *params && test.bytes == bytes)
    }

    fn decoded(&mut self, comment: &str, params: &Params, bytes: &[u8]) -> Option<Value> {
        match Ours.decode(self.file.codec, params, bytes) {
            Ok(Answer::Valid(value)) => Some(value),
            other => {
                self.problem(comment, &format!("has to be taken, and is {other:?}"));
                None
            }
        }
    }

    /// The encoding of a value; `None` for codecs that are not encoded.
    fn encoded(&mut self, comment: &str, params: &Params, value: &Value) -> Option<Vec<u8>> {
        match Ours.encode(self.file.codec, params, value) {
            Ok(Answer::Valid(bytes)) => Some(bytes),
            Ok(Answer::Unsupported) => None,
            other => {
                self.problem(comment, &format!("has to be encoded, and is {other:?}"));
                None
            }
        }
    }

    fn problem(&mut self, comment: &str, problem: &str) {
        self.problems.push(format!("{}: {comment}: {problem}", self.name));
    }

    fn add(
        &mut self,
        comment: &str,
        params: &Params,
        bytes: &[u8],
        (result, req): (Expect, Option<&str>),
        (value, canonical): (Option<Value>, Option<Vec<u8>>),
    ) {
        if self.has(params, bytes) {
            self.problem(comment, "is a test already");
        }
        let id = u32::try_from(self.file.tests.len() + 1).unwrap_or(u32::MAX);
        self.file.tests.push(Test {
            id,
            comment: comment.to_owned(),
            params: params.clone(),
            bytes: bytes.to_vec(),
            result,
            req: req.map(str::to_owned),
            value,
            canonical,
        });
    }
}

/// A varint as our crate writes it; `value` is below 2^62.
fn v(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    // Fails above 2^62 only, and then the test that uses it fails.
    let _ = samara_wire::varint::encode(value, &mut out);
    out
}

/// A TLV.
fn tlv(tlv_type: u64, value: &[u8]) -> Vec<u8> {
    [v(tlv_type), v(value.len() as u64), value.to_vec()].concat()
}

fn no_params() -> Params {
    Params::new()
}
