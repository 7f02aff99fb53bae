use super::*;

const TEXT: &str = r#"
guarded = ["crates/x/src/kind.rs"]
[[table]]
id = "kinds"
rfc = "0003"
code = "crates/x/src/kind.rs"
type = "u64"
hex = true
views = [{ rfc = "0003", columns = ["kind = value", "message = name", "body"] }]
row = [
  { value = 0x0a, name = "PING", status = "assigned", body = "token v" },
  { value = 0x0c, name = "time out", status = "reserved", reason = "was never used" },
]
[[table]]
id = "limits"
rfc = "0003"
code = "crates/x/src/limits.rs"
visible = ""
derived = "crates/x/src/limits.rs"
views = [{ rfc = "0003", columns = ["what = name", "highest = value", "constant = const"] }]
row = [
  { name = "bodies", const = "BODY_MAX", type = "u32", value = 1114112, doc = "Longest body." },
  { name = "leaves", const = "LEAVES_MAX", type = "u64", value = "2^54 - 1" },
  { name = "patience", const = "PATIENCE", type = "Duration", value = "10 s" },
  { name = "room", const = "ROOM", type = "u64", value = "8 KiB", text = "8 KiB, or more" },
  { name = "class", value = 4, derived = "Class::MAX", equals = "Class::MAX", requirement = "ABC-1" },
  { name = "bodies of all", text = "1,114,112 each", as = "limits BODY_MAX" },
]
"#;

#[test]
fn a_table_becomes_constants() {
    let registry = Registry::parse(TEXT).unwrap();
    assert_eq!(registry.tables[0].constants().unwrap(), "pub(crate) const PING: u64 = 0x0a;\n");
    assert_eq!(
        registry.tables[1].constants().unwrap(),
        "/// Longest body.\nconst BODY_MAX: u32 = 1_114_112;\nconst LEAVES_MAX: u64 = (1 << 54) - 1;\n\
         const PATIENCE: Duration = Duration::from_secs(10);\nconst ROOM: u64 = 8 << 10;\n"
    );
}

#[test]
fn a_table_becomes_markdown() {
    let registry = Registry::parse(TEXT).unwrap();
    let show = |at: usize| registry.tables[at].views[0].show(&registry.tables[at]);
    assert_eq!(
        show(0),
        "| kind | message | body |\n| --- | --- | --- |\n| 0x0a | PING | token v |\n| 0x0c | time out (reserved: was never used) | – |\n"
    );
    let limits = show(1);
    assert!(limits.contains("| bodies | 1,114,112 | `BODY_MAX` |\n"), "{limits}");
    assert!(limits.contains("| leaves | 2^54 - 1 | `LEAVES_MAX` |\n"), "{limits}");
    assert!(limits.contains("| room | 8 KiB, or more | `ROOM` |\n"), "{limits}");
    assert!(limits.contains("| class | 4 | `Class::MAX` |\n"), "{limits}");
}

#[test]
fn a_number_or_a_name_that_is_taken_twice_is_a_problem() {
    let problems = |text: &str| {
        let mut problems = Vec::new();
        Registry::parse(text).unwrap().check_rows(&mut problems);
        problems
    };
    assert_eq!(problems(TEXT), [""; 0]);
    assert!(problems(&TEXT.replace("0x0c", "0x0a"))[0].contains("the number is taken"));
    assert!(problems(&TEXT.replace("\"leaves\"", "\"bodies\""))[0].contains("the name is taken"));
    assert!(problems(&TEXT.replace(", reason = \"was never used\"", ""))[0].contains("a `reason`"));
}

#[test]
fn a_table_that_its_owner_does_not_show_is_refused() {
    assert!(Registry::parse(&TEXT.replacen("rfc = \"0003\"\n", "rfc = \"0005\"\n", 1)).is_err());
    assert!(Registry::parse(&TEXT.replace("\"8 KiB\",", "\"8 apples\",")).is_err());
}

