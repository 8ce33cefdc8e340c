//! The simulator of raft-core.

pub mod check;
