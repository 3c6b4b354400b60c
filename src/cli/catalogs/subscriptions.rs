//! The list of catalogs that a user is subscribed to: a small JSON file.

use super::address::{Address, AddressError};
use super::error::CatalogError;
use super::folders::{self, Folders};
use super::signature::Key;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// A catalog that is subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// What the user calls it.
    pub name: String,
    /// Where its index is.
    pub source: Source,
    /// The key that the index must be signed with.
    pub key: Option<Key>,
}

/// Where an index is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// At an address.
    Remote(Address),
    /// In a file of this host.
    Local(PathBuf),
}

impl Source {
    /// Reads what a user or the list says: an address, else a path.
    pub fn parse(text: &str) -> Result<Source, AddressError> {
        if text.contains("://") {
            return Address::parse(text).map(Source::Remote);
        }
        Ok(Source::Local(text.into()))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Remote(address) => address.fmt(f),
            Source::Local(path) => path.display().fmt(f),
        }
    }
}

/// All subscriptions, in the order of their names.
#[derive(Debug, Clone, Default)]
pub struct Subscriptions(Vec<Subscription>);

#[derive(Serialize, Deserialize)]
struct Wire {
    version: u32,
    catalogs: Vec<WireSubscription>,
}

#[derive(Serialize, Deserialize)]
struct WireSubscription {
    name: String,
    source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl Subscriptions {
    /// Whether a text can be a catalog's name, and so a file's: lower-case letters, digits, `-`, `_` and `.`.
    pub fn is_name(text: &str) -> bool {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        (1..=63).contains(&text.len())
            && text.bytes().next().is_some_and(is_plain)
            && text.bytes().all(|byte| is_plain(byte) || b"-_.".contains(&byte))
    }

    /// Reads the list; it is empty when there is none.
    pub fn read(folders: &Folders) -> Result<Subscriptions, CatalogError> {
        let path = folders.subscriptions();
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Subscriptions::default()),
            Err(error) => return Err(CatalogError::file(path)(error)),
        };
        parse(&text).map_err(|problem| CatalogError::Subscriptions { path, problem })
    }

    /// Writes the list.
    pub fn write(&self, folders: &Folders) -> Result<(), CatalogError> {
        let catalogs = self.0.iter().map(|one| WireSubscription {
            name: one.name.clone(),
            source: one.source.to_string(),
            key: one.key.as_ref().map(Key::to_string),
        });
        let wire = Wire {
            version: 1,
            catalogs: catalogs.collect(),
        };
        let path = folders.subscriptions();
        let text = serde_json::to_string_pretty(&wire).map_err(|error| CatalogError::Subscriptions {
            path: path.clone(),
            problem: error.to_string(),
        })?;
        folders::replace(&path, format!("{text}\n").as_bytes())
    }

    /// All of them.
    pub fn all(&self) -> &[Subscription] {
        &self.0
    }

    /// The one of that name.
    pub fn get(&self, name: &str) -> Option<&Subscription> {
        self.0.iter().find(|one| one.name == name)
    }

    /// Adds one, in the place of another of that name.
    pub fn put(&mut self, subscription: Subscription) {
        self.remove(&subscription.name);
        self.0.push(subscription);
        self.0.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// Takes one away.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|one| one.name != name);
    }
}

fn parse(text: &[u8]) -> Result<Subscriptions, String> {
    let wire: Wire = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if wire.version != 1 {
        return Err(format!("they have version {}, and this kiln knows 1", wire.version));
    }
    let mut all = Subscriptions::default();
    for one in wire.catalogs {
        if !Subscriptions::is_name(&one.name) {
            return Err(format!("{:?} is no name of a catalog", one.name));
        }
        let source = Source::parse(&one.source).map_err(|error| error.to_string())?;
        if let Source::Local(path) = &source
            && !Path::is_absolute(path)
        {
            return Err(format!("{source} is no absolute path"));
        }
        all.put(Subscription {
            name: one.name,
            source,
            key: one.key.map(|key| key.parse()).transpose()?,
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_reads_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::under(folder.path());
        assert!(Subscriptions::read(&folders).unwrap().all().is_empty());
        let mut list = Subscriptions::default();
        let key = include_str!("../../../tests/data/catalog/minisign.pub");
        for (name, source, key) in [
            ("two", "/srv/images/index.json", None),
            ("one", "https://images.example/index.json", key.lines().last()),
        ] {
            list.put(Subscription {
                name: name.into(),
                source: Source::parse(source).unwrap(),
                key: key.map(|key| key.parse().unwrap()),
            });
        }
        list.write(&folders).unwrap();
        let read = Subscriptions::read(&folders).unwrap();
        assert_eq!(read.all(), list.all());
        assert_eq!(read.all()[0].name, "one");
    }

    #[test]
    fn a_list_that_was_tampered_with_is_refused() {
        for text in [
            "[]",
            r#"{"version": 2, "catalogs": []}"#,
            r#"{"version": 1, "catalogs": [{"name": "../x", "source": "/a"}]}"#,
            r#"{"version": 1, "catalogs": [{"name": "x", "source": "a"}]}"#,
            r#"{"version": 1, "catalogs": [{"name": "x", "source": "http://images.example/"}]}"#,
            r#"{"version": 1, "catalogs": [{"name": "x", "source": "/a", "key": "short"}]}"#,
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
