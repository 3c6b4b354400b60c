//! The command line of `kiln-vmm`. Programs write it, not people: what is not understood is refused.

use crate::sandbox::process::Identity;
use std::ffi::OsString;

/// What to do.
#[derive(Debug)]
pub enum Command {
    /// Say whether this host's KVM can run stock kernels.
    Probe,
    /// Run a machine.
    Run(Arguments),
}

/// How to run a machine.
#[derive(Debug)]
pub struct Arguments {
    /// Whom the process becomes.
    pub identity: Identity,
    /// The user that may connect beside root.
    pub owner: u32,
    /// Stay in the network namespace that it was started in, which is its VPC's and lives as long as the process does.
    pub keep_network: bool,
    /// Go on where a step of the sandbox fails: for tests that don't run as root.
    pub partial: bool,
}

/// Why the command line was refused.
#[derive(Debug, thiserror::Error)]
pub enum ArgumentsError {
    /// A word that is none of ours.
    #[error(
        "The argument {0:?} is unknown; usage: kiln-vmm --uid N --gid N [--owner-uid N] [--keep-network] | kiln-vmm probe"
    )]
    Unknown(OsString),
    /// An option without its value, or with a wrong one.
    #[error("The option {0} wants a number")]
    Value(&'static str),
    /// An option is missing.
    #[error("The option {0} is missing")]
    Missing(&'static str),
}

impl Command {
    /// Reads the words after the program's name.
    ///
    /// # Errors
    /// See [`ArgumentsError`].
    pub fn parse(words: impl Iterator<Item = OsString>) -> Result<Self, ArgumentsError> {
        let (mut uid, mut gid, mut owner, mut keep_network, mut partial) = (None, None, 0, false, false);
        let mut words = words.peekable();
        if words.next_if(|word| word == "probe").is_some() {
            return words
                .next()
                .map_or(Ok(Self::Probe), |word| Err(ArgumentsError::Unknown(word)));
        }
        while let Some(word) = words.next() {
            match word.to_str() {
                Some("--uid") => uid = Some(number("--uid", words.next())?),
                Some("--gid") => gid = Some(number("--gid", words.next())?),
                Some("--owner-uid") => owner = number("--owner-uid", words.next())?,
                Some("--keep-network") => keep_network = true,
                Some("--sandbox=partial") => partial = true,
                _ => return Err(ArgumentsError::Unknown(word)),
            }
        }
        let uid = uid.ok_or(ArgumentsError::Missing("--uid"))?;
        let gid = gid.ok_or(ArgumentsError::Missing("--gid"))?;
        Ok(Self::Run(Arguments {
            identity: Identity { uid, gid },
            owner,
            keep_network,
            partial,
        }))
    }
}

fn number(option: &'static str, word: Option<OsString>) -> Result<u32, ArgumentsError> {
    let text = word.as_ref().and_then(|word| word.to_str());
    text.and_then(|text| text.parse().ok())
        .ok_or(ArgumentsError::Value(option))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, ArgumentsError> {
        Command::parse(line.split_ascii_whitespace().map(OsString::from))
    }

    #[test]
    fn user_and_group_must_be_named() {
        let Ok(Command::Run(arguments)) = parse("--uid 7 --gid 8 --owner-uid 9") else {
            panic!()
        };
        assert_eq!(
            (arguments.identity.uid, arguments.identity.gid, arguments.owner),
            (7, 8, 9)
        );
        assert!(!arguments.partial && !arguments.keep_network);
        assert!(matches!(parse("--uid 7"), Err(ArgumentsError::Missing("--gid"))));
        assert!(matches!(
            parse("--uid seven --gid 8"),
            Err(ArgumentsError::Value("--uid"))
        ));
        assert!(matches!(
            parse("--uid 7 --gid 8 --sandbox=off"),
            Err(ArgumentsError::Unknown(_))
        ));
        assert!(matches!(parse("probe"), Ok(Command::Probe)));
    }
}
