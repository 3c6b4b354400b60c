//! What stands behind the `?` of a path.

use crate::api::direct::DirectError;
use crate::api::shown::shown;
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;

/// The parameters of a query, by name.
#[derive(Debug, Default)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    /// Takes a query apart. A parameter that is not one of `known` is refused, for nothing that a client asks for is passed over
    /// in silence.
    pub(super) fn parse(query: Option<&str>, known: &[&str]) -> Result<Self, DirectError> {
        let mut parameters = BTreeMap::new();
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        for pair in pairs {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = known.iter().find(|known| **known == name) else {
                let shown = shown(name);
                return Err(DirectError::parameter(format!("There is no parameter '{shown}'")));
            };
            let value = decoded(value)
                .ok_or_else(|| DirectError::parameter(format!("The parameter {name} is not encoded as it must be")))?;
            if parameters.insert((*name).to_owned(), value).is_some() {
                return Err(DirectError::parameter(format!("The parameter {name} comes twice")));
            }
        }
        Ok(Self(parameters))
    }

    /// A parameter; an empty one is none.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A parameter that is a number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u32>, DirectError> {
        self.text(name).map(|text| number(name, text)).transpose()
    }
}

/// A number of a request: digits and nothing else.
pub(super) fn number(name: &str, text: &str) -> Result<u32, DirectError> {
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok());
    number
        // The API's numbers are signed ones.
        .filter(|number| i32::try_from(*number).is_ok())
        .ok_or_else(|| DirectError::parameter(format!("{name} must be a number from 0 to {}", i32::MAX)))
}

/// A value without its percent encoding. A percent sign that encodes nothing is kept by the library, and refused here: each
/// that does makes three bytes one.
fn decoded(value: &str) -> Option<String> {
    let bytes: Vec<u8> = percent_decode_str(value).collect();
    let all_encode = value.len() - bytes.len() == 2 * value.matches('%').count();
    String::from_utf8(bytes).ok().filter(|_| all_encode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_query_is_taken_apart_and_nothing_of_it_passed_over() {
        let query = Query::parse(Some("a=x%2By%3d%25&b=7&c="), &["a", "b", "c"]).unwrap();
        assert_eq!(query.text("a"), Some("x+y=%"));
        assert_eq!(query.number("b").unwrap(), Some(7));
        assert_eq!((query.text("c"), query.number("d").unwrap()), (None, None));
        assert!(query.number("a").is_err());
        for bad in ["d=1", "a=%", "a=%4", "a=%zz", "a=%%41", "a=%4%41", "a=%ff", "a=1&a=2"] {
            assert!(Query::parse(Some(bad), &["a"]).is_err(), "{bad}");
        }
        for bad in ["-1", "+1", "2147483648", "1e3", " 1", ""] {
            assert!(number("n", bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_query_panics(query in "\\PC*") {
            let _ = Query::parse(Some(&query), &["a"]);
        }
    }
}
