//! What every driver must do, written once.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use samara_base::PeerId;
use samara_mesh::link::{
    DownReason, FRAME_LEN_MAX, Lane, LinkEvent, LinkId, LinkInfo, Outgoing, RawFrame,
};
use samara_net::{
    driver::{DialError, Driver, PeerAddr, SendError},
    events::{EventLimits, Events},
};
use tokio::time::timeout;

/// Longer than any step takes when all is well; a test that gets here has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a test may ask of its nodes.
#[derive(Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) links_max: usize,
    pub(crate) queue_bytes: u64,
    pub(crate) frame_len_max: u32,
    pub(crate) events: EventLimits,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            links_max: 16,
            queue_bytes: 64 << 20,
            frame_len_max: FRAME_LEN_MAX,
            events: EventLimits::default(),
        }
    }
}

/// A carrier under test.
pub(crate) trait World {
    type Driver: Driver;
    /// Silence after which a peer counts as dead here.
    const IDLE_TIMEOUT: Duration;

    /// Node number `number`, with the same identity each time.
    async fn node(&self, number: u8, wish: Wish) -> Node<Self::Driver>;

    /// Makes the node vanish without a word to anybody.
    async fn kill(&self, node: Node<Self::Driver>);

    /// The identity of node `number`.
    fn peer(&self, number: u8) -> PeerId;

    /// An address at which nobody answers.
    fn nobody(&self) -> PeerAddr;

    /// Brings a link that is up into the state that this world is about.
    async fn settle(&self, _pair: &mut Pair<Self::Driver>) {}

    /// Whether a link that ends like this may have lost its peer without a word.
    fn is_death(&self, reason: &DownReason) -> bool {
        *reason == DownReason::TimedOut
    }
}

/// One node of a test.
pub(crate) struct Node<D> {
    // First, so that it is dropped first: nothing of a killed node has time to say good-bye.
    pub(crate) host: Host,
    pub(crate) driver: D,
    pub(crate) events: Events,
    pub(crate) held: VecDeque<LinkEvent>,
}

/// Where a node's tasks run, if not in the test's own runtime. Dropping it drops the tasks at once,
/// as a killed process would.
pub(crate) struct Host(pub(crate) Option<tokio::runtime::Runtime>);

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl<D: Driver> Node<D> {
    pub(crate) fn addr(&self) -> PeerAddr {
        self.driver.addrs().borrow().for_peer(self.driver.local())
    }

    pub(crate) async fn dial(&self, addr: PeerAddr) -> Result<LinkId, DialError> {
        let dial = self.driver.dial(addr);
        match &self.host.0 {
            Some(runtime) => runtime.spawn(dial).await.expect("the dial does not panic"),
            None => dial.await,
        }
    }

    pub(crate) async fn shutdown(&self) {
        let shutdown = self.driver.shutdown();
        match &self.host.0 {
            Some(runtime) => runtime.spawn(shutdown).await.expect("no panic"),
            None => shutdown.await,
        }
    }

    /// The next event but `Changed`, which may come at any time.
    pub(crate) async fn next(&mut self) -> LinkEvent {
        loop {
            let event = match self.held.pop_front() {
                Some(event) => event,
                None => timeout(PATIENCE, self.events.recv())
                    .await
                    .expect("an event comes in time")
                    .expect("the driver lives"),
            };
            if !matches!(event, LinkEvent::Changed { .. }) {
                return event;
            }
        }
    }

    pub(crate) async fn up(&mut self) -> (LinkId, LinkInfo) {
        match self.next().await {
            LinkEvent::Up { link, info } => (link, info),
            other => panic!("Up comes first, not {other:?}"),
        }
    }

    /// Takes events until the link has this carrier, and returns what else came. For worlds.
    pub(crate) async fn carried_by(&mut self, of: LinkId, carrier: &str) -> Vec<LinkEvent> {
        let mut others = Vec::new();
        loop {
            let event = timeout(PATIENCE, self.events.recv()).await.expect("in time");
            match event.expect("the driver lives") {
                LinkEvent::Changed { link, info } if link == of && info.carrier == carrier => {
                    return others;
                }
                LinkEvent::Changed { .. } => {}
                other => others.push(other),
            }
        }
    }

    /// Waits for the end of a link; frames and `Sent` before it are dropped.
    pub(crate) async fn down(&mut self, of: LinkId) -> DownReason {
        loop {
            match self.next().await {
                LinkEvent::Down { link, reason } if link == of => return reason,
                LinkEvent::Frames { .. } | LinkEvent::Sent { .. } => {}
                other => panic!("{other:?} while waiting for the end of {of:?}"),
            }
        }
    }

    /// Receives until `count` frames came on each lane.
    pub(crate) async fn receive(&mut self, control: usize, bulk: usize) -> [Vec<RawFrame>; 2] {
        let mut got = [Vec::new(), Vec::new()];
        while got[0].len() < control || got[1].len() < bulk {
            match self.next().await {
                LinkEvent::Frames { lane, frames, .. } => {
                    assert!(!frames.is_empty(), "no empty batches");
                    got[usize::from(lane == Lane::Bulk)].extend(frames);
                }
                LinkEvent::Sent { .. } => {}
                other => panic!("{other:?} among frames"),
            }
        }
        got
    }

    /// Receives `Sent` until both lanes are done.
    pub(crate) async fn sent(&mut self, control: u64, bulk: u64) {
        let mut left = [control, bulk];
        while left != [0, 0] {
            match self.next().await {
                LinkEvent::Sent { lane, bytes, .. } => {
                    let left = &mut left[usize::from(lane == Lane::Bulk)];
                    assert!(bytes > 0, "no empty reports");
                    *left = left.checked_sub(bytes).expect("no more is sent than was queued");
                }
                LinkEvent::Frames { .. } => {}
                other => panic!("{other:?} among Sent"),
            }
        }
    }
}

