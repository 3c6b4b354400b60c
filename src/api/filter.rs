//! EC2's filters: `Filters=[{Name, Values}]`, values of one filter OR-ed, filters AND-ed.
//!
//! A family gives a function from a filter's name to the values that one object has under it; the rest (wildcards,
//! tags, bounds) is here.

use super::error::{ApiError, Code};
use serde::Deserialize;

/// EC2's bound on the values of all filters of one request.
const MAX_VALUES: usize = 200;
/// The longest value or name of a filter that is looked at, in bytes.
const MAX_LENGTH: usize = 1024;

/// One filter of a request.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Filter {
    /// What to look at.
    #[serde(default)]
    name: String,
    /// What it may be, with `*` and `?` as wildcards.
    #[serde(default)]
    values: Vec<String>,
}

/// The filters of a request, known to be ones that the family has.
#[derive(Debug, Clone, Default)]
pub struct Filters(Vec<Filter>);

impl Filters {
    /// Checks the filters of a request against the names that a family knows. `tags` says whether its objects have
    /// tags, and so the filters `tag:<key>`, `tag-key` and `tag-value`.
    ///
    /// # Errors
    /// `InvalidParameterValue` for an unknown name or a filter without values, `FilterLimitExceeded` for too many values.
    pub fn new(filters: Vec<Filter>, names: &[&str], tags: bool) -> Result<Self, ApiError> {
        let known = |name: &str| {
            names.contains(&name) || tags && (name == "tag-key" || name == "tag-value" || name.starts_with("tag:"))
        };
        for filter in &filters {
            if !known(&filter.name) || filter.name.len() > MAX_LENGTH {
                return Err(invalid(format!(
                    "The filter '{}' is invalid",
                    filter.name.escape_debug()
                )));
            }
            if filter.values.is_empty() {
                return Err(invalid(format!("The filter '{}' has no values", filter.name)));
            }
            if filter.values.iter().any(|value| value.len() > MAX_LENGTH) {
                return Err(invalid(format!(
                    "A value of the filter '{}' is longer than {MAX_LENGTH} bytes",
                    filter.name
                )));
            }
        }
        if filters.iter().map(|filter| filter.values.len()).sum::<usize>() > MAX_VALUES {
            let message = format!("The maximum number of filter values specified on a single call is {MAX_VALUES}");
            return Err(ApiError::new(Code::FilterLimitExceeded, message));
        }
        Ok(Self(filters))
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of them whose names are `wanted`: an object passes all filters if it passes each part of them.
    #[must_use]
    pub fn part(&self, wanted: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|filter| wanted(&filter.name)).cloned().collect())
    }

    /// Whether an object passes all filters. `values` gives what the object has under a name that is not about tags:
    /// none, one or several values. `tags` are its tags, key and value.
    pub fn pass<'t>(
        &self,
        values: impl Fn(&str) -> Vec<String>,
        tags: impl IntoIterator<Item = (&'t str, &'t str)> + Clone,
    ) -> bool {
        self.0.iter().all(|filter| {
            let has: Vec<String> = match filter.name.as_str() {
                "tag-key" => tags.clone().into_iter().map(|(key, _)| key.to_owned()).collect(),
                "tag-value" => tags.clone().into_iter().map(|(_, value)| value.to_owned()).collect(),
                name => match name.strip_prefix("tag:") {
                    Some(key) => tags
                        .clone()
                        .into_iter()
                        .filter(|(k, _)| *k == key)
                        .map(|(_, value)| value.to_owned())
                        .collect(),
                    None => values(name),
                },
            };
            has.iter()
                .any(|value| filter.values.iter().any(|pattern| matches(pattern, value)))
        })
    }
}

fn invalid(message: String) -> ApiError {
    ApiError::new(Code::InvalidParameterValue, message)
}

