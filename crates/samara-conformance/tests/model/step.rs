//! One step of the model: what both peers share. Sessions as in RFC 0005; the rest is in `getter` and `source`.

use crate::{
    frame::{Frame, Side},
    rows::{Actions, Table, Taken},
    setup::{Mutation, Setup},
    state::{Broken, Link, Phase, Session, State, code_number},
};

/// A state on its way to the next one, and what is done on that way.
pub(crate) struct Step<'a> {
    pub(crate) setup: &'a Setup,
    taken: &'a Taken,
    pub(crate) state: State,
    session: Actions,
    pub(crate) request: Actions,
    pub(crate) want: Actions,
}

/// What became of a frame, for the row of the session.
pub(crate) enum Heard {
    /// The row's event.
    Fine(&'static str),
    /// The row's event, and the code of our CLOSE.
    Refused(&'static str, u8),
}

const TRANSFER: Heard = Heard::Fine("WANT, CANCEL, HAVE, DATA, END");

fn name(phase: Option<Phase>) -> &'static str {
    match phase {
        None => "–",
        Some(Phase::Opening) => "Opening",
        Some(Phase::Open) => "Open",
        Some(Phase::Closed) => "Closed",
    }
}

impl<'a> Step<'a> {
    pub(crate) fn new(setup: &'a Setup, taken: &'a Taken, state: &State) -> Self {
        Self {
            setup,
            taken,
            state: state.clone(),
            session: Vec::new(),
            request: Vec::new(),
            want: Vec::new(),
        }
    }

    pub(crate) fn mutated(&self, mutation: Mutation) -> bool {
        self.setup.mutation == mutation
    }

    pub(crate) fn broke(&mut self, what: Broken) {
        self.state.broken |= 1 << what as u8;
    }

    /// Notes a row of the session's table: what was done since the last one.
    fn note_session(&mut self, side: Side, from: Option<Phase>, event: &'static str) {
        let to = name(self.state.phase(side));
        let actions = core::mem::take(&mut self.session);
        self.taken.note(Table::Session, name(from), event, actions, to);
    }

    pub(crate) fn note(
        &mut self,
        table: Table,
        from: &'static str,
        event: &'static str,
        to: &'static str,
    ) {
        let actions = if table == Table::Want { &mut self.want } else { &mut self.request };
        let actions = core::mem::take(actions);
        self.taken.note(table, from, event, actions, to);
    }

    /// Puts a frame on the link, and its name into the row.
    pub(crate) fn send(&mut self, from: Side, frame: Frame) {
        match self.state.phase(from) {
            None => return,
            Some(Phase::Closed) if self.mutated(Mutation::SpeaksAfterClose) => {
                self.broke(Broken::FrameAfterClose);
            }
            Some(Phase::Closed) => return,
            Some(_) => {}
        }
        match frame {
            Frame::Hello { .. } => self.session.push("send HELLO"),
            Frame::Ping => self.session.push("send PING"),
            Frame::Pong => self.session.push("send PONG with its token"),
            Frame::Credit(_) => {
                self.session.push("send CREDIT");
                self.state.source.granted += 1;
            }
            Frame::Close(code) => self.session.push(CLOSES[usize::from(code)]),
            Frame::Have { .. } => self.request.push("send HAVE"),
            Frame::Data { .. } => self.request.push("send DATA"),
            Frame::End { code, .. } => self.request.push(ENDS[usize::from(code_number(code))]),
            Frame::Present
            | Frame::Garbage
            | Frame::Later
            | Frame::Want { .. }
            | Frame::Cancel(_) => {}
        }
        let to = from.other();
        if self.state.link == Link::Up && self.state.session(to).is_some() {
            self.state.wires[to as usize][frame.lane() as usize].push(frame);
        }
    }

    // The link.

    pub(crate) fn connect(&mut self) {
        self.state.left.links -= 1;
        self.state.link = Link::Up;
        self.state.source.granted = Session::WINDOW;
        self.state.source.ended = 0;
        for side in Side::BOTH {
            *self.state.session_mut(side) = Some(Session::new());
        }
        for side in Side::BOTH {
            self.send(side, Frame::Hello { common: true });
            self.note_session(side, None, "link opens");
        }
    }

    /// The link breaks: what is on it is lost, and each side will notice.
    pub(crate) fn cut(&mut self) {
        self.state.link = Link::Cut;
        self.state.wires = Default::default();
    }

    /// A side notices that the link is gone.
    pub(crate) fn down(&mut self, side: Side) {
        let from = self.state.phase(side);
        *self.state.session_mut(side) = None;
        self.state.wires[side as usize] = Default::default();
        self.note_session(side, from, "link is gone");
        match side {
            Side::Getter => {
                for write in &mut self.state.getter.writes {
                    write.session = false;
                }
                self.session_ended();
            }
            Side::Source => self.forget_requests(),
        }
        self.rest_if_gone();
    }

    pub(crate) fn rest_if_gone(&mut self) {
        if Side::BOTH.iter().all(|side| self.state.session(*side).is_none()) {
            self.state.link = Link::None;
            self.state.wires = Default::default();
        }
    }

    // The session.

    fn close(&mut self, side: Side, code: u8) {
        self.send(side, Frame::Close(code));
        if let Some(session) = self.state.session_mut(side) {
            session.phase = Phase::Closed;
        }
    }

    /// The node goes away in order. What the session was for is forgotten when its link is gone.
    pub(crate) fn shut_down(&mut self, side: Side) {
        let from = self.state.phase(side);
        self.close(side, 4);
        self.note_session(side, from, "the node goes away");
    }

