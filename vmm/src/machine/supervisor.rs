//! The machine thread: builds the machine, waits for what happens to it, resets it, and ends it.
//!
//! ```text
//!  control ──Signal──► ┌────────────┐ ──Notice──► control
//!  vCPUs ────Signal──► │ supervisor │
//!  devices ──Signal──► └────────────┘ owns Machine
//! ```
//! All that happens to a machine comes through one channel, so nothing happens to it twice or in between. A signal of
//! a life that is over is dropped by its number.

use super::plan::{LaunchFiles, Plan, PlannedDevice};
use super::report::{self, chain, now, report, with_console};
use super::rest::Resting;
use super::{BuildError, Callbacks, Machine, Workshop};
use crate::console::{Console, Listener};
use crate::control::notice::{Notice, Notifier};
use crate::guest::{self, Board, Door, Interface, Sockets};
use crate::kvm::vcpu::Death;
use crate::kvm::vm::Host;
use crate::legacy::PowerRequest;
use crate::protocol::{EndReason, Event, Failure, FailureKind, Report, Stage};
use crate::sandbox::{self, Filters};
use crate::virtio::blk::Limits;
use crate::virtio::vsock::Dialer;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// Stacks of the machine, console and guest threads, in bytes.
const STACK: usize = 1 << 20;
const CONSOLE_STACK: usize = 128 << 10;
const GUEST_STACK: usize = 128 << 10;

/// Something that the supervisor must act upon.
pub enum Signal {
    /// Build and run this.
    Launch(Box<(Plan, LaunchFiles)>),
    /// Press the power button.
    PowerButton,
    /// Press the power button, and boot again when the guest is off.
    Reboot,
    /// Reset the machine from outside.
    Reset,
    /// End it now.
    Stop,
    /// Attach this device, and answer this connection.
    Attach(Box<(PlannedDevice, Option<Interface>)>, u64),
    /// Detach a device, and answer this connection.
    Detach {
        /// Its name.
        id: String,
        /// Without the guest's agreement.
        force: bool,
        /// The connection.
        asker: u64,
    },
    /// Have block devices rest for as long as this connection lasts, and answer it.
    Quiesce {
        /// Their names.
        ids: Vec<String>,
        /// Only when the machine is reset next.
        after_reset: bool,
        /// The connection.
        asker: u64,
    },
    /// The connection for which devices rested has ended.
    Release(u64),
    /// Give a block device the size of its file, and answer this connection.
    Resize {
        /// Its name.
        id: String,
        /// The connection.
        asker: u64,
    },
    /// Give a volume other limits, and answer this connection.
    Limit {
        /// Its name.
        id: String,
        /// The limits.
        limits: Limits,
        /// The connection.
        asker: u64,
    },
    /// The life of this number has something to say.
    Life(u32, Happening),
}

/// What a running machine says.
pub enum Happening {
    /// The guest wants power off or a reset.
    Power(PowerRequest),
    /// A CPU died.
    Death(Death),
    /// A device has something for the daemon.
    Device(Event),
    /// The guest has ejected devices.
    Ejected,
}

/// Starts the machine thread; it lives until its machine has ended. It is confined when this returns.
pub fn start(notifier: Notifier, filters: Arc<Filters>) -> io::Result<Sender<Signal>> {
    let (sender, receiver) = channel();
    let own = sender.clone();
    let (confined, is_confined) = channel::<()>();
    thread::Builder::new()
        .name("machine".into())
        .stack_size(STACK)
        .spawn(move || {
            sandbox::confine(&filters.machine);
            drop(confined);
            let report = supervise(&receiver, &own, &notifier, &filters);
            notifier.send(Notice::Ended(report));
        })?;
    // Nothing is ever sent: the other end is dropped.
    let _ = is_confined.recv();
    Ok(sender)
}

/// One machine, from its launch to its report.
fn supervise(
    signals: &Receiver<Signal>,
    sender: &Sender<Signal>,
    notifier: &Notifier,
    filters: &Arc<Filters>,
) -> Option<Report> {
    let (plan, files) = loop {
        match signals.recv() {
            Ok(Signal::Launch(launch)) => break *launch,
            Ok(Signal::Stop) | Err(_) => return None,
            Ok(_) => {}
        }
    };
    let LaunchFiles {
        kvm,
        console_log,
        report: report_file,
        guest,
    } = files;
    let report = match prepare(plan, (kvm, console_log, guest), notifier, filters) {
        Ok(workshop) => {
            let mut life = Life {
                workshop,
                signals,
                sender,
                notifier,
                number: 0,
            };
            let report = life.live();
            // A log that can't be synced is a log with a gap, no reason to hold the report back.
            let _ = life.workshop.console.sync();
            report
        }
        Err(failure) => {
            let report = report(EndReason::BootFailed, Some(failure.message.clone()));
            notifier.send(Notice::Launched(Err(failure)));
            report
        }
    };
    if let Err(error) = report::write(&report_file, &report) {
        eprintln!("kiln-vmm: The report can't be written: {error}");
    }
    Some(report)
}

