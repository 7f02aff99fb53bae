//! The program, with subjects in other processes: what it says of a run, and by which requirement.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_samara-conformance");
const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rfcs/vectors");

/// Refuses whatever it is asked.
const REFUSES: [&str; 4] =
    ["--", "sh", "-c", r#"while read -r line; do echo '{"result":"invalid"}'; done"#];
/// Implements nothing.
const IGNORANT: [&str; 4] =
    ["--", "sh", "-c", r#"while read -r line; do echo '{"result":"unsupported"}'; done"#];

fn run(args: &[&str]) -> (Output, String) {
    let output = Command::new(PROGRAM).args(["run", VECTORS]).args(args).output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

/// Section and counts of each row of the table.
fn table(text: &str) -> Vec<(String, [u32; 3])> {
    let rows = text.lines().skip_while(|line| !line.starts_with("section ")).skip(1);
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let section = words.next().unwrap().to_owned();
        let mut count = || words.next().unwrap().parse().unwrap();
        (section, [count(), count(), count()])
    };
    rows.take_while(|line| !line.is_empty()).map(row).collect()
}

#[test]
fn a_run_is_counted_by_requirement() {
    let (output, text) = run(&["--rfc", "0005"]);
    assert!(output.status.success(), "{text}");
    let rows = table(&text);
    let sections: Vec<_> = rows.iter().map(|(section, _)| section.as_str()).collect();
    let one = "rfcs/0005-session.md#sess-2";
    assert!(sections.contains(&one), "{sections:?}");
    let is_session = |section: &&str| section.starts_with("rfcs/0005-session.md");
    assert!(sections.iter().all(is_session), "{sections:?}");
    let place = |id| sections.iter().position(|section| section.ends_with(id)).unwrap();
    assert!(place("#sess-9") < place("#sess-11"), "in the order of the RFC: {sections:?}");
    let passed: u32 = rows.iter().map(|(_, [passed, ..])| passed).sum();
    assert!(text.trim_end().ends_with(&format!("{passed} passed, 0 failed")), "{text}");
}

#[test]
fn what_failed_stands_under_the_sentence_that_it_breaks() {
    let args = [&["--req", "SESS-11", "--req", "ENC-2"][..], &REFUSES].concat();
    let (output, text) = run(&args);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let lines: Vec<_> = text.lines().collect();
    let sentence = "SESS-11, rfcs/0005-session.md#sess-11: \
                    A peer MUST answer PING with a PONG of the same token.";
    let at = lines.iter().position(|line| *line == sentence).unwrap_or_else(|| panic!("{text}"));
    let below = lines.iter().skip(at + 1).take_while(|line| line.starts_with("  FAILED "));
    let below = below.inspect(|line| assert!(line.contains("session "), "{line}")).count();
    let rows = table(&text);
    let [pong, minimal] = ["#sess-11", "#enc-2"].map(|id| {
        rows.iter().find(|(section, _)| section.ends_with(id)).map(|(_, counts)| *counts).unwrap()
    });
    assert_eq!(pong, [0, u32::try_from(below).unwrap(), 0]);
    assert!(below >= 4, "{text}");
    assert!(minimal[0] > 10 && minimal[1] == 0, "what is to be refused it refuses: {minimal:?}");
    assert!(!text.contains("ENC-2,"), "nothing to show: {text}");
}

#[test]
fn what_is_left_out_for_a_reason_is_counted_as_skipped() {
    let only = ["--req", "SESS-2"];
    let skip = ["--skip", "session=no session layer yet"];
    let (output, text) = run(&[&only[..], &skip, &IGNORANT].concat());
    assert!(output.status.success(), "{text}");
    assert!(text.contains("left out: no session layer yet"), "{text}");
    let rows = table(&text);
    assert!(matches!(rows[..], [(_, [0, 0, skipped])] if skipped > 0), "{rows:?}");
    let (output, text) = run(&[&only[..], &IGNORANT].concat());
    assert_eq!(output.status.code(), Some(1), "nothing is left out without a reason: {text}");
}

#[test]
fn a_requirement_or_rfc_that_no_test_is_about_is_no_pass() {
    for args in [["--req", "SESS-999"], ["--rfc", "0042"], ["--rfc", "5"], ["--req", ""]] {
        let (output, text) = run(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains("no test is about"), "{error}");
    }
    let (output, _) = run(&["--req"]);
    assert_eq!(output.status.code(), Some(2), "an option without its value");
}
