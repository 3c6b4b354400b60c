//! Running GRUB scripts: variables, functions, loops, and the menu that comes of it.

use super::super::super::disk::FsError;
use super::super::super::volume::{Volume, Volumes};
use super::super::super::{BootError, partitions::TableKind};
use super::commands;
use super::lexer::{Part, Word, tokens};
use super::parser::{Block, Node, parse};
use super::test::Files;
use std::collections::HashMap;
use std::rc::Rc;

/// The most commands that are run; the longest `grub.cfg` known needs some thousands.
const MAX_STEPS: u32 = 100_000;
/// The deepest calls of functions and files within each other.
const MAX_DEPTH: u32 = 24;
/// The longest value of a variable, and the longest list of words, in bytes.
const MAX_VALUE: usize = 8 << 10;
/// The longest scripts that are read, all together, in bytes.
const MAX_SCRIPTS: usize = 512 << 10;
/// The most menu entries, variables and functions each.
const MAX_THINGS: usize = 1024;

/// Why a script was not run to its end.
pub(super) enum Stop {
    /// The disk is given up.
    Disk(BootError),
    /// It does more than any loader's configuration would.
    TooMuch,
}

impl From<BootError> for Stop {
    fn from(error: BootError) -> Self {
        Self::Disk(error)
    }
}

/// Whether a command succeeded.
pub(super) type Outcome = Result<bool, Stop>;

/// An entry of the menu.
#[derive(Clone)]
pub(super) struct MenuEntry {
    pub(super) title: String,
    pub(super) id: Option<String>,
    pub(super) submenu: bool,
    pub(super) arguments: Vec<String>,
    pub(super) body: Block,
}

/// The kernel that an entry loads: files as `(device)/path`.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) kernel: Option<String>,
    pub(super) command_line: String,
    pub(super) initrds: Vec<String>,
}

/// GRUB, as far as scripts see it.
pub(super) struct Machine<'a, 'w, 'd> {
    pub(super) volumes: &'a Volumes<'w, 'd>,
    pub(super) menu: Vec<MenuEntry>,
    pub(super) loaded: Loaded,
    variables: HashMap<String, String>,
    functions: HashMap<String, Block>,
    /// The arguments of the functions and entries that are running.
    arguments: Vec<Vec<String>>,
    status: bool,
    steps: u32,
    depth: u32,
    /// Bytes of scripts that were read.
    scripts: usize,
}

impl<'a, 'w, 'd> Machine<'a, 'w, 'd> {
    /// GRUB as it is when it begins to read its configuration, whose directory is `prefix`.
    pub(super) fn new(volumes: &'a Volumes<'w, 'd>, volume: &Volume<'_, '_>, prefix: &str) -> Self {
        let root = device_name(volumes.table, volume);
        let mut variables: HashMap<String, String> = HashMap::new();
        for name in [
            "menuentry_id",
            "default_font_path",
            "platform_search_hint",
            "timeout_style",
            "all_video_module",
        ] {
            variables.insert(format!("feature_{name}"), "y".into());
        }
        variables.insert("prefix".into(), format!("({root}){prefix}"));
        variables.insert("grub_platform".into(), "pc".into());
        variables.insert("grub_cpu".into(), "i386".into());
        // Ubuntu first tries to boot without a RAM disk, and notes on the disk that it will not try again. Nothing is
        // written here, so this begins as after that try: with the RAM disk, which always works.
        variables.insert("initrdfail".into(), "1".into());
        variables.insert("root".into(), root);
        Self {
            volumes,
            menu: Vec::new(),
            loaded: Loaded::default(),
            variables,
            functions: HashMap::new(),
            arguments: Vec::new(),
            status: true,
            steps: 0,
            depth: 0,
            scripts: 0,
        }
    }

