//! The built command, driven as people and scripts drive it, over loopback only.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test helper fails its test")]

mod world;

use std::{
    ffi::OsStr,
    fs,
    net::UdpSocket,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    process::Stdio,
};

use world::{NET, World, flip_bit};

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
fn what_is_in_the_store_can_be_listed_read_exported_and_removed() {
    let world = World::new();
    let shared = world.share("a", world.file("source.bin", 1, 2 * MIB + 5));
    let got = world.run(&format!("--store b get {} {}", NET.join(" "), shared.ticket)).code(0);
    assert_eq!(got.text(), shared.id, "without -o, standard output has the id");
    assert!(got.stderr.contains("samara export"), "{}", got.stderr);
    shared.process.kill();
    let prefix = &shared.id[..6];
    let data = world.read("source.bin");

    let listed = world.run("--store b ls").code(0).text();
    assert!(listed.contains(&shared.id[..16]) && listed.contains("complete"), "{listed}");
    assert!(listed.contains("source.bin"), "{listed}");

    for (args, expected) in [
        (format!("cat {}", shared.id), &data[..]),
        (format!("cat {prefix} --range 1000..2000000"), &data[1000..2_000_000]),
        ("cat source.bin --range 2097152..".to_owned(), &data[2_097_152..]),
        (format!("cat {} --range ..16384", shared.ticket), &data[..16_384]),
        (format!("cat {prefix} --range 7..7"), &[]),
    ] {
        let output = world.command(["--store", "b"]).args(args.split(' ')).output().unwrap();
        assert!(output.status.success() && output.stdout == expected, "{args}");
    }
    world.run(&format!("--store b cat {prefix} --range 9999999..")).code(2);

    let stat = world.run(&format!("--store b stat --json {prefix}")).code(0);
    let stat = &stat.events()[0];
    assert_eq!(stat["complete"], true);
    assert_eq!(stat["held"], serde_json::json!([[0, data.len()]]));

    world.run(&format!("--store b export {prefix} copy.bin")).code(0);
    assert_eq!(world.read("copy.bin"), data);
    world.run(&format!("--store b export {prefix} copy.bin")).code(8);
    fs::create_dir(world.path("inbox")).unwrap();
    world.run("--store b export source.bin inbox").code(0);
    assert_eq!(world.read("inbox/source.bin"), data);

    world.run("--store b verify").code(0);
    world.run(&format!("--store b rm {prefix} nothing-like-that")).code(11);
    world.run(&format!("--store b cat {prefix} --range 0..1")).code(0);
    world.run(&format!("--store b rm {prefix}")).code(0);
    world.run(&format!("--store b cat {prefix}")).code(11);
    assert_eq!(world.run("--store b ls").code(0).text(), "");
}

#[test]
fn removing_a_folder_keeps_what_another_one_needs() {
    let world = World::new();
    world.file("x/own", 1, 50_000);
    world.file("x/common", 2, 50_000);
    world.file("y/common", 2, 50_000);
    let (x, y) = (world.share("x-store", world.path("x")), world.share("y-store", world.path("y")));
    world.get("b", &x.ticket).code(0);
    world.get("b", &y.ticket).code(0);
    world.run(&format!("--store b rm {}", x.id)).code(0);
    world.run(&format!("--store b export {} out", y.id)).code(0);
    assert_eq!(world.read("out/common"), world.read("y/common"));
    let own = blake3::hash(&world.read("x/own")).to_string();
    world.run(&format!("--store b stat {own}")).code(11);
    world.run(&format!("--store b rm {}", y.id)).code(0);
    assert_eq!(world.run("--store b ls --all").code(0).text(), "");
}

#[test]
fn a_killed_receiver_goes_on_where_it_was() {
    let world = World::new();
    let len = 12 * MIB;
    let shared = world.share("a", world.file("source.bin", 1, len));
    let args = format!("-o out.bin {}", shared.ticket);
    let mut first = world.start_get("b", &args);
    let seen = first.event(|event| event["bytes"].as_u64().unwrap_or(0) >= len as u64 / 4);
    first.kill();
    assert!(!world.path("out.bin").exists(), "an unfinished file is at the final name");
    let verdict = world.get("b", &args).code(0).verdict();
    let missing = len as u64 - seen["bytes"].as_u64().unwrap();
    let received = verdict["bytes_received"].as_u64().unwrap();
    assert!(received <= missing + len as u64 / 50, "{received} of {missing}: {verdict}");
    assert_eq!(world.read("out.bin"), world.read("source.bin"));
}

