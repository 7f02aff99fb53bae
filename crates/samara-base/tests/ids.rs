//! Identifiers as text: one text per identifier, and nothing else is one.

use proptest::prelude::*;
use samara_base::{BlobId, PeerId};

proptest! {
    #[test]
    fn every_identifier_comes_back_from_its_text(bytes: [u8; 32]) {
        let (blob, peer) = (BlobId::from_bytes(bytes), PeerId::from_bytes(bytes));
        prop_assert_eq!(blob.to_string().parse(), Ok(blob));
        prop_assert_eq!(peer.to_string().parse(), Ok(peer));
        prop_assert!(blob.to_string().starts_with(&blob.fmt_short().to_string()));
    }

    /// Some people write hexadecimal digits in capitals; beyond that there is one text.
    #[test]
    fn what_is_taken_is_the_text_of_what_comes_out(text in "[0-9a-fA-F]{63,65}|\\PC{0,70}") {
        if let Ok(id) = text.parse::<BlobId>() {
            prop_assert_eq!(id.to_string(), text.to_ascii_lowercase());
        }
    }

    #[test]
    fn a_changed_digit_is_another_identifier_or_none(
        bytes: [u8; 32],
        at in 0..64_usize,
        letter in proptest::char::any(),
    ) {
        let id = BlobId::from_bytes(bytes);
        let text = id.to_string();
        let changed = format!("{}{letter}{}", &text[..at], &text[at + 1..]);
        prop_assume!(!changed.eq_ignore_ascii_case(&text));
        prop_assert_ne!(changed.parse(), Ok(id));
    }
}
