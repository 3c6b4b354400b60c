//! The networks of VPCs on the host. `api` says what they are to be like.

pub mod firewall;
