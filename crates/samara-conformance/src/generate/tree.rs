use core::ops::Range;

use samara_base::{BlobId, GroupLog2, RangeSet};
use samara_tree::{Cv, OutboardBuilder, Prover, Tree, Verifier, hash};
use serde_json::{Value, json};

use super::List;
use crate::{
    Codec, Params,
    ours::{Pattern, bytes, number, ranges},
};

const RFC: &str = "rfcs/0002-identity.md";

/// Sizes at which something changes: around leaves, groups and powers of two.
const SIZES: [usize; 26] = [
    0, 1, 2, 3, 63, 64, 65, 1023, 1024, 1025, 2048, 2049, 3072, 3073, 4096, 5000, 8192, 16_383,
    16_384, 16_385, 31_744, 32_768, 40_000, 65_537, 102_400, 262_145,
];

pub(super) fn identity() -> List {
    let about = "The id of data that the params describe.";
    let mut list = List::new("identity", Codec::Identity, RFC, about);
    for len in SIZES {
        let params = Params::from_iter([("data".to_owned(), Pattern::new(len).to_json())]);
        list.valid(&format!("{len} bytes"), &params, &[], Some("TREE-1"));
    }
    let mut flipped = Pattern::new(5000);
    flipped.flip(4999);
    let params = Params::from_iter([("data".to_owned(), flipped.to_json())]);
    list.valid("5,000 bytes, the last one another", &params, &[], Some("TREE-1"));
    list
}

/// A blob with its outboard.
pub(super) struct Blob {
    pattern: Pattern,
    pub(super) data: Vec<u8>,
    pub(super) id: BlobId,
    outboard: Vec<Cv>,
}

impl Blob {
    pub(super) fn new(len: usize) -> Self {
        let pattern = Pattern::new(len);
        let data = pattern.bytes();
        let mut outboard = vec![Cv::default(); usize_of(Tree::new(len as u64).stored_cvs())];
        let mut sink = |at: u64, cv: Cv| {
            if let Some(place) = outboard.get_mut(usize_of(at)) {
                *place = cv;
            }
        };
        let mut builder = OutboardBuilder::new();
        builder.push(&data, &mut sink);
        let (id, _) = builder.finish(&mut sink);
        Self { id, pattern, data, outboard }
    }

    fn size(&self) -> u64 {
        self.data.len() as u64
    }

    fn leaves(&self) -> u64 {
        Tree::new(self.size()).leaves()
    }

    pub(super) fn slice(&self, leaves: &Range<u64>) -> &[u8] {
        let bytes = Tree::new(self.size()).bytes(leaves);
        self.data.get(usize_of(bytes.start)..usize_of(bytes.end)).unwrap_or_default()
    }

    fn outboard_bytes(&self) -> Vec<u8> {
        self.outboard.iter().flat_map(|cv| cv.0).collect()
    }

    pub(super) fn proof(&self, group: GroupLog2, range: &Range<u64>, base: &RangeSet) -> Vec<u8> {
        let Ok(prover) = Prover::open(self.id, self.size(), self.outboard.as_slice()) else {
            return Vec::new();
        };
        let span = prover.span(range);
        let data = self.slice(&span);
        prover.encode(self.outboard.as_slice(), group, range, base, data).unwrap_or_default()
    }

    /// The params of a transfer of sound data.
    fn step(&self, group: GroupLog2, range: &Range<u64>, base: &RangeSet) -> Step {
        Step {
            group: group.get(),
            range: range.clone(),
            base: base.clone(),
            data: self.pattern.clone(),
            proof: self.proof(group, range, base),
        }
    }

    fn params(&self, step: &Step, before: &[&Step]) -> Params {
        let mut params = step.params();
        params.insert("id".to_owned(), bytes(self.id.as_bytes()));
        params.insert("size".to_owned(), number(self.size()));
        let before = before.iter().map(|step| {
            let mut params = step.params();
            params.insert("proof".to_owned(), bytes(&step.proof));
            Value::Object(params)
        });
        params.insert("before".to_owned(), before.collect());
        params
    }
}

