//! Fedora's `blscfg`: menu entries made of Boot Loader Specification entries.

use super::super::entries::{self, Entry};
use super::lexer::{Token, Word, tokens};
use super::machine::{Machine, MenuEntry, Outcome};
use super::parser::Node;
use std::rc::Rc;

/// Adds an entry for each file in `loader/entries`, newest first.
pub(super) fn add_entries(machine: &mut Machine<'_, '_, '_>) -> Outcome {
    let directory = match machine.get("blsdir") {
        "" => "/loader/entries".to_owned(),
        given => given.to_owned(),
    };
    // Where /boot is no file system of its own, the entries are in it.
    for directory in [directory.clone(), format!("/boot{directory}")] {
        let path = machine.absolute(&directory);
        let Some((volume, path)) = machine.locate(&path) else {
            continue;
        };
        let mut found = match entries::read_directory(volume, path) {
            Ok(found) => found,
            Err(error) => {
                drop(error.fatal()?);
                continue;
            }
        };
        found.sort_by(|a, b| super::super::super::version::compare(&b.id, &a.id));
        for entry in &found {
            machine.add(menu_entry(entry))?;
        }
        if !found.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn menu_entry(entry: &Entry) -> MenuEntry {
    let mut linux = vec![
        Word::text("linux"),
        Word::text(entry.linux.as_deref().unwrap_or_default()),
    ];
    // Options may name variables: they are words of the script language.
    let options = entry.options.join(" ");
    linux.extend(tokens(&options).into_iter().filter_map(|token| match token {
        Token::Word(word) => Some(word),
        Token::End => None,
    }));
    let mut body = vec![Node::Command(linux)];
    if !entry.initrds.is_empty() {
        let initrds = entry.initrds.iter().map(|path| Word::text(path));
        body.push(Node::Command(
            std::iter::once(Word::text("initrd")).chain(initrds).collect(),
        ));
    }
    MenuEntry {
        title: entry.title.clone().unwrap_or_else(|| entry.id.clone()),
        id: Some(entry.id.clone()),
        submenu: false,
        arguments: Vec::new(),
        body: Rc::new(body),
    }
}
