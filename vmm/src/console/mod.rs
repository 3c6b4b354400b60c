//! The serial console on the host's side: a bounded log file, and whoever is attached.
//!
//! vCPU threads put bytes into a ring in memory ([`Console`] is the serial port's [`Output`]) and wake the console
//! thread by a futex. That thread alone writes the log, hands the bytes to attached clients ([`Feed`]), and watches for
//! the steps of a boot. A console outlives a reset of its machine, as a terminal does.

mod log;
mod stages;

use crate::legacy::serial::Output;
use crate::protocol::Stage;
use log::LogFile;
use stages::StageWatch;
use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// The most bytes that wait for the console thread; more are lost (and counted), so that no guest waits for a disk.
const RING_MAX: usize = 256 << 10;
/// What a buffer that was emptied may keep of its memory.
const KEPT_CAPACITY: usize = 4 << 10;
/// The most bytes that wait for one attached client before it is given up.
const FEED_MAX: usize = 512 << 10;

/// Where typed input goes: the serial port of the machine that runs.
pub trait Input: Send + Sync {
    /// Gives the guest `bytes` to read; returns how many were taken.
    fn input(&self, bytes: &[u8]) -> usize;
}

/// What the console tells the rest of the process. Called by the console thread.
pub trait Listener: Send {
    /// The guest's output shows that a step of the boot was reached.
    fn reached(&self, stage: Stage);
    /// A [`Feed`] has bytes, or the guest takes input again.
    fn clients_wake(&self);
}

/// Bytes on their way to one attached client.
#[derive(Default)]
pub struct Feed(Mutex<FeedState>);

#[derive(Default)]
struct FeedState {
    bytes: Vec<u8>,
    overflowed: bool,
}

impl Feed {
    /// Moves the bytes that wait to the end of `target`.
    ///
    /// # Errors
    /// The client was too slow, and bytes were lost.
    pub fn take(&self, target: &mut Vec<u8>) -> Result<(), FeedOverflow> {
        let mut state = lock(&self.0);
        if state.overflowed {
            return Err(FeedOverflow);
        }
        if target.is_empty() {
            std::mem::swap(target, &mut state.bytes);
        } else {
            target.append(&mut state.bytes);
            state.bytes.shrink_to(KEPT_CAPACITY);
        }
        Ok(())
    }

    fn push(&self, bytes: &[u8]) {
        let mut state = lock(&self.0);
        if state.bytes.len() + bytes.len() > FEED_MAX {
            *state = FeedState {
                bytes: Vec::new(),
                overflowed: true,
            };
        } else if !state.overflowed {
            state.bytes.extend_from_slice(bytes);
        }
    }
}

/// A client read so slowly that bytes were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedOverflow;

#[derive(Default)]
struct Ring {
    bytes: Vec<u8>,
    lost: u64,
    input_has_room: bool,
    busy: bool,
}

/// What the console thread writes to.
struct Book {
    log: LogFile,
    feeds: Vec<Arc<Feed>>,
    stages: StageWatch,
}

