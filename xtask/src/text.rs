//! Reading the repository's files as text.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::sh::{self, cmd};

/// A file of the repository, with its path relative to the root.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// Relative to the workspace's root, with `/`.
    pub(crate) path: String,
    /// Its contents.
    pub(crate) text: String,
}

/// All text files that git knows or would add, sorted by path.
///
/// # Errors
///
/// If git fails or a file can't be read.
pub(crate) fn source_files() -> Result<Vec<SourceFile>> {
    let listed = cmd("git")
        .args([
            "-c",
            "core.quotepath=off",
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .read()?;
    let mut paths: Vec<&str> = listed.lines().collect();
    paths.sort_unstable();
    paths.dedup();
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let Ok(bytes) = fs::read(sh::root().join(path)) else { continue };
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(SourceFile { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

/// Reads a file under the root.
///
/// # Errors
///
/// If it can't be read.
pub(crate) fn read(path: impl AsRef<Path>) -> Result<String> {
    let path: PathBuf = sh::root().join(path);
    fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))
}

/// Folds every run of white space to one space.
pub(crate) fn fold(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Replaces what stands between the marks `<!-- name: begin -->` and `<!-- name: end -->` of a
/// document, or `// name: begin` and `// name: end` of a source. What comes in is indented as its
/// mark is.
///
/// # Errors
///
/// If the marks are missing.
pub(crate) fn replace_region(text: &str, name: &str, body: &str) -> Result<String> {
    let (mut out, mut inside, mut found) = (String::new(), false, false);
    for line in text.split_inclusive('\n') {
        let is_mark = |which: &str| {
            let mark = format!("{name}: {which}");
            let line = line.trim();
            line == format!("<!-- {mark} -->") || line == format!("// {mark}")
        };
        inside &= !is_mark("end");
        if !inside {
            out += line;
        }
        if is_mark("begin") {
            (inside, found) = (true, true);
            let (indent, _) = line.split_at(line.len() - line.trim_start().len());
            for line in body.split_inclusive('\n') {
                out += if line.trim().is_empty() { "" } else { indent };
                out += line;
            }
        }
    }
    if !found || inside {
        bail!("the marks `{name}: begin` and `{name}: end` are missing")
    }
    Ok(out)
}

/// Brings a generated file up to date (`fix`), or says that it is not.
///
/// # Errors
///
/// If the file can't be read or written.
pub(crate) fn sync(path: &str, wanted: &str, fix: bool, problems: &mut Vec<String>) -> Result<()> {
    let full = sh::root().join(path);
    if fs::read_to_string(&full).is_ok_and(|text| text == wanted) {
        return Ok(());
    }
    if fix {
        if let Some(dir) = full.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::write(&full, wanted).with_context(|| format!("can't write {path}"))?;
        eprintln!("wrote {path}");
    } else {
        problems.push(format!("{path} is not up to date; run: cargo xtask tidy --fix"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_keep_their_marks_and_their_indentation() {
        let text = "mod a {\n    // x: begin\n    old\n    // x: end\n}";
        let wanted = "mod a {\n    // x: begin\n    new\n\n    two\n    // x: end\n}";
        assert_eq!(replace_region(text, "x", "new\n\ntwo\n").unwrap(), wanted);
        assert!(replace_region("// x: begin\n", "x", "new\n").is_err());
    }

    #[test]
    fn a_region_is_replaced_and_nothing_else() {
        let text = "a\n<!-- t: begin -->\nold\n<!-- t: end -->\nb";
        let new = replace_region(text, "t", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- t: begin -->\nnew\n<!-- t: end -->\nb");
        assert!(replace_region(text, "u", "new").is_err());
    }

    #[test]
    fn white_space_is_folded() {
        assert_eq!(fold(" a\n  b\t c "), "a b c");
    }
}
