//! Fetching a disk: into a file that is named by its digest and stays when the fetching is broken off, so that the next
//! attempt asks for the rest only. What comes is trusted no more than its digest over the whole file.

use super::address::{Address, RelativeName};
use super::error::CatalogError;
use super::folders::{self, Folders};
use super::http::{Http, Reply};
use super::index::{Digest, Location, Offer};
use super::subscriptions::{Source, Subscription};
use hyper::StatusCode;
use hyper::header::{self, HeaderName, HeaderValue};
use indicatif::ProgressBar;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How much is read at once.
const PIECE: usize = 1 << 20;

/// A disk that is here, and is the one of the index.
pub struct Downloaded {
    /// Open for reading, at its beginning.
    pub file: File,
    part: PathBuf,
    mark: PathBuf,
}

impl Downloaded {
    /// Removes the file, which has done its work.
    pub fn remove(self) -> Result<(), CatalogError> {
        folders::remove(&self.mark)?;
        folders::remove(&self.part)
    }
}

/// Fetches what is missing of a disk and verifies the whole. `bar` is told how many bytes are here.
pub async fn download(
    http: &Http,
    folders: &Folders,
    subscription: &Subscription,
    offer: &Offer,
    bar: &ProgressBar,
) -> Result<Downloaded, CatalogError> {
    let mut part = Part::open(&folders.disks(), offer, bar)?;
    if part.had < offer.size {
        part.has_room()?;
        match (&offer.location, &subscription.source) {
            (Location::Absolute(address), _) => part.fetch(http, address).await?,
            (Location::Beside(name), Source::Remote(index)) => {
                let address = index.beside(name).map_err(|source| CatalogError::Address {
                    address: name.to_string(),
                    source,
                })?;
                part.fetch(http, &address).await?;
            }
            (Location::Beside(name), Source::Local(index)) => part.copy(index, name)?,
        }
    }
    part.verify()
}

/// A disk of which some is here.
struct Part<'a> {
    offer: &'a Offer,
    bar: &'a ProgressBar,
    path: PathBuf,
    mark_path: PathBuf,
    file: File,
    had: u64,
    hash: Sha256,
}

/// Which version of which file the part is of, so that it is not gone on with by another.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    address: String,
    /// A strong entity tag, or a time of last change.
    validator: String,
}

