//! Why a QUIC connection was closed, for the other side. Spec: RFC 0001, section "Links over QUIC".

// registry quic-codes: begin
pub(super) const CLOSED: u32 = 0;
pub(super) const PROTOCOL: u32 = 1;
pub(super) const TCP: u32 = 2;
// registry quic-codes: end
