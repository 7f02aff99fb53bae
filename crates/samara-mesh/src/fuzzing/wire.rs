//! What goes over the links, looked at frame by frame.

use alloc::collections::BTreeMap;

use samara_base::{GroupLog2, PeerId, RangeSet, leaves};
use samara_wire::{Data, Message, PROOF_MAX, Want};

use crate::link::LinkId;

/// A WANT and what came of it.
#[derive(Debug)]
struct Asked {
    ranges: RangeSet,
    group: GroupLog2,
    known: RangeSet,
    sent: RangeSet,
    ended: bool,
}

/// One end of a session.
#[derive(Debug, Default)]
struct End {
    hello: bool,
    closed: bool,
    /// Credit that its own HELLO has granted.
    window: u64,
    /// Credit that the HELLO which has reached it has granted.
    first: u64,
    /// Bulk bytes that it may send, by the frames that have reached it.
    granted: u64,
    used: u64,
    wants: BTreeMap<u64, Asked>,
}

/// All sessions that there were between two honest nodes: what each of them may say, and when.
#[derive(Debug, Default)]
pub struct Wire {
    ends: BTreeMap<(LinkId, PeerId), End>,
}

impl Wire {
    /// A message of `from` has reached `to`.
    pub fn arrived(&mut self, link: LinkId, to: PeerId, message: &Message) {
        // Only what the other side grants counts on arrival.
        let end = self.ends.entry((link, to)).or_default();
        match message {
            Message::Hello(hello) => {
                end.first = hello.credit;
                end.granted = end.granted.max(hello.credit);
            }
            Message::Credit(credit) => end.granted = end.granted.max(credit.total),
            _ => {}
        }
    }

    /// `from` sends a message to `other`.
    ///
    /// # Panics
    ///
    /// If it may not.
    pub fn sent(&mut self, link: LinkId, from: PeerId, other: PeerId, message: &Message) {
        let end = self.ends.entry((link, from)).or_default();
        assert!(!end.closed, "after CLOSE: {message:?}");
        let hello = matches!(message, Message::Hello(_));
        assert_eq!(end.hello, !hello, "HELLO comes first, and once: {message:?}");
        end.hello = true;
        match message {
            Message::Hello(hello) => end.window = hello.credit,
            Message::Want(want) => end.want(want),
            Message::Cancel(cancel) => assert!(end.wants.contains_key(&cancel.want)),
            Message::Close(_) => end.closed = true,
            Message::Data(data) => {
                end.used += data.bulk_len();
                let (used, granted, first) = (end.used, end.granted, end.first);
                assert!(used <= granted, "{used} bytes under a credit of {granted}");
                self.asked(link, other, data.want).data(data, first);
            }
            Message::Have(have) => {
                let asked = self.asked(link, other, have.want);
                assert!(!asked.ended && asked.sent.is_empty(), "HAVE comes first: {have:?}");
            }
            Message::End(over) => {
                let asked = self.asked(link, other, over.want);
                assert!(!asked.ended, "a second END: {over:?}");
                asked.ended = true;
                let odd = over.missing.difference(&asked.ranges);
                assert!(odd.is_empty(), "{odd} was not asked for");
            }
            _ => {}
        }
    }

    fn asked(&mut self, link: LinkId, getter: PeerId, number: u64) -> &mut Asked {
        let end = self.ends.get_mut(&(link, getter));
        let asked = end.and_then(|end| end.wants.get_mut(&number));
        asked.unwrap_or_else(|| panic!("{number} is no WANT of {getter:?}"))
    }

    /// The session is at rest: every WANT on it has its END.
    ///
    /// # Panics
    ///
    /// If one has none.
    pub fn all_ended(&self, link: LinkId) {
        for ((_, peer), end) in self.ends.iter().filter(|((at, _), _)| *at == link) {
            for (number, asked) in &end.wants {
                assert!(asked.ended, "WANT {number} of {peer:?} has no END: {asked:?}");
            }
        }
    }
}

impl End {
    fn want(&mut self, want: &Want) {
        let group = want.group.bytes() + PROOF_MAX as u64;
        assert!(group <= self.window, "{group} bytes do not fit a credit of {}", self.window);
        for run in want.ranges.runs() {
            let whole = |at: u64| at.is_multiple_of(want.group.leaves());
            assert!(whole(run.start) && whole(run.end), "whole groups: {want:?}");
        }
        assert!(want.known.intersection(&want.ranges).is_empty(), "{want:?}");
        let asked = Asked {
            ranges: want.ranges.clone(),
            group: want.group,
            known: want.known.clone(),
            sent: RangeSet::new(),
            ended: false,
        };
        assert!(self.wants.insert(want.want, asked).is_none(), "a number of its own: {want:?}");
    }
}

impl Asked {
    /// `first`: the credit that the getter granted in HELLO.
    fn data(&mut self, data: &Data, first: u64) {
        let bytes = data.data.len() as u64;
        if bytes > self.group.bytes() {
            let most = bytes + PROOF_MAX as u64;
            assert!(most <= first / 4, "several groups of {bytes} bytes under a credit of {first}");
        }
        let range = data.first..data.first + leaves(data.data.len() as u64);
        assert!(!self.ended, "DATA after END");
        assert!(data.first.is_multiple_of(self.group.leaves()), "whole groups");
        assert!(self.ranges.contains_range(&range), "{range:?} was not asked for: {self:?}");
        assert!(!self.sent.intersects(&range), "{range:?} came already");
        assert!(!self.known.intersects(&range), "{range:?} was known");
        self.sent.insert(range);
    }
}
