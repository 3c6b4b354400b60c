//! FADT: the fixed hardware of [`crate::legacy::power`], and which devices of the old PC are absent.

use super::{OEM, OEM_REVISION, OEM_TABLE};
use crate::legacy::power::{RESET_VALUE, offset};
use crate::x86_64::layout;
use acpi_tables::fadt::{FADT, FADTBuilder, Flags, PmProfile};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};

/// IA-PC boot architecture flags (ACPI 6.5, table 5.11). What has no bit here, the keyboard controller, is absent.
mod boot_flags {
    /// There are devices on an ISA bus: the serial port.
    pub const LEGACY_DEVICES: u16 = 1;
    pub const VGA_NOT_PRESENT: u16 = 1 << 2;
    pub const CMOS_RTC_NOT_PRESENT: u16 = 1 << 5;
}

/// The table; `facs` and `dsdt` are guest-physical addresses.
pub fn table(facs: u64, dsdt: u64) -> FADT {
    /// Latencies above these mean that the processor has no such sleep states.
    const NO_C2: u16 = 0xfff;
    const NO_C3: u16 = 0xfff;
    let port = |offset: u64| u32::from(layout::ACPI_PM) + u32::try_from(offset).unwrap_or(0);
    let mut fadt = FADTBuilder::new(OEM, OEM_TABLE, OEM_REVISION)
        .dsdt_64(dsdt)
        .firmware_ctrl_64(facs)
        .preferred_pm_profile(PmProfile::EnterpriseServer)
        .flag(Flags::Wbinvd)
        .flag(Flags::ProcC1)
        .flag(Flags::SlpButton)
        .flag(Flags::FixRtc)
        .flag(Flags::ResetRegSup);
    fadt.sci_int = u16::try_from(layout::SCI_IRQ).unwrap_or(0).into();
    fadt.pm1a_evt_blk = port(offset::STATUS).into();
    fadt.pm1_evt_len = 4;
    fadt.pm1a_cnt_blk = port(offset::CONTROL).into();
    fadt.pm1_cnt_len = 2;
    fadt.gpe0_blk = port(offset::EVENT_STATUS).into();
    fadt.gpe0_blk_len = 2;
    fadt.p_lvl2_lat = NO_C2.into();
    fadt.p_lvl3_lat = NO_C3.into();
    fadt.iapc_boot_arch =
        (boot_flags::LEGACY_DEVICES | boot_flags::VGA_NOT_PRESENT | boot_flags::CMOS_RTC_NOT_PRESENT).into();
    fadt.reset_reg = GAS::new(
        AddressSpace::SystemIo,
        8,
        0,
        AccessSize::ByteAccess,
        port(offset::RESET).into(),
    );
    fadt.reset_value = RESET_VALUE;
    fadt.finalize()
}
