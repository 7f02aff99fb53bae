//! Our own crates are the first subject.

use std::{collections::BTreeSet, io, path::Path};

use samara_conformance::{
    Answer, Codec, Expect, Failure, Ours, Params, Requirements, Skips, Subject, VectorFile, cross,
    generate, run, serve,
};
use serde_json::{Value, json};

fn vectors() -> Vec<(String, VectorFile)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rfcs/vectors");
    VectorFile::read_all(&directory).unwrap_or_else(|error| panic!("{error}"))
}

//= rfcs/0014-conformance.md#conf-1
//= type=test
//# A subject MUST answer `valid` with the test's value to the bytes of each valid and each
//# must-ignore vector of a codec that it supports.
//= rfcs/0014-conformance.md#conf-2
//= type=test
//# A subject MUST answer `invalid` to the bytes of each invalid vector of a codec that it
//# supports.
//= rfcs/0014-conformance.md#conf-3
//= type=test
//# A subject that encodes MUST answer the value of each vector with its canonical bytes.
#[test]
fn our_crates_answer_every_vector() {
    let report = run(&mut Ours, &vectors(), &Skips::new(), &Requirements::default())
        .unwrap_or_else(|e| panic!("{e}"));
    assert!(report.is_clean(), "{:#?}", report.failures);
    // What can be encoded is: the values of these do not say which bytes they come from.
    for codec in report.decoded_only.keys() {
        use Codec::{Frontier, Identity, Outboard, Session, Transfer};
        assert!(matches!(codec, Frontier | Identity | Outboard | Session | Transfer), "{codec}");
    }
}

#[test]
fn the_files_are_what_the_generator_writes() {
    let made = generate::all().unwrap_or_else(|problems| panic!("{}", problems.join("\n")));
    let files = vectors();
    assert_eq!(files.len(), made.len());
    for ((name, file), (made_name, made)) in files.iter().zip(&made) {
        assert_eq!(name, made_name);
        assert!(file == made, "{name}: run `cargo xtask vectors gen` and look at the difference");
    }
}

#[test]
fn there_are_many_vectors_and_most_have_to_be_refused() {
    let files = vectors();
    let tests = || files.iter().flat_map(|(_, file)| &file.tests);
    let refused = tests().filter(|test| test.result == Expect::Invalid).count();
    assert!(tests().count() >= 600, "{}", tests().count());
    assert!(2 * refused >= tests().count(), "{refused} of {}", tests().count());
    let ignored = tests().filter(|test| test.result == Expect::MustIgnore).count();
    assert!(ignored >= 20, "{ignored}");
}

#[test]
fn no_bytes_come_twice() {
    for (name, file) in vectors() {
        let mut seen = BTreeSet::new();
        for test in &file.tests {
            let params = Value::Object(test.params.clone()).to_string();
            assert!(seen.insert((params, &test.bytes)), "{name} {}: {}", test.id, test.comment);
        }
    }
}

/// Takes everything, whatever it is.
struct Credulous;

impl Subject for Credulous {
    fn name(&self) -> String {
        "credulous".to_owned()
    }

    fn decode(&mut self, codec: Codec, params: &Params, bytes: &[u8]) -> io::Result<Answer<Value>> {
        Ok(match Ours.decode(codec, params, bytes)? {
            Answer::Invalid(_) => Answer::Valid(json!("something")),
            other => other,
        })
    }

    fn encode(
        &mut self,
        codec: Codec,
        params: &Params,
        value: &Value,
    ) -> io::Result<Answer<Vec<u8>>> {
        Ours.encode(codec, params, value)
    }
}

/// Encodes with a byte too many.
struct Sloppy;

impl Subject for Sloppy {
    fn name(&self) -> String {
        "sloppy".to_owned()
    }

    fn decode(&mut self, codec: Codec, params: &Params, bytes: &[u8]) -> io::Result<Answer<Value>> {
        Ours.decode(codec, params, bytes)
    }

    fn encode(
        &mut self,
        codec: Codec,
        params: &Params,
        value: &Value,
    ) -> io::Result<Answer<Vec<u8>>> {
        Ok(Ours.encode(codec, params, value)?.map(|mut bytes| {
            bytes.push(0);
            bytes
        }))
    }
}

/// Knows nothing.
struct Ignorant;

impl Subject for Ignorant {
    fn name(&self) -> String {
        "ignorant".to_owned()
    }

    fn decode(&mut self, _: Codec, _: &Params, _: &[u8]) -> io::Result<Answer<Value>> {
        Ok(Answer::Unsupported)
    }

