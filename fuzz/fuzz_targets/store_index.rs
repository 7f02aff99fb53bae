#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| samara_fuzz::store_index(data));
