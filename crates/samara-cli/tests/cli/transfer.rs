//! From one process to another, whole, in parts, and with obstacles.

use std::{
    ffi::OsStr,
    fs,
    net::UdpSocket,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
};

use crate::world::{NET, World};

const MIB: usize = 1 << 20;

#[test]
fn a_file_arrives_under_the_id_that_id_prints() {
    let world = World::new();
    let source = world.file("source.bin", 1, 3 * MIB + 17);
    let shared = world.share("a", &source);
    assert_eq!(shared.ready["size"], 3 * MIB + 17);
    assert_eq!(shared.ready["name"], "source.bin");
    assert_eq!(shared.ready["format"], "blob");
    let id = blake3::hash(&fs::read(&source).unwrap()).to_string();
    assert_eq!(shared.id, id);

    let done = world.get("b", &format!("-o out.bin {}", shared.ticket)).code(0);
    let verdict = done.verdict();
    assert_eq!(verdict["verdict"], "complete");
    assert_eq!(verdict["bytes"], 3 * MIB + 17);
    assert_eq!(verdict["path"], world.path("out.bin").canonicalize().unwrap().to_str().unwrap());
    assert_eq!(world.read("out.bin"), world.read("source.bin"));
    assert!(done.events().iter().any(|event| event["event"] == "progress"));

    let end = shared.process.interrupt();
    assert_eq!(end.code, 0, "Ctrl-C is how a share ends: {}", end.stderr);
}

#[test]
fn nothing_is_overwritten_without_force() {
    let world = World::new();
    let shared = world.share("a", world.file("source.bin", 1, 100_000));
    fs::write(world.path("out.bin"), "mine").unwrap();
    let refused = world.get("b", &format!("-o out.bin {}", shared.ticket)).code(8);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(refused.verdict()["verdict"], "exists");
    assert_eq!(world.read("out.bin"), b"mine");
    world.get("b", &format!("--force -o out.bin {}", shared.ticket)).code(0);
    assert_eq!(world.read("out.bin"), world.read("source.bin"));
}

#[test]
fn a_file_goes_into_a_directory_under_its_own_name() {
    let world = World::new();
    let shared = world.share("a", world.file("source.bin", 1, 0));
    fs::create_dir(world.path("inbox")).unwrap();
    world.get("b", &format!("-o inbox {}", shared.ticket)).code(0);
    assert_eq!(world.read("inbox/source.bin"), b"");
    world.get("c", &format!("-o new/ {}", shared.ticket)).code(0);
    assert_eq!(world.read("new/source.bin"), b"", "a path that ends with / is a directory");
}

#[test]
fn a_folder_arrives_with_all_that_is_in_it() {
    let world = World::new();
    world.file("tree/a.bin", 1, 40_000);
    world.file("tree/deep/er/b.bin", 2, MIB);
    world.file("tree/empty", 3, 0);
    symlink("a.bin", world.path("tree/link")).unwrap();
    let odd = OsStr::from_bytes(b"odd-\xff");
    fs::write(world.path("tree").join(odd), "x").unwrap();
    let shared = world.share("a", world.path("tree"));
    assert_eq!(shared.ready["format"], "collection");
    assert_eq!(shared.ready["files"], 4);

    world.get("b", &format!("-o out {}", shared.ticket)).code(0);
    for name in ["a.bin", "deep/er/b.bin", "empty"] {
        assert_eq!(world.read(format!("out/{name}")), world.read(format!("tree/{name}")), "{name}");
    }
    assert_eq!(fs::read(world.path("out").join(odd)).unwrap(), b"x");
    let single = world.share("d", world.path("tree").join(odd));
    assert_eq!(single.ready["name_hex"], "6f64642dff");
    let got =
        world.start(["--store", "e", "get", "-o", ".", &single.ticket].into_iter().chain(NET));
    let path = got.finish().code(0).stdout.remove(0);
    assert!(path.ends_with(b"/odd-\xff"), "a path is written as it is: {path:?}");
    assert_eq!(fs::read_link(world.path("out/link")).unwrap().as_os_str(), "a.bin");

    // Into the store, and out of it again.
    world.get("c", &shared.ticket).code(0);
    let listed = world.run(&format!("--store c ls --json {}", &shared.id[..6])).code(0);
    let odd = listed.events().into_iter().find(|entry| entry["path_hex"].is_string()).unwrap();
    assert_eq!(odd["path_hex"], "6f64642dff");
    world.run(&format!("--store c export {} copy", shared.id)).code(0);
    assert_eq!(world.read("copy/deep/er/b.bin"), world.read("tree/deep/er/b.bin"));
    let refused = world.run(&format!("--store c export {} copy", shared.id)).code(8);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
}

#[test]
fn several_paths_become_one_folder() {
    let world = World::new();
    world.file("one", 1, 10);
    world.file("two/three", 2, 20);
    let mut process =
        world.start(["--store", "a", "share", "--json", "one", "two"].into_iter().chain(NET));
    let ready = process.json();
    world.get("b", &format!("-o out {}", ready["ticket"].as_str().unwrap())).code(0);
    assert_eq!(world.read("out/one"), world.read("one"));
    assert_eq!(world.read("out/two/three"), world.read("two/three"));
}

