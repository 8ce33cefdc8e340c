//! The simulator of raft-core: a deterministic world that attacks it.

pub mod check;
pub mod choices;
pub mod disk;
pub mod failure;
pub mod kv;
pub mod oracle;
