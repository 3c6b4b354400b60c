//! The queues alone, on one thread: each turn is a call, and the clock is the test's.

use super::{frame, settings};
use crate::testing::{Piece, readable, writable};
use crate::virtio::device::{DriverLink, QueueInterrupt, QueueResources};
use crate::virtio::limit::{Clock, Limiter, Pace};
use crate::virtio::net::config::NetConfig;
use crate::virtio::net::frame::HEADER;
use crate::virtio::net::receive::Receiver;
use crate::virtio::net::settings::Limit;
use crate::virtio::net::tap::Taps;
use crate::virtio::net::testing::wire;
use crate::virtio::net::transmit::Transmitter;
use crate::virtio::net::{Config, Interface};
use crate::virtio::queue::{RingAddresses, RingLayout};
use crate::virtio::worker::{Progress, QueueServer};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::json;
use std::collections::VecDeque;
use std::fmt::Display;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use vm_memory::{Bytes, GuestAddress, GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::eventfd::EventFd;

const SIZE: u16 = 256;
const RINGS: RingAddresses = RingAddresses {
    descriptors: 0x1000,
    available: 0x3000,
    used: 0x4000,
};
const DATA: u64 = 0x1_0000;

/// What a queue said beside its frames.
#[derive(Default)]
struct Said {
    interrupts: AtomicU64,
    broken: Mutex<Vec<String>>,
}

impl QueueInterrupt for Said {
    fn signal(&self) {
        self.interrupts.fetch_add(1, Ordering::Relaxed);
    }
    fn event(&self) -> Option<Arc<EventFd>> {
        None
    }
}

impl DriverLink for Said {
    fn change_config(&self, change: &mut dyn FnMut()) {
        change();
    }
    fn needs_reset(&self, reason: &dyn Display) {
        self.broken.lock().unwrap().push(reason.to_string());
    }
}

/// A queue in memory, from the driver's side.
struct Queue {
    memory: Arc<GuestMemoryMmap>,
    next: u16,
    taken: u16,
    said: Arc<Said>,
}

impl Queue {
    fn new() -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 8 << 20)]).unwrap();
        Self {
            memory: Arc::new(memory),
            next: 0,
            taken: 0,
            said: Arc::default(),
        }
    }

    fn resources(&self) -> QueueResources {
        QueueResources {
            memory: GuestMemoryAtomic::from(Arc::clone(&self.memory)),
            layout: RingLayout::check(RINGS, SIZE, SIZE, &self.memory).unwrap(),
            doorbell: Arc::new(EventFd::new(0).unwrap()),
            interrupt: self.said.clone(),
            link: self.said.clone(),
        }
    }

    /// Makes a request of one piece available.
    fn post(&mut self, piece: Piece) {
        let place = u64::from(self.next % SIZE);
        let rest = u64::from(piece.length) | u64::from(piece.writable) << 33;
        let put = |at: u64, value: u16| self.memory.write_obj(value, GuestAddress(at)).unwrap();
        let descriptor = GuestAddress(RINGS.descriptors + 16 * place);
        self.memory.write_obj([piece.address, rest], descriptor).unwrap();
        put(RINGS.available + 4 + 2 * place, self.next % SIZE);
        self.next = self.next.wrapping_add(1);
        put(RINGS.available + 2, self.next);
    }

    /// The lengths of what was used since this was last asked.
    fn take(&mut self) -> Vec<u32> {
        let index: u16 = self.memory.read_obj(GuestAddress(RINGS.used + 2)).unwrap();
        let mut lengths = Vec::new();
        while self.taken != index {
            let at = RINGS.used + 4 + 8 * u64::from(self.taken % SIZE);
            let [head, length]: [u32; 2] = self.memory.read_obj(GuestAddress(at)).unwrap();
            assert_eq!(head, u32::from(self.taken % SIZE), "buffers were used out of order");
            lengths.push(length);
            self.taken = self.taken.wrapping_add(1);
        }
        lengths
    }

    fn bytes(&self, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.memory.read_slice(&mut bytes, GuestAddress(at)).unwrap();
        bytes
    }
}

fn interface() -> (Arc<Interface>, UnixDatagram) {
    let (file, other) = wire();
    other.set_nonblocking(true).unwrap();
    let config: Config = serde_json::from_value(settings(1, false)).unwrap();
    let interface = Interface {
        config: Arc::new(NetConfig::new(&config, true)),
        taps: Taps::new(vec![file]),
    };
    (Arc::new(interface), other)
}

/// A clock that stands still until it is told the time, in milliseconds.
fn clock() -> (Clock, Arc<AtomicU64>) {
    let time = Arc::new(AtomicU64::new(0));
    let own = Arc::clone(&time);
    (
        Arc::new(move || Duration::from_millis(own.load(Ordering::Relaxed))),
        time,
    )
}

