//! Images: machine images (`ami-`), and the kernel (`aki-`) and RAM disk images (`ari-`) that some of them carry.

mod attributes;
mod copy;
mod create;
mod deregister;
mod describe;
mod register;

use super::{ApiError, Code, Operation, ids};
use crate::model::{ProductCode, ResourceId};
use serde::Serialize;

pub use register::parse_name;

/// The operations of this family.
pub fn rows() -> Vec<Operation> {
    vec![
        Operation::new("CopyImage", copy::copy),
        Operation::new("CreateImage", create::create),
        Operation::new("DescribeImageAttribute", attributes::describe),
        Operation::new("DisableImage", attributes::disable),
        Operation::new("DisableImageDeprecation", attributes::undeprecate),
        Operation::new("DisableImageDeregistrationProtection", attributes::unprotect),
        Operation::new("EnableImage", attributes::enable),
        Operation::new("EnableImageDeprecation", attributes::deprecate),
        Operation::new("EnableImageDeregistrationProtection", attributes::protect),
        Operation::new("ModifyImageAttribute", attributes::modify),
        Operation::new("ResetImageAttribute", attributes::reset),
        Operation::new("DeregisterImage", deregister::deregister),
        Operation::new("DescribeImages", describe::describe),
        Operation::new("RegisterImage", register::register),
    ]
}

/// `ProductCode`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireProductCode {
    product_code_id: String,
    product_code_type: &'static str,
}

impl From<ProductCode> for WireProductCode {
    fn from(code: ProductCode) -> Self {
        Self {
            product_code_id: code.id,
            product_code_type: code.kind.name(),
        }
    }
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
