//! What errors say, and what they name as their cause.
#![expect(clippy::unwrap_used, reason = "test")]

use core::error::Error;

use samara_base::RangeSet;
use samara_tree::{
    Cv, CvSource, EncodeError, FrontierField, OpenError, OutboardTooShort, Tree, VerifyError,
};

/// The error of an outboard of two values that is read at the second, for two.
fn too_short() -> OutboardTooShort {
    [Cv::default(); 2].read_cvs(1, &mut [Cv::default(); 2]).unwrap_err()
}

#[test]
fn an_outboard_that_ends_too_early_says_where_it_was_read() {
    let error = too_short();
    assert_eq!((error.cvs, error.first_group), (2, 1));
    assert_eq!(error.to_string(), "the outboard has 2 values, group 1 needs more");
    // No group number is too large to be refused.
    let error = [Cv::default(); 2].read_cvs(u64::MAX, &mut [Cv::default()]).unwrap_err();
    assert_eq!(error.first_group, u64::MAX);
}

#[test]
fn a_refused_transfer_says_what_is_wrong_and_whose_fault_it_is() {
    let node = Tree::new(3 * 1024).root();
    let texts = [
        (
            VerifyError::OutOfRange { first_leaf: 9, leaves: 5 },
            "data at leaf 9 reaches past the blob's 5 leaves",
            true,
        ),
        (
            VerifyError::Unaligned { first_leaf: 9 },
            "data at leaf 9 does not consist of whole groups",
            true,
        ),
        (
            VerifyError::DataLength { expected: 7, found: 8 },
            "these leaves have 7 bytes, 8 came",
            true,
        ),
        (
            VerifyError::ProofLength { expected: 64, found: 0 },
            "the proof must have 64 bytes, 0 came",
            true,
        ),
        (
            VerifyError::ParentMismatch { node },
            "the pair of leaves 0..3 does not hash to its parent",
            true,
        ),
        (
            VerifyError::NotKnown { node },
            "the base leaves out the pair of leaves 0..3, which is not known here",
            false,
        ),
        (VerifyError::Fragmented, "too many scattered parts: fill gaps first", false),
    ];
    for (error, text, is_peer_fault) in texts {
        assert_eq!((error.to_string().as_str(), error.is_peer_fault()), (text, is_peer_fault));
    }
}

#[test]
fn a_range_that_is_not_encoded_says_why() {
    let node = Tree::new(3 * 1024).root();
    let leaves = RangeSet::from(3..5);
    let shown = leaves.to_string();
    let texts = [
        (
            EncodeError::Source(too_short()),
            "the outboard cannot be read: the outboard has 2 values, group 1 needs more".to_owned(),
        ),
        (EncodeError::Unaligned, "the range is not made of whole groups of the blob".to_owned()),
        (EncodeError::NotHeld, "a part of the range is not held".to_owned()),
        (
            EncodeError::DataLength { expected: 7, found: 8 },
            "the span has 7 bytes, 8 were given".to_owned(),
        ),
        (EncodeError::Damaged { leaves }, format!("stored leaves {shown} are damaged")),
        (
            EncodeError::Outboard { node },
            "the stored outboard of leaves 0..3 is damaged: hash them again".to_owned(),
        ),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
        let has_cause = matches!(error, EncodeError::Source(_));
        assert_eq!(error.source().map(ToString::to_string).is_some(), has_cause, "{text}");
    }
}

#[test]
fn what_was_not_opened_says_why() {
    let malformed = |field| OpenError::Malformed { offset: 48, field };
    let texts = [
        (
            OpenError::Source(too_short()),
            "the outboard cannot be read: the outboard has 2 values, group 1 needs more",
        ),
        (OpenError::Root, "the stored values do not merge to the blob's id"),
        (OpenError::Fragmented, "too many scattered parts"),
        (malformed(FrontierField::Magic), "the frontier has a wrong magic at byte 48"),
        (malformed(FrontierField::Count), "the frontier has a wrong node count at byte 48"),
        (malformed(FrontierField::Check), "the frontier has a wrong check at byte 48"),
        (malformed(FrontierField::Node), "the frontier has a wrong node at byte 48"),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
        let cause = error.source().map(ToString::to_string);
        let expected = matches!(error, OpenError::Source(_)).then(|| too_short().to_string());
        assert_eq!(cause, expected, "{text}");
    }
}

#[test]
fn nodes_and_values_are_short_in_a_log() {
    let root = Tree::new(3 * 1024).root();
    assert_eq!(format!("{root:?}"), "Node(0..3)");
    assert_eq!(format!("{:?}", Cv([0xab; 32])), "Cv(ababababab)");
}
