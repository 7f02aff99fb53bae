#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| samara_fuzz::chunk_chunker(data));
