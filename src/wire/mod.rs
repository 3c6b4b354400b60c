//! The daemon's front ends: EC2's model as data, the checks against it, and the server on the Unix socket.
//!
//! A front end turns bytes into an operation's name and a `Value` in PascalCase, `dispatch` checks it and calls the
//! handler of `api`, and the front end writes the answer: `json` is the face of the Unix socket, `query` that of EC2's own
//! clients, which `services` tells from the other services that they ask at the same URL, on the socket and on the TCP
//! `endpoint`; of those the EBS direct API is in `ebs`.

mod dispatch;
mod ebs;
mod endpoint;
mod json;
pub mod model;
mod native;
mod query;
mod routes;
pub mod server;
mod services;
mod signature;

pub use dispatch::Dispatch;
pub use routes::Routes;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
