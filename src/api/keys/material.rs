//! What keys are made of: new pairs, public keys that clients bring, and the fingerprints that EC2 gives each.
//!
//! Called by the operations on key pairs. A private key is in memory only until it is in the answer.

use super::super::{ApiError, Code};
use crate::base64;
use crate::model::{KeyName, KeyType};
use md5::Md5;
use rsa::BoxedUint;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use rsa::traits::PublicKeyParts;
use sha1::{Digest, Sha1};
use ssh_key::public::{KeyData, RsaPublicKey};
use ssh_key::{HashAlg, Mpint};

/// The longest public key that is read, in bytes; an RSA key of 4096 bits has some 750.
const MAX_PUBLIC_KEY: usize = 16 << 10;
/// The size of the RSA keys that EC2 makes, in bits.
const NEW_RSA_BITS: usize = 2048;
/// The sizes of an RSA key that EC2 imports, in bits.
const RSA_SIZES: [u32; 3] = [1024, 2048, 4096];

/// The public half of a pair, as the store keeps it.
pub struct PublicHalf {
    pub kind: KeyType,
    pub fingerprint: String,
    /// One line in the form of `authorized_keys`, the pair's name its comment.
    pub line: String,
}

/// A pair that was just made.
pub struct NewPair {
    pub public: PublicHalf,
    /// PKCS #1 in PEM for RSA, OpenSSH's own form for ED25519, as EC2 gives them.
    pub private: String,
}

/// Makes a pair. An RSA key, of 2048 bits, takes a processor some tenths of a second: not for the threads that serve.
///
/// # Errors
/// The random source fails; the causes are logged.
pub fn make(kind: KeyType, name: &KeyName) -> Result<NewPair, ApiError> {
    match kind {
        KeyType::Rsa => make_rsa(name),
        KeyType::Ed25519 => make_ed25519(name),
    }
}

fn make_rsa(name: &KeyName) -> Result<NewPair, ApiError> {
    let key = rsa::PrivateKey::new(&mut getrandom::SysRng, NEW_RSA_BITS).map_err(internal)?;
    // EC2's fingerprint of an RSA key that it made itself: SHA-1 of the private key, as PKCS #8.
    let fingerprint = colons(&Sha1::digest(key.to_pkcs8_der().map_err(internal)?.as_bytes()));
    let mpint = |number: &BoxedUint| Mpint::from_positive_bytes(&number.to_be_bytes()).map_err(internal);
    let public = KeyData::Rsa(RsaPublicKey {
        e: mpint(key.e())?,
        n: mpint(key.n())?,
    });
    Ok(NewPair {
        public: PublicHalf {
            kind: KeyType::Rsa,
            fingerprint,
            line: line(public, name.as_str())?,
        },
        private: key.to_pkcs1_pem(LineEnding::LF).map_err(internal)?.to_string(),
    })
}

fn make_ed25519(name: &KeyName) -> Result<NewPair, ApiError> {
    let mut random = ssh_key::rand_core::OsRng;
    let key = ssh_key::PrivateKey::random(&mut random, ssh_key::Algorithm::Ed25519).map_err(internal)?;
    let public = key.public_key().key_data().clone();
    Ok(NewPair {
        public: PublicHalf {
            kind: KeyType::Ed25519,
            fingerprint: sha256(&public),
            line: line(public, name.as_str())?,
        },
        private: key.to_openssh(ssh_key::LineEnding::LF).map_err(internal)?.to_string(),
    })
}

/// Reads a public key that a client brings, one line as `ssh-keygen` writes it. What follows the key on it is dropped.
///
/// # Errors
/// `InvalidKey.Format`: it is not such a line, of another kind than RSA and ED25519, or of a size that EC2 has not.
pub fn read(material: &[u8], name: &KeyName) -> Result<PublicHalf, ApiError> {
    let (kind, fingerprint, key) = read_key(material)?;
    Ok(PublicHalf {
        kind,
        fingerprint,
        line: line(key, name.as_str())?,
    })
}

/// The same for a key that is in no pair: its line, without what follows the key on it.
///
/// # Errors
/// As [`read`].
pub fn public_key_line(material: &[u8]) -> Result<String, ApiError> {
    let (_, _, key) = read_key(material)?;
    line(key, "")
}

/// The key, its kind, and its fingerprint.
fn read_key(material: &[u8]) -> Result<(KeyType, String, KeyData), ApiError> {
    let refused = |why: &str| {
        let message = format!(
            "Key is not in valid OpenSSH public key format: {why}; \
             give one line as ssh-keygen writes it, `ssh-keygen -i -f FILE` makes that of other formats"
        );
        ApiError::new(Code::InvalidKeyFormat, message)
    };
    if material.len() > MAX_PUBLIC_KEY {
        return Err(refused(&format!("it is longer than {MAX_PUBLIC_KEY} bytes")));
    }
    let text = std::str::from_utf8(material)
        .map_err(|_| refused("it is not text"))?
        .trim();
    if text.lines().count() != 1 {
        return Err(refused("it is not one line"));
    }
    let key = ssh_key::PublicKey::from_openssh(text).map_err(|error| refused(&error.to_string()))?;
    let (kind, fingerprint) = match key.key_data() {
        KeyData::Ed25519(_) => (KeyType::Ed25519, sha256(key.key_data())),
        KeyData::Rsa(rsa) => (KeyType::Rsa, imported_rsa(rsa).map_err(|why| refused(&why))?),
        _ => return Err(refused("it is neither an RSA nor an ED25519 key")),
    };
    Ok((kind, fingerprint, key.key_data().clone()))
}

