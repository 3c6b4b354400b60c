//! The GUID partition table (UEFI specification 2.10, section 5.3).

use super::super::disk::{Disk, FsError};
use super::{MAX_PARTITIONS, Partition, Purpose, SECTOR, extent};
use crate::field;

/// The most bytes that an array of entries may have; the usual 128 entries have 16 KiB.
const MAX_ARRAY: u64 = 1 << 20;

const ESP: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
const EXTENDED_BOOT: &str = "bc13c2ff-59e6-4262-a352-b275fd6f7172";
const UNUSED: &str = "00000000-0000-0000-0000-000000000000";

/// Reads the table, or its backup at the disk's end; none if neither is whole.
pub(super) fn read(disk: &Disk<'_>, remarks: &mut Vec<String>) -> Result<Option<Vec<Partition>>, FsError> {
    let last = (disk.size() / SECTOR).saturating_sub(1);
    for (name, lba) in [("primary", 1), ("backup", last)] {
        match read_copy(disk, lba) {
            Ok(partitions) => return Ok(Some(partitions)),
            Err(error) => remarks.push(format!("The {name} GPT can't be used: {}", error.fatal()?)),
        }
    }
    Ok(None)
}

fn read_copy(disk: &Disk<'_>, lba: u64) -> Result<Vec<Partition>, FsError> {
    let (start, _) = extent(disk, lba, 1).ok_or(FsError::Damaged("the disk is too small for it"))?;
    let mut header = [0; 512];
    disk.read(&mut header, start)?;
    if !header.starts_with(b"EFI PART") {
        return Err(FsError::Damaged("its header has no signature"));
    }
    let covered = usize::try_from(field::u32(&header, 12)).unwrap_or(usize::MAX);
    let crc = field::u32(&header, 16);
    header[16..20].fill(0);
    let covered = header.get(..covered).filter(|covered| covered.len() >= 92);
    if covered.is_none_or(|covered| crc32(covered) != crc) {
        return Err(FsError::Damaged("its header's checksum is wrong"));
    }
    if field::u64(&header, 24) != lba {
        return Err(FsError::Damaged("its header belongs elsewhere"));
    }
    read_entries(disk, &header)
}

fn read_entries(disk: &Disk<'_>, header: &[u8; 512]) -> Result<Vec<Partition>, FsError> {
    let (at, count, size, crc) = (
        field::u64(header, 72),
        field::u32(header, 80),
        field::u32(header, 84),
        field::u32(header, 88),
    );
    let bytes = u64::from(count) * u64::from(size);
    if size < 128 || !size.is_power_of_two() || bytes > MAX_ARRAY {
        return Err(FsError::Damaged("its number or size of entries is absurd"));
    }
    let (start, _) = extent(disk, at, bytes.div_ceil(SECTOR).max(1))
        .ok_or(FsError::Damaged("its entries lie beyond the disk's end"))?;
    let length = |n| usize::try_from(n).map_err(|_| FsError::Damaged("its entries are too large"));
    let mut array = vec![0; length(bytes)?];
    disk.read(&mut array, start)?;
    if crc32(&array) != crc {
        return Err(FsError::Damaged("its entries' checksum is wrong"));
    }
    let entries = (1..).zip(array.chunks_exact(length(u64::from(size))?));
    Ok(entries
        .filter_map(|(number, entry)| partition(disk, number, entry))
        .take(MAX_PARTITIONS)
        .collect())
}

fn partition(disk: &Disk<'_>, number: u32, entry: &[u8]) -> Option<Partition> {
    let kind = guid(entry.get(..16)?);
    let (first, last) = (field::u64(entry, 32), field::u64(entry, 40));
    if kind == UNUSED {
        return None;
    }
    let (start, len) = extent(disk, first, last.checked_sub(first)?.checked_add(1)?)?;
    let purpose = match kind.as_str() {
        ESP => Purpose::Esp,
        EXTENDED_BOOT => Purpose::ExtendedBoot,
        _ => Purpose::Other,
    };
    let name: Vec<u16> = entry
        .get(56..128)?
        .as_chunks()
        .0
        .iter()
        .map(|c| u16::from_le_bytes(*c))
        .collect();
    let name = String::from_utf16_lossy(name.split(|&c| c == 0).next().unwrap_or_default());
    let label = Some(name).filter(|name| !name.is_empty());
    Some(Partition {
        number,
        start,
        len,
        purpose,
        partuuid: Some(guid(entry.get(16..32)?)),
        label,
    })
}

/// A GUID as text: its first three fields are little-endian.
fn guid(bytes: &[u8]) -> String {
    let (a, b, c) = (field::u32(bytes, 0), field::u16(bytes, 4), field::u16(bytes, 6));
    let rest: String = bytes.iter().skip(8).take(8).map(|byte| format!("{byte:02x}")).collect();
    let (d, e) = rest.split_at_checked(4).unwrap_or(("0000", "000000000000"));
    format!("{a:08x}-{b:04x}-{c:04x}-{d}-{e}")
}

/// CRC-32 as Ethernet has it.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
