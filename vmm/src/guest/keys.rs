//! Public keys that a guest is told for a while (EC2 Instance Connect): whose they are, and until when.
//!
//! [`super::facts`] adds them, shows them in the metadata's tree, and looks at every question whether one is over. What is
//! kept is bounded, whoever sends.

use super::tree::{Directory, Node};
use crate::protocol::ActiveKey;
use std::collections::BTreeMap;
use std::time::Instant;

/// Where they lie in the metadata, directory by directory.
const PLACE: [&str; 3] = ["meta-data", "managed-ssh-keys", "active-keys"];

/// Why a guest can't be told a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendKeyError {
    /// It is for nobody.
    #[error("A user's name has 1 to {max} visible ASCII characters without '/' and '='", max = ActiveKey::USER_MAX)]
    User,
    /// It is no key.
    #[error("A key has 1 to {max} printable ASCII characters", max = ActiveKey::KEY_MAX)]
    Key,
    /// There are enough.
    #[error("There are {0} keys, as many as may be at one time")]
    Full(usize),
}

/// A key and its end.
#[derive(Debug)]
struct Key {
    line: String,
    until: Instant,
}

/// The keys, by the users that they are for; there is no user without one.
#[derive(Debug, Default)]
pub struct Keys(BTreeMap<String, Vec<Key>>);

impl Keys {
    /// Whether a value at this path would be one of them, or in their way.
    pub fn are_at(path: &str) -> bool {
        path.split('/').take(2).eq(PLACE.into_iter().take(2))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a key at the time `now`. One that the user has already begins its life anew.
    ///
    /// # Errors
    /// See [`SendKeyError`].
    pub fn add(&mut self, sent: ActiveKey, now: Instant) -> Result<(), SendKeyError> {
        let ActiveKey { user, key: line } = sent;
        let name = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'=');
        if !(1..=ActiveKey::USER_MAX).contains(&user.len()) || !user.bytes().all(name) {
            return Err(SendKeyError::User);
        }
        let printable = |byte: u8| matches!(byte, b' '..=b'~');
        if !(1..=ActiveKey::KEY_MAX).contains(&line.len()) || !line.bytes().all(printable) {
            return Err(SendKeyError::Key);
        }
        self.expire(now);
        let until = now + ActiveKey::LIFE;
        let of_user = self.0.get_mut(&user);
        if let Some(key) = of_user.and_then(|keys| keys.iter_mut().find(|key| key.line == line)) {
            key.until = until;
            return Ok(());
        }
        let of_user = self.0.get(&user).map_or(0, Vec::len);
        if of_user >= ActiveKey::OF_USER_MAX {
            return Err(SendKeyError::Full(of_user));
        }
        let all = self.0.values().map(Vec::len).sum();
        if all >= ActiveKey::ALL_MAX {
            return Err(SendKeyError::Full(all));
        }
        self.0.entry(user).or_default().push(Key { line, until });
        Ok(())
    }

    /// Does away with those that are over at `now`; says whether there were any.
    pub fn expire(&mut self, now: Instant) -> bool {
        let mut over = false;
        self.0.retain(|_, keys| {
            let before = keys.len();
            keys.retain(|key| key.until > now);
            over |= keys.len() < before;
            !keys.is_empty()
        });
        over
    }

