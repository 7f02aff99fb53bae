//! How much a source sends, and what a getter lets it send.

use core::time::Duration;

use bytes::Bytes;
use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_mesh::{
    MeshConfig,
    io::{Accepted, Input, Output, ServeError, WriteError},
    link::{Lane, LinkEvent},
};
use samara_sched::WantSpec;
use samara_wire::{Credit, Data, EndCode, Hello, Message, Want};

use crate::{
    script::{LINK, Script, asked, hello, one_group, opens, serve},
    world::peer,
};

//= rfcs/0005-session.md#sess-6
//= type=test
//# A peer MUST NOT send DATA beyond the credit that it was granted.
//= rfcs/0005-session.md#sess-7
//= type=test
//# A peer MUST ignore a CREDIT whose total is not above the credit that it has.
#[test]
fn credit_is_kept_to() {
    let config = MeshConfig { block_bytes_max: 16 << 10, ..MeshConfig::default() };
    let mut script = Script::with(config);
    let block = 16 * 1024;
    script.hear(Hello { credit: 4 * block, ..hello() });
    script.said.clear();
    let ranges = RangeSet::from(0..1024);
    script.hear(Want { ranges, size: Some(64 * block), ..asked(0) });
    let sent = |script: &mut Script| {
        for _ in 0..200 {
            serve(script);
            let bytes = 1 << 30;
            let lane = Lane::Bulk;
            script.input(Input::Link(LinkEvent::Sent { link: LINK, lane, bytes }));
        }
        script.said.iter().filter(|message| matches!(message, Message::Data(_))).count()
    };
    assert_eq!(sent(&mut script), 4);
    script.hear(Credit { total: 4 * block });
    script.hear(Credit { total: 1 });
    assert_eq!(sent(&mut script), 4, "not above what it has");
    script.hear(Credit { total: 6 * block - 1 });
    assert_eq!(sent(&mut script), 5, "one byte short of the sixth");
    script.hear(Credit { total: 64 * block });
    assert_eq!(sent(&mut script), 64);
    assert!(matches!(script.said.last(), Some(Message::End(end)) if end.code == EndCode::Done));
}

//= rfcs/0005-session.md#sess-8
//= type=test
//# A peer MUST close a session on which DATA arrives beyond the credit that it granted.
#[test]
fn data_beyond_the_credit_closes() {
    let config = MeshConfig { credit_bytes: 64 << 10, ..MeshConfig::default() };
    let mut script = Script::with(config);
    script.hear(hello());
    let want = script.want(1 << 20);
    let data =
        |first, bytes| Data { want, first, proof: Bytes::new(), data: vec![0; bytes].into() };
    script.hear(data(0, 64 << 10));
    assert_eq!(script.closed, None, "exactly the credit");
    let write = script.outputs.iter().find_map(|output| match output {
        Output::Write(write) => Some(write.token),
        _ => None,
    });
    script.hear(data(64, 64 << 10));
    assert!(script.protocol_violation());
    // What is stored after that gives no more credit, and does no harm.
    let said = script.said.len();
    script.input(Input::Written { token: write.unwrap(), result: Err(WriteError::NotProven) });
    assert_eq!(script.said.len(), said);
}

//= rfcs/0005-session.md#sess-10
//= type=test
//# A peer SHOULD keep a DATA frame within 25 ms of the link's measured rate.
#[test]
fn blocks_follow_the_rate_of_the_link() {
    let mut script = Script::open();
    let first = |script: &mut Script, number| {
        let ranges = RangeSet::from(0..4096);
        script.outputs.clear();
        script.hear(Want { ranges, size: None, ..asked(number) });
        script.outputs.iter().find_map(|output| match output {
            Output::Open(open) => Some(open.block_bytes),
            _ => None,
        })
    };
    assert_eq!(first(&mut script, 0), Some(65_000), "a cautious start");
    let mut now = script.now;
    for _ in 0..40 {
        now = now + Duration::from_millis(25);
        script.now = now;
        // 800 KB/s: 20 KB in 25 ms.
        let event = LinkEvent::Sent { link: LINK, lane: Lane::Bulk, bytes: 20_000 };
        script.input(Input::Link(event));
    }
    let block = first(&mut script, 1).expect("opened");
    assert!((19_000..25_000).contains(&block), "{block}");
}

#[test]
fn a_refusal_does_not_wait_for_the_credit_of_another_want() {
    let mut script = Script::new();
    script.hear(Hello { credit: 0, ..hello() });
    script.said.clear();
    script.hear(asked(0));
    script.hear(Want { blob: BlobId::from_bytes([8; 32]), ..asked(1) });
    let both = opens(&mut script);
    let [(held, _), (unknown, _)] = both[..] else { panic!("{both:?}") };
    script.input(Input::Opened { token: held, result: one_group(1) });
    script.input(Input::Opened { token: unknown, result: Err(ServeError::Unavailable) });
    let [Message::End(end)] = &script.said[..] else { panic!("{:?}", script.said) };
    assert_eq!((end.want, end.code), (1, EndCode::Unavailable));
    script.hear(Credit { total: 16 * 1024 });
    let sent = script.said.iter().filter(|said| matches!(said, Message::Data(_)));
    assert_eq!(sent.count(), 1, "the other goes on");
    assert!(matches!(script.said.last(), Some(Message::End(end)) if end.want == 0));
}

