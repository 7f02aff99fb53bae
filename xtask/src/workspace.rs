//! The workspace as `cargo metadata` describes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::sh::{cargo, root};

/// When a dependency is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DepKind {
    /// By the crate itself.
    Normal,
    /// By its tests, examples and benchmarks.
    Dev,
    /// By its build script.
    Build,
}

/// A dependency as a manifest declares it.
#[derive(Debug)]
pub(crate) struct Dep {
    /// The package's name.
    pub(crate) name: String,
    /// When it is used.
    pub(crate) kind: DepKind,
}

/// A member of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    /// The package's name.
    pub(crate) name: String,
    /// Its folder, relative to the root, with `/`.
    pub(crate) dir: String,
    /// What its manifest says that it is.
    pub(crate) description: String,
    /// Whether it goes to a registry.
    pub(crate) publish: bool,
    /// Its features without `default`.
    pub(crate) features: Vec<String>,
    /// Its direct dependencies.
    pub(crate) deps: Vec<Dep>,
    /// The paths of its crate roots (library and binaries), relative to the root.
    pub(crate) roots: Vec<String>,
    /// The names of all packages that it is linked with, all features on, without dev-dependencies.
    pub(crate) closure: BTreeSet<String>,
}

/// All members, by name.
///
/// # Errors
///
/// If `cargo metadata` fails or prints something else.
pub(crate) fn packages() -> Result<BTreeMap<String, Package>> {
    let text = cargo("metadata").args(["--format-version=1", "--all-features"]).read()?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata")?;
    let graph = Graph::read(&metadata);
    let members: BTreeSet<&str> = strings(&metadata["workspace_members"]).collect();
    let mut packages = BTreeMap::new();
    for value in list(&metadata["packages"]) {
        let id = value["id"].as_str().unwrap_or_default();
        if members.contains(id) {
            let package =
                package(value, &graph).with_context(|| format!("cargo metadata: {id}"))?;
            packages.insert(package.name.clone(), package);
        }
    }
    Ok(packages)
}

fn package(value: &Value, graph: &Graph<'_>) -> Result<Package> {
    let text = |key: &str| value[key].as_str().unwrap_or_default();
    let relative = |path: &str| -> Result<String> {
        let path = PathBuf::from(path);
        Ok(path.strip_prefix(root())?.to_string_lossy().replace('\\', "/"))
    };
    let deps = list(&value["dependencies"]).map(|dep| Dep {
        name: dep["name"].as_str().unwrap_or_default().to_owned(),
        kind: match dep["kind"].as_str() {
            Some("dev") => DepKind::Dev,
            Some("build") => DepKind::Build,
            _ => DepKind::Normal,
        },
    });
    let is_root =
        |target: &&Value| strings(&target["kind"]).any(|kind| kind == "lib" || kind == "bin");
    let roots: Result<Vec<String>> = list(&value["targets"])
        .filter(is_root)
        .map(|target| relative(target["src_path"].as_str().unwrap_or_default()))
        .collect();
    let features = value["features"].as_object();
    let features = features.into_iter().flatten().map(|(name, _)| name.clone());
    Ok(Package {
        name: text("name").to_owned(),
        dir: relative(text("manifest_path"))?.trim_end_matches("/Cargo.toml").to_owned(),
        description: text("description").to_owned(),
        publish: !value["publish"].as_array().is_some_and(Vec::is_empty),
        features: features.filter(|name| name != "default").collect(),
        deps: deps.collect(),
        roots: roots?,
        closure: graph.closure(text("id")),
    })
}

/// The resolved graph: which package is linked with which.
struct Graph<'a> {
    names: BTreeMap<&'a str, &'a str>,
    arrows: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Graph<'a> {
    fn read(metadata: &'a Value) -> Self {
        let id = |value: &'a Value, key: &str| value[key].as_str().unwrap_or_default();
        let names = list(&metadata["packages"]).map(|p| (id(p, "id"), id(p, "name"))).collect();
        let linked = |dep: &&Value| list(&dep["dep_kinds"]).any(|kind| kind["kind"].is_null());
        let arrows = list(&metadata["resolve"]["nodes"]).map(|node| {
            (id(node, "id"), list(&node["deps"]).filter(linked).map(|dep| id(dep, "pkg")).collect())
        });
        Self { names, arrows: arrows.collect() }
    }

    fn closure(&self, start: &str) -> BTreeSet<String> {
        let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
        while let Some(id) = open.pop() {
            for next in self.arrows.get(id).into_iter().flatten() {
                if seen.insert(*next) {
                    open.push(next);
                }
            }
        }
        seen.into_iter()
            .filter_map(|id| self.names.get(id))
            .map(|name| (*name).to_owned())
            .collect()
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    list(value).filter_map(Value::as_str)
}