    fn encode(&mut self, _: Codec, _: &Params, _: &Value) -> io::Result<Answer<Vec<u8>>> {
        Ok(Answer::Unsupported)
    }
}

#[test]
fn the_runner_finds_what_is_wrong() {
    let files = vectors();
    let all: usize = files.iter().map(|(_, file)| file.tests.len()).sum();
    let refused = files.iter().flat_map(|(_, file)| &file.tests);
    let refused = refused.filter(|test| test.result == Expect::Invalid).count();

    let credulous = run(&mut Credulous, &files, &Skips::new(), &Requirements::default())
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(credulous.failures.len(), refused, "each invalid vector finds it");
    let named = |failure: &Failure| failure.section.as_ref().is_some_and(|s| s.req.is_some());
    assert!(credulous.failures.iter().all(named));

    let sloppy = run(&mut Sloppy, &files, &Skips::new(), &Requirements::default())
        .unwrap_or_else(|e| panic!("{e}"));
    assert!(!sloppy.is_clean());

    let ignorant = run(&mut Ignorant, &files, &Skips::new(), &Requirements::default())
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(ignorant.failures.len(), all, "nothing is left out without a reason");
    let skips = Codec::ALL.map(|codec| (codec, "knows nothing".to_owned()));
    let skipped = run(&mut Ignorant, &files, &skips.into(), &Requirements::default())
        .unwrap_or_else(|e| panic!("{e}"));
    assert!(skipped.is_clean() && skipped.passed.is_empty());
}

#[test]
fn a_difference_between_two_subjects_is_found() {
    let mut random = generate::Random::new(1);
    let params = generate::params(Codec::Varint);
    let values: Vec<_> =
        (0..50).filter_map(|_| generate::value(Codec::Varint, "", &mut random)).collect();
    let same = cross(&mut Ours, &mut Ours, Codec::Varint, &params, values.clone());
    assert!(same.is_ok_and(|report| report.is_clean() && report.passed[&Codec::Varint] == 50));
    let other = cross(&mut Ours, &mut Sloppy, Codec::Varint, &params, values);
    assert!(other.is_ok_and(|report| report.failures.len() == 50));
}

#[test]
fn values_by_chance_are_values() {
    for codec in Codec::ALL {
        for message in generate::MESSAGES {
            let mut random = generate::Random::new(7);
            let values = core::iter::from_fn(|| generate::value(codec, message, &mut random));
            let params = generate::params(codec);
            let report = cross(&mut Ours, &mut Ours, codec, &params, values.take(100));
            let report = report.unwrap_or_else(|error| panic!("{error}"));
            assert!(report.is_clean(), "{codec} {message}: {:#?}", report.failures.first());
        }
    }
}

//= rfcs/0014-conformance.md#conf-10
//= type=test
//# A vector of `session` MUST have the same result and value whenever the node under test looks blobs
//# up, stores what it is sent, and has its own frames leave.
#[test]
fn what_a_session_leads_to_follows_from_its_bytes() {
    let files = vectors();
    let sessions = files.iter().find(|(name, _)| name == "session");
    let Some((_, sessions)) = sessions else { panic!("there are scripts of sessions") };
    let tests = sessions.tests.len();
    let refused = sessions.tests.iter().filter(|test| test.result == Expect::Invalid).count();
    assert!(tests >= 60 && 2 * refused >= tests, "{refused} of {tests} break the protocol");
    // The generator runs each with a store that answers at once and with one that answers last, in
    // reverse, and fails if they differ.
    assert!(generate::all().is_ok());
    let kept = ["opening", "open", "closed"].map(|state| {
        let has = |test: &&samara_conformance::Test| {
            test.value.as_ref().is_some_and(|value| value["state"] == state)
        };
        sessions.tests.iter().filter(has).count()
    });
    assert!(kept.iter().all(|count| *count >= 3), "{kept:?}");
}

//= rfcs/0014-conformance.md#conf-9
//= type=test
//# A vector of a codec that is not encoded MUST NOT be `must-ignore`.
#[test]
fn what_is_not_encoded_has_nothing_to_ignore() {
    let mut skips = 0;
    for (name, file) in vectors() {
        let encoded = Ours.encode(file.codec, &Params::new(), &Value::Null);
        let encoded = encoded.unwrap_or_else(|error| panic!("{error}")) != Answer::Unsupported;
        for test in file.tests {
            skips += usize::from(!encoded && test.req.as_deref() == Some("TREE-9"));
            assert!(encoded || test.result != Expect::MustIgnore, "{name} {}", test.id);
        }
    }
    assert!(skips > 0, "transfers in which something is skipped are valid");
}

