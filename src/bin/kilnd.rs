//! `kilnd`, the daemon: reads its configuration, takes the host's instances up, and serves the socket until it is told
//! to end. Guests run on without it.

use clap::Parser;
use kiln::api::{World, operations};
use kiln::chain::chain;
use kiln::config::{Config, Ec2};
use kiln::machine::seal_descriptors;
use kiln::wire::Routes;
use kiln::wire::server::listen::listen;
use kiln::wire::server::{Limits, serve};
use sd_notify::NotifyState;
use std::error::Error;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

/// The kiln daemon: EC2 on this host.
#[derive(Debug, Parser)]
#[command(name = "kilnd", version)]
struct Arguments {
    /// The configuration; /etc/kiln/kiln.toml if none is named.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the database, images, volumes and console logs are kept.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Where sockets are made.
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// The socket of the API.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Where clients of EC2 find the query endpoint, an address of the host's loopback; nowhere if nothing is said.
    #[arg(long, value_name = "ADDRESS:PORT")]
    ec2_listen: Option<SocketAddr>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whether or not there is a log by now, the one who started it sees this.
            eprintln!("kilnd: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    // First of all, while nothing else is open: no monitor inherits what this process was started with.
    seal_descriptors()?;
    let config = configure(arguments)?;
    log_to_stderr(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(daemon(config))
}

fn configure(arguments: Arguments) -> Result<Config, Box<dyn Error>> {
    let mut config = Config::load(arguments.config.as_deref())?;
    if let Some(dir) = arguments.state_dir {
        config.state_dir = dir;
    }
    if let Some(dir) = arguments.run_dir {
        config.run_dir = dir;
    }
    if arguments.socket.is_some() {
        config.socket.path = arguments.socket;
    }
    if let Some(listen) = arguments.ec2_listen {
        if !listen.ip().is_loopback() {
            return Err(format!("--ec2-listen {listen} is not usable, {}", Ec2::LOOPBACK).into());
        }
        config.ec2.listen = Some(listen);
    }
    // Monitors run in another directory, and the ledger outlives this one.
    config.state_dir = std::path::absolute(&config.state_dir)?;
    config.run_dir = std::path::absolute(&config.run_dir)?;
    Ok(config)
}

/// Standard error is the journal under systemd, which has its own clock.
fn log_to_stderr(filter: &str) -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_new(filter)?;
    let ansi = std::io::stderr().is_terminal();
    let format = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi);
    match std::env::var_os("JOURNAL_STREAM") {
        Some(_) => format.without_time().init(),
        None => format.init(),
    }
    Ok(())
}

async fn daemon(config: Config) -> Result<(), Box<dyn Error>> {
    // Taken over before anything else is done, so that a signal during the start is not lost.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (socket, group) = (config.socket_path(), config.socket.group.clone());
    let world = Arc::new(World::open(config).await?);
    let listener = listen(&socket, &group)?;
    let ec2 = listen_for_ec2(&world).await?;
    tracing::info!(socket = %socket.display(), enclosure = world.instances.parts().machines.enclosure(), "Ready");
    notify(&[NotifyState::Ready]);
    let routes = Arc::new(Routes::new(Arc::clone(&world), operations()));
    let endpoint = Arc::new(routes.endpoint());
    let (stop, stopped) = watch::channel(false);
    let told = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("Ending; guests run on");
        notify(&[NotifyState::Stopping]);
        stop.send_replace(true);
    };
    tokio::join!(
        told,
        serve(listener, routes, Limits::default(), stopping(stopped.clone())),
        async {
            if let Some(listener) = ec2 {
                serve(listener, endpoint, Limits::default(), stopping(stopped.clone())).await;
            }
        },
    );
    // Imports that are cut short take away what they made, and exports say that they are.
    tokio::join!(world.imports.stop(), world.exports.stop());
    Ok(())
}

/// Done when the daemon stops.
async fn stopping(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone has stopped, too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// The query endpoint's socket, if there is to be one.
async fn listen_for_ec2(world: &World) -> Result<Option<TcpListener>, Box<dyn Error>> {
    let Some(address) = world.config.ec2.listen else {
        return Ok(None);
    };
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| format!("EC2's query endpoint can't listen on {address}: {error}"))?;
    let address = listener.local_addr()?;
    world.set_ec2_endpoint(address);
    tracing::info!(%address, "EC2's query endpoint is there");
    Ok(Some(listener))
}

/// Tells the service manager, if there is one that wants to know.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "The service manager can't be told");
    }
}
