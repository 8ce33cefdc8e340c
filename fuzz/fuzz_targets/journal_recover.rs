#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::journal_recover::run(input));
