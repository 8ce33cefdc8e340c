//! raft-core beside raft-rs 0.7: the same loop, the same work, in one process.
//!
//! - `cargo run --release --manifest-path raft-core/compare/Cargo.toml`: times. Add `-- --quick` for a short run,
//!   `-- --json` for one object a line.
//! - the same with `--bin counts`: allocations, messages and bytes, which are the same on every run.
//!
//! What is compared: nodes of one cluster in one thread; messages are passed as values, ready to be encoded; a window
//! of proposals is kept outstanding at the leader; pre-vote and check-quorum are on; an append carries 64 KiB at most
//! and 64 of them may be under way; the log is compacted every [`COMPACT_EVERY`] entries.
//! - Ours hands every write out as a `Persist` and learns of it by a `Durable`, with the gate between them. The disk
//!   itself is absent: the write is dropped.
//! - raft-rs is in its best mode: protobuf with `Bytes`, `batch_append`, `skip_bcast_commit`; proposals are given as
//!   `Bytes` in a message, since `RawNode::propose` would copy them; its `MemStorage` is its log, as our log is ours.
//!   Its entries are persisted in the `Ready` loop that its documentation shows.
//!
//! Payloads are clones of one `Bytes`: no copy on either side.

pub mod cluster;
pub mod ours;
pub mod table;
pub mod theirs;

/// Entries between two compactions; as many are kept behind the applied one.
pub const COMPACT_EVERY: u64 = 4_096;
/// Bytes of entries in one append, at most.
pub const APPEND_BYTES_MAX: u64 = 64 << 10;
/// Appends under way to one follower, at most.
pub const WINDOW_APPENDS_MAX: usize = 64;
/// A tick is a fifth of a heartbeat interval and a thirtieth of an election timeout, on both sides.
pub const HEARTBEAT_TICKS: u64 = 5;
/// See [`HEARTBEAT_TICKS`].
pub const ELECTION_TICKS: u64 = 30;
/// So long that it never comes: for measurements of an idle node.
pub const NEVER_TICKS: u64 = 1 << 30;
