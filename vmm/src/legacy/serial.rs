//! The first serial port: a 16550A whose bytes come and go in memory.
//!
//! Its registers are used by vCPU threads, so nothing here does I/O: what the guest writes goes into an [`Output`]
//! (the console's ring), what people type waits here until the guest has read what came before.

use super::SetLine;
use crate::bus::BusDevice;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use vm_superio::serial::NoEvents;
use vm_superio::{Serial, Trigger};

/// Where the port's bytes go. Called by vCPU threads.
pub trait Output: Send + Sync {
    /// Takes what the guest wrote.
    fn write(&self, bytes: &[u8]);
    /// Says that [`SerialPort::input`], which took less than it was given, would now take more.
    fn input_has_room(&self);
}

/// How many bytes of input wait beyond the port's own FIFO.
const INPUT_MAX: usize = 4096;

struct Pulse<L>(L);

impl<L: SetLine> Trigger for Pulse<L> {
    type E = Infallible;

    fn trigger(&self) -> Result<(), Infallible> {
        self.0.set(true);
        self.0.set(false);
        Ok(())
    }
}

struct Sink(Arc<dyn Output>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct State<L: SetLine> {
    uart: Serial<Pulse<L>, NoEvents, Sink>,
    fifo_size: usize,
    waiting: VecDeque<u8>,
    refused: bool,
}

/// The port: eight registers.
pub struct SerialPort<L: SetLine> {
    state: Mutex<State<L>>,
    output: Arc<dyn Output>,
}

impl<L: SetLine> SerialPort<L> {
    /// How many ports it takes.
    pub const PORTS: u64 = 8;

    /// A port with interrupt `line` that writes to `output`.
    pub fn new(line: L, output: Arc<dyn Output>) -> Self {
        let uart = Serial::new(Pulse(line), Sink(Arc::clone(&output)));
        Self {
            state: Mutex::new(State {
                fifo_size: uart.fifo_capacity(),
                uart,
                waiting: VecDeque::new(),
                refused: false,
            }),
            output,
        }
    }

    /// Gives the guest `bytes` to read; returns how many were taken.
    pub fn input(&self, bytes: &[u8]) -> usize {
        let mut state = self.lock();
        let count = bytes.len().min(INPUT_MAX - state.waiting.len());
        state.waiting.extend(&bytes[..count]);
        state.refused = count < bytes.len();
        state.feed();
        count
    }

    fn lock(&self) -> MutexGuard<'_, State<L>> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl<L: SetLine> State<L> {
    /// Moves the next byte of waiting input into the FIFO when the guest has read the one before.
    ///
    /// One at a time, for `vm_superio` takes back the interrupt of received data at each read, also when more is there, and
    /// Linux reads 256 bytes at most before it looks at the interrupt again: the rest of a long line would wait there until
    /// something else is typed.
    fn feed(&mut self) {
        if self.uart.fifo_capacity() < self.fifo_size {
            return;
        }
        if let Some(byte) = self.waiting.pop_front() {
            // In loopback mode the port takes nothing from outside: such input is lost, as on a wire.
            let _ = self.uart.enqueue_raw_bytes(&[byte]);
        }
    }
}

impl<L: SetLine> BusDevice for SerialPort<L> {
    fn read(&self, offset: u64, data: &mut [u8]) {
        let (Ok(offset), [byte]) = (u8::try_from(offset), &mut *data) else {
            return data.fill(0xff);
        };
        let mut state = self.lock();
        *byte = state.uart.read(offset);
        if offset == 0 {
            state.feed();
            if state.refused && state.waiting.len() <= INPUT_MAX / 2 {
                state.refused = false;
                drop(state);
                self.output.input_has_room();
            }
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        if let (Ok(offset), [byte]) = (u8::try_from(offset), data) {
            // It fails only where trigger or sink do, and neither can.
            let _ = self.lock().uart.write(offset, *byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct NoLine;
    impl SetLine for NoLine {
        fn set(&self, _high: bool) {}
    }

    #[derive(Default)]
    struct Recorder(Mutex<(Vec<u8>, usize)>);
    impl Output for Recorder {
        fn write(&self, bytes: &[u8]) {
            self.0.lock().unwrap().0.extend(bytes);
        }
        fn input_has_room(&self) {
            self.0.lock().unwrap().1 += 1;
        }
    }

    fn read(port: &SerialPort<NoLine>, offset: u64) -> u8 {
        let mut data = [0];
        port.read(offset, &mut data);
        data[0]
    }

    #[test]
    fn what_the_guest_writes_comes_out() {
        let output = Arc::new(Recorder::default());
        let port = SerialPort::new(NoLine, output.clone());
        b"login: ".iter().for_each(|byte| port.write(0, &[*byte]));
        port.write(0, b"no such register is two bytes wide");
        assert_eq!(output.0.lock().unwrap().0, b"login: ");
    }

    #[test]
    fn the_interrupt_stands_as_long_as_there_is_something_to_read() {
        const RECEIVED: u8 = 4;
        const KIND: u8 = 0x0f;
        let port = SerialPort::new(NoLine, Arc::new(Recorder::default()));
        port.write(1, &[1]);
        assert_eq!(port.input(&[7; 300]), 300);
        for _ in 0..300 {
            assert_eq!(read(&port, 2) & KIND, RECEIVED);
            assert_eq!(read(&port, 0), 7);
        }
        assert_ne!(read(&port, 2) & KIND, RECEIVED);
    }

    #[test]
    fn input_longer_than_the_fifo_arrives_whole_and_in_order() {
        const DATA_READY: u8 = 1;
        let output = Arc::new(Recorder::default());
        let port = SerialPort::new(NoLine, output.clone());
        let typed: Vec<u8> = (0..10_000u32).map(|i| i.to_le_bytes()[0]).collect();
        let (mut sent, mut seen) = (0, Vec::new());
        while sent < typed.len() {
            sent += port.input(&typed[sent..]);
            while read(&port, 5) & DATA_READY != 0 {
                seen.push(read(&port, 0));
            }
        }
        assert_eq!(seen, typed);
        assert_eq!(output.0.lock().unwrap().1, 2);
    }
}
