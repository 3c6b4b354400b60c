//! The services as clients ask them: who is asked for is told by the signature's scope, and each answers in its own form.

use super::*;
use crate::api::instance_connect::SendSshPublicKeyError;
use crate::api::operations;
use crate::api::testing::{TestWorld, stopped_instance};
use crate::instance::SendKeyError;
use crate::machine::ControlError;
use http_body_util::BodyExt;
use kiln_vmm::protocol::{Failure, FailureKind};
use proptest::prelude::*;
use serde_json::{Value, json};
use service::Refusal;

struct Asker {
    world: TestWorld,
    services: Services,
}

impl Asker {
    async fn new() -> Self {
        Self::of(TestWorld::new().await)
    }

    fn of(world: TestWorld) -> Self {
        let dispatch = Arc::new(Dispatch::new(Arc::clone(&world.world), operations()));
        let services = Services::new(Arc::clone(&world.world), dispatch);
        Self { world, services }
    }

    /// What is answered to a body, in the name of a user, with more headers.
    async fn ask(&self, uid: u32, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
        let mut head = hyper::Request::builder().method("POST").uri("/");
        for (name, value) in headers {
            head = head.header(*name, *value);
        }
        let head = head.body(()).unwrap().into_parts().0;
        let presented = Presented::parse(&head).unwrap();
        let caller = Caller {
            uid,
            gid: uid,
            pid: None,
        };
        let request = Request {
            head,
            body: Bytes::copy_from_slice(body),
            caller,
            presented,
            id: RequestId(1),
        };
        let response = self.services.respond(request).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// The same, signed for a service.
    async fn ask_for(&self, service: &str, target: &str, body: &[u8]) -> (u16, String) {
        let credential = format!("AKIAABCDEFGHIJKLMNOP/20260102/local-1/{service}/aws4_request");
        let authorization = format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=00");
        let date = ("x-amz-date", "20260102T030405Z");
        let mut headers = vec![date, ("authorization", authorization.as_str())];
        headers.extend((!target.is_empty()).then_some(("x-amz-target", target)));
        self.ask(7, &headers, body).await
    }
}

#[tokio::test]
async fn ec2_is_asked_by_a_form_and_answers_with_xml() {
    let asker = Asker::new().await;
    let (status, body) = asker.ask(0, &[], b"Action=DescribeRegions&Version=2016-11-15").await;
    assert_eq!(status, 200, "{body}");
    assert!(
        body.contains("<regionInfo><item>") && body.contains("<regionName>local-1</regionName>"),
        "{body}"
    );
    for (form, code) in [
        ("", "MissingParameter"),
        ("Action=FlyToTheMoon", "InvalidAction"),
        ("Action=CreateTransitGateway", "UnsupportedOperation"),
        ("Action=DescribeRegions&Version=1999-01-01", "NoSuchVersion"),
        ("Action=DescribeRegions&Colour=red", "UnknownParameter"),
        ("Action=DescribeRegions&A=%ff", "MalformedQueryString"),
        (
            "Action=DescribeInstances&InstanceId.1=i-00000000000000001",
            "InvalidInstanceID.NotFound",
        ),
    ] {
        let (status, body) = asker.ask(0, &[], form.as_bytes()).await;
        assert_eq!(status, 400, "{form}: {body}");
        assert!(
            body.contains(&format!("<Errors><Error><Code>{code}</Code>")),
            "{form}: {body}"
        );
    }
    let dry = asker
        .ask(0, &[], b"Action=CreateVpc&CidrBlock=10.0.0.0%2F16&DryRun=true")
        .await;
    assert_eq!(dry.0, 412, "{dry:?}");
}

#[tokio::test]
async fn sts_says_who_asks() {
    let asker = Asker::new().await;
    let (status, body) = asker
        .ask_for("sts", "", b"Action=GetCallerIdentity&Version=2011-06-15")
        .await;
    assert_eq!(status, 200);
    assert!(body.contains("<Arn>arn:aws:iam::000000000000:user/7</Arn>"), "{body}");
    let (status, body) = asker.ask_for("sts", "", b"Action=AssumeRole&Version=2011-06-15").await;
    assert_eq!(status, 400);
    assert!(
        body.contains("<ErrorResponse") && body.contains("<Code>UnsupportedOperation</Code>"),
        "{body}"
    );
}

#[tokio::test]
async fn ssm_knows_the_parameters_that_stand_for_images() {
    let asker = Asker::new().await;
    asker.world.tiny_image().await;
    let (image, name) = (TestWorld::TINY_IMAGE.to_string(), "/aws/service/kiln/tiny");
    let ask = json!({"Name": name}).to_string();
    let (status, body) = asker.ask_for("ssm", "AmazonSSM.GetParameter", ask.as_bytes()).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["Parameter"]["Value"]), (200, &json!(image)), "{body}");
    let ask = json!({"Names": [name, "/mine"]}).to_string();
    let (status, body) = asker.ask_for("ssm", "AmazonSSM.GetParameters", ask.as_bytes()).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["InvalidParameters"]), (200, &json!(["/mine"])), "{body}");
    for (target, ask, code) in [
        ("AmazonSSM.GetParameter", r#"{"Name": "/mine"}"#, "ParameterNotFound"),
        ("AmazonSSM.GetParameter", "{", "ValidationException"),
        ("AmazonSSM.GetParameters", r#"{"Names": []}"#, "ValidationException"),
        ("AmazonSSM.PutParameter", "{}", "UnsupportedOperation"),
    ] {
        let (status, body) = asker.ask_for("ssm", target, ask.as_bytes()).await;
        assert_eq!(status, 400, "{target}: {body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["__type"], code, "{target}: {body}");
    }
}

/// A key that Instance Connect takes: as short as one can be.
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAuXAxR6RLEQRvLLDNGFcDU9SzRxCAmDVVUlQwK2YLVQ";
const SEND: &str = "AWSEC2InstanceConnectService.SendSSHPublicKey";

#[tokio::test]
async fn instance_connect_says_why_it_sends_no_key() {
    let world = TestWorld::new().await;
    let stopped = stopped_instance(&world).await.to_string();
    let asker = Asker::of(world.restart().await);
    let nobodys = "i-00000000000000001";
    let ask = |id: &str, user: &str, key: &str| json!({"InstanceId": id, "InstanceOSUser": user, "SSHPublicKey": key});
    let with = |member: &str, value: Value| {
        let mut ask = ask(&stopped, "admin", KEY);
        ask[member] = value;
        ask
    };
    let (invalid, not_found) = ("InvalidArgsException", "EC2InstanceNotFoundException");
    let wrong_state = "EC2InstanceStateInvalidException";
    let zone = asker.world.world.config.place.zone();
    for (ask, code) in [
        (ask(&stopped, "admin", KEY), wrong_state),
        (with("AvailabilityZone", json!(zone)), wrong_state),
        (with("AvailabilityZone", json!("mars-north-1a")), not_found),
        (ask(nobodys, "admin", KEY), not_found),
        (ask("i-12345678", "admin", KEY), not_found),
        (ask("i-1234567", "admin", KEY), invalid),
        (ask(&stopped.to_uppercase(), "admin", KEY), invalid),
        (ask(&nobodys[2..], "admin", KEY), invalid),
        (ask(&stopped, "", KEY), invalid),
        (ask(&stopped, "../../root", KEY), invalid),
        (ask(&stopped, &"a".repeat(33), KEY), invalid),
        (ask(&stopped, "admin", &KEY[..79]), invalid),
        (ask(&stopped, "admin", &"x".repeat(80)), invalid),
        (ask(&stopped, "admin", &format!("{KEY}\n{KEY}")), invalid),
        (ask(&stopped, "admin", &format!("{KEY} {}", "c".repeat(4096))), invalid),
        (with("AvailabilityZone", json!("zone")), invalid),
        (with("DryRun", json!(true)), invalid),
        (with("InstanceOSUser", json!(7)), invalid),
        (json!({"InstanceId": stopped, "InstanceOSUser": "admin"}), invalid),
        (json!([]), invalid),
    ] {
        let (status, body) = asker
            .ask_for("ec2-instance-connect", SEND, ask.to_string().as_bytes())
            .await;
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &answer["__type"]), (400, &json!(code)), "{ask}: {body}");
    }
    // The header says it, too, where there is no signature.
    let (_, body) = asker.ask(0, &[("x-amz-target", SEND)], b"{}").await;
    assert!(body.contains("InvalidArgsException"), "{body}");
    let other = "AWSEC2InstanceConnectService.SendSerialConsoleSSHPublicKey";
    let (status, body) = asker.ask_for("ec2-instance-connect", other, b"{}").await;
    assert_eq!(status, 400);
    assert!(body.contains("UnsupportedOperation"), "{body}");
}

