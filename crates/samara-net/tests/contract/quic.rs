//! The contract on QUIC over loopback, and what is special to this driver.

use std::{collections::VecDeque, time::Duration};

use samara_base::PeerId;
use samara_net::{
    driver::PeerAddr,
    events::events,
    iroh::{IrohDriver, IrohOptions},
};

use crate::suite::{Host, Node, Wish, World};

struct Quic;

/// Each node has its own runtime: a node whose runtime is gone is as dead as a killed process.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
}

impl World for Quic {
    type Driver = IrohDriver;
    const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

    async fn node(&self, number: u8, wish: Wish) -> Node<IrohDriver> {
        let (sink, events) = events(wish.events);
        let options = IrohOptions {
            bind: Some("127.0.0.1:0".parse().expect("an address")),
            idle_timeout: Self::IDLE_TIMEOUT,
            dial_timeout: Duration::from_secs(5),
            links_max: wish.links_max,
            queue_bytes: wish.queue_bytes,
            frame_len_max: wish.frame_len_max,
            ..IrohOptions::direct()
        };
        let runtime = runtime();
        let driver = runtime
            .spawn(IrohDriver::bind([number; 32], options, sink))
            .await
            .expect("no panic")
            .expect("loopback can be bound");
        Node { driver, events, host: Host(Some(runtime)), held: VecDeque::new() }
    }

    async fn kill(&self, node: Node<IrohDriver>) {
        drop(node);
    }

    fn peer(&self, number: u8) -> PeerId {
        PeerId::from_bytes(*iroh::SecretKey::from_bytes(&[number; 32]).public().as_bytes())
    }

    fn nobody(&self) -> PeerAddr {
        PeerAddr::new(self.peer(99))
    }
}

crate::contract!(
    #[tokio::test]
    Quic
);