/// Lets the peer send a whole blob under a want, and stores it.
fn receive(script: &mut Script, group: GroupLog2, bytes: u64) {
    let mut spec = WantSpec::new(BlobId::from_bytes([6; 32]), [peer(2)]);
    (spec.size, spec.group) = (Some(bytes), group);
    script.mesh.want(script.now, spec).unwrap();
    script.drain();
    let Some(Message::Want(Want { want, .. })) = script.said.last().cloned() else {
        panic!("asks at once: {:?}", script.said)
    };
    let data = vec![0; usize::try_from(bytes).unwrap()].into();
    script.hear(Data { want, first: 0, proof: Bytes::new(), data });
    for output in core::mem::take(&mut script.outputs) {
        let Output::Write(write) = output else { continue };
        let good = RangeSet::from(0..samara_base::leaves(bytes));
        let result = Ok(Accepted { good, bad: RangeSet::new(), size_proven: true });
        script.input(Input::Written { token: write.token, result });
    }
}

/// The credit that was granted last.
fn granted(script: &Script) -> Option<u64> {
    script.said.iter().rev().find_map(|message| match message {
        Message::Hello(hello) => Some(hello.credit),
        Message::Credit(credit) => Some(credit.total),
        _ => None,
    })
}

//= rfcs/0005-session.md#sess-13
//= type=test
//# A peer MUST grant again, up to its first credit beyond what it has dealt with, when it has
//# dealt with all DATA that came and what is left of the credit is less than a quarter of its
//# first credit, or than the largest group that it has asked for on the session with the longest
//# proof.
#[test]
fn there_is_credit_for_the_next_group() {
    let window = 80 << 10;
    let large = GroupLog2::KIB64;
    let open = || {
        let mut script = Script::with(MeshConfig { credit_bytes: window, ..MeshConfig::default() });
        script.hear(hello());
        script
    };

    let mut script = open();
    receive(&mut script, large, 18 << 10);
    assert_eq!(granted(&script), Some(window + (18 << 10)), "else a second group does not fit");

    let mut script = open();
    receive(&mut script, GroupLog2::KIB16, 18 << 10);
    assert_eq!(granted(&script), Some(window), "a second small group does");
    let mut spec = WantSpec::new(BlobId::from_bytes([7; 32]), [peer(2)]);
    (spec.size, spec.group) = (Some(1 << 20), large);
    script.mesh.want(script.now, spec).unwrap();
    script.drain();
    assert_eq!(granted(&script), Some(window + (18 << 10)), "a large one does not");

    let mut script = open();
    receive(&mut script, GroupLog2::KIB16, 70 << 10);
    assert_eq!(granted(&script), Some(window + (70 << 10)), "hardly any is left");
}

//= rfcs/0005-session.md#sess-14
//= type=test
//# A source MUST NOT send a DATA of several groups whose data and longest proof are more than a quarter of the first
//# credit.
#[test]
fn a_block_of_several_groups_is_a_quarter_of_the_credit_at_most() {
    let first_block = |credit| {
        let mut script = Script::new();
        script.hear(Hello { credit, ..hello() });
        let group = GroupLog2::new(0).unwrap();
        script.hear(Want { group, ranges: RangeSet::from(0..1024), size: None, ..asked(0) });
        let open = script.outputs.iter().find_map(|output| match output {
            Output::Open(open) => Some(open.clone()),
            _ => None,
        });
        let block = open.unwrap().first_block(1 << 20, &RangeSet::from(0..1024)).unwrap();
        (block.end - block.start) * 1024
    };
    assert_eq!(first_block(96 << 10), 16 << 10);
    assert_eq!(first_block((96 << 10) - 1), 15 << 10);
    assert_eq!(first_block(1 << 10), 1 << 10, "one group is sent however little the credit is");
}

//= rfcs/0005-session.md#sess-15
//= type=test
//# A getter MUST NOT ask in groups that are, with the longest proof, larger than its first credit.
#[test]
fn groups_are_no_larger_than_the_credit_allows() {
    let asked = |credit_bytes| {
        let mut script = Script::with(MeshConfig { credit_bytes, ..MeshConfig::default() });
        script.hear(hello());
        let mut spec = WantSpec::new(BlobId::from_bytes([7; 32]), [peer(2)]);
        (spec.size, spec.group) = (Some(4 << 20), GroupLog2::MAX);
        script.mesh.want(script.now, spec).unwrap();
        script.drain();
        let want = script.said.iter().find_map(|message| match message {
            Message::Want(want) => Some(want.group.bytes()),
            _ => None,
        });
        (granted(&script).unwrap(), want.expect("asks at once"))
    };
    assert_eq!(asked(16 << 20), (16 << 20, 1 << 20));
    assert_eq!(asked(80 << 10), (80 << 10, 64 << 10));
    assert_eq!(asked((72 << 10) - 1), ((72 << 10) - 1, 32 << 10));
    assert_eq!(asked(9 << 10), (9 << 10, 1 << 10), "the least");
    assert_eq!(asked((9 << 10) - 1), (9 << 10, 1 << 10), "less is no use");
}
