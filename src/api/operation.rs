//! The table of operations: EC2's name of each, and the handler that serves it.
//!
//! A family's file exports its rows (`pub fn rows() -> Vec<Operation>`); [`Operations`] puts them together; `wire`
//! looks a request's name up here after it has checked the request against EC2's model.

use super::call::Call;
use super::error::{ApiError, Code};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;

type Answer = Pin<Box<dyn Future<Output = Result<Value, ApiError>> + Send>>;

/// One operation that kiln serves, or knows well enough to refuse it as EC2 does.
pub struct Operation {
    /// As EC2 names it, `RunInstances` for instance.
    pub name: &'static str,
    /// Whether it can't but be refused.
    pub refuses: bool,
    handler: Box<dyn Fn(Call, Value) -> Answer + Send + Sync>,
}

impl Operation {
    /// An operation and the function that carries it out: `async fn(Call, Request) -> Result<Answer, ApiError>`, where
    /// `Request` and `Answer` are serde structs with the members that kiln serves, in PascalCase.
    ///
    /// `wire` has checked the request against EC2's model before. A member of the model that `Request` lacks (let it
    /// `deny_unknown_fields`) is answered as `UnsupportedOperation`: nothing that a client asks for is passed over in
    /// silence.
    pub fn new<H, F, Q, A>(name: &'static str, handler: H) -> Self
    where
        H: Fn(Call, Q) -> F + Send + Sync + 'static,
        F: Future<Output = Result<A, ApiError>> + Send + 'static,
        Q: DeserializeOwned,
        A: Serialize,
    {
        let handler = move |call: Call, request: Value| -> Answer {
            match parse(name, request) {
                Ok(request) => {
                    let answer = handler(call, request);
                    Box::pin(async move { serde_json::to_value(answer.await?).map_err(|e| ApiError::internal(&e)) })
                }
                Err(error) => Box::pin(std::future::ready(Err(error))),
            }
        };
        Self {
            name,
            refuses: false,
            handler: Box::new(handler),
        }
    }

    /// An operation of what no host of kiln's has: its function checks the request and says why it is refused.
    pub fn refusing<H, F, Q>(name: &'static str, handler: H) -> Self
    where
        H: Fn(Call, Q) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Infallible, ApiError>> + Send + 'static,
        Q: DeserializeOwned,
    {
        let refused = move |call, request| {
            let refused = handler(call, request);
            async move { refused.await.map(|never| -> Value { match never {} }) }
        };
        Self {
            refuses: true,
            ..Self::new(name, refused)
        }
    }

    /// Carries it out. `request` has passed the check against EC2's model.
    ///
    /// # Errors
    /// What the handler says; `UnsupportedOperation` for a member that it doesn't know.
    pub async fn call(&self, call: Call, request: Value) -> Result<Value, ApiError> {
        (self.handler)(call, request).await
    }
}

/// A request as its handler's type, which need not have all that EC2's model allows.
///
/// # Errors
/// `UnsupportedOperation` for what the type lacks.
pub(super) fn parse<Q: DeserializeOwned>(name: &str, request: Value) -> Result<Q, ApiError> {
    serde_json::from_value(request).map_err(|error| {
        ApiError::new(
            Code::UnsupportedOperation,
            format!("This {name} asks for something that kiln does not serve: {error}"),
        )
    })
}

/// All operations, by name.
pub struct Operations(BTreeMap<&'static str, Operation>);

impl Operations {
    /// The table made of all families' rows.
    ///
    /// # Panics
    /// Two rows have one name.
    #[must_use]
    pub fn new(rows: impl IntoIterator<Item = Operation>) -> Self {
        let mut table = BTreeMap::new();
        for row in rows {
            let name = row.name;
            assert!(table.insert(name, row).is_none(), "The operation {name} has two rows");
        }
        Self(table)
    }

    /// The operation of that name, if kiln has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Operation> {
        self.0.get(name)
    }

    /// All operations, in order of their names.
    pub fn all(&self) -> impl Iterator<Item = &Operation> {
        self.0.values()
    }
}
