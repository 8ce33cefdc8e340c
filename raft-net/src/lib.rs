//! Runs `raft-core` on UDP sockets and files.
//!
//! It adapts, and decides nothing: one socket, one journal thread, one event loop that owns a
//! [`Replica`](raft_core::replica::Replica). So far there are [`secure`], the sessions between members, and [`udp`],
//! the socket that their datagrams travel through.

pub mod secure;
pub mod udp;