#[test]
fn a_receiver_waits_for_its_source_and_says_why() {
    let world = World::new();
    let len = 12 * MIB;
    let source = world.file("source.bin", 1, len);
    let bind = free_port();
    let shared = world.share_at("a", &bind, &source);
    let mut getter = world.start_get("b", &format!("-o out.bin {}", shared.ticket));
    getter.event(|event| event["bytes"].as_u64().unwrap_or(0) > 0);
    shared.process.kill();
    let waiting = getter.event(|event| event["event"] == "waiting");
    assert!(waiting["message"].as_str().unwrap().starts_with("waiting: "), "{waiting}");
    let again = world.share_at("a", &bind, &source);
    assert_eq!(again.ticket, shared.ticket, "the same share has the same ticket");
    getter.finish().code(0).verdict();
    assert_eq!(world.read("out.bin"), world.read("source.bin"));
}

#[test]
fn ctrl_c_keeps_what_arrived_and_says_so() {
    let world = World::new();
    let len = 12 * MIB;
    let shared = world.share("a", world.file("source.bin", 1, len));
    let args = format!("-o out.bin {}", shared.ticket);
    let mut getter = world.start_get("b", &args);
    getter.event(|event| event["bytes"].as_u64().unwrap_or(0) >= len as u64 / 4);
    let stopped = getter.interrupt().code(130);
    let verdict = stopped.verdict();
    assert_eq!(verdict["verdict"], "cancelled");
    assert!(stopped.stderr.contains("kept"), "{}", stopped.stderr);
    let verdict = world.get("b", &args).code(0).verdict();
    assert!(verdict["bytes_reused"].as_u64().unwrap() >= len as u64 / 4, "{verdict}");
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
fn a_flipped_bit_spoils_its_group_and_nothing_else() {
    let world = World::new();
    let len = 2 * MIB;
    let rotten = world.file("rotten.bin", 1, len);
    world.file("healthy.bin", 1, len);
    let shared = world.share("a", &rotten);
    flip_bit(&rotten, len as u64 / 2 + 12_345);
    let args = format!("-o out.bin {}", shared.ticket);
    let partial = world.get("b", &args).code(3);
    let verdict = partial.verdict();
    assert_eq!(verdict["verdict"], "partial");
    let missing = &verdict["missing"][0];
    let (start, end) = (missing["start"].as_u64().unwrap(), missing["end"].as_u64().unwrap());
    assert!((start..end).contains(&(len as u64 / 2 + 12_345)), "{missing}");
    assert!(end - start <= MIB as u64, "{missing}");
    let blame = partial.events().into_iter().find(|event| event["event"] == "blame").unwrap();
    assert_eq!(blame["fault"], "damaged", "{blame}");
    assert_eq!(blame["peer"], shared.ready["peer"], "{blame}");
    assert!(partial.stderr.contains("bytes "), "{}", partial.stderr);
    assert!(!world.path("out.bin").exists());

    // The source took the damage out of service, and knows it after a restart.
    shared.process.interrupt();
    let verified = world.run("--store a verify --json").code(10);
    let damaged = verified.events().into_iter().find(|event| event["ok"] == false).unwrap();
    assert_eq!(damaged["id"].as_str(), Some(shared.id.as_str()));
    let cat = world.run(&format!("--store a cat {} --range 1048576..1070000", shared.id)).code(10);
    assert!(cat.stderr.contains("damaged"), "{}", cat.stderr);

    let second = world.share("c", world.path("healthy.bin"));
    let verdict = world.get("b", &format!("-o out.bin {}", second.ticket)).code(0).verdict();
    assert!(verdict["bytes_received"].as_u64().unwrap() <= MIB as u64, "{verdict}");
    assert_eq!(world.read("out.bin"), world.read("healthy.bin"));
}

#[test]
fn verify_finds_a_flipped_bit_that_nobody_asked_for() {
    let world = World::new();
    let path = world.file("source.bin", 1, MIB);
    world.run("--store a add source.bin").code(0);
    world.run("--store a verify source.bin").code(0);
    flip_bit(&path, 300_000);
    let damaged = world.run("--store a verify").code(10);
    assert!(damaged.text().contains("bytes 294912..311296"), "{}", damaged.text());
    assert!(damaged.stderr.contains("1 of 1"), "{}", damaged.stderr);
    world.run("--store a verify").code(10);
}

#[test]
fn a_file_that_changed_is_not_served_and_both_sides_say_so() {
    let world = World::new();
    let path = world.file("source.bin", 1, MIB);
    let mut shared = world.share("a", &path);
    world.file("source.bin", 2, MIB);
    let ended = world.get("b", &format!("-o out.bin {}", shared.ticket));
    assert!([3, 4].contains(&ended.code), "{ended:?}");
    assert_ne!(ended.verdict()["verdict"], "complete");
    shared.process.says("changed since it was shared");
    shared.process.kill();
    let verified = world.run("--store a verify").code(10);
    assert!(verified.text().contains("changed"), "{}", verified.text());
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

#[test]
fn each_way_to_mangle_a_ticket_is_refused() {
    let world = World::new();
    let shared = world.share("a", world.file("source.bin", 1, 1000));
    let middle = shared.ticket.len() / 2;
    let mut wrong = shared.ticket.clone();
    let letter = if wrong.as_bytes()[middle] == b'a' { "b" } else { "a" };
    wrong.replace_range(middle..=middle, letter);
    for ticket in [&wrong, &shared.ticket[..middle], "hello", &shared.id] {
        let refused = world.get("b", ticket).code(9);
        let error = &refused.events()[0];
        assert_eq!((&error["event"], &error["code"]), (&"error".into(), &9.into()));
        assert!(refused.stderr.contains(error["message"].as_str().unwrap()));
    }
}

#[test]
fn a_named_store_in_use_is_an_error_and_the_default_one_has_slots() {
    let world = World::new();
    world.file("source.bin", 1, 100_000);
    let _shared = world.share("a", world.path("source.bin"));
    for args in ["add source.bin", "ls", "verify", "share source.bin"] {
        let refused = world.run(&format!("--store a {args}")).code(6);
        assert!(refused.stderr.contains("in use"), "{}", refused.stderr);
    }

    let mut sharer = world.start(["share", "--json", "source.bin"].into_iter().chain(NET));
    let ready = sharer.json();
    let ticket = ready["ticket"].as_str().unwrap();
    let got = world.run(&format!("get {} {ticket}", NET.join(" "))).code(0);
    let id = got.text();
    assert!(world.path("data/samara/store.2").is_dir());
    // What is looked up is found in the slot that has it.
    let listed = world.run("ls").code(0);
    assert!(listed.text().contains(&id[..16]), "{}", listed.text());
    assert!(listed.stderr.contains("in use"), "{}", listed.stderr);
    world.run(&format!("export {id} out.bin")).code(0);
    assert_eq!(world.read("out.bin"), world.read("source.bin"));
    let absent = world.run("stat 0123456789").code(6);
    assert!(absent.stderr.contains("in use"), "{}", absent.stderr);
}

#[test]
fn an_interrupted_fetch_goes_on_in_the_slot_where_it_began() {
    let world = World::new();
    let len = 12 * MIB;
    let shared = world.share("named", world.file("source.bin", 1, len));
    world.file("other.bin", 2, 1000);
    let mut other = world.start(["share", "--json", "other.bin"].into_iter().chain(NET));
    other.json();
    let args = format!("get --json {} -o out.bin {}", NET.join(" "), shared.ticket);
    let mut first = world.start(args.split(' '));
    first.event(|event| event["bytes"].as_u64().unwrap_or(0) >= len as u64 / 4);
    first.kill();
    other.kill();
    // The first slot is free now, but the second has the beginning.
    let verdict = world.run(&args).code(0).verdict();
    assert!(verdict["bytes_reused"].as_u64().unwrap() >= len as u64 / 4, "{verdict}");
    assert_eq!(world.read("out.bin"), world.read("source.bin"));
}

#[test]
fn a_file_that_was_shared_in_place_is_never_moved() {
    let world = World::new();
    let len = 12 * MIB;
    let shared = world.share("a", world.file("source.bin", 1, len));
    let args = format!("-o out.bin {}", shared.ticket);
    let mut first = world.start_get("b", &args);
    first.event(|event| event["bytes"].as_u64().unwrap_or(0) >= len as u64 / 4);
    first.kill();
    // The same bytes turn up on this machine before the fetch goes on.
    fs::create_dir(world.path("mine")).unwrap();
    fs::copy(world.path("source.bin"), world.path("mine/copy.bin")).unwrap();
    world.run("--store b add mine/copy.bin").code(0);
    world.get("b", &args).code(0);
    assert_eq!(world.read("mine/copy.bin"), world.read("source.bin"));
    assert_eq!(world.read("out.bin"), world.read("source.bin"));
}

#[test]
fn ids_are_those_of_b3sum() {
    let world = World::new();
    for (name, len) in [("empty", 0), ("one", 1), ("leaf", 1025), ("large", MIB + 3)] {
        world.file(name, 1, len);
        let expected = format!("{}  {name}", blake3::hash(&world.read(name)));
        assert_eq!(world.run(&format!("id {name}")).code(0).text(), expected);
    }
    let stdin = world.run_with_input("id -", b"abc").code(0);
    assert_eq!(stdin.text(), format!("{}  -", blake3::hash(b"abc")));
    let some = world.run("id empty missing one").code(11);
    assert_eq!(some.stdout.len(), 2, "the others are hashed all the same");
    assert!(some.stderr.contains("missing"), "{}", some.stderr);
    assert!(!world.path("data").exists(), "`id` needs no store");
}

#[test]
fn standard_input_can_be_added() {
    let world = World::new();
    let data = vec![7; 300_000];
    let added = world.run_with_input("--store a add -", &data).code(0);
    let id = blake3::hash(&data).to_string();
    assert_eq!(added.text(), format!("{id}  -"));
    let output = world.command(["--store", "a", "cat", &id]).output().unwrap();
    assert_eq!(output.stdout, data);
}

#[test]
fn what_is_not_there_is_said_to_be_so() {
    let world = World::new();
    world.run("--store a share --direct no-such-file").code(11);
    world.run("--store a add no-such-file").code(11);
    world.run("--store nowhere ls").code(11);
    assert!(!world.path("nowhere").exists(), "who only looks makes no store");
    assert_eq!(world.run("ls").code(0).text(), "", "no default store yet");
    world.run("--store a cat 0123").code(2);
    world.run("--store a cat 0123456789").code(11);
}

#[test]
fn wrong_usage_is_explained() {
    let world = World::new();
    for args in [
        "",
        "nonsense",
        "get",
        "get x --timeout soon",
        "share",
        "cat x --range 5",
        "share x --direct --relay off",
        "get x --force",
    ] {
        let refused = world.run(args).code(2);
        assert!(refused.stderr.split_whitespace().count() > 3, "{args}: {}", refused.stderr);
    }
    let refused = world.run("get --json").code(2);
    assert_eq!(refused.events()[0]["kind"], "usage");
    world.run("get -o - samara1x").code(9);
}

#[test]
fn every_line_of_json_is_an_object() {
    let world = World::new();
    world.file("tree/a.bin", 1, 100_000);
    world.file("tree/b.bin", 2, 10);
    world.file("c.bin", 3, 10);
    for args in [
        "--store a add --json tree c.bin",
        "--store a ls --json",
        "--store a ls --json --all",
        "--store a ls --json tree",
        "--store a stat --json",
        "--store a stat --json tree",
        "--store a verify --json",
        "--store a export --json tree copy",
        "--store a rm --json tree",
        "--store a rm --json tree",
        "--store a cat --json tree",
        "id --json c.bin tree",
        "completions --json bash",
        "--json --store nowhere ls",
    ] {
        let finished = world.run(args);
        if args.contains(" cat ") {
            // Standard output is for bytes; the object is on standard error.
            assert!(finished.stdout.is_empty() && finished.code == 11, "{finished:?}");
            assert!(finished.stderr.starts_with(r#"{"event":"error""#), "{}", finished.stderr);
            continue;
        }
        assert!(!finished.events().is_empty(), "{args}: {finished:?}");
    }
}

#[test]
fn there_are_completions_for_every_shell() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = world.run(&format!("completions {shell}")).code(0).text();
        assert!(script.contains("samara") && script.contains("doctor"), "{shell}: {script}");
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let world = World::new();
    world.file("source.bin", 1, 4 * MIB);
    world.run("--store a add source.bin").code(0);
    for args in [vec!["--store", "a", "cat", "source.bin"], vec!["completions", "zsh"]] {
        let mut child = world.command(args).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && stderr.is_empty(), "{output:?}");
    }
    // A fetch goes on when nobody reads its events any more.
    let shared = world.share("b", world.path("source.bin"));
    let args = ["--store", "c", "get", "--json", "-o", "out.bin", &shared.ticket];
    let mut child = world.command(args.into_iter().chain(NET)).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert!(child.wait().unwrap().success());
    assert_eq!(world.read("out.bin"), world.read("source.bin"));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_behind_standard_output_is_named() {
    let world = World::new();
    world.file("source.bin", 1, 10);
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = world.command(["id", "source.bin"]).stdout(Stdio::from(full)).output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no space left"), "{output:?}");
}

#[test]
fn quiet_is_quiet() {
    let world = World::new();
    let shared = world.share("a", world.file("source.bin", 1, 1000));
    let args = format!("--store b -q get {} -o out.bin {}", NET.join(" "), shared.ticket);
    let finished = world.run(&args).code(0);
    assert_eq!(finished.stderr, "");
    assert_eq!(finished.stdout.len(), 1, "the path, and nothing else: {finished:?}");
}

#[test]
fn doctor_moves_bytes_over_loopback() {
    let world = World::new();
    let finished = world.run("--store a doctor --direct --json");
    let checks = finished.events();
    let loopback = checks.iter().find(|check| check["name"] == "loopback").unwrap();
    assert_eq!(loopback["result"], "ok", "{loopback}");
    for check in &checks {
        let good = check["result"] == "ok";
        assert!(
            good || check["advice"].as_str().is_some_and(|advice| !advice.is_empty()),
            "{check}"
        );
    }
    assert!(!world.path("a").exists(), "the doctor changes nothing");
}

/// An address of loopback that nobody listens on.
fn free_port() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().to_string()
}
