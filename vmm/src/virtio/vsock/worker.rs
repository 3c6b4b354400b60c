//! The thread of a socket device. All its queues and connections are served by one thread, as what comes out of one
//! queue goes into another: it sleeps until a doorbell rings, a socket moves, a deadline passes or somebody wants
//! something.

use super::config::Config;
use super::dial::{Call, Line};
use super::packet::{HEADER, Header};
use super::table::{FIRST_TOKEN, Table, behind_header};
use crate::machine::report::now;
use crate::protocol::{Event, Moment, Stage};
use crate::registry::{Context, Syscalls};
use crate::virtio::device::{Chained, QueueResources, QueueState, StartQueueError};
use crate::virtio::queue::{Ring, RingError, cursor};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use vm_memory::GuestAddressSpace;
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use vmm_sys_util::timerfd::TimerFd;

/// The system calls of the thread.
pub const SYSCALLS: [libc::c_long; 7] = [
    libc::SYS_epoll_wait,
    libc::SYS_epoll_ctl,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_sendto,
    libc::SYS_shutdown,
    libc::SYS_timerfd_settime,
];

/// The queues (virtio 1.2, 5.10.2): packets to the guest, packets of the guest, and events.
pub const QUEUES: usize = 3;
const RX: usize = 0;
const TX: usize = 1;
const EVENT: usize = 2;

/// Packets that are moved one way before the thread looks up.
const BATCH: u16 = 64;

/// `VIRTIO_VSOCK_EVENT_TRANSPORT_RESET` (virtio 1.2, 5.10.6.7).
const TRANSPORT_RESET: [u8; 4] = [0; 4];

const NOT_RUNNING: &str = "The guest has no vsock driver that runs";
const WAKE: u64 = 0;
const TIMER: u64 = 1;
const FIRST_DOORBELL: u64 = 2;

/// How a driver broke a queue.
#[derive(Debug, thiserror::Error)]
enum QueueError {
    #[error("The driver broke a queue of its socket device")]
    Ring(#[from] RingError),
    #[error("The packet at descriptor {head} has no header of {HEADER} bytes")]
    NoHeader { head: u16 },
    #[error("The buffer at descriptor {head} has no room for a header of {HEADER} bytes and a byte behind it")]
    NoRoom { head: u16 },
}

/// What the thread is asked for.
pub enum Command {
    /// Serve a queue.
    Start {
        index: usize,
        resources: Box<QueueResources>,
        features: u64,
        state: Option<QueueState>,
        answer: mpsc::SyncSender<io::Result<()>>,
    },
    /// Serve it no more.
    Stop {
        index: usize,
        answer: mpsc::SyncSender<Option<QueueState>>,
    },
    /// The driver was reset, and knows of no connection any more.
    Reset,
    /// The device goes on elsewhere, without its connections: tell the driver.
    Moved,
    /// Make a connection to the guest.
    Connect(Call),
    /// End the thread.
    End,
}

/// The handle of the thread. Dropping it ends all.
pub struct Thread {
    line: Line,
    running: [bool; QUEUES],
    thread: Option<JoinHandle<()>>,
    context: Context,
}

impl Thread {
    /// Starts it; from now on it is the one that is dialled.
    ///
    /// # Errors
    /// No descriptor or no thread is left.
    pub fn spawn(name: &str, config: Config, syscalls: Syscalls, context: &Context) -> io::Result<Self> {
        let (commands, receiver) = mpsc::channel();
        let wake = Arc::new(EventFd::new(EFD_NONBLOCK)?);
        let (epoll, timer) = (Epoll::new()?, TimerFd::new()?);
        watch(&epoll, wake.as_raw_fd(), WAKE)?;
        watch(&epoll, timer.as_raw_fd(), TIMER)?;
        let worker = Worker {
            commands: receiver,
            epoll,
            _wake: Arc::clone(&wake),
            timer,
            timer_at: None,
            queues: [const { None }; QUEUES],
            table: Table::new(config),
            broken: false,
            moved: false,
            ready: false,
            events: Arc::clone(&context.events),
        };
        let thread = context.threads.spawn(name, syscalls, Box::new(|| worker.run()))?;
        let line = Line { commands, wake };
        context.dialer.plug_in(line.clone());
        Ok(Self {
            line,
            running: [false; QUEUES],
            thread: Some(thread),
            context: context.clone(),
        })
    }

