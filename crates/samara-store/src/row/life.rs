//! Rows about how long blobs stay: leases, classes, and how far a scrub came.

use samara_base::BlobId;

use crate::{Class, record::Reader};

/// Key of the scrub's row in `meta`.
pub(crate) const SCRUB_KEY: &[u8] = b"scrub";
/// Key of the bytes that carried blobs take, in `meta`.
pub(crate) const CARRIED_KEY: &[u8] = b"carried";

/// What is known of a blob beside what it holds. A blob without a row is the store's own, and no use
/// of it was ever noted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClassRow {
    pub(crate) class: Class,
    /// Hour of the last use. Unit: hours since 1970.
    pub(crate) used: u32,
    /// Hours in which it was used.
    pub(crate) uses: u32,
}

impl ClassRow {
    pub(crate) fn encode(self) -> Vec<u8> {
        let class = match self.class {
            Class::Own => 0,
            Class::Carried => 1,
        };
        [&[class][..], &self.used.to_le_bytes(), &self.uses.to_le_bytes()].concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let class = match reader.try_take()? {
            [0] => Class::Own,
            [1] => Class::Carried,
            _ => return None,
        };
        let used = u32::from_le_bytes(reader.try_take()?);
        let uses = u32::from_le_bytes(reader.try_take()?);
        reader.0.is_empty().then_some(Self { class, used, uses })
    }
}

/// How far a scrub came, and what all of them found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScrubRow {
    /// Blobs before this one are done.
    pub(crate) id: BlobId,
    /// Where to go on in that one; [`ALL_OF_IT`] if it is done too. Unit: bytes.
    pub(crate) next: u64,
    /// Unit: bytes.
    pub(crate) checked: u64,
    /// Unit: bytes.
    pub(crate) damaged: u64,
    pub(crate) passes: u64,
}

/// A place behind the end of every blob. Unit: bytes.
pub(crate) const ALL_OF_IT: u64 = u64::MAX;

impl Default for ScrubRow {
    fn default() -> Self {
        Self { id: BlobId::from_bytes([0; 32]), next: 0, checked: 0, damaged: 0, passes: 0 }
    }
}

impl ScrubRow {
    pub(crate) fn encode(self) -> Vec<u8> {
        let Self { id, next, checked, damaged, passes } = self;
        let numbers = [next, checked, damaged, passes].map(u64::to_le_bytes);
        [&id.as_bytes()[..], numbers.as_flattened()].concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let id = BlobId::from_bytes(reader.try_take()?);
        let mut number = || Some(u64::from_le_bytes(reader.try_take()?));
        let (next, checked, damaged, passes) = (number()?, number()?, number()?, number()?);
        reader.0.is_empty().then_some(Self { id, next, checked, damaged, passes })
    }
}

/// A number alone: when a lease ends (seconds since 1970), or a count.
pub(crate) fn encode_number(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

pub(crate) fn decode_number(bytes: &[u8]) -> Option<u64> {
    let mut reader = Reader(bytes);
    let number = u64::from_le_bytes(reader.try_take()?);
    reader.0.is_empty().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_round_trip_and_no_other_length_is_one() {
        for (class, byte) in [(Class::Own, 0), (Class::Carried, 1)] {
            let row = ClassRow { class, used: 0x0102_0304, uses: 7 };
            let bytes = row.encode();
            assert_eq!(bytes, [byte, 4, 3, 2, 1, 7, 0, 0, 0]);
            assert_eq!(ClassRow::decode(&bytes), Some(row));
            assert_eq!(ClassRow::decode(&bytes[..8]), None);
            assert_eq!(ClassRow::decode(&[&bytes[..], &[0]].concat()), None);
        }
        assert_eq!(ClassRow::decode(&[2; 9]), None, "no such class");
        let row = ScrubRow {
            id: samara_tree::hash(b"x"),
            next: ALL_OF_IT,
            checked: 1,
            damaged: 2,
            passes: 3,
        };
        let bytes = row.encode();
        assert_eq!(bytes.len(), 64);
        assert_eq!(ScrubRow::decode(&bytes), Some(row));
        for len in 0..64 {
            assert_eq!(ScrubRow::decode(&bytes[..len]), None);
        }
        assert_eq!(ScrubRow::decode(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(decode_number(&encode_number(u64::MAX)), Some(u64::MAX));
        assert_eq!(decode_number(&[0; 7]), None);
        assert_eq!(decode_number(&[0; 9]), None);
    }
}