/// A frame that can be told from others.
pub(crate) fn frame(number: u64, length: usize) -> RawFrame {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(length.max(8), u8::try_from(number % 251).expect("a byte"));
    RawFrame { kind: 0x21, body: Bytes::from(body) }
}

pub(crate) fn outgoing(lane: Lane, frame: &RawFrame) -> Outgoing {
    Outgoing { lane, frame: frame.encode(false).expect("it fits") }
}

pub(crate) fn bytes(frames: &[Outgoing]) -> u64 {
    frames.iter().map(|out| u64::try_from(out.frame.len()).expect("fits")).sum()
}

pub(crate) struct Pair<D> {
    pub(crate) alice: Node<D>,
    pub(crate) bob: Node<D>,
    pub(crate) to_bob: LinkId,
    pub(crate) to_alice: LinkId,
}

pub(crate) async fn linked<W: World>(world: &W, wish: Wish) -> Pair<W::Driver> {
    let mut alice = world.node(1, wish).await;
    let mut bob = world.node(2, wish).await;
    let to_bob = alice.dial(bob.addr()).await.expect("bob is there");
    let (up, info) = alice.up().await;
    assert_eq!(up, to_bob, "the dialled link is the one that is up");
    assert_eq!(info.peer, bob.driver.local());
    assert!(info.reliable && info.ordered && info.integrity);
    assert!(info.frame_len_max <= FRAME_LEN_MAX);
    let (to_alice, info) = bob.up().await;
    assert_eq!(info.peer, alice.driver.local());
    let mut pair = Pair { alice, bob, to_bob, to_alice };
    world.settle(&mut pair).await;
    pair
}

//= rfcs/0001-architecture.md#link-5
//= type=test
//# A driver of an ordered link MUST deliver the frames of one lane in the order in which
//# they were sent.
pub(crate) async fn lanes_keep_their_order<W: World>(world: &W) {
    let Pair { alice, mut bob, to_bob, .. } = linked(world, Wish::default()).await;
    // Sizes around those where readers change their mind: tiny, a buffer's size, large, largest.
    let sizes = [8, 9, 100, 1 << 10, 16_383, 16_384, 16_385, 32_768, 65_536, 200_000, 1_114_112];
    let frames: Vec<RawFrame> =
        (0_u64..66).zip(sizes.into_iter().cycle()).map(|(n, length)| frame(n, length)).collect();
    for frame in &frames {
        let both = [Lane::Bulk, Lane::Control].map(|lane| outgoing(lane, frame));
        alice.driver.send(to_bob, both.to_vec()).expect("there is room");
    }
    let [control, bulk] = bob.receive(frames.len(), frames.len()).await;
    assert!(control == frames, "the control lane keeps order and content");
    assert!(bulk == frames, "the bulk lane keeps order and content");
}

