//! `serve`: one node, from its settings to its exit code.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::accept::{Door, bind, told};
use crate::args::ServeArguments;
use crate::config::{Settings, Source};
use crate::exit::{Exit, Fatal};
use crate::service::Service;
use crate::store::Store;
use crate::{http, line, upkeep};
use raft_core::{NodeId, Span};
use raft_net::{DirectoryError, Node, NodeConfig, StartError, StopReason, directory};

/// A name that is not known after half a minute is a mistake.
const RESOLVE_TRIES: usize = 30;
const RESOLVE_PAUSE: Duration = Duration::from_secs(1);

/// Runs a node until it is told to stop, or must.
pub(crate) async fn run(arguments: ServeArguments) -> Result<(), Fatal> {
    let until_stdin_ends = arguments.until_stdin_ends;
    let settings = settings(arguments)?;
    start_log(&settings)?;
    // First of all: a second process on one directory is told so, and not of the ports that the first one has.
    check_free(&settings)?;
    // Before the data directory is touched: a port in use must not cost a boot.
    let http_listener = bind("HTTP", settings.http).await?;
    let line_listener = match settings.line {
        Some(address) => Some(bind("the line protocol", address).await?),
        None => None,
    };
    let metrics = PrometheusBuilder::new()
        .install_recorder()
        .map_err(|error| Fatal::new(Exit::Other, format!("metrics can't be recorded: {error}")))?;
    let config = node_config(&settings).await?;
    let node = Node::start(config, Store::default())
        .await
        .map_err(|error| Fatal::new(exit_of_start(&error), error.to_string()))?;
    let upkeep = tokio::spawn(upkeep::run(metrics.clone(), upkeep::EVERY));
    let (service, mut asked) = Service::new(node.clone(), settings, Some(metrics));

    let (stop, stopped) = watch::channel(false);
    let door = Door::new(http_listener, stopped.clone());
    let http = tokio::spawn(http::serve(door, http::router(Arc::clone(&service))));
    let line = line_listener.map(|listener| {
        let door = Door::new(listener, stopped.clone());
        tokio::spawn(line::serve(door, Arc::clone(&service), stopped))
    });
    let settings = service.settings();
    tracing::info!(node = settings.id, http = %settings.http, raft = %settings.raft, "serving");

    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(|error| Fatal::io("signals can't be received", &error))?;
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|error| Fatal::io("signals can't be received", &error))?;
    let reason = tokio::select! {
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
        () = told(&mut asked) => None,
        () = stdin_ends(), if until_stdin_ends => None,
        reason = node.stopped() => Some(reason),
    };
    stop.send_replace(true);
    // What is under way is answered first, or told that this node has stopped.
    let _ = http.await;
    if let Some(line) = line {
        let _ = line.await;
    }
    node.shutdown().await;
    upkeep.abort();
    match reason {
        None => {
            tracing::info!("stopped in order");
            Ok(())
        }
        Some(reason) => {
            tracing::error!(%reason, "the node stopped itself");
            Err(Fatal::new(exit_of(&reason), reason.to_string()))
        }
    }
}

/// Whether no process serves the directory. One that starts right after this is told by the start itself.
fn check_free(settings: &Settings) -> Result<(), Fatal> {
    let refused = |error: DirectoryError| Fatal::new(Exit::Directory, error.to_string());
    if directory::is_served(&settings.data).map_err(refused)? {
        return Err(refused(DirectoryError::Locked(settings.data.clone())));
    }
    Ok(())
}

fn exit_of_start(error: &StartError) -> Exit {
    match error {
        StartError::Config(_) | StartError::NoAddress(_) | StartError::Secure(_) => Exit::Usage,
        StartError::Directory(_) => Exit::Directory,
        StartError::Socket(_) => Exit::Address,
        StartError::System(_) => Exit::Other,
    }
}

fn exit_of(reason: &StopReason) -> Exit {
    use raft_core::replica::StopReason as Replica;
    match reason {
        StopReason::DiskFailed(_)
        | StopReason::DiskStalled(_)
        | StopReason::Replica(Replica::DiskFailed | Replica::Damaged | Replica::Snapshot { .. }) => {
            Exit::DiskFailed
        }
        StopReason::Shutdown
        | StopReason::Broken
        | StopReason::Replica(
            Replica::UnknownEntry { .. } | Replica::Undecodable { .. } | Replica::Response { .. },
        ) => Exit::Other,
    }
}

