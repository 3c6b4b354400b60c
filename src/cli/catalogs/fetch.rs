//! Fetching an index: from its address or its file, with its signature if it must have one.

use super::error::CatalogError;
use super::http::Http;
use super::index::{Index, MAX_INDEX};
use super::signature::Key;
use super::subscriptions::{Source, Subscription};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The largest signature, in bytes: minisign's has some 400.
const MAX_SIGNATURE: usize = 8 << 10;

/// An index that may be kept.
pub struct Fetched {
    /// Its text.
    pub text: Vec<u8>,
    /// What it says.
    pub index: Index,
}

/// Fetches a catalog's index, checks its signature if there is a key, and reads it.
pub async fn fetch(http: &Http, subscription: &Subscription) -> Result<Fetched, CatalogError> {
    let catalog = &subscription.name;
    let text = match &subscription.source {
        Source::Remote(address) => http.read(address, MAX_INDEX).await?,
        Source::Local(path) => read(path, MAX_INDEX)?,
    };
    if let Some(key) = &subscription.key {
        check(http, subscription, key, &text).await?;
    }
    let index = Index::parse(&text, subscription.key.is_some()).map_err(|source| CatalogError::Index {
        catalog: catalog.clone(),
        source,
    })?;
    Ok(Fetched { text, index })
}

async fn check(http: &Http, subscription: &Subscription, key: &Key, text: &[u8]) -> Result<(), CatalogError> {
    let not_trusted = |problem: String| CatalogError::Signature {
        catalog: subscription.name.clone(),
        problem,
    };
    let signature = match &subscription.source {
        Source::Remote(address) => {
            let beside = address.signature().map_err(|source| CatalogError::Address {
                address: address.to_string(),
                source,
            })?;
            http.read(&beside, MAX_SIGNATURE).await
        }
        Source::Local(path) => {
            let mut beside = path.clone().into_os_string();
            beside.push(".minisig");
            read(Path::new(&beside), MAX_SIGNATURE)
        }
    };
    let signature = signature.map_err(|error| match error {
        CatalogError::Status {
            address,
            status: 404 | 410,
        } => not_trusted(format!("it has no signature; {address} is not there")),
        CatalogError::File { path, source } if source.kind() == io::ErrorKind::NotFound => {
            not_trusted(format!("it has no signature; {} is not there", path.display()))
        }
        other => other,
    })?;
    key.verify(text, &signature).map_err(not_trusted)
}

/// Reads a file that has at most `max` bytes.
fn read(path: &Path, max: usize) -> Result<Vec<u8>, CatalogError> {
    let mut text = Vec::new();
    let reading = File::open(path).and_then(|file| file.take(max as u64 + 1).read_to_end(&mut text));
    reading.map_err(CatalogError::file(path))?;
    if text.len() > max {
        let address = path.display().to_string();
        return Err(CatalogError::TooLarge { address, max });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answer, Server, answer};
    use super::*;

    const INDEX: &[u8] = include_bytes!("../../../tests/data/catalog/index.json");
    const SIGNATURE: &[u8] = include_bytes!("../../../tests/data/catalog/index.json.minisig");

    fn whole(text: &[u8]) -> Answer {
        answer(200, &[&format!("Content-Length: {}", text.len())], text)
    }

    fn subscription(source: Source, is_signed: bool) -> Subscription {
        let key = include_str!("../../../tests/data/catalog/minisign.pub")
            .lines()
            .last()
            .unwrap();
        Subscription {
            name: "lab".into(),
            source,
            key: is_signed.then(|| key.parse().unwrap()),
        }
    }

    #[tokio::test]
    async fn a_signed_index_is_taken_with_its_signature_only() {
        for (signature, word) in [
            (Some(SIGNATURE), None),
            (None, Some("no signature")),
            (Some(INDEX), Some("not one of")),
        ] {
            let (server, http) = Server::tls(move |head| match head.split(' ').nth(1).unwrap() {
                "/v1/index.json" => whole(INDEX),
                "/v1/index.json.minisig" => signature.map_or_else(|| answer(404, &[], b""), whole),
                other => panic!("{other}"),
            });
            let source = Source::Remote(server.address("/v1/index.json"));
            let fetched = fetch(&http, &subscription(source, true)).await;
            match word {
                None => assert_eq!(fetched.map(|fetched| fetched.index.offers.len()).unwrap(), 3),
                Some(word) => {
                    let error = fetched.map(|_| ()).unwrap_err().to_string();
                    assert!(error.contains("not trusted") && error.contains(word), "{error}");
                }
            }
        }
    }

    #[tokio::test]
    async fn an_index_of_this_host_is_read_with_its_signature() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.json");
        let source = Source::Local(path.clone());
        let http = Http::new();
        std::fs::write(&path, INDEX).unwrap();
        let error = fetch(&http, &subscription(source.clone(), true))
            .await
            .map(|_| ())
            .unwrap_err();
        assert!(matches!(error, CatalogError::Signature { .. }), "{error}");
        std::fs::write(folder.path().join("index.json.minisig"), SIGNATURE).unwrap();
        let fetched = fetch(&http, &subscription(source.clone(), true)).await.unwrap();
        assert_eq!(fetched.text, INDEX);
        // Without a key the same index may not offer what passes for kiln's own.
        let error = fetch(&http, &subscription(source, false))
            .await
            .map(|_| ())
            .unwrap_err();
        assert!(matches!(error, CatalogError::Index { .. }), "{error}");
    }
}
