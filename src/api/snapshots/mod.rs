//! Snapshots: made of volumes, one or several at the same instant, copied, shared, deleted and described.

mod attributes;
mod copy;
mod create;
mod delete;
mod describe;
#[cfg(test)]
mod tests;

pub(super) use copy::must_be_here;
pub(super) use create::{add_pending, add_pending_copy, to_api};
pub(super) use delete::remove_snapshot;

use super::{Operation, found};

/// The operations of this family.
pub fn rows() -> Vec<Operation> {
    vec![
        Operation::new("CopySnapshot", copy::copy),
        Operation::new("CreateSnapshot", create::create),
        Operation::new("CreateSnapshots", create::create_several),
        Operation::new("DeleteSnapshot", delete::delete),
        Operation::new("DescribeSnapshotAttribute", attributes::describe),
        Operation::new("DescribeSnapshots", describe::describe),
        Operation::new("ModifySnapshotAttribute", attributes::modify),
        Operation::new("ResetSnapshotAttribute", attributes::reset),
    ]
}
