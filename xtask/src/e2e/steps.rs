//! The stories.

use std::{
    ffi::OsString,
    fs::{self, File},
    net::UdpSocket,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    data::{flip_bit, mixed_tree, random_file, same_file, same_tree},
    world::World,
};

/// A story's name and how it goes.
pub(super) type Step = (&'static str, fn(&World) -> Result<()>);

/// All stories.
pub(super) const STEPS: &[Step] = &[
    ("file", file),
    ("empty-file", empty_file),
    ("folder", folder),
    ("receiver-killed", receiver_killed),
    ("sender-killed", sender_killed),
    ("bit-flipped", bit_flipped),
    ("wrong-ticket", wrong_ticket),
    ("nothing-there", nothing_there),
    ("store-in-use", store_in_use),
];

const MIB: u64 = 1 << 20;
const ANY_PORT: &str = "127.0.0.1:0";

fn number(object: &Value, key: &str) -> Result<u64> {
    object[key].as_u64().with_context(|| format!("`{key}` in {object}"))
}

/// A file arrives intact, under the id that `id` prints, and is not overwritten unasked.
fn file(world: &World) -> Result<()> {
    let source = world.path("source.bin");
    random_file(&source, 1, 24 * MIB + 17)?;
    let shared = world.share("sender", ANY_PORT, &[&source])?;
    ensure!(shared.size == 24 * MIB + 17, "size {}", shared.size);

    let id = world.run("receiver", [OsString::from("id"), source.clone().into_os_string()])?;
    let printed = String::from_utf8(id.bytes())?;
    ensure!(
        printed.split_whitespace().next() == Some(&shared.id),
        "id: {printed:?}, not {}",
        shared.id
    );

    let verdict = world.get("receiver", &shared.ticket, "out.bin")?.complete()?;
    same_file(&source, &world.path("out.bin"))?;
    ensure!(number(&verdict, "bytes")? == shared.size, "{verdict}");

    fs::write(world.path("precious"), "mine")?;
    world.get("receiver", &shared.ticket, "precious")?.refused()?;
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

/// A receiver killed in the middle goes on where it was.
fn receiver_killed(world: &World) -> Result<()> {
    const LEN: u64 = 192 * MIB;
    let source = world.path("source.bin");
    random_file(&source, 2, LEN)?;
    let shared = world.share("sender", ANY_PORT, &[&source])?;
    let mut first = world.start("receiver", world.get_args(&shared.ticket, "out.bin"))?;
    let half = first
        .event_where(|object| object["bytes"].as_u64().is_some_and(|bytes| bytes >= LEN / 2))?;
    ensure!(half["event"] != "verdict", "it was too fast to be killed in the middle: {half}");
    first.kill()?;
    ensure!(!world.path("out.bin").exists(), "an unfinished file stands at the final name");

    let verdict = world.get("receiver", &shared.ticket, "out.bin")?.complete()?;
    same_file(&source, &world.path("out.bin"))?;
    let again = number(&verdict, "bytes_received")?;
    let missing = LEN - number(&half, "bytes")?;
    ensure!(again <= missing + LEN / 50, "received {again} bytes again, {missing} were missing");
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
    receiver
        .event_where(|object| object["bytes"].as_u64().is_some_and(|bytes| bytes >= LEN / 4))?;
    shared.process.kill()?;
    receiver.event("waiting")?;
    let again = world.share("sender", &bind, &[&source])?;
    ensure!(again.id == shared.id, "the same file has another id");
    receiver.finish()?.complete()?;
    same_file(&source, &world.path("out.bin"))
}

/// One flipped bit at the sender spoils its group and nothing else; a healthy source mends it.
fn bit_flipped(world: &World) -> Result<()> {
    const LEN: u64 = 16 * MIB;
    let (rotten, healthy) = (world.path("rotten.bin"), world.path("healthy.bin"));
    random_file(&rotten, 4, LEN)?;
    fs::copy(&rotten, &healthy)?;
    let shared = world.share("sender", ANY_PORT, &[&rotten])?;
    flip_bit(&rotten, LEN / 2 + 12_345)?;

    let partial = world.get("receiver", &shared.ticket, "out.bin")?;
    partial.refused()?;
    let verdict = partial.verdict()?;
    ensure!(verdict["verdict"] != "complete", "{verdict}");
    ensure!(!world.path("out.bin").exists(), "an unfinished file stands at the final name");
    ensure!(number(&verdict, "bytes")? >= LEN - MIB, "good groups are missing: {verdict}");

    let second = world.share("second", ANY_PORT, &[&healthy])?;
    let verdict = world.get("receiver", &second.ticket, "out.bin")?.complete()?;
    same_file(&healthy, &world.path("out.bin"))?;
    ensure!(number(&verdict, "bytes_received")? <= 2 * MIB, "good groups came again: {verdict}");
    Ok(())
}

/// A ticket with one wrong letter is refused at once.
fn wrong_ticket(world: &World) -> Result<()> {
    let source = world.path("source.bin");
    random_file(&source, 5, 1_000)?;
    let shared = world.share("sender", ANY_PORT, &[&source])?;
    let middle = shared.ticket.len() / 2;
    let letter = if shared.ticket.as_bytes().get(middle) == Some(&b'a') { "b" } else { "a" };
    let mut mangled = shared.ticket.clone();
    mangled.replace_range(middle..=middle, letter);
    for ticket in [mangled.as_str(), &shared.ticket[..middle], "", "nonsense"] {
        world
            .get("receiver", ticket, "out.bin")?
            .refused()
            .with_context(|| format!("{ticket:?}"))?;
        ensure!(!world.path("out.bin").exists(), "something was written");
    }
    Ok(())
}

/// A path that does not exist is refused.
fn nothing_there(world: &World) -> Result<()> {
    let args = ["share", "--json", "--direct", "--bind", ANY_PORT, "no such file"];
    world.run("sender", args)?.refused()
}

/// A store that another process uses is refused.
fn store_in_use(world: &World) -> Result<()> {
    let source = world.path("source.bin");
    random_file(&source, 6, 1_000)?;
    let _shared = world.share("sender", ANY_PORT, &[&source])?;
    let args = ["add", "--json"].map(OsString::from).into_iter().chain([source.into_os_string()]);
    world.run("sender", args)?.refused()
}

/// An address of loopback that nobody listens on.
fn free_port() -> Result<String> {
    let socket = UdpSocket::bind(ANY_PORT)?;
    Ok(socket.local_addr()?.to_string())
}
