//! The command `kiln`: a verb a file in `verbs/`, a small HTTP client to the daemon's socket, and what people read:
//! tables, ages, progress. Everything it shows comes from the API; `--json` prints the API's own answer.
//!
//! Data goes to standard output, talk to standard error. Names, identifiers and unique prefixes are all taken for
//! instances, images and security groups (`resolve`).

mod api;
mod aws;
mod catalogs;
mod checks;
mod client;
mod error;
mod output;
mod progress;
mod recipes;
mod resolve;
mod sanitize;
mod ssh;
mod table;
mod tasks;
mod terminal;
mod verbs;
mod waiting;
mod why;

pub use client::Client;
pub use error::{CommandError, Exit};

use clap::{Parser, Subcommand};
use output::Output;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  kiln doctor                         check this host
  kiln images make debian-12          make the Quick Start image, once
  kiln run debian-12 --name web       start an instance of it
  kiln ssh web                        a shell in it
  kiln console web                    use its serial console; Ctrl-] leaves
  kiln ps                             list instances
  kiln stop web && kiln start web     power button, then a new start from the same volume
  kiln rm web                         terminate it";

const NOTES: &str = "\
Exit status:
  0 done         2 wrong usage   4 timeout       6 daemon not reachable
  1 failed       3 not found     5 no capacity

Environment:
  KILN_SOCKET   the daemon's socket, as --socket
  NO_COLOR      no colours";

/// EC2 on this host: run, look at and end instances.
#[derive(Debug, Parser)]
#[command(name = "kiln", version, before_help = EXAMPLES, after_help = NOTES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// What every verb takes.
#[derive(Debug, clap::Args)]
struct Global {
    /// The daemon's socket.
    #[arg(long, global = true, help_heading = "Everywhere", env = "KILN_SOCKET", value_name = "PATH", default_value = crate::config::DEFAULT_SOCKET)]
    socket: PathBuf,
    /// Print the API's own JSON.
    #[arg(long, global = true, help_heading = "Everywhere")]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(verbs::run::Arguments),
    Ps(verbs::ps::Arguments),
    Console(verbs::console::Arguments),
    Logs(verbs::logs::Arguments),
    Ssh(verbs::ssh::Arguments),
    Exec(verbs::exec::Arguments),
    Cp(verbs::cp::Arguments),
    Start(verbs::start::Arguments),
    Stop(verbs::stop::Arguments),
    Reboot(verbs::reboot::Arguments),
    ReplaceRoot(verbs::replace_root::Arguments),
    Rm(verbs::rm::Arguments),
    Wait(verbs::wait::Arguments),
    Why(verbs::why::Arguments),
    Timeline(verbs::timeline::Arguments),
    Images(verbs::images::Arguments),
    Volumes(verbs::volumes::Arguments),
    Snapshots(verbs::snapshots::Arguments),
    Pool(verbs::pool::Arguments),
    Import(verbs::import::Arguments),
    Pull(verbs::pull::Arguments),
    Catalog(verbs::catalog::Arguments),
    Export(verbs::export::Arguments),
    Keys(verbs::keys::Arguments),
    Groups(verbs::groups::Arguments),
    Addresses(verbs::addresses::Arguments),
    Types(verbs::types::Arguments),
    Vpcs(verbs::vpcs::Arguments),
    Subnets(verbs::subnets::Arguments),
    Tag(verbs::tag::Arguments),
    Untag(verbs::tag::UntagArguments),
    Events(verbs::events::Arguments),
    Status(verbs::status::Arguments),
    Doctor(verbs::doctor::Arguments),
    Env(verbs::env::Arguments),
    Aws(verbs::aws::Arguments),
    AccessKey(verbs::access_key::Arguments),
    SshConfig(verbs::ssh_config::Arguments),
    Connect(verbs::connect::Arguments),
    HostKeys(verbs::host_keys::Arguments),
    Completion(verbs::completion::Arguments),
    Names(verbs::completion::NamesArguments),
}

/// What a verb works with.
struct Context {
    client: Client,
    out: Output,
}

