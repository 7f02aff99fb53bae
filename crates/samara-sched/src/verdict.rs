use alloc::vec::Vec;
use core::fmt;

use samara_base::{PeerId, RangeSet};

/// How a want ended. Every want ends in exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// All that was wanted is held and proven.
    Complete,
    /// The caller cancelled it.
    Cancelled,
    /// Its deadline passed.
    Expired,
    /// No source was reachable for as long as the want allowed.
    NoProvider,
    /// Every source refused: it does not hold the blob, or we may not have it.
    Unavailable,
    /// Ranges are missing, all of them at worst, and no source delivers them.
    Partial {
        /// What is missing. Unit: leaves.
        missing: RangeSet,
        /// Who failed to deliver what, and why.
        blames: Vec<Blame>,
    },
    /// The blob is larger than the want allows.
    TooLarge {
        /// Size claimed by the source. Unit: bytes.
        size: u64,
        /// The want's limit. Unit: bytes.
        limit: u64,
    },
    /// Every source that answered sent bytes that are not the blob's.
    ProviderLied {
        /// Who sent what.
        blames: Vec<Blame>,
    },
    /// Our own side could not keep the bytes; the caller knows why.
    Local,
}

/// A source that failed to deliver ranges, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Blame {
    /// The source.
    pub peer: PeerId,
    /// What went wrong.
    pub fault: Fault,
    /// Which leaves; empty if the whole blob.
    pub ranges: RangeSet,
}

/// What a source did wrong, or could not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// It does not hold the ranges.
    NotHeld,
    /// It found its own copy damaged, and said so.
    Damaged,
    /// It sent bytes that are not the blob's.
    Lied,
    /// It refused the blob.
    Refused,
    /// It failed.
    Failed,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHeld => "does not hold it",
            Self::Damaged => "found its own copy damaged",
            Self::Lied => "sent bytes that are not the blob's",
            Self::Refused => "refused it",
            Self::Failed => "failed while reading it",
        })
    }
}

/// Why a want makes no progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Waiting {
    /// No source is connected.
    NoProvider,
    /// A source is connected but silent.
    Link,
    /// The sources are busy and said so.
    PeerBusy,
    /// The connected sources do not have what is missing.
    NotHeld,
    /// The connected sources refuse.
    Permission,
    /// Other wants use up the windows, or the sources answer others first.
    Budget,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoProvider => "no source is reachable",
            Self::Link => "the source is silent",
            Self::PeerBusy => "the source is busy",
            Self::NotHeld => "the source lacks the missing ranges",
            Self::Permission => "the source refuses, or does not have it",
            Self::Budget => "other transfers come first",
        })
    }
}