    /// A variable's value; one that is not set is empty.
    pub(super) fn get(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }

    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), Stop> {
        if value.len() > MAX_VALUE || name.len() > MAX_VALUE || self.variables.len() >= MAX_THINGS {
            return Err(Stop::TooMuch);
        }
        self.variables.insert(name.into(), value.into());
        Ok(())
    }

    pub(super) fn unset(&mut self, name: &str) {
        self.variables.remove(name);
    }

    /// Runs a script file; false if there is none.
    pub(super) fn run_file(&mut self, path: &str) -> Outcome {
        let Some(text) = self.text(path)? else { return Ok(false) };
        self.scripts += text.len();
        if self.scripts > MAX_SCRIPTS {
            return Err(Stop::TooMuch);
        }
        self.deeper(|machine| machine.run(&parse(tokens(&text))))
    }

    /// Runs the body of an entry.
    pub(super) fn run_entry(&mut self, entry: &MenuEntry) -> Outcome {
        self.call(&entry.body, entry.arguments.clone())
    }

    fn deeper(&mut self, run: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        if self.depth >= MAX_DEPTH {
            return Err(Stop::TooMuch);
        }
        self.depth += 1;
        let outcome = run(self);
        self.depth -= 1;
        outcome
    }

    fn call(&mut self, body: &Block, arguments: Vec<String>) -> Outcome {
        self.deeper(|machine| {
            machine.arguments.push(arguments);
            let outcome = machine.run(body);
            machine.arguments.pop();
            outcome
        })
    }

    fn run(&mut self, block: &Block) -> Outcome {
        for node in block.iter() {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return Err(Stop::TooMuch);
            }
            self.status = self.node(node)?;
        }
        Ok(self.status)
    }

    fn node(&mut self, node: &Node) -> Outcome {
        match node {
            Node::Command(words) => self.command(words),
            Node::If { branches, otherwise } => self.conditional(branches, otherwise),
            Node::For { variable, words, body } => {
                for word in self.expand(words)? {
                    self.set(variable, &word)?;
                    self.run(body)?;
                }
                Ok(self.status)
            }
            Node::While { condition, until, body } => {
                while self.run(condition)? != *until {
                    self.count()?;
                    self.run(body)?;
                }
                Ok(true)
            }
            Node::Function { name, body } => {
                if self.functions.len() >= MAX_THINGS {
                    return Err(Stop::TooMuch);
                }
                self.functions.insert(name.clone(), Rc::clone(body));
                Ok(true)
            }
            Node::Menu {
                submenu,
                arguments,
                body,
            } => {
                let arguments = self.expand(arguments)?;
                self.add_entry(*submenu, arguments, Rc::clone(body))
            }
        }
    }

    /// An empty loop is a step too.
    fn count(&mut self) -> Result<(), Stop> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            Err(Stop::TooMuch)
        } else {
            Ok(())
        }
    }

    fn conditional(&mut self, branches: &[(Block, Block)], otherwise: &Block) -> Outcome {
        for (condition, body) in branches {
            if self.run(condition)? {
                return self.run(body);
            }
        }
        self.run(otherwise)
    }

    fn command(&mut self, words: &[Word]) -> Outcome {
        let words = self.expand(words)?;
        let Some((name, arguments)) = words.split_first() else {
            return Ok(self.status);
        };
        if let Some(body) = self.functions.get(name).cloned() {
            return self.call(&body, arguments.to_vec());
        }
        match name.split_once('=') {
            // An assignment without `set`.
            Some((variable, value)) if arguments.is_empty() && !variable.is_empty() => {
                self.set(variable, value).map(|()| true)
            }
            _ => commands::run(self, name, arguments),
        }
    }

    fn add_entry(&mut self, submenu: bool, arguments: Vec<String>, body: Block) -> Outcome {
        let (mut title, mut id, mut rest) = (None, None, Vec::new());
        let mut words = arguments.into_iter();
        while let Some(word) = words.next() {
            match word
                .strip_prefix("--")
                .map(|option| option.split_once('=').unwrap_or((option, "")))
            {
                Some(("id", "")) => id = words.next(),
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("class" | "users" | "hotkey" | "source", "")) => drop(words.next()),
                Some(_) => {}
                None if title.is_none() => title = Some(word),
                None => rest.push(word),
            }
        }
        self.add(MenuEntry {
            title: title.unwrap_or_default(),
            id,
            submenu,
            arguments: rest,
            body,
        })?;
        Ok(true)
    }

    pub(super) fn add(&mut self, entry: MenuEntry) -> Result<(), Stop> {
        if self.menu.len() >= MAX_THINGS {
            return Err(Stop::TooMuch);
        }
        self.menu.push(entry);
        Ok(())
    }

    /// Puts values in the place of variables and splits those without quotes into words.
    fn expand(&self, words: &[Word]) -> Result<Vec<String>, Stop> {
        let (mut expanded, mut length) = (Vec::new(), 0);
        for word in words {
            let mut current = word.quoted.then(String::new);
            for part in &word.parts {
                match part {
                    Part::Text(text) => current.get_or_insert_default().push_str(text),
                    Part::Variable { name, quoted: true } => {
                        current.get_or_insert_default().push_str(&self.value(name))
                    }
                    Part::Variable { name, quoted: false } => {
                        let value = self.value(name);
                        for (nth, piece) in value.split([' ', '\t', '\n']).enumerate() {
                            if nth > 0 {
                                expanded.extend(current.take());
                            }
                            if !piece.is_empty() {
                                current.get_or_insert_default().push_str(piece);
                            }
                        }
                    }
                }
                length += current.as_ref().map_or(0, String::len);
                if length > MAX_VALUE || expanded.len() > MAX_VALUE {
                    return Err(Stop::TooMuch);
                }
            }
            expanded.extend(current);
        }
        Ok(expanded)
    }

    fn value(&self, name: &str) -> String {
        let arguments = self.arguments.last().map(Vec::as_slice).unwrap_or_default();
        match name {
            "?" => if self.status { "0" } else { "1" }.into(),
            "#" => arguments.len().to_string(),
            "@" | "*" => arguments.join(" "),
            name => match name.parse::<usize>() {
                Ok(nth) => nth
                    .checked_sub(1)
                    .and_then(|nth| arguments.get(nth))
                    .cloned()
                    .unwrap_or_default(),
                Err(_) => self.get(name).to_owned(),
            },
        }
    }

    /// A path with its device: `(hd0,gpt1)/boot/vmlinuz`.
    pub(super) fn absolute(&self, path: &str) -> String {
        match path.starts_with('(') {
            true => path.to_owned(),
            false => format!("({}){path}", self.get("root")),
        }
    }

    /// The file system and the path on it that a path means.
    pub(super) fn locate<'p>(&self, path: &'p str) -> Option<(&'a Volume<'w, 'd>, &'p str)> {
        let (device, path) = match path.strip_prefix('(') {
            Some(rest) => rest.split_once(')')?,
            None => (self.get("root"), path),
        };
        Some((find_device(self.volumes, device)?, path))
    }

    /// The text of a file; none if there is none.
    pub(super) fn text(&self, path: &str) -> Result<Option<String>, Stop> {
        let Some((volume, path)) = self.locate(path) else {
            return Ok(None);
        };
        match volume.text_within(path, MAX_SCRIPTS as u64) {
            Ok(text) => Ok(text),
            Err(FsError::TooLarge(_)) => Err(Stop::TooMuch),
            Err(error) => Ok(error.fatal().map(|_| None)?),
        }
    }
}