#[test]
fn a_killed_receiver_goes_on_where_it_was() {
    let world = World::new();
    let source = world.file("source.bin", 1, 12 * MIB);
    let bind = free_port();
    let shared = world.share_rotten("a", &bind, &source);
    let args = format!("-o out.bin {}", shared.ticket);
    let first = world.start_get_of_rotten("b", &args);
    first.kill();
    assert!(!world.path("out.bin").exists(), "an unfinished file is at the final name");
    shared.process.kill();
    world.file("source.bin", 1, 12 * MIB);
    let _mended = world.share_at("a", &bind, &source);
    let verdict = world.get("b", &args).code(0).verdict();
    let received = verdict["bytes_received"].as_u64().unwrap();
    assert!(received <= MIB as u64, "{received} bytes for one group: {verdict}");
    assert_eq!(world.read("out.bin"), world.read("source.bin"));
}

#[test]
fn a_receiver_waits_for_its_source_and_says_why() {
    let world = World::new();
    let source = world.file("source.bin", 1, 12 * MIB);
    let bind = free_port();
    let shared = world.share_rotten("a", &bind, &source);
    let mut getter = world.start_get_of_rotten("b", &format!("-o out.bin {}", shared.ticket));
    shared.process.kill();
    let waiting =
        getter.event(|event| event["event"] == "waiting" && event["reason"] == "no_provider");
    assert!(waiting["message"].as_str().unwrap().starts_with("waiting: "), "{waiting}");
    world.file("source.bin", 1, 12 * MIB);
    let again = world.share_at("a", &bind, &source);
    assert_eq!(again.ticket, shared.ticket, "the same share has the same ticket");
    getter.finish().code(0).verdict();
    assert_eq!(world.read("out.bin"), world.read("source.bin"));
}

#[test]
fn ctrl_c_keeps_what_arrived_and_says_so() {
    let world = World::new();
    let source = world.file("source.bin", 1, 12 * MIB);
    let bind = free_port();
    let shared = world.share_rotten("a", &bind, &source);
    let args = format!("-o out.bin {}", shared.ticket);
    let stopped = world.start_get_of_rotten("b", &args).interrupt().code(130);
    assert_eq!(stopped.verdict()["verdict"], "cancelled");
    assert!(stopped.stderr.contains("kept"), "{}", stopped.stderr);
    shared.process.kill();
    world.file("source.bin", 1, 12 * MIB);
    let _mended = world.share_at("a", &bind, &source);
    let verdict = world.get("b", &args).code(0).verdict();
    assert!(verdict["bytes_reused"].as_u64().unwrap() >= 11 * MIB as u64, "{verdict}");
}

#[test]
fn no_source_ends_by_patience_or_by_time() {
    let world = World::new();
    let shared = world.share("a", world.file("source.bin", 1, 100_000));
    shared.process.kill();
    for (option, expected) in [("--patience", "no_provider"), ("--timeout", "expired")] {
        let ended = world.get("b", &format!("{option} 1.5s {}", shared.ticket)).code(5);
        assert_eq!(ended.verdict()["verdict"], expected);
        assert!(ended.stderr.split_whitespace().count() > 5, "{}", ended.stderr);
    }
    let mut human = world.start(["--store", "b", "get", &shared.ticket].into_iter().chain(NET));
    human.says("waiting: no source is reachable");
    human.interrupt().code(130);
}

#[test]
fn a_source_that_stopped_sharing_refuses() {
    let world = World::new();
    let bind = free_port();
    let shared = world.share_at("a", &bind, world.file("one", 1, 100_000));
    shared.process.interrupt();
    let _other = world.share_at("a", &bind, world.file("two", 2, 100_000));
    let refused = world.get("b", &format!("-o out {}", shared.ticket)).code(4);
    assert_eq!(refused.verdict()["verdict"], "unavailable");
    assert!(!world.path("out").exists());
}

#[test]
fn tickets_of_several_who_share_the_same_use_all_of_them() {
    let world = World::new();
    let one = world.share("a", world.file("one.bin", 1, MIB));
    let two = world.share("b", world.file("two.bin", 1, MIB));
    assert_ne!(one.ticket, two.ticket);
    one.process.kill();
    let verdict =
        world.get("c", &format!("-o out.bin {} {}", one.ticket, two.ticket)).code(0).verdict();
    assert_eq!(verdict["verdict"], "complete");
    assert_eq!(world.read("out.bin"), world.read("two.bin"));

    let other = world.share("d", world.file("other.bin", 3, MIB));
    let refused = world.get("c", &format!("{} {}", two.ticket, other.ticket)).code(9);
    assert!(refused.stderr.contains("different things"), "{}", refused.stderr);
}

#[test]
fn what_was_fetched_is_served_on_with_keep() {
    let world = World::new();
    let shared = world.share("a", world.file("source.bin", 1, MIB));
    let mut keeper = world.start_get("b", &format!("--keep -o kept.bin {}", shared.ticket));
    let verdict = loop {
        let event = keeper.json();
        if event["event"] == "verdict" {
            break event;
        }
    };
    assert_eq!(verdict["verdict"], "complete");
    let serving = keeper.json();
    assert_eq!(serving["event"], "serving");
    shared.process.kill();
    let ticket = serving["ticket"].as_str().unwrap();
    world.get("c", &format!("-o out.bin {ticket}")).code(0);
    assert_eq!(world.read("out.bin"), world.read("source.bin"));
    keeper.interrupt().code(0);
}

#[test]
fn a_ticket_comes_through_a_pipe_too() {
    let world = World::new();
    let shared = world.share("a", world.file("source.bin", 1, 1000));
    let args = format!("--store b get {} -o out.bin -", NET.join(" "));
    world.run_with_input(&args, format!("\n  {}\n", shared.ticket).as_bytes()).code(0);
    assert_eq!(world.read("out.bin"), world.read("source.bin"));
}

/// An address of loopback that nobody listens on.
fn free_port() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().to_string()
}
