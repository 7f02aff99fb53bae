//! The requirements that vectors name: where they stand and what they say. Spec: RFC 0000.

use core::cmp::Ordering;
use std::{collections::BTreeMap, fs, io, path::Path};

use crate::{Test, VectorFile};

/// One requirement of an RFC.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requirement {
    /// Path of the RFC, from the root of the repository.
    pub rfc: String,
    /// Its sentence.
    pub sentence: String,
}

/// The requirements of the RFCs, by id.
#[derive(Clone, Debug, Default)]
pub struct Requirements(BTreeMap<String, Requirement>);

/// Where a test belongs: an RFC, and the requirement there that it is about, if any.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Section {
    /// Path of the RFC, from the root of the repository.
    pub rfc: String,
    /// The id.
    pub req: Option<String>,
}

impl Section {
    /// As a link: the RFC's path and the anchor of the requirement's heading.
    #[must_use]
    pub fn link(&self) -> String {
        match &self.req {
            Some(req) => format!("{}#{}", self.rfc, req.to_lowercase()),
            None => self.rfc.clone(),
        }
    }

    /// So that ENC-9 comes before ENC-10, and what is about no requirement comes first.
    fn key(&self) -> (&str, Option<(&str, u32)>) {
        let split = |req| {
            let (prefix, number) = str::rsplit_once(req, '-').unwrap_or((req, ""));
            (prefix, number.parse().unwrap_or(u32::MAX))
        };
        (&self.rfc, self.req.as_deref().map(split))
    }
}

impl Ord for Section {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key()).then_with(|| self.req.cmp(&other.req))
    }
}

impl PartialOrd for Section {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Requirements {
    /// Reads the RFCs of a directory. One without RFCs has no requirements: vectors can be run alone.
    ///
    /// # Errors
    ///
    /// If the directory or an RFC can't be read.
    pub fn read(directory: &Path) -> io::Result<Self> {
        let mut found = Self::default();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let numbered = name.get(..5).is_some_and(|start| {
                start.ends_with('-') && start.bytes().take(4).all(|byte| byte.is_ascii_digit())
            });
            if numbered && name.ends_with(".md") {
                found.add(&format!("rfcs/{name}"), &fs::read_to_string(&path)?);
            }
        }
        Ok(found)
    }

    /// Adds those of one RFC.
    fn add(&mut self, rfc: &str, text: &str) {
        let mut lines = text.lines();
        let mut fenced = false;
        while let Some(line) = lines.next() {
            fenced ^= line.trim_start().starts_with("```");
            let Some(id) = line.strip_prefix("### ").filter(|id| !fenced && is_id(id)) else {
                continue;
            };
            let sentence = lines.by_ref().skip_while(|line| line.is_empty());
            let sentence = sentence.take_while(|line| !line.is_empty()).collect::<Vec<_>>();
            let sentence = sentence.join(" ");
            self.0.insert(id.to_owned(), Requirement { rfc: rfc.to_owned(), sentence });
        }
    }

    /// The requirement of an id, unless no RFC at hand has it.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Requirement> {
        self.0.get(id)
    }

    /// Where a test belongs: to the RFC of its requirement, else to that of its codec.
    #[must_use]
    pub fn section(&self, file: &VectorFile, test: &Test) -> Section {
        let rfc = test.req.as_ref().and_then(|req| self.get(req)).map(|found| &found.rfc);
        Section { rfc: rfc.unwrap_or(&file.rfc).clone(), req: test.req.clone() }
    }
}

/// Whether a heading is the id of a requirement in force.
fn is_id(heading: &str) -> bool {
    heading.rsplit_once('-').is_some_and(|(prefix, number)| {
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        digits && !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_uppercase())
    })
}

/// Which tests to run. Empty: all.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    reqs: Vec<String>,
    rfcs: Vec<String>,
}

impl Selection {
    /// Adds the tests of a requirement, by its id.
    pub fn req(&mut self, id: &str) {
        self.reqs.push(id.to_uppercase());
    }

    /// Adds the tests that belong to an RFC, by its number.
    pub fn rfc(&mut self, number: &str) {
        self.rfcs.push(number.to_owned());
    }

    /// Leaves only the selected tests. `Err`: what no test is about, so that a typing error is not
    /// taken for a pass.
    ///
    /// # Errors
    ///
    /// The id or number.
    pub fn apply(
        &self,
        files: &mut Vec<(String, VectorFile)>,
        requirements: &Requirements,
    ) -> Result<(), String> {
        if self.reqs.is_empty() && self.rfcs.is_empty() {
            return Ok(());
        }
        let (mut reqs, mut rfcs) = (self.reqs.clone(), self.rfcs.clone());
        for (_, file) in files.iter_mut() {
            let tests = core::mem::take(&mut file.tests);
            file.tests = tests
                .into_iter()
                .filter(|test| {
                    let section = requirements.section(file, test);
                    let is_req = |req: &String| section.req.as_ref() == Some(req);
                    let is_rfc = |number: &String| {
                        let name = section.rfc.rsplit('/').next().unwrap_or_default();
                        name.strip_prefix(number.as_str()).is_some_and(|rest| rest.starts_with('-'))
                    };
                    reqs.retain(|req| !is_req(req));
                    rfcs.retain(|number| !is_rfc(number));
                    self.reqs.iter().any(is_req) || self.rfcs.iter().any(is_rfc)
                })
                .collect();
        }
        files.retain(|(_, file)| !file.tests.is_empty());
        match reqs.into_iter().chain(rfcs).next() {
            Some(unknown) => Err(format!("no test is about {unknown}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