//= rfcs/0001-architecture.md#link-4
//= type=test
//# A driver of a reliable link MUST deliver each frame whole, once, and on the lane on
//# which the peer sent it.
pub(crate) async fn many_small_frames_arrive<W: World>(world: &W) {
    let Pair { mut alice, mut bob, to_bob, .. } = linked(world, Wish::default()).await;
    let frames: Vec<RawFrame> = (0..20_000).map(|n| frame(n, 8)).collect();
    let mut total = 0;
    for some in frames.chunks(700) {
        let out: Vec<Outgoing> = some.iter().map(|frame| outgoing(Lane::Bulk, frame)).collect();
        total += bytes(&out);
        alice.driver.send(to_bob, out).expect("there is room");
    }
    let ([_, bulk], ()) = tokio::join!(bob.receive(0, frames.len()), alice.sent(0, total));
    assert!(bulk == frames);
}

pub(crate) async fn both_directions_at_once<W: World>(world: &W) {
    let Pair { mut alice, mut bob, to_bob, to_alice } = linked(world, Wish::default()).await;
    let frames: Vec<RawFrame> = (0..64).map(|n| frame(n, 100_000)).collect();
    let out: Vec<Outgoing> = frames.iter().map(|frame| outgoing(Lane::Bulk, frame)).collect();
    alice.driver.send(to_bob, out.clone()).expect("there is room");
    bob.driver.send(to_alice, out).expect("there is room");
    let (at_alice, at_bob) = tokio::join!(alice.receive(0, 64), bob.receive(0, 64));
    assert!(at_alice[1] == frames && at_bob[1] == frames);
}

//= rfcs/0001-architecture.md#link-6
//= type=test
//# A driver MUST report each byte of a frame as `Sent` once, when the carrier has taken it
//# and not before.
pub(crate) async fn sent_adds_up<W: World>(world: &W) {
    let Pair { mut alice, mut bob, to_bob, .. } = linked(world, Wish::default()).await;
    let control: Vec<Outgoing> =
        (0..50).map(|n| outgoing(Lane::Control, &frame(n, 20 + 3))).collect();
    let bulk: Vec<Outgoing> = (0..50).map(|n| outgoing(Lane::Bulk, &frame(n, 70_000))).collect();
    let (control_bytes, bulk_bytes) = (bytes(&control), bytes(&bulk));
    alice.driver.send(to_bob, control).expect("there is room");
    alice.driver.send(to_bob, bulk).expect("there is room");
    tokio::join!(alice.sent(control_bytes, bulk_bytes), bob.receive(50, 50));
    // Nothing was reported twice: room for exactly the whole queue is free again.
    alice.driver.close(to_bob, "done");
    assert_eq!(alice.down(to_bob).await, DownReason::Local);
}

pub(crate) async fn a_linked_peer_is_not_dialled_again<W: World>(world: &W) {
    let Pair { mut alice, mut bob, to_bob, to_alice } = linked(world, Wish::default()).await;
    assert_eq!(alice.dial(bob.addr()).await, Ok(to_bob));
    assert_eq!(bob.dial(alice.addr()).await, Ok(to_alice), "nor from the other side");
    alice.driver.close(to_bob, "again");
    assert_eq!(alice.down(to_bob).await, DownReason::Local);
    assert_eq!(bob.down(to_alice).await, DownReason::Remote { reason: "again".to_owned() });
    let second = alice.dial(bob.addr()).await.expect("bob is there");
    assert_ne!(second, to_bob, "a link's name is never used again");
}

