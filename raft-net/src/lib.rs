//! Runs [`raft_core`] on UDP sockets and files.
//!
//! A [`Node`] is a [`Replica`](raft_core::replica::Replica) with a socket, a data directory and a clock. It adapts
//! and decides nothing: elections, replication, what is durable, which answer is certain are all the core's, and the
//! simulator tortures the same code.
//!
//! ```text
//! handles --requests--> event loop --datagrams--> secure --sealed--> udp
//!                        |      ^
//!                  batch v      | done
//!                       journal thread --> files
//! ```
//!
//! - [`directory`] makes and opens data directories; [`config`] is everything a node is told.
//! - [`node`] is the handle; the event loop behind it is one task that owns all state.
//! - One thread performs the journal's batches. Its first error is its last act: nothing is ever written, synced or
//!   sent after it.
//! - [`secure`] is Noise sessions without I/O, [`udp`] the socket.
//!
//! Architecture Invariant: nothing that arrives from the network is believed before [`secure`] has named its sender,
//! and no message of the core's is sent for a member other than that.
//!
//! # Example
//! `examples/embed_node.rs` starts three nodes in one process.
#![forbid(unsafe_code)]

mod clock;
pub mod config;
mod counters;
pub mod directory;
mod disk;
pub mod error;
mod event_loop;
pub mod node;
pub mod secure;
pub mod status;
pub mod udp;

pub use config::{DiskConfig, NodeConfig};
pub use disk::Faults;
pub use error::{DirectoryError, ProposeError, QueryError, StartError, StopReason, Stopped};
pub use node::{Consistency, Node};
pub use status::{DiskFigures, LogLine, NetworkFigures, NodeStatus};
