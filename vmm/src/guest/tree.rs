//! The metadata of an instance as a tree of directories and values, as EC2 lists and answers it.
//!
//! [`super::facts`] plants it; [`super::service`] looks into it.

use std::collections::BTreeMap;

/// How deep a tree is at most, in directories.
const DEPTH_MAX: usize = 16;

/// Why a value has no place in a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// A name in its path is empty or has control characters, or there are too many.
    #[error("{0:?} is not the path of a value")]
    Path(String),
    /// What should be a directory is a value, or the other way round.
    #[error("{0:?} can't be a directory and a value at once")]
    Conflict(String),
}

/// Something in a tree.
#[derive(Debug, Clone)]
pub enum Node {
    /// A value.
    Leaf(String),
    /// More of them.
    Directory(Directory),
}

/// A directory.
#[derive(Debug, Clone, Default)]
pub struct Directory(BTreeMap<String, Node>);

impl Directory {
    /// Puts `value` at `path`, whose names are parted by slashes. Only the name of a numbered directory may have some
    /// itself, as a key pair's may: it goes as far as the last one of the path.
    ///
    /// # Errors
    /// It is no path, or something else is in its way.
    pub fn insert(&mut self, path: &str, value: String) -> Result<(), TreeError> {
        let conflict = || TreeError::Conflict(path.to_owned());
        let (parents, name) = names(path).ok_or_else(|| TreeError::Path(path.to_owned()))?;
        let mut directory = self;
        for parent in parents {
            // Two directories of one number could not be told apart.
            if !directory.0.contains_key(parent) && directory.find(number(parent).unwrap_or(parent)).is_some() {
                return Err(conflict());
            }
            let node = directory.0.entry(parent.to_owned());
            match node.or_insert_with(|| Node::Directory(Self::default())) {
                Node::Directory(next) => directory = next,
                Node::Leaf(_) => return Err(conflict()),
            }
        }
        if directory.find(name).is_some() {
            return Err(conflict());
        }
        directory.0.insert(name.to_owned(), Node::Leaf(value));
        Ok(())
    }

    /// Has `name` in the directory `parent` be `directory`, whatever it was before; an empty one is not there.
    pub fn put(&mut self, parent: &str, name: &str, directory: Self) {
        if !self.0.contains_key(parent) {
            self.0.insert(parent.to_owned(), Node::Directory(Self::default()));
        }
        // A value by the name of the parent has nothing in it.
        if let Some(Node::Directory(parent)) = self.0.get_mut(parent) {
            if directory.is_empty() {
                parent.0.remove(name);
            } else {
                parent.0.insert(name.to_owned(), Node::Directory(directory));
            }
        }
    }

