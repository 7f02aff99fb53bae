//! What no compiler checks: arrows between crates, sizes of files, links, generated tables.

mod arrows;
mod files;
mod links;

use anyhow::{Result, bail};

use crate::{args::Args, fuzz, layers, registry, rfc, scoreboard, text, workspace};

/// `cargo xtask tidy [--fix]`.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let fix = args.flag("--fix");
    args.finish()?;
    tidy(fix)
}

/// Runs all checks; `fix` rewrites what is generated.
///
/// # Errors
///
/// If a check finds something.
pub(crate) fn tidy(fix: bool) -> Result<()> {
    let mut problems = Vec::new();
    let packages = workspace::packages()?;
    arrows::check(&packages, &mut problems);
    fuzz::check_targets(&packages, fix, &mut problems)?;
    let architecture = text::read("ARCHITECTURE.md")?;
    let wanted = text::replace_region(&architecture, "layers", &layers::table())?;
    text::sync("ARCHITECTURE.md", &wanted, fix, &mut problems)?;
    let files = text::source_files()?;
    registry::check(&files, fix, &mut problems)?;
    rfc::check_generated(&files, fix, &mut problems)?;
    scoreboard::check(fix, &mut problems)?;
    files::check(&files, &packages, &mut problems);
    links::check(&files, &mut problems);
    for problem in &problems {
        eprintln!("{problem}");
    }
    eprintln!("tidy: {} packages, {} files", packages.len(), files.len());
    if problems.is_empty() { Ok(()) } else { bail!("tidy found {} problems", problems.len()) }
}
