//! The source's half of a transfer: RFC 0007, "State of a request".

use crate::{
    frame::{ALL, Code, Frame, Groups, Side, Truth, first},
    rows::Table,
    setup::{Kind, Mutation},
    state::{Broken, Phase, Serve, Slot, code_number},
    step::{ENDS, Heard, Step},
};

const ASKED: &str = "Asked";
const SERVING: &str = "Serving";
const NONE: &str = "–";

/// What the store says of a group.
enum Read {
    Good(Truth),
    Damaged,
    Failed(Code),
}

impl Step<'_> {
    fn serve(&mut self, number: u8) -> Option<&mut Serve> {
        self.state.source.serves.iter_mut().find(|serve| serve.number == number)
    }

    fn standing(&mut self, number: u8) -> &'static str {
        match self.serve(number) {
            None => NONE,
            Some(serve) if serve.held.is_none() => ASKED,
            Some(_) => SERVING,
        }
    }

    /// A session ends: nothing more is sent for its requests.
    pub(crate) fn forget_requests(&mut self) {
        for serve in core::mem::take(&mut self.state.source.serves) {
            let from = if serve.held.is_none() { ASKED } else { SERVING };
            self.note(Table::Request, from, "the session ends", NONE);
        }
        self.state.source.slot = None;
    }

    pub(crate) fn hear_want(&mut self, number: u8, groups: Groups) -> Heard {
        if self.serve(number).is_some() {
            return Heard::Refused("WANT with a number that is in use", 2);
        }
        self.state.source.ended &= !(1 << number);
        if self.state.source.serves.len() >= WANTS_MAX {
            self.end(number, Code::Busy, groups);
            self.note(Table::Request, NONE, "WANT above `wants_max`", NONE);
            return self.transfer();
        }
        self.state.source.serves.push(Serve {
            number,
            wanted: groups,
            held: None,
            issued: 0,
            sent: 0,
            damaged: 0,
        });
        self.request.push("look the blob up");
        self.note(Table::Request, NONE, "WANT", ASKED);
        self.pump();
        self.transfer()
    }

    pub(crate) fn hear_cancel(&mut self, number: u8) -> Heard {
        let from = self.standing(number);
        if let Some(serve) = self.serve(number) {
            let missing = serve.wanted & !serve.sent;
            if !self.mutated(Mutation::ServesWhatIsCancelled) {
                self.drop_serve(number);
            }
            self.end(number, Code::Cancelled, missing);
        }
        let to = self.standing(number);
        self.note(Table::Request, from, "CANCEL", to);
        self.pump();
        self.transfer()
    }

    fn end(&mut self, number: u8, code: Code, missing: Groups) {
        if self.state.source.ended & (1 << number) != 0 {
            self.broke(Broken::SecondEnd);
        }
        self.state.source.ended |= 1 << number;
        if self.state.kind == Kind::KeepsEnd {
            return self.request.push(ENDS[usize::from(code_number(code))]);
        }
        self.send(Side::Source, Frame::End { number, code, missing });
    }

    fn drop_serve(&mut self, number: u8) {
        let source = &mut self.state.source;
        source.serves.retain(|serve| serve.number != number);
        match source.slot {
            Some(Slot::Ready { number: of, .. }) if of == number => source.slot = None,
            Some(slot) if slot.number() == Some(number) => source.slot = Some(Slot::Orphan),
            _ => {}
        }
    }

    /// What the store holds of the blob, as far as it knows; `None`: all of it is damaged.
    fn stock(&self) -> Groups {
        let all = if self.state.kind == Kind::Partial { 0b011 } else { ALL };
        all & !self.state.source.quarantine
    }

    fn read(&self, group: u8) -> Read {
        match self.state.kind {
            Kind::Damaged(bad) if bad == group => Read::Damaged,
            Kind::Liar(bad) if bad & (1 << group) != 0 => Read::Good(Truth::False),
            Kind::KeepsEnd if group == 1 => Read::Good(Truth::False),
            Kind::Forger | Kind::Huge => Read::Good(Truth::Unproven),
            Kind::Stops(at, code) if at == group && !self.state.source.was_busy => {
                Read::Failed(code)
            }
            _ => Read::Good(Truth::True),
        }
    }

    /// The store answers what it was asked.
    pub(crate) fn store_answers(&mut self) {
        match self.state.source.slot.take() {
            Some(Slot::Opening { number }) => self.store_opened(number),
            Some(Slot::Reading { number, group }) => self.store_read(number, group, SERVING),
            Some(slot @ Slot::Ready { .. }) => self.state.source.slot = Some(slot),
            Some(Slot::Orphan) | None => {}
        }
        self.pump();
    }

    fn store_opened(&mut self, number: u8) {
        let kind = self.state.kind;
        let refusal = match kind {
            Kind::Refuses => Some((Code::Unavailable, "not held, or no right to it")),
            Kind::Busy if !self.state.source.was_busy => {
                self.state.source.was_busy = true;
                Some((Code::Busy, "the store is busy"))
            }
            Kind::Fails if !self.state.source.was_busy => {
                self.state.source.was_busy = true;
                Some((Code::Internal, "reading fails"))
            }
            Kind::Ruined => Some((Code::Damaged, "all of it found damaged")),
            _ => None,
        };
        let held = self.stock();
        let Some(serve) = self.serve(number) else { return };
        if let Some((code, event)) = refusal {
            let missing = serve.wanted;
            self.drop_serve(number);
            self.end(number, code, missing);
            return self.note(Table::Request, ASKED, event, NONE);
        }
        serve.held = Some(held);
        let wanted = serve.wanted;
        if wanted & !held != 0 || kind == Kind::Huge {
            self.send(Side::Source, Frame::Have { number, held, huge: kind == Kind::Huge });
            self.note(Table::Request, ASKED, "held in part, or of another size", SERVING);
        } else {
            self.note(Table::Request, ASKED, "held", SERVING);
        }
        if let Some(group) = first(wanted & held) {
            if let Some(serve) = self.serve(number) {
                serve.issued |= 1 << group;
            }
            self.store_read(number, group, SERVING);
        }
    }

    fn store_read(&mut self, number: u8, group: u8, from: &'static str) {
        match self.read(group) {
            Read::Good(truth) => {
                self.state.source.slot = Some(Slot::Ready { number, group, truth })
            }
            Read::Damaged => {
                self.state.source.quarantine |= 1 << group;
                if let Some(serve) = self.serve(number) {
                    serve.damaged |= 1 << group;
                    serve.issued = serve.sent;
                }
                self.request.push("quarantine it");
                self.note(Table::Request, from, "group found damaged", SERVING);
            }
            Read::Failed(code) => {
                self.state.source.was_busy = true;
                let missing = self.serve(number).map_or(0, |serve| serve.wanted & !serve.sent);
                self.drop_serve(number);
                self.end(number, code, missing);
                let event = match code {
                    Code::Busy => "the store is busy",
                    Code::Unavailable => "not held, or no right to it",
                    _ => "reading fails",
                };
                self.note(Table::Request, from, event, NONE);
            }
        }
    }

    /// Sends what is read as far as the credit goes, asks the store for the next, and ends requests.
    pub(crate) fn pump(&mut self) {
        if self.state.phase(Side::Source) != Some(Phase::Open) {
            return;
        }
        self.send_ready();
        while self.state.source.slot.is_none() {
            let source = &self.state.source;
            let next = |serve: &Serve| {
                let Some(held) = serve.held else { return Some((serve.number, None)) };
                let left = serve.wanted & held & !serve.issued & !serve.damaged;
                first(left).map(|group| (serve.number, Some(group)))
            };
            let done = source.serves.iter().find(|serve| next(serve).is_none());
            if let Some(serve) = done.map(|serve| serve.number) {
                self.finish(serve);
                continue;
            }
            match source.serves.iter().find_map(next) {
                None => return,
                Some((number, None)) => self.state.source.slot = Some(Slot::Opening { number }),
                Some((number, Some(group))) => {
                    if let Some(serve) = self.serve(number) {
                        serve.issued |= 1 << group;
                    }
                    self.state.source.slot = Some(Slot::Reading { number, group });
                }
            }
        }
    }

    fn send_ready(&mut self) {
        let Some(Slot::Ready { number, group, truth }) = self.state.source.slot else { return };
        let beyond = self.mutated(Mutation::SendsBeyondCredit);
        let Some(session) = &mut self.state.source.session else { return };
        if session.used >= session.credit && !beyond {
            return;
        }
        session.used += 1;
        let used = session.used;
        if used > self.state.source.granted {
            self.broke(Broken::SentBeyondCredit);
        }
        if self.state.source.ended & (1 << number) != 0 {
            self.broke(Broken::DataAfterEnd);
        }
        if let Some(serve) = self.serve(number) {
            serve.sent |= 1 << group;
        }
        self.state.source.slot = None;
        self.send(Side::Source, Frame::Data { number, group, truth });
        self.note(Table::Request, SERVING, "group read and verified, credit allows", SERVING);
    }

    /// All that is held was sent.
    fn finish(&mut self, number: u8) {
        let Some(serve) = self.serve(number) else { return };
        let (missing, damaged) = (serve.wanted & !serve.sent, serve.damaged != 0);
        self.drop_serve(number);
        let code = if damaged { Code::Damaged } else { Code::Done };
        self.end(number, code, missing);
        let event = if damaged {
            "all that is held was sent, some was found damaged"
        } else {
            "all that is held was sent"
        };
        self.note(Table::Request, SERVING, event, NONE);
    }
}

/// Requests that the source has open for a session.
const WANTS_MAX: usize = 1;
