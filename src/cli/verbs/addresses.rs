//! `kiln addresses`: elastic addresses, listed (DescribeAddresses), taken from the pool (AllocateAddress), given to instances
//! (AssociateAddress), taken from them (DisassociateAddress) and given back (ReleaseAddress).

use super::super::Context;
use super::super::error::CommandError;
use super::super::output::hint;
use super::super::resolve;
use super::super::table::Table;
use super::{done, members, name, text};
use serde_json::json;
use std::net::Ipv4Addr;

/// List public addresses; allocate them, give them to instances and release them.
///
/// They come from the pool that network.public_pool in kiln.toml names. What is sent to one reaches the instance that has it,
/// as far as its security groups let it.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "\
Examples:
  kiln addresses
  kiln addresses allocate
  kiln addresses associate 192.0.2.9 web
  kiln addresses disassociate 192.0.2.9
  kiln addresses release 192.0.2.9",
    args_conflicts_with_subcommands = true
)]
pub struct Arguments {
    /// Addresses only.
    #[arg(short, long)]
    quiet: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Take an address from the pool.
    Allocate {
        /// A certain one.
        address: Option<Ipv4Addr>,
    },
    /// Give an address to an instance; what had it, or what the instance had, is without then.
    Associate {
        /// The address.
        address: Ipv4Addr,
        /// The instance: its name, its identifier or the beginning of either.
        instance: String,
    },
    /// Take an address from the instance that has it.
    Disassociate {
        /// The address.
        address: Ipv4Addr,
    },
    /// Give addresses back to the pool.
    Release {
        /// The addresses.
        #[arg(required = true)]
        addresses: Vec<Ipv4Addr>,
    },
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let client = &context.client;
    match arguments.verb {
        None => list(context, arguments.quiet).await,
        Some(Verb::Allocate { address }) => {
            let request = address.map_or_else(|| json!({}), |address| json!({ "Address": address }));
            let answer = client.call("AllocateAddress", &request).await?;
            done(context, &answer, text(&answer, "PublicIp"))
        }
        Some(Verb::Associate { address, instance }) => {
            let instance = resolve::instance(client, &instance).await?;
            let request = json!({ "PublicIp": address, "InstanceId": instance.instance_id });
            let answer = client.call("AssociateAddress", &request).await?;
            done(context, &answer, text(&answer, "AssociationId"))
        }
        Some(Verb::Disassociate { address }) => {
            let request = json!({ "PublicIp": address });
            let answer = client.call("DisassociateAddress", &request).await?;
            done(context, &answer, &address.to_string())
        }
        Some(Verb::Release { addresses }) => {
            for address in addresses {
                let request = json!({ "PublicIp": address });
                let answer = client.call("ReleaseAddress", &request).await?;
                done(context, &answer, &address.to_string())?;
            }
            Ok(())
        }
    }
}

async fn list(context: &Context, quiet: bool) -> Result<(), CommandError> {
    let answer = context.client.call("DescribeAddresses", &json!({})).await?;
    if context.out.json {
        return context.out.answer(&answer);
    }
    let addresses = members(&answer, "Addresses");
    if quiet {
        return addresses
            .iter()
            .try_for_each(|one| context.out.line(text(one, "PublicIp")));
    }
    if addresses.is_empty() {
        hint("no public addresses; kiln addresses allocate takes one from the pool");
    }
    let mut table = Table::new(["ADDRESS", "ID", "NAME", "INSTANCE", "PRIVATE ADDRESS"]);
    for one in addresses {
        table.row([
            text(one, "PublicIp").into(),
            text(one, "AllocationId").into(),
            name(one).into(),
            text(one, "InstanceId").into(),
            text(one, "PrivateIpAddress").into(),
        ]);
    }
    table.print(&context.out)
}
