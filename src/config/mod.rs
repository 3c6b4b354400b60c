//! What the daemon is told from outside: `kiln.toml` and `instance-types.toml`, each parsed once, at start, into values
//! that can't be wrong. `kilnd` calls [`Config::load`]; everything below it is handed the parts that it needs.
//!
//! `config/kiln.toml` in the tree documents every value and shows its default; a test holds the two together.

mod image_aliases;
mod instance_types;
mod network;
mod place;
mod units;
mod vmm;

pub use image_aliases::{ImageAlias, ImageAliases};
pub use instance_types::{InstanceTypeSpec, InstanceTypes, LoadInstanceTypesError};
pub use network::{InvalidTransitError, Network, TransitBlock};
pub use place::{InvalidPlaceError, Place};
pub use units::{ParseUnitError, Size, Span};
pub use vmm::{InvalidUidRangeError, UidRange, Vmm};

use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where the packaged configuration lies; read when no other file is named, and it may be absent.
pub const DEFAULT_PATH: &str = "/etc/kiln/kiln.toml";
/// The socket that both sides use when nobody says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/kiln/kiln.sock";

/// Everything that `kiln.toml` may say. A key that is not here is refused.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the database, images, volumes and console logs are kept.
    pub state_dir: PathBuf,
    /// Where sockets are made; it may be emptied at a reboot of the host.
    pub run_dir: PathBuf,
    /// What is logged: a filter of the `tracing` family, `info` or `kiln=debug,info`.
    pub log: String,
    /// The socket of the API.
    pub socket: Socket,
    /// The query endpoint for clients of EC2.
    pub ec2: Ec2,
    /// Region, zone and account.
    pub place: Place,
    /// The processes that run guests.
    pub vmm: Vmm,
    /// What may be used of the host's network.
    pub network: Network,
    /// How much of the host guests may have.
    pub capacity: Capacity,
    /// Time limits in the life of an instance.
    pub lifecycle: Lifecycle,
    /// The serial console.
    pub console: Console,
}

/// The socket of the API.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Socket {
    /// Its path; `kiln.sock` in the run directory when nothing is said.
    pub path: Option<PathBuf>,
    /// The group that may use it. Where the group does not exist, root alone may.
    pub group: String,
}

/// The query endpoint for clients of EC2.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ec2 {
    /// Where it listens; nowhere when nothing is said. The address is one of the host's own loopback.
    pub listen: Option<SocketAddr>,
}

/// How much of the host guests may have.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capacity {
    /// The file of instance types; the built-in table when nothing is said.
    pub instance_types: Option<PathBuf>,
    /// How many vCPUs may run for each CPU of the host; at least one.
    pub vcpu_overcommit: u16,
    /// Memory that is kept for the host itself. Guest memory is never overcommitted.
    pub memory_reserve: Size,
}

/// Time limits in the life of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lifecycle {
    /// How long a guest may take to power itself off before it is forced.
    pub stop_time_limit: Span,
    /// How long a terminated instance is still described.
    pub terminated_retention: Span,
}

/// The serial console.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Console {
    /// How much of the end of the console log `GetConsoleOutput` answers with.
    pub output_limit: Size,
}

impl Ec2 {
    /// What the address must be.
    pub const LOOPBACK: &str =
        "what is sent there is not encrypted: it must be a loopback address such as 127.0.0.1:8773";
}

impl Default for Config {
    fn default() -> Config {
        Config {
            state_dir: "/var/lib/kiln".into(),
            run_dir: "/run/kiln".into(),
            log: "info".into(),
            socket: Socket::default(),
            ec2: Ec2::default(),
            place: Place::default(),
            vmm: Vmm::default(),
            network: Network::default(),
            capacity: Capacity::default(),
            lifecycle: Lifecycle::default(),
            console: Console::default(),
        }
    }
}

impl Default for Socket {
    fn default() -> Socket {
        Socket {
            path: None,
            group: "kiln".into(),
        }
    }
}

impl Default for Capacity {
    fn default() -> Capacity {
        Capacity {
            instance_types: None,
            vcpu_overcommit: 4,
            memory_reserve: Size::from_mib(512),
        }
    }
}

impl Default for Lifecycle {
    fn default() -> Lifecycle {
        Lifecycle {
            stop_time_limit: Span::from_secs(120),
            terminated_retention: Span::from_secs(3600),
        }
    }
}

impl Default for Console {
    fn default() -> Console {
        Console {
            output_limit: Size::from_kib(64),
        }
    }
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadConfigError {
    /// The file can't be read.
    #[error("Configuration {path} can't be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML, names a key that there is not, or gives a key a value that it can't have.
    #[error("Configuration {path} is not valid")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why: the line is shown, and the known keys when one is unknown.
        source: Box<toml::de::Error>,
    },
    /// A value can't be used.
    #[error("Configuration {path}: {key} = {value} is not usable, {reason}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, with its table.
        key: &'static str,
        /// What stands there.
        value: String,
        /// What it must be.
        reason: &'static str,
    },
}

impl Config {
    /// Reads `file`, or [`DEFAULT_PATH`] when none is named. Without a name a missing file means the defaults.
    ///
    /// # Errors
    /// The file can't be read, is not valid TOML, has an unknown key or an impossible value.
    pub fn load(file: Option<&Path>) -> Result<Config, LoadConfigError> {
        let path = file.unwrap_or_else(|| Path::new(DEFAULT_PATH));
        match std::fs::read_to_string(path) {
            Ok(text) => Config::parse(&text, path),
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(Config::default()),
            Err(source) => Err(LoadConfigError::Read {
                path: path.into(),
                source,
            }),
        }
    }

