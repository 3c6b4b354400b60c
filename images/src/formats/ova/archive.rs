//! The archive around an OVA: which files it holds, and where (section 5.3, which takes POSIX's ustar; GNU's and pax's long
//! names are read, too).
//!
//! Headers are read with the types of the `tar` crate, without its walk: that takes in long names whole, however long they
//! say that they are.

use super::OvaError;
use crate::ReadAt;
use crate::formats::ImportError;
use crate::formats::window::Window;
use percent_encoding::percent_decode_str;
use tar::{EntryType, Header, PaxExtensions};

const BLOCK: u64 = 512;
/// The most headers of an archive; those of long names count.
const MAX_HEADERS: u32 = 1000;
/// The longest extension of a header, in bytes.
const MAX_EXTENSION: u64 = 64 << 10;
/// How much of a name is shown, in characters.
const SHOWN: usize = 255;

/// A plain file in the archive.
pub(super) struct Member<'f> {
    pub(super) name: String,
    pub(super) contents: Window<'f>,
}

impl Member<'_> {
    pub(super) fn damaged(&self, what: &'static str) -> OvaError {
        OvaError::DamagedFile {
            name: shown(&self.name),
            what,
        }
    }
}

/// The plain files of an archive, in order.
pub(super) struct Archive<'f>(Vec<Member<'f>>);

impl<'f> Archive<'f> {
    /// Reads all headers.
    pub(super) fn read(source: Window<'f>) -> Result<Self, ImportError> {
        let (mut archive, mut extension) = (Self(Vec::new()), Extension::default());
        let (mut at, end) = (0, source.size().map_err(ImportError::read(0))?);
        for _ in 0..MAX_HEADERS {
            // Archives end with blocks of zeroes, but nothing is missing from one that ends before them.
            let Some(header) = (if at < end { header(source, at)? } else { None }) else {
                return Ok(archive);
            };
            let len = match header.entry_type() {
                EntryType::Regular | EntryType::Continuous | EntryType::Directory => extension.size.take(),
                _ => None,
            };
            let len = len.map_or_else(|| header.entry_size(), Ok);
            let len = len.map_err(|_| damaged("the size of a file in it can't be read"))?;
            let contents = source.part(at + BLOCK, len);
            let contents = contents.ok_or_else(|| damaged("a file in it lies beyond its end: it is cut off"))?;
            match header.entry_type() {
                EntryType::GNULongName => extension.name = Some(extension_of(contents)?),
                EntryType::XHeader => extension.take_pax(&extension_of(contents)?)?,
                // What is said of all files are times and comments; the long name is that of a link, which comes next.
                EntryType::XGlobalHeader | EntryType::GNULongLink => {}
                kind => {
                    let name = extension.name.take();
                    archive.add(name.unwrap_or_else(|| header.path_bytes().into_owned()), kind, contents)?;
                }
            }
            at = (at + BLOCK + len).next_multiple_of(BLOCK);
        }
        Err(damaged("it holds more files than any OVA does").into())
    }

    /// Takes in a file. Folders have nothing that is read.
    fn add(&mut self, name: Vec<u8>, kind: EntryType, contents: Window<'f>) -> Result<(), OvaError> {
        let name = plain(name, kind)?;
        if kind == EntryType::Directory {
            return Ok(());
        }
        if self.0.is_empty() && descriptor_stem(&name).is_none() {
            return Err(OvaError::NotOva { first: shown(&name) });
        }
        if self.find(&name).is_some() {
            return Err(damaged("it holds two files of one name"));
        }
        self.0.push(Member { name, contents });
        Ok(())
    }

    /// The first file (section 5.3).
    pub(super) fn descriptor(&self) -> Result<&Member<'f>, OvaError> {
        self.0.first().ok_or_else(|| damaged("there is no file in it"))
    }

    /// The file that is named as the descriptor, with another ending (section 5.1).
    pub(super) fn manifest(&self, descriptor: &Member<'_>) -> Option<&Member<'f>> {
        self.find(&format!("{}.mf", descriptor_stem(&descriptor.name)?))
    }

    /// The file of that name.
    fn find(&self, name: &str) -> Option<&Member<'f>> {
        self.0.iter().find(|member| member.name == name)
    }

    /// The file that a descriptor names, as it is or as part of a URL (section 7.1).
    pub(super) fn find_reference(&self, href: &str) -> Result<&Member<'f>, OvaError> {
        if let Some(member) = self.find(inside(href)?) {
            return Ok(member);
        }
        let decoded = percent_decode_str(href).decode_utf8_lossy();
        let member = self.find(inside(&decoded)?);
        member.ok_or_else(|| OvaError::Missing { name: shown(&decoded) })
    }
}

