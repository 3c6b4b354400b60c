//! What the monitor answers its guest itself: DHCP ([`dhcp`]), the instance metadata service ([`service`]) and DNS ([`dns`]).
//!
//! ```text
//!  control ──Told──► Board ◄──looks── guest thread ──► DHCP socket   ┐ of each interface,
//!  machine ─Change─► Door ──────────►   (Server)   ──► HTTP socket   │ bound to its tap
//!     the host's name servers ◄── Forwarder ◄─┘    ──► DNS sockets   ┘
//! ```
//! The supervisor starts the thread at the launch, with the sockets that came along; others come with network devices that
//! are attached later, and go with them. The thread outlives every reset. It holds no other file, makes no socket, and what
//! a guest can make it hold is bounded. Public keys that are sent for a while ([`keys`]) lie on the board, too.

mod connection;
mod dhcp;
mod dns;
mod door;
mod facts;
mod forward;
mod http;
mod keys;
mod server;
mod service;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod tokens;
mod tree;

pub use door::{Change, Door};
pub use facts::{Board, FactsError};
pub use keys::SendKeyError;
pub use server::{Interface, Server, Sockets};
