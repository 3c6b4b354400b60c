//! The device as a guest's driver sees it, with callers on the host.

use super::connection::{BUFFER, Connection};
use super::packet::{HEADER, Header, Op, SHUT_BOTH, SHUT_RECEIVE, SHUT_SEND};
use super::table::{CONNECTIONS_MAX, NOTIFYING_MAX, RESETS_MAX, Table};
use super::testing::{CID, Guest, NOTIFY_PORT, ROOM, answer, caller, config, dial, has_ended, packet};
use crate::protocol::{Answer, Event, FailureKind, Response, Stage};
use crate::sandbox::DeviceThreads;
use crate::testing::{Driver, Machine, readable, writable};
use crate::virtio::queue::Buffer;
use proptest::prelude::*;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use vm_memory::{GuestAddress, GuestMemoryMmap};
use vmm_sys_util::epoll::Epoll;

fn machine() -> (Machine, u8) {
    let machine = Machine::default();
    let slot = machine.add("vsock", "vsock0", config(), vec![]).unwrap();
    (machine, slot)
}

fn is_done(stream: &UnixStream) -> bool {
    matches!(answer(stream), Response::Ok(Answer::Done))
}

fn refusal(stream: &UnixStream) -> String {
    match answer(stream) {
        Response::Error(failure) if failure.kind == FailureKind::NotConnected => failure.message,
        other => panic!("{other:?}"),
    }
}

/// A connection to port 22: its end on the host, and both ports, the guest's first.
fn connect(machine: &Machine, guest: &mut Guest<Driver<'_>>) -> (UnixStream, (u32, u32)) {
    let stream = dial(&machine.context.dialer, 22);
    let ports = guest.accept();
    assert!(is_done(&stream));
    (stream, ports)
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|place| (place % 251) as u8).collect()
}

#[test]
fn the_driver_sees_its_address_and_three_queues() {
    let (machine, slot) = machine();
    let guest = Guest::probe(&machine, slot);
    assert_eq!(machine.read::<8>(guest.driver.structure(4)), CID.to_le_bytes());
    assert_eq!(guest.driver.queues.len(), 3);
    assert_eq!(guest.driver.offered() & 1, 1);
}

#[test]
fn a_connection_carries_bytes_both_ways_until_each_side_has_said_its_last() {
    let (machine, slot) = machine();
    let mut guest = Guest::probe(&machine, slot);
    let (mut stream, (port, host)) = connect(&machine, &mut guest);
    stream.write_all(b"what is the time").unwrap();
    let asked = guest.next();
    assert_eq!((asked.op(), &*asked.data), (Some(Op::Data), &b"what is the time"[..]));
    assert_eq!((asked.header.from_port, asked.header.to_port), (host, 22));
    stream.shutdown(Shutdown::Write).unwrap();
    let shut = guest.next();
    assert_eq!((shut.op(), shut.header.flags), (Some(Op::Shutdown), SHUT_SEND));
    guest.send(&packet(Op::Data, port, host), b"ten past ");
    guest.send(&packet(Op::Data, port, host), b"nine");
    let last = Header {
        flags: SHUT_BOTH,
        ..packet(Op::Shutdown, port, host)
    };
    guest.send(&last, &[]);
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert_eq!(said, "ten past nine");
    assert_eq!(guest.next().op(), Some(Op::Reset));
    assert!(guest.is_left_alone());
}

#[test]
fn a_guest_that_has_shut_its_sending_still_receives() {
    let (machine, slot) = machine();
    let mut guest = Guest::probe(&machine, slot);
    let (mut stream, (port, host)) = connect(&machine, &mut guest);
    let shut = Header {
        flags: SHUT_SEND,
        ..packet(Op::Shutdown, port, host)
    };
    guest.send(&shut, &[]);
    assert!(has_ended(&stream));
    stream.write_all(b"more").unwrap();
    assert_eq!(guest.next().data, b"more");
    // Then nothing can go either way, and that is said.
    stream.shutdown(Shutdown::Write).unwrap();
    let last = guest.next();
    assert_eq!((last.op(), last.header.flags), (Some(Op::Shutdown), SHUT_BOTH));
    guest.send(&packet(Op::Reset, port, host), &[]);
    assert!(guest.is_left_alone());
}

