//! The QUIC engine's knobs.

use core::time::Duration;

use iroh::endpoint::{AckFrequencyConfig, MtuDiscoveryConfig, QuicTransportConfig, VarInt};

use super::IrohOptions;
use crate::driver::BindError;

/// How the QUIC engine is set.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "configuration, built by literal")]
pub struct Tuning {
    /// What a peer may send on one lane before it is read. Unit: bytes. The engine's own value is
    /// 1.25 MB, which caps a path of 100 ms at 12.5 MB/s.
    pub stream_receive_window: u32,
    /// What a peer may send on both lanes before it is read. Unit: bytes. Bounds what a link can
    /// hold of this node's memory.
    pub receive_window: u32,
    /// What may be sent and not yet acknowledged. Unit: bytes.
    pub send_window: u32,
    /// Packets that the peer may receive before it must acknowledge.
    pub ack_every: u32,
    /// Longest that the peer may hold an acknowledgement back.
    pub ack_delay: Duration,
    /// Largest packet to try on a path. Unit: bytes of UDP payload.
    pub mtu_max: u16,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            stream_receive_window: 8 << 20,
            receive_window: 10 << 20,
            send_window: 4 << 20,
            ack_every: 10,
            ack_delay: Duration::from_millis(25),
            mtu_max: 1472,
        }
    }
}

impl Tuning {
    pub(super) fn check(&self) -> Result<(), BindError> {
        let least = 64 << 10;
        let windows = [self.stream_receive_window, self.receive_window, self.send_window];
        if windows.into_iter().any(|window| window < least) {
            return Err(BindError::BadOption { option: "windows", must: "at least 64 KiB" });
        }
        Ok(())
    }

    pub(super) fn transport(&self, options: &IrohOptions) -> QuicTransportConfig {
        let idle = u32::try_from(options.idle_timeout.as_millis()).unwrap_or(30_000);
        let beat = (options.idle_timeout / 3).min(Duration::from_secs(5));
        let mut mtu = MtuDiscoveryConfig::default();
        mtu.upper_bound(self.mtu_max);
        let mut acks = AckFrequencyConfig::default();
        acks.ack_eliciting_threshold(VarInt::from_u32(self.ack_every));
        acks.max_ack_delay(Some(self.ack_delay));
        QuicTransportConfig::builder()
            // The two lanes, and nothing else.
            .max_concurrent_bidi_streams(VarInt::from_u32(2))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None)
            .stream_receive_window(VarInt::from_u32(self.stream_receive_window))
            .receive_window(VarInt::from_u32(self.receive_window))
            .send_window(u64::from(self.send_window))
            .max_idle_timeout(Some(VarInt::from_u32(idle).into()))
            .keep_alive_interval(beat)
            .default_path_max_idle_timeout(options.idle_timeout.min(Duration::from_secs(15)))
            .default_path_keep_alive_interval(beat)
            .mtu_discovery_config(Some(mtu))
            .ack_frequency_config(Some(acks))
            .build()
    }
}
