#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::core_steps::run(input));
