//! What a getter asks for, and what it takes.

use core::time::Duration;

use bytes::Bytes;
use samara_base::{BlobId, RangeSet};
use samara_mesh::io::{Block, Input, MeshEvent, Opened, Output};
use samara_sched::WantSpec;
use samara_wire::{Data, End, EndCode, Have, Message, Want};

use crate::{
    script::{Script, asked, example},
    world::{self, peer},
};

#[test]
fn a_want_looks_as_in_the_rfc() {
    let mut script = Script::open();
    script.bytes.clear();
    let mut spec = WantSpec::new(BlobId::from_bytes([7; 32]), [peer(2)]);
    spec.size = Some(100_000);
    spec.held = RangeSet::from(0..64);
    spec.known = RangeSet::from(0..64);
    script.mesh.want(script.now, spec).unwrap();
    script.drain();
    assert_eq!(script.bytes, example(include_str!("../../../../rfcs/0007-transfer.md"), "want"));
}

//= rfcs/0007-transfer.md#xfer-4
//= type=test
//# A source MUST send HAVE before the first DATA of a want whose stated size differs from the blob's or of which it does not hold every wanted leaf.
#[test]
fn have_tells_what_the_getter_does_not_know() {
    let size = 20 * 1024_u64;
    let all = RangeSet::from(0..20);
    for (hint, held, expected) in [
        (Some(size), all.clone(), false),
        (None, all.clone(), true),
        (Some(size + 1), all.clone(), true),
        (Some(size), RangeSet::from(0..16), true),
    ] {
        let mut script = Script::open();
        script.hear(Want { ranges: RangeSet::from(0..32), size: hint, ..asked(0) });
        let Some(Output::Open(open)) = script.outputs.pop() else { panic!("looks it up") };
        let range = open.first_block(size, &held).unwrap();
        let block = Block { proof: Bytes::new(), data: vec![0; 16 * 1024].into() };
        let first = Some((range, Ok(block)));
        let result = Ok(Opened { size, held: held.clone(), first });
        script.input(Input::Opened { token: open.token, result });
        let have = Message::from(Have { want: 0, size, held });
        assert_eq!(script.said.first() == Some(&have), expected, "{hint:?}");
        assert!(script.said.iter().any(|message| matches!(message, Message::Data(_))));
    }
}

//= rfcs/0007-transfer.md#xfer-5
//= type=test
//# A getter MUST close a session on which DATA arrives that no open WANT of it asked for.
#[test]
fn data_that_was_not_asked_for_closes() {
    let data = |want, first, bytes: usize| Data {
        want,
        first,
        proof: Bytes::new(),
        data: vec![0; bytes].into(),
    };
    let size = 100_000_u64;
    for (name, bad) in [
        ("a number never used", data(5, 0, 1024)),
        ("beyond the end", data(0, 128, 1024)),
        ("not whole groups", data(0, 0, 1024)),
        ("off the grid", data(0, 3, 1024)),
        ("longer than the blob", data(0, 64, 40 * 1024)),
    ] {
        let mut script = Script::open();
        script.want(size);
        script.hear(bad);
        assert!(script.protocol_violation(), "{name}");
    }
    let mut script = Script::open();
    let want = script.want(size);
    script.hear(data(want, 0, 65_536));
    assert_eq!(script.closed, None);
    script.hear(data(want, 0, 65_536));
    assert!(script.protocol_violation(), "twice");
    // After END it may still have been under way.
    let mut script = Script::open();
    let want = script.want(size);
    let missing = RangeSet::from(0..98);
    script.hear(End { want, code: EndCode::Unavailable, missing, retry_ms: None });
    script.hear(data(want, 0, 65_536));
    assert_eq!(script.closed, None);
}

//= rfcs/0007-transfer.md#xfer-20
//= type=test
//# A getter MUST close a session on which HAVE or END arrives for a number that no WANT of it had.
#[test]
fn answers_to_a_want_that_was_never_made_close() {
    let have = |want| Message::from(Have { want, size: 100_000, held: RangeSet::from(0..98) });
    let end = |want| {
        let missing = RangeSet::from(0..98);
        Message::from(End { want, code: EndCode::Unavailable, missing, retry_ms: None })
    };
    for answer in [have, end] {
        let mut script = Script::open();
        let want = script.want(100_000);
        script.hear(answer(want));
        script.hear(end(want));
        // Over, but it was made: its END may have crossed a CANCEL.
        script.hear(answer(want));
        assert_eq!(script.closed, None);
        script.hear(answer(want + 1));
        assert!(script.protocol_violation());
    }
}

//= rfcs/0007-transfer.md#xfer-6
//= type=test
//# A getter MUST ask for whole groups only.
//= rfcs/0007-transfer.md#xfer-8
//= type=test
//# A getter MUST bound the bytes that it has requested from a source and not yet accepted by a window derived from the rate measured on that source.
#[test]
fn requests_are_whole_groups_within_the_window() {
    for held in [RangeSet::new(), RangeSet::from(0..16), RangeSet::from_iter([3..5, 100..133])] {
        let mut script = Script::open();
        let mut spec = WantSpec::new(BlobId::from_bytes([7; 32]), [peer(2)]);
        spec.size = Some(64 << 20);
        spec.held = held.clone();
        script.mesh.want(script.now, spec).unwrap();
        script.drain();
        let mut total = 0;
        for message in &script.said {
            let Message::Want(want) = message else { continue };
            for run in want.ranges.runs() {
                assert_eq!(run.start % want.group.leaves(), 0, "{want:?}");
                assert_eq!(run.end % want.group.leaves(), 0, "{want:?}");
                assert!(!held.intersects(run), "asks for what it holds: {want:?}");
            }
            total += want.ranges.total() * 1024;
        }
        assert!(total >= 256 << 10, "the window is used: {total}");
        assert!(total <= (512 << 10) + (64 << 10), "the first window holds: {total}");
    }
}

//= rfcs/0007-transfer.md#xfer-14
//= type=test
//# A getter MUST NOT send a WANT to a peer that has sent false bytes or proofs three times.
#[test]
fn three_lies_end_the_conversation() {
    let mut world = world::World::default();
    let (getter, liar) = (world.add(1), world.add(2));
    world.node(liar).malice = world::Malice::FlipFrom(0);
    world.connect(getter, liar);
    let mut wanted = Vec::new();
    for number in 0..5 {
        let id = world.hold(liar, &world::blob(2000 + number));
        let want = world.want(getter, WantSpec::new(id, [liar]));
        wanted.push(world.verdict(getter, want, Duration::from_secs(60)));
    }
    assert!(wanted.iter().all(Option::is_some), "{wanted:?}");
    let served = |event: &&MeshEvent| matches!(event, MeshEvent::Served { .. });
    assert_eq!(world.node(liar).events.iter().filter(served).count(), 3, "then no more");
}
