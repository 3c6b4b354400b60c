//! `kiln run`: new instances of an image (RunInstances).

use super::super::Context;
use super::super::api::{self, Image, Instance};
use super::super::error::CommandError;
use super::super::output::{hint, tell};
use super::super::{resolve, waiting};
use super::console;
use crate::config::Span;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Start new instances of an image.
///
/// Prints their identifiers, one a line.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln run debian-12
  kiln run debian-12 --name web --key laptop && kiln ssh web
  kiln run debian-12 --type t3.medium --root-size 20
  kiln run debian-12 --count 3 --user-data setup.yaml
  kiln run debian-12 --console")]
pub struct Arguments {
    /// The image: its name, its identifier or the beginning of either.
    image: String,
    /// The tag Name of the instances; commands take it for the identifier.
    #[arg(long)]
    name: Option<String>,
    /// The instance type; kiln types lists them.
    #[arg(long = "type", value_name = "TYPE", default_value = "t3.micro")]
    instance_type: String,
    /// How many; all or none are started.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
    /// Cores and threads a core, `1x1` for a single vCPU; the type's own when not given.
    #[arg(long, value_name = "CORESxTHREADS", value_parser = parse_cpus)]
    cpus: Option<(u32, u32)>,
    /// Size of the root volume in GiB; the image's when not given.
    #[arg(long, value_name = "GIB")]
    root_size: Option<u32>,
    /// The key pair that the guests let in; kiln keys lists them.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// The subnet, subnet-…; the default one when not given.
    #[arg(long, value_name = "ID")]
    subnet: Option<String>,
    /// A security group, by its identifier, or by its name in the default VPC; may be given again. The VPC's default group
    /// when none is.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// The private address, one of the subnet's; a free one when not given.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "count")]
    address: Option<std::net::Ipv4Addr>,
    /// A file with user data: a script or a cloud-config, 16 KiB at most.
    #[arg(long, value_name = "FILE")]
    user_data: Option<PathBuf>,
    /// A tag of the instances, KEY=VALUE; may be given again.
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = super::tag::parse)]
    tags: Vec<(String, String)>,
    /// The same token with the same request starts nothing twice.
    #[arg(long, value_name = "TOKEN")]
    client_token: Option<String>,
    /// What to wait for: a state or a stage of the boot. Alone it means login; without it, running is waited for.
    #[arg(long, value_name = "GOAL", num_args = 0..=1, require_equals = true,
          default_value = "running", default_missing_value = "login", conflicts_with = "no_wait")]
    wait: waiting::Goal,
    /// Return as soon as the request was taken on.
    #[arg(long)]
    no_wait: bool,
    /// How long to wait.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    timeout: Span,
    /// Use the serial console as soon as there is one.
    #[arg(long, conflicts_with_all = ["count", "json"])]
    console: bool,
    /// Check whether the request would succeed, and start nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let image = resolve::image(&context.client, &arguments.image).await?;
    let request = request(&arguments, &image)?;
    let answer = match context.client.call("RunInstances", &request).await {
        Err(CommandError::Refused { code, message, .. }) if code == "DryRunOperation" => {
            tell(&message);
            return Ok(());
        }
        answer => answer?,
    };
    let list = answer.get("Instances").cloned().unwrap_or_else(|| json!([]));
    let instances: Vec<Instance> = api::view("RunInstances", list)?;
    if context.out.json {
        context.out.answer(&answer)?;
    } else {
        instances
            .iter()
            .try_for_each(|one| context.out.line(&one.instance_id))?;
    }
    if !arguments.no_wait {
        for one in &instances {
            waiting::until(
                context,
                &one.instance_id,
                arguments.wait,
                arguments.timeout.as_duration(),
            )
            .await?;
        }
    }
    match instances.as_slice() {
        [one] if arguments.console => console::attach(context, one).await,
        [one, ..] => {
            let handle = one.handle();
            hint(&format!(
                "next: kiln ssh {handle}, kiln console {handle}, kiln logs -f {handle}, kiln rm {handle}"
            ));
            Ok(())
        }
        [] => Ok(()),
    }
}

