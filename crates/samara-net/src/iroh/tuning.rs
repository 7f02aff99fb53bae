//! The QUIC engine's knobs.

use core::time::Duration;

use std::sync::Arc;

use iroh::endpoint::{
    AckFrequencyConfig, ControllerFactory, MtuDiscoveryConfig, QuicTransportConfig, VarInt,
};
use noq_proto::congestion::{Bbr3Config, CubicConfig};

use super::{IrohOptions, link::STRIPES};
use crate::driver::BindError;

/// How the QUIC engine is set.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "configuration, built by literal")]
pub struct Tuning {
    /// What a peer may send on one stream before it is read. Unit: bytes, from 256 KiB to 2 MiB.
    ///
    /// A link's throughput is at most four times this per round-trip time, since the bulk lane has
    /// four streams: 80 MB/s at 100 ms. A single stream with a larger window is no way: the engine
    /// (noq-proto 1.4) ends the *connection* when more than 2048 packets of one stream wait to be
    /// read, which a single lost packet brings about as soon as a window holds that many.
    pub stream_receive_window: u32,
    /// What may be sent and not yet acknowledged. Unit: bytes. It has to exceed what the peer's
    /// stream windows admit together, else bulk fills it and control waits for its turn: the engine
    /// wakes the writer that blocked last, which is the bulk lane's, for ever.
    pub send_window: u32,
    /// Packets that the peer may receive before it must acknowledge.
    pub ack_every: u32,
    /// Longest that the peer may hold an acknowledgement back.
    pub ack_delay: Duration,
    /// Largest packet to try on a path. Unit: bytes of UDP payload.
    pub mtu_max: u16,
    /// Packet to start with. Unit: bytes of UDP payload.
    pub mtu_initial: u16,
    /// Who decides how fast to send.
    pub congestion: Congestion,
}

/// Congestion controllers of the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Congestion {
    /// RFC 9438.
    #[default]
    Cubic,
    /// BBR version 3.
    Bbr3,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            stream_receive_window: 2 << 20,
            send_window: 16 << 20,
            ack_every: 10,
            ack_delay: Duration::from_millis(25),
            mtu_max: 1472,
            mtu_initial: 1200,
            congestion: Congestion::Cubic,
        }
    }
}

impl Tuning {
    pub(super) fn check(&self) -> Result<(), BindError> {
        if !(256 << 10..=2 << 20).contains(&self.stream_receive_window) {
            let (option, must) = ("tuning.stream_receive_window", "from 256 KiB to 2 MiB");
            return Err(BindError::BadOption { option, must });
        }
        if self.send_window < 1 << 20 {
            let (option, must) = ("tuning.send_window", "at least 1 MiB");
            return Err(BindError::BadOption { option, must });
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
        let congestion: Arc<dyn ControllerFactory + Send + Sync> = match self.congestion {
            Congestion::Cubic => Arc::new(CubicConfig::default()),
            Congestion::Bbr3 => Arc::new(Bbr3Config::default()),
        };
        QuicTransportConfig::builder()
            .congestion_controller_factory(congestion)
            .initial_mtu(self.mtu_initial)
            // The lanes, and nothing else.
            .max_concurrent_bidi_streams(VarInt::from_u32(1 + u32::from(STRIPES)))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None)
            .stream_receive_window(VarInt::from_u32(self.stream_receive_window))
            // As much as all streams together, so that no lane can use up another's share.
            .receive_window(VarInt::from_u32(self.stream_receive_window * (1 + u32::from(STRIPES))))
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
