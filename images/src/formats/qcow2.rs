//! qcow2, versions 2 and 3, read-only (QEMU, `docs/interop/qcow2.txt`).
//!
//! A table of tables maps clusters of the disk to clusters of the file. Reference counts and snapshots don't matter
//! to who only reads. What refers to other files, or needs a key, is refused.

use super::{Format, ImportError, MAX_SIZE, Source};
use crate::ReadAt;
use crate::field;
use std::io::Read;

/// The most clusters that are looked at for data at once, so that an import of nothing but zeroes can be cancelled.
const MAX_SEARCH: u32 = 1 << 16;
/// The longest first table, in bytes, as QEMU has it.
const MAX_L1: u64 = 32 << 20;
const INCOMPATIBLE_CORRUPT: u64 = 1 << 1;
const INCOMPATIBLE_DATA_FILE: u64 = 1 << 2;
const INCOMPATIBLE_EXTENDED_L2: u64 = 1 << 4;
/// Dirty (reference counts only), corrupt, data file, compression type.
const INCOMPATIBLE_KNOWN: u64 = 0b1111;
const ENTRY_COMPRESSED: u64 = 1 << 62;
const ENTRY_ZERO: u64 = 1;
/// The bits of an entry that are the place of a cluster in the file.
const ENTRY_OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// How compressed clusters are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    Deflate,
    Zstd,
}

/// A qcow2 image.
pub(super) struct Qcow2<'f> {
    file: &'f dyn ReadAt,
    file_size: u64,
    size: u64,
    cluster_bits: u32,
    has_zero_flag: bool,
    compression: Compression,
    l1: Vec<u64>,
    /// The second table that was read last, and its number.
    l2: Option<(usize, Vec<u64>)>,
    /// The compressed cluster that was read last, and its number on the disk.
    cluster: Option<(u64, Vec<u8>)>,
}

/// What a cluster of the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cluster {
    Zero,
    /// It begins there in the file.
    Plain(u64),
    /// It is in that many bytes from there on.
    Compressed(u64, u64),
}

fn damaged(what: &'static str) -> ImportError {
    ImportError::Damaged {
        format: Format::Qcow2,
        what,
    }
}

impl<'f> Qcow2<'f> {
    pub(super) fn open(file: &'f dyn ReadAt) -> Result<Self, ImportError> {
        let file_size = file.size().map_err(ImportError::read(0))?;
        let mut header = [0; 112];
        let have = usize::try_from(file_size).unwrap_or(header.len()).min(header.len());
        file.read_exact_at(&mut header[..have], 0)
            .map_err(ImportError::read(0))?;
        if !header.starts_with(b"QFI\xfb") {
            return Err(ImportError::NotThat { format: Format::Qcow2 });
        }
        if have < 72 {
            return Err(damaged("its header is cut off"));
        }
        let version = field::be_u32(&header, 4);
        refuse_dependencies(file, &header, version)?;
        let cluster_bits = field::be_u32(&header, 20);
        if !(9..=21).contains(&cluster_bits) {
            return Err(damaged("the size of its clusters is absurd"));
        }
        let long_header = version >= 3 && field::be_u32(&header, 100) > 104;
        let compression = match field::u8(&header, 104) {
            1 if long_header => Compression::Zstd,
            0 => Compression::Deflate,
            _ if !long_header => Compression::Deflate,
            _ => {
                return Err(ImportError::Unsupported {
                    what: "a qcow2 image with an unknown compression",
                });
            }
        };
        let size = field::be_u64(&header, 24);
        let mut image = Self {
            file,
            file_size,
            size,
            cluster_bits,
            has_zero_flag: version >= 3,
            compression,
            l1: Vec::new(),
            l2: None,
            cluster: None,
        };
        image.l1 = image.first_table(field::be_u64(&header, 40), field::be_u32(&header, 36))?;
        Ok(image)
    }

    /// Reads the first table, as far as the disk needs it.
    fn first_table(&self, offset: u64, entries: u32) -> Result<Vec<u64>, ImportError> {
        if self.size > MAX_SIZE {
            return Err(ImportError::Size { size: self.size });
        }
        let covered_by_one = 1u64 << (2 * self.cluster_bits - 3);
        let needed = self.size.div_ceil(covered_by_one);
        if needed > u64::from(entries) || needed * 8 > MAX_L1 {
            return Err(damaged("its first table is too short for the disk"));
        }
        self.table(offset, needed)
    }

