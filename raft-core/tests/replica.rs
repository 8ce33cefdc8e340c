//! Whole members: core, journal, sessions, forwarding and a state machine, without faults of the disk.

// What is not as the test expects fails the test, wherever it happens.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

#[path = "replica/cluster.rs"]
mod cluster;
#[path = "replica/single.rs"]
mod single;
#[path = "replica/snapshots.rs"]
mod snapshots;
#[path = "replica/world.rs"]
mod world;
