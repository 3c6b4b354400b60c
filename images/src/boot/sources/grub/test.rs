//! The command `test`, also called `[` (GRUB manual, section 16.3.78).

/// What can be asked of files.
pub(super) trait Files {
    /// The size of a regular file in bytes; none if there is none.
    fn size(&mut self, path: &str) -> Option<u64>;
    fn is_directory(&mut self, path: &str) -> bool;
}

/// Whether an expression holds.
pub(super) fn holds(words: &[String], files: &mut dyn Files) -> bool {
    Test { words, files, depth: 0 }.any()
}

struct Test<'a> {
    words: &'a [String],
    files: &'a mut dyn Files,
    depth: u32,
}

impl Test<'_> {
    fn take(&mut self, word: &str) -> bool {
        match self.words.split_first() {
            Some((first, rest)) if first == word => {
                self.words = rest;
                true
            }
            _ => false,
        }
    }

    fn any(&mut self) -> bool {
        let mut result = self.all();
        while self.take("-o") {
            result |= self.all();
        }
        result
    }

    fn all(&mut self) -> bool {
        let mut result = self.one();
        while self.take("-a") {
            result &= self.one();
        }
        result
    }

    fn one(&mut self) -> bool {
        let mut negate = false;
        // A lone exclamation mark is a text, not a negation of nothing.
        while self.words.len() > 1 && self.take("!") {
            negate = !negate;
        }
        negate != self.primary()
    }

    fn primary(&mut self) -> bool {
        if self.words.len() > 2 && self.depth < 16 && self.take("(") {
            self.depth += 1;
            let result = self.any();
            self.depth -= 1;
            self.take(")");
            return result;
        }
        if let [a, operator, b, rest @ ..] = self.words
            && let Some(result) = compare(a, operator, b)
        {
            self.words = rest;
            return result;
        }
        if let [operator, a, rest @ ..] = self.words
            && let Some(result) = self.unary(operator, a)
        {
            self.words = rest;
            return result;
        }
        let Some((word, rest)) = self.words.split_first() else {
            return false;
        };
        self.words = rest;
        !word.is_empty()
    }

    fn unary(&mut self, operator: &str, word: &str) -> Option<bool> {
        Some(match operator {
            "-z" => word.is_empty(),
            "-n" => !word.is_empty(),
            "-f" => self.files.size(word).is_some(),
            "-s" => self.files.size(word).is_some_and(|size| size > 0),
            "-d" => self.files.is_directory(word),
            "-e" => self.files.size(word).is_some() || self.files.is_directory(word),
            _ => return None,
        })
    }
}

fn compare(a: &str, operator: &str, b: &str) -> Option<bool> {
    let number = |word: &str| word.parse::<i64>().unwrap_or(0);
    let (x, y) = (number(a), number(b));
    Some(match operator {
        "=" | "==" => a == b,
        "!=" => a != b,
        "<" => a < b,
        "<=" => a <= b,
        ">" => a > b,
        ">=" => a >= b,
        "-eq" => x == y,
        "-ne" => x != y,
        "-lt" => x < y,
        "-le" => x <= y,
        "-gt" => x > y,
        "-ge" => x >= y,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct OneFile;

    impl Files for OneFile {
        fn size(&mut self, path: &str) -> Option<u64> {
            [("/full", 1), ("/empty", 0)]
                .iter()
                .find(|(name, _)| *name == path)
                .map(|(_, size)| *size)
        }
        fn is_directory(&mut self, path: &str) -> bool {
            path == "/dir"
        }
    }

    #[test]
    fn expressions_mean_what_the_manual_says() {
        for (expression, expected) in [
            ("", false),
            ("a", true),
            ("a = a", true),
            ("a = b -o c = c", true),
            ("a = a -a c = d", false),
            ("! a = b", true),
            ("! ! x", true),
            ("-s /full", true),
            ("-s /empty", false),
            ("-f /empty -a -d /dir -a -e /dir -a ! -e /no", true),
            ("( a = b -o c = c ) -a d", true),
            ("10 -gt 9", true),
            ("-z", true),
            ("!", true),
        ] {
            let words: Vec<String> = expression.split_whitespace().map(str::to_owned).collect();
            assert_eq!(holds(&words, &mut OneFile), expected, "{expression}");
        }
    }
}
