use alloc::vec::Vec;
use core::ops::Range;

use samara_base::{BlobId, GroupLog2, RangeSet};

use crate::{CvSource, EncodeError, OpenError, Tree, Verifier, state::State};

/// Encodes ranges of a complete blob.
///
/// It keeps at most 4,096 values of the tree (about 250 KiB, less for blobs under 32 MiB),
/// whatever the size; the other values it needs it reads from the [`CvSource`].
///
/// ```
/// use samara_base::{GroupLog2, RangeSet};
/// use samara_tree::{Cv, OutboardBuilder, Prover};
///
/// let blob = vec![7; 70_000];
/// let mut outboard: Vec<Cv> = Vec::new();
/// let mut builder = OutboardBuilder::new();
/// builder.push(&blob, &mut |_, cv| outboard.push(cv));
/// let (id, size) = builder.finish(&mut |_, cv| outboard.push(cv));
///
/// let prover = Prover::open(id, size, outboard.as_slice())?;
/// // Leaf 20 alone, for a slow link. Its 16 KiB group is read and checked to make the proof.
/// let span = prover.span(&(20..21));
/// assert_eq!(span, 16..32);
/// let data = &blob[16 * 1024..32 * 1024];
/// let nothing = RangeSet::new();
/// let proof = prover.encode(outboard.as_slice(), GroupLog2::MIN, &(20..21), &nothing, data)?;
/// assert_eq!(proof.len() as u64, prover.tree().proof_len(GroupLog2::MIN, &(20..21), &nothing));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Prover {
    state: State,
}

impl Prover {
    pub(crate) const fn from_state(state: State) -> Self {
        Self { state }
    }

    /// Opens a complete blob: reads its outboard once and checks that it merges to the id.
    ///
    /// A blob that fits one 16 KiB group has no outboard; its data is checked at
    /// [`encode`](Self::encode).
    ///
    /// # Errors
    ///
    /// [`OpenError::Source`] if the outboard cannot be read, [`OpenError::Root`] if it is not this
    /// blob's.
    pub fn open<S: CvSource + ?Sized>(
        id: BlobId,
        size: u64,
        source: &S,
    ) -> Result<Self, OpenError<S::Error>> {
        let mut state = State::complete(id, size);
        //= rfcs/0002-identity.md#tree-16
        //# A holder MUST check that an outboard merges to the blob's id before it makes a proof
        //# from it.
        if state.load(source).map_err(OpenError::Source)? {
            Ok(Self { state })
        } else {
            Err(OpenError::Root)
        }
    }

    /// The blob's id.
    #[must_use]
    pub const fn id(&self) -> BlobId {
        self.state.id
    }

    /// The blob's shape.
    #[must_use]
    pub const fn tree(&self) -> Tree {
        self.state.tree
    }

    /// Upper bound of the heap memory in use, at most 450 KiB. Unit: bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.state.memory_bytes()
    }

    /// The leaves whose data [`encode`](Self::encode) must be given for a range: the range itself
    /// from 16 KiB groups on, rounded outward to whole 16 KiB groups for smaller ones.
    #[must_use]
    pub fn span(&self, range: &Range<u64>) -> Range<u64> {
        self.state.span(range)
    }

    /// Checks data that was read from the disk and makes the proof of `range` for it, relative to
    /// `base`, in one pass. `data` is the bytes of [`span`](Self::span)`(range)`.
    ///
    /// The result's length is [`Tree::proof_len`].
    ///
    /// # Errors
    ///
    /// [`EncodeError::Damaged`] names the leaves that must not be served any more.
    pub fn encode<S: CvSource + ?Sized>(
        &self,
        source: &S,
        group: GroupLog2,
        range: &Range<u64>,
        base: &RangeSet,
        data: &[u8],
    ) -> Result<Vec<u8>, EncodeError<S::Error>> {
        self.state.encode(source, group, range, base, data)
    }

    /// Checks data that was read from the disk against the stored values and returns the damaged
    /// leaves. `range` is its own [`span`](Self::span).
    ///
    /// # Errors
    ///
    /// [`EncodeError`]; damage is no error here.
    pub fn check<S: CvSource + ?Sized>(
        &self,
        source: &S,
        range: &Range<u64>,
        data: &[u8],
    ) -> Result<RangeSet, EncodeError<S::Error>> {
        self.state.damaged(source, range, data)
    }

    /// A verifier that holds everything, in order to [`lose`](Verifier::lose) damaged leaves and
    /// fetch them again.
    #[must_use]
    pub fn into_verifier(self) -> Verifier {
        Verifier::from_state(self.state)
    }
}