impl<'a> Part<'a> {
    /// Opens the part, locked, and takes in what it has.
    fn open(folder: &Path, offer: &'a Offer, bar: &'a ProgressBar) -> Result<Part<'a>, CatalogError> {
        folders::make(folder)?;
        let digits = offer.digest.digits();
        let path = folder.join(format!("{digits}.part"));
        let failed = |source| CatalogError::File {
            path: path.clone(),
            source,
        };
        let opened = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let mut file = opened.map_err(failed)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => CatalogError::Busy {
                image: offer.name.clone(),
            },
            TryLockError::Error(source) => failed(source),
        })?;
        let (mut had, mut hash) = (0, Sha256::new());
        let mut piece = vec![0; PIECE];
        loop {
            let count = file.read(&mut piece).map_err(failed)?;
            hash.update(piece.get(..count).unwrap_or_default());
            had += count as u64;
            bar.set_position(had);
            if count == 0 || had > offer.size {
                break;
            }
        }
        let mut part = Part {
            offer,
            bar,
            mark_path: folder.join(format!("{digits}.json")),
            path: path.clone(),
            file,
            had,
            hash,
        };
        if had > offer.size {
            part.start_over()?;
        }
        Ok(part)
    }

    /// Whether the rest would fit.
    fn has_room(&self) -> Result<(), CatalogError> {
        let folder = self.path.parent().unwrap_or_else(|| Path::new("/"));
        let about = rustix::fs::statvfs(folder).map_err(|error| CatalogError::file(folder)(error.into()))?;
        let free = about.f_bavail.saturating_mul(about.f_frsize);
        let needed = self.offer.size - self.had;
        if free < needed {
            return Err(CatalogError::Space {
                folder: folder.into(),
                needed,
                free,
            });
        }
        Ok(())
    }

    /// Fetches the rest, or all of it where the server can't go on.
    async fn fetch(&mut self, http: &Http, address: &Address) -> Result<(), CatalogError> {
        let range = self.range(address);
        if range.is_empty() {
            self.start_over()?;
        }
        let mut reply = http.get(address, &range).await?;
        if reply.status() == StatusCode::RANGE_NOT_SATISFIABLE && !range.is_empty() {
            self.start_over()?;
            reply = http.get(address, &[]).await?;
        }
        match reply.status() {
            StatusCode::PARTIAL_CONTENT if self.goes_on(&reply) => {}
            StatusCode::PARTIAL_CONTENT => {
                // A part that was not asked for fits nowhere.
                self.start_over()?;
                return Err(reply.unexpected());
            }
            StatusCode::OK => {
                self.start_over()?;
                let length = reply.header(header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
                if let Some(found) = length.filter(|length| *length != self.offer.size) {
                    return Err(self.wrong_size(address, found));
                }
                self.mark(address, &reply)?;
            }
            _ => return Err(reply.unexpected()),
        }
        while let Some(piece) = reply.next().await? {
            self.add(&piece, address)?;
        }
        self.must_be_whole(address)
    }

    /// The headers that ask for the rest, if it is known of which version of the file the part is.
    fn range(&self, address: &Address) -> Vec<(HeaderName, HeaderValue)> {
        let mark = std::fs::read(&self.mark_path).ok();
        let mark = mark.and_then(|text| serde_json::from_slice::<Mark>(&text).ok());
        let Some(mark) = mark.filter(|mark| self.had > 0 && mark.address == address.to_string()) else {
            return Vec::new();
        };
        let range = HeaderValue::from_str(&format!("bytes={}-", self.had));
        let version = HeaderValue::from_str(&mark.validator);
        match (range, version) {
            (Ok(range), Ok(version)) => vec![(header::RANGE, range), (header::IF_RANGE, version)],
            _ => Vec::new(),
        }
    }

    /// Whether a partial answer is the rest: `bytes FROM-TO/SIZE`.
    fn goes_on(&self, reply: &Reply) -> bool {
        let range = reply.header(header::CONTENT_RANGE);
        let range = range.and_then(|range| range.strip_prefix("bytes ")?.split_once('/'));
        let Some((span, size)) = range else { return false };
        let from = span.split_once('-').and_then(|(from, _)| from.parse().ok());
        from == Some(self.had) && (size == "*" || size.parse() == Ok(self.offer.size))
    }

    /// Writes down which version of the file this is, before the first byte of it.
    fn mark(&self, address: &Address, reply: &Reply) -> Result<(), CatalogError> {
        let tag = reply.header(header::ETAG).filter(|tag| tag.starts_with('"'));
        let Some(validator) = tag.or_else(|| reply.header(header::LAST_MODIFIED)) else {
            return folders::remove(&self.mark_path);
        };
        let mark = Mark {
            address: address.to_string(),
            validator: validator.into(),
        };
        let text = serde_json::to_vec(&mark).map_err(|error| CatalogError::file(&self.mark_path)(error.into()))?;
        folders::replace(&self.mark_path, &text)
    }

    /// Copies a disk that lies beside a local index. It is not imported from there: who may change it could do so
    /// between the look at its digest and the import.
    fn copy(&mut self, index: &Path, name: &RelativeName) -> Result<(), CatalogError> {
        self.start_over()?;
        let folder = index.parent().unwrap_or_else(|| Path::new("/"));
        let mut disk = open_beneath(folder, name)?;
        let from = folder.join(name.as_str());
        let found = disk.metadata().map_err(CatalogError::file(&from))?.len();
        if found != self.offer.size {
            return Err(self.wrong_size(&from.display(), found));
        }
        let mut piece = vec![0; PIECE];
        loop {
            let count = disk.read(&mut piece).map_err(CatalogError::file(&from))?;
            if count == 0 {
                return self.must_be_whole(&from.display());
            }
            self.add(piece.get(..count).unwrap_or_default(), &from.display())?;
        }
    }

    /// Writes a piece behind what is here.
    fn add(&mut self, piece: &[u8], from: &dyn std::fmt::Display) -> Result<(), CatalogError> {
        let had = self.had + piece.len() as u64;
        if had > self.offer.size {
            self.start_over()?;
            return Err(self.wrong_size(from, had));
        }
        self.file.write_all(piece).map_err(CatalogError::file(&self.path))?;
        self.hash.update(piece);
        self.had = had;
        self.bar.set_position(had);
        Ok(())
    }

    fn must_be_whole(&self, from: &dyn std::fmt::Display) -> Result<(), CatalogError> {
        if self.had == self.offer.size {
            return Ok(());
        }
        Err(CatalogError::Truncated {
            address: from.to_string(),
            had: self.had,
            size: self.offer.size,
        })
    }

    fn wrong_size(&self, from: &dyn std::fmt::Display, found: u64) -> CatalogError {
        CatalogError::WrongSize {
            address: from.to_string(),
            size: self.offer.size,
            found,
        }
    }

    fn start_over(&mut self) -> Result<(), CatalogError> {
        let cut = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        cut.map_err(CatalogError::file(&self.path))?;
        self.had = 0;
        self.hash = Sha256::new();
        self.bar.set_position(0);
        Ok(())
    }

    /// Compares the whole with the index; what is something else is deleted.
    fn verify(mut self) -> Result<Downloaded, CatalogError> {
        let found = Digest::new(self.hash.finalize().into());
        if found != self.offer.digest {
            folders::remove(&self.mark_path)?;
            folders::remove(&self.path)?;
            return Err(CatalogError::Digest {
                image: self.offer.name.clone(),
                expected: self.offer.digest.to_string(),
                found: found.to_string(),
            });
        }
        self.file
            .seek(SeekFrom::Start(0))
            .map_err(CatalogError::file(&self.path))?;
        Ok(Downloaded {
            file: self.file,
            part: self.path,
            mark: self.mark_path,
        })
    }
}

/// Opens a plain file in the folder or below it; no symbolic link leads out of it.
fn open_beneath(folder: &Path, name: &RelativeName) -> Result<File, CatalogError> {
    let outside = || CatalogError::Outside {
        name: name.to_string(),
        folder: folder.into(),
    };
    let directory = File::open(folder).map_err(CatalogError::file(folder))?;
    // Without NONBLOCK a pipe would keep the command waiting.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened = rustix::fs::openat2(directory, name.as_str(), flags, Mode::empty(), ResolveFlags::BENEATH);
    let file = File::from(opened.map_err(|error| match error {
        rustix::io::Errno::XDEV => outside(),
        error => CatalogError::file(folder.join(name.as_str()))(io::Error::from(error)),
    })?);
    let about = file
        .metadata()
        .map_err(CatalogError::file(folder.join(name.as_str())))?;
    about.is_file().then_some(file).ok_or_else(outside)
}

#[cfg(test)]
mod tests;
