//! SSM (2014-11-06): GetParameter and GetParameters for the public parameters that stand for images.

use super::service::Refusal;
use super::{Request, json};
use crate::api::shown::shown_up_to;
use crate::api::{ApiError, Code, World, parameters};
use crate::wire::server::body::Answer;
use hyper::Response;
use serde::Deserialize;
use serde_json::{Value, json};

/// What the names of its operations begin with in the header `X-Amz-Target`.
pub(super) const TARGET: &str = "AmazonSSM.";
/// What the service calls a request that it can't read.
const INVALID: &str = "ValidationException";
/// The most parameters of one request.
const MAX_NAMES: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GetParameter {
    name: String,
    /// Nothing here is encrypted.
    #[serde(default, rename = "WithDecryption")]
    _with_decryption: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GetParameters {
    names: Vec<String>,
    #[serde(default, rename = "WithDecryption")]
    _with_decryption: bool,
}

pub(super) async fn respond(world: &World, request: &Request) -> Response<Answer> {
    json::respond(match json::operation(request, TARGET) {
        Some("GetParameter") => get(world, &request.body).await,
        Some("GetParameters") => get_several(world, &request.body).await,
        _ => Err(json::refusal(
            Code::UnsupportedOperation.as_str(),
            "Of SSM kiln serves GetParameter and GetParameters only".into(),
        )),
    })
}

async fn get(world: &World, body: &[u8]) -> Result<Value, Refusal> {
    let request: GetParameter = json::parse(body, INVALID)?;
    match parameter(world, &request.name).await? {
        Some(found) => Ok(json!({"Parameter": found})),
        None => {
            let shown = shown_up_to(&request.name, 128);
            let message = format!("There is no parameter '{shown}': kiln has those that stand for its images");
            Err(json::refusal("ParameterNotFound", message))
        }
    }
}

async fn get_several(world: &World, body: &[u8]) -> Result<Value, Refusal> {
    let request: GetParameters = json::parse(body, INVALID)?;
    if !(1..=MAX_NAMES).contains(&request.names.len()) {
        let message = format!("Names must have from 1 to {MAX_NAMES} names");
        return Err(json::refusal(INVALID, message));
    }
    let (mut found, mut invalid) = (Vec::new(), Vec::new());
    for name in request.names {
        match parameter(world, &name).await? {
            Some(parameter) => found.push(parameter),
            None => invalid.push(name),
        }
    }
    Ok(json!({"Parameters": found, "InvalidParameters": invalid}))
}

async fn parameter(world: &World, name: &str) -> Result<Option<Value>, Refusal> {
    let image = parameters::image(world, name).await;
    let image = image.map_err(|error: ApiError| Refusal::from(&error))?;
    Ok(image.map(|image| {
        json!({
            "ARN": format!("arn:aws:ssm:{}::parameter{name}", world.config.place.region()),
            "DataType": "aws:ec2:image",
            "LastModifiedDate": image.created.unix_timestamp(),
            "Name": name,
            "Type": "String",
            "Value": image.id.to_string(),
            "Version": 1,
        })
    }))
}