#[test]
fn a_guarded_source_with_a_number_of_its_own_is_a_problem() {
    let file = |text: &str| SourceFile { path: "crates/x/src/kind.rs".into(), text: text.into() };
    let problems = |text: &str| {
        let mut problems = Vec::new();
        Registry::parse(TEXT).unwrap().check_guarded(&[file(text)], &mut problems);
        problems
    };
    let listed =
        "// registry kinds: begin\npub(crate) const PING: u64 = 0x0a;\n// registry kinds: end\n";
    assert_eq!(problems(listed), [""; 0]);
    assert_eq!(problems("pub const PING: u64 = kind::PING;\nconst A: &str = \"1\";\n"), [""; 0]);
    assert!(problems("    const SIZE: u64 = 0x01;\n")[0].contains("kind.rs:1: SIZE"));
    assert!(problems("pub const SIZE_MAX: usize = (1 << 20) + 3;\n")[0].contains("SIZE_MAX"));
    assert_eq!(problems("#[cfg(test)]\nmod tests {\nconst SIZE: u64 = 0x01;\n"), [""; 0]);
    for own in [
        "#[cfg(test)]\nfn helper() {}\nconst A: u64 = 1;\n",
        "const A: Duration = Duration::from_secs(7);\n",
        "const A: u64 =\n    1 << 20 | 3;\n",
        "static A: u128 = 28_u64 as u128; // why\n",
        "const A: [u64; 2] = [1, 2];\n",
        "match kind { \n 0x1c => ping(),\n}\n",
        "// registry nowhere: begin\nconst A: u64 = 1;\n",
    ] {
        assert_eq!(problems(own).len(), 1, "{own}");
    }
    assert_eq!(
        problems("const A: usize = 4 + kind::NAME_MAX;\nconst P: &str = \"samara1\";\n"),
        [""; 0]
    );
}

#[test]
fn variants_are_found_with_and_without_fields() {
    let text = "pub enum Other {\n    A,\n}\npub enum End {\n    /// Text.\n    Done,\n    Partial {\n        \
                Missing: u8,\n    },\n    TimedOut = 3, \"x\";\n    Unknown(u64),\n}\npub enum C { D }\n";
    let found: Vec<String> = variants(text, "End").into_iter().collect();
    assert_eq!(found, ["Done", "Partial", "TimedOut"]);
    assert_eq!(camel("no provider"), "NoProvider");
}

#[test]
fn a_limit_that_another_constant_gives_is_asserted() {
    let registry = Registry::parse(TEXT).unwrap();
    assert_eq!(registry.tables[1].assertions(), "const _: () = assert!(Class::MAX == 4);\n");
    assert!(!registry.tables[1].constants().unwrap().contains("CLASS"));
}

#[test]
fn a_limit_without_a_value_or_with_that_of_another_is_a_problem() {
    let problems = |from: &str, to: &str| {
        let text = TEXT.replace(from, to);
        let mut problems = Vec::new();
        Registry::parse(&text).unwrap().check_limits(&mut problems);
        problems
    };
    assert_eq!(problems("", ""), [""; 0]);
    for (from, to, expected) in [
        ("value = 1114112", "value = 1114113", "bodies of all: does not say 1,114,113"),
        ("limits BODY_MAX", "limits BODY", "`as` is no"),
        (", as = \"limits BODY_MAX\"", "", "neither a `value`"),
        ("equals = \"Class::MAX\", ", "", "not asserted"),
    ] {
        let found = problems(from, to);
        assert!(found.len() == 1 && found[0].contains(expected), "{to}: {found:?}");
    }
}

#[test]
fn a_sentence_that_says_another_number_than_its_limit_is_a_problem() {
    let problems = |sentence: &str| {
        let sentences = [("ABC-1".to_owned(), sentence.to_owned())].into();
        let mut problems = Vec::new();
        Registry::parse(TEXT).unwrap().check_sentences(&sentences, &mut problems);
        problems
    };
    assert_eq!(problems("It MUST NOT have more than 4 of 10 legs."), [""; 0]);
    for other in ["14", "4,096", "2^4", "40", "4.5", "4 - 1", "four"] {
        let found = problems(&format!("It MUST have {other}."));
        assert!(
            found.len() == 1 && found[0].contains("ABC-1 does not say 4"),
            "{other}: {found:?}"
        );
    }
    let found = problems("It MUST NOT have 4 legs or more than 8 hands.");
    assert!(found.len() == 1 && found[0].contains("is 8, which ABC-1 says"), "{found:?}");
    let mut none = Vec::new();
    Registry::parse(TEXT).unwrap().check_sentences(&BTreeMap::new(), &mut none);
    assert!(none[0].contains("ABC-1 is no requirement in force"), "{none:?}");
}
