//! A network namespace of a test's own with one tap in it, and the host's side of that tap. Nothing of it is seen outside, and
//! it goes with its last descriptor. Tests that use one must be run by root, on a host with /dev/net/tun.
//!
//! The unit tests of `virtio::net` have this file too.

use std::fs::File;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// How long a frame is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A tap that is up.
pub struct Namespace {
    /// Its queues, as the daemon would open them.
    pub queues: Vec<File>,
    index: libc::c_int,
    packets: OwnedFd,
    netlink: OwnedFd,
    control: OwnedFd,
}

impl Namespace {
    /// One with a tap of `queues` queues.
    pub fn new(queues: u16) -> Self {
        inside(move || Self::build(queues))
    }

    fn build(queues: u16) -> Self {
        let several = if queues > 1 { libc::IFF_MULTI_QUEUE } else { 0 };
        let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | several;
        let control = socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
        let opened = (0..queues).map(|_| open_tap(flags)).collect();
        let mut request = named();
        ioctl(&control, libc::SIOCGIFINDEX, &mut request);
        // SAFETY: the kernel has filled in the index.
        let index = unsafe { request.ifr_ifru.ifru_ifindex };
        set_up(&control, true);
        Self {
            queues: opened,
            index,
            packets: packet_socket(index),
            netlink: socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE),
            control,
        }
    }

    /// Duplicates of the queues, as a monitor is given.
    pub fn files(&self) -> Vec<File> {
        self.queues.iter().map(|file| file.try_clone().unwrap()).collect()
    }

    /// Takes the interface down, and up again after `meanwhile`.
    pub fn while_down(&self, meanwhile: impl FnOnce()) {
        set_up(&self.control, false);
        meanwhile();
        set_up(&self.control, true);
        // The socket tells once that the interface was down.
        // SAFETY: the memory outlives the call.
        let told = unsafe {
            libc::recv(
                self.packets.as_raw_fd(),
                [0u8; 1].as_mut_ptr().cast(),
                1,
                libc::MSG_DONTWAIT,
            )
        };
        assert_eq!(
            (told, io::Error::last_os_error().raw_os_error()),
            (-1, Some(libc::ENETDOWN))
        );
    }

    /// Removes the interface, as somebody on the host might.
    pub fn remove(&self) {
        const LENGTH: u32 = 32;
        let mut message = Vec::new();
        message.extend(LENGTH.to_ne_bytes());
        message.extend(libc::RTM_DELLINK.to_ne_bytes());
        message.extend(((libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16).to_ne_bytes());
        message.extend([0; 12]);
        message.extend(self.index.to_ne_bytes());
        message.extend([0; 8]);
        assert_eq!(message.len(), LENGTH as usize);
        // SAFETY: both calls are given memory that outlives them.
        let answer = unsafe {
            let sent = libc::send(self.netlink.as_raw_fd(), message.as_ptr().cast(), message.len(), 0);
            assert_eq!(sent, 32, "{}", io::Error::last_os_error());
            let mut answer = [0i32; 64];
            let length = libc::recv(self.netlink.as_raw_fd(), answer.as_mut_ptr().cast(), 256, 0);
            assert!(length >= 20, "{}", io::Error::last_os_error());
            answer
        };
        assert_eq!(answer[4], 0, "the kernel did not remove the tap");
    }

    /// Sends a frame behind a header of 10 bytes to the guest, as the host's network stack would.
    pub fn send(&self, header: [u8; 10], frame: &[u8]) {
        let bytes = [&header, frame].concat();
        // SAFETY: the memory outlives the call.
        let sent = unsafe { libc::send(self.packets.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
        assert_eq!(
            usize::try_from(sent).ok(),
            Some(bytes.len()),
            "{}",
            io::Error::last_os_error()
        );
    }

    /// The next frame with EtherType 0x88b5 (local experiments) or 0x0800 that the guest sent: its header and itself.
    pub fn receive(&self) -> ([u8; 10], Vec<u8>) {
        let mut bytes = vec![0; 70_000];
        loop {
            // SAFETY: the memory outlives the call.
            let length = unsafe { libc::recv(self.packets.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), 0) };
            let length = usize::try_from(length).unwrap_or_else(|_| panic!("no frame: {}", io::Error::last_os_error()));
            let (header, frame) = bytes[..length].split_at(10);
            if matches!(frame.get(12..14), Some([0x88, 0xb5] | [8, 0])) {
                return (header.try_into().unwrap(), frame.to_vec());
            }
        }
    }
}

/// What `make` makes in a namespace of its own.
pub fn inside<T: Send + 'static>(make: impl FnOnce() -> T + Send + 'static) -> T {
    let inside = move || {
        // SAFETY: it changes only this thread, which ends when all is made.
        check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).expect("tests of taps must be run by root");
        // Or the host would send frames of its own. A kernel without IPv6 has no such file.
        let _ = std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
        make()
    };
    std::thread::spawn(inside).join().expect("a namespace")
}

/// Opens a queue of the tap with these flags.
pub fn open_tap(flags: libc::c_int) -> File {
    let tap = File::options().read(true).write(true).open("/dev/net/tun");
    let tap = tap.expect("tests of taps need /dev/net/tun");
    let mut request = named();
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    ioctl(&tap, libc::TUNSETIFF, &mut request);
    tap
}

fn set_up(control: &OwnedFd, up: bool) {
    let mut request = named();
    request.ifr_ifru.ifru_flags = if up { libc::IFF_UP as libc::c_short } else { 0 };
    ioctl(control, libc::SIOCSIFFLAGS, &mut request);
}

fn named() -> libc::ifreq {
    // SAFETY: all zero is a valid value of a plain C structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(*b"tap0") {
        *place = byte as libc::c_char;
    }
    request
}

fn packet_socket(index: libc::c_int) -> OwnedFd {
    let packets = socket(libc::AF_PACKET, libc::SOCK_RAW, 0);
    let all = (libc::ETH_P_ALL as u16).to_be();
    let set = |option, value: &[u8]| {
        let length = libc::socklen_t::try_from(value.len()).unwrap();
        let level = if option == libc::SO_RCVTIMEO {
            libc::SOL_SOCKET
        } else {
            libc::SOL_PACKET
        };
        // SAFETY: the kernel reads `length` bytes of `value`.
        check(unsafe { libc::setsockopt(packets.as_raw_fd(), level, option, value.as_ptr().cast(), length) }).unwrap();
    };
    set(libc::PACKET_VNET_HDR, &1i32.to_ne_bytes());
    set(libc::PACKET_IGNORE_OUTGOING, &1i32.to_ne_bytes());
    let patience = i64::try_from(PATIENCE.as_secs()).unwrap();
    set(libc::SO_RCVTIMEO, &[patience.to_ne_bytes(), [0; 8]].concat());
    // SAFETY: all zero is a valid value of a plain C structure.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = all;
    address.sll_ifindex = index;
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the kernel reads one `sockaddr_ll`.
    check(unsafe { libc::bind(packets.as_raw_fd(), (&raw const address).cast(), length) }).unwrap();
    packets
}

fn socket(family: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> OwnedFd {
    // SAFETY: the arguments are plain numbers.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    check(fd).expect("sockets of a namespace");
    // SAFETY: nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn ioctl(file: &impl AsRawFd, request: libc::c_ulong, argument: &mut libc::ifreq) {
    // SAFETY: these requests read and write one `ifreq`.
    check(unsafe { libc::ioctl(file.as_raw_fd(), request, std::ptr::from_mut(argument)) })
        .unwrap_or_else(|error| panic!("ioctl {request:#x}: {error}"));
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
