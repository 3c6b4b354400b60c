//! Registers written in any order, while the device's thread follows at its own pace.

use crate::virtio::device::QueueState;
use crate::virtio::queue::{RingAddresses, RingLayout, RingLayoutError};
use crate::virtio::transport::registers::{Action, DRIVER_OK, FEATURES_OK, NEEDS_RESET, Registers, TRANSPORT_FEATURES};
use proptest::prelude::*;
use std::collections::BTreeSet;
use vm_memory::{GuestAddress, GuestMemoryMmap};

const QUEUES: u16 = 3;

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    Status(u8),
    Accept(u64, u64),
    Size(u16, u16),
    Address(u16, u64),
    Enable(u16),
    ResetQueue(u16),
    Kick(u16),
    BusMaster(bool),
    Hold(bool),
    Break,
    /// The device's thread does so many things.
    Follow(u8),
    FailStart,
}

fn step() -> impl Strategy<Value = Step> {
    let queue = 0..QUEUES + 1;
    let features = prop_oneof![3 => Just(TRANSPORT_FEATURES), 1 => any::<u64>()];
    let mask = prop_oneof![3 => Just(u64::MAX), 1 => any::<u64>()];
    prop_oneof![
        4 => prop_oneof![Just(0), Just(1), Just(3), Just(11), Just(15), any::<u8>()].prop_map(Step::Status),
        2 => (features, mask).prop_map(|(features, mask)| Step::Accept(features, mask)),
        1 => (queue.clone(), prop_oneof![Just(8), any::<u16>()]).prop_map(|(queue, size)| Step::Size(queue, size)),
        2 => (queue.clone(), prop_oneof![3 => Just(0x1000), 1 => any::<u64>()]).prop_map(|(q, a)| Step::Address(q, a)),
        3 => queue.clone().prop_map(Step::Enable),
        1 => queue.clone().prop_map(Step::ResetQueue),
        1 => queue.prop_map(Step::Kick),
        2 => prop::bool::weighted(0.8).prop_map(Step::BusMaster),
        1 => any::<bool>().prop_map(Step::Hold),
        1 => Just(Step::Break),
        4 => (0..6u8).prop_map(Step::Follow),
        1 => Just(Step::FailStart),
    ]
}

/// The device as its thread sees it.
#[derive(Default)]
struct Model {
    running: BTreeSet<u16>,
    fail_start: bool,
    starts: u32,
}

impl Model {
    /// Does one thing; false if there was nothing to do.
    fn follow(&mut self, registers: &mut Registers) -> Result<bool, TestCaseError> {
        match registers.next_action() {
            None => return Ok(false),
            Some(Action::Start {
                index,
                layout,
                features,
                ..
            }) => {
                prop_assert!(
                    index < QUEUES && self.running.insert(index),
                    "queue {index} was started twice"
                );
                prop_assert_eq!(registers.status() & (DRIVER_OK | FEATURES_OK), DRIVER_OK | FEATURES_OK);
                prop_assert_eq!(features & !TRANSPORT_FEATURES, 0);
                prop_assert_eq!(registers.queue(index).and_then(|queue| queue.layout()), Some(layout));
                self.starts += 1;
                if std::mem::take(&mut self.fail_start) {
                    self.running.remove(&index);
                    registers.start_failed(index, &"a test says so");
                }
            }
            Some(Action::Stop { index }) => {
                prop_assert!(self.running.remove(&index), "queue {index} was stopped but did not run");
                registers.stopped(index, Some(QueueState::default()));
            }
            Some(Action::Reset) => {
                prop_assert!(self.running.is_empty() && registers.status() != 0);
                registers.reset_done();
            }
            Some(Action::Announce(reason)) => {
                prop_assert!(!reason.is_empty() && registers.status() & NEEDS_RESET != 0);
            }
            Some(Action::Kick { index }) => prop_assert!(index < QUEUES),
            Some(Action::End) => return Err(TestCaseError::fail("nobody asked for the end")),
        }
        Ok(true)
    }

    fn settle(&mut self, registers: &mut Registers) -> Result<(), TestCaseError> {
        for _ in 0..32 {
            if !self.follow(registers)? {
                return Ok(());
            }
        }
        Err(TestCaseError::fail("the device's thread never rests"))
    }

    fn apply(&mut self, step: Step, registers: &mut Registers, memory: &GuestMemoryMmap) -> Result<(), TestCaseError> {
        match step {
            Step::Status(status) => registers.set_status(status),
            Step::Accept(features, mask) => registers.accept(features, mask),
            Step::Size(queue, size) => {
                if let Some(queue) = registers.queue_setup(queue) {
                    queue.size = size;
                }
            }
            Step::Address(queue, address) => {
                if let Some(queue) = registers.queue_setup(queue) {
                    queue.addresses = RingAddresses {
                        descriptors: address,
                        available: address.wrapping_add(0x1000),
                        used: address.wrapping_add(0x2000),
                    };
                }
            }
            Step::Enable(queue) => registers.enable_queue(queue, |queue| -> Result<RingLayout, RingLayoutError> {
                RingLayout::check(queue.addresses, queue.size, queue.max_size(), memory)
            }),
            Step::ResetQueue(queue) => registers.reset_queue(queue),
            Step::Kick(queue) => registers.kick(queue),
            Step::BusMaster(on) => registers.set_bus_master(on),
            Step::Hold(on) => registers.hold(on),
            Step::Break => registers.break_device(&"a test says so"),
            Step::FailStart => self.fail_start = true,
            Step::Follow(times) => {
                for _ in 0..times {
                    self.follow(registers)?;
                }
            }
        }
        Ok(())
    }
}

#[test]
fn no_order_of_writes_confuses_the_registers() {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1_0000)]).unwrap();
    // Most cases begin with a driver that negotiates as it should, or few would get far.
    let good = vec![
        Step::BusMaster(true),
        Step::Status(3),
        Step::Accept(TRANSPORT_FEATURES, u64::MAX),
        Step::Status(11),
        Step::Address(0, 0x1000),
        Step::Enable(0),
        Step::Address(1, 0x1000),
        Step::Status(15),
    ];
    let begin = prop::sample::select(vec![vec![], good.clone(), good]);
    let steps = (begin, prop::collection::vec(step(), 1..40)).prop_map(|(begin, rest)| [begin, rest].concat());
    let starts = std::cell::Cell::new(0);
    super::run("registers", super::REGISTERS, &steps, |steps| {
        let mut registers = Registers::new(0, &[8; QUEUES as usize]);
        let mut model = Model::default();
        for step in steps {
            let frozen = (registers.status() & FEATURES_OK != 0).then(|| registers.accepted());
            let resets = matches!(step, Step::Status(0) | Step::Follow(_));
            model.apply(step, &mut registers, &memory)?;
            if let (Some(accepted), false) = (frozen, resets) {
                prop_assert_eq!(
                    registers.accepted(),
                    accepted,
                    "features changed after they were agreed on"
                );
            }
            prop_assert!(registers.status() & DRIVER_OK == 0 || registers.status() & FEATURES_OK != 0);
        }
        model.settle(&mut registers)?;
        registers.set_status(0);
        model.settle(&mut registers)?;
        prop_assert_eq!(registers.status(), 0);
        prop_assert!(registers.still() && model.running.is_empty());
        starts.set(starts.get() + model.starts);
        Ok(())
    });
    assert!(
        starts.get() > super::REGISTERS / 20,
        "only {} queues were ever started",
        starts.get()
    );
}
