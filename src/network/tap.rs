//! Taps: the host's ends of guests' network interfaces. They are not persistent: the kernel removes one with the last
//! descriptor of it, which is its monitor's.

use rustix::ioctl::{Setter, opcode};
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;

/// `TUNSETIFF` of `linux/if_tun.h`.
const TUNSETIFF: rustix::ioctl::Opcode = opcode::write::<libc::c_int>(b'T', 202);

/// Opens a tap of `queues` queues in the namespace of the calling thread, making it; each queue is one descriptor. Frames
/// come with the header of virtio 1.2, 5.1.6. Blocks.
///
/// # Errors
/// The system's: the host has no `/dev/net/tun`, or the name is taken.
pub fn open_tap(name: &str, queues: u8) -> io::Result<Vec<File>> {
    (0..queues).map(|_| open_queue(name, queues > 1)).collect()
}

fn open_queue(name: &str, one_of_many: bool) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")?;
    let mut flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    if one_of_many {
        flags |= libc::IFF_MULTI_QUEUE;
    }
    // SAFETY: `ifreq` is plain old data, for which zeroes are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The name keeps a zero at its end.
    let room = request.ifr_name.len() - 1;
    for (place, byte) in request.ifr_name.iter_mut().take(room).zip(name.bytes()) {
        *place = libc::c_char::from_ne_bytes([byte]);
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
    // SAFETY: TUNSETIFF reads an `ifreq` (the `int` in its number is a mistake that the kernel keeps).
    unsafe { rustix::ioctl::ioctl(&file, Setter::<TUNSETIFF, libc::ifreq>::new(request)) }?;
    Ok(file)
}
