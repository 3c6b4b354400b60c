//! The descriptor: which of an OVA's files is its disk (sections 7.1, "File References", and 9.1, "DiskSection").
//!
//! ```xml
//! <Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
//!   <References><File ovf:id="file1" ovf:href="disk1.vmdk" ovf:size="1024"/></References>
//!   <DiskSection><Disk ovf:diskId="d1" ovf:fileRef="file1" ovf:capacity="8589934592" ovf:format="…vmdk.html#streamOptimized"/></DiskSection>
//! ```
//!
//! The machine that a descriptor describes is not looked at, nor is the disk's `ovf:capacity`: the disk itself has its size.
//! The text is read as a stream, in time that grows with its length only: elements are nested [`MAX_DEPTH`] deep at most,
//! and with a DTD, which could define entities, it is refused.

use super::OvaError;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;
use std::collections::BTreeMap;

/// The namespaces of OVF 1.x and 2.x; elements and attributes are in the same one.
const NAMESPACES: [&str; 2] = [
    "http://schemas.dmtf.org/ovf/envelope/1",
    "http://schemas.dmtf.org/ovf/envelope/2",
];
/// How deep elements may be in one another.
const MAX_DEPTH: usize = 64;

/// The file that a disk is in.
#[derive(Debug)]
pub(super) struct DiskFile {
    /// Where: a relative URL.
    pub(super) href: String,
    /// How long it is in bytes, if that is said.
    pub(super) size: Option<u64>,
    /// Whether it is said to be a VMDK, whatever it looks like.
    pub(super) is_vmdk: bool,
}

/// The attributes of an element that are OVF's, by their names.
type Attributes = BTreeMap<String, String>;

/// Reads a descriptor for the one file that its one disk is in.
pub(super) fn disk_file(text: &str) -> Result<DiskFile, OvaError> {
    let Found { files, disks } = find(text)?;
    let [disk] = disks.as_slice() else {
        return Err(OvaError::Disks { count: disks.len() });
    };
    if disk.contains_key("parentRef") {
        return Err(unsupported(
            "a disk that is only the difference to another one (ovf:parentRef)",
        ));
    }
    let Some(id) = disk.get("fileRef") else {
        return Err(unsupported("an empty disk, without a file (ovf:fileRef)"));
    };
    let mut named = files.iter().filter(|file| file.get("id") == Some(id));
    let (Some(file), None) = (named.next(), named.next()) else {
        return Err(wrong("its disk is not in exactly one file of its References"));
    };
    match file.get("compression").map(String::as_str) {
        None | Some("" | "identity") => {}
        Some("gzip") => return Err(unsupported("a disk that is compressed with gzip (ovf:compression)")),
        Some(_) => return Err(unsupported("a disk with an unknown compression (ovf:compression)")),
    }
    if file.contains_key("chunkSize") {
        return Err(unsupported("a disk in several files (ovf:chunkSize)"));
    }
    let size = file.get("size").map(|size| size.trim().parse());
    Ok(DiskFile {
        href: file
            .get("href")
            .cloned()
            .ok_or_else(|| wrong("a File has no ovf:href"))?,
        size: size
            .transpose()
            .map_err(|_| wrong("the ovf:size of a File is no number of bytes"))?,
        is_vmdk: disk.get("format").is_some_and(|format| format.contains("/vmdk.html")),
    })
}

/// What a descriptor has of files and disks.
#[derive(Default)]
struct Found {
    files: Vec<Attributes>,
    disks: Vec<Attributes>,
}

fn find(text: &str) -> Result<Found, OvaError> {
    let mut reader = NsReader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let (mut found, mut path, mut ended) = (Found::default(), Vec::new(), false);
    loop {
        match reader.read_event().map_err(OvaError::Xml)? {
            Event::Start(_) if ended => return Err(wrong("it has two roots")),
            Event::Start(_) if path.len() == MAX_DEPTH => return Err(wrong("its elements are nested too deep")),
            Event::Start(element) => {
                let known = is_ovf(reader.resolver().resolve_element(element.name()).0);
                let name = element.local_name().into_inner();
                // Elements of others have no name here.
                path.push(if known { name.to_owned() } else { String::new() });
                match path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                    ["Envelope", "References", "File"] => found.files.push(attributes(&reader, &element)?),
                    ["Envelope", "DiskSection", "Disk"] => found.disks.push(attributes(&reader, &element)?),
                    [name] if *name != "Envelope" => return Err(wrong("it has no Envelope of OVF 1.x or 2.x")),
                    _ => {}
                }
            }
            Event::End(_) => {
                path.pop();
                ended = path.is_empty();
            }
            Event::DocType(_) => return Err(wrong("it has a DTD")),
            Event::Eof if ended => return Ok(found),
            Event::Eof => return Err(wrong("it ends before its Envelope does")),
            _ => {}
        }
    }
}

fn attributes(reader: &NsReader<&[u8]>, element: &BytesStart<'_>) -> Result<Attributes, OvaError> {
    let mut found = Attributes::new();
    // Looking for attributes that are there twice would take the square of their number.
    for attribute in element.attributes().with_checks(false) {
        let attribute = attribute.map_err(|error| OvaError::Xml(error.into()))?;
        let (namespace, name) = reader.resolver().resolve_attribute(attribute.key);
        if is_ovf(namespace) {
            let value = attribute.normalized_value(XmlVersion::Implicit1_0);
            let value = value.map_err(OvaError::Xml)?.into_owned();
            if found.insert(name.into_inner().to_owned(), value).is_some() {
                return Err(wrong("an element has an attribute twice"));
            }
        }
    }
    Ok(found)
}

fn is_ovf(namespace: ResolveResult<'_>) -> bool {
    matches!(namespace, ResolveResult::Bound(name) if NAMESPACES.contains(&name.into_inner()))
}

fn wrong(what: &'static str) -> OvaError {
    OvaError::Descriptor { what }
}

fn unsupported(what: &'static str) -> OvaError {
    OvaError::Unsupported { what }
}
