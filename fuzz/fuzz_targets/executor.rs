#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(mesos_core::fuzzing::executor_client(bytes)));
