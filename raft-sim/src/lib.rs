//! The simulator of raft-core.
