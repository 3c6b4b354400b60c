//! Words of GRUB's script language (GRUB manual, section 6.1): much like a shell's.

/// A piece of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// As it stands.
    Text(String),
    /// The value of a variable; unquoted, it is split into words.
    Variable { name: String, quoted: bool },
}

/// A word: its pieces one after another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) parts: Vec<Part>,
    /// It had quotes, so it is a word even if it is empty.
    pub(super) quoted: bool,
}

impl Word {
    pub(super) fn text(text: &str) -> Self {
        Self {
            parts: vec![Part::Text(text.into())],
            quoted: true,
        }
    }

    /// The word if it was written plainly: only such ones are keywords.
    pub(super) fn plain(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Text(text)] if !self.quoted => Some(text),
            _ => None,
        }
    }

    fn push(&mut self, c: char) {
        match self.parts.last_mut() {
            Some(Part::Text(text)) => text.push(c),
            _ => self.parts.push(Part::Text(c.into())),
        }
    }
}

/// What a script is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(Word),
    /// A new line or a semicolon.
    End,
}

/// Splits a script into tokens. What is not closed ends with the text.
pub(super) fn tokens(script: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        rest: script.chars().peekable(),
        tokens: Vec::new(),
        word: None,
    };
    while let Some(c) = lexer.rest.next() {
        lexer.step(c);
    }
    lexer.end_word();
    lexer.tokens
}

struct Lexer<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    tokens: Vec<Token>,
    word: Option<Word>,
}

impl Lexer<'_> {
    fn step(&mut self, c: char) {
        match c {
            '\n' | ';' | '&' | '|' => {
                self.end_word();
                self.tokens.push(Token::End);
            }
            ' ' | '\t' | '\r' => self.end_word(),
            '#' if self.word.is_none() => while self.rest.next_if(|&c| c != '\n').is_some() {},
            '\'' => {
                self.word().quoted = true;
                while let Some(c) = self.rest.next().filter(|&c| c != '\'') {
                    self.word().push(c);
                }
            }
            '"' => self.double_quoted(),
            '\\' => match self.rest.next() {
                Some('\n') | None => {}
                Some(c) => {
                    self.word().quoted = true;
                    self.word().push(c);
                }
            },
            '$' => self.variable(false),
            c => self.word().push(c),
        }
    }

    fn word(&mut self) -> &mut Word {
        self.word.get_or_insert_default()
    }

    fn end_word(&mut self) {
        self.tokens.extend(self.word.take().map(Token::Word));
    }

    fn double_quoted(&mut self) {
        self.word().quoted = true;
        while let Some(c) = self.rest.next().filter(|&c| c != '"') {
            match c {
                '$' => self.variable(true),
                '\\' => match self.rest.next_if(|c| matches!(c, '$' | '"' | '\\' | '\n')) {
                    Some('\n') => {}
                    Some(c) => self.word().push(c),
                    None => self.word().push('\\'),
                },
                c => self.word().push(c),
            }
        }
    }

    /// After a dollar sign: `name`, `{name}`, a digit or one of `?@*#`.
    fn variable(&mut self, quoted: bool) {
        let mut name = String::new();
        if self.rest.next_if_eq(&'{').is_some() {
            while let Some(c) = self.rest.next().filter(|&c| c != '}') {
                name.push(c);
            }
        } else if let Some(c) = self.rest.next_if(|c| c.is_ascii_digit() || "?@*#".contains(*c)) {
            name.push(c);
        } else {
            while let Some(c) = self.rest.next_if(|&c| c.is_ascii_alphanumeric() || c == '_') {
                name.push(c);
            }
        }
        match name.is_empty() {
            true => self.word().push('$'),
            false => self.word().parts.push(Part::Variable { name, quoted }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_variables_and_comments_are_told_apart() {
        let words = |script| {
            tokens(script)
                .into_iter()
                .filter_map(|t| if let Token::Word(w) = t { Some(w) } else { None })
        };
        let found: Vec<_> = words("set a='b c'\"$d\\\"\"${e} # no\n x#y '' \\\n z").collect();
        let variable = |name: &str, quoted| Part::Variable {
            name: name.into(),
            quoted,
        };
        assert_eq!(found.len(), 5);
        assert_eq!(
            found[1].parts,
            [
                Part::Text("a=b c".into()),
                variable("d", true),
                Part::Text("\"".into()),
                variable("e", false)
            ]
        );
        assert_eq!(found[2].plain(), Some("x#y"));
        assert!(found[3].quoted && found[3].parts.is_empty());
        assert_eq!(found[4].plain(), Some("z"));
    }
}
