//! The endpoint from the bytes of a request to the bytes of its answer: whatever comes, it is no fault of ours, and the answer can
//! be read.

use crate::api::testing::{TestWorld, stopped_instance};
use crate::base64;
use crate::wire::server::body::MAX_BODY;
use crate::wire::testing::{Answer, Endpoint};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;
use std::time::Duration;

async fn ec2(endpoint: &Endpoint, form: impl AsRef<[u8]>) -> Answer {
    endpoint.ask("ec2", "POST /", &[], form.as_ref()).await
}

#[track_caller]
fn is(answer: &Answer, status: u16, code: &str) {
    let text = answer.text();
    assert_eq!(answer.status, status, "{text}");
    assert!(text.contains(&format!("<Code>{code}</Code>")), "{text}");
}

#[tokio::test]
async fn what_is_too_much_is_refused_in_words() {
    let endpoint = Endpoint::start().await;
    let parts = "A.1.".repeat(200_000);
    let list = |number: &str| format!("Action=DescribeVpcs&Filter.{number}.Name=vpc-id&Filter.{number}.Value.1=x");
    for (form, status, code) in [
        ("&".repeat(MAX_BODY), 400, "MissingParameter"),
        ("&".repeat(MAX_BODY + 1), 413, "RequestEntityTooLarge"),
        ("a=1&".repeat(MAX_BODY / 4), 400, "MalformedQueryString"),
        (format!("Action=DescribeVpcs&{parts}A=1"), 400, "MalformedQueryString"),
        (format!("Action={}", "x".repeat(500_000)), 400, "InvalidAction"),
        (
            format!("Action=DescribeVpcs&{}=1", "x".repeat(500_000)),
            400,
            "UnknownParameter",
        ),
        (list("4294967296"), 400, "MalformedQueryString"),
        (list("18446744073709551617"), 400, "MalformedQueryString"),
        (list("-1"), 400, "MalformedQueryString"),
    ] {
        is(&ec2(&endpoint, form).await, status, code);
    }
    assert_eq!(ec2(&endpoint, list("4294967295")).await.status, 200);
}

#[tokio::test]
async fn a_form_is_in_the_url_or_in_a_body_of_any_type_and_at_the_root_alone() {
    let endpoint = Endpoint::start().await;
    let form = b"Action=DescribeRegions&Version=2016-11-15";
    for kind in ["application/json", "text/xml", "multipart/form-data; boundary=x", ""] {
        let headers = [("content-type", kind)];
        assert_eq!(endpoint.ask("ec2", "POST /", &headers, form).await.status, 200);
    }
    let get = endpoint.ask(
        "ec2",
        "GET /?Action=DescribeRegions&Filter.1.Name=region-name&Filter.1.Value.1=%2A",
        &[],
        &[],
    );
    assert!(get.await.text().contains("<regionName>local-1</regionName>"));
    let both = endpoint.ask(
        "ec2",
        "POST /?RegionName.1=a",
        &[],
        b"Action=DescribeRegions&RegionName.1=b",
    );
    is(&both.await, 400, "MalformedQueryString");
    for request in [
        "POST /RunInstances",
        "POST //",
        "GET /latest/meta-data",
        "GET /snapshots",
    ] {
        for service in ["ec2", "sts"] {
            let nothing = endpoint.ask(service, request, &[], form).await;
            is(&nothing, 404, "UnknownOperationException");
        }
    }
}

#[tokio::test]
async fn what_xml_has_no_place_for_comes_back_as_xml() {
    let endpoint = Endpoint::start().await;
    endpoint.world.tiny_image().await;
    let image = TestWorld::TINY_IMAGE;
    let odd = "%00%01%08%0B%1F%7F%C2%85%EF%BF%BE%EF%BF%BF%3C%26%5D%5D%3E%0D%0A";
    let tagged = ec2(
        &endpoint,
        format!("Action=CreateTags&ResourceId.1={image}&Tag.1.Key=k&Tag.1.Value={odd}&Tag.2.Key={odd}&Tag.2.Value="),
    );
    assert_eq!(tagged.await.status, 200);
    let described = ec2(&endpoint, "Action=DescribeTags").await;
    let replaced = "\u{fffd}".repeat(5) + "\u{7f}\u{85}\u{fffd}\u{fffd}&lt;&amp;]]&gt;&#13;\n";
    let text = described.text();
    assert!(text.contains(&format!("<value>{replaced}</value>")), "{text:?}");
    assert!(text.contains(&format!("<key>{replaced}</key>")), "{text:?}");
    for form in [
        format!("Action=CreateSecurityGroup&GroupName={odd}&GroupDescription={odd}"),
        format!("Action=CreateImage&InstanceId={odd}&Name={odd}"),
        format!("Action={odd}&{odd}={odd}"),
        format!("Action=DescribeImages&Filter.1.Name={odd}&Filter.1.Value.1={odd}"),
        format!("Action=CreateKeyPair&KeyName={odd}"),
        format!(
            "Action=CopySnapshot&SourceRegion=local-1&SourceSnapshotId={}&Description={odd}",
            TestWorld::TINY_SNAPSHOT
        ),
        "Action=DescribeSnapshots&Owner.1=self".to_owned(),
        "Action=DescribeKeyPairs".to_owned(),
    ] {
        ec2(&endpoint, form).await;
    }
}

