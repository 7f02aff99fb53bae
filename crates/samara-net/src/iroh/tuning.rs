//! The QUIC engine's knobs.

use core::time::Duration;

use std::sync::Arc;

use iroh::endpoint::{ControllerFactory, MtuDiscoveryConfig, QuicTransportConfig, VarInt};
use noq_proto::congestion::{Bbr3Config, CubicConfig};

use super::{IrohOptions, link::STRIPES, patient::PatientConfig};
use crate::driver::BindError;

/// Largest UDP payload to look for on a path. Unit: bytes. What Ethernet carries over IPv4, and all
/// that the engine accepts: it advertises this limit to every peer and has no option for it.
const MTU_MAX: u16 = 1472;

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
    /// What a peer may send on all streams before it is read, when a link opens. Unit: bytes. It
    /// grows with what the path is seen to need, up to all stream windows together.
    pub receive_window: u32,
    /// What may be sent and not yet acknowledged. Unit: bytes.
    pub send_window: u32,
    /// Who decides how fast to send.
    pub congestion: Congestion,
    /// The longest round trip at which the bulk lane goes over to TCP, which costs a third of the
    /// processor time and knows only the system's congestion control. Zero: never.
    pub tcp_rtt_max: Duration,
}

/// Congestion controllers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Congestion {
    /// CUBIC that takes up to 2 % of loss for noise as long as no queue builds up.
    #[default]
    Patient,
    /// The engine's CUBIC, RFC 9438: every loss is congestion.
    Cubic,
    /// The engine's BBR version 3.
    Bbr3,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            stream_receive_window: 2 << 20,
            receive_window: 2 << 20,
            send_window: 16 << 20,
            congestion: Congestion::Patient,
            tcp_rtt_max: Duration::from_millis(10),
        }
    }
}

impl Tuning {
    pub(super) fn check(&self) -> Result<(), BindError> {
        if !(256 << 10..=2 << 20).contains(&self.stream_receive_window) {
            let (option, must) = ("tuning.stream_receive_window", "from 256 KiB to 2 MiB");
            return Err(BindError::BadOption { option, must });
        }
        if self.receive_window < 256 << 10
            || u64::from(self.receive_window) > self.receive_window_max()
        {
            let option = "tuning.receive_window";
            let must = "from 256 KiB to five stream windows";
            return Err(BindError::BadOption { option, must });
        }
        if self.send_window < 1 << 20 {
            let (option, must) = ("tuning.send_window", "at least 1 MiB");
            return Err(BindError::BadOption { option, must });
        }
        Ok(())
    }

    /// All streams' windows together. Unit: bytes.
    pub(super) fn receive_window_max(&self) -> u64 {
        u64::from(self.stream_receive_window) * (1 + u64::from(STRIPES))
    }

    pub(super) fn transport(&self, options: &IrohOptions) -> QuicTransportConfig {
        let idle = u32::try_from(options.idle_timeout.as_millis()).unwrap_or(30_000);
        let beat = (options.idle_timeout / 3).min(Duration::from_secs(5));
        let mut mtu = MtuDiscoveryConfig::default();
        mtu.upper_bound(MTU_MAX);
        let congestion: Arc<dyn ControllerFactory + Send + Sync> = match self.congestion {
            Congestion::Patient => Arc::new(PatientConfig::default()),
            Congestion::Cubic => Arc::new(CubicConfig::default()),
            Congestion::Bbr3 => Arc::new(Bbr3Config::default()),
        };
        QuicTransportConfig::builder()
            .congestion_controller_factory(congestion)
            // The lanes, and nothing else.
            .max_concurrent_bidi_streams(VarInt::from_u32(1 + u32::from(STRIPES)))
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
            .build()
    }
}
