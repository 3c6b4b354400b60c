//! With whom images and snapshots are shared, in requests and answers: `LaunchPermission`, `CreateVolumePermission`.

use super::{ApiError, Code};
use crate::model::Grantee;
use serde::{Deserialize, Serialize};

/// A permission, with the members that one host has a use for.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct WirePermission {
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
}

impl WirePermission {
    fn parse(self) -> Result<Grantee, ApiError> {
        let invalid = |message: String| Err(ApiError::new(Code::InvalidParameterValue, message));
        match (self.group.as_deref(), self.user_id) {
            (Some("all"), None) => Ok(Grantee::All),
            (Some(other), None) => invalid(format!("The group {} is not all", other.escape_debug())),
            (None, Some(account)) if account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Grantee::Account(account))
            }
            (None, Some(other)) => invalid(format!("{} is no account: it has 12 digits", other.escape_debug())),
            _ => invalid("A permission is for a Group or a UserId".into()),
        }
    }
}

impl From<&Grantee> for WirePermission {
    fn from(grantee: &Grantee) -> Self {
        match grantee {
            Grantee::All => Self {
                group: Some("all".into()),
                user_id: None,
            },
            Grantee::Account(account) => Self {
                group: None,
                user_id: Some(account.clone()),
            },
        }
    }
}

/// `LaunchPermissionModifications`, `CreateVolumePermissionModifications`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct Modifications {
    add: Vec<WirePermission>,
    remove: Vec<WirePermission>,
}

/// What a request changes of the permissions.
pub(super) struct Permissions {
    add: Vec<Grantee>,
    remove: Vec<Grantee>,
}

impl Permissions {
    /// What a request says in either of its ways: by modifications, or by an operation and lists of groups and accounts.
    ///
    /// # Errors
    /// `InvalidParameterValue`.
    pub(super) fn new(
        mut modifications: Modifications,
        operation: Option<&str>,
        (groups, accounts): (Vec<String>, Vec<String>),
    ) -> Result<Self, ApiError> {
        let groups = groups.into_iter().map(|group| WirePermission {
            group: Some(group),
            user_id: None,
        });
        let accounts = accounts.into_iter().map(|account| WirePermission {
            group: None,
            user_id: Some(account),
        });
        match operation {
            Some("remove") => modifications.remove.extend(groups.chain(accounts)),
            _ => modifications.add.extend(groups.chain(accounts)),
        }
        let parse = |all: Vec<WirePermission>| {
            all.into_iter()
                .map(WirePermission::parse)
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            add: parse(modifications.add)?,
            remove: parse(modifications.remove)?,
        })
    }

    /// Whether nothing is to change.
    pub(super) const fn is_empty(&self) -> bool {
        !self.adds() && !self.removes()
    }

    /// Whether somebody gets a permission.
    pub(super) const fn adds(&self) -> bool {
        !self.add.is_empty()
    }

    /// Whether somebody loses a permission.
    pub(super) const fn removes(&self) -> bool {
        !self.remove.is_empty()
    }

    /// Changes the permissions that there are.
    pub(super) fn apply(self, permissions: &mut Vec<Grantee>) {
        permissions.retain(|one| !self.remove.contains(one));
        for one in self.add {
            if !permissions.contains(&one) {
                permissions.push(one);
            }
        }
    }
}
