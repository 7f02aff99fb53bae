//! Properties that the fuzz targets check, for any input. Not a stable API.

mod disk;
mod pair;
mod wire;

use alloc::vec::Vec;
use core::time::Duration;

use bytes::{Bytes, BytesMut};
use samara_base::{BlobId, Instant, PeerId, RangeSet};
use samara_sched::WantSpec;
use samara_wire::{Encoded, FrameDecoder, Message, RawFrame};

use crate::{
    Mesh, MeshConfig,
    io::{Accepted, Block, Input, Opened, Output, ServeError, WriteError},
    link::{DownReason, Lane, LinkEvent, LinkId, LinkInfo},
};

pub use self::{pair::pair, wire::Wire};

const LINK: LinkId = LinkId(1);

/// More outputs than one frame can lead to: a frame may let a hundred wants of sixteen groups go on.
const OUTPUTS_MAX: usize = 100_000;

/// Lets a hostile peer say anything: the input is cut into frames, and bytes that are no frame
/// decide how the store answers and how time passes. The mesh never panics, answers with frames
/// that decode, sends nothing after CLOSE, keeps its outputs in proportion and
/// remembers no request that was answered.
///
/// # Panics
///
/// If a property does not hold.
pub fn session(data: &[u8]) {
    let mut now = Instant::from_micros(1);
    let mut config = MeshConfig::default();
    if data.len().is_multiple_of(2) {
        // The least: a few frames use it up.
        config.credit_bytes = 0;
    }
    let mut mesh = Mesh::new(config, 1);
    let peer = PeerId::from_bytes([2; 32]);
    let up = LinkEvent::Up { link: LINK, info: LinkInfo::reliable(peer, "fuzz") };
    mesh.handle_input(now, Input::Link(up));
    let mut spec = WantSpec::new(BlobId::from_bytes([7; 32]), [peer]);
    spec.size_max = 1 << 30;
    assert!(mesh.want(now, spec).is_ok(), "one want is not too many");
    let (mut closed, mut late) = (false, Vec::new());
    let mut decoder = FrameDecoder::new(samara_wire::FRAME_BODY_MAX, false);
    let mut buffer = BytesMut::from(data);
    let mut dice = data.iter().copied().cycle();
    let mut roll = move || dice.next().unwrap_or(0);
    while let Ok(Some(frame)) = decoder.decode(&mut buffer) {
        now = now + Duration::from_millis(u64::from(roll()));
        let lane = if roll() % 2 == 0 { Lane::Control } else { Lane::Bulk };
        let frames = Vec::from([frame]);
        mesh.handle_input(now, Input::Link(LinkEvent::Frames { link: LINK, lane, frames }));
        for input in late.drain(..) {
            mesh.handle_input(now, input);
        }
        mesh.handle_input(now, Input::Timeout);
        answer(&mut mesh, now, &mut roll, &mut closed, &mut late);
    }
    for input in late.drain(..) {
        mesh.handle_input(now, input);
    }
    let reason = DownReason::Local;
    mesh.handle_input(now, Input::Link(LinkEvent::Down { link: LINK, reason }));
    answer(&mut mesh, now, &mut roll, &mut closed, &mut late);
    for input in late {
        mesh.handle_input(now, input);
    }
    assert_eq!(mesh.requests(), 0, "each request was answered, so none is remembered");
    assert_eq!(mesh.sessions().count(), 0, "nothing of the session is left");
}

