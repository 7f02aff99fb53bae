//! Transfers between unchanged meshes in a small deterministic world.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use core::time::Duration;

use samara_base::{RangeSet, leaves};
use samara_mesh::{MeshConfig, io::MeshEvent};
use samara_sched::{Event, Fault, Verdict, Waiting, WantSpec};
use world::{Malice, World, blob, peer};

const MINUTE: Duration = Duration::from_secs(60);

fn waits(world: &mut World, at: u8) -> Vec<Option<Waiting>> {
    let waiting = |event: &MeshEvent| match event {
        MeshEvent::Want(Event::Waiting { reason, .. }) => Some(*reason),
        _ => None,
    };
    world.node(peer(at)).events.iter().filter_map(waiting).collect()
}

#[test]
fn blobs_of_every_shape_arrive_intact() {
    for size in [0, 1, 1023, 1024, 1025, 16_384, 16_385, 65_536, 65_537, 1_000_000, 5_000_001] {
        for hint in [None, Some(size as u64), Some(size as u64 + 1), Some(1), Some(1 << 40)] {
            let mut world = World::default();
            let (getter, source) = (world.add(1), world.add(2));
            let data = blob(size);
            let id = world.hold(source, &data);
            world.reachable(getter, source);
            let mut spec = WantSpec::new(id, [source]);
            spec.size = hint;
            let want = world.want(getter, spec);
            assert_eq!(
                world.verdict(getter, want, MINUTE),
                Some(Verdict::Complete),
                "size {size}, hint {hint:?}"
            );
            assert!(world.received(getter, id) == data, "size {size}, hint {hint:?}");
        }
    }
}

#[test]
fn proofs_are_not_repeated_within_a_transfer() {
    let mut world = World::default();
    let (getter, source) = (world.add(1), world.add(2));
    let data = blob(20 << 20);
    let id = world.hold(source, &data);
    world.connect(getter, source);
    let mut spec = WantSpec::new(id, [source]);
    spec.size = Some(data.len() as u64);
    let want = world.want(getter, spec);
    assert_eq!(world.verdict(getter, want, MINUTE), Some(Verdict::Complete));
    let extra = world.node(getter).arrived - data.len() as u64;
    // 319 pairs of 64 KiB groups are the least; requests in flight repeat a few.
    assert!(extra < 319 * 64 + 20_000, "{extra} bytes beside the data");
}

#[test]
fn a_slow_link_is_filled_and_small_windows_suffice() {
    let mut world = World::with_rate(1_000_000);
    let (getter, source) = (world.add(1), world.add(2));
    let data = blob(4_000_000);
    let id = world.hold(source, &data);
    world.connect(getter, source);
    let want = world.want(getter, WantSpec::new(id, [source]));
    assert_eq!(world.verdict(getter, want, MINUTE), Some(Verdict::Complete));
    assert!(world.received(getter, id) == data);
    let micros = world.now.as_micros();
    assert!(micros < 4_400_000, "4 MB at 1 MB/s took {micros} µs");
}

//= rfcs/0007-transfer.md#xfer-2
//= type=test
//# A getter MUST name a waiting reason for every want that makes no progress.
#[test]
fn a_lost_source_is_named_waited_for_and_resumed_from() {
    let mut world = World::with_rate(1_000_000);
    let (getter, source) = (world.add(1), world.add(2));
    let data = blob(2_000_000);
    let id = world.hold(source, &data);
    let link = world.connect(getter, source);
    let want = world.want(getter, WantSpec::new(id, [source]));
    world.run_for(Duration::from_secs(1));
    let before = world.node(getter).arrived;
    assert!(before > 500_000, "half is there");
    world.cut(link);
    world.run_for(20 * MINUTE);
    assert_eq!(waits(&mut world, 1).last(), Some(&Some(Waiting::NoProvider)));
    assert!(world.node(getter).verdicts.is_empty(), "patience is endless by default");

    world.reachable(getter, source);
    assert_eq!(world.verdict(getter, want, MINUTE), Some(Verdict::Complete));
    assert!(world.received(getter, id) == data);
    assert_eq!(waits(&mut world, 1).last(), Some(&None), "it says that it goes on");
    let again = world.node(getter).arrived - data.len() as u64;
    assert!(again < 200_000, "what was in flight at most: {again}");
}

