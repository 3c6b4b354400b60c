//! How an instance is changed after its launch, and in which states.

use super::{
    CpuCredits, HostnameType, Instance, InstanceId, InstanceState, InstanceType, KernelId, RamdiskId, ShutdownBehavior,
    Upkeep,
};

/// A change of what is on record of an instance. What its machine is made of changes while there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amendment {
    /// What its machine is made of.
    InstanceType(InstanceType),
    /// How many vCPUs of its type it has.
    CpuOptions {
        /// Cores.
        cores: u8,
        /// vCPUs of each.
        threads_per_core: u8,
    },
    /// User data, as the guest reads it.
    UserData(Option<Vec<u8>>),
    /// The kernel it boots; its root volume's own, if none.
    Kernel(Option<KernelId>),
    /// The RAM disk that goes with the kernel.
    Ramdisk(Option<RamdiskId>),
    /// What the guest's own power-off does.
    ShutdownBehavior(ShutdownBehavior),
    /// Whether requests may terminate it.
    TerminationProtection(bool),
    /// Whether requests may stop it.
    StopProtection(bool),
    /// See [`super::InstanceAttributes`].
    EbsOptimized(bool),
    /// See [`super::InstanceAttributes`].
    EnaSupport(bool),
    /// That can't be taken back, as EC2 has it.
    SriovNetSupport,
    /// Whether it is monitored in detail.
    Monitoring(bool),
    /// What is done for it; what is none stays.
    Maintenance {
        /// Whether it may be recovered.
        auto_recovery: Option<Upkeep>,
        /// Whether it may be moved instead of rebooted.
        reboot_migration: Option<Upkeep>,
    },
    /// Its private name; what is none stays.
    PrivateName {
        /// What it is made of.
        hostname_type: Option<HostnameType>,
        /// Whether its resource name is to have an A record.
        a_record: Option<bool>,
        /// Whether its resource name is to have an AAAA record.
        aaaa_record: Option<bool>,
    },
    /// What it may do without credits.
    CpuCredits(CpuCredits),
    /// Where it is. There is one place, so nothing changes.
    Placement,
}

/// Why an instance can't be changed so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmendmentError {
    /// It has a machine.
    #[error("The instance '{instance}' is not in the 'stopped' state: it is {state}")]
    NotStopped {
        /// The instance.
        instance: InstanceId,
        /// Its state.
        state: InstanceState,
    },
    /// It is going, or gone.
    #[error("The instance '{instance}' is {state}: it can't be changed any more")]
    Ended {
        /// The instance.
        instance: InstanceId,
        /// Its state.
        state: InstanceState,
    },
    /// A RAM disk alone boots nothing.
    #[error("A RAM disk needs a kernel that goes with it, and the instance '{0}' has none")]
    NoKernel(InstanceId),
}

impl Amendment {
    /// Whether the instance may be changed so.
    ///
    /// # Errors
    /// See [`AmendmentError`].
    pub fn check(&self, instance: &Instance) -> Result<(), AmendmentError> {
        let (id, state) = (instance.id, instance.state);
        must_be_there(instance)?;
        if self.is_of_the_machine() && state != InstanceState::Stopped {
            return Err(AmendmentError::NotStopped { instance: id, state });
        }
        if matches!(self, Self::Ramdisk(Some(_))) && instance.kernel.is_none() {
            return Err(AmendmentError::NoKernel(id));
        }
        Ok(())
    }

    /// Whether a machine would have to be made anew for it.
    const fn is_of_the_machine(&self) -> bool {
        match self {
            Self::InstanceType(_)
            | Self::CpuOptions { .. }
            | Self::UserData(_)
            | Self::Kernel(_)
            | Self::Ramdisk(_)
            | Self::EbsOptimized(_)
            | Self::EnaSupport(_)
            | Self::SriovNetSupport
            | Self::Placement => true,
            Self::PrivateName { hostname_type, .. } => hostname_type.is_some(),
            Self::ShutdownBehavior(_)
            | Self::TerminationProtection(_)
            | Self::StopProtection(_)
            | Self::Monitoring(_)
            | Self::Maintenance { .. }
            | Self::CpuCredits(_) => false,
        }
    }

    /// Changes it.
    pub fn apply(self, instance: &mut Instance) {
        let attributes = &mut instance.attributes;
        match self {
            Self::InstanceType(instance_type) => instance.instance_type = instance_type,
            Self::CpuOptions {
                cores,
                threads_per_core,
            } => instance.instance_type = instance.instance_type.with_cpus(cores, threads_per_core),
            Self::UserData(data) => instance.user_data = data,
            Self::Kernel(kernel) => {
                instance.kernel = kernel;
                if kernel.is_none() {
                    instance.ramdisk = None;
                }
            }
            Self::Ramdisk(ramdisk) => instance.ramdisk = ramdisk,
            Self::ShutdownBehavior(behavior) => instance.shutdown_behavior = behavior,
            Self::TerminationProtection(on) => attributes.protection.termination = on,
            Self::StopProtection(on) => attributes.protection.stop = on,
            Self::EbsOptimized(on) => attributes.ebs_optimized = on,
            Self::EnaSupport(on) => attributes.ena_support = on,
            Self::SriovNetSupport => attributes.sriov_net_support = true,
            Self::Monitoring(on) => attributes.monitoring = on,
            Self::Maintenance {
                auto_recovery,
                reboot_migration,
            } => {
                attributes.auto_recovery = auto_recovery.unwrap_or(attributes.auto_recovery);
                attributes.reboot_migration = reboot_migration.unwrap_or(attributes.reboot_migration);
            }
            Self::PrivateName {
                hostname_type,
                a_record,
                aaaa_record,
            } => {
                let name = &mut attributes.private_name;
                name.hostname_type = hostname_type.unwrap_or(name.hostname_type);
                name.a_record = a_record.unwrap_or(name.a_record);
                name.aaaa_record = aaaa_record.unwrap_or(name.aaaa_record);
            }
            Self::CpuCredits(credits) => attributes.cpu_credits = Some(credits),
            Self::Placement => {}
        }
    }
}

/// What is going or gone is not changed any more.
///
/// # Errors
/// [`AmendmentError::Ended`].
pub fn must_be_there(instance: &Instance) -> Result<(), AmendmentError> {
    match instance.state {
        InstanceState::ShuttingDown | InstanceState::Terminated => Err(AmendmentError::Ended {
            instance: instance.id,
            state: instance.state,
        }),
        _ => Ok(()),
    }
}
