//! A world in a directory of its own, and calls into it as `wire` makes them: checked against EC2's model.

use super::{ApiError, Caller, RequestId, World, operations};
use crate::config::Config;
use crate::wire::Dispatch;
use serde_json::Value;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// The world and its directory, which goes with it.
pub struct TestWorld {
    pub world: Arc<World>,
    dispatch: Dispatch,
    _directory: tempfile::TempDir,
}

impl TestWorld {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Config {
            state_dir: directory.path().join("state"),
            run_dir: directory.path().join("run"),
            ..Config::default()
        };
        let world = Arc::new(World::open(config).await.unwrap());
        Self {
            dispatch: Dispatch::new(Arc::clone(&world), operations()),
            world,
            _directory: directory,
        }
    }

    /// Carries out an operation.
    pub async fn call(&self, operation: &str, request: Value) -> Result<Value, ApiError> {
        self.call_with(operation, request, Vec::new()).await
    }

    /// Carries out an operation that brings files.
    pub async fn call_with(&self, operation: &str, request: Value, files: Vec<OwnedFd>) -> Result<Value, ApiError> {
        let caller = Caller {
            uid: 0,
            gid: 0,
            pid: None,
        };
        let result = self
            .dispatch
            .call(operation, request, caller, files, RequestId(1))
            .await;
        if let Err(error) = &result {
            assert!(error.code.status() < 500, "{operation}: {error}");
        }
        result
    }

    /// Carries out an operation that must be refused; gives EC2's code.
    pub async fn refused(&self, operation: &str, request: Value) -> &'static str {
        match self.call(operation, request).await {
            Ok(answer) => panic!("{operation} answered {answer}"),
            Err(error) => error.code.as_str(),
        }
    }
}