#[test]
fn patience_and_deadlines_end_a_want() {
    let mut world = World::default();
    let (getter, source) = (world.add(1), world.add(2));
    let id = world.hold(source, &blob(10));
    let mut spec = WantSpec::new(id, [source]);
    spec.patience = Some(Duration::from_secs(5));
    let want = world.want(getter, spec.clone());
    assert_eq!(world.verdict(getter, want, MINUTE), Some(Verdict::NoProvider));
    spec.patience = None;
    spec.deadline = Some(world.now + Duration::from_secs(3));
    let want = world.want(getter, spec);
    assert_eq!(world.verdict(getter, want, MINUTE), Some(Verdict::Expired));
}

//= rfcs/0007-transfer.md#xfer-10
//= type=test
//# A getter MUST NOT store or pass on a byte before it is verified.
//= rfcs/0007-transfer.md#xfer-16
//= type=test
//# A getter SHOULD ask once more, in groups of 16 KiB, for what a source that claims to hold it did not deliver in larger groups.
#[test]
fn damage_at_the_source_costs_its_group_only() {
    let mut world = World::default();
    let (getter, source) = (world.add(1), world.add(2));
    let data = blob(3_000_000);
    let id = world.hold(source, &data);
    world.rot(source, id, 1_500_000);
    world.connect(getter, source);
    let want = world.want(getter, WantSpec::new(id, [source]));
    let Some(Verdict::Partial { missing, blames }) = world.verdict(getter, want, MINUTE) else {
        panic!("{:?}", world.node(getter).verdicts);
    };
    // Asked for in groups of 64 KiB, and what is left of that one in groups of 16 KiB.
    let group = 1_500_000 / 16_384 * 16;
    assert_eq!(missing, RangeSet::from(group..group + 16));
    assert_eq!(blames.len(), 1);
    assert_eq!((blames[0].peer, blames[0].fault), (source, Fault::Damaged));
    assert_eq!(blames[0].ranges, missing);
    let receiving = &world.node(getter).receiving[&id];
    for (leaf, bytes) in &receiving.data {
        let at = *leaf as usize * 1024;
        assert_eq!(&data[at..at + bytes.len()], bytes, "no false byte");
    }
}

#[test]
fn a_second_source_completes_what_the_first_can_not() {
    let mut world = World::default();
    let (getter, damaged, sound) = (world.add(1), world.add(2), world.add(3));
    let data = blob(3_000_000);
    let id = world.hold(damaged, &data);
    world.hold(sound, &data);
    world.rot(damaged, id, 1_500_000);
    world.connect(getter, damaged);
    // The second is known, but cannot be reached yet.
    let want = world.want(getter, WantSpec::new(id, [damaged, sound]));
    assert_eq!(world.verdict(getter, want, MINUTE), None, "it waits for the second source");
    assert_eq!(waits(&mut world, 1).last(), Some(&Some(Waiting::NotHeld)));
    world.reachable(getter, sound);
    assert_eq!(world.verdict(getter, want, MINUTE), Some(Verdict::Complete));
    assert!(world.received(getter, id) == data);
}

//= rfcs/0007-transfer.md#xfer-11
//= type=test
//# A getter MUST NOT ask a source again for leaves of which that source has sent false bytes.
#[test]
fn a_liar_is_muted_and_named() {
    for malice in [Malice::FlipFrom(0), Malice::FlipFrom(500), Malice::FlipProof] {
        let mut world = World::default();
        let (getter, liar) = (world.add(1), world.add(2));
        let data = blob(1_000_000);
        let id = world.hold(liar, &data);
        world.node(liar).malice = malice;
        world.connect(getter, liar);
        let want = world.want(getter, WantSpec::new(id, [liar]));
        let verdict = world.verdict(getter, want, MINUTE);
        let blames = match verdict {
            Some(Verdict::ProviderLied { blames } | Verdict::Partial { blames, .. }) => blames,
            other => panic!("{malice:?}: {other:?}"),
        };
        assert_eq!((blames[0].peer, blames[0].fault), (liar, Fault::Lied), "{malice:?}");
        assert!(world.node(getter).arrived < 2_000_000, "{malice:?}: asked again and again");

        // A sound source mends it.
        let sound = world.add(3);
        world.hold(sound, &data);
        world.connect(getter, sound);
        let mut spec = WantSpec::new(id, [liar, sound]);
        if let Some(receiving) = world.node(getter).receiving.get(&id) {
            spec.held = receiving.verifier.known().clone();
            spec.known = spec.held.clone();
        }
        let want = world.want(getter, spec);
        assert_eq!(world.verdict(getter, want, MINUTE), Some(Verdict::Complete), "{malice:?}");
        assert!(world.received(getter, id) == data, "{malice:?}");
    }
}

