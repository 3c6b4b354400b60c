//! Why an OVA could not be imported.

/// Why an OVA was not imported.
#[derive(Debug, thiserror::Error)]
pub enum OvaError {
    /// An archive, but not this kind of one.
    #[error("The archive is no OVA: it begins with {first:?}, not with an OVF descriptor (.ovf)")]
    NotOva {
        /// Its first file.
        first: String,
    },
    /// The archive contradicts itself, or its end is missing.
    #[error("The OVA is damaged: {what}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
    /// One of the archive's files is not what it must be.
    #[error("The OVA is damaged: its file {name:?} {what}")]
    DamagedFile {
        /// The file.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The manifest has another digest.
    #[error(
        "The OVA is damaged: the contents of {name:?} are not those that its manifest has the digest of; get it again"
    )]
    Digest {
        /// The file.
        name: String,
    },
    /// The archive holds something that is no plain file.
    #[error("The OVA has {name:?}, which is {what}: only plain files are taken from an archive")]
    NotPlain {
        /// Its name.
        name: String,
        /// What it is.
        what: &'static str,
    },
    /// A name leads out of the archive.
    #[error("The OVA has a path out of itself, {path:?}, which is never opened")]
    OutOfItself {
        /// The path, absolute or with `..`, or a URL.
        path: String,
    },
    /// The descriptor names what isn't there.
    #[error("The OVA is damaged: its descriptor names the file {name:?}, which is not in it; get it again")]
    Missing {
        /// The file.
        name: String,
    },
    /// The descriptor is no XML, or some that was made to hurt.
    #[error("The OVA's descriptor can't be read")]
    Xml(#[source] quick_xml::Error),
    /// The descriptor is XML, but does not say what it must.
    #[error("The OVA's descriptor is not as OVF has it: {what}")]
    Descriptor {
        /// What is wrong.
        what: &'static str,
    },
    /// There is not exactly one disk.
    #[error(
        "An OVA with {count} disks is not supported, only with one; take them out with `tar -x` and import each by itself"
    )]
    Disks {
        /// How many there are, empty ones too.
        count: usize,
    },
    /// It has something that is known, but not read.
    #[error("The OVA has {what}, which is not supported")]
    Unsupported {
        /// What it is.
        what: &'static str,
    },
}
