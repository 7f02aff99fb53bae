use super::*;

const RFC: &str = "# RFC 0009: Things\n\n- Status: Proposal\n\n`MUST` in code is no demand.\n\n### ABC-1\n\n\
    A thing MUST have\na name.\n\nWhy: so.\n\n### ABC-2 (withdrawn)\n\nA thing MUST fly.\n\n### ABC-3\n\n\
    A thing MAY sing.\n";

fn book(source: &str) -> Book {
    let mut book = Book::default();
    book.rfcs.push(spec::parse("rfcs/0009-things.md", RFC, &mut book.malformed));
    // The sources of these tests must not look like citations themselves.
    let source = source.replace('@', "//");
    cite::parse("crates/x/src/lib.rs", &source, &mut book.citations, &mut book.malformed);
    book
}

const CODE: &str = "@= rfcs/0009-things.md#abc-1\n@# A thing MUST have a\n@# name.\nfn name() {}\n";
const TEST: &str = "#[cfg(test)]\nmod tests {\n  @= rfcs/0009-things.md#abc-1\n  @= type=test\n  \
    @# A thing MUST have a name.\n  #[test]\n  fn named() {}\n}\n";

//= rfcs/0000-process.md#proc-5
//= type=test
//# Each requirement that contains `MUST`, `SHALL` or `REQUIRED` MUST be cited by an
//# implementation and by a test, or be listed in `rfcs/exceptions.toml` with a reason.
#[test]
fn a_requirement_with_code_and_test_passes() {
    assert_eq!(book(&format!("{CODE}{TEST}")).problems(), Vec::<String>::new());
}

#[test]
fn a_missing_test_or_implementation_is_a_problem() {
    assert_eq!(book(CODE).problems(), ["rfcs/0009-things.md:7: ABC-1 has no cited test"]);
    assert_eq!(book(TEST).problems(), ["rfcs/0009-things.md:7: ABC-1 has no cited implementation"]);
}

//= rfcs/0000-process.md#proc-4
//= type=test
//# A citation MUST quote the whole sentence of a requirement that is in force, with runs of
//# white space counted as one space.
#[test]
fn a_stale_quote_is_a_problem() {
    let problems = book(&format!("{CODE}{TEST}").replace("a name", "a nose")).problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("the quote of ABC-1 differs"));
}

#[test]
fn unknown_and_withdrawn_ids_are_problems() {
    let source = format!("{CODE}{TEST}{}", CODE.replace("abc-1", "abc-9"));
    // The last citation stands after `#[cfg(test)]`, so its kind is a problem too.
    assert!(book(&source).problems().iter().any(|p| p.contains("ABC-9 is in no RFC")));
    let source = format!("{}{CODE}{TEST}", CODE.replace("abc-1", "abc-2"));
    assert!(book(&source).problems().iter().any(|p| p.contains("ABC-2 is withdrawn")));
}

//= rfcs/0000-process.md#proc-6
//= type=test
//# A citation in a test MUST be marked as a test, and a citation elsewhere MUST NOT be.
#[test]
fn a_citation_of_the_wrong_kind_is_a_problem() {
    let source = format!("{CODE}{TEST}").replace("  @= type=test\n", "");
    assert!(book(&source).problems().iter().any(|p| p.contains("without `//= type=test`")));
    let source = format!("{CODE}{TEST}").replace("#[cfg(test)]\n", "");
    assert!(book(&source).problems().iter().any(|p| p.contains("outside of tests")));
}

#[test]
fn each_citation_of_a_stack_is_looked_at() {
    // The first one says that it is a test, the last one does not, and neither is one.
    let stack = "@= rfcs/0009-things.md#abc-1\n@= type=test\n@# A thing MUST have a name.\n";
    let book = book(&format!("{stack}{CODE}{TEST}"));
    let problems = book.problems();
    assert!(
        problems.iter().any(|p| p.contains("ABC-1 is cited as a test outside of tests")),
        "{problems:?}"
    );
}

#[test]
fn a_citation_as_a_test_stands_above_one_that_runs() {
    for (with, complaint) in
        [("fn named() {}", "above a function that is no test"), ("", "no test follows")]
    {
        let test = TEST.replace("#[test]\n  fn named() {}\n}", with);
        assert_ne!(test, TEST);
        let problems = book(&format!("{CODE}{test}")).problems();
        assert!(problems.iter().any(|p| p.contains(complaint)), "{with}: {problems:?}");
    }
}

#[test]
fn a_citation_without_its_sentence_is_a_problem() {
    let source = format!("@= rfcs/0009-things.md#abc-3\nfn sing() {{}}\n{CODE}{TEST}");
    assert!(
        book(&source).problems().iter().any(|p| p.contains("ABC-3 is cited without its sentence"))
    );
}

