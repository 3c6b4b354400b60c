//! The `kiln-vmm` program: locks itself in, then serves its control socket until its machine has ended.

use kiln_vmm::CONTROL_FD;
use kiln_vmm::arguments::{Arguments, Command};
use kiln_vmm::control::notice::notices;
use kiln_vmm::control::termination::Termination;
use kiln_vmm::control::{Outcome, Server};
use kiln_vmm::kvm::vcpu::install_kick_handler;
use kiln_vmm::machine::report::chain;
use kiln_vmm::machine::supervisor;
use kiln_vmm::probe;
use kiln_vmm::sandbox::{self, Filters, process};
use std::error::Error;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::ExitCode;

fn main() -> ExitCode {
    abort_on_panic();
    let result = match Command::parse(std::env::args_os().skip(1)) {
        Ok(Command::Probe) => return probe::main(),
        Ok(Command::Run(arguments)) => run(&arguments),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(Outcome::Ended(_)) => ExitCode::SUCCESS,
        Ok(Outcome::NeverLaunched) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("kiln-vmm: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Outcome, Box<dyn Error>> {
    let filters = Filters::compile()?;
    limit_heap();
    install_kick_handler()?;
    for left_out in process::lock_in(arguments)? {
        eprintln!("kiln-vmm: {}", chain(&left_out));
    }
    // SAFETY: the daemon passes the listening socket by this number, and nothing else in the process owns it.
    let listener = unsafe { OwnedFd::from_raw_fd(CONTROL_FD) };
    let termination = Termination::hold_back()?;
    let (notifier, notices) = notices()?;
    let machine = supervisor::start(notifier, filters.clone())?;
    let server = Server::new(listener, arguments.owner, notices, termination, machine)?;
    sandbox::confine(&filters.control);
    Ok(server.serve()?)
}

/// A thread that panics ends the machine: none goes on without one of its parts. (The daemon unwinds, which fails one request.)
fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

/// One heap for all threads, and what is freed goes back: a monitor holds little, and there are many.
fn limit_heap() {
    // SAFETY: called while the process has one thread; both parameters are documented for mallopt(3).
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 64 << 10);
    }
}