    /// Has the metadata show those that there are, and no others.
    pub fn put_into(&self, tree: &mut Directory) {
        let [top, folder, active] = PLACE;
        let users = self.0.iter().map(|(user, keys)| {
            let lines: Vec<&str> = keys.iter().map(|key| key.line.as_str()).collect();
            (user.clone(), Node::Leaf(lines.join("\n")))
        });
        let users: Directory = users.collect();
        let mut keys = Directory::default();
        // A directory in which nothing is would be listed for nothing.
        if !users.is_empty() {
            keys = [(active.to_owned(), Node::Directory(users))].into_iter().collect();
        }
        tree.put(top, folder, keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn key(user: &str, key: &str) -> ActiveKey {
        let (user, key) = (user.to_owned(), key.to_owned());
        ActiveKey { user, key }
    }

    /// What a guest that reads the tree finds of them.
    fn shown(keys: &Keys) -> BTreeMap<String, String> {
        let mut tree = Directory::default();
        tree.insert("meta-data/ami-id", "ami-1".into()).unwrap();
        keys.put_into(&mut tree);
        let mut found = BTreeMap::new();
        let Some(Node::Directory(meta_data)) = tree.find(PLACE[0]) else {
            panic!("no metadata")
        };
        let Some(Node::Directory(folder)) = meta_data.find(PLACE[1]) else {
            assert_eq!(meta_data.listing(), "ami-id");
            return found;
        };
        assert_eq!(meta_data.listing(), "ami-id\nmanaged-ssh-keys/");
        assert_eq!(folder.listing(), "active-keys/");
        let Some(Node::Directory(users)) = folder.find(PLACE[2]) else {
            panic!("no users")
        };
        for user in users.listing().lines() {
            let Some(Node::Leaf(lines)) = users.find(user) else {
                panic!("no keys of {user}")
            };
            found.insert(user.to_owned(), lines.clone());
        }
        found
    }

    #[test]
    fn a_key_lives_its_life_and_one_that_is_sent_again_another() {
        let (mut keys, begun) = (Keys::default(), Instant::now());
        let at = |second| begun + Duration::from_secs(second);
        keys.add(key("ec2-user", "one"), at(0)).unwrap();
        keys.add(key("ec2-user", "two"), at(30)).unwrap();
        keys.add(key("root", "one"), at(30)).unwrap();
        let both = |lines: &str| BTreeMap::from([("ec2-user".into(), lines.into()), ("root".into(), "one".into())]);
        assert_eq!(shown(&keys), both("one\ntwo"));
        assert!(!keys.expire(at(60) - Duration::from_nanos(1)));
        assert!(keys.expire(at(60)));
        assert_eq!(shown(&keys), both("two"));
        keys.add(key("ec2-user", "two"), at(89)).unwrap();
        assert!(keys.expire(at(148)));
        assert_eq!(shown(&keys), [("ec2-user".into(), "two".into())].into());
        assert!(keys.expire(at(149)));
        assert!(keys.is_empty() && shown(&keys).is_empty());
    }

    #[test]
    fn a_user_and_all_users_have_so_many_and_there_is_room_when_some_are_over() {
        let (mut keys, begun) = (Keys::default(), Instant::now());
        let later = begun + ActiveKey::LIFE;
        let mut add = |user: usize, number: usize, now| keys.add(key(&format!("u{user}"), &format!("k{number}")), now);
        let users = ActiveKey::ALL_MAX / ActiveKey::OF_USER_MAX;
        for user in 0..users {
            for number in 0..ActiveKey::OF_USER_MAX {
                add(user, number, begun).unwrap();
            }
        }
        let of_user = Err(SendKeyError::Full(ActiveKey::OF_USER_MAX));
        assert_eq!(add(0, ActiveKey::OF_USER_MAX, begun), of_user);
        assert_eq!(add(users, 0, begun), Err(SendKeyError::Full(ActiveKey::ALL_MAX)));
        // One that is there takes no room.
        add(0, 0, begun).unwrap();
        add(users, 0, later).unwrap();
        assert_eq!(shown(&keys).len(), 1);
    }

    #[test]
    fn what_is_no_user_or_no_key_is_refused() {
        let mut keys = Keys::default();
        let mut add = |user: &str, line: &str| keys.add(key(user, line), Instant::now());
        for user in [
            "",
            "a/b",
            "a b",
            "0=a",
            "a\n",
            "ü",
            &"x".repeat(ActiveKey::USER_MAX + 1),
        ] {
            assert_eq!(add(user, "key"), Err(SendKeyError::User), "{user:?}");
        }
        for line in ["", "one\ntwo", "ü", &"x".repeat(ActiveKey::KEY_MAX + 1)] {
            assert_eq!(add("user", line), Err(SendKeyError::Key), "{line:?}");
        }
        assert!(keys.is_empty());
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_bounded_and_shown_as_it_was_sent(
            sent in prop::collection::vec(("[a-k$.@]{1,2}|.{0,3}", "[k-z ]{1,2}|.{0,3}", 0u64..20), 0..400)
        ) {
            let (mut keys, mut now) = (Keys::default(), Instant::now());
            for (user, line, seconds) in sent {
                now += Duration::from_secs(seconds);
                let there = keys.add(key(&user, &line), now).is_ok();
                let shown = shown(&keys);
                let counts: Vec<usize> = shown.values().map(|lines| lines.lines().count()).collect();
                prop_assert!(counts.iter().all(|count| (1..=ActiveKey::OF_USER_MAX).contains(count)));
                prop_assert!(counts.iter().sum::<usize>() <= ActiveKey::ALL_MAX);
                let mut lines = shown.get(&user).into_iter().flat_map(|lines| lines.lines());
                prop_assert!(!there || lines.any(|one| one == line));
            }
            keys.expire(now + ActiveKey::LIFE);
            prop_assert!(keys.is_empty());
        }
    }
}
