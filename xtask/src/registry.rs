//! `rfcs/registry.toml`: one list of the numbers that implementations have to agree on. The
//! constants in the sources and the tables in the RFCs are made of it.

mod number;
mod sentence;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use self::table::Table;
use crate::{
    rfc,
    text::{self, SourceFile},
};

const FILE: &str = "rfcs/registry.toml";

/// Checks the registry against sources and RFCs, or rewrites what is made of it.
///
/// # Errors
///
/// If a file can't be read or written, or the registry can't be understood.
pub(crate) fn check(files: &[SourceFile], fix: bool, problems: &mut Vec<String>) -> Result<()> {
    let registry = Registry::parse(&text::read(FILE)?)?;
    registry.check_rows(problems);
    registry.check_limits(problems);
    registry.check_sentences(&rfc::sentences(files), problems);
    for (path, regions) in registry.regions(files)? {
        let mut wanted = text::read(&path)?;
        for (id, lines) in regions {
            let mark = format!("registry {id}");
            wanted = text::replace_region(&wanted, &mark, &lines).with_context(|| path.clone())?;
        }
        text::sync(&path, &wanted, fix, problems)?;
    }
    registry.check_guarded(files, problems);
    registry.check_enums(problems)
}

struct Registry {
    tables: Vec<Table>,
    guarded: Vec<String>,
}

impl Registry {
    fn parse(text: &str) -> Result<Self> {
        let registry: toml::Table = text.parse().context(FILE)?;
        let tables = registry.get("table").and_then(toml::Value::as_array);
        let tables = tables.with_context(|| format!("{FILE} has no [[table]]"))?;
        let tables: Result<Vec<Table>> = tables.iter().map(Table::parse).collect();
        let guarded = registry.get("guarded").and_then(toml::Value::as_array);
        let guarded = guarded.into_iter().flatten().filter_map(toml::Value::as_str);
        Ok(Self { tables: tables.context(FILE)?, guarded: guarded.map(str::to_owned).collect() })
    }

    /// No number and no name stands for two things, and what is not assigned says why.
    fn check_rows(&self, problems: &mut Vec<String>) {
        let mut ids = BTreeSet::new();
        for table in &self.tables {
            if !ids.insert(&table.id) {
                problems.push(format!("{FILE}: two tables are called {}", table.id));
            }
            let (mut values, mut names) = (BTreeSet::new(), BTreeSet::new());
            for row in &table.rows {
                let place = format!("{FILE}: {}: {}", table.id, row.name);
                if !names.insert(&row.name) {
                    problems.push(format!("{place}: the name is taken"));
                }
                if !table.is_of_limits()
                    && !row.value.as_ref().is_none_or(|v| values.insert(v.bits()))
                {
                    problems.push(format!("{place}: the number is taken"));
                }
                if !row.shows_its_value(table) {
                    problems.push(format!("{place}: neither `text` nor `lowest` says the value"));
                }
                match row.cells.get("status").map(String::as_str) {
                    Some("assigned") => {}
                    Some("reserved" | "withdrawn") if row.cells.contains_key("reason") => {}
                    None if table.is_of_limits() => {}
                    _ => problems.push(format!(
                        "{place}: `status` is \"assigned\", or \"reserved\" or \"withdrawn\" with a `reason`"
                    )),
                }
            }
        }
    }

    /// What belongs between the marks of each file: by path, mark and lines.
    fn regions(&self, files: &[SourceFile]) -> Result<BTreeMap<String, Vec<(String, String)>>> {
        let mut regions: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for table in &self.tables {
            if let Some(path) = &table.code {
                regions
                    .entry(path.clone())
                    .or_default()
                    .push((table.id.clone(), table.constants()?));
            }
            if let Some(path) = &table.derived {
                regions
                    .entry(path.clone())
                    .or_default()
                    .push((format!("{} derived", table.id), table.assertions()));
            }
            for view in &table.views {
                let start = format!("rfcs/{}-", view.rfc);
                let rfc = files.iter().find(|file| file.path.starts_with(&start));
                let rfc =
                    rfc.with_context(|| format!("{}: there is no RFC {}", table.id, view.rfc))?;
                regions
                    .entry(rfc.path.clone())
                    .or_default()
                    .push((table.id.clone(), view.show(table)));
            }
        }
        Ok(regions)
    }

