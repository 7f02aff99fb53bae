//! What a source answers.

use bytes::Bytes;
use samara_base::{BlobId, PeerId, RangeSet};
use samara_mesh::{
    MeshConfig,
    io::{Block, Input, Opened, Output, ServeError},
};
use samara_wire::{Cancel, End, EndCode, Message, Want};

use crate::{
    script::{Script, asked, hello, one_group, opens},
    world::peer,
};

//= rfcs/0007-transfer.md#xfer-15
//= type=test
//# A source MUST answer a WANT for a blob that it does not hold and a WANT for a blob to which the peer has no right with the same END.
#[test]
fn a_refusal_says_nothing() {
    let mut script = Script::open();
    script.hear(asked(0));
    let Some(Output::Open(open)) = script.outputs.pop() else { panic!("looks it up") };
    script.input(Input::Opened { token: open.token, result: Err(ServeError::Unavailable) });
    let missing = RangeSet::from(0..16);
    let end = End { want: 0, code: EndCode::Unavailable, missing, retry_ms: None };
    assert_eq!(script.said, [Message::from(end)]);
}

//= rfcs/0007-transfer.md#xfer-19
//= type=test
//# A source MUST close a session on which a WANT has the number of a want that is open.
#[test]
fn too_many_wants_are_told_to_come_back() {
    let config = MeshConfig { wants_per_session_max: 3, ..MeshConfig::default() };
    let mut script = Script::with(config);
    script.hear(hello());
    script.said.clear();
    for number in 0..3 {
        script.hear(asked(number));
    }
    assert!(script.said.is_empty());
    script.hear(asked(3));
    let Some(Message::End(end)) = script.said.last() else { panic!("an answer") };
    assert_eq!((end.want, end.code), (3, EndCode::Busy));
    assert!(end.retry_ms.is_some());
    script.hear(asked(0));
    assert!(script.protocol_violation(), "a number in use");
    let _: PeerId = peer(2);
}

#[test]
fn a_peer_that_cancels_what_it_asks_for_makes_no_more_work_than_another() {
    let wide = |want| Want { ranges: RangeSet::from(0..64), size: None, ..asked(want) };
    let mut script = Script::open();
    for number in 0..5_000 {
        script.hear(wide(number));
        script.hear(Cancel { want: number });
    }
    assert_eq!(script.closed, None);
    let token = |output: &Output| match output {
        Output::Open(open) => Some(open.token),
        _ => None,
    };
    let opens: Vec<_> = script.outputs.iter().filter_map(token).collect();
    assert!(!opens.is_empty() && opens.len() < 100, "{} lie at the store", opens.len());
    // And what is answered makes room again.
    script.outputs.clear();
    for token in opens {
        script.input(Input::Opened { token, result: Err(ServeError::Unavailable) });
    }
    script.hear(wide(5_000));
    assert!(script.outputs.iter().filter_map(token).next().is_some());
}

#[test]
fn answers_in_any_order_end_each_want_once_also_if_its_number_is_used_again() {
    let of = |blob: u8, want| Want { blob: BlobId::from_bytes([blob; 32]), ..asked(want) };
    let mut script = Script::open();
    for (blob, want) in [(0xa0, 0), (0xa1, 1), (0xa2, 2)] {
        script.hear(of(blob, want));
    }
    let first = opens(&mut script);
    let [(zero, _), (one, _), (two, _)] = first[..] else { panic!("{first:?}") };
    // The last is answered first, and waits for those before it.
    script.input(Input::Opened { token: two, result: one_group(0xa2) });
    assert!(script.said.is_empty(), "{:?}", script.said);
    // Want 1 is given up, and its number used for another blob, before its answer comes.
    script.hear(Cancel { want: 1 });
    script.hear(of(0xb1, 1));
    let second = opens(&mut script);
    let [(again, blob)] = second[..] else { panic!("{second:?}") };
    assert_eq!(blob, BlobId::from_bytes([0xb1; 32]));
    script.input(Input::Opened { token: again, result: one_group(0xb1) });
    script.input(Input::Opened { token: one, result: one_group(0xa1) });
    script.input(Input::Opened { token: zero, result: one_group(0xa0) });
    assert_eq!(script.closed, None);

    let data = |message: &Message| match message {
        Message::Data(data) => Some((data.want, data.data[0])),
        _ => None,
    };
    let sent: Vec<_> = script.said.iter().filter_map(data).collect();
    assert_eq!(sent, [(0, 0xa0), (2, 0xa2), (1, 0xb1)], "in the order of the requests");
    let end = |message: &Message| match message {
        Message::End(end) => Some((end.want, end.code)),
        _ => None,
    };
    let mut ends: Vec<_> = script.said.iter().filter_map(end).collect();
    assert_eq!(ends.remove(0), (1, EndCode::Cancelled));
    ends.sort_unstable_by_key(|(want, _)| *want);
    assert_eq!(ends, [0, 1, 2].map(|want| (want, EndCode::Done)));
}

