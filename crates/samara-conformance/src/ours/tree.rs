use samara_base::{GroupLog2, RangeSet};
use samara_tree::{Cv, Prover, Tree, Verifier, hash};
use serde_json::{Value, json};

use super::{
    Outcome, Pattern,
    json::{Object, bytes, number, ranges},
};
use crate::Params;

pub(super) fn identity(params: &Params, input: &[u8]) -> Outcome<Value> {
    if !input.is_empty() {
        return Err("the input has to be empty".to_owned());
    }
    let data = Pattern::read(Object::of(params).get("data")?)?;
    Ok(bytes(hash(&data.bytes()).as_bytes()))
}

/// Stored values of groups; `None` unless they are whole.
fn values(stored: &[u8]) -> Option<Vec<Cv>> {
    let (values, rest) = stored.as_chunks::<{ Cv::LEN }>();
    rest.is_empty().then(|| values.iter().map(|value| Cv(*value)).collect())
}

pub(super) fn outboard(params: &Params, input: &[u8]) -> Outcome<Value> {
    let params = Object::of(params);
    let (id, size) = (params.id("id")?, params.number("size")?);
    let stored = values(input).ok_or("not a multiple of 32 bytes")?;
    if stored.len() as u64 != Tree::new(size).stored_cvs() {
        return Err(format!("{} values are not as many as the size says", stored.len()));
    }
    Prover::open(id, size, stored.as_slice()).map_err(|error| error.to_string())?;
    Ok(json!({ "groups": number(stored.len()) }))
}

/// A transfer as it stands in the params, or in the list of those before.
struct Transfer {
    group: GroupLog2,
    first: u64,
    base: RangeSet,
    data: Vec<u8>,
}

impl Transfer {
    fn read(object: Object<'_>) -> Outcome<Self> {
        let group = GroupLog2::new(object.number("group")?).ok_or("no such group size")?;
        let (first, end) = (object.number::<u64>("first")?, object.number::<u64>("end")?);
        let whole = Pattern::read(object.get("data")?)?.bytes();
        let at = |leaf: u64| {
            let byte = usize::try_from(leaf.saturating_mul(1024)).unwrap_or(usize::MAX);
            byte.min(whole.len())
        };
        let data = whole.get(at(first)..at(end)).ok_or("`end` is before `first`")?.to_vec();
        Ok(Self { group, first, base: object.ranges("base")?, data })
    }

    fn verify(&self, verifier: &mut Verifier, proof: &[u8]) -> Outcome<(RangeSet, RangeSet)> {
        let verified = verifier
            .verify(self.group, self.first, &self.base, proof, &self.data, &mut |_, _| ())
            .map_err(|error| error.to_string())?;
        Ok((verified.good, verified.bad))
    }
}

pub(super) fn transfer(params: &Params, proof: &[u8]) -> Outcome<Value> {
    let params = Object::of(params);
    let mut verifier = Verifier::new(params.id("id")?, params.number("size")?);
    for before in params.list("before")? {
        let before = Object::new(before)?;
        // Those may be refused: what is tested is what the receiver holds afterwards.
        let _ = Transfer::read(before)?.verify(&mut verifier, &before.bytes("proof")?);
    }
    let (good, bad) = Transfer::read(params)?.verify(&mut verifier, proof)?;
    if !bad.is_empty() {
        return Err(format!("the data of the leaves {bad} is not the blob's"));
    }
    Ok(json!({ "good": ranges(&good), "size_proven": verifier.size_proven() }))
}

pub(super) fn frontier(params: &Params, input: &[u8]) -> Outcome<Value> {
    let params = Object::of(params);
    let (id, size) = (params.id("id")?, params.number("size")?);
    let stored = values(&params.bytes("outboard")?).ok_or("not a multiple of 32 bytes")?;
    let verifier = Verifier::import(id, size, input, stored.as_slice());
    let verifier = verifier.map_err(|error| error.to_string())?;
    Ok(json!({ "held": ranges(verifier.known()) }))
}