    /// Reads a table of `entries` numbers.
    fn table(&self, offset: u64, entries: u64) -> Result<Vec<u64>, ImportError> {
        let len = entries * 8;
        if offset.checked_add(len).is_none_or(|end| end > self.file_size) {
            return Err(damaged("a table lies beyond its end: the file is cut off"));
        }
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| damaged("a table is too long"))?];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(ImportError::read(offset))?;
        Ok(bytes.as_chunks().0.iter().map(|raw| u64::from_be_bytes(*raw)).collect())
    }

    fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Clusters that one second table maps.
    fn per_table(&self) -> u64 {
        self.cluster_size() / 8
    }

    /// What cluster `number` of the disk is.
    fn cluster(&mut self, number: u64) -> Result<Cluster, ImportError> {
        let nth = usize::try_from(number / self.per_table()).unwrap_or(usize::MAX);
        let table = self.l1.get(nth).copied().unwrap_or(0) & ENTRY_OFFSET;
        if table == 0 {
            return Ok(Cluster::Zero);
        }
        if self.l2.as_ref().is_none_or(|(have, _)| *have != nth) {
            self.l2 = Some((nth, self.table(table, self.per_table())?));
        }
        let index = usize::try_from(number % self.per_table()).unwrap_or(usize::MAX);
        let entry = self
            .l2
            .as_ref()
            .and_then(|(_, table)| table.get(index))
            .copied()
            .unwrap_or(0);
        let cluster = self.parse_entry(entry);
        match cluster {
            Cluster::Plain(at) | Cluster::Compressed(at, _) if at >= self.file_size => {
                Err(damaged("a cluster lies beyond its end: the file is cut off"))
            }
            _ => Ok(cluster),
        }
    }

    fn parse_entry(&self, entry: u64) -> Cluster {
        if entry & ENTRY_COMPRESSED != 0 {
            let offset_bits = 62 - (self.cluster_bits - 8);
            let offset = entry & ((1 << offset_bits) - 1);
            let sectors = (entry & (ENTRY_COMPRESSED - 1)) >> offset_bits;
            return Cluster::Compressed(offset, (sectors + 1) * 512 - offset % 512);
        }
        match entry & ENTRY_OFFSET {
            0 => Cluster::Zero,
            _ if self.has_zero_flag && entry & ENTRY_ZERO != 0 => Cluster::Zero,
            offset => Cluster::Plain(offset),
        }
    }

    /// Reads within one cluster of the disk.
    fn read_cluster(&mut self, number: u64, within: u64, buf: &mut [u8]) -> Result<(), ImportError> {
        match self.cluster(number)? {
            Cluster::Zero => buf.fill(0),
            Cluster::Plain(start) => self.read_padded(buf, start + within)?,
            Cluster::Compressed(start, len) => {
                if self.cluster.as_ref().is_none_or(|(have, _)| *have != number) {
                    self.cluster = Some((number, self.decompress(start, len)?));
                }
                let bytes = self
                    .cluster
                    .as_ref()
                    .map(|(_, bytes)| bytes.as_slice())
                    .unwrap_or_default();
                let within = usize::try_from(within).unwrap_or(usize::MAX);
                let bytes = bytes.get(within..).and_then(|bytes| bytes.get(..buf.len()));
                buf.copy_from_slice(bytes.ok_or_else(|| damaged("a compressed cluster is too short"))?);
            }
        }
        Ok(())
    }

    /// Reads from the file; the last cluster may end with the file, zeroes follow it then.
    fn read_padded(&self, buf: &mut [u8], at: u64) -> Result<(), ImportError> {
        let have = usize::try_from(self.file_size.saturating_sub(at))
            .unwrap_or(usize::MAX)
            .min(buf.len());
        let (there, beyond) = buf.split_at_mut(have);
        self.file.read_exact_at(there, at).map_err(ImportError::read(at))?;
        beyond.fill(0);
        Ok(())
    }

    fn decompress(&self, start: u64, len: u64) -> Result<Vec<u8>, ImportError> {
        let size = usize::try_from(self.cluster_size()).map_err(|_| damaged("a cluster is too long"))?;
        // At most a cluster and a sector: the length is a few bits of the entry.
        let mut packed = vec![0; usize::try_from(len).map_err(|_| damaged("a cluster is too long"))?];
        self.read_padded(&mut packed, start)?;
        let mut bytes = vec![0; size];
        let result = match self.compression {
            Compression::Deflate => flate2::read::DeflateDecoder::new(packed.as_slice()).read_exact(&mut bytes),
            Compression::Zstd => match ruzstd::decoding::StreamingDecoder::new(packed.as_slice()) {
                Ok(mut decoder) => decoder.read_exact(&mut bytes),
                Err(_) => return Err(damaged("a compressed cluster can't be decompressed")),
            },
        };
        result
            .map(|()| bytes)
            .map_err(|_| damaged("a compressed cluster can't be decompressed"))
    }
}

