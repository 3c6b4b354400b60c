//! What a guest is told, checked: what [`Told`] becomes before anything of it is answered.
//!
//! The control thread changes it on the [`Board`]; the guest thread looks there at every question. Neither waits for
//! the other longer than it takes to copy a pointer, or, when a key comes or goes, the metadata.

use super::keys::{Keys, SendKeyError};
use super::tree::{Directory, TreeError};
use crate::protocol::{ActiveKey, Lease, Metadata, MetadataOptions, Resolver, Told};
use crate::virtio::net::{Mac, SettingError};
use base64ct::{Base64, Encoding};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

/// Why a guest can't be told this.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// There are more leases than interfaces can be.
    #[error("{0} leases are too many: {max} are possible", max = Told::LEASES_MAX)]
    Leases(usize),
    /// A lease is no interface's.
    #[error("A lease can't be an interface's")]
    Mac(#[source] SettingError),
    /// A lease holds something that can't be; its member is named.
    #[error("A lease can't have this {0}")]
    Lease(&'static str),
    /// There are too many values.
    #[error("{0} values of metadata are too many: {max} are possible", max = Metadata::LEAVES_MAX)]
    Leaves(usize),
    /// A value or its path is too long, or it lies outside of `meta-data` and `dynamic`, or where keys that were sent do.
    #[error("The metadata {0:?} is too long or in no place where values may be")]
    Leaf(String),
    /// A value has no place in the tree.
    #[error("The metadata is no tree")]
    Tree(#[source] TreeError),
    /// The user data is too much.
    #[error("User data can't have more than {max} bytes", max = Metadata::USER_DATA_MAX)]
    UserDataLength,
    /// The user data is not base64.
    #[error("The user data is not base64")]
    UserData(#[source] base64ct::Error),
    /// The name server's domain or block is impossible.
    #[error("There is no name server for the domain {0:?}, or for its block")]
    Resolver(String),
    /// The hop limit is impossible.
    #[error("Tokens can't have a hop limit of {0}: 1 to 64 are possible")]
    HopLimit(u8),
}

/// What a guest is told.
#[derive(Debug, Clone)]
pub struct Facts {
    /// By the hardware address of their interface.
    pub leases: BTreeMap<Mac, Lease>,
    /// `meta-data` and `dynamic`.
    pub tree: Directory,
    /// `user-data`.
    pub user_data: Option<Vec<u8>>,
    /// How metadata may be asked for.
    pub options: MetadataOptions,
    /// What the name server knows; it refuses without.
    pub resolver: Option<Resolver>,
}

impl Facts {
    /// Checks `told`.
    ///
    /// # Errors
    /// See [`FactsError`].
    pub fn new(told: Told) -> Result<Self, FactsError> {
        let Told {
            leases,
            metadata,
            resolver,
        } = told;
        if leases.len() > Told::LEASES_MAX {
            return Err(FactsError::Leases(leases.len()));
        }
        leases.values().try_for_each(check_lease)?;
        let leases = leases.into_iter().map(|(mac, lease)| Ok((mac.parse()?, lease)));
        let leases = leases.collect::<Result<_, _>>().map_err(FactsError::Mac)?;
        resolver.iter().try_for_each(check_resolver)?;
        let Metadata {
            leaves,
            user_data,
            options,
        } = metadata;
        if leaves.len() > Metadata::LEAVES_MAX {
            return Err(FactsError::Leaves(leaves.len()));
        }
        let mut tree = Directory::default();
        for (path, value) in leaves {
            let known = path.starts_with("meta-data/") || path.starts_with("dynamic/");
            if !known || Keys::are_at(&path) || path.len() > Metadata::PATH_MAX || value.len() > Metadata::VALUE_MAX {
                return Err(FactsError::Leaf(path));
            }
            tree.insert(&path, value).map_err(FactsError::Tree)?;
        }
        if !(1..=64).contains(&options.hop_limit) {
            return Err(FactsError::HopLimit(options.hop_limit));
        }
        Ok(Self {
            leases,
            tree,
            user_data: user_data.as_deref().map(decode_user_data).transpose()?,
            options,
            resolver,
        })
    }
}

fn check_resolver(resolver: &Resolver) -> Result<(), FactsError> {
    let label = |label: &str| (1..=63).contains(&label.len());
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    let domain = &resolver.domain;
    let is_name = domain.len() <= 200 && domain.bytes().all(allowed) && domain.split('.').all(label);
    match is_name && (1..=32).contains(&resolver.prefix) {
        true => Ok(()),
        false => Err(FactsError::Resolver(domain.chars().take(64).collect())),
    }
}

fn check_lease(lease: &Lease) -> Result<(), FactsError> {
    let text = |text: &Option<String>, allowed: fn(u8) -> bool| {
        let possible = |text: &String| (1..=255).contains(&text.len()) && text.bytes().all(allowed);
        text.as_ref().is_none_or(possible)
    };
    let checks = [
        ("prefix", (1..=30).contains(&lease.prefix)),
        ("number of name servers", lease.name_servers.len() <= Lease::SERVERS_MAX),
        ("number of NTP servers", lease.ntp_servers.len() <= Lease::SERVERS_MAX),
        ("host name", text(&lease.host_name, |byte| byte.is_ascii_graphic())),
        (
            "domain name",
            text(&lease.domain_name, |byte| matches!(byte, b' '..=b'~')),
        ),
        ("MTU", lease.mtu >= 68),
        ("time", lease.seconds != 0),
    ];
    match checks.iter().find(|(_, possible)| !possible) {
        Some((member, _)) => Err(FactsError::Lease(member)),
        None => Ok(()),
    }
}

fn decode_user_data(text: &str) -> Result<Vec<u8>, FactsError> {
    // Checked first: what is too long is not worth decoding.
    if text.len() > Metadata::USER_DATA_MAX.div_ceil(3) * 4 {
        return Err(FactsError::UserDataLength);
    }
    let bytes = Base64::decode_vec(text).map_err(FactsError::UserData)?;
    match bytes.len() {
        0..=Metadata::USER_DATA_MAX => Ok(bytes),
        _ => Err(FactsError::UserDataLength),
    }
}

/// Where the control thread leaves what the guest thread says.
pub struct Board(Mutex<Posted>);

struct Posted {
    /// What was told, and the keys that were not over at the last look.
    facts: Arc<Facts>,
    keys: Keys,
    /// The interfaces that were given their lease in this life of the machine.
    leased: BTreeSet<Mac>,
}

impl Posted {
    /// Has the metadata show the keys that there are.
    fn show_keys(&mut self) {
        // Copied only while the guest thread answers out of them.
        self.keys.put_into(&mut Arc::make_mut(&mut self.facts).tree);
    }
}

impl Board {
    /// A board that says `told`.
    ///
    /// # Errors
    /// No guest can be told this.
    pub fn new(told: Told) -> Result<Self, FactsError> {
        Ok(Self(Mutex::new(Posted {
            facts: Arc::new(Facts::new(told)?),
            keys: Keys::default(),
            leased: BTreeSet::new(),
        })))
    }

    fn posted(&self) -> MutexGuard<'_, Posted> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Tells the guest `told` from its next question on, beside the keys that were sent.
    ///
    /// # Errors
    /// It can't be told this; it is told what it was before.
    pub fn tell(&self, told: Told) -> Result<(), FactsError> {
        let facts = Arc::new(Facts::new(told)?);
        let mut posted = self.posted();
        let before = std::mem::replace(&mut posted.facts, facts);
        if !posted.keys.is_empty() {
            posted.show_keys();
        }
        drop(posted);
        // Released here, not while the guest thread waits.
        drop(before);
        Ok(())
    }

    /// Tells the guest a key, from `now` on for its life.
    ///
    /// # Errors
    /// See [`SendKeyError`]; it is told what it was before.
    pub fn send_key(&self, key: ActiveKey, now: Instant) -> Result<(), SendKeyError> {
        let mut posted = self.posted();
        let added = posted.keys.add(key, now);
        // Whether it was or not: others may have been found over.
        posted.show_keys();
        added
    }

    /// What the guest is told at `now`.
    pub fn facts(&self, now: Instant) -> Arc<Facts> {
        let mut posted = self.posted();
        if posted.keys.expire(now) {
            posted.show_keys();
        }
        Arc::clone(&posted.facts)
    }

    /// Notes that an interface was given its lease; says whether it is the first time in this life of the machine.
    pub fn lease_given(&self, interface: Mac) -> bool {
        self.posted().leased.insert(interface)
    }

    /// An interface is gone, and with it what was noted.
    pub fn forget_lease(&self, interface: Mac) {
        self.posted().leased.remove(&interface);
    }

    /// The machine begins a new life.
    pub fn reset(&self) {
        self.posted().leased.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{MAC, lease, told};
    use super::super::tree::Node;
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_possible_story_is_told_and_leases_are_noted_once_a_life() {
        let board = Board::new(told()).unwrap();
        assert_eq!(
            board.facts(Instant::now()).user_data.as_deref(),
            Some(b"#!/bin/sh\n".as_slice())
        );
        let [mac, other] = [MAC, "02:00:5e:10:00:02"].map(|mac| mac.parse().unwrap());
        let given = [mac, mac, other, other].map(|mac| board.lease_given(mac));
        assert_eq!(given, [true, false, true, false]);
        board.forget_lease(other);
        assert_eq!([mac, other].map(|mac| board.lease_given(mac)), [false, true]);
        board.reset();
        assert!(board.lease_given(mac));
    }

    #[test]
    fn what_is_told_anew_replaces_what_was_and_what_is_refused_does_not() {
        let board = Board::new(told()).unwrap();
        let mut other = told();
        other.metadata.user_data = None;
        board.tell(other).unwrap();
        assert!(board.facts(Instant::now()).user_data.is_none());
        let mut wrong = told();
        wrong.leases.insert("01:00:5e:00:00:01".into(), lease());
        assert!(matches!(board.tell(wrong), Err(FactsError::Mac(_))));
        assert!(board.facts(Instant::now()).user_data.is_none());
    }

    #[test]
    fn keys_that_were_sent_outlast_what_is_told_and_go_at_the_first_question_after_their_time() {
        let (board, begun) = (Board::new(told()).unwrap(), Instant::now());
        let at = |second| begun + Duration::from_secs(second);
        let send = |user: &str, key: String, second| {
            let user = user.to_owned();
            board.send_key(ActiveKey { user, key }, at(second))
        };
        let users = |second| {
            let facts = board.facts(at(second));
            let mut directory = &facts.tree;
            for name in ["meta-data", "managed-ssh-keys", "active-keys"] {
                match directory.find(name) {
                    Some(Node::Directory(next)) => directory = next,
                    Some(Node::Leaf(_)) => panic!("{name} is a value"),
                    None => return None,
                }
            }
            Some(directory.listing())
        };
        assert_eq!(users(0), None);
        send("root", "key".into(), 0).unwrap();
        // What the guest thread was answering out of is not changed under its hands.
        let old = board.facts(at(0));
        for number in 0..ActiveKey::OF_USER_MAX {
            send("admin", format!("key {number}"), 30).unwrap();
        }
        board.tell(told()).unwrap();
        board.reset();
        assert_eq!(users(59).as_deref(), Some("admin\nroot"));
        // A refusal leaves nothing standing that is over.
        let full = send("admin", "one more".into(), 60);
        assert!(matches!(full, Err(SendKeyError::Full(_))));
        assert_eq!(users(60).as_deref(), Some("admin"));
        assert_eq!(users(90), None);
        assert!(old.tree.find("meta-data").is_some());
    }

    #[test]
    fn impossible_leases_are_refused() {
        let wrong = [
            Lease { prefix: 31, ..lease() },
            Lease { prefix: 0, ..lease() },
            Lease { mtu: 67, ..lease() },
            Lease { seconds: 0, ..lease() },
            Lease {
                name_servers: vec![[10, 0, 0, 2].into(); 9],
                ..lease()
            },
            Lease {
                ntp_servers: vec![[10, 0, 0, 2].into(); 9],
                ..lease()
            },
            Lease {
                host_name: Some("two words".into()),
                ..lease()
            },
            Lease {
                host_name: Some(String::new()),
                ..lease()
            },
            Lease {
                domain_name: Some("d".repeat(256)),
                ..lease()
            },
            Lease {
                domain_name: Some("a\nb".into()),
                ..lease()
            },
        ];
        for lease in wrong {
            let story = Told {
                leases: [(MAC.into(), lease.clone())].into(),
                ..told()
            };
            assert!(matches!(Facts::new(story), Err(FactsError::Lease(_))), "{lease:?}");
        }
        let many = (0..=Told::LEASES_MAX).map(|number| (format!("02:00:00:00:00:{number:02x}"), lease()));
        let story = Told {
            leases: many.collect(),
            ..told()
        };
        assert!(matches!(Facts::new(story), Err(FactsError::Leases(16))));
    }

    #[test]
    fn impossible_metadata_is_refused() {
        let with = |change: &dyn Fn(&mut Metadata)| {
            let mut story = told();
            change(&mut story.metadata);
            Facts::new(story)
        };
        let leaf = |path: &str, value: &str| {
            let (path, value) = (path.to_owned(), value.to_owned());
            with(&move |metadata| drop(metadata.leaves.insert(path.clone(), value.clone())))
        };
        assert!(leaf("meta-data/x", "").is_ok());
        assert!(matches!(leaf("user-data", ""), Err(FactsError::Leaf(_))));
        assert!(matches!(leaf("api/token", ""), Err(FactsError::Leaf(_))));
        for keys in ["meta-data/managed-ssh-keys", "meta-data/managed-ssh-keys/signer-cert"] {
            assert!(matches!(leaf(keys, ""), Err(FactsError::Leaf(_))));
        }
        assert!(matches!(leaf("meta-data/ami-id/x", ""), Err(FactsError::Tree(_))));
        let long = format!("meta-data/{}", "x".repeat(Metadata::PATH_MAX));
        assert!(matches!(leaf(&long, ""), Err(FactsError::Leaf(_))));
        let value = "x".repeat(Metadata::VALUE_MAX + 1);
        assert!(matches!(leaf("meta-data/x", &value), Err(FactsError::Leaf(_))));
        let many = with(&|metadata| {
            let more = (0..=Metadata::LEAVES_MAX).map(|n| (format!("meta-data/n/{n}"), String::new()));
            metadata.leaves.extend(more);
        });
        assert!(matches!(many, Err(FactsError::Leaves(_))));
        for hops in [0, 65] {
            let limited = with(&|metadata| metadata.options.hop_limit = hops);
            assert!(matches!(limited, Err(FactsError::HopLimit(_))));
        }
    }

    #[test]
    fn user_data_is_bounded_as_in_ec2() {
        let given = |text: String| {
            let mut story = told();
            story.metadata.user_data = Some(text);
            Facts::new(story)
        };
        let most = vec![0xff; Metadata::USER_DATA_MAX];
        let facts = given(Base64::encode_string(&most)).unwrap();
        assert_eq!(facts.user_data, Some(most));
        for length in [Metadata::USER_DATA_MAX + 1, Metadata::USER_DATA_MAX + 3] {
            let more = given(Base64::encode_string(&vec![0; length]));
            assert!(matches!(more, Err(FactsError::UserDataLength)), "{length}");
        }
        assert!(matches!(given("***".into()), Err(FactsError::UserData(_))));
    }
}
