//! A directory of its own for every test, and the built command running in it.

use core::time::Duration;
use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// No line of output takes so long unless something hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// Listen here: no test disturbs another, and nobody outside is reached.
pub(crate) const NET: [&str; 3] = ["--direct", "--bind", "127.0.0.1:0"];

/// A directory, and commands in it.
pub(crate) struct World {
    dir: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Makes a file of bytes that look random, the same ones for the same `seed`.
    pub(crate) fn file(&self, name: &str, seed: u64, len: usize) -> PathBuf {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).unwrap();
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        let mut data = vec![0; len];
        hasher.finalize_xof().fill(&mut data);
        fs::write(&path, data).unwrap();
        path
    }

    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_samara"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_remove("SAMARA_STORE")
            .env("HOME", self.dir.path())
            .env("XDG_DATA_HOME", self.path("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn start<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Process {
        Process::new(self.command(args).spawn().unwrap())
    }

    /// Runs a command to its end. `args` are words separated by blanks.
    pub(crate) fn run(&self, args: &str) -> Finished {
        self.start(args.split_whitespace()).finish()
    }

    /// Runs a command to its end, with something on its standard input.
    pub(crate) fn run_with_input(&self, args: &str, input: &[u8]) -> Finished {
        let mut child =
            self.command(args.split_whitespace()).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        Process::new(child).finish()
    }

    /// Shares `path` from a store of its own; returns when it can be fetched.
    pub(crate) fn share(&self, store: &str, path: impl AsRef<OsStr>) -> Shared {
        self.share_at(store, "127.0.0.1:0", path)
    }

    pub(crate) fn share_at(&self, store: &str, bind: &str, path: impl AsRef<OsStr>) -> Shared {
        let mut args: Vec<OsString> = ["--store", store, "share", "--json", "--direct"]
            .into_iter()
            .chain(["--bind", bind])
            .map(OsString::from)
            .collect();
        args.push(path.as_ref().to_owned());
        let mut process = self.start(args);
        let ready = process.json();
        assert_eq!(ready["event"], "ready", "the first line is not ready: {ready}");
        let text = |key: &str| ready[key].as_str().unwrap().to_owned();
        Shared { id: text("id"), ticket: text("ticket"), ready, process }
    }

    /// Shares a file of which one bit, in its middle, rots before anybody fetches it.
    pub(crate) fn share_rotten(&self, store: &str, bind: &str, path: &Path) -> Shared {
        let shared = self.share_at(store, bind, path);
        flip_bit(path, fs::metadata(path).unwrap().len() / 2);
        shared
    }

    /// A fetch of a rotten file that has got all that it can get, and waits for the rest.
    pub(crate) fn start_get_of_rotten(&self, store: &str, args: &str) -> Process {
        let mut getter = self.start_get(store, &format!("--grace 60s {args}"));
        getter.event(|event| event["event"] == "waiting" && event["reason"] == "not_held");
        getter
    }

    /// A fetch of `ticket` with more arguments, on loopback and with JSON.
    pub(crate) fn start_get(&self, store: &str, args: &str) -> Process {
        let args = args.split_whitespace();
        self.start(["--store", store, "get", "--json"].into_iter().chain(NET).chain(args))
    }

    pub(crate) fn get(&self, store: &str, args: &str) -> Finished {
        self.start_get(store, args).finish()
    }
}

/// A running share.
pub(crate) struct Shared {
    pub(crate) process: Process,
    pub(crate) ready: Value,
    pub(crate) id: String,
    pub(crate) ticket: String,
}

/// A running command; killed when dropped.
pub(crate) struct Process {
    child: Child,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
}

impl Process {
    fn new(mut child: Child) -> Self {
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// The next line of standard output; `None` at its end.
    pub(crate) fn line(&mut self) -> Option<Vec<u8>> {
        next(&self.stdout)
    }

    /// The next line of standard output, which must be an object.
    pub(crate) fn json(&mut self) -> Value {
        match self.line() {
            Some(line) => parse(&line),
            None => panic!("it ended: {}", self.errors()),
        }
    }

    /// Reads objects until one is as wanted.
    pub(crate) fn event(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let object = self.json();
            if wanted(&object) {
                return object;
            }
            assert_ne!(object["event"], "verdict", "too early: {object}");
        }
    }

    /// Reads standard error until a line contains `wanted`.
    pub(crate) fn says(&mut self, wanted: &str) -> String {
        loop {
            let line = next(&self.stderr).expect("it ended without saying that");
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.contains(wanted) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// SIGKILL, and the end.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ctrl-C, and the end.
    pub(crate) fn interrupt(self) -> Finished {
        self.signal(Signal::INT);
        self.finish()
    }

    /// Reads all there is to the end.
    pub(crate) fn finish(mut self) -> Finished {
        let mut stdout = Vec::new();
        while let Some(line) = self.line() {
            stdout.push(line);
        }
        let status = self.child.wait().unwrap();
        let stderr = self.errors();
        assert!(!stderr.contains("panicked at"), "it panicked: {stderr}");
        let code = status.code().unwrap_or_else(|| panic!("killed: {status}: {stderr}"));
        Finished { code, stdout, stderr }
    }

    /// Standard error to its end; call it when standard output has ended.
    fn errors(&self) -> String {
        let mut all = String::new();
        while let Some(line) = next(&self.stderr) {
            all += &String::from_utf8_lossy(&line);
            all.push('\n');
        }
        all
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Has ended already: nothing to kill.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<Vec<u8>>,
    pub(crate) stderr: String,
}

impl Finished {
    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.text(), self.stderr);
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.join(&b'\n')).unwrap()
    }

    /// All lines, each of which must be an object with an event.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        self.stdout.iter().map(|line| parse(line)).collect()
    }

    /// The last object, a verdict.
    #[track_caller]
    pub(crate) fn verdict(&self) -> Value {
        let events = self.events();
        let last = events.last().unwrap_or_else(|| panic!("it said nothing: {}", self.stderr));
        assert_eq!(last["event"], "verdict", "{last}");
        last.clone()
    }
}

#[track_caller]
fn parse(line: &[u8]) -> Value {
    let value: Value = serde_json::from_slice(line)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(line)));
    assert!(value["event"].is_string(), "no event: {value}");
    value
}

/// Lines as they come. The thread ends with the process; a full channel holds the process back.
fn lines(pipe: impl std::io::Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = sync_channel(4096);
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn next(lines: &Receiver<Vec<u8>>) -> Option<Vec<u8>> {
    match lines.recv_timeout(LIMIT) {
        Ok(line) => Some(line),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("silent for {} s", LIMIT.as_secs()),
    }
}

/// Flips one bit of a file, or flips it back, and leaves no other trace than a bad disk would.
pub(crate) fn flip_bit(path: &Path, offset: u64) {
    use std::os::unix::fs::FileExt as _;
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
    file.set_modified(modified).unwrap();
}