    /// Has queue `index` served.
    ///
    /// # Errors
    /// It is none or runs already, its state does not fit, or the thread is gone.
    pub fn start(
        &mut self,
        index: u16,
        resources: QueueResources,
        features: u64,
        state: Option<QueueState>,
    ) -> Result<(), StartQueueError> {
        let running = self.running.get_mut(usize::from(index));
        let Some(running) = running.filter(|running| !**running) else {
            return Err(StartQueueError::NotStopped { index });
        };
        let (answer, started) = mpsc::sync_channel(1);
        self.line.send(Command::Start {
            index: index.into(),
            resources: Box::new(resources),
            features,
            state,
            answer,
        });
        let started = started.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
        started.map_err(|source| StartQueueError::Thread { index, source })?;
        *running = true;
        Ok(())
    }

    /// Has it stopped.
    pub fn stop(&mut self, index: u16) -> Option<QueueState> {
        let running = self.running.get_mut(usize::from(index))?;
        if !std::mem::take(running) {
            return None;
        }
        let (answer, stopped) = mpsc::sync_channel(1);
        let index = index.into();
        self.line.send(Command::Stop { index, answer });
        stopped.recv().ok().flatten()
    }

    /// Tells the thread something that it answers to nobody.
    pub fn tell(&self, command: Command) {
        self.line.send(command);
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.context.dialer.unplug(&self.line);
        self.line.send(Command::End);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by the panic hook.
            let _ = thread.join();
        }
    }
}

struct Queue {
    ring: Ring,
    resources: QueueResources,
}

impl Queue {
    /// Tells the driver that buffers were used, if it wants to know.
    fn tell(&mut self, memory: &vm_memory::GuestMemoryMmap) -> Result<(), RingError> {
        if self.ring.needs_interrupt(memory)? {
            self.resources.interrupt.signal();
        }
        Ok(())
    }
}

struct Worker {
    commands: mpsc::Receiver<Command>,
    epoll: Epoll,
    /// Kept open as long as it is watched.
    _wake: Arc<EventFd>,
    timer: TimerFd,
    /// For when the timer is set.
    timer_at: Option<Instant>,
    queues: [Option<Queue>; QUEUES],
    table: Table,
    broken: bool,
    /// The driver must be told that its connections are gone.
    moved: bool,
    /// The guest has said that it is ready; it is believed once.
    ready: bool,
    events: Arc<dyn Fn(Event) + Send + Sync>,
}

impl Worker {
    fn run(mut self) {
        let mut more = false;
        loop {
            self.sleep(more);
            loop {
                match self.commands.try_recv() {
                    Ok(Command::End) | Err(mpsc::TryRecvError::Disconnected) => {
                        return self.table.cut("The machine is being taken down");
                    }
                    Ok(command) => self.obey(command),
                    Err(mpsc::TryRecvError::Empty) => break,
                }
            }
            more = self.serve();
        }
    }

