//! How catalogs fail. `CommandError` says it to the user, with the exit status that scripts go by.

use super::super::error::Exit;
use super::address::AddressError;
use super::index::IndexError;
use std::io;
use std::path::PathBuf;

/// Why a catalog or an image of it can't be had.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Nobody answers there, or not as who they should be.
    #[error("{address} can't be reached")]
    Connect {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The host has no certificates to know others by.
    #[error("This host has no root certificates, so no https address can be trusted")]
    Roots,
    /// TLS can't be set up.
    #[error("TLS can't be set up")]
    Tls(#[source] rustls::Error),
    /// The connection ended in the middle.
    #[error("The connection to {address} broke off")]
    Broken {
        /// The address.
        address: String,
        /// Why.
        source: hyper::Error,
    },
    /// It answers, but says nothing more.
    #[error("{address} has said nothing for {seconds} s")]
    Stalled {
        /// The address.
        address: String,
        /// The patience that was had.
        seconds: u64,
    },
    /// It answers something else than the file.
    #[error("{address} answered with status {status}")]
    Status {
        /// The address.
        address: String,
        /// The HTTP status.
        status: u16,
    },
    /// It redirects without end.
    #[error("{address} redirects more than {max} times")]
    Redirects {
        /// The first address.
        address: String,
        /// How many are followed.
        max: usize,
    },
    /// The address is not one that is fetched.
    #[error("{address} is not fetched")]
    Address {
        /// Where it was said.
        address: String,
        /// Why.
        source: AddressError,
    },
    /// It is larger than such a file may be.
    #[error("{address} is larger than {max} bytes")]
    TooLarge {
        /// The address or path.
        address: String,
        /// The limit.
        max: usize,
    },
    /// The server has another file than the index speaks of.
    #[error("{address} has {found} bytes, and the index says {size}")]
    WrongSize {
        /// The address or path.
        address: String,
        /// The index's size.
        size: u64,
        /// The server's.
        found: u64,
    },
    /// The answer ended before the file did.
    #[error("{address} ended after {had} of {size} bytes")]
    Truncated {
        /// The address or path.
        address: String,
        /// How many are here.
        had: u64,
        /// How many there should be.
        size: u64,
    },
    /// What came is not what the index promises.
    #[error("The disk of {image} is not the one of the index, and was deleted: expected {expected}, found {found}")]
    Digest {
        /// The image.
        image: String,
        /// The index's digest.
        expected: String,
        /// The file's.
        found: String,
    },
    /// The disk would not fit.
    #[error("{folder} has {free} bytes free, and {needed} are needed")]
    Space {
        /// The folder.
        folder: PathBuf,
        /// What is needed.
        needed: u64,
        /// What there is.
        free: u64,
    },
    /// Somebody else fetches the same disk.
    #[error("Another kiln pull fetches the disk of {image} already")]
    Busy {
        /// The image.
        image: String,
    },
    /// The index can't be read.
    #[error("The index of {catalog} can't be used")]
    Index {
        /// The catalog.
        catalog: String,
        /// Why.
        source: IndexError,
    },
    /// The index is not signed with the key that it should be.
    #[error("The index of {catalog} is not trusted: {problem}")]
    Signature {
        /// The catalog.
        catalog: String,
        /// Why.
        problem: String,
    },
    /// Local indices name what lies beside them.
    #[error("{name} lies outside of {folder}, or is no plain file")]
    Outside {
        /// The name.
        name: String,
        /// The index's folder.
        folder: PathBuf,
    },
    /// A file of the command's own, or a local index, can't be used.
    #[error("File {path} can't be used")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The list of subscriptions can't be read.
    #[error("The subscriptions in {path} can't be read: {problem}")]
    Subscriptions {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// There is nowhere to keep anything.
    #[error("Neither {0} nor HOME says where to keep catalogs")]
    NoHome(&'static str),
}

impl CatalogError {
    /// What a file that can't be used says.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> CatalogError {
        let path = path.into();
        move |source| CatalogError::File { path, source }
    }

    /// The exit status that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            CatalogError::Status { status: 404 | 410, .. } => Exit::NotFound,
            CatalogError::File { source, .. } if source.kind() == io::ErrorKind::NotFound => Exit::NotFound,
            CatalogError::Stalled { .. } => Exit::Timeout,
            CatalogError::Space { .. } => Exit::Capacity,
            CatalogError::Address { .. } => Exit::Usage,
            _ => Exit::Failed,
        }
    }

    /// What to do next.
    pub fn advice(&self) -> Option<&'static str> {
        Some(match self {
            CatalogError::Broken { .. } | CatalogError::Truncated { .. } | CatalogError::Stalled { .. } => {
                "the same command again; a disk goes on where it broke off"
            }
            CatalogError::Roots => "install the package ca-certificates, or name a file of them with SSL_CERT_FILE",
            CatalogError::Digest { .. } | CatalogError::WrongSize { .. } => {
                "kiln catalog refresh, for the index may be older than the disk; if it happens again, tell the catalog's owner"
            }
            CatalogError::Space { .. } => "make room, or have XDG_CACHE_HOME name a folder with more",
            CatalogError::Signature { .. } => {
                "nothing was changed; ask the catalog's owner, and give the key that they publish"
            }
            _ => return None,
        })
    }
}