    /// A guarded source has no constant with a number of its own.
    fn check_guarded(&self, files: &[SourceFile], problems: &mut Vec<String>) {
        for path in &self.guarded {
            if !files.iter().any(|file| file.path.starts_with(path)) {
                problems.push(format!("{FILE}: guarded: there is no {path}"));
            }
        }
        let sources = self.tables.iter().filter_map(|table| table.code.as_ref());
        let paths: Vec<&String> = self.guarded.iter().chain(sources).collect();
        let guarded = |file: &&SourceFile| {
            paths.iter().any(|path| file.path.starts_with(*path))
                && !file.path.ends_with("/tests.rs")
        };
        for file in files.iter().filter(guarded) {
            for (at, line) in (1..).zip(file.text.lines()) {
                let Some(mark) = line.trim().strip_prefix("// registry ") else { continue };
                let id = mark.split(':').next().unwrap_or(mark);
                let is_of = |table: &&Table| match id.strip_suffix(" derived") {
                    Some(id) => table.id == id && table.derived.as_ref() == Some(&file.path),
                    None => table.id == id && table.code.as_ref() == Some(&file.path),
                };
                if !self.tables.iter().any(|table| is_of(&table)) {
                    problems
                        .push(format!("{}:{at}: {FILE} has no table `{id}` for here", file.path));
                }
            }
            for (at, name) in own_numbers(&file.text) {
                problems.push(format!(
                    "{}:{at}: {name} is a number that {FILE} does not list",
                    file.path
                ));
            }
        }
    }

    /// An enum has the variants that its table names, and no others.
    fn check_enums(&self, problems: &mut Vec<String>) -> Result<()> {
        for table in &self.tables {
            let Some((path, name)) = &table.variants else { continue };
            let found = variants(&text::read(path)?, name);
            let rows = table.rows.iter().filter(|row| row.is_assigned());
            let listed: BTreeSet<String> = rows.map(|row| camel(&row.name)).collect();
            for variant in found.difference(&listed) {
                problems.push(format!("{path}: {name}::{variant} is not in {FILE}, {}", table.id));
            }
            for variant in listed.difference(&found) {
                problems.push(format!("{FILE}: {}: {path} has no {name}::{variant}", table.id));
            }
        }
        Ok(())
    }
}

/// Constants outside of the marks, and arms of a `match`, that have a number of their own: by line
/// and name. A value that is made of another constant has none.
fn own_numbers(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut inside) = (Vec::new(), false);
    let mut lines = (1..).zip(text.lines()).peekable();
    while let Some((at, line)) = lines.next() {
        let line = line.trim();
        if line.starts_with("// registry ") {
            inside = line.ends_with(": begin");
        }
        if line.starts_with("#[cfg(test)]")
            && lines.peek().is_some_and(|(_, next)| next.starts_with("mod tests"))
        {
            break;
        }
        if inside || line.starts_with("//") {
            continue;
        }
        if let Some((pattern, _)) = line.split_once(" => ")
            && pattern.starts_with(|c: char| c.is_ascii_digit())
        {
            found.push((at, format!("`{pattern}`")));
        }
        let Some((declared, value)) =
            line.split_once(" =").filter(|(start, _)| !start.contains('('))
        else {
            continue;
        };
        let declared = declared.split_once("const ").or_else(|| declared.split_once("static "));
        let Some((name, kind)) = declared.and_then(|(_, name)| name.split_once(": ")) else {
            continue;
        };
        // The value may stand on the next line.
        let next = lines.peek().map_or("", |(_, next)| next.trim());
        let value = if value.trim().is_empty() { next } else { value };
        let value = value.split(" // ").next().unwrap_or(value);
        let words = value.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let mut words = words.filter(|word| !word.is_empty());
        let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
        let is_constant = |word: &str| {
            word.len() > 1
                && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        };
        let has_number = words.clone().any(is_number);
        let has_constant = words.any(|word| is_constant(word) && !is_number(word));
        if name != "_" && !kind.contains("str") && has_number && !has_constant {
            found.push((at, name.to_owned()));
        }
    }
    found
}

/// The names of an enum's variants, but for one that stands for all unknown values.
fn variants(text: &str, name: &str) -> BTreeSet<String> {
    let start = format!("pub enum {name} {{");
    let mut depth = 0;
    let mut found = BTreeSet::new();
    for line in text.lines().skip_while(|line| line.trim() != start) {
        let trimmed = line.trim();
        if depth == 1 && trimmed.starts_with(|c: char| c.is_ascii_uppercase()) {
            let end = trimmed.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(trimmed.len());
            found.insert(trimmed[..end].to_owned());
        }
        depth += line.matches('{').count();
        depth -= line.matches('}').count();
        if depth == 0 {
            break;
        }
    }
    found.remove("Unknown");
    found
}

/// `no provider` as `NoProvider`.
fn camel(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_uppercase().collect::<String>() + letters.as_str())
    };
    name.split_whitespace().filter_map(word).collect()
}

#[cfg(test)]
mod tests;