fn host_failure(error: &dyn std::error::Error) -> Failure {
    Failure {
        kind: FailureKind::Host,
        message: chain(error),
    }
}

fn prepare(
    plan: Plan,
    (kvm, console_log, sockets): (File, File, Sockets),
    notifier: &Notifier,
    filters: &Arc<Filters>,
) -> Result<Workshop, Failure> {
    let host = Host::new(kvm).map_err(|e| host_failure(&e))?;
    let console = Console::new(console_log).map_err(|e| host_failure(&e))?;
    let (served, listener, confined) = (Arc::clone(&console), notifier.clone(), Arc::clone(filters));
    thread::Builder::new()
        .name("console".into())
        .stack_size(CONSOLE_STACK)
        .spawn(move || {
            sandbox::confine(&confined.console);
            served.serve(&listener)
        })
        .map_err(|e| host_failure(&e))?;
    let door = match &plan.board {
        Some(board) => Some(serve_guest(Arc::clone(board), sockets, notifier, filters).map_err(|e| host_failure(&e))?),
        None => None,
    };
    let dialer = Arc::new(Dialer::default());
    notifier.send(Notice::Console(Arc::clone(&console)));
    notifier.send(Notice::Dialer(Arc::clone(&dialer)));
    Ok(Workshop {
        plan,
        host,
        console,
        door,
        dialer,
        limiters: Arc::default(),
        resting: Resting::default(),
        filters: Arc::clone(filters),
    })
}

/// Starts the thread that answers the guest; it outlives every reset, as the sockets do.
fn serve_guest(board: Arc<Board>, sockets: Sockets, notifier: &Notifier, filters: &Arc<Filters>) -> io::Result<Door> {
    let (server, door) = guest::Server::new(sockets, board)?;
    let (listener, confined) = (notifier.clone(), Arc::clone(filters));
    thread::Builder::new()
        .name("guest".into())
        .stack_size(GUEST_STACK)
        .spawn(move || {
            sandbox::confine(&confined.guest);
            let error = server.serve(&|mac| listener.send(Notice::Leased(mac, now())));
            eprintln!("kiln-vmm: The guest is not answered any more: {error}");
        })?;
    Ok(door)
}

impl Listener for Notifier {
    fn reached(&self, stage: Stage) {
        self.send(Notice::Reached(stage, now()));
    }

    fn clients_wake(&self) {
        self.send(Notice::ConsoleReady);
    }
}

/// The lives of one machine.
struct Life<'a> {
    workshop: Workshop,
    signals: &'a Receiver<Signal>,
    sender: &'a Sender<Signal>,
    notifier: &'a Notifier,
    number: u32,
}

/// How one life went on.
enum Next {
    Reset,
    End(Report),
}