/// A transfer.
#[derive(Clone)]
struct Step {
    group: u8,
    range: Range<u64>,
    base: RangeSet,
    data: Pattern,
    proof: Vec<u8>,
}

impl Step {
    fn params(&self) -> Params {
        let value = json!({
            "group": number(self.group),
            "first": number(self.range.start),
            "end": number(self.range.end),
            "base": ranges(&self.base),
            "data": self.data.to_json(),
        });
        match value {
            Value::Object(params) => params,
            _ => Params::new(),
        }
    }

    fn flip(mut self, at: usize) -> Self {
        self.data.flip(at);
        self
    }
}

fn usize_of(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn group(log2: u8) -> GroupLog2 {
    GroupLog2::new(log2).unwrap_or(GroupLog2::MIN)
}

pub(super) fn outboard() -> List {
    let about = "The stored values of the 16 KiB groups of a blob.";
    let mut list = List::new("outboard", Codec::Outboard, RFC, about);
    let params = |blob: &Blob, size: u64| {
        Params::from_iter([
            ("id".to_owned(), bytes(blob.id.as_bytes())),
            ("size".to_owned(), number(size)),
        ])
    };
    for len in [0, 1, 1025, 16_384, 16_385, 32_768, 32_769, 40_000, 65_537, 102_400, 262_145] {
        let blob = Blob::new(len);
        let sound = params(&blob, blob.size());
        let stored = blob.outboard_bytes();
        list.valid(&format!("of {len} bytes"), &sound, &stored, Some("TREE-15"));
        let with = |value: u8| [stored.clone(), vec![value; 32]].concat();
        list.invalid(
            "TREE-15",
            &format!("of {len} bytes, with a value too many"),
            &sound,
            &with(0),
        );
        let mut odd = stored.clone();
        odd.push(0);
        list.invalid("TREE-15", &format!("of {len} bytes, with a byte too many"), &sound, &odd);
        if stored.is_empty() {
            continue;
        }
        let fewer = stored.get(..stored.len() - 32).unwrap_or_default();
        list.invalid("TREE-15", &format!("of {len} bytes, without its last value"), &sound, fewer);
        for at in [0, stored.len() / 2, stored.len() - 1] {
            let mut bad = stored.clone();
            if let Some(byte) = bad.get_mut(at) {
                *byte ^= 0x80;
            }
            let comment = format!("of {len} bytes, with a bit of byte {at} flipped");
            list.invalid("TREE-16", &comment, &sound, &bad);
        }
        let mut turned = stored.clone();
        if let Some((a, rest)) = turned.split_first_chunk_mut::<32>()
            && let Some(b) = rest.first_chunk_mut::<32>()
        {
            core::mem::swap(a, b);
        }
        list.invalid("TREE-16", &format!("of {len} bytes, two values swapped"), &sound, &turned);
        let another = params(&Blob::new(len + 1), blob.size());
        list.invalid("TREE-16", &format!("of {len} bytes, of another blob"), &another, &stored);
    }
    list
}

pub(super) fn transfer() -> List {
    let about = "A proof with its data, for a receiver that took other transfers before. The input is the proof.";
    let mut list = List::new("transfer", Codec::Transfer, RFC, about);
    let none = RangeSet::new();
    for len in [0, 1, 1024, 1025, 2049, 5000, 16_384, 16_385, 40_000, 102_400, 262_145] {
        let blob = Blob::new(len);
        for log2 in [0, 2, 4, 6, 10] {
            let unit = group(log2).leaves();
            let leaves = blob.leaves();
            let last = (leaves - 1) / unit * unit;
            let mut all = vec![0..leaves, 0..unit.min(leaves), last..leaves];
            all.dedup();
            if leaves <= unit {
                all.truncate(1);
            }
            for range in all {
                let step = blob.step(group(log2), &range, &none);
                let comment = format!("{range:?} of {len} bytes in groups of 2^{log2}");
                list.valid(&comment, &blob.params(&step, &[]), &step.proof, Some("TREE-4"));
            }
        }
    }
    known(&mut list);
    remains(&mut list);
    refused(&mut list);
    sizes(&mut list);
    list
}

/// Transfers relative to a base.
fn known(list: &mut List) {
    let (blob, none) = (Blob::new(40_000), RangeSet::new());
    let first = blob.step(group(0), &(0..1), &none);
    let base = RangeSet::from(0..1);
    for (log2, range) in [(0, 1..2), (0, 2..3), (0, 39..40), (2, 36..40), (4, 32..40), (4, 16..32)]
    {
        let step = blob.step(group(log2), &range, &base);
        let comment = format!("{range:?} in groups of 2^{log2}, leaf 0 known");
        list.valid(&comment, &blob.params(&step, &[&first]), &step.proof, Some("TREE-4"));
        let comment =
            format!("{range:?} in groups of 2^{log2}, leaf 0 named as known and not held");
        list.invalid("TREE-6", &comment, &blob.params(&step, &[]), &step.proof);
    }
    // The base is older than what the receiver knows: pairs come again, and are not looked at.
    let mut step = blob.step(group(0), &(39..40), &none);
    if let Some(byte) = step.proof.first_mut() {
        *byte ^= 1;
    }
    list.invalid("TREE-8", "a false pair of the root", &blob.params(&step, &[]), &step.proof);
    list.valid(
        "a false pair of the root, which the receiver has already",
        &blob.params(&step, &[&first]),
        &step.proof,
        Some("TREE-9"),
    );
    let again = blob.step(group(0), &(0..2), &none).flip(7);
    list.valid(
        "false data for leaf 0, which is held, and sound data for leaf 1",
        &blob.params(&again, &[&first]),
        &again.proof,
        Some("TREE-9"),
    );
    let all = blob.step(group(4), &(0..40), &none);
    list.valid("all of it again", &blob.params(&all, &[&all]), &all.proof, Some("TREE-9"));
    // One bad group among good ones.
    let spoilt = blob.step(group(4), &(0..40), &none).flip(20_000);
    list.invalid("TREE-10", "one bad group of three", &blob.params(&spoilt, &[]), &spoilt.proof);
    let held = RangeSet::from_iter([0..16, 32..40]);
    let rest = blob.step(group(4), &(16..32), &held);
    list.valid(
        "the bad group again, relative to the good ones",
        &blob.params(&rest, &[&spoilt]),
        &rest.proof,
        Some("TREE-11"),
    );
    let comment = "two good groups and a bad one came before; all again";
    list.valid(comment, &blob.params(&all, &[&spoilt]), &all.proof, Some("TREE-11"));
    // A transfer that was refused changes nothing.
    let mut broken = all.clone();
    if let Some(byte) = broken.proof.last_mut() {
        *byte ^= 1;
    }
    let comment = "a transfer with a false pair was refused before";
    list.valid(comment, &blob.params(&all, &[&broken]), &all.proof, Some("TREE-12"));
    let later = blob.step(group(4), &(32..40), &RangeSet::from(0..16));
    let comment = "relative to leaves of a transfer that was refused";
    list.invalid("TREE-21", comment, &blob.params(&later, &[&broken]), &later.proof);
}

/// What remains of transfers that were refused or had bad groups.
fn remains(list: &mut List) {
    let (blob, none) = (Blob::new(40_000), RangeSet::new());
    // A true pair of the root, and a false one below it.
    let mut broken = blob.step(group(0), &(0..1), &none);
    if let Some(byte) = broken.proof.get_mut(64) {
        *byte ^= 1;
    }
    let later = blob.step(group(0), &(39..40), &RangeSet::from(0..1));
    let comment = "relative to the true pair of a transfer that was refused for a false one";
    list.invalid("TREE-21", comment, &blob.params(&later, &[&broken]), &later.proof);
    let again = blob.step(group(0), &(39..40), &none);
    let comment = "with the pairs of a transfer that was refused for a false one";
    list.valid(comment, &blob.params(&again, &[&broken]), &again.proof, Some("TREE-21"));
    // Its base leaves out what the receiver lacks, behind a pair that it has opened.
    let first = blob.step(group(0), &(0..1), &none);
    let lacking = blob.step(group(0), &(16..40), &RangeSet::from_iter([0..1, 33..34]));
    let comment = "relative to the pairs of a transfer that was refused for what its base left out";
    let later = blob.step(group(0), &(17..18), &RangeSet::from_iter([0..1, 16..17]));
    list.invalid("TREE-21", comment, &blob.params(&later, &[&first, &lacking]), &later.proof);
    // All of its groups are bad, and its pairs are true.
    let spoilt = blob.step(group(0), &(0..1), &none).flip(0);
    let comment = "relative to the pairs of a transfer whose only group was bad";
    let after = blob.step(group(0), &(1..2), &RangeSet::from(0..1));
    list.valid(comment, &blob.params(&after, &[&spoilt]), &after.proof, Some("TREE-11"));
    // A group that was opened in smaller groups before.
    let spoilt = blob.step(group(4), &(0..16), &none).flip(5 * 1024);
    let params = blob.params(&spoilt, &[&first]);
    list.invalid("TREE-10", "a bad node of a group that was opened before", &params, &spoilt.proof);
    let again = blob.step(group(4), &(0..16), &none);
    let comment = "the group again, of which one node was bad";
    list.valid(comment, &blob.params(&again, &[&first, &spoilt]), &again.proof, Some("TREE-23"));
    let part = blob.step(group(2), &(4..8), &RangeSet::from_iter([0..4, 8..16]));
    let comment = "the bad node alone, relative to the good ones of its group";
    list.valid(comment, &blob.params(&part, &[&first, &spoilt]), &part.proof, Some("TREE-23"));
    let comment = "the bad node alone, where the group was not opened before";
    list.invalid("TREE-6", comment, &blob.params(&part, &[&spoilt]), &part.proof);
}

/// What a receiver refuses.
fn refused(list: &mut List) {
    let none = RangeSet::new();
    for (len, log2, range) in
        [(2049, 0, 1..2), (40_000, 2, 8..12), (262_145, 4, 16..32), (102_400, 0, 99..100)]
    {
        let blob = Blob::new(len);
        let step = blob.step(group(log2), &range, &none);
        let params = blob.params(&step, &[]);
        let what = format!("{range:?} of {len} bytes");
        for at in (0..step.proof.len()).step_by(29) {
            let mut proof = step.proof.clone();
            if let Some(byte) = proof.get_mut(at) {
                *byte ^= 4;
            }
            let comment = format!("{what}, a bit of byte {at} of the proof flipped");
            list.invalid("TREE-8", &comment, &params, &proof);
        }
        let mut turned = step.proof.clone();
        if let Some((a, rest)) = turned.split_first_chunk_mut::<32>()
            && let Some(b) = rest.first_chunk_mut::<32>()
        {
            core::mem::swap(a, b);
        }
        list.invalid(
            "TREE-8",
            &format!("{what}, the children of the root swapped"),
            &params,
            &turned,
        );
        let short = step.proof.get(64..).unwrap_or_default();
        list.invalid("TREE-7", &format!("{what}, the first pair left out"), &params, short);
        let long = [step.proof.clone(), vec![0; 64]].concat();
        list.invalid("TREE-7", &format!("{what}, a pair too many"), &params, &long);
        let odd = [step.proof.clone(), vec![0]].concat();
        list.invalid("TREE-7", &format!("{what}, a byte too many"), &params, &odd);
        let at = usize_of(range.start * 1024);
        let bad = step.clone().flip(at);
        list.invalid(
            "TREE-10",
            &format!("{what}, a bit of the data flipped"),
            &blob.params(&bad, &[]),
            &step.proof,
        );
        let mut other = blob.params(&step, &[]);
        other.insert("id".to_owned(), bytes(Blob::new(len + 1).id.as_bytes()));
        list.invalid(
            "TREE-8",
            &format!("{what}, under the id of another blob"),
            &other,
            &step.proof,
        );
    }
    let blob = Blob::new(40_000);
    for (log2, range, proof) in
        [(2, 1..5, 4..8), (4, 0..17, 0..16), (4, 8..24, 0..16), (1, 39..40, 38..40)]
    {
        let sound = blob.step(group(log2), &proof, &none);
        let step = Step { range: range.clone(), ..sound };
        let comment = format!("{range:?} in groups of 2^{log2}: not whole groups");
        list.invalid("TREE-7", &comment, &blob.params(&step, &[]), &step.proof);
    }
}

/// Sizes that are claimed.
fn sizes(list: &mut List) {
    let none = RangeSet::new();
    for (len, claimed) in [
        (2049, 2048),
        (2049, 2050),
        (2049, 3073),
        (40_000, 39_999),
        (40_000, 40_001),
        (40_000, 41_000),
        (1024, 1025),
    ] {
        let (blob, liar) = (Blob::new(len), Blob::new(claimed));
        // The true last leaf under the claimed size.
        let last = blob.leaves() - 1;
        let step = blob.step(group(0), &(last..last + 1), &none);
        let mut params = blob.params(&step, &[]);
        params.insert("size".to_owned(), number(liar.size()));
        let comment = format!("the last leaf of {len} bytes, claimed to be {claimed}");
        let req =
            if Tree::new(liar.size()).leaves() == blob.leaves() { "TREE-13" } else { "TREE-2" };
        list.invalid(req, &comment, &params, &step.proof);
    }
    // Another leaf is true whatever the size is, as long as the tree has the same shape.
    let blob = Blob::new(40_000);
    let step = blob.step(group(0), &(0..1), &none);
    let mut params = blob.params(&step, &[]);
    params.insert("size".to_owned(), number(40_001));
    list.valid("the first leaf under a false size", &params, &step.proof, Some("TREE-13"));
}

pub(super) fn frontier() -> List {
    let about = "What is kept of a partial blob, beside its stored values.";
    let mut list = List::new("frontier", Codec::Frontier, RFC, about);
    let cases: [(usize, &[Part<'_>]); 10] = [
        (0, &[]),
        (1, &[]),
        (2049, &[]),
        (2049, &[(0, 2..3, &[]), (0, 0..1, &[])]),
        (5000, &[(0, 4..5, &[]), (0, 2..4, &[])]),
        (40_000, &[(4, 0..16, &[])]),
        (40_000, &[(4, 32..40, &[]), (0, 5..6, &[])]),
        (102_400, &[(0, 0..1, &[]), (0, 50..51, &[]), (0, 99..100, &[])]),
        (262_145, &[(4, 0..64, &[]), (4, 256..257, &[])]),
        (1024, &[(0, 0..1, &[])]),
    ];
    for (len, parts) in cases {
        let (params, exported) = kept(&Blob::new(len), parts);
        let what = format!("of {len} bytes with {} parts", parts.len());
        list.valid(&what, &params, &exported, Some("TREE-18"));
        spoil(&mut list, &what, &params, &exported);
    }
    let siblings: [(&str, usize, &[Part<'_>]); 4] = [
        ("two open siblings", 2049, &[(0, 2..3, &[]), (0, 0..2, &[0, 1024])]),
        ("two open siblings and nothing held", 40_000, &[(4, 0..40, &[0, 16_384, 32_768])]),
        ("two held siblings in a group that is not complete", 5000, &[(0, 0..2, &[])]),
        ("the same leaves held as one node", 5000, &[(1, 0..2, &[])]),
    ];
    for (what, len, parts) in siblings {
        let (params, exported) = kept(&Blob::new(len), parts);
        list.valid(what, &params, &exported, Some("TREE-18"));
        spoil(&mut list, what, &params, &exported);
    }
    list
}

/// A transfer that came: group size, leaves, and bytes of which a bit was flipped.
type Part<'a> = (u8, Range<u64>, &'a [usize]);

/// What is kept after some transfers: params and frontier.
fn kept(blob: &Blob, parts: &[Part<'_>]) -> (Params, Vec<u8>) {
    let (mut verifier, mut values) = (Verifier::new(blob.id, blob.size()), Vec::new());
    for (log2, range, flip) in parts {
        let base = verifier.known().clone();
        let proof = blob.proof(group(*log2), range, &base);
        let mut sink = |at, cv| values.push((at, cv));
        let mut data = blob.slice(range).to_vec();
        for at in *flip {
            if let Some(byte) = data.get_mut(*at) {
                *byte ^= 1;
            }
        }
        // The proofs are sound; what is not held is missing in the value.
        let _ = verifier.verify(group(*log2), range.start, &base, &proof, &data, &mut sink);
    }
    let mut stored = vec![Cv::default(); blob.outboard.len()];
    for (at, cv) in values {
        if let Some(place) = stored.get_mut(usize_of(at)) {
            *place = cv;
        }
    }
    let stored: Vec<u8> = stored.iter().flat_map(|cv| cv.0).collect();
    let params = Params::from_iter([
        ("id".to_owned(), bytes(blob.id.as_bytes())),
        ("size".to_owned(), number(blob.size())),
        ("outboard".to_owned(), bytes(&stored)),
    ]);
    let mut exported = Vec::new();
    verifier.export(&mut exported);
    (params, exported)
}

/// A frontier whose check is that of its bytes.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let check = *hash(&bytes).as_bytes();
    bytes.extend(check.iter().take(8));
    bytes
}

fn spoil(list: &mut List, what: &str, params: &Params, exported: &[u8]) {
    let body = exported.get(..exported.len() - 8).unwrap_or_default().to_vec();
    let with = |at: usize, change: u8| {
        let mut bytes = body.clone();
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= change;
        }
        bytes
    };
    if !list.has(params, &[]) {
        list.invalid("TREE-18", &format!("{what}: nothing at all"), params, &[]);
    }
    let mut bad = |req: &str, comment: &str, bytes: &[u8]| {
        list.invalid(req, &format!("{what}: {comment}"), params, bytes);
    };
    bad(
        "TREE-18",
        "the last byte of the check is missing",
        exported.get(..exported.len() - 1).unwrap_or_default(),
    );
    bad("TREE-18", "a byte behind the check", &[exported, &[0]].concat());
    bad("TREE-18", "another magic", &sealed(with(3, 3)));
    bad(
        "TREE-18",
        "one node too many in the count",
        &sealed({
            let mut bytes = body.clone();
            if let Some(byte) = bytes.get_mut(4) {
                *byte += 1;
            }
            bytes
        }),
    );
    let mut flipped = exported.to_vec();
    if let Some(byte) = flipped.last_mut() {
        *byte ^= 1;
    }
    bad("TREE-18", "a bit of the check flipped", &flipped);
    if body.len() >= 48 {
        bad("TREE-18", "another level of the first node", &sealed(with(15, 1)));
        bad("TREE-19", "another value of the first node", &sealed(with(16, 1)));
    }
    if body.len() >= 88 {
        let mut turned = body.clone();
        if let Some((a, rest)) =
            turned.get_mut(8..).and_then(|nodes| nodes.split_first_chunk_mut::<40>())
            && let Some(b) = rest.first_chunk_mut::<40>()
        {
            core::mem::swap(a, b);
        }
        bad("TREE-18", "nodes that descend", &sealed(turned));
        let mut twice = body.clone();
        let (head, first) = (body.get(8..48).unwrap_or_default().to_vec(), 48);
        twice.splice(first..first, head);
        if let Some(count) = twice.get_mut(4) {
            *count += 1;
        }
        bad("TREE-18", "a node twice", &sealed(twice));
    }
}
