//! Launch templates: what RunInstances may be asked, kept under a name, in versions.
//!
//! A version's data have passed the check against EC2's model, and no other: what can't be launched is answered when it
//! is launched.

mod create;
mod data;
mod delete;
mod describe;
mod launch;
mod modify;
mod named;
mod source;
#[cfg(test)]
mod tests;
mod versions;
mod wire;

pub(super) use launch::{Launch, for_launch};

use super::change::{Changed, change, tag};
use super::{ApiError, Call, Code, Operation, found};

/// The operations of this directory.
pub fn rows() -> Vec<Operation> {
    vec![
        Operation::new("CreateLaunchTemplate", create::create),
        Operation::new("CreateLaunchTemplateVersion", create::version),
        Operation::new("DeleteLaunchTemplate", delete::delete),
        Operation::new("DeleteLaunchTemplateVersions", delete::versions),
        Operation::new("DescribeLaunchTemplateVersions", versions::describe),
        Operation::new("DescribeLaunchTemplates", describe::describe),
        Operation::new("GetLaunchTemplateData", source::get),
        Operation::new("ModifyLaunchTemplate", modify::modify),
    ]
}