/// The request, as `aws ec2 run-instances --cli-input-json` takes it.
fn request(arguments: &Arguments, image: &Image) -> Result<Value, CommandError> {
    let mut request = json!({
        "ImageId": image.image_id,
        "InstanceType": arguments.instance_type,
        "MinCount": arguments.count,
        "MaxCount": arguments.count,
    });
    let name = arguments.name.iter().map(|name| ("Name", name.as_str()));
    let tags = arguments.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let tags: Vec<Value> = name
        .chain(tags)
        .map(|(key, value)| json!({ "Key": key, "Value": value }))
        .collect();
    if !tags.is_empty() {
        request["TagSpecifications"] = json!([{ "ResourceType": "instance", "Tags": tags }]);
    }
    if let Some((cores, threads)) = arguments.cpus {
        request["CpuOptions"] = json!({ "CoreCount": cores, "ThreadsPerCore": threads });
    }
    if let Some(size) = arguments.root_size {
        let device = image.root_device_name.as_deref().unwrap_or("/dev/sda1");
        request["BlockDeviceMappings"] = json!([{ "DeviceName": device, "Ebs": { "VolumeSize": size } }]);
    }
    if let Some(path) = &arguments.user_data {
        let data = std::fs::read(path).map_err(|source| CommandError::File {
            path: path.clone(),
            source,
        })?;
        request["UserData"] = json!(crate::base64::encode(&data));
    }
    if let Some(key) = &arguments.key {
        request["KeyName"] = json!(key);
    }
    if let Some(subnet) = &arguments.subnet {
        request["SubnetId"] = json!(subnet);
    }
    let (ids, names): (Vec<_>, Vec<_>) = arguments.groups.iter().partition(|group| group.starts_with("sg-"));
    if !ids.is_empty() {
        request["SecurityGroupIds"] = json!(ids);
    }
    if !names.is_empty() {
        request["SecurityGroups"] = json!(names);
    }
    if let Some(address) = &arguments.address {
        request["PrivateIpAddress"] = json!(address);
    }
    if let Some(token) = &arguments.client_token {
        request["ClientToken"] = json!(token);
    }
    if arguments.dry_run {
        request["DryRun"] = json!(true);
    }
    Ok(request)
}

fn parse_cpus(text: &str) -> Result<(u32, u32), String> {
    let wrong = || "write cores and threads a core as 2x1".to_string();
    let (cores, threads) = text.split_once('x').ok_or_else(wrong)?;
    Ok((
        cores.parse().map_err(|_| wrong())?,
        threads.parse().map_err(|_| wrong())?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Verb};
    use clap::Parser;

    fn try_parse(line: &str) -> Result<Arguments, clap::Error> {
        match Cli::try_parse_from(["kiln"].into_iter().chain(line.split_whitespace()))?.verb {
            Verb::Run(arguments) => Ok(arguments),
            other => panic!("{other:?} is not run"),
        }
    }

    fn parse(line: &str) -> Arguments {
        try_parse(line).unwrap_or_else(|error| panic!("{error}"))
    }

    fn image() -> Image {
        api::view("test", json!({ "ImageId": "ami-1", "RootDeviceName": "/dev/xvda" })).unwrap()
    }

    #[test]
    fn a_plain_run_asks_for_nothing_that_was_not_said() {
        let request = request(&parse("run debian-12"), &image()).unwrap();
        let plain = json!({"ImageId": "ami-1", "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1});
        assert_eq!(request, plain);
    }

    #[test]
    fn every_option_reaches_its_member() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("data");
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        let line = format!(
            "run x --name web --tag a=b=c --cpus 1x1 --root-size 20 --user-data {} --client-token t --dry-run --count 2 \
             --key k --subnet subnet-1 --group sg-1 --group web",
            file.display()
        );
        let request = request(&parse(&line), &image()).unwrap();
        let tags = json!([{"Key": "Name", "Value": "web"}, {"Key": "a", "Value": "b=c"}]);
        assert_eq!(
            request["TagSpecifications"],
            json!([{"ResourceType": "instance", "Tags": tags}])
        );
        assert_eq!(request["CpuOptions"], json!({"CoreCount": 1, "ThreadsPerCore": 1}));
        assert_eq!(
            request["BlockDeviceMappings"],
            json!([{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20}}])
        );
        assert_eq!(request["UserData"], "IyEvYmluL3NoCg==");
        assert_eq!(
            (&request["KeyName"], &request["SubnetId"]),
            (&json!("k"), &json!("subnet-1"))
        );
        assert_eq!(request["SecurityGroupIds"], json!(["sg-1"]));
        assert_eq!(request["SecurityGroups"], json!(["web"]));
        assert_eq!(
            (&request["ClientToken"], &request["DryRun"]),
            (&json!("t"), &json!(true))
        );
        assert_eq!((&request["MinCount"], &request["MaxCount"]), (&json!(2), &json!(2)));
    }

    #[test]
    fn wait_alone_means_login() {
        assert_eq!(parse("run x").wait.name(), "running");
        assert_eq!(parse("run x --wait").wait.name(), "login");
        assert_eq!(parse("run x --wait=init").wait.name(), "init");
        assert!(try_parse("run x --wait=soon").is_err());
        assert!(try_parse("run x --console --json").is_err());
    }

    #[test]
    fn a_missing_user_data_file_is_named() {
        let error = request(&parse("run x --user-data /no/such"), &image()).unwrap_err();
        assert!(error.to_string().contains("/no/such"));
    }
}
