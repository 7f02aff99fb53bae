//! Every range of small blobs, at every group size, through a verifier.
use samara_base::{GroupLog2, RangeSet};
use samara_tree::{Cv, OutboardBuilder, Prover, Verifier, hash};

#[test]
fn every_range_of_small_blobs_verifies() {
    for size in [0usize, 1, 1024, 1025, 5000, 16384, 16385, 20000, 32768, 50000, 70_000] {
        let blob: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let mut ob: Vec<Cv> = Vec::new();
        let mut b = OutboardBuilder::new();
        b.push(&blob, &mut |_, cv| ob.push(cv));
        let (id, n) = b.finish(&mut |_, cv| ob.push(cv));
        assert_eq!(id, hash(&blob));
        let prover = Prover::open(id, n, ob.as_slice()).unwrap();
        let tree = prover.tree();
        assert_eq!(ob.len() as u64, tree.stored_cvs());
        for g in 0..=10 {
            let group = GroupLog2::new(g).unwrap();
            let mut verifier = Verifier::new(id, n);
            let mut got = vec![Cv::default(); ob.len()];
            let mut at = 0;
            let mut base = RangeSet::new();
            while at < tree.leaves() {
                let range = at..(at + group.leaves()).min(tree.leaves());
                let span = prover.span(&range);
                let s = tree.bytes(&span);
                let proof = prover
                    .encode(
                        ob.as_slice(),
                        group,
                        &range,
                        &base,
                        &blob[s.start as usize..s.end as usize],
                    )
                    .unwrap();
                let s = tree.bytes(&range);
                let v = verifier
                    .verify(
                        group,
                        at,
                        &base,
                        &proof,
                        &blob[s.start as usize..s.end as usize],
                        &mut |i, cv| got[i as usize] = cv,
                    )
                    .unwrap();
                assert_eq!(v.good, RangeSet::from(range.clone()));
                base.insert(range.clone());
                let mut e = vec![];
                verifier.export(&mut e);
                let v2 = Verifier::import(id, n, &e, got.as_slice()).unwrap();
                assert_eq!(v2.known(), verifier.known());
                at = range.end;
            }
            assert!(verifier.is_complete() && verifier.size_proven());
            assert_eq!(got, ob);
        }
    }
}
