//! Planted bugs: each has to be found by a gate, or the gates are worth less than they seem.
//!
//! `xtask/plants.toml` lists them as replacements in a file. They are made in a copy of the working
//! tree, one at a time, so that nothing here can be forgotten in the sources.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::{
    args::Args,
    garden,
    sh::{Cmd, cargo, require},
    text,
};

const LIST: &str = "xtask/plants.toml";

/// A bug.
#[derive(Debug, PartialEq, Eq)]
struct Plant {
    name: String,
    /// What is wrong with it, in words.
    what: String,
    /// Where, relative to the root.
    file: String,
    find: String,
    replace: String,
    /// The package whose tests should find it; `None`: the citation gate should.
    package: Option<String>,
}

/// `cargo xtask plant [NAME...] [--list]`.
pub(crate) fn command(mut args: Args) -> Result<()> {
    let list = args.flag("--list");
    let names = args.positionals();
    args.finish()?;
    let all = parse(&text::read(LIST)?)?;
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|plant| plant.name != **name)) {
        bail!("no planted bug `{unknown}`; `cargo xtask plant --list` names them");
    }
    let wanted = |plant: &&Plant| names.is_empty() || names.contains(&plant.name);
    let plants: Vec<_> = all.iter().filter(wanted).collect();
    if list {
        plants.iter().for_each(|plant| println!("{:24} {}", plant.name, plant.what));
        return Ok(());
    }
    require(
        "cargo-nextest",
        cargo("nextest").arg("--version"),
        "cargo install cargo-nextest --locked",
    )?;
    let garden = garden::copy("plant")?;
    // A gate that fails on sound code would find everything.
    if plants.iter().any(|plant| plant.package.is_none()) {
        let (passed, output) =
            rfc_gate().env("CARGO_TARGET_DIR", garden.join("target")).dir(&garden).output()?;
        if !passed {
            bail!("the citation gate fails without a bug:\n{output}");
        }
    }
    let mut missed = Vec::new();
    for plant in &plants {
        match dig(&garden, plant)? {
            Some(gate) => println!("{:24} caught by {gate}", plant.name),
            None => {
                println!("{:24} NOT CAUGHT: {}", plant.name, plant.what);
                missed.push(plant.name.as_str());
            }
        }
    }
    println!("{} of {} planted bugs were caught", plants.len() - missed.len(), plants.len());
    if missed.is_empty() { Ok(()) } else { bail!("not caught: {}", missed.join(", ")) }
}

fn parse(text: &str) -> Result<Vec<Plant>> {
    let table: toml::Table = text.parse().context(LIST)?;
    let mut plants = Vec::new();
    for (name, value) in &table {
        let optional = |key: &str| value.get(key).and_then(toml::Value::as_str).map(str::to_owned);
        let get = |key: &str| {
            optional(key).with_context(|| format!("{LIST}: {name} needs the text `{key}`"))
        };
        plants.push(Plant {
            name: name.clone(),
            what: get("what")?,
            file: get("file")?,
            find: get("find")?,
            replace: get("replace")?,
            package: optional("package"),
        });
    }
    Ok(plants)
}

/// Plants a bug and takes it out again: which gate found it.
fn dig(garden: &Path, plant: &Plant) -> Result<Option<String>> {
    let path = garden.join(&plant.file);
    let sound = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    fs::write(&path, planted(plant, &sound)?)?;
    let found = gate(garden, plant);
    fs::write(&path, sound)?;
    found
}

/// The file with the bug.
fn planted(plant: &Plant, sound: &str) -> Result<String> {
    let count = sound.matches(&plant.find).count();
    if count != 1 {
        bail!("{LIST}: {}: `find` is {count} times in {}, not once", plant.name, plant.file);
    }
    Ok(sound.replacen(&plant.find, &plant.replace, 1))
}

fn gate(garden: &Path, plant: &Plant) -> Result<Option<String>> {
    // A target folder of its own: cargo takes a crate in the copy for the one here, and would go on with
    // what was built with a bug in it.
    let target = garden.join("target");
    let gate = match &plant.package {
        Some(package) => cargo("nextest").args(["run", "--fail-fast", "--package", package]),
        None => rfc_gate(),
    };
    let (passed, output) = gate.env("CARGO_TARGET_DIR", target).dir(garden).output()?;
    if passed {
        return Ok(None);
    }
    if output.contains("could not compile") {
        bail!("{LIST}: {} does not compile:\n{output}", plant.name);
    }
    match first_complaint(&output, plant.package.is_none()) {
        Some(complaint) => Ok(Some(complaint.to_owned())),
        None => bail!("{LIST}: {}: the tests failed, but no test did:\n{output}", plant.name),
    }
}

fn rfc_gate() -> Cmd {
    cargo("run").args(["--quiet", "--package", "xtask", "--", "rfc", "check"])
}

/// Who complained first: a test by its name, or the first line of the citation gate.
fn first_complaint(output: &str, is_rfc_gate: bool) -> Option<&str> {
    let failed = output.lines().find(|line| {
        let line = line.trim_start();
        ["FAIL [", "TIMEOUT [", "SIGABRT ["].iter().any(|start| line.starts_with(start))
    });
    match failed.and_then(|line| line.rsplit_once(") ")) {
        Some((_, test)) => Some(test),
        None if is_rfc_gate => output.lines().find(|line| !line.trim().is_empty()),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plant_of_the_list_has_its_place() -> Result<()> {
        let plants = parse(&text::read(LIST)?)?;
        assert!(plants.len() >= 20, "{}", plants.len());
        for plant in plants {
            let sound = text::read(&plant.file)?;
            assert_ne!(planted(&plant, &sound)?, sound, "{}", plant.name);
        }
        Ok(())
    }

    #[test]
    fn a_place_that_is_not_one_is_an_error() {
        let plant = Plant {
            name: "x".into(),
            what: "y".into(),
            file: "z".into(),
            find: "a".into(),
            replace: "b".into(),
            package: None,
        };
        assert!(planted(&plant, "a b a").is_err());
        assert!(planted(&plant, "b").is_err());
        assert_eq!(planted(&plant, "c a").ok().as_deref(), Some("c b"));
    }

    #[test]
    fn the_first_complaint_names_a_test_or_a_line() {
        let output = "   Compiling x\n        FAIL [   0.010s] ( 3/9) samara-wire::limits a_test\n";
        assert_eq!(first_complaint(output, false), Some("samara-wire::limits a_test"));
        assert_eq!(
            first_complaint("\nrfcs/x.md:7: ABC-1 has no cited test\nmore", true),
            Some("rfcs/x.md:7: ABC-1 has no cited test")
        );
    }
}
