//! What the requests about a group's rules have in common.

use super::super::super::tagging::TagSpecification;
use super::super::permission::{GroupReference, IpPermission, IpRange};
use super::{ApiError, Asked, Code, Named};
use serde::Deserialize;

/// A request about rules of one group. Which of the members an operation has, the check against EC2's model has seen.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct RulesRequest {
    group_id: Option<String>,
    group_name: Option<String>,
    ip_permissions: Vec<IpPermission>,
    pub(super) security_group_rule_ids: Vec<String>,
    pub(super) tag_specifications: Vec<TagSpecification>,
    // The way of the first years: one permission, laid out flat.
    ip_protocol: Option<String>,
    from_port: Option<i64>,
    to_port: Option<i64>,
    cidr_ip: Option<String>,
    source_security_group_name: Option<String>,
    source_security_group_owner_id: Option<String>,
}

impl RulesRequest {
    /// The group.
    ///
    /// # Errors
    /// As [`Named::parse`].
    pub(super) fn group(&mut self) -> Result<Named, ApiError> {
        Named::parse(self.group_id.as_deref(), self.group_name.take())
    }

    /// The rules that it describes, whichever way.
    ///
    /// # Errors
    /// `InvalidParameterCombination` for both ways at once; as [`IpPermission::rules`].
    pub(super) fn rules(&mut self, account: &str) -> Result<Vec<Asked>, ApiError> {
        let listed = std::mem::take(&mut self.ip_permissions);
        let flat = self.flat()?;
        if !listed.is_empty() && !flat.is_empty() {
            let message = "IpPermissions can't be used together with IpProtocol, FromPort, ToPort, CidrIp and \
                           SourceSecurityGroupName, which say the same";
            return Err(ApiError::new(Code::InvalidParameterCombination, message));
        }
        let permissions = listed.into_iter().chain(flat);
        let rules: Result<Vec<Vec<Asked>>, ApiError> = permissions.map(|one| one.rules(account)).collect();
        Ok(rules?.into_iter().flatten().collect())
    }

    /// The permission that is laid out flat. A group's name stands for TCP, UDP and ICMP, all of them.
    fn flat(&mut self) -> Result<Vec<IpPermission>, ApiError> {
        let (protocol, from_port, to_port) = (self.ip_protocol.take(), self.from_port, self.to_port);
        let has_traffic = protocol.is_some() || from_port.is_some() || to_port.is_some();
        let Some(group_name) = self.source_security_group_name.take() else {
            if !has_traffic && self.cidr_ip.is_none() {
                return Ok(Vec::new());
            }
            return Ok(vec![IpPermission {
                ip_ranges: self.cidr_ip.take().map(IpRange::new).into_iter().collect(),
                ip_protocol: protocol,
                from_port,
                to_port,
                ..IpPermission::default()
            }]);
        };
        if has_traffic || self.cidr_ip.is_some() {
            let message = "SourceSecurityGroupName can't be used together with IpProtocol, FromPort, ToPort and CidrIp";
            return Err(ApiError::new(Code::InvalidParameterCombination, message));
        }
        let owner = self.source_security_group_owner_id.take();
        let all = [("tcp", 0, 65535), ("udp", 0, 65535), ("icmp", -1, -1)];
        let permission = |(protocol, from, to): (&str, i64, i64)| IpPermission {
            user_id_group_pairs: vec![GroupReference::by_name(group_name.clone(), owner.clone())],
            ip_protocol: Some(protocol.into()),
            from_port: Some(from),
            to_port: Some(to),
            ..IpPermission::default()
        };
        Ok(all.map(permission).into())
    }
}
