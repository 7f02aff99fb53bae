//! Holds a subject to the vectors, and two subjects to each other.

use core::fmt;
use std::{collections::BTreeMap, io};

use data_encoding::HEXLOWER;
use serde_json::Value;

use crate::{
    Answer, Codec, Params, Requirements, Subject,
    requirements::Section,
    vectors::{Expect, Test, VectorFile},
};

/// What a subject may leave out, and why.
pub type Skips = BTreeMap<Codec, String>;

/// One thing that went wrong.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The vector file, without its ending, and the number of the test.
    pub test: String,
    /// The test's comment.
    pub comment: String,
    /// Where the test belongs; `None` for what is no test of a vector file.
    pub section: Option<Section>,
    /// What was expected and what came.
    pub problem: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.test, self.comment, self.problem)?;
        match self.section.as_ref().and_then(|section| section.req.as_ref()) {
            Some(req) => write!(f, " [{req}]"),
            None => Ok(()),
        }
    }
}

/// Counts of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Answered as they say.
    pub passed: u32,
    /// Answered otherwise.
    pub failed: u32,
    /// Left out for a reason.
    pub skipped: u32,
}

/// What came out of a run.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Tests passed, by codec.
    pub passed: BTreeMap<Codec, u32>,
    /// Tests skipped, by codec.
    pub skipped: BTreeMap<Codec, u32>,
    /// Tests passed whose value the subject read and does not encode, by codec.
    pub decoded_only: BTreeMap<Codec, u32>,
    /// What passed, failed or was skipped, by section of the RFCs.
    pub sections: BTreeMap<Section, Tally>,
    /// What failed.
    pub failures: Vec<Failure>,
}

impl Report {
    /// Whether nothing failed.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Runs all tests of some files against a subject. `requirements` say to which RFC a test belongs.
///
/// # Errors
///
/// If the subject is out of reach. What it answers wrong is in the report.
pub fn run(
    subject: &mut impl Subject,
    files: &[(String, VectorFile)],
    skips: &Skips,
    requirements: &Requirements,
) -> io::Result<Report> {
    let mut report = Report::default();
    for (name, file) in files {
        for test in &file.tests {
            let outcome = one(subject, file.codec, test)?;
            let section = requirements.section(file, test);
            let tally = report.sections.entry(section.clone()).or_default();
            let problem = match outcome {
                Outcome::Passed | Outcome::DecodedOnly => {
                    if matches!(outcome, Outcome::DecodedOnly) {
                        *report.decoded_only.entry(file.codec).or_default() += 1;
                    }
                    tally.passed += 1;
                    *report.passed.entry(file.codec).or_default() += 1;
                    continue;
                }
                Outcome::Unsupported if skips.contains_key(&file.codec) => {
                    tally.skipped += 1;
                    *report.skipped.entry(file.codec).or_default() += 1;
                    continue;
                }
                Outcome::Unsupported => {
                    "not supported, and no reason was given for leaving it out".to_owned()
                }
                Outcome::Failed(problem) => problem,
            };
            tally.failed += 1;
            report.failures.push(Failure {
                test: format!("{name} {}", test.id),
                comment: test.comment.clone(),
                section: Some(section),
                problem,
            });
        }
    }
    Ok(report)
}

enum Outcome {
    Passed,
    /// The bytes were read as they say; the value is not encoded.
    DecodedOnly,
    Unsupported,
    Failed(String),
}

fn one(subject: &mut impl Subject, codec: Codec, test: &Test) -> io::Result<Outcome> {
    let decoded = subject.decode(codec, &test.params, &test.bytes)?;
    match (test.result, decoded) {
        (_, Answer::Unsupported) => return Ok(Outcome::Unsupported),
        //= rfcs/0014-conformance.md#conf-2
        //# A subject MUST answer `invalid` to the bytes of each invalid vector of a codec that it
        //# supports.
        (Expect::Invalid, Answer::Invalid(_)) => return Ok(Outcome::Passed),
        (Expect::Invalid, Answer::Valid(value)) => {
            return Ok(Outcome::Failed(format!("has to be refused, was taken as {value}")));
        }
        //= rfcs/0014-conformance.md#conf-1
        //# A subject MUST answer `valid` with the test's value to the bytes of each valid and each
        //# must-ignore vector of a codec that it supports.
        (_, Answer::Valid(value)) => {
            let expected = test.value.as_ref().unwrap_or(&Value::Null);
            if value != *expected {
                return Ok(Outcome::Failed(format!("means {expected}, was taken as {value}")));
            }
        }
        (_, Answer::Invalid(reason)) => {
            return Ok(Outcome::Failed(format!("has to be taken, was refused: {reason}")));
        }
    }
    //= rfcs/0014-conformance.md#conf-3
    //# A subject that encodes MUST answer the value of each vector with its canonical bytes.
    let (Some(value), Some(bytes)) = (&test.value, test.canonical_bytes()) else {
        return Ok(Outcome::Passed);
    };
    Ok(match subject.encode(codec, &test.params, value)? {
        Answer::Valid(found) if found == bytes => Outcome::Passed,
        // Decoding alone is a subject too: a receiver, say.
        Answer::Unsupported => Outcome::DecodedOnly,
        Answer::Valid(found) => Outcome::Failed(format!(
            "its value is encoded as {}, not as {}",
            shorten(&HEXLOWER.encode(&found)),
            shorten(&HEXLOWER.encode(bytes))
        )),
        Answer::Invalid(reason) => {
            Outcome::Failed(format!("its value was refused for encoding: {reason}"))
        }
    })
}

fn shorten(text: &str) -> String {
    match text.get(..200) {
        Some(start) if text.len() > 200 => format!("{start}…"),
        _ => text.to_owned(),
    }
}

/// Has each of two subjects decode what the other encodes. `values` are encoded by both; the bytes
/// have to be the same, and each has to read them back as the value.
///
/// # Errors
///
/// If a subject is out of reach.
pub fn cross(
    left: &mut impl Subject,
    right: &mut impl Subject,
    codec: Codec,
    params: &Params,
    values: impl IntoIterator<Item = Value>,
) -> io::Result<Report> {
    let mut report = Report::default();
    for (at, value) in values.into_iter().enumerate() {
        let problem = differ(left, right, codec, params, &value)?;
        match problem {
            None => *report.passed.entry(codec).or_default() += 1,
            Some(problem) => report.failures.push(Failure {
                test: format!("{codec} {at}"),
                comment: shorten(&value.to_string()),
                section: None,
                problem,
            }),
        }
    }
    Ok(report)
}

fn differ(
    left: &mut impl Subject,
    right: &mut impl Subject,
    codec: Codec,
    params: &Params,
    value: &Value,
) -> io::Result<Option<String>> {
    let (a, b) = (left.encode(codec, params, value)?, right.encode(codec, params, value)?);
    let (Answer::Valid(a), Answer::Valid(b)) = (&a, &b) else {
        return Ok(Some(format!("encoded as {a:?} and as {b:?}")));
    };
    if a != b {
        return Ok(Some(format!(
            "encoded as {} and as {}",
            HEXLOWER.encode(a),
            HEXLOWER.encode(b)
        )));
    }
    for answer in [left.decode(codec, params, a)?, right.decode(codec, params, b)?] {
        if answer != Answer::Valid(value.clone()) {
            return Ok(Some(format!("{} was read as {answer:?}", HEXLOWER.encode(a))));
        }
    }
    Ok(None)
}