fn pace(limit: serde_json::Value, clock: &Clock) -> Pace {
    let limit: Limit = serde_json::from_value(limit).unwrap();
    Pace::new(Limiter::new(limit.bytes, limit.packets, clock)).unwrap()
}

/// Serves until the queue rests.
fn rest(server: &mut impl QueueServer) {
    while server.serve() == Progress::More {}
}

#[test]
fn what_goes_out_keeps_to_its_limit_and_the_rest_stays_in_the_ring() {
    for (limit, at_first, each_second) in [
        (json!({"packets": {"per_second": 5, "burst": 3}}), 3, 5),
        (json!({"bytes": {"per_second": 1000, "burst": 250}}), 3, 10),
        (
            json!({"bytes": {"per_second": 1000, "burst": 10_000}, "packets": {"per_second": 2, "burst": 1}}),
            1,
            2,
        ),
    ] {
        let (interface, wire) = interface();
        let (clock, time) = clock();
        let mut server = Transmitter::new(interface, 0, pace(limit.clone(), &clock));
        let mut queue = Queue::new();
        server.start(queue.resources(), 0, None).unwrap();
        for _ in 0..200 {
            queue.post(readable(DATA, 112));
        }
        let mut sent = Vec::new();
        for milliseconds in 0..3000 {
            time.store(milliseconds, Ordering::Relaxed);
            rest(&mut server);
            sent.push(std::iter::from_fn(|| wire.recv(&mut [0; 200]).ok()).count());
        }
        let until = |end: usize| sent[..end].iter().sum::<usize>();
        assert_eq!(until(1), at_first, "{limit}");
        for second in 1..3 {
            let more = until(second * 1000 + 1) - at_first;
            // What was overdrawn at first is paid back, so it may be one frame less, and never more.
            assert!(
                (second * each_second - 1..=second * each_second).contains(&more),
                "{limit}: {more}"
            );
        }
        assert_eq!(queue.take().len(), until(3000));
        assert!(queue.said.broken.lock().unwrap().is_empty());
    }
}

#[test]
fn what_comes_in_keeps_to_its_limit_and_the_rest_stays_in_the_tap() {
    let (interface, wire) = interface();
    let (clock, time) = clock();
    let limit = json!({"packets": {"per_second": 1, "burst": 2}});
    let mut server = Receiver::new(interface, 0, pace(limit, &clock));
    let mut queue = Queue::new();
    server.start(queue.resources(), 0, None).unwrap();
    for place in 0..20 {
        queue.post(writable(DATA + 0x1000 * place, 0x1000));
    }
    for number in 0..5 {
        wire.send(&super::on_the_wire(number, 60)).unwrap();
    }
    for (seconds, wanted) in [(0, 2), (0, 0), (1, 1), (2, 1), (2, 0), (10, 1)] {
        time.store(seconds * 1000, Ordering::Relaxed);
        rest(&mut server);
        assert_eq!(queue.take().len(), wanted, "at {seconds} s");
    }
}

#[test]
fn a_queue_at_its_limit_sleeps_with_its_timer_set_and_its_doorbell_off() {
    let (interface, _wire) = interface();
    let (clock, _time) = clock();
    let limit = json!({"packets": {"per_second": 1, "burst": 1}});
    let mut server = Transmitter::new(interface, 0, pace(limit, &clock));
    let mut queue = Queue::new();
    server.start(queue.resources(), 0, None).unwrap();
    queue.post(readable(DATA, 112));
    queue.post(readable(DATA, 112));
    assert_eq!(server.serve(), Progress::Idle);
    assert_eq!(queue.take().len(), 1);
    let (timer, _) = server.events()[1];
    let mut left = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: libc::timespec { tv_sec: 0, tv_nsec: 0 },
    };
    // SAFETY: the descriptor is open as long as the server, and `left` outlives the call.
    assert_eq!(unsafe { libc::timerfd_gettime(timer, &raw mut left) }, 0);
    assert!(left.it_value.tv_nsec > 0 || left.it_value.tv_sec > 0, "no timer is set");
    assert_eq!(queue.bytes(RINGS.used, 2), [1, 0], "the driver is asked for doorbells");
    assert_eq!(server.serve(), Progress::Idle);
}

#[test]
fn pairs_under_one_limit_share_it() {
    let (clock, _time) = clock();
    let limit: Limit = serde_json::from_value(json!({"packets": {"per_second": 1, "burst": 10}})).unwrap();
    let limiter = Limiter::new(limit.bytes, limit.packets, &clock);
    let mut sent = 0;
    for _ in 0..3 {
        let (interface, wire) = interface();
        let mut server = Transmitter::new(interface, 0, Pace::new(limiter.clone()).unwrap());
        let mut queue = Queue::new();
        server.start(queue.resources(), 0, None).unwrap();
        (0..6).for_each(|_| queue.post(readable(DATA, 112)));
        rest(&mut server);
        sent += std::iter::from_fn(|| wire.recv(&mut [0; 200]).ok()).count();
    }
    assert_eq!(sent, 10);
}

