//! Copies of the working tree for what changes sources: bugs are made there, so that nothing can be
//! forgotten in the sources themselves.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    sh::{self, cmd},
    text,
};

/// A copy of the working tree under `target`, as a repository of its own. Files that are as they
/// were are left alone, so that a second run builds little; files that are gone here go there too.
///
/// # Errors
///
/// If git fails or a file can't be written.
pub(crate) fn copy(name: &str) -> Result<PathBuf> {
    let garden = sh::target_dir()?.join(name);
    fs::create_dir_all(&garden)?;
    let files = text::source_files()?;
    for file in &files {
        write(&garden.join(&file.path), &file.text)?;
    }
    // Fuzz seeds and other files that are no text are not needed by any gate.
    cmd("git").args(["init", "--quiet"]).dir(&garden).run()?;
    // Nothing is ever added there, so git finds all of it: but for `target` and the like.
    let listed = cmd("git")
        .args(["-c", "core.quotepath=off", "ls-files", "--others", "--exclude-standard"])
        .dir(&garden)
        .read()?;
    let wanted: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    for path in listed.lines().filter(|path| !wanted.contains(path)) {
        fs::remove_file(garden.join(path)).with_context(|| format!("can't remove {path}"))?;
    }
    Ok(garden)
}

fn write(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
    fs::write(path, text).with_context(|| path.display().to_string())
}