//= rfcs/0014-conformance.md#conf-8
//= type=test
//# A subject that encodes MUST answer `invalid` to a value that no bytes mean, except `skipped`.
#[test]
fn values_that_are_none_are_not_mended() {
    let entry =
        |mode: &str| json!({ "entries": [{ "path": "61", "kind": "directory", "mode": mode }] });
    let known = Params::from_iter([("known".to_owned(), json!(["1"]))]);
    for (codec, params, value, sound) in [
        (Codec::Manifest, Params::new(), entry("511"), true),
        (Codec::Manifest, Params::new(), entry("512"), false),
        (Codec::Manifest, Params::new(), entry("0511"), false),
        (Codec::Message, Params::new(), json!({ "message": "ping", "token": "7" }), true),
        (Codec::Message, Params::new(), json!({ "message": "ping", "token": "+7" }), false),
        (
            Codec::Message,
            Params::new(),
            json!({ "message": "ping", "token": "7", "a": "b" }),
            false,
        ),
        (Codec::Message, Params::new(), json!({ "message": "skipped", "kind": "7" }), true),
        (Codec::Tlv, known.clone(), json!([{ "type": "1", "value": "" }]), true),
        (Codec::Tlv, known, json!([{ "type": "3", "value": "" }]), false),
        (Codec::Varint, Params::new(), json!("7"), true),
        (Codec::Varint, Params::new(), json!("07"), false),
        (Codec::Varint, Params::new(), json!(7), false),
    ] {
        let answer = Ours.encode(codec, &params, &value);
        let answer = answer.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(matches!(answer, Answer::Valid(_)), sound, "{value}");
        assert_eq!(matches!(answer, Answer::Invalid(_)), !sound, "{value}");
    }
}

//= rfcs/0014-conformance.md#conf-6
//= type=test
//# A subject MUST answer `invalid` to a line that is not a JSON object with a text `op` and a text
//# `codec`, and to a request whose bytes, value or params are missing or not in the notation of this
//# document.
//= rfcs/0014-conformance.md#conf-7
//= type=test
//# A subject MUST answer `unsupported` to a request whose `op` or `codec` it does not know.
#[test]
fn a_request_that_is_none_is_told_so() {
    // `rfcs/reader/test_reader.py` asks the same.
    let list = include_str!("../../../rfcs/reader/requests.json");
    let list: Vec<(String, Value)> =
        serde_json::from_str(list).unwrap_or_else(|error| panic!("{error}"));
    assert!(list.len() >= 20);
    for (result, request) in list {
        let mut out = Vec::new();
        serve(&mut Ours, request.to_string().as_bytes(), &mut out)
            .unwrap_or_else(|error| panic!("{error}"));
        let reply: Value = serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(reply["result"], result, "{request}");
    }
}

//= rfcs/0014-conformance.md#conf-4
//= type=test
//# A subject MUST answer each request with one line and go on after bytes that it refuses.
#[test]
fn each_line_is_answered_by_a_line() {
    let requests = [
        r#"{"op":"decode","codec":"varint","params":{},"bytes":"4007"}"#,
        r#"{"op":"encode","codec":"varint","params":{},"value":"7"}"#,
        r#"{"op":"decode","codec":"no such thing","params":{},"bytes":""}"#,
        r#"{"op":"decode","codec":"ranges","params":{},"bytes":"00"}"#,
        r#"{"op":"decode","codec":"varint","bytes":"xyz"}"#,
        "not JSON",
        "",
        r#"{"op":"decode","codec":"varint","bytes":"07"}"#,
    ];
    let mut out = Vec::new();
    // The first line is not even UTF-8.
    let input = [b"\xff\xfe\n", requests.join("\n").as_bytes()].concat();
    serve(&mut Ours, input.as_slice(), &mut out).unwrap_or_else(|error| panic!("{error}"));
    let out = String::from_utf8(out).unwrap_or_default();
    let results: Vec<Value> = out
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).map_or(Value::Null, |l| l["result"].clone())
        })
        .collect();
    assert_eq!(
        results,
        [
            "invalid",
            "invalid",
            "valid",
            "unsupported",
            "invalid",
            "invalid",
            "invalid",
            "invalid",
            "valid"
        ]
    );
    assert!(out.lines().nth(2).is_some_and(|line| line.contains(r#""bytes":"07""#)));
}
