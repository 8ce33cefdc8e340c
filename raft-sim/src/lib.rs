//! The simulator of raft-core: a deterministic world that attacks it.

pub mod check;
pub mod choices;
pub mod counts;
pub mod disk;
pub mod failure;
pub mod kv;
mod network;
pub mod oracle;
pub mod schedule;
pub mod swarm;