pub(crate) async fn dials_at_the_same_time_share_one_link<W: World>(world: &W) {
    let mut alice = world.node(1, Wish::default()).await;
    let mut bob = world.node(2, Wish::default()).await;
    let (one, two, three) =
        tokio::join!(alice.dial(bob.addr()), alice.dial(bob.addr()), alice.dial(bob.addr()));
    let one = one.expect("bob is there");
    assert_eq!((two, three), (Ok(one), Ok(one)));
    alice.up().await;
    let (at_bob, _) = bob.up().await;
    alice.driver.close(one, "");
    // The only event that follows at bob is this link's end: there was no second one.
    assert!(matches!(bob.next().await, LinkEvent::Down { link, .. } if link == at_bob));
}

pub(crate) async fn frames_that_do_not_fit_are_refused<W: World>(world: &W) {
    let wish = Wish { frame_len_max: 10_000, ..Wish::default() };
    let Pair { alice, mut bob, to_bob, .. } = linked(world, wish).await;
    let fits = frame(1, 9_000);
    let large = frame(2, 10_000);
    let refused =
        alice.driver.send(to_bob, vec![outgoing(Lane::Bulk, &fits), outgoing(Lane::Bulk, &large)]);
    assert!(matches!(refused, Err(SendError::FrameTooLong { limit: 10_000, .. })));
    // None of that call was queued, and the link stays.
    alice.driver.send(to_bob, vec![outgoing(Lane::Control, &fits)]).expect("the link is open");
    let got = bob.receive(1, 0).await;
    assert_eq!(got, [vec![fits], vec![]]);
}

//= rfcs/0001-architecture.md#link-7
//= type=test
//# A driver MUST close a link whose peer sends what is not a frame or a frame above
//# `frame_len_max`, without buffering more than `frame_len_max` bytes of it.
pub(crate) async fn a_peer_that_sends_too_long_a_frame_loses_the_link<W: World>(world: &W) {
    let mut alice = world.node(1, Wish::default()).await;
    let mut bob = world.node(2, Wish { frame_len_max: 10_000, ..Wish::default() }).await;
    let to_bob = alice.dial(bob.addr()).await.expect("bob is there");
    alice.up().await;
    let (to_alice, _) = bob.up().await;
    let before = frame(1, 5_000);
    let frames = [&before, &frame(2, 50_000), &frame(3, 8)];
    let out = frames.map(|frame| outgoing(Lane::Bulk, frame)).to_vec();
    alice.driver.send(to_bob, out).expect("alice may send that");
    let got = bob.receive(0, 1).await;
    assert_eq!(got[1], [before], "what came before is delivered");
    assert!(matches!(bob.down(to_alice).await, DownReason::Protocol(_)));
    assert!(matches!(alice.down(to_bob).await, DownReason::Remote { .. }));
}

pub(crate) async fn a_full_queue_closes_the_link<W: World>(world: &W) {
    let wish = Wish { queue_bytes: 2 << 20, ..Wish::default() };
    let Pair { mut alice, mut bob, to_bob, to_alice } = linked(world, wish).await;
    // Nobody drains bob: windows fill, then the queue, then the contract is broken.
    let out = outgoing(Lane::Bulk, &frame(0, 500_000));
    let mut queued = 0;
    let error = loop {
        match alice.driver.send(to_bob, vec![out.clone()]) {
            Ok(()) => queued += 1,
            Err(error) => break error,
        }
        assert!(queued < 1_000, "the queue is bounded");
    };
    assert_eq!(error, SendError::QueueFull { lane: Lane::Bulk, limit: 2 << 20 });
    assert!(matches!(alice.down(to_bob).await, DownReason::Failed { .. }));
    assert_eq!(
        alice.driver.send(to_bob, vec![out]),
        Err(SendError::NoLink { link: to_bob }),
        "a link that is down takes nothing"
    );
    assert!(matches!(bob.down(to_alice).await, DownReason::Remote { .. }));
}