#[test]
fn a_guest_that_has_shut_its_receiving_is_sent_nothing_and_still_sends() {
    let (machine, slot) = machine();
    let mut guest = Guest::probe(&machine, slot);
    let (mut stream, (port, host)) = connect(&machine, &mut guest);
    let shut = Header {
        flags: SHUT_RECEIVE,
        ..packet(Op::Shutdown, port, host)
    };
    guest.send(&shut, &[]);
    let told = guest.next();
    assert_eq!((told.op(), told.header.flags), (Some(Op::Shutdown), SHUT_SEND));
    assert!(stream.write_all(b"in vain").is_err());
    guest.send(&packet(Op::Data, port, host), b"heard");
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"heard");
    assert!(guest.is_left_alone());
}

#[test]
fn a_host_that_hangs_up_ends_both_ways() {
    let (machine, slot) = machine();
    let mut guest = Guest::probe(&machine, slot);
    let (stream, (port, host)) = connect(&machine, &mut guest);
    drop(stream);
    let mut shut = 0;
    while shut != SHUT_BOTH {
        let told = guest.next();
        assert_eq!(told.op(), Some(Op::Shutdown));
        shut = told.header.flags;
    }
    guest.send(&packet(Op::Reset, port, host), &[]);
    assert!(guest.is_left_alone());
}

#[test]
fn who_is_refused_is_told_why() {
    let (machine, slot) = machine();
    let early = dial(&machine.context.dialer, 22);
    assert!(refusal(&early).contains("no vsock driver"));
    let mut guest = Guest::probe(&machine, slot);
    let stream = dial(&machine.context.dialer, 23);
    let asked = guest.next();
    assert_eq!((asked.op(), asked.header.to_port), (Some(Op::Request), 23));
    guest.send(&asked.header.reset(), &[]);
    let told = refusal(&stream);
    assert!(told.contains("refuses connections to its vsock port 23"), "{told}");
    assert!(has_ended(&stream));
    let lonely = Machine::default();
    assert!(refusal(&dial(&lonely.context.dialer, 22)).contains("no vsock device"));
}

#[test]
fn a_guest_that_does_not_answer_is_given_up_and_told_so() {
    let (machine, slot) = machine();
    let mut guest = Guest::probe(&machine, slot);
    let stream = dial(&machine.context.dialer, 22);
    let asked = guest.next();
    let told = refusal(&stream);
    assert!(
        told.contains("does not answer at its vsock port 22 within 10 seconds"),
        "{told}"
    );
    assert_eq!(guest.next().op(), Some(Op::Reset));
    // Now it is too late.
    guest.send(&packet(Op::Response, 22, asked.header.from_port), &[]);
    assert_eq!(guest.next().op(), Some(Op::Reset));
    assert!(guest.is_left_alone());
}

#[test]
fn the_guest_is_never_sent_more_than_it_has_room_for() {
    let (machine, slot) = machine();
    let mut guest = Guest::probe(&machine, slot);
    let (mut stream, (port, host)) = connect(&machine, &mut guest);
    let sent = bytes(3 * ROOM as usize);
    stream.write_all(&sent).unwrap();
    let mut got = Vec::new();
    for forwarded in [0, 1, ROOM / 2, ROOM, 2 * ROOM] {
        let credit = Header {
            forwarded,
            ..packet(Op::CreditUpdate, port, host)
        };
        guest.send(&credit, &[]);
        while got.len() < (forwarded + ROOM) as usize {
            got.extend(guest.next().data);
        }
        assert_eq!(got.len(), (forwarded + ROOM) as usize);
        assert!(guest.is_left_alone());
    }
    assert_eq!(got, sent);
}

