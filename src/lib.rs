//! kiln: EC2 on one's own host. The library behind the daemon `kilnd` and the command `kiln`.
//!
//! Arrows run downward only: `wire` → `api` → {`instance`, `imports`, `exports`} → {`machine`, `network`, `volumes`} → `store` → `model`.

pub mod api;
pub mod base64;
pub mod chain;
pub mod cli;
pub mod config;
pub mod exports;
pub mod imports;
pub mod instance;
pub mod machine;
pub mod model;
pub mod namespace;
pub mod network;
pub mod store;
pub mod tasks;
pub mod volumes;
pub mod wire;
