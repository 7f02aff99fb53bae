//! What each file and each crate must have, and what none may have.

use std::collections::BTreeMap;

use crate::{
    layers::{LayerKind, layer},
    sh,
    text::SourceFile,
    workspace::Package,
};

/// From here on a Rust file gets a warning. Unit: lines.
const LINES_WARN: usize = 600;

/// A Rust file has at most so many lines, unless [`LONG_FILES`] says why not.
const LINES_MAX: usize = 1_000;

/// Files above [`LINES_MAX`], each with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Crate roots without `#![forbid(unsafe_code)]`, each with the reason.
const UNSAFE_ROOTS: &[(&str, &str)] = &[];

/// What is finished before it is committed. In halves, so that this file does not contain them.
const UNFINISHED: &[(&str, &str)] = &[
    ("TO", "DO"),
    ("FIX", "ME"),
    ("HA", "CK:"),
    ("db", "g!("),
    ("to", "do!("),
    ("unimple", "mented!("),
    ("#[ig", "nore"),
];

/// Checks all files and all packages.
pub(super) fn check(
    files: &[SourceFile],
    packages: &BTreeMap<String, Package>,
    problems: &mut Vec<String>,
) {
    for file in files {
        if file.path.ends_with(".rs") {
            check_length(file, problems);
        }
        if is_ours(&file.path) {
            check_unfinished(file, problems);
        }
    }
    for package in packages.values() {
        check_package(package, files, problems);
    }
}

/// What people write here; lock files and fuzz seeds are written by programs.
fn is_ours(path: &str) -> bool {
    let ext = path.rsplit('.').next().unwrap_or_default();
    matches!(ext, "rs" | "md" | "toml" | "yml" | "sh" | "js" | "mjs") || path == ".ci/run"
}

fn check_length(file: &SourceFile, problems: &mut Vec<String>) {
    let (path, lines) = (&file.path, file.text.lines().count());
    match LONG_FILES.iter().find(|(listed, _)| listed == path) {
        Some(_) if lines > LINES_MAX => {}
        Some(_) => problems.push(format!("{path} is short again; take it off LONG_FILES")),
        None if lines > LINES_MAX => problems
            .push(format!("{path} has {lines} lines; split it by subject (at most {LINES_MAX})")),
        None if lines > LINES_WARN => {
            eprintln!("warning: {path} has {lines} lines; does it still have one subject?");
        }
        None => {}
    }
}

fn check_unfinished(file: &SourceFile, problems: &mut Vec<String>) {
    let words = UNFINISHED.iter().map(|(head, tail)| format!("{head}{tail}"));
    for word in words {
        let whole = |(at, _): &(usize, &str)| {
            let before = file.text[..*at].chars().next_back();
            let after = file.text[at + word.len()..].chars().next();
            let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            !part(before) && (!word.ends_with(char::is_alphanumeric) || !part(after))
        };
        for (at, _) in file.text.match_indices(&word).filter(whole) {
            let line = file.text[..at].lines().count().max(1);
            problems
                .push(format!("{}:{line}: `{word}` is for work that is not finished", file.path));
        }
    }
}

fn check_package(package: &Package, files: &[SourceFile], problems: &mut Vec<String>) {
    let Package { name, dir, .. } = package;
    if package.description.is_empty() {
        problems.push(format!("{dir}/Cargo.toml has no description"));
    }
    if dir.starts_with("crates/") {
        if !sh::root().join(dir).join("README.md").is_file() {
            problems.push(format!("{dir} has no README.md"));
        }
        if !dir.ends_with(&format!("/{name}")) || !package.publish {
            problems.push(format!(
                "{dir}: a crate under crates/ has its folder's name and is published"
            ));
        }
    }
    for root in &package.roots {
        let text =
            files.iter().find(|file| file.path == *root).map_or("", |file| file.text.as_str());
        let has = |attribute: &str| text.lines().any(|line| line.trim() == attribute);
        let excused = UNSAFE_ROOTS.iter().any(|(listed, _)| listed == root);
        if !has("#![forbid(unsafe_code)]") && !excused {
            problems.push(format!("{root} lacks #![forbid(unsafe_code)]"));
        }
        let core = layer(name).is_some_and(|layer| layer.kind == LayerKind::Core);
        if core && !has("#![no_std]") {
            problems.push(format!("{root} lacks #![no_std], and {name} is a core crate"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let file = SourceFile { path: "crates/x/src/lib.rs".to_owned(), text: text.to_owned() };
        let mut problems = Vec::new();
        check(&[file], &BTreeMap::new(), &mut problems);
        problems
    }

    #[test]
    fn unfinished_work_is_found_as_whole_words_only() {
        for (head, tail) in UNFINISHED {
            assert_eq!(problems(&format!("x\n// {head}{tail} x")).len(), 1, "{head}{tail}");
        }
        assert!(problems(&format!("{}{}S", UNFINISHED[0].0, UNFINISHED[0].1)).is_empty());
        assert!(problems("assert_dbg!(x)").is_empty());
    }

    #[test]
    fn a_long_file_is_a_problem() {
        assert!(problems(&"x\n".repeat(LINES_MAX)).is_empty());
        assert_eq!(problems(&"x\n".repeat(LINES_MAX + 1)).len(), 1);
    }
}
