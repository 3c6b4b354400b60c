//! STS (2011-06-15): GetCallerIdentity, by which clients find out whether their keys are good and whose account this is.

use super::service::Refusal;
use super::{Request, pairs};
use crate::api::{Code, RequestId, World};
use crate::wire::query::{Xml, xml};
use crate::wire::server::body::Answer;
use hyper::Response;

/// The namespace of STS's answers.
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

pub(super) fn respond(world: &World, request: &Request) -> Response<Answer> {
    let id = request.id;
    match pairs(request) {
        Ok(pairs) => match pairs.get("Action") {
            Some("GetCallerIdentity") => identity(world, request),
            _ => refused(
                &Refusal {
                    code: Code::UnsupportedOperation.as_str(),
                    message: "Of STS kiln serves GetCallerIdentity only".into(),
                    status: 400,
                },
                id,
            ),
        },
        Err(error) => refused(&Refusal::from(&error), id),
    }
}

/// Users of the host are the account's users; its root is root.
fn identity(world: &World, request: &Request) -> Response<Answer> {
    let account = world.config.place.account();
    let (arn, user) = match request.caller.uid {
        0 => (format!("arn:aws:iam::{account}:root"), account.to_owned()),
        uid => (format!("arn:aws:iam::{account}:user/{uid}"), uid.to_string()),
    };
    let mut document = Xml::new();
    document.root("GetCallerIdentityResponse", NAMESPACE, |xml| {
        xml.element("GetCallerIdentityResult", |xml| {
            xml.leaf("Arn", &arn);
            xml.leaf("UserId", &user);
            xml.leaf("Account", account);
        });
        xml.element("ResponseMetadata", |xml| xml.leaf("RequestId", &request.id.to_string()));
    });
    xml(200, document.finish())
}

/// A refusal as the query protocol of all services but EC2 has it.
pub(super) fn refused(refusal: &Refusal, id: RequestId) -> Response<Answer> {
    let fault = if refusal.status < 500 { "Sender" } else { "Receiver" };
    let mut document = Xml::new();
    document.root("ErrorResponse", NAMESPACE, |xml| {
        xml.element("Error", |xml| {
            xml.leaf("Type", fault);
            xml.leaf("Code", refusal.code);
            xml.leaf("Message", &refusal.message);
        });
        xml.leaf("RequestId", &id.to_string());
    });
    xml(refusal.status, document.finish())
}
