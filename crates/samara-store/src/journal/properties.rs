//! Entries of a journal: round trip, one encoding per value, every change noticed.

use proptest::{collection::vec, prelude::*};

use super::*;

fn entry() -> impl Strategy<Value = Entry> {
    let run = (0..1_u64 << 40, 1..40_u64).prop_map(|(start, len)| start..start + len);
    let base = vec(run, 0..20).prop_map(|runs| runs.into_iter().collect::<RangeSet>());
    let proof = vec(any::<u8>(), 0..200);
    (any::<(u64, u64, u32)>(), 0..=10_u8, base, proof).prop_map(
        |((epoch, first_leaf, data_len), group, base, proof)| {
            let group = GroupLog2::new(group).expect("up to the largest");
            Entry { epoch, group, first_leaf, data_len, base, proof }
        },
    )
}

fn encoded(entry: &Entry) -> Vec<u8> {
    let Entry { epoch, group, first_leaf, data_len, base, proof } = entry;
    let mut bytes = Vec::new();
    encode(&mut bytes, *epoch, *group, *first_leaf, *data_len, base, proof);
    bytes
}

proptest! {
    #[test]
    fn every_entry_comes_back(entry in entry()) {
        prop_assert_eq!(decode(&encoded(&entry)), Some(entry));
    }

    #[test]
    fn any_changed_byte_and_any_cut_is_noticed(
        entry in entry(),
        at: prop::sample::Index,
        change in 1..=u8::MAX,
    ) {
        let mut bytes = encoded(&entry);
        prop_assert_eq!(decode(&bytes[..at.index(bytes.len())]), None);
        *at.get_mut(&mut bytes) ^= change;
        prop_assert_eq!(decode(&bytes), None);
    }

    /// A right CRC on wrong fields: what is taken is the only encoding.
    #[test]
    fn sealed_bytes_are_the_only_encoding_of_an_entry_or_none(
        entry in entry(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = encoded(&entry);
        for (at, change) in changes {
            *at.get_mut(&mut bytes) ^= change;
        }
        let crc = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        if let Some(again) = decode(&bytes) {
            prop_assert_eq!(encoded(&again), bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_entry_and_no_harm(tail in vec(any::<u8>(), 0..200)) {
        let bytes = [&MAGIC[..], &tail].concat();
        prop_assert!(decode(&bytes).is_none_or(|entry| encoded(&entry) == bytes));
        prop_assert!(decode(&tail).is_none_or(|entry| encoded(&entry) == tail));
    }
}
