//! Images: machine images (`ami-`), and the kernel (`aki-`) and RAM disk images (`ari-`) that some of them carry.

mod deregister;
mod describe;
mod register;

use super::{ApiError, Code, Operation, ids};
use crate::model::ResourceId;

pub use register::parse_name;

/// The operations of this family.
pub fn rows() -> Vec<Operation> {
    vec![
        Operation::new("DeregisterImage", deregister::deregister),
        Operation::new("DescribeImages", describe::describe),
        Operation::new("RegisterImage", register::register),
    ]
}

/// Parses the id of an image of any kind.
fn parse_image_id(text: &str) -> Result<ResourceId, ApiError> {
    match ids::parse(text, Code::InvalidAmiIdMalformed)? {
        id @ (ResourceId::Image(_) | ResourceId::Kernel(_) | ResourceId::Ramdisk(_)) => Ok(id),
        other => {
            let message = format!("Invalid id: \"{other}\" (expecting \"ami-...\")");
            Err(ApiError::new(Code::InvalidAmiIdMalformed, message))
        }
    }
}

fn image_not_found(id: ResourceId) -> ApiError {
    let message = format!("The image id '[{id}]' does not exist");
    ApiError::new(Code::InvalidAmiIdNotFound, message)
}

#[cfg(test)]
mod tests;