#[test]
fn instance_connect_has_a_name_for_what_a_monitor_refuses() {
    let instance = "i-00000000000000001".parse().unwrap();
    let failure = |kind| Failure {
        kind,
        message: "no".into(),
    };
    let full = SendKeyError::Full {
        instance,
        source: failure(FailureKind::Full),
    };
    let older = SendKeyError::Control {
        instance,
        source: ControlError::Refused(failure(FailureKind::BadRequest)),
    };
    for (error, code) in [
        (full, "ThrottlingException"),
        (older, "EC2InstanceUnavailableException"),
        (SendKeyError::NotFound(instance), "EC2InstanceNotFoundException"),
    ] {
        let refusal = Refusal::from(SendSshPublicKeyError::from(error));
        assert_eq!((refusal.code, refusal.status), (code, 400), "{}", refusal.message);
    }
    let refusal = Service::InstanceConnect.signature_error(&SignatureError::Mismatch);
    assert_eq!((refusal.code, refusal.status), ("AuthException", 400));
}

#[tokio::test]
async fn a_service_that_is_not_there_says_so_in_its_own_form() {
    let asker = Asker::new().await;
    let (status, body) = asker.ask_for("iam", "", b"Action=GetUser").await;
    assert_eq!(status, 400);
    assert!(body.contains("<ErrorResponse") && body.contains("'iam'"), "{body}");
    let (status, body) = asker.ask_for("kms", "TrentService.ListKeys", b"{}").await;
    assert_eq!(status, 400);
    assert!(body.starts_with('{') && body.contains("'kms'"), "{body}");
}