//= rfcs/0000-process.md#proc-1
//= type=test
//# A requirement MUST be one plain sentence that contains a word of BCP 14 and ends with a
//# full stop.
//= rfcs/0000-process.md#proc-2
//= type=test
//# A word of BCP 14 in capitals MUST NOT stand in an RFC outside of a requirement's
//# sentence or of code.
#[test]
fn the_form_of_requirements_is_checked() {
    let problems = |text: &str| {
        let mut problems = Vec::new();
        spec::parse("rfcs/0009-things.md", text, &mut problems);
        problems
    };
    let head = "# RFC 0009: Things\n\n- Status: Proposal\n\n";
    assert_eq!(problems(head), Vec::<String>::new());
    for (text, expected) in [
        ("### A-1\n\nNothing.\n", "no MUST, SHOULD or MAY"),
        ("### A-1\n\nIt MUST be\n", "full stop"),
        ("### A-1\n\n- It MUST be.\n", "not a plain sentence"),
        ("### A-1\n\nIt MUST be. And so on.\n", "more than one sentence"),
        ("It MUST be.\n", "MUST outside of a requirement"),
    ] {
        let found = problems(&format!("{head}{text}"));
        assert!(found.iter().any(|p| p.contains(expected)), "{text:?}: {found:?}");
    }
    assert_eq!(problems("# Things\n").len(), 2, "a title and a status are needed");
}

#[test]
fn a_code_fence_that_hides_requirements_is_a_problem_with_its_line() {
    let read = |text: &str| {
        let mut problems = Vec::new();
        let text = format!("# RFC 0009: Things\n\n- Status: Proposal\n\n{text}");
        let rfc = spec::parse("rfcs/0009-things.md", &text, &mut problems);
        (rfc.requirements.len(), problems)
    };
    let open = |line: u32| {
        format!(
            "rfcs/0009-things.md:{line}: this code fence is never closed, and hides what follows"
        )
    };
    let rule = "### A-1\n\nIt MUST be.\n\n";
    assert_eq!(read(&format!("```rust\nMUST\n```\n\n{rule}")), (1, vec![]));
    assert_eq!(read(&format!("````markdown\n```rust\n```\n````\n\n{rule}")), (1, vec![]));
    assert_eq!(read(&format!("```rust\nMUST\n\n{rule}")), (0, vec![open(5)]));
    // The next block does not close it, whatever their number.
    let block = "```hex\n00\n```\n\n";
    let (_, problems) = read(&format!("```rust\nMUST\n\n{rule}{block}"));
    assert_eq!(problems, [open(5)]);
    let (_, problems) = read(&format!("```rust\nMUST\n\n{rule}{block}```\n"));
    assert_eq!(problems, [open(5), open(16)]);
    // Nor is one that follows a sentence a part of it.
    assert_eq!(read(&format!("### A-2\n\nIt MUST be.\n{block}{rule}")), (2, vec![]));
}

//= rfcs/0000-process.md#proc-3
//= type=test
//# An id MUST stand for one requirement only, and its prefix for one RFC only.
#[test]
fn ids_are_unique_and_prefixes_have_one_owner() {
    let mut book = book(&format!("{CODE}{TEST}"));
    book.rfcs.push(spec::parse("rfcs/0010-more.md", RFC, &mut book.malformed));
    let problems = book.problems();
    assert!(problems.iter().any(|p| p.contains("ABC-1 stands at rfcs/0009-things.md:7 already")));
    assert!(problems.iter().any(|p| p.contains("the prefix ABC belongs to rfcs/0009-things.md")));
}

#[test]
fn an_exception_needs_a_reason_and_a_need() {
    let exception = "[ABC-1]\nmissing = [\"test\"]\nreason = \"it is only a name, after all\"\n";
    let mut untested = book(CODE);
    untested.exceptions = parse_exceptions(exception).unwrap();
    assert_eq!(untested.problems(), Vec::<String>::new());
    let mut tested = book(&format!("{CODE}{TEST}"));
    tested.exceptions = parse_exceptions(exception).unwrap();
    assert!(tested.problems().iter().any(|p| p.contains("drop the exception")));
    assert!(parse_exceptions("[ABC-1]\nmissing = [\"test\"]\nreason = \"no\"\n").is_err());
    assert!(
        parse_exceptions("[ABC-1]\nmissing = [\"luck\"]\nreason = \"there is none of it here\"\n")
            .is_err()
    );
}

//= rfcs/0014-conformance.md#conf-5
//= type=test
//# A vector MUST name no requirement but one that is in force.
#[test]
fn a_vector_for_no_requirement_is_a_problem() {
    let mut book = book(&format!("{CODE}{TEST}"));
    book.vectors.insert("ABC-1".to_owned(), 3);
    assert_eq!(book.problems(), Vec::<String>::new());
    assert!(book.report().contains("| 3 |"), "{}", book.report());
    for id in ["ABC-2", "ABC-9"] {
        book.vectors.insert(id.to_owned(), 1);
        let problems = book.problems();
        let expected = format!("rfcs/vectors: {id} is in no RFC, or is withdrawn");
        assert_eq!(problems, [expected]);
        book.vectors.remove(id);
    }
}

#[test]
fn the_report_names_the_checkers() {
    let mut book = book(CODE);
    let test = TEST.replace('@', "//");
    for file in ["crates/samara-mesh/tests/pair/main.rs", "crates/samara-store/tests/model/main.rs"]
    {
        cite::parse(file, &test, &mut book.citations, &mut book.malformed);
    }
    assert!(book.report().contains("| – | pair, store |"), "{}", book.report());
}
