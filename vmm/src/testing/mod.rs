//! What the tests, benchmarks and fuzzers of the devices share: events without KVM, threads without seccomp, and a
//! driver that does what a guest's does. Not part of the program.

mod routes;

pub use routes::MemoryRoutes;