impl Files for Machine<'_, '_, '_> {
    fn size(&mut self, path: &str) -> Option<u64> {
        let (volume, path) = self.locate(path)?;
        volume.open(path).ok().map(|file| file.len())
    }

    fn is_directory(&mut self, path: &str) -> bool {
        self.locate(path)
            .is_some_and(|(volume, path)| volume.fs.names(path).is_ok())
    }
}

/// GRUB's name for the partition of a file system.
pub(super) fn device_name(table: TableKind, volume: &Volume<'_, '_>) -> String {
    match table {
        TableKind::Gpt => format!("hd0,gpt{}", volume.partition.number),
        TableKind::Mbr => format!("hd0,msdos{}", volume.partition.number),
        TableKind::None => "hd0".into(),
    }
}

/// The file system with GRUB's name for its partition. All disks are this one: an image may have been made where it
/// was the second.
fn find_device<'v, 'w, 'd>(volumes: &'v Volumes<'w, 'd>, device: &str) -> Option<&'v Volume<'w, 'd>> {
    let (disk, partition) = device.split_once(',').unwrap_or((device, "0"));
    if !disk.starts_with("hd") {
        return None;
    }
    let number: u32 = partition
        .trim_start_matches(|c: char| c.is_ascii_alphabetic())
        .parse()
        .ok()?;
    volumes.list.iter().find(|volume| volume.partition.number == number)
}
