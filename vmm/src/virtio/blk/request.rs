//! What a driver asks of a block device (virtio 1.2, 5.2.6), read out of its buffers once and checked against the
//! volume.

use super::config::{BlkConfig, MAX_DISCARD, MAX_ZEROES, SECTOR};
use crate::virtio::queue::{Buffer, Chain, cursor};
use virtio_bindings::virtio_blk as bits;
use vm_memory::{GuestAddress, GuestMemoryMmap};

const HEADER: u64 = 16;
/// Bytes of a volume's name as the driver may ask for it.
pub const SERIAL: usize = 20;

/// How a request ended, as its last byte tells the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It was done.
    Ok,
    /// It was not.
    IoError,
    /// The device does not know it.
    Unsupported,
}

impl Status {
    /// The byte.
    pub fn byte(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::IoError => 1,
            Self::Unsupported => 2,
        }
    }
}

/// What is to be done. Offsets and lengths are in bytes, and inside of the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Read into these buffers.
    Read {
        /// Where from.
        offset: u64,
        /// Where to.
        buffers: Vec<Buffer>,
    },
    /// Write these buffers.
    Write {
        /// Where to.
        offset: u64,
        /// Where from.
        buffers: Vec<Buffer>,
    },
    /// Make all that was written before durable.
    Flush,
    /// Say the volume's name, into these buffers.
    GetId {
        /// Where to.
        buffers: Vec<Buffer>,
    },
    /// The driver no longer cares what is there.
    Discard {
        /// Where.
        offset: u64,
        /// How much.
        length: u64,
    },
    /// Make it read as zero.
    WriteZeroes {
        /// Where.
        offset: u64,
        /// How much.
        length: u64,
        /// Whether the space may be given back.
        unmap: bool,
    },
    /// Nothing: it can't be done, for this reason.
    Refuse(Status),
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is to be done.
    pub task: Task,
    /// Where its status byte goes.
    pub status: GuestAddress,
}

/// How a request can be so wrong that not even its failure can be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The header is cut short.
    #[error("The request at descriptor {head} has no header")]
    NoHeader {
        /// Where it begins.
        head: u16,
    },
    /// There is no byte for the status.
    #[error("The request at descriptor {head} has no place for its status")]
    NoStatus {
        /// Where it begins.
        head: u16,
    },
}

impl Request {
    /// Reads the request in `chain`.
    ///
    /// # Errors
    /// The driver is broken.
    pub fn read(memory: &GuestMemoryMmap, chain: &Chain, config: &BlkConfig) -> Result<Self, RequestError> {
        let head = chain.head();
        let last = chain.writable().last().ok_or(RequestError::NoStatus { head })?;
        let status = GuestAddress(last.address.0 + u64::from(last.length) - 1);
        let header = cursor::read(memory, chain.readable());
        let header: [u8; 16] = header.ok().flatten().ok_or(RequestError::NoHeader { head })?;
        let [t0, t1, t2, t3, _, _, _, _, s0, s1, s2, s3, s4, s5, s6, s7] = header;
        let kind = u32::from_le_bytes([t0, t1, t2, t3]);
        let sector = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
        let output = cursor::part(chain.readable(), HEADER, u64::MAX);
        let input = cursor::part(chain.writable(), 0, cursor::length(chain.writable()) - 1);
        let task = match kind {
            bits::VIRTIO_BLK_T_IN => config.locate(sector, &input).map(|offset| {
                let buffers = input;
                Task::Read { offset, buffers }
            }),
            bits::VIRTIO_BLK_T_OUT => config.locate_for_writing(sector, &output).map(|offset| {
                let buffers = output;
                Task::Write { offset, buffers }
            }),
            bits::VIRTIO_BLK_T_FLUSH => Ok(Task::Flush),
            bits::VIRTIO_BLK_T_GET_ID => Ok(Task::GetId { buffers: input }),
            bits::VIRTIO_BLK_T_DISCARD => config.range(memory, &output, MAX_DISCARD).and_then(Range::discard),
            bits::VIRTIO_BLK_T_WRITE_ZEROES => config.range(memory, &output, MAX_ZEROES).and_then(Range::write_zeroes),
            _ => Err(Status::Unsupported),
        };
        let task = task.unwrap_or_else(Task::Refuse);
        Ok(Self { task, status })
    }
}

/// One segment of a discard or write-zeroes request, inside of the volume.
struct Range {
    offset: u64,
    length: u64,
    flags: u32,
}

impl Range {
    /// A discard has no flags.
    fn discard(self) -> Result<Task, Status> {
        let Self { offset, length, flags } = self;
        match flags {
            0 => Ok(Task::Discard { offset, length }),
            _ => Err(Status::Unsupported),
        }
    }

    fn write_zeroes(self) -> Result<Task, Status> {
        let Self { offset, length, flags } = self;
        let unmap = flags == bits::VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
        match flags {
            0 | bits::VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP => Ok(Task::WriteZeroes { offset, length, unmap }),
            _ => Err(Status::Unsupported),
        }
    }
}

impl BlkConfig {
    /// The byte at which `buffers` begin on the volume, if all of them are sectors of it.
    fn locate(&self, sector: u64, buffers: &[Buffer]) -> Result<u64, Status> {
        let length = cursor::length(buffers);
        match length > 0 && length.is_multiple_of(SECTOR) {
            true => self.check(sector, length / SECTOR),
            false => Err(Status::IoError),
        }
    }

    fn locate_for_writing(&self, sector: u64, buffers: &[Buffer]) -> Result<u64, Status> {
        match self.read_only() {
            true => Err(Status::IoError),
            false => self.locate(sector, buffers),
        }
    }

    fn check(&self, sector: u64, sectors: u64) -> Result<u64, Status> {
        match sector.checked_add(sectors) {
            Some(end) if end <= self.capacity() => Ok(sector * SECTOR),
            _ => Err(Status::IoError),
        }
    }

    /// The one segment of a discard or write-zeroes request, with at most `max` sectors.
    fn range(&self, memory: &GuestMemoryMmap, output: &[Buffer], max: u32) -> Result<Range, Status> {
        if self.read_only() {
            return Err(Status::Unsupported);
        }
        let segment = cursor::read::<16>(memory, output).ok().flatten();
        let one = cursor::length(output) == 16;
        let segment = segment.filter(|_| one).ok_or(Status::Unsupported)?;
        let [s0, s1, s2, s3, s4, s5, s6, s7, n0, n1, n2, n3, f0, f1, f2, f3] = segment;
        let sector = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
        let sectors = u32::from_le_bytes([n0, n1, n2, n3]);
        if sectors == 0 || sectors > max {
            return Err(Status::IoError);
        }
        Ok(Range {
            offset: self.check(sector, sectors.into())?,
            length: u64::from(sectors) * SECTOR,
            flags: u32::from_le_bytes([f0, f1, f2, f3]),
        })
    }
}