pub(crate) async fn a_slow_node_holds_its_peer_back<W: World>(world: &W) {
    let events = EventLimits { events: 4, frame_bytes: 256 << 10 };
    let Pair { mut alice, mut bob, to_bob, .. } =
        linked(world, Wish { events, ..Wish::default() }).await;
    let frames: Vec<RawFrame> = (0..500).map(|n| frame(n, 100_000)).collect();
    let out: Vec<Outgoing> = frames.iter().map(|frame| outgoing(Lane::Bulk, frame)).collect();
    let total = bytes(&out);
    alice.driver.send(to_bob, out).expect("there is room");
    // Take Sent until it stops coming: windows, buffers and bob's queue are full.
    let mut sent = 0;
    let still = Duration::from_millis(700);
    while let Ok(Some(event)) = timeout(still, alice.events.recv()).await {
        if let LinkEvent::Sent { bytes, .. } = event {
            sent += bytes;
        }
    }
    assert!(sent < total / 2, "{sent} of {total} bytes went to a node that takes none");
    let (got, ()) = tokio::join!(bob.receive(0, frames.len()), alice.sent(0, total - sent));
    assert!(got[1] == frames, "and all arrive when it takes them");
}

pub(crate) async fn closing_delivers_the_control_lane_and_the_reason<W: World>(world: &W) {
    let Pair { mut alice, mut bob, to_bob, to_alice } = linked(world, Wish::default()).await;
    let frames: Vec<RawFrame> = (0..100).map(|n| frame(n, 1_000)).collect();
    let out = frames.iter().map(|frame| outgoing(Lane::Control, frame)).collect();
    alice.driver.send(to_bob, out).expect("there is room");
    let long = "é".repeat(200);
    alice.driver.close(to_bob, &long);
    assert!(
        matches!(
            alice.driver.send(to_bob, vec![outgoing(Lane::Control, &frames[0])]),
            Err(SendError::NoLink { .. })
        ),
        "a closing link takes nothing"
    );
    let got = bob.receive(frames.len(), 0).await;
    assert!(got[0] == frames);
    let expected = DownReason::Remote { reason: "é".repeat(128) };
    assert_eq!(bob.down(to_alice).await, expected, "256 bytes of it, cut between characters");
    assert_eq!(alice.down(to_bob).await, DownReason::Local);
}

pub(crate) async fn control_overtakes_bulk<W: World>(world: &W) {
    let Pair { alice, mut bob, to_bob, .. } = linked(world, Wish::default()).await;
    let bulk: Vec<RawFrame> = (0..400).map(|n| frame(n, 100_000)).collect();
    let out = bulk.iter().map(|frame| outgoing(Lane::Bulk, frame)).collect();
    alice.driver.send(to_bob, out).expect("there is room");
    let urgent = frame(999, 100);
    alice.driver.send(to_bob, vec![outgoing(Lane::Control, &urgent)]).expect("there is room");
    let [control, before] = bob.receive(1, 0).await;
    assert_eq!(control, [urgent]);
    assert!(before.len() < bulk.len() / 2, "{} of 400 bulk frames came first", before.len());
}

//= rfcs/0001-architecture.md#link-1
//= type=test
//# A driver MUST report `Up` as the first event of a link and `Down` as its last.
pub(crate) async fn an_orderly_shutdown_tells_everybody<W: World>(world: &W) {
    let Pair { mut alice, mut bob, to_bob, to_alice } = linked(world, Wish::default()).await;
    // In the middle of a transfer.
    let out: Vec<Outgoing> = (0..300).map(|n| outgoing(Lane::Bulk, &frame(n, 100_000))).collect();
    alice.driver.send(to_bob, out).expect("there is room");
    bob.receive(0, 10).await;
    let addr = alice.addr();
    let (reason, ()) = tokio::join!(bob.down(to_alice), alice.shutdown());
    assert_eq!(reason, DownReason::Remote { reason: "shutting down".to_owned() });
    assert_eq!(alice.down(to_bob).await, DownReason::Local);
    assert_eq!(alice.dial(bob.addr()).await, Err(DialError::Closed));
    let refused = bob.dial(addr).await.expect_err("alice is gone");
    assert!(refused.is_transient(), "{refused:?}");
    alice.shutdown().await;
}

