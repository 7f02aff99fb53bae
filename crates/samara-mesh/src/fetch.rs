//! The getting half: requests of the scheduler as WANTs, and what comes back.

use alloc::collections::BTreeMap;
use core::{ops::Range, time::Duration};

use samara_base::{BlobId, GroupLog2, LEAF_BYTES, RangeSet, leaves};
use samara_sched::{EndCause, Request, RequestId, WantId};
use samara_wire::{Data, End, EndCode, Have};

use crate::{
    io::{CloseReason, WriteRequest},
    link::LinkId,
    requests::{Owner, Requests},
};

/// A WANT that has not ended.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) request: RequestId,
    want: WantId,
    blob: BlobId,
    group: GroupLog2,
    ranges: RangeSet,
    /// What the next proof leaves out: what we said we know, and what came since.
    base: RangeSet,
    size: Option<u64>,
}

/// Our open WANTs on all sessions.
#[derive(Debug, Default)]
pub(crate) struct Getter {
    asked: BTreeMap<(LinkId, u64), Asked>,
    numbers: BTreeMap<RequestId, (LinkId, u64)>,
}

/// What a DATA amounts to.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) request: RequestId,
    pub(crate) leaves: Range<u64>,
    pub(crate) write: WriteRequest,
}

impl Getter {
    pub(crate) fn ask(&mut self, link: LinkId, number: u64, request: &Request, ranges: RangeSet) {
        self.numbers.insert(request.id, (link, number));
        let asked = Asked {
            request: request.id,
            want: request.want,
            blob: request.blob,
            group: request.group,
            base: request.known.difference(&ranges),
            ranges,
            size: request.size,
        };
        self.asked.insert((link, number), asked);
    }

    /// Forgets a request; its number on the session, if it was still open.
    pub(crate) fn forget(&mut self, request: RequestId) -> Option<(LinkId, u64)> {
        let key = self.numbers.remove(&request)?;
        self.asked.remove(&key);
        Some(key)
    }

    /// Forgets all requests on a session.
    pub(crate) fn forget_link(&mut self, link: LinkId) {
        let keys = self.asked.range((link, 0)..=(link, u64::MAX)).map(|(key, _)| *key);
        for key in keys.collect::<alloc::vec::Vec<_>>() {
            if let Some(asked) = self.asked.remove(&key) {
                self.numbers.remove(&asked.request);
            }
        }
    }

    /// Whether anything is asked on a session.
    pub(crate) fn busy(&self, link: LinkId) -> bool {
        self.asked.range((link, 0)..=(link, u64::MAX)).next().is_some()
    }

    /// Takes a HAVE; `None` for a WANT that is over.
    pub(crate) fn have(&mut self, link: LinkId, have: &Have) -> Option<RequestId> {
        let asked = self.asked.get_mut(&(link, have.want))?;
        asked.size = Some(have.size);
        Some(asked.request)
    }

    /// Takes a DATA; `Ok(None)` for a WANT that is over.
    //= rfcs/0007-transfer.md#xfer-5
    //# A getter MUST close a session on which DATA arrives that no open WANT of it asked for.
    pub(crate) fn data(
        &mut self,
        link: LinkId,
        peer: samara_base::PeerId,
        data: Data,
        requests: &mut Requests,
    ) -> Result<Option<Arrival>, CloseReason> {
        let Some(asked) = self.asked.get_mut(&(link, data.want)) else { return Ok(None) };
        let Some(size) = asked.size else {
            return Err(CloseReason::Protocol("DATA of a blob whose size was not told"));
        };
        let bytes = data.data.len() as u64;
        let count = bytes.div_ceil(LEAF_BYTES).max(1);
        let range = data.first..data.first.saturating_add(count);
        let total = leaves(size);
        let group = asked.group.leaves();
        let whole = range.start % group == 0 && (range.end == total || range.end % group == 0);
        if !whole || range.end > total || !asked.ranges.contains_range(&range) {
            return Err(CloseReason::Protocol("DATA that was not asked for"));
        }
        if asked.base.intersects(&range) {
            return Err(CloseReason::Protocol("DATA came twice"));
        }
        let write = WriteRequest {
            token: requests.add(Owner::Write {
                link,
                request: asked.request,
                leaves: (range.start, range.end),
                bytes: data.bulk_len(),
            }),
            want: asked.want,
            blob: asked.blob,
            size,
            group: asked.group,
            first_leaf: data.first,
            base: asked.base.clone(),
            proof: data.proof,
            data: data.data,
            peer,
        };
        asked.base.insert(range.clone());
        Ok(Some(Arrival { request: asked.request, leaves: range, write }))
    }

    /// Takes an END; `None` for a WANT that is over.
    pub(crate) fn end(&mut self, link: LinkId, end: &End) -> Option<(RequestId, EndCause)> {
        let asked = self.asked.remove(&(link, end.want))?;
        self.numbers.remove(&asked.request);
        let retry = Duration::from_millis(end.retry_ms.unwrap_or(1000).clamp(10, 60_000));
        let cause = match end.code {
            EndCode::Done => EndCause::Done,
            EndCode::Unavailable => EndCause::Unavailable,
            EndCode::Busy => EndCause::Busy { retry },
            EndCode::TooLarge => EndCause::TooLarge,
            EndCode::Damaged => EndCause::Damaged,
            EndCode::Cancelled => EndCause::Cancelled,
            _ => EndCause::Internal,
        };
        Some((asked.request, cause))
    }
}