#[tokio::test]
async fn a_console_that_wrote_any_bytes_is_read() {
    let endpoint = Endpoint::start().await;
    let world = &endpoint.world;
    let id = stopped_instance(world).await;
    let log = world.world.layout.console_log(id);
    std::fs::create_dir_all(log.parent().unwrap()).unwrap();
    let bytes: Vec<u8> = (0..=255).collect();
    std::fs::write(log, &bytes).unwrap();
    let answer = ec2(&endpoint, format!("Action=GetConsoleOutput&InstanceId={id}")).await;
    let output = format!("<output>{}</output>", base64::encode(&bytes));
    assert!(answer.text().contains(&output), "{}", answer.text());
}

/// Requests as clients send them.
const REAL: &[&str] = &[
    "Action=RunInstances&Version=2016-11-15&ImageId=ami-00000000000000009&InstanceType=t3.nano&MinCount=1&MaxCount=2\
     &ClientToken=t&UserData=aGVsbG8%3D&NetworkInterface.1.DeviceIndex=0&NetworkInterface.1.SecurityGroupId.1=sg-1\
     &BlockDeviceMapping.1.DeviceName=%2Fdev%2Fsdb&BlockDeviceMapping.1.Ebs.VolumeSize=1\
     &TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=a+b",
    "Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=tag%3AName&Filter.1.Value.1=w%2A&Filter.1.Value.2=x\
     &Filter.2.Name=instance-state-name&Filter.2.Value.1=running&MaxResults=5",
    "Action=DescribeImages&Version=2016-11-15&Owner.1=self&ImageId.1=ami-00000000000000006&IncludeDeprecated=true",
    "Action=CreateTags&Version=2016-11-15&ResourceId.1=ami-00000000000000006&Tag.1.Key=Name&Tag.1.Value=v&Tag.2.Key=k&Tag.2.Value=",
    "Action=DescribeTags&Version=2016-11-15&Filter.1.Name=key&Filter.1.Value.1=%2A&MaxResults=5&NextToken=00",
    "Action=CreateSecurityGroup&Version=2016-11-15&GroupName=web&GroupDescription=of+a+test",
    "Action=AuthorizeSecurityGroupIngress&Version=2016-11-15&GroupName=default&IpPermissions.1.IpProtocol=tcp\
     &IpPermissions.1.FromPort=22&IpPermissions.1.ToPort=22&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0%2F8\
     &IpPermissions.1.IpRanges.1.Description=ssh&IpPermissions.1.Ipv6Ranges.1.CidrIpv6=%3A%3A%2F0",
    "Action=CreateVolume&Version=2016-11-15&AvailabilityZone=local-1a&Size=1&Iops=3000&Throughput=125&VolumeType=gp3",
    "Action=CreateVpc&Version=2016-11-15&CidrBlock=10.9.0.0%2F16&DryRun=true",
    "Action=ModifyInstanceAttribute&Version=2016-11-15&InstanceId=i-00000000000000001&DisableApiTermination.Value=false",
    "Action=CreateLaunchTemplate&Version=2016-11-15&LaunchTemplateName=one&LaunchTemplateData.InstanceType=t3.nano\
     &LaunchTemplateData.TagSpecification.1.ResourceType=instance&LaunchTemplateData.TagSpecification.1.Tag.1.Key=a",
    "Action=ImportKeyPair&Version=2016-11-15&KeyName=k&PublicKeyMaterial=c3NoLWVkMjU1MTkgQUFBQQ%3D%3D",
    "Action=ModifyImageAttribute&Version=2016-11-15&ImageId=ami-00000000000000006&LaunchPermission.Add.1.UserId=123456789012",
    "Action=GetConsoleScreenshot&Version=2016-11-15&InstanceId=i-00000000000000001",
];