    pub(crate) fn hello_timeout(&mut self, side: Side) {
        let from = self.state.phase(side);
        self.close(side, 3);
        self.note_session(side, from, "no HELLO for 10 s");
    }

    /// A frame arrives.
    pub(crate) fn hear(&mut self, side: Side, frame: Frame) {
        let from = self.state.phase(side);
        let heard = match from {
            None => return,
            Some(Phase::Closed) => Heard::Fine("any frame"),
            Some(Phase::Opening) => self.hear_opening(side, frame),
            Some(Phase::Open) => self.hear_open(side, frame),
        };
        let event = match heard {
            Heard::Fine(event) => event,
            Heard::Refused(event, code) => {
                self.close(side, code);
                event
            }
        };
        self.note_session(side, from, event);
        let phase = self.state.phase(side);
        if from == Some(Phase::Opening) && phase == Some(Phase::Open) && side == Side::Getter {
            self.session_opened();
        }
        if from != phase && phase == Some(Phase::Closed) && side == Side::Getter {
            self.session_ended();
        }
        if from != phase && phase == Some(Phase::Closed) && side == Side::Source {
            self.forget_requests();
        }
    }

    fn hear_opening(&mut self, side: Side, frame: Frame) -> Heard {
        match frame {
            Frame::Hello { common: true } => {
                let Some(session) = self.state.session_mut(side) else { return TRANSFER };
                session.phase = Phase::Open;
                session.credit = Session::WINDOW;
                session.ping = true;
                // The getter has one, the source none.
                self.session.push("send a PRESENT per right");
                if side == Side::Getter {
                    self.send(side, Frame::Present);
                }
                self.send(side, Frame::Ping);
                Heard::Fine("HELLO with a common version")
            }
            Frame::Hello { common: false } => Heard::Refused("HELLO without a common version", 1),
            Frame::Garbage => Heard::Refused(GARBAGE, 2),
            Frame::Close(_) => self.hear_close(side),
            _ => Heard::Refused("any other frame", 2),
        }
    }

    fn hear_close(&mut self, side: Side) -> Heard {
        if let Some(session) = self.state.session_mut(side) {
            session.phase = Phase::Closed;
        }
        self.session.push("close the link");
        Heard::Fine("CLOSE")
    }

    fn hear_open(&mut self, side: Side, frame: Frame) -> Heard {
        let Some(session) = self.state.session_mut(side) else { return TRANSFER };
        match frame {
            Frame::Hello { .. } => Heard::Refused("HELLO", 2),
            Frame::Credit(total) => {
                session.credit = session.credit.max(total);
                self.session.push("raise the credit, if it is higher");
                self.pump();
                Heard::Fine("CREDIT")
            }
            Frame::Ping => {
                self.send(side, Frame::Pong);
                Heard::Fine("PING")
            }
            Frame::Pong if session.ping => {
                session.ping = false;
                self.session.push("note the round trip");
                Heard::Fine("PONG that answers our PING")
            }
            Frame::Pong => Heard::Fine("PONG that answers nothing"),
            Frame::Present if session.rights == RIGHTS_MAX => {
                Heard::Refused("PRESENT above the limit", 2)
            }
            Frame::Present => {
                session.rights += 1;
                self.session.push("keep the right for this session");
                Heard::Fine("PRESENT")
            }
            Frame::Want { number, groups } => self.hear_want(number, groups),
            Frame::Cancel(number) => self.hear_cancel(number),
            Frame::Have { number, held, huge } => self.hear_have(number, held, huge),
            Frame::Data { number, group, truth } => self.hear_data(number, group, truth),
            Frame::End { number, code, missing } => self.hear_end(number, code, missing),
            Frame::Close(_) => self.hear_close(side),
            Frame::Garbage => Heard::Refused(GARBAGE, 2),
            Frame::Later => Heard::Fine("frame of an unknown odd kind"),
        }
    }

    /// What a frame of the transfer amounts to for the session.
    pub(crate) fn transfer(&mut self) -> Heard {
        self.session.push("RFC 0007");
        TRANSFER
    }

    /// HAVE, DATA or END for a request that the session does not know.
    pub(crate) fn stray(&mut self, number: u8) -> Heard {
        let next = self.state.getter.session.map_or(0, |session| session.next_want);
        if number >= next {
            return Heard::Refused("HAVE, DATA or END of a request that was never made", 2);
        }
        Heard::Fine("HAVE or END of a request that is over")
    }

    /// A group of the session is stored or dropped: the source may send another.
    pub(crate) fn dealt_with(&mut self) {
        let Some(session) = &mut self.state.getter.session else { return };
        session.dealt += 1;
        session.granted = session.dealt + Session::WINDOW;
        let total = session.granted;
        self.send(Side::Getter, Frame::Credit(total));
    }

    /// The same when the store has answered, which is an event of its own.
    pub(crate) fn stored(&mut self) {
        let from = self.state.phase(Side::Getter);
        self.dealt_with();
        if from == Some(Phase::Open) {
            self.note_session(Side::Getter, from, "DATA is stored or refused");
        }
    }
}

const RIGHTS_MAX: u8 = 1;
const GARBAGE: &str = "frame that can not be decoded";
const CLOSES: [&str; 5] =
    ["send CLOSE 0", "send CLOSE 1", "send CLOSE 2", "send CLOSE 3", "send CLOSE 4"];
pub(crate) const ENDS: [&str; 7] = [
    "send END 0",
    "send END 1",
    "send END 2",
    "send END 3",
    "send END 4",
    "send END 5",
    "send END 6",
];
