//! An instance's attributes one at a time: DescribeInstanceAttribute, ModifyInstanceAttribute, ResetInstanceAttribute.

mod describe;
mod modify;
mod reset;
mod wanted;

pub(super) use describe::describe;
pub(super) use modify::modify;
pub(super) use reset::reset;

/// `EnclaveOptions` and `EnclaveOptionsRequest`.
#[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct Enclaves {
    enabled: bool,
}
