//! What is said of an instance beside what its machine is made of: at its launch, and by amendments later.

/// What holds off requests to take an instance down. Its guest may still power itself off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Protection {
    /// It is not terminated by a request (`DisableApiTermination`).
    pub termination: bool,
    /// It is neither stopped nor terminated by a request (`DisableApiStop`).
    pub stop: bool,
}

/// Whether what EC2 does for an instance by itself may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Upkeep {
    /// As the instance's type has it.
    #[default]
    Default,
    /// Never.
    Disabled,
}

impl Upkeep {
    /// EC2's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Disabled => "disabled",
        }
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Default, Self::Disabled]
            .into_iter()
            .find(|one| one.name() == name)
    }
}

/// What an instance's host name is made of (`HostnameType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostnameType {
    /// Its private address.
    #[default]
    IpName,
    /// Its identifier.
    ResourceName,
}

impl HostnameType {
    /// EC2's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IpName => "ip-name",
            Self::ResourceName => "resource-name",
        }
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::IpName, Self::ResourceName]
            .into_iter()
            .find(|one| one.name() == name)
    }
}

/// An instance's private name (`PrivateDnsNameOptions`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PrivateName {
    /// What it is made of.
    pub hostname_type: HostnameType,
    /// Whether its resource name is to have an A record.
    pub a_record: bool,
    /// Whether its resource name is to have an AAAA record.
    pub aaaa_record: bool,
}

/// What an instance of a burstable type may do when its CPU credits are spent. Nothing is counted here: it is for the
/// record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CpuCredits {
    /// It is slowed down.
    Standard,
    /// It goes on.
    Unlimited,
}

impl CpuCredits {
    /// EC2's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Unlimited => "unlimited",
        }
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Standard, Self::Unlimited]
            .into_iter()
            .find(|one| one.name() == name)
    }

    /// What EC2 takes for a burstable type when nothing is said: the T2 family alone is slowed down.
    pub fn of_type(type_name: &str) -> Self {
        if type_name.starts_with("t2.") {
            Self::Standard
        } else {
            Self::Unlimited
        }
    }
}

/// What is said of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InstanceAttributes {
    /// What holds off requests to take it down.
    pub protection: Protection,
    /// Whether its network was asked to keep a share for its volumes. Here they have ways of their own anyhow.
    pub ebs_optimized: bool,
    /// Whether its guest is said to have EC2's own network driver; it finds a virtio device.
    pub ena_support: bool,
    /// Whether it is said to have the older such driver.
    pub sriov_net_support: bool,
    /// Whether it is monitored in detail.
    pub monitoring: bool,
    /// Whether it may be recovered.
    pub auto_recovery: Upkeep,
    /// Whether it may be moved instead of rebooted.
    pub reboot_migration: Upkeep,
    /// Its private name.
    pub private_name: PrivateName,
    /// What it may do without credits, if that was said.
    pub cpu_credits: Option<CpuCredits>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ec2s_and_read_back() {
        for one in [Upkeep::Default, Upkeep::Disabled] {
            assert_eq!(Upkeep::from_name(one.name()), Some(one));
        }
        for one in [HostnameType::IpName, HostnameType::ResourceName] {
            assert_eq!(HostnameType::from_name(one.name()), Some(one));
        }
        for one in [CpuCredits::Standard, CpuCredits::Unlimited] {
            assert_eq!(CpuCredits::from_name(one.name()), Some(one));
        }
        assert_eq!(CpuCredits::from_name("Unlimited"), None);
    }

    #[test]
    fn only_the_first_burstable_family_is_slowed_down_by_default() {
        assert_eq!(CpuCredits::of_type("t2.micro"), CpuCredits::Standard);
        assert_eq!(CpuCredits::of_type("t3.micro"), CpuCredits::Unlimited);
    }
}
