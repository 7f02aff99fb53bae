//! Finds a peer on the LAN by nothing but its identity, and says what happened.
//!
//! ```sh
//! cargo run -p samara-net --example discover -- 1          # prints its identity, waits
//! cargo run -p samara-net --example discover -- 2 PEER     # on another machine
//! ```

use samara_mesh::link::LinkEvent;
use samara_net::{
    driver::{Driver, PeerAddr},
    events::{EventLimits, events},
    iroh::{IrohDriver, IrohOptions, Relay},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn core::error::Error>> {
    let mut words = std::env::args().skip(1);
    // A number in place of a secret: this is an example, whoever reads it can pretend to be you.
    let secret: u8 = words.next().ok_or("a number from 1 to 255")?.parse()?;
    let (sink, mut events) = events(EventLimits::default());
    let options = IrohOptions { relay: Relay::Off, ..IrohOptions::default() };
    let driver = IrohDriver::bind([secret; 32], options, sink).await?;
    println!("{} at {:?}", driver.local(), driver.addrs().borrow().direct);
    println!("LAN discovery: {:?}", driver.discovery());
    if let Some(peer) = words.next() {
        let dialled = driver.dial(PeerAddr::new(peer.parse()?)).await;
        println!("dialled: {dialled:?}");
    }
    while let Some(event) = events.recv().await {
        println!("{event:?}");
        if matches!(event, LinkEvent::Up { .. }) {
            break;
        }
    }
    driver.shutdown().await;
    Ok(())
}
