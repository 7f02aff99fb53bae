//! The blobs that a run works on: known to both sides by their number.

use core::ops::Range;

use anyhow::{Context as _, Result};
use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_tree::{Cv, OutboardBuilder, Prover};

use crate::random::Random;

/// How many blobs a run knows.
pub(crate) const COUNT: u32 = 64;

/// Numbers from here on are small blobs, for many files at once.
pub(crate) const FIRST_SMALL: u32 = 32;

/// Bytes that blobs have parts of.
const SHARED_BYTES: u64 = 2 << 20;

/// Somebody who has a whole blob and sends parts of it.
#[derive(Debug)]
pub(crate) struct Blob {
    pub(crate) number: u32,
    pub(crate) id: BlobId,
    pub(crate) data: Vec<u8>,
    outboard: Vec<Cv>,
    prover: Prover,
}

/// All blobs of a run, by number.
#[derive(Debug)]
pub(crate) struct Blobs(Vec<Blob>);

impl Blobs {
    pub(crate) fn new(seed: u64) -> Result<Self> {
        let shared = bytes(&mut Random::of(seed, &[0]), SHARED_BYTES)?;
        (0..COUNT).map(|number| Blob::new(seed, number, &shared)).collect::<Result<_>>().map(Self)
    }

    pub(crate) fn get(&self, number: u32) -> Result<&Blob> {
        let found = usize::try_from(number).ok().and_then(|at| self.0.get(at));
        found.with_context(|| format!("there is no blob {number}"))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Blob> {
        self.0.iter()
    }
}

impl Blob {
    fn new(seed: u64, number: u32, shared: &[u8]) -> Result<Self> {
        let mut random = Random::of(seed, &[1, number.into()]);
        // Small ones that fit a record and a file each, some of one group and some of several, some
        // above 64 groups: these have an outboard file and a journal.
        let len = match number {
            FIRST_SMALL.. => random.below(6_000),
            24.. => (1 << 20) + random.below(2 << 20),
            12.. => 17_000 + random.below(300_000),
            _ => 1 + random.below(17_000),
        };
        let mut data = bytes(&mut random, len)?;
        // Many have a part in common with others.
        if len > 16_384 && random.chance(70) {
            let from = usize::try_from(random.below(SHARED_BYTES))?;
            let at = usize::try_from(random.below(len / 2))?;
            let to = data.get_mut(at..).unwrap_or_default();
            to.iter_mut().zip(shared.iter().skip(from)).for_each(|(to, from)| *to = *from);
        }
        let mut outboard = Vec::new();
        let mut builder = OutboardBuilder::new();
        builder.push(&data, &mut |_, cv| outboard.push(cv));
        let (id, size) = builder.finish(&mut |_, cv| outboard.push(cv));
        let prover = Prover::open(id, size, outboard.as_slice())?;
        Ok(Self { number, id, data, outboard, prover })
    }

    /// Bytes that belong to no blob of a run.
    pub(crate) fn probe(seed: u64) -> Result<Vec<u8>> {
        bytes(&mut Random::of(seed, &[2]), 3_000)
    }

    pub(crate) const fn size(&self) -> u64 {
        self.data.len() as u64
    }

    pub(crate) fn leaves(&self) -> u64 {
        self.prover.tree().leaves()
    }

    /// Whether a receive of it has a journal: above 64 groups of 16 KiB.
    pub(crate) const fn has_journal(&self) -> bool {
        self.size() > 64 * 16_384
    }

    /// The bytes of a range, cut where the blob ends.
    pub(crate) fn part(&self, bytes: &Range<u64>) -> Result<&[u8]> {
        let (from, to) = (usize::try_from(bytes.start)?, usize::try_from(bytes.end)?);
        self.data.get(from..to.min(self.data.len())).context("a range outside of the blob")
    }

    /// The bytes of a range of leaves.
    pub(crate) fn leaf_bytes(&self, leaves: &Range<u64>) -> Range<u64> {
        self.prover.tree().bytes(leaves)
    }

    /// The proof and the data of a range of leaves.
    pub(crate) fn send(
        &self,
        group: GroupLog2,
        range: &Range<u64>,
        base: &RangeSet,
    ) -> Result<(Vec<u8>, &[u8])> {
        let span = self.part(&self.leaf_bytes(&self.prover.span(range)))?;
        let proof = self.prover.encode(self.outboard.as_slice(), group, range, base, span)?;
        Ok((proof, self.part(&self.leaf_bytes(range))?))
    }
}

fn bytes(random: &mut Random, len: u64) -> Result<Vec<u8>> {
    let words = len.div_ceil(8);
    let mut data: Vec<u8> = (0..words).flat_map(|_| random.next().to_le_bytes()).collect();
    data.truncate(usize::try_from(len)?);
    Ok(data)
}
