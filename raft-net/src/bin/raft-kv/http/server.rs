//! Serves connections, each with little time for its headers.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;

use crate::accept::Door;

/// A connection that is silent for this long is closed.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long requests under way may take once the node stops.
const GRACE: Duration = Duration::from_secs(2);

/// Serves until told to stop, then finishes what is under way.
pub(crate) async fn serve(mut door: Door, router: Router) {
    let graceful = GracefulShutdown::new();
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    while let Some((stream, permit)) = door.next().await {
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(server.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke off");
            }
            drop(permit);
        });
    }
    drop(door);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still under way after 2 s");
    }
}
