//! The program: makes the vectors, holds a subject to them, and is one itself.
#![forbid(unsafe_code)]

use std::{
    env, fs,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use samara_conformance::{
    Child, Codec, Ours, Requirements, Selection, Skips, Subject, VectorFile, cross, generate,
    report, run, serve,
};

const HELP: &str = "\
usage: samara-conformance run DIR [--req ID]... [--rfc NNNN]... [--skip CODEC=REASON]... [-- PROGRAM ARG...]
       samara-conformance cross COUNT -- PROGRAM ARG...
       samara-conformance gen DIR [--check]
       samara-conformance serve

run    holds a subject to the vectors in DIR: PROGRAM, or the crates of this repository;
       with --req or --rfc, only to those about a requirement or an RFC. What the RFCs in the
       folder around DIR say is shown with what failed
cross  has PROGRAM and our crates encode and decode COUNT values of each kind for each other
gen    writes the vectors to DIR; with --check, fails if they are not what is there
serve  is a subject: answers requests on standard input (RFC 0014)
";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match command(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(2)
        }
    }
}

type Anyhow = Box<dyn core::error::Error>;

fn command(args: &[String]) -> Result<bool, Anyhow> {
    let (ours, program) = match args.iter().position(|arg| arg == "--") {
        Some(at) => (args.get(..at), args.get(at + 1..)),
        None => (Some(args), None),
    };
    let ours: Vec<&str> = ours.unwrap_or_default().iter().map(String::as_str).collect();
    let program = program.unwrap_or_default();
    match (ours.as_slice(), program) {
        (["run", directory, skips @ ..], []) => run_all(&mut Ours, directory, skips),
        (["run", directory, skips @ ..], [name, rest @ ..]) => {
            let rest: Vec<_> = rest.iter().collect();
            run_all(&mut Child::start(name, &rest)?, directory, skips)
        }
        (["cross", count], [name, rest @ ..]) => {
            let rest: Vec<_> = rest.iter().collect();
            cross_all(&mut Child::start(name, &rest)?, count.parse()?)
        }
        (["gen", directory], []) => write(Path::new(directory)),
        (["gen", directory, "--check"], []) => check(Path::new(directory)),
        (["serve"], []) => {
            serve(&mut Ours, io::stdin().lock(), io::stdout().lock())?;
            Ok(true)
        }
        (["help" | "--help" | "-h"], _) => {
            io::stdout().write_all(HELP.as_bytes())?;
            Ok(true)
        }
        _ => Err(format!("these arguments make no sense\n\n{HELP}").into()),
    }
}

fn run_all(
    subject: &mut impl Subject,
    directory: &str,
    mut options: &[&str],
) -> Result<bool, Anyhow> {
    let (mut skips, mut selection) = (Skips::new(), Selection::default());
    loop {
        options = match options {
            [] => break,
            ["--req", id, rest @ ..] => {
                selection.req(id);
                rest
            }
            ["--rfc", number, rest @ ..] => {
                selection.rfc(number);
                rest
            }
            ["--skip", skip, rest @ ..] => {
                let (codec, reason) = skip.split_once('=').ok_or("--skip takes CODEC=REASON")?;
                if reason.trim().is_empty() {
                    return Err("a codec is left out for a reason: --skip CODEC=REASON".into());
                }
                skips.insert(codec.parse()?, reason.to_owned());
                rest
            }
            [unknown, ..] => return Err(format!("unknown option {unknown}\n\n{HELP}").into()),
        };
    }
    let directory = Path::new(directory);
    let mut files = VectorFile::read_all(directory)?;
    let requirements = Requirements::read(&directory.join(".."))?;
    selection.apply(&mut files, &requirements)?;
    let found = run(subject, &files, &skips, &requirements)?;
    report::write(&mut io::stdout().lock(), &found, &requirements, &skips)?;
    Ok(found.is_clean())
}

fn cross_all(program: &mut impl Subject, count: usize) -> Result<bool, Anyhow> {
    let mut clean = true;
    let mut out = io::stdout().lock();
    let plain = Codec::ALL.into_iter().filter(|codec| *codec != Codec::Message);
    let plain = plain.map(|codec| (codec, ""));
    let messages = generate::MESSAGES.into_iter().map(|name| (Codec::Message, name));
    for (seed, (codec, message)) in plain.chain(messages).enumerate() {
        let mut random = generate::Random::new(0x5a3a_7a00 + seed as u64);
        let values = core::iter::from_fn(|| generate::value(codec, message, &mut random));
        let params = generate::params(codec);
        let report = cross(&mut Ours, program, codec, &params, values.take(count))?;
        let passed: u32 = report.passed.values().sum();
        for failure in report.failures.iter().take(5) {
            writeln!(out, "FAILED {failure}")?;
        }
        if passed > 0 || !report.is_clean() {
            let failed = report.failures.len();
            writeln!(out, "{codec} {message}: {passed} agreed, {failed} did not")?;
        }
        clean &= report.is_clean();
    }
    Ok(clean)
}

fn files() -> Result<Vec<(&'static str, VectorFile)>, Anyhow> {
    generate::all().map_err(|problems| problems.join("\n").into())
}

fn write(directory: &Path) -> Result<bool, Anyhow> {
    fs::create_dir_all(directory)?;
    for (name, file) in files()? {
        fs::write(directory.join(format!("{name}.json")), file.to_json())?;
    }
    Ok(true)
}

/// Whether the files are what would be written.
fn check(directory: &Path) -> Result<bool, Anyhow> {
    let mut clean = true;
    let made = files()?;
    for (name, file) in &made {
        let path = directory.join(format!("{name}.json"));
        if fs::read_to_string(&path).ok().as_deref() != Some(&file.to_json()) {
            writeln!(io::stderr(), "{} is not what `gen` writes", path.display())?;
            clean = false;
        }
    }
    for (name, _) in VectorFile::read_all(directory)? {
        if made.iter().all(|(made, _)| *made != name) {
            writeln!(io::stderr(), "{name}.json is made by nobody")?;
            clean = false;
        }
    }
    Ok(clean)
}
