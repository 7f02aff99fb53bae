//! Relative links in Markdown lead somewhere, anchors included.

use std::{collections::BTreeMap, path::Path};

use crate::{sh, text::SourceFile};

/// Checks the links of all Markdown files.
pub(super) fn check(files: &[SourceFile], problems: &mut Vec<String>) {
    let anchors: BTreeMap<&str, Vec<String>> = files
        .iter()
        .filter(|file| file.path.ends_with(".md"))
        .map(|file| (file.path.as_str(), headings(&file.text)))
        .collect();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        for (line, target) in links(&file.text) {
            let place = format!("{}:{line}", file.path);
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = match target.split_once('#') {
                Some((path, anchor)) => (path, Some(anchor)),
                None => (target, None),
            };
            let resolved = if path.is_empty() { file.path.clone() } else { join(&file.path, path) };
            if !sh::root().join(&resolved).exists() {
                problems.push(format!("{place}: the link {target} leads nowhere"));
            } else if let (Some(anchor), Some(known)) = (anchor, anchors.get(resolved.as_str()))
                && !known.iter().any(|slug| slug == anchor)
            {
                problems.push(format!("{place}: {resolved} has no heading #{anchor}"));
            }
        }
    }
}

/// `link` as seen from the folder of `file`, relative to the root.
fn join(file: &str, link: &str) -> String {
    let folder = Path::new(file).parent().unwrap_or_else(|| Path::new(""));
    let mut parts: Vec<&str> = folder.iter().filter_map(|part| part.to_str()).collect();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Lines outside of fenced code, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((at + 1, line))
    })
}

/// The targets of `[text](target)` and `[name]: target`.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        // Code is in the odd pieces.
        for piece in line.split('`').step_by(2) {
            let targets =
                piece.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
            found.extend(targets.map(|target| (number, target)));
        }
        // A link whose text is code ends in a piece that starts with `](`: covered above.
        if let Some((name, target)) = line.split_once("]: ")
            && name.starts_with('[')
        {
            found.extend(target.split_whitespace().next().map(|target| (number, target)));
        }
    }
    found
}

/// The anchors of a file's headings, as the forges make them.
fn headings(text: &str) -> Vec<String> {
    let mut slugs: Vec<String> = Vec::new();
    for (_, line) in prose(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let slug: String = title
            .trim()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() })
            .collect();
        let same = slugs.iter().filter(|known| **known == slug).count();
        slugs.push(if same == 0 { slug } else { format!("{slug}-{same}") });
    }
    slugs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_of_code_only() {
        let text = "a [b](c.md) `[x](no.md)` [`d`](e.md#f)\n```\n[g](no.md)\n```\n[h]: i.md\n";
        let found: Vec<&str> = links(text).into_iter().map(|(_, target)| target).collect();
        assert_eq!(found, ["c.md", "e.md#f", "i.md"]);
    }

    #[test]
    fn anchors_are_made_as_the_forges_make_them() {
        assert_eq!(
            headings("# A, b: `C`\n## x\n## x\n### ENC-1\n"),
            ["a-b-c", "x", "x-1", "enc-1"]
        );
    }

    #[test]
    fn a_link_is_relative_to_its_file() {
        assert_eq!(join("crates/a/README.md", "../../rfcs/0001.md"), "rfcs/0001.md");
        assert_eq!(join("README.md", "./x"), "x");
    }
}
