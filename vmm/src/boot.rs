//! What a machine boots: the kernel files of its launch, or what its root volume's own boot loader would boot.
//!
//! Called by `machine` inside the sandbox, at each start and each reset, so a kernel that was upgraded in the guest is
//! the next to boot.

use crate::kvm::memory::Memory;
use crate::machine::plan::{BootSource, Plan};
use crate::x86_64::kernel::{self, Entry, KernelError, Payload};
use kiln_images::ReadAt;
use kiln_images::boot::kernel::{KernelError as NoKernelError, identify};
use kiln_images::boot::{self, BootError};

/// Why nothing was booted.
#[derive(Debug, thiserror::Error)]
pub enum FindKernelError {
    /// The root volume boots nothing.
    #[error("No kernel was found")]
    Volume(#[source] BootError),
    /// What should be booted is no kernel.
    #[error("The kernel {name} is none that can be booted")]
    NoKernel {
        /// Where it was found.
        name: String,
        /// Why.
        #[source]
        source: NoKernelError,
    },
    /// What should be booted can't be.
    #[error("The kernel {name} can't be booted")]
    Kernel {
        /// Where it was found.
        name: String,
        /// Why.
        #[source]
        source: KernelError,
    },
}

/// Finds what `plan` boots and loads it into `memory`.
///
/// # Errors
/// See [`FindKernelError`].
pub fn load(plan: &Plan, memory: &Memory) -> Result<Entry, FindKernelError> {
    match &plan.boot {
        BootSource::Kernel {
            kernel,
            ramdisk,
            command_line,
        } => {
            let ramdisk = ramdisk.as_ref().map(|file| file as &dyn ReadAt);
            load_named(
                "of the launch",
                memory,
                plan.memory,
                &Payload {
                    kernel,
                    ramdisk,
                    command_line,
                },
            )
        }
        BootSource::Volume { volume, .. } => load_from_volume(volume, memory, plan.memory),
    }
}

fn load_from_volume(disk: &dyn ReadAt, memory: &Memory, size: u64) -> Result<Entry, FindKernelError> {
    let entry = boot::find(disk).map_err(FindKernelError::Volume)?;
    let command_line = with_serial_console(&entry.command_line);
    let ramdisk = entry.initrd.as_ref().map(|file| file as &dyn ReadAt);
    load_named(
        &entry.title,
        memory,
        size,
        &Payload {
            kernel: &entry.kernel,
            ramdisk,
            command_line: &command_line,
        },
    )
}

/// A bzImage is entered as it is: its own code unpacks it faster than we do (measured in an emulated host, LZ4 and
/// zstd), and puts it at a random address.
fn load_named(name: &str, memory: &Memory, size: u64, payload: &Payload<'_>) -> Result<Entry, FindKernelError> {
    let name = || name.to_owned();
    identify(payload.kernel).map_err(|source| FindKernelError::NoKernel { name: name(), source })?;
    kernel::load(memory, size, payload).map_err(|source| FindKernelError::Kernel { name: name(), source })
}

/// The loader's command line, with a serial console if it names none: the last one named, since this machine has no
/// other, and before the words that are init's.
fn with_serial_console(command_line: &str) -> String {
    const SERIAL: &str = "console=ttyS0";
    let is_serial = |word: &&str| {
        let rest = word.strip_prefix(SERIAL);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(','))
    };
    let mut words: Vec<&str> = command_line.split_ascii_whitespace().collect();
    let kernels = words.iter().position(|word| *word == "--").unwrap_or(words.len());
    if words[..kernels].iter().any(is_serial) {
        return command_line.trim().to_owned();
    }
    words.insert(kernels, SERIAL);
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_console_is_added_only_where_there_is_none() {
        for (given, wanted) in [
            ("root=/dev/vda1 ro quiet", "root=/dev/vda1 ro quiet console=ttyS0"),
            (
                "console=tty0 -- console=ttyS0",
                "console=tty0 console=ttyS0 -- console=ttyS0",
            ),
            ("console=ttyS01", "console=ttyS01 console=ttyS0"),
            (" ", "console=ttyS0"),
            ("console=ttyS0 ro", "console=ttyS0 ro"),
            (
                "console=tty0 console=ttyS0,115200n8",
                "console=tty0 console=ttyS0,115200n8",
            ),
        ] {
            assert_eq!(with_serial_console(given), wanted);
        }
    }
}
