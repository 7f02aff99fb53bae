//! Whole nodes with real stores over links in memory: what a user of the library sees.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use core::time::Duration;
use std::{
    fs,
    os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::StreamExt as _;
use samara::{
    Fault, FetchError, FetchOptions, Node, Ticket, Verdict, Waiting,
    base::PeerId,
    net::{
        driver::Driver,
        events::{EventLimits, events},
        memory::MemoryNet,
    },
    store::{Options, Store},
};
use tempfile::TempDir;

struct World {
    net: MemoryNet,
    dir: TempDir,
}

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

impl World {
    fn new() -> Self {
        Self { net: MemoryNet::new(), dir: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn node(&self, number: u8) -> Node {
        let (sink, links) = events(EventLimits::default());
        let driver: Arc<dyn Driver> = Arc::new(self.net.driver(peer(number), sink).unwrap());
        let store = Store::open(&self.path(&format!("store{number}")), Options::default()).unwrap();
        Node::with_driver(store, [number; 32], driver, links).unwrap()
    }

    fn file(&self, name: &str, data: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, data).unwrap();
        path
    }
}

fn blob(size: usize, seed: u8) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..size).map(next).collect()
}

fn into(path: impl Into<PathBuf>) -> FetchOptions {
    FetchOptions { output: Some(path.into()), ..FetchOptions::default() }
}

