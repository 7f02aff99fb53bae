//! What a peer can make the decoders allocate, counted by the allocator itself.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod common;

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
};
use std::alloc::System;

use bytes::{Bytes, BytesMut};
use common::*;
use samara_base::RangeSet;
use samara_wire::{
    AGENT_MAX, Close, CloseCode, Data, End, FRAME_BODY_MAX, FrameDecoder, Have, Hello, Message,
    Ping, Present, REASON_MAX, RIGHT_MAX, RUNS_MAX, Want, varint,
};

struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: hands every call to the system's allocator unchanged; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + layout.size());
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes that `work` allocates on this thread.
fn allocated<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = ALLOCATED.get();
    let result = work();
    (ALLOCATED.get() - before, result)
}

//= rfcs/0003-encoding.md#enc-7
//= type=test
//# A decoder MUST NOT reserve memory for more runs than the bytes at hand can hold.
#[test]
fn a_claimed_number_of_runs_reserves_nothing() {
    // want 1, size 6, held: 1,024 runs, of which one follows
    let body = Bytes::from_static(&[1, 6, 0x44, 0x00, 0, 0]);
    let (bytes, result) = allocated(|| Message::decode(Have::KIND, body));
    assert!(result.is_err());
    assert_eq!(bytes, 16, "one run of two numbers");
}

#[test]
fn a_range_set_takes_at_most_sixteen_times_its_bytes_while_it_is_decoded() {
    let held = (0..RUNS_MAX as u64).map(|at| 2 * at..2 * at + 1).collect();
    let body = body(Have { size: 4 << 20, held, ..have() });
    let (bytes, result) = allocated(|| Message::decode(Have::KIND, body.clone()));
    assert!(result.is_ok());
    assert!(bytes <= 16 * body.len(), "{bytes} bytes for {}", body.len());
}

#[test]
fn data_is_decoded_without_allocating_and_encoded_without_copying() {
    let mib = 1 << 20;
    let message = Message::from(Data {
        first: 16,
        proof: Bytes::from(vec![0xcc; 640]),
        data: Bytes::from(vec![0xdd; mib]),
        ..data()
    });
    let (bytes, frame) = allocated(|| message.encode(true).unwrap());
    assert!(bytes < 1024, "{bytes} bytes beside the data");

    let mut buffer = BytesMut::from(&frame.to_bytes()[..]);
    let mut decoder = FrameDecoder::new(FRAME_BODY_MAX, true);
    // The buffer makes itself shared at the first cut, once.
    let (bytes, raw) = allocated(|| decoder.decode(&mut buffer).unwrap().unwrap());
    assert!(bytes <= 64, "{bytes} bytes");
    let (bytes, decoded) = allocated(|| Message::decode(raw.kind, raw.body));
    assert_eq!(bytes, 0);
    assert_eq!(decoded, Ok(Some(message)));
}

#[test]
fn a_claimed_body_reserves_nothing() {
    let mut decoder = FrameDecoder::new(FRAME_BODY_MAX, false);
    let mut buffer = BytesMut::from(&[0x14, 0x80, 0x11, 0x00, 0x00, 0x00][..]);
    let (bytes, result) = allocated(|| decoder.decode(&mut buffer));
    assert_eq!((bytes, result), (0, Ok(None)));
    assert_eq!(decoder.need(), FRAME_BODY_MAX as usize - 1);
}

#[test]
fn a_message_is_encoded_into_a_buffer_that_is_large_enough_and_hardly_larger() {
    let top = varint::MAX;
    // Runs and gaps so long that each takes eight bytes, as do the numbers beside them.
    let far = |from: u64, count: u64| -> RangeSet {
        let run = |at| (from + 2 * at) << 32..(from + 2 * at + 1) << 32;
        (1..=count).map(run).collect()
    };
    let messages: [Message; 8] = [
        Hello { agent: "x".repeat(AGENT_MAX), wants_max: top, credit: top, ..hello() }.into(),
        Ping { token: top }.into(),
        Close { code: CloseCode::Done, reason: "x".repeat(REASON_MAX) }.into(),
        Present { right: Bytes::from(vec![0; RIGHT_MAX]) }.into(),
        Want { want: top, ranges: far(0, 20), known: far(99, 20), size: Some(top), ..want() }
            .into(),
        Have { want: top, size: top, held: far(0, 20) }.into(),
        Data { want: top, first: 1 << 50, proof: Bytes::from(vec![0; 8192]), ..data() }.into(),
        End { want: top, missing: far(0, 20), retry_ms: Some(top), ..end() }.into(),
    ];
    for message in messages {
        let before = ALLOCATIONS.get();
        let (bytes, frame) = allocated(|| message.encode(true).unwrap());
        let count = ALLOCATIONS.get() - before;
        // The buffer and what shares it; the two versions in one piece; the CRC-32 behind a payload.
        let more = matches!(message, Message::Hello(_) | Message::Data(_));
        assert!(count <= 2 + usize::from(more), "{count} allocations for {message:?}");
        let len = frame.head().len();
        assert!(bytes <= len + 160, "{bytes} bytes for {len} of {message:?}");
    }
}
