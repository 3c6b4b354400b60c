//! The verbs of the command, one file each: its arguments, and what it does with the API.

pub mod completion;
pub mod console;
pub mod doctor;
pub mod events;
pub mod images;
pub mod import;
pub mod keys;
pub mod logs;
pub mod ps;
pub mod reboot;
pub mod rm;
pub mod run;
pub mod start;
pub mod status;
pub mod stop;
pub mod tag;
pub mod timeline;
pub mod types;
pub mod wait;

use super::api::Instance;
use serde_json::{Value, json};

/// The identifiers of instances, as requests take them.
fn ids(instances: &[Instance]) -> Value {
    instances.iter().map(|one| json!(one.instance_id)).collect()
}
