//! `targets::evidence` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = steadfast_chaos::prove::fuzz::targets::evidence(data);
});
