//! Kernels: headers, notes and compressed payloads.
#![no_main]

use kiln_images::boot::kernel::{Kernel, identify};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|image: &[u8]| {
    if let Ok(Kernel::BzImage(kernel)) = identify(&image) {
        let _ = kernel.unpack(&image);
    }
});
