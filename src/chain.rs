//! An error and its causes as one line, for logs and for records that people read.

use std::error::Error;

/// An error and its causes in one line, each said once.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("The volume can't be made")]
    struct Outer(#[source] std::fmt::Error);

    #[test]
    fn causes_follow_what_they_caused() {
        let line = chain(&Outer(std::fmt::Error));
        assert_eq!(line, format!("The volume can't be made: {}", std::fmt::Error));
    }
}
