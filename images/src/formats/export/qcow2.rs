//! qcow2, version 3, not compressed (QEMU, `docs/interop/qcow2.txt`): QEMU's own format, which all that is built on it takes.
//!
//! The header's cluster and the first table come first; then data, and each second table before the data that it maps; the
//! reference counts last. Every cluster of the file is used once.

use super::{ExportError, Out, Sink, set};

const CLUSTER_BITS: u32 = 16;
/// In bytes.
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Clusters that one second table maps.
const PER_TABLE: u64 = CLUSTER / 8;
/// Reference counts of 16 bits that a cluster holds.
const PER_BLOCK: u64 = CLUSTER / 2;
/// In an entry: nothing else refers to that cluster.
const COPIED: u64 = 1 << 63;
const HEADER_LENGTH: u32 = 104;

/// A qcow2 image that is written.
pub(super) struct Qcow2<'f> {
    out: Out<'f>,
    size: u64,
    l1: Vec<u64>,
    /// The second table that is being filled: its number, its cluster and its entries.
    l2: Option<(usize, u64, Vec<u64>)>,
    /// The first cluster that is not used yet.
    next: u64,
}

impl<'f> Qcow2<'f> {
    pub(super) fn new(out: Out<'f>, size: u64) -> Self {
        let entries = size.div_ceil(CLUSTER * PER_TABLE);
        Self {
            out,
            size,
            // A disk has at most 2^63 bytes, so this is at most 2^34; snapshots stay far below.
            l1: vec![0; usize::try_from(entries).unwrap_or(usize::MAX)],
            l2: None,
            next: 1 + (entries * 8).div_ceil(CLUSTER),
        }
    }

    fn take(&mut self, clusters: u64) -> u64 {
        let first = self.next;
        self.next += clusters;
        first * CLUSTER
    }

    /// Writes the second table that was filled.
    fn end_table(&mut self) -> Result<(), ExportError> {
        match self.l2.take() {
            Some((_, at, entries)) => self.out.write(at, &big_endian(&entries)),
            None => Ok(()),
        }
    }

    /// Writes the reference counts, those of their own clusters among them; gives where their table is, and its clusters.
    fn write_counts(&mut self) -> Result<(u64, u64), ExportError> {
        let (mut blocks, mut table) = (0, 0);
        loop {
            let needed = (self.next + blocks + table).div_ceil(PER_BLOCK);
            let its_table = (needed * 8).div_ceil(CLUSTER);
            if (needed, its_table) == (blocks, table) {
                break;
            }
            (blocks, table) = (needed, its_table);
        }
        let (first, table_at) = (self.take(blocks), self.take(table));
        for block in 0..blocks {
            let used = (self.next - block * PER_BLOCK).min(PER_BLOCK);
            let counts = [0, 1].repeat(usize::try_from(used).unwrap_or(0));
            self.out.write(first + block * CLUSTER, &counts)?;
        }
        let entries: Vec<u64> = (0..blocks).map(|block| first + block * CLUSTER).collect();
        self.out.write(table_at, &big_endian(&entries))?;
        Ok((table_at, table))
    }

    fn header(&self, counts_at: u64, counts_clusters: u64) -> Vec<u8> {
        // What is not set is zero: no other file, no encryption, no snapshots, no features, and the end of the extensions.
        let mut header = vec![0; 512];
        let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
        set(&mut header, 0, b"QFI\xfb");
        set(&mut header, 4, &3u32.to_be_bytes());
        set(&mut header, 20, &CLUSTER_BITS.to_be_bytes());
        set(&mut header, 24, &self.size.to_be_bytes());
        set(&mut header, 36, &number(self.l1.len() as u64));
        set(&mut header, 40, &CLUSTER.to_be_bytes());
        set(&mut header, 48, &counts_at.to_be_bytes());
        set(&mut header, 56, &number(counts_clusters));
        // Reference counts have 2^4 bits.
        set(&mut header, 96, &4u32.to_be_bytes());
        set(&mut header, 100, &HEADER_LENGTH.to_be_bytes());
        header
    }
}

fn big_endian(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

impl Sink for Qcow2<'_> {
    fn unit(&self) -> usize {
        1 << CLUSTER_BITS
    }

    fn put(&mut self, at: u64, bytes: &[u8]) -> Result<(), ExportError> {
        let number = at / CLUSTER;
        let nth = usize::try_from(number / PER_TABLE).unwrap_or(usize::MAX);
        if self.l2.as_ref().is_none_or(|(have, ..)| *have != nth) {
            self.end_table()?;
            let place = self.take(1);
            if let Some(entry) = self.l1.get_mut(nth) {
                *entry = place | COPIED;
            }
            self.l2 = Some((nth, place, vec![0; usize::try_from(PER_TABLE).unwrap_or(0)]));
        }
        let place = self.take(1);
        let index = usize::try_from(number % PER_TABLE).unwrap_or(usize::MAX);
        if let Some(entry) = self.l2.as_mut().and_then(|(.., entries)| entries.get_mut(index)) {
            *entry = place | COPIED;
        }
        // What is zero in a cluster becomes a hole of the file.
        self.out.write_data(place, bytes)
    }

    fn finish(&mut self) -> Result<u64, ExportError> {
        self.end_table()?;
        let (counts_at, counts_clusters) = self.write_counts()?;
        self.out.write(CLUSTER, &big_endian(&self.l1))?;
        self.out.set_len(self.next * CLUSTER)?;
        self.out.write(0, &self.header(counts_at, counts_clusters))?;
        Ok(self.out.written)
    }
}
