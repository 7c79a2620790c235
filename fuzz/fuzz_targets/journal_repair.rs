#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netmidi_testkit::fuzz::journal_repair(data));
