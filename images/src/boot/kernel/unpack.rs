//! Decompressing a kernel's payload, in streams and with a bound.

use super::{Compression, KernelError, MAX_UNPACKED, ReadAt};
use std::io::{self, BufRead, BufReader, Read};

/// How much of the image is read at once.
const BUFFER: usize = 256 << 10;
const LZ4_MAGIC: u32 = 0x184c_2102;
/// What a block of LZ4's legacy frame decompresses to at most.
const LZ4_BLOCK: usize = 8 << 20;
/// What such a block has at most if it can't be compressed.
const LZ4_PACKED: usize = LZ4_BLOCK + LZ4_BLOCK / 255 + 16;

/// Tells the compression by its magic number.
pub(super) fn compression(magic: &[u8; 6]) -> Option<Compression> {
    match magic {
        [0x7f, b'E', b'L', b'F', ..] => Some(Compression::None),
        [0x02, 0x21, 0x4c, 0x18, ..] => Some(Compression::Lz4),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Compression::Zstd),
        [0x1f, 0x8b, ..] => Some(Compression::Gzip),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Some(Compression::Xz),
        _ => None,
    }
}

/// Decompresses `payload`, a place and length in `image`.
pub(super) fn unpack(
    image: &dyn ReadAt,
    payload: (u64, u64),
    compression: Compression,
) -> Result<Vec<u8>, KernelError> {
    let (start, len) = payload;
    let damaged = |_| KernelError::Damaged(compression);
    // The payload ends with its decompressed length; what gzip writes there is its own.
    let length = match compression {
        Compression::None => len,
        _ => {
            let mut raw = [0; 4];
            image
                .read_exact_at(&mut raw, start + len.saturating_sub(4))
                .map_err(KernelError::Read)?;
            u32::from_le_bytes(raw).into()
        }
    };
    if length > MAX_UNPACKED {
        return Err(KernelError::Damaged(compression));
    }
    let mut packed = BufReader::with_capacity(
        BUFFER,
        Stream {
            image,
            at: start,
            end: start + len,
        },
    );
    // The length is a claim: memory is taken as contents come.
    let limit = usize::try_from(length).map_err(|_| KernelError::Damaged(compression))?;
    let mut unpacked = Vec::new();
    match compression {
        Compression::Lz4 => lz4(&mut packed, &mut unpacked, limit).map_err(damaged)?,
        Compression::Zstd => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(&mut packed);
            read(
                &mut decoder.map_err(|_| KernelError::Damaged(compression))?,
                &mut unpacked,
                length,
            )
            .map_err(damaged)?;
        }
        Compression::Gzip => {
            read(&mut flate2::bufread::GzDecoder::new(packed), &mut unpacked, length).map_err(damaged)?;
        }
        Compression::None | Compression::Xz => read(&mut packed, &mut unpacked, length).map_err(damaged)?,
    }
    match unpacked.len() == limit {
        true => Ok(unpacked),
        false => Err(KernelError::Damaged(compression)),
    }
}

fn read(from: &mut dyn Read, to: &mut Vec<u8>, limit: u64) -> io::Result<()> {
    from.take(limit).read_to_end(to).map(drop)
}

/// LZ4's legacy frame: blocks, each after its length, that are decompressed one by one.
fn lz4(packed: &mut impl BufRead, unpacked: &mut Vec<u8>, limit: usize) -> io::Result<()> {
    let mut block = Vec::new();
    let number = |packed: &mut dyn Read| {
        let mut raw = [0; 4];
        packed.read_exact(&mut raw).map(|()| u32::from_le_bytes(raw))
    };
    while unpacked.len() < limit {
        let mut length = number(packed)?;
        // Frames may follow each other.
        if length == LZ4_MAGIC {
            length = number(packed)?;
        }
        let length = usize::try_from(length).ok().filter(|&length| length <= LZ4_PACKED);
        block.resize(length.ok_or(io::ErrorKind::InvalidData)?, 0);
        packed.read_exact(&mut block)?;
        let start = unpacked.len();
        unpacked.resize(start + LZ4_BLOCK.min(limit - start), 0);
        let space = unpacked.get_mut(start..).unwrap_or_default();
        let count = lz4_flex::block::decompress_into(&block, space).map_err(io::Error::other)?;
        unpacked.truncate(start + count);
        if count == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(())
}

/// A part of an image as a stream.
struct Stream<'a> {
    image: &'a dyn ReadAt,
    at: u64,
    end: u64,
}

impl Read for Stream<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let len = left.min(buf.len());
        self.image.read_exact_at(&mut buf[..len], self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}