/// Whether `text` matches `pattern`: `*` is any run of characters, `?` any one, `\` makes the next an ordinary one.
/// Takes at most `pattern × text` steps.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let pattern = tokens(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to take up again if what follows the last `*` does not match: after the star, one character further on.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Token::Any) => {
                retry = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(Token::One) => (p, t) = (p + 1, t + 1),
            Some(Token::Char(c)) if Some(c) == text.get(t) => (p, t) = (p + 1, t + 1),
            _ => match retry {
                Some((after, from)) => {
                    retry = Some((after, from + 1));
                    (p, t) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|token| *token == Token::Any)
}

#[derive(PartialEq, Eq)]
enum Token {
    Any,
    One,
    Char(char),
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut chars = pattern.chars();
    let mut tokens = Vec::new();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Any,
            '?' => Token::One,
            '\\' => Token::Char(chars.next().unwrap_or('\\')),
            c => Token::Char(c),
        });
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filters(name: &str, values: &[&str]) -> Result<Filters, ApiError> {
        let values = values.iter().map(ToString::to_string).collect();
        Filters::new(
            vec![Filter {
                name: name.into(),
                values,
            }],
            &["image-id", "state"],
            true,
        )
    }

    const TAGS: [(&str, &str); 2] = [("Name", "web-1"), ("env", "prod")];

    #[test]
    fn a_star_stands_for_any_run_and_a_question_mark_for_one_character() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("ami-*", "ami-1", true),
            ("*-?", "ami-1", true),
            ("*-?", "ami-12", false),
            ("a*b*c", "axxbyybzzc", true),
            ("a*b*c", "axxbyybzz", false),
            ("?", "", false),
            ("é?", "éa", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_backslash_takes_a_wildcards_meaning_away() {
        assert!(matches(r"a\*b", "a*b"));
        assert!(!matches(r"a\*b", "axb"));
        assert!(matches(r"a\\", r"a\"));
    }

    #[test]
    fn case_counts() {
        assert!(!matches("Running", "running"));
    }

    #[test]
    fn values_are_alternatives_and_an_object_may_have_several() {
        let filters = filters("state", &["pending", "run*"]).unwrap();
        assert!(filters.pass(|_| vec!["stopped".into(), "running".into()], []));
        assert!(!filters.pass(|_| vec![], []));
    }

    #[test]
    fn tags_are_found_by_pair_by_key_and_by_value() {
        for (name, value, expected) in [
            ("tag:Name", "web-*", true),
            ("tag:name", "web-*", false),
            ("tag:Name", "prod", false),
            ("tag-key", "env", true),
            ("tag-value", "prod", true),
            ("tag-value", "Name", false),
        ] {
            assert_eq!(
                filters(name, &[value]).unwrap().pass(|_| vec![], TAGS),
                expected,
                "{name}={value}"
            );
        }
    }

    #[test]
    fn an_unknown_filter_is_named_in_ec2s_words() {
        let error = filters("colour", &["red"]).unwrap_err();
        assert_eq!(error.code, Code::InvalidParameterValue);
        assert_eq!(error.message, "The filter 'colour' is invalid");
    }

    #[test]
    fn too_many_values_are_refused() {
        assert_eq!(
            filters("state", &["x"; 201]).unwrap_err().code,
            Code::FilterLimitExceeded
        );
    }

    proptest! {
        #[test]
        fn a_text_with_its_wildcards_escaped_matches_itself_and_only_itself(text: String, other: String) {
            let escaped: String = text.chars().flat_map(|c| {
                let escape = matches!(c, '*' | '?' | '\\').then_some('\\');
                escape.into_iter().chain([c])
            }).collect();
            prop_assert!(matches(&escaped, &text));
            prop_assert_eq!(matches(&escaped, &other), text == other);
        }

        #[test]
        fn any_pattern_ends_on_any_text(pattern in "[a*?\\\\]{0,60}", text in "a{0,60}b?") {
            let _ = matches(&pattern, &text);
            let wider = format!("*{pattern}");
            prop_assert!(matches(&wider, &text) || !matches(&pattern, &text));
        }
    }
}