/// Passes on a megabyte of the guest's, which keeps to the credit that it is told.
fn send_a_megabyte(guest: &mut Guest<Driver<'_>>, (port, host): (u32, u32), sent: &[u8]) -> Vec<u8> {
    let (mut at, mut forwarded, mut got) = (0, 0, Vec::new());
    while at < sent.len() || got.len() < sent.len() {
        let room = BUFFER as usize - (at - forwarded);
        let now = room.min(sent.len() - at).min(4000);
        let header = Header {
            forwarded: u32::try_from(got.len()).unwrap(),
            ..packet(Op::Data, port, host)
        };
        if now > 0 {
            guest.send(&header, &sent[at..at + now]);
            at += now;
            continue;
        }
        let told = guest.next();
        forwarded = told.header.forwarded as usize;
        got.extend(told.data);
        if at == sent.len() {
            let op = Op::CreditUpdate;
            let forwarded = u32::try_from(got.len()).unwrap();
            guest.send(
                &Header {
                    forwarded,
                    ..packet(op, port, host)
                },
                &[],
            );
        }
    }
    got
}

fn exchange_a_megabyte(machine: &Machine, guest: &mut Guest<Driver<'_>>) {
    let (stream, ports) = connect(machine, guest);
    let there = bytes(1 << 20);
    let back: Vec<u8> = there.iter().map(|byte| byte ^ 0xff).collect();
    let (mut reader, mut writer) = (stream.try_clone().unwrap(), stream);
    let sent = back.clone();
    let writing = std::thread::spawn(move || writer.write_all(&sent));
    let reading = std::thread::spawn(move || {
        let mut read = vec![0; 1 << 20];
        reader.read_exact(&mut read).map(|()| read)
    });
    assert!(send_a_megabyte(guest, ports, &there) == back);
    writing.join().unwrap().unwrap();
    assert!(reading.join().unwrap().unwrap() == there);
}

#[test]
fn a_megabyte_goes_each_way_at_once() {
    let (machine, slot) = machine();
    let mut guest = Guest::probe(&machine, slot);
    exchange_a_megabyte(&machine, &mut guest);
}

#[test]
fn its_threads_make_no_system_calls_but_those_on_their_list() {
    // At any other the whole process dies, and this test with it.
    let mut machine = Machine::default();
    machine.context.threads = Arc::new(DeviceThreads);
    let slot = machine.add("vsock", "vsock0", config(), vec![]).unwrap();
    let mut guest = Guest::probe(&machine, slot);
    exchange_a_megabyte(&machine, &mut guest);
    let (stream, (port, host)) = connect(&machine, &mut guest);
    for flags in [SHUT_SEND, SHUT_BOTH] {
        let shut = Header {
            flags,
            ..packet(Op::Shutdown, port, host)
        };
        guest.send(&shut, &[]);
    }
    assert!(has_ended(&stream));
    let asking = dial(&machine.context.dialer, 22);
    while guest.next().op() != Some(Op::Request) {}
    guest.driver.reset();
    assert!(refusal(&asking).contains("was reset"));
}

#[test]
fn a_guest_that_overruns_its_credit_loses_the_connection_only() {
    let (machine, slot) = machine();
    let mut guest = Guest::probe(&machine, slot);
    let (stream, (port, host)) = connect(&machine, &mut guest);
    let (mut other, (_, other_host)) = connect(&machine, &mut guest);
    // Nobody reads, so after what the socket holds there is the credit, and then nothing.
    let mut refused = None;
    for _ in 0..400 {
        guest.send(&packet(Op::Data, port, host), &[7; 4000]);
        let given = guest.given().filter(|next| next.op() == Some(Op::Reset));
        refused = refused.or(given);
    }
    assert_eq!(refused.map(|reset| reset.header.from_port), Some(host));
    drop(stream);
    other.write_all(b"still there").unwrap();
    let mut next = guest.next_but_credit();
    while next.op() == Some(Op::Reset) {
        next = guest.next_but_credit();
    }
    assert_eq!((next.header.from_port, &*next.data), (other_host, &b"still there"[..]));
}

#[test]
fn an_operation_that_there_is_not_ends_the_connection_at_both_ends() {
    let (machine, slot) = machine();
    let mut guest = Guest::probe(&machine, slot);
    let (stream, (port, host)) = connect(&machine, &mut guest);
    let unknown = Header {
        op: 8,
        ..packet(Op::Data, port, host)
    };
    guest.send(&unknown, &[]);
    assert_eq!(guest.next().op(), Some(Op::Reset));
    assert!(has_ended(&stream));
}

