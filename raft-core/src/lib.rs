//! A deterministic Raft without I/O: messages and ticks in, actions out.
//!
//! **Every action may be performed the moment it is seen.** A message that depends on a write is not in your hands
//! until that write is durable.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod action;
pub mod config;
pub mod entry;
pub mod error;
pub mod journal;
pub mod load;
pub mod membership;
pub mod message;
pub mod raft;
pub mod replica;
pub mod snapshot;
pub mod types;
pub mod wire;
pub mod write;

pub use action::{Action, RoleChange, RoleName, Status};
pub use config::{Config, ConfigError};
pub use entry::{Entries, Entry, Payload};
pub use error::{Refused, RestoreError, Violation};
pub use load::{LoadRequest, Loaded, Wanted};
pub use membership::{Configuration, MemberSet};
pub use message::{Envelope, Message};
pub use raft::Raft;
pub use snapshot::{Chunk, Discard, SnapshotMeta};
pub use types::{
    Boot, ClusterId, Epoch, Incarnation, Index, Instant, LogId, Member, NodeId, ReadId, Round, Span, Term,
};
pub use write::{Durable, HardState, Identity, Persist, Restored, Write};