/// EC2's fingerprint of an RSA key that it was given: MD5 of the public key, as X.509's `SubjectPublicKeyInfo`.
fn imported_rsa(key: &RsaPublicKey) -> Result<String, String> {
    let positive = |number: &Mpint| {
        let bytes = number.as_positive_bytes().ok_or("a number in it is negative")?;
        Ok::<_, String>(BoxedUint::from_be_slice_vartime(bytes))
    };
    let (n, e) = (positive(&key.n)?, positive(&key.e)?);
    let bits = n.bit_width_vartime();
    if !RSA_SIZES.contains(&bits) {
        return Err(format!("an RSA key has 1024, 2048 or 4096 bits, this one {bits}"));
    }
    let key = rsa::PublicKey::new_with_size_limits(n, e, 1024..=4096).map_err(|error| error.to_string())?;
    let der = key.to_public_key_der().map_err(|error| error.to_string())?;
    Ok(colons(&Md5::digest(der.as_bytes())))
}

/// SHA-256 of the key as SSH sends it, in base64.
fn sha256(key: &KeyData) -> String {
    base64::encode(key.fingerprint(HashAlg::Sha256).as_bytes())
}

fn line(key: KeyData, comment: &str) -> Result<String, ApiError> {
    ssh_key::PublicKey::new(key, comment).to_openssh().map_err(internal)
}

fn colons(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

fn internal(error: impl std::error::Error + 'static) -> ApiError {
    ApiError::internal(&error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn name() -> KeyName {
        "mine".parse().unwrap()
    }

    /// What a program of OpenSSH or OpenSSL says of a key on its standard input.
    fn ask(program: &str, arguments: &[&str], input: &str) -> String {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn openssh_reads_the_pairs_that_are_made() {
        for kind in [KeyType::Rsa, KeyType::Ed25519] {
            let pair = make(kind, &name()).unwrap();
            let begins = match kind {
                KeyType::Rsa => "-----BEGIN RSA PRIVATE KEY-----\n",
                KeyType::Ed25519 => "-----BEGIN OPENSSH PRIVATE KEY-----\n",
            };
            assert!(pair.private.starts_with(begins));
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("key");
            std::fs::write(&file, &pair.private).unwrap();
            std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            let public = ask("ssh-keygen", &["-y", "-f", file.to_str().unwrap()], "");
            let key = |line: &str| line.split(' ').take(2).map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(key(public.trim()), key(&pair.public.line));
            assert!(pair.public.line.ends_with(" mine"));
        }
    }

    #[test]
    fn fingerprints_are_ec2s() {
        let rsa = make(KeyType::Rsa, &name()).unwrap();
        let der = ["pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-out", "/dev/stdout"];
        let made = ask(
            "sh",
            &["-c", &format!("openssl {} | openssl sha1 -c", der.join(" "))],
            &rsa.private,
        );
        assert!(made.trim().ends_with(&rsa.public.fingerprint), "{made}");

        let public = "openssl rsa -pubout -outform DER 2> /dev/null | openssl md5 -c";
        let imported = ask("sh", &["-c", public], &rsa.private);
        let read_back = read(rsa.public.line.as_bytes(), &name()).unwrap();
        assert!(imported.trim().ends_with(&read_back.fingerprint), "{imported}");

        let ed25519 = make(KeyType::Ed25519, &name()).unwrap().public;
        let said = ask("ssh-keygen", &["-l", "-f", "-"], &ed25519.line);
        let bare = ed25519.fingerprint.trim_end_matches('=');
        assert!(said.contains(&format!("SHA256:{bare} ")), "{said}");
        assert_eq!(ed25519.fingerprint.len(), 44);
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let ed25519 = make(KeyType::Ed25519, &name()).unwrap();
        let good = &ed25519.public.line;
        assert_eq!(read(format!("{good}\n").as_bytes(), &name()).unwrap().line, *good);
        for bad in [
            "",
            "ssh-rsa",
            "ssh-rsa AAAA",
            &ed25519.private,
            &format!("{good}\n{good}"),
            &good.replacen("ssh-ed25519", "ssh-rsa", 1),
            &"x".repeat(MAX_PUBLIC_KEY + 1),
            "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=",
        ] {
            let refused = read(bad.as_bytes(), &name()).err().map(|error| error.code);
            assert_eq!(refused, Some(Code::InvalidKeyFormat), "{bad}");
        }
    }

    #[test]
    fn a_key_of_no_pair_is_its_line_alone() {
        for kind in [KeyType::Rsa, KeyType::Ed25519] {
            let line = make(kind, &name()).unwrap().public.line;
            let bare = line.strip_suffix(" mine").unwrap();
            for given in [&line, bare, &format!("{bare} another comment\n")] {
                assert_eq!(public_key_line(given.as_bytes()).unwrap(), bare);
            }
            assert!(public_key_line(format!("command=\"ls\" {line}").as_bytes()).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, kind in "ssh-(rsa|ed25519|dss)") {
            let _ = read(&bytes, &name());
            let _ = read(format!("{kind} {}", base64::encode(&bytes)).as_bytes(), &name());
        }
    }
}
