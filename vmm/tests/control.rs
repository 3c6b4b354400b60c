//! The control socket against those who use it wrongly. No guest is needed.

mod harness;

use harness::{Machine, Monitor, told};
use kiln_vmm::protocol::{ActiveKey, Answer, DeviceSpec, FailureKind, MAX_MESSAGE, Request, Response};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

fn greets(monitor: &Monitor) -> bool {
    matches!(
        monitor.connect().request(&Request::Hello),
        Response::Ok(Answer::Hello { instance_id: None, .. })
    )
}

fn kind(response: Response) -> FailureKind {
    match response {
        Response::Error(failure) => failure.kind,
        Response::Ok(answer) => panic!("{answer:?}"),
    }
}

#[test]
fn what_is_no_request_is_refused_and_the_connection_goes_on() {
    let monitor = Monitor::start();
    let mut client = monitor.connect();
    for line in [
        "\n",
        "{}\n",
        "\"dance\"\n",
        "{\"launch\":{}}\n",
        "\u{0}\n",
        "[[[[[[[[[\n",
    ] {
        client.send(line.as_bytes());
        assert_eq!(kind(client.read()), FailureKind::BadRequest, "{line:?}");
    }
    assert!(matches!(
        client.request(&Request::Status),
        Response::Ok(Answer::Status(_))
    ));
}

#[test]
fn a_line_beyond_the_bound_ends_its_connection_only() {
    let monitor = Monitor::start();
    let mut stream = std::os::unix::net::UnixStream::connect(monitor.path("control.sock")).unwrap();
    // It may be closed before all is written.
    let _ = std::io::Write::write_all(&mut stream, &vec![b' '; MAX_MESSAGE + 4096]);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty());
    assert!(greets(&monitor));
}

#[test]
fn files_come_with_a_launch_or_a_device_only() {
    let monitor = Monitor::start();
    let file = File::open("/dev/null").unwrap();
    assert_eq!(
        kind(monitor.connect().request_with(&Request::Hello, &[file])),
        FailureKind::BadRequest
    );
    assert!(greets(&monitor));
}

#[test]
fn requests_before_the_launch_that_need_a_machine_are_refused() {
    let monitor = Monitor::start();
    let tell = Request::Tell(Box::new(told()));
    let key = ActiveKey {
        user: "ec2-user".into(),
        key: "ssh-ed25519 AAAA".into(),
    };
    let vsock = Request::Vsock { port: 22 };
    let detach = Request::Detach {
        id: "rng0".into(),
        force: false,
    };
    for request in [
        Request::PowerButton,
        Request::Reset,
        Request::Console,
        vsock,
        tell,
        Request::SendKey(key),
        attach("rng"),
        detach,
    ] {
        assert_eq!(kind(monitor.connect().request(&request)), FailureKind::BadRequest);
    }
}

fn attach(kind: &str) -> Request {
    let device = DeviceSpec {
        kind: kind.into(),
        id: "rng0".into(),
        config: serde_json::json!({}),
        files: Vec::new(),
        slot: 1,
        service: None,
    };
    let device = Box::new(device);
    Request::Attach { device }
}

#[test]
fn an_impossible_device_is_refused_and_its_files_are_closed() {
    let monitor = Monitor::start();
    let mut client = monitor.connect();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let refused = client.request_with(&attach("rng"), &[File::from(OwnedFd::from(theirs))]);
    assert_eq!(kind(refused), FailureKind::BadRequest);
    assert_eq!((&ours).read(&mut [0]).unwrap(), 0);
    assert_eq!(kind(client.request(&attach("toaster"))), FailureKind::Device);
}

#[test]
fn an_impossible_launch_is_refused_and_leaves_the_monitor_waiting() {
    let monitor = Monitor::start();
    let kernel = monitor.path("kernel");
    std::fs::write(&kernel, "").unwrap();
    let null = File::open("/dev/null").unwrap();
    let refused = monitor.launch(
        null,
        Machine {
            memory: 12345,
            ..Machine::small(&kernel)
        },
    );
    assert_eq!(kind(refused), FailureKind::BadRequest);
    assert!(greets(&monitor));
}

#[test]
fn what_is_not_kvm_fails_the_launch() {
    let monitor = Monitor::start();
    let kernel = monitor.path("kernel");
    std::fs::write(&kernel, "").unwrap();
    let null = File::open("/dev/null").unwrap();
    assert_eq!(kind(monitor.launch(null, Machine::small(&kernel))), FailureKind::Host);
}

#[test]
fn clients_that_do_not_read_or_only_begin_a_line_hold_up_nobody() {
    let monitor = Monitor::start();
    let mut idle: Vec<_> = (0..8).map(|_| monitor.connect()).collect();
    for client in &mut idle {
        client.send(b"{\"lau");
    }
    let mut deaf = monitor.connect();
    // Enough that the answers fill every buffer; the monitor stops reading then, so this must not wait either.
    deaf.send_while_it_is_taken(b"\"status\"\n");
    assert!(greets(&monitor));
    assert!(greets(&monitor));
}

#[test]
fn a_monitor_that_is_stopped_before_its_launch_ends() {
    let mut monitor = Monitor::start();
    assert!(matches!(
        monitor.connect().request(&Request::Stop),
        Response::Ok(Answer::Done)
    ));
    assert_eq!(monitor.wait_for_exit().code(), Some(1));
}