/// Carries out what the mesh wants, as the dice say. Some of what is written is written `late`.
fn answer(
    mesh: &mut Mesh,
    now: Instant,
    roll: &mut impl FnMut() -> u8,
    closed: &mut bool,
    late: &mut Vec<Input>,
) {
    for _ in 0..OUTPUTS_MAX {
        let Some(output) = mesh.poll_output() else {
            let open = mesh.requests() - late.len();
            assert_eq!(open, 0, "each request was answered, so none is remembered");
            return;
        };
        match output {
            Output::Transmit { link, outgoing } => {
                assert!(!*closed, "nothing is sent after CLOSE");
                let _ = own(&outgoing.frame);
                let (lane, bytes) = (outgoing.lane, outgoing.frame.len() as u64);
                mesh.handle_input(now, Input::Link(LinkEvent::Sent { link, lane, bytes }));
            }
            Output::Close { .. } => *closed = true,
            Output::Open(open) => {
                let size = u64::from(roll()) << 10;
                let held = RangeSet::from(0..u64::from(roll()));
                let held = held.within(&(0..samara_base::leaves(size)));
                let first = open.first_block(size, &held).map(|range| (range.clone(), block(roll)));
                let result = match roll() % 4 {
                    0 => Err(ServeError::Unavailable),
                    _ => Ok(Opened { size, held, first }),
                };
                mesh.handle_input(now, Input::Opened { token: open.token, result });
            }
            Output::Read(read) => {
                let result = block(roll);
                mesh.handle_input(now, Input::Read { token: read.token, result });
            }
            Output::Write(write) => {
                let leaves = samara_base::leaves(write.data.len() as u64);
                let all = RangeSet::from(write.first_leaf..write.first_leaf + leaves);
                let none = RangeSet::new();
                let result = match roll() % 4 {
                    0 => Err(WriteError::NotProven),
                    1 => Ok(Accepted { good: none, bad: all, size_proven: false }),
                    _ => {
                        Ok(Accepted { good: all, bad: none, size_proven: roll().is_multiple_of(2) })
                    }
                };
                let input = Input::Written { token: write.token, result };
                if roll().is_multiple_of(4) {
                    late.push(input);
                } else {
                    mesh.handle_input(now, input);
                }
            }
            Output::Dial { peer } => mesh.handle_input(now, Input::DialFailed { peer }),
            Output::Present { .. } | Output::Event(_) => {}
        }
    }
    assert!(mesh.poll_output().is_none(), "the outputs of one frame end");
}

/// Own frames decode, and what they say too.
fn own(frame: &Encoded) -> (RawFrame, Message) {
    let mut decoder = FrameDecoder::new(samara_wire::FRAME_BODY_MAX, false);
    let mut buffer = BytesMut::from(&frame.to_bytes()[..]);
    let raw = decoder.decode(&mut buffer).ok().flatten().filter(|_| buffer.is_empty());
    let message = |raw: RawFrame| {
        let message = Message::decode(raw.kind, raw.body.clone()).ok().flatten();
        message.map(|message| (raw, message))
    };
    raw.and_then(message).unwrap_or_else(|| panic!("own frames decode: {frame:?}"))
}

fn block(roll: &mut impl FnMut() -> u8) -> Result<Block, ServeError> {
    match roll() % 8 {
        0 => Err(ServeError::Damaged(RangeSet::from(0..u64::from(roll())))),
        1 => Err(ServeError::Internal),
        2 => Err(ServeError::Busy),
        3 => Err(ServeError::NotHeld(RangeSet::from(0..u64::from(roll())))),
        _ => Ok(Block { proof: Bytes::new(), data: Bytes::from_static(&[0; 16 * 1024]) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use samara_wire::{Credit, Data, End, EndCode, Have, Hello, Ping, Present, Want};

    fn bytes(messages: &[Message]) -> Vec<u8> {
        let frame = |message: &Message| message.encode(false).unwrap().to_bytes();
        messages.iter().flat_map(frame).collect()
    }

    #[test]
    fn conversations_keep_the_properties() {
        let hello = Hello {
            version_min: 1,
            version_max: 1,
            agent: "fuzz".into(),
            frame_body_max: samara_wire::FRAME_BODY_MAX,
            wants_max: 8,
            credit: 1 << 16,
            features: 0,
        };
        let want = |want| Want {
            want,
            blob: BlobId::from_bytes([9; 32]),
            group: samara_base::GroupLog2::KIB16,
            class: samara_base::Class::Bulk,
            ranges: RangeSet::from(0..64),
            known: RangeSet::new(),
            size: None,
        };
        let held = RangeSet::from(0..200);
        let missing = RangeSet::new();
        let data = Bytes::from(alloc::vec![0; 64 << 10]);
        let all = [
            hello.into(),
            Present { right: Bytes::from_static(b"right") }.into(),
            Have { want: 0, size: 200 << 10, held }.into(),
            Data { want: 0, first: 0, proof: Bytes::new(), data: data.clone() }.into(),
            Data { want: 0, first: 64, proof: Bytes::new(), data }.into(),
            want(0).into(),
            want(1).into(),
            Credit { total: 1 << 30 }.into(),
            Ping { token: 5 }.into(),
            End { want: 0, code: EndCode::Done, missing, retry_ms: None }.into(),
            samara_wire::Cancel { want: 1 }.into(),
        ];
        for end in 0..=all.len() {
            let script = bytes(&all[..end]);
            session(&script);
            for flip in 0..script.len().min(400) {
                let mut flipped = script.clone();
                flipped[flip] ^= 1 << (flip % 8);
                session(&flipped);
            }
        }
    }
}
