#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| samara_fuzz::mesh_pair(data));