/// What goes before a header and is of more weight.
#[derive(Default)]
struct Extension {
    name: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Extension {
    /// Takes in an extended header (POSIX.1-2001, `pax`).
    fn take_pax(&mut self, records: &[u8]) -> Result<(), OvaError> {
        for record in PaxExtensions::new(records) {
            let record = record.map_err(|_| damaged("an extended header in it can't be read"))?;
            match record.key_bytes() {
                b"path" => self.name = Some(record.value_bytes().to_vec()),
                b"size" => {
                    let size = record.value().ok().and_then(|value| value.parse().ok());
                    self.size = Some(size.ok_or_else(|| damaged("the size of a file in it can't be read"))?);
                }
                key if key.starts_with(b"GNU.sparse.") => {
                    let what = "sparse files";
                    return Err(OvaError::Unsupported { what });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Reads a header; none where the archive ends.
fn header(source: Window<'_>, at: u64) -> Result<Option<Header>, ImportError> {
    let mut header = Header::new_old();
    if source.part(at, BLOCK).is_none() {
        return Err(damaged("a header lies beyond its end: it is cut off").into());
    }
    source
        .read_exact_at(header.as_mut_bytes(), at)
        .map_err(ImportError::read(at))?;
    if header.as_bytes().iter().all(|&byte| byte == 0) {
        return Ok(None);
    }
    let mut right = header.clone();
    right.set_cksum();
    match (header.cksum(), right.cksum()) {
        (Ok(said), Ok(right)) if said == right => Ok(Some(header)),
        _ => Err(damaged("the checksum of a header in it is wrong").into()),
    }
}

/// The bytes of a long name or an extended header.
fn extension_of(contents: Window<'_>) -> Result<Vec<u8>, ImportError> {
    let mut bytes = read_all(contents, MAX_EXTENSION)?.ok_or_else(|| damaged("a name in it is absurdly long"))?;
    // GNU's names end with a zero byte.
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    Ok(bytes)
}

/// All of a window, if it has at most `most` bytes.
pub(super) fn read_all(contents: Window<'_>, most: u64) -> Result<Option<Vec<u8>>, ImportError> {
    let len = contents.size().map_err(ImportError::read(0))?;
    let Some(len) = usize::try_from(len).ok().filter(|_| len <= most) else {
        return Ok(None);
    };
    let mut bytes = vec![0; len];
    contents.read_exact_at(&mut bytes, 0).map_err(ImportError::read(0))?;
    Ok(Some(bytes))
}

/// The name of a file or folder of that kind; all other kinds are refused.
fn plain(name: Vec<u8>, kind: EntryType) -> Result<String, OvaError> {
    let name = String::from_utf8(name).map_err(|_| damaged("the name of a file in it is not UTF-8"))?;
    let what = match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::Directory => return inside(&name).map(Into::into),
        EntryType::Link | EntryType::Symlink => "a link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a pipe",
        EntryType::GNUSparse => "a sparse file",
        _ => "of an unknown kind",
    };
    Err(OvaError::NotPlain {
        name: shown(&name),
        what,
    })
}

/// What is before `.ovf` in a name; none without that.
fn descriptor_stem(name: &str) -> Option<&str> {
    let (stem, ending) = name.rsplit_once('.')?;
    ending.eq_ignore_ascii_case("ovf").then_some(stem)
}

/// A path that leads to nothing but a file of the archive, without `./` before it.
fn inside(path: &str) -> Result<&str, OvaError> {
    if path.starts_with('/') || path.contains("://") || path.split('/').any(|part| part == "..") {
        return Err(OvaError::OutOfItself { path: shown(path) });
    }
    Ok(path.trim_start_matches("./"))
}

/// As much of a name as a message bears.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(SHOWN).collect()
}

fn damaged(what: &'static str) -> OvaError {
    OvaError::Damaged { what }
}