#[test]
fn what_the_guest_sent_before_it_ended_the_connection_arrives_however_slowly_it_is_read() {
    let (machine, slot) = machine();
    let mut guest = Guest::probe(&machine, slot);
    let (mut stream, (port, host)) = connect(&machine, &mut guest);
    let sent = bytes(BUFFER as usize);
    for piece in sent.chunks(4000) {
        guest.send(&packet(Op::Data, port, host), piece);
    }
    guest.send(&packet(Op::Reset, port, host), &[]);
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    assert!(got == sent);
}

#[test]
fn a_reset_of_the_driver_ends_all_connections_and_the_next_driver_has_new_ones() {
    let (machine, slot) = machine();
    let mut guest = Guest::probe(&machine, slot);
    let (open, _) = connect(&machine, &mut guest);
    let asking = dial(&machine.context.dialer, 23);
    guest.next();
    guest.driver.reset();
    assert!(has_ended(&open));
    assert!(refusal(&asking).contains("was reset"));
    let mut guest = Guest::probe(&machine, slot);
    let (mut stream, _) = connect(&machine, &mut guest);
    stream.write_all(b"again").unwrap();
    assert_eq!(guest.next().data, b"again");
    machine.root.stop();
}

#[test]
fn what_belongs_to_no_connection_is_refused_and_what_is_not_the_guests_is_not_heard() {
    let (machine, slot) = machine();
    let mut guest = Guest::probe(&machine, slot);
    for op in [
        Op::Request,
        Op::Response,
        Op::Shutdown,
        Op::Data,
        Op::CreditUpdate,
        Op::CreditRequest,
    ] {
        guest.send(&packet(op, 9, 10), &[]);
        let refused = guest.next();
        assert_eq!(refused.header, packet(op, 9, 10).reset(), "{op:?}");
    }
    let strange = [
        Header {
            kind: 2,
            ..packet(Op::Request, 9, NOTIFY_PORT)
        },
        Header {
            to_cid: 4,
            ..packet(Op::Request, 9, NOTIFY_PORT)
        },
        Header {
            op: 99,
            ..packet(Op::Request, 9, NOTIFY_PORT)
        },
    ];
    for header in strange {
        guest.send(&header, &[]);
        assert_eq!(guest.next().header, header.reset());
    }
    let forged = Header {
        from_cid: 4,
        ..packet(Op::Request, 9, NOTIFY_PORT)
    };
    guest.send(&forged, &[]);
    guest.send(&packet(Op::Reset, 9, 10), &[]);
    assert!(guest.is_left_alone());
}

#[test]
fn refusals_wait_for_buffers_and_keep_the_guest_from_sending_more() {
    let (machine, slot) = machine();
    let mut guest = Guest::without_buffers(&machine, slot);
    let sent = 100;
    for port in 0..sent {
        guest.put(&packet(Op::Request, port, 1), &[]);
    }
    // All that are taken wait to be refused; the others were not looked at.
    guest.driver.wait_used(1, RESETS_MAX);
    guest.post_all();
    let mut refused = 0;
    while refused < sent {
        let next = guest.next();
        assert_eq!(next.op(), Some(Op::Reset));
        refused += 1;
    }
    assert!(guest.is_left_alone());
}

fn readies(machine: &Machine) -> usize {
    let ready = |event: &Event| matches!(event, Event::Reached(moment) if moment.stage == Stage::Ready);
    machine.events().iter().filter(|event| ready(event)).count()
}

#[test]
fn a_guest_says_once_that_it_is_ready() {
    let (machine, slot) = machine();
    let mut guest = Guest::probe(&machine, slot);
    let says = |guest: &mut Guest<Driver<'_>>, port, text: &[u8]| {
        guest.send(&packet(Op::Request, port, NOTIFY_PORT), &[]);
        assert_eq!(guest.next().op(), Some(Op::Response));
        guest.send(&packet(Op::Data, port, NOTIFY_PORT), text);
        let shut = Header {
            flags: SHUT_SEND,
            ..packet(Op::Shutdown, port, NOTIFY_PORT)
        };
        guest.send(&shut, &[]);
        assert_eq!(guest.next().op(), Some(Op::Reset));
    };
    says(&mut guest, 100, b"STATUS=Starting\nX_SYSTEMD_UNIT_ACTIVE=basic.target");
    assert_eq!(readies(&machine), 0);
    says(&mut guest, 101, b"READY=1\nSTATUS=Ready.");
    assert_eq!(readies(&machine), 1);
    says(&mut guest, 102, b"READY=1");
    assert_eq!(readies(&machine), 1);
}