    /// Parses the text of a configuration; `path` is only named in errors.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Config, LoadConfigError> {
        let config: Config = toml::from_str(text).map_err(|source| LoadConfigError::Parse {
            path: path.into(),
            source: Box::new(source),
        })?;
        config.check(path)?;
        Ok(config)
    }

    /// The path of the socket.
    pub fn socket_path(&self) -> PathBuf {
        self.socket
            .path
            .clone()
            .unwrap_or_else(|| self.run_dir.join("kiln.sock"))
    }

    fn check(&self, path: &Path) -> Result<(), LoadConfigError> {
        let refuse = |key, value: String, reason| {
            Err(LoadConfigError::Value {
                path: path.into(),
                key,
                value,
                reason,
            })
        };
        if !self.state_dir.is_absolute() {
            return refuse(
                "state_dir",
                self.state_dir.display().to_string(),
                "the path must be absolute",
            );
        }
        if !self.run_dir.is_absolute() {
            return refuse(
                "run_dir",
                self.run_dir.display().to_string(),
                "the path must be absolute",
            );
        }
        if let Some(listen) = self.ec2.listen.filter(|listen| !listen.ip().is_loopback()) {
            return refuse("ec2.listen", listen.to_string(), Ec2::LOOPBACK);
        }
        if self.capacity.vcpu_overcommit == 0 {
            return refuse(
                "capacity.vcpu_overcommit",
                "0".into(),
                "at least 1 vCPU a CPU is needed",
            );
        }
        if self.lifecycle.stop_time_limit.as_duration().is_zero() {
            return refuse(
                "lifecycle.stop_time_limit",
                "0s".into(),
                "a guest needs time to power off",
            );
        }
        if self.console.output_limit.bytes() == 0 {
            return refuse("console.output_limit", "0".into(), "at least one byte must be answered");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../config/kiln.toml");

    fn parse(text: &str) -> Result<Config, LoadConfigError> {
        Config::parse(text, Path::new("kiln.toml"))
    }

    /// The shipped file with every `# key = value` line made to count.
    fn uncommented() -> String {
        let setting = |line: &str| {
            let (key, _) = line.split_once(" = ")?;
            key.bytes()
                .all(|b| b.is_ascii_lowercase() || b == b'_')
                .then(|| line.to_string())
        };
        let lines = SHIPPED.lines().map(|line| match line.strip_prefix("# ") {
            Some(rest) => setting(rest).unwrap_or_default(),
            None => line.to_string(),
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_shipped_file_changes_nothing() {
        assert_eq!(parse(SHIPPED).unwrap(), Config::default());
    }

    #[test]
    fn the_values_that_the_shipped_file_shows_are_the_defaults() {
        let config = parse(&uncommented()).unwrap();
        let shown = Config {
            socket: Socket {
                path: Some(DEFAULT_SOCKET.into()),
                ..Socket::default()
            },
            ec2: Ec2 {
                listen: Some(([127, 0, 0, 1], 8773).into()),
            },
            capacity: Capacity {
                instance_types: Some("/etc/kiln/instance-types.toml".into()),
                ..Capacity::default()
            },
            ..Config::default()
        };
        assert_eq!(config, shown);
        assert_eq!(Config::default().socket_path(), Path::new(DEFAULT_SOCKET));
    }

    #[test]
    fn the_shipped_file_shows_every_key() {
        let shown: toml::Table = toml::from_str(&uncommented()).unwrap();
        // serde names all keys it knows when it meets one that it doesn't: the list to compare with.
        for (table, keys) in std::iter::once((None, &shown)).chain(
            shown
                .iter()
                .filter_map(|(name, value)| Some((Some(name), value.as_table()?))),
        ) {
            let text = table.map_or_else(|| "no_such = 1".to_string(), |name| format!("[{name}]\nno_such = 1"));
            let error = parse(&text).unwrap_err();
            let message = std::error::Error::source(&error).unwrap().to_string();
            let known: Vec<&str> = message
                .split('`')
                .skip(3)
                .step_by(2)
                .filter(|w| !w.contains('\n'))
                .collect();
            assert!(!known.is_empty(), "{message}");
            for key in known {
                assert!(keys.contains_key(key), "{key} of {table:?} is not in config/kiln.toml");
            }
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_known_keys() {
        let error = parse("log = \"info\"\n[socket]\ngruop = \"staff\"\n").unwrap_err();
        let message = std::error::Error::source(&error).unwrap().to_string();
        assert!(message.contains("line 3"), "{message}");
        assert!(
            message.contains("gruop") && message.contains("`path`") && message.contains("`group`"),
            "{message}"
        );
    }

    #[test]
    fn impossible_values_are_refused() {
        for text in [
            "state_dir = \"here\"",
            "[capacity]\nvcpu_overcommit = 0",
            "[capacity]\nmemory_reserve = \"much\"",
            "[lifecycle]\nstop_time_limit = \"0s\"",
            "[place]\naccount = \"12\"",
            "[place]\nzone = \"elsewhere-1a\"",
            "[vmm]\nuids = { first = 1, count = 10 }",
            "[console]\noutput_limit = \"0\"",
            "[network]\ntransit = \"10.0.0.1/24\"",
            "[network]\ntransit = \"10.0.0.0/32\"",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_examples_are_valid() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
        let mut seen = 0;
        for entry in std::fs::read_dir(examples).unwrap() {
            Config::load(Some(&entry.unwrap().path())).unwrap();
            seen += 1;
        }
        assert!(seen > 0);
    }

    #[test]
    fn a_named_file_must_exist() {
        let directory = tempfile::tempdir().unwrap();
        let error = Config::load(Some(&directory.path().join("none.toml"))).unwrap_err();
        assert!(matches!(error, LoadConfigError::Read { .. }));
    }
}
