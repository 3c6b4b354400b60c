//! Whole disks: partition tables, file systems, loader configurations.
#![no_main]

use kiln_images::boot;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|disk: &[u8]| {
    if let Ok(found) = boot::find(&disk) {
        let mut buffer = vec![0; 1 << 16];
        for file in std::iter::once(&found.kernel).chain(&found.initrd) {
            let len = file.len().min(1 << 16) as usize;
            let _ = file.read_exact_at(&mut buffer[..len], 0);
        }
    }
});