#[test]
fn a_guest_that_says_too_much_or_too_often_is_not_listened_to() {
    let (machine, slot) = machine();
    let mut guest = Guest::probe(&machine, slot);
    for port in 0..10 {
        guest.send(&packet(Op::Request, port, NOTIFY_PORT), &[]);
        let answer = if (port as usize) < NOTIFYING_MAX {
            Op::Response
        } else {
            Op::Reset
        };
        assert_eq!(guest.next().op(), Some(answer));
    }
    guest.send(&packet(Op::Data, 0, NOTIFY_PORT), &[b'x'; 4000]);
    guest.send(
        &packet(Op::Data, 0, NOTIFY_PORT),
        b"READY=1\nbut this is said after so much that nobody listens any more, as nobody has so much to say",
    );
    assert_eq!(guest.next().op(), Some(Op::Reset));
    assert_eq!(readies(&machine), 0);
    guest.send(&packet(Op::Request, 50, NOTIFY_PORT), &[]);
    assert_eq!(guest.next().op(), Some(Op::Response));
}

#[test]
fn there_are_so_many_connections_and_no_more() {
    let (machine, slot) = machine();
    let mut guest = Guest::probe(&machine, slot);
    let mut open: Vec<_> = (0..CONNECTIONS_MAX).map(|_| connect(&machine, &mut guest)).collect();
    assert!(refusal(&dial(&machine.context.dialer, 22)).contains("close one first"));
    let (stream, (port, host)) = open.pop().unwrap();
    guest.send(&packet(Op::Reset, port, host), &[]);
    assert!(has_ended(&stream));
    connect(&machine, &mut guest);
}

/// Whether the driver is told to reset the device, and the daemon of it.
fn needs_reset(machine: &Machine, guest: &Guest<Driver<'_>>) -> bool {
    let told = |driver: &Driver<'_>| driver.status() & 0x40 != 0 && !machine.events().is_empty();
    guest.driver.wait(told)
        && matches!(&machine.events()[..], [Event::DeviceNeedsReset { device, .. }] if device == "vsock0")
}

#[test]
fn a_driver_that_sends_no_header_is_told_to_reset_and_loses_its_connections() {
    let (machine, slot) = machine();
    let mut guest = Guest::probe(&machine, slot);
    let (open, _) = connect(&machine, &mut guest);
    let at = guest.driver.queues[1].data();
    guest.driver.add(1, &[readable(at, HEADER as u32 - 1)]);
    guest.driver.notify(1);
    assert!(has_ended(&open));
    assert!(needs_reset(&machine, &guest));
    let mut guest = Guest::probe(&machine, slot);
    connect(&machine, &mut guest);
}

#[test]
fn a_driver_whose_buffers_have_no_room_is_told_to_reset() {
    let (machine, slot) = machine();
    let mut guest = Guest::without_buffers(&machine, slot);
    let at = guest.driver.queues[0].data();
    guest.driver.add(0, &[writable(at, HEADER as u32)]);
    guest.put(&packet(Op::Request, 1, 1), &[]);
    assert!(needs_reset(&machine, &guest));
    Guest::probe(&machine, slot);
}

#[test]
fn a_request_that_was_never_sent_is_given_up_in_silence() {
    let (stream, call) = caller(5);
    let mut connection = Connection::outgoing(call);
    connection.expire();
    assert!(refusal(&stream).contains("does not answer"));
    assert!(connection.is_over());
}