//= rfcs/0007-transfer.md#xfer-12
//= type=test
//# A getter MUST send CANCEL for each open request of a want that has ended before its data was sent.
#[test]
fn the_request_whose_proof_was_false_is_cancelled_too() {
    let mut world = World::with_rate(1_000_000);
    // A short queue: what is not yet sent is still with the source.
    let config = MeshConfig { queue_bytes: 1, ..MeshConfig::default() };
    let (getter, liar) = (world.add(1), world.add_with(2, config));
    let data = blob(1_000_000);
    let id = world.hold(liar, &data);
    world.node(liar).malice = Malice::FlipProof;
    world.connect(getter, liar);
    let mut spec = WantSpec::new(id, [liar]);
    spec.size = Some(1_000_000);
    let want = world.want(getter, spec);
    let verdict = world.verdict(getter, want, MINUTE);
    assert!(matches!(verdict, Some(Verdict::ProviderLied { .. })), "{verdict:?}");
    // What is in the queue of the link is on its way; nothing is read for it any more.
    world.run_for(Duration::from_millis(20));
    assert_eq!(world.node(liar).mesh.serving(), 0, "every open request was cancelled");
}

#[test]
fn a_false_size_is_found_out_and_the_true_one_taken() {
    for claim in [1, 999_999, 1_000_001, 64 << 20, 1 << 50] {
        let mut world = World::default();
        let (getter, liar, sound) = (world.add(1), world.add(2), world.add(3));
        let data = blob(1_000_000);
        let id = world.hold(liar, &data);
        world.hold(sound, &data);
        world.node(liar).malice = Malice::Size(claim);
        world.connect(getter, liar);
        world.run_for(Duration::from_secs(1));
        let want = world.want(getter, WantSpec::new(id, [liar, sound]));
        world.run_for(Duration::from_secs(1));
        world.reachable(getter, sound);
        assert_eq!(world.verdict(getter, want, MINUTE), Some(Verdict::Complete), "claim {claim}");
        assert!(world.received(getter, id) == data, "claim {claim}");
    }
}

#[test]
fn a_false_size_beside_a_sound_source_spoils_nothing() {
    for claim in [1, 999_999, 1_000_001, 64 << 20, 1 << 50] {
        for hint in [None, Some(1_000_000), Some(claim), Some(77)] {
            for liar_first in [true, false] {
                let mut world = World::with_rate(3_000_000);
                let (getter, liar, sound) = (world.add(1), world.add(2), world.add(3));
                let data = blob(1_000_000);
                let id = world.hold(liar, &data);
                world.hold(sound, &data);
                world.node(liar).malice = Malice::Size(claim);
                let order = if liar_first { [liar, sound] } else { [sound, liar] };
                for source in order {
                    world.connect(getter, source);
                }
                let mut spec = WantSpec::new(id, order);
                spec.size = hint;
                let want = world.want(getter, spec);
                let verdict = world.verdict(getter, want, MINUTE);
                let case = format!("claim {claim}, hint {hint:?}, liar first {liar_first}");
                assert_eq!(verdict, Some(Verdict::Complete), "{case}");
                assert!(world.received(getter, id) == data, "{case}");
            }
        }
    }
}

#[test]
fn a_range_beyond_a_size_that_is_false_is_not_there_for_the_asking() {
    for claim in [None, Some(0), Some(1), Some(150_000)] {
        for hint in [None, Some(0), Some(1), Some(90_000), Some(200_000)] {
            let mut world = World::default();
            let (getter, liar, sound) = (world.add(1), world.add(2), world.add(3));
            let data = blob(200_000);
            let id = world.hold(liar, &data);
            world.hold(sound, &data);
            if let Some(claim) = claim {
                world.node(liar).malice = Malice::Size(claim);
            }
            world.connect(getter, liar);
            world.run_for(Duration::from_secs(1));
            let mut spec = WantSpec::new(id, [liar, sound]);
            spec.size = hint;
            spec.ranges = Some(RangeSet::from(160..170));
            let want = world.want(getter, spec);
            world.run_for(Duration::from_secs(1));
            world.reachable(getter, sound);
            let case = format!("claim {claim:?}, hint {hint:?}");
            assert_eq!(world.verdict(getter, want, MINUTE), Some(Verdict::Complete), "{case}");
            let data = &world.node(getter).receiving[&id].data;
            assert!((160..170).all(|leaf| data.contains_key(&leaf)), "{case}");
        }
    }
}

