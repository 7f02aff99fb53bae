//! Tables of the registry, as constants and as Markdown.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::number::Number;

/// A number space or a list of limits.
pub(super) struct Table {
    pub(super) id: String,
    /// The source with the constants.
    pub(super) code: Option<String>,
    /// The source that asserts what its limits are derived from.
    pub(super) derived: Option<String>,
    /// File and name of an enum whose variants are the rows.
    pub(super) variants: Option<(String, String)>,
    pub(super) views: Vec<View>,
    pub(super) rows: Vec<Row>,
    /// Type of all constants; without one each row has its own, and the table is of limits.
    kind: Option<String>,
    visible: String,
    hex: bool,
}

/// How an RFC shows a table: headings and the keys that they show.
pub(super) struct View {
    pub(super) rfc: String,
    columns: Vec<(String, String)>,
}

pub(super) struct Row {
    pub(super) name: String,
    pub(super) value: Option<Number>,
    /// All that is text.
    pub(super) cells: BTreeMap<String, String>,
}

impl Table {
    pub(super) fn parse(value: &toml::Value) -> Result<Self> {
        let text = |key: &str| value.get(key).and_then(toml::Value::as_str).map(str::to_owned);
        let list =
            |key: &str| value.get(key).and_then(toml::Value::as_array).cloned().unwrap_or_default();
        let id = text("id").context("a table without `id`")?;
        let views: Result<Vec<View>> = list("views").iter().map(View::parse).collect();
        let rows: Result<Vec<Row>> = list("row").iter().map(Row::parse).collect();
        let variants = value.get("enum").map(|place| {
            let part = |key: &str| place.get(key).and_then(toml::Value::as_str).unwrap_or_default();
            (part("file").to_owned(), part("name").to_owned())
        });
        let table = Self {
            code: text("code"),
            derived: text("derived"),
            variants,
            views: views.with_context(|| id.clone())?,
            rows: rows.with_context(|| id.clone())?,
            kind: text("type"),
            visible: text("visible").unwrap_or_else(|| "pub(crate)".to_owned()),
            hex: value.get("hex").and_then(toml::Value::as_bool).unwrap_or(false),
            id,
        };
        let owner = text("rfc").with_context(|| format!("{}: which `rfc` owns it?", table.id))?;
        if !table.views.iter().any(|view| view.rfc == owner) {
            bail!("{}: RFC {owner} owns it and does not show it", table.id);
        }
        Ok(table)
    }

    /// Limits may be equal; numbers may not.
    pub(super) const fn is_of_limits(&self) -> bool {
        self.kind.is_none()
    }

    /// The constants of all rows that have one.
    pub(super) fn constants(&self) -> Result<String> {
        let mut out = String::new();
        let has_constant = |row: &&Row| row.is_assigned() && !row.cells.contains_key("derived");
        for row in self.rows.iter().filter(has_constant) {
            let Some(value) = &row.value else { continue };
            let place = || format!("{}: {}", self.id, row.name);
            let kind = row.cells.get("type").or(self.kind.as_ref());
            let kind = kind.with_context(|| format!("{}: no `type`", place()))?;
            let name = row.constant();
            if name.contains(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_') {
                bail!("{}: name its constant by `const`", place());
            }
            if let Some(doc) = row.cells.get("doc") {
                if !out.is_empty() {
                    out.push('\n');
                }
                wrap(doc, &mut out);
            }
            let visible = row.cells.get("visible").unwrap_or(&self.visible);
            let space = if visible.is_empty() { "" } else { " " };
            out += &format!("{visible}{space}const {name}: {kind} = {};\n", value.rust(self.hex));
        }
        Ok(out)
    }

    /// An assertion for each limit that another constant is or follows from.
    pub(super) fn assertions(&self) -> String {
        let rows = self.rows.iter().filter_map(|row| Some((row.cells.get("equals")?, row)));
        let values = rows.filter_map(|(equals, row)| Some((equals, row.value.as_ref()?)));
        let line = |(equals, value): (&String, &Number)| {
            format!("const _: () = assert!({equals} == {});\n", value.rust(self.hex))
        };
        values.map(line).collect()
    }

