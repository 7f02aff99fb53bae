//! The contract on links in memory, with paused time.

use core::time::Duration;
use std::collections::VecDeque;

use samara_base::PeerId;
use samara_mesh::link::{DownReason, Lane};
use samara_net::{
    driver::{Driver, PeerAddr},
    events::events,
    memory::{MemoryDriver, MemoryNet, MemoryOptions, NetOptions, Path},
};

use crate::suite::{Host, Node, Pair, Wish, World, frame, linked, outgoing};

struct Memory {
    net: MemoryNet,
}

impl Memory {
    /// A network whose frames take a while, so that there is something to wait for.
    fn new() -> Self {
        let path = Path { delay: Duration::from_millis(20), ..Path::default() };
        Self { net: MemoryNet::with_options(NetOptions { path, ..NetOptions::default() }) }
    }
}

impl World for Memory {
    type Driver = MemoryDriver;
    const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

    async fn node(&self, number: u8, wish: Wish) -> Node<MemoryDriver> {
        let (sink, events) = events(wish.events);
        let options = MemoryOptions {
            links_max: wish.links_max,
            queue_bytes: wish.queue_bytes,
            frame_len_max: wish.frame_len_max,
        };
        let driver =
            self.net.driver_with(self.peer(number), options, sink).expect("the peer is free");
        Node { driver, events, host: Host(None), held: VecDeque::new() }
    }

    async fn kill(&self, node: Node<MemoryDriver>) {
        drop(node);
    }

    fn peer(&self, number: u8) -> PeerId {
        PeerId::from_bytes([number; 32])
    }

    fn nobody(&self) -> PeerAddr {
        PeerAddr::new(PeerId::from_bytes([99; 32]))
    }
}

crate::contract!(
    #[tokio::test(start_paused = true)]
    Memory::new()
);

fn pair() -> (PeerId, PeerId) {
    (PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]))
}

#[tokio::test(start_paused = true)]
async fn a_cut_that_heals_in_time_loses_nothing() {
    let world = Memory::new();
    let Pair { alice, mut bob, to_bob, .. } = linked(&world, Wish::default()).await;
    let (a, b) = pair();
    world.net.cut(a, b);
    let frames = [frame(1, 1000), frame(2, 1000)];
    let out = frames.iter().map(|frame| outgoing(Lane::Bulk, frame)).collect();
    alice.driver.send(to_bob, out).expect("the link is open");
    let silence = tokio::time::timeout(Duration::from_secs(9), bob.events.recv()).await;
    assert!(silence.is_err(), "nothing passes a cut");
    world.net.heal(a, b);
    assert_eq!(bob.receive(0, 2).await[1], frames);
}

#[tokio::test(start_paused = true)]
async fn a_cut_that_stays_ends_the_link_on_both_sides() {
    let world = Memory::new();
    let Pair { mut alice, mut bob, to_bob, to_alice } = linked(&world, Wish::default()).await;
    let (a, b) = pair();
    let began = tokio::time::Instant::now();
    world.net.cut(a, b);
    assert_eq!(alice.down(to_bob).await, DownReason::TimedOut);
    assert_eq!(bob.down(to_alice).await, DownReason::TimedOut);
    assert_eq!(began.elapsed().as_secs(), 10);
    // And nobody gets through before it heals.
    let addr = bob.addr();
    assert!(alice.dial(addr.clone()).await.is_err());
    world.net.heal(a, b);
    alice.dial(addr).await.expect("bob is there again");
}

#[tokio::test(start_paused = true)]
async fn time_passes_as_the_path_says() {
    let (a, b) = pair();
    let world = Memory::new();
    let path = Path { delay: Duration::from_millis(100), rate: Some(50_000), ..Path::default() };
    world.net.set_path(a, b, path);
    let Pair { alice, mut bob, to_bob, .. } = linked(&world, Wish::default()).await;
    let began = tokio::time::Instant::now();
    let out = (0..5).map(|n| outgoing(Lane::Bulk, &frame(n, 9_996))).collect();
    alice.driver.send(to_bob, out).expect("there is room");
    bob.receive(0, 5).await;
    // 50,000 bytes at 50,000 bytes per second, and the way.
    let took = began.elapsed().as_millis();
    assert!((1_100..1_110).contains(&took), "{took} ms");
}