fn settings(arguments: ServeArguments) -> Result<Settings, Fatal> {
    let mut source = match &arguments.config {
        Some(file) => Source::read(file).map_err(|error| Fatal::new(Exit::Usage, error.to_string()))?,
        None => Source::default(),
    };
    let config = &mut source.config;
    config.id = arguments.id.or(config.id);
    config.data = arguments.data.or(config.data.take());
    config.http = arguments.http.or(config.http.take());
    config.raft = arguments.raft.or(config.raft.take());
    config.line = arguments.line.or(config.line.take());
    config.log_file = arguments.log_file.or(config.log_file.take());
    config.log_level = arguments.log_level.or(config.log_level.take());
    config.election_timeout_ms = arguments.election_timeout_ms.or(config.election_timeout_ms);
    config.heartbeat_ms = arguments.heartbeat_ms.or(config.heartbeat_ms);
    config.snapshot_after_kib = arguments.snapshot_after_kib.or(config.snapshot_after_kib);
    config.token_file = arguments.token_file.or(config.token_file.take());
    config.secret_file = arguments.secret_file.or(config.secret_file.take());
    config.cluster = arguments.cluster.or(config.cluster.take());
    if arguments.no_forwarding {
        config.forwarding = Some(false);
    }
    if !arguments.nodes.is_empty() {
        config.nodes = arguments.nodes;
    }
    source.resolve().map_err(|error| Fatal::new(Exit::Usage, error.to_string()))
}

fn start_log(settings: &Settings) -> Result<(), Fatal> {
    let builder = tracing_subscriber::fmt().with_max_level(settings.log_level).with_target(false);
    match &settings.log_file {
        None => builder.with_writer(std::io::stderr).with_ansi(false).init(),
        Some(file) => {
            let log = OpenOptions::new().create(true).append(true).open(file).map_err(|error| {
                Fatal::new(Exit::Usage, format!("the log file {}: {error}; check log_file", file.display()))
            })?;
            builder.with_writer(Arc::new(log)).with_ansi(false).init();
        }
    }
    Ok(())
}

/// What the node is told.
async fn node_config(settings: &Settings) -> Result<NodeConfig, Fatal> {
    let founding = directory::founding_record(&settings.data)
        .map_err(|error| Fatal::new(Exit::Directory, error.to_string()))?;
    let (data, id, secrets) = (settings.data.clone(), NodeId(settings.id), settings.secrets.clone());
    let mut config = NodeConfig::new(data, id, settings.raft, secrets);
    config.cluster = settings.cluster;
    for record in &founding.members {
        let member = record.member.id;
        let node = settings.nodes.iter().find(|node| node.id == member.0).ok_or_else(|| {
            let data = settings.data.display();
            let what = format!("{data} is of a cluster with a node {}; list every node in nodes", member.0);
            Fatal::new(Exit::Directory, what)
        })?;
        config.addresses.insert(member, resolve(&node.raft).await?);
    }
    config.replica.forwarding = settings.forwarding;
    config.replica.snapshot_after_bytes = settings.snapshot_after_kib << 10;
    config.replica.raft.election_timeout = Span::from_millis(settings.election_timeout_ms);
    config.replica.raft.heartbeat_interval = Span::from_millis(settings.heartbeat_ms);
    Ok(config)
}

/// The address behind a name. Names may take a while to appear when machines start together.
async fn resolve(address: &str) -> Result<SocketAddr, Fatal> {
    let mut why = String::from("it has no address");
    for _ in 0..RESOLVE_TRIES {
        match tokio::net::lookup_host(address).await {
            Ok(mut found) => {
                if let Some(address) = found.next() {
                    return Ok(address);
                }
            }
            Err(error) => why = error.to_string(),
        }
        tracing::warn!(address, why, "a node's address can't be resolved yet");
        tokio::time::sleep(RESOLVE_PAUSE).await;
    }
    let what = format!("the node at {address} can't be found: {why}; check the name in nodes");
    Err(Fatal::new(Exit::Usage, what))
}

async fn stdin_ends() {
    let mut stdin = tokio::io::stdin();
    let mut buffer = [0; 64];
    // What is written to it means nothing; an error is an end as well.
    while stdin.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
}
