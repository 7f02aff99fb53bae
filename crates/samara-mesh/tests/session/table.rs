//! The state table of RFC 0005, row by row.

use core::time::Duration;

use bytes::Bytes;
use samara_base::RangeSet;
use samara_mesh::{
    SessionState,
    io::{CloseReason, Input, MeshEvent, Output},
    link::{DownReason, LinkEvent},
};
use samara_wire::{
    Cancel, Close, CloseCode, Credit, Data, End, EndCode, Have, Hello, Message, Ping, Pong,
    Present, RawFrame,
};

use crate::{
    script::{LINK, Script, asked, example, hello, serve},
    world::peer,
};

//= rfcs/0005-session.md#sess-1
//= type=test
//# A peer MUST send HELLO as the first frame of a session.
#[test]
fn hello_comes_first_and_looks_as_in_the_rfc() {
    let mut script = Script::new();
    assert!(matches!(script.said[..], [Message::Hello(_)]), "without waiting for the peer's");
    let right = Bytes::from_static(&[1, 2, 3, 4]);
    script.mesh.present(script.now, peer(2), right);
    script.hear(hello());
    assert_eq!(script.bytes, example(include_str!("../../../../rfcs/0005-session.md"), "opening"));
}

//= rfcs/0005-session.md#sess-2
//= type=test
//# A peer MUST close a session on which HELLO arrives a second time.
#[test]
fn a_second_hello_closes() {
    let mut script = Script::open();
    script.hear(hello());
    assert!(script.protocol_violation());
}

//= rfcs/0005-session.md#sess-3
//= type=test
//# A peer MUST close a session with code 1 when no version lies in the ranges of both.
#[test]
fn versions_are_negotiated() {
    for (min, max, common) in [(1, 1, true), (1, 9, true), (2, 9, false)] {
        let mut script = Script::new();
        script.hear(Hello { version_min: min, version_max: max, ..hello() });
        assert_eq!(script.state() == Some(SessionState::Open), common, "{min}..{max}");
        if !common {
            assert_eq!(script.closed, Some(CloseReason::Version));
            let Some(Message::Close(close)) = script.said.last() else { panic!("says why") };
            assert_eq!(close.code, CloseCode::from_code(1));
        }
    }
}

//= rfcs/0003-encoding.md#enc-35
//= type=test
//# A sender MUST set no bit of `features` but those that a version which it speaks assigns.
//= rfcs/0003-encoding.md#enc-36
//= type=test
//# A receiver MUST ignore the bits of `features` that it does not know.
#[test]
fn features_of_later_versions_change_nothing() {
    let mut plain = Script::new();
    let [Message::Hello(said)] = &plain.said[..] else { panic!("HELLO comes first") };
    assert_eq!(said.features, 0);
    plain.hear(hello());
    for features in [1, 1 << 61, (1 << 62) - 1] {
        let mut script = Script::new();
        script.hear(Hello { features, ..hello() });
        assert_eq!(script.state(), Some(SessionState::Open));
        assert_eq!(script.said, plain.said, "{features:#x}");
    }
}

//= rfcs/0005-session.md#sess-4
//= type=test
//# A peer MUST close a session with code 2 on the first frame that it can not decode or that the state table does not allow.
#[test]
fn what_the_table_does_not_allow_closes() {
    let messages: [Message; 9] = [
        Credit { total: 1 }.into(),
        Ping { token: 1 }.into(),
        Pong { token: 1 }.into(),
        Present { right: Bytes::from_static(b"r") }.into(),
        asked(0).into(),
        Cancel { want: 0 }.into(),
        Have { want: 0, size: 1, held: RangeSet::new() }.into(),
        Data { want: 0, first: 0, proof: Bytes::new(), data: Bytes::from_static(b"d") }.into(),
        End { want: 0, code: EndCode::Done, missing: RangeSet::new(), retry_ms: None }.into(),
    ];
    for message in messages {
        let mut script = Script::new();
        script.hear(message.clone());
        assert!(script.protocol_violation(), "before HELLO: {message:?}");
    }
    // Unknown even kind, and a body that is no message of its kind.
    for raw in [(0x7e, &b""[..]), (0x02, b""), (0x04, b"\x01\x02"), (0x10, b"\x00")] {
        let mut script = Script::open();
        script.hear_raw(RawFrame { kind: raw.0, body: Bytes::from_static(raw.1) });
        assert!(script.protocol_violation(), "{raw:?}");
    }
    // An unknown odd kind is skipped, but it is no HELLO.
    for (mut script, skipped) in [(Script::open(), true), (Script::new(), false)] {
        script.hear_raw(RawFrame { kind: 0x7f, body: Bytes::from_static(b"later") });
        assert_eq!(script.state() == Some(SessionState::Open), skipped);
        assert_eq!(script.protocol_violation(), !skipped);
    }
}

