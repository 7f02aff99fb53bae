//! The getter's half of a transfer: RFC 0007, "State of a want".

use crate::{
    frame::{ALL, Code, Frame, Groups, Side, Truth},
    rows::Table,
    setup::Mutation,
    state::{Broken, Fault, Getter, Reason, Request, Verdict, Want, Write},
    step::{Heard, Step},
};

/// False bytes or proofs after which a peer is asked for nothing more.
const LIES_MAX: u8 = 3;

impl Want {
    /// Whether nothing more of this want will happen.
    pub(crate) fn is_open(&self) -> bool {
        self.verdict.is_none()
    }

    fn refuses(&self) -> bool {
        self.muted || (self.retry && !self.busy && self.lacks == 0)
    }

    fn claimed(&self, groups: Groups) -> Groups {
        groups & self.claims.unwrap_or(ALL) & !self.lacks & !self.bad
    }

    fn cannot(&self) -> bool {
        self.refuses() || self.claimed(self.missing) == 0
    }

    fn unassigned(&self) -> Groups {
        let assigned = self.requests.iter().fold(0, |all, of| all | of.open | of.arrived);
        self.missing & !assigned
    }

    /// Whether something that was asked for is still to come or to be verified.
    pub(crate) fn expects(&self) -> bool {
        self.requests.iter().any(|request| request.open | request.arrived != 0)
    }

    fn forget_done(&mut self) {
        self.requests.retain(|request| !request.ended || request.arrived != 0);
    }

    /// Takes back what has not arrived.
    fn give_back(&mut self, id: u8) {
        for request in self.requests.iter_mut().filter(|request| request.id == id) {
            request.open = 0;
            request.ended = true;
        }
        self.forget_done();
    }

    /// Where the want stands, in the words of the RFC.
    pub(crate) fn standing(&self) -> &'static str {
        if !self.is_open() {
            "Ended"
        } else if self.requests.is_empty() {
            "Waiting"
        } else if self.requests.iter().all(|request| request.came == 0) {
            "Asked"
        } else {
            "Receiving"
        }
    }
}

impl Getter {
    /// What a look at the want would bring: the reason why it waits, and its end.
    pub(crate) fn outlook(&self, mutation: Mutation) -> (Option<Reason>, Option<Verdict>) {
        let want = &self.want;
        let stalled = self.session.is_some_and(|session| session.stalled);
        let waits = if mutation == Mutation::WaitsForEnd {
            !want.requests.is_empty()
        } else {
            want.expects()
        };
        let reason = if waits {
            (!self.source_up || stalled).then_some(Reason::Link)
        } else if !self.source_up {
            Some(Reason::NoProvider)
        } else if want.cannot() && want.fault == Some(Fault::Refused) {
            Some(Reason::Permission)
        } else if want.cannot() {
            Some(Reason::NotHeld)
        } else if want.busy {
            Some(Reason::PeerBusy)
        } else {
            Some(Reason::Budget)
        };
        let hopeless = !waits && (want.cannot() || self.lies >= LIES_MAX);
        let verdict = if want.too_large {
            Verdict::TooLarge
        } else if want.begun {
            Verdict::Partial
        } else if want.fault == Some(Fault::Lied) {
            Verdict::ProviderLied
        } else if want.fault == Some(Fault::Refused) {
            Verdict::Unavailable
        } else {
            Verdict::Partial
        };
        (reason, hopeless.then_some(verdict))
    }
}