/// Values, numbers of items and pieces of names that mean something else to somebody.
const ODD: &[&[u8]] = &[
    b"",
    b"%00",
    b"%01%0B%1F",
    b"%7F%C2%80",
    b"%EF%BF%BE%EF%BF%BF",
    b"%ff",
    b"%",
    b"%4",
    b"%zz",
    b"%C0%80",
    b"%ED%A0%80",
    b"\x01",
    b"\xff\xfe",
    b"+",
    b"0",
    b"-1",
    b"01",
    b"4294967295",
    b"4294967296",
    b"9223372036854775808",
    b"18446744073709551616",
    b"1e400",
    b"NaN",
    b"true",
    b"null",
    b"..",
    b".",
    b".A.1.A.1.A.1",
    b"=",
    b"==&&==",
    b"]]>",
    b"<x/>",
    b"%0D%0A",
    b"*",
    b"?",
    b"%5C",
    b"0.0.0.0%2F33",
    b"ami-",
    b"i-00000000000000001",
    b"%F0%9F%92%A9",
    b"%CC%81",
    b"Filter",
    b"Action",
    b"X-Amz-Signature",
];

/// One thing made wrong in a form.
fn spoil(form: &mut Vec<u8>, how: u8, at: Index, odd: &[u8]) {
    let mut pairs: Vec<Vec<u8>> = form.split(|byte| *byte == b'&').map(<[u8]>::to_vec).collect();
    let chosen = at.index(pairs.len());
    let pair = pairs[chosen].clone();
    let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
    let (name, value) = pair.split_at(equals);
    match how {
        0 => pairs.push(pair),
        1 => drop(pairs.remove(chosen)),
        2 => pairs[chosen] = [name, b"=", odd].concat(),
        3 => pairs[chosen] = [odd, value].concat(),
        4 => pairs[chosen] = [name, b".", odd, value].concat(),
        // The last number of its name.
        5 => {
            let parts: Vec<&[u8]> = name.split(|byte| *byte == b'.').collect();
            let number = parts.iter().rposition(|part| part.iter().all(u8::is_ascii_digit));
            let parts: Vec<&[u8]> = (0..)
                .zip(parts)
                .map(|(place, part)| if Some(place) == number { odd } else { part })
                .collect();
            pairs[chosen] = [&parts.join(&b"."[..]), value].concat();
        }
        6 => pairs[chosen] = [name, &odd.repeat(300), value].concat(),
        _ => {
            let byte = at.index(form.len().max(1));
            match (how, form.get_mut(byte)) {
                (7, Some(flipped)) => *flipped ^= odd.len() as u8 + 1,
                (8, _) => form.truncate(byte),
                _ => drop(form.splice(byte..byte, odd.iter().copied())),
            }
            return;
        }
    }
    *form = pairs.join(&b"&"[..]);
}

fn forms() -> impl Strategy<Value = Vec<u8>> {
    let wrongs = prop::collection::vec((0..10_u8, any::<Index>(), select(ODD)), 0..4);
    (select(REAL), wrongs).prop_map(|(form, wrongs)| {
        let mut form = form.as_bytes().to_vec();
        for (how, at, odd) in wrongs {
            spoil(&mut form, how, at, odd);
        }
        form
    })
}

/// Runs a test of what a strategy makes against one endpoint.
fn on_an_endpoint<S: Strategy>(
    cases: u32,
    strategy: &S,
    test: impl AsyncFn(&Endpoint, S::Value) -> Result<(), TestCaseError>,
) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let endpoint = runtime.block_on(Endpoint::start());
    runtime.block_on(endpoint.world.tiny_image());
    let mut runner = TestRunner::new(ProptestConfig::with_cases(cases));
    let done = runner.run(strategy, |value| runtime.block_on(test(&endpoint, value)));
    done.unwrap();
}

#[test]
fn no_spoilt_form_is_a_fault_of_ours_and_each_is_answered_with_xml() {
    on_an_endpoint(1500, &(forms(), any::<bool>()), async |endpoint, (form, in_url)| {
        let (request, body) = match std::str::from_utf8(&form) {
            // What may stand in a URL.
            Ok(text)
                if in_url
                    && text
                        .bytes()
                        .all(|byte| byte.is_ascii_graphic() && !b"\"<>#\\^`{|}".contains(&byte)) =>
            {
                (format!("GET /?{text}"), &[][..])
            }
            _ => ("POST /".to_owned(), form.as_slice()),
        };
        if request.len() > 8 << 10 {
            return Ok(());
        }
        let bytes = endpoint.signed("ec2", &request, &[], body);
        let answer = endpoint.raw(&bytes, Duration::from_secs(60)).await;
        let answer = answer.ok_or_else(|| TestCaseError::fail("no answer"))?;
        prop_assert!(answer.headers["content-type"].starts_with("text/xml"));
        answer.is_sound().map_err(TestCaseError::fail)
    });
}

