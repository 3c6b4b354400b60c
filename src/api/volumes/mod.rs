//! Volumes: made, deleted, grown, attached and detached, put in the place of a root volume, and described.

mod attach;
mod attributes;
mod create;
mod describe;
mod modify;
mod replace_root;
mod status;
#[cfg(test)]
mod tests;

pub(super) use create::limits;

use super::{Operation, found};

/// The operations of this family.
pub fn rows() -> Vec<Operation> {
    vec![
        Operation::new("AttachVolume", attach::attach),
        Operation::new("CreateReplaceRootVolumeTask", replace_root::create),
        Operation::new("CreateVolume", create::create),
        Operation::new("DeleteVolume", create::delete),
        Operation::new("DescribeReplaceRootVolumeTasks", replace_root::describe),
        Operation::new("DescribeVolumeAttribute", attributes::describe),
        Operation::new("DescribeVolumeStatus", status::describe),
        Operation::new("DescribeVolumes", describe::describe),
        Operation::new("DescribeVolumesModifications", modify::describe),
        Operation::new("DetachVolume", attach::detach),
        Operation::new("GetEbsEncryptionByDefault", attributes::encryption),
        Operation::new("ModifyVolume", modify::modify),
        Operation::new("ModifyVolumeAttribute", attributes::modify),
    ]
}