impl Step<'_> {
    /// Notes what an event did to the want.
    fn note_want(&mut self, from: &'static str, event: &'static str) {
        let to = self.state.getter.want.standing();
        self.note(Table::Want, from, event, to);
    }

    fn is_up(&self) -> bool {
        self.state.getter.source_up
    }

    // The caller.

    /// Somebody wants the blob, of which some groups are here.
    pub(crate) fn open_want(&mut self) {
        let held = self.state.getter.held;
        let want = Want { missing: ALL & !held, begun: held != 0, ..Want::default() };
        self.state.getter.want = want;
        self.note_want("–", "it is made");
        self.complete_if_done();
    }

    pub(crate) fn cancel(&mut self) {
        let from = self.state.getter.want.standing();
        self.end_want(Verdict::Cancelled);
        self.note_want(from, "the caller cancels it");
    }

    // The session.

    pub(crate) fn session_opened(&mut self) {
        let from = self.state.getter.want.standing();
        self.state.getter.source_up = true;
        let want = &mut self.state.getter.want;
        if !want.muted {
            (want.retry, want.busy, want.lacks, want.claims) = (false, false, 0, None);
        }
        if want.is_open() {
            self.fill();
            self.note_want(from, "a session with a source opens");
        }
    }

    /// What was asked for on the session is asked for elsewhere.
    pub(crate) fn session_ended(&mut self) {
        if !core::mem::take(&mut self.state.getter.source_up) {
            return;
        }
        let from = self.state.getter.want.standing();
        let keep = self.mutated(Mutation::ForgetsNothing);
        let want = &mut self.state.getter.want;
        for request in &mut want.requests {
            request.asked = false;
            if !keep {
                request.open = 0;
                request.ended = true;
            }
        }
        want.forget_done();
        if want.is_open() {
            self.note_want(from, "the session ends");
        }
    }

    /// Asks for what is missing and may be asked.
    fn fill(&mut self) {
        let getter = &self.state.getter;
        let want = &getter.want;
        let again = self.mutated(Mutation::AsksAgain);
        let open = want.requests.iter().filter(|request| !request.ended).count();
        let stalled = getter.session.is_some_and(|session| session.stalled);
        let offered =
            want.claimed(want.unassigned()) | if again { want.unassigned() & want.bad } else { 0 };
        let refused = want.refuses() || want.busy || getter.lies >= LIES_MAX;
        if !want.is_open() || !self.is_up() || refused || stalled || open > 0 || offered == 0 {
            return;
        }
        if offered & getter.want.bad != 0 {
            self.broke(Broken::AskedLiar);
        }
        let getter = &mut self.state.getter;
        let Some(session) = &mut getter.session else { return };
        let number = session.next_want;
        session.next_want += 1;
        getter.next_request += 1;
        getter.want.requests.push(Request {
            id: getter.next_request,
            number,
            groups: offered,
            came: 0,
            open: offered,
            arrived: 0,
            asked: true,
            ended: false,
        });
        self.want.push("send WANT");
        self.send(Side::Getter, Frame::Want { number, groups: offered });
    }

    fn asked(&mut self, number: u8) -> Option<&mut Request> {
        let requests = &mut self.state.getter.want.requests;
        requests.iter_mut().find(|request| request.asked && request.number == number)
    }

    // Frames.

    pub(crate) fn hear_have(&mut self, number: u8, held: Groups, huge: bool) -> Heard {
        if self.asked(number).is_none() {
            return self.stray(number);
        }
        let from = self.state.getter.want.standing();
        let want = &mut self.state.getter.want;
        if !want.is_open() {
            return self.transfer();
        }
        want.claims = Some(held);
        if huge {
            want.too_large = true;
            self.mute(Fault::Refused);
            self.note_want(from, "HAVE, the size is above `size_max`");
        } else {
            self.want.push("note what is held");
            self.note_want(from, "HAVE");
        }
        self.transfer()
    }

    pub(crate) fn hear_data(&mut self, number: u8, group: u8, truth: Truth) -> Heard {
        let bit = 1 << group;
        let Some(session) = &mut self.state.getter.session else { return self.transfer() };
        session.received += 1;
        let (received, granted) = (session.received, session.granted);
        if received > granted {
            if !self.mutated(Mutation::TakesBeyondCredit) {
                return Heard::Refused("DATA beyond the granted credit", 2);
            }
            self.broke(Broken::DataBeyondCredit);
        }
        let from = self.state.getter.want.standing();
        let Some(request) = self.asked(number) else {
            let heard = self.stray(number);
            if let Heard::Fine(_) = heard {
                self.dealt_with();
                return Heard::Fine("DATA of a request that is over");
            }
            return heard;
        };
        if request.groups & bit == 0 || request.came & bit != 0 {
            return Heard::Refused(
                "DATA that the request does not ask for, or that came before",
                2,
            );
        }
        request.came |= bit;
        request.arrived |= request.open & bit;
        request.open &= !bit;
        let write = Write { request: request.id, group, truth, session: true };
        let getter = &mut self.state.getter;
        getter.writes.push(write);
        if let Some(session) = &mut getter.session {
            session.stalled = false;
        }
        if self.mutated(Mutation::HoldsBeforeVerification) {
            self.hold(bit, truth);
        }
        self.want.push("verify it");
        self.note_want(from, "DATA");
        self.transfer()
    }

    pub(crate) fn hear_end(&mut self, number: u8, code: Code, missing: Groups) -> Heard {
        let Some(request) = self.asked(number) else { return self.stray(number) };
        request.asked = false;
        let (id, open) = (request.id, request.open);
        let from = self.state.getter.want.standing();
        if let Some(session) = &mut self.state.getter.session {
            session.stalled = false;
        }
        let want = &mut self.state.getter.want;
        want.give_back(id);
        if !want.is_open() {
            return self.transfer();
        }
        let short = open | (missing & want.missing);
        let (fault, event) = match code {
            Code::Done if short == 0 => (None, "END 0, nothing left out"),
            Code::Done => (Some(Fault::NotHeld), "END 0, something left out"),
            Code::Damaged => (Some(Fault::Damaged), "END 4"),
            Code::Busy => (None, "END 2"),
            Code::Unavailable => (Some(Fault::Refused), "END 1, 3"),
            Code::Internal | Code::Cancelled => (Some(Fault::Failed), "END 5, 6"),
        };
        match code {
            Code::Done if short == 0 => {}
            Code::Done | Code::Damaged => want.lacks |= short,
            Code::Busy => want.busy = true,
            Code::Unavailable | Code::Internal | Code::Cancelled => want.lacks = 0,
        }
        want.retry |= fault.is_some() || want.busy;
        if fault.is_some() {
            want.fault = fault;
            self.want.push("blame the source");
        }
        self.fill();
        self.note_want(from, event);
        self.look();
        self.transfer()
    }

    // The store.

    /// The oldest group on its way to the disk is verified.
    pub(crate) fn verify(&mut self) {
        let from = self.state.getter.want.standing();
        let write = self.state.getter.writes.remove(0);
        if write.session {
            self.stored();
        }
        let bit = 1 << write.group;
        let getter = &mut self.state.getter;
        let known = getter.want.requests.iter_mut().find(|request| request.id == write.request);
        let known = known.map(|request| request.arrived &= !bit).is_some();
        let event = match write.truth {
            Truth::True => {
                self.want.push("store it");
                self.hold(bit, Truth::True);
                let want = &mut self.state.getter.want;
                if known && want.is_open() {
                    want.missing &= !bit;
                    want.begun = true;
                    want.waiting = None;
                }
                "a group is what the blob holds"
            }
            Truth::False => {
                if known {
                    self.lied(bit);
                }
                "a group is not what the blob holds"
            }
            Truth::Unproven => {
                if known {
                    self.state.getter.lies = (self.state.getter.lies + 1).min(LIES_MAX);
                    self.mute(Fault::Lied);
                    self.state.getter.want.give_back(write.request);
                }
                "a proof is none"
            }
        };
        self.state.getter.want.forget_done();
        self.note_want(from, event);
        self.complete_if_done();
        self.fill();
    }

    /// The getter's own store fails at it.
    pub(crate) fn fail_local(&mut self) {
        let from = self.state.getter.want.standing();
        let write = self.state.getter.writes.remove(0);
        self.end_want(Verdict::Local);
        if write.session {
            self.stored();
        }
        let want = &mut self.state.getter.want;
        for request in want.requests.iter_mut().filter(|request| request.id == write.request) {
            request.arrived &= !(1 << write.group);
        }
        want.forget_done();
        self.note_want(from, "our store fails");
    }

    fn hold(&mut self, bit: Groups, truth: Truth) {
        self.state.getter.held |= bit;
        if truth != Truth::True {
            self.state.getter.false_held |= bit;
        }
    }

    // Blame.

    fn lied(&mut self, bad: Groups) {
        let getter = &mut self.state.getter;
        getter.lies = (getter.lies + 1).min(LIES_MAX);
        if getter.want.is_open() {
            getter.want.bad |= bad;
            getter.want.fault = Some(Fault::Lied);
            self.want.push("blame the source");
        }
    }

    /// Asks the source for nothing more of this blob.
    fn mute(&mut self, fault: Fault) {
        if !self.state.getter.want.is_open() {
            return;
        }
        self.cancel_requests();
        let want = &mut self.state.getter.want;
        want.muted = true;
        want.fault = Some(fault);
        self.want.push("blame the source, send CANCEL for the rest");
    }

    fn cancel_requests(&mut self) {
        for at in 0..self.state.getter.want.requests.len() {
            let request = &mut self.state.getter.want.requests[at];
            if request.asked && request.open != 0 && !request.ended {
                request.asked = false;
                let number = request.number;
                if !self.mutated(Mutation::KeepsRequests) {
                    self.send(Side::Getter, Frame::Cancel(number));
                }
            }
            let request = &mut self.state.getter.want.requests[at];
            (request.open, request.ended) = (0, true);
        }
        self.state.getter.want.forget_done();
    }

    // Verdicts.

    fn complete_if_done(&mut self) {
        let want = &self.state.getter.want;
        if want.missing == 0 && want.is_open() {
            let from = want.standing();
            self.end_want(Verdict::Complete);
            self.note_want(from, "nothing is missing");
        }
    }

    pub(crate) fn end_want(&mut self, verdict: Verdict) {
        self.cancel_requests();
        let forgets = self.mutated(Mutation::EndsTwice);
        let want = &mut self.state.getter.want;
        want.verdicts = (want.verdicts + 1).min(2);
        want.verdict = (!forgets).then_some(verdict);
        self.want.push(VERDICTS[verdict as usize]);
    }

    /// Names why the want does not move, or ends it.
    fn look(&mut self) {
        let (reason, verdict) = self.state.getter.outlook(self.setup.mutation);
        let want = &mut self.state.getter.want;
        let from = want.standing();
        let named = reason.is_some() && reason != want.waiting;
        want.waiting = reason;
        if let Some(verdict) = verdict {
            self.end_want(verdict);
            self.note_want(from, "no source can deliver what is missing");
        } else if named {
            self.want.push("name the reason");
            self.note_want(from, "it makes no progress");
        }
    }

    // Timers.

    /// The clock ticks.
    pub(crate) fn tick(&mut self) {
        self.look();
    }

    pub(crate) fn stall(&mut self) {
        let from = self.state.getter.want.standing();
        if self.mutated(Mutation::StallFlaps) {
            let waiting = &mut self.state.getter.want.waiting;
            *waiting = waiting.xor(Some(Reason::Link));
            return;
        }
        if let Some(session) = &mut self.state.getter.session {
            session.stalled = true;
        }
        self.want.push("ask the source for nothing new");
        self.note_want(from, "silence for too long");
        self.look();
    }

    pub(crate) fn retry(&mut self) {
        let from = self.state.getter.want.standing();
        let want = &mut self.state.getter.want;
        (want.retry, want.busy, want.lacks, want.claims) = (false, false, 0, None);
        self.fill();
        self.note_want(from, "time to ask again");
    }

    pub(crate) fn expire(&mut self, verdict: Verdict, event: &'static str) {
        let from = self.state.getter.want.standing();
        self.end_want(verdict);
        self.note_want(from, event);
    }
}

const VERDICTS: [&str; 9] = [
    "end it: complete",
    "end it: partial",
    "end it: unavailable",
    "end it: no provider",
    "end it: provider lied",
    "end it: too large",
    "end it: expired",
    "end it: cancelled",
    "end it: local",
];
