#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::wire_decode::run(input));