/// Refuses images that are not whole in themselves.
fn refuse_dependencies(file: &dyn ReadAt, header: &[u8], version: u32) -> Result<(), ImportError> {
    if !(2..=3).contains(&version) {
        return Err(ImportError::Unsupported {
            what: "a qcow2 image that is not version 2 or 3",
        });
    }
    let incompatible = if version >= 3 { field::be_u64(header, 72) } else { 0 };
    if field::be_u64(header, 8) != 0 {
        return Err(ImportError::NeedsFile {
            name: backing_name(file, header),
        });
    }
    if incompatible & INCOMPATIBLE_DATA_FILE != 0 {
        return Err(ImportError::NeedsFile {
            name: "its data file".into(),
        });
    }
    if field::be_u32(header, 32) != 0 {
        return Err(ImportError::Unsupported {
            what: "an encrypted qcow2 image",
        });
    }
    if incompatible & INCOMPATIBLE_CORRUPT != 0 {
        return Err(damaged(
            "it is marked as corrupt; repair it with `qemu-img check -r all`",
        ));
    }
    if incompatible & INCOMPATIBLE_EXTENDED_L2 != 0 {
        return Err(ImportError::Unsupported {
            what: "a qcow2 image with subclusters (extended_l2)",
        });
    }
    match incompatible & !INCOMPATIBLE_KNOWN {
        0 => Ok(()),
        _ => Err(ImportError::Unsupported {
            what: "a qcow2 image with features that only a newer reader knows",
        }),
    }
}

/// The name of the backing file, for the message only.
fn backing_name(file: &dyn ReadAt, header: &[u8]) -> String {
    let mut name = vec![0; usize::try_from(field::be_u32(header, 16)).unwrap_or(0).min(1023)];
    match file.read_exact_at(&mut name, field::be_u64(header, 8)) {
        Ok(()) => String::from_utf8_lossy(&name).into_owned(),
        Err(_) => "its backing file".into(),
    }
}

impl Source for Qcow2<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn next_data(&mut self, at: u64) -> Result<u64, ImportError> {
        let mut number = at >> self.cluster_bits;
        for _ in 0..MAX_SEARCH {
            if number << self.cluster_bits >= self.size {
                return Ok(self.size);
            }
            let nth = usize::try_from(number / self.per_table()).unwrap_or(usize::MAX);
            if self.l1.get(nth).copied().unwrap_or(0) & ENTRY_OFFSET == 0 {
                number = (number / self.per_table() + 1) * self.per_table();
            } else if self.cluster(number)? == Cluster::Zero {
                number += 1;
            } else {
                break;
            }
        }
        Ok(at.max(number << self.cluster_bits).min(self.size))
    }

    fn read(&mut self, mut buf: &mut [u8], mut at: u64) -> Result<(), ImportError> {
        while !buf.is_empty() {
            let (number, within) = (at >> self.cluster_bits, at % self.cluster_size());
            let step = usize::try_from(self.cluster_size() - within)
                .unwrap_or(usize::MAX)
                .min(buf.len());
            let (now, later) = buf.split_at_mut(step);
            self.read_cluster(number, within, now)?;
            (buf, at) = (later, at + step as u64);
        }
        Ok(())
    }
}
