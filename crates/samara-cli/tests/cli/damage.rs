//! Bytes that are not what they were.

use std::fs;

use crate::world::{World, flip_bit};

const MIB: usize = 1 << 20;

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
    assert_eq!(end - start, 16 << 10, "{missing}");
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
fn a_file_that_was_shared_in_place_is_never_moved() {
    let world = World::new();
    let source = world.file("source.bin", 1, 12 * MIB);
    let shared = world.share_rotten("a", "127.0.0.1:0", &source);
    let args = format!("-o out.bin {}", shared.ticket);
    world.start_get_of_rotten("b", &args).kill();
    // The same bytes turn up on this machine before the fetch goes on.
    let mine = world.file("mine/copy.bin", 1, 12 * MIB);
    world.run("--store b add mine/copy.bin").code(0);
    let verdict = world.get("b", &args).code(0).verdict();
    assert_eq!(verdict["bytes_received"], 0, "all of it was here: {verdict}");
    let data = fs::read(mine).unwrap();
    assert_eq!(blake3::hash(&data).to_string(), shared.id);
    assert_eq!(world.read("out.bin"), data);
}

#[test]
fn a_lost_index_is_made_again() {
    let world = World::new();
    world.file("source.bin", 1, 3 * MIB);
    let data = world.read("source.bin");
    let added = world.run_with_input("--store a add - --json", &data).code(0);
    let id = added.events()[0]["id"].as_str().unwrap().to_owned();
    world.run("--store a rebuild-index").code(0);
    for damage in [false, true] {
        let index = world.path("a/index.redb");
        fs::remove_file(&index).unwrap();
        if damage {
            fs::write(&index, [0xa5; 100_000]).unwrap();
        }
        let refused = world.run("--store a ls").code(10);
        assert!(refused.stderr.contains("samara rebuild-index"), "{}", refused.stderr);
        let rebuilt = world.run("--store a rebuild-index --json").code(0);
        assert_eq!(rebuilt.events()[0]["whole"], 1, "{:?}", rebuilt.events());
        world.run(&format!("--store a export {id} out.bin --force")).code(0);
        assert!(world.read("out.bin") == data);
        world.run("--store a verify").code(0);
    }
    flip_bit(&world.path("a/segments/00000001.seg"), 1_500_000);
    let damaged = world.run("--store a rebuild-index --force").code(10);
    assert!(damaged.stderr.contains("1 more blobs are damaged"), "{}", damaged.stderr);
    world.run("--store none rebuild-index").code(11);
}
