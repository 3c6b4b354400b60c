//! The console log: a file that never grows beyond its bound. When it is full, its older half is dropped.

use crate::protocol::CONSOLE_LOG_MAX;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The log file of one console.
pub struct LogFile {
    file: File,
    length: u64,
}

impl LogFile {
    /// Goes on writing at the end of `file`.
    pub fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }

    /// Appends `bytes`. Where the host's disk is full they are lost: a guest does not stand still for its log.
    pub fn append(&mut self, bytes: &[u8]) {
        if self.length + bytes.len() as u64 > CONSOLE_LOG_MAX && self.drop_older_half().is_err() {
            return;
        }
        if self.file.write_all_at(bytes, self.length).is_ok() {
            self.length += bytes.len() as u64;
        }
    }

    /// The last `length` bytes at most.
    pub fn tail(&self, length: usize) -> io::Result<Vec<u8>> {
        let length = length.min(usize::try_from(self.length).unwrap_or(usize::MAX));
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, self.length - length as u64)?;
        Ok(bytes)
    }

    /// Makes the log durable.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn drop_older_half(&mut self) -> io::Result<()> {
        let kept = self.length.min(CONSOLE_LOG_MAX / 2);
        let mut buffer = [0; 8 << 10];
        let mut moved = 0;
        while moved < kept {
            let count = usize::try_from(kept - moved).unwrap_or(usize::MAX).min(buffer.len());
            self.file
                .read_exact_at(&mut buffer[..count], self.length - kept + moved)?;
            self.file.write_all_at(&buffer[..count], moved)?;
            moved += count as u64;
        }
        self.file.set_len(kept)?;
        self.length = kept;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_stays_below_its_bound_and_ends_with_what_came_last() {
        let file = tempfile::tempfile().unwrap();
        let mut log = LogFile::new(file.try_clone().unwrap()).unwrap();
        let line = [b'.'; 1000];
        for number in 0..3000 {
            log.append(&line);
            log.append(format!("{number}\n").as_bytes());
        }
        assert!(file.metadata().unwrap().len() <= CONSOLE_LOG_MAX);
        assert!(file.metadata().unwrap().len() >= CONSOLE_LOG_MAX / 2);
        assert_eq!(log.tail(10).unwrap(), b".....2999\n");
        let tail = log.tail(2010).unwrap();
        assert!(tail.windows(6).any(|w| w == b".2998\n"));
    }

    #[test]
    fn a_log_that_exists_is_continued() {
        let file = tempfile::tempfile().unwrap();
        LogFile::new(file.try_clone().unwrap()).unwrap().append(b"first boot\n");
        let mut log = LogFile::new(file).unwrap();
        log.append(b"second boot\n");
        assert_eq!(log.tail(100).unwrap(), b"first boot\nsecond boot\n");
    }
}
