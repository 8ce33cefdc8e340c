//! Listening: an address with a clear error, and so many connections at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::exit::{Exit, Fatal};

/// Connections of one listener at once; more wait to be accepted.
const CONNECTIONS_MAX: u32 = 1_024;
/// How long to wait after an accept that failed.
const PAUSE: Duration = Duration::from_millis(50);

/// Listens; the error names the cure.
pub(crate) async fn bind(what: &str, address: SocketAddr) -> Result<TcpListener, Fatal> {
    TcpListener::bind(address).await.map_err(|error| {
        let cure = match error.raw_os_error() {
            Some(EADDRINUSE) => "another process has it: stop that one, or choose another port",
            Some(EACCES) => "ports below 1024 need privileges: choose a higher one",
            Some(EADDRNOTAVAIL) => "this machine has no such address: choose one that it has",
            Some(_) | None => "choose another address",
        };
        Fatal::new(Exit::Address, format!("can't serve {what} on {address}: {error}; {cure}"))
    })
}

// Linux' numbers; elsewhere the general cure is shown.
const EACCES: i32 = 13;
const EADDRINUSE: i32 = 98;
const EADDRNOTAVAIL: i32 = 99;

/// Connections, one after the other, until told to stop.
pub(crate) struct Door {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Door {
    /// Opens it.
    pub(crate) fn new(listener: TcpListener, stop: watch::Receiver<bool>) -> Door {
        Door { listener, permits: Arc::new(Semaphore::new(CONNECTIONS_MAX as usize)), stop }
    }

    /// The next connection, and the permit to be dropped when it ends. None: stop.
    pub(crate) async fn next(&mut self) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        loop {
            let accepted = async {
                let permit = Arc::clone(&self.permits).acquire_owned().await;
                (permit, self.listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                () = told(&mut self.stop) => return None,
                both = accepted => both,
            };
            // The semaphore is never closed, so there always is a permit.
            let permit = permit.ok()?;
            match accepted.and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream)) {
                Ok(stream) => return Some((stream, permit)),
                Err(error) => {
                    // Out of file descriptors, or a client that left: neither is helped by asking again at once.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

impl Door {
    /// Waits, after the last [`next`](Door::next), until all connections have ended; false if some had not in time.
    pub(crate) async fn wait_empty(&self, patience: Duration) -> bool {
        // The semaphore has so many permits in all.
        let all = self.permits.acquire_many(CONNECTIONS_MAX);
        tokio::time::timeout(patience, all).await.is_ok()
    }
}

/// Returns once the flag is up, or nobody is left who could put it up.
pub(crate) async fn told(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|flag| *flag).await;
}
