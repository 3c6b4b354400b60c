//! The daemon's front ends: EC2's model as data, the checks against it, and the server on the Unix socket.
//!
//! A front end turns bytes into an operation's name and a `Value` in PascalCase, `dispatch` checks it and calls the
//! handler of `api`, and the front end writes the answer. The JSON face is here; others are peers of it. The EBS
//! direct API, which is no operation of EC2's, is in `ebs`.

mod dispatch;
mod ebs;
mod json;
pub mod model;
mod native;
mod routes;
pub mod server;

pub use dispatch::Dispatch;
pub use routes::Routes;

#[cfg(test)]
mod tests;
