//! The link contract, checked on every driver by the same functions.

mod memory;
#[cfg(feature = "iroh")]
mod quic;
mod suite;
#[cfg(feature = "iroh")]
mod tcp;

/// One test for each function of the suite.
macro_rules! contract {
    (#[$test:meta] $world:expr) => {
        crate::contract! { @ [#[$test]] $world;
            lanes_keep_their_order
            many_small_frames_arrive
            both_directions_at_once
            sent_adds_up
            a_linked_peer_is_not_dialled_again
            dials_at_the_same_time_share_one_link
            frames_that_do_not_fit_are_refused
            a_peer_that_sends_too_long_a_frame_loses_the_link
            a_full_queue_closes_the_link
            a_slow_node_holds_its_peer_back
            a_slow_node_keeps_its_link_under_small_frames
            closing_delivers_the_control_lane_and_the_reason
            control_overtakes_bulk
            an_orderly_shutdown_tells_everybody
            a_silent_death_is_noticed
            a_peer_that_restarts_replaces_its_link
            nobody_can_be_dialled
            a_full_peer_refuses
        }
    };
    (@ [$test:tt $attribute:tt] $world:expr; $($name:ident)*) => {
        $(
            $test $attribute
            async fn $name() {
                crate::suite::$name(&$world).await;
            }
        )*
    };
}
pub(crate) use contract;