#[test]
fn a_range_beyond_the_end_is_complete_once_the_end_is_proven() {
    let mut world = World::default();
    let (getter, source) = (world.add(1), world.add(2));
    let id = world.hold(source, &blob(100_000));
    world.connect(getter, source);
    for hint in [None, Some(100_000), Some(99), Some(1 << 30)] {
        let mut spec = WantSpec::new(id, [source]);
        spec.size = hint;
        spec.ranges = Some(RangeSet::from(500..600));
        let want = world.want(getter, spec);
        let verdict = world.verdict(getter, want, MINUTE);
        assert_eq!(verdict, Some(Verdict::Complete), "hint {hint:?}");
        let receiving = &world.node(getter).receiving[&id];
        assert!(receiving.verifier.size_proven(), "hint {hint:?}");
    }
}

#[test]
fn a_size_above_the_limit_is_refused() {
    let mut world = World::default();
    let (getter, source) = (world.add(1), world.add(2));
    let id = world.hold(source, &blob(100_000));
    world.connect(getter, source);
    let mut spec = WantSpec::new(id, [source]);
    spec.size_max = 99_999;
    let want = world.want(getter, spec.clone());
    let expected = Verdict::TooLarge { size: 100_000, limit: 99_999 };
    assert_eq!(world.verdict(getter, want, MINUTE), Some(expected));
    spec.size_max = 100_000;
    let want = world.want(getter, spec);
    assert_eq!(world.verdict(getter, want, MINUTE), Some(Verdict::Complete));
}

#[test]
fn a_refusal_is_final_unless_somebody_else_has_it() {
    let mut world = World::default();
    let (getter, source) = (world.add(1), world.add(2));
    world.connect(getter, source);
    let id = world.hold(getter, &blob(10));
    let want = world.want(getter, WantSpec::new(id, [source]));
    assert_eq!(world.verdict(getter, want, MINUTE), Some(Verdict::Unavailable));
}

//= rfcs/0007-transfer.md#xfer-9
//= type=test
//# A getter MUST derive the time after which a silent source counts as stalled from the rate and round-trip time measured on it, with a floor.
#[test]
fn a_silent_source_is_left_for_another() {
    let mut world = World::default();
    let (getter, silent, sound) = (world.add(1), world.add(2), world.add(3));
    let data = blob(1_000_000);
    let id = world.hold(silent, &data);
    world.hold(sound, &data);
    world.node(silent).malice = Malice::Silent;
    world.connect(getter, silent);
    world.run_for(Duration::from_secs(1));
    let want = world.want(getter, WantSpec::new(id, [silent, sound]));
    world.run_for(Duration::from_secs(1));
    assert!(!waits(&mut world, 1).contains(&Some(Waiting::Link)), "not yet a stall");
    world.run_for(Duration::from_secs(9));
    assert!(waits(&mut world, 1).contains(&Some(Waiting::Link)), "the stall is named");
    world.reachable(getter, sound);
    let before = world.now;
    assert_eq!(world.verdict(getter, want, MINUTE), Some(Verdict::Complete));
    assert!(world.now.saturating_since(before) < Duration::from_secs(8));
    assert!(world.received(getter, id) == data);
}

#[test]
fn two_sources_share_the_work() {
    let mut world = World::with_rate(1_000_000);
    let (getter, one, two) = (world.add(1), world.add(2), world.add(3));
    let data = blob(4_000_000);
    let id = world.hold(one, &data);
    world.hold(two, &data);
    world.connect(getter, one);
    world.connect(getter, two);
    let want = world.want(getter, WantSpec::new(id, [one, two]));
    assert_eq!(world.verdict(getter, want, MINUTE), Some(Verdict::Complete));
    assert!(world.received(getter, id) == data);
    let micros = world.now.as_micros();
    assert!(micros < 3_000_000, "two links of 1 MB/s took {micros} µs for 4 MB");
    let arrived = world.node(getter).arrived;
    assert!(arrived < 4_100_000, "nothing came twice: {arrived}");
}

