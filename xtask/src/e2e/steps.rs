//! The stories.

use core::ops::Range;
use std::{
    ffi::OsString,
    fs::{self, File},
    net::UdpSocket,
    path::PathBuf,
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    data::{count_files, flip_bit, mixed_tree, random_file, same_file, same_tree},
    world::World,
};

/// A story's name and how it goes.
pub(super) type Step = (&'static str, fn(&World) -> Result<()>);

/// All stories.
pub(super) const STEPS: &[Step] = &[
    ("file", file),
    ("empty-file", empty_file),
    ("folder", folder),
    ("store", store),
    ("receiver-killed", receiver_killed),
    ("sender-killed", sender_killed),
    ("second-source", second_source),
    ("bit-flipped", bit_flipped),
    ("changed-file", changed_file),
    ("disk-full", disk_full),
    ("wrong-ticket", wrong_ticket),
    ("nothing-there", nothing_there),
    ("store-in-use", store_in_use),
];

const MIB: u64 = 1 << 20;
const ANY_PORT: &str = "127.0.0.1:0";

/// The exit codes of the command that the stories meet.
mod code {
    pub(super) const USAGE: i32 = 2;
    pub(super) const PARTIAL: i32 = 3;
    pub(super) const IN_USE: i32 = 6;
    pub(super) const NO_SPACE: i32 = 7;
    pub(super) const EXISTS: i32 = 8;
    pub(super) const BAD_TICKET: i32 = 9;
    pub(super) const NOT_FOUND: i32 = 11;
}

fn number(object: &Value, key: &str) -> Result<u64> {
    object[key].as_u64().with_context(|| format!("`{key}` in {object}"))
}

/// What a verdict says is missing.
fn missing(verdict: &Value) -> Result<Vec<Range<u64>>> {
    let list = verdict["missing"].as_array().with_context(|| format!("`missing` in {verdict}"))?;
    list.iter().map(|range| Ok(number(range, "start")?..number(range, "end")?)).collect()
}

/// A file arrives intact, under the id that `id` prints, and nothing is overwritten unasked.
fn file(world: &World) -> Result<()> {
    let source = world.path("source.bin");
    random_file(&source, 1, 24 * MIB + 17)?;
    let shared = world.share("sender", ANY_PORT, &[&source])?;
    ensure!(shared.size == 24 * MIB + 17, "size {}", shared.size);

    let id = world.run("receiver", [OsString::from("id"), source.clone().into_os_string()])?;
    let printed = String::from_utf8(id.bytes())?;
    ensure!(printed.starts_with(&shared.id), "id: {printed:?}, not {}", shared.id);

    let verdict = world.get("receiver", &shared.ticket, "out.bin")?.complete()?;
    same_file(&source, &world.path("out.bin"))?;
    ensure!(number(&verdict, "bytes")? == shared.size, "{verdict}");

    fs::write(world.path("precious"), "mine")?;
    world.get("receiver", &shared.ticket, "precious")?.refused(&[code::EXISTS])?;
    ensure!(fs::read(world.path("precious"))? == b"mine", "a file was overwritten without --force");
    Ok(())
}

/// A file of 0 bytes is a file.
fn empty_file(world: &World) -> Result<()> {
    let source = world.path("empty.bin");
    File::create(&source)?;
    let shared = world.share("sender", ANY_PORT, &[&source])?;
    // BLAKE3 of nothing, as everybody computes it.
    ensure!(shared.id.starts_with("af1349b9f5f9a1a6a0404dea36dcc949"), "id {}", shared.id);
    world.get("receiver", &shared.ticket, "out.bin")?.complete()?;
    same_file(&source, &world.path("out.bin"))
}

/// A folder arrives with all that is in it.
fn folder(world: &World) -> Result<()> {
    let source = world.path("tree");
    mixed_tree(&source)?;
    let shared = world.share("sender", ANY_PORT, &[&source])?;
    world.get("receiver", &shared.ticket, "out")?.complete()?;
    same_tree(&source, &world.path("out"))
}

/// Without a destination the store keeps it, small files together; a part of it can be read, and
/// all of it written out.
fn store(world: &World) -> Result<()> {
    let (tree, file) = (world.path("tree"), world.path("file.bin"));
    mixed_tree(&tree)?;
    random_file(&file, 8, 2 * MIB + 5)?;
    let shared = world.share("sender", ANY_PORT, &[&tree])?;
    let get = ["get", "--json", "--direct", "--bind", ANY_PORT];
    world.run("receiver", get.into_iter().chain([shared.ticket.as_str()]))?.complete()?;
    let files = count_files(&world.path("receiver"))?;
    ensure!(files < 20, "200 small files became {files} files in the store");
    world.run("receiver", ["verify", "--json"])?.succeeded()?;
    world.run("receiver", ["scrub", "--json"])?.succeeded()?;
    world.run("receiver", ["export", &shared.id, "out"])?.succeeded()?;
    same_tree(&tree, &world.path("out"))?;

    let shared = world.share("second", ANY_PORT, &[&file])?;
    world.run("receiver", get.into_iter().chain([shared.ticket.as_str()]))?.complete()?;
    let part = world.run("receiver", ["cat", &shared.id, "--range", "100000..1100001"])?;
    part.succeeded()?;
    let whole = fs::read(&file)?;
    ensure!(whole.get(100_000..1_100_001) == Some(part.bytes().as_slice()), "a wrong range");
    Ok(())
}

/// A receiver killed in the middle goes on where it was.
fn receiver_killed(world: &World) -> Result<()> {
    const LEN: u64 = 192 * MIB;
    let source = world.path("source.bin");
    random_file(&source, 2, LEN)?;
    let shared = world.share("sender", ANY_PORT, &[&source])?;
    let mut first = world.start("receiver", world.get_args(&shared.ticket, "out.bin"))?;
    let half = first.progress_at(LEN / 2)?;
    first.kill()?;
    ensure!(!world.path("out.bin").exists(), "an unfinished file stands at the final name");

    let verdict = world.get("receiver", &shared.ticket, "out.bin")?.complete()?;
    same_file(&source, &world.path("out.bin"))?;
    // What it had may be more than it had said: at most this much came twice.
    let (again, left) = (number(&verdict, "bytes_received")?, LEN - number(&half, "bytes")?);
    ensure!(again <= left + LEN / 50, "received {again} bytes again, {left} were missing");
    Ok(())
}

/// A receiver waits for its killed sender, says so, and goes on when it is back.
fn sender_killed(world: &World) -> Result<()> {
    const LEN: u64 = 192 * MIB;
    let source = world.path("source.bin");
    random_file(&source, 3, LEN)?;
    let bind = free_port()?;
    let shared = world.share("sender", &bind, &[&source])?;
    let mut receiver = world.start("receiver", world.get_args(&shared.ticket, "out.bin"))?;
    receiver.progress_at(LEN / 4)?;
    shared.process.kill()?;
    receiver.event("waiting")?;
    let again = world.share("sender", &bind, &[&source])?;
    ensure!(again.ticket == shared.ticket, "the same file shared again has another ticket");
    receiver.finish()?.complete()?;
    same_file(&source, &world.path("out.bin"))
}

/// Of two sources one dies in the middle; the other one takes over.
fn second_source(world: &World) -> Result<()> {
    const LEN: u64 = 192 * MIB;
    let source = world.path("source.bin");
    random_file(&source, 9, LEN)?;
    let first = world.share("first", ANY_PORT, &[&source])?;
    let second = world.share("second", ANY_PORT, &[&source])?;
    let mut args = world.get_args(&first.ticket, "out.bin");
    args.push(second.ticket.into());
    let mut receiver = world.start("receiver", args)?;
    receiver.progress_at(LEN / 4)?;
    first.process.kill()?;
    receiver.finish()?.complete()?;
    same_file(&source, &world.path("out.bin"))
}

/// One flipped bit at the sender spoils its group and nothing else; a healthy source mends it.
fn bit_flipped(world: &World) -> Result<()> {
    const LEN: u64 = 16 * MIB;
    const FLIPPED: u64 = LEN / 2 + 12_345;
    let (rotten, healthy) = (world.path("rotten.bin"), world.path("healthy.bin"));
    random_file(&rotten, 4, LEN)?;
    fs::copy(&rotten, &healthy)?;
    let shared = world.share("sender", ANY_PORT, &[&rotten])?;
    flip_bit(&rotten, FLIPPED)?;

    let partial = world.get("receiver", &shared.ticket, "out.bin")?;
    partial.refused(&[code::PARTIAL])?;
    let verdict = partial.verdict()?;
    ensure!(verdict["verdict"] == "partial", "{verdict}");
    let lost = missing(&verdict)?;
    ensure!(lost.iter().any(|range| range.contains(&FLIPPED)), "not named: {verdict}");
    let bytes: u64 = lost.iter().map(|range| range.end - range.start).sum();
    ensure!(bytes == 16 << 10, "{bytes} bytes are missing for one bit");
    let source = &verdict["missing"][0]["sources"][0];
    ensure!(source["fault"] == "damaged" && source["peer"].is_string(), "not named: {verdict}");
    ensure!(!world.path("out.bin").exists(), "an unfinished file stands at the final name");

    // The sender knows now what it must not serve.
    let again = world.get("other", &shared.ticket, "other.bin")?;
    again.refused(&[code::PARTIAL])?;

    let second = world.share("second", ANY_PORT, &[&healthy])?;
    let mut args = world.get_args(&shared.ticket, "out.bin");
    args.push(second.ticket.into());
    let verdict = world.run("receiver", args)?.complete()?;
    same_file(&healthy, &world.path("out.bin"))?;
    let received = number(&verdict, "bytes_received")?;
    ensure!(received <= 64 << 10, "{received} bytes came again for one bit");
    Ok(())
}

/// A file that changed after it was shared is not served as what it was.
fn changed_file(world: &World) -> Result<()> {
    let source = world.path("source.bin");
    random_file(&source, 10, 4 * MIB)?;
    let shared = world.share("sender", ANY_PORT, &[&source])?;
    random_file(&source, 11, 4 * MIB + 1)?;
    let ended = world.get("receiver", &shared.ticket, "out.bin")?;
    ensure!(ended.code()? != 0, "it ended with exit code 0");
    ensure!(!world.path("out.bin").exists(), "something stands at the final name");
    Ok(())
}

/// A full disk is said to be full; with space again, the fetch goes on.
fn disk_full(world: &World) -> Result<()> {
    let source = world.path("source.bin");
    random_file(&source, 12, 32 * MIB)?;
    let Some(small) = SmallDisk::mount(world.path("small"), "24m") else {
        eprintln!("  disk-full is left out: a small file system can't be mounted here");
        return Ok(());
    };
    let shared = world.share("sender", ANY_PORT, &[&source])?;
    let ended = world.get("receiver", &shared.ticket, "small/out.bin")?;
    ended.refused(&[code::NO_SPACE])?;
    small.resize("96m")?;
    world.get("receiver", &shared.ticket, "small/out.bin")?.complete()?;
    same_file(&source, &world.path("small/out.bin"))
}

/// A ticket with one wrong letter, half a ticket or none is refused at once.
fn wrong_ticket(world: &World) -> Result<()> {
    let source = world.path("source.bin");
    random_file(&source, 5, 1_000)?;
    let shared = world.share("sender", ANY_PORT, &[&source])?;
    let middle = shared.ticket.len() / 2;
    let letter = if shared.ticket.as_bytes().get(middle) == Some(&b'a') { "b" } else { "a" };
    let mut mangled = shared.ticket.clone();
    mangled.replace_range(middle..=middle, letter);
    for ticket in [mangled.as_str(), &shared.ticket[..middle], "", "nonsense"] {
        let ended = world.get("receiver", ticket, "out.bin")?;
        let refused = ended.refused(&[code::BAD_TICKET, code::USAGE]);
        refused.with_context(|| format!("{ticket:?}"))?;
        ensure!(!world.path("out.bin").exists(), "something was written");
    }
    Ok(())
}

/// A path that does not exist is refused.
fn nothing_there(world: &World) -> Result<()> {
    let args = ["share", "--json", "--direct", "--bind", ANY_PORT, "no such file"];
    world.run("sender", args)?.refused(&[code::NOT_FOUND])
}

/// A store that another process uses is refused.
fn store_in_use(world: &World) -> Result<()> {
    let source = world.path("source.bin");
    random_file(&source, 6, 1_000)?;
    let _shared = world.share("sender", ANY_PORT, &[&source])?;
    let args = ["add", "--json"].map(OsString::from).into_iter().chain([source.into_os_string()]);
    world.run("sender", args)?.refused(&[code::IN_USE])
}

/// An address of loopback that nobody listens on.
fn free_port() -> Result<String> {
    let socket = UdpSocket::bind(ANY_PORT)?;
    Ok(socket.local_addr()?.to_string())
}

/// A file system in memory; unmounted when it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where that is not allowed.
    fn mount(at: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&at).ok()?;
        let size = format!("size={size}");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&at).output();
        mount.is_ok_and(|output| output.status.success()).then(|| Self(at))
    }

    fn resize(&self, size: &str) -> Result<()> {
        let size = format!("remount,size={size}");
        let status = Command::new("mount").args(["-o", &size]).arg(&self.0).status()?;
        ensure!(status.success(), "remount: {status}");
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(error) = Command::new("umount").arg("--lazy").arg(&self.0).status() {
            eprintln!("  {} stays mounted: {error}", self.0.display());
        }
    }
}
