//! Entry points for fuzzers: they assert properties and never fail on bad input. Unstable.

use alloc::{vec, vec::Vec};
use core::ops::Range;

use samara_base::{BlobId, GroupLog2, LEAF_BYTES, RangeSet};

use crate::{Cv, OutboardBuilder, Prover, Tree, Verifier, frontier::check, hash};

/// Reads fuzz input; missing bytes are zeros, so that every input means something.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn word(&mut self) -> u64 {
        u64::from(self.byte()) | u64::from(self.byte()) << 8
    }

    fn long(&mut self) -> u64 {
        (0..4).fold(0, |value, at| value | self.word() << (16 * at))
    }

    fn take(&mut self, len: u64) -> &'a [u8] {
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(self.0.len());
        let (head, tail) = self.0.split_at(len);
        self.0 = tail;
        head
    }
}

/// A blob with its outboard and a prover.
struct Blob {
    data: Vec<u8>,
    id: BlobId,
    outboard: Vec<Cv>,
    prover: Prover,
}

impl Blob {
    fn new(size: u64, seed: u8) -> Self {
        let byte = |at: u64| u8::try_from(at % 251).unwrap_or(0).wrapping_add(seed);
        let data: Vec<u8> = (0..size).map(byte).collect();
        let mut outboard = Vec::new();
        let mut builder = OutboardBuilder::new();
        builder.push(&data, &mut |_, cv| outboard.push(cv));
        let (id, built) = builder.finish(&mut |_, cv| outboard.push(cv));
        assert_eq!((id, built), (hash(&data), size), "builder and one-shot hash agree");
        let prover = Prover::open(id, size, outboard.as_slice());
        Self { data, id, outboard, prover: prover.expect("invariant: built right above") }
    }

    fn slice(&self, leaves: &Range<u64>) -> &[u8] {
        let bytes = self.prover.tree().bytes(leaves);
        let from = usize::try_from(bytes.start).unwrap_or(usize::MAX);
        let to = usize::try_from(bytes.end).unwrap_or(usize::MAX);
        self.data.get(from..to).unwrap_or_default()
    }

    /// A range of whole groups, somewhere.
    fn range(&self, input: &mut Input<'_>, group: GroupLog2) -> Range<u64> {
        let leaves = self.prover.tree().leaves();
        let first = u64::from(input.byte()) % leaves;
        let len = 1 + u64::from(input.byte()) % 32;
        group.align(&(first..first.saturating_add(len).min(leaves)), leaves)
    }
}

fn group(input: &mut Input<'_>) -> GroupLog2 {
    GroupLog2::new(input.byte() % 11).unwrap_or(GroupLog2::KIB16)
}

/// Up to three runs, mostly small.
fn set(input: &mut Input<'_>) -> RangeSet {
    let runs = input.byte() % 4;
    (0..runs)
        .map(|_| {
            let first = u64::from(input.byte());
            first..first + u64::from(input.byte() % 32)
        })
        .collect()
}

/// Transfers of any kind, honest, damaged and invented, against one verifier whose size may be a
/// lie. Asserts: nothing panics, whatever counts as good equals the true bytes, every stored value
/// is the true one, only the true size gets proven, and the frontier survives a round trip.
pub fn verify(data: &[u8]) {
    let mut input = Input(data);
    let seed = input.byte();
    let blob = Blob::new(input.word(), seed);
    let size = blob.prover.tree().size();
    let claimed = match input.byte() % 4 {
        0 => size.wrapping_add(input.word()).wrapping_sub(0x8000),
        1 => input.long(),
        _ => size,
    };
    let mut verifier = Verifier::new(blob.id, claimed);
    let mut outboard = blob.outboard.clone();
    let mut sent = RangeSet::new();
    for _ in 0..64 {
        if input.0.is_empty() {
            break;
        }
        let group = group(&mut input);
        let (first, base, proof, data) = match input.byte() % 4 {
            0 => {
                let (first, base) = (input.long(), set(&mut input));
                let proof = input.word() % 1024;
                let proof = input.take(proof).to_vec();
                let data = input.word() % 4096;
                (first, base, proof, input.take(data).to_vec())
            }
            kind => {
                let range = blob.range(&mut input, group);
                let base = match input.byte() % 4 {
                    0 => set(&mut input),
                    1 => sent.clone(),
                    2 => RangeSet::new(),
                    _ => verifier.known().difference(&RangeSet::from(range.clone())),
                };
                let span = blob.prover.span(&range);
                let outboard = blob.outboard.as_slice();
                let proof = blob.prover.encode(outboard, group, &range, &base, blob.slice(&span));
                let mut proof = proof.expect("invariant: complete and aligned");
                let mut data = blob.slice(&range).to_vec();
                if kind == 1 {
                    damage(&mut proof, &mut input);
                }
                if kind == 2 {
                    damage(&mut data, &mut input);
                }
                sent.insert(range.clone());
                (range.start, base, proof, data)
            }
        };
        let before = verifier.known().clone();
        let verified = verifier.verify(group, first, &base, &proof, &data, &mut |at, cv| {
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            assert_eq!(outboard.get(at), Some(&cv), "a stored value is false");
            outboard[at] = cv;
        });
        match verified {
            Err(_) => assert_eq!(verifier.known(), &before, "a refusal changes nothing"),
            Ok(verified) => {
                for run in verified.good.runs() {
                    let end = run.end.min(first + (data.len() as u64).div_ceil(LEAF_BYTES).max(1));
                    assert_eq!(run.end, end, "only what was sent counts");
                    let tree = Tree::new(claimed);
                    let bytes = tree.bytes(run);
                    let from = usize::try_from(bytes.start - first * LEAF_BYTES);
                    let len = usize::try_from(bytes.end - bytes.start);
                    let at = usize::try_from(bytes.start);
                    let (Ok(from), Ok(len), Ok(at)) = (from, len, at) else { unreachable!() };
                    assert_eq!(
                        data.get(from..from + len),
                        blob.data.get(at..at + len),
                        "false bytes count as good"
                    );
                }
                assert!(verified.good.intersection(&before).is_empty());
                assert_eq!(verifier.known(), &before.union(&verified.good));
            }
        }
        assert!(!verifier.size_proven() || claimed == size, "a false size got proven");
    }
    let mut exported = Vec::new();
    verifier.export(&mut exported);
    let imported = Verifier::import(blob.id, claimed, &exported, outboard.as_slice());
    let imported = imported.expect("an exported frontier can be imported");
    assert_eq!(imported.known(), verifier.known());
    let mut again = vec![];
    imported.export(&mut again);
    assert_eq!(again, exported);
}

