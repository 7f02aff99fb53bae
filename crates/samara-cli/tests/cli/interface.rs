//! What scripts and shells see.

use std::{fs, process::Stdio};

use crate::world::{NET, World};

const MIB: usize = 1 << 20;

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