impl Verb {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Verb::Run(arguments) => verbs::run::run(context, arguments).await,
            Verb::Ps(arguments) => verbs::ps::run(context, arguments).await,
            Verb::Console(arguments) => verbs::console::run(context, arguments).await,
            Verb::Logs(arguments) => verbs::logs::run(context, arguments).await,
            Verb::Ssh(arguments) => verbs::ssh::run(context, arguments).await,
            Verb::Exec(arguments) => verbs::exec::run(context, arguments).await,
            Verb::Cp(arguments) => verbs::cp::run(context, arguments).await,
            Verb::Start(arguments) => verbs::start::run(context, arguments).await,
            Verb::Stop(arguments) => verbs::stop::run(context, arguments).await,
            Verb::Reboot(arguments) => verbs::reboot::run(context, arguments).await,
            Verb::ReplaceRoot(arguments) => verbs::replace_root::run(context, arguments).await,
            Verb::Rm(arguments) => verbs::rm::run(context, arguments).await,
            Verb::Wait(arguments) => verbs::wait::run(context, arguments).await,
            Verb::Why(arguments) => verbs::why::run(context, arguments).await,
            Verb::Timeline(arguments) => verbs::timeline::run(context, arguments).await,
            Verb::Images(arguments) => verbs::images::run(context, arguments).await,
            Verb::Volumes(arguments) => verbs::volumes::run(context, arguments).await,
            Verb::Snapshots(arguments) => verbs::snapshots::run(context, arguments).await,
            Verb::Pool(arguments) => verbs::pool::run(context, arguments).await,
            Verb::Import(arguments) => verbs::import::run(context, arguments).await,
            Verb::Pull(arguments) => verbs::pull::run(context, arguments).await,
            Verb::Catalog(arguments) => verbs::catalog::run(context, arguments).await,
            Verb::Export(arguments) => verbs::export::run(context, arguments).await,
            Verb::Keys(arguments) => verbs::keys::run(context, arguments).await,
            Verb::Groups(arguments) => verbs::groups::run(context, arguments).await,
            Verb::Addresses(arguments) => verbs::addresses::run(context, arguments).await,
            Verb::Types(arguments) => verbs::types::run(context, arguments).await,
            Verb::Vpcs(arguments) => verbs::vpcs::run(context, arguments).await,
            Verb::Subnets(arguments) => verbs::subnets::run(context, arguments).await,
            Verb::Tag(arguments) => verbs::tag::run(context, arguments).await,
            Verb::Untag(arguments) => verbs::tag::run_untag(context, arguments).await,
            Verb::Events(arguments) => verbs::events::run(context, arguments).await,
            Verb::Status(arguments) => verbs::status::run(context, arguments).await,
            Verb::Doctor(arguments) => verbs::doctor::run(context, arguments).await,
            Verb::Env(arguments) => verbs::env::run(context, arguments).await,
            Verb::Aws(arguments) => verbs::aws::run(context, arguments).await,
            Verb::AccessKey(arguments) => verbs::access_key::run(context, arguments).await,
            Verb::SshConfig(arguments) => verbs::ssh_config::run(context, arguments),
            Verb::Connect(arguments) => verbs::connect::run(context, arguments).await,
            Verb::HostKeys(arguments) => verbs::host_keys::run(context, arguments).await,
            Verb::Completion(arguments) => verbs::completion::run(context, arguments),
            Verb::Names(arguments) => verbs::completion::names(context, arguments).await,
        }
    }
}

/// The whole program: reads the arguments, carries the verb out, reports a failure.
pub fn main() -> ExitCode {
    let Cli { global, verb } = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::tell(&format!("error: The runtime can't be started\n  why: {error}"));
            return Exit::Failed.into();
        }
    };
    let context = Context {
        client: Client::new(global.socket),
        out: Output::new(global.json),
    };
    let outcome = runtime.block_on(verb.run(&context));
    // A read of standard input may still hang in a thread; nothing waits for it.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            output::tell(error.report().trim_end());
            error.exit().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_shows_an_example() {
        for verb in Cli::command().get_subcommands() {
            let text = verb.get_before_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                text.contains(&format!("kiln {}", verb.get_name())),
                "{} shows no example",
                verb.get_name()
            );
        }
    }
}
