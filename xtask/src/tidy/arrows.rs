//! No arrow between crates but those of the layer table.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    layers::{BESIDE, LAYERS, Layer, LayerKind, RUNTIMES, layer},
    workspace::{Dep, DepKind, Package},
};

/// Checks every package against the layer table.
pub(super) fn check(packages: &BTreeMap<String, Package>, problems: &mut Vec<String>) {
    for package in packages.values() {
        match layer(&package.name) {
            Some(layer) => check_package(package, layer, packages, problems),
            None if BESIDE.contains(&package.name.as_str()) => {}
            None => problems.push(format!(
                "{} is in no row of the layer table (xtask/src/layers.rs)",
                package.name
            )),
        }
    }
}

fn check_package(
    package: &Package,
    layer: &Layer,
    packages: &BTreeMap<String, Package>,
    problems: &mut Vec<String>,
) {
    let below: BTreeSet<&str> =
        LAYERS.iter().map(|layer| layer.name).take_while(|name| *name != layer.name).collect();
    for Dep { name, kind } in &package.deps {
        //= rfcs/0001-architecture.md#arch-1
        //# A crate of the workspace MUST NOT depend on another one unless the layer table
        //# allows that arrow.
        let ours = packages.contains_key(name);
        let allowed = match (ours, kind) {
            // Tests may use what stands lower, and any library.
            (true, DepKind::Dev) => below.contains(name.as_str()) || *name == package.name,
            (true, _) => layer.ours.contains(&name.as_str()),
            (false, DepKind::Dev) => true,
            (false, _) => layer.others.is_none_or(|others| others.contains(&name.as_str())),
        };
        if !allowed {
            problems.push(format!(
                "{} must not depend on {name}: the layer table (xtask/src/layers.rs) has no such arrow",
                package.name
            ));
        }
    }
    //= rfcs/0001-architecture.md#arch-2
    //# A crate of kind `no_std` or synchronous MUST NOT be linked with an asynchronous
    //# runtime.
    if layer.kind != LayerKind::Async {
        for runtime in RUNTIMES.iter().filter(|runtime| package.closure.contains(**runtime)) {
            problems.push(format!("{} is linked with {runtime}, but it is sans-IO", package.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, deps: &[(&str, DepKind)], closure: &[&str]) -> (String, Package) {
        let deps = deps.iter().map(|(name, kind)| Dep { name: (*name).to_owned(), kind: *kind });
        let package = Package {
            name: name.to_owned(),
            dir: format!("crates/{name}"),
            description: String::new(),
            publish: true,
            features: Vec::new(),
            deps: deps.collect(),
            roots: Vec::new(),
            closure: closure.iter().map(|name| (*name).to_owned()).collect(),
        };
        (name.to_owned(), package)
    }

    fn problems(wire: &[(&str, DepKind)], closure: &[&str]) -> Vec<String> {
        let others =
            ["samara-base", "samara-store", "samara-mesh"].map(|name| package(name, &[], &[]));
        let packages = others.into_iter().chain([package("samara-wire", wire, closure)]).collect();
        let mut problems = Vec::new();
        check(&packages, &mut problems);
        problems
    }

    #[test]
    fn arrows_of_the_table_pass() {
        let deps = [
            ("samara-base", DepKind::Normal),
            ("bytes", DepKind::Normal),
            ("proptest", DepKind::Dev),
        ];
        assert_eq!(problems(&deps, &["bytes"]), Vec::<String>::new());
    }

    //= rfcs/0001-architecture.md#arch-1
    //= type=test
    //# A crate of the workspace MUST NOT depend on another one unless the layer table
    //# allows that arrow.
    #[test]
    fn arrows_upwards_are_refused_even_in_tests() {
        assert_eq!(problems(&[("samara-mesh", DepKind::Normal)], &[]).len(), 1);
        assert_eq!(problems(&[("samara-store", DepKind::Dev)], &[]).len(), 1);
    }

    //= rfcs/0001-architecture.md#arch-2
    //= type=test
    //# A crate of kind `no_std` or synchronous MUST NOT be linked with an asynchronous
    //# runtime.
    #[test]
    fn foreign_crates_and_runtimes_are_refused_in_the_core() {
        assert_eq!(problems(&[("serde", DepKind::Normal)], &[]).len(), 1);
        assert_eq!(problems(&[], &["tokio"]).len(), 1);
    }
}