//= rfcs/0005-session.md#sess-5
//= type=test
//# A peer MUST close a session on which no HELLO has come in time.
#[test]
fn a_peer_that_says_nothing_is_let_go() {
    let mut script = Script::new();
    script.wait(Duration::from_millis(9_900));
    assert_eq!(script.closed, None);
    script.wait(Duration::from_millis(200));
    assert_eq!(script.closed, Some(CloseReason::TimedOut));
}

//= rfcs/0005-session.md#sess-9
//= type=test
//# A peer MUST close a session on which more rights are presented than its limit.
#[test]
fn rights_are_counted() {
    let mut script = Script::open();
    for number in 0..64_u8 {
        script.hear(Present { right: vec![number].into() });
    }
    assert_eq!(script.closed, None);
    script.hear(Present { right: Bytes::from_static(b"more") });
    assert!(script.protocol_violation());
}

//= rfcs/0005-session.md#sess-11
//= type=test
//# A peer MUST answer PING with a PONG of the same token.
#[test]
fn a_ping_is_answered() {
    let mut script = Script::open();
    script.hear(Ping { token: 12_345 });
    assert_eq!(script.said, [Message::from(Pong { token: 12_345 })]);
    // An answer to a question that nobody asked changes nothing.
    script.hear(Pong { token: 99 });
    assert_eq!(script.state(), Some(SessionState::Open));
}

//= rfcs/0005-session.md#sess-12
//= type=test
//# A peer MUST NOT send a frame after CLOSE.
#[test]
fn nothing_follows_a_close() {
    for ours in [true, false] {
        let mut script = Script::open();
        script.hear(asked(0));
        if ours {
            script.mesh.shutdown(script.now);
            script.drain();
            assert!(matches!(script.said.last(), Some(Message::Close(_))));
        } else {
            script.hear(Close::new(CloseCode::from_code(0), "bye"));
        }
        let count = script.said.len();
        serve(&mut script);
        script.hear(Ping { token: 1 });
        script.hear(asked(1));
        script.wait(Duration::from_secs(60));
        assert_eq!(script.said.len(), count, "ours: {ours}");
        let reason = DownReason::Local;
        script.input(Input::Link(LinkEvent::Down { link: LINK, reason }));
        assert_eq!(script.state(), None);
    }
}

#[test]
fn what_is_in_force_can_be_asked_while_the_session_is_open() {
    let mut script = Script::new();
    assert_eq!(script.mesh.terms(LINK), None, "before HELLO");
    script.hear(Hello { version_max: 9, features: 7, ..hello() });
    let terms = |script: &Script| {
        script.mesh.terms(LINK).map(|terms| (terms.version, terms.features, terms.credit))
    };
    assert_eq!(terms(&script), Some((1, 0, 1 << 20)));
    script.hear(Credit { total: 1 << 21 });
    script.hear(Credit { total: 1 << 19 });
    assert_eq!(terms(&script), Some((1, 0, 1 << 21)));
    script.hear(Close::new(CloseCode::Shutdown, ""));
    assert_eq!(terms(&script), None, "after CLOSE");
}

//= rfcs/0003-encoding.md#enc-27
//= type=test
//# A receiver MUST act on a CLOSE or END code that it does not know as on the code for internal.
#[test]
fn the_peers_reason_to_close_is_told() {
    for (code, told) in [(0, CloseCode::Done), (4, CloseCode::Shutdown), (77, CloseCode::Internal)]
    {
        let mut script = Script::open();
        script.hear(Close::new(CloseCode::from_code(code), "bye"));
        let closed = script.outputs.iter().filter_map(|output| match output {
            Output::Event(MeshEvent::ClosedByPeer { link, peer, code }) => {
                Some((*link, *peer, *code))
            }
            _ => None,
        });
        assert_eq!(closed.collect::<Vec<_>>(), [(LINK, peer(2), told)]);
    }
}