    fn sleep(&mut self, more: bool) {
        let mut events = [EpollEvent::default(); 16];
        // An interrupted wait is one that saw nothing.
        let count = self.epoll.wait(if more { 0 } else { -1 }, &mut events).unwrap_or(0);
        for event in events.iter().take(count) {
            match event.data() {
                token @ FIRST_TOKEN.. => self.table.woken(token, event.event_set()),
                TIMER => self.timer_at = None,
                // All queues and commands are looked at anyway.
                _ => {}
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Start {
                index,
                resources,
                features,
                state,
                answer,
            } => {
                let started = self.start(index, *resources, features, state);
                let _ = answer.send(started);
            }
            Command::Stop { index, answer } => {
                let queue = self.queues.get_mut(index).and_then(Option::take);
                if let Some(queue) = &queue {
                    let event = EpollEvent::default();
                    let doorbell = queue.resources.doorbell.as_raw_fd();
                    let _ = self.epoll.ctl(ControlOperation::Delete, doorbell, event);
                }
                let _ = answer.send(queue.map(|queue| queue.ring.state()));
            }
            Command::Reset => {
                self.broken = false;
                self.moved = false;
                self.table.cut("The guest's vsock driver was reset");
            }
            Command::Moved => self.moved = true,
            Command::Connect(call) if self.is_up() => self.table.connect(call),
            Command::Connect(call) => call.refuse(NOT_RUNNING.into()),
            Command::End => {}
        }
    }

    fn start(
        &mut self,
        index: usize,
        resources: QueueResources,
        features: u64,
        state: Option<QueueState>,
    ) -> io::Result<()> {
        let place = self.queues.get_mut(index).ok_or(io::ErrorKind::NotFound)?;
        let ring = Ring::new(&resources.layout, features, state).map_err(io::Error::other)?;
        let token = FIRST_DOORBELL + u64::try_from(index).unwrap_or(0);
        watch(&self.epoll, resources.doorbell.as_raw_fd(), token)?;
        *place = Some(Queue { ring, resources });
        Ok(())
    }

    /// Whether packets go both ways.
    fn is_up(&self) -> bool {
        !self.broken && self.queues[RX].is_some() && self.queues[TX].is_some()
    }

    /// A bounded piece of what there is to do; says whether more is there already.
    fn serve(&mut self) -> bool {
        self.table.expire();
        let served = match self.broken {
            true => Ok(false),
            false => self.step(),
        };
        let more = served.unwrap_or_else(|error| {
            self.broken = true;
            self.table.cut("The guest's vsock driver is broken");
            if let Some(queue) = self.queues.iter().flatten().next() {
                queue.resources.link.needs_reset(&Chained(&error));
            }
            false
        });
        self.set_timer();
        more
    }

    fn step(&mut self) -> Result<bool, QueueError> {
        let taken = self.take_packets()?;
        self.table.settle();
        let saturated = self.table.is_saturated();
        let given = self.give_packets()?;
        self.table.settle();
        self.tell_of_move()?;
        Ok(taken || given || saturated && !self.table.is_saturated())
    }

    /// Takes packets of the guest's.
    fn take_packets(&mut self) -> Result<bool, QueueError> {
        let Some(queue) = &mut self.queues[TX] else {
            return Ok(false);
        };
        let memory = queue.resources.memory.memory();
        queue.ring.disable_doorbell(&memory)?;
        let (mut taken, mut ready) = (0, false);
        let more = loop {
            if taken == BATCH || self.table.is_saturated() {
                break taken == BATCH;
            }
            let Some(chain) = queue.ring.pop(&memory)? else {
                break queue.ring.enable_doorbell(&memory)?;
            };
            let head = chain.head();
            let header = cursor::read(&memory, chain.readable()).ok().flatten();
            let header = Header::read(header.ok_or(QueueError::NoHeader { head })?);
            let rest = behind_header(chain.readable());
            ready |= self.table.hear(&memory, &header, &rest, &self.epoll);
            queue.ring.push(&memory, head, 0)?;
            taken += 1;
        };
        if taken > 0 {
            queue.tell(&memory)?;
        }
        if ready && !std::mem::replace(&mut self.ready, true) {
            let stage = Stage::Ready;
            (self.events)(Event::Reached(Moment { stage, at: now() }));
        }
        Ok(more)
    }

    /// Gives the guest the packets that there are for it, as far as it has buffers.
    fn give_packets(&mut self) -> Result<bool, QueueError> {
        let Some(queue) = &mut self.queues[RX] else {
            return Ok(false);
        };
        let memory = queue.resources.memory.memory();
        queue.ring.disable_doorbell(&memory)?;
        let mut given = 0;
        let more = loop {
            if given == BATCH || !self.table.has_packet() {
                break given == BATCH;
            }
            let Some(chain) = queue.ring.pop(&memory)? else {
                break queue.ring.enable_doorbell(&memory)?;
            };
            let head = chain.head();
            let rest = behind_header(chain.writable());
            if rest.is_empty() {
                return Err(QueueError::NoRoom { head });
            }
            let Some(header) = self.table.next_packet(&memory, &rest) else {
                queue.ring.unpop(1);
                break false;
            };
            // What was read lies in memory, so there is room for what comes before it.
            let written = cursor::write(&memory, chain.writable(), &header.bytes()).unwrap_or(0);
            queue.ring.push(&memory, head, written.saturating_add(header.length))?;
            given += 1;
        };
        if given > 0 {
            queue.tell(&memory)?;
        }
        Ok(more)
    }

    /// Tells a driver that its connections have not come along.
    fn tell_of_move(&mut self) -> Result<(), QueueError> {
        let Some(queue) = self.queues[EVENT].as_mut().filter(|_| self.moved) else {
            return Ok(());
        };
        let memory = queue.resources.memory.memory();
        if let Some(chain) = queue.ring.pop(&memory)? {
            let written = cursor::write(&memory, chain.writable(), &TRANSPORT_RESET).unwrap_or(0);
            queue.ring.push(&memory, chain.head(), written)?;
            self.moved = false;
            queue.tell(&memory)?;
        }
        Ok(())
    }

    fn set_timer(&mut self) {
        let deadline = self.table.deadline();
        if deadline.is_none() || deadline == self.timer_at {
            return;
        }
        self.timer_at = deadline;
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // A timer that is set to nothing never wakes.
        let left = left.unwrap_or_default().max(Duration::from_nanos(1));
        // It fails for impossible times only, and this is one of some seconds.
        let _ = self.timer.reset(left, None);
    }
}

/// Edges are enough, as everything is looked at after each; so nobody needs to read the counters down.
fn watch(epoll: &Epoll, fd: RawFd, token: u64) -> io::Result<()> {
    let event = EpollEvent::new(EventSet::IN | EventSet::EDGE_TRIGGERED, token);
    epoll.ctl(ControlOperation::Add, fd, event)
}
