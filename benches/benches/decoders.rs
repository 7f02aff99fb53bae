//! How many inputs a second the decoders of what peers and users send look at: those of the vectors,
//! valid and hostile. Proofs, which are hashed, are in the bench `tree`.
//!
//! Goal: 100,000 a second. `cargo bench -p samara-benches --bench decoders`
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark may fail")]

use core::{hint::black_box, str};
use std::path::Path;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use samara::ticket::Ticket;
use samara_base::BlobId;
use samara_chunk::Manifest;
use samara_conformance::{Params, VectorFile};
use samara_store::conformance as records;
use samara_wire::{FrameDecoder, Message, RUNS_MAX, ranges, tlv, varint};

/// As long as the inputs of the fuzz targets. Unit: bytes.
const INPUT_MAX: usize = 4096;

/// The inputs of a vector file, each as its decoder takes it.
fn inputs<T>(file: &str, input: impl Fn(&Params, &[u8]) -> T) -> Vec<T> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rfcs/vectors");
    let file = VectorFile::read(&folder.join(file).with_extension("json")).unwrap();
    let short = file.tests.iter().filter(|test| test.bytes.len() <= INPUT_MAX);
    short.map(|test| input(&test.params, &test.bytes)).collect()
}

fn bench<T>(c: &mut Criterion, name: &str, inputs: &[T], mut decode: impl FnMut(&T) -> bool) {
    let mut group = c.benchmark_group("decoders");
    group.throughput(Throughput::Elements(inputs.len() as u64));
    group.bench_function(name, |b| {
        b.iter(|| black_box(inputs).iter().filter(|input| decode(input)).count());
    });
    group.finish();
}

fn bytes(_: &Params, bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

/// A message is its kind and its body.
fn message(_: &Params, bytes: &[u8]) -> (u64, Bytes) {
    let (kind, body) = varint::decode(bytes).unwrap_or_default();
    (kind, Bytes::copy_from_slice(body))
}

fn number(params: &Params, name: &str) -> u32 {
    params[name].as_str().unwrap().parse().unwrap()
}

fn decoders(c: &mut Criterion) {
    bench(c, "varint", &inputs("varint", bytes), |bytes| varint::decode(bytes).is_ok());
    bench(c, "tlv", &inputs("tlv", bytes), |bytes| tlv::decode(bytes, |_, _| true).is_ok());
    bench(c, "ranges", &inputs("ranges", bytes), |bytes| ranges::decode(bytes, RUNS_MAX).is_ok());
    for file in ["message-session", "message-transfer"] {
        let inputs = inputs(file, message);
        bench(c, file, &inputs, |(kind, body)| Message::decode(*kind, body.clone()).is_ok());
    }
    let frames = inputs("frame", |params, bytes| {
        let decoder = || FrameDecoder::new(number(params, "body_max"), params["crc"] == true);
        (decoder(), BytesMut::from(bytes))
    });
    bench(c, "frame", &frames, |(decoder, stream)| {
        let (mut decoder, mut stream) = (decoder.clone(), stream.clone());
        while let Ok(Some(frame)) = decoder.decode(&mut stream) {
            black_box(frame);
        }
        stream.is_empty()
    });
    bench(c, "ticket", &inputs("ticket", bytes), |bytes| {
        str::from_utf8(bytes).is_ok_and(|text| text.parse::<Ticket>().is_ok())
    });
    // Ids, and texts of whatever length that are none.
    let id = |bytes: &[u8]| samara_tree::hash(bytes).to_string();
    let mut texts = inputs("manifest", |_, bytes| id(bytes));
    let cut = texts.iter().zip(1..).filter_map(|(text, len)| text.get(len % 64..));
    let cut: Vec<String> = cut.map(|text| text.replace('a', "g")).collect();
    texts.extend(cut);
    bench(c, "blob_id", &texts, |text| text.parse::<BlobId>().is_ok());
    bench(c, "manifest", &inputs("manifest", bytes), |bytes| Manifest::decode(bytes).is_ok());
    let segments = inputs("record", |params, bytes| (number(params, "segment"), bytes.to_vec()));
    bench(c, "record", &segments, |(segment, bytes)| records::decode(bytes, *segment).is_ok());
}

criterion_group!(benches, decoders);
criterion_main!(benches);