pub(crate) async fn a_silent_death_is_noticed<W: World>(world: &W) {
    let Pair { mut alice, bob, to_bob, .. } = linked(world, Wish::default()).await;
    let out: Vec<Outgoing> = (0..300).map(|n| outgoing(Lane::Bulk, &frame(n, 100_000))).collect();
    let total = bytes(&out);
    alice.driver.send(to_bob, out).expect("there is room");
    world.kill(bob).await;
    let began = tokio::time::Instant::now();
    let mut sent = 0;
    let reason = loop {
        match alice.next().await {
            LinkEvent::Sent { bytes, .. } => sent += bytes,
            LinkEvent::Down { link, reason } if link == to_bob => break reason,
            other => panic!("{other:?} from a dead peer"),
        }
    };
    assert!(world.is_death(&reason), "{reason:?}");
    let took = began.elapsed();
    assert!(took < W::IDLE_TIMEOUT * 3, "{took:?} is too long");
    assert!(sent < total, "not all can have been sent");
}

//= rfcs/0001-architecture.md#link-2
//= type=test
//# A driver MUST NOT use the number of a link again in the same process.
pub(crate) async fn a_peer_that_restarts_replaces_its_link<W: World>(world: &W) {
    let Pair { alice, mut bob, to_alice, .. } = linked(world, Wish::default()).await;
    world.kill(alice).await;
    let alice = world.node(1, Wish::default()).await;
    alice.dial(bob.addr()).await.expect("bob is there");
    let mut seen = Vec::new();
    while seen.len() < 2 {
        match bob.next().await {
            LinkEvent::Up { link, info } => {
                assert_eq!(info.peer, alice.driver.local());
                assert_ne!(link, to_alice);
                seen.push("up");
            }
            LinkEvent::Down { link, reason } => {
                assert_eq!(link, to_alice);
                assert!(matches!(reason, DownReason::Failed { .. }), "{reason:?}");
                seen.push("down");
            }
            other => panic!("{other:?} on an idle link"),
        }
    }
}

pub(crate) async fn nobody_can_be_dialled<W: World>(world: &W) {
    let alice = world.node(1, Wish::default()).await;
    let error = alice.dial(world.nobody()).await.expect_err("nobody is there");
    let typed = matches!(
        error,
        DialError::NoAddress | DialError::TimedOut { .. } | DialError::Unreachable { .. }
    );
    assert!(typed && error.is_transient(), "{error:?}");
    assert_eq!(alice.dial(alice.addr()).await, Err(DialError::Itself));
}

pub(crate) async fn a_full_peer_refuses<W: World>(world: &W) {
    let one = Wish { links_max: 1, ..Wish::default() };
    let alice = world.node(1, Wish::default()).await;
    let mut bob = world.node(2, one).await;
    let carol = world.node(3, Wish::default()).await;
    let first = alice.dial(bob.addr()).await.expect("bob has room");
    let refused = carol.dial(bob.addr()).await;
    assert!(matches!(refused, Err(DialError::Refused { .. })), "{refused:?}");
    assert_eq!(bob.dial(carol.addr()).await, Err(DialError::TooManyLinks { limit: 1 }));
    // A link that ends makes room.
    let (to_alice, _) = bob.up().await;
    alice.driver.close(first, "");
    bob.down(to_alice).await;
    let mut again = carol.dial(bob.addr()).await;
    // The slot is free a moment after `Down`.
    for _ in 0..100 {
        if again.is_ok() {
            break;
        }
        tokio::task::yield_now().await;
        again = carol.dial(bob.addr()).await;
    }
    again.expect("bob has room again");
}

pub(crate) async fn a_slow_node_keeps_its_link_under_small_frames<W: World>(world: &W) {
    let events = EventLimits { events: 4, frame_bytes: 64 << 10 };
    let Pair { mut alice, mut bob, to_bob, .. } =
        linked(world, Wish { events, ..Wish::default() }).await;
    // Each is written before the next is queued, so that each may travel in a packet of its own.
    let frames: Vec<RawFrame> = (0..4_500).map(|n| frame(n, 200)).collect();
    for one in &frames {
        let out = vec![outgoing(Lane::Control, one)];
        let length = bytes(&out);
        alice.driver.send(to_bob, out).expect("there is room");
        alice.sent(length, 0).await;
    }
    let got = bob.receive(frames.len(), 0).await;
    assert!(got[0] == frames);
}
