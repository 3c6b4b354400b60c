//! The thread of one queue: it sleeps until the doorbell rings, the backing store has completed something, or the
//! transport's thread wants the queue started or stopped.
//!
//! Threads are made when their device is built, before the guest sees it, and locked into their system calls then; a
//! queue that is started is handed to the thread that waits for it.

use super::device::{QueueResources, QueueState, StartQueueError};
use super::queue::RingError;
use crate::registry::{Context, Syscalls};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// The system calls of such a thread, beside those of what it serves.
pub const SYSCALLS: [libc::c_long; 3] = [libc::SYS_epoll_wait, libc::SYS_epoll_ctl, libc::SYS_write];

/// What [`QueueServer::serve`] left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing to do until an event comes.
    Idle,
    /// More is there already.
    More,
}

/// What serves a queue, on the queue's own thread.
pub trait QueueServer: Send {
    /// The queue may be served from now on.
    ///
    /// # Errors
    /// The state does not fit the ring.
    fn start(&mut self, resources: QueueResources, features: u64, state: Option<QueueState>) -> Result<(), RingError>;
    /// Takes what is available and gives back what is done: a bounded piece of it, so that a driver that never rests
    /// can't keep the queue from being stopped.
    fn serve(&mut self) -> Progress;
    /// Finishes what was taken, makes it durable, and forgets the queue.
    fn stop(&mut self) -> Option<QueueState>;
    /// Descriptors on which an edge of this kind tells that there is something to do.
    fn events(&self) -> Vec<(RawFd, EventSet)>;
}

enum Command {
    Start {
        resources: Box<QueueResources>,
        features: u64,
        state: Option<QueueState>,
        answer: mpsc::SyncSender<io::Result<()>>,
    },
    Stop {
        answer: mpsc::SyncSender<Option<QueueState>>,
    },
}

/// The handle of a queue's thread. Dropping it stops the queue and ends the thread.
pub struct QueueThread {
    commands: Option<mpsc::Sender<Command>>,
    wake: Arc<EventFd>,
    running: bool,
    thread: Option<JoinHandle<()>>,
}

impl QueueThread {
    /// Starts the thread for `server`, which may make `syscalls`.
    ///
    /// # Errors
    /// No descriptor or no thread is left.
    pub fn spawn(name: &str, server: Box<dyn QueueServer>, syscalls: Syscalls, context: &Context) -> io::Result<Self> {
        Self::spawn_with(true, name, server, syscalls, context)
    }

    /// As [`Self::spawn`], for a server that leaves the queue to the kernel: doorbells don't wake the thread.
    ///
    /// # Errors
    /// No descriptor or no thread is left.
    pub fn spawn_for_kernel(
        name: &str,
        server: Box<dyn QueueServer>,
        syscalls: Syscalls,
        context: &Context,
    ) -> io::Result<Self> {
        Self::spawn_with(false, name, server, syscalls, context)
    }

    fn spawn_with(
        hears_doorbell: bool,
        name: &str,
        server: Box<dyn QueueServer>,
        syscalls: Syscalls,
        context: &Context,
    ) -> io::Result<Self> {
        let (commands, receiver) = mpsc::channel();
        let wake = Arc::new(EventFd::new(EFD_NONBLOCK)?);
        let epoll = Epoll::new()?;
        watch(&epoll, ControlOperation::Add, wake.as_raw_fd(), EventSet::IN)?;
        for (event, edges) in server.events() {
            watch(&epoll, ControlOperation::Add, event, edges)?;
        }
        let worker = Worker {
            commands: receiver,
            epoll,
            _wake: Arc::clone(&wake),
            server,
            hears_doorbell,
            doorbell: None,
        };
        let thread = context.threads.spawn(name, syscalls, Box::new(|| worker.run()))?;
        Ok(Self {
            commands: Some(commands),
            wake,
            running: false,
            thread: Some(thread),
        })
    }

    /// Has queue `index` served.
    ///
    /// # Errors
    /// It runs already, its state does not fit, or the thread is gone.
    pub fn start(
        &mut self,
        index: u16,
        resources: QueueResources,
        features: u64,
        state: Option<QueueState>,
    ) -> Result<(), StartQueueError> {
        if self.running {
            return Err(StartQueueError::NotStopped { index });
        }
        let (answer, started) = mpsc::sync_channel(1);
        let resources = Box::new(resources);
        self.send(Command::Start {
            resources,
            features,
            state,
            answer,
        });
        let started = started.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
        started.map_err(|source| StartQueueError::Thread { index, source })?;
        self.running = true;
        Ok(())
    }

    /// Has it stopped; waits for all it took.
    pub fn stop(&mut self) -> Option<QueueState> {
        if !std::mem::take(&mut self.running) {
            return None;
        }
        let (answer, stopped) = mpsc::sync_channel(1);
        self.send(Command::Stop { answer });
        stopped.recv().ok().flatten()
    }

    /// If the thread is gone, the answer's channel closes, which is how the caller learns of it.
    fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
        }
        let _ = self.wake.write(1);
    }
}

impl Drop for QueueThread {
    fn drop(&mut self) {
        self.stop();
        self.commands = None;
        let _ = self.wake.write(1);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by the panic hook.
            let _ = thread.join();
        }
    }
}

struct Worker {
    commands: mpsc::Receiver<Command>,
    epoll: Epoll,
    /// Kept open as long as it is watched.
    _wake: Arc<EventFd>,
    server: Box<dyn QueueServer>,
    hears_doorbell: bool,
    /// That of the queue which runs.
    doorbell: Option<Arc<EventFd>>,
}

impl Worker {
    fn run(mut self) {
        let mut progress = Progress::Idle;
        loop {
            self.sleep(progress);
            loop {
                match self.commands.try_recv() {
                    Ok(command) => self.obey(command),
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => return,
                }
            }
            progress = match self.doorbell {
                Some(_) => self.server.serve(),
                None => Progress::Idle,
            };
        }
    }

    fn sleep(&self, progress: Progress) {
        let timeout = match progress {
            Progress::Idle => -1,
            Progress::More => 0,
        };
        // What happened does not matter, as everything is looked at; nor does an interrupted wait.
        let _ = self.epoll.wait(timeout, &mut [EpollEvent::default(); 4]);
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Start {
                resources,
                features,
                state,
                answer,
            } => {
                let started = self.start(*resources, features, state);
                let _ = answer.send(started);
            }
            Command::Stop { answer } => {
                if let Some(doorbell) = self.doorbell.take() {
                    let _ = watch(
                        &self.epoll,
                        ControlOperation::Delete,
                        doorbell.as_raw_fd(),
                        EventSet::IN,
                    );
                }
                let _ = answer.send(self.server.stop());
            }
        }
    }

    fn start(&mut self, resources: QueueResources, features: u64, state: Option<QueueState>) -> io::Result<()> {
        let doorbell = Arc::clone(&resources.doorbell);
        self.server
            .start(resources, features, state)
            .map_err(io::Error::other)?;
        if self.hears_doorbell
            && let Err(error) = watch(&self.epoll, ControlOperation::Add, doorbell.as_raw_fd(), EventSet::IN)
        {
            self.server.stop();
            return Err(error);
        }
        self.doorbell = Some(doorbell);
        Ok(())
    }
}

/// Edges are enough, as everything is looked at after each; so nobody needs to read the counters down.
fn watch(epoll: &Epoll, operation: ControlOperation, fd: RawFd, edges: EventSet) -> io::Result<()> {
    let event = EpollEvent::new(edges | EventSet::EDGE_TRIGGERED, 0);
    epoll.ctl(operation, fd, event)
}
