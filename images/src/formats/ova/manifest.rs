//! The manifest: digests of an OVA's files (section 5.1), one a line: `SHA256(disk1.vmdk)= 9f86…`.

use super::OvaError;
use super::archive::{Member, shown};
use crate::ReadAt;
use crate::formats::ImportError;
use sha1::{Digest as _, Sha1};
use sha2::{Sha256, Sha512};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// How much is read at once.
const STEP: usize = 1 << 20;

/// How a digest is made: SHA-1 in OVF 1.x, SHA-256 in 2.x, SHA-512 by newer tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

/// The digests of a manifest, in hexadecimal, by the names of the files.
#[derive(Debug)]
pub(super) struct Manifest(HashMap<String, (Algorithm, String)>);

impl Manifest {
    pub(super) fn parse(text: &str) -> Result<Self, ImportError> {
        let mut digests = HashMap::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (name, digest) = parse_line(line)?;
            if digests.insert(name, digest).is_some() {
                return Err(damaged("its manifest has two digests of one file").into());
            }
        }
        Ok(Self(digests))
    }

    /// Reads all of a file for its digest.
    pub(super) fn verify(&self, member: &Member<'_>, cancel: &AtomicBool) -> Result<(), ImportError> {
        let Some((algorithm, wanted)) = self.0.get(&member.name) else {
            return Err(member.damaged("has no digest in the manifest").into());
        };
        match digest(*algorithm, member, cancel)?.eq_ignore_ascii_case(wanted) {
            true => Ok(()),
            false => Err(OvaError::Digest {
                name: shown(&member.name),
            }
            .into()),
        }
    }
}

/// `algorithm(name)= digest`; tools differ in the blanks.
fn parse_line(line: &str) -> Result<(String, (Algorithm, String)), OvaError> {
    let parts = line.rsplit_once('=').and_then(|(head, digest)| {
        let (algorithm, name) = head.trim_end().strip_suffix(')')?.split_once('(')?;
        Some((algorithm.trim_end(), name, digest.trim_start()))
    });
    let (algorithm, name, digest) = parts.ok_or_else(|| damaged("a line of its manifest is no digest of a file"))?;
    let algorithm = match algorithm.to_ascii_uppercase().as_str() {
        "SHA1" => Algorithm::Sha1,
        "SHA256" => Algorithm::Sha256,
        "SHA512" => Algorithm::Sha512,
        _ => {
            let what = "a manifest with digests that are not SHA-1, SHA-256 or SHA-512";
            return Err(OvaError::Unsupported { what });
        }
    };
    let name = name.trim_start_matches("./").to_owned();
    Ok((name, (algorithm, digest.to_owned())))
}

/// The digest of a file in hexadecimal.
fn digest(algorithm: Algorithm, member: &Member<'_>, cancel: &AtomicBool) -> Result<String, ImportError> {
    match algorithm {
        Algorithm::Sha1 => {
            let mut state = Sha1::new();
            each_piece(member, cancel, |piece| state.update(piece))?;
            Ok(hexadecimal(&state.finalize()))
        }
        Algorithm::Sha256 => {
            let mut state = <Sha256 as sha2::Digest>::new();
            each_piece(member, cancel, |piece| sha2::Digest::update(&mut state, piece))?;
            Ok(hexadecimal(&sha2::Digest::finalize(state)))
        }
        Algorithm::Sha512 => {
            let mut state = <Sha512 as sha2::Digest>::new();
            each_piece(member, cancel, |piece| sha2::Digest::update(&mut state, piece))?;
            Ok(hexadecimal(&sha2::Digest::finalize(state)))
        }
    }
}

fn each_piece(member: &Member<'_>, cancel: &AtomicBool, mut take: impl FnMut(&[u8])) -> Result<(), ImportError> {
    let size = member.contents.size().map_err(ImportError::read(0))?;
    let (mut at, mut buffer) = (0, vec![0; STEP]);
    while at < size {
        if cancel.load(Ordering::Relaxed) {
            return Err(ImportError::Cancelled);
        }
        let len = usize::try_from(size - at).unwrap_or(STEP).min(STEP);
        let piece = &mut buffer[..len];
        member
            .contents
            .read_exact_at(piece, at)
            .map_err(ImportError::read(at))?;
        take(piece);
        at += len as u64;
    }
    Ok(())
}

fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn damaged(what: &'static str) -> OvaError {
    OvaError::Damaged { what }
}