    /// What is in this directory by the name `name`; `0` finds the directory `0=…`, too.
    pub fn find(&self, name: &str) -> Option<&Node> {
        self.0.get(name).or_else(|| {
            let numbered = self.0.range(format!("{name}=")..);
            let mut numbered = numbered.take_while(|(listed, _)| number(listed) == Some(name));
            numbered.find_map(|(_, node)| matches!(node, Node::Directory(_)).then_some(node))
        })
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names in it, one a line, directories with a slash; those with a number as they are.
    pub fn listing(&self) -> String {
        let names = self.0.iter().map(|(name, node)| match node {
            Node::Directory(_) if !is_numbered(name, node) => format!("{name}/"),
            _ => name.clone(),
        });
        names.collect::<Vec<_>>().join("\n")
    }
}

impl FromIterator<(String, Node)> for Directory {
    fn from_iter<T: IntoIterator<Item = (String, Node)>>(nodes: T) -> Self {
        Self(nodes.into_iter().collect())
    }
}

/// The directories in `path`, and the name of the value in the last of them.
fn names(path: &str) -> Option<(Vec<&str>, &str)> {
    let (mut rest, name) = path
        .rsplit_once('/')
        .map_or((None, path), |(rest, name)| (Some(rest), name));
    let mut parents = Vec::new();
    while let Some(left) = rest {
        let (parent, after) = match left.split_once('/') {
            Some((parent, after)) if number(parent).is_none() => (parent, Some(after)),
            _ => (left, None),
        };
        parents.push(parent);
        rest = after;
    }
    let possible = |name: &&str| !name.is_empty() && !name.chars().any(char::is_control);
    (parents.len() < DEPTH_MAX && parents.iter().chain([&name]).all(possible)).then_some((parents, name))
}

fn number(name: &str) -> Option<&str> {
    let (number, _) = name.split_once('=')?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some(number)
}

fn is_numbered(name: &str, node: &Node) -> bool {
    matches!(node, Node::Directory(_)) && number(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree(leaves: &BTreeMap<String, String>) -> Result<Directory, TreeError> {
        let mut tree = Directory::default();
        for (path, value) in leaves {
            tree.insert(path, value.clone())?;
        }
        Ok(tree)
    }

    /// All values that a client finds which knows nothing but the listings, by their paths.
    fn walk(directory: &Directory, path: &str, found: &mut BTreeMap<String, String>) {
        for line in directory.listing().split('\n').filter(|line| !line.is_empty()) {
            let name = line.strip_suffix('/').unwrap_or(line);
            let asked = number(name).filter(|_| matches!(directory.find(name), Some(Node::Directory(_))));
            match directory.find(asked.unwrap_or(name)).expect("what is listed is there") {
                Node::Directory(next) => {
                    assert!(line.ends_with('/') || asked.is_some(), "{line}");
                    walk(next, &format!("{path}{name}/"), found);
                }
                Node::Leaf(value) => {
                    assert!(!line.ends_with('/'), "{line}");
                    found.insert(format!("{path}{name}"), value.clone());
                }
            }
        }
    }

    #[test]
    fn a_public_key_is_listed_with_its_name_and_found_by_its_number() {
        let path = "public-keys/0=my key/openssh-key";
        let tree = tree(&[(path.to_owned(), "ssh-ed25519 A".to_owned())].into()).unwrap();
        assert_eq!(tree.listing(), "public-keys/");
        let Some(Node::Directory(keys)) = tree.find("public-keys") else {
            panic!("no directory")
        };
        assert_eq!(keys.listing(), "0=my key");
        let Some(Node::Directory(key)) = keys.find("0") else {
            panic!("no key")
        };
        assert_eq!(key.listing(), "openssh-key");
        assert!(matches!(key.find("openssh-key"), Some(Node::Leaf(text)) if text == "ssh-ed25519 A"));
        assert!(keys.find("1").is_none() && keys.find("").is_none());
    }

    #[test]
    fn a_key_s_name_may_have_slashes_and_equal_signs() {
        for name in [
            "0=alice/laptop",
            "0=a//b",
            "0=/",
            "0=x=1/y=2",
            &format!("0={}", "/".repeat(255)),
        ] {
            let tree = tree(&[(format!("public-keys/{name}/openssh-key"), "key".to_owned())].into()).unwrap();
            let Some(Node::Directory(keys)) = tree.find("public-keys") else {
                panic!("no directory")
            };
            assert_eq!(keys.listing(), name);
            let Some(Node::Directory(key)) = keys.find("0") else {
                panic!("no key")
            };
            assert!(matches!(key.find("openssh-key"), Some(Node::Leaf(text)) if text == "key"));
        }
    }

    #[test]
    fn a_number_is_one_directory_s() {
        let with = |paths: [&str; 2]| tree(&paths.map(|path| (path.to_owned(), String::new())).into());
        for paths in [["0=a/x", "0=b/x"], ["0/x", "0=a/x"], ["0", "0=a/x"]] {
            assert_eq!(with(paths).unwrap_err(), TreeError::Conflict(paths[1].to_owned()));
        }
        let mut numbered = with(["0=a/x", "0=a/y"]).unwrap();
        assert_eq!(
            numbered.insert("0", String::new()),
            Err(TreeError::Conflict("0".to_owned()))
        );
        let beside = with(["0=a", "0=b/x"]).unwrap();
        assert!(matches!(beside.find("0"), Some(Node::Directory(_))));
    }

    #[test]
    fn a_value_with_a_number_in_its_name_is_found_by_its_name_only() {
        let tree = tree(&[("0=tag".to_owned(), "value".to_owned())].into()).unwrap();
        assert!(tree.find("0").is_none());
        assert!(matches!(tree.find("0=tag"), Some(Node::Leaf(_))));
        assert_eq!(tree.listing(), "0=tag");
    }

    #[test]
    fn what_is_no_path_or_in_the_way_of_another_is_refused() {
        let mut tree = Directory::default();
        for path in ["", "/", "a//b", "/a", "a/", "a\nb", "a/\u{0}"] {
            let refused = Err(TreeError::Path(path.to_owned()));
            assert_eq!(tree.insert(path, String::new()), refused);
        }
        let deep = ["d"; DEPTH_MAX + 1].join("/");
        assert_eq!(tree.insert(&deep, String::new()), Err(TreeError::Path(deep)));
        tree.insert("a/b", String::new()).unwrap();
        for path in ["a/b/c", "a", "a/b"] {
            let refused = Err(TreeError::Conflict(path.to_owned()));
            assert_eq!(tree.insert(path, String::new()), refused);
        }
    }

    proptest! {
        #[test]
        fn walking_the_listings_reaches_every_value_and_nothing_else(
            leaves in prop::collection::btree_map("([a-cä=]|[0-2]=[kl])(/([a-cä=0]|[0-2]=[kl])){0,4}", ".*", 0..40)
        ) {
            let (mut planted, mut kept) = (Directory::default(), BTreeMap::new());
            for (path, value) in leaves {
                // What is in the way of another is refused, and no part of it is planted but empty directories.
                if planted.insert(&path, value.clone()).is_ok() {
                    kept.insert(path, value);
                }
            }
            let mut found = BTreeMap::new();
            walk(&planted, "", &mut found);
            prop_assert_eq!(found, kept);
        }
    }
}
