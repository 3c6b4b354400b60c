//! `kiln connect`: standard input and output become a connection to a guest's port. ssh uses it as its `ProxyCommand`.

use super::super::Context;
use super::super::error::CommandError;
use super::super::resolve;
use super::super::ssh::Route;
use tokio::io::{AsyncWriteExt, copy};

/// Connect standard input and output to a port of an instance.
///
/// The connection is one of TCP, made from within the instance's VPC, past its security groups; or, with --vsock, one to
/// the guest's AF_VSOCK, which needs no network.
#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  kiln connect web 80
  kiln connect --vsock web 22
  ssh -o ProxyCommand='kiln connect %h %p' debian@i-0123456789abcdef0")]
pub struct Arguments {
    /// Connect to a port of the guest's AF_VSOCK instead.
    #[arg(long)]
    vsock: bool,
    /// The instance: its name, its identifier or the beginning of either.
    instance: String,
    /// The port.
    port: u32,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    let instance = resolve::instance(&context.client, &arguments.instance).await?;
    let route = if arguments.vsock { Route::Vsock } else { Route::Network };
    let path = route.path(&instance.instance_id, arguments.port);
    let guest = context.client.upgrade(&path, route.protocol()).await?;
    let (mut from_guest, mut to_guest) = tokio::io::split(guest);
    let (mut input, mut output) = (tokio::io::stdin(), tokio::io::stdout());
    let typing = async {
        copy(&mut input, &mut to_guest).await?;
        // The guest may still have something to say to what was said last.
        to_guest.shutdown().await
    };
    let showing = async {
        copy(&mut from_guest, &mut output).await?;
        output.flush().await
    };
    tokio::pin!(typing, showing);
    let ended = tokio::select! {
        shown = &mut showing => shown,
        typed = &mut typing => match typed {
            Ok(()) => showing.await,
            Err(error) => Err(error),
        },
    };
    ended.map_err(CommandError::Output)
}
