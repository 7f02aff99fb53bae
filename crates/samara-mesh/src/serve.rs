//! The serving half of a session: wants of the peer, read ahead in order, sent under credit.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::ops::Range;

use samara_base::{BlobId, Class, GroupLog2, LEAF_BYTES, PeerId, RangeSet, leaves};
use samara_wire::{Data, End, EndCode, Have, Message, RUNS_MAX, Want};

use crate::{
    io::{
        Block, MeshEvent, OpenRequest, Opened, Output, ReadRequest, ServeError, Token, first_block,
    },
    link::{Lane, LinkId},
    requests::{Owner, Requests},
    session::Pipe,
};

/// One want of the peer.
#[derive(Debug)]
struct Serve {
    blob: BlobId,
    group: GroupLog2,
    class: Class,
    wanted: RangeSet,
    known: RangeSet,
    size_hint: Option<u64>,
    /// Size and held leaves, once the store has answered.
    opened: Option<(u64, RangeSet)>,
    /// Being read, or sent.
    issued: RangeSet,
    sent: RangeSet,
    damaged: RangeSet,
    /// Its blocks on their way from the store to the link.
    slots: usize,
}

impl Serve {
    /// What is left to read.
    fn remaining(&self) -> RangeSet {
        let Some((size, held)) = &self.opened else { return RangeSet::new() };
        let wanted = self.wanted.within(&(0..leaves(*size))).intersection(held);
        wanted.difference(&self.issued).difference(&self.damaged)
    }
}

/// A block on its way from the store to the link. Blocks leave in the order in which they were
/// issued, because the proof of each leaves out what the ones before it carry.
#[derive(Debug)]
struct Slot {
    token: Token,
    want: u64,
    range: Range<u64>,
    /// What it was counted as in `Server::ahead`.
    bytes: u64,
    result: Option<Result<Block, ServeError>>,
}

/// The serving half of a session.
#[derive(Debug, Default)]
pub(crate) struct Server {
    wants: BTreeMap<u64, Serve>,
    /// Wants that have something to issue, most urgent first, then in order of arrival.
    ready: BTreeSet<(Class, u64)>,
    slots: VecDeque<Slot>,
    /// Bytes issued and not yet handed to the link.
    ahead: u64,
    /// Requests that the store has not answered and nobody waits for any more, with what they count
    /// as in `ahead`: a peer that cancels what it asks for holds no more of them than another.
    orphans: BTreeMap<Token, u64>,
}

/// What the serving half needs to know of its surroundings.
pub(crate) struct Serving<'a> {
    pub(crate) peer: PeerId,
    pub(crate) pipe: &'a mut Pipe,
    pub(crate) outputs: &'a mut VecDeque<Output>,
    pub(crate) requests: &'a mut Requests,
    pub(crate) block_bytes: u64,
    pub(crate) read_ahead_bytes: u64,
    pub(crate) wants_max: usize,
}

impl Serving<'_> {
    /// Asks the store for something, and says by which token the answer will come.
    fn issue(&mut self, request: impl FnOnce(Token, LinkId) -> Output) -> Token {
        let link = self.pipe.link();
        let token = self.requests.add(Owner::Serve { link });
        self.outputs.push_back(request(token, link));
        token
    }
}

impl Server {
    /// Wants that are open.
    pub(crate) fn len(&self) -> usize {
        self.wants.len()
    }

