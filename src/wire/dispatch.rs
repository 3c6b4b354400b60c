//! From an operation's name and a request in PascalCase to the answer in PascalCase: what all faces share.

use super::model::{EC2, check, digest::digest};
use crate::api::call::Files;
use crate::api::{ApiError, Call, Caller, Code, Operation, Operations, RequestId, World};
use serde_json::Value;
use std::os::fd::OwnedFd;
use std::sync::{Arc, LazyLock};
use std::time::Instant;
use tokio::sync::Semaphore;
use tracing::{Instrument, info, info_span};

/// How many operations run at one time.
const MAX_RUNNING: usize = 256;

/// Carries out operations.
pub struct Dispatch {
    world: Arc<World>,
    operations: Arc<Operations>,
    running: Arc<Semaphore>,
}

impl Dispatch {
    /// Serves `operations` with `world`.
    #[must_use]
    pub fn new(world: Arc<World>, operations: Operations) -> Self {
        // Unpacked now and not when the first client waits.
        LazyLock::force(&EC2);
        Self {
            world,
            operations: Arc::new(operations),
            running: Arc::new(Semaphore::new(MAX_RUNNING)),
        }
    }

    /// Checks a request and carries it out, in a task of its own: it goes on if the client hangs up, so nothing is left
    /// half done.
    ///
    /// # Errors
    /// EC2's, for whatever is wrong.
    pub async fn call(
        &self,
        name: &str,
        request: Value,
        caller: Caller,
        files: Vec<OwnedFd>,
        request_id: RequestId,
    ) -> Result<Value, ApiError> {
        let span =
            info_span!("request", id = %request_id, operation = name.get(..64).unwrap_or(name), uid = caller.uid);
        let begun = Instant::now();
        let result = self
            .checked(name, request, caller, files, request_id)
            .instrument(span.clone())
            .await;
        let milliseconds = begun.elapsed().as_millis();
        span.in_scope(|| match &result {
            Ok(_) => info!(milliseconds, "Done"),
            Err(error) => info!(
                milliseconds,
                code = error.code.as_str(),
                message = error.message,
                "Refused"
            ),
        });
        result
    }

    async fn checked(
        &self,
        name: &str,
        mut request: Value,
        caller: Caller,
        files: Vec<OwnedFd>,
        request_id: RequestId,
    ) -> Result<Value, ApiError> {
        check::request(name, &request)?;
        if self.operations.get(name).is_none() {
            return Err(check::unsupported(name));
        }
        let digest = digest(name, &request);
        let dry_run = request.as_object_mut().and_then(|members| members.remove("DryRun"));
        let dry_run = dry_run.is_some_and(|dry_run| dry_run == Value::Bool(true));
        let call = Call {
            world: Arc::clone(&self.world),
            caller,
            request_id,
            digest,
            dry_run,
            files: Files::new(files),
        };
        let Ok(permit) = Arc::clone(&self.running).try_acquire_owned() else {
            let message = format!("More than {MAX_RUNNING} requests are under way; try again later");
            return Err(ApiError::new(Code::RequestLimitExceeded, message));
        };
        let (operations, name) = (Arc::clone(&self.operations), name.to_owned());
        let task = async move {
            let _permit = permit;
            match operations.get(&name) {
                Some(operation) => answered(operation, call, request, dry_run).await,
                None => Err(check::unsupported(&name)),
            }
        };
        // A handler that panics takes only its own request with it.
        tokio::spawn(task.in_current_span())
            .await
            .unwrap_or_else(|error| Err(ApiError::internal(&error)))
    }
}

/// Calls the handler and finishes its answer: absent members are left out, as EC2 does.
async fn answered(operation: &Operation, call: Call, request: Value, dry_run: bool) -> Result<Value, ApiError> {
    let mut answer = operation.call(call, request).await?;
    if dry_run {
        // What only reads has no change to hold back; its checks have passed.
        return Err(crate::api::call::dry_run());
    }
    drop_nulls(&mut answer);
    if cfg!(debug_assertions)
        && let Err(wrong) = check::answer(operation.name, &answer)
    {
        panic!("The answer of {} is not EC2's: {}", operation.name, wrong.message);
    }
    Ok(answer)
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::TestWorld;
    use serde_json::json;
    use tokio::sync::Notify;

    async fn dispatch(rows: Vec<Operation>) -> (TestWorld, Arc<Dispatch>) {
        let world = TestWorld::new().await;
        let dispatch = Dispatch::new(Arc::clone(&world.world), Operations::new(rows));
        (world, Arc::new(dispatch))
    }

    async fn call(dispatch: &Dispatch, request: Value) -> Result<Value, ApiError> {
        let caller = Caller {
            uid: 0,
            gid: 0,
            pid: None,
        };
        dispatch
            .call("DescribeRegions", request, caller, Vec::new(), RequestId(1))
            .await
    }

    #[tokio::test]
    async fn a_handler_goes_on_when_its_client_hangs_up() {
        let (begun, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (at_begin, at_end) = (Arc::clone(&begun), Arc::clone(&ended));
        let slow = Operation::new("DescribeRegions", move |_: Call, _: Value| {
            let (begun, ended) = (Arc::clone(&at_begin), Arc::clone(&at_end));
            async move {
                begun.notify_one();
                tokio::task::yield_now().await;
                ended.notify_one();
                Ok(json!({}))
            }
        });
        let (_world, dispatch) = dispatch(vec![slow]).await;
        let client = tokio::spawn(async move { call(&dispatch, json!({})).await });
        begun.notified().await;
        client.abort();
        tokio::time::timeout(std::time::Duration::from_secs(5), ended.notified())
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_handler_that_panics_fails_its_own_request_only() {
        let broken = Operation::new("DescribeRegions", |_: Call, request: Value| async move {
            assert!(request.get("AllRegions").is_none(), "A mistake of ours");
            Ok(json!({"Regions": []}))
        });
        let (_world, dispatch) = dispatch(vec![broken]).await;
        let error = call(&dispatch, json!({"AllRegions": true})).await.unwrap_err();
        assert_eq!(error.code, Code::InternalError);
        assert_eq!(call(&dispatch, json!({})).await, Ok(json!({"Regions": []})));
    }

    #[tokio::test]
    async fn an_answer_that_is_not_ec2s_never_leaves_a_debug_build_and_absent_members_are_left_out() {
        let strange = Operation::new("DescribeRegions", |_: Call, request: Value| async move {
            let name = if request.get("AllRegions").is_some() {
                "Colour"
            } else {
                "RegionName"
            };
            Ok(json!({"Regions": [{name: "red", "Endpoint": null}]}))
        });
        let (_world, dispatch) = dispatch(vec![strange]).await;
        assert_eq!(
            call(&dispatch, json!({})).await,
            Ok(json!({"Regions": [{"RegionName": "red"}]}))
        );
        assert!(call(&dispatch, json!({"AllRegions": true})).await.is_err());
    }

    #[tokio::test]
    async fn there_is_a_bound_to_what_runs_at_one_time() {
        let stuck = Operation::new("DescribeRegions", |_: Call, _: Value| {
            std::future::pending::<Result<Value, ApiError>>()
        });
        let (_world, dispatch) = dispatch(vec![stuck]).await;
        for _ in 0..MAX_RUNNING {
            let dispatch = Arc::clone(&dispatch);
            tokio::spawn(async move { call(&dispatch, json!({})).await });
        }
        while dispatch.running.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            call(&dispatch, json!({})).await.unwrap_err().code,
            Code::RequestLimitExceeded
        );
    }
}
