//! The key with which this host signs what its instances say of themselves: the identity document of their metadata.
//!
//! Whoever is shown a document and its signature checks them with the public half (`GET /identity-key`), as others check
//! EC2's with AWS's certificate: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, 8.2).

use crate::base64;
use crate::store::{self, Store, StoreError};
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use rsa::sha2::Sha256;
use rsa::signature::{Keypair, SignatureEncoding, Signer};
use tokio::sync::OnceCell;

/// The size of the key, in bits: that of EC2's own.
const BITS: usize = 2048;

/// Why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum IdentityKeyError {
    /// The store refused.
    #[error("The identity key can't be read or kept")]
    Store(#[from] StoreError),
    /// It can't be made, or what is on record is none.
    #[error("The identity key can't be used")]
    Key(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The key: made when it is first needed, and kept in the store from then on.
#[derive(Debug)]
pub struct IdentityKey {
    store: Store,
    key: OnceCell<SigningKey<Sha256>>,
}

impl IdentityKey {
    /// That of the daemon with this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self {
            store,
            key: OnceCell::new(),
        }
    }

    /// The signature of a document, in base64.
    ///
    /// # Errors
    /// See [`IdentityKeyError`].
    pub async fn sign(&self, document: &str) -> Result<String, IdentityKeyError> {
        let signature = self.key().await?.try_sign(document.as_bytes()).map_err(unusable)?;
        Ok(base64::encode(&signature.to_bytes()))
    }

    /// The public half, as PEM (RFC 7468, 13).
    ///
    /// # Errors
    /// See [`IdentityKeyError`].
    pub async fn public_key(&self) -> Result<String, IdentityKeyError> {
        let public = self.key().await?.verifying_key();
        public.to_public_key_pem(LineEnding::LF).map_err(unusable)
    }

    async fn key(&self) -> Result<&SigningKey<Sha256>, IdentityKeyError> {
        self.key.get_or_try_init(|| self.read_or_make()).await
    }

    async fn read_or_make(&self) -> Result<SigningKey<Sha256>, IdentityKeyError> {
        let kept = match self.store.read(store::identity_key::get).await? {
            Some(kept) => kept,
            None => {
                let made = tokio::task::spawn_blocking(make).await.map_err(unusable)??;
                self.store.write(move |tx| store::identity_key::keep(tx, &made)).await?
            }
        };
        rsa::PrivateKey::from_pkcs8_der(&kept)
            .map(SigningKey::new)
            .map_err(unusable)
    }
}

/// A new key, as PKCS #8 (RFC 5208). Takes a processor some tenths of a second.
fn make() -> Result<Vec<u8>, IdentityKeyError> {
    let key = rsa::PrivateKey::new(&mut getrandom::SysRng, BITS).map_err(unusable)?;
    Ok(key.to_pkcs8_der().map_err(unusable)?.as_bytes().to_vec())
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> IdentityKeyError {
    IdentityKeyError::Key(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsa::pkcs1v15::{Signature, VerifyingKey};
    use rsa::pkcs8::DecodePublicKey;
    use rsa::signature::Verifier;

    #[tokio::test]
    async fn a_signature_holds_for_its_document_alone_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("kiln.db")).unwrap();
        let signature = IdentityKey::new(store.clone()).sign("a document").await.unwrap();
        let public = IdentityKey::new(store).public_key().await.unwrap();
        let public: VerifyingKey<Sha256> = VerifyingKey::from_public_key_pem(&public).unwrap();
        let signature = Signature::try_from(base64::decode(&signature).unwrap().as_slice()).unwrap();
        assert!(public.verify(b"a document", &signature).is_ok());
        assert!(public.verify(b"another", &signature).is_err());
    }
}
