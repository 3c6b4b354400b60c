//! Writes XML that any client can parse: what XML 1.0 has no place for is replaced.

use std::fmt::Write;

/// A document under way.
#[derive(Debug)]
pub struct Xml(String);

impl Xml {
    /// A document with nothing but its declaration.
    #[must_use]
    pub fn new() -> Self {
        Self("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".into())
    }

    /// An element with what `inside` writes.
    pub fn element(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.element_with(name, "", inside);
    }

    /// An element of a namespace.
    pub fn root(&mut self, name: &str, namespace: &str, inside: impl FnOnce(&mut Self)) {
        self.element_with(name, &format!(" xmlns=\"{namespace}\""), inside);
    }

    fn element_with(&mut self, name: &str, attributes: &str, inside: impl FnOnce(&mut Self)) {
        let _ = write!(self.0, "<{name}{attributes}>");
        let before = self.0.len();
        inside(self);
        if self.0.len() == before {
            self.0.truncate(before - 1);
            self.0.push_str("/>");
        } else {
            let _ = write!(self.0, "</{name}>");
        }
    }

    /// An element with a text.
    pub fn leaf(&mut self, name: &str, text: &str) {
        self.element(name, |xml| xml.text(text));
    }

    /// Text (XML 1.0, sections 2.2, 2.4 and 2.11). A carriage return is written as a reference, or a parser would make a
    /// line feed of it.
    fn text(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '\r' => self.0.push_str("&#13;"),
                '\t' | '\n' => self.0.push(character),
                '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => self.0.push(char::REPLACEMENT_CHARACTER),
                other => self.0.push(other),
            }
        }
    }

    /// The whole document.
    #[must_use]
    pub fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quick_xml::Reader;
    use quick_xml::events::Event;

    fn document(text: &str) -> String {
        let mut xml = Xml::new();
        xml.root("r", "urn:x", |xml| {
            xml.leaf("a", text);
            xml.element("empty", |_| {});
        });
        xml.finish()
    }

    #[test]
    fn elements_are_nested_and_an_empty_one_is_short() {
        assert_eq!(
            document("1 < 2 & 3\r"),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <r xmlns=\"urn:x\"><a>1 &lt; 2 &amp; 3&#13;</a><empty/></r>"
        );
    }

    proptest! {
        #[test]
        fn any_text_makes_a_document_that_parses(text in any::<String>()) {
            let document = document(&text);
            let forbidden = |c: char| c < ' ' && !matches!(c, '\t' | '\n') || matches!(c, '\u{fffe}' | '\u{ffff}');
            prop_assert!(!document.contains(forbidden));
            let mut reader = Reader::from_str(&document);
            loop {
                match reader.read_event() {
                    Ok(Event::Eof) => break,
                    Ok(_) => {}
                    Err(error) => prop_assert!(false, "{error}: {document}"),
                }
            }
        }
    }
}
