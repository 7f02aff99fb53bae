//! Congestion control that tells noise from congestion.
//!
//! Radio links lose packets that no queue dropped. CUBIC takes each loss for congestion and gives
//! up a third of its window, which at 1 % of loss leaves 1 MB/s of a path of 20 ms, however fast it
//! is. BBR stands that, and costs half as much processor time again on links that lose nothing.
//!
//! [`Patient`] is CUBIC with one question asked before it reacts: do the losses look like a full
//! queue? They do if the round trip is clearly longer than the shortest one, or if more than 2 %
//! was lost since the last reaction, the bound that BBRv3 has as well. Explicit congestion
//! notification and persistent congestion are never questioned. Where queues are short, it settles
//! below 2 % of loss, as BBRv3 does; where they are long, it is CUBIC.

use core::{any::Any, time::Duration};
use std::{sync::Arc, time::Instant};

use iroh::endpoint::{Controller, ControllerFactory, ControllerMetrics, RttEstimator};
use noq_proto::congestion::CubicConfig;

/// One lost byte in this many is noise.
const TOLERATED: u64 = 50;

/// So much counts as arrived when less has, so that the first losses are weighed at all. Unit:
/// bytes.
const SAMPLE_MIN: u64 = 256 << 10;

/// What was sent longer ago than this counts half. Unit: bytes.
const MEMORY: u64 = 8 << 20;

/// A round trip that exceeds the shortest by this is a queue, as is one that exceeds it by half.
const QUEUE_MIN: Duration = Duration::from_millis(10);

/// Makes [`Patient`] controllers.
#[derive(Debug, Default)]
pub(super) struct PatientConfig(Arc<CubicConfig>);

impl ControllerFactory for PatientConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let cubic = Arc::clone(&self.0).build(now, current_mtu);
        Box::new(Patient { cubic, arrived: 0, lost: 0, queue: false, reacted: false })
    }
}

/// See the [module](self).
#[derive(Debug)]
struct Patient {
    cubic: Box<dyn Controller>,
    /// Acknowledged since the last reaction. Unit: bytes.
    arrived: u64,
    /// Lost since the last reaction. Unit: bytes.
    lost: u64,
    /// Whether the round trip says that a queue has built up.
    queue: bool,
    /// Whether the last loss was reacted to.
    reacted: bool,
}

impl Patient {
    /// Whether this loss is to be borne. Takes note of it.
    fn bears(&mut self, lost_bytes: u64) -> bool {
        self.lost = self.lost.saturating_add(lost_bytes);
        let sent = self.arrived.saturating_add(self.lost).max(SAMPLE_MIN);
        !self.queue && self.lost.saturating_mul(TOLERATED) <= sent
    }
}

impl Controller for Patient {
    fn on_sent(&mut self, now: Instant, bytes: u64, largest_pn: u64) {
        self.cubic.on_sent(now, bytes, largest_pn);
    }

    fn on_packet_sent(&mut self, now: Instant, bytes: u16, pn: u64) {
        self.cubic.on_packet_sent(now, bytes, pn);
    }

