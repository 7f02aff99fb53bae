//! How much of a stored outboard is read: once to open, then only what a proof needs.

mod common;

use core::{cell::RefCell, convert::Infallible, ops::Range};

use common::Blob;
use samara_base::{GroupLog2, RangeSet};
use samara_tree::{Cv, CvSource, Prover, Verifier};

/// An outboard that notes which values are read.
struct Noting<'a> {
    outboard: &'a [Cv],
    reads: RefCell<Vec<Range<u64>>>,
}

impl CvSource for Noting<'_> {
    type Error = Infallible;

    fn read_cvs(&self, first_group: u64, out: &mut [Cv]) -> Result<(), Infallible> {
        let from = first_group as usize;
        out.copy_from_slice(&self.outboard[from..from + out.len()]);
        self.reads.borrow_mut().push(first_group..first_group + out.len() as u64);
        Ok(())
    }
}

impl<'a> Noting<'a> {
    fn new(outboard: &'a [Cv]) -> Self {
        Self { outboard, reads: RefCell::default() }
    }

    /// Number of values read since the last call, and number of reads.
    fn take(&self) -> (u64, usize) {
        let reads = self.reads.take();
        (reads.iter().map(|read| read.end - read.start).sum(), reads.len())
    }
}

const SIZE: usize = 128 << 20;
/// At this size, 2,048 nodes of 64 leaves are cached, with 4 stored values below each.
const BELOW: u64 = 4;

/// What each request reads: an empty base, the middle of the blob; then its neighbour; a frame.
fn assert_frugal(encode: impl Fn(&Noting<'_>, Range<u64>, &RangeSet) -> usize, outboard: &[Cv]) {
    let source = Noting::new(outboard);
    let middle = 100_000 & !63;
    assert_eq!(encode(&source, middle..middle + 16, &RangeSet::new()), 13 * 64);
    // The value that the data is checked against, and the others under the cached node.
    let (cvs, reads) = source.take();
    assert!(cvs <= BELOW && reads <= 4, "{cvs} values in {reads} reads");
    let base = RangeSet::from(middle..middle + 16);
    let len = encode(&source, middle + 16..middle + 32, &base);
    assert!(len <= 64);
    let (cvs, reads) = source.take();
    assert!(cvs <= 2 && reads <= 2, "{cvs} values in {reads} reads");
    encode(&source, 65_536..65_536 + 1_024, &RangeSet::new());
    assert_eq!(source.take(), (64, 1), "a frame reads its own values, at once");
}

#[test]
fn a_prover_reads_the_outboard_once_and_then_what_it_needs() {
    let blob = Blob::new(vec![0; SIZE]);
    let source = Noting::new(&blob.outboard);
    let prover = Prover::open(blob.id, blob.size, &source).expect("own outboard");
    assert_eq!(source.take(), (SIZE as u64 >> 14, SIZE >> 22));
    let encode = |source: &Noting<'_>, range: Range<u64>, base: &RangeSet| {
        let proof = prover.encode(source, GroupLog2::KIB16, &range, base, blob.slice(&range));
        proof.expect("complete").len()
    };
    assert_frugal(encode, &blob.outboard);
}

#[test]
fn a_getter_that_is_not_done_reads_as_little() {
    let blob = Blob::new(vec![0; SIZE]);
    let mut getter = Verifier::new(blob.id, blob.size);
    let mut got = vec![Cv::default(); blob.outboard.len()];
    let leaves = blob.tree().leaves();
    let prover = blob.prover();
    // All but the last megabyte, at 64 KiB.
    for first in (0..leaves - 1_024).step_by(1_024) {
        let (range, base) = (first..first + 1_024, getter.known().clone());
        let (group, data) = (GroupLog2::KIB64, blob.slice(&range));
        let stored = blob.outboard.as_slice();
        let proof = prover.encode(stored, group, &range, &base, data).expect("complete");
        let mut keep = |at: u64, cv| got[at as usize] = cv;
        let verified = getter.verify(group, first, &base, &proof, data, &mut keep).expect("true");
        assert!(verified.bad.is_empty());
    }
    assert!(!getter.is_complete());
    let encode = |source: &Noting<'_>, range: Range<u64>, base: &RangeSet| {
        let data = blob.slice(&range);
        let proof = getter.encode(source, GroupLog2::KIB16, &range, base, data);
        proof.expect("held").len()
    };
    assert_frugal(encode, &got);
}

#[test]
fn a_reference_to_a_source_reads_what_the_source_has() {
    let blob = Blob::painted(40_000);
    let source = Noting::new(&blob.outboard);
    assert!(Prover::open(blob.id, blob.size, &&source).is_ok());
    assert_eq!(source.take(), (3, 1));
}

#[test]
fn a_blob_of_32_mib_or_less_is_proven_from_memory() {
    let blob = Blob::new(vec![0; 32 << 20]);
    let source = Noting::new(&blob.outboard);
    let prover = Prover::open(blob.id, blob.size, &source).expect("own outboard");
    assert_eq!(source.take().0, 2_048);
    for (log2, range) in [(0, 5..6), (4, 16..32), (10, 0..32_768)] {
        let data = blob.slice(&prover.span(&range));
        let nothing = RangeSet::new();
        prover.encode(&source, common::group(log2), &range, &nothing, data).expect("complete");
    }
    assert_eq!(source.take(), (0, 0));
}