/// Everything below a directory: path, kind, mode and content or target.
fn tree(root: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let mut all = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_dir() {
                open.push(path.clone());
                Vec::new()
            } else if metadata.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                fs::read(&path).unwrap()
            };
            let mode = if metadata.is_symlink() { 0 } else { metadata.mode() };
            all.push((path.strip_prefix(root).unwrap().to_owned(), mode, content));
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn files_of_many_sizes_arrive_where_they_are_wanted() {
    let world = World::new();
    let (alice, bob) = (world.node(1), world.node(2));
    for size in [0, 1, 1024, 16_384, 16_385, 100_000, 3_000_000] {
        let data = blob(size, 1);
        let path = world.file(&format!("in/{size}.bin"), &data);
        let share = alice.share([path]).await.unwrap();
        assert_eq!(share.imported.id.to_string(), blake3::hash(&data).to_hex().as_str());
        let ticket: Ticket = share.ticket.to_string().parse().unwrap();

        let out = world.path(&format!("out/{size}.bin"));
        let outcome = bob.fetch(ticket.clone(), into(&out)).await.unwrap();
        assert_eq!(outcome.verdict, Verdict::Complete, "size {size}");
        assert_eq!(outcome.bytes, size as u64);
        assert_eq!(outcome.path.as_deref(), Some(out.canonicalize().unwrap().as_path()));
        assert!(fs::read(&out).unwrap() == data, "size {size}");
        let names: Vec<_> =
            fs::read_dir(world.path("out")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(names.iter().all(|name| !name.to_string_lossy().contains("part")), "{names:?}");

        // Again: it is here, and nothing is overwritten.
        let again = bob.fetch(ticket.clone(), into(&out)).await;
        assert!(matches!(again, Err(FetchError::Exists { .. })), "{again:?}");
        let copy = world.path(&format!("copy/{size}.bin"));
        let outcome = bob.fetch(ticket, into(&copy)).await.unwrap();
        assert_eq!((outcome.bytes_received, outcome.bytes_reused), (0, size as u64));
        assert!(fs::read(&copy).unwrap() == data);
    }
    bob.shutdown().await.unwrap();
    alice.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_directory_arrives_with_everything_in_it() {
    use std::os::unix::{ffi::OsStrExt as _, fs::symlink};
    let world = World::new();
    let (alice, bob) = (world.node(1), world.node(2));
    let root = world.path("tree");
    for (name, size) in [
        ("a", 0),
        ("b/one", 10),
        ("b/same", 10),
        ("b/c/large", 200_000),
        ("b/c/large too", 200_000),
    ] {
        world.file(&format!("tree/{name}"), &blob(size, 3));
    }
    for number in 0..300 {
        world.file(&format!("tree/many/{number}"), &blob(number, 7));
    }
    fs::create_dir(root.join("empty")).unwrap();
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"not \xff utf-8")), b"name").unwrap();
    symlink("b/one", root.join("link")).unwrap();
    fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(root.join("b/one"), fs::Permissions::from_mode(0o400)).unwrap();
    fs::set_permissions(root.join("empty"), fs::Permissions::from_mode(0o500)).unwrap();

    let share = alice.share([root.clone()]).await.unwrap();
    assert_eq!(share.imported.files, 306);
    let out = world.path("out");
    let mut running = bob.fetch(share.ticket.clone(), into(&out));
    let snapshots: Vec<_> = running.progress().collect().await;
    let outcome = (&mut running).await.unwrap();
    assert_eq!(outcome.verdict, Verdict::Complete);
    assert_eq!(tree(&out), tree(&root));
    let last = snapshots.last().unwrap();
    assert_eq!((last.files, last.files_total), (306, 306));
    assert_eq!(last.bytes_total, Some(share.imported.size));
    let time = |path: PathBuf| fs::symlink_metadata(path).unwrap().modified().unwrap();
    for name in ["a", "b", "b/c/large", "empty", "many/7"] {
        assert_eq!(time(out.join(name)), time(root.join(name)), "{name}");
    }

    // Without a place it is in the store, in segments, and can be fetched from there.
    let carol = world.node(3);
    let outcome = carol.fetch(share.ticket.clone(), FetchOptions::default()).await.unwrap();
    assert_eq!(outcome.verdict, Verdict::Complete);
    let files = tree(&world.path("store3")).len();
    assert!(files < 20, "not a file per blob: {files}");
    let relayed = carol.reshare(&share.ticket).await.unwrap();
    alice.shutdown().await.unwrap();
    let dave = world.node(4);
    let out = world.path("relayed");
    let outcome = dave.fetch(relayed, into(&out)).await.unwrap();
    assert_eq!(outcome.verdict, Verdict::Complete);
    assert_eq!(tree(&out), tree(&root));
    fs::set_permissions(root.join("empty"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[tokio::test]
async fn a_fetch_goes_on_where_an_earlier_one_stopped() {
    let world = World::new();
    let (alice, bob) = (world.node(1), world.node(2));
    let data = blob(20 << 20, 1);
    let path = world.file("in", &data);
    let share = alice.share([path]).await.unwrap();
    let out = world.path("out");
    let mut running = bob.fetch(share.ticket.clone(), into(&out));
    let mut progress = running.progress();
    while progress.next().await.is_some_and(|snapshot| snapshot.bytes < 4 << 20) {}
    running.cancel();
    let outcome = (&mut running).await.unwrap();
    if outcome.verdict == Verdict::Cancelled {
        assert!(!out.exists(), "unfinished files do not look finished");
        let outcome = bob.fetch(share.ticket, into(&out)).await.unwrap();
        assert_eq!(outcome.verdict, Verdict::Complete);
        assert!(outcome.bytes_reused >= 4 << 20, "{} reused", outcome.bytes_reused);
        assert!(outcome.bytes_received < 17 << 20, "{} received", outcome.bytes_received);
    }
    assert!(fs::read(&out).unwrap() == data);
}

#[tokio::test]
async fn a_provider_that_is_away_is_waited_for() {
    let world = World::new();
    let (alice, bob) = (world.node(1), world.node(2));
    let data = blob(1 << 20, 1);
    let share = alice.share([world.file("in", &data)]).await.unwrap();
    alice.shutdown().await.unwrap();
    drop(alice);
    let mut running = bob.fetch(share.ticket.clone(), into(world.path("out")));
    let mut progress = running.progress();
    let waits = |waiting| move |snapshot: &samara::FetchProgress| snapshot.waiting == waiting;
    loop {
        let snapshot = progress.next().await.expect("it goes on");
        if waits(Some(Waiting::NoProvider))(&snapshot) {
            break;
        }
    }
    // The same store, the same identity, the same ticket.
    let alice = world.node(1);
    let again = alice.share([world.path("in")]).await.unwrap();
    assert_eq!(again.ticket.secret(), share.ticket.secret(), "an old ticket stays good");
    let outcome = (&mut running).await.unwrap();
    assert_eq!(outcome.verdict, Verdict::Complete);
    assert!(fs::read(world.path("out")).unwrap() == data);

    let impatient =
        FetchOptions { patience: Some(Duration::from_millis(300)), ..FetchOptions::default() };
    let nobody = "00".repeat(32).parse().unwrap();
    let ticket = Ticket::new(nobody, samara::ticket::Format::Blob)
        .with_provider(samara::ticket::Provider::new(peer(99)))
        .unwrap();
    let outcome = bob.fetch(ticket, impatient).await.unwrap();
    assert_eq!(outcome.verdict, Verdict::NoProvider);
}

//= rfcs/0007-transfer.md#xfer-7
//= type=test
//# A source MUST NOT send bytes that it has not verified against the blob's id.
#[tokio::test]
async fn damage_at_the_source_is_named_and_a_second_source_mends_it() {
    let world = World::new();
    let (alice, bob, carol) = (world.node(1), world.node(2), world.node(3));
    let data = blob(2 << 20, 1);
    let path = world.file("in", &data);
    let share = alice.share([path.clone()]).await.unwrap();
    // A flip that the file system does not tell of: the time of change stays.
    let before = fs::metadata(&path).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.write_at(&[data[1_000_000] ^ 1], 1_000_000).unwrap();
    file.set_times(fs::FileTimes::new().set_modified(before.modified().unwrap())).unwrap();

    let out = world.path("out");
    let outcome = bob.fetch(share.ticket.clone(), into(&out)).await.unwrap();
    let Verdict::Partial { missing, .. } = &outcome.verdict else { panic!("{outcome:?}") };
    assert!(missing.contains(1_000_000 / 1024) && missing.total() == 16, "{missing}");
    assert!(!out.exists());
    assert_eq!(outcome.shortfalls.len(), 1);
    let shortfall = &outcome.shortfalls[0];
    assert_eq!((shortfall.peer, shortfall.fault), (peer(1), Fault::Damaged));
    assert!(shortfall.ranges.contains(1_000_000) && shortfall.ranges.total() == 16_384);

    // Carol has the same content, from elsewhere; the ticket names both.
    let sound = carol.share([world.file("copy", &data)]).await.unwrap();
    let both = sound.ticket.with_provider(share.ticket.providers()[0].clone()).unwrap();
    let outcome = bob.fetch(both, into(&out)).await.unwrap();
    assert_eq!(outcome.verdict, Verdict::Complete);
    assert!(outcome.bytes_received < 100_000, "only the range: {}", outcome.bytes_received);
    assert!(fs::read(&out).unwrap() == data);

    // The damaged range stays in quarantine.
    let held = alice.ranges(share.imported.id).await.unwrap().unwrap();
    assert!(!held.contains(1_000_000) && held.total() == (2 << 20) - 16_384, "{held}");
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_shared_is_never_served_wrong() {
    let world = World::new();
    let (alice, bob) = (world.node(1), world.node(2));
    let path = world.file("in", &blob(300_000, 1));
    let share = alice.share([path.clone()]).await.unwrap();
    fs::write(&path, blob(300_000, 2)).unwrap();
    let outcome = bob.fetch(share.ticket, into(world.path("out"))).await.unwrap();
    assert_ne!(outcome.verdict, Verdict::Complete);
    assert!(!world.path("out").exists());
}

#[tokio::test]
async fn nobody_gets_anything_without_the_right() {
    let world = World::new();
    let (alice, bob) = (world.node(1), world.node(2));
    let share = alice.share([world.file("in", b"for your eyes only")]).await.unwrap();
    // Bob knows the id and the peer, but not the secret.
    let bare = Ticket::new(share.imported.id, share.imported.format)
        .with_provider(share.ticket.providers()[0].clone())
        .unwrap();
    let held = bob.fetch(bare.clone(), FetchOptions::default()).await.unwrap();
    let unknown = Ticket::new("11".repeat(32).parse().unwrap(), bare.format())
        .with_provider(share.ticket.providers()[0].clone())
        .unwrap();
    let missing = bob.fetch(unknown, FetchOptions::default()).await.unwrap();
    assert_eq!(held.verdict, Verdict::Unavailable);
    assert_eq!(missing.verdict, Verdict::Unavailable, "the two look the same");
    // An unshared ticket is worth nothing any more.
    alice.unshare(&share.ticket);
    let carol = world.node(3);
    let outcome = carol.fetch(share.ticket, FetchOptions::default()).await.unwrap();
    assert_eq!(outcome.verdict, Verdict::Unavailable);
}

//= rfcs/0004-chunking.md#coll-19
//= type=test
//# An extractor MUST create links only after every file of the collection is in place.
#[tokio::test]
async fn links_come_last() {
    let world = World::new();
    let (alice, bob) = (world.node(1), world.node(2));
    let victim = world.file("tree/file", &blob(40_000, 1));
    std::os::unix::fs::symlink("file", world.path("tree/a link")).unwrap();
    let share = alice.share([world.path("tree")]).await.unwrap();
    let good = fs::read(&victim).unwrap();
    fs::write(&victim, b"changed").unwrap();
    let outcome = bob.fetch(share.ticket.clone(), into(world.path("out"))).await.unwrap();
    assert_ne!(outcome.verdict, Verdict::Complete);
    let staged = fs::read_dir(world.dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let staged = staged.into_iter().find(|path| path.to_string_lossy().ends_with("samara-part"));
    let staged = staged.expect("what is here is kept");
    assert!(tree(&staged).iter().all(|(_, _, content)| content != b"file"), "no link yet");
    fs::write(&victim, good).unwrap();
    let share = alice.share([world.path("tree/file")]).await.unwrap();
    drop(share);
    let again = alice.share([world.path("tree")]).await.unwrap();
    let outcome = bob.fetch(again.ticket, into(world.path("out"))).await.unwrap();
    assert_eq!(outcome.verdict, Verdict::Complete);
    assert_eq!(fs::read_link(world.path("out/a link")).unwrap(), Path::new("file"));
}

//= rfcs/0004-chunking.md#coll-20
//= type=test
//# An extractor MUST NOT write through a link or over a file that it did not create, unless its user allows it.
#[tokio::test]
async fn nothing_is_written_through_what_lies_there() {
    let world = World::new();
    let (alice, bob) = (world.node(1), world.node(2));
    world.file("tree/file", b"from alice");
    let tree = alice.share([world.path("tree")]).await.unwrap();
    let file = alice.share([world.file("in", &blob(100_000, 1))]).await.unwrap();
    fs::create_dir(world.path("elsewhere")).unwrap();
    fs::write(world.path("precious"), b"precious").unwrap();
    for share in [&tree, &file] {
        let staged = format!(".out.{}.samara-part", share.imported.id.fmt_short());
        let bait = if share == &tree { "elsewhere" } else { "precious" };
        std::os::unix::fs::symlink(world.path(bait), world.path(&staged)).unwrap();
        let result = bob.fetch(share.ticket.clone(), into(world.path("out"))).await;
        assert!(matches!(result, Err(FetchError::Exists { .. })), "{bait}: {result:?}");
    }
    assert_eq!(fs::read_dir(world.path("elsewhere")).unwrap().count(), 0);
    assert_eq!(fs::read(world.path("precious")).unwrap(), b"precious");
}

//= rfcs/0004-chunking.md#coll-21
//= type=test
//# An extractor MUST compare the sum of sizes with the space and the limit that its user allows, before it writes a file.
#[tokio::test]
async fn a_collection_above_the_limit_is_not_begun() {
    let world = World::new();
    let (alice, bob) = (world.node(1), world.node(2));
    for name in ["one", "two", "three"] {
        world.file(&format!("tree/{name}"), &[7; 1000]);
    }
    let share = alice.share([world.path("tree")]).await.unwrap();
    let options = |size_max| FetchOptions { size_max, ..into(world.path("out")) };
    let outcome = bob.fetch(share.ticket.clone(), options(2_999)).await.unwrap();
    assert_eq!(outcome.verdict, Verdict::TooLarge { size: 3_000, limit: 2_999 });
    assert!(!world.path("out").exists());
    let outcome = bob.fetch(share.ticket, options(3_000)).await.unwrap();
    assert_eq!(outcome.verdict, Verdict::Complete);
}

#[tokio::test]
async fn replacing_updates_a_directory_file_by_file() {
    let world = World::new();
    let (alice, bob) = (world.node(1), world.node(2));
    world.file("tree/one", b"new");
    world.file("tree/sub/two", b"new too");
    let share = alice.share([world.path("tree")]).await.unwrap();
    world.file("out/one", b"old");
    world.file("out/mine", b"precious");
    let refused = bob.fetch(share.ticket.clone(), into(world.path("out"))).await;
    assert!(matches!(refused, Err(FetchError::Exists { .. })), "{refused:?}");
    assert_eq!(fs::read(world.path("out/one")).unwrap(), b"old");
    let inside = bob.fetch(share.ticket.clone(), into(world.path("out/"))).await.unwrap();
    assert_eq!(inside.verdict, Verdict::Complete);
    assert_eq!(fs::read(world.path("out/tree/one")).unwrap(), b"new", "beside what is there");
    let options = FetchOptions { replace: true, ..into(world.path("out")) };
    let outcome = bob.fetch(share.ticket, options).await.unwrap();
    assert_eq!(outcome.verdict, Verdict::Complete);
    assert_eq!(fs::read(world.path("out/one")).unwrap(), b"new");
    assert_eq!(fs::read(world.path("out/sub/two")).unwrap(), b"new too");
    assert_eq!(fs::read(world.path("out/mine")).unwrap(), b"precious");
}

#[tokio::test]
async fn what_its_user_removed_is_fetched_again() {
    let world = World::new();
    let (alice, bob) = (world.node(1), world.node(2));
    for size in [10, 100_000] {
        world.file(&format!("tree/{size}"), &blob(size, 1));
    }
    let file = alice.share([world.file("in", &blob(300_000, 2))]).await.unwrap();
    let tree_share = alice.share([world.path("tree")]).await.unwrap();
    for share in [&file, &tree_share] {
        let out = world.path("out");
        let options = || if share == &file { into(&out) } else { into(world.path("tree out")) };
        let outcome = bob.fetch(share.ticket.clone(), options()).await.unwrap();
        assert_eq!(outcome.verdict, Verdict::Complete);
    }
    fs::remove_file(world.path("out")).unwrap();
    fs::remove_dir_all(world.path("tree out")).unwrap();
    let outcome = bob.fetch(file.ticket.clone(), FetchOptions::default()).await.unwrap();
    assert_eq!((outcome.verdict, outcome.bytes_reused), (Verdict::Complete, 0), "not a false yes");
    let outcome = bob.fetch(file.ticket, into(world.path("again"))).await.unwrap();
    assert_eq!(outcome.verdict, Verdict::Complete);
    let outcome = bob.fetch(tree_share.ticket, into(world.path("tree again"))).await.unwrap();
    assert_eq!(outcome.verdict, Verdict::Complete);
    assert_eq!(tree(&world.path("tree again")), tree(&world.path("tree")));
}

#[tokio::test]
async fn what_cannot_be_shared_is_said_plainly() {
    let world = World::new();
    let alice = world.node(1);
    let error = alice.share([world.path("nothing")]).await.unwrap_err();
    assert!(error.to_string().contains("nothing"), "{error}");
    let error = alice.share(["/dev/null".into()]).await.unwrap_err();
    assert!(error.to_string().contains("/dev/null"), "{error}");
}

#[tokio::test]
async fn a_blob_that_is_too_long_for_a_manifest_is_not_read_as_one() {
    let world = World::new();
    let bob = world.node(1);
    let path = world.path("film.bin");
    // A hole: what counts is that nobody reads all of it into memory.
    fs::File::create(&path).unwrap().set_len((256 << 20) + 1).unwrap();
    let imported = bob.import(&path).await.unwrap();
    let ticket = Ticket::new(imported.id, samara::ticket::Format::Collection);
    let refused = bob.fetch(ticket, into(world.path("out"))).await;
    let Err(FetchError::NotACollection(error)) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains("longer than 268435456 bytes"), "{error}");
}