#[test]
fn a_partial_holder_serves_what_it_has() {
    let mut world = World::default();
    let (getter, partial, other) = (world.add(1), world.add(2), world.add(3));
    let data = blob(1_000_000);
    let total = leaves(1_000_000);
    let id = world.hold(partial, &data);
    world.hold(other, &data);
    let blob = |world: &mut World, at, held| {
        world.node(at).blobs.get_mut(&id).unwrap().held = held;
    };
    blob(&mut world, partial, RangeSet::from(0..512));
    blob(&mut world, other, RangeSet::from(512..total));
    world.connect(getter, partial);
    world.connect(getter, other);
    let mut spec = WantSpec::new(id, [partial, other]);
    spec.grace = Duration::from_secs(5);
    let want = world.want(getter, spec);
    assert_eq!(world.verdict(getter, want, MINUTE), Some(Verdict::Complete));
    assert!(world.received(getter, id) == data);
}

//= rfcs/0007-transfer.md#xfer-12
//= type=test
//# A getter MUST send CANCEL for each open request of a want that has ended before its data was sent.
//= rfcs/0007-transfer.md#xfer-13
//= type=test
//# A source MUST answer CANCEL of an open want with END and send no DATA of that want afterwards.
#[test]
fn a_cancel_stops_the_bytes() {
    let mut world = World::with_rate(1_000_000);
    let (getter, source) = (world.add(1), world.add(2));
    let id = world.hold(source, &blob(20_000_000));
    world.connect(getter, source);
    let want = world.want(getter, WantSpec::new(id, [source]));
    world.run_for(Duration::from_secs(1));
    let now = world.now;
    world.node(getter).mesh.cancel(now, want);
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.node(getter).verdicts.get(&want), Some(&Verdict::Cancelled));
    assert_eq!(world.node(source).mesh.serving(), 0, "the source has forgotten it");
    let before = world.node(getter).arrived;
    world.run_for(MINUTE);
    assert_eq!(world.node(getter).arrived, before, "nothing more comes");
}

#[test]
fn a_failing_store_ends_the_want_at_once() {
    let mut world = World::default();
    let (getter, source) = (world.add(1), world.add(2));
    let id = world.hold(source, &blob(3_000_000));
    world.connect(getter, source);
    world.node(getter).broken_store = true;
    let want = world.want(getter, WantSpec::new(id, [source]));
    assert_eq!(world.verdict(getter, want, MINUTE), Some(Verdict::Local));
    world.run_for(MINUTE);
    // The window is free again for others.
    world.node(getter).broken_store = false;
    let other = world.hold(source, &blob(3_000_001));
    let want = world.want(getter, WantSpec::new(other, [source]));
    assert_eq!(world.verdict(getter, want, MINUTE), Some(Verdict::Complete));
}

//= rfcs/0007-transfer.md#xfer-1
//= type=test
//# A getter MUST end every want with exactly one verdict.
//= rfcs/0007-transfer.md#xfer-3
//= type=test
//# A source MUST answer every WANT with exactly one END.
#[test]
fn thousands_of_small_blobs_all_arrive() {
    let mut world = World::default();
    let (getter, source) = (world.add(1), world.add(2));
    world.connect(getter, source);
    let mut wants = Vec::new();
    for number in 0..3_000_u32 {
        let mut data = blob(700);
        data[..4].copy_from_slice(&number.to_le_bytes());
        let id = world.hold(source, &data);
        let mut spec = WantSpec::new(id, [source]);
        spec.size = Some(700);
        wants.push((world.want(getter, spec), id, data));
    }
    for (want, id, data) in wants {
        assert_eq!(world.verdict(getter, want, MINUTE), Some(Verdict::Complete));
        assert_eq!(world.received(getter, id), data);
    }
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.node(source).mesh.serving(), 0, "every want was ended");
    assert!(world.node(source).closes.is_empty() && world.node(getter).closes.is_empty());
}

#[test]
fn two_slow_links_deliver_instead_of_being_left_for_each_other() {
    // A group takes longer on its way than a source may be silent before anything is known of it.
    for rate in [4_000, 10_000, 13_000, 20_000] {
        for peers in [1, 2] {
            let mut world = World::with_rate(rate);
            let (getter, sources) = (world.add(1), [world.add(2), world.add(1 + peers)]);
            let data = blob(200_000);
            let id = sources.map(|source| world.hold(source, &data))[0];
            for source in sources {
                world.connect(getter, source);
            }
            let want = world.want(getter, WantSpec::new(id, sources));
            let verdict = world.verdict(getter, want, 2 * MINUTE);
            assert_eq!(verdict, Some(Verdict::Complete), "{rate} bytes/s, {peers} peers");
            let arrived = world.node(getter).arrived;
            assert!(arrived < 4 * 200_000, "{rate} bytes/s, {peers} peers: {arrived} bytes");
        }
    }
}
