//! Which of the user's private keys goes with an instance's key pair: the one whose public half is the same.

use ssh_key::{PrivateKey, PublicKey};
use std::fs;
use std::path::{Path, PathBuf};

/// The largest file that is looked at, in bytes.
const MAX_SIZE: u64 = 16 << 10;

/// The file in `folder` with the private half of `public_key`, a line in the form of `authorized_keys`. A key that is
/// encrypted is found too: its public half is not.
pub fn find(folder: &Path, public_key: &str) -> Option<PathBuf> {
    let wanted = PublicKey::from_openssh(public_key).ok()?;
    let mut files: Vec<PathBuf> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.into_iter().find(|file| {
        let small = fs::metadata(file).is_ok_and(|data| data.is_file() && data.len() <= MAX_SIZE);
        small && public_half(file).is_some_and(|public| public.key_data() == wanted.key_data())
    })
}

/// The public half of a private key: in itself, or, for kinds that don't show it, in the `.pub` beside it.
fn public_half(file: &Path) -> Option<PublicKey> {
    let text = fs::read_to_string(file).ok()?;
    if !text.contains("PRIVATE KEY-----") {
        return None;
    }
    if let Ok(key) = PrivateKey::from_openssh(&text) {
        return Some(key.public_key().clone());
    }
    let beside = PathBuf::from(format!("{}.pub", file.display()));
    PublicKey::from_openssh(&fs::read_to_string(beside).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssh_key::LineEnding;
    use ssh_key::private::Ed25519Keypair;

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
    }

    #[test]
    fn the_key_with_the_same_public_half_is_found_whatever_its_name() {
        let folder = tempfile::tempdir().unwrap();
        for seed in [1, 2] {
            let text = key(seed).to_openssh(LineEnding::LF).unwrap();
            fs::write(folder.path().join(format!("key-{seed}")), text.as_bytes()).unwrap();
        }
        fs::write(folder.path().join("config"), "Host *\n").unwrap();
        let public = |seed| format!("{} me@here", key(seed).public_key().to_openssh().unwrap());
        assert_eq!(find(folder.path(), &public(2)), Some(folder.path().join("key-2")));
        assert_eq!(find(folder.path(), &public(3)), None);
        assert_eq!(find(folder.path(), "nonsense"), None);
        assert_eq!(find(Path::new("/nonexistent"), &public(1)), None);
    }
}
