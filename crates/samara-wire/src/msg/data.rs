use bytes::{BufMut, Bytes};
use nom::{Parser, combinator::rest};
use samara_base::leaves;

use super::Codec;
use crate::{
    DecodeError, DecodeReason, EncodeError, Field,
    encoded::Writer,
    limits::{LEAVES_END_MAX, PROOF_MAX, PROOF_PAIR},
    parse::{Fault, Parsed, bytes, share, varint, varint_max, whole},
    registry::kind,
};

/// `DATA`: a run of groups with its proof. Spec: RFC 0003; what follows from it: RFC 0002, 0007.
///
/// ```text
/// +--------+---------+----------------+-------+---------------------+
/// | want v | first v | proof length v | proof | data, to the end    |   v = varint
/// +--------+---------+----------------+-------+---------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "callers build it")]
pub struct Data {
    /// Number of the want.
    pub want: u64,
    /// First leaf of `data`. Unit: leaves.
    pub first: u64,
    /// Pairs of chaining values. At most [`PROOF_MAX`](crate::PROOF_MAX) bytes, a multiple of
    /// [`PROOF_PAIR`](crate::PROOF_PAIR); shares the frame's memory.
    pub proof: Bytes,
    /// The bytes of the blob; shares the frame's memory. Empty only for the empty blob, and then
    /// `first` is 0 and `proof` empty.
    pub data: Bytes,
}

impl Data {
    /// The kind of the frame.
    pub const KIND: u64 = kind::DATA;

    /// Bytes that count against the peer's credit: proof and data. Unit: bytes.
    #[must_use]
    pub const fn bulk_len(&self) -> u64 {
        (self.proof.len() + self.data.len()) as u64
    }
}

/// Fields of a DATA whose parts still lie in the body.
type View<'a> = (u64, u64, &'a [u8], &'a [u8]);

fn parse(input: &[u8]) -> Parsed<'_, View<'_>> {
    let (first_at, want) = varint(Field::Want).parse(input)?;
    let (length_at, first) = varint_max(Field::First, LEAVES_END_MAX).parse(first_at)?;
    //= rfcs/0003-encoding.md#enc-31
    //# A decoder MUST reject a DATA whose proof is longer than 8,192 bytes or not a multiple of 64
    //# bytes.
    let (proof_at, found) = varint_max(Field::Proof, PROOF_MAX as u64).parse(length_at)?;
    let unit = PROOF_PAIR as u64;
    if !found.is_multiple_of(unit) {
        return Fault::at(length_at, Field::Proof, DecodeReason::Unaligned { found, unit });
    }
    let proof_len = usize::try_from(found).unwrap_or(usize::MAX);
    let (end, (proof, data)) =
        (bytes(Field::Proof, proof_len), rest::<_, Fault>).parse(proof_at)?;
    //= rfcs/0003-encoding.md#enc-32
    //# A decoder MUST reject a DATA without data unless its first leaf is 0 and its proof empty.
    if data.is_empty() && (first != 0 || !proof.is_empty()) {
        return Fault::at(data, Field::Data, DecodeReason::Empty);
    }
    //= rfcs/0003-encoding.md#enc-33
    //# A decoder MUST reject a DATA whose last leaf ends above 2^54.
    let found = first + leaves(data.len() as u64);
    if found > LEAVES_END_MAX {
        let reason = DecodeReason::TooLarge { found, max: LEAVES_END_MAX };
        return Fault::at(first_at, Field::First, reason);
    }
    Ok((end, (want, first, proof, data)))
}

impl Codec for Data {
    fn decode(body: &Bytes) -> Result<Self, DecodeError> {
        let (want, first, proof, data) = whole(body, parse)?;
        Ok(Self { want, first, proof: share(body, proof), data: share(body, data) })
    }

    fn hint(&self) -> usize {
        // Two varints of eight bytes, one of two.
        18 + self.proof.len()
    }

    fn put(&self, out: &mut Writer) -> Result<(), EncodeError> {
        let (found, unit) = (self.proof.len() as u64, PROOF_PAIR as u64);
        if found > PROOF_MAX as u64 {
            let max = PROOF_MAX as u64;
            return Err(EncodeError::TooLarge { field: Field::Proof, found, max });
        }
        if !found.is_multiple_of(unit) {
            return Err(EncodeError::Unaligned { field: Field::Proof, found, unit });
        }
        if self.data.is_empty() && (self.first != 0 || !self.proof.is_empty()) {
            return Err(EncodeError::Empty { field: Field::Data });
        }
        let end = self.first.saturating_add(leaves(self.data.len() as u64));
        if end > LEAVES_END_MAX {
            let max = LEAVES_END_MAX;
            return Err(EncodeError::TooLarge { field: Field::First, found: end, max });
        }
        out.varint(Field::Want, self.want)?;
        out.varint(Field::First, self.first)?;
        out.varint(Field::Proof, found)?;
        out.out().put_slice(&self.proof);
        Ok(())
    }

    fn payload(&self) -> Bytes {
        self.data.clone()
    }
}
