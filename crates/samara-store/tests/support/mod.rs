//! Shared by the store's tests.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use core::ops::Range;
use std::{path::Path, sync::Arc};

use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_store::{
    ChunkerParams, OpenError, Options, Quotas, Receiver, Store, Target, disk::MemDisk,
};
use samara_tree::{Cv, OutboardBuilder, Prover};

pub const DIR: &str = "/store";

/// Small bounds, so that the interesting cases come soon.
pub fn options() -> Options {
    Options {
        segment_bytes: 1 << 20,
        cache_bytes: 1 << 20,
        checkpoint_bytes: 1 << 40,
        checkpoint_rows: 1 << 20,
        reserve_bytes: 0,
        // Small, so that blobs of some 100 KiB have many.
        chunking: Some(ChunkerParams::Kib16),
        compression: None,
        quotas: Quotas::default(),
    }
}

pub fn open(disk: &MemDisk) -> Store {
    try_open(disk).unwrap()
}

pub fn try_open(disk: &MemDisk) -> Result<Store, OpenError> {
    Store::open_on(Arc::new(disk.clone()), Path::new(DIR), options())
}

/// Bytes that differ at every place and from seed to seed.
pub fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

/// Somebody who has a whole blob and sends parts of it.
pub struct Holder {
    pub id: BlobId,
    pub data: Vec<u8>,
    outboard: Vec<Cv>,
    prover: Prover,
}

impl Holder {
    pub fn new(data: Vec<u8>) -> Self {
        let mut outboard = Vec::new();
        let mut builder = OutboardBuilder::new();
        builder.push(&data, &mut |_, cv| outboard.push(cv));
        let (id, size) = builder.finish(&mut |_, cv| outboard.push(cv));
        let prover = Prover::open(id, size, outboard.as_slice()).unwrap();
        Self { id, data, outboard, prover }
    }

    pub fn size(&self) -> u64 {
        self.data.len() as u64
    }

    pub fn leaves(&self) -> u64 {
        self.prover.tree().leaves()
    }

    /// The proof and the data of a range of leaves.
    pub fn send(
        &self,
        group: GroupLog2,
        range: &Range<u64>,
        base: &RangeSet,
    ) -> (Vec<u8>, Vec<u8>) {
        let part = |range: &Range<u64>| {
            let bytes = self.prover.tree().bytes(range);
            self.data[usize::try_from(bytes.start).unwrap()..usize::try_from(bytes.end).unwrap()]
                .to_vec()
        };
        let span = part(&self.prover.span(range));
        let proof =
            self.prover.encode(self.outboard.as_slice(), group, range, base, &span).unwrap();
        (proof, part(range))
    }

    /// The range in transfers of `step` leaves, relative to what went before.
    pub fn transfers(&self, group: GroupLog2, step: u64) -> Vec<Range<u64>> {
        let mut at = 0;
        let mut found = Vec::new();
        while at < self.leaves() {
            let end = (at + step.max(group.leaves())).min(self.leaves());
            found.push(at..end);
            at = end;
        }
        found
    }
}

pub fn open_with(disk: &MemDisk, options: Options) -> Store {
    Store::open_on(Arc::new(disk.clone()), Path::new(DIR), options).unwrap()
}

/// Receives the transfers of a blob into segments that `pick` says.
pub fn receive(store: &Store, holder: &Holder, pick: impl Fn(usize) -> bool) -> Receiver {
    let receiver = store.receive(&holder.id, holder.size(), &Target::Segments).unwrap();
    for (at, range) in holder.transfers(GroupLog2::KIB16, 16).iter().enumerate() {
        if pick(at) {
            let known = receiver.known();
            let (proof, data) = holder.send(GroupLog2::KIB16, range, &known);
            receiver.ingest(GroupLog2::KIB16, range.start, &known, &proof, &data).unwrap();
        }
    }
    receiver
}
