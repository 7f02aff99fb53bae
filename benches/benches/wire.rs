//! Speed of the encoding: `cargo bench -p samara-benches --bench wire`.
//!
//! Goals: frames of 64 KiB off a byte stream at 500 MB/s or more, small varints at 5 ns or less.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark may fail")]

use core::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use samara_base::{BlobId, Class, GroupLog2, RangeSet};
use samara_wire::{
    Data, FRAME_BODY_MAX, FrameDecoder, Message, Ping, RUNS_MAX, Want, ranges, tlv, varint,
};

const KIB64: usize = 64 << 10;
const FRAMES: usize = 64;

/// Numbers of up to `bits` bits, the same in every run.
fn numbers(bits: u32) -> Vec<u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let bits = 1 + (state >> 33) % u64::from(bits);
        (state >> 2) >> (62 - bits)
    };
    (0..1000).map(next).collect()
}

fn varints(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/varint");
    for (name, bits) in [("small", 6), ("two_bytes", 14), ("mixed", 62)] {
        let numbers = numbers(bits);
        let mut encoded = Vec::new();
        for &number in &numbers {
            varint::encode(number, &mut encoded).unwrap();
        }
        group.throughput(Throughput::Elements(numbers.len() as u64));
        group.bench_function(format!("decode/{name}"), |b| {
            b.iter(|| {
                let (mut rest, mut sum) = (black_box(&encoded[..]), 0_u64);
                while !rest.is_empty() {
                    let (number, after) = varint::decode(rest).unwrap();
                    sum = sum.wrapping_add(number);
                    rest = after;
                }
                sum
            });
        });
        group.bench_function(format!("encode/{name}"), |b| {
            let mut out = Vec::with_capacity(encoded.len());
            b.iter(|| {
                out.clear();
                for &number in black_box(&numbers) {
                    varint::encode(number, &mut out).unwrap();
                }
                out.len()
            });
        });
    }
    group.finish();
}

fn data(len: usize) -> Message {
    Message::from(Data {
        want: 7,
        first: 4096,
        proof: Bytes::from(vec![0xcc; 640]),
        data: Bytes::from(vec![0xdd; len]),
    })
}

fn want(runs: u64) -> Message {
    Message::from(Want {
        want: 7,
        blob: BlobId::from_bytes([7; 32]),
        group: GroupLog2::KIB64,
        class: Class::Bulk,
        ranges: (0..runs).map(|at| 512 * at..512 * at + 256).collect(),
        known: RangeSet::new(),
        size: Some(1 << 30),
    })
}

/// Takes the messages of a stream as a driver does: reads of 64 KiB into one buffer.
fn receive(stream: &[u8], crc: bool) -> usize {
    let mut decoder = FrameDecoder::new(FRAME_BODY_MAX, crc);
    let mut buffer = BytesMut::new();
    let mut messages = 0;
    for read in stream.chunks(KIB64) {
        buffer.reserve(decoder.need().max(read.len()));
        buffer.extend_from_slice(read);
        while let Some(raw) = decoder.decode(&mut buffer).unwrap() {
            black_box(Message::decode(raw.kind, raw.body).unwrap());
            messages += 1;
        }
    }
    messages
}

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/frame_stream");
    let ping = Message::from(Ping { token: 7 });
    for (name, message) in [("64KiB", data(KIB64)), ("1KiB", data(1024)), ("ping", ping)] {
        for (link, crc) in [("plain", false), ("crc", true)] {
            let frame = message.encode(crc).unwrap().to_bytes();
            let stream = frame.repeat(FRAMES);
            group.throughput(Throughput::Bytes(stream.len() as u64));
            // With the copy from the read into the buffer, which a driver has as well.
            group.bench_function(format!("decode/{name}/{link}"), |b| {
                b.iter(|| assert_eq!(receive(black_box(&stream), crc), FRAMES));
            });
            group.bench_function(format!("split/{name}/{link}"), |b| {
                b.iter_batched_ref(
                    || (FrameDecoder::new(FRAME_BODY_MAX, crc), BytesMut::from(&stream[..])),
                    |(decoder, buffer)| {
                        while let Some(raw) = decoder.decode(buffer).unwrap() {
                            black_box(raw);
                        }
                    },
                    BatchSize::LargeInput,
                );
            });
            group.bench_function(format!("encode/{name}/{link}"), |b| {
                b.iter(|| {
                    let frames = (0..FRAMES).map(|_| black_box(&message).encode(crc).unwrap());
                    frames.map(|frame| frame.len()).sum::<usize>()
                });
            });
        }
    }
    group.finish();
}

fn messages(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/message");
    let samples = [
        ("data_64KiB", data(KIB64)),
        ("want_1_run", want(1)),
        ("want_1024_runs", want(RUNS_MAX as u64)),
        ("ping", Message::from(Ping { token: 7 })),
    ];
    for (name, message) in samples {
        let frame = message.encode(false).unwrap().to_bytes();
        let decoder = FrameDecoder::new(FRAME_BODY_MAX, false);
        let (raw, _) = decoder.decode_one(frame).unwrap();
        group.bench_function(format!("decode/{name}"), |b| {
            b.iter(|| Message::decode(raw.kind, black_box(&raw.body).clone()).unwrap());
        });
        group.bench_function(format!("encode/{name}"), |b| {
            b.iter(|| black_box(&message).encode(false).unwrap());
        });
    }
    group.finish();
}

fn parts(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/parts");
    let set: RangeSet = (0..RUNS_MAX as u64).map(|at| 512 * at..512 * at + 256).collect();
    let mut encoded = Vec::new();
    ranges::encode(&set, RUNS_MAX, &mut encoded).unwrap();
    group.throughput(Throughput::Elements(RUNS_MAX as u64));
    group.bench_function("ranges_decode/1024", |b| {
        b.iter(|| ranges::decode(black_box(&encoded), RUNS_MAX).unwrap());
    });
    let mut section = Vec::new();
    for tlv_type in 0..32 {
        tlv::encode(tlv_type, &[0; 8], &mut section).unwrap();
    }
    group.throughput(Throughput::Elements(32));
    group.bench_function("tlv_decode/32", |b| {
        b.iter(|| tlv::decode(black_box(&section), |_, value| !value.is_empty()).unwrap());
    });
    group.finish();
}

criterion_group!(benches, varints, frames, messages, parts);
criterion_main!(benches);
