//! Subjects in other processes. Spec: RFC 0014, section "Subjects".

use core::time::Duration;
use std::{
    ffi::OsStr,
    io::{self, BufRead, BufReader, Read as _, Write},
    process::{Child as Process, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Answer, Codec, Params, Subject};

/// Longest line. Unit: bytes.
pub const LINE_MAX: u64 = 4 << 20;

/// How long a subject may take for an answer.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What the runner asks, as a line.
#[derive(Debug, Serialize)]
struct Request {
    op: Op,
    codec: String,
    params: Params,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Decode,
    Encode,
}

/// What a subject answers, as a line.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Reply {
    result: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A subject that runs as a child process. Dropping it ends the process.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: Process,
    /// `None` only while it is dropped.
    requests: Option<ChildStdin>,
    lines: Receiver<io::Result<Vec<u8>>>,
}

impl Child {
    /// Starts a program as a subject. Its standard error is the caller's.
    ///
    /// # Errors
    ///
    /// If the program can't be started.
    pub fn start<S: AsRef<OsStr>>(program: S, args: &[S]) -> io::Result<Self> {
        let mut command = Command::new(&program);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let (Some(requests), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::Error::other("the process has no pipes"));
        };
        let (sender, lines) = sync_channel(1);
        // A thread, so that a subject that says nothing does not hold up the runner for ever.
        thread::Builder::new().name("subject".to_owned()).spawn(move || {
            let mut answers = BufReader::new(answers);
            loop {
                let line = read_line(&mut answers);
                let last = !matches!(line, Ok(Some(_)));
                let ended =
                    || io::Error::new(io::ErrorKind::UnexpectedEof, "the subject has ended");
                // Fails once nobody asks any more.
                let sent = sender.send(line.and_then(|line| line.ok_or_else(ended)));
                if last || sent.is_err() {
                    return;
                }
            }
        })?;
        let name = program.as_ref().to_string_lossy().into_owned();
        Ok(Self { name, process, requests: Some(requests), lines })
    }

    fn ask(&mut self, request: &Request) -> io::Result<Reply> {
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        let Some(requests) = &mut self.requests else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        requests.write_all(line.as_bytes())?;
        requests.flush()?;
        let answer = match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line?,
            Err(RecvTimeoutError::Timeout) => {
                let text = format!("no answer within {} s to {line}", PATIENCE.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the subject has ended"));
            }
        };
        serde_json::from_slice(&answer).map_err(|error| {
            let answer = String::from_utf8_lossy(&answer);
            io::Error::new(io::ErrorKind::InvalidData, format!("{error} in the answer {answer}"))
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The end of its input tells it to end; one that does not listen is ended.
        drop(self.requests.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A line, UTF-8 or not; `None` at the end of the input.
fn read_line(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let count = from.take(LINE_MAX).read_until(b'\n', &mut line)?;
    if count as u64 == LINE_MAX && !line.ends_with(b"\n") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
    }
    Ok((count > 0).then_some(line))
}

impl Subject for Child {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn decode(&mut self, codec: Codec, params: &Params, bytes: &[u8]) -> io::Result<Answer<Value>> {
        let request = Request {
            op: Op::Decode,
            codec: codec.name().to_owned(),
            params: params.clone(),
            bytes: Some(HEXLOWER.encode(bytes)),
            value: None,
        };
        let reply = self.ask(&request)?;
        answer(reply, |reply| reply.value)
    }

    fn encode(
        &mut self,
        codec: Codec,
        params: &Params,
        value: &Value,
    ) -> io::Result<Answer<Vec<u8>>> {
        let request = Request {
            op: Op::Encode,
            codec: codec.name().to_owned(),
            params: params.clone(),
            bytes: None,
            value: Some(value.clone()),
        };
        let reply = self.ask(&request)?;
        answer(reply, |reply| HEXLOWER.decode(reply.bytes?.as_bytes()).ok())
    }
}

fn answer<T>(mut reply: Reply, result: impl FnOnce(Reply) -> Option<T>) -> io::Result<Answer<T>> {
    let wrong = |text: String| Err(io::Error::new(io::ErrorKind::InvalidData, text));
    match reply.result.as_str() {
        "valid" => match result(reply) {
            Some(result) => Ok(Answer::Valid(result)),
            None => wrong("an answer `valid` without its result".to_owned()),
        },
        "invalid" => Ok(Answer::Invalid(reply.reason.take().unwrap_or_default())),
        "unsupported" => Ok(Answer::Unsupported),
        other => wrong(format!("an answer with the result `{other}`")),
    }
}

/// Answers requests from `input` on `output` until the input ends: the other side of [`Child`], for
/// an implementation in Rust.
///
/// # Errors
///
/// If the pipes fail, or the subject does.
//= rfcs/0014-conformance.md#conf-4
//# A subject MUST answer each request with one line and go on after bytes that it refuses.
pub fn serve(
    subject: &mut impl Subject,
    mut input: impl BufRead,
    mut output: impl Write,
) -> io::Result<()> {
    while let Some(line) = read_line(&mut input)? {
        let reply = respond(subject, &line)?;
        let mut line = serde_json::to_string(&reply)?;
        line.push('\n');
        output.write_all(line.as_bytes())?;
        output.flush()?;
    }
    Ok(())
}

fn respond(subject: &mut impl Subject, line: &[u8]) -> io::Result<Reply> {
    let invalid = |reason: String| Reply {
        result: "invalid".to_owned(),
        reason: Some(reason),
        ..Reply::default()
    };
    //= rfcs/0014-conformance.md#conf-6
    //# A subject MUST answer `invalid` to a line that is not a JSON object with a text `op` and a
    //# text `codec`, and to a request whose bytes, value or params are missing or not in the notation
    //# of this document.
    let request: Map<String, Value> = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(error) => return Ok(invalid(format!("not a request: {error}"))),
    };
    let text = |key| request.get(key).and_then(Value::as_str);
    let (Some(op), Some(codec)) = (text("op"), text("codec")) else {
        return Ok(invalid("a request has a text `op` and a text `codec`".to_owned()));
    };
    //= rfcs/0014-conformance.md#conf-7
    //# A subject MUST answer `unsupported` to a request whose `op` or `codec` it does not know.
    let unsupported = Reply { result: "unsupported".to_owned(), ..Reply::default() };
    let Ok(codec) = codec.parse::<Codec>() else { return Ok(unsupported) };
    let params = match request.get("params") {
        None => Params::new(),
        Some(Value::Object(params)) => params.clone(),
        Some(other) => return Ok(invalid(format!("`params`: {other} is no object"))),
    };
    let answer = match op {
        "decode" => {
            let Some(Ok(bytes)) = text("bytes").map(|text| HEXLOWER.decode(text.as_bytes())) else {
                return Ok(invalid("`bytes` is missing or not hex".to_owned()));
            };
            let answer = subject.decode(codec, &params, &bytes)?;
            answer.map(|value| (Some(value), None))
        }
        "encode" => {
            let Some(value) = request.get("value") else {
                return Ok(invalid("`value` is missing".to_owned()));
            };
            let answer = subject.encode(codec, &params, value)?;
            answer.map(|bytes| (None, Some(HEXLOWER.encode(&bytes))))
        }
        _ => return Ok(unsupported),
    };
    Ok(match answer {
        Answer::Valid((value, bytes)) => {
            Reply { result: "valid".to_owned(), value, bytes, reason: None }
        }
        Answer::Invalid(reason) => invalid(reason),
        Answer::Unsupported => unsupported,
    })
}
