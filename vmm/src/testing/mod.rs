//! What the tests, benchmarks and fuzzers of the devices share: events without KVM, threads without seccomp, and a
//! driver that does what a guest's does. Not part of the program.

mod driver;
mod machine;
mod routes;

pub use driver::{Driver, DriverQueue, PATIENCE, Piece, readable, writable};
pub use machine::{ECAM, MEMORY, Machine, PlainThreads};
pub use routes::MemoryRoutes;