/// What happens to a table next.
#[derive(Debug, Clone)]
enum Step {
    Hear {
        op: u16,
        host: u8,
        guest: u8,
        length: u32,
        flags: u32,
        room: u32,
        forwarded: u32,
    },
    Dial(u8),
    Give(usize),
    Write(usize, usize),
    Read(usize),
    HangUp(usize),
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let small = || prop_oneof![4 => 0..5000u32, 1 => any::<u32>()];
    let op = prop_oneof![8 => 1..8u16, 1 => any::<u16>()];
    let length = prop_oneof![6 => 0..8000u32, 1 => any::<u32>()];
    prop_oneof![
        6 => (op, 0..4u8, 0..3u8, length, 0..5u32, small(), small()).prop_map(
            |(op, host, guest, length, flags, room, forwarded)| Step::Hear {
                op, host, guest, length, flags, room, forwarded,
            }
        ),
        2 => (0..3u8).prop_map(Step::Dial),
        4 => (1..8usize).prop_map(Step::Give),
        2 => (0..4usize, 0..9000usize).prop_map(|(who, count)| Step::Write(who, count)),
        1 => (0..4usize).prop_map(Step::Read),
        1 => (0..4usize).prop_map(Step::HangUp),
        1 => Just(Step::Expire),
    ]
}

/// What the guest was sent on a connection, against the room that it said it has.
#[derive(Default)]
struct Sent {
    count: u32,
    room: u32,
    forwarded: u32,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_packets_in_any_order_exceed_a_bound_or_the_guests_credit(steps in prop::collection::vec(step(), 1..80)) {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x2_0000)]).unwrap();
        let buffer = |length| [Buffer { address: GuestAddress(0x1000), length }];
        let mut table = Table::new(serde_json::from_value(config()).unwrap());
        let epoll = Epoll::new().unwrap();
        let mut callers: Vec<UnixStream> = Vec::new();
        let mut sent = std::collections::BTreeMap::<(u32, u32), Sent>::new();
        let host_port = |number: u8| match number {
            0 => NOTIFY_PORT,
            number => (1 << 30) + u32::from(number) - 1,
        };
        for step in steps {
            match step {
                Step::Hear { op, host, guest, length, flags, room, forwarded } => {
                    let (host, guest) = (host_port(host), u32::from(guest));
                    let header = Header {
                        op, length, flags, room, forwarded,
                        ..packet(Op::Request, guest, host)
                    };
                    let there = sent.entry((host, guest)).or_default();
                    (there.room, there.forwarded) = (room, forwarded);
                    if !table.is_saturated() {
                        table.hear(&memory, &header, &buffer(length.clamp(1, 8000)), &epoll);
                    }
                }
                Step::Dial(guest) => {
                    let (own, call) = caller(guest.into());
                    own.set_nonblocking(true).unwrap();
                    callers.push(own);
                    table.connect(call);
                }
                Step::Give(count) => for _ in 0..count {
                    let Some(header) = table.next_packet(&memory, &buffer(3000)) else { break };
                    if header.op == Op::Request.number() {
                        // Ports are not used again before all others were.
                        prop_assert!(header.from_port >= 1 << 30);
                    }
                    if header.op == Op::Data.number() {
                        let there = sent.entry((header.from_port, header.to_port)).or_default();
                        let under_way = there.count.wrapping_sub(there.forwarded);
                        prop_assert!(header.length > 0 && header.length <= 3000);
                        prop_assert!(under_way <= there.room && header.length <= there.room - under_way);
                        there.count = there.count.wrapping_add(header.length);
                    }
                    if header.op == Op::Reset.number() {
                        sent.remove(&(header.from_port, header.to_port));
                    }
                },
                Step::Write(who, count) => if let Some(caller) = callers.get_mut(who) {
                    let _ = caller.write(&vec![1; count]);
                },
                Step::Read(who) => if let Some(caller) = callers.get_mut(who) {
                    let _ = caller.read(&mut [0; 9000]);
                },
                Step::HangUp(who) => if who < callers.len() {
                    callers.remove(who);
                },
                Step::Expire => table.expire(),
            }
            table.settle();
            let (connections, resets, pending) = table.sizes();
            prop_assert!(connections <= CONNECTIONS_MAX && resets <= RESETS_MAX && pending <= BUFFER as usize);
        }
        table.cut("The test is over");
        prop_assert!(!table.has_packet());
    }
}
