//! What is kept, found again and forgotten; which store.

use std::fs;

use crate::world::{NET, World};

const MIB: usize = 1 << 20;

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
fn an_unfinished_fetch_goes_on_in_the_slot_where_it_began() {
    let world = World::new();
    let source = world.file("source.bin", 1, 12 * MIB);
    let shared = world.share_rotten("named", "127.0.0.1:0", &source);
    world.file("other.bin", 2, 1000);
    let mut other = world.start(["share", "--json", "other.bin"].into_iter().chain(NET));
    other.json();
    let args = format!("get --json {} -o out.bin {}", NET.join(" "), shared.ticket);
    // All but the group that has rotted: there is no other source, and no patience for one.
    world.run(&args).code(3);
    other.kill();
    let healthy = world.share("healthy", world.file("healthy.bin", 1, 12 * MIB));
    // The first slot is free now, but the second has the beginning.
    let args = format!("get --json {} -o out.bin {}", NET.join(" "), healthy.ticket);
    let verdict = world.run(&args).code(0).verdict();
    assert!(verdict["bytes_reused"].as_u64().unwrap() >= 11 * MIB as u64, "{verdict}");
    assert_eq!(world.read("out.bin"), world.read("healthy.bin"));
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
