//! What the proofs and the groups of a request are cut to.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use core::ops::Range;

use bytes::{Bytes, BytesMut};
use samara_base::{BlobId, Class, GroupLog2, Instant, PeerId, RangeSet};
use samara_mesh::{
    Mesh, MeshConfig,
    io::{Block, Input, OpenRequest, Opened, Output, ReadRequest, first_block},
    link::{Lane, LinkEvent, LinkId, LinkInfo},
};
use samara_wire::{End, EndCode, FRAME_BODY_MAX, FrameDecoder, Hello, Message, Want};

const LINK: LinkId = LinkId(1);

/// A source over a made-up store that has a blob of this size and answers at once.
struct Source {
    mesh: Mesh,
    size: u64,
    held: RangeSet,
    /// Range and base of each block that it asked of the store.
    asked: Vec<(Range<u64>, RangeSet)>,
    said: Vec<Message>,
}

impl Source {
    fn new(size: u64, held: Range<u64>) -> Self {
        let mut mesh = Mesh::new(MeshConfig::default(), 1);
        let info = LinkInfo::reliable(PeerId::from_bytes([2; 32]), "test");
        mesh.handle_input(Instant::default(), Input::Link(LinkEvent::Up { link: LINK, info }));
        let (asked, said) = (Vec::new(), Vec::new());
        let mut source = Self { mesh, size, held: held.into(), asked, said };
        source.hear(Hello {
            version_min: 1,
            version_max: 1,
            agent: String::new(),
            frame_body_max: FRAME_BODY_MAX,
            wants_max: 64,
            // A quarter of it is the longest block: 64 KiB.
            credit: 256 << 10,
            features: 0,
        });
        source
    }

    fn hear(&mut self, message: impl Into<Message>) {
        let frame = message.into().encode(false).unwrap().to_bytes();
        let mut decoder = FrameDecoder::new(FRAME_BODY_MAX, false);
        let frames = vec![decoder.decode(&mut BytesMut::from(&frame[..])).unwrap().unwrap()];
        let event = LinkEvent::Frames { link: LINK, lane: Lane::Control, frames };
        self.input(Input::Link(event));
    }

    fn input(&mut self, input: Input) {
        self.mesh.handle_input(Instant::default(), input);
        while let Some(output) = self.mesh.poll_output() {
            match output {
                Output::Open(open) => self.open(&open),
                Output::Read(read) => self.read(&read),
                Output::Transmit { outgoing, .. } => {
                    let mut decoder = FrameDecoder::new(FRAME_BODY_MAX, false);
                    let mut bytes = BytesMut::from(&outgoing.frame.to_bytes()[..]);
                    let raw = decoder.decode(&mut bytes).unwrap().unwrap();
                    self.said.push(Message::decode(raw.kind, raw.body).unwrap().unwrap());
                }
                _ => {}
            }
        }
    }

    fn block(&mut self, range: &Range<u64>, base: &RangeSet) -> Block {
        self.asked.push((range.clone(), base.clone()));
        let end = (range.end * 1024).min(self.size);
        let data = vec![0; usize::try_from(end - range.start * 1024).unwrap()].into();
        Block { proof: Bytes::new(), data }
    }

    fn open(&mut self, open: &OpenRequest) {
        let first = open.first_block(self.size, &self.held);
        let first = first.map(|range| (range.clone(), Ok(self.block(&range, &open.base))));
        let result = Ok(Opened { size: self.size, held: self.held.clone(), first });
        self.input(Input::Opened { token: open.token, result });
    }

    fn read(&mut self, read: &ReadRequest) {
        let result = Ok(self.block(&read.range, &read.base));
        self.input(Input::Read { token: read.token, result });
    }

    fn end(&self) -> &End {
        let end = self.said.iter().find_map(|message| match message {
            Message::End(end) => Some(end),
            _ => None,
        });
        end.expect("every WANT has an END")
    }
}

fn want(ranges: Range<u64>, known: RangeSet) -> Want {
    Want {
        want: 0,
        blob: BlobId::from_bytes([9; 32]),
        group: GroupLog2::KIB16,
        class: Class::Bulk,
        ranges: ranges.into(),
        known,
        size: None,
    }
}

//= rfcs/0007-transfer.md#xfer-17
//= type=test
//# A source MUST prove the first DATA of a request relative to its `known` set, and each further one
//# relative to that set and all leaves of the DATA before it in the same request.
#[test]
fn each_proof_is_relative_to_what_is_known_and_to_the_blocks_before_it() {
    // The source does not hold what is known, and the blob has no leaf 5,000.
    let known = RangeSet::from_iter([0..64, 5000..5001]);
    let mut source = Source::new(256 << 10, 64..256);
    source.hear(want(64..256, known.clone()));
    let (first, later) = source.asked.split_first().expect("it reads");
    assert_eq!((first.0.start, &first.1), (64, &known));
    assert!(later.len() >= 2, "several blocks: {later:?}");
    let mut base = known.union(&first.0.clone().into());
    for (range, found) in later {
        assert_eq!(*found, base);
        base.insert(range.clone());
    }
    assert_eq!(source.end().code, EndCode::Done);
}

//= rfcs/0007-transfer.md#xfer-18
//= type=test
//# A source MUST NOT send a group of which a leaf inside the blob was not asked for.
#[test]
fn a_group_that_was_asked_for_in_part_is_not_sent() {
    for (ranges, sent, missing) in [
        (0..15, None, Some(0..15)),
        (1..32, Some(16..32), Some(1..16)),
        (8..40, Some(16..32), Some(8..16)),
        (80..89, None, Some(80..89)),
        (80..90, Some(80..90), None),
        (80..96, Some(80..90), None),
        (80..1 << 54, Some(80..90), None),
    ] {
        let held = RangeSet::from(0..90);
        let wanted = RangeSet::from(ranges.clone());
        let block = first_block(&wanted, &held, 90, GroupLog2::KIB16, 1 << 20);
        assert_eq!(block, sent, "{ranges:?}");

        let mut source = Source::new(90 << 10, 0..90);
        source.hear(want(ranges.clone(), RangeSet::new()));
        let read: Vec<_> = source.asked.iter().map(|(range, _)| range.clone()).collect();
        assert_eq!(read, sent.into_iter().collect::<Vec<_>>(), "{ranges:?}");
        if let Some(missing) = missing {
            assert!(source.end().missing.contains_range(&missing), "{ranges:?}");
        }
    }
}