impl Life<'_> {
    fn live(&mut self) -> Report {
        loop {
            let machine = match Machine::build(&self.workshop, &self.callbacks()) {
                Ok(machine) => machine,
                Err(error) => return self.not_built(&error),
            };
            self.notifier.send(Notice::Reached(Stage::Kernel, now()));
            self.workshop.rest_again(&machine);
            if self.number > 0 {
                for (asker, ids) in self.workshop.resting.take_put_off() {
                    self.quiesce(&machine, &ids, asker);
                }
            }
            machine.run();
            if self.number == 0 {
                self.notifier.send(Notice::Launched(Ok(())));
            }
            let next = self.watch(&machine);
            self.notifier.send(if matches!(next, Next::Reset) {
                Notice::Resetting
            } else {
                Notice::Stopping
            });
            machine.end();
            match next {
                Next::Reset => {
                    self.number += 1;
                    let gone = self.workshop.forget_leaving();
                    self.publish(gone);
                    self.workshop.plan.board.iter().for_each(|board| board.reset());
                }
                Next::End(report) => return self.with_tail(report),
            }
        }
    }

    /// Waits until the machine must be ended.
    fn watch(&mut self, machine: &Machine) -> Next {
        let mut rebooting = false;
        loop {
            match self.signals.recv() {
                Ok(button @ (Signal::PowerButton | Signal::Reboot)) => {
                    rebooting = matches!(button, Signal::Reboot);
                    machine.press_power_button();
                }
                Ok(Signal::Reset) => return Next::Reset,
                Ok(Signal::Stop) | Err(_) => return Next::End(report(EndReason::Stopped, None)),
                Ok(Signal::Life(number, happening)) if number == self.number => match happening {
                    Happening::Power(PowerRequest::Reset) => return Next::Reset,
                    Happening::Power(PowerRequest::Off) if rebooting => return Next::Reset,
                    Happening::Power(PowerRequest::Off) => return Next::End(report(EndReason::PowerOff, None)),
                    Happening::Death(death) => {
                        return Next::End(report(EndReason::Crashed, Some(death.to_string())));
                    }
                    Happening::Device(event) => self.publish([event]),
                    Happening::Ejected => {
                        let gone = self.workshop.take_ejected(machine);
                        self.publish(gone);
                    }
                },
                Ok(Signal::Attach(device, asker)) => self.attach(machine, *device, asker),
                Ok(Signal::Detach { id, force, asker }) => self.detach(machine, (&id, force), asker),
                Ok(Signal::Quiesce {
                    ids,
                    after_reset: true,
                    asker,
                }) => self.workshop.resting.put_off(asker, ids),
                Ok(Signal::Quiesce { ids, asker, .. }) => self.quiesce(machine, &ids, asker),
                Ok(Signal::Release(asker)) => self.workshop.release(machine, asker),
                Ok(Signal::Resize { id, asker }) => {
                    let grown = self.workshop.grow(machine, &id);
                    self.answer(asker, grown.map_err(|error| error.failure()));
                }
                Ok(Signal::Limit { id, limits, asker }) => {
                    let changed = self.workshop.limit(&id, limits);
                    self.answer(asker, changed.map_err(|error| error.failure()));
                }
                Ok(Signal::Life(..) | Signal::Launch(_)) => {}
            }
        }
    }

    fn attach(&mut self, machine: &Machine, (device, interface): (PlannedDevice, Option<Interface>), asker: u64) {
        let attached = self.workshop.attach(machine, device, interface);
        self.answer(asker, attached.map_err(|error| error.failure()));
    }

    fn detach(&mut self, machine: &Machine, (id, force): (&str, bool), asker: u64) {
        let asked = self.workshop.detach(machine, id, force);
        let (answer, gone) = match asked {
            Ok(gone) => (Ok(()), gone),
            Err(error) => (Err(error.failure()), None),
        };
        self.answer(asker, answer);
        self.publish(gone);
    }

    fn quiesce(&mut self, machine: &Machine, ids: &[String], asker: u64) {
        let rest = self.workshop.quiesce(machine, ids, asker);
        self.answer(asker, rest.map_err(|error| error.failure()));
    }

    fn answer(&self, asker: u64, answer: Result<(), Failure>) {
        self.notifier.send(Notice::Answered(asker, answer));
    }

    fn publish(&self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.notifier.send(match event {
                // Which is on record, as steps that others see are.
                Event::Reached(moment) => Notice::Reached(moment.stage, moment.at),
                event => Notice::Device(event),
            });
        }
    }

    /// A report of a death quotes the console, now that all of it is there.
    fn with_tail(&self, mut report: Report) -> Report {
        if report.reason == EndReason::Crashed {
            let what = report.detail.take().unwrap_or_default();
            report.detail = Some(with_console(&what, &self.workshop.console));
        }
        report
    }

    fn not_built(&self, error: &BuildError) -> Report {
        let kind = match error {
            BuildError::Boot(_) => FailureKind::NotBootable,
            BuildError::Device(_) | BuildError::Insert(_) => FailureKind::Device,
            _ => FailureKind::Host,
        };
        let message = chain(error);
        self.notifier.send(Notice::Launched(Err(Failure {
            kind,
            message: message.clone(),
        })));
        report(EndReason::BootFailed, Some(message))
    }

    fn callbacks(&self) -> Callbacks {
        let number = self.number;
        let tell = |sender: Sender<Signal>| {
            move |happening| {
                // It fails only when the supervisor has ended, and then nobody cares.
                let _ = sender.send(Signal::Life(number, happening));
            }
        };
        let [power, death, device, eject] = [(); 4].map(|()| tell(self.sender.clone()));
        Callbacks {
            on_power: Arc::new(move |request| power(Happening::Power(request))),
            on_death: Arc::new(move |how| death(Happening::Death(how))),
            on_event: Arc::new(move |event| device(Happening::Device(event))),
            on_eject: Arc::new(move || eject(Happening::Ejected)),
        }
    }
}
