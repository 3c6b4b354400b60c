//! What a guest sends to the name server.
#![no_main]

use kiln_vmm::guest::testing::{Reply, answer_dns, told};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let resolver = told().resolver;
    // Most inputs get past the first checks: one question, and nothing else.
    let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(input);
    for bytes in [input, &message] {
        if let Reply::Own(answer) = answer_dns(bytes, resolver.as_ref()) {
            assert!(answer.len() >= 12 && answer[..2] == bytes[..2]);
        }
    }
});
