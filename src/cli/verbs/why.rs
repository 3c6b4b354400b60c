//! `kiln why`: why an instance can't be reached, each step looked at.

use super::super::Context;
use super::super::checks;
use super::super::error::CommandError;
use super::super::resolve;
use super::super::why::{Ask, explain};
use ipnet::Ipv4Net;

/// Explain why an instance can't be reached.
///
/// Looks at each step of the way, from the machine to the key: nothing is guessed. From this host `kiln ssh` and
/// `kiln connect` get in whatever groups, ACLs and routes say; those are looked at for others, --from somewhere.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln why web                                 ssh, from its own VPC
  kiln why web --port 443 --from 0.0.0.0/0     https, from anywhere")]
pub struct Arguments {
    /// The instance: its name, its identifier or the beginning of either.
    instance: String,
    /// The TCP port that can't be reached.
    #[arg(long, default_value_t = 22, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// From which addresses; those of its own VPC when not given.
    #[arg(long, value_name = "CIDR")]
    from: Option<Ipv4Net>,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let instance = resolve::instance(&context.client, &arguments.instance).await?;
    let ask = Ask {
        port: arguments.port,
        from: arguments.from,
    };
    let findings = explain(context, &instance, ask).await?;
    checks::show(context, &findings)?;
    match checks::failed(&findings) {
        0 => Ok(()),
        problems => Err(CommandError::NoWay {
            instance: instance.handle().into(),
            problems,
        }),
    }
}
