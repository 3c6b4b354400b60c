//! GRUB's script language as a tree (GRUB manual, section 6.1).

use super::lexer::{Token, Word};
use std::rc::Rc;

/// The deepest nesting that is followed.
const MAX_DEPTH: u32 = 32;

/// A list of commands.
pub(super) type Block = Rc<Vec<Node>>;

/// A command, simple or compound.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Command(Vec<Word>),
    /// Conditions with what is done where they hold, in order, and what is done where none does.
    If {
        branches: Vec<(Block, Block)>,
        otherwise: Block,
    },
    For {
        variable: String,
        words: Vec<Word>,
        body: Block,
    },
    /// Also `until`, whose condition is the other way around.
    While {
        condition: Block,
        until: bool,
        body: Block,
    },
    Function {
        name: String,
        body: Block,
    },
    /// `menuentry` or `submenu`, with its arguments.
    Menu {
        submenu: bool,
        arguments: Vec<Word>,
        body: Block,
    },
}

/// Parses a script. What is not understood of it is left out, as far as the next line that is.
pub(super) fn parse(tokens: Vec<Token>) -> Block {
    let mut parser = Parser {
        tokens: tokens.into_iter().peekable(),
    };
    let mut all = Vec::new();
    while parser.tokens.peek().is_some() {
        all.extend(parser.block(&[], 0));
        // A word that closes what was never opened.
        parser.tokens.next();
    }
    Rc::new(all)
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

impl Parser {
    /// Commands up to one of the words in `until`, which stays.
    fn block(&mut self, until: &[&str], depth: u32) -> Vec<Node> {
        let mut nodes = Vec::new();
        while let Some(token) = self.tokens.peek() {
            match token {
                Token::End => drop(self.tokens.next()),
                Token::Word(word) if word.plain().is_some_and(|word| until.contains(&word)) => break,
                Token::Word(_) if depth >= MAX_DEPTH => drop(self.tokens.next()),
                Token::Word(_) => nodes.extend(self.node(depth + 1)),
            }
        }
        nodes
    }

    fn node(&mut self, depth: u32) -> Option<Node> {
        let first = self.word()?;
        match first.plain() {
            Some("if") => Some(self.conditional(depth)),
            Some("for") => self.for_loop(depth),
            Some(kind @ ("while" | "until")) => {
                let condition = self.until("do", depth);
                Some(Node::While {
                    condition,
                    until: kind == "until",
                    body: self.until("done", depth),
                })
            }
            Some("function") => {
                let name = self.word()?.plain()?.to_owned();
                Some(Node::Function {
                    name,
                    body: self.braces(depth),
                })
            }
            Some(kind @ ("menuentry" | "submenu")) => {
                let arguments = self.words(Some("{"));
                Some(Node::Menu {
                    submenu: kind == "submenu",
                    arguments,
                    body: self.braces(depth),
                })
            }
            _ => {
                let mut words = vec![first];
                words.extend(self.words(None));
                Some(Node::Command(words))
            }
        }
    }

    fn conditional(&mut self, depth: u32) -> Node {
        let mut branches = Vec::new();
        loop {
            let condition = self.until("then", depth);
            let body = Rc::new(self.block(&["elif", "else", "fi"], depth));
            branches.push((condition, body));
            match self.word() {
                Some(word) if word.plain() == Some("elif") => {}
                Some(word) if word.plain() == Some("else") => {
                    return Node::If {
                        branches,
                        otherwise: self.until("fi", depth),
                    };
                }
                _ => {
                    return Node::If {
                        branches,
                        otherwise: Block::default(),
                    };
                }
            }
        }
    }

    fn for_loop(&mut self, depth: u32) -> Option<Node> {
        let variable = self.word()?.plain()?.to_owned();
        self.word().filter(|word| word.plain() == Some("in"))?;
        let words = self.words(None);
        self.until("do", depth);
        Some(Node::For {
            variable,
            words,
            body: self.until("done", depth),
        })
    }

    /// `{ … }`
    fn braces(&mut self, depth: u32) -> Block {
        self.until("{", depth);
        self.until("}", depth)
    }

    /// Commands up to a word, which is taken.
    fn until(&mut self, word: &str, depth: u32) -> Block {
        let block = self.block(&[word], depth);
        self.tokens.next();
        Rc::new(block)
    }

    /// The next word, if the command goes on.
    fn word(&mut self) -> Option<Word> {
        match self.tokens.next_if(|token| matches!(token, Token::Word(_)))? {
            Token::Word(word) => Some(word),
            Token::End => None,
        }
    }

    /// The words up to the end of the command, or up to `before`.
    fn words(&mut self, before: Option<&str>) -> Vec<Word> {
        let mut words = Vec::new();
        while let Some(Token::Word(word)) = self.tokens.peek() {
            if before.is_some() && word.plain() == before {
                break;
            }
            words.extend(self.word());
        }
        words
    }
}
