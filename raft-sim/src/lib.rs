//! The simulator of raft-core: a deterministic world that attacks it.

pub mod kv;
pub mod oracle;