#[test]
fn a_flood_is_served_piece_by_piece() {
    let (interface, wire) = interface();
    let mut server = Transmitter::new(interface, 0, Pace::default());
    let mut queue = Queue::new();
    server.start(queue.resources(), 0, None).unwrap();
    let mut used = 0;
    for _ in 0..SIZE {
        // Too short for frames, so that nothing but the turn's own bound holds it up.
        queue.post(readable(DATA, 20));
    }
    let mut turns = 0;
    while server.serve() == Progress::More {
        turns += 1;
        used += queue.take().len();
        assert_eq!(used, turns * 64);
    }
    assert_eq!((turns, used), (4, 256));
    assert!(queue.said.interrupts.load(Ordering::Relaxed) <= 5);
    assert!(wire.recv(&mut [0; 20]).is_err());
}

/// What happens to a receive queue.
#[derive(Debug, Clone)]
enum Step {
    Post(u32),
    Send(usize),
    Serve,
    /// It is stopped and goes on where it stood.
    Pause,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop_oneof![Just(12), 12..200u32, 200..3000u32].prop_map(Step::Post),
        3 => prop_oneof![0..30usize, 14..400usize, 400..1600usize].prop_map(Step::Send),
        3 => Just(Step::Serve),
        1 => Just(Step::Pause),
    ]
}

/// The device, and what a driver must see of it.
struct Model {
    server: Receiver,
    queue: Queue,
    wire: UnixDatagram,
    features: u64,
    /// Buffers that hold nothing yet: where, and how long.
    posted: VecDeque<(u64, u32)>,
    next_buffer: u64,
    /// Frames that the driver must be given, in order.
    due: VecDeque<Vec<u8>>,
    sent: u8,
}

impl Model {
    fn new(mergeable: bool) -> Self {
        let (interface, wire) = interface();
        let features = u64::from(mergeable) << 15;
        let mut server = Receiver::new(interface, 0, Pace::default());
        let queue = Queue::new();
        server.start(queue.resources(), features, None).unwrap();
        Self {
            server,
            queue,
            wire,
            features,
            posted: VecDeque::new(),
            next_buffer: DATA,
            due: VecDeque::new(),
            sent: 0,
        }
    }

    fn post(&mut self, length: u32) {
        self.queue.post(writable(self.next_buffer, length));
        self.posted.push_back((self.next_buffer, length));
        self.next_buffer += u64::from(length);
    }

    fn apply(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Post(length) => self.post(length),
            Step::Send(length) => {
                self.sent = self.sent.wrapping_add(1);
                let frame = frame(self.sent, length);
                let bytes = [vec![0; HEADER], frame.clone()].concat();
                // A wire that is full loses it before the device has seen it.
                let sent = self.wire.send(&bytes).is_ok();
                if sent && (14..=1518).contains(&length) {
                    self.due.push_back(frame);
                }
            }
            Step::Serve => rest(&mut self.server),
            Step::Pause => {
                let state = self.server.stop();
                prop_assert_eq!(state.map(|state| state.next_avail), state.map(|state| state.next_used));
                self.server.start(self.queue.resources(), self.features, state).unwrap();
            }
        }
        self.check()
    }

    /// Everything that was used since is whole frames, those that are due.
    fn check(&mut self) -> Result<(), TestCaseError> {
        let mut lengths = VecDeque::from(self.queue.take());
        while !lengths.is_empty() {
            let (at, _) = self.posted[0];
            let header = self.queue.bytes(at, HEADER);
            let count = usize::from(u16::from_le_bytes([header[10], header[11]]));
            prop_assert!(count > 0 && count <= lengths.len(), "a frame was used in parts");
            let mut bytes = Vec::new();
            for place in 0..count {
                let (at, whole) = self.posted.pop_front().unwrap();
                let length = lengths.pop_front().unwrap();
                prop_assert!(length == whole || place + 1 == count && length <= whole && length > 0);
                bytes.extend(self.queue.bytes(at, length as usize));
            }
            let frame = bytes.split_off(HEADER);
            // Without mergeable buffers what doesn't fit is dropped.
            while self.features == 0 && self.due.front().is_some_and(|due| *due != frame) {
                self.due.pop_front();
            }
            prop_assert_eq!(Some(frame), self.due.pop_front());
        }
        prop_assert!(self.queue.said.broken.lock().unwrap().is_empty());
        Ok(())
    }
}

proptest! {
    #[test]
    fn every_frame_comes_whole_and_in_order_whatever_the_buffers(
        mergeable in any::<bool>(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut model = Model::new(mergeable);
        for step in steps {
            model.apply(step)?;
        }
        for _ in 0..30 {
            model.post(2048);
            model.apply(Step::Serve)?;
        }
        prop_assert!(!mergeable || model.due.is_empty(), "{} frames were lost", model.due.len());
    }
}
