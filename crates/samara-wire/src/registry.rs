//! Numbers of the wire. What stands between the marks is made of `rfcs/registry.toml`.

/// Kinds of frames.
pub(crate) mod kind {
    // registry kinds: begin
    pub(crate) const HELLO: u64 = 0x00;
    pub(crate) const CREDIT: u64 = 0x02;
    pub(crate) const PING: u64 = 0x04;
    pub(crate) const PONG: u64 = 0x06;
    pub(crate) const CLOSE: u64 = 0x08;
    pub(crate) const PRESENT: u64 = 0x0a;
    pub(crate) const WANT: u64 = 0x10;
    pub(crate) const HAVE: u64 = 0x12;
    pub(crate) const DATA: u64 = 0x14;
    pub(crate) const END: u64 = 0x16;
    pub(crate) const CANCEL: u64 = 0x18;
    // registry kinds: end
}

/// Types of the TLVs in HELLO.
pub(crate) mod hello {
    // registry hello-tlvs: begin
    pub(crate) const VERSIONS: u64 = 0x00;
    pub(crate) const AGENT: u64 = 0x01;
    pub(crate) const FRAME_BODY_MAX: u64 = 0x02;
    pub(crate) const WANTS_MAX: u64 = 0x04;
    pub(crate) const CREDIT: u64 = 0x06;
    pub(crate) const FEATURES: u64 = 0x08;
    // registry hello-tlvs: end
}

/// Types of the TLVs in WANT.
pub(crate) mod want {
    // registry want-tlvs: begin
    pub(crate) const SIZE: u64 = 0x01;
    // registry want-tlvs: end
}

/// Types of the TLVs in END.
pub(crate) mod end {
    // registry end-tlvs: begin
    pub(crate) const RETRY_MS: u64 = 0x01;
    // registry end-tlvs: end
}

/// Codes of CLOSE.
pub(crate) mod close_code {
    // registry close-codes: begin
    pub(crate) const DONE: u64 = 0;
    pub(crate) const VERSION: u64 = 1;
    pub(crate) const PROTOCOL: u64 = 2;
    pub(crate) const TIMED_OUT: u64 = 3;
    pub(crate) const SHUTDOWN: u64 = 4;
    pub(crate) const INTERNAL: u64 = 5;
    // registry close-codes: end
}

/// Codes of END.
pub(crate) mod end_code {
    // registry end-codes: begin
    pub(crate) const DONE: u64 = 0;
    pub(crate) const UNAVAILABLE: u64 = 1;
    pub(crate) const BUSY: u64 = 2;
    pub(crate) const TOO_LARGE: u64 = 3;
    pub(crate) const DAMAGED: u64 = 4;
    pub(crate) const CANCELLED: u64 = 5;
    pub(crate) const INTERNAL: u64 = 6;
    // registry end-codes: end
}
