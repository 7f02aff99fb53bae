//! What the node was asked to read or write, and for whom.

use alloc::collections::BTreeMap;

use samara_sched::RequestId;

use crate::{io::Token, link::LinkId};

/// Who gets the answer to a piece of work.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner {
    Serve { link: LinkId },
    Write { link: LinkId, request: RequestId, leaves: (u64, u64), bytes: u64 },
}

/// Requests that the node has not answered. It answers each once, so these are no more than are
/// under way.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    owners: BTreeMap<Token, Owner>,
    last: u64,
}

impl Requests {
    /// A token for a request, which whoever takes one makes.
    pub(crate) fn add(&mut self, owner: Owner) -> Token {
        self.last += 1;
        let token = Token(self.last);
        self.owners.insert(token, owner);
        token
    }

    /// The answer is here.
    pub(crate) fn take(&mut self, token: Token) -> Option<Owner> {
        self.owners.remove(&token)
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn len(&self) -> usize {
        self.owners.len()
    }
}