    fn on_cwnd_limited(&mut self) {
        self.cubic.on_cwnd_limited();
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        pn: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.arrived = self.arrived.saturating_add(bytes);
        if self.arrived > MEMORY {
            self.arrived /= 2;
            self.lost /= 2;
        }
        let allowed = (rtt.min() / 2).max(QUEUE_MIN);
        self.queue = rtt.get() > rtt.min().saturating_add(allowed);
        self.cubic.on_ack(now, sent, bytes, pn, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.cubic.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        is_ecn: bool,
        lost_bytes: u64,
        largest_lost_pn: u64,
    ) {
        let borne = self.bears(lost_bytes) && !is_persistent_congestion && !is_ecn;
        self.reacted = !borne;
        if borne {
            return;
        }
        (self.arrived, self.lost) = (0, 0);
        self.cubic.on_congestion_event(
            now,
            sent,
            is_persistent_congestion,
            is_ecn,
            lost_bytes,
            largest_lost_pn,
        );
    }

    fn on_packet_lost(&mut self, lost_bytes: u16, pn: u64, now: Instant) {
        self.cubic.on_packet_lost(lost_bytes, pn, now);
    }

    fn on_spurious_congestion_event(&mut self) {
        // What was not reacted to need not be undone.
        if self.reacted {
            self.cubic.on_spurious_congestion_event();
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.cubic.on_mtu_update(new_mtu);
    }

    fn on_ack_frequency_update(&mut self, threshold: u64, max_ack_delay: Duration) {
        self.cubic.on_ack_frequency_update(threshold, max_ack_delay);
    }

    fn window(&self) -> u64 {
        self.cubic.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.cubic.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        let Self { arrived, lost, queue, reacted, .. } = *self;
        Box::new(Self { cubic: self.cubic.clone_box(), arrived, lost, queue, reacted })
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MTU: u64 = 1_400;

    fn patient() -> (Box<Patient>, Instant) {
        #[expect(
            clippy::disallowed_methods,
            reason = "the engine's controllers take real instants"
        )]
        let now = Instant::now();
        let controller = Arc::new(PatientConfig::default()).build(now, 1_400);
        (controller.into_any().downcast().expect("its own type"), now)
    }

    /// Loses one packet; whether the window gave way.
    fn gives_way(patient: &mut Patient, now: Instant, persistent: bool, ecn: bool) -> bool {
        let before = patient.window();
        let later = now + Duration::from_secs(1);
        patient.on_congestion_event(later, later, persistent, ecn, MTU, 1);
        patient.window() < before
    }

    #[test]
    fn a_little_loss_without_a_queue_is_borne() {
        let (mut patient, now) = patient();
        patient.arrived = 100 * MTU * 100;
        for _ in 0..100 {
            assert!(!gives_way(&mut patient, now, false, false));
        }
    }

    #[test]
    fn two_percent_is_the_limit() {
        let (mut patient, now) = patient();
        // 49 in 50 arrive: one more lost packet is exactly 2 %, the next one is beyond.
        patient.arrived = 490 * MTU;
        patient.lost = 9 * MTU;
        assert!(!gives_way(&mut patient, now, false, false));
        assert!(gives_way(&mut patient, now, false, false));
        assert_eq!((patient.arrived, patient.lost), (0, 0), "and counting starts anew");
    }

    #[test]
    fn the_first_losses_are_weighed_against_a_sample() {
        let (mut patient, now) = patient();
        // 256 KiB / 50 are 5,242 bytes: three packets.
        for _ in 0..3 {
            assert!(!gives_way(&mut patient, now, false, false));
        }
        assert!(gives_way(&mut patient, now, false, false));
    }

    #[test]
    fn a_queue_marks_and_persistent_loss_are_congestion() {
        for (queue, persistent, ecn) in
            [(true, false, false), (false, true, false), (false, false, true)]
        {
            let (mut patient, now) = patient();
            patient.arrived = 10_000 * MTU;
            patient.queue = queue;
            assert!(gives_way(&mut patient, now, persistent, ecn), "{queue} {persistent} {ecn}");
        }
    }

    #[test]
    fn what_was_borne_is_not_undone() {
        let (mut patient, now) = patient();
        patient.queue = true;
        let before = patient.window();
        assert!(gives_way(&mut patient, now, false, false));
        patient.queue = false;
        let reduced = patient.window();
        assert!(!gives_way(&mut patient, now, false, false));
        patient.on_spurious_congestion_event();
        assert_eq!(patient.window(), reduced, "the borne loss was spurious, not the other");
        patient.reacted = true;
        patient.on_spurious_congestion_event();
        assert_eq!(patient.window(), before);
    }

    #[test]
    fn a_copy_has_the_same_state() {
        let (mut patient, _) = patient();
        (patient.arrived, patient.lost, patient.queue) = (1, 2, true);
        let copy: Box<Patient> = patient.clone_box().into_any().downcast().expect("its own type");
        assert_eq!((copy.arrived, copy.lost, copy.queue), (1, 2, true));
        assert_eq!(copy.window(), patient.window());
    }
}
