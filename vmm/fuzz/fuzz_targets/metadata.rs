//! What a guest sends to the metadata service.
#![no_main]

use kiln_vmm::guest::testing::{Facts, Head, Tokens, answer_metadata, told};
use libfuzzer_sys::fuzz_target;
use std::cell::OnceCell;
use std::time::Duration;

thread_local! {
    static SERVICE: OnceCell<(Facts, Tokens)> = const { OnceCell::new() };
}

fuzz_target!(|input: &[u8]| {
    SERVICE.with(|cell| {
        let (facts, tokens) = cell.get_or_init(|| {
            let facts = Facts::new(1, told()).expect("facts");
            (facts, Tokens::new().expect("tokens"))
        });
        let Ok(Some(head)) = Head::parse(input) else { return };
        assert!((1..=input.len()).contains(&head.length));
        let answer = answer_metadata(&head.request, facts, tokens, Duration::ZERO);
        let mut output = Vec::new();
        answer.write(true, head.keep, &mut output);
        assert!(output.starts_with(b"HTTP/1.1 ") && output.ends_with(&answer.body));
    });
});