#[test]
fn a_damaged_block_takes_back_what_was_issued_behind_it_and_nothing_else() {
    let config = MeshConfig { block_bytes_max: 16 << 10, ..MeshConfig::default() };
    let mut script = Script::with(config);
    script.hear(hello());
    script.said.clear();
    let size = 4 * 16 * 1024;
    script.hear(Want { ranges: RangeSet::from(0..64), size: Some(size), ..asked(0) });
    script.hear(asked(1));
    let both = opens(&mut script);
    let [(zero, _), (one, _)] = both[..] else { panic!("{both:?}") };
    let block = |fill: u8| Block { proof: Bytes::new(), data: vec![fill; 16 * 1024].into() };
    let first = Some((0..16, Ok(block(1))));
    let held = RangeSet::from(0..64);
    script.input(Input::Opened { token: zero, result: Ok(Opened { size, held, first }) });
    script.input(Input::Opened { token: one, result: one_group(9) });
    // The second group is damaged; the others are answered as they are asked for.
    let mut asked_for = Vec::new();
    for _ in 0..10 {
        for output in core::mem::take(&mut script.outputs) {
            let Output::Read(read) = output else { continue };
            asked_for.push(read.range.start);
            let result = match read.range.start {
                16 => Err(ServeError::Damaged(RangeSet::from(16..32))),
                start => Ok(block(u8::try_from(start).unwrap())),
            };
            script.input(Input::Read { token: read.token, result });
        }
    }
    let sent = script.said.iter().filter_map(|message| match message {
        Message::Data(data) if data.want == 0 => Some(data.first),
        _ => None,
    });
    assert_eq!(sent.collect::<Vec<_>>(), [0, 32, 48], "asked for: {asked_for:?}");
    let ends = script.said.iter().filter_map(|message| match message {
        Message::End(end) => Some((end.want, end.code, end.missing.clone())),
        _ => None,
    });
    let mut ends: Vec<_> = ends.collect();
    ends.sort_unstable_by_key(|(want, ..)| *want);
    let damaged = (0, EndCode::Damaged, RangeSet::from(16..32));
    assert_eq!(ends, [damaged, (1, EndCode::Done, RangeSet::new())]);
}

#[test]
fn what_is_not_held_any_more_is_left_out_and_no_group_with_it() {
    for (error, code) in [
        (ServeError::NotHeld(RangeSet::from(16..32)), EndCode::Done),
        (ServeError::Damaged(RangeSet::from(16..32)), EndCode::Damaged),
    ] {
        let mut script = Script::open();
        let size = 4 * 16 * 1024;
        script.hear(Want { ranges: RangeSet::from(0..64), size: Some(size), ..asked(0) });
        let [(token, _)] = opens(&mut script)[..] else { panic!("one look-up") };
        // A block of all four groups, of which the second is gone.
        let (held, first) = (RangeSet::from(0..64), Some((0..64, Err(error))));
        script.input(Input::Opened { token, result: Ok(Opened { size, held, first }) });
        while let Some(Output::Read(read)) = script.outputs.pop() {
            let leaves = read.range.end - read.range.start;
            let data = vec![0; usize::try_from(leaves).unwrap() * 1024].into();
            let result = Ok(Block { proof: Bytes::new(), data });
            script.input(Input::Read { token: read.token, result });
        }
        let sent = script.said.iter().filter_map(|message| match message {
            Message::Data(data) => Some((data.first, data.data.len())),
            _ => None,
        });
        assert_eq!(sent.collect::<Vec<_>>(), [(0, 16 << 10), (32, 32 << 10)]);
        let Some(Message::End(end)) = script.said.last() else { panic!("{:?}", script.said) };
        assert_eq!((end.code, end.missing.clone()), (code, RangeSet::from(16..32)));
    }
}
