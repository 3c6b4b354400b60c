//! `kiln pool`: the file system that images and volumes lie on, shown (GET /pool), made and grown.
//!
//! Where the host's own file system can't share blocks, a pool of kiln's is an XFS in a file of its own that is mounted over the
//! state directory. All of the file is taken from the host's file system from the beginning: what the pool says is free can't be
//! taken by others, and no guest finds its disk full of holes that nobody can fill.

mod grow;
mod init;
mod programs;
mod scrub;
mod show;

use super::super::Context;
use super::super::error::CommandError;
use crate::config::Size;
use std::path::PathBuf;

/// Show what images and volumes take of the disk; make a file system for them on which a launch copies nothing.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "\
Examples:
  kiln pool                          what lies on it, what is shared, what could be freed
  sudo kiln pool init                an XFS of half of what is free, for a host without one
  sudo kiln pool init 200GiB
  sudo kiln pool grow 400GiB         while guests run
  kiln pool scrub                    is every snapshot still what was written?",
    args_conflicts_with_subcommands = true
)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Init(InitArguments),
    /// Let the pool grow; guests run on.
    Grow {
        /// Its new size: 400GiB.
        size: Size,
    },
    /// Read snapshots, those of images among them, and see whether they are still what was written.
    Scrub {
        /// The snapshots: identifiers, names or beginnings of either; all when none is given.
        snapshots: Vec<String>,
    },
}

/// Make a pool: an XFS in a file of its own, mounted over the state directory.
///
/// What is in the state directory is copied into it, and kept beside it until you remove it. The daemon and all instances must be
/// stopped.
#[derive(Debug, clap::Args)]
struct InitArguments {
    /// Its size; half of what is free when not given. It can grow later, not shrink.
    size: Option<Size>,
    /// The file; beside the state directory when not given.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Mount it, but leave it to you that it is mounted at each start of the host.
    #[arg(long)]
    no_unit: bool,
    /// The daemon's configuration, which says where its state lies.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(in super::super) async fn run(context: &Context, arguments: Arguments) -> Result<(), CommandError> {
    match arguments.verb {
        None => show::show(context).await,
        Some(Verb::Init(arguments)) => init::init(context, &arguments).await,
        Some(Verb::Grow { size }) => grow::grow(context, size).await,
        Some(Verb::Scrub { snapshots }) => scrub::scrub(context, &snapshots).await,
    }
}