/// The console.
pub struct Console {
    ring: Mutex<Ring>,
    readable: Condvar,
    idle: Condvar,
    book: Mutex<Book>,
    port: Mutex<Option<Arc<dyn Input>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl Console {
    /// A console that appends to `log`; [`Self::serve`] must run on a thread of its own.
    pub fn new(log: File) -> io::Result<Arc<Self>> {
        let book = Book {
            log: LogFile::new(log)?,
            feeds: Vec::new(),
            stages: StageWatch::default(),
        };
        Ok(Arc::new(Self {
            ring: Mutex::default(),
            readable: Condvar::new(),
            idle: Condvar::new(),
            book: Mutex::new(book),
            port: Mutex::new(None),
        }))
    }

    /// The console thread: moves what the guest writes, for ever.
    pub fn serve(&self, listener: &dyn Listener) -> ! {
        let mut bytes = Vec::new();
        loop {
            let (lost, wake) = self.next(&mut bytes);
            let mut book = lock(&self.book);
            if lost > 0 {
                bytes.extend_from_slice(format!("\r\n[kiln: {lost} bytes of console output were lost]\r\n").as_bytes());
            }
            let attached = book.write(&bytes, listener);
            drop(book);
            if attached && !bytes.is_empty() || wake {
                listener.clients_wake();
            }
            bytes.clear();
            bytes.shrink_to(KEPT_CAPACITY);
        }
    }

    /// Waits for something to do and takes it: bytes, how many were lost, whether clients must be woken.
    fn next(&self, bytes: &mut Vec<u8>) -> (u64, bool) {
        let mut ring = lock(&self.ring);
        ring.busy = false;
        self.idle.notify_all();
        while ring.bytes.is_empty() && !ring.input_has_room {
            ring = self.readable.wait(ring).unwrap_or_else(|e| e.into_inner());
        }
        ring.busy = true;
        std::mem::swap(bytes, &mut ring.bytes);
        (std::mem::take(&mut ring.lost), std::mem::take(&mut ring.input_has_room))
    }

    /// Waits until all that the guest has written so far is in the log.
    pub fn flush(&self) {
        let mut ring = lock(&self.ring);
        while ring.busy || !ring.bytes.is_empty() {
            ring = self.idle.wait(ring).unwrap_or_else(|e| e.into_inner());
        }
    }

    /// Makes the log durable.
    pub fn sync(&self) -> io::Result<()> {
        lock(&self.book).log.sync()
    }

    /// The last `length` bytes of the log at most.
    pub fn tail(&self, length: usize) -> io::Result<Vec<u8>> {
        lock(&self.book).log.tail(length)
    }

    /// Attaches a client: the last `replay` bytes of the log, and a feed of all that comes after them.
    pub fn attach(&self, replay: usize) -> io::Result<(Vec<u8>, Arc<Feed>)> {
        let mut book = lock(&self.book);
        let feed = Arc::new(Feed::default());
        book.feeds.push(Arc::clone(&feed));
        Ok((book.log.tail(replay)?, feed))
    }

    /// Connects typed input to a machine's serial port, or to none, and looks for the steps of a boot anew.
    pub fn connect(&self, port: Option<Arc<dyn Input>>) {
        *lock(&self.port) = port;
        lock(&self.book).stages = StageWatch::default();
    }

    /// Types `bytes`; returns how many were taken. Without a machine they go nowhere.
    pub fn input(&self, bytes: &[u8]) -> usize {
        let port = lock(&self.port).clone();
        port.map_or(bytes.len(), |port| port.input(bytes))
    }
}

impl Book {
    /// Writes `bytes` everywhere; says whether a client is attached.
    fn write(&mut self, bytes: &[u8], listener: &dyn Listener) -> bool {
        self.log.append(bytes);
        self.feeds.retain(|feed| Arc::strong_count(feed) > 1);
        self.feeds.iter().for_each(|feed| feed.push(bytes));
        self.stages.watch(bytes, |stage| listener.reached(stage));
        !self.feeds.is_empty()
    }
}

impl Output for Console {
    fn write(&self, bytes: &[u8]) {
        let mut ring = lock(&self.ring);
        if ring.bytes.len() + bytes.len() > RING_MAX {
            ring.lost += bytes.len() as u64;
            return;
        }
        let wake = ring.bytes.is_empty();
        ring.bytes.extend_from_slice(bytes);
        drop(ring);
        if wake {
            self.readable.notify_one();
        }
    }

    fn input_has_room(&self) {
        lock(&self.ring).input_has_room = true;
        self.readable.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use std::thread;

    struct Channel(Sender<Option<Stage>>);
    impl Listener for Channel {
        fn reached(&self, stage: Stage) {
            self.0.send(Some(stage)).unwrap();
        }
        fn clients_wake(&self) {
            self.0.send(None).unwrap();
        }
    }

    fn console() -> (Arc<Console>, std::sync::mpsc::Receiver<Option<Stage>>) {
        let console = Console::new(tempfile::tempfile().unwrap()).unwrap();
        let (sender, receiver) = channel();
        let served = Arc::clone(&console);
        thread::spawn(move || served.serve(&Channel(sender)));
        (console, receiver)
    }

    #[test]
    fn what_the_guest_writes_reaches_the_log_and_a_client_that_came_later_sees_it_once() {
        let (console, receiver) = console();
        console.write(b"before ");
        console.flush();
        let (mut seen, feed) = console.attach(1000).unwrap();
        console.write(b"after\nhost login: ");
        console.flush();
        assert_eq!(receiver.recv().unwrap(), Some(Stage::Init));
        assert_eq!(receiver.recv().unwrap(), Some(Stage::Login));
        assert_eq!(receiver.recv().unwrap(), None);
        feed.take(&mut seen).unwrap();
        assert_eq!(seen, b"before after\nhost login: ");
        assert_eq!(console.tail(7).unwrap(), b"login: ");
    }

    #[test]
    fn a_client_that_does_not_read_is_given_up_and_holds_nobody() {
        let (console, _receiver) = console();
        let (_, feed) = console.attach(0).unwrap();
        for _ in 0..20 {
            console.write(&vec![b'x'; RING_MAX / 4]);
            console.flush();
        }
        assert_eq!(feed.take(&mut Vec::new()), Err(FeedOverflow));
        assert_eq!(lock(&feed.0).bytes.capacity(), 0);
    }
}
