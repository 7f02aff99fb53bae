use std::collections::BTreeSet;

use serde_json::json;

use super::*;

fn book() -> Requirements {
    let mut book = Requirements::default();
    book.add(
        "rfcs/0003-encoding.md",
        "# RFC\n\n### ENC-2\n\nA decoder MUST reject a varint\nthat is not minimal.\n\nWhy: caches.\n\
         ### ENC-10\n\nAn odd one.\n\n### ENC-11 (withdrawn)\n\nGone.\n\n### Varint\n\nText.\n\
         ```text\n### ENC-99\n```\n",
    );
    book
}

fn file(rfc: &str, reqs: &[Option<&str>]) -> VectorFile {
    let test = |(at, req): (usize, &Option<&str>)| json!({ "id": at + 1, "comment": "", "bytes": "", "result": "invalid", "req": req });
    let tests: Vec<_> = reqs.iter().enumerate().map(test).collect();
    let file = json!({ "codec": "varint", "rfc": rfc, "about": "", "tests": tests });
    serde_json::from_value(file).unwrap()
}

#[test]
fn a_requirement_is_a_heading_and_its_sentence() {
    let book = book();
    let found = book.get("ENC-2").unwrap();
    assert_eq!(found.rfc, "rfcs/0003-encoding.md");
    assert_eq!(found.sentence, "A decoder MUST reject a varint that is not minimal.");
    assert_eq!(book.0.keys().collect::<Vec<_>>(), ["ENC-10", "ENC-2"], "and nothing else is");
}

#[test]
fn a_test_belongs_to_the_rfc_of_its_requirement() {
    let file = file("rfcs/0005-session.md", &[Some("ENC-10"), Some("ENC-2"), Some("SESS-1"), None]);
    let sections: BTreeSet<_> = file.tests.iter().map(|test| book().section(&file, test)).collect();
    let links: Vec<_> = sections.iter().map(Section::link).collect();
    assert_eq!(
        links,
        [
            "rfcs/0003-encoding.md#enc-2",
            "rfcs/0003-encoding.md#enc-10",
            "rfcs/0005-session.md",
            "rfcs/0005-session.md#sess-1",
        ]
    );
}

#[test]
fn only_what_was_asked_for_is_left() {
    let all = || {
        let session = file("rfcs/0005-session.md", &[Some("ENC-2"), Some("SESS-1"), None]);
        let varint = file("rfcs/0003-encoding.md", &[Some("ENC-2"), Some("ENC-10"), None]);
        vec![("session".to_owned(), session), ("varint".to_owned(), varint)]
    };
    let left = |reqs: &[&str], rfcs: &[&str]| {
        let mut selection = Selection::default();
        reqs.iter().for_each(|req| selection.req(req));
        rfcs.iter().for_each(|rfc| selection.rfc(rfc));
        let mut files = all();
        selection.apply(&mut files, &book())?;
        let ids = |(name, file): &(String, VectorFile)| {
            (name.clone(), file.tests.iter().map(|test| test.id).collect::<Vec<_>>())
        };
        Ok::<_, String>(files.iter().map(ids).collect::<Vec<_>>())
    };
    let expect = |list: &[(&str, &[u32])]| {
        Ok(list.iter().map(|(name, ids)| ((*name).to_owned(), ids.to_vec())).collect::<Vec<_>>())
    };
    assert_eq!(left(&[], &[]), expect(&[("session", &[1, 2, 3]), ("varint", &[1, 2, 3])]));
    assert_eq!(left(&["enc-2"], &[]), expect(&[("session", &[1]), ("varint", &[1])]));
    assert_eq!(left(&[], &["0005"]), expect(&[("session", &[2, 3])]));
    let both = expect(&[("session", &[1, 2]), ("varint", &[1, 2, 3])]);
    assert_eq!(left(&["SESS-1"], &["0003"]), both);
    assert_eq!(left(&["ENC-2", "ENC-77"], &[]), Err("no test is about ENC-77".to_owned()));
    assert_eq!(left(&[], &["000"]), Err("no test is about 000".to_owned()));
}