#[test]
fn no_form_gets_a_5xx() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let asker = runtime.block_on(Asker::new());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(1000));
    let names: Vec<&str> = operations().all().map(|operation| operation.name).collect();
    let parameter = prop_oneof![
        "(InstanceId|Filter|Tag|ResourceId|BlockDeviceMapping|MaxResults|Name|DryRun|Ebs|Value|[A-Z][a-z]{0,8})\
         (\\.[0-9]{1,2})?(\\.(Name|Value|Key|Ebs|[0-9]))?=\\PC{0,12}",
        "\\PC{0,24}",
    ];
    let forms = (prop::sample::select(names), prop::collection::vec(parameter, 0..6));
    let done = runner.run(&forms, |(name, parameters)| {
        let form = format!("Action={name}&{}", parameters.join("&"));
        let (status, body) = runtime.block_on(asker.ask(0, &[], form.as_bytes()));
        prop_assert!(status < 500, "{form}: {body}");
        Ok(())
    });
    done.unwrap();
}

#[test]
fn no_json_gets_a_5xx() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let asker = runtime.block_on(Asker::new());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(1000));
    let targets = vec![
        SEND,
        "AmazonSSM.GetParameter",
        "AmazonSSM.GetParameters",
        "AmazonSSM.",
        "x",
    ];
    let member = "InstanceId|InstanceOSUser|SSHPublicKey|AvailabilityZone|Names?|\\PC{0,8}";
    let value = prop_oneof![
        prop::sample::select(vec![
            json!(null),
            json!(1),
            json!([]),
            json!({}),
            json!(KEY),
            json!("i-00000000000000001")
        ]),
        "\\PC{0,40}".prop_map(Value::from),
    ];
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        prop::collection::btree_map(member, value, 0..6).prop_map(|members| json!(members).to_string().into_bytes()),
    ];
    let done = runner.run(&(prop::sample::select(targets), body), |(target, body)| {
        let (status, answer) = runtime.block_on(asker.ask(0, &[("x-amz-target", target)], &body));
        prop_assert!((400..500).contains(&status), "{target} {body:?}: {answer}");
        Ok(())
    });
    done.unwrap();
}
