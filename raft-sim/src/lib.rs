//! The simulator of raft-core: a deterministic world that attacks it.
//!
//! ```text
//! seed -> setup + schedule of faults + clients        (swarm.rs, schedule.rs; printed, editable as a file)
//!      -> queue of events, by (time, sequence)        (world.rs)
//!      -> Replica + wire + journal on virtual disks   (node.rs, network.rs, disk.rs)
//!      -> oracles at every event; linearizability and liveness at the end
//!      -> fingerprint, counts of effects, trace       (trace.rs, counts.rs)
//! ```
//!
//! One seed is one execution: one thread, no floating point, ordered collections, and every decision from
//! [`choices`]. [`run::run_seed`] runs the key-value store; [`Check`] runs a state machine of yours.

pub mod check;
pub mod choices;
mod client;
pub mod counts;
pub mod disk;
mod disk_ops;
pub mod failure;
pub mod kv;
mod machine;
pub mod marks;
pub mod measures;
mod network;
mod node;
pub mod oracle;
pub mod run;
pub mod schedule;
pub mod swarm;
pub mod trace;
mod user;
pub mod workload;
mod world;

pub use choices::Draw;
pub use machine::Machine;
pub use user::Check;
pub use workload::{Answer, Ask};
