//! The requirements in an RFC.

use crate::text;

/// The words of BCP 14, strongest first.
const KEYWORDS: [(&str, Level); 7] = [
    ("MUST", Level::Must),
    ("SHALL", Level::Must),
    ("REQUIRED", Level::Must),
    ("SHOULD", Level::Should),
    ("RECOMMENDED", Level::Should),
    ("MAY", Level::May),
    ("OPTIONAL", Level::May),
];

/// How binding a requirement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Must,
    Should,
    May,
}

impl Level {
    /// The word of BCP 14.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
        }
    }
}

/// An RFC as far as the gate reads it.
#[derive(Debug)]
pub(super) struct Rfc {
    /// Relative to the root.
    pub(super) file: String,
    /// The first heading, without `#`.
    pub(super) title: String,
    /// The word after `Status:`.
    pub(super) status: String,
    /// In the order of the file, withdrawn ones too.
    pub(super) requirements: Vec<Requirement>,
}

/// One heading with its sentence.
#[derive(Debug)]
pub(super) struct Requirement {
    pub(super) id: String,
    pub(super) sentence: String,
    pub(super) level: Level,
    pub(super) withdrawn: bool,
    pub(super) file: String,
    pub(super) line: usize,
}

impl Requirement {
    /// `file:line`.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }

    /// The id without its number.
    pub(super) fn prefix(&self) -> &str {
        self.id.rsplit_once('-').map_or(self.id.as_str(), |(prefix, _)| prefix)
    }
}

/// Whether `name` is `NNNN-something.md`.
pub(super) fn is_rfc(name: &str) -> bool {
    let digits = name.split('-').next().unwrap_or_default();
    digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()) && name.ends_with(".md")
}

/// Reads an RFC; what is wrong with it goes to `problems`.
pub(super) fn parse(file: &str, text: &str, problems: &mut Vec<String>) -> Rfc {
    let mut rfc = Rfc {
        file: file.to_owned(),
        title: String::new(),
        status: String::new(),
        requirements: Vec::new(),
    };
    // The line of the fence that is open, and its back-ticks.
    let mut fence: Option<(usize, &str)> = None;
    let unclosed =
        |at: usize| format!("{file}:{at}: this code fence is never closed, and hides what follows");
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line)).peekable();
    while let Some((number, line)) = lines.next() {
        if let Some((ticks, info)) = code_fence(line) {
            fence = match fence {
                // A shorter one is part of the code.
                Some((_, open)) if ticks.len() < open.len() => fence,
                // A fence with a word behind it begins a block, and can't end one.
                Some((at, _)) if !info.is_empty() => {
                    problems.push(unclosed(at));
                    Some((number, ticks))
                }
                Some(_) => None,
                None => Some((number, ticks)),
            };
            continue;
        }
        if fence.is_some() {
            continue;
        }
        if rfc.title.is_empty() && line.starts_with("# ") {
            line[2..].clone_into(&mut rfc.title);
        }
        if rfc.status.is_empty()
            && let Some((_, status)) = line.split_once("Status:")
        {
            let word = |c: char| !c.is_ascii_alphabetic();
            status
                .split(word)
                .find(|word| !word.is_empty())
                .unwrap_or_default()
                .clone_into(&mut rfc.status);
        }
        let Some((id, withdrawn)) = line.strip_prefix("### ").and_then(requirement_id) else {
            //= rfcs/0000-process.md#proc-2
            //# A word of BCP 14 in capitals MUST NOT stand in an RFC outside of a
            //# requirement's sentence or of code.
            if let Some(word) = keyword(&without_code(line)) {
                problems.push(format!(
                    "{file}:{number}: {} outside of a requirement's sentence",
                    word.0
                ));
            }
            continue;
        };
        while lines.next_if(|(_, line)| line.trim().is_empty()).is_some() {}
        let mut sentence = String::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| {
            !line.trim().is_empty() && !line.starts_with('#') && code_fence(line).is_none()
        }) {
            sentence.push_str(line);
            sentence.push('\n');
        }
        let sentence = text::fold(&sentence);
        let requirement = Requirement {
            level: keyword(&sentence).map_or(Level::May, |(_, level)| level),
            id: id.to_owned(),
            sentence,
            withdrawn,
            file: file.to_owned(),
            line: number,
        };
        if !withdrawn {
            check_sentence(&requirement, problems);
        }
        rfc.requirements.push(requirement);
    }
    problems.extend(fence.map(|(at, _)| unclosed(at)));
    if !rfc.title.starts_with("RFC ") {
        problems.push(format!("{file}: the first heading is not `# RFC NNNN: Title`"));
    }
    if !["Proposal", "Candidate", "Final", "Withdrawn"].contains(&rfc.status.as_str()) {
        problems.push(format!("{file}: no `Status:` of Proposal, Candidate, Final or Withdrawn"));
    }
    rfc
}

/// The back-ticks of a line that begins or ends a block of code, and what stands behind them.
fn code_fence(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let (ticks, info) = line.split_at(line.len() - line.trim_start_matches('`').len());
    (ticks.len() >= 3).then_some((ticks, info))
}

/// One plain sentence with a word of BCP 14.
//= rfcs/0000-process.md#proc-1
//# A requirement MUST be one plain sentence that contains a word of BCP 14 and ends with a
//# full stop.
fn check_sentence(requirement: &Requirement, problems: &mut Vec<String>) {
    let (place, sentence) = (requirement.place(), &requirement.sentence);
    let mut problem = |what: &str| problems.push(format!("{place}: {}: {what}", requirement.id));
    if keyword(sentence).is_none() {
        problem("no MUST, SHOULD or MAY in its sentence");
    }
    if !sentence.ends_with('.') {
        problem("its sentence does not end with a full stop");
    }
    if sentence.starts_with(['-', '*', '|', '>']) || sentence.contains("**") {
        problem("not a plain sentence (list, table, quotation or bold)");
    }
    let starts_upper = |rest: &str| rest.starts_with(|c: char| c.is_uppercase());
    if sentence.split(". ").skip(1).any(starts_upper) {
        problem("more than one sentence; the reason goes into the paragraph below");
    }
}

/// `ENC-12` or `ENC-12 (withdrawn)`.
fn requirement_id(heading: &str) -> Option<(&str, bool)> {
    let (id, withdrawn) = match heading.trim().strip_suffix(" (withdrawn)") {
        Some(id) => (id, true),
        None => (heading.trim(), false),
    };
    let (prefix, number) = id.rsplit_once('-')?;
    let named = prefix.starts_with(|c: char| c.is_ascii_uppercase())
        && prefix.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let numbered = number.starts_with(|c: char| ('1'..='9').contains(&c))
        && number.bytes().all(|b| b.is_ascii_digit());
    (named && numbered).then_some((id, withdrawn))
}

/// The strongest BCP 14 word in `text`.
fn keyword(text: &str) -> Option<(&'static str, Level)> {
    let mut words: Vec<&str> =
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    words.sort_unstable();
    KEYWORDS.into_iter().find(|(word, _)| words.binary_search(word).is_ok())
}

/// `line` without what stands in back-ticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}
