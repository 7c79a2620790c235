#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netmidi_testkit::fuzz::tcp_stream(data));
