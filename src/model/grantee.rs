//! With whom an owner shares an image or a snapshot.

/// Who may launch an image, or make volumes of a snapshot, beside its owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Grantee {
    /// Everybody: it is public.
    All,
    /// An account, by its twelve digits.
    Account(String),
}

impl Grantee {
    /// How the store writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::All => "all",
            Self::Account(account) => account,
        }
    }
}

impl From<String> for Grantee {
    /// The one that is written so.
    fn from(text: String) -> Self {
        match text.as_str() {
            "all" => Self::All,
            _ => Self::Account(text),
        }
    }
}