#[test]
fn no_spoilt_request_is_a_fault_of_ours() {
    const LINES: &[&str] = &[
        "POST / HTTP/1.1",
        "GET /?{f} HTTP/1.1",
        "PUT /snapshots/x/blocks/1 HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "POST // HTTP/1.1",
        "CONNECT a:1 HTTP/1.1",
        "POST http://kiln/ HTTP/1.1",
        "POST /?%00 HTTP/1.0",
        "TRACE /../ HTTP/1.1",
        "post / HTTP/1.1",
        "POST /\u{e9} HTTP/1.1",
        "POST /",
    ];
    const HEADERS: &[&str] = &[
        "content-type: application/json",
        "content-type: \u{ff}",
        "x-amz-target: AmazonSSM.GetParameter",
        "x-amz-target: \u{e9}",
        "x-amz-target: X.Y",
        "x-amz-content-sha256: UNSIGNED-PAYLOAD",
        "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-date: 20260230T000000Z",
        "x-amz-date: 99999999T999999Z",
        "x-amz-date: ",
        "x-amz-security-token: t",
        "authorization: AWS4-HMAC-SHA256",
        "authorization: AWS4-HMAC-SHA256 Credential=////,SignedHeaders=;;,Signature=0",
        "authorization: AWS4-HMAC-SHA256 Credential=a/20260102/b/ec2/aws4_request, SignedHeaders=host, Signature=\u{e9}",
        "authorization: Basic eDp5",
        "expect: 100-continue",
        "expect: 200-ok",
        "host: a",
        "content-encoding: gzip",
        "te: trailers",
        "connection: upgrade",
        "upgrade: h2c",
        "x: ",
        ": x",
    ];
    const PRESIGNED: &[&str] = &[
        "X-Amz-Algorithm=AWS4-HMAC-SHA256",
        "X-Amz-Algorithm=x",
        "X-Amz-Expires=0",
        "X-Amz-Expires=-1",
        "X-Amz-Expires=604801",
        "X-Amz-Expires=99999999999999999999",
        "X-Amz-Expires=%D9%A3",
        "X-Amz-Expires=300",
        "X-Amz-Signature=",
        "X-Amz-Signature=zz",
        "X-Amz-Date=20260102T030405Z",
        "X-Amz-Date=00000000T000000Z",
        "X-Amz-Date=-9990101T000000Z",
        "X-Amz-SignedHeaders=%00",
        "X-Amz-SignedHeaders=host",
        "X-Amz-Credential=a/20260102/b/ec2/aws4_request",
        "X-Amz-Credential=%2F%2F%2F%2F",
        "AWSAccessKeyId=x",
        "X-Amz-Security-Token=x",
        "%",
    ];
    let flips = prop::collection::vec((any::<Index>(), 1..=255_u8), 0..3);
    let parts = (
        prop::option::of(select(LINES)),
        prop::collection::vec(select(HEADERS), 0..3),
        prop::collection::vec(select(PRESIGNED), 0..9),
        select(REAL),
        flips,
    );
    on_an_endpoint(
        1000,
        &parts,
        async |endpoint, (line, headers, presigned, form, flips)| {
            let signed = endpoint.signed("ec2", "POST /", &[], form.as_bytes());
            let mut lines: Vec<String> = String::from_utf8(signed)
                .unwrap()
                .split("\r\n")
                .map(str::to_owned)
                .collect();
            if let Some(line) = line {
                lines[0] = line.replace("{f}", &presigned.join("&"));
            }
            for header in headers {
                let name = header.split(':').next().unwrap_or_default().to_owned() + ":";
                lines.retain(|line| !line.starts_with(&name));
                lines.insert(1, header.into());
            }
            let mut bytes = lines.join("\r\n").into_bytes();
            for (at, flip) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= flip;
            }
            // One that waits for more of the request has nothing to say.
            match endpoint.raw(&bytes, Duration::from_millis(500)).await {
                Some(answer) => answer.is_sound().map_err(TestCaseError::fail),
                None => Ok(()),
            }
        },
    );
}
