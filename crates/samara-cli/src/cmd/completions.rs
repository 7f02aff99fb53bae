use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use super::Context;
use crate::{
    args::Cli,
    event,
    exit::{Code, Failure},
};

/// Print a completion script for a shell
///
/// For example: `samara completions bash > ~/.local/share/bash-completion/completions/samara`
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        // Into memory first: the generator does not expect that a pipe closes.
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "samara", &mut script);
        if context.output.json() {
            context.output.event(&event::Completions {
                shell: self.shell.to_string(),
                script: String::from_utf8_lossy(&script).into_owned(),
            })?;
        } else {
            context.output.bytes(&script)?;
        }
        Ok(Code::Complete)
    }
}
