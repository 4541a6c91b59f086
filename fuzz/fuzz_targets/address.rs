#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| wsplice::fuzzing::address(text));
