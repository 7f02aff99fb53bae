//! A command line in the order in which the commands ask for its parts.

use core::str::FromStr;
use std::collections::VecDeque;

use anyhow::{Context, Result, bail};

/// What is left of the command line.
#[derive(Debug)]
pub(crate) struct Args {
    words: VecDeque<String>,
    /// What stood behind `--`: for the program that the command runs.
    rest: Vec<String>,
}

impl Args {
    /// The command line of this process, without the program's name.
    pub(crate) fn from_env() -> Self {
        Self::new(std::env::args().skip(1))
    }

    /// A command line from its words.
    pub(crate) fn new(words: impl IntoIterator<Item = String>) -> Self {
        let mut words = words.into_iter();
        Self {
            words: words.by_ref().take_while(|word| word != "--").collect(),
            rest: words.collect(),
        }
    }

    /// Takes the next word that is not an option.
    pub(crate) fn positional(&mut self) -> Option<String> {
        let first = self.words.front()?;
        if first.starts_with('-') { None } else { self.words.pop_front() }
    }

    /// Takes the next word if it is one of `known`.
    pub(crate) fn subcommand(&mut self, known: &[&str]) -> Option<String> {
        let first = self.words.front()?;
        if known.contains(&first.as_str()) { self.words.pop_front() } else { None }
    }

    /// Takes all words that are not options. Call it after the options were taken.
    pub(crate) fn positionals(&mut self) -> Vec<String> {
        core::iter::from_fn(|| self.positional()).collect()
    }

    /// Takes `--name` wherever it stands.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        match self.words.iter().position(|word| word == name) {
            Some(at) => self.words.remove(at).is_some(),
            None => false,
        }
    }

    /// Takes `--name VALUE` or `--name=VALUE` wherever it stands.
    pub(crate) fn option<T: FromStr>(&mut self, name: &str) -> Result<Option<T>> {
        let inline = format!("{name}=");
        let Some(at) = self.words.iter().position(|word| word == name || word.starts_with(&inline))
        else {
            return Ok(None);
        };
        let word = self.words.remove(at).unwrap_or_default();
        let value = match word.strip_prefix(&inline) {
            Some(value) => value.to_owned(),
            None => self.words.remove(at).with_context(|| format!("{name} needs a value"))?,
        };
        match value.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => bail!("{name} does not take `{value}`"),
        }
    }

    /// Takes what stood behind `--`.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        core::mem::take(&mut self.rest)
    }

    /// Ends the parsing.
    ///
    /// # Errors
    ///
    /// If a word was not understood.
    pub(crate) fn finish(self) -> Result<()> {
        match self.words.front().or_else(|| self.rest.first()) {
            None => Ok(()),
            Some(word) => {
                bail!("`{word}` was not understood; `cargo xtask help` lists the options")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Args {
        Args::new(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_found_wherever_they_stand() {
        let mut args = args("run wire_frame --seconds 5 tree_proof --sanitizer=none -- -x");
        assert_eq!(args.subcommand(&["run", "list"]).as_deref(), Some("run"));
        assert_eq!(args.option::<u64>("--seconds").unwrap(), Some(5));
        assert_eq!(args.option::<String>("--sanitizer").unwrap().as_deref(), Some("none"));
        assert_eq!(args.positionals(), ["wire_frame", "tree_proof"]);
        assert_eq!(args.rest(), ["-x"]);
        args.finish().unwrap();
    }

    #[test]
    fn an_unknown_word_is_an_error() {
        assert!(args("--sceonds").finish().is_err());
        assert!(args("--seconds x").option::<u64>("--seconds").is_err());
        assert!(args("--seconds").option::<u64>("--seconds").is_err());
    }
}