/// Flips, cuts or appends a few bytes.
fn damage(bytes: &mut Vec<u8>, input: &mut Input<'_>) {
    for _ in 0..1 + input.byte() % 3 {
        let at = usize::try_from(input.word()).unwrap_or(0);
        let value = input.byte();
        let len = bytes.len().max(1);
        match value {
            0 => bytes.truncate(at % len),
            1 => bytes.push(value),
            _ => {
                if let Some(byte) = bytes.get_mut(at % len) {
                    *byte ^= value;
                }
            }
        }
    }
}

/// Frontier bytes: an honest export, damaged by the input, or the input itself. Asserts: nothing
/// panics, and what is accepted is canonical (it exports to the same bytes).
pub fn frontier(data: &[u8]) {
    let mut input = Input(data);
    let seed = input.byte();
    let blob = Blob::new(input.word(), seed);
    let size = blob.prover.tree().size();
    let mut verifier = Verifier::new(blob.id, size);
    for _ in 0..input.byte() % 8 {
        let group = group(&mut input);
        let range = blob.range(&mut input, group);
        let base = verifier.known().difference(&RangeSet::from(range.clone()));
        let (outboard, span) = (blob.outboard.as_slice(), blob.prover.span(&range));
        let proof = blob.prover.encode(outboard, group, &range, &base, blob.slice(&span));
        let proof = proof.expect("invariant: complete and aligned");
        let mut bytes = blob.slice(&range).to_vec();
        if input.byte() % 4 == 0
            && let Some(last) = bytes.last_mut()
        {
            *last ^= 1;
        }
        let verified = verifier.verify(group, range.start, &base, &proof, &bytes, &mut |_, _| ());
        assert!(verified.is_ok(), "{verified:?}");
    }
    let mut bytes = Vec::new();
    verifier.export(&mut bytes);
    let claimed = if input.byte() % 8 == 0 { input.long() } else { size };
    match input.byte() % 4 {
        0 => bytes = input.0.to_vec(),
        1 => {}
        2 => damage(&mut bytes, &mut input),
        _ => {
            // Past the check, to the rules behind it.
            bytes.truncate(bytes.len() - 8);
            damage(&mut bytes, &mut input);
            bytes.extend_from_slice(&check(&bytes));
        }
    }
    let imported = Verifier::import(blob.id, claimed, &bytes, blob.outboard.as_slice());
    if let Ok(imported) = imported {
        let mut again = Vec::new();
        imported.export(&mut again);
        assert_eq!(again, bytes, "one form only");
        assert!(imported.nodes() <= Verifier::NODES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator (xorshift), so that the seeds below need no files.
    fn noise(seed: u64, len: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        (0..len)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect()
    }

    #[test]
    fn verify_holds_on_seeds() {
        verify(&[]);
        (0..300).for_each(|seed| verify(&noise(seed, 400)));
    }

    #[test]
    fn frontier_holds_on_seeds() {
        frontier(&[]);
        (0..300).for_each(|seed| frontier(&noise(seed, 120)));
    }
}