    /// Takes a WANT. `Err`: the peer reuses a number that is still open.
    pub(crate) fn want(
        &mut self,
        want: Want,
        serving: &mut Serving<'_>,
    ) -> Result<(), &'static str> {
        //= rfcs/0007-transfer.md#xfer-19
        //# A source MUST close a session on which a WANT has the number of a want that is open.
        if self.wants.contains_key(&want.want) {
            return Err("a want number is in use");
        }
        if self.wants.len() >= serving.wants_max {
            end(want.want, EndCode::Busy, want.ranges, Some(100), serving);
            return Ok(());
        }
        let serve = Serve {
            blob: want.blob,
            group: want.group,
            class: want.class,
            wanted: want.ranges,
            known: want.known,
            size_hint: want.size,
            opened: None,
            issued: RangeSet::new(),
            sent: RangeSet::new(),
            damaged: RangeSet::new(),
            slots: 0,
        };
        self.ready.insert((serve.class, want.want));
        self.wants.insert(want.want, serve);
        Ok(())
    }

    /// Takes a CANCEL. The END that answers it is the last frame of the want.
    //= rfcs/0007-transfer.md#xfer-13
    //# A source MUST answer CANCEL of an open want with END and send no DATA of that want afterwards.
    pub(crate) fn cancel(&mut self, number: u64, serving: &mut Serving<'_>) {
        if let Some(serve) = self.drop_want(number) {
            let missing = serve.wanted.difference(&serve.sent);
            end(number, EndCode::Cancelled, missing, None, serving);
        }
    }

    /// The store answered an [`OpenRequest`].
    pub(crate) fn opened(
        &mut self,
        token: Token,
        result: Result<Opened, ServeError>,
        serving: &mut Serving<'_>,
    ) {
        let Some(at) = self.slot(token) else { return self.forget(token) };
        let Some(slot) = self.slots.get_mut(at) else { return };
        let number = slot.want;
        let Some(serve) = self.wants.get_mut(&number) else { return };
        let opened = match result {
            Ok(opened) => opened,
            Err(error) => {
                // Its only slot so far. A refusal carries no bytes of the blob, so it waits neither
                // for the blocks of other wants nor for credit.
                let Some(slot) = self.slots.remove(at) else { return };
                self.ahead -= slot.bytes;
                self.failed(&slot, error, serving);
                return;
            }
        };
        let total = leaves(opened.size);
        let wanted = serve.wanted.within(&(0..total));
        //= rfcs/0007-transfer.md#xfer-4
        //# A source MUST send HAVE before the first DATA of a want whose stated size differs from the blob's or of which it does not hold every wanted leaf.
        if serve.size_hint != Some(opened.size) || !wanted.difference(&opened.held).is_empty() {
            let held = clip(&opened.held.within(&(0..total)));
            let have = Have { want: number, size: opened.size, held };
            serving.pipe.transmit(Lane::Bulk, &Message::Have(have), serving.outputs);
        }
        match opened.first {
            Some((range, block)) => {
                serve.issued.insert(range.clone());
                slot.range = range;
                slot.result = Some(block);
            }
            None => {
                self.ahead -= slot.bytes;
                serve.slots -= 1;
                self.slots.remove(at);
            }
        }
        serve.opened = Some((opened.size, opened.held));
        self.ready.insert((serve.class, number));
    }

    /// The store answered a [`ReadRequest`].
    pub(crate) fn read(&mut self, token: Token, result: Result<Block, ServeError>) {
        match self.slot(token).and_then(|at| self.slots.get_mut(at)) {
            Some(slot) => slot.result = Some(result),
            None => self.forget(token),
        }
    }

    /// Where the block is that an answer is for.
    fn slot(&self, token: Token) -> Option<usize> {
        // Tokens are given in ascending order.
        self.slots.binary_search_by_key(&token, |slot| slot.token).ok()
    }

    /// The store answered what nobody waits for.
    fn forget(&mut self, token: Token) {
        self.ahead -= self.orphans.remove(&token).unwrap_or(0);
    }

    /// Sends what is ready, reads ahead, and ends wants, as far as credit and queues allow.
    pub(crate) fn pump(&mut self, serving: &mut Serving<'_>) {
        loop {
            let sent = self.send_ready(serving);
            let issued = self.read_ahead(serving);
            if !sent && !issued {
                return;
            }
        }
    }

    fn send_ready(&mut self, serving: &mut Serving<'_>) -> bool {
        let mut progress = false;
        while let Some(slot) = self.slots.front_mut() {
            let Some(result) = slot.result.take() else { break };
            if let Ok(block) = &result {
                let bytes = (block.proof.len() + block.data.len()) as u64;
                //= rfcs/0005-session.md#sess-6
                //# A peer MUST NOT send DATA beyond the credit that it was granted.
                if !serving.pipe.may_send_bulk(bytes) {
                    slot.result = Some(result);
                    break;
                }
            }
            let Some(slot) = self.slots.pop_front() else { break };
            self.ahead -= slot.bytes;
            progress = true;
            match result {
                Ok(block) => self.send_block(&slot, block, serving),
                Err(error) => self.failed(&slot, error, serving),
            }
        }
        progress
    }

    fn send_block(&mut self, slot: &Slot, block: Block, serving: &mut Serving<'_>) {
        let Some(serve) = self.wants.get_mut(&slot.want) else { return };
        serve.slots -= 1;
        serve.sent.insert(slot.range.clone());
        let bytes = block.data.len() as u64;
        let blob = serve.blob;
        let message = Message::Data(Data {
            want: slot.want,
            first: slot.range.start,
            proof: block.proof,
            data: block.data,
        });
        serving.pipe.transmit(Lane::Bulk, &message, serving.outputs);
        let event = MeshEvent::Served { peer: serving.peer, blob, bytes };
        serving.outputs.push_back(Output::Event(event));
        self.ready.insert((serve.class, slot.want));
    }

    fn failed(&mut self, slot: &Slot, error: ServeError, serving: &mut Serving<'_>) {
        let Some(serve) = self.wants.get_mut(&slot.want) else { return };
        serve.slots -= 1;
        // Of this block; all of it, if the store named nothing of it, so that it is not read for ever.
        let named = |leaves: &RangeSet| {
            let found = leaves.within(&slot.range);
            if found.is_empty() { slot.range.clone().into() } else { found }
        };
        let code = match error {
            ServeError::Damaged(damaged) if !slot.range.is_empty() => {
                serve.damaged = serve.damaged.union(&named(&damaged));
                self.read_again(slot.want);
                return;
            }
            ServeError::Damaged(_) => EndCode::Damaged,
            ServeError::NotHeld(gone) if !slot.range.is_empty() => {
                if let Some((_, held)) = &mut serve.opened {
                    *held = held.difference(&gone.union(&named(&gone)));
                }
                self.read_again(slot.want);
                return;
            }
            //= rfcs/0007-transfer.md#xfer-15
            //# A source MUST answer a WANT for a blob that it does not hold and a WANT for a blob to which the peer has no right with the same END.
            ServeError::Unavailable | ServeError::NotHeld(_) => EndCode::Unavailable,
            ServeError::Busy => EndCode::Busy,
            ServeError::Internal => EndCode::Internal,
        };
        let missing = serve.wanted.difference(&serve.sent);
        let retry = (code == EndCode::Busy).then_some(100);
        self.drop_want(slot.want);
        end(slot.want, code, missing, retry, serving);
    }

    /// A block was left out: what was issued after it was proven on top of it.
    fn read_again(&mut self, number: u64) {
        let Some(serve) = self.wants.get_mut(&number) else { return };
        serve.issued = serve.sent.clone();
        self.ready.insert((serve.class, number));
        self.drop_slots(number);
    }

    fn read_ahead(&mut self, serving: &mut Serving<'_>) -> bool {
        let mut progress = false;
        while self.ahead < serving.read_ahead_bytes {
            let Some(key) = self.ready.first().copied() else { break };
            let number = key.1;
            let Some(serve) = self.wants.get_mut(&number) else {
                self.ready.remove(&key);
                continue;
            };
            progress = true;
            if serve.opened.is_none() {
                // Nothing more to issue until the store has answered.
                self.ready.remove(&key);
                let bytes = serve.wanted.total().saturating_mul(LEAF_BYTES);
                // A block is at least one group, whatever the peer's frames and credit are.
                let bytes = bytes.min(serving.block_bytes.max(serve.group.bytes()));
                let (peer, block_bytes) = (serving.peer, serving.block_bytes);
                let token = serving.issue(|token, link| {
                    //= rfcs/0007-transfer.md#xfer-17
                    //# A source MUST prove the first DATA of a request relative to its `known` set,
                    //# and each further one relative to that set and all leaves of the DATA before
                    //# it in the same request.
                    Output::Open(OpenRequest {
                        token,
                        link,
                        peer,
                        blob: serve.blob,
                        group: serve.group,
                        ranges: serve.wanted.clone(),
                        base: serve.known.clone(),
                        block_bytes,
                    })
                });
                self.ahead += bytes;
                serve.slots += 1;
                self.slots.push_back(Slot {
                    token,
                    want: number,
                    range: 0..0,
                    bytes,
                    result: None,
                });
                continue;
            }
            let remaining = serve.remaining();
            let total = serve.opened.as_ref().map_or(0, |(size, _)| leaves(*size));
            // The blocks of a want leave in the order in which they are issued, so that what is issued
            // is the base of what follows (XFER-17).
            let block =
                first_block(&remaining, &remaining, total, serve.group, serving.block_bytes);
            if let Some(range) = block {
                let bytes = (range.end - range.start) * LEAF_BYTES;
                let token = serving.issue(|token, link| {
                    Output::Read(ReadRequest {
                        token,
                        link,
                        blob: serve.blob,
                        group: serve.group,
                        range: range.clone(),
                        base: serve.known.union(&serve.issued),
                    })
                });
                serve.issued.insert(range.clone());
                self.ahead += bytes;
                serve.slots += 1;
                self.slots.push_back(Slot { token, want: number, range, bytes, result: None });
                continue;
            }
            self.ready.remove(&key);
            if serve.slots == 0 {
                let wanted = serve.wanted.within(&(0..total));
                let missing = wanted.difference(&serve.sent);
                let damaged = !serve.damaged.is_empty();
                let code = if damaged { EndCode::Damaged } else { EndCode::Done };
                self.wants.remove(&number);
                end(number, code, missing, None, serving);
            }
        }
        progress
    }

    fn drop_slots(&mut self, number: u64) {
        for slot in self.slots.iter().filter(|slot| slot.want == number) {
            // An Open that was answered has a range, and its result with it.
            if slot.result.is_some() {
                self.ahead -= slot.bytes;
            } else {
                self.orphans.insert(slot.token, slot.bytes);
            }
        }
        self.slots.retain(|slot| slot.want != number);
        if let Some(serve) = self.wants.get_mut(&number) {
            serve.slots = 0;
        }
    }

    fn drop_want(&mut self, number: u64) -> Option<Serve> {
        let serve = self.wants.remove(&number)?;
        self.ready.remove(&(serve.class, number));
        if serve.slots > 0 {
            self.drop_slots(number);
        }
        Some(serve)
    }
}

/// At most as many runs as a message carries. What is cut off is unknown to the peer, not missing.
fn clip(ranges: &RangeSet) -> RangeSet {
    if ranges.runs().len() <= RUNS_MAX {
        return ranges.clone();
    }
    ranges.runs().iter().take(RUNS_MAX).cloned().collect()
}

//= rfcs/0007-transfer.md#xfer-3
//# A source MUST answer every WANT with exactly one END.
fn end(
    want: u64,
    code: EndCode,
    missing: RangeSet,
    retry_ms: Option<u64>,
    serving: &mut Serving<'_>,
) {
    let message = Message::End(End { want, code, missing: clip(&missing), retry_ms });
    serving.pipe.transmit(Lane::Bulk, &message, serving.outputs);
}
