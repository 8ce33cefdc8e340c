//! Runs `raft-core` on UDP sockets and files.
//!
//! Nothing is here yet: the crate reserves its place. It will adapt, and decide nothing: one socket, one journal
//! thread, one event loop that owns a [`Replica`](raft_core::replica::Replica).