    /// As an RFC writes the value of a row, without what is told beside it.
    pub(super) fn shown(&self, row: &Row) -> Option<String> {
        row.value.as_ref().map(|value| value.shown(self.hex))
    }
}

impl View {
    fn parse(value: &toml::Value) -> Result<Self> {
        let rfc = value.get("rfc").and_then(toml::Value::as_str).context("a view of which RFC?")?;
        let columns = value.get("columns").and_then(toml::Value::as_array);
        let columns = columns.context("a view without `columns`")?.iter();
        let columns = columns.filter_map(toml::Value::as_str).map(|column| {
            let (heading, key) = column.split_once(" = ").unwrap_or((column, column));
            (heading.to_owned(), key.to_owned())
        });
        Ok(Self { rfc: rfc.to_owned(), columns: columns.collect() })
    }

    /// The table as Markdown.
    pub(super) fn show(&self, table: &Table) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut out = line(self.columns.iter().map(|(heading, _)| heading.clone()).collect());
        out += &line(vec!["---".to_owned(); self.columns.len()]);
        let none = Row { name: "none yet".to_owned(), value: None, cells: BTreeMap::new() };
        let rows = if table.rows.is_empty() { core::slice::from_ref(&none) } else { &table.rows };
        for row in rows {
            out += &line(self.columns.iter().map(|(_, key)| row.cell(key, table.hex)).collect());
        }
        out
    }
}

impl Row {
    fn parse(value: &toml::Value) -> Result<Self> {
        let fields = value.as_table().context("a row is a table")?;
        let texts = fields.iter().filter(|(key, _)| *key != "value");
        let cells: BTreeMap<String, String> = texts
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect();
        let name = cells.get("name").context("a row without `name`")?.clone();
        let value = fields.get("value").map(Number::parse).transpose();
        Ok(Self { value: value.with_context(|| name.clone())?, name, cells })
    }

    /// Whether it is in use: limits always are.
    pub(super) fn is_assigned(&self) -> bool {
        self.cells.get("status").is_none_or(|status| status == "assigned")
    }

    /// A text in the place of a value says the value, too.
    pub(super) fn shows_its_value(&self, table: &Table) -> bool {
        let (Some(value), Some(text)) = (&self.value, self.cells.get("text")) else { return true };
        let shown = value.shown(table.hex);
        text.contains(&shown) || self.cells.get("lowest").is_some_and(|text| text.contains(&shown))
    }

    pub(super) fn constant(&self) -> String {
        let name = self.cells.get("const").unwrap_or(&self.name);
        name.replace(' ', "_").to_uppercase()
    }

    fn cell(&self, key: &str, hex: bool) -> String {
        let text = |key: &str| self.cells.get(key).cloned();
        let shown = match key {
            "value" => text("text").or_else(|| Some(self.value.as_ref()?.shown(hex))),
            "const" => text("derived")
                .or_else(|| self.value.is_some().then(|| self.constant()))
                .map(|name| format!("`{name}`")),
            key => text(key),
        };
        let shown =
            shown.unwrap_or_else(|| if key == "name" { self.name.clone() } else { "–".to_owned() });
        match (key, self.cells.get("status"), self.cells.get("reason")) {
            ("name", Some(status), Some(reason)) => format!("{shown} ({status}: {reason})"),
            _ => shown,
        }
    }
}

/// A doc comment in lines of at most 100 columns.
fn wrap(doc: &str, out: &mut String) {
    let mut line = String::from("///");
    for word in doc.split_whitespace() {
        if line.len() + 1 + word.len() > 100 {
            *out += &line;
            out.push('\n');
            line = String::from("///");
        }
        line.push(' ');
        line += word;
    }
    *out += &line;
    out.push('\n');
}
