//! The table of RFCs in `rfcs/README.md`.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::Book;
use crate::text;

/// Checks the table, or rewrites it.
pub(super) fn check(book: &Book, fix: bool, problems: &mut Vec<String>) -> Result<()> {
    let mut table =
        String::from("| RFC | title | status | requirements |\n| --- | --- | --- | --- |\n");
    for rfc in &book.rfcs {
        let file = rfc.file.trim_start_matches("rfcs/");
        let number = file.get(..4).unwrap_or_default();
        let title = rfc.title.split_once(": ").map_or(rfc.title.as_str(), |(_, title)| title);
        let prefixes: BTreeSet<&str> = rfc.requirements.iter().map(|r| r.prefix()).collect();
        let prefixes: Vec<String> =
            prefixes.into_iter().map(|prefix| format!("{prefix}-n")).collect();
        table += &format!(
            "| [{number}]({file}) | {title} | {} | {} |\n",
            rfc.status,
            prefixes.join(", ")
        );
    }
    let old = text::read("rfcs/README.md")?;
    let new = text::replace_region(&old, "index", &table).context("rfcs/README.md")?;
    text::sync("rfcs/README.md", &new, fix, problems)
}
