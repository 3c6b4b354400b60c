//! EC2's paging: `MaxResults` and an opaque `NextToken`, over a stable order of ids.

use super::call::Digest;
use super::error::{ApiError, Code};
use std::ops::RangeInclusive;

/// What most operations allow as `MaxResults`.
pub const MAX_RESULTS: RangeInclusive<i64> = 5..=1000;

/// Which part of a list a request wants.
#[derive(Debug, Clone)]
pub struct Page {
    digest: Digest,
    after: Option<String>,
    size: usize,
}

impl Page {
    /// The page that a request asks for. `by_ids` says whether it names its objects: those come in one answer.
    ///
    /// # Errors
    /// `InvalidParameterValue` for a `MaxResults` out of `bounds`, `InvalidParameterCombination` for one together with
    /// ids, `InvalidNextToken` for a token that is none, or belongs to another request.
    pub fn new(
        digest: Digest,
        next_token: Option<&str>,
        max_results: Option<i64>,
        bounds: &RangeInclusive<i64>,
        by_ids: bool,
    ) -> Result<Self, ApiError> {
        if by_ids && (max_results.is_some() || next_token.is_some_and(|token| !token.is_empty())) {
            let message = "The parameters MaxResults and NextToken can't be used together with ids";
            return Err(ApiError::new(Code::InvalidParameterCombination, message));
        }
        if let Some(asked) = max_results.filter(|asked| !bounds.contains(asked)) {
            let message = format!(
                "Value ({asked}) for parameter MaxResults is invalid. Expecting a value from {} to {}",
                bounds.start(),
                bounds.end()
            );
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        }
        let size = match max_results {
            _ if by_ids => usize::MAX,
            asked => usize::try_from(asked.unwrap_or_else(|| *bounds.end())).unwrap_or(usize::MAX),
        };
        let after = next_token
            .filter(|token| !token.is_empty())
            .map(|token| decode(token, digest))
            .transpose()?;
        Ok(Self { digest, after, size })
    }

    /// The key after which the page begins: greater than no key, if it is the first page.
    #[must_use]
    pub fn after(&self) -> &str {
        self.after.as_deref().unwrap_or_default()
    }

    /// How many items [`Self::cut`] has to be given for a whole page, and to know whether there is more.
    #[must_use]
    pub const fn needed(&self) -> usize {
        self.size.saturating_add(1)
    }

    /// Cuts the page out of `items`, and gives the token of the next one if there is more. The items come in the order
    /// of their keys; an item that is gone by the next page changes nothing for the others.
    pub fn cut<T>(&self, items: impl IntoIterator<Item = T>, key: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
        let mut rest = items
            .into_iter()
            .filter(|item| self.after.as_ref().is_none_or(|after| key(item) > *after));
        let page: Vec<T> = rest.by_ref().take(self.size).collect();
        let more = rest.next().is_some();
        let token = page.last().filter(|_| more).map(|last| encode(&key(last), self.digest));
        (page, token)
    }
}

fn encode(last: &str, digest: Digest) -> String {
    format!("{:016x}{}", digest.0, hex::encode(last))
}

fn decode(token: &str, digest: Digest) -> Result<String, ApiError> {
    let parsed = || {
        let (sum, last) = token.split_at_checked(16)?;
        let sum = u64::from_str_radix(sum, 16).ok()?;
        Some((sum, String::from_utf8(hex::decode(last).ok()?).ok()?))
    };
    match parsed() {
        Some((sum, last)) if sum == digest.0 => Ok(last),
        Some(_) => Err(invalid("The NextToken belongs to a request with other parameters")),
        None => Err(invalid("The NextToken is malformed")),
    }
}

fn invalid(message: &str) -> ApiError {
    ApiError::new(Code::InvalidNextToken, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUERY: Digest = Digest(7);

    fn page(token: Option<&str>, size: i64) -> Result<Page, ApiError> {
        Page::new(QUERY, token, Some(size), &(1..=1000), false)
    }

    proptest! {
        #[test]
        fn pages_put_together_are_the_whole_list(count in 0_usize..40, size in 1_i64..10) {
            let all: Vec<String> = (0..count).map(|n| format!("i-{n:04}")).collect();
            let (mut seen, mut token) = (Vec::new(), None::<String>);
            loop {
                let (items, next) = page(token.as_deref(), size).unwrap().cut(all.clone(), Clone::clone);
                prop_assert!(next.is_none() || items.len() == usize::try_from(size).unwrap());
                seen.extend(items);
                token = next;
                if token.is_none() { break }
            }
            prop_assert_eq!(seen, all);
        }

        #[test]
        fn no_token_panics(token: String) {
            let _ = page(Some(&token), 5);
        }
    }

    #[test]
    fn an_item_that_goes_between_pages_hides_no_other() {
        let (_, token) = page(None, 2).unwrap().cut(["a", "b", "c"], ToString::to_string);
        let (rest, _) = page(token.as_deref(), 2).unwrap().cut(["a", "c"], ToString::to_string);
        assert_eq!(rest, ["c"]);
    }

    #[test]
    fn a_token_of_another_query_is_refused() {
        let (_, token) = page(None, 1).unwrap().cut(["a", "b"], ToString::to_string);
        let error = Page::new(Digest(8), token.as_deref(), None, &MAX_RESULTS, false).unwrap_err();
        assert_eq!(error.code, Code::InvalidNextToken);
    }

    #[test]
    fn max_results_goes_with_no_ids_and_within_bounds() {
        let of = |max, by_ids| {
            Page::new(QUERY, None, max, &MAX_RESULTS, by_ids)
                .map(|_| ())
                .map_err(|e| e.code)
        };
        assert_eq!(of(Some(5), true), Err(Code::InvalidParameterCombination));
        assert_eq!(of(Some(4), false), Err(Code::InvalidParameterValue));
        assert_eq!(of(Some(1001), false), Err(Code::InvalidParameterValue));
        assert_eq!(of(None, true), Ok(()));
    }
}
