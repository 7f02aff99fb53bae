//! Why a QUIC connection was closed, for the other side. Spec: RFC 0001, section "Links over QUIC".

// registry quic-codes: begin
pub(super) const CLOSED: u32 = 0;
pub(super) const PROTOCOL: u32 = 1;
pub(super) const TCP: u32 = 2;
// registry quic-codes: end

/// What the first byte of a stream says.
pub(super) mod stream {
    // registry quic-streams: begin
    pub(in crate::iroh) const CONTROL: u8 = 0x00;
    pub(in crate::iroh) const BULK_0: u8 = 0x01;
    pub(in crate::iroh) const BULK_1: u8 = 0x02;
    pub(in crate::iroh) const BULK_2: u8 = 0x03;
    pub(in crate::iroh) const BULK_3: u8 = 0x04;
    // registry quic-streams: end
}
