//! Every limit of the encoding, with its unit. The table of RFC 0003, section "Limits", is made of
//! the same list, `rfcs/registry.toml`; both sides of each are tested.

// registry wire-limits: begin
/// Version of the encoding and the messages in this crate, offered in HELLO. Spec: RFC 0003.
pub const VERSION: u64 = 1;

/// Largest body of a frame. Unit: bytes. A group of 1 MiB, its proof and its header fit. Spec: RFC
/// 0003 ENC-15.
pub const FRAME_BODY_MAX: u32 = 1_114_112;

/// Smallest body limit that HELLO may state. Unit: bytes. The largest HELLO of this version fits.
/// Spec: RFC 0003 ENC-24.
pub const FRAME_BODY_MIN: u32 = 128;

/// Most bytes that a frame adds to its body: kind, length and CRC-32. Unit: bytes.
pub const FRAME_OVERHEAD_MAX: u32 = 16;

/// Length of the shortest header of a frame: kind and length. Unit: bytes.
pub(crate) const HEADER_LEN_MIN: usize = 2;

/// Length of the longest header of a frame: a kind of 8 and a length of 4 bytes. Unit: bytes.
pub(crate) const HEADER_LEN_MAX: usize = 12;

/// Length of the CRC-32. Unit: bytes.
pub(crate) const CRC_LEN: usize = 4;

/// Most runs in a range set. Unit: runs. Spec: RFC 0003 ENC-5.
pub const RUNS_MAX: usize = 1024;

/// Most runs in the `known` set of a WANT. Unit: runs. Spec: RFC 0003 ENC-30.
pub const KNOWN_RUNS_MAX: usize = 64;

/// Largest end of a range set: the leaves of 2^64 bytes. Unit: leaves. Spec: RFC 0003 ENC-6.
pub const LEAVES_END_MAX: u64 = 1 << 54;

/// Most TLVs in one section. Unit: TLVs. Spec: RFC 0003 ENC-11.
pub const TLVS_MAX: usize = 32;

/// Longest value of a TLV: its length never needs more than two bytes. Unit: bytes. Spec: RFC 0003
/// ENC-12.
pub const TLV_VALUE_MAX: usize = 16_383;

/// Longest `agent` in HELLO. Unit: bytes of UTF-8. Spec: RFC 0003 ENC-25.
pub const AGENT_MAX: usize = 64;

/// Longest `reason` in CLOSE. Unit: bytes of UTF-8. Spec: RFC 0003 ENC-26.
pub const REASON_MAX: usize = 256;

/// Longest `right` in PRESENT. Unit: bytes. Spec: RFC 0003 ENC-28.
pub const RIGHT_MAX: usize = 256;

/// Longest `proof` in DATA. Unit: bytes. Spec: RFC 0003 ENC-31.
pub const PROOF_MAX: usize = 8192;

/// A proof is made of pairs of chaining values of this size. Unit: bytes. Spec: RFC 0003 ENC-31.
pub const PROOF_PAIR: usize = 64;
// registry wire-limits: end

const _: () = assert!(FRAME_BODY_MAX < 1 << 30, "the length of a body takes at most four bytes");
const _: () = assert!(PROOF_MAX.is_multiple_of(PROOF_PAIR));
const _: () = assert!(
    FRAME_BODY_MAX as usize >= (1 << 20) + PROOF_MAX + 8 + 8 + 4,
    "a DATA with the largest group and the largest proof fits a frame"
);
const _: () = assert!(LEAVES_END_MAX == samara_base::leaves(u64::MAX));
const _: () = assert!(LEAVES_END_MAX <= crate::varint::MAX);
const _: () = assert!(KNOWN_RUNS_MAX <= RUNS_MAX);
const _: () = assert!(FRAME_OVERHEAD_MAX as usize == HEADER_LEN_MAX + CRC_LEN);

// registry wire-limits derived: begin
const _: () = assert!(crate::varint::MAX == (1 << 62) - 1);
const _: () = assert!(samara_base::GroupLog2::MAX.get() == 10);
const _: () = assert!(samara_base::Class::ALL.len() - 1 == 4);
// registry wire-limits derived: end
